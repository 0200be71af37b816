/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peers, differences, reservations, changes of a configuration, keys of the store: what is made of
 * documents without asking anybody.
 */
#include "tests/unit/test.h"

#include <errno.h>

#include "fabricctl/command.h"
#include "fabricctl/config.h"
#include "fabricctl/diff.h"
#include "fabricctl/lease.h"
#include "fabricctl/mtu.h"
#include "fabricctl/peers.h"
#include "fabricctl/problems.h"
#include "fabricctl/store.h"
#include "lib/json.h"
#include "stores/etcd/etcd_json.h"

static json_t *parse(const char *text)
{
	json_t *document = NULL;

	if (json_parse_object(text, strlen(text), &document, NULL) < 0)
		fail_msg("the test's own JSON is wrong");
	return document;
}

/* clang-format off */
static const char peers[] =
	"{\"items\":["
	"{\"subnet\":\"10.5.1.0/24\",\"subnetV6\":null,\"node\":\"a\\u001b\",\"publicIP\":\"192.0.2.1\","
	" \"publicIPv6\":null,\"kernel\":\"failed\",\"reason\":\"route: no\","
	" \"route\":\"failed\",\"neighbour\":\"pending\",\"fdb\":\"ok\",\"routeV6\":null,\"objects\":["
	"  {\"kind\":\"fdb\",\"family\":\"ipv4\",\"object\":\"fdb x\",\"settled\":true,\"error\":null},"
	"  {\"kind\":\"neighbour\",\"family\":\"ipv4\",\"object\":\"n\",\"settled\":false,\"error\":null},"
	"  {\"kind\":\"neighbour\",\"family\":\"ipv4\",\"object\":\"n\",\"settled\":true,\"error\":null},"
	"  {\"kind\":\"route\",\"family\":\"ipv4\",\"object\":\"r\",\"settled\":true,\"error\":null},"
	"  {\"kind\":\"route\",\"family\":\"ipv4\",\"object\":\"r\",\"settled\":false,\"error\":\"no\"}]},"
	"{\"subnet\":\"10.5.2.0/24\",\"kernel\":\"ignored\",\"reason\":\"odd\",\"objects\":[]},"
	"{\"objects\":\"of no use\"}, 7]}";
/* clang-format on */

/* What `fn` prints in this format; caller frees. */
static char *printed(void (*fn)(const struct ctl *c, const json_t *document), const char *text,
		     enum ctl_format format)
{
	auto_json json_t *document = parse(text);
	struct ctl c = { .format = format, .utf8 = true };
	char *out = NULL;
	size_t size;

	c.out = open_memstream(&out, &size);
	fn(&c, document);
	fclose(c.out);
	return out;
}

static void print_peers(const struct ctl *c, const json_t *document)
{
	assert_int_equal(peers_print(c, document), CTL_OK);
}

static void test_peers_are_printed_whatever_they_are(void **state UNUSED)
{
	auto_free char *raw = printed(print_peers, peers, FORMAT_RAW);
	auto_free char *name = printed(print_peers, peers, FORMAT_NAME);

	assert_string_equal(
		raw, "10.5.1.0/24\ta\\033\t192.0.2.1\tfailed\tpending\tok\t-\t-\t-\tfailed\t"
		     "route: no\tfdb x; n; n; r; r\n"
		     "10.5.2.0/24\t-\t-\t-\t-\t-\t-\t-\t-\tignored\todd\t-\n"
		     "-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\n-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\n");
	assert_string_equal(name, "10.5.1.0/24\n10.5.2.0/24\n-\n-\n");
}

static void print_mtu(const struct ctl *c, const json_t *document)
{
	assert_int_equal(mtu_print(c, document), CTL_FOUND);
}

