/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel counts of every device anyway: packets, bytes, drops. Reading only.
 * Source: RTM_GETSTATS, linux/if_link.h (IFLA_STATS_LINK_64), since Linux 4.7.
 */
#ifndef KERNEL_COUNTERS_H
#define KERNEL_COUNTERS_H

#include "kernel/netlink.h"

/* Of a device: "rx" is what came in by it, of a veth on the host's side what its container sent. */
struct counters {
	uint32_t ifindex;
	uint64_t rx_packets;
	uint64_t rx_bytes;
	uint64_t rx_dropped;
	uint64_t tx_packets;
	uint64_t tx_bytes;
	uint64_t tx_dropped; /* and errors, in both */
};

typedef void counters_fn(void *arg, const struct counters *c);

/* Shows those of every device of the namespace. A device may be shown twice (netlink_dump). */
int counters_visit(struct netlink *nl, counters_fn *visit, void *arg, struct err *e) MUST_CHECK;
/* Of one device. -ENODEV. */
int counters_get(struct netlink *nl, uint32_t ifindex, struct counters *ret,
		 struct err *e) MUST_CHECK;

/* Reads one message of the answer; false if it is none. Pure. */
bool counters_decode(const struct nlmsghdr *hdr, struct counters *ret);

#endif
