/* SPDX-License-Identifier: Apache-2.0 */
/* filter: what becomes of packets in chains of others; what is not certain is not claimed. */
#include "tests/unit/test.h"

#include <linux/netfilter.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_mark.h>
#include <linux/netfilter/xt_state.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <netinet/in.h>

#include "kernel/filter_nft.h"
#include "tests/unit/nft_kernel.h"

static struct ip_net net(const char *text)
{
	struct ip_net n = { 0 };

	assert_int_equal(*text ? ip_net_parse(text, AF_UNSPEC, &n, NULL) : 0, 0);
	return n;
}

static struct filter_packet packet(void)
{
	return (struct filter_packet){ .family = AF_INET,
				       .in_device = "cni0",
				       .out_device = "flannel.1",
				       .source = net("10.5.1.0/24"),
				       .destination = net("10.5.0.0/16"),
				       .protocol = IPPROTO_TCP,
				       .port = FILTER_SAMPLE_PORT };
}

/* ---- the walk ---- */

/* Chain, whether it matches (n, p, a), what then, where. */
struct line {
	const char *chain;
	char matches;
	enum filter_verdict verdict;
	const char *target;
};

static const struct line *lines;
static const char *const *without;

static bool next_line(void *arg UNUSED, const char *chain, size_t *cursor, struct filter_rule *ret)
{
	for (; lines[*cursor].chain; (*cursor)++) {
		const struct line *l = &lines[*cursor];

		if (strcmp(l->chain, chain) != 0)
			continue;
		*ret = (struct filter_rule){ .verdict = l->verdict,
					     .handle = *cursor + 1,
					     .matches = l->matches == 'n'   ? FILTER_NEVER
							: l->matches == 'p' ? FILTER_PERHAPS
									    : FILTER_ALWAYS };
		snprintf(ret->target, sizeof(ret->target), "%s", l->target ? l->target : "");
		(*cursor)++;
		return true;
	}
	return false;
}

static struct filter_outcome walk(const struct line *with, bool policy_drops)
{
	struct filter_outcome o;

	lines = with;
	filter_walk("base", policy_drops, without, next_line, NULL, &o);
	return o;
}

#define DROP   FILTER_DROP, NULL
#define ACCEPT FILTER_ACCEPT, NULL
#define RETURN FILTER_RETURN, NULL
#define END                                                                                        \
	{                                                                                          \
		NULL, 0, FILTER_CONTINUE, NULL                                                     \
	}

static void check(const struct line *with, bool policy_drops, bool stops, bool passes)
{
	struct filter_outcome o = walk(with, policy_drops);

	assert_int_equal(o.stops, stops);
	assert_int_equal(o.passes, passes);
}

/* What is passed for certain, what perhaps not, and whether two were taken alike. */
static void test_filter_doubt(void **state UNUSED)
{
	static const struct line accepted[] = {
		{ "base", 'n', DROP }, { "base", 'a', ACCEPT }, { "base", 'p', DROP }, END
	};
	static const struct line some[] = { { "base", 'p', DROP }, { "base", 'a', ACCEPT }, END };
	static const struct line inside[] = { { "base", 'p', FILTER_JUMP, "a" },
					      { "a", 'a', DROP },
					      END };
	static const struct line unknown[] = { { "base", 'p', FILTER_UNKNOWN, NULL }, END };
	static const struct line counts[] = { { "base", 'a', FILTER_CONTINUE, NULL },
					      { "base", 'n', DROP },
					      { "base", 'p', DROP },
					      END };
	static const struct line other[] = { { "base", 'a', FILTER_CONTINUE, NULL },
					     { "base", 'n', DROP },
					     { "base", 'p', ACCEPT },
					     END };
	static const struct line nat[] = { { "base", 'p', FILTER_TRANSLATE, NULL }, END };

	assert_false(walk(accepted, true).doubt);
	assert_true(walk(some, false).doubt);
	assert_true(walk(inside, false).doubt);
	assert_true(walk(unknown, false).doubt);
	assert_int_equal(walk(counts, false).way, walk(counts, true).way);
	assert_int_not_equal(walk(counts, false).way, walk(other, false).way);
	assert_int_not_equal(walk(counts, false).way, walk(some, false).way);
	assert_true(walk(nat, false).translates);
	assert_false(walk(some, false).translates);
}

