/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel settings without which a host forwards nothing. They belong to the host's
 * administrator, who gets a file for sysctl.d with them; the daemon looks, and writes only if told
 * to.
 */
#ifndef TRAFFIC_SYSCTLS_H
#define TRAFFIC_SYSCTLS_H

#include "lib/addr.h"

/*
 * Whether this host forwards packets between `device` and its containers, in the families asked
 * for. With `set`, turns on what is off. Returns a sentence in `buf` that names what is missing and
 * how to mend it, or "".
 */
const char *sysctls_check(bool v4, bool v6, const char *device, bool set, char *buf, size_t size);

#endif
