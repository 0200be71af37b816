/* SPDX-License-Identifier: Apache-2.0 */
/* subnet/manager: keys that cannot be read, copies of this host, and what was known last. */
#include "tests/unit/manager_rig.h"

/* ---- junk and twins ---- */

static void junk(struct rig *r, const char *key, const char *reason, uint64_t revision)
{
	struct store_event e = {
		.type = STORE_EVENT_JUNK, .key = key, .reason = reason, .revision = revision
	};

	manager_event(r->m, r->now, &e);
}

static void answer_list_with_junk(struct rig *r, uint64_t revision, size_t len)
{
	struct store_reply reply = { .revision = revision };

	reply.leases = xmalloc(sizeof(*reply.leases));
	reply.leases[0] = mine("10.5.1.0-24", 101, 101, 11);
	reply.leases_len = 1;
	reply.junk = xcalloc(len, sizeof(*reply.junk));
	reply.junk_len = len;
	for (size_t i = 0; i < len; i++)
		reply.junk[i] = (struct store_junk){ xasprintf("junk-%zu", i), xstrdup("bad") };
	answer(r, take(r, STORE_LIST), &reply);
}

static void test_junk(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	junk(r, "one", "no subnet", 110);
	junk(r, "one", "no subnet at all", 111);
	assert_int_equal(view(r).junk_len, 1);
	junk(r, "one", NULL, 112);
	assert_int_equal(view(r).junk_len, 0);
	assert_int_equal(r->notes, 1);
	until(r, STORE_LIST, 400000);
	answer_list_with_junk(r, 120, 5000);
	assert_int_equal(view(r).junk_len, 5000);
	assert_int_equal(HASH_COUNT(view(r).junk), MANAGER_JUNK_MAX);
	/* The same again is no news. */
	forget_notes(r);
	until(r, STORE_LIST, 400000);
	answer_list_with_junk(r, 121, 5000);
	assert_int_equal(r->notes, 0);
	until(r, STORE_LIST, 400000);
	answer_list_with_junk(r, 122, 3);
	assert_int_equal(view(r).junk_len, 3);
	assert_int_equal(HASH_COUNT(view(r).junk), 3);
}

/* Two others with one address: said a moment later, with both subnets, until one of them is gone. */
static void test_two_others_with_one_address(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	put(r, lease("10.5.7.0-24", "192.0.2.8", OTHER, "other", 110, 110, 8));
	put(r, lease("10.5.6.0-24", "192.0.2.8", "third", "three", 111, 111, 9));
	assert_int_equal(view(r).shared, 0);
	tick(r, 1000);
	assert_int_equal(view(r).shared, 1);
	assert_contains(view(r).shared_text, "10.5.6.0/24, the lease of three, and 10.5.7.0/24");
	assert_contains(view(r).shared_text, "192.0.2.8");
	assert_true(manager_deadline(r->m) > r->now + 1000);
	put(r, lease("10.5.6.0-24", "192.0.2.10", "third", "three", 111, 112, 9));
	tick(r, 1000);
	assert_int_equal(view(r).shared, 0);
}

/* Not what one host has left over, nor what is kept for one, nor what two publish none of. */
static void test_who_has_one_address_rightly(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	put(r, lease("10.5.7.0-24", "192.0.2.8", OTHER, "other", 110, 110, 8));
	put(r, lease("10.5.6.0-24", "192.0.2.8", OTHER, "other", 111, 111, 9));
	put(r, lease("10.5.5.0-24", "192.0.2.8", NULL, "other", 112, 112, 0));
	put(r, lease("10.5.4.0-24", NULL, "a", "a", 113, 113, 10));
	put(r, lease("10.5.3.0-24", NULL, "b", "b", 114, 114, 11));
	tick(r, 1000);
	assert_int_equal(view(r).shared, 0);
	/* A host that lost its lease a moment ago and has another one now. */
	put(r, lease("10.5.2.0-24", "192.0.2.7", "c", "c", 115, 115, 12));
	deleted(r, "10.5.2.0-24", 116);
	put(r, lease("10.5.9.0-24", "192.0.2.7", "d", "c", 117, 117, 13));
	tick(r, 1000);
	assert_int_equal(view(r).shared, 0);
}

