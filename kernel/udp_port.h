/* SPDX-License-Identifier: Apache-2.0 */
/* Who holds a UDP port, for people: the kernel's "Address already in use" names nobody. */
#ifndef KERNEL_UDP_PORT_H
#define KERNEL_UDP_PORT_H

#include "lib/util.h"

/*
 * Writes "process 4711 (named)" or, where we may not look into processes, "a process of user 53".
 * False, and nothing written, if no process of this network namespace holds the port; one that the
 * kernel itself holds, for a tunnel, has none. Reads /proc of all processes: only after a failure.
 */
bool udp_port_holder(uint16_t port, char *buf, size_t size);

#endif
