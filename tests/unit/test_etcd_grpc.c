/* SPDX-License-Identifier: Apache-2.0 */
/* stores/etcd/etcd_grpc: requests byte for byte, and answers as servers really gave them. */
#include "tests/unit/test.h"

#include <errno.h>

#include "lib/protobuf.h"
#include "stores/etcd/etcd_grpc.h"

#define KEY   (char *)"/f/a"
#define TRANS etcd_grpc_transport

/* Bytes out of hexadecimal digits, blanks between them; caller frees. */
static char *bytes_of(const char *hex, size_t *ret_size)
{
	char *bytes = xcalloc(strlen(hex) / 2 + 1, 1);
	size_t size = 0;
	unsigned byte;

	for (; *hex; hex += *hex == ' ' ? 1 : 2) {
		if (*hex == ' ')
			continue;
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		bytes[size++] = (char)byte;
	}
	*ret_size = size;
	return bytes;
}

static const struct {
	struct etcd_ask ask;
	const char *path;
	const char *hex;
} requests[] = {
	{ { .method = ETCD_RANGE, .key = (char *)"foo" },
	  "/etcdserverpb.KV/Range",
	  "00 00000005 0a03666f6f" },
	{ { .method = ETCD_RANGE,
	    .key = (char *)"a\0b",
	    .key_size = 3,
	    .range_end = (char *)"c",
	    .limit = 1000,
	    .revision = 77 },
	  "/etcdserverpb.KV/Range",
	  "00 0000000d 0a03610062 120163 18e807 204d" },
	{ { .method = ETCD_RANGE, .key = KEY, .keys_only = true },
	  "/etcdserverpb.KV/Range",
	  "00 00000008 0a042f662f61 4001" },
	/* compare {target CREATE, key, create_revision 0}, put {key, value, lease}, range */
	{ { .method = ETCD_TXN,
	    .txn = ETCD_TXN_CREATE,
	    .key = KEY,
	    .value = (char *)"{}",
	    .lease = 7 },
	  "/etcdserverpb.KV/Txn",
	  "00 00000026 0a0a 1001 1a042f662f61 2800"
	  " 120e 120c 0a042f662f61 12027b7d 1807 1a08 0a06 0a042f662f61" },
	/* compare {target MOD, key, mod_revision 5}, put {key, value, ignore_lease}, range */
	{ { .method = ETCD_TXN,
	    .txn = ETCD_TXN_UPDATE,
	    .key = KEY,
	    .value = (char *)"{}",
	    .mod_revision = 5 },
	  "/etcdserverpb.KV/Txn",
	  "00 00000026 0a0a 1002 1a042f662f61 3005"
	  " 120e 120c 0a042f662f61 12027b7d 3001 1a08 0a06 0a042f662f61" },
	{ { .method = ETCD_TXN, .txn = ETCD_TXN_DELETE, .key = KEY, .mod_revision = 5 },
	  "/etcdserverpb.KV/Txn",
	  "00 00000020 0a0a 1002 1a042f662f61 3005 1208 1a06 0a042f662f61"
	  " 1a08 0a06 0a042f662f61" },
	{ { .method = ETCD_GRANT, .lease = 7, .ttl_s = 60 },
	  "/etcdserverpb.Lease/LeaseGrant",
	  "00 00000004 083c 1007" },
	{ { .method = ETCD_KEEPALIVE, .lease = 7 },
	  "/etcdserverpb.Lease/LeaseKeepAlive",
	  "00 00000002 0807" },
	{ { .method = ETCD_REVOKE, .lease = 7 },
	  "/etcdserverpb.Lease/LeaseRevoke",
	  "00 00000002 0807" },
	{ { .method = ETCD_TIME_TO_LIVE, .lease = 7 },
	  "/etcdserverpb.Lease/LeaseTimeToLive",
	  "00 00000002 0807" },
	{ { .method = ETCD_AUTHENTICATE, .name = (char *)"u", .password = (char *)"p" },
	  "/etcdserverpb.Auth/Authenticate",
	  "00 00000006 0a0175 120170" },
	{ { .method = ETCD_STATUS }, "/etcdserverpb.Maintenance/Status", "00 00000000" },
	{ { .method = ETCD_WATCH, .key = KEY, .range_end = (char *)"b", .revision = 5 },
	  "/etcdserverpb.Watch/Watch",
	  "00 0000000f 0a0d 0a042f662f61 120162 1805 4001" },
};

static void test_requests_are_these_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		size_t size, expected_size;
		auto_free char *path = TRANS.path(requests[i].ask.method, 0);
		auto_free char *body = TRANS.encode(&requests[i].ask, &size);
		auto_free char *expected = bytes_of(requests[i].hex, &expected_size);

		print_message("%s\n", requests[i].hex);
		assert_string_equal(path, requests[i].path);
		assert_int_equal(size, expected_size);
		assert_memory_equal(body, expected, size);
	}
}

/* What etcd answers with these bytes. */
static int answer(enum etcd_method method, const char *hex, struct etcd_reply *ret,
		  char text[ETCD_TEXT_MAX])
{
	size_t size;
	auto_free char *body = bytes_of(hex, &size);
	const struct http_reply http = {
		.status = 200, .body = body, .body_size = size, .error = "", .grpc_message = ""
	};

	return TRANS.decode(method, &http, ret, text);
}

