/* SPDX-License-Identifier: Apache-2.0 */
/* subnet/manager: the lease once it is held: kept, lost, taken, published anew. */
#include "tests/unit/manager_rig.h"

/* ---- holding ---- */

static void test_renewal(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	until(r, STORE_KEEPALIVE, 201000);
	assert_true(r->now >= 1000 + 200 * 1000);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(view(r).renewals_ok, 2);
	assert_true(view(r).expires_ms == r->now + 600 * 1000);
	until(r, STORE_KEEPALIVE, 201000);
	answer_keepalive(r, STORE_UNAVAILABLE);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_contains(view(r).reason, "unavailable");
	assert_int_equal(view(r).renewals_failed, 1);
	until(r, STORE_KEEPALIVE, 11000);
	answer_keepalive(r, STORE_OK);
	assert_string_equal(view(r).reason, "");
	assert_true(noted(r, "lease-renewed"));
}

static void test_renewal_on_demand(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	tick(r, 1000);
	assert_true(manager_renew(r->m, r->now));
	/* One is under way already. */
	assert_true(manager_renew(r->m, r->now));
	answer_keepalive(r, STORE_OK);
	assert_null(waiting(r, STORE_KEEPALIVE));
	assert_true(view(r).expires_ms == r->now + 600 * 1000);
	until(r, STORE_KEEPALIVE, 201000);
	answer_keepalive(r, STORE_ABSENT);
	assert_int_equal(state(r), MANAGER_LOST);
	assert_false(manager_renew(r->m, r->now));
}

/* It expired at the store, which cannot be reached to say so. */
static void test_runs_out_while_the_store_is_away(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	while (r->now < 1000 + 599 * 1000) {
		tick(r, 100);
		for (struct sent *s; (s = waiting(r, STORE_KEEPALIVE)) ||
				     (s = waiting(r, STORE_LIST)) ||
				     (s = waiting(r, STORE_CONFIG));)
			answer_status(r, s->op, STORE_UNAVAILABLE);
	}
	assert_int_equal(state(r), MANAGER_HELD);
	assert_true(manager_deadline(r->m) <= 1000 + 600 * 1000);
	tick(r, 1100);
	assert_int_equal(state(r), MANAGER_LOST);
	until(r, STORE_CREATE, 1000);
	assert_subnet(waiting(r, STORE_CREATE)->lease, "10.5.1.0-24");
	/* It lives after all: a new leader prolongs all leases. */
	answer_conflict(r, STORE_CREATE, mine("10.5.1.0-24", 101, 101, 11));
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(r->peers_gone, 0);
}

static void test_deleted_and_claimed_again(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	lose(r, 110);
	answer_written(r, STORE_CREATE, 111, 12);
	assert_int_equal(state(r), MANAGER_LOST);
	put(r, mine("10.5.1.0-24", 111, 111, 12));
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(view(r).lost_total, 1);
	assert_int_equal(r->peers_gone, 0);
	assert_int_equal(r->owns, 2);
}

static void test_expired_says_the_keepalive(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	until(r, STORE_KEEPALIVE, 201000);
	answer_keepalive(r, STORE_ABSENT);
	assert_int_equal(state(r), MANAGER_LOST);
	until(r, STORE_CREATE, 1000);
	answer_written(r, STORE_CREATE, 111, 12);
	/* The delete of the old key comes after that, then our own. */
	deleted(r, "10.5.1.0-24", 110);
	assert_int_equal(state(r), MANAGER_LOST);
	put(r, mine("10.5.1.0-24", 111, 111, 12));
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(view(r).lost_total, 1);
}

/* A keepalive of the lost lease is answered when there is a new one. */
static void test_late_keepalive_reply(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	struct store_reply reply = { .status = STORE_ABSENT };
	struct sent *late;

	until(r, STORE_KEEPALIVE, 201000);
	late = take(r, STORE_KEEPALIVE);
	lose(r, 110);
	answer_written(r, STORE_CREATE, 111, 12);
	put(r, mine("10.5.1.0-24", 111, 111, 12));
	answer(r, late, &reply);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(view(r).lost_total, 1);
	until(r, STORE_KEEPALIVE, 201000);
	assert_int_equal(waiting(r, STORE_KEEPALIVE)->lease->id, 12);
}