static void test_filter_walk(void **state UNUSED)
{
	static const struct line empty[] = { END };
	static const struct line accepted[] = { { "base", 'a', ACCEPT },
						{ "base", 'a', DROP },
						END };
	static const struct line perhaps[] = { { "base", 'p', ACCEPT },
					       { "base", 'a', DROP },
					       END };
	static const struct line some[] = { { "base", 'p', DROP }, END };
	static const struct line others[] = { { "base", 'n', DROP }, END };
	static const struct line unknown[] = { { "base", 'a', FILTER_UNKNOWN, NULL },
					       { "base", 'a', DROP },
					       END };
	static const struct line jump[] = { { "base", 'a', FILTER_JUMP, "a" },
					    { "base", 'a', DROP },
					    { "a", 'a', RETURN },
					    { "a", 'a', ACCEPT },
					    END };
	static const struct line maybe_return[] = {
		{ "base", 'a', FILTER_JUMP, "a" }, { "a", 'p', RETURN }, { "a", 'a', DROP }, END
	};
	static const struct line go[] = { { "base", 'a', FILTER_GOTO, "a" },
					  { "base", 'a', ACCEPT },
					  END };
	static const struct line loop[] = { { "base", 'a', FILTER_JUMP, "base" },
					    { "base", 'a', DROP },
					    END };

	check(empty, false, false, true);
	check(empty, true, true, false);
	check(accepted, true, false, true);
	check(perhaps, false, false, false);
	check(some, false, false, true);
	check(some, true, true, false);
	check(others, false, false, true);
	check(unknown, false, false, true);
	check(jump, false, true, false);
	check(maybe_return, false, false, true);
	check(go, true, true, false);
	check(loop, false, false, false);
	without = (const char *const[]){ "b", "base", NULL };
	check(loop, false, true, false);
	without = NULL;
}

