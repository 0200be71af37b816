/* SPDX-License-Identifier: Apache-2.0 */
/* subnet/manager: configuration, the choice of a subnet, claiming it. */
#include "tests/unit/manager_rig.h"

/* ---- configuration ---- */

static void test_config_missing_invalid_then_good(void **unused)
{
	(void)unused;
	auto_rig r = rig_new(NULL);

	answer_config(r, NULL);
	assert_int_equal(state(r), MANAGER_WAIT_CONFIG);
	for (unsigned i = 0; i < 50; i++) {
		until(r, STORE_CONFIG, 5100);
		answer_config(r, NULL);
	}
	assert_int_equal(r->notes, 1);
	until(r, STORE_CONFIG, 5100);
	answer_config(r, "{\"Network\":17}");
	assert_true(noted(r, "config-invalid"));
	assert_contains(view(r).reason, "network configuration: ");
	until(r, STORE_CONFIG, 5100);
	answer_status(r, STORE_CONFIG, STORE_UNAVAILABLE);
	assert_true(noted(r, "store-unavailable"));
	until(r, STORE_CONFIG, 5100);
	answer_config(r, CONFIG);
	assert_int_equal(r->configs, 1);
	assert_int_equal(state(r), MANAGER_LISTING);
	assert_non_null(waiting(r, STORE_LIST));
}

/* Rejected by the daemon, say since the interface is not there: asked again, said once. */
static void test_config_rejected(void **unused)
{
	(void)unused;
	auto_rig r = rig_new(NULL);

	for (unsigned i = 1; i <= 20; i++) {
		answer_config(r, CONFIG);
		assert_int_equal(r->configs, i);
		manager_reject_config(r->m, r->now, "no interface");
		assert_int_equal(state(r), MANAGER_WAIT_CONFIG);
		until(r, STORE_CONFIG, 5100);
	}
	assert_int_equal(r->notes, 1);
	/* A list that was asked for before the rejection is not heard. */
	answer_list(r, (uint64_t)5, END);
	answer_config(r, CONFIG);
	manager_claim(r->m, r->now, r->attributes);
	assert_null(waiting(r, STORE_CREATE));
}

/* An event of the configuration may get lost like any other: the periodic list reads it too. */
static void test_config_read_with_the_list(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	until(r, STORE_LIST, 400000);
	assert_non_null(waiting(r, STORE_CONFIG));
}

/* ---- the choice ---- */

static void test_reuse_by_node_id(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.77.0-24");

	/* Our own by id comes before flannel's by address and before the previous subnet. */
	answer_list(r, (uint64_t)100, lease("10.5.3.0-24", "192.0.2.1", NULL, NULL, 20, 20, 3),
		    mine("10.5.4.0-24", 30, 30, 4), theirs("10.5.9.0-24", 50, 50, 9), END);
	assert_null(waiting(r, STORE_CREATE));
	assert_null(waiting(r, STORE_UPDATE)); /* the value is as we would write it */
	assert_int_equal(waiting(r, STORE_KEEPALIVE)->lease->id, 4);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_subnet(view(r).own, "10.5.4.0-24");
	assert_int_equal(r->watch_from, 101);
	assert_int_equal(r->owns, 1);
	assert_int_equal(view(r).renewals_ok, 1);
}

static void test_adopt_flannels(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);
	const struct sent *s;

	answer_list(r, (uint64_t)100, lease("10.5.3.0-24", "192.0.2.1", NULL, NULL, 20, 25, 3),
		    END);
	s = waiting(r, STORE_UPDATE);
	assert_non_null(s);
	assert_int_equal(s->lease->mod_revision, 25);
	assert_int_equal(s->lease->id, 3);
	assert_string_equal(s->lease->node_id, ME);
	answer_written(r, STORE_UPDATE, 101, 0);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
	/* The event of our own update changes nothing. */
	put(r, mine("10.5.3.0-24", 20, 101, 3));
	assert_int_equal(state(r), MANAGER_HELD);
	assert_null(waiting(r, STORE_UPDATE));
}

static void test_adopt_reservation(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);

	answer_list(r, (uint64_t)100, lease("10.5.3.0-24", "192.0.2.1", NULL, NULL, 20, 25, 0),
		    END);
	/* The mark by which it is known as one when the value is ours. */
	assert_true(waiting(r, STORE_UPDATE)->lease->reserved);
	answer_written(r, STORE_UPDATE, 101, 0);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(count(r, STORE_KEEPALIVE), 0);
	assert_int_equal(view(r).expires_ms, 0);
	tick(r, 3600 * 1000);
	assert_int_equal(count(r, STORE_KEEPALIVE) + count(r, STORE_BIND), 0);
}

