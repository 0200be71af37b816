/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reconcile: which writes are asked for, in which order, and what is left alone.
 *
 * The cases here are single decisions; test_reconcile_model.c lets thousands of random ones loose
 * on a simulated kernel.
 */
#include "tests/unit/reconcile_rig.h"

static void test_nothing_wanted_nothing_there(void **state)
{
	(void)state;
	expect_nothing();
	observe_nothing();
	expect_nothing();
}

static void test_puts_build_from_the_ground_up(void **state)
{
	(void)state;
	struct peer p = peer(3, "192.0.2.3");
	struct kernel_object own = address("10.5.17.0/32");
	/* In an order that is wrong on purpose. */
	struct kernel_object objects[] = { p.objects[2], p.objects[1], p.objects[0] };

	want(&owners[0], objects, 3);
	want(&owners[1], &own, 1);
	expect("replace", "address 10.5.17.0/32 dev 7");
	expect("replace", "fdb 02:00:00:00:00:03 dst 192.0.2.3 dev 7");
	expect("replace", "neighbour 10.5.3.0 lladdr 02:00:00:00:00:03 dev 7");
	expect("create", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	expect_nothing();
}

static void test_drops_go_in_reverse(void **state)
{
	(void)state;
	struct peer p = peer(3, "192.0.2.3");
	struct kernel_object own = address("10.5.17.0/32");

	want(&owners[0], p.objects, 3);
	want(&owners[1], &own, 1);
	drain();
	want(&owners[1], NULL, 0);
	want(&owners[0], NULL, 0);
	expect("drop", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	expect("drop", "neighbour 10.5.3.0 lladdr 02:00:00:00:00:03 dev 7");
	expect("drop", "fdb 02:00:00:00:00:03 dst 192.0.2.3 dev 7");
	expect("drop", "address 10.5.17.0/32 dev 7");
	expect_nothing();
}

/* A host that moves to another subnet: the new way stands before the old one goes. */
static void test_make_before_break(void **state)
{
	(void)state;
	struct peer before = peer(3, "192.0.2.3");
	struct peer after = peer(4, "192.0.2.3");

	want(&owners[0], before.objects, 3);
	drain();
	want(&owners[0], after.objects, 3);
	expect("replace", "fdb 02:00:00:00:00:04 dst 192.0.2.3 dev 7");
	expect("replace", "neighbour 10.5.4.0 lladdr 02:00:00:00:00:04 dev 7");
	expect("create", "route 10.5.4.0/24 via 10.5.4.0 dev 7 onlink proto 102");
	expect("drop", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	expect("drop", "neighbour 10.5.3.0 lladdr 02:00:00:00:00:03 dev 7");
	expect("drop", "fdb 02:00:00:00:00:03 dst 192.0.2.3 dev 7");
	expect_nothing();
}

/* Only what differs is written. */
static void test_a_changed_underlay_address_is_one_write(void **state)
{
	(void)state;
	struct peer before = peer(3, "192.0.2.3");
	struct peer after = peer(3, "192.0.2.33");

	want(&owners[0], before.objects, 3);
	drain();
	want(&owners[0], before.objects, 3);
	expect_nothing();
	want(&owners[0], after.objects, 3);
	expect("replace", "fdb 02:00:00:00:00:03 dst 192.0.2.33 dev 7");
	expect_nothing();
}

static void test_latest_state_wins(void **state)
{
	(void)state;
	struct peer p[] = { peer(3, "192.0.2.1"), peer(3, "192.0.2.2"), peer(3, "192.0.2.3") };

	/* Came and went before anything was written. */
	want(&owners[0], p[0].objects, 3);
	want(&owners[0], NULL, 0);
	expect_nothing();
	/* Changed twice. */
	want(&owners[0], p[0].objects, 3);
	want(&owners[0], p[1].objects, 3);
	want(&owners[0], p[2].objects, 3);
	expect("replace", "fdb 02:00:00:00:00:03 dst 192.0.2.3 dev 7");
	drain();
	/* Went and came back. */
	want(&owners[0], NULL, 0);
	want(&owners[0], p[2].objects, 3);
	expect_nothing();
	/* Changed and changed back. */
	want(&owners[0], p[0].objects, 3);
	want(&owners[0], p[2].objects, 3);
	expect_nothing();
	/* Went, and another host took its place. */
	want(&owners[0], NULL, 0);
	want(&owners[1], p[1].objects, 3);
	expect("replace", "fdb 02:00:00:00:00:03 dst 192.0.2.2 dev 7");
	expect_nothing();
}

/* Changed and then gone between two flushes: what stands in the kernel is the first form. */
static void test_drop_names_what_the_kernel_has(void **state)
{
	(void)state;
	struct peer before = peer(3, "192.0.2.3");
	struct peer after = peer(3, "192.0.2.33");

	want(&owners[0], before.objects, 3);
	drain();
	want(&owners[0], after.objects, 3);
	want(&owners[0], NULL, 0);
	expect("drop", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	expect("drop", "neighbour 10.5.3.0 lladdr 02:00:00:00:00:03 dev 7");
	expect("drop", "fdb 02:00:00:00:00:03 dst 192.0.2.3 dev 7");
	expect_nothing();
}

static void test_start_with_everything_in_place_writes_nothing(void **state)
{
	(void)state;
	struct peer p = peer(3, "192.0.2.3");

	observe(p.objects, 3);
	assert_int_equal(reconcile_pending_kinds(r),
			 1u << KERNEL_FDB | 1u << KERNEL_NEIGHBOUR | 1u << KERNEL_ROUTE);
	want(&owners[0], p.objects, 3);
	assert_int_equal(reconcile_pending_kinds(r), 0);
	expect_nothing();
	/* In the other order too. */
	want(&owners[1], peer(4, "192.0.2.4").objects, 3);
	observe((struct kernel_object[]){ p.objects[0], p.objects[1], p.objects[2],
					  peer(4, "192.0.2.4").objects[0],
					  peer(4, "192.0.2.4").objects[1],
					  peer(4, "192.0.2.4").objects[2] },
		6);
	expect_nothing();
	assert_int_equal(reconcile_counts(r)->unsettled, 0);
}

static void test_stale_objects_are_removed(void **state)
{
	(void)state;
	struct peer gone = peer(9, "192.0.2.9");

	observe(gone.objects, 3);
	expect("drop", "route 10.5.9.0/24 via 10.5.9.0 dev 7 onlink proto 102");
	expect("drop", "neighbour 10.5.9.0 lladdr 02:00:00:00:00:09 dev 7");
	expect("drop", "fdb 02:00:00:00:00:09 dst 192.0.2.9 dev 7");
	expect_nothing();
}

static void test_drift_is_repaired_and_counted(void **state)
{
	(void)state;
	struct peer p = peer(3, "192.0.2.3");
	struct kernel_object altered = neighbour("10.5.3.0", "02:00:00:00:00:66");

	want(&owners[0], p.objects, 3);
	drain();
	/* The route is gone, the neighbour altered, the FDB entry as it was. */
	observe((struct kernel_object[]){ p.objects[0], altered }, 2);
	assert_int_equal(owners[0].unsettled, 2);
	assert_int_equal(reconcile_counts(r)->drift[KERNEL_ROUTE], 1);
	assert_int_equal(reconcile_counts(r)->drift[KERNEL_NEIGHBOUR], 1);
	assert_int_equal(reconcile_counts(r)->drift[KERNEL_FDB], 0);
	expect("replace", "neighbour 10.5.3.0 lladdr 02:00:00:00:00:03 dev 7");
	expect("replace", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	expect_nothing();
	assert_int_equal(owners[0].unsettled, 0);
}

static void test_observation_is_of_one_kind(void **state)
{
	(void)state;
	struct peer p = peer(3, "192.0.2.3");

	want(&owners[0], p.objects, 3);
	drain();
	/* The dump of neighbours says nothing about routes and FDB entries. */
	reconcile_observe_begin(r, KERNEL_NEIGHBOUR);
	reconcile_observe(r, &p.objects[2]);
	reconcile_observe(r, &p.objects[1]);
	reconcile_observe_end(r);
	expect_nothing();
	reconcile_observe_begin(r, KERNEL_NEIGHBOUR);
	reconcile_observe_end(r);
	expect("replace", "neighbour 10.5.3.0 lladdr 02:00:00:00:00:03 dev 7");
	expect_nothing();
}

static void test_a_refused_write_waits_for_the_next_look(void **state)
{
	(void)state;
	struct peer p = peer(3, "192.0.2.3");
	const struct kernel_object *object;
	const struct reconcile_owner *owner;
	const char *error;
	uint32_t entry;

	want(&owners[0], p.objects, 3);
	assert_false(reconcile_refused_one(r, &object, &owner, &error));
	entry = expect("replace", "fdb 02:00:00:00:00:03 dst 192.0.2.3 dev 7");
	reconcile_refused(r, entry, -EINVAL, "Invalid argument");
	drain();
	assert_int_equal(owners[0].unsettled, 1);
	assert_int_equal(owners[0].failed, 1);
	assert_int_equal(reconcile_counts(r)->unsettled, 1);
	assert_int_equal(reconcile_counts(r)->failed, 1);
	assert_true(reconcile_refused_one(r, &object, &owner, &error));
	assert_memory_equal(&object->key, &p.objects[0].key, sizeof(object->key));
	assert_ptr_equal(owner, &owners[0]);
	assert_string_equal(error, "Invalid argument");
	expect_nothing(); /* not again and again */
	observe(&p.objects[1], 2);
	expect("replace", "fdb 02:00:00:00:00:03 dst 192.0.2.3 dev 7");
	expect_nothing();
	assert_int_equal(owners[0].unsettled, 0);
	assert_int_equal(reconcile_counts(r)->failed, 0);
}

static void test_an_owner_that_fails_can_leave(void **state)
{
	(void)state;
	struct peer p = peer(3, "192.0.2.3");
	uint32_t entry;

	want(&owners[0], p.objects, 3);
	entry = expect("replace", "fdb 02:00:00:00:00:03 dst 192.0.2.3 dev 7");
	reconcile_refused(r, entry, -EINVAL, "Invalid argument");
	want(&owners[0], NULL, 0);
	expect_nothing();
	assert_int_equal(owners[0].unsettled, 0);
	assert_int_equal(owners[0].failed, 0);
	assert_int_equal(reconcile_counts(r)->unsettled, 0);
	assert_int_equal(reconcile_counts(r)->failed, 0);
}

static void test_a_refused_drop_is_found_again(void **state)
{
	(void)state;
	struct peer p = peer(3, "192.0.2.3");
	uint32_t entry;

	want(&owners[0], p.objects, 3);
	drain();
	want(&owners[0], NULL, 0);
	entry = expect("drop", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	reconcile_refused(r, entry, -EBUSY, "Device or resource busy");
	drain();
	observe(&p.objects[2], 1);
	expect("drop", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	expect_nothing();
}

/* Somebody else's route has come since what was there before anything was wanted has been seen. */
static void test_what_was_seen_can_be_forgotten(void **state)
{
	(void)state;
	struct kernel_object ours = route("10.5.3.0/24", "10.5.3.0");
	struct kernel_object old = route_by("10.5.3.0/24", "10.5.3.8", DEVICE, RTPROT_BOOT);
	struct kernel_object older = route_by("10.5.3.0/24", "10.5.3.9", DEVICE, RTPROT_BOOT);
	struct kernel_object foreign = route_by("10.5.3.0/24", "192.0.2.9", OTHER_DEV, RTPROT_BOOT);
	struct kernel_object objects[] = { old, older, fdb("02:00:00:00:00:03", "192.0.2.3"),
					   neighbour("10.5.3.0", "02:00:00:00:00:03") };
	struct kernel_object wanted[] = { ours, objects[2] };

	observe(objects, ARRAY_LEN(objects));
	want(&owners[0], wanted, ARRAY_LEN(wanted));
	reconcile_forget_kinds(r, 1u << KERNEL_ROUTE | 1u << KERNEL_NEIGHBOUR);
	/* Nothing of the FDB is forgotten, and nobody misses the neighbour. */
	assert_int_equal(reconcile_pending_kinds(r), 1u << KERNEL_ROUTE);
	observe((struct kernel_object[]){ foreign, objects[2] }, 2);
	expect("create", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	expect_nothing();
	assert_int_equal(reconcile_counts(r)->drift[KERNEL_ROUTE], 0);
}

static void test_a_lost_device_takes_its_objects_along(void **state)
{
	(void)state;
	struct peer p = peer(3, "192.0.2.3");
	struct peer leaving = peer(4, "192.0.2.4");
	struct kernel_object direct =
		route_by("10.5.5.0/24", "192.0.2.5", OTHER_DEV, FABRIC_ROUTE_PROTOCOL);

	want(&owners[0], p.objects, 3);
	want(&owners[1], leaving.objects, 3);
	want(&owners[2], &direct, 1);
	drain();
	want(&owners[1], NULL, 0);
	reconcile_forget_device(r, DEVICE);
	assert_int_equal(owners[0].unsettled, 3);
	assert_int_equal(owners[2].unsettled, 0);
	/* What stays is written again; what was leaving has gone with the device. */
	expect("replace", "fdb 02:00:00:00:00:03 dst 192.0.2.3 dev 7");
	expect("replace", "neighbour 10.5.3.0 lladdr 02:00:00:00:00:03 dev 7");
	expect("replace", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	expect_nothing();
}

/* Not when its time comes, half a minute later: what was in the way is gone. */
static void test_who_was_in_the_way_is_gone(void **state)
{
	(void)state;
	struct kernel_object ours = route("10.5.3.0/24", "10.5.3.0");
	struct kernel_object theirs = route_by("10.5.3.0/24", "192.0.2.9", OTHER_DEV, RTPROT_BOOT);
	struct kernel_object worse = theirs;

	worse.key.metric = 9;
	want(&owners[0], &ours, 1);
	reconcile_refused(r,
			  expect("create", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102"),
			  -EEXIST, "File exists");
	assert_false(notice(&worse, true));
	assert_true(notice(&theirs, true));
	observe_nothing();
	expect("create", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	expect_nothing();
}

static void test_which_notifications_matter(void **state)
{
	(void)state;
	struct peer p = peer(3, "192.0.2.3");
	struct kernel_object altered = fdb("02:00:00:00:00:03", "192.0.2.66");
	struct kernel_object unknown = neighbour("10.5.77.0", "02:00:00:00:00:77");
	struct kernel_object foreign = route_by("10.9.0.0/24", "192.0.2.9", OTHER_DEV, RTPROT_BOOT);
	struct kernel_object usurper = route_by("10.5.3.0/24", "192.0.2.9", OTHER_DEV, RTPROT_BOOT);

	want(&owners[0], p.objects, 3);
	/* Not written yet: that it is not there is no news. */
	assert_false(notice(&p.objects[2], true));
	drain();
	for (unsigned i = 0; i < 3; i++) {
		assert_false(notice(&p.objects[i], false));
		assert_true(notice(&p.objects[i], true));
	}
	assert_true(notice(&altered, false));
	/* Whatever was there is gone: what we believe there cannot be true. */
	assert_true(notice(&altered, true));
	assert_true(notice(&unknown, false));
	assert_false(notice(&unknown, true));
	assert_false(notice(&foreign, false));
	assert_false(notice(&foreign, true));
	assert_true(notice(&usurper, false));
}

static void test_counters(void **state)
{
	(void)state;
	struct peer p = peer(3, "192.0.2.3");
	const struct reconcile_counts *c = reconcile_counts(r);

	want(&owners[0], p.objects, 3);
	assert_int_equal(c->wanted[KERNEL_FDB], 1);
	assert_int_equal(c->wanted[KERNEL_NEIGHBOUR], 1);
	assert_int_equal(c->wanted[KERNEL_ROUTE], 1);
	assert_int_equal(c->wanted[KERNEL_ADDRESS], 0);
	assert_int_equal(c->unsettled, 3);
	assert_int_equal(owners[0].unsettled, 3);
	drain();
	assert_int_equal(c->unsettled, 0);
	assert_int_equal(c->puts[KERNEL_ROUTE], 1);
	assert_int_equal(c->drops[KERNEL_ROUTE], 0);
	want(&owners[0], NULL, 0);
	assert_int_equal(c->wanted[KERNEL_ROUTE], 0);
	assert_int_equal(c->unsettled, 0);
	drain();
	assert_int_equal(c->drops[KERNEL_ROUTE], 1);
	assert_int_equal(c->puts[KERNEL_ROUTE], 1);
}

struct visited {
	unsigned len;
	unsigned settled;
	char error[200];
};

static void visit(void *arg, const struct kernel_object *o, bool settled, const char *error)
{
	struct visited *v = arg;

	assert_true(o->key.kind < KERNEL_KINDS);
	v->len++;
	v->settled += settled;
	if (error)
		snprintf(v->error, sizeof(v->error), "%s", error);
}

static void test_an_owners_objects_can_be_shown(void **state)
{
	(void)state;
	struct peer p = peer(3, "192.0.2.3");
	struct visited v = { 0 };

	reconcile_owner_visit(r, &owners[0], visit, &v);
	assert_int_equal(v.len, 0);
	want(&owners[0], p.objects, 3);
	expect("replace", "fdb 02:00:00:00:00:03 dst 192.0.2.3 dev 7");
	reconcile_refused(r, expect("replace", "neighbour 10.5.3.0 lladdr 02:00:00:00:00:03 dev 7"),
			  -EINVAL, "Nexthop has invalid gateway");
	reconcile_owner_visit(r, &owners[0], visit, &v);
	assert_int_equal(v.len, 3);
	assert_int_equal(v.settled, 1);
	assert_string_equal(v.error, "Nexthop has invalid gateway");
}

static void test_objects_out_of_scope_are_not_touched_when_it_changes(void **state)
{
	(void)state;
	struct kernel_marks none = { 0 };
	struct peer p = peer(9, "192.0.2.9");

	reconcile_set_marks(r, &none);
	observe(p.objects, 3);
	expect_nothing();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nothing_wanted_nothing_there),
		TEST(test_puts_build_from_the_ground_up),
		TEST(test_drops_go_in_reverse),
		TEST(test_make_before_break),
		TEST(test_a_changed_underlay_address_is_one_write),
		TEST(test_latest_state_wins),
		TEST(test_drop_names_what_the_kernel_has),
		TEST(test_start_with_everything_in_place_writes_nothing),
		TEST(test_stale_objects_are_removed),
		TEST(test_drift_is_repaired_and_counted),
		TEST(test_observation_is_of_one_kind),
		TEST(test_a_refused_write_waits_for_the_next_look),
		TEST(test_an_owner_that_fails_can_leave),
		TEST(test_a_refused_drop_is_found_again),
		TEST(test_what_was_seen_can_be_forgotten),
		TEST(test_a_lost_device_takes_its_objects_along),
		TEST(test_who_was_in_the_way_is_gone),
		TEST(test_which_notifications_matter),
		TEST(test_counters),
		TEST(test_an_owners_objects_can_be_shown),
		TEST(test_objects_out_of_scope_are_not_touched_when_it_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
