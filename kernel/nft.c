/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/nft_internal.h"

#include <endian.h>
#include <linux/netfilter.h>
#include <string.h>

#define ELEMENTS_SIZE   (40 * 1024) /* of a message with elements; a nest holds 64 KB */
#define ELEMENT_SIZE    320         /* the largest, with chain and comment */
#define TABLE_F_OWNER   2           /* NFT_TABLE_F_OWNER, for older headers */
#define KEY_BYTE_ORDER  0           /* of a set's user data: libnftnl/udata.h */
#define HOST_BYTE_ORDER 1
#define NET_BYTE_ORDER  2

uint32_t nft_key_size(enum nft_key_type type)
{
	switch (type) {
	case NFT_KEY_PROTO:
		return 1;
	case NFT_KEY_PORT:
		return 2;
	case NFT_KEY_IPV4:
		return 4;
	case NFT_KEY_PROTO_PORT:
	case NFT_KEY_IPV4_PORT:
		return 8;
	case NFT_KEY_IPV4_PROTO_PORT:
		return 12;
	case NFT_KEY_IPV6_PORT:
		return 20;
	case NFT_KEY_IPV6_PROTO_PORT:
		return 24;
	case NFT_KEY_IFNAMES_IPV4:
		return 36;
	case NFT_KEY_IFNAMES_IPV6:
		return NFT_KEY_SIZE;
	case NFT_KEY_IPV6:
	case NFT_KEY_IFNAME:
		return 16;
	case NFT_KEY_ETHER:
		return 6;
	case NFT_KEY_IFNAME_ETHER:
		return 24;
	}
	abort();
}

/* ---- attributes ---- */

struct nlmsghdr *nft_put_header(void *room, uint8_t message, uint16_t flags, uint8_t family)
{
	struct nlmsghdr *hdr = nlmsg_begin(room);
	struct nfgenmsg *gen;

	hdr->nlmsg_type = nft_type(message);
	hdr->nlmsg_flags = NLM_F_REQUEST | flags;
	gen = nlmsg_put_header(hdr, sizeof(*gen));
	gen->nfgen_family = family;
	gen->version = NFNETLINK_V0;
	return hdr;
}

void nft_put_be32(struct nlmsghdr *hdr, uint16_t type, uint32_t value)
{
	nlattr_put_u32(hdr, type, htonl(value));
}

void nft_put_value(struct nlmsghdr *hdr, uint16_t type, const void *value, size_t size)
{
	struct nlattr *nest = nlattr_nest_begin(hdr, type);

	nlattr_put(hdr, NFTA_DATA_VALUE, size, value);
	nlattr_nest_end(hdr, nest);
}

void nft_put_verdict(struct nlmsghdr *hdr, uint16_t type, int32_t code, const char *chain)
{
	struct nlattr *data = nlattr_nest_begin(hdr, type);
	struct nlattr *verdict = nlattr_nest_begin(hdr, NFTA_DATA_VERDICT);

	nft_put_be32(hdr, NFTA_VERDICT_CODE, (uint32_t)code);
	if (chain)
		nlattr_put_text(hdr, NFTA_VERDICT_CHAIN, chain);
	nlattr_nest_end(hdr, verdict);
	nlattr_nest_end(hdr, data);
}

void nft_put_comment(struct nlmsghdr *hdr, uint16_t type, const char *comment)
{
	uint8_t data[2 + NFT_COMMENT_SIZE] = { NFT_COMMENT_TYPE };
	int len = snprintf((char *)data + 2, NFT_COMMENT_SIZE, "%s", comment);

	data[1] = (uint8_t)(MIN(len, NFT_COMMENT_SIZE - 1) + 1);
	nlattr_put(hdr, type, 2u + data[1], data);
}

/* ---- objects ---- */

void nft_put_table(struct nlmsghdr *hdr, const struct nft_table *t)
{
	nlattr_put_text(hdr, NFTA_TABLE_NAME, t->name);
	nft_put_be32(hdr, NFTA_TABLE_FLAGS, t->owned ? TABLE_F_OWNER : 0);
	if (t->mark)
		nft_put_comment(hdr, NFTA_TABLE_USERDATA, t->mark);
}

void nft_put_chain(struct nlmsghdr *hdr, const struct nft_table *t, const struct nft_chain *c)
{
	struct nlattr *hook;

	nlattr_put_text(hdr, NFTA_CHAIN_TABLE, t->name);
	nlattr_put_text(hdr, NFTA_CHAIN_NAME, c->name);
	if (!c->type)
		return;
	hook = nlattr_nest_begin(hdr, NFTA_CHAIN_HOOK);
	nft_put_be32(hdr, NFTA_HOOK_HOOKNUM, c->hook);
	nft_put_be32(hdr, NFTA_HOOK_PRIORITY, (uint32_t)c->priority);
	nlattr_nest_end(hdr, hook);
	nft_put_be32(hdr, NFTA_CHAIN_POLICY, NF_ACCEPT);
	nlattr_put_text(hdr, NFTA_CHAIN_TYPE, c->type);
}