static void test_leftovers_of_own(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");
	const struct sent *s;

	answer_list(r, (uint64_t)100, mine("10.5.1.0-24", 50, 50, 5),
		    mine("10.5.2.0-24", 40, 40, 4), mine("10.5.3.0-24", 41, 41, 0),
		    theirs("10.5.4.0-24", 42, 42, 6),
		    /* our id, but neither our address nor our name: a copied disk image */
		    lease("10.5.5.0-24", "192.0.2.8", ME, "copy", 43, 43, 7), END);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_subnet(view(r).own, "10.5.1.0-24");
	s = take(r, STORE_REMOVE);
	assert_subnet(s->lease, "10.5.2.0-24");
	assert_int_equal(s->lease->mod_revision, 40);
	assert_null(waiting(r, STORE_REMOVE));
	assert_int_equal(view(r).twins, 1);
	/* A create of which we had given up hope happens after all. */
	put(r, mine("10.5.6.0-24", 110, 110, 8));
	assert_subnet(take(r, STORE_REMOVE)->lease, "10.5.6.0-24");
}

static void test_address_twice(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	char text[MANAGER_REASON_SIZE];

	put(r, lease("10.5.6.0-24", "192.0.2.1", OTHER, "other", 110, 110, 8));
	assert_int_equal(view(r).twins, 1);
	assert_string_equal(manager_describe_twin(r->m, text), "public-address-twice");
	assert_contains(text, "10.5.6.0/24, the lease of other, publishes the same address "
			      "192.0.2.1");
	/* Another one is told of as well; when the first is gone the second is what is shown. */
	put(r, lease("10.5.16.0-24", "192.0.2.8", ME, "copy", 110, 110, 9));
	assert_int_equal(view(r).twins, 2);
	put(r, lease("10.5.6.0-24", "192.0.2.6", OTHER, "other", 110, 111, 8));
	assert_string_equal(manager_describe_twin(r->m, text), "node-id-twice");
	deleted(r, "10.5.16.0-24", 112);
	tick(r, CLAIM_AGAIN_MS);
	assert_int_equal(view(r).twins, 0);
	put(r, lease("10.5.6.0-24", "192.0.2.1", OTHER, "other", 110, 113, 8));
	put(r, lease("10.5.6.0-24", "192.0.2.1", OTHER, "other", 110, 114, 8));
	assert_int_equal(view(r).twins, 1);
	assert_null(waiting(r, STORE_REMOVE));
	assert_null(waiting(r, STORE_UPDATE));
	deleted(r, "10.5.6.0-24", 115);
	tick(r, CLAIM_AGAIN_MS);
	assert_int_equal(view(r).twins, 0);
	assert_null(manager_describe_twin(r->m, text));
	assert_int_equal(state(r), MANAGER_HELD);
}

/* Our id with another address and another name is another host's: take a subnet of our own. */
static void test_copied_disk_image(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);

	answer_list(r, (uint64_t)100, lease("10.5.5.0-24", "192.0.2.8", ME, "original", 43, 43, 7),
		    END);
	assert_null(waiting(r, STORE_UPDATE));
	answer_written(r, STORE_CREATE, 101, 11);
	event(r, STORE_EVENT_LIVE, 101, NULL);
	put(r, written(&r->sent[r->sent_len - 1], 101, 11));
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(view(r).twins, 1);
}

/* The copy has all of the original, its name too. The original writes its lease again. */
static void test_copied_disk_image_of_a_live_host(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);
	char text[MANAGER_REASON_SIZE];
	struct lease *marked;

	answer_list(r, (uint64_t)100, lease("10.5.5.0-24", "192.0.2.8", ME, "me", 43, 43, 7), END);
	marked = asked(r, 101);
	until(r, STORE_LIST, 2100);
	free(STEAL(marked->claim));
	marked->mod_revision = 102;
	answer_list(r, (uint64_t)102, marked, END);
	assert_string_equal(manager_describe_twin(r->m, text), "node-id-twice");
	assert_null(waiting(r, STORE_UPDATE));
	assert_int_not_equal(waiting(r, STORE_CREATE)->lease->subnet.v4.addr.b[2], 5);
	answer_status(r, STORE_CREATE, STORE_UNAVAILABLE);
	/* Nor is it asked again. */
	until(r, STORE_LIST, 11000);
	answer_list(r, (uint64_t)103, lease("10.5.5.0-24", "192.0.2.8", ME, "me", 43, 103, 7), END);
	assert_null(waiting(r, STORE_UPDATE));
	assert_non_null(waiting(r, STORE_CREATE));
}