/* The create of a lost lease happened, its answer was lost. The next finds our own key there. */
static void test_lost_then_unknown_create(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	lose(r, 110);
	answer_status(r, STORE_CREATE, STORE_UNKNOWN);
	until(r, STORE_CREATE, 11000);
	answer_conflict(r, STORE_CREATE, mine("10.5.1.0-24", 111, 111, 12));
	assert_null(waiting(r, STORE_CREATE));
	assert_int_equal(waiting(r, STORE_KEEPALIVE)->lease->id, 12);
	answer_keepalive(r, STORE_OK);
	/* Adopted, and still the picture has to be whole up to it. */
	assert_int_equal(state(r), MANAGER_LOST);
	put(r, mine("10.5.1.0-24", 111, 111, 12));
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(count(r, STORE_CREATE), 3);
}

static void test_another_host_took_it(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	lose(r, 110);
	answer_conflict(r, STORE_CREATE, theirs("10.5.1.0-24", 111, 111, 12));
	assert_int_equal(state(r), MANAGER_CONFLICT);
	assert_contains(view(r).reason, "10.5.1.0/24 is held by another host: other");
	assert_subnet(view(r).own, "10.5.1.0-24");
	assert_int_equal(r->peers_gone, 0);
	forget_notes(r);
	/* Asked again now and then, always for the same. */
	for (unsigned i = 0; i < 5; i++) {
		until(r, STORE_CREATE, 50000);
		assert_subnet(waiting(r, STORE_CREATE)->lease, "10.5.1.0-24");
		answer_conflict(r, STORE_CREATE, theirs("10.5.1.0-24", 111, 111, 12));
	}
	/* The other's lease goes away. */
	deleted(r, "10.5.1.0-24", 120);
	until(r, STORE_CREATE, 100);
	answer_written(r, STORE_CREATE, 121, 13);
	put(r, mine("10.5.1.0-24", 121, 121, 13));
	assert_int_equal(state(r), MANAGER_HELD);
}

/* We slept; our lease expired and a flannel host claimed the subnet. Its value has no node id. */
static void test_flannel_took_it(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	put(r, lease("10.5.1.0-24", "192.0.2.9", NULL, NULL, 111, 111, 12));
	assert_int_equal(state(r), MANAGER_CONFLICT);
	assert_null(waiting(r, STORE_UPDATE));
}

static void test_another_host_wrote_over_it(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	put(r, theirs("10.5.1.0-24", 101, 111, 12));
	assert_int_equal(state(r), MANAGER_CONFLICT);
	assert_null(waiting(r, STORE_UPDATE));
	/* Somebody puts it right. */
	put(r, mine("10.5.1.0-24", 101, 112, 12));
	until(r, STORE_CREATE, 1100);
	answer_conflict(r, STORE_CREATE, mine("10.5.1.0-24", 101, 112, 12));
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
}

static void test_overwritten_values(void **unused)
{
	(void)unused;
	struct lease *l;

	for (unsigned i = 0; i < 3; i++) {
		auto_rig r = holding();

		l = mine("10.5.1.0-24", 101, 111, 11);
		if (i == 0) {
			free(STEAL(l->backend_type));
		} else if (i == 1) {
			l->problem = xstrdup("no JSON");
			l->public_v4 = (struct ip_addr){ 0 };
		} else {
			/* flannel on this very host */
			free(STEAL(l->node_id));
			free(STEAL(l->node_name));
		}
		put(r, l);
		assert_int_equal(state(r), MANAGER_HELD);
		assert_true(noted(r, "lease-overwritten"));
		assert_int_equal(waiting(r, STORE_UPDATE)->lease->mod_revision, 111);
		assert_int_equal(waiting(r, STORE_UPDATE)->lease->id, 11);
		answer_written(r, STORE_UPDATE, 112, 0);
		put(r, mine("10.5.1.0-24", 101, 112, 11));
		assert_null(waiting(r, STORE_UPDATE));
	}
}

/* Written over again while our update was on its way. */
static void test_overwritten_twice(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	struct lease *l = mine("10.5.1.0-24", 101, 111, 11);

	l->problem = xstrdup("no JSON");
	put(r, l);
	l = mine("10.5.1.0-24", 101, 112, 11);
	l->problem = xstrdup("still no JSON");
	put(r, l);
	l = mine("10.5.1.0-24", 101, 112, 11);
	l->problem = xstrdup("still no JSON");
	answer_conflict(r, STORE_UPDATE, l);
	until(r, STORE_LIST, 11000);
	l = mine("10.5.1.0-24", 101, 112, 11);
	l->problem = xstrdup("still no JSON");
	answer_list(r, (uint64_t)112, l, END);
	until(r, STORE_UPDATE, 1100);
	assert_int_equal(waiting(r, STORE_UPDATE)->lease->mod_revision, 112);
	answer_written(r, STORE_UPDATE, 113, 0);
	assert_int_equal(state(r), MANAGER_HELD);
}

