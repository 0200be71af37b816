/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stores/etcd/etcd_store against servers that answer what etcd 3.4.23 answered: what is asked, and
 * what an answer means.
 */
#include "tests/unit/etcd_rig.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- reading ---- */

static void test_config(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_text there = kv("/f/config", CONFIG, 2, 2, 0);
	auto_text answer = found(HEAD(7), there, false);
	auto_text body = etcd_encode_range("/f/config", NULL, 0, 0);
	struct question *q = ask(r, STORE_CONFIG, NULL, 0);
	struct asked *a = expect(r, 0, RANGE, body);
	const struct store_reply *got;

	assert_int_equal(strncmp(a->head, "POST ", 5), 0);
	assert_true(has_header(a, "Content-Type: application/json"));
	assert_null(strstr(a->head, "Authorization"));
	assert_null(strstr(a->head, "Expect:"));
	reply(a, 200, answer);
	got = answered(q, STORE_OK);
	assert_string_equal(got->config, CONFIG);
	assert_int_equal(got->config_revision, 2);
	assert_int_equal(got->revision, 7);
}

/* What is not there is not in the answer either: neither list nor count nor "succeeded": false. */
static void test_absent_means_zero(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	struct question *q = ask(r, STORE_CONFIG, NULL, 0);

	reply(expect(r, 0, RANGE, NULL), 200, HEAD(1) "}");
	assert_contains(answered(q, STORE_ABSENT)->err.text, "/f/config");

	q = ask(r, STORE_LIST, NULL, 0);
	reply(expect(r, 0, RANGE, NULL), 200, HEAD(1) "}");
	assert_int_equal(answered(q, STORE_OK)->leases_len, 0);
	assert_int_equal(q->reply.revision, 1);

	q = ask(r, STORE_UPDATE, l, 0);
	reply(expect(r, 0, TXN, NULL), 200, HEAD(8) "}");
	assert_null(answered(q, STORE_CONFLICT)->holder);
}

/*
 * HTTP 200 and an object, but not etcd's: to be taken for an empty store it would have to say so.
 */
static void test_answers_of_others(void **state)
{
	(void)state;
	static const char *const bodies[] = { "{}",
					      "{\"header\":{}}",
					      "{\"kvs\":[]}",
					      "{\"header\":7,\"kvs\":7}",
					      "{\"ok\":true}",
					      "" };
	auto_lease struct lease *l = lease_on("10.5.34.0-24");

	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		static const enum store_op ops[] = { STORE_CONFIG, STORE_LIST };
		auto_rig r = rig_new(1, NULL);
		struct question *q;

		for (size_t j = 0; j < ARRAY_LEN(ops); j++) {
			q = ask(r, ops[j], NULL, 0);
			reply(expect(r, 0, RANGE, NULL), 200, bodies[i]);
			answered(q, STORE_UNAVAILABLE);
		}
		/* Nor is a lease lost because of it. */
		if (i == 1)
			continue;
		q = ask(r, STORE_KEEPALIVE, l, 0);
		reply(expect(r, 0, "/v3/lease/keepalive", NULL), 200, bodies[i]);
		answered(q, STORE_UNAVAILABLE);
	}
}

/* ---- claims ---- */

static void test_create_byte_for_byte(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	auto_text value = lease_value_format(l);
	auto_text key64 = base64_encode(KEY, strlen(KEY));
	auto_text value64 = base64_encode(value, strlen(value));
	auto_text txn = xasprintf(
		"{\"compare\":[{\"key\":\"%s\",\"target\":\"CREATE\",\"result\":\"EQUAL\","
		"\"create_revision\":\"0\"}],\"success\":[{\"request_put\":{\"key\":\"%s\","
		"\"value\":\"%s\",\"lease\":\"77\"}}],"
		"\"failure\":[{\"request_range\":{\"key\":\"%s\"}}]}",
		key64, key64, value64, key64);
	struct question *q;

	chance = 2 * (HANDLE - 1);
	q = ask(r, STORE_CREATE, l, 60);
	reply(expect(r, 0, GRANT, "{\"TTL\":\"60\",\"ID\":\"77\"}"), 200,
	      HEAD(7) ",\"ID\":\"77\",\"TTL\":\"61\"}");
	reply(expect(r, 0, TXN, txn), 200, WRITTEN);
	answered(q, STORE_OK);
	assert_int_equal(q->reply.ttl_s, 61);
	assert_int_equal(q->reply.holder->id, HANDLE);
	assert_int_equal(q->reply.holder->born, 8);
}

