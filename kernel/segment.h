/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is on a bridge and its ports: who is where, and what looks at their packets beside the packet filter.
 * Reading only. Source: linux/neighbour.h, linux/if_bridge.h, linux/pkt_sched.h, linux/xfrm.h.
 */
#ifndef KERNEL_SEGMENT_H
#define KERNEL_SEGMENT_H

#include "kernel/netlink.h"
#include "lib/addr.h"

/* A neighbour, of the address family's or of a bridge's port. */
struct segment_neighbour {
	struct ip_addr addr; /* unset: a bridge's */
	struct mac_addr mac; /* zero: not known */
	uint32_t ifindex;    /* the device, or the port */
	uint32_t bridge;
	bool usable; /* there, and packets are sent to it */
};
/* A notification, or an entry of a dump. False if it is none, or of no use to anybody. */
bool segment_neighbour_decode(const struct nlmsghdr *hdr, struct segment_neighbour *ret);

/* Shows for each address that a neighbour has on the device the MAC address; only of those that packets
 * are sent to. */
int segment_neighbours_visit(struct netlink *nl, uint32_t ifindex,
			     void (*visit)(void *arg, const struct ip_addr *addr,
					   const struct mac_addr *mac),
			     void *arg, struct err *e) MUST_CHECK;

/* Shows behind which port of the bridge it sends frames for which MAC address; not its own. */
int segment_ports_visit(struct netlink *nl, uint32_t ifindex,
			void (*visit)(void *arg, const struct mac_addr *mac, uint32_t port_ifindex),
			void *arg, struct err *e) MUST_CHECK;

/* Has a neighbour asked whether it is still there, as if a packet had been sent to it. */
int segment_confirm(struct netlink *nl, uint32_t ifindex, const struct ip_addr *addr,
		    struct err *e) MUST_CHECK;

/* Shows what queues or filters packets at a device, but for what every device has: "htb", "clsact". */
int segment_queues_visit(struct netlink *nl,
			 void (*visit)(void *arg, uint32_t ifindex, const char *kind), void *arg,
			 struct err *e) MUST_CHECK;

/* How many policies of IPsec there are that packets of others are subject to. nl: of NETLINK_XFRM. */
int segment_xfrm_policies(struct netlink *nl, unsigned *ret, struct err *e) MUST_CHECK;

#endif
