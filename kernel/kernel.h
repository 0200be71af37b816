/* SPDX-License-Identifier: Apache-2.0 */
/* A handle on the kernel: the sockets over which it is told and asked, and what in it is ours. */
#ifndef KERNEL_KERNEL_H
#define KERNEL_KERNEL_H

#include "kernel/marks.h"
#include "kernel/netlink.h"
#include "kernel/nft.h"

#define KERNEL_DEVICES 4

struct device_kind;

/* How to tell ours from others' objects, beside the protocol numbers of kernel/marks.h. */
struct kernel_marks {
	uint32_t ifindexes[KERNEL_DEVICES]; /* devices we made: everything persistent on them */
	size_t ifindexes_len;
	/* What each of them is: its kind and the kind's specification. Borrowed; NULL: not known. */
	struct kernel_device {
		const struct device_kind *kind;
		const void *spec;
	} devices[KERNEL_DEVICES];
	struct ip_net networks[4]; /* routes with our protocol into these, on whatever device */
	struct nft_table table;    /* everything in these sets of it */
	const struct nft_set *sets;
	size_t sets_len; /* 0: there is no such table */
};

struct kernel {
	struct netlink *route; /* NETLINK_ROUTE */
	struct netlink
		*netfilter; /* NETLINK_NETFILTER; NULL if the kernel has no nf_tables. Borrowed */
	struct netlink *generic; /* NETLINK_GENERIC; see kernel/wireguard.h. NULL: not needed yet */
	struct netlink *xfrm;    /* NETLINK_XFRM; NULL: not needed yet */
	uint16_t wireguard_type; /* of its messages there; 0: not asked yet */
	uint64_t process_writes; /* what wireguard-go was told, in place of the kernel */
	struct kernel_marks marks;
};

/* Whether the device is one of ours. */
bool kernel_marks_device(const struct kernel_marks *marks, uint32_t ifindex);

#endif
