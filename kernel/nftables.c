/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/nftables.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#define MESSAGE_ROOM        (40 * 1024) /* that any one message of ours may need */
#define ELEMENTS_PER_PUT    1000        /* 28 bytes each at most */
#define RULE_ROOM           2048
#define NFT_TABLE_NAME_SIZE 256 /* as the kernel allows, with the terminator */
/* For nft alone: libnftnl/udata.h, and nft's enum byteorder. */
#define UDATA_TABLE_COMMENT    0
#define UDATA_SET_KEYBYTEORDER 0
#define NFT_HOST_ENDIAN        1
#define NFT_BIG_ENDIAN         2
/* nft's numbers for the types of set keys, so that it prints elements as what they are. */
#define NFT_TYPE_IPADDR  7
#define NFT_TYPE_IP6ADDR 8
#define NFT_TYPE_IFINDEX 20

/* ---- transactions ---- */

struct batch {
	char *data;
	size_t used;
	size_t cap;
};

static struct nlmsghdr *message_init(void *buffer, uint16_t type, uint16_t flags, uint8_t family)
{
	struct nlmsghdr *hdr = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *gen;

	hdr->nlmsg_type = type;
	hdr->nlmsg_flags = NLM_F_REQUEST | flags;
	gen = mnl_nlmsg_put_extra_header(hdr, sizeof(*gen));
	gen->nfgen_family = family;
	gen->version = NFNETLINK_V0;
	gen->res_id = 0;
	return hdr;
}

static uint16_t nft_type(uint8_t message)
{
	return (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | message);
}

/* Room for the next message; batch_done ends it. */
static struct nlmsghdr *batch_add(struct batch *b, uint16_t type, uint16_t flags, uint8_t family)
{
	if (b->cap - b->used < MESSAGE_ROOM) {
		b->cap = MAX(b->cap * 2, (size_t)2 * MESSAGE_ROOM);
		b->data = xrealloc(b->data, b->cap);
	}
	return message_init(b->data + b->used, type, flags, family);
}

static void batch_done(struct batch *b, const struct nlmsghdr *hdr)
{
	b->used += MNL_ALIGN(hdr->nlmsg_len);
}

static void batch_mark(struct batch *b, uint16_t type)
{
	struct nlmsghdr *hdr = batch_add(b, type, 0, AF_UNSPEC);
	struct nfgenmsg *gen = mnl_nlmsg_get_payload(hdr);

	gen->res_id = htons(NFNL_SUBSYS_NFTABLES);
	batch_done(b, hdr);
}

static struct batch batch_begin(void)
{
	struct batch b = { 0 };

	batch_mark(&b, NFNL_MSG_BATCH_BEGIN);
	return b;
}

static int batch_send(struct batch *b, struct netlink *nl, struct err *e)
{
	int rc;

	batch_mark(b, NFNL_MSG_BATCH_END);
	rc = netlink_transaction(nl, b->data, b->used, e);
	free(b->data);
	return rc < 0 ? err_wrap(e, "nftables") : 0;
}

static void put_be32(struct nlmsghdr *hdr, uint16_t type, uint32_t value)
{
	mnl_attr_put_u32(hdr, type, htonl(value));
}

static uint32_t get_be32(const struct nlattr *attr)
{
	return attr && mnl_attr_get_payload_len(attr) == 4 ? ntohl(mnl_attr_get_u32(attr)) : 0;
}

static uint64_t get_be64(const struct nlattr *attr)
{
	return attr && mnl_attr_get_payload_len(attr) == 8 ? be64toh(mnl_attr_get_u64(attr)) : 0;
}

/* ---- keys ---- */

struct nftables_key nftables_key_addr(const struct ip_addr *a)
{
	struct nftables_key key = { .size = (uint8_t)ip_addr_size(a) };

	memcpy(key.b, a->b, key.size);
	return key;
}

struct nftables_key nftables_key_ifindex(uint32_t ifindex)
{
	struct nftables_key key = { .size = sizeof(ifindex) };

