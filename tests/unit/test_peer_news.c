/* SPDX-License-Identifier: Apache-2.0 */
/* subnet/peer_news: what the log says of a peer. */
#include "tests/unit/test.h"

#include "subnet/peer_news.h"

static struct lease peer(void)
{
	return (struct lease){ .subnet = { .v4 = test_net("10.5.3.0/24") },
			       .node_name = (char *)"web1",
			       .backend_type = (char *)"vxlan",
			       .public_v4 = test_addr("192.0.2.3") };
}

static void test_who(void **state)
{
	(void)state;
	struct lease l = peer();
	char text[PEER_NEWS_SIZE];

	assert_string_equal(peer_news_who(&l, text), "10.5.3.0/24: web1 at 192.0.2.3");
	l.node_name = NULL;
	l.flags = LEASE_RESERVED;
	l.public_v6 = test_addr("2001:db8::3");
	assert_string_equal(peer_news_who(&l, text),
			    "10.5.3.0/24: a host without a name at 192.0.2.3 at 2001:db8::3, "
			    "reserved");
}

static void test_changes(void **state)
{
	(void)state;
	struct lease old = peer();
	struct lease now = peer();
	char text[PEER_NEWS_SIZE];

	now.mod_revision++;
	assert_null(peer_news_changes(&old, &now, text));
	now.public_v4 = test_addr("192.0.2.4");
	assert_string_equal(peer_news_changes(&old, &now, text),
			    "10.5.3.0/24: public address 192.0.2.3 -> 192.0.2.4");
	now.backend_type = (char *)"host-gw";
	now.node_name = NULL;
	assert_string_equal(peer_news_changes(&old, &now, text),
			    "10.5.3.0/24: node web1 -> none, public address 192.0.2.3 -> "
			    "192.0.2.4, backend vxlan -> host-gw");
	now = peer();
	old.mtu_v4_bytes = 1500;
	now.mtu_v4_bytes = 1400;
	now.mtu_v6_bytes = 1400;
	assert_string_equal(peer_news_changes(&old, &now, text),
			    "10.5.3.0/24: MTU 1500 -> 1400, IPv6 MTU none -> 1400");
}

/* What a backend publishes changes key by key, and what is no object as a whole. */
static void test_changed_data(void **state)
{
	(void)state;
	static const struct {
		const char *old, *now, *text;
	} rows[] = {
		{ "{\"VNI\":1,\"VtepMAC\":\"02:00:00:00:00:01\"}",
		  "{\"VNI\":2,\"VtepMAC\":\"02:00:00:00:00:02\"}",
		  "VNI 1 -> 2, VtepMAC 02:00:00:00:00:01 -> 02:00:00:00:00:02" },
		{ "{\"VNI\":1,\"Old\":[1]}", "{\"New\":{},\"VNI\":1}",
		  "Old [1] -> none, New none -> {}" },
		{ "{\"VNI\":1}", NULL, "backend data {\"VNI\":1} -> none" },
		{ "[1]", "[2]", "backend data [1] -> [2]" },
	};
	char text[PEER_NEWS_SIZE];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct lease old = peer();
		struct lease now = peer();
		auto_free char *want = xasprintf("10.5.3.0/24: %s", rows[i].text);

		old.backend_data = (char *)rows[i].old;
		now.backend_data = (char *)rows[i].now;
		assert_string_equal(peer_news_changes(&old, &now, text), want);
	}
}

/* Lost, and its host was quick: the same lease, and yet another. */
static void test_claimed_again(void **state)
{
	(void)state;
	struct lease old = peer();
	struct lease now = peer();
	char text[PEER_NEWS_SIZE];

	now.born = 9;
	assert_string_equal(peer_news_changes(&old, &now, text), "10.5.3.0/24: claimed again");
	now.public_v4 = test_addr("192.0.2.4");
	assert_string_equal(peer_news_changes(&old, &now, text),
			    "10.5.3.0/24: public address 192.0.2.3 -> 192.0.2.4, claimed again");
}

/* Whatever a host publishes, the text ends in time. */
static void test_bounded(void **state)
{
	(void)state;
	struct lease old = peer();
	struct lease now = peer();
	char text[PEER_NEWS_SIZE];
	char huge[10000];

	memset(huge, 'x', sizeof(huge));
	huge[sizeof(huge) - 1] = '\0';
	now.node_name = now.node_id = now.backend_data = now.backend_v6_data = huge;
	now.backend_type = now.problem = huge;
	assert_non_null(peer_news_changes(&old, &now, text));
	assert_in_range(strlen(text), 100, sizeof(text) - 1);
	assert_in_range(strlen(peer_news_who(&now, text)), 100, sizeof(text) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who),          cmocka_unit_test(test_changes),
		cmocka_unit_test(test_changed_data), cmocka_unit_test(test_claimed_again),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
