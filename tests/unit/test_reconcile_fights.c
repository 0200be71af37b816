/* SPDX-License-Identifier: Apache-2.0 */
/* reconcile: what somebody undoes again and again, and what several want. */
#include "tests/unit/reconcile_rig.h"

struct told {
	unsigned drifted;
	unsigned begun;
	unsigned over;
};

static void on_drifted(void *arg, const struct kernel_object *o UNUSED,
		       const struct reconcile_owner *owner)
{
	struct told *t = arg;

	assert_ptr_equal(owner, &owners[0]);
	t->drifted++;
}

static void on_fought(void *arg, const struct kernel_object *o UNUSED,
		      const struct reconcile_owner *owner UNUSED, const struct fight *fight,
		      bool over)
{
	struct told *t = arg;

	assert_true(fight_is_on(fight));
	t->begun += !over;
	t->over += over;
}

static const struct reconcile_listener listener = { on_drifted, on_fought };

/* The route is taken away whenever it is there; everything else stays. Looks once a `step_ms`, and
 * returns how often it was put back. */
static unsigned fight_over_route(const struct peer *p, int64_t *now_ms, int64_t until_ms,
				 int64_t step_ms)
{
	const struct kernel_object *object;
	enum kernel_verb verb;
	unsigned puts = 0;
	uint32_t entry;

	for (; *now_ms < until_ms; *now_ms += step_ms) {
		reconcile_tick(r, *now_ms);
		observe(p->objects, 2);
		while (reconcile_next(r, &verb, &object, &entry)) {
			assert_memory_equal(object, &p->objects[2], sizeof(*object));
			puts++;
		}
	}
	return puts;
}

