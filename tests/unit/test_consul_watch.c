/* SPDX-License-Identifier: Apache-2.0 */
/* stores/consul/consul_watch: what is told of one answer after another, and what is believed. */
#include "tests/unit/consul_rig.h"

#define QUERY(index) LIST "&index=" #index "&wait=300s"

/* Listed at 20, of which the prefix is at 7, and watched from there: the query is open. */
static struct asked *watch_one(struct rig *r)
{
	auto_free char *keys = list_of(entry(KEY, VALUE, 3, 7, 0, S1), NULL);
	struct question *q = ask(r, STORE_LIST, NULL, 0);
	struct asked *query;

	says(expect(r, 0, RIGHTS, ""), 404, 20, "");
	says(expect(r, 0, LIST, ""), 200, 7, keys);
	answered(q, STORE_OK);
	r->watch = store_watch(r->store, 21, on_event, r);
	says(expect(r, 0, RIGHTS, ""), 404, 20, "");
	query = expect(r, 0, QUERY(7), "");
	tells(r, STORE_EVENT_LIVE, NULL);
	return query;
}

static void test_watch(void **state)
{
	(void)state;
	auto_rig r = consul_rig(1, NULL);
	struct asked *query = watch_one(r);
	auto_text changed =
		list_of(entry("f/config", "{}", 31, 31, 0, NULL), entry(KEY, VALUE, 3, 30, 0, S1));
	auto_text junk =
		list_of(entry(KEY, VALUE, 3, 30, 0, S1), entry("f/subnets/x", "", 32, 32, 0, NULL));

	says(query, 200, 31, changed);
	assert_int_equal(tells(r, STORE_EVENT_PUT, "10.5.1.0-24")->revision, 30);
	assert_int_equal(tells(r, STORE_EVENT_CONFIG, NULL)->revision, 31);
	/* The configuration is gone: is it, or may we not see it? */
	says(expect(r, 0, QUERY(31), ""), 200, 33, junk);
	says(expect(r, 0, RIGHTS, ""), 404, 33, "");
	says(expect(r, 0, QUERY(31), ""), 200, 33, junk);
	assert_int_equal(tells(r, STORE_EVENT_JUNK, "f/subnets/x")->revision, 32);
	assert_int_equal(tells(r, STORE_EVENT_CONFIG, NULL)->revision, 33);
	/* Nothing has changed: silence. */
	says(expect(r, 0, QUERY(33), ""), 200, 33, junk);
	expect(r, 0, QUERY(33), "");
	assert_int_equal(r->told_len, r->told_seen);
}

static void test_watch_without_rights(void **state)
{
	(void)state;
	auto_rig r = consul_rig(1, NULL);
	struct asked *query = watch_one(r);

	says(query, 404, 40, "");
	says(expect(r, 0, RIGHTS, ""), 403, 0, "Permission denied");
	tells(r, STORE_EVENT_LOST, "Permission denied");
	/* They are back, and the lease is really gone. */
	says(expect(r, 0, RIGHTS, ""), 404, 41, "");
	says(expect(r, 0, QUERY(7), ""), 404, 41, "");
	tells(r, STORE_EVENT_LIVE, NULL);
	says(expect(r, 0, RIGHTS, ""), 404, 41, "");
	says(expect(r, 0, QUERY(7), ""), 404, 41, "");
	assert_int_equal(tells(r, STORE_EVENT_DELETE, "10.5.1.0-24")->revision, 41);
	expect(r, 0, QUERY(41), "");
}

/* Consul forgets after a while that keys were deleted, and the prefix' index is that of what is left. */
static void test_index_goes_back(void **state)
{
	(void)state;
	auto_rig r = consul_rig(1, NULL);
	struct asked *query = watch_one(r);
	auto_text same = list_of(entry(KEY, VALUE, 3, 7, 0, S1), NULL);
	auto_text other = list_of(entry(KEY, VALUE, 3, 6, 0, S1), NULL);

	says(query, 200, 5, same);
	says(expect(r, 0, RIGHTS, ""), 404, 50, "");
	query = expect(r, 0, QUERY(5), "");
	assert_int_equal(r->told_len, r->told_seen);
	/* But not when something else stands there: */
	says(query, 200, 6, other);
	tells(r, STORE_EVENT_RESYNC, "restored");
}