void nft_put_set(struct nlmsghdr *hdr, const struct nft_table *t, const struct nft_set *set)
{
	/* For nft(8) to show keys right; the kernel only keeps it. Parts of a concatenation have their own. */
	struct {
		uint8_t type;
		uint8_t size;
		uint8_t value[4];
	} order = { KEY_BYTE_ORDER, sizeof(order.value), { 0 } };
	uint32_t value = set->type == NFT_KEY_IFNAME  ? HOST_BYTE_ORDER
			 : set->type > NFT_KEY_IFNAME ? 0
						      : NET_BYTE_ORDER;

	memcpy(order.value, &value, sizeof(value));
	nlattr_put_text(hdr, NFTA_SET_TABLE, t->name);
	nlattr_put_text(hdr, NFTA_SET_NAME, set->name);
	nft_put_be32(hdr, NFTA_SET_FLAGS,
		     set->verdicts || set->target ? NFT_SET_MAP
		     : set->memory_len            ? NFT_SET_EVAL | NFT_SET_TIMEOUT
						  : 0);
	nft_put_be32(hdr, NFTA_SET_KEY_TYPE, set->type);
	nft_put_be32(hdr, NFTA_SET_KEY_LEN, nft_key_size(set->type));
	if (set->verdicts)
		nft_put_be32(hdr, NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT);
	if (set->target) {
		nft_put_be32(hdr, NFTA_SET_DATA_TYPE, set->target);
		nft_put_be32(hdr, NFTA_SET_DATA_LEN, nft_key_size(set->target));
	}
	if (set->memory_len) {
		struct nlattr *desc = nlattr_nest_begin(hdr, NFTA_SET_DESC);

		nft_put_be32(hdr, NFTA_SET_DESC_SIZE, set->memory_len);
		nlattr_nest_end(hdr, desc);
		nlattr_put_u64(hdr, NFTA_SET_TIMEOUT, htobe64(set->memory_s * 1000ull));
	}
	nlattr_put(hdr, NFTA_SET_USERDATA, sizeof(order), &order);
}

