/* SPDX-License-Identifier: Apache-2.0 */
/* stores/etcd/etcd_json: requests byte for byte, and answers as servers really gave them. */
#include "tests/unit/golden.h"
#include "tests/unit/test.h"

#include <errno.h>

#include "stores/etcd/etcd_json.h"
#include "subnet/store.h"

#define REQUESTS "tests/golden/etcd_requests.txt"
#define ANSWERS  "tests/golden/etcd_answers.txt"
#define CLUSTER  13455796455940752355u
#define KEY      "/f/subnets/10.5.34.0-24"
#define LEASE    7587868383918361090

/* Takes `actual`. */
static void check_request(const char *name, char *actual)
{
	auto_free char *expected = golden_text(REQUESTS, name);

	assert_string_equal(actual, expected);
	free(actual);
}

static void test_requests_are_the_golden_bytes(void **state)
{
	(void)state;
	check_request("range one key", etcd_encode_range("/f/config", NULL, 0, 0));
	check_request("range prefix", etcd_encode_range("/f/subnets/", "/f/subnets0", 1000, 77));
	check_request("probe", etcd_encode_probe("/f/config"));
	check_request("grant", etcd_encode_grant(LEASE, 86400));
	check_request("keepalive", etcd_encode_lease_id(LEASE));
	check_request("authenticate", etcd_encode_authenticate("root", "a \"quoted\" \\ one"));
	check_request("create", etcd_encode_txn_create(KEY, "{}", LEASE));
	check_request("update", etcd_encode_txn_update(KEY, "{}", UINT64_MAX, 0));
	check_request("bind", etcd_encode_txn_update(KEY, "{}", UINT64_MAX, LEASE));
	check_request("delete", etcd_encode_txn_delete(KEY, 3));
}

/* Messages of a stream are separated by line ends. */
static void test_watch_requests_are_lines(void **state)
{
	(void)state;
	auto_free char *prefix = etcd_encode_watch("/f/subnets/", "/f/subnets0", 5);
	auto_free char *one = etcd_encode_watch("/f/config", NULL, 5);

	assert_int_equal(prefix[strlen(prefix) - 1], '\n');
	assert_int_equal(one[strlen(one) - 1], '\n');
	prefix[strlen(prefix) - 1] = one[strlen(one) - 1] = '\0';
	check_request("watch prefix", STEAL(prefix));
	check_request("watch one key", STEAL(one));
}

static void test_end_of_a_prefix(void **state)
{
	(void)state;
	auto_free char *end = etcd_prefix_end("/coreos.com/network/subnets/");
	auto_free char *letter = etcd_prefix_end("a");

	assert_string_equal(end, "/coreos.com/network/subnets0");
	assert_string_equal(letter, "b");
}

/* The parsed body of a good answer. */
static json_t *answer(const char *name)
{
	auto_free char *body = golden_text(ANSWERS, name);
	json_t *reply = NULL;
	char text[200] = "";
	int code = etcd_decode_answer(200, body, strlen(body), &reply, text, sizeof(text));

	if (code != ETCD_OK)
		fail_msg("%s: %d %s", name, code, text);
	return reply;
}

