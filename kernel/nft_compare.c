/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is what stands in the kernel what we want? What we want is encoded as if it were to be written,
 * and compared with what the kernel shows, attribute by attribute, in both directions: what we did
 * not ask for is a difference too.
 *
 * Not judged is what the kernel adds by itself (seen on 6.1 and 6.18): handles, use counts, the
 * place of a rule, the size of a verdict in a map, a set's implementation and number of elements;
 * and what a kernel newer than this program may add, since nobody here knows what it means.
 */
#include "kernel/nft_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

/* ---- attributes ---- */

/* The `index`th attribute of this type inside `nest`, from 0; NULL if there are fewer. */
static const struct nlattr *nth(const struct nlattr *nest, uint16_t type, unsigned index)
{
	const struct nlattr *attr;

	nlattr_for_each_nested (attr, nest) {
		if (nlattr_type(attr) == type && index-- == 0)
			return attr;
	}
	return NULL;
}

static unsigned index_of(const struct nlattr *nest, const struct nlattr *attr)
{
	const struct nlattr *before;
	unsigned index = 0;

	nlattr_for_each_nested (before, nest) {
		if (before == attr)
			break;
		index += nlattr_type(before) == nlattr_type(attr);
	}
	return index;
}

/* Flags of which none is set, a nest with nothing in it. */
static bool is_zero(const struct nlattr *attr)
{
	const uint8_t *bytes = nlattr_data(attr);

	for (size_t i = 0; i < nlattr_size(attr); i++) {
		if (bytes[i])
			return false;
	}
	return true;
}

/* Items of a list come several times, in an order that matters; a value comes once or not at all. */
static bool nests_equal(const struct nlattr *want, const struct nlattr *have)
{
	const struct nlattr *attr;

	nlattr_for_each_nested (attr, want) {
		unsigned index = index_of(want, attr);
		const struct nlattr *other = nth(have, nlattr_type(attr), index);

		if (!nft_attrs_equal(attr, other))
			return false;
	}
	nlattr_for_each_nested (attr, have) {
		uint16_t type = nlattr_type(attr);

		if (!nth(want, type, 0) ? !is_zero(attr) : !nth(want, type, index_of(have, attr)))
			return false;
	}
	return true;
}

bool nft_attrs_equal(const struct nlattr *want, const struct nlattr *have)
{
	if (!want || !have)
		return !(want || have) || is_zero(want ? want : have);
	if (nlattr_type(want) != nlattr_type(have))
		return false;
	if (want->nla_type & NLA_F_NESTED)
		return nests_equal(want, have);
	return nlattr_size(want) == nlattr_size(have) &&
	       memcmp(nlattr_data(want), nlattr_data(have), nlattr_size(want)) == 0;
}

/* ---- messages ---- */

/* What is judged of a message, and what it is called. */
struct judged {
	uint16_t type;
	const char *name;
};

static const struct judged table_judged[] = {
	{ NFTA_TABLE_FLAGS, "flags" },
	{ NFTA_TABLE_OWNER, "owner" },
	{ 0, NULL },
};
static const struct judged chain_judged[] = {
	{ NFTA_CHAIN_TYPE, "type" },        { NFTA_CHAIN_HOOK, "hook or priority" },
	{ NFTA_CHAIN_POLICY, "policy" },    { NFTA_CHAIN_COUNTERS, "counters" },
	{ NFTA_CHAIN_USERDATA, "comment" }, { 0, NULL },
};
static const struct judged set_judged[] = {
	{ NFTA_SET_KEY_TYPE, "type" },
	{ NFTA_SET_KEY_LEN, "key length" },
	{ NFTA_SET_FLAGS, "flags" },
	{ NFTA_SET_DATA_TYPE, "data type" },
	{ NFTA_SET_OBJ_TYPE, "object type" },
	{ NFTA_SET_TIMEOUT, "timeout" },
	{ NFTA_SET_GC_INTERVAL, "gc-interval" },
	{ NFTA_SET_POLICY, "policy" },
	{ NFTA_SET_DESC, "size" },
	{ NFTA_SET_EXPR, "statement" },
	{ NFTA_SET_EXPRESSIONS, "statement" },
	{ 0, NULL },
};
static const struct judged counter_judged[] = {
	{ NFTA_OBJ_TYPE, "type" },
	{ 0, NULL },
};
static const struct judged rule_judged[] = {
	{ NFTA_RULE_EXPRESSIONS, "rule" },
	{ NFTA_RULE_COMPAT, "rule" },
	{ NFTA_RULE_USERDATA, "comment of a rule" },
	{ 0, NULL },
};

