/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what the runtime hands us to the configuration of an interface.
 *
 * The configuration comes in two forms. Wrapped, as flannel's plugin takes it: the interface's keys
 * are inside `delegate`, address management under `ipam`, and the rest comes from subnet.env.
 * Direct: the keys of the bridge and ptp plugins stand in our own object. Both end as one object
 * that the bridge or ptp plugin would understand; config.c reads that, or it is handed to the
 * plugin that the delegate names. Pure: JSON in, JSON out.
 */
#ifndef CNI_PLUGIN_NETCONF_H
#define CNI_PLUGIN_NETCONF_H

#include "cni-plugin/fabric.h"
#include "lib/json.h"

#define NETCONF_SUBNET_FILE   "/run/flannel/subnet.env"
#define NETCONF_DATA_DIR      "/var/lib/cni/flannel"
#define NETCONF_NAME_SIZE_MAX 200                /* bytes of the name, which names directories */
#define NETCONF_SIZE_MAX      (8u * 1024 * 1024) /* bytes on stdin */

/* What is needed before anything else can be; all of it borrowed from `json`. */
struct netconf {
	json_t *json;
	const char *name;
	const char *cni_version; /* as written; "0.1.0" if absent */
	const char *subnet_file;
	const char *data_dir;
	bool direct;
	bool needs_fabric; /* no address range is given: it comes from subnet.env */
};

/*
 * Takes over `json` (freed by netconf_fini, also on failure). Codes in the order in which they are
 * looked for: no or bad name CNI_CONFIG, cniVersion of the wrong type CNI_DECODING, unknown
 * CNI_INCOMPATIBLE, other keys CNI_CONFIG.
 */
int netconf_read(json_t *json, struct netconf *ret, struct err *e) MUST_CHECK;
void netconf_fini(struct netconf *n);

/*
 * The object for the plugin that makes the interface: exactly flannel's for the wrapped form.
 * `fabric` is needed if needs_fabric says so and may be NULL otherwise. Caller owns the result.
 * CNI_CONFIG.
 */
int netconf_generate(const struct netconf *n, const struct subnet_env *fabric, json_t **ret,
		     struct err *e) MUST_CHECK;

/*
 * What that object's `type` will be, from the wrapped or the direct form: "bridge" unless given.
 * CNI_CONFIG.
 */
int netconf_read_type(const struct netconf *n, const char **ret, struct err *e) MUST_CHECK;

#endif
