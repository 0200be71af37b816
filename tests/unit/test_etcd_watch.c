/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stores/etcd/etcd_watch against servers that stream what etcd 3.4.23 streamed, stop in the middle,
 * or are another store.
 */
#include "tests/unit/etcd_watch_rig.h"

/* ---- what comes ---- */

static void test_both_watches_in_one_request(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct asked *a;

	watch_from(r, 5);
	a = expect(r, 0, WATCH,
		   "{\"create_request\":{\"key\":\"L2Yvc3VibmV0cy8=\",\"range_end\":"
		   "\"L2Yvc3VibmV0czA=\",\"start_revision\":\"5\",\"fragment\":true}}\n"
		   "{\"create_request\":{\"key\":\"L2YvY29uZmln\",\"start_revision\":\"5\","
		   "\"fragment\":true}}\n");
	assert_true(has_header(a, "Grpc-Metadata-hasleader: true"));
	stream_open(a, 200);
	stream(a, CREATED(4));
	/* Not yet live: this is the first of two. */
	stream_put(a, "subnets/10.5.1.0-24", 5);
	stream(a, CREATED(4));
	tells(r, STORE_EVENT_PUT, "10.5.1.0-24");
	assert_int_equal(tells(r, STORE_EVENT_LIVE, NULL)->revision, 4);
}

static void test_events(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct asked *a = live(r);
	auto_text one = put_event("/f/subnets/10.5.1.0-24", "{\"BackendType\":\"vxlan\"}", 5);
	auto_text two = put_event("/f/subnets/what", "{}", 5);
	auto_text three = delete_event("/f/subnets/10.5.2.0-24", 6);
	auto_text four = delete_event("/f/subnets/what", 6);
	auto_text five = put_event("/f/config", "{}", 6);
	auto_text six = put_event("/f/subnets/10.5.3.0-24", "[", 7);
	auto_text all = xasprintf("%s,%s,%s,%s,%s,%s", one, two, three, four, five, six);
	const struct told *t;

	stream_events(a, all, false);
	t = tells(r, STORE_EVENT_PUT, "10.5.1.0-24");
	assert_string_equal(t->backend_type, "vxlan");
	assert_int_equal(t->revision, 5);
	assert_false(t->problem);
	t = tells(r, STORE_EVENT_JUNK, "/f/subnets/what");
	assert_non_null(t->reason);
	/* From the key: there is no value, and none is missed. */
	t = tells(r, STORE_EVENT_DELETE, "10.5.2.0-24");
	assert_int_equal(t->revision, 6);
	assert_false(t->problem);
	t = tells(r, STORE_EVENT_JUNK, "/f/subnets/what");
	assert_null(t->reason);
	assert_int_equal(tells(r, STORE_EVENT_CONFIG, NULL)->revision, 6);
	t = tells(r, STORE_EVENT_PUT, "10.5.3.0-24");
	assert_true(t->problem);
}

/* Neither makes nor ends the lease whose key it begins with. */
static void test_key_that_hides_its_end(void **state)
{
	(void)state;
	static const char hidden[] = "/f/subnets/10.5.1.0-24\0x";
	auto_rig r = rig_new(1, NULL);
	struct asked *a = live(r);
	auto_text key64 = base64_encode(hidden, sizeof(hidden) - 1);
	auto_text good = put_event("/f/subnets/10.5.1.0-24", "{}", 5);
	auto_text all = xasprintf("%s,{\"kv\":{\"key\":\"%s\",\"mod_revision\":\"6\"}},"
				  "{\"type\":\"DELETE\",\"kv\":{\"key\":\"%s\",\"mod_revision\":"
				  "\"7\"}}",
				  good, key64, key64);

	stream_events(a, all, false);
	tells(r, STORE_EVENT_PUT, "10.5.1.0-24");
	assert_non_null(tells(r, STORE_EVENT_JUNK, "/f/subnets/10.5.1.0-24\\0x")->reason);
	assert_null(tells(r, STORE_EVENT_JUNK, "/f/subnets/10.5.1.0-24\\0x")->reason);
}

