/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look at the tables of iptables in its old form (ip_tables, "iptables-legacy"), which the kernel
 * notifies nobody about. Reading only: writing is iptables-restore's business. iptables on
 * nf_tables is seen through kernel/nft.h. Source: linux/netfilter_ipv4/ip_tables.h and its
 * IPv6 twin.
 */
#ifndef KERNEL_IPTABLES_H
#define KERNEL_IPTABLES_H

#include <net/if.h>
#include <netinet/in.h>

#include <linux/netfilter.h>

#include "kernel/filter.h"

struct iptables_table {
	bool present;    /* the table is in use in this namespace */
	bool has_rules;  /* more than empty chains */
	uint64_t digest; /* of all rules but their counters: another one means a change */
	/* for iptables_walk */
	int family;
	uint8_t *entries;
	uint32_t size;
	uint32_t valid_hooks;
	uint32_t entry[NF_INET_NUMHOOKS];  /* where the chains of the hooks begin */
	uint32_t policy[NF_INET_NUMHOOKS]; /* and end */
};

/* Frees what iptables_read filled in; may be zero. */
void iptables_table_fini(struct iptables_table *t);

/* Whether the chain of the hook (NF_INET_) has the policy DROP. */
bool iptables_policy_drops(const struct iptables_table *t, unsigned hook);
/* What becomes of packets at the hook. A table that is not in use lets all pass. Pure. */
void iptables_walk(const struct iptables_table *t, unsigned hook,
		   const struct filter_packet *packet, const char *const *without,
		   struct filter_outcome *ret);

/* family: AF_INET or AF_INET6; table: "filter", "nat". A table that nobody uses is not made to
 * exist by asking. Blocks for two system calls. Needs CAP_NET_RAW where a table is in use: -EPERM. */
int iptables_read(int family, const char *table, struct iptables_table *ret,
		  struct err *e) MUST_CHECK;

#endif