/* A put without its lease would make the key immortal. */
static void test_update_keeps_the_lease(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	auto_text value = lease_value_format(l);
	auto_text key64 = base64_encode(KEY, strlen(KEY));
	auto_text value64 = base64_encode(value, strlen(value));
	auto_text txn =
		xasprintf("{\"compare\":[{\"key\":\"%s\",\"target\":\"MOD\",\"result\":\"EQUAL\","
			  "\"mod_revision\":\"5\"}],\"success\":[{\"request_put\":{\"key\":\"%s\","
			  "\"value\":\"%s\",\"ignore_lease\":true}}],"
			  "\"failure\":[{\"request_range\":{\"key\":\"%s\"}}]}",
			  key64, key64, value64, key64);
	struct question *q = ask(r, STORE_UPDATE, l, 0);

	reply(expect(r, 0, TXN, txn), 200, WRITTEN);
	assert_int_equal(answered(q, STORE_OK)->holder->id, HANDLE);
	assert_int_equal(q->reply.holder->born, 3);
	assert_int_equal(q->reply.holder->mod_revision, 8);
}

static void test_lease_ids_are_positive(void **state)
{
	(void)state;
	static const uint64_t chances[] = { 0, 1, UINT64_MAX, (uint64_t)1 << 63, INT64_MAX };
	auto_lease struct lease *l = lease_on("10.5.34.0-24");

	for (size_t i = 0; i < ARRAY_LEN(chances); i++) {
		auto_rig r = rig_new(1, NULL);
		const char *id;

		chance = chances[i];
		ask(r, STORE_CREATE, l, 60);
		id = strstr(expect(r, 0, GRANT, NULL)->body, "\"ID\":\"");
		assert_non_null(id);
		assert_true(strtoll(id + 6, NULL, 10) > 0);
	}
}

/* We chose the id, so one that is there already when we ask again is ours. */
static void test_grant_repeated(void **state)
{
	(void)state;
	static const struct failure why[] = {
		{ .status = 500, .body = UNARY_ERROR("context deadline exceeded", 2) },
		{ .status = 503, .body = NO_LEADER },
		{ .status = 504, .body = UNARY_ERROR("context deadline exceeded", 4) },
		{ .status = 502, .body = "Bad Gateway" },
		{ .status = CUT },
	};
	auto_lease struct lease *l = lease_on("10.5.34.0-24");

	for (size_t i = 0; i < ARRAY_LEN(why); i++) {
		auto_rig r = rig_new(2, NULL);
		struct question *q = ask(r, STORE_CREATE, l, 60);
		struct asked *first = expect(r, 0, GRANT, NULL);

		print_message("%d\n", why[i].status);
		end_in(first, &why[i]);
		reply(expect(r, 1, GRANT, first->body), i % 2 ? 412 : 400,
		      i % 2 ? UNARY_ERROR("etcdserver: lease already exists", 9)
			    : V2_ERROR("etcdserver: lease already exists", 9));
		reply(expect(r, 1, TXN, NULL), 200, WRITTEN);
		assert_int_equal(answered(q, STORE_OK)->ttl_s, 60);
	}
}

/* One that is there when we ask for the first time is somebody else's, however unlikely. */
static void test_grant_of_a_taken_id(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	struct question *q;

	chance = 2 * (HANDLE - 1);
	q = ask(r, STORE_CREATE, l, 60);
	chance = 2 * HANDLE;
	reply(expect(r, 0, GRANT, "{\"TTL\":\"60\",\"ID\":\"77\"}"), 412,
	      UNARY_ERROR("etcdserver: lease already exists", 9));
	chance = 2 * (HANDLE + 1);
	reply(expect(r, 0, GRANT, "{\"TTL\":\"60\",\"ID\":\"79\"}"), 200,
	      HEAD(7) ",\"ID\":\"79\",\"TTL\":\"60\"}");
	reply(expect(r, 0, TXN, NULL), 200, WRITTEN);
	assert_int_equal(answered(q, STORE_OK)->holder->id, 79);
}

