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

#include "kernel/nft.h"

#define RULESET_IFNAME_SIZE  16
#define RULESET_DEVICE_GROUP 0x666c /* "fl" */

extern const struct nft_set ruleset_masq4;
extern const struct nft_set ruleset_masq6;
extern const struct nft_chain ruleset_guard_chain;
extern const struct nft_chain ruleset_postrouting_chain;

/* How many rules each chain has: one that has another number was meddled with. */
#define RULESET_GUARD_RULES       5
#define RULESET_POSTROUTING_RULES 2
#define RULESET_MASQUERADE_RULES  3 /* and one for each exception */

extern const struct nft_set ruleset_ports;
extern const struct nft_set ruleset_macs;

/*
 * The chain of these exceptions: its name, by which elements refer to it, is made of what it says.
 * So it is right for ever, and stays when the last element is gone.
 */
void ruleset_masquerade_name(const struct ip_net *except, size_t len,
			     char ret[static NFT_NAME_SIZE]);
struct nft_chain ruleset_masquerade_chain(const char *name);

/* Add the tables with everything static; what is there already stays or is replaced by its like. */
void ruleset_add_masquerade(struct sequence *s, const struct ip_net *except, size_t len);
void ruleset_add_guard(struct sequence *s);

#endif
