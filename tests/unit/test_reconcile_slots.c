/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reconcile: what is ours and what is not, and who gets a slot in the kernel that several want:
 * owners of ours, other programs, routes beside ours.
 */
#include "tests/unit/reconcile_rig.h"

struct ownership {
	const char *what;
	struct kernel_object object;
	bool owned;
};

static void check_ownership(const struct ownership *rows, size_t len)
{
	const struct kernel_marks scope = { .ifindexes = { DEVICE, 0 },
					    .ifindexes_len = 2,
					    .networks = { test_net("10.5.0.0/16"),
							  test_net("fd10::/48") } };

	for (size_t i = 0; i < len; i++)
		assert_row(kernel_object_is_ours(&scope, &rows[i].object) == rows[i].owned,
			   rows[i].what);
}

/* What is ours, and above all what is not. */
static void test_ownership_on_devices(void **state)
{
	(void)state;
	struct kernel_object learned = fdb("02:00:00:00:00:03", "192.0.2.3");
	struct kernel_object of_bridge = learned;
	struct kernel_object reachable = neighbour("10.5.3.0", "02:00:00:00:00:03");
	struct kernel_object proxy = reachable;
	struct kernel_object elsewhere = learned;
	struct kernel_object lo_address = address("10.5.17.0/32");

	learned.value.state = NUD_REACHABLE;
	of_bridge.value.flags = NTF_MASTER;
	reachable.value.state = NUD_REACHABLE;
	proxy.value.flags = NTF_PROXY;
	elsewhere.key.ifindex = OTHER_DEV;
	lo_address.key.ifindex = 1;

	const struct ownership rows[] = {
		{ "address on our device", address("10.5.17.0/32"), true },
		{ "another address on our device", address("10.9.0.1/24"), true },
		{ "global IPv6 address on our device", address("fd10::1/128"), true },
		{ "link-local address on our device", address("fe80::1/64"), false },
		{ "address on another device", lo_address, false },
		{ "fixed FDB entry on our device", fdb("02:00:00:00:00:03", "192.0.2.3"), true },
		{ "learned FDB entry", learned, false },
		{ "FDB entry of the bridge above", of_bridge, false },
		{ "FDB entry on another device", elsewhere, false },
		{ "fixed neighbour on our device", neighbour("10.5.3.0", "02:00:00:00:00:03"),
		  true },
		{ "learned neighbour", reachable, false },
		{ "neighbour proxy", proxy, false },
	};

	check_ownership(rows, ARRAY_LEN(rows));
}