/* The mark is not there: somebody wrote our key without its lease while we were away. */
static void test_adopt_unbound(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);

	answer_list(r, (uint64_t)100, mine("10.5.3.0-24", 20, 25, 0), END);
	assert_false(waiting(r, STORE_BIND)->lease->reserved);
	answer_written(r, STORE_BIND, 101, 7);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_true(view(r).expires_ms > 0);
}

/* One that was made for this host by name, before its address was known. */
static void test_adopt_reservation_by_name(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);

	answer_list(r, (uint64_t)100, lease("10.5.2.0-24", NULL, NULL, "other", 19, 19, 0),
		    lease("10.5.3.0-24", NULL, NULL, "me", 20, 25, 0), END);
	assert_subnet(waiting(r, STORE_UPDATE)->lease, "10.5.3.0-24");
	answer_written(r, STORE_UPDATE, 101, 0);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(view(r).twins, 0);
}

/* A name is no claim on what expires, or on what has an address. */
static void test_a_name_alone_is_no_lease(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);

	answer_list(r, (uint64_t)100, lease("10.5.3.0-24", NULL, NULL, "me", 20, 25, 7),
		    lease("10.5.4.0-24", "192.0.2.9", NULL, "me", 21, 21, 0), END);
	assert_null(waiting(r, STORE_UPDATE));
	assert_non_null(waiting(r, STORE_CREATE));
}

static void test_previous_subnet(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, theirs("10.5.9.0-24", 50, 50, 9), END);
	assert_subnet(waiting(r, STORE_CREATE)->lease, "10.5.1.0-24");
}

static void test_previous_subnet_taken(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.9.0-24");
	struct subnet taken;

	answer_list(r, (uint64_t)100, theirs("10.5.8.0-22", 50, 50, 9), END);
	assert_int_equal(subnet_key_parse("10.5.8.0-22", &taken, NULL), 0);
	assert_false(subnet_overlaps(&waiting(r, STORE_CREATE)->lease->subnet, &taken));
}

static void test_previous_subnet_of_another_network(void **unused)
{
	(void)unused;
	auto_rig r = started("10.77.1.0-24");
	const struct lease *l;

	answer_list(r, (uint64_t)100, END);
	l = waiting(r, STORE_CREATE)->lease;
	assert_int_equal(l->subnet.v4.addr.b[1], 5);
	assert_int_equal(l->subnet.v4.len, 24);
}

/* Subnets may come free at any time: the list is read again, not only the memory of it. */
static void test_out_of_subnets(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);

	answer_list(r, (uint64_t)100, theirs("10.5.0.0-16", 50, 50, 9), END);
	assert_contains(view(r).reason, "out of subnets");
	for (unsigned i = 0; i < 10; i++) {
		until(r, STORE_LIST, 11000);
		answer_list(r, (uint64_t)(101 + i), theirs("10.5.0.0-16", 50, 50, 9), END);
	}
	assert_int_equal(r->notes, 1);
	until(r, STORE_LIST, 11000);
	answer_list(r, (uint64_t)120, END);
	until(r, STORE_LIST, 11000);
	answer_list(r, (uint64_t)120, END);
	assert_non_null(waiting(r, STORE_CREATE));
}

/* Who waits for a subnet hears of one that comes free, however long it has waited already. */
static void test_a_subnet_comes_free(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);

	answer_list(r, (uint64_t)100, theirs("10.5.0.0-16", 50, 50, 9), END);
	for (unsigned i = 0; i < 10; i++) {
		until(r, STORE_LIST, 11000);
		answer_list(r, (uint64_t)101, theirs("10.5.0.0-16", 50, 50, 9), END);
	}
	event(r, STORE_EVENT_LIVE, 101, NULL);
	deleted(r, "10.5.0.0-16", 102);
	/* Its host may claim it again in the first three seconds. */
	until(r, STORE_LIST, 4100);
	answer_list(r, (uint64_t)102, END);
	assert_non_null(waiting(r, STORE_CREATE));
}

/* flannel claims none again: what was its is free at once. */
static void test_a_subnet_of_flannel_comes_free(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);

	for (unsigned i = 0; i < 10; i++) {
		until(r, STORE_LIST, 11000);
		answer_list(r, (uint64_t)100,
			    lease("10.5.0.0-16", "192.0.2.9", NULL, NULL, 50, 50, 9), END);
	}
	event(r, STORE_EVENT_LIVE, 100, NULL);
	deleted(r, "10.5.0.0-16", 101);
	until(r, STORE_LIST, 1100);
	answer_list(r, (uint64_t)101, END);
	assert_non_null(waiting(r, STORE_CREATE));
}