static void test_mtu_has_a_row_for_each_way(void **state UNUSED)
{
	static const char text[] =
		"{\"items\":[{\"subnet\":\"10.5.1.0/"
		"24\",\"node\":\"a\\u001b\",\"publicIP\":\"192.0.2.1\","
		"\"interface\":\"eth0\",\"interfaceMTU\":1500,\"device\":\"flannel.1\","
		"\"deviceMTU\":1450,"
		"\"containersMTU\":1450,\"underlay\":{\"pathMTU\":\"unknown\",\"fullMTU\":1500},"
		"\"tunnel\":{\"pathMTU\":\"black-hole\",\"fullMTU\":1450,\"passedMTU\":1350,"
		"\"passedSecondsAgo\":70},\"verdict\":\"black-hole\"},"
		"{\"subnet\":\"10.5.2.0/"
		"24\",\"interface\":\"eth0\",\"interfaceMTU\":1500,\"device\":null,"
		"\"containersMTU\":1500,\"underlay\":{\"pathMTU\":\"ok\",\"fullMTU\":1500,"
		"\"passedMTU\":1500,\"passedSecondsAgo\":3},\"tunnel\":null,\"verdict\":\"ok\"},"
		"{\"tunnel\":7,\"underlay\":{\"pathMTU\":\"black-hole\",\"fullMTU\":1500}}]}";
	auto_free char *raw = printed(print_mtu, text, FORMAT_RAW);
	auto_free char *table = printed(print_mtu, text, FORMAT_TABLE);
	auto_json json_t *none = parse("{\"items\":[{\"verdict\":\"smaller\"}]}");
	auto_free char *lines = NULL;

	assert_string_equal(raw, "10.5.1.0/24\ta\\033\t192.0.2.1\teth0 1500\tflannel.1 1450\t"
				 "1450\t-\t1350\t70\tblack-hole\n"
				 "10.5.2.0/24\t-\t-\teth0 1500\t-\t1500\t1500\t-\t3\tok\n"
				 "-\t-\t-\t-\t-\t-\t0\t-\t-\t-\n");
	assert_contains(table, "1350 of 1450");
	assert_contains(table, "0 of 1500");
	lines = printed(print_mtu, text, FORMAT_JSONL);
	assert_contains(lines, "}\n{");
	assert_int_equal(mtu_print(&(struct ctl){ .out = stdout }, none), CTL_OK);
}

static void print_diff(const struct ctl *c, const json_t *document)
{
	assert_int_equal(diff_print(c, document), CTL_FOUND);
}

static void test_diff_has_a_sign_for_each_action(void **state UNUSED)
{
	static const char text[] = "{\"items\":[{\"action\":\"create\",\"object\":\"route a\"},"
				   "{\"action\":\"drop\",\"object\":\"fdb b\\u001b\"},"
				   "{\"action\":\"replace\",\"object\":\"fdb c\"},"
				   "{\"action\":\"other\"},{}]}";
	auto_free char *out = printed(print_diff, text, FORMAT_TABLE);
	auto_json json_t *none = parse("{\"items\":[]}");
	struct ctl c = { .out = stdout };

	assert_string_equal(out, "+ route a\n- fdb b\\033\n~ fdb c\n? -\n? -\n");
	assert_int_equal(diff_print(&c, none), CTL_OK);
}

static const char problems[] =
	"{\"items\":["
	"{\"name\":\"b\",\"severity\":\"warning\",\"since\":\"1970-01-01T00:02:00.000Z\","
	" \"text\":\"second\"},"
	"{\"name\":\"d\",\"severity\":\"info\",\"since\":\"1970-01-01T00:00:00.000Z\","
	" \"text\":\"last\\u001b\"},"
	"{\"name\":\"c\",\"severity\":\"warning\",\"since\":\"1970-01-01T00:03:00.000Z\","
	" \"text\":\"third\"},"
	"{\"name\":\"a\",\"text\":\"first\"}]}";

static void print_problems(const struct ctl *c, const json_t *document)
{
	const json_t *items = json_object_get(document, "items");

	problems_print_count(c, items);
	problems_print_names(c, items);
	fputc('\n', c->out);
	problems_print(c, items, 4 * 60 * 1000);
}

static void test_problems_the_worst_and_oldest_first(void **state UNUSED)
{
	auto_free char *out = printed(print_problems, problems, FORMAT_TABLE);
	auto_free char *none = printed(print_problems, "{}", FORMAT_TABLE);

	assert_string_equal(out, "3 problems, 1 note, : a, b, c\n"
				 "  error        -  a                  first\n"
				 "  warning   2m0s  b                  second\n"
				 "  warning   1m0s  c                  third\n"
				 "  info      4m0s  d                  last\\033\n");
	assert_string_equal(none, "\n");
}

