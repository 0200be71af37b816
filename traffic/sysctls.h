/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel settings without which a host forwards nothing. They belong to the host's
 * administrator, who gets an example for sysctl.d with them; the daemon looks, and writes only if told
 * to.
 */
#ifndef TRAFFIC_SYSCTLS_H
#define TRAFFIC_SYSCTLS_H

#include "lib/addr.h"

/*
 * Whether this host forwards packets between `device` and its containers, which are behind the
 * devices with an address in `own_v4` (may be unset), in the families asked for. With `set`, turns
 * on what is off; before IPv6's, makes interfaces keep the routes of router advertisements. Returns
 * a sentence in `buf` that names what is missing and how to mend it, or "".
 */
const char *sysctls_check(bool v4, bool v6, const char *device, const struct ip_net *own_v4,
			  bool set, char *buf, size_t size);

#endif
