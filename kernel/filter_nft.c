/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of nf_tables judged for packets: expressions are run on registers of which some bits are
 * known. What a rule needs sets, limits or other state for holds perhaps.
 */
#include "kernel/filter_nft.h"

#include <endian.h>
#include <netinet/in.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <stddef.h>
#include <string.h>

#include "kernel/nft_internal.h"

#define REGISTERS_SIZE 64
#define QUESTIONS_MAX  256 /* to sets; then what is in one is not known */
#define WORD_SIZE      4   /* of a register: what is shorter is filled up with zeros */

struct chain {
	uint8_t family;
	char table[FILTER_NAME_SIZE];
	char name[FILTER_NAME_SIZE];
	struct nlmsghdr **rules;
	size_t len;
	size_t cap;
};

struct filter_nft {
	struct netlink *nl;
	struct chain **chains;
	size_t len;
	size_t cap;
	struct err error;
	/* of the walk under way */
	uint8_t family;
	const char *table;
	const struct filter_packet *packet;
	unsigned questions; /* that were asked about sets */
};

struct machine {
	const struct filter_packet *packet;
	struct filter_header network;
	struct filter_header transport;
	uint8_t value[REGISTERS_SIZE];
	uint8_t known[REGISTERS_SIZE];
	struct filter_rule *rule;
	struct filter_nft *filter; /* to ask what is in a set; NULL: it is not known */
};

static const struct nlattr *value_of(const struct nlattr *data)
{
	return nft_find_in(data, NFTA_DATA_VALUE);
}

/* Where a register begins: four of 16 bytes, or sixteen of 4. False: it is the verdict's. */
static bool find_register(const struct nlattr *attr, size_t *ret)
{
	uint32_t reg = nft_be32(attr);

	if (reg >= NFT_REG_1 && reg <= NFT_REG_4)
		*ret = (reg - NFT_REG_1) * 16;
	else if (reg >= NFT_REG32_00 && reg <= NFT_REG32_15)
		*ret = (reg - NFT_REG32_00) * 4;
	else
		return false;
	return true;
}

/* As the kernel does with the rest of the last word. */
static void fill_up(struct machine *m, size_t at, size_t size)
{
	for (size_t i = at + size; i < REGISTERS_SIZE && i % WORD_SIZE; i++) {
		m->value[i] = 0;
		m->known[i] = 0xff;
	}
}

/* value NULL: nothing is known. */
static void load(struct machine *m, const struct nlattr *reg, const void *value, size_t size)
{
	size_t at;

	if (!find_register(reg, &at))
		return;
	size = MIN(size, REGISTERS_SIZE - at);
	fill_up(m, at, size);
	memset(m->known + at, value ? 0xff : 0, size);
	if (value)
		memcpy(m->value + at, value, size);
}

/* What loads a value or does I do not know what: the register may have anything. */
static void load_unknown(struct machine *m, const struct nlattr *reg)
{
	load(m, reg, NULL, 16);
}

static void on_meta(struct machine *m, const struct nlattr *data)
{
	const struct nlattr *reg = nft_find_in(data, NFTA_META_DREG);
	const struct filter_packet *p = m->packet;
	uint8_t family = p->family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6;
	static const uint8_t zero[4];

	m->rule->acts |= !reg;
	load_unknown(m, reg);
	switch (nft_be32(nft_find_in(data, NFTA_META_KEY))) {
	case NFT_META_IIFNAME:
		if (p->in_device[0])
			load(m, reg, p->in_device, IFNAMSIZ);
		break;
	case NFT_META_OIFNAME:
		if (p->out_device[0])
			load(m, reg, p->out_device, IFNAMSIZ);
		break;
	case NFT_META_IIF:
		if (p->in_index)
			load(m, reg, &p->in_index, 4);
		break;
	case NFT_META_OIF:
		if (p->out_index)
			load(m, reg, &p->out_index, 4);
		break;
	case NFT_META_NFPROTO:
		load(m, reg, &family, 1);
		break;
	case NFT_META_L4PROTO:
		if (p->protocol)
			load(m, reg, &p->protocol, 1);
		break;
	case NFT_META_MARK:
		load(m, reg, zero, 4);
		break;
	case NFT_META_PKTTYPE:
		load(m, reg, zero, 1); /* to this host */
		break;
	}
}

