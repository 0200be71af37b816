/* SPDX-License-Identifier: Apache-2.0 */
/* nft: what is altered in the kernel is found by the comparison, whatever it is; and what is not is not. */
#include "tests/unit/test.h"

#include <endian.h>
#include <linux/netfilter.h>

#include "tests/unit/nft_kernel.h"

static const struct nft_chain chains[] = {
	{ "entry-chain", "filter", NF_INET_PRE_ROUTING, -300 },
	{ "inner-chain", NULL, 0, 0 },
};
static const struct nft_set sets[] = {
	{ .name = "peer-set", .type = NFT_KEY_IPV4 },
	{ .name = "mac-set", .type = NFT_KEY_IFNAME_ETHER },
	{ .name = "goto-map", .type = NFT_KEY_IPV4, .verdicts = true },
	{ .name = "seen-set", .type = NFT_KEY_IPV4, .memory_len = 256, .memory_s = 600 },
	{ .name = "port-map", .type = NFT_KEY_IPV6_PROTO_PORT, .target = NFT_KEY_IPV6_PORT },
	{ .name = "path-set", .type = NFT_KEY_IFNAMES_IPV6 },
};
static const struct nft_counter counters[] = { { "drop-counter", 1, 2 } };
static const struct nft_rule rules[] = {
	{ .chain = 0, .udp_port = 8472, .action = NFT_ACTION_JUMP, .jump = "inner-chain" },
	{ .chain = 1,
	  .family = AF_INET,
	  .source_set = "peer-set",
	  .source_set_not = true,
	  .action = NFT_ACTION_DROP,
	  .counter = "drop-counter",
	  .comment = "no peer" },
	{ .chain = 0, .family = AF_INET, .action = NFT_ACTION_MAP, .source_map = "goto-map" },
	{ .chain = 1, .in_foreign_mac = "mac-set", .action = NFT_ACTION_DROP },
	{ .chain = 1, .family = AF_INET, .action = NFT_ACTION_REMEMBER, .remember = "seen-set" },
	{ .chain = 1,
	  .family = AF_INET6,
	  .action = NFT_ACTION_REDIRECT,
	  .target_map = "port-map",
	  .target_by_address = true },
	{ .chain = 1,
	  .family = AF_INET6,
	  .in_device = "lo",
	  .in_device_not = true,
	  .redirected = true,
	  .path_set = "path-set",
	  .action = NFT_ACTION_MASQUERADE },
};

static const struct nft_ruleset ruleset = {
	.table = { .family = NFPROTO_INET, .name = "some-table", .mark = "a mark" },
	.chains = chains,
	.chains_len = ARRAY_LEN(chains),
	.sets = sets,
	.sets_len = ARRAY_LEN(sets),
	.counters = counters,
	.counters_len = ARRAY_LEN(counters),
	.rules = rules,
	.rules_len = ARRAY_LEN(rules),
};

/* ---- the kernel's messages ---- */

enum { TABLE, CHAIN, SET = CHAIN + 2, COUNTER = SET + 6, RULE, MESSAGES = RULE + 7 };

static char room[MESSAGES + 1][2048] __attribute__((aligned(8)));

static struct nlmsghdr *message(size_t index, uint8_t type)
{
	struct nlmsghdr *hdr;

	memset(room[index], 0, sizeof(room[index]));
	hdr = nft_put_header(room[index], type, 0, NFPROTO_INET);
	nft_kernel.messages[index] = hdr;
	nft_kernel.len = MAX(nft_kernel.len, index + 1);
	return hdr;
}

