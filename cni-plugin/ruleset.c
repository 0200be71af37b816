/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/ruleset.h"

#include <linux/netfilter.h>
#include <linux/netfilter_bridge.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/icmp6.h>

#include "lib/hash.h"

#define PRIORITY_GUARD -300 /* before everything else that looks at bridged packets */
#define LOCALHOST      0x7f
#define DHCP_SERVER    67
#define DHCPV6_SERVER  547

const struct nft_table ruleset_inet = { .family = NFPROTO_INET, .name = MARK_CNI_TABLE };
const struct nft_table ruleset_bridge = { .family = NFPROTO_BRIDGE, .name = MARK_CNI_TABLE };

const struct nft_set ruleset_masq4 = { "masq4", NFT_KEY_IPV4, .verdicts = true };
const struct nft_set ruleset_masq6 = { "masq6", NFT_KEY_IPV6, .verdicts = true };
const struct nft_set ruleset_ports = { "ports", NFT_KEY_IFNAME, .verdicts = false };
const struct nft_set ruleset_macs = { "macs", NFT_KEY_IFNAME_ETHER, .verdicts = false };

const struct nft_set ruleset_published[2] = {
	{ "published4", NFT_KEY_PROTO_PORT, .target = NFT_KEY_IPV4_PORT },
	{ "published6", NFT_KEY_PROTO_PORT, .target = NFT_KEY_IPV6_PORT },
};
const struct nft_set ruleset_published_at[2] = {
	{ "published-at4", NFT_KEY_IPV4_PROTO_PORT, .target = NFT_KEY_IPV4_PORT },
	{ "published-at6", NFT_KEY_IPV6_PROTO_PORT, .target = NFT_KEY_IPV6_PORT },
};
const struct nft_set ruleset_returning[2] = {
	{ "returning4", NFT_KEY_IFNAMES_IPV4, .verdicts = false },
	{ "returning6", NFT_KEY_IFNAMES_IPV6, .verdicts = false },
};