/* An update that the store refuses is repeated, but not at once and not for ever without a word. */
static void test_update_refused(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	struct lease *l = mine("10.5.1.0-24", 101, 111, 11);

	l->problem = xstrdup("no JSON");
	put(r, l);
	for (unsigned i = 0; i < 20; i++) {
		size_t before = r->sent_len;

		answer_status(r, STORE_UPDATE, STORE_DENIED);
		assert_int_equal(r->sent_len, before);
		assert_contains(view(r).reason, "denied");
		until(r, STORE_LIST, 11000);
		l = mine("10.5.1.0-24", 101, 111, 11);
		l->problem = xstrdup("no JSON");
		answer_list(r, (uint64_t)111, l, END);
	}
	answer_written(r, STORE_UPDATE, 112, 0);
	assert_string_equal(view(r).reason, "");
}

static void test_rebound(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	put(r, mine("10.5.1.0-24", 101, 111, 77));
	assert_true(noted(r, "lease-rebound"));
	assert_int_equal(waiting(r, STORE_KEEPALIVE)->lease->id, 77);
	answer_keepalive(r, STORE_OK);
	assert_true(view(r).expires_ms > 0);
}

/* A person wrote our value again and forgot the lease of the store: it would never end. */
static void test_unbound(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	put(r, mine("10.5.1.0-24", 101, 111, 0));
	assert_true(noted(r, "lease-rebound"));
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(waiting(r, STORE_BIND)->lease->mod_revision, 111);
	answer_written(r, STORE_BIND, 112, 77);
	assert_int_equal(waiting(r, STORE_KEEPALIVE)->lease->id, 77);
	answer_keepalive(r, STORE_OK);
	assert_true(view(r).expires_ms > 0);
	put(r, mine("10.5.1.0-24", 101, 112, 77));
	assert_int_equal(count(r, STORE_BIND), 1);
	/* Again and again: he is answered ever less eagerly. */
	put(r, mine("10.5.1.0-24", 101, 113, 0));
	assert_null(waiting(r, STORE_BIND));
	until(r, STORE_BIND, 1500);
}

/* What is kept for us as a person wrote it: by address, by the mark that we left when we took it over. */
static void test_made_a_reservation(void **unused)
{
	(void)unused;
	struct lease *marked = mine("10.5.1.0-24", 101, 111, 0);

	marked->reserved = true;
	for (int i = 0; i < 2; i++) {
		auto_rig r = holding();

		put(r,
		    i ? lease("10.5.1.0-24", "192.0.2.1", NULL, NULL, 101, 111, 0) : STEAL(marked));
		if (i) {
			assert_true(waiting(r, STORE_UPDATE)->lease->reserved);
			answer_written(r, STORE_UPDATE, 112, 0);
		}
		assert_int_equal(state(r), MANAGER_HELD);
		assert_int_equal(view(r).expires_ms, 0);
		tick(r, 3600 * 1000);
		assert_int_equal(state(r), MANAGER_HELD);
		assert_int_equal(count(r, STORE_BIND), 0);
		assert_null(waiting(r, STORE_KEEPALIVE));
	}
}

/* Rebound while a keepalive of the old binding is on its way, which then says "gone". */
static void test_rebound_during_keepalive(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	struct store_reply reply = { .status = STORE_ABSENT };
	struct sent *late;

	until(r, STORE_KEEPALIVE, 201000);
	late = take(r, STORE_KEEPALIVE);
	put(r, mine("10.5.1.0-24", 101, 111, 77));
	answer(r, late, &reply);
	assert_int_equal(state(r), MANAGER_HELD);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
}

static void test_overlap_keeps_a_lost_lease_away(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	deleted(r, "10.5.1.0-24", 110);
	put(r, theirs("10.5.0.0-22", 111, 111, 12));
	tick(r, 2000);
	assert_null(waiting(r, STORE_CREATE));
	assert_int_equal(state(r), MANAGER_CONFLICT);
	assert_contains(view(r).reason, "10.5.0.0/22");
	deleted(r, "10.5.0.0-22", 112);
	until(r, STORE_CREATE, 100);
}