void nft_put_counter(struct nlmsghdr *hdr, const struct nft_table *t, const struct nft_counter *c)
{
	struct nlattr *data;

	nlattr_put_text(hdr, NFTA_OBJ_TABLE, t->name);
	nlattr_put_text(hdr, NFTA_OBJ_NAME, c->name);
	nft_put_be32(hdr, NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
	data = nlattr_nest_begin(hdr, NFTA_OBJ_DATA);
	nlattr_put_u64(hdr, NFTA_COUNTER_BYTES, htobe64(c->bytes));
	nlattr_put_u64(hdr, NFTA_COUNTER_PACKETS, htobe64(c->packets));
	nlattr_nest_end(hdr, data);
}

void nft_put_rule(struct nlmsghdr *hdr, const struct nft_ruleset *r, const struct nft_rule *rule)
{
	nlattr_put_text(hdr, NFTA_RULE_TABLE, r->table.name);
	nlattr_put_text(hdr, NFTA_RULE_CHAIN, r->chains[rule->chain].name);
	nft_put_expressions(hdr, rule);
	if (rule->comment)
		nft_put_comment(hdr, NFTA_RULE_USERDATA, rule->comment);
}

/* ---- transactions ---- */

static struct nlmsghdr *request(struct sequence *s, uint8_t message, uint16_t flags, uint8_t family)
{
	return nft_put_header(sequence_reserve_room(s, NFT_MESSAGE_ROOM), message, flags, family);
}

static void put_marker(struct sequence *s, uint16_t type)
{
	struct nlmsghdr *hdr = request(s, 0, 0, AF_UNSPEC);
	struct nfgenmsg *gen = nlmsg_data(hdr);

	hdr->nlmsg_type = type;
	gen->res_id = htons(NFNL_SUBSYS_NFTABLES);
}

void nft_begin(struct sequence *s)
{
	put_marker(s, NFNL_MSG_BATCH_BEGIN);
	sequence_commit(s, "nftables");
}

void nft_end(struct sequence *s)
{
	put_marker(s, NFNL_MSG_BATCH_END);
	sequence_commit_marker(s);
}

static void add_table(struct sequence *s, const struct nft_table *t)
{
	nft_put_table(request(s, NFT_MSG_NEWTABLE, NLM_F_CREATE, t->family), t);
	sequence_commit(s, "nftables table %s", t->name);
}

static void delete_table(struct sequence *s, uint8_t family, const char *table)
{
	nlattr_put_text(request(s, NFT_MSG_DELTABLE, 0, family), NFTA_TABLE_NAME, table);
	sequence_commit(s, "delete nftables table %s", table);
}

static void add_chain(struct sequence *s, const struct nft_table *t, const struct nft_chain *c)
{
	nft_put_chain(request(s, NFT_MSG_NEWCHAIN, NLM_F_CREATE, t->family), t, c);
	sequence_commit(s, "nftables chain %s", c->name);
}

static void flush_chain(struct sequence *s, uint8_t family, const char *table, const char *chain)
{
	struct nlmsghdr *hdr = request(s, NFT_MSG_DELRULE, 0, family);

	nlattr_put_text(hdr, NFTA_RULE_TABLE, table);
	nlattr_put_text(hdr, NFTA_RULE_CHAIN, chain);
	sequence_commit(s, "flush nftables chain %s", chain);
}

static void delete_chain(struct sequence *s, uint8_t family, const char *table, const char *chain)
{
	struct nlmsghdr *hdr;

	flush_chain(s, family, table, chain);
	hdr = request(s, NFT_MSG_DELCHAIN, 0, family);
	nlattr_put_text(hdr, NFTA_CHAIN_TABLE, table);
	nlattr_put_text(hdr, NFTA_CHAIN_NAME, chain);
	sequence_commit(s, "delete nftables chain %s", chain);
}

static void add_chains(struct sequence *s, const struct nft_ruleset *r)
{
	for (size_t i = 0; i < r->chains_len; i++) {
		if (r->chains_without & 1u << i)
			continue;
		add_chain(s, &r->table, &r->chains[i]);
		flush_chain(s, r->table.family, r->table.name, r->chains[i].name);
	}
}

static void add_rules(struct sequence *s, const struct nft_ruleset *r)
{
	for (size_t i = 0; i < r->rules_len; i++) {
		nft_put_rule(
			request(s, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, r->table.family),
			r, &r->rules[i]);
		sequence_commit(s, "nftables rule in chain %s", r->chains[r->rules[i].chain].name);
	}
}

void nft_add_ruleset(struct sequence *s, const struct nft_ruleset *r)
{
	add_table(s, &r->table);
	for (size_t i = 0; i < r->counters_len; i++) {
		nft_put_counter(request(s, NFT_MSG_NEWOBJ, NLM_F_CREATE, r->table.family),
				&r->table, &r->counters[i]);
		sequence_commit(s, "nftables counter %s", r->counters[i].name);
	}
	for (size_t i = 0; i < r->sets_len; i++) {
		struct nlmsghdr *hdr = request(s, NFT_MSG_NEWSET, NLM_F_CREATE, r->table.family);

		nft_put_set(hdr, &r->table, &r->sets[i]);
		nft_put_be32(hdr, NFTA_SET_ID, (uint32_t)i + 1);
		sequence_commit(s, "nftables set %s", r->sets[i].name);
	}
	add_chains(s, r);
	add_rules(s, r);
}

void nft_rebuild_ruleset(struct sequence *s, const struct nft_ruleset *r)
{
	add_table(s, &r->table);
	for (size_t i = 0; i < r->chains_len; i++) {
		/* Named without a hook, it is made if need be, and found whatever its hook is. */
		struct nft_chain plain = { .name = r->chains[i].name };

		if (!r->chains[i].type || r->chains_without & 1u << i)
			continue;
		add_chain(s, &r->table, &plain);
		delete_chain(s, r->table.family, r->table.name, plain.name);
	}
	nft_add_ruleset(s, r);
}

void nft_replace_ruleset(struct sequence *s, const struct nft_ruleset *r)
{
	const struct nft_table plain = { .family = r->table.family, .name = r->table.name };

	/* Made, if need be, so that deleting it succeeds in any case. */
	add_table(s, &plain);
	delete_table(s, r->table.family, r->table.name);
	nft_add_ruleset(s, r);
}

/* ---- elements ---- */

static void put_element(struct nlmsghdr *hdr, const struct nft_set *set,
			const struct nft_element *el)
{
	struct nlattr *item = nlattr_nest_begin(hdr, NFTA_LIST_ELEM);

	nft_put_value(hdr, NFTA_SET_ELEM_KEY, el->key, nft_key_size(set->type));
	if (el->chain)
		nft_put_verdict(hdr, NFTA_SET_ELEM_DATA, NFT_GOTO, el->chain);
	if (el->target)
		nft_put_value(hdr, NFTA_SET_ELEM_DATA, el->target, nft_key_size(set->target));
	if (el->comment)
		nft_put_comment(hdr, NFTA_SET_ELEM_USERDATA, el->comment);
	nlattr_nest_end(hdr, item);
}

static void put_elements(struct sequence *s, uint8_t message, uint16_t flags,
			 const struct nft_table *t, const struct nft_set *set,
			 const struct nft_element *elements, size_t len)
{
	size_t i = 0;

	while (i < len) {
		size_t room =
			MIN((len - i) * ELEMENT_SIZE + NFT_MESSAGE_ROOM, (size_t)ELEMENTS_SIZE);
		struct nlmsghdr *hdr =
			nft_put_header(sequence_reserve_room(s, room), message, flags, t->family);
		struct nlattr *list;

		nlattr_put_text(hdr, NFTA_SET_ELEM_LIST_TABLE, t->name);
		nlattr_put_text(hdr, NFTA_SET_ELEM_LIST_SET, set->name);
		list = nlattr_nest_begin(hdr, NFTA_SET_ELEM_LIST_ELEMENTS);
		while (i < len && hdr->nlmsg_len + ELEMENT_SIZE <= room)
			put_element(hdr, set, &elements[i++]);
		nlattr_nest_end(hdr, list);
		sequence_commit(s, "nftables set %s", set->name);
	}
}

void nft_add_elements(struct sequence *s, const struct nft_table *t, const struct nft_set *set,
		      const struct nft_element *elements, size_t len, bool exclusive)
{
	put_elements(s, NFT_MSG_NEWSETELEM, NLM_F_CREATE | (exclusive ? NLM_F_EXCL : 0), t, set,
		     elements, len);
}

void nft_delete_elements(struct sequence *s, const struct nft_table *t, const struct nft_set *set,
			 const struct nft_element *elements, size_t len)
{
	put_elements(s, NFT_MSG_DELSETELEM, 0, t, set, elements, len);
}

/* ---- whole transactions ---- */

int nft_table_delete(struct netlink *nl, uint8_t family, const char *table, struct err *e)
{
	auto_sequence struct sequence *s = sequence_new();

	nft_begin(s);
	delete_table(s, family, table);
	nft_end(s);
	return sequence_run(s, nl, e);
}

struct jumps {
	const char *chain;
	uint64_t handles[16]; /* as they travel */
	size_t len;
};

static void jumps_reset(void *arg)
{
	((struct jumps *)arg)->len = 0;
}

static void read_jump(void *arg, const struct nlmsghdr *hdr)
{
	const struct nlattr *list = nft_find(hdr, NFTA_RULE_EXPRESSIONS);
	const struct nlattr *handle = nft_find(hdr, NFTA_RULE_HANDLE);
	struct jumps *jumps = arg;
	const struct nlattr *item;

	if (!list || !handle || nlattr_size(handle) != sizeof(uint64_t))
		return;
	nlattr_for_each_nested (item, list) {
		const struct nlattr *data = nft_find_in(item, NFTA_EXPR_DATA);
		const struct nlattr *verdict =
			nft_find_in(nft_find_in(data, NFTA_IMMEDIATE_DATA), NFTA_DATA_VERDICT);

		if (strcmp(nft_text(nft_find_in(item, NFTA_EXPR_NAME)), "immediate") == 0 &&
		    strcmp(nft_text(nft_find_in(verdict, NFTA_VERDICT_CHAIN)), jumps->chain) == 0 &&
		    jumps->len < ARRAY_LEN(jumps->handles))
			jumps->handles[jumps->len++] = nlattr_u64(handle);
	}
}

int nft_chain_delete(struct netlink *nl, uint8_t family, const char *table, const char *from,
		     const char *chain, struct err *e)
{
	const struct nft_query q = { NFT_MSG_GETRULE,
				     family,
				     { { NFTA_RULE_TABLE, table }, { NFTA_RULE_CHAIN, from } },
				     0 };
	auto_sequence struct sequence *s = sequence_new();
	struct jumps jumps = { .chain = chain };
	int rc = nft_dump(nl, &q, jumps_reset, read_jump, &jumps, e);

	if (rc < 0)
		return rc;
	nft_begin(s);
	for (size_t i = 0; i < jumps.len; i++) {
		struct nlmsghdr *hdr = request(s, NFT_MSG_DELRULE, 0, family);

		nlattr_put_text(hdr, NFTA_RULE_TABLE, table);
		nlattr_put_text(hdr, NFTA_RULE_CHAIN, from);
		nlattr_put_u64(hdr, NFTA_RULE_HANDLE, jumps.handles[i]);
		sequence_commit(s, "delete the jump from nftables chain %s", from);
	}
	delete_chain(s, family, table, chain);
	nft_end(s);
	return sequence_run(s, nl, e);
}