	memcpy(key.b, &ifindex, sizeof(ifindex));
	return key;
}

/* ---- building blocks ---- */

/* As nft writes a comment: type, size, text with its terminator. */
static void put_mark(struct nlmsghdr *hdr, const char *mark)
{
	uint8_t data[2 + NFT_MARK_SIZE] = { UDATA_TABLE_COMMENT };
	int len = snprintf((char *)data + 2, NFT_MARK_SIZE, "%s", mark);

	data[1] = (uint8_t)(MIN(len, NFT_MARK_SIZE - 1) + 1);
	mnl_attr_put(hdr, NFTA_TABLE_USERDATA, 2u + data[1], data);
}

static void add_table(struct batch *b, uint8_t message, uint16_t flags, uint8_t family,
		      const char *table, const char *mark)
{
	struct nlmsghdr *hdr = batch_add(b, nft_type(message), flags, family);

	mnl_attr_put_strz(hdr, NFTA_TABLE_NAME, table);
	if (message == NFT_MSG_NEWTABLE)
		put_be32(hdr, NFTA_TABLE_FLAGS, 0);
	if (mark)
		put_mark(hdr, mark);
	batch_done(b, hdr);
}

static void encode_chain(const struct nftables_chain *c, const char *table, struct nlmsghdr *hdr)
{
	struct nlattr *hook;

	mnl_attr_put_strz(hdr, NFTA_CHAIN_TABLE, table);
	mnl_attr_put_strz(hdr, NFTA_CHAIN_NAME, c->name);
	if (!c->type)
		return;
	hook = mnl_attr_nest_start(hdr, NFTA_CHAIN_HOOK);
	put_be32(hdr, NFTA_HOOK_HOOKNUM, c->hook);
	put_be32(hdr, NFTA_HOOK_PRIORITY, (uint32_t)c->priority);
	mnl_attr_nest_end(hdr, hook);
	put_be32(hdr, NFTA_CHAIN_POLICY, NF_ACCEPT);
	mnl_attr_put_strz(hdr, NFTA_CHAIN_TYPE, c->type);
}

static void encode_set(const struct nftables_set *s, const char *table, struct nlmsghdr *hdr)
{
	static const struct {
		uint32_t type;
		uint32_t size;
		uint32_t byte_order;
	} keys[] = {
		[NFTABLES_IPV4] = { NFT_TYPE_IPADDR, 4, NFT_BIG_ENDIAN },
		[NFTABLES_IPV6] = { NFT_TYPE_IP6ADDR, 16, NFT_BIG_ENDIAN },
		[NFTABLES_IFINDEX] = { NFT_TYPE_IFINDEX, 4, NFT_HOST_ENDIAN },
	};
	struct {
		uint8_t type;
		uint8_t size;
		uint8_t value[4];
	} byte_order = { UDATA_SET_KEYBYTEORDER, 4, { 0 } };

	memcpy(byte_order.value, &keys[s->type].byte_order, sizeof(byte_order.value));

	mnl_attr_put_strz(hdr, NFTA_SET_TABLE, table);
	mnl_attr_put_strz(hdr, NFTA_SET_NAME, s->name);
	put_be32(hdr, NFTA_SET_KEY_TYPE, keys[s->type].type);
	put_be32(hdr, NFTA_SET_KEY_LEN, keys[s->type].size);
	mnl_attr_put(hdr, NFTA_SET_USERDATA, sizeof(byte_order), &byte_order);
}

static void encode_rule(const struct nftables_rule *r, const struct nftables_ruleset *ruleset,
			struct nlmsghdr *hdr)
{
	mnl_attr_put_strz(hdr, NFTA_RULE_TABLE, ruleset->table);
	mnl_attr_put_strz(hdr, NFTA_RULE_CHAIN, ruleset->chains[r->chain].name);
	nftables_rule_encode(r, hdr);
}