static void test_range(void **state)
{
	(void)state;
	auto_json json_t *absent = answer("range absent");
	auto_json json_t *one = answer("range one key");
	auto_json json_t *more_text = answer("range more");
	struct etcd_header header;
	auto_free char *next = NULL;
	size_t size = 0;
	struct etcd_kvs kvs = { 0 };

	assert_int_equal(etcd_decode_range(absent, &header, &kvs, NULL), 0);
	assert_int_equal(kvs.len, 0);
	assert_int_equal(etcd_decode_next_key(absent, &next, &size, NULL), 0);
	assert_null(next);
	assert_true(header.cluster_id == CLUSTER);
	assert_int_equal(header.revision, 1);

	assert_int_equal(etcd_decode_range(one, &header, &kvs, NULL), 0);
	assert_int_equal(kvs.len, 1);
	assert_string_equal(kvs.items[0].key, "/f/config");
	assert_string_equal(kvs.items[0].value, "{\"Network\":\"10.5.0.0/16\"}");
	assert_int_equal(kvs.items[0].value_size, strlen(kvs.items[0].value));
	assert_int_equal(kvs.items[0].create_revision, 2);
	assert_int_equal(kvs.items[0].mod_revision, 2);
	assert_int_equal(kvs.items[0].lease, 0);
	assert_false(kvs.items[0].deleted);
	assert_int_equal(etcd_decode_next_key(one, &next, &size, NULL), 0);
	assert_null(next);

	/* Pages are appended. A key without value has an empty one. */
	assert_int_equal(etcd_decode_range(more_text, &header, &kvs, NULL), 0);
	assert_int_equal(kvs.len, 2);
	assert_string_equal(kvs.items[1].value, "");
	assert_int_equal(etcd_decode_next_key(more_text, &next, &size, NULL), 0);
	assert_non_null(next);
	assert_int_equal(size, strlen(kvs.items[1].key) + 1);
	assert_memory_equal(next, kvs.items[1].key, size);
	etcd_kvs_fini(&kvs);
	assert_int_equal(kvs.len, 0);
}

static void test_transactions(void **state)
{
	(void)state;
	auto_json json_t *won = answer("txn won");
	auto_json json_t *lost = answer("txn lost");
	auto_json json_t *lost_to_nobody = answer("txn lost, nothing there");
	struct etcd_header header;
	struct etcd_kvs kvs = { 0 };
	bool succeeded = false;

	assert_int_equal(etcd_decode_txn(won, &header, &succeeded, &kvs, NULL), 0);
	assert_true(succeeded);
	assert_int_equal(header.revision, 3);
	assert_int_equal(kvs.len, 0);

	assert_int_equal(etcd_decode_txn(lost, &header, &succeeded, &kvs, NULL), 0);
	assert_false(succeeded);
	assert_int_equal(kvs.len, 1);
	assert_string_equal(kvs.items[0].key, KEY);
	assert_string_equal(kvs.items[0].value, "{\"PublicIP\":\"192.0.2.7\"}");
	assert_int_equal(kvs.items[0].lease, 1234);
	etcd_kvs_fini(&kvs);

	succeeded = true;
	assert_int_equal(etcd_decode_txn(lost_to_nobody, &header, &succeeded, &kvs, NULL), 0);
	assert_false(succeeded);
	assert_int_equal(kvs.len, 0);
}

/* A dead lease answers HTTP 200 without a TTL, or with -1. */
static void test_leases(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		int64_t ttl;
	} rows[] = {
		{ "grant", 60 },
		{ "keepalive", 60 },
		{ "keepalive of a dead lease", 0 },
		{ "time to live of a dead lease", -1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_json json_t *reply = answer(rows[i].name);

		assert_int_equal(etcd_decode_ttl(reply), rows[i].ttl);
	}
}

/* What is reckoned with in milliseconds must not overflow there. */
static void test_lives_without_end(void **state)
{
	(void)state;
	static const char *const ttls[] = { "9223372036854775807", "9223372036854775808",
					    "99999999999999999999", "9000000001" };

	for (size_t i = 0; i < ARRAY_LEN(ttls); i++) {
		auto_free char *text = xasprintf("{\"TTL\":\"%s\"}", ttls[i]);
		auto_json json_t *reply = NULL;

		assert_int_equal(json_parse_object(text, strlen(text), &reply, NULL), 0);
		assert_int_equal(etcd_decode_ttl(reply), STORE_TTL_MAX_S);
	}
}

static void test_token(void **state)
{
	(void)state;
	auto_json json_t *reply = answer("authenticate");
	auto_json json_t *none = answer("grant");

	assert_string_equal(etcd_decode_token(reply), "puDSvQScTYADrcEi.18");
	assert_null(etcd_decode_token(none));
}