/* However the bytes are cut into pieces. */
static void test_messages_in_pieces(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct asked *a = live(r);
	auto_text event = put_event("/f/subnets/10.5.1.0-24", "{}", 5);
	auto_text message =
		xasprintf(MSG(HEAD(5)) ",\"events\":[%s]}}\n" MSG(HEAD(5)) "}}\n", event);

	for (size_t i = 0; i < strlen(message); i += 7) {
		stream_bytes(a, message + i, MIN(strlen(message) - i, (size_t)7));
		event_base_loop(r->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	}
	tells(r, STORE_EVENT_PUT, "10.5.1.0-24");
	stream_put(a, "subnets/10.5.2.0-24", 6);
	tells(r, STORE_EVENT_PUT, "10.5.2.0-24");
}

/* Parts of one revision are told together, and in order. */
static void test_fragments(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct asked *a = live(r);
	auto_text one = put_event("/f/subnets/10.5.1.0-24", "{}", 5);
	auto_text two = put_event("/f/subnets/10.5.2.0-24", "{}", 5);
	auto_text three = put_event("/f/subnets/10.5.3.0-24", "{}", 5);

	stream_events(a, one, true);
	stream_events(a, two, true);
	stream_events(a, three, false);
	tells(r, STORE_EVENT_PUT, "10.5.1.0-24");
	tells(r, STORE_EVENT_PUT, "10.5.2.0-24");
	tells(r, STORE_EVENT_PUT, "10.5.3.0-24");
}

/* Half a revision is none: nothing of it is told, and all of it is asked for again. */
static void test_stream_that_ends_between_fragments(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct asked *a = live(r);
	auto_text one = put_event("/f/subnets/10.5.1.0-24", "{}", 5);
	auto_text two = put_event("/f/subnets/10.5.2.0-24", "{}", 5);

	stream_events(a, one, true);
	stream_end(a);
	tells(r, STORE_EVENT_LOST, NULL);
	checks(r, 0, HEAD(5) "}");
	a = opens(r, 0, 5, 5);
	stream_events(a, two, false);
	tells(r, STORE_EVENT_PUT, "10.5.2.0-24");
	stream_put(a, "subnets/10.5.3.0-24", 6);
	tells(r, STORE_EVENT_PUT, "10.5.3.0-24");
}

/* 3.4.23 repeats events. Of what was told nothing is told again. */
static void test_repeated_events(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct asked *a = live(r);
	auto_text one = put_event("/f/subnets/10.5.1.0-24", "{}", 5);
	auto_text two = put_event("/f/subnets/10.5.2.0-24", "{}", 6);
	auto_text three = put_event("/f/subnets/10.5.3.0-24", "{}", 7);
	auto_text both = xasprintf("%s,%s", one, two);
	auto_text all = xasprintf("%s,%s,%s", one, two, three);

	stream_put(a, "subnets/10.5.9.0-24", 4); /* older than what was asked for */
	stream_events(a, both, false);
	stream_events(a, both, false);
	stream_events(a, all, false);
	tells(r, STORE_EVENT_PUT, "10.5.1.0-24");
	tells(r, STORE_EVENT_PUT, "10.5.2.0-24");
	tells(r, STORE_EVENT_PUT, "10.5.3.0-24");
	/* The other watch has a history of its own. */
	stream_put(a, "config", 6);
	stream_put(a, "config", 6);
	stream_put(a, "subnets/10.5.4.0-24", 8);
	tells(r, STORE_EVENT_CONFIG, NULL);
	tells(r, STORE_EVENT_PUT, "10.5.4.0-24");
}

/* A progress message is a sign of life and nothing else: it may overtake events. */
static void test_progress_does_not_advance(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct asked *a = live(r);

	stream(a, MSG(HEAD(50)) ",\"watch_id\":\"-1\"}}");
	stream_put(a, "subnets/10.5.1.0-24", 5);
	tells(r, STORE_EVENT_PUT, "10.5.1.0-24");
	stream_end(a);
	tells(r, STORE_EVENT_LOST, NULL);
	checks(r, 0, HEAD(50) "}");
	opens(r, 0, 6, 5);
}

static void test_stopped_inside(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct asked *a = live(r);

	r->stop_inside = true;
	stream_put(a, "subnets/10.5.1.0-24", 5);
	stream_put(a, "subnets/10.5.2.0-24", 6);
	tells(r, STORE_EVENT_PUT, "10.5.1.0-24");
	await_closed(r, a);
	assert_int_equal(r->told_len, r->told_seen);
}

/* ---- how it ends ---- */

/* After good messages, on the same HTTP 200: the next endpoint, from where each watch was. */
static void test_error_after_good_messages(void **state)
{
	(void)state;
	static const char *const errors[] = {
		NO_LEADER,
		UNARY_ERROR("etcdserver: no leader", 14),
		STREAM_ERROR("transport is closing etcdserver: no leader", 14),
	};

	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		auto_rig r = rig_new(2, NULL);
		auto_text url = xasprintf("http://127.0.0.1:%u: ", r->fakes[0].port);
		struct asked *a = live(r);
		const struct told *t;

		stream_put(a, "subnets/10.5.1.0-24", 8);
		stream_put(a, "config", 6);
		tells(r, STORE_EVENT_PUT, "10.5.1.0-24");
		tells(r, STORE_EVENT_CONFIG, NULL);
		stream(a, errors[i]);
		t = tells(r, STORE_EVENT_LOST, "etcdserver: no leader");
		assert_contains(t->reason, url);
		await_closed(r, a);
		checks(r, 1, HEAD(9) "}");
		a = opens(r, 1, 9, 7);
		stream(a, CREATED(9));
		stream(a, CREATED(9));
		tells(r, STORE_EVENT_LIVE, NULL);
	}
}

