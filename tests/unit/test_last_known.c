/* SPDX-License-Identifier: Apache-2.0 */
/* subnet/last_known: what was written is read back; what is not ours is refused. */
#include "tests/unit/test.h"

#include <errno.h>

#include "subnet/last_known.h"

#define HEAD "{\"version\":2,\"network\":\"a\",\"config\":\"b\",\"peers\":1}\n"
#define PEER "{\"key\":\"10.5.1.0-24\",\"value\":\"{}\"}\n"

static struct lease *lease(const char *key, const char *value)
{
	struct lease *l = lease_new();
	struct err e;

	if (subnet_key_parse(key, &l->subnet, &e) < 0 ||
	    lease_value_parse(value, strlen(value), l, &e) < 0)
		fail_msg("%s: %s", key, e.text);
	return l;
}

static void test_round_trip(void **state)
{
	(void)state;
	struct lease *peers[] = {
		lease("10.5.2.0-24",
		      "{\"PublicIP\":\"192.0.2.2\",\"BackendType\":\"vxlan\","
		      "\"BackendData\":{\"VNI\":1,\"VtepMAC\":\"02:00:00:00:00:02\"}}"),
		lease("10.5.3.0-24&fd10:5:0:3::-64", "{\"PublicIP\":\"192.0.2.3\"}"),
	};
	struct last_known k = {
		.network = (char *)"etcd /net",
		.config = (char *)"{\"Network\":\"10.5.0.0/16\"}",
		.own = lease("10.5.1.0-24", "{\"PublicIP\":\"192.0.2.1\",\"Node\":{\"ID\":\"a\"}}"),
		.expires_wall_s = 1767225600,
		.written_wall_s = 1767139200,
		.revision = 117,
		.peers = peers,
		.peers_len = 2,
	};
	auto_free char *text = NULL;
	struct last_known back;
	struct err e;

	k.own->id = (u128)0x0123456789abcdef << 64 | 0x00000000fedcba98;
	k.own->flags = LEASE_EXPIRES;
	k.own->born = 12;
	text = last_known_format(&k);
	if (last_known_parse(text, strlen(text), &back, &e) < 0)
		fail_msg("%s", e.text);
	assert_string_equal(back.network, k.network);
	assert_string_equal(back.config, k.config);
	assert_true(lease_equal(back.own, k.own));
	assert_true(back.own->id == k.own->id);
	assert_int_equal(back.own->flags, LEASE_EXPIRES);
	assert_int_equal(back.own->born, 12);
	assert_int_equal(back.expires_wall_s, k.expires_wall_s);
	assert_int_equal(back.written_wall_s, k.written_wall_s);
	assert_int_equal(back.revision, 117);
	assert_int_equal(back.peers_len, 2);
	assert_true(lease_equal(back.peers[0], peers[0]));
	assert_true(lease_equal(back.peers[1], peers[1]));
	assert_int_equal(back.peers_left, 0);
	last_known_fini(&back);
	/* The first line alone: all but the peers. */
	assert_int_equal(last_known_parse_head(text, strlen(text), &back, &e), 0);
	assert_true(lease_equal(back.own, k.own));
	assert_int_equal(back.revision, 117);
	assert_int_equal(back.peers_len, 0);
	assert_int_equal(back.peers_left, 2);
	last_known_fini(&back);
	lease_free(k.own);
	lease_free(peers[0]);
	lease_free(peers[1]);
}

