/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel settings without which a host forwards nothing. They belong to the host's
 * administrator, who gets an example for sysctl.d with them; the daemon looks, and writes only if told
 * to, but for those of its own device.
 */
#ifndef TRAFFIC_SYSCTLS_H
#define TRAFFIC_SYSCTLS_H

#include "lib/addr.h"

struct sysctls_place {
	bool v4; /* families of the network */
	bool v6;
	const char *device;          /* of the tunnel, ours; "" if there is none */
	const char *underlay;        /* the external interface of IPv4 */
	const struct ip_net *own_v4; /* containers are behind the devices with an address in it */
};

/*
 * Whether this host forwards packets between its containers and the others, in the families asked
 * for. With `set`, turns on what is off, and without it the switch of our own device alone; before
 * IPv6's, makes interfaces keep the routes of router advertisements. Returns a sentence in `buf` that
 * names what is missing and how to mend it, or "".
 */
const char *sysctls_check(const struct sysctls_place *p, bool set, char *buf, size_t size);

#endif