static void test_errors_of_every_shape(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		long status;
		int code;
		const char *text;
	} rows[] = {
		{ "error unary", 404, ETCD_NOT_FOUND, "etcdserver: requested lease not found" },
		{ "error stream", 503, ETCD_UNAVAILABLE, "etcdserver: no leader" },
		/* Also with HTTP 200, after good messages of a stream. */
		{ "error stream", 200, ETCD_UNAVAILABLE, "etcdserver: no leader" },
		{ "error unknown", 500, ETCD_UNKNOWN, "context deadline exceeded" },
		{ "error token", 401, ETCD_UNAUTHENTICATED, "invalid auth token" },
		{ "v2 error unary", 404, ETCD_NOT_FOUND, "etcdserver: requested lease not found" },
		{ "v2 error stream", 503, ETCD_UNAVAILABLE, "etcdserver: no leader" },
		{ "v2 error stream", 200, ETCD_UNAVAILABLE, "etcdserver: no leader" },
		{ "v2 error token", 401, ETCD_UNAUTHENTICATED, "invalid auth token" },
		/* Code 9 is said of many things: the HTTP status differs by version, the text does
		 * not. */
		{ "v2 error taken", 400, ETCD_FAILED_PRECONDITION, "lease already exists" },
		{ "v2 error taken", 412, ETCD_FAILED_PRECONDITION, "lease already exists" },
		{ "v2 error no auth", 400, ETCD_FAILED_PRECONDITION, "is not enabled" },
		{ "v2 error learner", 400, ETCD_WRONG_MEMBER, "learner" },
		{ "v2 error learner", 412, ETCD_WRONG_MEMBER, "learner" },
		{ "v2 error learner, 3.5", 503, ETCD_WRONG_MEMBER, "learner" },
		{ "v2 error stream learner", 400, ETCD_WRONG_MEMBER, "learner" },
		{ "v2 error not capable", 400, ETCD_WRONG_MEMBER, "not capable" },
		{ "not found", 404, ETCD_NOT_ETCD, "HTTP 404: 404 page not found" },
		/* What etcd says does not say what to do. */
		{ "common name", 400, ETCD_PERMISSION_DENIED, "use a certificate without one" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *body = golden_text(ANSWERS, rows[i].name);
		json_t *reply = NULL;
		char text[200] = "";

		assert_row(etcd_decode_answer(rows[i].status, body, strlen(body), &reply, text,
					      sizeof(text)) == rows[i].code,
			   rows[i].name);
		assert_contains(text, rows[i].text);
		assert_null(reply);
	}
}

/* Whoever is told of an error is told a reason, also where there is none in it. */
static void test_errors_without_a_text(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"{\"error\":\"\"}",
		"{\"error\":{\"code\":1,\"message\":\"\"}}",
		"{\"error\":{\"code\":9}}",
		"{\"result\":{\"header\":{},\"canceled\":true,\"cancel_reason\":\"\"}}",
		"{\"result\":{\"header\":{},\"canceled\":true}}",
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct etcd_watch_message m;

		assert_int_equal(etcd_decode_watch(lines[i], strlen(lines[i]), &m, NULL), 0);
		assert_row(m.reason[0], lines[i]);
		etcd_watch_message_fini(&m);
	}
}

/* The second version of the gateway spaces its commas, and is read as the first. */
static void test_the_second_gateway(void **state)
{
	(void)state;
	auto_json json_t *range = answer("v2 range");
	auto_json json_t *lost = answer("v2 txn lost");
	auto_json json_t *dead = answer("v2 time to live of a dead lease");
	struct etcd_header header;
	struct etcd_kvs kvs = { 0 };
	bool succeeded = true;

	assert_int_equal(etcd_decode_range(range, &header, &kvs, NULL), 0);
	assert_true(header.cluster_id == CLUSTER);
	assert_int_equal(header.revision, 2);
	assert_string_equal(kvs.items[0].key, "/f/config");
	assert_int_equal(etcd_decode_txn(lost, &header, &succeeded, &kvs, NULL), 0);
	assert_false(succeeded);
	assert_int_equal(kvs.len, 2);
	assert_int_equal(kvs.items[1].lease, 1234);
	assert_int_equal(etcd_decode_ttl(dead), -1);
	etcd_kvs_fini(&kvs);
}