/* The HTTP stream stays open and silent: it is for us to close it. */
static void test_compacted(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct asked *a;

	watch_from(r, 2);
	a = opens(r, 0, 2, 2);
	stream(a, CREATED(5));
	stream(a, MSG("{\"header\":{\"cluster_id\":\"" CLUSTER
		      "\",\"raft_term\":\"2\"}") ",\"canceled\":true,\"compact_revision\":\"5\"}}");
	tells(r, STORE_EVENT_RESYNC, "before revision 5");
	await_closed(r, a);
	/* That was its end: not even a probe. */
	etcd_watch_tick(r->watch);
	event_base_loop(r->base, EVLOOP_NONBLOCK);
	assert_int_equal(r->told_len, r->told_seen);
}

/* The same, told as an error. */
static void test_compacted_as_an_error(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct asked *a = live(r);

	stream(a, STREAM_ERROR("etcdserver: mvcc: required revision has been compacted", 11));
	tells(r, STORE_EVENT_RESYNC, "compacted");
	await_closed(r, a);
}

/* Created and canceled in one message, HTTP 200: refused. */
static void test_refused(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct asked *a;

	watch_from(r, 5);
	a = opens(r, 0, 5, 5);
	for (int i = 0; i < 2; i++)
		stream(a,
		       MSG(HEAD(4)) ",\"watch_id\":\"-1\",\"created\":true,\"canceled\":true,"
				    "\"cancel_reason\":\"rpc error: code = PermissionDenied desc "
				    "= etcdserver: permission denied\"}}");
	tells(r, STORE_EVENT_LOST, "permission denied");
	await_closed(r, a);
	checks(r, 0, HEAD(4) "}");
	opens(r, 0, 5, 5);
	assert_int_equal(r->told_len, r->told_seen);
}

/* One member that refuses, for whatever reason, is not the only one. */
static void test_canceled_by_one_member(void **state)
{
	(void)state;
	auto_rig r = rig_new(2, NULL);
	struct asked *a = live(r);

	stream(a, MSG(HEAD(4)) ",\"canceled\":true}}");
	tells(r, STORE_EVENT_LOST, "canceled");
	checks(r, 1, HEAD(4) "}");
	opens(r, 1, 5, 5);
}

