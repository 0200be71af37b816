/* SPDX-License-Identifier: Apache-2.0 */
/* kernel/policy_rule: what a rule says, whom it is meant for, how it is shown. */
#include "tests/unit/test.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "kernel/message.h"
#include "kernel/policy_rule.h"

static struct ip_addr addr(const char *text)
{
	struct ip_addr a;

	assert_int_equal(ip_addr_parse(text, AF_UNSPEC, &a, NULL), 0);
	return a;
}

static struct ip_net net(const char *text)
{
	struct ip_net n;

	assert_int_equal(ip_net_parse(text, AF_UNSPEC, &n, NULL), 0);
	return n;
}

static void test_what_every_host_has(void **state UNUSED)
{
	struct policy_rule r = { .family = AF_INET,
				 .table = RT_TABLE_MAIN,
				 .priority = 32766,
				 .action = FR_ACT_TO_TBL };

	assert_true(policy_rule_is_default(&r));
	r.table = 77;
	assert_false(policy_rule_is_default(&r));
	r = (struct policy_rule){ .table = RT_TABLE_LOCAL, .action = FR_ACT_TO_TBL };
	assert_true(policy_rule_is_default(&r));
	r.mask = 1;
	assert_false(policy_rule_is_default(&r));
	r = (struct policy_rule){ .priority = 32767,
				  .table = RT_TABLE_DEFAULT,
				  .action = FR_ACT_TO_TBL };
	assert_true(policy_rule_is_default(&r));
	r.to = net("10.0.0.0/8");
	assert_false(policy_rule_is_default(&r));
}

static void test_whom_it_fits(void **state UNUSED)
{
	struct policy_question own = { .dst = addr("10.5.3.0") };
	struct policy_question container = { .dst = addr("10.5.3.0"),
					     .src = addr("10.5.1.2"),
					     .iif_ifindex = 4 };
	struct {
		struct policy_rule rule;
		bool own;
		bool container;
	} cases[] = {
		{ { 0 }, true, true },
		{ { .to = net("10.5.0.0/16") }, true, true },
		{ { .to = net("10.6.0.0/16") }, false, false },
		{ { .to = net("10.6.0.0/16"), .inverted = true }, true, true },
		{ { .from = net("10.5.0.0/16") }, false, true },
		{ { .iif = "cni0" }, false, true },
		{ { .iif = "lo" }, true, false },
		{ { .oif = "eth0" }, false, false },
		{ { .mark = 0x80000, .mask = 0xff0000 }, false, false },
		{ { .mark = 0x80000, .mask = 0xff0000, .inverted = true }, true, true },
		{ { .mark = 0, .mask = 0xff }, true, true },
		{ { .narrower = true }, false, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		cases[i].rule.family = AF_INET;
		assert_int_equal(policy_rule_fits(&cases[i].rule, &own, ""), cases[i].own);
		assert_int_equal(policy_rule_fits(&cases[i].rule, &container, "cni0"),
				 cases[i].container);
		cases[i].rule.family = AF_INET6;
		assert_false(policy_rule_fits(&cases[i].rule, &own, ""));
	}
}

static void test_how_it_is_read_and_shown(void **state UNUSED)
{
	char buffer[512] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = nlmsg_begin(buffer);
	struct fib_rule_hdr *m = nlmsg_put_header(hdr, sizeof(*m));
	struct ip_net to = net("fd10:5::/48");
	char text[POLICY_RULE_TEXT];
	struct policy_rule r;

	hdr->nlmsg_type = RTM_NEWRULE;
	*m = (struct fib_rule_hdr){ .family = AF_INET6,
				    .dst_len = 48,
				    .action = FR_ACT_PROHIBIT,
				    .flags = FIB_RULE_INVERT };
	nlattr_put(hdr, FRA_DST, 16, to.addr.b);
	nlattr_put_text(hdr, FRA_IIFNAME, "cni0");
	nlattr_put_u32(hdr, FRA_PRIORITY, 100);
	nlattr_put_u32(hdr, FRA_FWMARK, 16);
	nlattr_put_u32(hdr, FRA_FWMASK, 255);
	assert_true(policy_rule_decode(hdr, &r));
	assert_string_equal(policy_rule_format(&r, text),
			    "100: not from all to fd10:5::/48 fwmark 0x10/0xff iif cni0 prohibit");
	m->dst_len = 129;
	assert_false(policy_rule_decode(hdr, &r));
	hdr->nlmsg_type = RTM_NEWROUTE;
	assert_false(policy_rule_decode(hdr, &r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_every_host_has),
		cmocka_unit_test(test_whom_it_fits),
		cmocka_unit_test(test_how_it_is_read_and_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