static void add_counter(struct batch *b, const char *table, const struct nftables_counter *c)
{
	struct nlmsghdr *hdr =
		batch_add(b, nft_type(NFT_MSG_NEWOBJ), NLM_F_CREATE | NLM_F_EXCL, NFPROTO_INET);
	struct nlattr *data;

	mnl_attr_put_strz(hdr, NFTA_OBJ_TABLE, table);
	mnl_attr_put_strz(hdr, NFTA_OBJ_NAME, c->name);
	put_be32(hdr, NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
	data = mnl_attr_nest_start(hdr, NFTA_OBJ_DATA);
	mnl_attr_put_u64(hdr, NFTA_COUNTER_BYTES, htobe64(c->bytes));
	mnl_attr_put_u64(hdr, NFTA_COUNTER_PACKETS, htobe64(c->packets));
	mnl_attr_nest_end(hdr, data);
	batch_done(b, hdr);
}

static void add_elements(struct batch *b, uint8_t message, uint16_t flags, const char *table,
			 const struct nftables_elements *elements)
{
	for (size_t i = 0; i < elements->len; i += ELEMENTS_PER_PUT) {
		size_t end = MIN(i + ELEMENTS_PER_PUT, elements->len);
		struct nlmsghdr *hdr = batch_add(b, nft_type(message), flags, NFPROTO_INET);
		struct nlattr *list;

		mnl_attr_put_strz(hdr, NFTA_SET_ELEM_LIST_TABLE, table);
		mnl_attr_put_strz(hdr, NFTA_SET_ELEM_LIST_SET, elements->set);
		list = mnl_attr_nest_start(hdr, NFTA_SET_ELEM_LIST_ELEMENTS);
		for (size_t j = i; j < end; j++) {
			struct nlattr *elem = mnl_attr_nest_start(hdr, NFTA_LIST_ELEM);
			struct nlattr *key = mnl_attr_nest_start(hdr, NFTA_SET_ELEM_KEY);

			mnl_attr_put(hdr, NFTA_DATA_VALUE, elements->keys[j].size,
				     elements->keys[j].b);
			mnl_attr_nest_end(hdr, key);
			mnl_attr_nest_end(hdr, elem);
		}
		mnl_attr_nest_end(hdr, list);
		batch_done(b, hdr);
	}
}

/* ---- writing ---- */

int nftables_replace(struct netlink *nl, const struct nftables_ruleset *ruleset,
		     const struct nftables_elements *elements, size_t elements_len, struct err *e)
{
	struct batch b = batch_begin();

	/* Made, if need be, so that deleting it succeeds in any case. */
	add_table(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE, NFPROTO_INET, ruleset->table, NULL);
	add_table(&b, NFT_MSG_DELTABLE, 0, NFPROTO_INET, ruleset->table, NULL);
	add_table(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, NFPROTO_INET, ruleset->table,
		  ruleset->mark);
	for (size_t i = 0; i < ruleset->counters_len; i++)
		add_counter(&b, ruleset->table, &ruleset->counters[i]);
	for (size_t i = 0; i < ruleset->sets_len; i++) {
		struct nlmsghdr *hdr = batch_add(&b, nft_type(NFT_MSG_NEWSET),
						 NLM_F_CREATE | NLM_F_EXCL, NFPROTO_INET);

		encode_set(&ruleset->sets[i], ruleset->table, hdr);
		put_be32(hdr, NFTA_SET_ID, (uint32_t)i + 1);
		batch_done(&b, hdr);
	}
	for (size_t i = 0; i < ruleset->chains_len; i++) {
		struct nlmsghdr *hdr = batch_add(&b, nft_type(NFT_MSG_NEWCHAIN),
						 NLM_F_CREATE | NLM_F_EXCL, NFPROTO_INET);

		encode_chain(&ruleset->chains[i], ruleset->table, hdr);
		batch_done(&b, hdr);
	}
	/* The guard never stands without its peers. */
	for (size_t i = 0; i < elements_len; i++)
		add_elements(&b, NFT_MSG_NEWSETELEM, NLM_F_CREATE, ruleset->table, &elements[i]);
	for (size_t i = 0; i < ruleset->rules_len; i++) {
		struct nlmsghdr *hdr = batch_add(&b, nft_type(NFT_MSG_NEWRULE),
						 NLM_F_CREATE | NLM_F_APPEND, NFPROTO_INET);

		encode_rule(&ruleset->rules[i], ruleset, hdr);
		batch_done(&b, hdr);
	}
	return batch_send(&b, nl, e);
}

int nftables_change(struct netlink *nl, const char *table, const struct nftables_elements *add,
		    size_t add_len, const struct nftables_elements *drop, size_t drop_len,
		    struct err *e)
{
	struct batch b = batch_begin();

	for (size_t i = 0; i < add_len; i++)
		add_elements(&b, NFT_MSG_NEWSETELEM, NLM_F_CREATE, table, &add[i]);
	for (size_t i = 0; i < drop_len; i++)
		add_elements(&b, NFT_MSG_DELSETELEM, 0, table, &drop[i]);
	return batch_send(&b, nl, e);
}

int nft_table_delete(struct netlink *nl, uint8_t family, const char *table, struct err *e)
{
	struct batch b = batch_begin();

	add_table(&b, NFT_MSG_DELTABLE, 0, family, table, NULL);
	return batch_send(&b, nl, e);
}

/* ---- reading ---- */

typedef void visit_fn(void *arg, const struct nlmsghdr *hdr);

struct reader {
	visit_fn *visit;
	void *arg;
	uint16_t type; /* of the answers */
	void (*reset)(void *arg);
};

static const struct nlattr *find(const struct nlmsghdr *hdr, uint16_t type)
{
	const struct nlattr *attr;

	mnl_attr_for_each (attr, hdr, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(attr) == type)
			return attr;
	}
	return NULL;
}

