/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look at the tables of iptables in its old form (ip_tables, "iptables-legacy"), which the kernel
 * notifies nobody about. Reading only: writing is iptables-restore's business. iptables on
 * nf_tables is seen through kernel/nft.h. Source: linux/netfilter_ipv4/ip_tables.h and its
 * IPv6 twin.
 */
#ifndef KERNEL_IPTABLES_H
#define KERNEL_IPTABLES_H

#include "lib/err.h"

struct iptables_table {
	bool present;       /* the table is in use in this namespace */
	bool has_rules;     /* more than empty chains */
	bool forward_drops; /* the policy of FORWARD is DROP; table filter */
	uint64_t digest;    /* of all rules but their counters: another one means a change */
};

/* family: AF_INET or AF_INET6; table: "filter", "nat". A table that nobody uses is not made to
 * exist by asking. Blocks for two system calls. Needs CAP_NET_RAW where a table is in use: -EPERM. */
int iptables_read(int family, const char *table, struct iptables_table *ret,
		  struct err *e) MUST_CHECK;

#endif