/* The store was wiped, or its leader changed, between grant and put. */
static void test_lease_lost_before_the_put(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct question *q = ask_write(r, STORE_CREATE);

	chance = 2 * (HANDLE + 1);
	reply(expect(r, 0, TXN, NULL), 404,
	      UNARY_ERROR("etcdserver: requested lease not found", 5));
	reply(expect(r, 0, GRANT, "{\"TTL\":\"60\",\"ID\":\"79\"}"), 200,
	      HEAD(7) ",\"ID\":\"79\",\"TTL\":\"60\"}");
	assert_contains(expect(r, 0, TXN, NULL)->body, "\"lease\":\"79\"");
	reply(r->asked->next->next->next, 200, WRITTEN);
	assert_int_equal(answered(q, STORE_OK)->holder->id, 79);
}

static void test_create_taken_by_another(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_text other = standing(STORE_CREATE, OTHER, true);
	struct question *q = ask_write(r, STORE_CREATE);

	reply(expect(r, 0, TXN, NULL), 200, other);
	expect(r, 0, REVOKE, "{\"ID\":\"77\"}");
	answered(q, STORE_CONFLICT);
	assert_int_equal(q->reply.holder->id, 1234);
	assert_int_equal(q->reply.revision, 9);
}

/* Two reservations have no lease, both: that does not make the other's ours. */
static void test_reservation_taken_by_another(void **state)
{
	(void)state;
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	auto_text there = kv(KEY, "{\"PublicIP\":\"192.0.2.9\"}", 4, 4, 0);
	auto_text failed = found(HEAD(9), there, true);
	auto_text read = found(HEAD(9), there, false);

	for (int lost_first = 0; lost_first < 2; lost_first++) {
		auto_rig r = rig_new(1, NULL);
		struct question *q = ask(r, STORE_CREATE, l, 0);
		struct asked *a = expect(r, 0, TXN, NULL);

		assert_contains(a->body, "\"lease\":\"0\"");
		if (lost_first) {
			cut(a);
			reply(expect(r, 0, RANGE, NULL), 200, read);
		} else {
			reply(a, 200, failed);
		}
		answered(q, STORE_CONFLICT);
		assert_int_equal(q->reply.holder->mod_revision, 4);
	}
}

/* A lease for what had none, also if the answer is lost. */
static void test_bind_of_unknown_outcome(void **state)
{
	(void)state;
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	auto_text value = lease_value_format(l);
	auto_rig r = rig_new(1, NULL);
	auto_text after = kv(KEY, value, 3, 8, HANDLE);
	auto_text read = found(HEAD(9), after, false);
	struct question *q;
	struct asked *a;

	chance = 2 * (HANDLE - 1);
	q = ask(r, STORE_BIND, l, 60);
	reply(expect(r, 0, GRANT, NULL), 200, HEAD(7) ",\"ID\":\"77\",\"TTL\":\"60\"}");
	a = expect(r, 0, TXN, NULL);
	assert_contains(a->body, "\"lease\":\"77\"");
	cut(a);
	reply(expect(r, 0, RANGE, NULL), 200, read);
	answered(q, STORE_OK);
	assert_true(q->reply.holder->id == HANDLE && q->reply.holder->born == 3);
	assert_int_equal(q->reply.holder->mod_revision, 8);
}

static void test_reservation_of_unknown_outcome(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	auto_text value = lease_value_format(l);
	auto_text there = kv(KEY, value, 8, 8, 0);
	auto_text read = found(HEAD(9), there, false);
	struct question *q = ask(r, STORE_CREATE, l, 0);

	cut(expect(r, 0, TXN, NULL));
	reply(expect(r, 0, RANGE, NULL), 200, read);
	assert_int_equal(answered(q, STORE_OK)->holder->born, 8);
}

