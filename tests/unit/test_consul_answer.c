/* SPDX-License-Identifier: Apache-2.0 */
/* stores/consul/consul_answer, consul_list, consul_options: what Consul answers, and what it is asked for. */
#include "tests/unit/test.h"

#include <errno.h>

#include "stores/consul/consul_answer.h"
#include "stores/consul/consul_options.h"

#define SESSION     "049c13ce-60d1-422a-5ba0-cbcb5ddf21fe"
#define SIZED(text) (text), strlen(text)
#define ENTRY(key, value, modify)                                                                  \
	"{\"LockIndex\":1,\"Key\":\"" key "\",\"Flags\":5,\"Value\":" value                        \
	",\"Session\":\"" SESSION "\",\"CreateIndex\":13,\"ModifyIndex\":" #modify "}"

struct answer {
	long status;
	const char *body;
	enum consul_outcome outcome;
	const char *text;
};

static void check_answers(const struct answer *rows, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char text[CONSUL_TEXT_MAX];

		assert_int_equal(
			consul_outcome_of(rows[i].status, rows[i].body, strlen(rows[i].body), text),
			rows[i].outcome);
		assert_contains(text, rows[i].text);
		assert_true((rows[i].outcome == CONSUL_OK) == (text[0] == '\0'));
	}
}

static void test_outcomes(void **state)
{
	static const struct answer rows[] = {
		{ 200, "[]", CONSUL_OK, "" },
		{ 404, "", CONSUL_ABSENT, "HTTP status 404" },
		{ 404, "Session id '0' not found", CONSUL_ABSENT, "not found" },
		{ 403, "Permission denied", CONSUL_DENIED, "Permission denied" },
		{ 403, "ACL not found", CONSUL_DENIED, "ACL not found" },
		{ 401, "", CONSUL_DENIED, "401" },
		{ 500, "rpc error making call: Permission denied", CONSUL_DENIED, "Permission" },
		{ 500, "rpc error making call: EOF", CONSUL_LATER, "EOF" },
		{ 500, "No cluster leader", CONSUL_LATER, "No cluster leader" },
		{ 500, "failed to get conn: dial tcp: connect: connection refused", CONSUL_LATER,
		  "refused" },
		/* An agent that has just started is registered in a moment. */
		{ 500, "Missing node registration", CONSUL_LATER, "registration" },
		{ 500, "No path to datacenter", CONSUL_INVALID, "datacenter" },
		{ 500, "Invalid Session TTL '9', must be between [10s=24h0m0s]", CONSUL_INVALID,
		  "TTL" },
		{ 503, "<html>\nno", CONSUL_LATER, "<html>" },
		{ 429, "Your IP is issuing too many concurrent connections", CONSUL_LATER, "too" },
		{ 413, "Request body(800104 bytes) too large", CONSUL_INVALID, "too large" },
		{ 400, "\xff\x01", CONSUL_INVALID, "?" },
		{ 302, "", CONSUL_INVALID, "302" },
	};

	(void)state;
	check_answers(rows, ARRAY_LEN(rows));
}

static void test_outcomes_of_transactions(void **state)
{
	static const struct answer rows[] = {
		{ 409,
		  "{\"Results\":null,\"Errors\":[{\"OpIndex\":0,\"What\":\"key \\\"a\\\" "
		  "exists\"}]}",
		  CONSUL_CONFLICT, "key \"a\" exists" },
		{ 409,
		  "{\"Errors\":[{\"OpIndex\":0,\"What\":\"failed to check index, key \\\"a\\\" "
		  "doesn't exist\"}]}",
		  CONSUL_CONFLICT, "doesn't exist" },
		{ 409,
		  "{\"Errors\":[{\"OpIndex\":0,\"What\":\"failed index check for key \\\"K\\\", "
		  "current modify index 21 != 1\"}]}",
		  CONSUL_CONFLICT, "21 != 1" },
		{ 409, "{\"Errors\":[{\"What\":\"failed to lock key, lock is already held\"}]}",
		  CONSUL_CONFLICT, "held" },
		{ 409, "{\"Errors\":[{\"OpIndex\":1,\"What\":\"invalid session \\\"0\\\"\"}]}",
		  CONSUL_NO_SESSION, "invalid session" },
		{ 409, "{\"Errors\":[{\"OpIndex\":1,\"What\":\"Permission denied\"}]}",
		  CONSUL_DENIED, "Permission" },
		{ 409, "{\"Errors\":[{\"What\":\"unknown KV verb \\\"X\\\"\"}]}", CONSUL_INVALID,
		  "verb" },
		{ 409, "{\"Errors\":[]}", CONSUL_INVALID, "Errors" },
	};

	(void)state;
	check_answers(rows, ARRAY_LEN(rows));
}

