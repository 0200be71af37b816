/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl trace --live: where packets were seen, and where they must have vanished. */
#include "tests/unit/test.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "fabricctl/trace_live.h"
#include "kernel/counters.h"
#include "kernel/message.h"

/* sender, port, bridge, tunnel, underlay, and back. */
static struct live scene(const unsigned seen[static 10])
{
	static const char *const names[] = { "sender", "c2", "cni0", "flannel.1", "eth0" };
	struct live l = { .counts_packets = true, .node = "h2" };

	for (size_t i = 0; i < 10; i++)
		l.hops[l.len++] = (struct live_hop){ .name = names[i < 5 ? i : 9 - i],
						     .back = i >= 5,
						     .exact = true,
						     .seen = seen[i],
						     .step = "somewhere" };
	l.result = (struct probe_result){ .sent = seen[0], .answered = seen[9] };
	return l;
}

static void test_where(void **state UNUSED)
{
	static const struct {
		unsigned seen[10];
		enum live_verdict verdict;
		const char *text;
	} rows[] = {
		{ { 5, 5, 5, 5, 5, 5, 5, 5, 5, 5 }, LIVE_ARRIVED, "5 of 5 answered" },
		{ { 5, 0, 0, 0, 0, 0, 0, 0, 0, 0 },
		  LIVE_LOST,
		  "5 of 5 vanished between sender and c2, somewhere" },
		{ { 5, 5, 5, 3, 3, 3, 3, 3, 3, 3 },
		  LIVE_LOST,
		  "2 of 5 vanished between cni0 and flannel.1, somewhere" },
		/* The fast path passes the bridge by, and the port on the way back. */
		{ { 5, 5, 0, 5, 5, 5, 5, 0, 0, 5 }, LIVE_ARRIVED, "5 of 5 answered" },
		{ { 5, 5, 0, 5, 2, 2, 2, 0, 0, 2 },
		  LIVE_LOST,
		  "3 of 5 vanished between flannel.1 and eth0, somewhere" },
		/* The first loss is told. */
		{ { 5, 5, 5, 5, 4, 1, 0, 0, 0, 0 },
		  LIVE_LOST,
		  "1 of 5 vanished between flannel.1 and eth0, somewhere" },
		{ { 5, 5, 5, 5, 5, 5, 5, 5, 5, 0 },
		  LIVE_LOST,
		  "5 of 5 vanished between c2 and sender, somewhere" },
	};
	char text[LIVE_TEXT];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct live l = scene(rows[i].seen);

		assert_int_equal(live_judge(&l, text), rows[i].verdict);
		assert_string_equal(text, rows[i].text);
	}
}

static void test_nothing_was_sent(void **state UNUSED)
{
	struct live l = scene((const unsigned[10]){ 0 });
	char text[LIVE_TEXT];

	l.result.refused = -EHOSTUNREACH;
	assert_int_equal(live_judge(&l, text), LIVE_LOST);
	assert_string_equal(text, "nothing was sent: No route to host");
}

/* Where packets are encrypted nobody can say whether ours were among them. */
static void test_not_exact(void **state UNUSED)
{
	struct live l = scene((const unsigned[10]){ 5, 5, 5, 5, 0, 0, 0, 0, 0, 0 });
	char text[LIVE_TEXT];

	l.hops[4].exact = l.hops[5].exact = false;
	assert_int_equal(live_judge(&l, text), LIVE_LOST);
	assert_contains(text, "5 of 5 went on from flannel.1 and nothing came back for them: ");
	assert_contains(text, "on h2");
}

/* A connection is more packets than one. */
static void test_connection(void **state UNUSED)
{
	struct live l = scene((const unsigned[10]){ 1, 3, 3, 3, 3, 2, 2, 2, 2, 1 });
	char text[LIVE_TEXT];

	l.counts_packets = false;
	assert_int_equal(live_judge(&l, text), LIVE_ARRIVED);
	l = scene((const unsigned[10]){ 1, 1, 1, 0, 0, 0, 0, 0, 0, 0 });
	l.counts_packets = false;
	assert_int_equal(live_judge(&l, text), LIVE_LOST);
	assert_string_equal(text, "1 of 1 vanished between cni0 and flannel.1, somewhere");
}

static void test_patterns(void **state UNUSED)
{
	static const uint8_t packet[] = { 0x45, 0, 0, 0,  0, 0, 0, 0,    64,   17, 0, 0,   10,
					  5,    1, 2, 10, 5, 2, 3, 0x12, 0x34, 0,  9, 'x', 'y' };
	struct tap_patterns p = { .len = 0 };
	struct ip_addr a;
	struct ip_addr b;

	assert_int_equal(ip_addr_parse("10.5.1.2", AF_UNSPEC, &a, NULL), 0);
	assert_int_equal(ip_addr_parse("10.5.2.3", AF_UNSPEC, &b, NULL), 0);
	assert_false(tap_patterns_match(&p, packet, sizeof(packet)));
	tap_pattern_add_flow(&p, &b, 9, &a, 0x1234);
	assert_false(tap_patterns_match(&p, packet, sizeof(packet)));
	tap_pattern_add_flow(&p, &a, 0x1234, &b, 9);
	assert_true(tap_patterns_match(&p, packet, sizeof(packet)));
	assert_false(tap_patterns_match(&p, packet, 23));
	p.len = 0;
	tap_pattern_add(&p, "xy", 2);
	assert_true(tap_patterns_match(&p, packet, sizeof(packet)));
	assert_false(tap_patterns_match(&p, packet, sizeof(packet) - 1));
}

static void test_counters(void **state UNUSED)
{
	char room[512] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = nlmsg_begin(room);
	struct if_stats_msg *m = nlmsg_put_header(hdr, sizeof(*m));
	struct rtnl_link_stats64 stats = { .rx_packets = 1,
					   .tx_packets = 2,
					   .rx_bytes = 3,
					   .tx_bytes = 4,
					   .rx_errors = 5,
					   .rx_dropped = 6,
					   .tx_dropped = 7 };
	struct counters c = { .ifindex = 99 };

	hdr->nlmsg_type = RTM_NEWSTATS;
	m->ifindex = 7;
	assert_false(counters_decode(hdr, &c));
	assert_int_equal(c.ifindex, 99);
	/* An older kernel's is shorter. */
	nlattr_put(hdr, IFLA_STATS_LINK_64, 8 * sizeof(uint64_t), &stats);
	assert_true(counters_decode(hdr, &c));
	assert_int_equal(c.ifindex, 7);
	assert_int_equal(c.rx_packets, 1);
	assert_int_equal(c.tx_bytes, 4);
	assert_int_equal(c.rx_dropped, 11);
	assert_int_equal(c.tx_dropped, 7);
	hdr->nlmsg_type = RTM_NEWLINK;
	assert_false(counters_decode(hdr, &c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_where),     cmocka_unit_test(test_nothing_was_sent),
		cmocka_unit_test(test_not_exact), cmocka_unit_test(test_connection),
		cmocka_unit_test(test_patterns),  cmocka_unit_test(test_counters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