static const struct nlattr *find_in(const struct nlattr *nest, uint16_t type)
{
	const struct nlattr *attr;

	if (!nest)
		return NULL;
	mnl_attr_for_each_nested (attr, nest) {
		if (mnl_attr_get_type(attr) == type)
			return attr;
	}
	return NULL;
}

static const char *text_of(const struct nlattr *attr)
{
	return attr && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) == 0 ? mnl_attr_get_str(attr)
									 : "";
}

static void forget_answers(void *arg)
{
	const struct reader *r = arg;

	if (r->reset)
		r->reset(r->arg);
}

static void on_answer(void *arg, const struct nlmsghdr *hdr)
{
	const struct reader *r = arg;

	if (hdr->nlmsg_type == r->type && hdr->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nfgenmsg)))
		r->visit(r->arg, hdr);
}

/*
 * Dumps what `get` names; the names of table and set or chain narrow it, NULL for any. `reset` is
 * called first, and again to forget what was seen by a dump that was disturbed.
 */
struct query {
	uint8_t get;
	uint8_t answer;
	uint8_t family;
	uint16_t table_attr;
	const char *table;
	uint16_t name_attr;
	const char *name;
};

static int dump(struct netlink *nl, const struct query *q, void (*reset)(void *arg),
		visit_fn *visit, void *arg, struct err *e)
{
	char buffer[512] __attribute__((aligned(8)));
	struct reader r = { visit, arg, nft_type(q->answer), reset };
	struct nlmsghdr *hdr = message_init(buffer, nft_type(q->get), 0, q->family);

	if (q->table)
		mnl_attr_put_strz(hdr, q->table_attr, q->table);
	if (q->name)
		mnl_attr_put_strz(hdr, q->name_attr, q->name);
	if (reset)
		reset(arg);
	if (netlink_dump(nl, hdr, on_answer, forget_answers, &r, e) < 0)
		return err_wrap(e, "nftables");
	return 0;
}

/* What nftables_compare finds, one dump after the other. */
struct comparison {
	const struct nftables_ruleset *ruleset;
	char *why;
	size_t why_size;
	bool seen[NFTABLES_NAME_SIZE]; /* chains or sets found */
	size_t rules_seen;
	size_t chain; /* whose rules are read */
	size_t next;  /* rule expected next */
};

