/* SPDX-License-Identifier: Apache-2.0 */
/* Walks of kernel/filter.h through chains of nf_tables. */
#ifndef KERNEL_FILTER_NFT_H
#define KERNEL_FILTER_NFT_H

#include "kernel/filter.h"
#include "kernel/nft.h"

/* Reads each chain once, when a walk first comes to it: short-lived. */
struct filter_nft;
struct filter_nft *filter_nft_new(struct netlink *nl);
void filter_nft_free(struct filter_nft *f);

/* Blocks for a dump of each chain that the packet may come to. What cannot be read has no rules. */
void filter_nft_walk(struct filter_nft *f, const struct nft_chain_info *chain,
		     const struct filter_packet *packet, const char *const *without,
		     struct filter_outcome *ret);

/* One rule, as the kernel shows it. */
void filter_nft_judge(const struct nlmsghdr *hdr, const struct filter_packet *packet,
		      struct filter_rule *ret);

#endif
