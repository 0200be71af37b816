/* SPDX-License-Identifier: Apache-2.0 */
/* cni-plugin/ruleset: names that nft reads back, and the chain named after what it says. */
#include "tests/unit/test.h"

#include "cni-plugin/ruleset.h"
#include "tests/unit/nft_words.h"

static void check_names(const struct nft_ruleset *r)
{
	assert_nft_name(r->table.name);
	for (size_t i = 0; i < r->chains_len; i++)
		assert_nft_name(r->chains[i].name);
	for (size_t i = 0; i < r->sets_len; i++)
		assert_nft_name(r->sets[i].name);
}

static void test_names_are_no_words(void **state UNUSED)
{
	static struct ruleset rules;

	ruleset_masquerade(NULL, 0, &rules);
	check_names(&rules.nft);
	ruleset_guard(&rules);
	check_names(&rules.nft);
	ruleset_publish(&rules);
	check_names(&rules.nft);
}

static void test_a_chain_is_named_after_its_exceptions(void **state UNUSED)
{
	static struct ruleset rules[3];
	static struct ip_net many[RULESET_EXCEPT_MAX];
	const struct ip_net nets[] = { test_net("10.5.0.0/16"), test_net("fd10::/48") };
	const struct ip_net other[] = { test_net("fd10::/48"), test_net("10.5.0.0/16") };

	ruleset_masquerade(nets, 2, &rules[0]);
	ruleset_masquerade(nets, 2, &rules[1]);
	ruleset_masquerade(other, 2, &rules[2]);
	assert_string_equal(rules[0].chain_name, rules[1].chain_name);
	assert_string_not_equal(rules[0].chain_name, rules[2].chain_name);
	assert_int_equal(rules[0].nft.rules_len, 2 + 2 + RULESET_MULTICAST + 1);
	/* As many as there can be. */
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = nets[0];
	ruleset_masquerade(many, ARRAY_LEN(many), &rules[0]);
	assert_int_equal(rules[0].nft.rules_len, ARRAY_LEN(rules[0].rules));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_are_no_words),
		cmocka_unit_test(test_a_chain_is_named_after_its_exceptions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
