/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chains of this host that packets enter, of nf_tables and of iptables-legacy: read once, and
 * walked for one packet after the other (kernel/filter.h). Nothing is changed.
 */
#ifndef TRAFFIC_CHAINS_H
#define TRAFFIC_CHAINS_H

#include "kernel/filter.h"
#include "kernel/nft.h"

#define CHAINS_TEXT 192

struct chains;

enum chains_verdict {
	CHAINS_PASS,
	CHAINS_UNKNOWN, /* it depends on what is not known of the packet, or cannot be read */
	CHAINS_STOP,
};

/*
 * Reads which chains there are; of nf_tables over `nl`, NULL: the kernel has none. What cannot be read
 * makes every walk's verdict CHAINS_UNKNOWN. Blocks for some system calls. Caller frees.
 */
struct chains *chains_new(struct netlink *nl);
void chains_free(struct chains *c);

/*
 * What becomes of the packet at the hook (NF_INET_). ret_why says where, unless it passes:
 * "chain input of table inet mine, rule 4 (handle 7),". Blocks for a dump of each chain that the packet
 * may come to.
 */
enum chains_verdict chains_walk(struct chains *c, const struct filter_packet *packet, uint32_t hook,
				char ret_why[static CHAINS_TEXT]);

/* ---- words, and what they rest on ---- */

/* Whether packets of this family enter the chain at the hook. */
bool chains_enters(const struct nft_chain_info *c, int family, uint32_t hook);
/* Whether it is iptables' chain of this name in its table filter, on nf_tables. */
bool chains_is_iptables(const struct nft_chain_info *c, const char *chain);
/* "inet", "ip", "ip6" */
const char *chains_family_name(const struct nft_chain_info *c);
/* Where a walk was stopped. c NULL: in iptables-legacy. */
void chains_describe_stop(const struct nft_chain_info *c, const struct filter_outcome *o, char *ret,
			  size_t size);

#endif