static enum filter_match on_connection(struct machine *m, const struct nlattr *data)
{
	static const uint32_t states[] = {
		[FILTER_NEW] = NF_CT_STATE_BIT(IP_CT_NEW),
		[FILTER_ESTABLISHED] = NF_CT_STATE_BIT(IP_CT_ESTABLISHED),
		[FILTER_RELATED] = NF_CT_STATE_BIT(IP_CT_RELATED),
		[FILTER_INVALID] = NF_CT_STATE_INVALID_BIT,
		[FILTER_UNTRACKED] = NF_CT_STATE_UNTRACKED_BIT,
	};
	const struct nlattr *reg = nft_find_in(data, NFTA_CT_DREG);
	enum filter_connection connection = m->packet->connection;
	uint32_t key = nft_be32(nft_find_in(data, NFTA_CT_KEY));
	uint32_t zero = 0;

	m->rule->acts |= !reg;
	load_unknown(m, reg);
	if (reg && key == NFT_CT_STATE) {
		load(m, reg, &states[connection], sizeof(states[0]));
		return FILTER_ALWAYS;
	}
	/* Of one without a connection there is nothing to load, and the rule ends. */
	if (reg && connection >= FILTER_INVALID)
		return FILTER_NEVER;
	if (connection != FILTER_NEW)
		return FILTER_ALWAYS;
	switch (key) {
	case NFT_CT_STATUS:
	case NFT_CT_MARK:
		load(m, reg, &zero, sizeof(zero));
		break;
	case NFT_CT_DIRECTION:
		load(m, reg, &zero, 1);
		break;
	}
	return FILTER_ALWAYS;
}

static void on_payload(struct machine *m, const struct nlattr *data)
{
	uint32_t base = nft_be32(nft_find_in(data, NFTA_PAYLOAD_BASE));
	uint32_t offset = nft_be32(nft_find_in(data, NFTA_PAYLOAD_OFFSET));
	uint32_t size = nft_be32(nft_find_in(data, NFTA_PAYLOAD_LEN));
	const struct filter_header *h = base == NFT_PAYLOAD_NETWORK_HEADER     ? &m->network
					: base == NFT_PAYLOAD_TRANSPORT_HEADER ? &m->transport
									       : NULL;
	size_t at;

	load_unknown(m, nft_find_in(data, NFTA_PAYLOAD_DREG));
	if (!h || !find_register(nft_find_in(data, NFTA_PAYLOAD_DREG), &at) ||
	    size > REGISTERS_SIZE - at || offset > FILTER_HEADER_SIZE ||
	    size > FILTER_HEADER_SIZE - offset)
		return;
	fill_up(m, at, size);
	memcpy(m->value + at, h->value + offset, size);
	memcpy(m->known + at, h->known + offset, size);
}

static void on_bitwise(struct machine *m, const struct nlattr *data)
{
	const struct nlattr *mask = value_of(nft_find_in(data, NFTA_BITWISE_MASK));
	const struct nlattr * xor = value_of(nft_find_in(data, NFTA_BITWISE_XOR));
	uint32_t size = nft_be32(nft_find_in(data, NFTA_BITWISE_LEN));
	const uint8_t *and_bits = mask ? nlattr_data(mask) : NULL;
	const uint8_t *xor_bits = xor? nlattr_data(xor) : NULL;
	size_t from;
	size_t to;

	if (!find_register(nft_find_in(data, NFTA_BITWISE_SREG), &from) ||
	    !find_register(nft_find_in(data, NFTA_BITWISE_DREG), &to) || !mask || !xor ||
	    nlattr_size(mask) < size || nlattr_size(xor) < size ||
	    size > REGISTERS_SIZE - MAX(from, to)) {
		load_unknown(m, nft_find_in(data, NFTA_BITWISE_DREG));
		return;
	}
	for (size_t i = 0; i < size; i++) {
		uint8_t value = m->value[from + i];
		uint8_t known = m->known[from + i];

		m->value[to + i] = (value & and_bits[i]) ^ xor_bits[i];
		m->known[to + i] = (uint8_t)(known | ~and_bits[i]);
	}
}

