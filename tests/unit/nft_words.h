/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words that nft does not read back as names of tables, chains, sets, maps or counters: every word of
 * its manual tried with 1.0.6, 1.1.3 and 1.1.7.
 */
#ifndef TESTS_UNIT_NFT_WORDS_H
#define TESTS_UNIT_NFT_WORDS_H

#include "tests/unit/test.h"

static const char nft_words[] =
	" accept add ah all and arp auto-merge bridge cgroup chain comment comp constant"
	" continue counter cpu create ct day dccp define delete describe destroy device"
	" devices dnat drop dst dup dynamic ecn element elements esp ether exists expires"
	" exthdr fib flags flow flowtable flush frag fwd gc-interval geneve get goto gre"
	" gretap handle hbh hook hour ibrname icmp icmpv6 igmp iif iifgroup iifname iiftype"
	" include index inet insert interval ip ip6 ipsec jhash jump limit list ll log lt map"
	" mark masquerade meta mh missing monitor netdev nftrace nh not notrack numgen obrname"
	" offload oif oifgroup oifname oiftype or osf pkttype policy position priority queue"
	" quota random redefine redirect reject rename replace reset return rt rtclassid rule"
	" ruleset sctp secmark set size skgid skuid snat socket srh symhash synproxy table tcp"
	" th time timeout tproxy tunnel type typeof udp udplite undefine update vlan vmap vni"
	" vxlan xt ";

/* Not a word now, and not to be one: nft's words have no digits, and few have a dash. */
static inline void assert_nft_name(const char *name)
{
	char padded[64];

	snprintf(padded, sizeof(padded), " %s ", name);
	if (strstr(nft_words, padded))
		fail_msg("%s is a word of nft's language", name);
}

#endif