/* A network around the segment of the underlay: of all its subnets never the one it is in. */
static void test_the_segment_of_the_underlay_is_avoided(void **unused)
{
	(void)unused;
	auto_rig r = rig_new(NULL);
	const struct ip_net v4 = test_net("10.5.2.0/24");
	const struct ip_net v6 = { 0 };

	answer_config(r, "{\"Network\":\"10.5.0.0/16\",\"SubnetMin\":\"10.5.2.0\","
			 "\"SubnetMax\":\"10.5.3.0\"}");
	manager_avoid(r->m, &v4, &v6);
	manager_claim(r->m, r->now, r->attributes);
	answer_list(r, (uint64_t)100, END);
	assert_subnet(waiting(r, STORE_CREATE)->lease, "10.5.3.0-24");
}

static void test_lost_races(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);

	answer_list(r, (uint64_t)100, END);
	for (unsigned i = 0; i < 4; i++) {
		const struct sent *s = waiting(r, STORE_CREATE);
		struct lease *holder;

		assert_non_null(s);
		holder = lease_copy(s->lease);
		holder->public_v4 = test_addr("192.0.2.9");
		free(holder->node_id);
		holder->node_id = xstrdup(OTHER);
		holder->born = holder->mod_revision = 101 + i;
		answer_conflict(r, STORE_CREATE, holder);
	}
	/* After a few the picture is too old: list again. */
	assert_null(waiting(r, STORE_CREATE));
	until(r, STORE_LIST, 11000);
}

/* ---- claiming ---- */

static void test_created(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, END);
	answer_written(r, STORE_CREATE, 103, 11);
	assert_int_equal(state(r), MANAGER_CLAIMING);
	assert_int_equal(r->watch_from, 101);
	put(r, theirs("10.5.2.0-24", 102, 102, 9));
	assert_int_equal(state(r), MANAGER_CLAIMING);
	put(r, mine("10.5.1.0-24", 103, 103, 11));
	assert_int_equal(state(r), MANAGER_HELD);
	/* Our own lease is at no time told as a peer's. */
	assert_int_equal(r->peers_told, 1);
	assert_true(view(r).expires_ms == 1000 + 600 * 1000);
}

/* The watch is faster than the answer. */
static void test_event_before_the_reply(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	lose(r, 110);
	put(r, mine("10.5.1.0-24", 111, 111, 12));
	assert_int_equal(state(r), MANAGER_LOST);
	answer_written(r, STORE_CREATE, 111, 12);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(r->peers_told, 1);
	assert_null(waiting(r, STORE_CREATE));
}

static void test_yields_to_older_overlap(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");
	struct sent *s;

	answer_list(r, (uint64_t)100, END);
	answer_written(r, STORE_CREATE, 103, 11);
	put(r, theirs("10.5.0.0-22", 102, 102, 9));
	put(r, mine("10.5.1.0-24", 103, 103, 11));
	assert_int_not_equal(state(r), MANAGER_HELD);
	s = take(r, STORE_REMOVE);
	assert_subnet(s->lease, "10.5.1.0-24");
	assert_int_equal(s->lease->mod_revision, 103);
	assert_int_equal(r->owns, 0);
	until(r, STORE_LIST, 11000);
	answer_list(r, (uint64_t)104, theirs("10.5.0.0-22", 102, 102, 9), END);
	assert_false(subnet_overlaps(&waiting(r, STORE_CREATE)->lease->subnet, &s->lease->subnet));
}

static void test_younger_overlap_is_no_reason_to_yield(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, END);
	answer_written(r, STORE_CREATE, 103, 11);
	put(r, mine("10.5.1.0-24", 103, 103, 11));
	put(r, theirs("10.5.0.0-22", 104, 104, 9));
	assert_int_equal(state(r), MANAGER_HELD);
	assert_null(waiting(r, STORE_REMOVE));
}

/* From IPv4 only under flannel to both families: the old key is ours, older, and overlaps. */
static void test_own_flannel_lease_is_no_older_overlap(void **unused)
{
	(void)unused;
	auto_rig r = rig_new(NULL);
	const struct sent *s;

	answer_config(r, "{\"Network\":\"10.5.0.0/16\",\"EnableIPv6\":true,"
			 "\"IPv6Network\":\"fd10::/48\"}");
	manager_claim(r->m, r->now, r->attributes);
	answer_list(r, (uint64_t)100, lease("10.5.3.0-24", "192.0.2.1", NULL, NULL, 20, 25, 3),
		    END);
	s = waiting(r, STORE_CREATE);
	assert_non_null(s);
	assert_int_equal(s->lease->subnet.v4.addr.b[2], 3);
	answer_written(r, STORE_CREATE, 101, 11);
	s = &r->sent[r->sent_len - 1];
	{
		struct lease *l = lease_copy(view(r).own);

		put(r, l);
	}
	assert_int_equal(state(r), MANAGER_HELD);
	assert_subnet(waiting(r, STORE_REMOVE)->lease, "10.5.3.0-24");
}