/* A register and what it is compared with; NULL if it is not understood. */
static const uint8_t *operand(const struct nlattr *reg, const struct nlattr *data, size_t *ret_at,
			      size_t *ret_size)
{
	const struct nlattr *value = value_of(data);

	if (!value || !find_register(reg, ret_at))
		return NULL;
	*ret_size = nlattr_size(value);
	return *ret_size <= REGISTERS_SIZE - *ret_at ? nlattr_data(value) : NULL;
}

static enum filter_match compare(const struct machine *m, const struct nlattr *data)
{
	static const uint8_t least[FILTER_HEADER_SIZE];
	const uint8_t *want;
	uint8_t most[FILTER_HEADER_SIZE];
	enum filter_match equal;
	size_t size;
	size_t at;

	want = operand(nft_find_in(data, NFTA_CMP_SREG), nft_find_in(data, NFTA_CMP_DATA), &at,
		       &size);
	if (!want || size > sizeof(most))
		return FILTER_PERHAPS;
	memset(most, 0xff, sizeof(most));
	equal = filter_equal(m->value + at, m->known + at, want, NULL, size);
	switch (nft_be32(nft_find_in(data, NFTA_CMP_OP))) {
	case NFT_CMP_EQ:
		return equal;
	case NFT_CMP_NEQ:
		return filter_not(equal);
	case NFT_CMP_LTE:
		return filter_between(m->value + at, m->known + at, least, want, size);
	case NFT_CMP_GTE:
		return filter_between(m->value + at, m->known + at, want, most, size);
	case NFT_CMP_LT:
		return filter_not(filter_between(m->value + at, m->known + at, want, most, size));
	case NFT_CMP_GT:
		return filter_not(filter_between(m->value + at, m->known + at, least, want, size));
	}
	return FILTER_PERHAPS;
}

static enum filter_match range(const struct machine *m, const struct nlattr *data)
{
	const struct nlattr *reg = nft_find_in(data, NFTA_RANGE_SREG);
	enum filter_match in;
	const uint8_t *low;
	const uint8_t *high;
	size_t size;
	size_t high_size;
	size_t at;

	low = operand(reg, nft_find_in(data, NFTA_RANGE_FROM_DATA), &at, &size);
	high = operand(reg, nft_find_in(data, NFTA_RANGE_TO_DATA), &at, &high_size);
	if (!low || !high || size != high_size)
		return FILTER_PERHAPS;
	in = filter_between(m->value + at, m->known + at, low, high, size);
	return nft_be32(nft_find_in(data, NFTA_RANGE_OP)) == NFT_RANGE_NEQ ? filter_not(in) : in;
}

static void on_immediate(struct machine *m, const struct nlattr *data)
{
	const struct nlattr *content = nft_find_in(data, NFTA_IMMEDIATE_DATA);
	const struct nlattr *verdict = nft_find_in(content, NFTA_DATA_VERDICT);
	const struct nlattr *value = value_of(content);

	if (value)
		load(m, nft_find_in(data, NFTA_IMMEDIATE_DREG), nlattr_data(value),
		     nlattr_size(value));
	if (!verdict)
		return;
	snprintf(m->rule->target, sizeof(m->rule->target), "%s",
		 nft_text(nft_find_in(verdict, NFTA_VERDICT_CHAIN)));
	switch ((int32_t)nft_be32(nft_find_in(verdict, NFTA_VERDICT_CODE))) {
	case NF_ACCEPT:
		m->rule->verdict = FILTER_ACCEPT;
		break;
	case NF_DROP:
		m->rule->verdict = FILTER_DROP;
		break;
	case NFT_RETURN:
		m->rule->verdict = FILTER_RETURN;
		break;
	case NFT_JUMP:
		m->rule->verdict = FILTER_JUMP;
		break;
	case NFT_GOTO:
		m->rule->verdict = FILTER_GOTO;
		break;
	case NFT_CONTINUE:
		break;
	default:
		m->rule->verdict = FILTER_UNKNOWN;
	}
}

/* What is known of the key is all of it, and so is whether the set has it. */
static enum filter_match ask_set(const struct machine *m, const struct nlattr *data)
{
	const char *set = nft_text(nft_find_in(data, NFTA_LOOKUP_SET));
	struct filter_nft *f = m->filter;
	size_t at;
	int rc;