/* Anything that is not etcd: a proxy's page, an empty body, half an answer. */
static void test_answers_of_others(void **state)
{
	(void)state;
	static const struct {
		long status;
		const char *body;
	} rows[] = {
		{ 200, "" },
		{ 502, "" },
		{ 502, "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n" },
		{ 200, "{\"header\":{\"revision\":" },
		{ 200, "[]" },
		{ 200, "{}" },
		{ 200, "{\"header\":[]}" },
		{ 200, "{\"result\":{\"ID\":\"7\"}}" },
		{ 400, "this proxy has no CommonName" },
		{ 500, "{}" },
		{ 302, "{\"header\":{}}" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *reply = NULL;
		char text[200] = "";

		assert_row(etcd_decode_answer(rows[i].status, rows[i].body, strlen(rows[i].body),
					      &reply, text, sizeof(text)) == ETCD_NOT_ETCD,
			   rows[i].body);
		assert_contains(text, "HTTP");
		assert_null(strpbrk(text, "\r\n"));
		assert_null(reply);
	}
}

static void decode_watch(const char *name, struct etcd_watch_message *ret)
{
	auto_free char *line = golden_text(ANSWERS, name);
	struct err e;

	if (etcd_decode_watch(line, strlen(line), ret, &e) < 0)
		fail_msg("%s: %s", name, e.text);
}

static void test_watch_messages(void **state)
{
	(void)state;
	struct etcd_watch_message m;

	decode_watch("watch created", &m);
	assert_true(m.created && !m.canceled && !m.fragment && !m.error);
	assert_true(m.header.cluster_id == CLUSTER);
	assert_int_equal(m.header.revision, 4);
	assert_int_equal(m.events.len, 0);
	etcd_watch_message_fini(&m);

	decode_watch("watch events", &m);
	assert_int_equal(m.events.len, 2);
	assert_string_equal(m.events.items[0].key, KEY);
	assert_string_equal(m.events.items[0].value, "{}");
	assert_int_equal(m.events.items[0].mod_revision, 4);
	assert_int_equal(m.events.items[0].lease, 1234);
	assert_false(m.events.items[0].deleted);
	/* A deletion: the key and its revision, and nothing of what was there. */
	assert_string_equal(m.events.items[1].key, KEY);
	assert_string_equal(m.events.items[1].value, "");
	assert_int_equal(m.events.items[1].mod_revision, 5);
	assert_true(m.events.items[1].deleted);
	etcd_watch_message_fini(&m);

	decode_watch("watch fragment", &m);
	assert_true(m.fragment);
	assert_int_equal(m.events.len, 1);
	etcd_watch_message_fini(&m);

	decode_watch("watch progress", &m);
	assert_true(!m.created && !m.canceled && !m.error && m.events.len == 0);
	assert_int_equal(m.header.revision, 5);
	etcd_watch_message_fini(&m);
}

/* The stream stays open after these: who reads them must close it. */
static void test_ends_of_a_watch(void **state)
{
	(void)state;
	struct etcd_watch_message m;

	decode_watch("watch compacted", &m);
	assert_true(m.canceled);
	assert_int_equal(m.compact_revision, 5);
	etcd_watch_message_fini(&m);

	decode_watch("watch denied", &m);
	assert_true(m.canceled && m.created);
	assert_contains(m.reason, "permission denied");
	assert_int_equal(m.compact_revision, 0);
	etcd_watch_message_fini(&m);

	decode_watch("error stream", &m);
	assert_int_equal(m.error, ETCD_UNAVAILABLE);
	assert_string_equal(m.reason, "etcdserver: no leader");
	etcd_watch_message_fini(&m);
}

static void test_the_other_spelling(void **state)
{
	(void)state;
	auto_json json_t *range = answer("camel range");
	auto_json json_t *txn = answer("camel txn lost");
	struct etcd_watch_message m;
	struct etcd_header header;
	struct etcd_kvs kvs = { 0 };
	bool flag;

	assert_int_equal(etcd_decode_range(range, &header, &kvs, NULL), 0);
	assert_true(header.cluster_id == CLUSTER);
	assert_int_equal(kvs.items[0].create_revision, 3);
	assert_int_equal(kvs.items[0].mod_revision, 4);
	assert_int_equal(kvs.items[0].lease, 1234);
	assert_int_equal(etcd_decode_txn(txn, &header, &flag, &kvs, NULL), 0);
	assert_false(flag);
	assert_int_equal(kvs.len, 2);
	assert_int_equal(kvs.items[1].mod_revision, 4);
	etcd_kvs_fini(&kvs);
	decode_watch("camel watch compacted", &m);
	assert_true(m.canceled);
	assert_int_equal(m.compact_revision, 5);
	assert_contains(m.reason, "compacted");
	etcd_watch_message_fini(&m);
}

static void test_malformed_replies(void **state)
{
	(void)state;
	static const char *const ranges[] = {
		"{\"kvs\":[{\"key\":\"$$$$\"}]}",
		"{\"kvs\":[{\"key\":5}]}",
		"{\"kvs\":[{\"key\":\"L2Yv\",\"value\":\"x\"}]}",
		"{\"kvs\":[{\"key\":\"L2Yv\",\"value\":[]}]}",
	};
	static const char *const watches[] = {
		"",
		"{}",
		"[]",
		"{\"result\":[]}",
		"{\"result\":{\"events\":[{\"kv\":{\"key\":\"$$$$\"}}]}}",
		("{\"result\":{\"events\":[{\"kv\":{\"key\":\"L2Yv\"}},"
		 "{\"kv\":{\"key\":\"$$$$\"}}]}}"),
		"{\"result\":{}}{\"result\":{}}",
	};

	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		auto_json json_t *reply = NULL;
		struct etcd_kvs kvs = { 0 };
		struct err e = { 0 };

		assert_int_equal(json_parse_object(ranges[i], strlen(ranges[i]), &reply, &e), 0);
		assert_row(etcd_decode_range(reply, NULL, &kvs, &e) == -EINVAL, ranges[i]);
		assert_contains(e.text, "etcd");
		etcd_kvs_fini(&kvs);
	}
	for (size_t i = 0; i < ARRAY_LEN(watches); i++) {
		struct etcd_watch_message m;
		struct err e = { 0 };

		assert_row(etcd_decode_watch(watches[i], strlen(watches[i]), &m, &e) == -EINVAL,
			   watches[i]);
		assert_contains(e.text, "etcd");
	}
}