static void test_index(void **state)
{
	(void)state;
	assert_int_equal(consul_index_of("17"), 17);
	assert_int_equal(consul_index_of("18446744073709551615"), UINT64_MAX);
	assert_int_equal(consul_index_of("18446744073709551616"), 0);
	assert_int_equal(consul_index_of(NULL), 0);
	assert_int_equal(consul_index_of(""), 0);
	assert_int_equal(consul_index_of("-1"), 0);
	assert_int_equal(consul_index_of("17 "), 0);
}

static void test_sessions(void **state)
{
	static const char *const bad[] = { "", SESSION "0", "049c13ce-60d1-422a-5ba0-cbcb5ddf21f",
					   "049c13ce060d1-422a-5ba0-cbcb5ddf21fe",
					   "049C13CE-60d1-422a-5ba0-cbcb5ddf21fe" };
	char text[CONSUL_SESSION_TEXT];
	int64_t ttl_s = 0;
	u128 id = 0;
	struct err e;

	(void)state;
	assert_int_equal(consul_session_parse(SESSION, &id, NULL), 0);
	assert_true((uint64_t)(id >> 64) == 0x049c13ce60d1422a);
	assert_true((uint64_t)id == 0x5ba0cbcb5ddf21fe);
	assert_string_equal(consul_session_format(id, text), SESSION);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(consul_session_parse(bad[i], &id, &e), -EINVAL);
	id = 0;
	assert_int_equal(consul_session_read(SIZED("{\"ID\":\"" SESSION "\"}"), &id, NULL), 0);
	assert_true(id != 0);
	assert_int_equal(consul_session_read(SIZED("{}"), &id, &e), -EBADMSG);
	assert_int_equal(consul_session_read(SIZED("[]"), &id, &e), -EBADMSG);
	assert_int_equal(consul_renewal_read(SIZED("[{\"TTL\":\"43200s\"}]"), &ttl_s, NULL), 0);
	assert_int_equal(ttl_s, 43200);
	assert_int_equal(consul_renewal_read(SIZED("[{\"TTL\":\"12h1m0s\"}]"), &ttl_s, NULL), 0);
	assert_int_equal(ttl_s, 43260);
	assert_int_equal(consul_renewal_read(SIZED("[{\"TTL\":\"\"}]"), &ttl_s, &e), -EBADMSG);
	assert_int_equal(consul_renewal_read(SIZED("[{\"TTL\":\"10\"}]"), &ttl_s, &e), -EBADMSG);
	assert_int_equal(consul_renewal_read(SIZED("[{\"TTL\":\"99999999999s\"}]"), &ttl_s, &e),
			 -EBADMSG);
	assert_int_equal(consul_renewal_read(SIZED("[]"), &ttl_s, &e), -EBADMSG);
}

/* A session ends after twice its TTL: half of the lease's, within what Consul allows. */
static void test_ttl(void **state)
{
	static const struct {
		int64_t lease_s;
		int64_t session_s; /* 0: none lives so long */
	} rows[] = { { 86400, 43200 }, { 60, 30 },        { 61, 31 },    { 20, 10 },
		     { 1, 10 },        { 172800, 86400 }, { 172801, 0 }, { INT64_MAX, 0 } };
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t ttl_s = 0;
		int rc = consul_session_ttl(rows[i].lease_s, &ttl_s, &e);

		assert_int_equal(rc, rows[i].session_s ? 0 : -EINVAL);
		assert_int_equal(ttl_s, rows[i].session_s);
	}
	assert_contains(e.text, "172800");
}