/* Leases are granted to anybody, also without a token. One that we may not use is given back, not
 * left behind at every attempt. */
static void test_grant_is_no_permission(void **state)
{
	(void)state;
	static const struct failure why[] = {
		{ .status = 403, .body = UNARY_ERROR("etcdserver: permission denied", 7) },
		{ .status = 400, .body = NO_TOKEN },
	};

	for (size_t i = 0; i < ARRAY_LEN(why); i++) {
		auto_rig r = rig_new(1, NULL);
		struct question *q = ask_write(r, STORE_CREATE);

		end_in(expect(r, 0, TXN, NULL), &why[i]);
		expect(r, 0, REVOKE, "{\"ID\":\"77\"}");
		answered(q, STORE_DENIED);
	}
}

/* ---- keeping alive ---- */

static void test_keepalive(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		int status;
		const char *body;
		enum store_status is;
		int64_t ttl_s;
	} rows[] = {
		{ "alive", 200, "{\"result\":" HEAD(2) ",\"ID\":\"77\",\"TTL\":\"60\"}}\n",
		  STORE_OK, 60 },
		/* HTTP 200, no error, no TTL. */
		{ "dead", 200, "{\"result\":" HEAD(2) ",\"ID\":\"77\"}}\n", STORE_ABSENT, 0 },
		{ "zero", 200, "{\"result\":" HEAD(2) ",\"ID\":\"77\",\"TTL\":\"0\"}}\n",
		  STORE_ABSENT, 0 },
		{ "negative", 200, "{\"result\":" HEAD(2) ",\"ID\":\"77\",\"TTL\":\"-1\"}}\n",
		  STORE_ABSENT, -1 },
		{ "not found", 404, UNARY_ERROR("etcdserver: requested lease not found", 5),
		  STORE_ABSENT, 0 },
		/* It says nothing about the lease. */
		{ "no leader", 503, NO_LEADER, STORE_UNAVAILABLE, 0 },
		{ "no leader in 200", 200, NO_LEADER, STORE_UNAVAILABLE, 0 },
		{ "proxy", 200, "{\"result\":{}}", STORE_UNAVAILABLE, 0 },
	};
	auto_lease struct lease *l = lease_on("10.5.34.0-24");

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_rig r = rig_new(1, NULL);
		struct question *q = ask(r, STORE_KEEPALIVE, l, 0);
		struct asked *a = expect(r, 0, "/v3/lease/keepalive", "{\"ID\":\"77\"}");

		print_message("%s\n", rows[i].name);
		assert_true(has_header(a, "Grpc-Metadata-hasleader: true"));
		reply(a, rows[i].status, rows[i].body);
		assert_int_equal(answered(q, rows[i].is)->ttl_s, rows[i].ttl_s);
	}
}

static void test_time_left(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	struct question *q = ask(r, STORE_TIME_LEFT, l, 0);

	reply(expect(r, 0, "/v3/lease/timetolive", "{\"ID\":\"77\"}"), 200,
	      HEAD(2) ",\"ID\":\"77\",\"TTL\":\"59\",\"grantedTTL\":\"60\"}");
	assert_int_equal(answered(q, STORE_OK)->ttl_s, 59);
	l->id++;
	q = ask(r, STORE_TIME_LEFT, l, 0);
	reply(expect(r, 0, "/v3/lease/timetolive", NULL), 200,
	      HEAD(2) ",\"ID\":\"77\",\"TTL\":\"-1\"}");
	answered(q, STORE_ABSENT);
}

#define LEASES 250

/* In place of libc's: the time that passes for us, and not for libevent and libcurl. */
static int64_t clock_skew_ms;

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int rc = (int)syscall(SYS_clock_gettime, id, ts);

	if (rc == 0 && id == CLOCK_BOOTTIME)
		ts->tv_sec += clock_skew_ms / 1000;
	return rc;
}

static struct question *ask_about(struct rig *r, unsigned id)
{
	auto_lease struct lease *l = lease_on("10.5.34.0-24");

