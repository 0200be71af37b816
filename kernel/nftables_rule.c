/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rule as nf_tables expressions. Each condition loads something into register 1 and compares it
 * there; the statement stands at the end. `nft --debug=netlink add rule ...` prints the same list.
 */
#include "kernel/nftables.h"

#include <libmnl/libmnl.h>
#include <linux/if_packet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>

#define UDATA_RULE_COMMENT 0 /* libnftnl/udata.h, NFTNL_UDATA_RULE_COMMENT */
#define UDP_DESTINATION    2 /* offset in the header */
#define IPV4_SOURCE        12
#define IPV4_DESTINATION   16
#define IPV6_SOURCE        8
#define IPV6_DESTINATION   24

static void put_be32(struct nlmsghdr *hdr, uint16_t type, uint32_t value)
{
	mnl_attr_put_u32(hdr, type, htonl(value));
}

static void put_data(struct nlmsghdr *hdr, uint16_t type, const void *value, size_t size)
{
	struct nlattr *nest = mnl_attr_nest_start(hdr, type);

	mnl_attr_put(hdr, NFTA_DATA_VALUE, size, value);
	mnl_attr_nest_end(hdr, nest);
}

/* An expression is a list element of name and data. */
struct expr {
	struct nlattr *elem;
	struct nlattr *data;
};

static struct expr expr_start(struct nlmsghdr *hdr, const char *name)
{
	struct expr x;

	x.elem = mnl_attr_nest_start(hdr, NFTA_LIST_ELEM);
	mnl_attr_put_strz(hdr, NFTA_EXPR_NAME, name);
	x.data = mnl_attr_nest_start(hdr, NFTA_EXPR_DATA);
	return x;
}

static void expr_end(struct nlmsghdr *hdr, struct expr x)
{
	mnl_attr_nest_end(hdr, x.data);
	mnl_attr_nest_end(hdr, x.elem);
}

static void put_meta(struct nlmsghdr *hdr, uint32_t key)
{
	struct expr x = expr_start(hdr, "meta");

	put_be32(hdr, NFTA_META_KEY, key);
	put_be32(hdr, NFTA_META_DREG, NFT_REG_1);
	expr_end(hdr, x);
}

static void put_payload(struct nlmsghdr *hdr, uint32_t base, uint32_t offset, uint32_t size)
{
	struct expr x = expr_start(hdr, "payload");

	put_be32(hdr, NFTA_PAYLOAD_DREG, NFT_REG_1);
	put_be32(hdr, NFTA_PAYLOAD_BASE, base);
	put_be32(hdr, NFTA_PAYLOAD_OFFSET, offset);
	put_be32(hdr, NFTA_PAYLOAD_LEN, size);
	expr_end(hdr, x);
}

static void put_cmp(struct nlmsghdr *hdr, bool not, const void *value, size_t size)
{
	struct expr x = expr_start(hdr, "cmp");

	put_be32(hdr, NFTA_CMP_SREG, NFT_REG_1);
	put_be32(hdr, NFTA_CMP_OP, not ? NFT_CMP_NEQ : NFT_CMP_EQ);
	put_data(hdr, NFTA_CMP_DATA, value, size);
	expr_end(hdr, x);
}

/* register 1 &= mask */
static void put_mask(struct nlmsghdr *hdr, const void *mask, size_t size)
{
	static const uint8_t zero[16];
	struct expr x = expr_start(hdr, "bitwise");

	put_be32(hdr, NFTA_BITWISE_SREG, NFT_REG_1);
	put_be32(hdr, NFTA_BITWISE_DREG, NFT_REG_1);
	put_be32(hdr, NFTA_BITWISE_LEN, (uint32_t)size);
	put_data(hdr, NFTA_BITWISE_MASK, mask, size);
	put_data(hdr, NFTA_BITWISE_XOR, zero, size);
	expr_end(hdr, x);
}