static void test_kv(void **state)
{
	static const char *const bad[] = {
		"[]",
		"{}",
		"{\"Key\":\"a\",\"CreateIndex\":1}",
		"{\"Key\":5,\"CreateIndex\":1,\"ModifyIndex\":1}",
		"{\"Key\":\"a\",\"CreateIndex\":0,\"ModifyIndex\":1}",
		"{\"Key\":\"a\",\"CreateIndex\":1,\"ModifyIndex\":-1}",
		"{\"Key\":\"a\",\"CreateIndex\":1,\"ModifyIndex\":1,\"Session\":\"x\"}",
		"{\"Key\":\"a\",\"CreateIndex\":1,\"ModifyIndex\":1,\"Value\":\"%\"}",
		"{\"Key\":\"a\",\"CreateIndex\":1,\"ModifyIndex\":1",
	};
	const char *good = ENTRY("a/b", "\"djE=\"", 16);
	const char *empty = ENTRY("a/b", "null", 16);
	struct consul_kv kv = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(consul_kv_read(good, strlen(good), true, &kv, NULL), 0);
	assert_string_equal(kv.key, "a/b");
	assert_string_equal(kv.value, "v1");
	assert_int_equal(kv.value_size, 2);
	assert_int_equal(kv.flags, 5);
	assert_int_equal(kv.create_index, 13);
	assert_int_equal(kv.modify_index, 16);
	assert_true(kv.session != 0);
	consul_kv_fini(&kv);
	assert_int_equal(consul_kv_read(empty, strlen(empty), true, &kv, NULL), 0);
	assert_int_equal(kv.value_size, 0);
	consul_kv_fini(&kv);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(consul_kv_read(bad[i], strlen(bad[i]), true, &kv, &e), -EINVAL);
		assert_null(kv.key);
	}
}

static void test_txn(void **state)
{
	const char *done = "{\"Results\":[{\"KV\":" ENTRY("a", "null", 13) "},{\"KV\":" ENTRY(
		"a", "null", 16) "}],\"Errors\":null}";
	struct consul_kv kv = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(consul_txn_read(done, strlen(done), &kv, NULL), 0);
	assert_int_equal(kv.modify_index, 16);
	consul_kv_fini(&kv);
	assert_int_equal(consul_txn_read(SIZED("{\"Results\":[]}"), &kv, &e), -ENODATA);
	assert_int_equal(consul_txn_read(SIZED("{\"Results\":[5]}"), &kv, &e), -ENODATA);
	assert_int_equal(consul_txn_read(SIZED("null"), &kv, &e), -EINVAL);
}

static int read_list(const char *text, struct consul_list *ret, struct err *e)
{
	return consul_list_read(text, strlen(text), NULL, ret, e);
}

static void test_list(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		size_t unreadable;
	} good[] = {
		{ "[]", 0, 0 },
		{ " [ ] \n", 0, 0 },
		{ "[" ENTRY("a", "null", 1) "]", 1, 0 },
		{ "[ " ENTRY("b", "null", 1) " ,\n" ENTRY("a", "\"djE=\"", 2) "\n]", 2, 0 },
		{ "[" ENTRY("}\\\"]{", "null", 1) "]", 1, 0 },
		{ "[{},{\"Key\":\"}\"}," ENTRY("a", "null", 1) "]", 1, 2 },
	};
	static const char *const bad[] = {
		"",
		"{}",
		"[",
		"[5]",
		"[{]",
		"[{\"}]",
		"[]x",
		"[" ENTRY("a", "null", 1),
		"[" ENTRY("a", "null", 1) ",]",
		"[" ENTRY("a", "null", 1) ENTRY("b", "null", 1) "]",
		"[" ENTRY("a", "null", 1) "," ENTRY("a", "null", 2) "]",
		"[" ENTRY("b", "null", 1) "," ENTRY("a", "null", 2) "," ENTRY("b", "null", 3) "]",
	};
	struct consul_list list;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(read_list(good[i].text, &list, &e), 0);
		assert_int_equal(list.len, good[i].len);
		assert_int_equal(list.unreadable, good[i].unreadable);
		for (size_t j = 1; j < list.len; j++)
			assert_true(strcmp(list.items[j - 1].key, list.items[j].key) < 0);
		consul_list_fini(&list);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(read_list(bad[i], &list, &e), -EBADMSG);
		consul_list_fini(&list);
	}
}

/* Most of a list is as it was: whatever was made, changed or is gone in it, it is read as if it were the first. */
static void test_list_after_another(void **state)
{
	static const char *const lists[] = {
		"[]",
		"[" ENTRY("a", "null", 1) "," ENTRY("c", "null", 2) "," ENTRY("d", "null", 3) "]",
		"[" ENTRY("a", "null", 1) "," ENTRY("c", "null", 9) "," ENTRY("d", "null", 3) "]",
		"[" ENTRY("b", "null", 4) "," ENTRY("c", "null", 2) "," ENTRY("d", "null", 3) "]",
		"[" ENTRY("a", "null", 1) ",{}," ENTRY("d", "null", 3) "," ENTRY("e", "null",
										 5) "]",
		"[" ENTRY("d", "null", 3) "," ENTRY("c", "null", 2) "," ENTRY("a", "null", 1) "]",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lists) * ARRAY_LEN(lists); i++) {
		const char *text = lists[i % ARRAY_LEN(lists)];
		struct consul_list before;
		struct consul_list first;
		struct consul_list after;

		assert_int_equal(read_list(lists[i / ARRAY_LEN(lists)], &before, NULL), 0);
		consul_list_forget_texts(&before);
		assert_int_equal(read_list(text, &first, NULL), 0);
		assert_int_equal(consul_list_read(text, strlen(text), &before, &after, NULL), 0);
		assert_int_equal(after.len, first.len);
		assert_int_equal(after.unreadable, first.unreadable);
		for (size_t j = 0; j < first.len; j++) {
			assert_string_equal(after.items[j].key, first.items[j].key);
			assert_int_equal(after.items[j].modify_index, first.items[j].modify_index);
			assert_ptr_equal(after.items[j].text, first.items[j].text);
		}
		consul_list_fini(&before);
		consul_list_fini(&first);
		consul_list_fini(&after);
	}
}

