/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/ruleset.h"

#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_bridge.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/icmp6.h>

#include "lib/hash.h"

#define TABLE           "flannel-cni"
#define PRIORITY_SRCNAT 100  /* NF_IP_PRI_NAT_SRC */
#define PRIORITY_GUARD  -300 /* before everything else that looks at bridged packets */

/* Offsets in the headers that rules look at. */
#define IPV4_SADDR   12
#define IPV4_DADDR   16
#define IPV6_SADDR   8
#define IPV6_DADDR   24
#define ETHER_SADDR  6
#define ICMPV6_TYPE  0
#define UDP_SPORT    0
#define ETHER_PADDED 8 /* parts of a concatenation fill whole words */

const struct nft_set ruleset_masq4 = { .family = NFPROTO_INET,
				       .table = TABLE,
				       .name = "masq4",
				       .key_type = NFT_KEY_IPV4,
				       .key_size = 4,
				       .verdicts = true };
const struct nft_set ruleset_masq6 = { .family = NFPROTO_INET,
				       .table = TABLE,
				       .name = "masq6",
				       .key_type = NFT_KEY_IPV6,
				       .key_size = 16,
				       .verdicts = true };
const struct nft_set ruleset_ports = { .family = NFPROTO_BRIDGE,
				       .table = TABLE,
				       .name = "ports",
				       .key_type = NFT_KEY_IFNAME,
				       .key_size = RULESET_IFNAME_SIZE };
const struct nft_set ruleset_macs = { .family = NFPROTO_BRIDGE,
				      .table = TABLE,
				      .name = "macs",
				      .key_type = NFT_KEY_IFNAME_ETHER,
				      .key_size = RULESET_IFNAME_SIZE + ETHER_PADDED };

const struct nft_chain ruleset_postrouting_chain = { .family = NFPROTO_INET,
						     .table = TABLE,
						     .name = "postrouting",
						     .type = "nat",
						     .hook = NF_INET_POST_ROUTING,
						     .priority = PRIORITY_SRCNAT };
const struct nft_chain ruleset_guard_chain = { .family = NFPROTO_BRIDGE,
					       .table = TABLE,
					       .name = "prerouting",
					       .type = "filter",
					       .hook = NF_BR_PRE_ROUTING,
					       .priority = PRIORITY_GUARD };

struct nft_chain ruleset_masquerade_chain(const char *name)
{
	return (struct nft_chain){ .family = NFPROTO_INET, .table = TABLE, .name = name };
}

void ruleset_masquerade_name(const struct ip_net *except, size_t len,
			     char ret[static NFT_NAME_SIZE])
{
	uint64_t hash = HASH_FNV_INIT;

	for (size_t i = 0; i < len; i++) {
		char text[IP_NET_TEXT];

		hash = hash_text(hash, ip_net_format(&except[i], text));
	}
	snprintf(ret, NFT_NAME_SIZE, "masq-%016llx", (unsigned long long)hash);
}

static void match_family(struct nft_rule *r, uint8_t nfproto)
{
	nft_load_meta(r, NFT_META_NFPROTO, NFT_REG_1);
	nft_match(r, NFT_REG_1, &nfproto, sizeof(nfproto));
}

static void add_source_rule(struct sequence *s, const struct nft_set *set, uint8_t nfproto,
			    uint32_t offset)
{
	struct nft_rule r;

	nft_rule_begin(&r, s, &ruleset_postrouting_chain);
	match_family(&r, nfproto);
	nft_load_payload(&r, NFT_PAYLOAD_NETWORK_HEADER, offset, set->key_size, NFT_REG_1);
	nft_lookup_verdict(&r, set, NFT_REG_1);
	nft_rule_end(&r);
}