/* What the kernel shows that we do not send: that a base chain is one. */
static bool has_chain_flags(const struct nlmsghdr *chain)
{
	return nft_be32(nft_find(chain, NFTA_CHAIN_FLAGS)) & ~(uint32_t)NFT_CHAIN_BASE;
}

/* User data of tables is kept since then. */
static bool kernel_keeps_marks(void)
{
	struct utsname u;
	unsigned major;
	unsigned minor;

	return uname(&u) == 0 && sscanf(u.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 5 || (major == 5 && minor >= 10));
}

static bool mark_differs(const struct nft_table *want, const struct nlmsghdr *have)
{
	const struct nlattr *mark = nft_find(have, NFTA_TABLE_USERDATA);

	return want->mark && (mark || kernel_keeps_marks()) &&
	       strcmp(nft_comment(mark), want->mark) != 0;
}

/* ---- the comparison ---- */

#define OBJECTS_MAX 24

struct comparison {
	const struct nft_ruleset *want;
	char *why;
	size_t why_size;
	struct nlmsghdr *message; /* what the answer should be */
	uint32_t use;             /* how many things the table holds */
	/* of each question about an object */
	struct object {
		const struct kind *kind;
		size_t index; /* among its kind */
	} objects[OBJECTS_MAX];
	size_t next[OBJECTS_MAX]; /* by chain: the rule expected next */
};

static void differs(struct comparison *c, const char *what, const char *name, const char *how,
		    const char *property)
{
	if (!c->why[0])
		snprintf(c->why, c->why_size, "%s %s %s%s", what, name, how, property);
}

static void judge(struct comparison *c, const struct judged *judged, const struct nlmsghdr *have,
		  const char *what, const char *name)
{
	for (const struct judged *j = judged; j->name; j++) {
		if (!nft_attrs_equal(nft_find(c->message, j->type), nft_find(have, j->type))) {
			differs(c, what, name, "has another ", j->name);
			return;
		}
	}
}

/* Each encodes what the `index`th object of its kind should be, and returns its name. */

static const char *put_table(struct comparison *c, size_t index UNUSED)
{
	nft_put_table(c->message, &c->want->table);
	return c->want->table.name;
}

static const char *put_chain(struct comparison *c, size_t index)
{
	nft_put_chain(c->message, &c->want->table, &c->want->chains[index]);
	return c->want->chains[index].name;
}

static const char *put_set(struct comparison *c, size_t index)
{
	nft_put_set(c->message, &c->want->table, &c->want->sets[index]);
	return c->want->sets[index].name;
}

static const char *put_counter(struct comparison *c, size_t index)
{
	nft_put_counter(c->message, &c->want->table, &c->want->counters[index]);
	return c->want->counters[index].name;
}

static void judge_table(struct comparison *c, const struct nlmsghdr *have, const char *name)
{
	c->use = nft_be32(nft_find(have, NFTA_TABLE_USE));
	if (nft_be32(nft_find(have, NFTA_TABLE_FLAGS)) & NFT_TABLE_F_DORMANT)
		differs(c, "table", name, "is dormant", "");
	if (mark_differs(&c->want->table, have))
		differs(c, "table", name, "has another ", "mark");
}

static void judge_chain(struct comparison *c, const struct nlmsghdr *have, const char *name)
{
	if (has_chain_flags(have))
		differs(c, "chain", name, "has another ", "flag");
}

/* Kinds of objects in the order of comparison. Everywhere the table's name is attribute 1. */
static const struct kind {
	const char *what;
	uint8_t message;
	uint16_t name_attr;
	uint32_t object;
	const char *(*put)(struct comparison *c, size_t index);
	/* What the attributes alone do not tell, or NULL. */
	void (*judge)(struct comparison *c, const struct nlmsghdr *have, const char *name);
	const struct judged *judged;
} kinds[] = {
	{ "table", NFT_MSG_GETTABLE, 0, 0, put_table, judge_table, table_judged },
	{ "chain", NFT_MSG_GETCHAIN, NFTA_CHAIN_NAME, 0, put_chain, judge_chain, chain_judged },
	{ "set", NFT_MSG_GETSET, NFTA_SET_NAME, 0, put_set, NULL, set_judged },
	{ "counter", NFT_MSG_GETOBJ, NFTA_OBJ_NAME, NFT_OBJECT_COUNTER, put_counter, NULL,
	  counter_judged },
};

static void compare_object(void *arg, size_t index, const struct nlmsghdr *have)
{
	struct comparison *c = arg;
	const struct object *o = &c->objects[index];
	const struct kind *k = o->kind;
	const char *name;

	nft_put_header(c->message, k->message, 0, c->want->table.family);
	name = k->put(c, o->index);
	if (!have) {
		differs(c, k->what, name, "is missing", "");
		return;
	}
	if (k->judge)
		k->judge(c, have, name);
	judge(c, k->judged, have, k->what, name);
}