/* What the version before wrote: an etcd lease by its number, and 0 for a reservation. */
static void test_version_2(void **state)
{
	(void)state;
	static const char text[] =
		"{\"version\":2,\"network\":\"/"
		"net\",\"config\":\"{}\",\"own\":{\"key\":\"10.5.1.0-24\","
		"\"value\":\"{}\",\"handle\":\"7587890123456789\",\"created\":\"12\"},\"peers\":1}"
		"\n"
		"{\"key\":\"10.5.2.0-24\",\"value\":\"{}\",\"handle\":\"0\",\"created\":\"9\"}\n";
	struct last_known k;
	struct err e;

	if (last_known_parse(text, sizeof(text) - 1, &k, &e) < 0)
		fail_msg("%s", e.text);
	assert_true(k.own->id == 7587890123456789);
	assert_int_equal(k.own->flags, LEASE_EXPIRES);
	assert_int_equal(k.own->born, 12);
	assert_true(k.peers[0]->id == 0);
	assert_int_equal(k.peers[0]->flags, LEASE_RESERVED);
	last_known_fini(&k);
}

static void test_time_left(void **state)
{
	(void)state;
	const int64_t day = 86400;
	struct last_known k = { .written_wall_s = 1000 * day, .expires_wall_s = 1001 * day };

	assert_int_equal(last_known_left_ms(&k, 1000 * day * 1000), day * 1000);
	assert_int_equal(last_known_left_ms(&k, (1001 * day - 1) * 1000), 1000);
	assert_int_equal(last_known_left_ms(&k, 1001 * day * 1000), 0);
	assert_int_equal(last_known_left_ms(&k, 5000 * day * 1000), 0);
	/* The clock was set back, by an hour and to where it starts without a battery. */
	assert_int_equal(last_known_left_ms(&k, (1000 * day - 3600) * 1000), day * 1000);
	assert_int_equal(last_known_left_ms(&k, 0), day * 1000);
	/* Nonsense in the file is bounded. */
	k.expires_wall_s = INT64_MAX;
	k.written_wall_s = INT64_MIN;
	assert_int_equal(last_known_left_ms(&k, 0), INT64_MAX - 1);
	k.written_wall_s = INT64_MAX;
	assert_int_equal(last_known_left_ms(&k, 0), 0);
	k.expires_wall_s = 0;
	assert_int_equal(last_known_left_ms(&k, 0), INT64_MAX);
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *says;
	} rows[] = {
		{ "", "JSON" },
		{ "[]", "object" },
		{ "{\"version\":1,\"network\":\"a\",\"config\":\"b\"}", "version is 1" },
		{ "{\"version\":4,\"network\":\"a\",\"config\":\"b\"}", "version is 4" },
		{ "{\"version\":2,\"config\":\"b\"}", "network" },
		{ "{\"version\":2,\"network\":\"a\",\"config\":\"b\",\"config\":\"c\"}",
		  "\"config\" is given twice" },
		{ "{\"version\":2,\"network\":\"a\",\"config\":\"b\",\"own\":{}}", "without key" },
		{ "{\"version\":2,\"network\":\"a\",\"config\":\"b\",\"peers\":-1}",
		  "peers is -1" },
		{ "{\"version\":2,\"network\":\"a\",\"config\":\"b\",\"peers\":99999}",
		  "from 0 to 65536" },
		{ HEAD "{\"key\":\"10.5.1.0-24\",\"value\":\"{\\\"PublicIP\\\":null,"
		       "\\\"publicip\\\":null}\"}\n",
		  "PublicIP is given twice" },
		{ HEAD "{\"key\":\"x\",\"value\":\"{}\"}\n", "subnet key" },
		{ HEAD "{\"key\":\"10.5.1.0-24\",\"value\":\"{\"}\n", "JSON" },
		{ HEAD "\n", "JSON" },
		{ HEAD, "1 leases are missing" },
		{ HEAD PEER PEER, "more than the 1 leases" },
		{ HEAD PEER "\n", "more than the 1 leases" },
		/* Cut off. */
		{ HEAD "{\"key\":\"10.5.1.0-24\",\"val", "JSON" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct last_known k = { 0 };
		struct err e = { 0 };

		assert_row(last_known_parse(rows[i].text, strlen(rows[i].text), &k, &e) == -EINVAL,
			   rows[i].text);
		assert_contains(e.text, rows[i].says);
		assert_null(k.config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_version_2),
		cmocka_unit_test(test_time_left),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