/* With what the kernel adds by itself. */
static void show(const struct nft_ruleset *r)
{
	struct nlmsghdr *hdr;

	nft_kernel.len = 0;
	hdr = message(TABLE, NFT_MSG_NEWTABLE);
	nft_put_table(hdr, &r->table);
	nft_put_be32(hdr, NFTA_TABLE_USE, 9);
	nlattr_put_u64(hdr, NFTA_TABLE_HANDLE, 7);
	for (size_t i = 0; i < ARRAY_LEN(chains); i++) {
		hdr = message(CHAIN + i, NFT_MSG_NEWCHAIN);
		nft_put_chain(hdr, &r->table, &r->chains[i]);
		if (r->chains[i].type)
			nft_put_be32(hdr, NFTA_CHAIN_FLAGS, NFT_CHAIN_BASE);
		nft_put_be32(hdr, NFTA_CHAIN_USE, 3);
	}
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		hdr = message(SET + i, NFT_MSG_NEWSET);
		nft_put_set(hdr, &r->table, &r->sets[i]);
		nlattr_put(hdr, NFTA_SET_DESC, 0, NULL);
		if (r->sets[i].verdicts)
			nft_put_be32(hdr, NFTA_SET_DATA_LEN, 16);
		nlattr_put_text(hdr, 19, "hash"); /* 6.18: implementation and number of elements */
		nft_put_be32(hdr, 20, 5);
	}
	hdr = message(COUNTER, NFT_MSG_NEWOBJ);
	nft_put_counter(hdr, &r->table, &r->counters[0]);
	nft_put_be32(hdr, NFTA_OBJ_USE, 1);
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		hdr = message(RULE + i, NFT_MSG_NEWRULE);
		nlattr_put_u64(hdr, NFTA_RULE_HANDLE, i);
		nft_put_rule(hdr, r, &r->rules[i]);
		nlattr_put_u64(hdr, NFTA_RULE_POSITION, i);
	}
}

static struct nlmsghdr *shown(size_t index)
{
	return (struct nlmsghdr *)(void *)room[index];
}

static void assert_differs(const struct nft_ruleset *want, const char *reason)
{
	char why[128];
	struct err e;

	assert_int_equal(nft_compare(NULL, want, why, sizeof(why), &e), 0);
	assert_string_equal(why, reason);
}

static void test_what_we_wrote_is_equal(void **state UNUSED)
{
	show(&ruleset);
	assert_differs(&ruleset, "");
}

static void test_another_number_of_things(void **state UNUSED)
{
	struct nft_ruleset shared = ruleset;

	show(&ruleset);
	nft_put_table(message(TABLE, NFT_MSG_NEWTABLE), &ruleset.table);
	nft_put_be32(shown(TABLE), NFTA_TABLE_USE, 10);
	assert_differs(&ruleset, "table some-table has something more");
	shared.shared = true;
	assert_differs(&shared, "");
	show(&ruleset);
	nft_kernel.len = RULE + 4;
	assert_differs(&ruleset, "chain inner-chain lacks a rule");
	show(&ruleset);
	nft_put_rule(message(MESSAGES, NFT_MSG_NEWRULE), &ruleset, &rules[0]);
	assert_differs(&ruleset, "chain entry-chain has a rule more");
	nft_kernel.len = 0;
	assert_differs(&ruleset, "table some-table is missing");
}

