/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reconcile: which writes are asked for, in which order, and what is left alone.
 *
 * The cases here are single decisions; test_reconcile_model.c lets thousands of random ones loose
 * on a simulated kernel.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "fabric/reconcile.h"

#define DEVICE        7
#define OTHER_DEV     3
#define LAST_PROTOCOL (FABRIC_ROUTE_PROTOCOL + FABRIC_ROUTE_PROTOCOLS_LEN - 1)

static struct kernel_object fdb(const char *mac, const char *remote)
{
	struct mac_addr m = test_mac(mac);
	struct ip_addr a = test_addr(remote);

	return kernel_fdb(DEVICE, &m, &a);
}

static struct kernel_object neighbour(const char *addr, const char *mac)
{
	struct mac_addr m = test_mac(mac);
	struct ip_addr a = test_addr(addr);

	return kernel_neighbour(DEVICE, &a, &m);
}

static struct kernel_object route_by(const char *dst, const char *gateway, uint32_t ifindex,
				     uint8_t protocol)
{
	struct ip_net n = test_net(dst);
	struct ip_addr a = test_addr(gateway);

	return kernel_route(&n, &a, ifindex, true, protocol);
}

static struct kernel_object route(const char *dst, const char *gateway)
{
	return route_by(dst, gateway, DEVICE, FABRIC_ROUTE_PROTOCOL);
}

static struct kernel_object address(const char *net)
{
	struct ip_net n = test_net(net);

	return kernel_address(DEVICE, &n);
}

/* The three objects of a peer. */
struct peer {
	struct kernel_object objects[3];
};

static struct peer peer(unsigned number, const char *remote)
{
	auto_free char *mac = xasprintf("02:00:00:00:00:%02x", number);
	auto_free char *base = xasprintf("10.5.%u.0", number);
	auto_free char *net = xasprintf("10.5.%u.0/24", number);

	return (struct peer){ { fdb(mac, remote), neighbour(base, mac), route(net, base) } };
}

static struct reconcile *r;
static struct reconcile_owner owners[4];

static int setup(void **state)
{
	struct kernel_marks scope = { .ifindexes = { DEVICE },
				      .ifindexes_len = 1,
				      .networks = { test_net("10.5.0.0/16") } };

	(void)state;
	memset(owners, 0, sizeof(owners));
	r = reconcile_new();
	reconcile_set_marks(r, &scope);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	reconcile_free(r);
	return 0;
}

static void want(struct reconcile_owner *owner, const struct kernel_object *objects, size_t len)
{
	struct reconcile_owner *other = NULL;

	assert_int_equal(reconcile_want(r, owner, objects, len, &other), 0);
}

static void observe_nothing(void)
{
	for (unsigned k = 0; k < KERNEL_KINDS; k++) {
		reconcile_observe_begin(r, k);
		reconcile_observe_end(r);
	}
}

static void observe(const struct kernel_object *objects, size_t len)
{
	for (unsigned k = 0; k < KERNEL_KINDS; k++) {
		reconcile_observe_begin(r, k);
		for (size_t i = 0; i < len; i++)
			reconcile_observe(r, &objects[i]);
		reconcile_observe_end(r);
	}
}

/* Takes the next write and compares it with "create", "replace" or "drop" and the object's text. */
static uint32_t expect(const char *action, const char *text)
{
	static const char *const names[] = { "create", "replace", "drop" };
	const struct kernel_object *object;
	uint32_t entry;
	enum kernel_verb a;
	char buf[KERNEL_OBJECT_TEXT];

	if (!reconcile_next(r, &a, &object, &entry))
		fail_msg("nothing to write, expected %s %s", action, text);
	kernel_object_format(object, buf);
	if (strcmp(names[a], action) != 0 || strcmp(buf, text) != 0)
		fail_msg("write is %s %s, expected %s %s", names[a], buf, action, text);
	return entry;
}

static void expect_nothing(void)
{
	const struct kernel_object *object;
	uint32_t entry;
	enum kernel_verb a;
	char buf[KERNEL_OBJECT_TEXT];

	if (reconcile_next(r, &a, &object, &entry))
		fail_msg("unexpected write %d %s", a, kernel_object_format(object, buf));
}

static void drain(void)
{
	const struct kernel_object *object;
	uint32_t entry;
	enum kernel_verb a;

	while (reconcile_next(r, &a, &object, &entry))
		;
}

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