static void put_lookup(struct nlmsghdr *hdr, const char *set, bool not )
{
	struct expr x = expr_start(hdr, "lookup");

	mnl_attr_put_strz(hdr, NFTA_LOOKUP_SET, set);
	put_be32(hdr, NFTA_LOOKUP_SREG, NFT_REG_1);
	put_be32(hdr, NFTA_LOOKUP_FLAGS, not ? NFT_LOOKUP_F_INV : 0);
	expr_end(hdr, x);
}

static void put_address(struct nlmsghdr *hdr, int family, bool source)
{
	if (family == AF_INET)
		put_payload(hdr, NFT_PAYLOAD_NETWORK_HEADER,
			    source ? IPV4_SOURCE : IPV4_DESTINATION, 4);
	else
		put_payload(hdr, NFT_PAYLOAD_NETWORK_HEADER,
			    source ? IPV6_SOURCE : IPV6_DESTINATION, 16);
}

static void put_net(struct nlmsghdr *hdr, const struct ip_net *net, bool source, bool not )
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
	put_cmp(hdr, not, masked.addr.b, size);
}

static void put_verdict(struct nlmsghdr *hdr, int32_t code, const char *chain)
{
	struct expr x = expr_start(hdr, "immediate");
	struct nlattr *data;
	struct nlattr *verdict;

	put_be32(hdr, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	data = mnl_attr_nest_start(hdr, NFTA_IMMEDIATE_DATA);
	verdict = mnl_attr_nest_start(hdr, NFTA_DATA_VERDICT);
	put_be32(hdr, NFTA_VERDICT_CODE, (uint32_t)code);
	if (chain)
		mnl_attr_put_strz(hdr, NFTA_VERDICT_CHAIN, chain);
	mnl_attr_nest_end(hdr, verdict);
	mnl_attr_nest_end(hdr, data);
	expr_end(hdr, x);
}

static void put_statement(struct nlmsghdr *hdr, const struct nftables_rule *r)
{
	struct expr x;

	switch (r->verdict) {
	case NFTABLES_RETURN:
		put_verdict(hdr, NFT_RETURN, NULL);
		break;
	case NFTABLES_ACCEPT:
		put_verdict(hdr, NF_ACCEPT, NULL);
		break;
	case NFTABLES_DROP:
		put_verdict(hdr, NF_DROP, NULL);
		break;
	case NFTABLES_JUMP:
		put_verdict(hdr, NFT_JUMP, r->jump);
		break;
	case NFTABLES_MASQUERADE:
	case NFTABLES_MASQUERADE_RANDOM:
		x = expr_start(hdr, "masq");
		put_be32(hdr, NFTA_MASQ_FLAGS,
			 r->verdict == NFTABLES_MASQUERADE_RANDOM ? NF_NAT_RANGE_PROTO_RANDOM_FULLY
								  : 0);
		expr_end(hdr, x);
		break;
	}
}

static void put_link_conditions(struct nlmsghdr *hdr, const struct nftables_rule *r)
{
	if (r->in_device[0]) {
		char name[IFNAMSIZ] = { 0 };

		snprintf(name, sizeof(name), "%s", r->in_device);
		put_meta(hdr, NFT_META_IIFNAME);
		put_cmp(hdr, false, name, sizeof(name));
	}
	if (r->in_device_set) {
		put_meta(hdr, NFT_META_IIF);
		put_lookup(hdr, r->in_device_set, false);
	}
	if (r->not_to_this_mac) {
		uint8_t type = PACKET_HOST;

		put_meta(hdr, NFT_META_PKTTYPE);
		put_cmp(hdr, true, &type, sizeof(type));
	}
	if (r->mark_mask) {
		put_meta(hdr, NFT_META_MARK);
		put_mask(hdr, &r->mark_mask, sizeof(r->mark_mask));
		put_cmp(hdr, false, &r->mark, sizeof(r->mark));
	}
}

static void put_network_conditions(struct nlmsghdr *hdr, const struct nftables_rule *r)
{
	if (r->family) {
		uint8_t family = r->family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6;

		put_meta(hdr, NFT_META_NFPROTO);
		put_cmp(hdr, false, &family, sizeof(family));
	}
	if (r->udp_port) {
		uint8_t protocol = IPPROTO_UDP;
		uint16_t port = htons(r->udp_port);

		put_meta(hdr, NFT_META_L4PROTO);
		put_cmp(hdr, false, &protocol, sizeof(protocol));
		put_payload(hdr, NFT_PAYLOAD_TRANSPORT_HEADER, UDP_DESTINATION, sizeof(port));
		put_cmp(hdr, false, &port, sizeof(port));
	}
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

		put_be32(hdr, NFTA_FIB_DREG, NFT_REG_1);
		put_be32(hdr, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
		put_be32(hdr, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
		expr_end(hdr, x);
		put_cmp(hdr, false, &type, sizeof(type));
	}
}

void nftables_rule_encode(const struct nftables_rule *r, struct nlmsghdr *hdr)
{
	struct nlattr *list = mnl_attr_nest_start(hdr, NFTA_RULE_EXPRESSIONS);

	put_link_conditions(hdr, r);
	put_network_conditions(hdr, r);
	if (r->counter) {
		struct expr x = expr_start(hdr, "objref");

		put_be32(hdr, NFTA_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
		mnl_attr_put_strz(hdr, NFTA_OBJREF_IMM_NAME, r->counter);
		expr_end(hdr, x);
	}
	put_statement(hdr, r);
	mnl_attr_nest_end(hdr, list);
	if (r->comment) {
		uint8_t data[2 + NFTABLES_COMMENT_SIZE] = { UDATA_RULE_COMMENT };
		int len = snprintf((char *)data + 2, NFTABLES_COMMENT_SIZE, "%s", r->comment);

		data[1] = (uint8_t)(MIN(len, NFTABLES_COMMENT_SIZE - 1) + 1);
		mnl_attr_put(hdr, NFTA_RULE_USERDATA, 2u + data[1], data);
	}
}

/* ---- comparison ---- */

/* The `index`th attribute of this type inside `nest`, from 0; NULL if there are fewer. */
static const struct nlattr *nth(const struct nlattr *nest, uint16_t type, unsigned index)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested (a, nest) {
		if (mnl_attr_get_type(a) == type && index-- == 0)
			return a;
	}
	return NULL;
}

static bool children_match(const struct nlattr *want, const struct nlattr *have)
{
	const struct nlattr *w;

	mnl_attr_for_each_nested (w, want) {
		uint16_t type = mnl_attr_get_type(w);
		unsigned index = 0;

		for (const struct nlattr *before = mnl_attr_get_payload(want); before != w;
		     before = mnl_attr_next(before))
			index += mnl_attr_get_type(before) == type;
		if (!nftables_attrs_match(w, nth(have, type, index)))
			return false;
		/* One more in the kernel than we want is a difference too. */
		if (!nth(want, type, index + 1) && nth(have, type, index + 1))
			return false;
	}
	return true;
}

/* The kernel does not show flags of which none is set. */
static bool is_zero(const struct nlattr *attr)
{
	const uint8_t *bytes = mnl_attr_get_payload(attr);

	for (size_t i = 0; i < mnl_attr_get_payload_len(attr); i++) {
		if (bytes[i])
			return false;
	}
	return !(attr->nla_type & NLA_F_NESTED);
}

bool nftables_attrs_match(const struct nlattr *want, const struct nlattr *have)
{
	if (want && !have)
		return is_zero(want);
	if (!want || !have || mnl_attr_get_type(want) != mnl_attr_get_type(have))
		return want == have;
	if (want->nla_type & NLA_F_NESTED)
		return children_match(want, have);
	return mnl_attr_get_payload_len(want) == mnl_attr_get_payload_len(have) &&
	       memcmp(mnl_attr_get_payload(want), mnl_attr_get_payload(have),
		      mnl_attr_get_payload_len(want)) == 0;
}
