/* SPDX-License-Identifier: Apache-2.0 */
/* traffic/meter: what is counted. fabricctl top's memory of counters has its own test. */
#include "tests/unit/test.h"

#include <netinet/in.h>

#include "traffic/meter.h"

static struct ip_net net(const char *text)
{
	struct ip_net n;

	assert_int_equal(ip_net_parse(text, AF_UNSPEC, &n, NULL), 0);
	return n;
}

static void test_both_families(void **state UNUSED)
{
	struct meter_place place = { { net("10.5.0.0/16"), net("fd10:5::/56") },
				     { net("10.5.3.0/24"), net("fd10:5:0:3::/64") } };
	struct nft_rule rules[METER_RULES_MAX];
	size_t len = meter_rules(&place, rules);
	size_t remembered = 0;

	assert_int_equal(len, METER_RULES_MAX);
	for (size_t i = 0; i < len; i++) {
		const struct nft_rule *r = &rules[i];
		bool in = r->chain == 0;

		assert_int_equal(r->action == NFT_ACTION_RETURN, !r->remember);
		assert_int_equal(ip_net_is_set(&r->source), in);
		assert_int_equal(ip_net_is_set(&r->destination), !in);
		if (r->action == NFT_ACTION_RETURN) {
			/* What stays here goes before what is counted of its family. */
			assert_int_equal(remembered, r->family == AF_INET ? 0 : 2);
			continue;
		}
		remembered++;
		assert_int_equal(r->action, in ? NFT_ACTION_REMEMBER : NFT_ACTION_REMEMBER_TARGET);
		assert_int_equal(strchr(r->remember, '6') != NULL, r->family == AF_INET6);
	}
	assert_int_equal(remembered, 4);
}

static void test_one_family(void **state UNUSED)
{
	struct meter_place place = { { net("10.5.0.0/16") }, { net("10.5.3.0/24") } };
	struct nft_rule rules[METER_RULES_MAX];

	assert_int_equal(meter_rules(&place, rules), 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(rules[i].family, AF_INET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_families),
		cmocka_unit_test(test_one_family),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
