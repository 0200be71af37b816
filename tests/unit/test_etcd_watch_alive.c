/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stores/etcd/etcd_watch against servers that say nothing, refuse, or know the user no longer:
 * noticed, left, and come back to.
 */
#include "tests/unit/etcd_watch_rig.h"

#include <limits.h>

/* ---- silence ---- */

/* The member has stopped: it takes connections, and its kernel acknowledges. */
static void test_member_that_says_nothing(void **state)
{
	(void)state;
	auto_rig r = rig_new(2, NULL);
	struct asked *a;

	etcd_client_set_timeouts(store_of_rig(r)->client, 3000, 100);
	a = live(r);
	/* Asked of the stream's member and of nobody else. */
	reply(probes(r, 0), 200, HEAD(4) "}");
	reply(probes(r, 0), 200, HEAD(4) "}");
	probes(r, 0);
	/* One at a time. */
	etcd_watch_tick(r->watch);
	tells(r, STORE_EVENT_LOST, "timed out");
	await_closed(r, a);
	checks(r, 1, HEAD(4) "}");
	opens(r, 1, 5, 5);
}

/* Nobody has to wind it. */
static void test_probes_come_by_themselves(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);

	store_of_rig(r)->probe_ms = 500;
	live(r);
	for (int i = 0; i < 2; i++)
		reply(probe(r, 0), 200, HEAD(4) "}");
	store_watch_stop(STEAL(r->watch));
	assert_int_equal(ETCD_PROBE_MS, 10000);
	assert_int_equal(ETCD_CALL_TIMEOUT_MS, 10000);
}

