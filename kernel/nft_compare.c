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

	mnl_attr_for_each_nested (attr, nest) {
		if (mnl_attr_get_type(attr) == type && index-- == 0)
			return attr;
	}
	return NULL;
}

static unsigned index_of(const struct nlattr *nest, const struct nlattr *attr)
{
	const struct nlattr *before;
	unsigned index = 0;

	mnl_attr_for_each_nested (before, nest) {
		if (before == attr)
			break;
		index += mnl_attr_get_type(before) == mnl_attr_get_type(attr);
	}
	return index;
}

/* Flags of which none is set, a nest with nothing in it. */
static bool is_zero(const struct nlattr *attr)
{
	const uint8_t *bytes = mnl_attr_get_payload(attr);

	for (size_t i = 0; i < mnl_attr_get_payload_len(attr); i++) {
		if (bytes[i])
			return false;
	}
	return true;
}

/* Items of a list come several times, in an order that matters; a value comes once or not at all. */
static bool nests_equal(const struct nlattr *want, const struct nlattr *have)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested (attr, want) {
		unsigned index = index_of(want, attr);
		const struct nlattr *other = nth(have, mnl_attr_get_type(attr), index);

		if (!nft_attrs_equal(attr, other))
			return false;
	}
	mnl_attr_for_each_nested (attr, have) {
		uint16_t type = mnl_attr_get_type(attr);

		if (!nth(want, type, 0) ? !is_zero(attr) : !nth(want, type, index_of(have, attr)))
			return false;
	}
	return true;
}