static void test_diff(void **state)
{
	struct consul_list old;
	struct consul_list now;
	struct consul_diff diff;

	(void)state;
	assert_int_equal(read_list("[" ENTRY("a", "null", 1) "," ENTRY("b", "null", 2) "," ENTRY(
					   "c", "null", 3) "," ENTRY("d", "null", 4) "]",
				   &old, NULL),
			 0);
	consul_list_forget_texts(&old);
	assert_int_equal(read_list("[" ENTRY("b", "null", 9) "," ENTRY("c", "null", 3) "," ENTRY(
					   "e", "null", 7) "," ENTRY("f", "null", 8) "]",
				   &now, NULL),
			 0);
	consul_diff_make(&old, &now, &diff);
	assert_int_equal(diff.changed_len, 3);
	assert_string_equal(diff.changed[0]->key, "e");
	assert_string_equal(diff.changed[1]->key, "f");
	assert_string_equal(diff.changed[2]->key, "b");
	assert_int_equal(diff.gone_len, 2);
	assert_string_equal(diff.gone[0]->key, "a");
	assert_string_equal(diff.gone[1]->key, "d");
	consul_diff_fini(&diff);
	consul_diff_make(&now, &now, &diff);
	assert_int_equal(diff.changed_len + diff.gone_len, 0);
	consul_diff_fini(&diff);
	consul_list_fini(&old);
	consul_list_fini(&now);
}

static void test_prefix(void **state)
{
	static const struct {
		const char *given;
		const char *prefix; /* NULL: refused */
	} rows[] = { { "coreos.com/network", "coreos.com/network" },
		     { "/coreos.com//network/", "coreos.com/network" },
		     { "//a", "a" },
		     { "a?b%c", "a?b%c" },
		     { "", NULL },
		     { "//", NULL },
		     { "a b", NULL },
		     { "\303\244", NULL } };
	char longest[CONSUL_PREFIX_MAX + 2];
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *prefix = NULL;

		assert_int_equal(consul_prefix_read(rows[i].given, &prefix, &e),
				 rows[i].prefix ? 0 : -EINVAL);
		if (rows[i].prefix)
			assert_string_equal(prefix, rows[i].prefix);
		else
			assert_contains(e.text, "consul-prefix");
	}
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	{
		auto_free char *prefix = NULL;

		assert_int_equal(consul_prefix_read(longest, &prefix, &e), -EINVAL);
		assert_int_equal(consul_prefix_read(longest + 1, &prefix, &e), 0);
	}
}

static void test_options(void **state)
{
	static const struct {
		struct consul_options options;
		const char *text;
	} bad[] = {
		{ { .datacenter = (char *)"a b" }, "consul-datacenter is \"a b\"" },
		{ { .ca_file = (char *)"/nonexistent" }, "consul-cafile: /nonexistent" },
		{ { .cert_file = (char *)"/dev/null" }, "given together" },
		{ { .key_file = (char *)"/dev/null" }, "given together" },
		{ { .token_file = (char *)"/nonexistent" }, "consul-token-file: /nonexistent" },
	};
	struct consul_options good = { .prefix = (char *)"a", .datacenter = (char *)"dc-1_x" };
	struct err e;

	(void)state;
	assert_int_equal(consul_options_check(&good, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct consul_options options = bad[i].options;

		options.prefix = (char *)"a";
		assert_true(consul_options_check(&options, &e) < 0);
		assert_contains(e.text, bad[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outcomes),
		cmocka_unit_test(test_outcomes_of_transactions),
		cmocka_unit_test(test_index),
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_ttl),
		cmocka_unit_test(test_kv),
		cmocka_unit_test(test_txn),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_list_after_another),
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
