/* SPDX-License-Identifier: Apache-2.0 */
/* subnet/manager: peers that leave, and a store that is not the one of before. */
#include "tests/unit/manager_rig.h"

/* ---- departures ---- */

/*
 * Its daemon runs and claims the lost lease again: nothing that leads there is touched meanwhile.
 */
static void test_departed_and_back(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	unsigned told = r->peers_told;

	deleted(r, "10.5.9.0-24", 120);
	assert_int_equal(view(r).kept, 1);
	assert_int_equal(view(r).members_len, 2);
	tick(r, CLAIM_AGAIN_MS - 1);
	/* Not even a list that does not have it yet. */
	event(r, STORE_EVENT_RESYNC, 0, NULL);
	answer_list(r, (uint64_t)121, mine("10.5.1.0-24", 101, 101, 11), END);
	put(r, theirs("10.5.9.0-24", 130, 130, 19));
	assert_int_equal(view(r).kept, 0);
	tick(r, 10 * CLAIM_AGAIN_MS);
	assert_int_equal(view(r).members_len, 2);
	assert_int_equal(r->peers_gone, 0);
	/* It says what it said, but is younger now: another may have the right to the subnet. */
	assert_int_equal(r->peers_told, told + 1);
}

static void test_departed_for_good(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	put(r, theirs("10.5.7.0-24", 110, 110, 9));
	deleted(r, "10.5.9.0-24", 120);
	tick(r, 1000);
	deleted(r, "10.5.7.0-24", 121);
	/* Told twice, as servers have been seen to do: its time does not begin anew. */
	deleted(r, "10.5.9.0-24", 120);
	assert_int_equal(view(r).kept, 2);
	tick(r, CLAIM_AGAIN_MS - 1001);
	assert_int_equal(r->peers_gone, 0);
	tick(r, 1);
	assert_int_equal(r->peers_gone, 1);
	assert_int_equal(view(r).kept, 1);
	tick(r, 1000);
	assert_int_equal(r->peers_gone, 2);
	assert_int_equal(view(r).members_len, 1);
	assert_true(manager_deadline(r->m) > r->now + CLAIM_AGAIN_MS);
}

/* Told late of a time before it left. */
static void test_departed_is_not_revived_by_old_news(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	deleted(r, "10.5.9.0-24", 120);
	put(r, theirs("10.5.9.0-24", 100, 119, 9));
	assert_int_equal(view(r).kept, 1);
	tick(r, CLAIM_AGAIN_MS);
	assert_int_equal(r->peers_gone, 1);
}

/* flannel ends itself when its lease is gone, and a subnet may be another's at once. */
static void test_departed_of_flannel_and_of_who_is_replaced(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	unsigned told;

	put(r, lease("10.5.7.0-24", "192.0.2.7", NULL, NULL, 110, 110, 9));
	deleted(r, "10.5.7.0-24", 111);
	assert_int_equal(r->peers_gone, 1);
	assert_int_equal(view(r).kept, 0);
	deleted(r, "10.5.9.0-24", 120);
	told = r->peers_told;
	put(r, lease("10.5.9.0-24", "192.0.2.77", "third-id", "third", 121, 121, 9));
	assert_int_equal(r->peers_told, told + 1);
	assert_int_equal(view(r).kept, 0);
	/* Who was there before is not in the way of who comes. */
	deleted(r, "10.5.9.0-24", 130);
	for (const struct manager_member *m = manager_next(view(r).members, NULL); m;
	     m = manager_next(view(r).members, m))
		assert_true(m->own || m->lease->born == UINT64_MAX);
}

/* ---- history ---- */

static void test_resync(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	struct store_reply reply = { .revision = 105 };
	struct sent *late;

	manager_tick(r->m, r->now + 400000); /* anti-entropy */
	late = take(r, STORE_LIST);
	event(r, STORE_EVENT_RESYNC, 0, NULL);
	assert_int_equal(state(r), MANAGER_HELD);
	/* The list of before is not heard, only the one asked for after it. */
	answer(r, late, &reply);
	assert_int_equal(r->watch_from, 0);
	answer_list(r, (uint64_t)500, mine("10.5.1.0-24", 101, 101, 11),
		    theirs("10.5.7.0-24", 400, 400, 9), END);
	assert_int_equal(r->watch_from, 501);
	assert_int_equal(state(r), MANAGER_HELD);
	tick(r, CLAIM_AGAIN_MS);
	assert_int_equal(view(r).members_len, 2);
	assert_int_equal(r->peers_gone, 1);
}