static void test_ownership_of_routes(void **state)
{
	(void)state;
	struct kernel_object kernel_route_on_device =
		route_by("10.5.0.0/16", "10.5.0.1", DEVICE, RTPROT_KERNEL);
	struct kernel_object local = route("10.5.3.0/24", "10.5.3.0");
	struct kernel_object no_device = route_by("10.9.0.0/24", "10.9.0.1", 0, RTPROT_BOOT);
	struct ip_net hole = test_net("10.5.17.0/24");

	local.value.type = RTN_LOCAL;

	const struct ownership rows[] = {
		{ "our route on our device", route("10.5.3.0/24", "10.5.3.0"), true },
		{ "route of flannel on our device",
		  route_by("10.5.3.0/24", "10.5.3.0", DEVICE, RTPROT_BOOT), true },
		{ "anybody's route on our device",
		  route_by("10.77.0.0/24", "10.77.0.1", DEVICE, 42), true },
		{ "the kernel's route on our device", kernel_route_on_device, false },
		{ "link-local route on our device",
		  route_by("fe80::/64", "fe80::1", DEVICE, RTPROT_BOOT), false },
		{ "multicast route on our device",
		  route_by("ff00::/8", "fe80::1", DEVICE, RTPROT_BOOT), false },
		{ "local route", local, false },
		{ "our route through the underlay",
		  route_by("10.5.3.0/24", "192.0.2.3", OTHER_DEV, FABRIC_ROUTE_PROTOCOL), true },
		{ "our IPv6 route through the underlay",
		  route_by("fd10:0:0:3::/64", "2001:db8::3", OTHER_DEV, FABRIC_ROUTE_PROTOCOL),
		  true },
		{ "our number, outside the network",
		  route_by("10.6.3.0/24", "192.0.2.3", OTHER_DEV, FABRIC_ROUTE_PROTOCOL), false },
		{ "our number, wider than the network",
		  route_by("10.0.0.0/8", "192.0.2.3", OTHER_DEV, FABRIC_ROUTE_PROTOCOL), false },
		{ "the last of our numbers",
		  route_by("10.5.3.0/24", "192.0.2.3", OTHER_DEV, LAST_PROTOCOL), true },
		{ "the number after the last of ours",
		  route_by("10.5.3.0/24", "192.0.2.3", OTHER_DEV, LAST_PROTOCOL + 1), false },
		{ "the number before the first of ours",
		  route_by("10.5.3.0/24", "192.0.2.3", OTHER_DEV, FABRIC_ROUTE_PROTOCOL - 1),
		  false },
		{ "another's route inside the network",
		  route_by("10.5.3.0/24", "192.0.2.3", OTHER_DEV, RTPROT_BOOT), false },
		{ "default route", route_by("0.0.0.0/0", "192.0.2.254", OTHER_DEV, RTPROT_DHCP),
		  false },
		{ "our blackhole", kernel_route_blackhole(&hole, FABRIC_ROUTE_PROTOCOL), true },
		{ "another's blackhole", kernel_route_blackhole(&hole, RTPROT_STATIC), false },
		{ "route without device", no_device, false },
	};

	check_ownership(rows, ARRAY_LEN(rows));
}

/* Neighbouring subnets of any length spread evenly over our numbers; what a subnet gets never
 * changes. */
static void test_route_protocols(void **state)
{
	static const uint8_t lens[] = { 16, 24, 26, 30 };
	struct ip_net v6 = test_net("fd10:0:0:5::/64");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		unsigned hits[256] = { 0 };

		for (unsigned n = 0; n < 640; n++) {
			struct ip_net net = { .len = lens[i] };

			net.addr = ip_addr_from_u128(AF_INET,
						     0x0a000000 + ((u128)n << (32 - lens[i])));
			assert_int_equal(fabric_route_protocol(&net), fabric_route_protocol(&net));
			assert_true(fabric_is_our_protocol(fabric_route_protocol(&net)));
			hits[fabric_route_protocol(&net)]++;
		}
		for (unsigned p = FABRIC_ROUTE_PROTOCOL; p <= LAST_PROTOCOL; p++)
			assert_int_equal(hits[p], 640 / FABRIC_ROUTE_PROTOCOLS_LEN);
	}
	assert_int_equal(fabric_route_protocol(&v6), FABRIC_ROUTE_PROTOCOL);
}

static void test_foreign_objects_are_left_alone(void **state)
{
	(void)state;
	const struct kernel_object foreign[] = {
		route_by("0.0.0.0/0", "192.0.2.254", OTHER_DEV, RTPROT_BOOT),
		route_by("10.5.99.0/24", "192.0.2.9", OTHER_DEV, RTPROT_STATIC),
		route_by("10.6.3.0/24", "192.0.2.3", OTHER_DEV, FABRIC_ROUTE_PROTOCOL),
	};

	observe(foreign, ARRAY_LEN(foreign));
	expect_nothing();
}