/* An attribute that we did not write, in a message of each kind. */
static void test_every_property_counts(void **state UNUSED)
{
	static const struct {
		size_t index;
		uint16_t type;
		const char *why;
	} rows[] = {
		{ TABLE, NFTA_TABLE_OWNER, "table some-table has another owner" },
		{ CHAIN, NFTA_CHAIN_COUNTERS, "chain entry-chain has another counters" },
		{ CHAIN, NFTA_CHAIN_USERDATA, "chain entry-chain has another comment" },
		{ CHAIN + 1, NFTA_CHAIN_TYPE, "chain inner-chain has another type" },
		{ CHAIN + 1, NFTA_CHAIN_HOOK, "chain inner-chain has another hook or priority" },
		{ CHAIN + 1, NFTA_CHAIN_POLICY, "chain inner-chain has another policy" },
		{ SET, NFTA_SET_DATA_TYPE, "set peer-set has another data type" },
		{ SET, NFTA_SET_OBJ_TYPE, "set peer-set has another object type" },
		{ SET, NFTA_SET_TIMEOUT, "set peer-set has another timeout" },
		{ SET, NFTA_SET_GC_INTERVAL, "set peer-set has another gc-interval" },
		{ SET, NFTA_SET_POLICY, "set peer-set has another policy" },
		{ SET, NFTA_SET_EXPR, "set peer-set has another statement" },
		{ SET, NFTA_SET_EXPRESSIONS, "set peer-set has another statement" },
		{ RULE, NFTA_RULE_COMPAT, "chain entry-chain has another rule" },
		{ RULE, NFTA_RULE_USERDATA, "chain entry-chain has another comment of a rule" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		show(&ruleset);
		nft_put_be32(shown(rows[i].index), rows[i].type, 1);
		assert_differs(&ruleset, rows[i].why);
	}
}

/* One value for another: the kernel shows what `other` says. */
static void assert_finds(const struct nft_ruleset *other, const char *why)
{
	show(other);
	assert_differs(&ruleset, why);
}

static void test_every_value_counts(void **state UNUSED)
{
	struct nft_ruleset other = ruleset;
	struct nft_chain c[2] = { chains[0], chains[1] };
	struct nft_set s[ARRAY_LEN(sets)];
	struct nft_rule r[ARRAY_LEN(rules)];

	other.chains = c;
	other.sets = s;
	other.rules = r;
	memcpy(r, rules, sizeof(r));
	memcpy(s, sets, sizeof(s));
	c[0].priority++;
	assert_finds(&other, "chain entry-chain has another hook or priority");
	c[0] = chains[0];
	c[0].hook++;
	assert_finds(&other, "chain entry-chain has another hook or priority");
	c[0] = chains[0];
	c[0].type = "route";
	assert_finds(&other, "chain entry-chain has another type");
	c[0] = (struct nft_chain){ .name = chains[0].name };
	assert_finds(&other, "chain entry-chain has another type");
	c[0] = chains[0];
	s[0].type = NFT_KEY_IPV6;
	assert_finds(&other, "set peer-set has another type");
	s[0] = sets[0];
	s[0].verdicts = true;
	assert_finds(&other, "set peer-set has another flags");
	s[0] = sets[0];
	s[3].memory_s++;
	assert_finds(&other, "set seen-set has another timeout");
	s[3] = sets[3];
	s[3].memory_len++;
	assert_finds(&other, "set seen-set has another size");
	s[3].memory_len = 0;
	assert_finds(&other, "set seen-set has another flags");
	s[3] = sets[3];
	r[4].remember = "peer-set";
	assert_finds(&other, "chain inner-chain has another rule");
	r[4] = rules[4];
	r[0].protocol = IPPROTO_IPIP;
	assert_finds(&other, "chain entry-chain has another rule");
	r[0] = rules[0];
	r[1].source_set_not = false;
	assert_finds(&other, "chain inner-chain has another rule");
	r[1] = rules[1];
	r[1].action = NFT_ACTION_ACCEPT;
	assert_finds(&other, "chain inner-chain has another rule");
	r[1] = rules[3];
	r[3] = rules[1];
	assert_finds(&other, "chain inner-chain has another rule");
	memcpy(r, rules, sizeof(r));
	r[1].counter = NULL;
	assert_finds(&other, "chain inner-chain has another rule");
	r[1] = rules[1];
	r[1].comment = NULL;
	assert_finds(&other, "chain inner-chain has another comment of a rule");
	memcpy(r, rules, sizeof(r));
	other.table.mark = "another";
	assert_finds(&other, "table some-table has another mark");
}

static void test_a_dormant_table(void **state UNUSED)
{
	struct nlmsghdr *hdr;

	show(&ruleset);
	hdr = message(TABLE, NFT_MSG_NEWTABLE);
	nlattr_put_text(hdr, NFTA_TABLE_NAME, "some-table");
	nft_put_be32(hdr, NFTA_TABLE_FLAGS, NFT_TABLE_F_DORMANT);
	assert_differs(&ruleset, "table some-table is dormant");
}

/* ---- reading ---- */

struct seen {
	struct nft_element last;
	size_t len;
};

static void see(void *arg, const struct nft_element *el)
{
	struct seen *seen = arg;

	seen->last = *el;
	seen->len++;
}

static void put_element(bool timeout, size_t key_size)
{
	struct nlmsghdr *hdr = message(0, NFT_MSG_NEWSETELEM);
	struct nlattr *list = nlattr_nest_begin(hdr, NFTA_SET_ELEM_LIST_ELEMENTS);
	struct nlattr *item = nlattr_nest_begin(hdr, NFTA_LIST_ELEM);

	nft_put_value(hdr, NFTA_SET_ELEM_KEY, "\1\2\3\4\5\6\7", key_size);
	nft_put_verdict(hdr, NFTA_SET_ELEM_DATA, NFT_GOTO, "there");
	nft_put_comment(hdr, NFTA_SET_ELEM_USERDATA, "whose");
	if (timeout)
		nlattr_put_u64(hdr, NFTA_SET_ELEM_TIMEOUT, 1);
	nlattr_nest_end(hdr, item);
	nlattr_nest_end(hdr, list);
}

static void test_elements_are_read_as_they_are_written(void **state UNUSED)
{
	struct seen seen = { .len = 0 };
	struct err e;

	nft_kernel.len = 0;
	put_element(false, 4);
	assert_int_equal(nft_elements_visit(NULL, &ruleset.table, &sets[2], "abcd", see, &seen, &e),
			 0);
	assert_int_equal(seen.len, 1);
	assert_memory_equal(seen.last.key, "\1\2\3\4", 4);
	assert_string_equal(seen.last.chain, "there");
	assert_string_equal(seen.last.comment, "whose");
	assert_false(seen.last.altered);
	put_element(true, 4);
	assert_int_equal(nft_elements_visit(NULL, &ruleset.table, &sets[2], NULL, see, &seen, &e),
			 0);
	assert_true(seen.last.altered);
	/* A key of another size is none of this set. */
	put_element(false, 5);
	seen.len = 0;
	assert_int_equal(nft_elements_visit(NULL, &ruleset.table, &sets[2], NULL, see, &seen, &e),
			 0);
	assert_int_equal(seen.len, 0);
}

/* What a rule has put in: how often it was seen since, and how long that is remembered. */
static void test_elements_that_a_rule_remembers(void **state UNUSED)
{
	struct seen seen = { .len = 0 };
	struct nlmsghdr *hdr;
	struct nlattr *nests[4];
	struct err e;

	nft_kernel.len = 0;
	hdr = message(0, NFT_MSG_NEWSETELEM);
	nests[0] = nlattr_nest_begin(hdr, NFTA_SET_ELEM_LIST_ELEMENTS);
	nests[1] = nlattr_nest_begin(hdr, NFTA_LIST_ELEM);
	nft_put_value(hdr, NFTA_SET_ELEM_KEY, "\1\2\3\4", 4);
	nlattr_put_u64(hdr, NFTA_SET_ELEM_EXPIRATION, htobe64(599000));
	nests[2] = nlattr_nest_begin(hdr, NFTA_SET_ELEM_EXPR);
	nlattr_put_text(hdr, NFTA_EXPR_NAME, "counter");
	nests[3] = nlattr_nest_begin(hdr, NFTA_EXPR_DATA);
	nlattr_put_u64(hdr, NFTA_COUNTER_PACKETS, htobe64(3));
	for (size_t i = ARRAY_LEN(nests); i > 0; i--)
		nlattr_nest_end(hdr, nests[i - 1]);
	assert_int_equal(nft_elements_visit(NULL, &ruleset.table, &sets[3], NULL, see, &seen, &e),
			 0);
	assert_int_equal(seen.len, 1);
	assert_true(seen.last.packets == 3 && seen.last.left_ms == 599000);
	assert_true(seen.last.altered);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_we_wrote_is_equal),
		cmocka_unit_test(test_elements_that_a_rule_remembers),
		cmocka_unit_test(test_another_number_of_things),
		cmocka_unit_test(test_every_property_counts),
		cmocka_unit_test(test_every_value_counts),
		cmocka_unit_test(test_a_dormant_table),
		cmocka_unit_test(test_elements_are_read_as_they_are_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