static void test_resync_again_and_again_is_slowed(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	size_t before = count(r, STORE_LIST);

	for (unsigned i = 0; i < 30; i++) {
		event(r, STORE_EVENT_RESYNC, 0, NULL);
		until(r, STORE_LIST, 11000);
		answer_list(r, (uint64_t)500, mine("10.5.1.0-24", 101, 101, 11), END);
		assert_int_equal(r->watch_from, 501);
	}
	assert_int_equal(count(r, STORE_LIST) - before, 30);
	assert_true(r->now > 20000);
}

/* Wiped: our key is not there, revisions start again, everything is claimed again. */
static void test_wiped(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	event(r, STORE_EVENT_RESYNC, 0, NULL);
	answer_list(r, (uint64_t)2, END);
	assert_int_equal(state(r), MANAGER_LOST);
	assert_int_equal(r->watch_from, 3);
	until(r, STORE_CREATE, 1000);
	answer_written(r, STORE_CREATE, 3, 12);
	put(r, mine("10.5.1.0-24", 3, 3, 12));
	assert_int_equal(state(r), MANAGER_HELD);
}

/* Restored from a snapshot in which leases have older revisions than those we remember. */
static void test_restored(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	const struct manager_view v = view(r);
	struct lease *l = theirs("10.5.9.0-24", 20, 20, 9);

	assert_int_equal(v.members_len, 2);
	event(r, STORE_EVENT_RESYNC, 0, NULL);
	l->public_v4 = test_addr("192.0.2.77");
	answer_list(r, (uint64_t)30, l, mine("10.5.1.0-24", 25, 25, 8), END);
	assert_int_equal(state(r), MANAGER_HELD);
	/* Peer and our own binding are what the store says now. */
	for (const struct manager_member *m = manager_next(view(r).members, NULL); m;
	     m = manager_next(view(r).members, m)) {
		if (!m->own)
			assert_true(m->lease->mod_revision == 20 && m->lease->public_v4.b[3] == 77);
	}
	assert_int_equal(waiting(r, STORE_KEEPALIVE)->lease->id, 8);
}

/* We slept while the store was wiped, and another host has our subnet at a lower revision. */
static void test_taken_in_another_history(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	until(r, STORE_LIST, 400000);
	answer_list(r, (uint64_t)150, theirs("10.5.1.0-24", 40, 40, 9), END);
	assert_int_equal(state(r), MANAGER_CONFLICT);
}

/* Our address is another than when the snapshot was taken that the store now has again. */
static void test_restored_to_before_we_moved(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.5.0-24");

	answer_list(r, (uint64_t)100, lease("10.5.5.0-24", "192.0.2.8", ME, "me", 43, 43, 7), END);
	nobody_answers(r, 101);
	answer_written(r, STORE_UPDATE, 102, 0);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
	event(r, STORE_EVENT_RESYNC, 0, NULL);
	answer_list(r, (uint64_t)60, lease("10.5.5.0-24", "192.0.2.8", ME, "me", 43, 43, 7), END);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(waiting(r, STORE_UPDATE)->lease->public_v4.b[3], 1);
}

/* An older state than that in which we took it over; and the same old write again and again. */
static void test_restored_again_and_again(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.5.0-24");

	answer_list(r, (uint64_t)100, lease("10.5.5.0-24", "192.0.2.8", ME, "me", 90, 90, 7), END);
	nobody_answers(r, 101);
	answer_written(r, STORE_UPDATE, 102, 0);
	answer_keepalive(r, STORE_OK);
	for (unsigned i = 0; i < 10; i++) {
		event(r, STORE_EVENT_RESYNC, 0, NULL);
		until(r, STORE_LIST, 11000);
		answer_list(r, (uint64_t)60, lease("10.5.5.0-24", "192.0.2.8", ME, "me", 43, 43, 7),
			    END);
		assert_int_equal(state(r), MANAGER_HELD);
		until(r, STORE_UPDATE, 31000);
		answer_written(r, STORE_UPDATE, 61, 0);
	}
	/* But what comes now is written by somebody, and we came later than our id. */
	put(r, lease("10.5.5.0-24", "192.0.2.8", ME, "me", 43, 62, 7));
	assert_int_equal(state(r), MANAGER_CONFLICT);
}