/* Nothing but to be accepted may become of a packet, for certain. */
static void test_filter_idle(void **state UNUSED)
{
	static const struct line rows[][5] = {
		{ END },
		{ { "base", 'p', ACCEPT }, { "base", 'n', DROP }, END },
		{ { "base", 'a', FILTER_CONTINUE, NULL },
		  { "base", 'n', FILTER_UNKNOWN, NULL },
		  END },
		{ { "base", 'p', FILTER_JUMP, "a" }, { "a", 'n', FILTER_UNKNOWN, NULL }, END },
		/* from here on it may */
		{ { "base", 'p', DROP }, END },
		{ { "base", 'p', FILTER_UNKNOWN, NULL }, END },
		{ { "base", 'p', FILTER_JUMP, "a" }, { "a", 'p', FILTER_UNKNOWN, NULL }, END },
		{ { "base", 'a', FILTER_JUMP, "base" }, END },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(walk(rows[i], false).idle, i < 4);
	assert_false(walk(rows[0], true).idle);
	assert_true(filter_xt_acts("MARK"));
	assert_true(filter_xt_acts("MASQUERADE"));
	assert_false(filter_xt_acts("LOG"));
	assert_false(filter_xt_acts("ACCEPT"));
}

static void test_filter_names_the_rule(void **state UNUSED)
{
	static const struct line with[] = { { "base", 'n', DROP },
					    { "base", 'a', FILTER_JUMP, "a" },
					    { "a", 'a', FILTER_CONTINUE, NULL },
					    { "a", 'a', DROP },
					    END };
	struct filter_outcome o = walk(with, false);

	assert_string_equal(o.chain, "a");
	assert_int_equal(o.number, 2);
	assert_int_equal(o.handle, 4);
	assert_int_equal(o.top, 2);
	o = walk(&with[4], true);
	assert_string_equal(o.chain, "base");
	assert_int_equal(o.number, 0);
	assert_int_equal(o.top, 0);
}

/* ---- rules of nf_tables ---- */

static char room[2048] __attribute__((aligned(8)));

static enum filter_match judge(const struct nft_rule *r, const struct filter_packet *p,
			       enum filter_verdict verdict)
{
	static const struct nft_chain chain = { "base", "filter", NF_INET_FORWARD, 0 };
	const struct nft_ruleset set = { .table = { .family = NFPROTO_INET, .name = "t" },
					 .chains = &chain,
					 .chains_len = 1,
					 .rules = r,
					 .rules_len = 1 };
	struct filter_rule rule;
	struct nlmsghdr *hdr;

	memset(room, 0, sizeof(room));
	hdr = nft_put_header(room, NFT_MSG_NEWRULE, 0, NFPROTO_INET);
	nft_put_rule(hdr, &set, r);
	filter_nft_judge(hdr, p, &rule);
	if (rule.matches != FILTER_NEVER)
		assert_int_equal(rule.verdict, verdict);
	return rule.matches;
}

static enum filter_match judge_nets(const char *source, const char *destination, bool inverted)
{
	struct filter_packet p = packet();
	struct nft_rule r = { .family = AF_INET,
			      .source = net(source),
			      .destination = net(destination),
			      .source_not = inverted,
			      .destination_not = inverted,
			      .action = NFT_ACTION_DROP };

	return judge(&r, &p, FILTER_DROP);
}

static void test_filter_nft_nets(void **state UNUSED)
{
	assert_int_equal(judge_nets("10.5.0.0/16", "", false), FILTER_ALWAYS);
	assert_int_equal(judge_nets("10.5.0.0/16", "", true), FILTER_NEVER);
	assert_int_equal(judge_nets("10.5.1.0/24", "10.0.0.0/8", false), FILTER_ALWAYS);
	assert_int_equal(judge_nets("10.5.2.0/24", "", false), FILTER_NEVER);
	assert_int_equal(judge_nets("10.5.2.0/24", "", true), FILTER_ALWAYS);
	assert_int_equal(judge_nets("10.5.1.7/32", "", false), FILTER_PERHAPS);
	assert_int_equal(judge_nets("", "10.5.9.0/24", false), FILTER_PERHAPS);
	assert_int_equal(judge_nets("", "10.5.9.0/24", true), FILTER_PERHAPS);
	assert_int_equal(judge_nets("", "11.0.0.0/8", false), FILTER_NEVER);
}

static void test_filter_nft_devices_and_ports(void **state UNUSED)
{
	struct filter_packet p = packet();
	struct nft_rule device = { .in_device = "cni0", .action = NFT_ACTION_ACCEPT };
	struct nft_rule family = { .family = AF_INET6, .action = NFT_ACTION_ACCEPT };
	struct nft_rule port = { .udp_port = 8472, .action = NFT_ACTION_ACCEPT };
	struct nft_rule set = { .in_device_set = "devices", .action = NFT_ACTION_ACCEPT };
	struct nft_rule mark = { .mark = 1, .mark_mask = 1, .action = NFT_ACTION_RETURN };
	struct nft_rule map = { .family = AF_INET, .source_map = "m", .action = NFT_ACTION_MAP };
	struct nft_rule jump = { .jump = "other", .action = NFT_ACTION_JUMP };

	assert_int_equal(judge(&device, &p, FILTER_ACCEPT), FILTER_ALWAYS);
	snprintf(device.in_device, sizeof(device.in_device), "cni1");
	assert_int_equal(judge(&device, &p, FILTER_ACCEPT), FILTER_NEVER);
	p.in_device[0] = '\0';
	assert_int_equal(judge(&device, &p, FILTER_ACCEPT), FILTER_PERHAPS);
	assert_int_equal(judge(&family, &p, FILTER_ACCEPT), FILTER_NEVER);
	assert_int_equal(judge(&port, &p, FILTER_ACCEPT), FILTER_NEVER);
	p.protocol = IPPROTO_UDP;
	p.port = 8472;
	assert_int_equal(judge(&port, &p, FILTER_ACCEPT), FILTER_ALWAYS);
	assert_int_equal(judge(&set, &p, FILTER_ACCEPT), FILTER_PERHAPS);
	assert_int_equal(judge(&mark, &p, FILTER_RETURN), FILTER_NEVER);
	assert_int_equal(judge(&map, &p, FILTER_UNKNOWN), FILTER_PERHAPS);
	assert_int_equal(judge(&jump, &p, FILTER_JUMP), FILTER_ALWAYS);
}

static void test_filter_between(void **state UNUSED)
{
	static const uint8_t value[2] = { 10, 5 };
	static const uint8_t first[2] = { 0xff, 0 };
	static const uint8_t all[2] = { 0xff, 0xff };
	static const uint8_t low[2] = { 10, 4 };
	static const uint8_t high[2] = { 10, 9 };
	static const uint8_t far[2] = { 11, 0 };

	assert_int_equal(filter_between(value, all, low, high, 2), FILTER_ALWAYS);
	assert_int_equal(filter_between(value, first, low, high, 2), FILTER_PERHAPS);
	assert_int_equal(filter_between(value, first, low, far, 2), FILTER_PERHAPS);
	assert_int_equal(filter_between(value, first, far, far, 2), FILTER_NEVER);
}

/* ---- matches and targets of iptables ---- */

static void test_filter_xt(void **state UNUSED)
{
	struct filter_packet p = packet();
	struct xt_conntrack_mtinfo3 state_match = { .match_flags = XT_CONNTRACK_STATE,
						    .state_mask = 6 }; /* related, established */
	struct xt_mark_mtinfo1 mark = { .mark = 0x4000, .mask = 0x4000 };
	struct xt_tcp tcp = { .spts = { 0, 0xffff }, .dpts = { 22, 22 } };

#define XT(name, revision, info) filter_xt_match(&p, name, revision, &(info), sizeof(info))
	assert_int_equal(XT("conntrack", 3, state_match), FILTER_NEVER);
	state_match.invert_flags = XT_CONNTRACK_STATE;
	assert_int_equal(XT("conntrack", 3, state_match), FILTER_ALWAYS);
	state_match.match_flags |= XT_CONNTRACK_EXPIRES;
	assert_int_equal(XT("conntrack", 3, state_match), FILTER_PERHAPS);
	assert_int_equal(filter_xt_match(&p, "conntrack", 3, &state_match, 4), FILTER_PERHAPS);
	assert_int_equal(XT("mark", 1, mark), FILTER_NEVER);
	mark.invert = 1;
	assert_int_equal(XT("mark", 1, mark), FILTER_ALWAYS);
	assert_int_equal(XT("tcp", 0, tcp), FILTER_NEVER);
	tcp.dpts[1] = 0xffff;
	assert_int_equal(XT("tcp", 0, tcp), FILTER_ALWAYS);
	assert_int_equal(XT("comment", 0, tcp), FILTER_ALWAYS);
	assert_int_equal(XT("set", 4, tcp), FILTER_PERHAPS);
	assert_int_equal(filter_xt_target("REJECT"), FILTER_DROP);
	assert_int_equal(filter_xt_target("LOG"), FILTER_CONTINUE);
	assert_int_equal(filter_xt_target("NFQUEUE"), FILTER_UNKNOWN);
}

static void test_filter_connections(void **state UNUSED)
{
	static const enum filter_connection known[] = { FILTER_NEW, FILTER_ESTABLISHED,
							FILTER_RELATED };
	const struct nft_rule redirected = { .redirected = true, .action = NFT_ACTION_ACCEPT };
	struct xt_conntrack_mtinfo3 m = { .match_flags = XT_CONNTRACK_STATE };
	struct xt_state_info s = { .statemask = XT_STATE_UNTRACKED };
	struct filter_packet p = packet();

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		p.connection = known[i];
		m.state_mask = XT_CONNTRACK_STATE_BIT(IP_CT_ESTABLISHED);
		assert_int_equal(XT("conntrack", 3, m),
				 p.connection == FILTER_ESTABLISHED ? FILTER_ALWAYS : FILTER_NEVER);
		m.state_mask = XT_CONNTRACK_STATE_UNTRACKED | XT_CONNTRACK_STATE_INVALID;
		assert_int_equal(XT("conntrack", 3, m), FILTER_NEVER);
		assert_int_equal(XT("state", 0, s), FILTER_NEVER);
	}
	p.connection = FILTER_UNTRACKED;
	assert_int_equal(XT("conntrack", 3, m), FILTER_ALWAYS);
	assert_int_equal(XT("state", 0, s), FILTER_ALWAYS);
	assert_int_equal(judge(&redirected, &p, FILTER_ACCEPT), FILTER_NEVER);
	m.state_mask = XT_CONNTRACK_STATE_INVALID;
	assert_int_equal(XT("conntrack", 3, m), FILTER_NEVER);
	m.match_flags = XT_CONNTRACK_EXPIRES;
	assert_int_equal(XT("conntrack", 3, m), FILTER_NEVER);
	p.connection = FILTER_INVALID;
	m.match_flags = XT_CONNTRACK_STATE;
	assert_int_equal(XT("conntrack", 3, m), FILTER_ALWAYS);
	assert_int_equal(XT("state", 0, s), FILTER_NEVER);
	p.connection = FILTER_ESTABLISHED;
	assert_int_equal(judge(&redirected, &p, FILTER_ACCEPT), FILTER_PERHAPS);
	assert_int_equal(filter_xt_target("MASQUERADE"), FILTER_TRANSLATE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filter_walk),
		cmocka_unit_test(test_filter_doubt),
		cmocka_unit_test(test_filter_connections),
		cmocka_unit_test(test_filter_idle),
		cmocka_unit_test(test_filter_names_the_rule),
		cmocka_unit_test(test_filter_nft_nets),
		cmocka_unit_test(test_filter_nft_devices_and_ports),
		cmocka_unit_test(test_filter_between),
		cmocka_unit_test(test_filter_xt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