static void add_exception(struct sequence *s, const struct nft_chain *chain,
			  const struct ip_net *net)
{
	bool v4 = net->addr.family == AF_INET;
	uint32_t size = ip_addr_size(&net->addr);
	struct ip_net masked = ip_net_masked(net);
	struct ip_net ones = { .len = net->len };
	struct nft_rule r;

	/* The mask is what is left of all ones. */
	memset(ones.addr.b, 0xff, size);
	ones.addr.family = net->addr.family;
	ones = ip_net_masked(&ones);
	nft_rule_begin(&r, s, chain);
	match_family(&r, v4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
	nft_load_payload(&r, NFT_PAYLOAD_NETWORK_HEADER, v4 ? IPV4_DADDR : IPV6_DADDR, size,
			 NFT_REG_1);
	nft_mask(&r, NFT_REG_1, ones.addr.b, size);
	nft_match(&r, NFT_REG_1, masked.addr.b, size);
	nft_verdict(&r, NFT_RETURN);
	nft_rule_end(&r);
}

void ruleset_add_masquerade(struct sequence *s, const struct ip_net *except, size_t len)
{
	const struct ip_net multicast[] = {
		{ .addr = { .family = AF_INET, .b = { 224 } }, .len = 4 },
		{ .addr = { .family = AF_INET6, .b = { 0xff } }, .len = 8 },
	};
	char name[NFT_NAME_SIZE];
	const struct nft_chain chain = ruleset_masquerade_chain(name);
	struct nft_rule r;

	_Static_assert(ARRAY_LEN(multicast) + 1 == RULESET_MASQUERADE_RULES, "rules of a chain");
	ruleset_masquerade_name(except, len, name);
	nft_add_table(s, NFPROTO_INET, TABLE);
	nft_add_set(s, &ruleset_masq4);
	nft_add_set(s, &ruleset_masq6);
	nft_add_chain(s, &ruleset_postrouting_chain);
	nft_flush_chain(s, &ruleset_postrouting_chain);
	add_source_rule(s, &ruleset_masq4, NFPROTO_IPV4, IPV4_SADDR);
	add_source_rule(s, &ruleset_masq6, NFPROTO_IPV6, IPV6_SADDR);
	nft_add_chain(s, &chain);
	nft_flush_chain(s, &chain);
	for (size_t i = 0; i < len; i++)
		add_exception(s, &chain, &except[i]);
	for (unsigned i = 0; i < ARRAY_LEN(multicast); i++)
		add_exception(s, &chain, &multicast[i]);
	nft_rule_begin(&r, s, &chain);
	nft_masquerade(&r);
	nft_rule_end(&r);
}

static void add_mac_rule(struct sequence *s)
{
	struct nft_rule r;

	nft_rule_begin(&r, s, &ruleset_guard_chain);
	nft_load_meta(&r, NFT_META_IIFNAME, NFT_REG_1);
	nft_lookup(&r, &ruleset_ports, NFT_REG_1, false);
	/* The concatenation: the name in the first four words, the MAC in the next two. */
	nft_load_meta(&r, NFT_META_IIFNAME, NFT_REG32_00);
	nft_load_payload(&r, NFT_PAYLOAD_LL_HEADER, ETHER_SADDR, ETH_ALEN, NFT_REG32_04);
	nft_lookup(&r, &ruleset_macs, NFT_REG32_00, true);
	nft_verdict(&r, NF_DROP);
	nft_rule_end(&r);
}

/*
 * Drops what a container sends in a protocol with a value of this size at this place of its header.
 */
static void add_port_rule(struct sequence *s, uint8_t protocol, uint32_t offset, const void *value,
			  uint32_t size)
{
	uint32_t group = RULESET_DEVICE_GROUP;
	struct nft_rule r;

	nft_rule_begin(&r, s, &ruleset_guard_chain);
	nft_load_meta(&r, NFT_META_IIFGROUP, NFT_REG_1);
	nft_match(&r, NFT_REG_1, &group, sizeof(group));
	nft_load_meta(&r, NFT_META_L4PROTO, NFT_REG_1);
	nft_match(&r, NFT_REG_1, &protocol, sizeof(protocol));
	nft_load_payload(&r, NFT_PAYLOAD_TRANSPORT_HEADER, offset, size, NFT_REG_1);
	nft_match(&r, NFT_REG_1, value, size);
	nft_verdict(&r, NF_DROP);
	nft_rule_end(&r);
}

void ruleset_add_guard(struct sequence *s)
{
	const struct {
		uint8_t protocol;
		uint32_t offset;
		uint32_t size;
		uint8_t value[2];
	} refused[] = {
		{ IPPROTO_ICMPV6, ICMPV6_TYPE, 1, { ND_ROUTER_ADVERT } },
		{ IPPROTO_ICMPV6, ICMPV6_TYPE, 1, { ND_REDIRECT } },
		{ IPPROTO_UDP, UDP_SPORT, 2, { 0, 67 } },        /* DHCP server */
		{ IPPROTO_UDP, UDP_SPORT, 2, { 547 >> 8, 35 } }, /* DHCPv6 server */
	};

	_Static_assert(ARRAY_LEN(refused) + 1 == RULESET_GUARD_RULES, "rules of the guard");
	nft_add_table(s, NFPROTO_BRIDGE, TABLE);
	nft_add_set(s, &ruleset_ports);
	nft_add_set(s, &ruleset_macs);
	nft_add_chain(s, &ruleset_guard_chain);
	nft_flush_chain(s, &ruleset_guard_chain);
	add_mac_rule(s);
	for (unsigned i = 0; i < ARRAY_LEN(refused); i++)
		add_port_rule(s, refused[i].protocol, refused[i].offset, refused[i].value,
			      refused[i].size);
}