#define HEADER "0a19 08e387bcb2dbf2a5deba01 10eef9b680c8e1859406 1802 2002"

static void test_a_range(void **state)
{
	(void)state;
	struct etcd_reply reply;
	char text[ETCD_TEXT_MAX];

	/* etcd 3.4.23, of the key foo */
	assert_int_equal(answer(ETCD_RANGE,
				"00 0000002f " HEADER
				" 1210 0a03666f6f 1002 1802 2001 2a03626172 2001",
				&reply, text),
			 ETCD_OK);
	assert_true(reply.header.cluster_id == 13455796455940752355u);
	assert_true(reply.header.member_id == 443629905751424238u);
	assert_int_equal(reply.header.revision, 2);
	assert_int_equal(reply.kvs.len, 1);
	assert_string_equal(reply.kvs.items[0].key, "foo");
	assert_string_equal(reply.kvs.items[0].value, "bar");
	assert_int_equal(reply.kvs.items[0].create_revision, 2);
	assert_int_equal(reply.kvs.items[0].lease, 0);
	assert_null(reply.next_key);
	etcd_reply_fini(&reply);

	/* Cut by its limit, behind a key with a NUL in it. */
	assert_int_equal(answer(ETCD_RANGE,
				"00 0000002c " HEADER " 120b 0a03610062 1002 1802 3007"
				" 1801 2005",
				&reply, text),
			 ETCD_OK);
	assert_string_equal(reply.kvs.items[0].key, "a\\0b");
	assert_int_equal(reply.kvs.items[0].lease, 7);
	assert_int_equal(reply.next_key_size, 4);
	assert_memory_equal(reply.next_key, "a\0b", 4);
	etcd_reply_fini(&reply);
}

static void test_other_answers(void **state)
{
	(void)state;
	struct etcd_reply reply;
	char text[ETCD_TEXT_MAX];

	/* A compare that held: a put's answer is no range's. */
	assert_int_equal(
		answer(ETCD_TXN, "00 00000023 " HEADER " 1001 1a04 1202 0a00", &reply, text),
		ETCD_OK);
	assert_true(reply.succeeded && reply.kvs.len == 0);
	etcd_reply_fini(&reply);
	/* One that did not, and what was read. */
	assert_int_equal(answer(ETCD_TXN, "00 00000028 " HEADER " 1a0b 0a09 1207 0a0161 2a027b7d",
				&reply, text),
			 ETCD_OK);
	assert_true(!reply.succeeded && reply.kvs.len == 1);
	assert_string_equal(reply.kvs.items[0].value, "{}");
	etcd_reply_fini(&reply);
	/* A lease that lives, one that does not: zero is left out, or it is -1. */
	assert_int_equal(answer(ETCD_KEEPALIVE, "00 0000001f " HEADER " 1007 183c", &reply, text),
			 ETCD_OK);
	assert_int_equal(reply.ttl_s, 60);
	assert_int_equal(answer(ETCD_KEEPALIVE, "00 0000001d " HEADER " 1007", &reply, text),
			 ETCD_OK);
	assert_int_equal(reply.ttl_s, 0);
	assert_int_equal(answer(ETCD_TIME_TO_LIVE,
				"00 00000028 " HEADER " 1007 18ffffffffffffffffff01", &reply, text),
			 ETCD_OK);
	assert_int_equal(reply.ttl_s, -1);
	assert_int_equal(answer(ETCD_AUTHENTICATE, "00 0000001f " HEADER " 1202742e", &reply, text),
			 ETCD_OK);
	assert_string_equal(reply.token, "t.");
	etcd_reply_fini(&reply);
	/* 3.4.23's member: version, db_size 4096, leader */
	assert_int_equal(answer(ETCD_STATUS,
				"00 0000002d " HEADER " 1203332e34 188020 20eef9b680c8e1859406",
				&reply, text),
			 ETCD_OK);
	assert_string_equal(reply.version, "3.4");
	assert_int_equal(reply.db_size, 4096);
	assert_true(reply.leader == reply.header.member_id && !reply.is_learner);
	etcd_reply_fini(&reply);
}