static void differs(struct comparison *c, const char *what, const char *name, const char *how)
{
	if (!c->why[0])
		snprintf(c->why, c->why_size, "%s %s %s", what, name, how);
}

static void comparison_reset(void *arg)
{
	struct comparison *c = arg;

	c->why[0] = '\0';
	c->rules_seen = 0;
	memset(c->seen, 0, sizeof(c->seen));
	for (c->next = 0;
	     c->next < c->ruleset->rules_len && c->ruleset->rules[c->next].chain != c->chain;)
		c->next++;
}

/* Every attribute of `want` but the ids that only a transaction knows. */
static bool message_matches(const struct nlmsghdr *want, const struct nlmsghdr *have)
{
	const struct nlattr *attr;

	mnl_attr_for_each (attr, want, sizeof(struct nfgenmsg)) {
		if (!nftables_attrs_match(attr, find(have, mnl_attr_get_type(attr))))
			return false;
	}
	return true;
}

static void compare_chain(void *arg, const struct nlmsghdr *hdr)
{
	struct comparison *c = arg;
	const char *name = text_of(find(hdr, NFTA_CHAIN_NAME));
	char buffer[512] __attribute__((aligned(8)));

	if (strcmp(text_of(find(hdr, NFTA_CHAIN_TABLE)), c->ruleset->table) != 0)
		return;
	for (size_t i = 0; i < c->ruleset->chains_len; i++) {
		struct nlmsghdr *want;

		if (strcmp(c->ruleset->chains[i].name, name) != 0)
			continue;
		want = message_init(buffer, nft_type(NFT_MSG_NEWCHAIN), 0, NFPROTO_INET);
		encode_chain(&c->ruleset->chains[i], c->ruleset->table, want);
		if (!message_matches(want, hdr) ||
		    (!c->ruleset->chains[i].type && find(hdr, NFTA_CHAIN_HOOK)))
			differs(c, "chain", name, "is altered");
		c->seen[i] = true;
		return;
	}
	differs(c, "chain", name, "is not ours");
}

static void compare_set(void *arg, const struct nlmsghdr *hdr)
{
	struct comparison *c = arg;
	const char *name = text_of(find(hdr, NFTA_SET_NAME));
	char buffer[512] __attribute__((aligned(8)));

	for (size_t i = 0; i < c->ruleset->sets_len; i++) {
		struct nlmsghdr *want;

		if (strcmp(c->ruleset->sets[i].name, name) != 0)
			continue;
		want = message_init(buffer, nft_type(NFT_MSG_NEWSET), 0, NFPROTO_INET);
		encode_set(&c->ruleset->sets[i], c->ruleset->table, want);
		if (!message_matches(want, hdr))
			differs(c, "set", name, "is altered");
		c->seen[i] = true;
		return;
	}
	differs(c, "set", name, "is not ours");
}

static void compare_rule(void *arg, const struct nlmsghdr *hdr)
{
	struct comparison *c = arg;
	const struct nftables_ruleset *s = c->ruleset;
	char buffer[RULE_ROOM] __attribute__((aligned(8)));
	struct nlmsghdr *want;

	if (strcmp(text_of(find(hdr, NFTA_RULE_CHAIN)), s->chains[c->chain].name) != 0)
		return;
	c->rules_seen++;
	if (c->next == s->rules_len) {
		differs(c, "chain", s->chains[c->chain].name, "has a rule more");
		return;
	}
	want = message_init(buffer, nft_type(NFT_MSG_NEWRULE), 0, NFPROTO_INET);
	encode_rule(&s->rules[c->next], s, want);
	if (!message_matches(want, hdr))
		differs(c, "chain", s->chains[c->chain].name, "has an altered rule");
	do
		c->next++;
	while (c->next < s->rules_len && s->rules[c->next].chain != c->chain);
}

