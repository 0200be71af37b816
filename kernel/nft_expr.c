/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rule as nf_tables expressions. Each condition loads something into register 1 and compares it
 * there; what becomes of the packet stands at the end. `nft --debug=netlink add rule ...` prints
 * the same list.
 */
#include "kernel/nft_internal.h"

#include <linux/if_packet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>

/* Offsets in headers. */
#define ETHER_SOURCE     6
#define IPV4_SOURCE      12
#define IPV4_DESTINATION 16
#define IPV6_SOURCE      8
#define IPV6_DESTINATION 24
#define UDP_SOURCE       0
#define UDP_DESTINATION  2
#define PORT_DESTINATION 2 /* of every protocol that has ports */
#define ICMPV6_TYPE      0

/* An expression is a list element of name and data. */
struct expr {
	struct nlattr *item;
	struct nlattr *data;
};

static struct expr expr_start(struct nlmsghdr *hdr, const char *name)
{
	struct expr x;

	x.item = nlattr_nest_begin(hdr, NFTA_LIST_ELEM);
	nlattr_put_text(hdr, NFTA_EXPR_NAME, name);
	x.data = nlattr_nest_begin(hdr, NFTA_EXPR_DATA);
	return x;
}

static void expr_end(struct nlmsghdr *hdr, struct expr x)
{
	nlattr_nest_end(hdr, x.data);
	nlattr_nest_end(hdr, x.item);
}

static void put_meta_at(struct nlmsghdr *hdr, uint32_t key, uint32_t reg)
{
	struct expr x = expr_start(hdr, "meta");

	nft_put_be32(hdr, NFTA_META_KEY, key);
	nft_put_be32(hdr, NFTA_META_DREG, reg);
	expr_end(hdr, x);
}

static void put_meta(struct nlmsghdr *hdr, uint32_t key)
{
	put_meta_at(hdr, key, NFT_REG_1);
}

static void put_payload(struct nlmsghdr *hdr, uint32_t base, uint32_t offset, uint32_t size,
			uint32_t reg)
{
	struct expr x = expr_start(hdr, "payload");

	nft_put_be32(hdr, NFTA_PAYLOAD_DREG, reg);
	nft_put_be32(hdr, NFTA_PAYLOAD_BASE, base);
	nft_put_be32(hdr, NFTA_PAYLOAD_OFFSET, offset);
	nft_put_be32(hdr, NFTA_PAYLOAD_LEN, size);
	expr_end(hdr, x);
}

static void put_cmp(struct nlmsghdr *hdr, bool inverted, const void *value, size_t size)
{
	struct expr x = expr_start(hdr, "cmp");

	nft_put_be32(hdr, NFTA_CMP_SREG, NFT_REG_1);
	nft_put_be32(hdr, NFTA_CMP_OP, inverted ? NFT_CMP_NEQ : NFT_CMP_EQ);
	nft_put_value(hdr, NFTA_CMP_DATA, value, size);
	expr_end(hdr, x);
}

/* register 1 &= mask */
static void put_mask(struct nlmsghdr *hdr, const void *mask, size_t size)
{
	static const uint8_t zero[16];
	struct expr x = expr_start(hdr, "bitwise");

	nft_put_be32(hdr, NFTA_BITWISE_SREG, NFT_REG_1);
	nft_put_be32(hdr, NFTA_BITWISE_DREG, NFT_REG_1);
	nft_put_be32(hdr, NFTA_BITWISE_LEN, (uint32_t)size);
	nft_put_value(hdr, NFTA_BITWISE_MASK, mask, size);
	nft_put_value(hdr, NFTA_BITWISE_XOR, zero, size);
	expr_end(hdr, x);
}

static void put_lookup(struct nlmsghdr *hdr, const char *set, bool inverted)
{
	struct expr x = expr_start(hdr, "lookup");

	nlattr_put_text(hdr, NFTA_LOOKUP_SET, set);
	nft_put_be32(hdr, NFTA_LOOKUP_SREG, NFT_REG_1);
	nft_put_be32(hdr, NFTA_LOOKUP_FLAGS, inverted ? NFT_LOOKUP_F_INV : 0);
	expr_end(hdr, x);
}