/* A route that somebody else has put into a slot that we want stays; we say that we could not. */
static void test_a_foreign_route_in_our_slot_is_not_replaced(void **state)
{
	(void)state;
	struct kernel_object foreign =
		route_by("10.5.3.0/24", "192.0.2.9", OTHER_DEV, RTPROT_STATIC);
	struct peer p = peer(3, "192.0.2.3");
	uint32_t entry;

	want(&owners[0], p.objects, 3);
	for (unsigned round = 0; round < 3; round++) {
		observe((struct kernel_object[]){ p.objects[0], p.objects[1], foreign }, 3);
		entry = expect("create", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
		reconcile_refused(r, entry, -EEXIST, "File exists");
		expect_nothing();
		assert_int_equal(owners[0].failed, 1);
		assert_int_equal(owners[0].unsettled, 1);
	}
	/* It has gone: at the next look we take the slot. */
	observe(p.objects, 2);
	expect("create", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	expect_nothing();
	assert_int_equal(owners[0].failed, 0);
}

/* The same if the first attempt failed for another reason, before the kernel looked at the slot. */
static void test_a_refused_create_is_never_tried_as_replace(void **state)
{
	(void)state;
	struct kernel_object foreign =
		route_by("10.5.3.0/24", "192.0.2.9", OTHER_DEV, RTPROT_STATIC);
	struct kernel_object ours = route("10.5.3.0/24", "10.5.3.0");
	uint32_t entry;

	want(&owners[0], &ours, 1);
	entry = expect("create", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	reconcile_refused(r, entry, -ENETDOWN, "Device for nexthop is not up");
	observe(&foreign, 1);
	entry = expect("create", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	reconcile_refused(r, entry, -EEXIST, "File exists");
	expect_nothing();
}

/*
 * A slot that was ours: what stands there now has replaced our object, so it is replaced in turn.
 */
static void test_our_slot_is_taken_back(void **state)
{
	(void)state;
	struct kernel_object flannels = route_by("10.5.3.0/24", "10.5.3.0", DEVICE, RTPROT_BOOT);
	struct kernel_object ours = route("10.5.3.0/24", "10.5.3.0");

	/* Left by flannel: adopted in place. */
	observe(&flannels, 1);
	want(&owners[0], &ours, 1);
	expect("replace", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	expect_nothing();
	observe(&flannels, 1);
	expect("replace", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	expect_nothing();
	/* Known before it was observed: the same. */
	want(&owners[1], (struct kernel_object[]){ route("10.5.4.0/24", "10.5.4.0") }, 1);
	flannels = route_by("10.5.4.0/24", "10.5.4.0", DEVICE, RTPROT_BOOT);
	observe((struct kernel_object[]){ ours, flannels }, 2);
	expect("replace", "route 10.5.4.0/24 via 10.5.4.0 dev 7 onlink proto 102");
	expect_nothing();
}

/* The kernel allows several routes in one slot. Beside ours, whatever is ours by scope goes. */
static void test_routes_beside_the_wanted_one(void **state)
{
	(void)state;
	struct kernel_object ours = route("10.5.3.0/24", "10.5.3.0");
	struct kernel_object stray = route_by("10.5.3.0/24", "10.5.3.9", DEVICE, RTPROT_BOOT);
	struct kernel_object other = route_by("10.5.3.0/24", "10.5.3.8", DEVICE, RTPROT_BOOT);
	struct kernel_object foreign = route_by("10.5.3.0/24", "192.0.2.9", OTHER_DEV, RTPROT_BOOT);
	const struct kernel_object orders[][3] = { { ours, stray, foreign },
						   { stray, ours, foreign },
						   { foreign, stray, ours } };

	want(&owners[0], &ours, 1);
	drain();
	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		observe(orders[i], 3);
		expect("drop", "route 10.5.3.0/24 via 10.5.3.9 dev 7 onlink proto 3");
		expect_nothing();
	}
	/* None of them is right: one is replaced, the others go. */
	observe((struct kernel_object[]){ stray, other }, 2);
	expect("replace", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	expect("drop", "route 10.5.3.0/24 via 10.5.3.8 dev 7 onlink proto 3");
	expect_nothing();
}

/* Two dumps show the same route: dropping it after the replacement could take ours for it. */
static void test_an_altered_route_seen_twice_is_replaced_once(void **state)
{
	(void)state;
	struct kernel_object ours = route("10.5.3.0/24", "10.5.3.0");
	struct kernel_object altered = ours;

	altered.value.extra = KERNEL_EXTRA_ATTRIBUTES;
	want(&owners[0], &ours, 1);
	drain();
	observe((struct kernel_object[]){ altered, altered }, 2);
	expect("replace", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	expect_nothing();
}

/* It belongs to nobody that could be named, but ours takes its place. */
static void test_a_route_with_several_gateways_is_replaced_not_dropped(void **state)
{
	(void)state;
	struct kernel_object ours = route("10.5.3.0/24", "10.5.3.0");
	struct kernel_object paths = ours;
	struct kernel_object elsewhere = route("10.5.9.0/24", "10.5.9.0");

	paths.value.extra = elsewhere.value.extra = KERNEL_EXTRA_PATHS;
	paths.value.ifindex = elsewhere.value.ifindex = 0;
	want(&owners[0], &ours, 1);
	drain();
	assert_true(notice(&paths, false));
	observe((struct kernel_object[]){ paths, elsewhere, paths }, 3);
	expect("replace", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	expect_nothing();
}

static void test_a_stray_seen_twice_is_dropped_once(void **state)
{
	(void)state;
	struct kernel_object ours = route("10.5.3.0/24", "10.5.3.0");
	struct kernel_object stray = route_by("10.5.3.0/24", "10.5.3.9", DEVICE, RTPROT_BOOT);

	want(&owners[0], &ours, 1);
	drain();
	observe((struct kernel_object[]){ ours, stray }, 2);
	observe((struct kernel_object[]){ ours, stray }, 2);
	assert_int_equal(reconcile_pending_kinds(r), 1u << KERNEL_ROUTE);
	expect("drop", "route 10.5.3.0/24 via 10.5.3.9 dev 7 onlink proto 3");
	expect_nothing();
	/* Gone by itself before it was dropped. */
	observe((struct kernel_object[]){ ours, stray }, 2);
	observe(&ours, 1);
	expect_nothing();
}

static void test_two_owners_cannot_have_one_slot(void **state)
{
	(void)state;
	struct peer first = peer(3, "192.0.2.3");
	struct peer second = peer(4, "192.0.2.4");
	struct reconcile_owner *other = NULL;

	second.objects[0] = fdb("02:00:00:00:00:03", "192.0.2.4"); /* the first one's MAC */
	want(&owners[0], first.objects, 3);
	assert_int_equal(reconcile_want(r, &owners[1], second.objects, 3, &other), -EEXIST);
	assert_ptr_equal(other, &owners[0]);
	/* Nothing of the second was taken. */
	assert_int_equal(reconcile_counts(r)->wanted[KERNEL_ROUTE], 1);
	expect("replace", "fdb 02:00:00:00:00:03 dst 192.0.2.3 dev 7");
	expect("replace", "neighbour 10.5.3.0 lladdr 02:00:00:00:00:03 dev 7");
	expect("create", "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102");
	expect_nothing();
	/* What the second had before stays as it is. */
	want(&owners[1], peer(5, "192.0.2.5").objects, 3);
	drain();
	other = NULL;
	assert_int_equal(reconcile_want(r, &owners[1], second.objects, 3, &other), -EEXIST);
	expect_nothing();
	assert_int_equal(reconcile_counts(r)->wanted[KERNEL_ROUTE], 2);
	/* The first leaves: there is room. */
	want(&owners[0], NULL, 0);
	assert_int_equal(reconcile_want(r, &owners[1], second.objects, 3, &other), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ownership_on_devices),
		TEST(test_ownership_of_routes),
		TEST(test_route_protocols),
		TEST(test_foreign_objects_are_left_alone),
		TEST(test_a_foreign_route_in_our_slot_is_not_replaced),
		TEST(test_a_refused_create_is_never_tried_as_replace),
		TEST(test_our_slot_is_taken_back),
		TEST(test_routes_beside_the_wanted_one),
		TEST(test_an_altered_route_seen_twice_is_replaced_once),
		TEST(test_a_route_with_several_gateways_is_replaced_not_dropped),
		TEST(test_a_stray_seen_twice_is_dropped_once),
		TEST(test_two_owners_cannot_have_one_slot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