	l->id = id;
	return ask(r, STORE_TIME_LEFT, l, 0);
}

/* However many leases there are, and whoever asks for them at once. */
static void test_times_left_of_many(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct question *first[LEASES];
	struct question *second[LEASES];
	struct asked *under_way = NULL;

	for (unsigned i = 0; i < LEASES; i++)
		first[i] = ask_about(r, i + 1);
	for (unsigned i = 0; i < LEASES; i++)
		second[i] = ask_about(r, i + 1);
	for (unsigned i = 0; i < LEASES; i++) {
		auto_text body = xasprintf("{\"ID\":\"%u\"}", i + 1);
		struct asked *a =
			under_way ? under_way : expect(r, 0, "/v3/lease/timetolive", body);

		/* The second of two that are under way; a third does not come before an answer. */
		if (i + 1 < LEASES)
			under_way = expect(r, 0, "/v3/lease/timetolive", NULL);
		assert_null(next_asked(r));
		reply(a, 200, HEAD(2) ",\"ID\":\"1\",\"TTL\":\"59\",\"grantedTTL\":\"60\"}");
	}
	for (unsigned i = 0; i < LEASES; i++) {
		assert_int_equal(answered(first[i], STORE_OK)->ttl_s, 59);
		assert_true(answered(second[i], STORE_OK)->ttl_s > 50);
	}
	/* Known for a while: ten seconds, or a hundredth of the day that it was granted. */
	answered(ask_about(r, 7), STORE_OK);
	clock_skew_ms += 9000;
	assert_int_equal(answered(ask_about(r, 7), STORE_OK)->ttl_s, 50);
	assert_null(next_asked(r));
	clock_skew_ms += 2000;
	first[0] = ask_about(r, 7);
	reply(expect(r, 0, "/v3/lease/timetolive", NULL), 200,
	      HEAD(2) ",\"ID\":\"7\",\"TTL\":\"86000\",\"grantedTTL\":\"86400\"}");
	answered(first[0], STORE_OK);
	clock_skew_ms += 860000;
	assert_int_equal(answered(ask_about(r, 7), STORE_OK)->ttl_s, 86000 - 860);
	assert_null(next_asked(r));
	assert_true(r->fakes[0].accepted <= 2);
}

/* What one hears of a store that is gone is the answer to all. */
static void test_times_left_of_a_store_that_is_gone(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct question *all[5];
	struct asked *first;

	for (unsigned i = 0; i < ARRAY_LEN(all); i++)
		all[i] = ask_about(r, i + 1);
	first = expect(r, 0, NULL, NULL);
	end_in(expect(r, 0, NULL, NULL), &(struct failure){ .status = CUT });
	for (unsigned i = 1; i < ARRAY_LEN(all); i++)
		assert_true(answered(all[i], STORE_UNAVAILABLE)->err.text[0]);
	reply(first, 200, HEAD(2) ",\"ID\":\"1\",\"TTL\":\"59\",\"grantedTTL\":\"60\"}");
	answered(all[0], STORE_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_absent_means_zero),
		cmocka_unit_test(test_answers_of_others),
		cmocka_unit_test(test_create_byte_for_byte),
		cmocka_unit_test(test_update_keeps_the_lease),
		cmocka_unit_test(test_lease_ids_are_positive),
		cmocka_unit_test(test_grant_repeated),
		cmocka_unit_test(test_grant_of_a_taken_id),
		cmocka_unit_test(test_lease_lost_before_the_put),
		cmocka_unit_test(test_create_taken_by_another),
		cmocka_unit_test(test_reservation_taken_by_another),
		cmocka_unit_test(test_reservation_of_unknown_outcome),
		cmocka_unit_test(test_bind_of_unknown_outcome),
		cmocka_unit_test(test_grant_is_no_permission),
		cmocka_unit_test(test_keepalive),
		cmocka_unit_test(test_time_left),
		cmocka_unit_test(test_times_left_of_many),
		cmocka_unit_test(test_times_left_of_a_store_that_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