static void test_what_is_undone_again_and_again_is_put_back_later_and_later(void **state)
{
	(void)state;
	struct peer p = peer(3, "192.0.2.3");
	struct peer other = peer(4, "192.0.2.4");
	struct told told = { 0 };
	int64_t now_ms = 1000;
	unsigned puts;

	reconcile_listen(r, &listener, &told);
	reconcile_tick(r, now_ms);
	want(&owners[0], p.objects, 3);
	drain();
	/* The first time at once. */
	observe(p.objects, 2);
	expect("replace", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	now_ms += 10;
	puts = fight_over_route(&p, &now_ms, 6000, 5);
	assert_in_range(puts, 5, 10);
	assert_int_equal(told.begun, 1);
	assert_int_equal(reconcile_counts(r)->fighting, 1);
	assert_int_equal(owners[0].unsettled, 1);
	/* Nobody else waits for that. */
	want(&owners[1], other.objects, 3);
	expect("replace", "fdb 02:00:00:00:00:04 dst 192.0.2.4 dev 7");
	expect("replace", "neighbour 10.5.4.0 lladdr 02:00:00:00:00:04 dev 7");
	expect("create", "route 10.5.4.0/24 via 10.5.4.0 dev 7 onlink proto 102");
	expect_nothing();
	want(&owners[1], NULL, 0);
	drain();
	/* A day of it is a few thousand writes. */
	puts = fight_over_route(&p, &now_ms, 86400000, 1000);
	assert_in_range(puts, 3000, 5000);
	assert_int_equal(told.begun, 1);
	assert_int_equal(told.over, 0);
	assert_int_equal(told.drifted, reconcile_counts(r)->drift[KERNEL_ROUTE]);
}

static void test_a_fight_is_over_when_it_has_stood(void **state)
{
	(void)state;
	struct peer p = peer(3, "192.0.2.3");
	struct told told = { 0 };
	int64_t now_ms = 1000;
	unsigned kinds;

	reconcile_listen(r, &listener, &told);
	reconcile_tick(r, now_ms);
	want(&owners[0], p.objects, 3);
	drain();
	fight_over_route(&p, &now_ms, 3000, 5);
	assert_int_equal(told.begun, 1);
	/* What is paused is compared and put back when its time has come. */
	now_ms = reconcile_due(r);
	kinds = reconcile_tick(r, now_ms);
	if (kinds) {
		assert_int_equal(kinds, 1u << KERNEL_ROUTE);
		expect("replace", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	}
	observe(p.objects, 3);
	assert_int_equal(told.over, 0);
	now_ms = reconcile_due(r);
	assert_int_equal(reconcile_tick(r, now_ms), 0);
	assert_int_equal(told.over, 1);
	assert_int_equal(reconcile_counts(r)->fighting, 0);
	assert_true(reconcile_due(r) == INT64_MAX);
	/* And the next time it is put back at once. */
	observe(p.objects, 2);
	expect("replace", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
}

static void test_a_fight_ends_with_who_wanted_it(void **state)
{
	(void)state;
	struct peer p = peer(3, "192.0.2.3");
	struct told told = { 0 };
	int64_t now_ms = 1000;

	reconcile_listen(r, &listener, &told);
	want(&owners[0], p.objects, 3);
	drain();
	fight_over_route(&p, &now_ms, 3000, 5);
	assert_false(notice(&p.objects[2], true));
	want(&owners[0], NULL, 0);
	assert_int_equal(told.over, 1);
	assert_int_equal(reconcile_counts(r)->fighting, 0);
	drain();
	observe_nothing();
	reconcile_tick(r, now_ms + 60000);
	assert_true(reconcile_due(r) == INT64_MAX);
	expect_nothing();
}

/* A stray is added whenever it is not there. Looks once a `step_ms`, and returns how often it was
 * removed. */
static unsigned fight_over_stray(const struct kernel_object *stray, int64_t *now_ms,
				 int64_t until_ms, int64_t step_ms)
{
	const struct kernel_object *object;
	enum kernel_verb verb;
	unsigned drops = 0;
	uint32_t entry;

	for (; *now_ms < until_ms; *now_ms += step_ms) {
		reconcile_tick(r, *now_ms);
		observe(stray, 1);
		while (reconcile_next(r, &verb, &object, &entry)) {
			assert_int_equal(verb, KERNEL_DROP);
			assert_memory_equal(object, stray, sizeof(*object));
			drops++;
		}
	}
	return drops;
}

static void test_what_is_added_again_and_again_is_removed_later_and_later(void **state)
{
	(void)state;
	struct kernel_object stray = fdb("02:00:00:00:00:66", "192.0.2.66");
	struct told told = { 0 };
	int64_t now_ms = 1000;

	reconcile_listen(r, &listener, &told);
	assert_in_range(fight_over_stray(&stray, &now_ms, 6000, 5), 5, 11);
	assert_int_equal(told.begun, 1);
	assert_int_equal(reconcile_counts(r)->fighting, 1);
	assert_true(reconcile_fight_over(r, &stray.key)->added);
	/* It waits, and to hear of it again changes nothing. */
	assert_false(notice(&stray, false));
	assert_in_range(fight_over_stray(&stray, &now_ms, 86400000, 1000), 3000, 5000);
	assert_int_equal(told.begun, 1);
	assert_int_equal(told.drifted, 0);
	/* He stops: it is removed a last time, and some time later forgotten. */
	while ((now_ms = reconcile_due(r)) != INT64_MAX) {
		if (reconcile_tick(r, now_ms)) {
			observe(&stray, 1);
			drain();
		}
		observe_nothing();
	}
	assert_int_equal(told.over, 1);
	assert_int_equal(reconcile_counts(r)->fighting, 0);
	assert_null(reconcile_fight_over(r, &stray.key));
}

/* What comes and goes with a peer is nobody's fight. */
static void test_a_peer_that_comes_and_goes_is_no_fight(void **state)
{
	(void)state;
	struct peer p = peer(3, "192.0.2.3");
	struct told told = { 0 };
	int64_t now_ms = 1000;

	reconcile_listen(r, &listener, &told);
	for (unsigned i = 0; i < 20; i++) {
		reconcile_tick(r, now_ms++);
		want(&owners[0], p.objects, 3);
		drain();
		observe(p.objects, 3);
		want(&owners[0], NULL, 0);
		if (i % 2)
			observe(p.objects, 3);
		drain();
		observe_nothing();
		expect_nothing();
	}
	assert_int_equal(told.begun, 0);
	assert_int_equal(reconcile_counts(r)->fighting, 0);
}

/* However many somebody adds, so many are remembered, and all are removed. */
static void test_strays_without_number_are_removed_and_not_remembered(void **state)
{
	(void)state;
	static struct kernel_object strays[3000];
	size_t remembered = 0;

	reconcile_tick(r, 1000);
	for (unsigned i = 0; i < ARRAY_LEN(strays); i++) {
		auto_free char *mac = xasprintf("02:00:00:00:%02x:%02x", i >> 8, i & 0xff);

		strays[i] = fdb(mac, "192.0.2.66");
	}
	for (unsigned round = 0; round < 3; round++) {
		observe(strays, ARRAY_LEN(strays));
		drain();
		observe_nothing();
	}
	for (unsigned i = 0; i < ARRAY_LEN(strays); i++)
		remembered += reconcile_fight_over(r, &strays[i].key) != NULL;
	assert_int_equal(remembered, 1024);
	reconcile_tick(r, 60000);
	for (unsigned i = 0; i < ARRAY_LEN(strays); i++)
		assert_null(reconcile_fight_over(r, &strays[i].key));
	assert_true(reconcile_due(r) == INT64_MAX);
}

/* What the kernel would not replace is dropped first, and the outcome is looked at. */
static void test_an_entry_with_what_we_never_write_is_remade(void **state)
{
	(void)state;
	struct peer p = peer(3, "192.0.2.3");
	struct peer altered = p;

	want(&owners[0], p.objects, 3);
	drain();
	assert_int_equal(reconcile_take_reread(r), 0);
	altered.objects[0].value.extra = KERNEL_EXTRA_ATTRIBUTES;
	altered.objects[0].value.gateway_family = 0;
	memset(altered.objects[0].value.gateway, 0, sizeof(altered.objects[0].value.gateway));
	assert_true(notice(&altered.objects[0], false));
	observe(altered.objects, 3);
	expect("remake", "fdb 02:00:00:00:00:03 dst 192.0.2.3 dev 7");
	expect_nothing();
	assert_int_equal(reconcile_take_reread(r), 1u << KERNEL_FDB);
	/* It was acknowledged and not done: no success is claimed. */
	observe(altered.objects, 3);
	assert_int_equal(owners[0].unsettled, 1);
}

/* ---- what several want ---- */

static void test_an_element_stays_until_nobody_holds_it(void **state)
{
	(void)state;
	struct ip_addr addr = test_addr("192.0.2.3");
	struct kernel_object element = kernel_element_addr(0, &addr);
	uint32_t entry;

	for (unsigned i = 0; i < 3; i++)
		want(&owners[i], &element, 1);
	assert_null(reconcile_holder(r, &element.key));
	assert_int_equal(reconcile_counts(r)->wanted[KERNEL_ELEMENT], 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(owners[i].unsettled, 1);
	/* A refusal is everybody's. */
	entry = expect("replace", "element 192.0.2.3");
	reconcile_refused(r, entry, -ENFILE, "full");
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(owners[i].failed, 1);
	observe_nothing();
	expect("replace", "element 192.0.2.3");
	expect_nothing();
	/* Whoever leaves first, the middle one, the first, the last. */
	want(&owners[1], NULL, 0);
	want(&owners[1], NULL, 0);
	expect_nothing();
	want(&owners[0], NULL, 0);
	expect_nothing();
	want(&owners[1], &element, 1);
	want(&owners[2], NULL, 0);
	expect_nothing();
	assert_int_equal(reconcile_counts(r)->wanted[KERNEL_ELEMENT], 1);
	want(&owners[1], NULL, 0);
	expect("drop", "element 192.0.2.3");
	expect_nothing();
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(owners[i].unsettled + owners[i].failed + owners[i].first, 0);
	assert_int_equal(reconcile_counts(r)->wanted[KERNEL_ELEMENT], 0);
}

static void test_elements_go_before_all_else_and_leave_last(void **state)
{
	(void)state;
	struct ip_addr addr = test_addr("192.0.2.3");
	struct peer p = peer(3, "192.0.2.3");
	struct kernel_object objects[] = { p.objects[2], kernel_element_addr(0, &addr) };

	want(&owners[0], objects, 2);
	/* Not while there is no table for it. */
	reconcile_hold(r, kernel_kinds_with(KERNEL_KIND_IN_TABLE));
	expect("create", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	expect_nothing();
	assert_int_equal(reconcile_pending_kinds(r), 0);
	reconcile_hold(r, 0);
	expect("replace", "element 192.0.2.3");
	want(&owners[0], NULL, 0);
	expect("drop", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	expect("drop", "element 192.0.2.3");
	expect_nothing();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_is_undone_again_and_again_is_put_back_later_and_later),
		TEST(test_a_fight_is_over_when_it_has_stood),
		TEST(test_a_fight_ends_with_who_wanted_it),
		TEST(test_what_is_added_again_and_again_is_removed_later_and_later),
		TEST(test_a_peer_that_comes_and_goes_is_no_fight),
		TEST(test_strays_without_number_are_removed_and_not_remembered),
		TEST(test_an_entry_with_what_we_never_write_is_remade),
		TEST(test_an_element_stays_until_nobody_holds_it),
		TEST(test_elements_go_before_all_else_and_leave_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