/* The watch is silent on a store that went back; only the periodic list can tell. */
static void test_list_of_an_earlier_time(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	put(r, theirs("10.5.7.0-24", 200, 200, 9));
	until(r, STORE_LIST, 400000);
	answer_list(r, (uint64_t)30, END);
	assert_true(noted(r, "store-went-back"));
	assert_int_equal(state(r), MANAGER_LOST);
	assert_int_equal(r->watch_from, 31);
	/* Peers have time to claim again; then who has not is gone. */
	assert_int_equal(view(r).members_len, 2);
	assert_int_equal(view(r).kept, 2);
	put(r, theirs("10.5.7.0-24", 32, 32, 9));
	assert_int_equal(view(r).kept, 1);
	tick(r, 14000);
	assert_int_equal(view(r).kept, 1);
	tick(r, 1000);
	assert_int_equal(view(r).members_len, 1);
	assert_int_equal(view(r).kept, 0);
}

/* Created at a store that was wiped before it could be seen there. */
static void test_wiped_before_verified(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	lose(r, 110);
	event(r, STORE_EVENT_RESYNC, 0, NULL);
	answer_list(r, (uint64_t)2, END);
	answer_written(r, STORE_CREATE, 111, 12); /* by the old store */
	assert_int_equal(state(r), MANAGER_LOST);
	until(r, STORE_LIST, 3000);
	answer_list(r, (uint64_t)4, END);
	assert_int_equal(state(r), MANAGER_LOST);
	until(r, STORE_CREATE, 11000);
	answer_written(r, STORE_CREATE, 5, 13);
	put(r, mine("10.5.1.0-24", 5, 5, 13));
	assert_int_equal(state(r), MANAGER_HELD);
}

static void test_list_overtaken_by_events(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	until(r, STORE_LIST, 400000);
	put(r, theirs("10.5.7.0-24", 210, 210, 9));
	answer_list(r, (uint64_t)209, mine("10.5.1.0-24", 101, 101, 11), END);
	assert_int_equal(view(r).members_len, 3);
	until(r, STORE_LIST, 2100);
	answer_list(r, (uint64_t)210, mine("10.5.1.0-24", 101, 101, 11),
		    theirs("10.5.7.0-24", 210, 210, 9), END);
	tick(r, CLAIM_AGAIN_MS);
	assert_int_equal(view(r).members_len, 2);
	assert_int_equal(r->peers_gone, 1);
}

/* The list is ahead of the watch: what it has told already does not come to life again. */
static void test_events_older_than_the_list(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	unsigned told;

	until(r, STORE_LIST, 400000);
	answer_list(r, (uint64_t)300, mine("10.5.1.0-24", 101, 101, 11), END);
	told = r->peers_told;
	put(r, theirs("10.5.7.0-24", 210, 210, 9));
	deleted(r, "10.5.7.0-24", 211);
	deleted(r, "10.5.1.0-24", 100);
	assert_int_equal(r->peers_told, told);
	assert_int_equal(state(r), MANAGER_HELD);
	/* Repeated events neither. */
	put(r, theirs("10.5.7.0-24", 310, 310, 9));
	told = r->peers_told;
	put(r, theirs("10.5.7.0-24", 310, 310, 9));
	assert_int_equal(r->peers_told, told);
}

static void test_anti_entropy(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	int64_t before = r->now;

	until(r, STORE_LIST, 400000);
	assert_true(r->now - before >= 240000 && r->now - before <= 361000);
	/* A delete that was lost, a put that was lost, our own key lost. */
	answer_list(r, (uint64_t)300, theirs("10.5.8.0-24", 290, 290, 9), END);
	assert_int_equal(state(r), MANAGER_LOST);
	assert_int_equal(view(r).kept, 1);
	tick(r, CLAIM_AGAIN_MS);
	assert_int_equal(r->peers_gone, 1);
	assert_int_equal(view(r).members_len, 1);
}