/* Whoever could not be heard could not answer: the question is put again. */
static void test_store_away_while_the_host_is_asked(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);
	struct lease *marked;

	answer_list(r, (uint64_t)100, lease("10.5.5.0-24", "192.0.2.8", ME, "me", 43, 43, 7), END);
	marked = asked(r, 101);
	until(r, STORE_LIST, 2100);
	answer_status(r, STORE_LIST, STORE_UNAVAILABLE);
	until(r, STORE_LIST, 11000);
	answer_list(r, (uint64_t)101, marked, END);
	nobody_answers(r, 102);
	answer_written(r, STORE_UPDATE, 103, 0);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
}

/* The other side of it: we are asked, and live. */
static void test_asked_by_a_copy(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	struct lease *marked = mine("10.5.1.0-24", 101, 120, 11);

	marked->claim = xstrdup("192.0.2.8");
	put(r, marked);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_true(noted(r, "node-id-twice"));
	assert_false(noted(r, "lease-overwritten"));
	assert_null(waiting(r, STORE_UPDATE)->lease->claim);
	answer_written(r, STORE_UPDATE, 121, 0);
	assert_int_equal(state(r), MANAGER_HELD);
	/* However often. */
	for (unsigned i = 0; i < 10; i++) {
		marked = mine("10.5.1.0-24", 101, 130 + 2 * i, 11);
		marked->claim = xstrdup("192.0.2.8");
		put(r, marked);
		answer_written(r, STORE_UPDATE, 131 + 2 * i, 0);
	}
	assert_int_equal(state(r), MANAGER_HELD);
	/* The copy has a subnet of its own, and a name like ours. */
	put(r, lease("10.5.8.0-24", "192.0.2.8", ME, "me", 160, 160, 12));
	assert_int_equal(view(r).twins, 1);
}

/* Its lease is of no use under our configuration: it is not overlapped all the same. */
static void test_copy_keeps_away_from_the_original(void **unused)
{
	(void)unused;
	auto_rig r = rig_new(NULL);
	struct subnet original;

	assert_int_equal(subnet_key_parse("10.5.4.0-24", &original, NULL), 0);
	answer_config(r, "{\"Network\":\"10.5.0.0/20\",\"SubnetLen\":22}");
	manager_claim(r->m, r->now, r->attributes);
	for (unsigned i = 0; i < 30; i++) {
		answer_list(r, (uint64_t)100,
			    lease("10.5.4.0-24", "192.0.2.8", ME, "me", 43, 43, 7), END);
		assert_false(subnet_overlaps(&waiting(r, STORE_CREATE)->lease->subnet, &original));
		answer_status(r, STORE_CREATE, STORE_UNAVAILABLE);
		until(r, STORE_LIST, 11000);
	}
}

/* With the same name too there is nothing to tell them apart before the other one speaks. */
static void test_copy_that_took_over_gives_back(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);

	answer_list(r, (uint64_t)100, lease("10.5.5.0-24", "192.0.2.8", ME, "me", 43, 43, 7), END);
	nobody_answers(r, 101);
	answer_written(r, STORE_UPDATE, 102, 0);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
	put(r, lease("10.5.5.0-24", "192.0.2.8", ME, "me", 43, 103, 7));
	assert_int_equal(state(r), MANAGER_CONFLICT);
	assert_contains(view(r).reason, "node id");
	assert_null(waiting(r, STORE_UPDATE));
	/* And so it stays, however often we look. */
	for (unsigned i = 0; i < 5; i++) {
		until(r, STORE_CREATE, 50000);
		answer_conflict(r, STORE_CREATE,
				lease("10.5.5.0-24", "192.0.2.8", ME, "me", 43, 103, 7));
		assert_int_equal(state(r), MANAGER_CONFLICT);
		assert_null(waiting(r, STORE_UPDATE));
	}
}

