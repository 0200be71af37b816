/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does anybody answer for an address? Asked of the link itself, by ARP and neighbour discovery, which
 * the other side's kernel answers whatever its processes do.
 */
#ifndef KERNEL_PROBE_H
#define KERNEL_PROBE_H

#include "kernel/netlink.h"
#include "lib/addr.h"

struct probe {
	struct ip_addr addr;
	bool answered;
};

/*
 * Asks for all of them on the device, a bridge for example, at once, and waits for the answers;
 * where one is missing for `timeout_ms`. What cannot be asked counts as answered.
 */
int probe_all(struct netlink *nl, uint32_t ifindex, struct probe *items, size_t len,
	      unsigned timeout_ms, struct err *e) MUST_CHECK;

/* The device that packets to the address leave through. -ENETUNREACH and the like: none. */
int probe_route(struct netlink *nl, const struct ip_addr *addr, uint32_t *ret_ifindex,
		struct err *e) MUST_CHECK;

#endif