const struct nft_table *ruleset_table(const struct nft_set *set)
{
	return set == &ruleset_ports || set == &ruleset_macs ? &ruleset_bridge : &ruleset_inet;
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

static void init(struct ruleset *r, const struct nft_table *table,
		 const struct nft_set *const *sets, size_t sets_len)
{
	memset(r, 0, sizeof(*r));
	for (size_t i = 0; i < sets_len; i++)
		r->sets[i] = *sets[i];
	r->nft = (struct nft_ruleset){ .table = *table,
				       .shared = true,
				       .sets = r->sets,
				       .sets_len = sets_len,
				       .chains = r->chains,
				       .rules = r->rules };
}

static struct nft_rule *add(struct ruleset *r, uint8_t chain, uint8_t family,
			    enum nft_action action)
{
	struct nft_rule *rule = &r->rules[r->nft.rules_len++];

	*rule = (struct nft_rule){ .chain = chain, .family = family, .action = action };
	return rule;
}

void ruleset_masquerade(const struct ip_net *except, size_t len, struct ruleset *ret)
{
	static const struct ip_net multicast[RULESET_MULTICAST] = {
		{ .addr = { .family = AF_INET, .b = { 224 } }, .len = 4 },
		{ .addr = { .family = AF_INET6, .b = { 0xff } }, .len = 8 },
	};

	static const struct nft_set *const sets[] = { &ruleset_masq4, &ruleset_masq6 };

	init(ret, &ruleset_inet, sets, ARRAY_LEN(sets));
	ruleset_masquerade_name(except, len, ret->chain_name);
	ret->chains[0] =
		(struct nft_chain){ "postrouting", "nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC };
	ret->chains[1] = (struct nft_chain){ .name = ret->chain_name };
	ret->nft.chains_len = 2;
	add(ret, 0, AF_INET, NFT_ACTION_MAP)->source_map = ruleset_masq4.name;
	add(ret, 0, AF_INET6, NFT_ACTION_MAP)->source_map = ruleset_masq6.name;
	for (size_t i = 0; i < len + ARRAY_LEN(multicast); i++) {
		const struct ip_net *net = i < len ? &except[i] : &multicast[i - len];

		add(ret, 1, net->addr.family, NFT_ACTION_RETURN)->destination = *net;
	}
	add(ret, 1, 0, NFT_ACTION_MASQUERADE);
}

/* What a container sends and only a router or a server may. */
static struct nft_rule *refuse(struct ruleset *r)
{
	struct nft_rule *rule = add(r, 0, 0, NFT_ACTION_DROP);

	rule->in_device_group = RULESET_DEVICE_GROUP;
	return rule;
}

void ruleset_guard(struct ruleset *ret)
{
	static const struct nft_set *const sets[] = { &ruleset_ports, &ruleset_macs };
	struct nft_rule *rule;

	init(ret, &ruleset_bridge, sets, ARRAY_LEN(sets));
	ret->chains[0] =
		(struct nft_chain){ "prerouting", "filter", NF_BR_PRE_ROUTING, PRIORITY_GUARD };
	ret->nft.chains_len = 1;
	rule = add(ret, 0, 0, NFT_ACTION_DROP);
	rule->in_device_set = ruleset_ports.name;
	rule->in_foreign_mac = ruleset_macs.name;
	refuse(ret)->icmpv6_type = ND_ROUTER_ADVERT;
	refuse(ret)->icmpv6_type = ND_REDIRECT;
	refuse(ret)->udp_source_port = DHCP_SERVER;
	refuse(ret)->udp_source_port = DHCPV6_SERVER;
}

enum { PUBLISH_IN, PUBLISH_OUT, PUBLISH_RETURN, PUBLISH_GUARD, PUBLISH_LEN };

void ruleset_publish(struct ruleset *ret)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	static const struct nft_chain chains[PUBLISH_LEN] = {
		[PUBLISH_IN] = { "publish-in", "nat", NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST },
		[PUBLISH_OUT] = { "publish-out", "nat", NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST },
		/* Before what is for all that containers send. */
		[PUBLISH_RETURN] = { "publish-return", "nat", NF_INET_POST_ROUTING,
				     NF_IP_PRI_NAT_SRC - 1 },
		[PUBLISH_GUARD] = { "publish-guard", "filter", NF_INET_PRE_ROUTING, NF_IP_PRI_RAW },
	};
	const struct nft_set *sets[] = { &ruleset_published[0],    &ruleset_published[1],
					 &ruleset_published_at[0], &ruleset_published_at[1],
					 &ruleset_returning[0],    &ruleset_returning[1] };
	struct nft_rule *rule;

	init(ret, &ruleset_inet, sets, ARRAY_LEN(sets));
	memcpy(ret->chains, chains, sizeof(chains));
	ret->nft.chains_len = PUBLISH_LEN;
	for (uint8_t chain = PUBLISH_IN; chain <= PUBLISH_OUT; chain++) {
		for (unsigned i = 0; i < ARRAY_LEN(families); i++) {
			rule = add(ret, chain, families[i], NFT_ACTION_REDIRECT);
			rule->target_map = ruleset_published_at[i].name;
			rule->target_by_address = true;
			rule = add(ret, chain, families[i], NFT_ACTION_REDIRECT);
			rule->target_map = ruleset_published[i].name;
			rule->to_this_host = true;
		}
	}
	for (unsigned i = 0; i < ARRAY_LEN(families); i++) {
		rule = add(ret, PUBLISH_RETURN, families[i], NFT_ACTION_MASQUERADE);
		rule->redirected = true;
		rule->path_set = ruleset_returning[i].name;
	}
	rule = add(ret, PUBLISH_GUARD, AF_INET, NFT_ACTION_DROP);
	snprintf(rule->in_device, sizeof(rule->in_device), "lo");
	rule->in_device_not = true;
	rule->destination =
		(struct ip_net){ .addr = { .family = AF_INET, .b = { LOCALHOST } }, .len = 8 };
}