static int compare_rules(struct netlink *nl, struct comparison *c, struct err *e)
{
	for (c->chain = 0; c->chain < c->ruleset->chains_len && !c->why[0]; c->chain++) {
		struct query q = { NFT_MSG_GETRULE,
				   NFT_MSG_NEWRULE,
				   NFPROTO_INET,
				   NFTA_RULE_TABLE,
				   c->ruleset->table,
				   NFTA_RULE_CHAIN,
				   c->ruleset->chains[c->chain].name };
		int rc = dump(nl, &q, comparison_reset, compare_rule, c, e);

		if (rc < 0)
			return rc;
		if (c->next < c->ruleset->rules_len)
			differs(c, "chain", c->ruleset->chains[c->chain].name, "lacks a rule");
	}
	return 0;
}

int nftables_compare(struct netlink *nl, const struct nftables_ruleset *ruleset, char *ret_why,
		     size_t why_size, struct err *e)
{
	struct comparison c = { .ruleset = ruleset, .why = ret_why, .why_size = why_size };
	struct query chains = {
		NFT_MSG_GETCHAIN, NFT_MSG_NEWCHAIN, NFPROTO_INET, 0, NULL, 0, NULL
	};
	struct query sets = { NFT_MSG_GETSET,
			      NFT_MSG_NEWSET,
			      NFPROTO_INET,
			      NFTA_SET_TABLE,
			      ruleset->table,
			      0,
			      NULL };
	int rc = dump(nl, &chains, comparison_reset, compare_chain, &c, e);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < ruleset->chains_len; i++) {
		if (!c.seen[i])
			differs(&c, "chain", ruleset->chains[i].name, "is missing");
	}
	if (c.why[0])
		return 0;
	rc = dump(nl, &sets, comparison_reset, compare_set, &c, e);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < ruleset->sets_len; i++) {
		if (!c.seen[i])
			differs(&c, "set", ruleset->sets[i].name, "is missing");
	}
	return compare_rules(nl, &c, e);
}

struct set_reader {
	void (*visit)(void *arg, const struct nftables_key *key);
	void *arg;
	struct nftables_key *keys;
	size_t len;
	size_t cap;
};

static void set_reset(void *arg)
{
	struct set_reader *r = arg;

	r->len = 0;
}

static void read_elements(void *arg, const struct nlmsghdr *hdr)
{
	struct set_reader *r = arg;
	const struct nlattr *list = find(hdr, NFTA_SET_ELEM_LIST_ELEMENTS);
	const struct nlattr *elem;

	if (!list)
		return;
	mnl_attr_for_each_nested (elem, list) {
		const struct nlattr *value =
			find_in(find_in(elem, NFTA_SET_ELEM_KEY), NFTA_DATA_VALUE);
		size_t size = value ? mnl_attr_get_payload_len(value) : 0;

		if (size == 0 || size > sizeof(r->keys->b))
			continue;
		GROW(r->keys, r->len, r->cap);
		r->keys[r->len] = (struct nftables_key){ .size = (uint8_t)size };
		memcpy(r->keys[r->len++].b, mnl_attr_get_payload(value), size);
	}
}

int nftables_set_visit(struct netlink *nl, const char *table, const char *set,
		       void (*visit)(void *arg, const struct nftables_key *key), void *arg,
		       struct err *e)
{
	struct set_reader r = { .visit = visit, .arg = arg };
	struct query q = { NFT_MSG_GETSETELEM,
			   NFT_MSG_NEWSETELEM,
			   NFPROTO_INET,
			   NFTA_SET_ELEM_LIST_TABLE,
			   table,
			   NFTA_SET_ELEM_LIST_SET,
			   set };
	int rc = dump(nl, &q, set_reset, read_elements, &r, e);

	for (size_t i = 0; i < r.len && rc == 0; i++)
		visit(arg, &r.keys[i]);
	free(r.keys);
	return rc;
}

static void read_counter(void *arg, const struct nlmsghdr *hdr)
{
	const struct nlattr *data = find(hdr, NFTA_OBJ_DATA);
	struct nftables_counter *c = arg;

	c->packets = get_be64(find_in(data, NFTA_COUNTER_PACKETS));
	c->bytes = get_be64(find_in(data, NFTA_COUNTER_BYTES));
}