/* A list that goes on nobody knows where is no list: it must not be taken for all there is. */
static void test_no_next_key(void **state)
{
	(void)state;
	static const char *const cut[] = {
		"{\"more\":true}",
		"{\"more\":true,\"kvs\":[]}",
		"{\"more\":true,\"kvs\":{\"key\":\"YQ==\"}}",
		"{\"more\":true,\"kvs\":[{\"key\":\"!\"}]}",
		"{\"more\":true,\"kvs\":[{\"key\":\"YQ==\"},7]}",
		"{\"more\":true,\"kvs\":[{\"key\":\"YQ==\"},{}]}",
	};
	static const char *const whole[] = {
		"{\"more\":\"true\",\"kvs\":[{\"key\":\"YQ==\"}]}",
		"{\"more\":false,\"kvs\":[{\"key\":\"YQ==\"}]}",
		"{\"kvs\":[{\"key\":\"YQ==\"}]}",
		"{}",
	};
	char *next = NULL;
	size_t size;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(cut); i++) {
		auto_json json_t *reply = NULL;

		assert_int_equal(json_parse_object(cut[i], strlen(cut[i]), &reply, NULL), 0);
		assert_row(etcd_decode_next_key(reply, &next, &size, &e) == -EINVAL, cut[i]);
		assert_contains(e.text, "etcd");
		assert_null(next);
	}
	for (size_t i = 0; i < ARRAY_LEN(whole); i++) {
		auto_json json_t *reply = NULL;

		assert_int_equal(json_parse_object(whole[i], strlen(whole[i]), &reply, NULL), 0);
		assert_row(etcd_decode_next_key(reply, &next, &size, &e) == 0 && !next, whole[i]);
	}
}