/* The overlap comes to light only after the second create: give it back, take no other subnet. */
static void test_second_claim_yields_to_conflict(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	lose(r, 110);
	answer_written(r, STORE_CREATE, 112, 12);
	put(r, theirs("10.5.0.0-22", 111, 111, 12));
	put(r, mine("10.5.1.0-24", 112, 112, 12));
	assert_int_equal(state(r), MANAGER_CONFLICT);
	assert_subnet(take(r, STORE_REMOVE)->lease, "10.5.1.0-24");
	assert_subnet(view(r).own, "10.5.1.0-24");
	tick(r, 60000);
	assert_null(waiting(r, STORE_CREATE));
	assert_int_equal(state(r), MANAGER_CONFLICT);
}

/* ---- publishing ---- */

static void publish(struct rig *r, const char *backend_data)
{
	free(r->attributes->backend_data);
	r->attributes->backend_data = xstrdup(backend_data);
	manager_publish(r->m, r->now, r->attributes);
}

static void test_publish(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	struct lease *l;

	publish(r, "{\"VNI\":2}");
	assert_string_equal(waiting(r, STORE_UPDATE)->lease->backend_data, "{\"VNI\":2}");
	answer_written(r, STORE_UPDATE, 111, 0);
	assert_int_equal(view(r).renewals_ok, 1);
	assert_int_equal(r->owns, 1);
	l = lease_copy(view(r).own);
	put(r, l);
	assert_false(noted(r, "lease-overwritten"));
	assert_null(waiting(r, STORE_UPDATE));
	publish(r, "{\"VNI\":2}");
	assert_null(waiting(r, STORE_UPDATE));
}

static void test_publish_that_failed(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	publish(r, "{\"VNI\":2}");
	answer_status(r, STORE_UPDATE, STORE_UNAVAILABLE);
	until(r, STORE_LIST, 11000);
	answer_list(r, (uint64_t)101, mine("10.5.1.0-24", 101, 101, 11), END);
	assert_string_equal(waiting(r, STORE_UPDATE)->lease->backend_data, "{\"VNI\":2}");
	/* Changed once more while that is on its way. */
	publish(r, "{\"VNI\":3}");
	answer_written(r, STORE_UPDATE, 111, 0);
	put(r, lease_copy(view(r).own));
	until(r, STORE_UPDATE, 1100);
	assert_string_equal(waiting(r, STORE_UPDATE)->lease->backend_data, "{\"VNI\":3}");
}

static void test_publish_before_held(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, END);
	publish(r, "{\"VNI\":2}");
	answer_written(r, STORE_CREATE, 101, 11);
	put(r, mine("10.5.1.0-24", 101, 101, 11));
	assert_int_equal(state(r), MANAGER_HELD);
	assert_string_equal(waiting(r, STORE_UPDATE)->lease->backend_data, "{\"VNI\":2}");
	assert_false(noted(r, "lease-overwritten"));
}

/* Lost while an update was on its way: its answer must not be taken for the new claim's. */
static void test_lost_during_update(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	struct store_reply reply = { .status = STORE_CONFLICT };
	struct sent *late;

	publish(r, "{\"VNI\":2}");
	late = take(r, STORE_UPDATE);
	lose(r, 110);
	answer(r, late, &reply);
	answer_written(r, STORE_CREATE, 111, 12);
	put(r, lease_copy(view(r).own));
	assert_int_equal(state(r), MANAGER_HELD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_renewal),
		cmocka_unit_test(test_renewal_on_demand),
		cmocka_unit_test(test_runs_out_while_the_store_is_away),
		cmocka_unit_test(test_deleted_and_claimed_again),
		cmocka_unit_test(test_expired_says_the_keepalive),
		cmocka_unit_test(test_late_keepalive_reply),
		cmocka_unit_test(test_lost_then_unknown_create),
		cmocka_unit_test(test_another_host_took_it),
		cmocka_unit_test(test_flannel_took_it),
		cmocka_unit_test(test_another_host_wrote_over_it),
		cmocka_unit_test(test_overwritten_values),
		cmocka_unit_test(test_overwritten_twice),
		cmocka_unit_test(test_update_refused),
		cmocka_unit_test(test_rebound),
		cmocka_unit_test(test_unbound),
		cmocka_unit_test(test_made_a_reservation),
		cmocka_unit_test(test_rebound_during_keepalive),
		cmocka_unit_test(test_overlap_keeps_a_lost_lease_away),
		cmocka_unit_test(test_second_claim_yields_to_conflict),
		cmocka_unit_test(test_publish),
		cmocka_unit_test(test_publish_that_failed),
		cmocka_unit_test(test_publish_before_held),
		cmocka_unit_test(test_lost_during_update),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