	if (!f || f->questions == QUESTIONS_MAX ||
	    !find_register(nft_find_in(data, NFTA_LOOKUP_SREG), &at))
		return FILTER_PERHAPS;
	f->questions++;
	rc = nft_set_has(f->nl, f->family, f->table, set, m->value + at, m->known + at,
			 REGISTERS_SIZE - at);
	return rc < 0 ? FILTER_PERHAPS : rc ? FILTER_ALWAYS : FILTER_NEVER;
}

static enum filter_match lookup(struct machine *m, const struct nlattr *data)
{
	const struct nlattr *reg = nft_find_in(data, NFTA_LOOKUP_DREG);
	enum filter_match has = ask_set(m, data);

	if (reg && nft_be32(reg) == NFT_REG_VERDICT)
		m->rule->verdict = FILTER_UNKNOWN;
	load_unknown(m, reg);
	return nft_be32(nft_find_in(data, NFTA_LOOKUP_FLAGS)) & NFT_LOOKUP_F_INV ? filter_not(has)
										 : has;
}

static enum filter_match xt_match(const struct machine *m, const struct nlattr *data)
{
	const struct nlattr *info = nft_find_in(data, NFTA_MATCH_INFO);

	return filter_xt_match(m->packet, nft_text(nft_find_in(data, NFTA_MATCH_NAME)),
			       nft_be32(nft_find_in(data, NFTA_MATCH_REV)),
			       info ? nlattr_data(info) : NULL, info ? nlattr_size(info) : 0);
}

static void on_target(struct machine *m, const char *name)
{
	m->rule->verdict = filter_xt_target(name);
	m->rule->acts |= filter_xt_acts(name);
}

static bool is_one_of(const char *name, const char *const *names)
{
	while (*names && strcmp(name, *names) != 0)
		names++;
	return *names != NULL;
}

/* What ends the rule or says something about the packet. */
static enum filter_match on_expression(struct machine *m, const char *name,
				       const struct nlattr *data)
{
	static const char *const harmless[] = { "counter", "log", "notrack", "objref",
						"last",    "dup", "nftrace", NULL };
	static const char *const loads[] = { "fib",    "rt",        "socket", "osf",
					     "hash",   "numgen",    "xfrm",   "tunnel",
					     "exthdr", "byteorder", NULL };
	static const char *const translates[] = { "nat", "masq", "redir", NULL };

	if (is_one_of(name, harmless))
		return FILTER_ALWAYS;
	if (strcmp(name, "meta") == 0)
		on_meta(m, data);
	else if (strcmp(name, "ct") == 0)
		return on_connection(m, data);
	else if (strcmp(name, "payload") == 0)
		on_payload(m, data);
	else if (strcmp(name, "bitwise") == 0)
		on_bitwise(m, data);
	else if (strcmp(name, "cmp") == 0)
		return compare(m, data);
	else if (strcmp(name, "range") == 0)
		return range(m, data);
	else if (strcmp(name, "immediate") == 0)
		on_immediate(m, data);
	else if (strcmp(name, "lookup") == 0)
		return lookup(m, data);
	else if (strcmp(name, "match") == 0)
		return xt_match(m, data);
	else if (strcmp(name, "target") == 0)
		on_target(m, nft_text(nft_find_in(data, NFTA_TARGET_NAME)));
	else if (strcmp(name, "reject") == 0)
		m->rule->verdict = FILTER_DROP;
	else if (strcmp(name, "queue") == 0)
		m->rule->verdict = FILTER_UNKNOWN;
	else if (is_one_of(name, translates))
		m->rule->verdict = FILTER_TRANSLATE;
	else {
		/* Which register it writes is not known, but then none is. */
		memset(m->known, 0, sizeof(m->known));
		if (is_one_of(name, loads))
			return FILTER_ALWAYS;
		m->rule->acts = true;
		return FILTER_PERHAPS;
	}
	return FILTER_ALWAYS;
}