static int compare_objects(struct netlink *nl, struct comparison *c, struct err *e)
{
	const struct nft_ruleset *want = c->want;
	const size_t lens[] = { 1, want->chains_len, want->sets_len, want->counters_len };
	struct nft_query questions[OBJECTS_MAX] = { 0 };
	size_t len = 0;

	_Static_assert(ARRAY_LEN(lens) == ARRAY_LEN(kinds), "a number for each kind");
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		for (size_t i = 0; i < lens[k] && len < OBJECTS_MAX; i++) {
			struct nft_query *q = &questions[len];

			if (kinds[k].put == put_chain && want->chains_without & 1u << i)
				continue;
			nft_put_header(c->message, kinds[k].message, 0, want->table.family);
			c->objects[len++] = (struct object){ &kinds[k], i };
			q->message = kinds[k].message;
			q->family = want->table.family;
			q->by[0].type = NFTA_TABLE_NAME;
			q->by[0].text = want->table.name;
			q->by[1].type = kinds[k].name_attr;
			q->by[1].text = k == 0 ? NULL : kinds[k].put(c, i);
			q->object = kinds[k].object;
		}
	}
	return nft_ask(nl, questions, len, compare_object, c, e);
}

/* ---- rules ---- */

/* The rule of a chain at or behind this one; rules_len if there is none. */
static size_t rule_from(const struct nft_ruleset *r, size_t chain, size_t index)
{
	while (index < r->rules_len && r->rules[index].chain != chain)
		index++;
	return index;
}

static void rules_reset(void *arg)
{
	struct comparison *c = arg;

	c->why[0] = '\0';
	for (size_t i = 0; i < c->want->chains_len; i++)
		c->next[i] = rule_from(c->want, i, 0);
}

static void compare_rule(void *arg, const struct nlmsghdr *have)
{
	struct comparison *c = arg;
	const struct nft_ruleset *want = c->want;
	const char *name = nft_text(nft_find(have, NFTA_RULE_CHAIN));
	size_t chain = 0;
	size_t index;

	while (chain < want->chains_len && strcmp(want->chains[chain].name, name) != 0)
		chain++;
	if (chain == want->chains_len)
		return; /* others' chains are not judged by their rules */
	index = c->next[chain];
	if (index == want->rules_len) {
		differs(c, "chain", name, "has a rule more", "");
		return;
	}
	nft_put_header(c->message, NFT_MSG_NEWRULE, 0, want->table.family);
	nft_put_rule(c->message, want, &want->rules[index]);
	judge(c, rule_judged, have, "chain", name);
	c->next[chain] = rule_from(want, chain, index + 1);
}

/* One dump for all chains: it is what takes longest. */
static int compare_rules(struct netlink *nl, struct comparison *c, struct err *e)
{
	const struct nft_query q = { .message = NFT_MSG_GETRULE,
				     .family = c->want->table.family,
				     .by = { { NFTA_RULE_TABLE, c->want->table.name } } };
	int rc = nft_dump(nl, &q, rules_reset, compare_rule, c, e);

	for (size_t i = 0; i < c->want->chains_len && rc == 0; i++) {
		if (c->next[i] < c->want->rules_len)
			differs(c, "chain", c->want->chains[i].name, "lacks a rule", "");
	}
	return rc;
}

int nft_compare(struct netlink *nl, const struct nft_ruleset *want, char *ret_why, size_t why_size,
		struct err *e)
{
	char room[NFT_MESSAGE_ROOM] __attribute__((aligned(8)));
	struct comparison c = {
		.want = want,
		.why = ret_why,
		.why_size = why_size,
		.message = (struct nlmsghdr *)(void *)room,
	};
	size_t len = want->chains_len + want->sets_len + want->counters_len -
		     (size_t)__builtin_popcount(want->chains_without);
	int rc;

	ret_why[0] = '\0';
	if (len >= OBJECTS_MAX)
		return err_set(e, -E2BIG, "nftables: table %s is larger than expected",
			       want->table.name);
	rc = compare_objects(nl, &c, e);
	if (rc == 0 && !ret_why[0])
		rc = compare_rules(nl, &c, e);
	if (rc < 0)
		return rc;
	/* All of ours are there: that many, or somebody put something in. */
	if (!ret_why[0] && !want->shared && c.use != len)
		differs(&c, "table", want->table.name, "has something more", "");
	return 0;
}