/* Nothing of it is an empty store, or a lease that is lost. */
static void test_what_is_no_answer(void **state)
{
	(void)state;
	static const struct {
		enum etcd_method method;
		const char *hex;
	} rows[] = {
		{ ETCD_RANGE, "" },
		{ ETCD_RANGE, "00 00000000" },
		{ ETCD_KEEPALIVE, "00 00000000" },
		{ ETCD_KEEPALIVE, "00 00000002 1007" },
		{ ETCD_RANGE, "01 0000001b " HEADER },
		{ ETCD_RANGE, "00 0000001b 0a19 08e387" },
		/* no revision */
		{ ETCD_RANGE, "00 00000004 0a02 0801" },
		{ ETCD_TXN, "00 00000004 0a02 0801" },
		/* there is more, and no key */
		{ ETCD_RANGE, "00 0000001d " HEADER " 1801" },
		/* two messages */
		{ ETCD_KEEPALIVE, "00 0000001b " HEADER " 00 0000001b " HEADER },
		/* a string that is a number */
		{ ETCD_AUTHENTICATE, "00 0000001d " HEADER " 1007" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct etcd_reply reply = { 0 };
		char text[ETCD_TEXT_MAX] = "";

		assert_row(answer(rows[i].method, rows[i].hex, &reply, text) == ETCD_NOT_ETCD,
			   rows[i].hex);
		assert_true(text[0] && reply.kvs.len == 0);
	}
}

static void test_ends_without_an_answer(void **state)
{
	(void)state;
	static const struct {
		struct http_reply http;
		int code;
		const char *text;
	} rows[] = {
		{ { .status = 200, .grpc_status = 14, .grpc_message = "etcdserver: no leader" },
		  ETCD_UNAVAILABLE,
		  "etcdserver: no leader" },
		{ { .status = 200,
		    .grpc_status = 9,
		    .grpc_message = "rpc not supported for learner" },
		  ETCD_WRONG_MEMBER,
		  "learner" },
		{ { .status = 200, .grpc_status = 5, .grpc_message = "" },
		  ETCD_NOT_FOUND,
		  "unnamed" },
		{ { .status = 200, .grpc_status = -1, .grpc_message = "" },
		  ETCD_UNAVAILABLE,
		  "no grpc-status" },
		{ { .status = 503, .grpc_status = -1, .grpc_message = "" },
		  ETCD_UNAVAILABLE,
		  "HTTP 503" },
		{ { .status = 404, .grpc_status = -1, .grpc_message = "" },
		  ETCD_NOT_SPOKEN,
		  "HTTP 404" },
		{ { .code = -EPROTONOSUPPORT, .error = "it answers in HTTP/1", .grpc_status = -1 },
		  ETCD_NOT_SPOKEN,
		  "does not speak gRPC" },
		{ { .code = -ECONNREFUSED, .error = "Connection refused", .grpc_status = -1 },
		  ETCD_UNAVAILABLE,
		  "refused" },
		{ { .code = -EFBIG, .error = "too much", .grpc_status = -1 },
		  ETCD_TOO_LARGE,
		  "much" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct etcd_reply reply = { 0 };
		char text[ETCD_TEXT_MAX] = "";

		assert_row(TRANS.decode(ETCD_RANGE, &rows[i].http, &reply, text) == rows[i].code,
			   rows[i].text);
		assert_contains(text, rows[i].text);
		assert_int_equal(TRANS.decode_end(&rows[i].http, text), rows[i].code);
	}
	/* A stream that etcd ends in good order has ended all the same. */
	{
		const struct http_reply http = { .status = 200, .grpc_message = "" };
		char text[ETCD_TEXT_MAX];

		assert_int_equal(TRANS.decode_end(&http, text), ETCD_UNAVAILABLE);
	}
}

static void watch(const char *hex, struct etcd_watch_message *ret)
{
	size_t size;
	auto_free char *bytes = bytes_of(hex, &size);
	struct err e;

	assert_int_equal(TRANS.message_size(bytes, 4, 0), 0);
	assert_int_equal(TRANS.message_size(bytes, size, 0), size);
	if (TRANS.decode_watch(bytes, size, ret, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(ret->size, size);
}

static void test_watch_messages(void **state)
{
	(void)state;
	struct etcd_watch_message m;
	struct err e;

	watch("00 0000001d " HEADER " 1801", &m);
	assert_true(m.created && !m.canceled && !m.fragment && m.events.len == 0);
	assert_int_equal(m.header.revision, 2);
	/* A put and a deletion, in fragments. */
	watch("00 0000003c " HEADER " 3801 5a0e 120c 0a0161 1802 2a027b7d 30d209 5a0d 0801 1209"
	      " 0a0162 1803 2a00 3000",
	      &m);
	assert_true(m.fragment && m.events.len == 2);
	assert_string_equal(m.events.items[0].key, "a");
	assert_int_equal(m.events.items[0].mod_revision, 2);
	assert_int_equal(m.events.items[0].lease, 1234);
	assert_true(!m.events.items[0].deleted && m.events.items[1].deleted);
	etcd_watch_message_fini(&m);
	/* History before 5 is compacted. */
	watch("00 0000001f " HEADER " 2001 2805", &m);
	assert_true(m.canceled && m.compact_revision == 5 && m.reason[0]);
	/* Refused: created and canceled in one. */
	watch("00 0000002f " HEADER " 10ffffffffffffffffff01 1801 2001 3203 6e6f21", &m);
	assert_true(m.created && m.canceled);
	assert_string_equal(m.reason, "no!");
	assert_int_equal(TRANS.decode_watch("\0\0\0\0", 5, &m, &e), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_are_these_bytes),
		cmocka_unit_test(test_a_range),
		cmocka_unit_test(test_other_answers),
		cmocka_unit_test(test_what_is_no_answer),
		cmocka_unit_test(test_ends_without_an_answer),
		cmocka_unit_test(test_watch_messages),
	};

	assert_int_equal(protobuf_load(NULL), 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