/* Without a revision nobody can say what is newer: an empty list from nowhere is no list. */
static void test_replies_without_a_revision(void **state)
{
	(void)state;
	static const char text[] = "{\"header\":{\"cluster_id\":\"5\"}}";
	auto_json json_t *reply = NULL;
	struct etcd_header header;
	struct etcd_kvs kvs = { 0 };
	struct err e = { 0 };
	bool succeeded;

	assert_int_equal(json_parse_object(text, sizeof(text) - 1, &reply, NULL), 0);
	assert_int_equal(etcd_decode_range(reply, &header, &kvs, &e), -EINVAL);
	assert_contains(e.text, "without a revision");
	assert_int_equal(etcd_decode_txn(reply, &header, &succeeded, &kvs, &e), -EINVAL);
}

static void test_which_failures_pass(void **state)
{
	(void)state;
	static const int pass[] = { ETCD_CANCELLED, ETCD_UNKNOWN,      ETCD_DEADLINE_EXCEEDED,
				    ETCD_ABORTED,   ETCD_INTERNAL,     ETCD_UNAVAILABLE,
				    ETCD_NOT_ETCD,  ETCD_WRONG_MEMBER, ETCD_TOO_LARGE };
	static const int stay[] = { ETCD_OK,
				    ETCD_INVALID_ARGUMENT,
				    ETCD_NOT_FOUND,
				    ETCD_PERMISSION_DENIED,
				    ETCD_RESOURCE_EXHAUSTED,
				    ETCD_FAILED_PRECONDITION,
				    ETCD_OUT_OF_RANGE,
				    ETCD_UNIMPLEMENTED,
				    ETCD_UNAUTHENTICATED };

	for (size_t i = 0; i < ARRAY_LEN(pass); i++)
		assert_true(etcd_code_is_transient(pass[i]));
	for (size_t i = 0; i < ARRAY_LEN(stay); i++)
		assert_false(etcd_code_is_transient(stay[i]));
}

/* A key with a NUL inside is not the key before it, and the page behind it begins behind it. */
static void test_binary_keys_and_values(void **state)
{
	(void)state;
	static const char text[] =
		"{\"more\":true,\"kvs\":[{\"key\":\"L2YAeA==\",\"value\":\"AAEC/w==\"}]}";
	auto_json json_t *reply = NULL;
	auto_free char *next = NULL;
	auto_free char *request = NULL;
	size_t size = 0;
	struct etcd_kvs kvs = { 0 };

	assert_int_equal(json_parse_object(text, sizeof(text) - 1, &reply, NULL), 0);
	assert_int_equal(etcd_decode_range(reply, NULL, &kvs, NULL), 0);
	assert_string_equal(kvs.items[0].key, "/f\\0x");
	assert_int_equal(kvs.items[0].value_size, 4);
	assert_memory_equal(kvs.items[0].value, "\x00\x01\x02\xff", 4);
	etcd_kvs_fini(&kvs);
	assert_int_equal(etcd_decode_next_key(reply, &next, &size, NULL), 0);
	assert_int_equal(size, 5);
	assert_memory_equal(next, "/f\0x\0", 5);
	request = etcd_encode_range_from(next, size, "/g", 0, 0);
	assert_string_equal(request, "{\"key\":\"L2YAeAA=\",\"range_end\":\"L2c=\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_are_the_golden_bytes),
		cmocka_unit_test(test_watch_requests_are_lines),
		cmocka_unit_test(test_end_of_a_prefix),
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_transactions),
		cmocka_unit_test(test_leases),
		cmocka_unit_test(test_lives_without_end),
		cmocka_unit_test(test_token),
		cmocka_unit_test(test_errors_of_every_shape),
		cmocka_unit_test(test_errors_without_a_text),
		cmocka_unit_test(test_the_second_gateway),
		cmocka_unit_test(test_answers_of_others),
		cmocka_unit_test(test_watch_messages),
		cmocka_unit_test(test_ends_of_a_watch),
		cmocka_unit_test(test_the_other_spelling),
		cmocka_unit_test(test_malformed_replies),
		cmocka_unit_test(test_no_next_key),
		cmocka_unit_test(test_replies_without_a_revision),
		cmocka_unit_test(test_which_failures_pass),
		cmocka_unit_test(test_binary_keys_and_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
