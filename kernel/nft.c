/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#define COMMENT_TYPE 0 /* of an element's user data, as libnftnl numbers it */

static struct nlmsghdr *put_header(struct nlmsghdr *hdr, uint16_t type, uint16_t flags,
				   uint8_t family, uint16_t resource)
{
	struct nfgenmsg *m;

	mnl_nlmsg_put_header(hdr);
	hdr->nlmsg_type = type;
	hdr->nlmsg_flags = NLM_F_REQUEST | flags;
	m = mnl_nlmsg_put_extra_header(hdr, sizeof(*m));
	m->nfgen_family = family;
	m->version = NFNETLINK_V0;
	m->res_id = htons(resource);
	return hdr;
}

static struct nlmsghdr *put_request(struct nlmsghdr *hdr, uint16_t type, uint16_t flags,
				    uint8_t family)
{
	return put_header(hdr, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, family, 0);
}

static void put_be32(struct nlmsghdr *hdr, uint16_t type, uint32_t value)
{
	mnl_attr_put_u32(hdr, type, htonl(value));
}

/* Values are wrapped: the kernel takes bytes or a verdict at the same place. */
static void put_value(struct nlmsghdr *hdr, uint16_t type, const void *value, size_t size)
{
	struct nlattr *nest = mnl_attr_nest_start(hdr, type);

	mnl_attr_put(hdr, NFTA_DATA_VALUE, size, value);
	mnl_attr_nest_end(hdr, nest);
}

static void put_verdict(struct nlmsghdr *hdr, uint16_t type, int32_t code, const char *chain)
{
	struct nlattr *data = mnl_attr_nest_start(hdr, type);
	struct nlattr *verdict = mnl_attr_nest_start(hdr, NFTA_DATA_VERDICT);

	put_be32(hdr, NFTA_VERDICT_CODE, (uint32_t)code);
	if (chain)
		mnl_attr_put_strz(hdr, NFTA_VERDICT_CHAIN, chain);
	mnl_attr_nest_end(hdr, verdict);
	mnl_attr_nest_end(hdr, data);
}