static void test_list_fails_and_comes_back(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	event(r, STORE_EVENT_RESYNC, 0, NULL);
	for (unsigned i = 0; i < 10; i++) {
		answer_status(r, STORE_LIST, STORE_UNAVAILABLE);
		until(r, STORE_LIST, 11000);
	}
	assert_int_equal(state(r), MANAGER_HELD);
	answer_list(r, (uint64_t)500, mine("10.5.1.0-24", 101, 101, 11), END);
	assert_int_equal(r->watch_from, 501);
}

static void test_peers_are_told_of(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	assert_string_equal(r->peer_news, "peers-listed: 1 leases in the store");
	put(r, lease("10.5.6.0-24", "192.0.2.8", OTHER, "other", 110, 110, 8));
	assert_string_equal(r->peer_news, "peer-joined: 10.5.6.0/24: other at 192.0.2.8");
	put(r, lease("10.5.6.0-24", "192.0.2.9", OTHER, "other", 110, 111, 8));
	assert_string_equal(r->peer_news,
			    "peer-changed: 10.5.6.0/24: public address 192.0.2.8 -> 192.0.2.9");
	deleted(r, "10.5.6.0-24", 112);
	tick(r, CLAIM_AGAIN_MS);
	assert_string_equal(r->peer_news, "peer-left: 10.5.6.0/24: other at 192.0.2.9");
}

/* The same value under the same key, bound to no lease of the store any more, and again to one. */
static void test_a_lease_becomes_unbound(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	unsigned told;

	put(r, lease("10.5.6.0-24", "192.0.2.8", OTHER, "other", 110, 110, 8));
	told = r->peers_told;
	put(r, lease("10.5.6.0-24", "192.0.2.8", OTHER, "other", 110, 111, 0));
	assert_int_equal(r->peers_told, told + 1);
	assert_string_equal(r->peer_news, "peer-changed: 10.5.6.0/24: kind leased -> unbound");
	put(r, lease("10.5.6.0-24", "192.0.2.8", OTHER, "other", 110, 112, 9));
	assert_int_equal(r->peers_told, told + 2);
	put(r, lease("10.5.6.0-24", "192.0.2.8", OTHER, "other", 110, 113, 9));
	assert_int_equal(r->peers_told, told + 2);
}

static void test_watch_lost_and_live(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	event(r, STORE_EVENT_LOST, 0, NULL);
	assert_false(view(r).watch_live);
	assert_string_equal(view(r).watch_reason, "a reason");
	event(r, STORE_EVENT_LIVE, 120, NULL);
	assert_true(view(r).watch_live);
	assert_string_equal(view(r).watch_reason, "");
	assert_int_equal(view(r).watch_restarts_total, 1);
}

/* LIVE tells how far the store is, not how far the watch has come. */
static void test_live_is_not_progress(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, END);
	answer_written(r, STORE_CREATE, 103, 11);
	event(r, STORE_EVENT_LIVE, 103, NULL);
	put(r, theirs("10.5.0.0-22", 102, 102, 9));
	assert_int_equal(state(r), MANAGER_CLAIMING);
	put(r, mine("10.5.1.0-24", 103, 103, 11));
	assert_int_not_equal(state(r), MANAGER_HELD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resync),
		cmocka_unit_test(test_resync_again_and_again_is_slowed),
		cmocka_unit_test(test_departed_and_back),
		cmocka_unit_test(test_departed_for_good),
		cmocka_unit_test(test_departed_is_not_revived_by_old_news),
		cmocka_unit_test(test_departed_of_flannel_and_of_who_is_replaced),
		cmocka_unit_test(test_wiped),
		cmocka_unit_test(test_restored),
		cmocka_unit_test(test_taken_in_another_history),
		cmocka_unit_test(test_restored_to_before_we_moved),
		cmocka_unit_test(test_restored_again_and_again),
		cmocka_unit_test(test_list_of_an_earlier_time),
		cmocka_unit_test(test_wiped_before_verified),
		cmocka_unit_test(test_list_overtaken_by_events),
		cmocka_unit_test(test_events_older_than_the_list),
		cmocka_unit_test(test_anti_entropy),
		cmocka_unit_test(test_list_fails_and_comes_back),
		cmocka_unit_test(test_peers_are_told_of),
		cmocka_unit_test(test_a_lease_becomes_unbound),
		cmocka_unit_test(test_watch_lost_and_live),
		cmocka_unit_test(test_live_is_not_progress),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