static void test_original_takes_it_back(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	put(r, lease("10.5.1.0-24", "192.0.2.8", ME, "me", 101, 110, 11));
	assert_int_equal(state(r), MANAGER_HELD);
	answer_written(r, STORE_UPDATE, 111, 0);
	put(r, mine("10.5.1.0-24", 101, 111, 11));
	assert_int_equal(state(r), MANAGER_HELD);
	/* But no war without end. */
	for (uint64_t i = 112; state(r) == MANAGER_HELD; i += 2) {
		assert_true(i < 130);
		put(r, lease("10.5.1.0-24", "192.0.2.8", ME, "me", 101, i, 11));
		if (waiting(r, STORE_UPDATE))
			answer_written(r, STORE_UPDATE, i + 1, 0);
	}
	assert_int_equal(state(r), MANAGER_CONFLICT);
}

/* A host whose address changes while it is down keeps its subnet. */
static void test_own_address_changed(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.5.0-24");

	answer_list(r, (uint64_t)100, lease("10.5.5.0-24", "192.0.2.8", ME, "old-name", 43, 43, 7),
		    END);
	nobody_answers(r, 101);
	assert_int_equal(waiting(r, STORE_UPDATE)->lease->public_v4.b[3], 1);
	assert_null(waiting(r, STORE_UPDATE)->lease->claim);
	answer_written(r, STORE_UPDATE, 102, 0);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
}

/* The lease that is ours expires between the list and its keepalive. */
static void test_adopted_lease_is_dead(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);

	answer_list(r, (uint64_t)100, mine("10.5.4.0-24", 30, 30, 4), END);
	for (unsigned i = 0; i < 8; i++) {
		answer_keepalive(r, STORE_ABSENT);
		assert_null(waiting(r, STORE_LIST)); /* not at once, again and again */
		until(r, STORE_LIST, 11000);
		answer_list(r, (uint64_t)100, mine("10.5.4.0-24", 30, 30, 4), END);
	}
	answer_keepalive(r, STORE_UNAVAILABLE);
	until(r, STORE_KEEPALIVE, 11000);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
}

/* Containers run on the subnet of the last known state; when the store is back it is another's. */
static void test_restored_subnet_is_not_given_up(void **unused)
{
	(void)unused;
	auto_rig r = rig_new(NULL);
	struct last_known known = { .config = xstrdup(CONFIG) };

	known.own = mine("10.5.1.0-24", 50, 50, 5);
	manager_set_last_known(r->m, &known, INT64_MAX);
	answer_status(r, STORE_CONFIG, STORE_UNAVAILABLE);
	assert_int_equal(r->configs, 1);
	manager_claim(r->m, r->now, r->attributes);
	assert_int_equal(r->owns, 1);
	assert_true(view(r).stale);
	until(r, STORE_LIST, 11000);
	answer_list(r, (uint64_t)100, theirs("10.5.1.0-24", 90, 90, 9), END);
	assert_false(view(r).stale);
	assert_subnet(waiting(r, STORE_CREATE)->lease, "10.5.1.0-24");
	answer_conflict(r, STORE_CREATE, theirs("10.5.1.0-24", 90, 90, 9));
	assert_int_equal(state(r), MANAGER_CONFLICT);
	assert_int_equal(r->watch_from, 101);
	deleted(r, "10.5.1.0-24", 101);
	until(r, STORE_CREATE, 100);
	answer_written(r, STORE_CREATE, 102, 11);
	put(r, mine("10.5.1.0-24", 102, 102, 11));
	assert_int_equal(state(r), MANAGER_HELD);
}

static void test_restored_subnet_is_still_ours(void **unused)
{
	(void)unused;
	auto_rig r = rig_new(NULL);
	struct last_known known = { .config = xstrdup(CONFIG) };

	known.own = mine("10.5.1.0-24", 50, 50, 5);
	manager_set_last_known(r->m, &known, INT64_MAX);
	answer_status(r, STORE_CONFIG, STORE_UNAVAILABLE);
	manager_claim(r->m, r->now, r->attributes);
	answer_list(r, (uint64_t)100, mine("10.5.1.0-24", 50, 50, 5), END);
	answer_conflict(r, STORE_CREATE, mine("10.5.1.0-24", 50, 50, 5));
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
}