static void test_unknown_outcome_that_happened(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, END);
	answer_status(r, STORE_CREATE, STORE_UNKNOWN);
	until(r, STORE_LIST, 11000);
	answer_list(r, (uint64_t)101, mine("10.5.1.0-24", 101, 101, 11), END);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(count(r, STORE_CREATE), 1);
}

static void test_unknown_outcome_that_did_not_happen(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, END);
	answer_status(r, STORE_CREATE, STORE_UNKNOWN);
	until(r, STORE_LIST, 11000);
	answer_list(r, (uint64_t)101, END);
	assert_subnet(waiting(r, STORE_CREATE)->lease, "10.5.1.0-24");
}

static void test_refused_claims_are_repeated_with_delay(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, END);
	for (unsigned i = 0; i < 40; i++) {
		answer_status(r, STORE_CREATE, STORE_DENIED);
		until(r, STORE_LIST, 11000);
		answer_list(r, (uint64_t)100, END);
	}
	assert_int_equal(r->notes, 1);
	/* Backed off up to 10 s: 40 tries at full jitter take minutes. */
	assert_true(r->now > 60000);
	assert_contains(view(r).reason, "denied");
}

/* The watch brings nothing: the list that is asked for after a while verifies. */
static void test_verified_by_list_when_the_event_is_lost(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, END);
	answer_written(r, STORE_CREATE, 101, 11);
	until(r, STORE_LIST, 3000);
	answer_list(r, (uint64_t)105, mine("10.5.1.0-24", 101, 101, 11), END);
	assert_int_equal(state(r), MANAGER_HELD);
}

static void test_created_and_deleted_before_it_was_seen(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, END);
	answer_written(r, STORE_CREATE, 101, 11);
	until(r, STORE_LIST, 3000);
	answer_list(r, (uint64_t)105, END);
	assert_int_not_equal(state(r), MANAGER_HELD);
	until(r, STORE_LIST, 11000);
	answer_list(r, (uint64_t)105, END);
	assert_non_null(waiting(r, STORE_CREATE));
}

static void test_resync_before_verified(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, END);
	answer_written(r, STORE_CREATE, 101, 11);
	event(r, STORE_EVENT_RESYNC, 0, NULL);
	assert_int_equal(r->watch_from, 0);
	answer_list(r, (uint64_t)300, mine("10.5.1.0-24", 101, 101, 11), END);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(r->watch_from, 301);
	assert_int_equal(count(r, STORE_CREATE), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_missing_invalid_then_good),
		cmocka_unit_test(test_config_rejected),
		cmocka_unit_test(test_config_read_with_the_list),
		cmocka_unit_test(test_reuse_by_node_id),
		cmocka_unit_test(test_adopt_flannels),
		cmocka_unit_test(test_adopt_reservation),
		cmocka_unit_test(test_adopt_unbound),
		cmocka_unit_test(test_adopt_reservation_by_name),
		cmocka_unit_test(test_a_name_alone_is_no_lease),
		cmocka_unit_test(test_previous_subnet),
		cmocka_unit_test(test_previous_subnet_taken),
		cmocka_unit_test(test_previous_subnet_of_another_network),
		cmocka_unit_test(test_out_of_subnets),
		cmocka_unit_test(test_a_subnet_comes_free),
		cmocka_unit_test(test_a_subnet_of_flannel_comes_free),
		cmocka_unit_test(test_the_segment_of_the_underlay_is_avoided),
		cmocka_unit_test(test_lost_races),
		cmocka_unit_test(test_created),
		cmocka_unit_test(test_event_before_the_reply),
		cmocka_unit_test(test_yields_to_older_overlap),
		cmocka_unit_test(test_younger_overlap_is_no_reason_to_yield),
		cmocka_unit_test(test_own_flannel_lease_is_no_older_overlap),
		cmocka_unit_test(test_unknown_outcome_that_happened),
		cmocka_unit_test(test_unknown_outcome_that_did_not_happen),
		cmocka_unit_test(test_refused_claims_are_repeated_with_delay),
		cmocka_unit_test(test_verified_by_list_when_the_event_is_lost),
		cmocka_unit_test(test_created_and_deleted_before_it_was_seen),
		cmocka_unit_test(test_resync_before_verified),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
