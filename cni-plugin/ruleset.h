/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The static part of our nftables tables: what nft(8) would show as
 *
 *   table inet flannel-cni {
 *     map masq4 { type ipv4_addr : verdict }        container address : where its exceptions are
 *     map masq6 { type ipv6_addr : verdict }
 *     chain postrouting {
 *       type nat hook postrouting priority srcnat
 *       ip saddr vmap @masq4
 *       ip6 saddr vmap @masq6
 *     }
 *     chain masq-<hash> {                           one for each list of exceptions that is in use
 *       ip daddr 10.5.17.0/24 return
 *       ip daddr 224.0.0.0/4 return
 *       masquerade
 *     }
 *   }
 *   the same table, with the first published port:
 *     map published4 { type inet_proto . inet_service : ipv4_addr . inet_service }
 *     map published-at4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }
 *     set returning4 { type ifname . ifname . ipv4_addr }
 *     (the three again for IPv6, and below the rules with them)
 *     chain publish-in {                            publish-out, for what the host sends, is the same
 *       type nat hook prerouting priority dstnat
 *       dnat ip to ip daddr . meta l4proto . th dport map @published-at4
 *       fib daddr type local dnat ip to meta l4proto . th dport map @published4
 *     }
 *     chain publish-return {                        what has to come back through the host
 *       type nat hook postrouting priority srcnat - 1
 *       ct status dnat iifname . oifname . ip daddr @returning4 masquerade
 *     }
 *     chain publish-guard {                         127.0.0.1 is published too, but only to the host
 *       type filter hook prerouting priority raw
 *       iifname != "lo" ip daddr 127.0.0.0/8 drop
 *     }
 *   table bridge flannel-cni {
 *     set ports { type ifname }                     whose source MAC is fixed
 *     set macs { type ifname . ether_addr }         to this
 *     chain prerouting {
 *       type filter hook prerouting priority -300
 *       iifname @ports iifname . ether saddr != @macs drop
 *       iifgroup 26220 icmpv6 type { nd-router-advert, nd-redirect } drop
 *       iifgroup 26220 udp sport { 67, 547 } drop
 *     }
 *   }
 *
 * (Where two values are in braces, there are two rules.) None of it ever changes: containers are
 * elements of the sets, and the host's ends of their links are in a device group of our own, so
 * that the rules which are for all of them need no elements at all.
 */
#ifndef CNI_PLUGIN_RULESET_H
#define CNI_PLUGIN_RULESET_H

#include "kernel/marks.h"
#include "kernel/nft.h"

#define RULESET_IFNAME_SIZE  16
#define RULESET_DEVICE_GROUP MARK_CONTAINER_GROUP
#define RULESET_EXCEPT_MAX   96 /* networks and addresses of one attachment */
#define RULESET_MULTICAST    2  /* exceptions that every list ends with */

extern const struct nft_table ruleset_inet;
extern const struct nft_table ruleset_bridge;
extern const struct nft_set ruleset_masq4;
extern const struct nft_set ruleset_masq6;
extern const struct nft_set ruleset_ports;
extern const struct nft_set ruleset_macs;
extern const struct nft_set ruleset_published[2];    /* of IPv4, IPv6 */
extern const struct nft_set ruleset_published_at[2]; /* on one address of the host */
extern const struct nft_set ruleset_returning[2];
/* The table that a set is in. */
const struct nft_table *ruleset_table(const struct nft_set *set);

/*
 * The chain of these exceptions: its name, by which elements refer to it, is made of what it says.
 * So it is right for ever, and stays when the last element is gone.
 */
void ruleset_masquerade_name(const struct ip_net *except, size_t len,
			     char ret[static NFT_NAME_SIZE]);

/* The static part of one of our tables. Points into itself: not to be moved. */
struct ruleset {
	struct nft_ruleset nft;
	struct nft_set sets[6];
	struct nft_chain chains[4];
	char chain_name[NFT_NAME_SIZE];
	struct nft_rule rules[RULESET_EXCEPT_MAX + RULESET_MULTICAST + 3];
};
/* len: at most RULESET_EXCEPT_MAX. */
void ruleset_masquerade(const struct ip_net *except, size_t len, struct ruleset *ret);
void ruleset_guard(struct ruleset *ret);
void ruleset_publish(struct ruleset *ret);

#endif