int nftables_counter_read(struct netlink *nl, const char *table, const char *name,
			  uint64_t *ret_packets, uint64_t *ret_bytes, struct err *e)
{
	char buffer[512] __attribute__((aligned(8)));
	struct nlmsghdr *hdr = message_init(buffer, nft_type(NFT_MSG_GETOBJ), 0, NFPROTO_INET);
	struct nftables_counter counter = { 0 };
	struct reader r = { read_counter, &counter, nft_type(NFT_MSG_NEWOBJ), NULL };
	int rc;

	mnl_attr_put_strz(hdr, NFTA_OBJ_TABLE, table);
	mnl_attr_put_strz(hdr, NFTA_OBJ_NAME, name);
	put_be32(hdr, NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
	rc = netlink_call(nl, hdr, on_answer, &r, e);
	if (rc < 0)
		return err_wrap(e, "nftables: counter %s", name);
	*ret_packets = counter.packets;
	*ret_bytes = counter.bytes;
	return 0;
}

struct chain_reader {
	struct nftables_chain_info *items;
	size_t len;
	size_t cap;
};

static void chains_reset(void *arg)
{
	struct chain_reader *r = arg;

	r->len = 0;
}

static void read_chain(void *arg, const struct nlmsghdr *hdr)
{
	const struct nfgenmsg *gen = mnl_nlmsg_get_payload(hdr);
	const struct nlattr *hook = find(hdr, NFTA_CHAIN_HOOK);
	const struct nlattr *policy = find(hdr, NFTA_CHAIN_POLICY);
	struct chain_reader *r = arg;
	struct nftables_chain_info *info;

	GROW(r->items, r->len, r->cap);
	info = &r->items[r->len++];
	*info = (struct nftables_chain_info){ .family = gen->nfgen_family, .base = hook != NULL };
	snprintf(info->table, sizeof(info->table), "%s", text_of(find(hdr, NFTA_CHAIN_TABLE)));
	snprintf(info->name, sizeof(info->name), "%s", text_of(find(hdr, NFTA_CHAIN_NAME)));
	info->hook = get_be32(find_in(hook, NFTA_HOOK_HOOKNUM));
	info->priority = (int32_t)get_be32(find_in(hook, NFTA_HOOK_PRIORITY));
	info->drops = policy && get_be32(policy) == NF_DROP;
}

int nftables_chains_visit(struct netlink *nl,
			  void (*visit)(void *arg, const struct nftables_chain_info *chain),
			  void *arg, struct err *e)
{
	struct chain_reader r = { 0 };
	struct query q = { NFT_MSG_GETCHAIN, NFT_MSG_NEWCHAIN, AF_UNSPEC, 0, NULL, 0, NULL };
	int rc = dump(nl, &q, chains_reset, read_chain, &r, e);

	for (size_t i = 0; i < r.len && rc == 0; i++)
		visit(arg, &r.items[i]);
	free(r.items);
	return rc;
}

/* ---- tables ---- */

struct table_info {
	uint8_t family;
	char name[NFT_TABLE_NAME_SIZE];
	char mark[NFT_MARK_SIZE];
};

struct table_reader {
	struct table_info *items;
	size_t len;
	size_t cap;
};

static void tables_reset(void *arg)
{
	struct table_reader *r = arg;

	r->len = 0;
}

static void read_mark(const struct nlattr *attr, char *ret, size_t size)
{
	const uint8_t *data = attr ? mnl_attr_get_payload(attr) : NULL;
	size_t left = attr ? mnl_attr_get_payload_len(attr) : 0;

	ret[0] = '\0';
	for (; left >= 2 && 2u + data[1] <= left; left -= 2u + data[1], data += 2u + data[1]) {
		if (data[0] == UDATA_TABLE_COMMENT)
			snprintf(ret, size, "%.*s", (int)data[1], (const char *)data + 2);
	}
}

static void read_table(void *arg, const struct nlmsghdr *hdr)
{
	const struct nfgenmsg *gen = mnl_nlmsg_get_payload(hdr);
	struct table_reader *r = arg;
	struct table_info *info;

	GROW(r->items, r->len, r->cap);
	info = &r->items[r->len++];
	info->family = gen->nfgen_family;
	snprintf(info->name, sizeof(info->name), "%s", text_of(find(hdr, NFTA_TABLE_NAME)));
	read_mark(find(hdr, NFTA_TABLE_USERDATA), info->mark, sizeof(info->mark));
}

int nft_tables_visit(struct netlink *nl, nft_table_fn *visit, void *arg, struct err *e)
{
	struct table_reader r = { 0 };
	struct query q = { NFT_MSG_GETTABLE, NFT_MSG_NEWTABLE, AF_UNSPEC, 0, NULL, 0, NULL };
	int rc = dump(nl, &q, tables_reset, read_table, &r, e);

	for (size_t i = 0; i < r.len && rc == 0; i++)
		visit(arg, r.items[i].family, r.items[i].name, r.items[i].mark);
	free(r.items);
	return rc;
}

/* ---- foreign chains that are to go ---- */

struct jump_reader {
	const char *chain;
	uint64_t handles[16];
	size_t len;
};

static void jumps_reset(void *arg)
{
	struct jump_reader *r = arg;

	r->len = 0;
}

static void read_jump(void *arg, const struct nlmsghdr *hdr)
{
	const struct nlattr *list = find(hdr, NFTA_RULE_EXPRESSIONS);
	struct jump_reader *r = arg;
	const struct nlattr *elem;

	if (!list)
		return;
	mnl_attr_for_each_nested (elem, list) {
		const struct nlattr *data = find_in(elem, NFTA_EXPR_DATA);
		const struct nlattr *verdict;

		if (strcmp(text_of(find_in(elem, NFTA_EXPR_NAME)), "immediate") != 0)
			continue;
		verdict = find_in(find_in(data, NFTA_IMMEDIATE_DATA), NFTA_DATA_VERDICT);
		if (strcmp(text_of(find_in(verdict, NFTA_VERDICT_CHAIN)), r->chain) == 0 &&
		    r->len < ARRAY_LEN(r->handles))
			r->handles[r->len++] = get_be64(find(hdr, NFTA_RULE_HANDLE));
	}
}

int nftables_chain_delete(struct netlink *nl, uint8_t family, const char *table, const char *from,
			  const char *chain, struct err *e)
{
	struct jump_reader jumps = { .chain = chain };
	struct query q = { NFT_MSG_GETRULE, NFT_MSG_NEWRULE, family, NFTA_RULE_TABLE,
			   table,           NFTA_RULE_CHAIN, from };
	struct nlmsghdr *hdr;
	struct batch b;
	int rc = dump(nl, &q, jumps_reset, read_jump, &jumps, e);

	if (rc < 0)
		return rc;
	b = batch_begin();
	for (size_t i = 0; i < jumps.len; i++) {
		hdr = batch_add(&b, nft_type(NFT_MSG_DELRULE), 0, family);
		mnl_attr_put_strz(hdr, NFTA_RULE_TABLE, table);
		mnl_attr_put_strz(hdr, NFTA_RULE_CHAIN, from);
		mnl_attr_put_u64(hdr, NFTA_RULE_HANDLE, htobe64(jumps.handles[i]));
		batch_done(&b, hdr);
	}
	hdr = batch_add(&b, nft_type(NFT_MSG_DELRULE), 0, family);
	mnl_attr_put_strz(hdr, NFTA_RULE_TABLE, table);
	mnl_attr_put_strz(hdr, NFTA_RULE_CHAIN, chain);
	batch_done(&b, hdr);
	hdr = batch_add(&b, nft_type(NFT_MSG_DELCHAIN), 0, family);
	mnl_attr_put_strz(hdr, NFTA_CHAIN_TABLE, table);
	mnl_attr_put_strz(hdr, NFTA_CHAIN_NAME, chain);
	batch_done(&b, hdr);
	return batch_send(&b, nl, e);
}