static void put_lookup_map(struct nlmsghdr *hdr, const char *map, uint32_t reg)
{
	struct expr x = expr_start(hdr, "lookup");

	nlattr_put_text(hdr, NFTA_LOOKUP_SET, map);
	nft_put_be32(hdr, NFTA_LOOKUP_SREG, NFT_REG_1);
	nft_put_be32(hdr, NFTA_LOOKUP_DREG, reg);
	expr_end(hdr, x);
}

static void put_immediate(struct nlmsghdr *hdr, int32_t code, const char *chain)
{
	struct expr x = expr_start(hdr, "immediate");

	nft_put_be32(hdr, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	nft_put_verdict(hdr, NFTA_IMMEDIATE_DATA, code, chain);
	expr_end(hdr, x);
}

static void put_masquerade(struct nlmsghdr *hdr, uint32_t flags)
{
	struct expr x = expr_start(hdr, "masq");

	nft_put_be32(hdr, NFTA_MASQ_FLAGS, flags);
	expr_end(hdr, x);
}

/* Registers of 4 bytes have numbers of their own; each fourth begins one of 16 and is called like it. */
static uint32_t register_at(uint32_t word)
{
	return word % 4 ? NFT_REG32_00 + word : NFT_REG_1 + word / 4;
}

/* To the address in the first register and the port behind it. */
static void put_redirect(struct nlmsghdr *hdr, int family)
{
	uint32_t port = register_at(family == AF_INET ? 1 : 4);
	struct expr x = expr_start(hdr, "nat");

	nft_put_be32(hdr, NFTA_NAT_TYPE, NFT_NAT_DNAT);
	nft_put_be32(hdr, NFTA_NAT_FAMILY, family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6);
	nft_put_be32(hdr, NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
	nft_put_be32(hdr, NFTA_NAT_REG_ADDR_MAX, NFT_REG_1);
	nft_put_be32(hdr, NFTA_NAT_REG_PROTO_MIN, port);
	nft_put_be32(hdr, NFTA_NAT_REG_PROTO_MAX, port);
	nft_put_be32(hdr, NFTA_NAT_FLAGS, NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED);
	expr_end(hdr, x);
}

static void put_counter(struct nlmsghdr *hdr, const char *counter)
{
	struct expr x = expr_start(hdr, "objref");

	nft_put_be32(hdr, NFTA_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
	nlattr_put_text(hdr, NFTA_OBJREF_IMM_NAME, counter);
	expr_end(hdr, x);
}

/* A set that is full takes nobody else, and the rule ends there. */
static void put_remember(struct nlmsghdr *hdr, const char *set)
{
	struct expr x = expr_start(hdr, "dynset");
	struct nlattr *counter;
	struct nlattr *data;

	nlattr_put_text(hdr, NFTA_DYNSET_SET_NAME, set);
	nft_put_be32(hdr, NFTA_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
	nft_put_be32(hdr, NFTA_DYNSET_SREG_KEY, NFT_REG_1);
	counter = nlattr_nest_begin(hdr, NFTA_DYNSET_EXPR);
	nlattr_put_text(hdr, NFTA_EXPR_NAME, "counter");
	data = nlattr_nest_begin(hdr, NFTA_EXPR_DATA);
	nlattr_nest_end(hdr, data);
	nlattr_nest_end(hdr, counter);
	expr_end(hdr, x);
}

/* ---- conditions ---- */

static void put_address_at(struct nlmsghdr *hdr, int family, bool source, uint32_t reg)
{
	if (family == AF_INET)
		put_payload(hdr, NFT_PAYLOAD_NETWORK_HEADER,
			    source ? IPV4_SOURCE : IPV4_DESTINATION, 4, reg);
	else
		put_payload(hdr, NFT_PAYLOAD_NETWORK_HEADER,
			    source ? IPV6_SOURCE : IPV6_DESTINATION, 16, reg);
}

static void put_address(struct nlmsghdr *hdr, int family, bool source)
{
	put_address_at(hdr, family, source, NFT_REG_1);
}

static void put_net(struct nlmsghdr *hdr, const struct ip_net *net, bool source, bool inverted)
{
	struct ip_net masked = ip_net_masked(net);
	unsigned bits = ip_family_bits(net->addr.family);
	size_t size = bits / 8;

	put_address(hdr, net->addr.family, source);
	if (net->len < bits) {
		uint8_t mask[16] = { 0 };

		for (unsigned i = 0; i < net->len; i++)
			mask[i / 8] |= (uint8_t)(0x80 >> i % 8);
		put_mask(hdr, mask, size);
	}
	put_cmp(hdr, inverted, masked.addr.b, size);
}

/* In a header of this protocol, that many bytes at that place. */
static void put_transport(struct nlmsghdr *hdr, uint8_t protocol, uint32_t offset,
			  const void *value, uint32_t size)
{
	put_meta(hdr, NFT_META_L4PROTO);
	put_cmp(hdr, false, &protocol, sizeof(protocol));
	put_payload(hdr, NFT_PAYLOAD_TRANSPORT_HEADER, offset, size, NFT_REG_1);
	put_cmp(hdr, false, value, size);
}

static void put_device_conditions(struct nlmsghdr *hdr, const struct nft_rule *r)
{
	if (r->in_device[0]) {
		char name[IFNAMSIZ] = { 0 };

		snprintf(name, sizeof(name), "%s", r->in_device);
		put_meta(hdr, NFT_META_IIFNAME);
		put_cmp(hdr, r->in_device_not, name, sizeof(name));
	}
	if (r->in_device_group) {
		put_meta(hdr, NFT_META_IIFGROUP);
		put_cmp(hdr, false, &r->in_device_group, sizeof(r->in_device_group));
	}
	if (r->in_device_set) {
		put_meta(hdr, NFT_META_IIFNAME);
		put_lookup(hdr, r->in_device_set, false);
	}
	if (r->in_foreign_mac) {
		/* The concatenation: the name fills register 1, the MAC begins register 2. */
		put_meta(hdr, NFT_META_IIFNAME);
		put_payload(hdr, NFT_PAYLOAD_LL_HEADER, ETHER_SOURCE, ETH_ALEN, NFT_REG_2);
		put_lookup(hdr, r->in_foreign_mac, true);
	}
}

static void put_packet_type(struct nlmsghdr *hdr, bool inverted)
{
	uint8_t type = PACKET_HOST;

	put_meta(hdr, NFT_META_PKTTYPE);
	put_cmp(hdr, inverted, &type, sizeof(type));
}

static void put_packet_conditions(struct nlmsghdr *hdr, const struct nft_rule *r)
{
	if (r->not_to_this_mac)
		put_packet_type(hdr, true);
	if (r->mark_mask) {
		put_meta(hdr, NFT_META_MARK);
		put_mask(hdr, &r->mark_mask, sizeof(r->mark_mask));
		put_cmp(hdr, false, &r->mark, sizeof(r->mark));
	}
	if (r->family) {
		uint8_t family = r->family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6;

		put_meta(hdr, NFT_META_NFPROTO);
		put_cmp(hdr, false, &family, sizeof(family));
	}
	if (r->protocol) {
		put_meta(hdr, NFT_META_L4PROTO);
		put_cmp(hdr, r->protocol_not, &r->protocol, sizeof(r->protocol));
	}
	if (r->port) {
		uint16_t port = htons(r->port);

		put_payload(hdr, NFT_PAYLOAD_TRANSPORT_HEADER, PORT_DESTINATION, sizeof(port),
			    NFT_REG_1);
		put_cmp(hdr, false, &port, sizeof(port));
	}
	if (r->udp_port) {
		uint16_t port = htons(r->udp_port);

		put_transport(hdr, IPPROTO_UDP, UDP_DESTINATION, &port, sizeof(port));
	}
	if (r->udp_source_port) {
		uint16_t port = htons(r->udp_source_port);

		put_transport(hdr, IPPROTO_UDP, UDP_SOURCE, &port, sizeof(port));
	}
	if (r->icmpv6_type)
		put_transport(hdr, IPPROTO_ICMPV6, ICMPV6_TYPE, &r->icmpv6_type, 1);
}

static void put_address_conditions(struct nlmsghdr *hdr, const struct nft_rule *r)
{
	if (ip_net_is_set(&r->source_outside))
		put_net(hdr, &r->source_outside, true, true);
	if (ip_net_is_set(&r->source))
		put_net(hdr, &r->source, true, r->source_not);
	if (ip_net_is_set(&r->destination))
		put_net(hdr, &r->destination, false, r->destination_not);
	if (r->source_set) {
		put_address(hdr, r->family, true);
		put_lookup(hdr, r->source_set, r->source_set_not);
	}
	if (r->to_this_host) {
		uint32_t type = RTN_LOCAL;
		struct expr x = expr_start(hdr, "fib");

		nft_put_be32(hdr, NFTA_FIB_DREG, NFT_REG_1);
		nft_put_be32(hdr, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
		nft_put_be32(hdr, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
		expr_end(hdr, x);
		put_cmp(hdr, false, &type, sizeof(type));
	}
	if (r->to_this_mac)
		put_packet_type(hdr, false);
	if (r->redirected) {
		static const uint32_t zero;
		uint32_t bit = IPS_DST_NAT;
		struct expr x = expr_start(hdr, "ct");

		nft_put_be32(hdr, NFTA_CT_KEY, NFT_CT_STATUS);
		nft_put_be32(hdr, NFTA_CT_DREG, NFT_REG_1);
		expr_end(hdr, x);
		put_mask(hdr, &bit, sizeof(bit));
		put_cmp(hdr, true, &zero, sizeof(zero));
	}
	if (r->path_set) {
		put_meta(hdr, NFT_META_IIFNAME);
		put_meta_at(hdr, NFT_META_OIFNAME, NFT_REG_2);
		put_address_at(hdr, r->family, false, NFT_REG_3);
		put_lookup(hdr, r->path_set, false);
	}
}

/* The key of the map that `target_map` names, from the first register on. */
static void put_target_key(struct nlmsghdr *hdr, const struct nft_rule *r)
{
	uint32_t word = 0;

	if (r->target_by_address) {
		put_address(hdr, r->family, false);
		word = r->family == AF_INET ? 1 : 4;
	}
	put_meta_at(hdr, NFT_META_L4PROTO, register_at(word));
	put_payload(hdr, NFT_PAYLOAD_TRANSPORT_HEADER, PORT_DESTINATION, 2, register_at(word + 1));
}

static void put_action(struct nlmsghdr *hdr, const struct nft_rule *r)
{
	switch (r->action) {
	case NFT_ACTION_CONTINUE:
		break;
	case NFT_ACTION_RETURN:
		put_immediate(hdr, NFT_RETURN, NULL);
		break;
	case NFT_ACTION_ACCEPT:
		put_immediate(hdr, NF_ACCEPT, NULL);
		break;
	case NFT_ACTION_DROP:
		put_immediate(hdr, NF_DROP, NULL);
		break;
	case NFT_ACTION_JUMP:
		put_immediate(hdr, NFT_JUMP, r->jump);
		break;
	case NFT_ACTION_MASQUERADE:
		put_masquerade(hdr, 0);
		break;
	case NFT_ACTION_MASQUERADE_RANDOM:
		put_masquerade(hdr, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
		break;
	case NFT_ACTION_MAP:
		put_address(hdr, r->family, true);
		put_lookup_map(hdr, r->source_map, NFT_REG_VERDICT);
		break;
	case NFT_ACTION_REDIRECT:
		put_target_key(hdr, r);
		put_lookup_map(hdr, r->target_map, NFT_REG_1);
		put_redirect(hdr, r->family);
		break;
	case NFT_ACTION_REMEMBER:
	case NFT_ACTION_REMEMBER_TARGET:
		put_address(hdr, r->family, r->action == NFT_ACTION_REMEMBER);
		put_remember(hdr, r->remember);
		break;
	}
}

void nft_put_expressions(struct nlmsghdr *hdr, const struct nft_rule *r)
{
	struct nlattr *list = nlattr_nest_begin(hdr, NFTA_RULE_EXPRESSIONS);

	put_device_conditions(hdr, r);
	put_packet_conditions(hdr, r);
	put_address_conditions(hdr, r);
	if (r->counter)
		put_counter(hdr, r->counter);
	if (r->notrack)
		expr_end(hdr, expr_start(hdr, "notrack"));
	put_action(hdr, r);
	nlattr_nest_end(hdr, list);
}