/* The store was wiped while we were down, and our address is another now. */
static void test_restored_from_a_store_that_is_no_more(void **unused)
{
	(void)unused;
	auto_rig r = rig_new(NULL);
	struct last_known known = { .config = xstrdup(CONFIG) };

	known.own = lease("10.5.1.0-24", "192.0.2.8", ME, "me", 50, 50, 5);
	manager_set_last_known(r->m, &known, INT64_MAX);
	answer_status(r, STORE_CONFIG, STORE_UNAVAILABLE);
	manager_claim(r->m, r->now, r->attributes);
	answer_list(r, (uint64_t)20, theirs("10.5.7.0-24", 10, 10, 9),
		    lease("10.5.1.0-24", "192.0.2.8", ME, "me", 15, 15, 5), END);
	assert_int_equal(view(r).members_len, 2);
	answer_conflict(r, STORE_CREATE, lease("10.5.1.0-24", "192.0.2.8", ME, "me", 15, 15, 5));
	answer_written(r, STORE_UPDATE, 21, 0);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
}

/* All was without power; etcd came back later than we, and from a snapshot of before we moved. */
static void test_restored_and_the_store_too(void **unused)
{
	(void)unused;
	auto_rig r = rig_new(NULL);
	struct last_known known = { .config = xstrdup(CONFIG), .revision = 120 };

	known.own = mine("10.5.1.0-24", 50, 110, 5);
	known.peers = xmalloc(sizeof(*known.peers));
	known.peers[known.peers_len++] = lease("10.5.8.0-24", "192.0.2.7", NULL, NULL, 60, 60, 6);
	manager_set_last_known(r->m, &known, INT64_MAX);
	answer_status(r, STORE_CONFIG, STORE_UNAVAILABLE);
	manager_claim(r->m, r->now, r->attributes);
	answer_list(r, (uint64_t)117, lease("10.5.1.0-24", "192.0.2.8", ME, "me", 50, 50, 5), END);
	/* Its host will be heard of soon, whatever runs there. */
	assert_int_equal(view(r).kept, 1);
	answer_conflict(r, STORE_CREATE, lease("10.5.1.0-24", "192.0.2.8", ME, "me", 50, 50, 5));
	answer_written(r, STORE_UPDATE, 118, 0);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
}

static void test_config_that_changes_all_the_time(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	size_t before = count(r, STORE_CONFIG);

	for (unsigned i = 0; i < 1000; i++) {
		event(r, STORE_EVENT_CONFIG, 110 + i, NULL);
		tick(r, 10);
		if (waiting(r, STORE_CONFIG))
			answer_config(r, CONFIG);
	}
	assert_in_range(count(r, STORE_CONFIG) - before, 5, 40);
}

static void test_nothing_to_do_when_idle(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	size_t before = r->sent_len;

	/* An hour: 18 keepalives, 10 to 15 lists with as many reads of the configuration. */
	for (unsigned i = 0; i < 3600 * 10; i++) {
		tick(r, 100);
		if (waiting(r, STORE_KEEPALIVE))
			answer_keepalive(r, STORE_OK);
		if (waiting(r, STORE_CONFIG))
			answer_config(r, CONFIG);
		if (waiting(r, STORE_LIST))
			answer_list(r, (uint64_t)101, mine("10.5.1.0-24", 101, 101, 11),
				    theirs("10.5.9.0-24", 50, 50, 9), END);
	}
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(r->notes, 0);
	assert_in_range(r->sent_len - before, 17 + 20, 18 + 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_junk),
		cmocka_unit_test(test_two_others_with_one_address),
		cmocka_unit_test(test_who_has_one_address_rightly),
		cmocka_unit_test(test_leftovers_of_own),
		cmocka_unit_test(test_address_twice),
		cmocka_unit_test(test_copied_disk_image),
		cmocka_unit_test(test_copied_disk_image_of_a_live_host),
		cmocka_unit_test(test_store_away_while_the_host_is_asked),
		cmocka_unit_test(test_asked_by_a_copy),
		cmocka_unit_test(test_copy_keeps_away_from_the_original),
		cmocka_unit_test(test_copy_that_took_over_gives_back),
		cmocka_unit_test(test_original_takes_it_back),
		cmocka_unit_test(test_own_address_changed),
		cmocka_unit_test(test_adopted_lease_is_dead),
		cmocka_unit_test(test_restored_subnet_is_not_given_up),
		cmocka_unit_test(test_restored_subnet_is_still_ours),
		cmocka_unit_test(test_restored_from_a_store_that_is_no_more),
		cmocka_unit_test(test_restored_and_the_store_too),
		cmocka_unit_test(test_config_that_changes_all_the_time),
		cmocka_unit_test(test_nothing_to_do_when_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