static void judge(const struct nlmsghdr *hdr, const struct filter_packet *packet,
		  struct filter_nft *filter, struct filter_rule *ret)
{
	const struct nlattr *list = nft_find(hdr, NFTA_RULE_EXPRESSIONS);
	const struct nlattr *handle = nft_find(hdr, NFTA_RULE_HANDLE);
	struct machine m = { .packet = packet, .rule = ret, .filter = filter };
	const struct nlattr *item;

	*ret = (struct filter_rule){ .matches = FILTER_ALWAYS, .verdict = FILTER_CONTINUE };
	if (handle && nlattr_size(handle) == sizeof(uint64_t))
		ret->handle = be64toh(nlattr_u64(handle));
	if (!list)
		return;
	filter_network_header(packet, &m.network);
	filter_transport_header(packet, &m.transport);
	nlattr_for_each_nested (item, list) {
		ret->matches = filter_and(
			ret->matches, on_expression(&m, nft_text(nft_find_in(item, NFTA_EXPR_NAME)),
						    nft_find_in(item, NFTA_EXPR_DATA)));
		if (ret->matches == FILTER_NEVER || ret->verdict != FILTER_CONTINUE)
			return;
	}
}

void filter_nft_judge(const struct nlmsghdr *hdr, const struct filter_packet *packet,
		      struct filter_rule *ret)
{
	judge(hdr, packet, NULL, ret);
}

/* ---- chains, read when a walk first comes to them ---- */

static void chain_reset(void *arg)
{
	struct chain *c = arg;

	while (c->len)
		free(c->rules[--c->len]);
}

static void keep_rule(void *arg, const struct nlmsghdr *hdr)
{
	struct chain *c = arg;

	/* A kernel that does not filter tells of other chains' too. */
	if (strcmp(nft_text(nft_find(hdr, NFTA_RULE_CHAIN)), c->name) != 0 ||
	    strcmp(nft_text(nft_find(hdr, NFTA_RULE_TABLE)), c->table) != 0)
		return;
	GROW(c->rules, c->len, c->cap);
	c->rules[c->len] = xmalloc(hdr->nlmsg_len);
	memcpy(c->rules[c->len++], hdr, hdr->nlmsg_len);
}

static const struct chain *read_chain(struct filter_nft *f, const char *name)
{
	const struct nft_query q = { NFT_MSG_GETRULE,
				     f->family,
				     { { NFTA_RULE_TABLE, f->table }, { NFTA_RULE_CHAIN, name } },
				     0 };
	struct chain *c;

	for (size_t i = 0; i < f->len; i++) {
		c = f->chains[i];
		if (c->family == f->family && strcmp(c->table, f->table) == 0 &&
		    strcmp(c->name, name) == 0)
			return c;
	}
	c = xcalloc(1, sizeof(*c));
	c->family = f->family;
	snprintf(c->table, sizeof(c->table), "%s", f->table);
	snprintf(c->name, sizeof(c->name), "%s", name);
	GROW(f->chains, f->len, f->cap);
	f->chains[f->len++] = c;
	/* A chain that has gone meanwhile is told of: then all is looked at again. */
	if (nft_dump(f->nl, &q, chain_reset, keep_rule, c, &f->error) < 0)
		chain_reset(c);
	return c;
}

static bool next_rule(void *arg, const char *chain, size_t *cursor, struct filter_rule *ret)
{
	struct filter_nft *f = arg;
	const struct chain *c = read_chain(f, chain);

	if (*cursor >= c->len)
		return false;
	judge(c->rules[(*cursor)++], f->packet, f, ret);
	return true;
}

void filter_nft_walk(struct filter_nft *f, const struct nft_chain_info *chain,
		     const struct filter_packet *packet, const char *const *without,
		     struct filter_outcome *ret)
{
	f->family = chain->family;
	f->table = chain->table;
	f->packet = packet;
	filter_walk(chain->name, chain->drops, without, next_rule, f, ret);
}

struct filter_nft *filter_nft_new(struct netlink *nl)
{
	struct filter_nft *f = xcalloc(1, sizeof(*f));

	f->nl = nl;
	return f;
}

void filter_nft_free(struct filter_nft *f)
{
	for (size_t i = 0; f && i < f->len; i++) {
		chain_reset(f->chains[i]);
		free(f->chains[i]->rules);
		free(f->chains[i]);
	}
	if (f)
		free(f->chains);
	free(f);
}