bool nft_attrs_equal(const struct nlattr *want, const struct nlattr *have)
{
	if (!want || !have)
		return !(want || have) || is_zero(want ? want : have);
	if (mnl_attr_get_type(want) != mnl_attr_get_type(have))
		return false;
	if (want->nla_type & NLA_F_NESTED)
		return nests_equal(want, have);
	return mnl_attr_get_payload_len(want) == mnl_attr_get_payload_len(have) &&
	       memcmp(mnl_attr_get_payload(want), mnl_attr_get_payload(have),
		      mnl_attr_get_payload_len(want)) == 0;
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

/* ---- objects, one after the other ---- */

struct comparison {
	const struct nft_ruleset *want;
	char *why;
	size_t why_size;
	/* of the question under way */
	const char *what; /* "chain", "set", ... */
	const char *name;
	const struct judged *judged;
	struct nlmsghdr *message; /* what the answer should be */
	uint32_t use;             /* how many things the table holds */
	size_t chain;             /* whose rules are read */
	size_t next;              /* rule expected next */
};

static void differs(struct comparison *c, const char *how, const char *name)
{
	if (!c->why[0])
		snprintf(c->why, c->why_size, "%s %s %s%s", c->what, c->name, how, name);
}

static void judge(void *arg, const struct nlmsghdr *have)
{
	struct comparison *c = arg;

	for (const struct judged *j = c->judged; j->name; j++) {
		if (!nft_attrs_equal(nft_find(c->message, j->type), nft_find(have, j->type))) {
			differs(c, "has another ", j->name);
			return;
		}
	}
}

static void judge_table(void *arg, const struct nlmsghdr *hdr)
{
	struct comparison *c = arg;

	c->use = nft_be32(nft_find(hdr, NFTA_TABLE_USE));
	if (nft_be32(nft_find(hdr, NFTA_TABLE_FLAGS)) & NFT_TABLE_F_DORMANT)
		differs(c, "is dormant", "");
	if (mark_differs(&c->want->table, hdr))
		differs(c, "has another ", "mark");
	judge(c, hdr);
}

static void judge_chain(void *arg, const struct nlmsghdr *hdr)
{
	struct comparison *c = arg;

	if (has_chain_flags(hdr))
		differs(c, "has another ", "flag");
	judge(c, hdr);
}

static void judge_rule(void *arg, const struct nlmsghdr *hdr)
{
	struct comparison *c = arg;
	const struct nft_ruleset *want = c->want;

	if (c->next == want->rules_len) {
		differs(c, "has a rule more", "");
		return;
	}
	nft_put_header(c->message, NFT_MSG_NEWRULE, 0, want->table.family);
	nft_put_rule(c->message, want, &want->rules[c->next]);
	judge(c, hdr);
	do
		c->next++;
	while (c->next < want->rules_len && want->rules[c->next].chain != c->chain);
}

static void rules_reset(void *arg)
{
	struct comparison *c = arg;

	c->why[0] = '\0';
	for (c->next = 0;
	     c->next < c->want->rules_len && c->want->rules[c->next].chain != c->chain;)
		c->next++;
}

/* Encodes what the `index`th object of a kind should be; returns its name, NULL after the last. */
typedef const char *put_fn(struct comparison *c, size_t index);

static const char *put_table(struct comparison *c, size_t index)
{
	if (index == 1)
		return NULL;
	nft_put_table(c->message, &c->want->table);
	return c->want->table.name;
}

static const char *put_chain(struct comparison *c, size_t index)
{
	if (index == c->want->chains_len)
		return NULL;
	nft_put_chain(c->message, &c->want->table, &c->want->chains[index]);
	return c->want->chains[index].name;
}

static const char *put_set(struct comparison *c, size_t index)
{
	if (index == c->want->sets_len)
		return NULL;
	nft_put_set(c->message, &c->want->table, &c->want->sets[index]);
	return c->want->sets[index].name;
}

static const char *put_counter(struct comparison *c, size_t index)
{
	if (index == c->want->counters_len)
		return NULL;
	nft_put_counter(c->message, &c->want->table, &c->want->counters[index]);
	return c->want->counters[index].name;
}

/* The kinds of objects in the order of comparison. Everywhere the table's name is attribute 1. */
static const struct kind {
	const char *what;
	uint8_t message;
	uint16_t name_attr;
	uint32_t object;
	put_fn *put;
	nft_message_fn *judge;
	const struct judged *judged;
} kinds[] = {
	{ "table", NFT_MSG_GETTABLE, 0, 0, put_table, judge_table, table_judged },
	{ "chain", NFT_MSG_GETCHAIN, NFTA_CHAIN_NAME, 0, put_chain, judge_chain, chain_judged },
	{ "set", NFT_MSG_GETSET, NFTA_SET_NAME, 0, put_set, judge, set_judged },
	{ "counter", NFT_MSG_GETOBJ, NFTA_OBJ_NAME, NFT_OBJECT_COUNTER, put_counter, judge,
	  counter_judged },
};

static int compare_objects(struct netlink *nl, struct comparison *c, const struct kind *k,
			   struct err *e)
{
	const struct nft_table *t = &c->want->table;

	c->what = k->what;
	c->judged = k->judged;
	for (size_t i = 0; !c->why[0]; i++) {
		struct nft_query q = {
			k->message, t->family, { { NFTA_TABLE_NAME, t->name } }, k->object
		};
		int rc;

		nft_put_header(c->message, k->message, 0, t->family);
		c->name = k->put(c, i);
		if (!c->name)
			break;
		q.by[1].type = k->name_attr;
		q.by[1].text = k->name_attr ? c->name : NULL;
		rc = nft_get(nl, &q, k->judge, c, e);
		if (rc == -ENOENT)
			differs(c, "is missing", "");
		else if (rc < 0)
			return rc;
	}
	return 0;
}

static int compare_rules(struct netlink *nl, struct comparison *c, struct err *e)
{
	int rc = 0;

	c->what = "chain";
	c->judged = rule_judged;
	for (c->chain = 0; c->chain < c->want->chains_len && rc == 0 && !c->why[0]; c->chain++) {
		const struct nft_query q = {
			NFT_MSG_GETRULE,
			c->want->table.family,
			{ { NFTA_RULE_TABLE, c->want->table.name },
			  { NFTA_RULE_CHAIN, c->want->chains[c->chain].name } },
			0,
		};

		c->name = c->want->chains[c->chain].name;
		rc = nft_dump(nl, &q, rules_reset, judge_rule, c, e);
		if (rc == 0 && c->next < c->want->rules_len)
			differs(c, "lacks a rule", "");
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
	int rc = 0;

	ret_why[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(kinds) && rc == 0; i++)
		rc = compare_objects(nl, &c, &kinds[i], e);
	if (rc == 0)
		rc = compare_rules(nl, &c, e);
	if (rc < 0)
		return rc;
	/* All of ours are there: that many, or somebody put something in. */
	if (!ret_why[0] && !want->shared &&
	    c.use != want->chains_len + want->sets_len + want->counters_len)
		snprintf(ret_why, why_size, "table %s has something more", want->table.name);
	return 0;
}