/* An error instead of a stream has a sentence in it as well. */
static void test_no_stream(void **state)
{
	(void)state;
	static const struct {
		int status;
		const char *body;
		const char *says;
	} rows[] = {
		{ 503, NO_LEADER, "etcdserver: no leader" },
		{ 400, "CommonName of client sending a request against gateway will be ignored\n",
		  "use a certificate without one" },
		{ 502, "<html>Bad Gateway", "HTTP 502: <html>Bad Gateway" },
		{ 200, "{\"result\":\"many\"}", "neither result nor error" },
		{ 200, "rubbish", "watch" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_rig r = rig_new(2, NULL);
		auto_text url = xasprintf("http://127.0.0.1:%u: ", r->fakes[0].port);
		struct asked *a;

		watch_from(r, 5);
		a = expect(r, 0, WATCH, NULL);
		stream_open(a, rows[i].status);
		stream(a, rows[i].body);
		stream_end(a);
		assert_contains(tells(r, STORE_EVENT_LOST, rows[i].says)->reason, url);
		checks(r, 1, HEAD(4) "}");
		opens(r, 1, 5, 5);
	}
}

static void test_connection_that_ends(void **state)
{
	(void)state;
	auto_rig r = rig_new(2, NULL);
	auto_text url = xasprintf("http://127.0.0.1:%u: ", r->fakes[0].port);

	cut(live(r));
	assert_contains(tells(r, STORE_EVENT_LOST, NULL)->reason, url);
	checks(r, 1, HEAD(4) "}");
	opens(r, 1, 5, 5);
}

/* Another call has left the endpoint already when the stream ends: it is not left twice. */
static void test_endpoint_is_left_once(void **state)
{
	(void)state;
	auto_rig r = rig_new(3, NULL);
	struct question *q;
	struct asked *a = live(r);

	q = ask(r, STORE_CONFIG, NULL, 0);
	reply(expect(r, 0, RANGE, NULL), 503, NO_LEADER);
	reply(expect(r, 1, RANGE, NULL), 200, HEAD(4) "}");
	answered(q, STORE_ABSENT);
	stream(a, NO_LEADER);
	tells(r, STORE_EVENT_LOST, NULL);
	checks(r, 1, HEAD(4) "}");
	opens(r, 1, 5, 5);
}

static void test_endless_message(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_text much = xcalloc(5001, 1);
	auto_text one = put_event("/f/subnets/10.5.1.0-24", "{}", 5);
	struct asked *a;

	/* What we cannot hold would only come again: the list is shorter than its history. */
	store_of_rig(r)->message_max = 4096;
	a = live(r);
	memset(much, ' ', 5000);
	stream_bytes(a, much, 5000);
	tells(r, STORE_EVENT_RESYNC, "too long");
	await_closed(r, a);
	store_watch_stop(STEAL(r->watch));
	/* Not either in many fragments. */
	a = live(r);
	for (int i = 0; i < 40; i++)
		stream_events(a, one, true);
	tells(r, STORE_EVENT_RESYNC, "too long");
	await_closed(r, a);
}

/* ---- another store, or an older one ---- */

static void end_of(struct rig *r, struct asked *a, const char *reason)
{
	tells(r, STORE_EVENT_RESYNC, reason);
	if (a)
		await_closed(r, a);
}

/* Wiped before the stream: the revision we ask for is the future, and the watch would be silent. */
static void test_another_cluster_when_the_stream_opens(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct question *q = ask(r, STORE_CONFIG, NULL, 0);
	struct asked *a;

	reply(expect(r, 0, RANGE, NULL), 200, HEAD(4) "}");
	answered(q, STORE_ABSENT);
	watch_from(r, 5);
	a = opens(r, 0, 5, 5);
	stream(a, MSG(HEAD_OF("5", 1)) ",\"created\":true}}");
	end_of(r, a, "another cluster");
}

static void test_another_cluster_in_a_message(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct asked *a = live(r);

	stream(a, MSG(HEAD_OF("5", 9)) ",\"watch_id\":\"-1\"}}");
	end_of(r, a, "another cluster");
}

static void test_another_cluster_when_checked(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);

	stream_end(live(r));
	tells(r, STORE_EVENT_LOST, NULL);
	checks(r, 0, HEAD_OF("5", 70) "}");
	end_of(r, NULL, "another cluster");
}

static void test_older_store_when_checked(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);

	stream_end(live(r));
	tells(r, STORE_EVENT_LOST, NULL);
	checks(r, 0, HEAD(3) "}");
	end_of(r, NULL, "revision went back");
}