static void test_store_goes_back(void **state)
{
	(void)state;
	auto_rig r = consul_rig(1, NULL);
	auto_text same = list_of(entry(KEY, VALUE, 3, 7, 0, S1), NULL);

	says(watch_one(r), 200, 5, same);
	says(expect(r, 0, RIGHTS, ""), 404, 19, "");
	tells(r, STORE_EVENT_RESYNC, "went back");
}

static void test_watch_is_lost(void **state)
{
	(void)state;
	auto_rig r = consul_rig(2, NULL);
	struct asked *query = watch_one(r);

	fake_kill(&r->fakes[0]);
	tells(r, STORE_EVENT_LOST, "127.0.0.1");
	/* The next agent. */
	says(expect(r, 1, RIGHTS, ""), 404, 20, "");
	query = expect(r, 1, QUERY(7), "");
	tells(r, STORE_EVENT_LIVE, NULL);
	/* Without an index an answer says nothing of what there is. */
	says(query, 404, 0, "");
	tells(r, STORE_EVENT_LOST, "X-Consul-Index");
}

/* An agent that has stopped says nothing, as one with nothing to say. */
static void test_silence(void **state)
{
	(void)state;
	auto_rig r = consul_rig(1, NULL);

	((struct consul_store *)r->store)->probe_ms = 20;
	watch_one(r);
	says(expect(r, 0, RIGHTS, ""), 404, 22, "");
	says(expect(r, 0, RIGHTS, ""), 500, 0, "No cluster leader");
	tells(r, STORE_EVENT_LOST, "No cluster leader");
}

/* From a revision that was not listed at: good if nothing has happened since. */
static void test_watch_from_anywhere(void **state)
{
	(void)state;
	auto_rig r = consul_rig(1, NULL);
	auto_text keys = list_of(entry(KEY, VALUE, 3, 7, 0, S1), NULL);

	r->watch = store_watch(r->store, 8, on_event, r);
	says(expect(r, 0, RIGHTS, ""), 404, 20, "");
	says(expect(r, 0, LIST, ""), 200, 7, keys);
	expect(r, 0, QUERY(7), "");
	tells(r, STORE_EVENT_LIVE, NULL);
	store_watch_stop(STEAL(r->watch));
	r->watch = store_watch(r->store, 7, on_event, r);
	says(expect(r, 0, RIGHTS, ""), 404, 20, "");
	says(expect(r, 0, LIST, ""), 200, 7, keys);
	tells(r, STORE_EVENT_RESYNC, "no history");
}

/* Lists cost: who has had too many waits a little. */
static void test_pace(void **state)
{
	(void)state;
	auto_rig r = consul_rig(1, NULL);
	int64_t began = clock_boot_ms();
	struct asked *query;

	((struct consul_store *)r->store)->credit_max = 0;
	query = watch_one(r);
	for (unsigned i = 0; i < 10; i++) {
		auto_free char *keys = list_of(entry(KEY, VALUE, 3, 30 + i, 0, S1), NULL);

		says(query, 200, 30 + i, keys);
		query = expect(r, 0, NULL, "");
		assert_contains(query->path, "index=3");
		tells(r, STORE_EVENT_PUT, "10.5.1.0-24");
	}
	/* Each as 32 KiB, so many as a millisecond has. */
	assert_true(clock_boot_ms() - began >= 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_watch_without_rights),
		cmocka_unit_test(test_index_goes_back),
		cmocka_unit_test(test_store_goes_back),
		cmocka_unit_test(test_watch_is_lost),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_watch_from_anywhere),
		cmocka_unit_test(test_pace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