static void test_subnets_of_a_reservation(void **state UNUSED)
{
	static const struct {
		const char *text;
		const char *shown; /* NULL: refused */
	} table[] = {
		{ "10.5.50.0/24", "10.5.50.0/24" },
		{ "fd10:5:0:50::/64", "fd10:5:0:50::/64" },
		{ "10.5.50.0/24,fd10:5:0:50::/64", "10.5.50.0/24,fd10:5:0:50::/64" },
		{ "fd10:5:0:50::/64,10.5.50.0/24", "10.5.50.0/24,fd10:5:0:50::/64" },
		{ "", NULL },
		{ ",", NULL },
		{ "10.5.50.0", NULL },
		{ "10.5.50.1/24", NULL },
		{ "10.5.50.0/24,", NULL },
		{ "10.5.50.0/24,10.5.51.0/24", NULL },
		{ "10.5.50.0/33", NULL },
		{ "10.5.50.0-24", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct subnet s = { 0 };
		char text[SUBNET_KEY_TEXT];
		struct err e = { 0 };
		int rc = lease_parse_subnet(table[i].text, &s, &e);

		assert_int_equal(rc, table[i].shown ? 0 : -EINVAL);
		if (table[i].shown)
			assert_string_equal(subnet_format(&s, text), table[i].shown);
		else
			assert_true(e.text[0]);
	}
}

static void test_only_what_the_network_leases_is_reserved(void **state UNUSED)
{
	static const char network[] =
		"{\"EnableIPv6\":true,\"Network\":\"10.5.0.0/16\",\"SubnetMax\":\"10.5.99.0\","
		"\"IPv6Network\":\"fd10:5::/48\"}";
	static const struct {
		const char *subnet;
		bool allowed;
	} table[] = {
		{ "10.5.50.0/24,fd10:5:0:50::/64", true },
		{ "10.5.50.0/24", false },
		{ "fd10:5:0:50::/64", false },
		{ "10.5.100.0/24,fd10:5:0:50::/64", false },
		{ "10.5.50.0/25,fd10:5:0:50::/64", false },
		{ "10.5.50.0/24,fd10:6:0:50::/64", false },
	};
	struct network_config config;

	assert_int_equal(network_config_parse(network, strlen(network), &config, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct subnet s;
		struct err e;

		assert_int_equal(lease_parse_subnet(table[i].subnet, &s, &e), 0);
		assert_int_equal(lease_check_subnet(&config, &s, &e),
				 table[i].allowed ? 0 : -EINVAL);
	}
	network_config_fini(&config);
}

/* A lease on `subnet`, bound to lease `number`; 0: reserved, -1: neither. Texts are literals. */
static struct lease made(const char *subnet, const char *id, const char *name, const char *address,
			 int number)
{
	struct lease l = { .flags = number > 0 ? LEASE_EXPIRES : LEASE_RESERVED,
			   .node_id = (char *)id,
			   .node_name = (char *)name,
			   .reserved = number == 0 && id };

	l.id = number > 0 ? (u128)number : 0;
	l.subnet.v4 = test_net(subnet);
	if (address)
		l.public_v4 = test_addr(address);
	return l;
}

static void test_what_stands_in_the_way_of_a_reservation(void **state UNUSED)
{
	struct lease wanted = made("10.5.50.0/24", "", "z", "192.0.2.9", 0);
	const struct {
		struct lease there;
		bool in_the_way;
		bool done;
	} table[] = {
		{ made("10.5.51.0/24", "i", "z", "192.0.2.9", 0), false, false },
		{ made("10.5.50.0/24", NULL, "z", "192.0.2.9", 0), false, true },
		/* its host has come, and publishes where it is */
		{ made("10.5.50.0/24", "i", "z", "192.0.2.8", 0), false, true },
		{ made("10.5.50.0/24", NULL, "z", "192.0.2.8", 0), true, false },
		{ made("10.5.50.0/24", NULL, "z", NULL, 0), true, false },
		{ made("10.5.50.0/24", NULL, "y", "192.0.2.9", 0), true, false },
		{ made("10.5.50.0/24", NULL, NULL, "192.0.2.9", 0), true, false },
		{ made("10.5.50.0/24", "i", "z", "192.0.2.9", 5), true, false },
		{ made("10.5.50.0/24", "i", "z", "192.0.2.9", -1), true, false },
		{ made("10.5.48.0/22", NULL, "z", "192.0.2.9", 0), true, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct lease there = table[i].there;
		struct lease *list[] = { &there };
		bool done;

		assert_ptr_equal(lease_in_the_way(list, 1, &wanted, &done),
				 table[i].in_the_way ? &there : NULL);
		assert_int_equal(done, table[i].done);
	}
}

static void test_changes_of_a_configuration(void **state UNUSED)
{
	auto_json json_t *before = parse("{\"a\":1,\"b\":{\"c\":[1],\"d\":2,\"e\":{}},\"f\":7}");
	auto_json json_t *after =
		parse("{\"b\":{\"e\":{\"x\":null},\"c\":[2],\"d\":2},\"f\":7,\"g\":{}}");
	auto_json json_t *changes = config_changes(before, after);
	auto_json json_t *first = config_changes(NULL, before);
	auto_json json_t *same = config_changes(before, before);
	auto_free char *text = json_dumps(changes, JSON_COMPACT);

	assert_string_equal(text, "[{\"key\":\"a\",\"before\":1,\"after\":null},"
				  "{\"key\":\"b.c\",\"before\":[1],\"after\":[2]},"
				  "{\"key\":\"b.e.x\",\"before\":null,\"after\":null},"
				  "{\"key\":\"g\",\"before\":null,\"after\":{}}]");
	assert_int_equal(json_array_size(first), 3);
	assert_int_equal(json_array_size(same), 0);
}

static void test_keys_of_the_store(void **state UNUSED)
{
	static const struct {
		const char *value;
		const char *shown;
	} table[] = {
		{ "{\"PSK\":\"x\",\"a\":[{\"PassWord\":{\"y\":1},\"Token\":3}],\"n\":"
		  "9007199254740993}",
		  "\"value\":{\"PSK\":\"(left out)\",\"a\":[{\"PassWord\":\"(left out)\","
		  "\"Token\":\"(left out)\"}],\"n\":9007199254740993}" },
		{ "text", "\"value\":\"text\"" },
		{ "", "\"value\":\"\"" },
		{ "\xff", "\"valueBase64\":\"/w==\"" },
	};
	char key[] = "/k\xff";

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct etcd_kv kv = { .key = key,
				      .value = (char *)table[i].value,
				      .value_size = strlen(table[i].value),
				      .create_revision = 2,
				      .mod_revision = 3,
				      .lease = i ? 0 : 255 };
		auto_json json_t *item = store_key(&kv);
		auto_free char *text = json_dumps(item, JSON_COMPACT);
		auto_free char *expected = xasprintf("{\"key\":\"/k?\",%s,\"createRevision\":\"2\","
						     "\"modRevision\":\"3\",\"lease\":%s}",
						     table[i].shown, i ? "null" : "\"ff\"");

		assert_string_equal(text, expected);
	}
}

static void test_what_a_member_says_of_itself(void **state UNUSED)
{
	static const struct {
		const char *reply;
		const char *shown;
	} table[] = {
		{ "{\"header\":{\"member_id\":\"10\",\"revision\":\"7\"},\"version\":\"3.4.23\","
		  "\"dbSize\":\"4096\",\"leader\":\"10\"}",
		  "{\"role\":\"leader\",\"version\":\"3.4.23\",\"revision\":\"7\",\"dbSizeBytes\":"
		  "4096,"
		  "\"memberID\":\"a\"}" },
		{ "{\"header\":{\"memberId\":\"11\"},\"leader\":\"10\"}",
		  "{\"role\":\"follower\",\"version\":null,\"revision\":\"0\",\"dbSizeBytes\":0,"
		  "\"memberID\":\"b\"}" },
		{ "{\"leader\":\"1\",\"isLearner\":true}",
		  "{\"role\":\"learner\",\"version\":null,\"revision\":\"0\",\"dbSizeBytes\":0,"
		  "\"memberID\":\"0\"}" },
		{ "{}",
		  "{\"role\":\"no leader\",\"version\":null,\"revision\":\"0\",\"dbSizeBytes\":0,"
		  "\"memberID\":\"0\"}" },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		auto_json json_t *reply = parse(table[i].reply);
		auto_json json_t *item = json_object();
		struct etcd_reply status;
		auto_free char *text = NULL;

		assert_int_equal(etcd_decode_reply(ETCD_STATUS, reply, &status, NULL), 0);
		store_add_status(item, &status);
		etcd_reply_fini(&status);
		text = json_dumps(item, JSON_COMPACT);
		assert_string_equal(text, table[i].shown);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peers_are_printed_whatever_they_are),
		cmocka_unit_test(test_mtu_has_a_row_for_each_way),
		cmocka_unit_test(test_diff_has_a_sign_for_each_action),
		cmocka_unit_test(test_problems_the_worst_and_oldest_first),
		cmocka_unit_test(test_subnets_of_a_reservation),
		cmocka_unit_test(test_only_what_the_network_leases_is_reserved),
		cmocka_unit_test(test_what_stands_in_the_way_of_a_reservation),
		cmocka_unit_test(test_changes_of_a_configuration),
		cmocka_unit_test(test_keys_of_the_store),
		cmocka_unit_test(test_what_a_member_says_of_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
