/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the records say, for those who only want to know: `flannel list [DATADIR]`. Nothing is
 * changed, and nobody is waited for: an attachment that is being made or undone is shown as it is at
 * the moment.
 *
 *   {"attachments": [{"network": "cbr0", "containerID": "...", "interface": "eth0",
 *                     "addresses": ["10.5.17.2"], "device": "veth1f2e3d4c", "deviceExists": true,
 *                     "bridge": "cni0", "mac": "...", "complete": true, "containerName": null,
 *                     "asksOnce": false, "since": "RFC 3339", "error": null}],
 *    "failed": ["a sentence"]}
 *
 * Of what another plugin made, addresses and device are not known: [] and null. Of a damaged record
 * all but the names and `error`. asksOnce: podman made it by netavark, which tells the container's name.
 */
#ifndef CNI_PLUGIN_LIST_H
#define CNI_PLUGIN_LIST_H

/* Prints it and returns the exit status: failure if something could not be read. */
int list_command(const char *data_dir);

#endif