/* It is cut off from the others and does not know, or has a disk that hangs. */
static void test_member_that_cannot_answer(void **state)
{
	(void)state;
	static const struct {
		int status;
		const char *body;
	} rows[] = {
		{ 503, UNARY_ERROR("etcdserver: request timed out", 14) },
		{ 500, UNARY_ERROR("context deadline exceeded", 2) },
		{ 200, "{}" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_rig r = rig_new(2, NULL);
		struct asked *a = live(r);

		reply(probes(r, 0), rows[i].status, rows[i].body);
		tells(r, STORE_EVENT_LOST, NULL);
		await_closed(r, a);
		checks(r, 1, HEAD(4) "}");
		opens(r, 1, 5, 5);
	}
}

/* The stream's member is asked also when calls have moved on to another. */
static void test_probe_goes_to_the_streams_member(void **state)
{
	(void)state;
	auto_rig r = rig_new(2, NULL);
	struct question *q;

	live(r);
	q = ask(r, STORE_LIST, NULL, 0);
	reply(expect(r, 0, RANGE, NULL), 503, NO_LEADER);
	reply(expect(r, 1, RANGE, NULL), 200, HEAD(4) "}");
	answered(q, STORE_OK);
	reply(probes(r, 0), 200, HEAD(4) "}");
	/* And it alone: another's answer says nothing about this one. */
	reply(probes(r, 0), 503, NO_LEADER);
	tells(r, STORE_EVENT_LOST, "no leader");
	checks(r, 1, HEAD(4) "}");
	opens(r, 1, 5, 5);
}

/* Created is said for one of the two watches only, or for none. */
static void test_watch_that_is_not_confirmed(void **state)
{
	(void)state;
	auto_rig r = rig_new(2, NULL);
	struct asked *a;

	watch_from(r, 5);
	a = opens(r, 0, 5, 5);
	stream(a, CREATED(4));
	etcd_watch_tick(r->watch);
	tells(r, STORE_EVENT_LOST, "not confirmed");
	await_closed(r, a);
	checks(r, 1, HEAD(4) "}");
	opens(r, 1, 5, 5);
	etcd_watch_tick(r->watch);
	tells(r, STORE_EVENT_LOST, "not confirmed");
	checks(r, 0, HEAD(4) "}");
	opens(r, 0, 5, 5);
}

/* Rights that were taken away do not end a stream that is open; the probe has them too. */
static void test_rights_taken_away(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct asked *a = live(r);

	reply(probes(r, 0), 403, UNARY_ERROR("etcdserver: permission denied", 7));
	tells(r, STORE_EVENT_LOST, "permission denied");
	await_closed(r, a);
}

/* ---- coming back ---- */

/* Milliseconds since the last call. */
static int64_t since(int64_t *then)
{
	int64_t now = clock_boot_ms();
	int64_t passed = now - *then;

	*then = now;
	return passed;
}

/* At once after the first failure, then by the rule above; a stream that is confirmed and ends
 * again and again is a failure too. */
static void test_back_off_is_used(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct asked *a = live(r);
	int64_t time = 0;

	chance = 149;
	since(&time);
	for (int i = 0; i < 4; i++) {
		stream_end(a);
		tells(r, STORE_EVENT_LOST, NULL);
		checks(r, 0, HEAD(4) "}");
		a = opens(r, 0, 5, 5);
		stream(a, CREATED(4));
		stream(a, CREATED(4));
		tells(r, STORE_EVENT_LIVE, NULL);
		if (i > 0)
			assert_true(since(&time) >= 150);
		since(&time);
	}
	/* One that lasted makes up for it: it would else be 1.6 s of waiting now. */
	reply(probes(r, 0), 200, HEAD(4) "}");
	probes(r, 0);
	chance = 1599;
	since(&time);
	stream_end(a);
	tells(r, STORE_EVENT_LOST, NULL);
	checks(r, 0, HEAD(4) "}");
	opens(r, 0, 5, 5);
	assert_true(since(&time) < 1500);
}

static void test_check_that_fails(void **state)
{
	(void)state;
	auto_rig r = rig_new(2, NULL);
	struct asked *a;

	stream_end(live(r));
	tells(r, STORE_EVENT_LOST, NULL);
	/* Everybody once, then a pause, then again. */
	reply(expect(r, 1, RANGE, NULL), 503, NO_LEADER);
	reply(expect(r, 0, RANGE, NULL), 503, NO_LEADER);
	tells(r, STORE_EVENT_LOST, "no leader");
	checks(r, 1, HEAD(4) "}");
	a = opens(r, 1, 5, 5);
	stream(a, CREATED(4));
	stream(a, CREATED(4));
	tells(r, STORE_EVENT_LIVE, NULL);
}

/* ---- users ---- */

static struct rig *rig_with_user(void)
{
	struct etcd_options options = { .transport = (char *)"json",
					.username = (char *)"fabric",
					.password = (char *)"sesame" };

	return rig_new(1, &options);
}

#define HAS_TOKEN "Authorization: puDSvQScTYADrcEi.18"

/* Who watches without having asked anything before logs in first. */
static void test_watch_without_a_token(void **state)
{
	(void)state;
	auto_rig r = rig_with_user();
	struct asked *a;

	watch_from(r, 5);
	reply(expect(r, 0, LOGIN, NULL), 200, TOKEN);
	checks(r, 0, HEAD(4) "}");
	a = opens(r, 0, 5, 5);
	assert_true(has_header(a, HAS_TOKEN));
	stream(a, CREATED(4));
	stream(a, CREATED(4));
	tells(r, STORE_EVENT_LIVE, NULL);
}

/* A stream that is refused for its token is opened again with another. */
static void test_token_expires_before_the_stream(void **state)
{
	(void)state;
	static const struct {
		int status;
		const char *body;
	} rows[] = {
		{ 200, MSG(HEAD(4)) ",\"watch_id\":\"-1\",\"created\":true,\"canceled\":true,"
				    "\"cancel_reason\":\"rpc error: code = Unauthenticated desc = "
				    "etcdserver: invalid auth token\"}}" },
		{ 200, STREAM_ERROR("etcdserver: invalid auth token", 16) },
		{ 401, UNARY_ERROR("etcdserver: invalid auth token", 16) },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_rig r = rig_with_user();
		struct asked *a;

		watch_from(r, 5);
		reply(expect(r, 0, LOGIN, NULL), 200, HEAD(4) ",\"token\":\"old\"}");
		checks(r, 0, HEAD(4) "}");
		a = expect(r, 0, WATCH, NULL);
		assert_true(has_header(a, "Authorization: old"));
		stream_open(a, rows[i].status);
		stream(a, rows[i].body);
		if (rows[i].status != 200)
			stream_end(a);
		tells(r, STORE_EVENT_LOST, "invalid auth token");
		reply(expect(r, 0, LOGIN, NULL), 200, TOKEN);
		checks(r, 0, HEAD(4) "}");
		a = opens(r, 0, 5, 5);
		assert_true(has_header(a, HAS_TOKEN));
		stream(a, CREATED(4));
		stream(a, CREATED(4));
		tells(r, STORE_EVENT_LIVE, NULL);
	}
}

/* An open stream outlives its token. The probe needs a new one, and gets it without a word. */
static void test_token_expires_during_the_stream(void **state)
{
	(void)state;
	auto_rig r = rig_with_user();
	struct asked *a;

	watch_from(r, 5);
	reply(expect(r, 0, LOGIN, NULL), 200, HEAD(4) ",\"token\":\"old\"}");
	checks(r, 0, HEAD(4) "}");
	a = opens(r, 0, 5, 5);
	stream(a, CREATED(4));
	stream(a, CREATED(4));
	tells(r, STORE_EVENT_LIVE, NULL);
	reply(probes(r, 0), 401, UNARY_ERROR("etcdserver: invalid auth token", 16));
	reply(expect(r, 0, LOGIN, NULL), 200, TOKEN);
	reply(probe(r, 0), 200, HEAD(4) "}");
	assert_true(has_header(probes(r, 0), HAS_TOKEN));
	assert_int_equal(r->told_len, r->told_seen);
	/* And the next stream has it. */
	stream_end(a);
	tells(r, STORE_EVENT_LOST, NULL);
	checks(r, 0, HEAD(4) "}");
	assert_true(has_header(opens(r, 0, 5, 5), HAS_TOKEN));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_member_that_says_nothing),
		cmocka_unit_test(test_probes_come_by_themselves),
		cmocka_unit_test(test_member_that_cannot_answer),
		cmocka_unit_test(test_probe_goes_to_the_streams_member),
		cmocka_unit_test(test_watch_that_is_not_confirmed),
		cmocka_unit_test(test_rights_taken_away),
		cmocka_unit_test(test_back_off_is_used),
		cmocka_unit_test(test_check_that_fails),
		cmocka_unit_test(test_watch_without_a_token),
		cmocka_unit_test(test_token_expires_before_the_stream),
		cmocka_unit_test(test_token_expires_during_the_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