/* The same revision as the last is not older. */
static void test_unchanged_store_when_checked(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);

	stream_end(live(r));
	tells(r, STORE_EVENT_LOST, NULL);
	checks(r, 0, HEAD(4) "}");
	opens(r, 0, 5, 5);
}

/* No list, no configuration, yet HTTP 200: it says nothing about the store. */
static void test_check_that_says_nothing(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);

	stream_end(live(r));
	tells(r, STORE_EVENT_LOST, NULL);
	checks(r, 0, "{\"header\":{}}");
	tells(r, STORE_EVENT_LOST, "without a revision");
	checks(r, 0, "{}");
	tells(r, STORE_EVENT_LOST, "not an answer of etcd");
	checks(r, 0, HEAD(4) "}");
	opens(r, 0, 5, 5);
}

static void test_another_cluster_when_probed(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct asked *a = live(r);

	reply(probes(r, 0), 200, HEAD_OF("5", 70) "}");
	end_of(r, a, "another cluster");
}

/* Behind a balancer, say: the stream is of the old one, and the same cluster was restored. */
static void test_older_store_when_probed(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct asked *a = live(r);

	stream_put(a, "subnets/10.5.1.0-24", 9);
	tells(r, STORE_EVENT_PUT, NULL);
	reply(probes(r, 0), 200, HEAD(8) "}");
	end_of(r, a, "revision went back");
}

/* What is told between question and answer may be newer than the answer. */
static void test_probe_overtaken_by_events(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct asked *a = live(r);
	struct asked *asked = probes(r, 0);

	stream_put(a, "subnets/10.5.1.0-24", 9);
	tells(r, STORE_EVENT_PUT, NULL);
	reply(asked, 200, HEAD(8) "}");
	reply(probes(r, 0), 200, HEAD(9) "}");
	assert_int_equal(r->told_len, r->told_seen);
}

/*
 * A stream from the future is accepted and silent. The member may only lag behind: a read that
 * needs a quorum tells, and at once, not at the next tick.
 */
static void test_older_store_when_the_stream_opens(void **state)
{
	(void)state;

	for (int lags = 0; lags < 2; lags++) {
		auto_rig r = rig_new(1, NULL);
		struct asked *a;

		watch_from(r, 900);
		a = opens(r, 0, 900, 900);
		stream(a, CREATED(5));
		reply(probe(r, 0), 200, lags ? HEAD(900) "}" : HEAD(5) "}");
		if (!lags) {
			end_of(r, a, "revision went back");
			continue;
		}
		stream(a, CREATED(899));
		tells(r, STORE_EVENT_LIVE, NULL);
		stream_put(a, "subnets/10.5.1.0-24", 900);
		tells(r, STORE_EVENT_PUT, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_watches_in_one_request),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_key_that_hides_its_end),
		cmocka_unit_test(test_messages_in_pieces),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_stream_that_ends_between_fragments),
		cmocka_unit_test(test_repeated_events),
		cmocka_unit_test(test_progress_does_not_advance),
		cmocka_unit_test(test_stopped_inside),
		cmocka_unit_test(test_error_after_good_messages),
		cmocka_unit_test(test_compacted),
		cmocka_unit_test(test_compacted_as_an_error),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_canceled_by_one_member),
		cmocka_unit_test(test_no_stream),
		cmocka_unit_test(test_connection_that_ends),
		cmocka_unit_test(test_endpoint_is_left_once),
		cmocka_unit_test(test_endless_message),
		cmocka_unit_test(test_another_cluster_when_the_stream_opens),
		cmocka_unit_test(test_another_cluster_in_a_message),
		cmocka_unit_test(test_another_cluster_when_checked),
		cmocka_unit_test(test_older_store_when_checked),
		cmocka_unit_test(test_unchanged_store_when_checked),
		cmocka_unit_test(test_check_that_says_nothing),
		cmocka_unit_test(test_another_cluster_when_probed),
		cmocka_unit_test(test_older_store_when_probed),
		cmocka_unit_test(test_probe_overtaken_by_events),
		cmocka_unit_test(test_older_store_when_the_stream_opens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
