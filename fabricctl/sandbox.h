/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container to try things in: a network namespace without a program, attached by the CNI plugin as those of a
 * runtime are, with an address of this host's subnet. It has no name and lives as long as this process; what a process that
 * was killed has left, its address and its record, is given back by the next one.
 */
#ifndef FABRICCTL_SANDBOX_H
#define FABRICCTL_SANDBOX_H

#include "fabricctl/settings.h"
#include "lib/addr.h"

#define SANDBOX_PREFIX "fabricctl-test-" /* of its container id, before the number of the process */

struct sandbox {
	int namespace_fd;
	struct ip_addr addresses[2]; /* IPv4, IPv6; unset: none */
	uint32_t mtu_bytes;
	/* for sandbox_close */
	const struct settings *settings;
	char *config; /* of the plugin */
	char id[64];
};

/*
 * `config_file` is a list or configuration with an entry of type flannel; NULL: the first such in /etc/cni/net.d, or if
 * there is none what the plugin does by itself. `settings` is borrowed until the end. Blocks for the plugin, some seconds at most.
 * -ENOENT: no plugin, or no such file; -EINVAL names what is wrong with it; otherwise the plugin's words.
 */
int sandbox_open(const struct settings *settings, const char *config_file, struct sandbox *ret,
		 struct err *e) MUST_CHECK;
/* DEL. What could not be given back is said. */
int sandbox_close(struct sandbox *s, struct err *e) MUST_CHECK;

/* The plugin's configuration out of a document with a list or a single one: what it says, with the paths of the
 * settings where it says none. NULL: it has none of type flannel. Pure; caller owns it. */
json_t *sandbox_config(const json_t *document, const struct settings *settings);

#endif
