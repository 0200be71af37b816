/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Foo over UDP: a UDP port whose packets the kernel takes for IPv4 in IPv4, as if the UDP header were
 * not there. The other half, sending so, is an attribute of the tunnel's device.
 *
 * A port carries no mark of whoever made it. One that takes our packets as well, for all addresses, is used
 * and left alone; one for exactly our address and port is ours. Source: linux/fou.h, net/ipv4/fou.c.
 */
#ifndef KERNEL_FOU_H
#define KERNEL_FOU_H

#include "lib/addr.h"
#include "lib/err.h"

/* Whether the kernel has FOU, which it loads for this; -ENOENT with a sentence if not. */
int fou_available(struct err *e) MUST_CHECK;

/*
 * Packets to this address (IPv4) and port are IPv4 in IPv4 from now on. Returns 1 if the port was
 * made, 0 if it was there. -EADDRINUSE: a process has it; -EBUSY: it is another FOU port.
 */
int fou_listen(const struct ip_addr *local, uint16_t port, struct err *e) MUST_CHECK;

/* Removes a port that fou_listen() made. -ENOENT: there is none. */
int fou_close(const struct ip_addr *local, uint16_t port, struct err *e) MUST_CHECK;

#endif