void nft_begin(struct sequence *s)
{
	put_header(sequence_reserve(s), NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	sequence_commit(s, "nftables");
}

void nft_end(struct sequence *s)
{
	put_header(sequence_reserve(s), NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	sequence_commit_marker(s);
}

void nft_add_table(struct sequence *s, uint8_t family, const char *table)
{
	struct nlmsghdr *hdr =
		put_request(sequence_reserve(s), NFT_MSG_NEWTABLE, NLM_F_CREATE, family);

	mnl_attr_put_strz(hdr, NFTA_TABLE_NAME, table);
	sequence_commit(s, "nftables table %s", table);
}

void nft_add_chain(struct sequence *s, const struct nft_chain *c)
{
	struct nlmsghdr *hdr =
		put_request(sequence_reserve(s), NFT_MSG_NEWCHAIN, NLM_F_CREATE, c->family);

	mnl_attr_put_strz(hdr, NFTA_CHAIN_TABLE, c->table);
	mnl_attr_put_strz(hdr, NFTA_CHAIN_NAME, c->name);
	if (c->type) {
		struct nlattr *hook = mnl_attr_nest_start(hdr, NFTA_CHAIN_HOOK);

		put_be32(hdr, NFTA_HOOK_HOOKNUM, c->hook);
		put_be32(hdr, NFTA_HOOK_PRIORITY, (uint32_t)c->priority);
		mnl_attr_nest_end(hdr, hook);
		put_be32(hdr, NFTA_CHAIN_POLICY, NF_ACCEPT);
		mnl_attr_put_strz(hdr, NFTA_CHAIN_TYPE, c->type);
	}
	sequence_commit(s, "nftables chain %s", c->name);
}

void nft_flush_chain(struct sequence *s, const struct nft_chain *c)
{
	struct nlmsghdr *hdr = put_request(sequence_reserve(s), NFT_MSG_DELRULE, 0, c->family);

	mnl_attr_put_strz(hdr, NFTA_RULE_TABLE, c->table);
	mnl_attr_put_strz(hdr, NFTA_RULE_CHAIN, c->name);
	sequence_commit(s, "flush nftables chain %s", c->name);
}

void nft_add_set(struct sequence *s, const struct nft_set *set)
{
	/* Type (key byte order), size, value (host's). */
	static const uint8_t host_order[] = { 0, 4, 1, 0, 0, 0 };
	struct nlmsghdr *hdr =
		put_request(sequence_reserve(s), NFT_MSG_NEWSET, NLM_F_CREATE, set->family);

	mnl_attr_put_strz(hdr, NFTA_SET_TABLE, set->table);
	mnl_attr_put_strz(hdr, NFTA_SET_NAME, set->name);
	put_be32(hdr, NFTA_SET_ID, 1);
	put_be32(hdr, NFTA_SET_FLAGS, set->verdicts ? NFT_SET_MAP : 0);
	put_be32(hdr, NFTA_SET_KEY_TYPE, set->key_type);
	put_be32(hdr, NFTA_SET_KEY_LEN, set->key_size);
	if (set->verdicts)
		put_be32(hdr, NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT);
	/* For nft(8) to show it right; the kernel only keeps it. */
	if (set->key_type == NFT_KEY_IFNAME)
		mnl_attr_put(hdr, NFTA_SET_USERDATA, sizeof(host_order), host_order);
	sequence_commit(s, "nftables set %s", set->name);
}

static struct nlmsghdr *put_element(struct nlmsghdr *hdr, uint16_t type, uint16_t flags,
				    const struct nft_set *set, const void *key,
				    const struct nft_element *el)
{
	struct nlattr *list;
	struct nlattr *item;

	put_request(hdr, type, flags, set->family);
	mnl_attr_put_strz(hdr, NFTA_SET_ELEM_LIST_TABLE, set->table);
	mnl_attr_put_strz(hdr, NFTA_SET_ELEM_LIST_SET, set->name);
	list = mnl_attr_nest_start(hdr, NFTA_SET_ELEM_LIST_ELEMENTS);
	item = mnl_attr_nest_start(hdr, NFTA_LIST_ELEM);
	put_value(hdr, NFTA_SET_ELEM_KEY, key, set->key_size);
	if (el && set->verdicts)
		put_verdict(hdr, NFTA_SET_ELEM_DATA, NFT_GOTO, el->chain);
	if (el && el->comment[0]) {
		uint8_t data[2 + NFT_COMMENT_SIZE] = { COMMENT_TYPE };
		size_t size = strlen(el->comment) + 1;

		data[1] = (uint8_t)size;
		memcpy(data + 2, el->comment, size);
		mnl_attr_put(hdr, NFTA_SET_ELEM_USERDATA, size + 2, data);
	}
	mnl_attr_nest_end(hdr, item);
	mnl_attr_nest_end(hdr, list);
	return hdr;
}

void nft_add_element(struct sequence *s, const struct nft_set *set, const struct nft_element *el)
{
	put_element(sequence_reserve(s), NFT_MSG_NEWSETELEM, NLM_F_CREATE | NLM_F_EXCL, set,
		    el->key, el);
	sequence_commit(s, "add to nftables set %s", set->name);
}

void nft_delete_element(struct sequence *s, const struct nft_set *set, const struct nft_element *el)
{
	put_element(sequence_reserve(s), NFT_MSG_DELSETELEM, 0, set, el->key, NULL);
	sequence_commit(s, "delete from nftables set %s", set->name);
}

void nft_rule_begin(struct nft_rule *r, struct sequence *s, const struct nft_chain *c)
{
	r->sequence = s;
	r->hdr = put_request(sequence_reserve(s), NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND,
			     c->family);
	mnl_attr_put_strz(r->hdr, NFTA_RULE_TABLE, c->table);
	mnl_attr_put_strz(r->hdr, NFTA_RULE_CHAIN, c->name);
	r->expressions = mnl_attr_nest_start(r->hdr, NFTA_RULE_EXPRESSIONS);
}

void nft_rule_end(struct nft_rule *r)
{
	mnl_attr_nest_end(r->hdr, r->expressions);
	sequence_commit(r->sequence, "nftables rule");
}

struct expression {
	struct nlattr *item;
	struct nlattr *data;
};

static struct expression expression_begin(struct nft_rule *r, const char *name)
{
	struct expression x;

	x.item = mnl_attr_nest_start(r->hdr, NFTA_LIST_ELEM);
	mnl_attr_put_strz(r->hdr, NFTA_EXPR_NAME, name);
	x.data = mnl_attr_nest_start(r->hdr, NFTA_EXPR_DATA);
	return x;
}

static void expression_end(struct nft_rule *r, struct expression x)
{
	mnl_attr_nest_end(r->hdr, x.data);
	mnl_attr_nest_end(r->hdr, x.item);
}

void nft_load_meta(struct nft_rule *r, uint32_t key, uint32_t reg)
{
	struct expression x = expression_begin(r, "meta");

	put_be32(r->hdr, NFTA_META_KEY, key);
	put_be32(r->hdr, NFTA_META_DREG, reg);
	expression_end(r, x);
}

void nft_load_payload(struct nft_rule *r, uint32_t base, uint32_t offset, uint32_t size,
		      uint32_t reg)
{
	struct expression x = expression_begin(r, "payload");

	put_be32(r->hdr, NFTA_PAYLOAD_DREG, reg);
	put_be32(r->hdr, NFTA_PAYLOAD_BASE, base);
	put_be32(r->hdr, NFTA_PAYLOAD_OFFSET, offset);
	put_be32(r->hdr, NFTA_PAYLOAD_LEN, size);
	expression_end(r, x);
}

void nft_mask(struct nft_rule *r, uint32_t reg, const void *mask, uint32_t size)
{
	static const uint8_t zero[NFT_KEY_SIZE];
	struct expression x = expression_begin(r, "bitwise");

	put_be32(r->hdr, NFTA_BITWISE_SREG, reg);
	put_be32(r->hdr, NFTA_BITWISE_DREG, reg);
	put_be32(r->hdr, NFTA_BITWISE_LEN, size);
	put_value(r->hdr, NFTA_BITWISE_MASK, mask, size);
	put_value(r->hdr, NFTA_BITWISE_XOR, zero, size);
	expression_end(r, x);
}

void nft_match(struct nft_rule *r, uint32_t reg, const void *value, uint32_t size)
{
	struct expression x = expression_begin(r, "cmp");

	put_be32(r->hdr, NFTA_CMP_SREG, reg);
	put_be32(r->hdr, NFTA_CMP_OP, NFT_CMP_EQ);
	put_value(r->hdr, NFTA_CMP_DATA, value, size);
	expression_end(r, x);
}

void nft_lookup(struct nft_rule *r, const struct nft_set *set, uint32_t reg, bool inverted)
{
	struct expression x = expression_begin(r, "lookup");

	mnl_attr_put_strz(r->hdr, NFTA_LOOKUP_SET, set->name);
	put_be32(r->hdr, NFTA_LOOKUP_SREG, reg);
	if (inverted)
		put_be32(r->hdr, NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
	expression_end(r, x);
}

void nft_lookup_verdict(struct nft_rule *r, const struct nft_set *set, uint32_t reg)
{
	struct expression x = expression_begin(r, "lookup");

	mnl_attr_put_strz(r->hdr, NFTA_LOOKUP_SET, set->name);
	put_be32(r->hdr, NFTA_LOOKUP_SREG, reg);
	put_be32(r->hdr, NFTA_LOOKUP_DREG, NFT_REG_VERDICT);
	expression_end(r, x);
}

void nft_verdict(struct nft_rule *r, int32_t verdict)
{
	struct expression x = expression_begin(r, "immediate");

	put_be32(r->hdr, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	put_verdict(r->hdr, NFTA_IMMEDIATE_DATA, verdict, NULL);
	expression_end(r, x);
}

void nft_masquerade(struct nft_rule *r)
{
	expression_end(r, expression_begin(r, "masq"));
}

struct listing {
	const struct nft_set *set;
	void (*visit)(void *arg, const struct nft_element *el);
	void *arg;
	bool found;
};

/* A bounded copy of a text that need not be terminated. */
static void copy_text(char *buf, size_t size, const void *text, size_t text_size)
{
	snprintf(buf, size, "%.*s", (int)text_size, (const char *)text);
}

static void read_comment(const struct nlattr *attr, struct nft_element *el)
{
	const uint8_t *data = mnl_attr_get_payload(attr);
	size_t left = mnl_attr_get_payload_len(attr);

	/* Type, size, value; one behind the other. */
	while (left >= 2 && (size_t)data[1] + 2 <= left) {
		if (data[0] == COMMENT_TYPE)
			copy_text(el->comment, sizeof(el->comment), data + 2, data[1]);
		left -= (size_t)data[1] + 2;
		data += (size_t)data[1] + 2;
	}
}

static const struct nlattr *find_nested(const struct nlattr *nest, uint16_t type)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested (attr, nest) {
		if (mnl_attr_get_type(attr) == type)
			return attr;
	}
	return NULL;
}

static void read_chain(const struct nlattr *data, struct nft_element *el)
{
	const struct nlattr *verdict = find_nested(data, NFTA_DATA_VERDICT);
	const struct nlattr *chain = verdict ? find_nested(verdict, NFTA_VERDICT_CHAIN) : NULL;

	if (chain)
		copy_text(el->chain, sizeof(el->chain), mnl_attr_get_payload(chain),
			  mnl_attr_get_payload_len(chain));
}

static void read_element(const struct nlattr *item, struct listing *l)
{
	struct nft_element el = { 0 };
	const struct nlattr *value = NULL;
	const struct nlattr *attr;

	mnl_attr_for_each_nested (attr, item) {
		switch (mnl_attr_get_type(attr)) {
		case NFTA_SET_ELEM_KEY:
			value = find_nested(attr, NFTA_DATA_VALUE);
			break;
		case NFTA_SET_ELEM_DATA:
			read_chain(attr, &el);
			break;
		case NFTA_SET_ELEM_USERDATA:
			read_comment(attr, &el);
			break;
		}
	}
	if (!value || mnl_attr_get_payload_len(value) != l->set->key_size)
		return;
	memcpy(el.key, mnl_attr_get_payload(value), l->set->key_size);
	l->found = true;
	l->visit(l->arg, &el);
}

static void on_elements(void *arg, const struct nlmsghdr *hdr)
{
	struct listing *l = arg;
	const struct nlattr *attr;
	const struct nlattr *item;

	if (hdr->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWSETELEM))
		return;
	mnl_attr_for_each (attr, hdr, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(attr) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		mnl_attr_for_each_nested (item, attr)
			read_element(item, l);
	}
}

static void copy_element(void *arg, const struct nft_element *el)
{
	*(struct nft_element *)arg = *el;
}

int nft_get_element(struct netlink *nl, const struct nft_set *set, const void *key,
		    struct nft_element *ret, struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;
	struct listing l = { .set = set, .visit = copy_element, .arg = ret };

	put_element(hdr, NFT_MSG_GETSETELEM, 0, set, key, NULL);
	if (netlink_call(nl, hdr, on_elements, &l, e) < 0)
		return err_wrap(e, "nftables set %s", set->name);
	return l.found ? 0 : err_set(e, -ENOENT, "nftables set %s: no such element", set->name);
}

static void on_rule(void *arg, const struct nlmsghdr *hdr)
{
	if (hdr->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE))
		(*(size_t *)arg)++;
}

static void forget_rules(void *arg)
{
	*(size_t *)arg = 0;
}

int nft_count_rules(struct netlink *nl, const struct nft_chain *c, size_t *ret, struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;
	size_t len = 0;
	int rc;

	put_request(hdr, NFT_MSG_GETRULE, 0, c->family);
	mnl_attr_put_strz(hdr, NFTA_RULE_TABLE, c->table);
	mnl_attr_put_strz(hdr, NFTA_RULE_CHAIN, c->name);
	rc = netlink_dump(nl, hdr, on_rule, forget_rules, &len, e);
	if (rc < 0 && rc != -ENOENT)
		return err_wrap(e, "nftables chain %s", c->name);
	*ret = len;
	return 0;
}

int nft_list_elements(struct netlink *nl, const struct nft_set *set,
		      void (*visit)(void *arg, const struct nft_element *el), void *arg,
		      struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;
	struct listing l = { .set = set, .visit = visit, .arg = arg };

	put_request(hdr, NFT_MSG_GETSETELEM, 0, set->family);
	mnl_attr_put_strz(hdr, NFTA_SET_ELEM_LIST_TABLE, set->table);
	mnl_attr_put_strz(hdr, NFTA_SET_ELEM_LIST_SET, set->name);
	if (netlink_dump(nl, hdr, on_elements, NULL, &l, e) < 0)
		return err_wrap(e, "nftables set %s", set->name);
	return 0;
}