/* What is ours, and above all what is not. */
static void test_ownership(void **state)
{
	(void)state;
	const struct kernel_marks scope = { .ifindexes = { DEVICE, 0 },
					    .ifindexes_len = 2,
					    .networks = { test_net("10.5.0.0/16"),
							  test_net("fd10::/48") } };
	struct kernel_object kernel_route_on_device =
		route_by("10.5.0.0/16", "10.5.0.1", DEVICE, RTPROT_KERNEL);
	struct kernel_object learned = fdb("02:00:00:00:00:03", "192.0.2.3");
	struct kernel_object of_bridge = learned;
	struct kernel_object reachable = neighbour("10.5.3.0", "02:00:00:00:00:03");
	struct kernel_object proxy = reachable;
	struct kernel_object elsewhere = learned;
	struct kernel_object local = route("10.5.3.0/24", "10.5.3.0");
	struct kernel_object lo_address = address("10.5.17.0/32");
	struct kernel_object no_device = route_by("10.9.0.0/24", "10.9.0.1", 0, RTPROT_BOOT);
	struct ip_net hole = test_net("10.5.17.0/24");

	learned.value.state = NUD_REACHABLE;
	of_bridge.value.flags = NTF_MASTER;
	reachable.value.state = NUD_REACHABLE;
	proxy.value.flags = NTF_PROXY;
	elsewhere.key.ifindex = OTHER_DEV;
	local.value.type = RTN_LOCAL;
	lo_address.key.ifindex = 1;

	const struct {
		const char *what;
		struct kernel_object object;
		bool owned;
	} rows[] = {
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

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_row(kernel_object_is_ours(&scope, &rows[i].object) == rows[i].owned,
			   rows[i].what);
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

		for (unsigned n = 0; n < 160; n++) {
			struct ip_net net = { .len = lens[i] };

			net.addr = ip_addr_from_u128(AF_INET,
						     0x0a000000 + ((u128)n << (32 - lens[i])));
			assert_int_equal(fabric_route_protocol(&net), fabric_route_protocol(&net));
			assert_true(fabric_is_our_protocol(fabric_route_protocol(&net)));
			hits[fabric_route_protocol(&net)]++;
		}
		for (unsigned p = FABRIC_ROUTE_PROTOCOL; p <= LAST_PROTOCOL; p++)
			assert_int_equal(hits[p], 160 / FABRIC_ROUTE_PROTOCOLS_LEN);
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
	assert_true(reconcile_contradicts(r, &paths, false));
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

static void test_a_refused_write_waits_for_the_next_look(void **state)
{
	(void)state;
	struct peer p = peer(3, "192.0.2.3");
	uint32_t entry;

	want(&owners[0], p.objects, 3);
	entry = expect("replace", "fdb 02:00:00:00:00:03 dst 192.0.2.3 dev 7");
	reconcile_refused(r, entry, -EINVAL, "Invalid argument");
	drain();
	assert_int_equal(owners[0].unsettled, 1);
	assert_int_equal(owners[0].failed, 1);
	assert_int_equal(reconcile_counts(r)->unsettled, 1);
	assert_int_equal(reconcile_counts(r)->failed, 1);
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
	assert_false(reconcile_contradicts(r, &p.objects[2], true));
	drain();
	for (unsigned i = 0; i < 3; i++) {
		assert_false(reconcile_contradicts(r, &p.objects[i], false));
		assert_true(reconcile_contradicts(r, &p.objects[i], true));
	}
	assert_true(reconcile_contradicts(r, &altered, false));
	assert_false(reconcile_contradicts(r, &altered, true));
	assert_true(reconcile_contradicts(r, &unknown, false));
	assert_false(reconcile_contradicts(r, &unknown, true));
	assert_false(reconcile_contradicts(r, &foreign, false));
	assert_false(reconcile_contradicts(r, &foreign, true));
	assert_true(reconcile_contradicts(r, &usurper, false));
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
		TEST(test_ownership),
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
		TEST(test_a_refused_write_waits_for_the_next_look),
		TEST(test_an_owner_that_fails_can_leave),
		TEST(test_a_refused_drop_is_found_again),
		TEST(test_what_was_seen_can_be_forgotten),
		TEST(test_a_lost_device_takes_its_objects_along),
		TEST(test_which_notifications_matter),
		TEST(test_counters),
		TEST(test_an_owners_objects_can_be_shown),
		TEST(test_objects_out_of_scope_are_not_touched_when_it_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
