/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For whose sake the fast path is off: rules and policies of others that a packet would meet on the ordinary
 * way, and not on this one. Who is to judge packets is not asked what he would say; that he is there is
 * enough. Translation is looked at closer, since service addresses are common and their packets are known by
 * the connections that the kernel tracks: rules that leave packets from container to container alone, for
 * certain, are none.
 */
#ifndef FASTPATH_OBSTACLES_H
#define FASTPATH_OBSTACLES_H

#include <net/if.h>

#include "kernel/nft.h"

#define FAST_WHY_TEXT 256

struct fast_scope {
	struct ip_net network[2]; /* IPv4, IPv6; unset where there is none */
	struct ip_net own[2];
};

/* Each writes a sentence, "" if nobody is in the way; what cannot be read is. */

/* Chains of nf_tables; nl: of NETLINK_NETFILTER. Blocks for dumps of tables, chains and rules. */
void fast_obstacle_chains(struct netlink *nl, const struct fast_scope *scope,
			  char ret[static FAST_WHY_TEXT]);
/* Tables of iptables and ebtables in their old form, which the kernel tells nobody about. */
void fast_obstacle_legacy(const struct fast_scope *scope, char ret[static FAST_WHY_TEXT]);
/* Policies of IPsec; nl: of NETLINK_XFRM, NULL: the kernel has none. */
void fast_obstacle_policies(struct netlink *nl, char ret[static FAST_WHY_TEXT]);

/* Whether a change of nf_tables may concern them. */
bool fast_obstacle_may_be(const struct nft_change *change);

#endif
