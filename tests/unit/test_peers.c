/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fabric/peers: which leases are used follows from the leases alone, whatever order they came in;
 * and what many that want one slot cost.
 */
#include "tests/unit/peers_rig.h"

#define NETWORK "{\"Network\":\"10.0.0.0/8\"}"
#define OWN     "10.250.0.0-24"

/* ---- by name ---- */

static void test_alone(void **state)
{
	(void)state;
	static const struct {
		const char *key;
		const char *reason; /* "": used */
	} rows[] = {
		{ "10.5.3.0-24", "" },
		{ "10.5.4.0-30", "" },
		{ "11.5.3.0-24", "outside Network 10.0.0.0/8" },
		{ "10.128.0.0-9", "length is 9, must be from 10 to 30" },
		{ "10.250.0.128-25", "overlaps this host's own subnet 10.250.0.0/24" },
	};
	auto_rig struct rig r;

	rig_init(&r, NETWORK);
	place(&r, OWN);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		auto_member struct manager_member *l = member(rows[i].key, i + 1, i);
		struct peer *p = peers_add(r.peers, l);

		peers_judge(r.peers);
		if (rows[i].reason[0])
			assert_contains(reason_of(&r, p), rows[i].reason);
		assert_row(is_used(p) == !rows[i].reason[0], rows[i].key);
		peers_remove(r.peers, p);
	}
	assert_int_equal(peers_counts(r.peers)->ignored, 0);
	assert_int_equal(reconcile_counts(r.reconcile)->wanted[KERNEL_ROUTE], 0);
}

struct sought {
	struct kernel_key key;
	bool found;
};

static void on_wanted(void *arg, const struct kernel_object *o)
{
	struct sought *s = arg;

	s->found |= memcmp(&o->key, &s->key, sizeof(s->key)) == 0;
}

/* Whether the guard would let packets of this address in. */
static bool is_let_in(const struct rig *r, const char *address)
{
	struct ip_addr addr = test_addr(address);
	struct sought s = { .key = kernel_element_addr(addr.family == AF_INET ? TRAFFIC_PEERS
									      : TRAFFIC_PEERS_V6,
						       &addr)
					   .key };

	reconcile_wanted_visit(r->reconcile, KERNEL_ELEMENT, on_wanted, &s);
	return s.found;
}

/* What comes from nowhere, or from everywhere, is nobody's source. */
static void test_sources(void **state)
{
	(void)state;
	static const struct {
		const char *source;
		const char *reason; /* "": used */
		bool let_in;
	} rows[] = {
		{ "198.51.100.9", "", true },
		{ "127.0.0.1", "Source is 127.0.0.1, must be a unicast address", false },
		{ "255.255.255.255", "Source is 255.255.255.255, must be a unicast address",
		  false },
		{ "224.0.0.5", "unicast", false },
		{ "0.0.0.9", "unicast", false },
		{ "169.254.9.9", "Source is 169.254.9.9, a link-local address", false },
		{ "10.7.7.7", "inside the overlay network", false },
		{ "192.0.2.255", "broadcast address of the underlay", false },
		/* Ours may be another's behind a NAT of its own, but is not let in. */
		{ "192.0.2.1", "", false },
		/* IPv6 is not in use. */
		{ "::1", "", false },
	};
	auto_rig struct rig r;

	rig_init(&r, NETWORK);
	place_with(&r, OWN, true);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		auto_member struct manager_member *l = member("10.5.3.0-24", i + 1, i);
		struct ip_addr source = test_addr(rows[i].source);
		struct peer *p;

		*(source.family == AF_INET ? &l->lease->source_v4 : &l->lease->source_v6) = source;
		p = peers_add(r.peers, l);
		peers_judge(r.peers);
		if (rows[i].reason[0])
			assert_contains(reason_of(&r, p), rows[i].reason);
		assert_row(is_used(p) == !rows[i].reason[0], rows[i].source);
		assert_row(is_let_in(&r, rows[i].source) == rows[i].let_in, rows[i].source);
		assert_row(is_let_in(&r, "192.0.2.3") == is_used(p), rows[i].source);
		peers_remove(r.peers, p);
	}
}

/* The oldest has it, the second waits, and the third only wanted what the second would have. */
static void test_a_chain(void **state)
{
	(void)state;
	static const char *const keys[] = { "10.5.0.0-24", "10.5.0.0-20", "10.5.8.0-24" };
	auto_rig struct rig r;
	struct manager_member *members[3];
	const char *reason = NULL;
	struct peer *p[3];

	rig_init(&r, NETWORK);
	place(&r, OWN);
	for (unsigned i = 0; i < 3; i++) {
		members[i] = member(keys[i], i + 1, i);
		p[i] = peers_add(r.peers, members[i]);
		peers_judge(r.peers);
	}
	assert_true(is_used(p[0]));
	assert_string_equal(reason_of(&r, p[1]), "overlaps the older lease 10.5.0.0/24");
	assert_true(is_used(p[2]));
	assert_int_equal(peers_counts(r.peers)->ignored, 1);
	assert_ptr_equal(peers_ignored(r.peers, &reason), p[1]);
	assert_string_equal(reason, "overlaps the older lease 10.5.0.0/24");
	/* Now the second is used, and the third is in its way. */
	peers_remove(r.peers, p[0]);
	peers_judge(r.peers);
	assert_true(is_used(p[1]));
	assert_string_equal(reason_of(&r, p[2]), "overlaps the older lease 10.5.0.0/20");
	assert_ptr_equal(peers_ignored(r.peers, &reason), p[2]);
	peers_remove(r.peers, p[1]);
	peers_judge(r.peers);
	assert_true(is_used(p[2]));
	assert_null(peers_ignored(r.peers, &reason));
	peers_remove(r.peers, p[2]);
	for (unsigned i = 0; i < 3; i++)
		member_free(members[i]);
}

/* What is of another type has its subnet all the same: it does everywhere. But no slots. */
static void test_another_type_keeps_its_subnet(void **state)
{
	(void)state;
	auto_member struct manager_member *a = member("10.5.3.0-24", 1, 1);
	auto_member struct manager_member *b = member("10.5.3.128-25", 2, 2);
	auto_member struct manager_member *c = member("10.5.4.0-24", 3, 1);
	auto_rig struct rig r;
	struct peer *pa;
	struct peer *pb;
	struct peer *pc;

	free(a->lease->backend_type);
	a->lease->backend_type = xstrdup("host-gw");
	rig_init(&r, NETWORK);
	place(&r, OWN);
	pa = peers_add(r.peers, a);
	pb = peers_add(r.peers, b);
	pc = peers_add(r.peers, c);
	peers_judge(r.peers);
	assert_contains(reason_of(&r, pa), "BackendType is \"host-gw\"");
	assert_contains(reason_of(&r, pb), "overlaps the older lease 10.5.3.0/24");
	assert_true(is_used(pc));
}

/* A lease that is made again under its key is as young as that. */
static void test_born_again(void **state)
{
	(void)state;
	auto_member struct manager_member *a = member("10.5.3.0-24", 1, 1);
	auto_member struct manager_member *b = member("10.5.4.0-24", 2, 1);
	auto_rig struct rig r;
	struct peer *pa;
	struct peer *pb;

	rig_init(&r, NETWORK);
	place(&r, OWN);
	pa = peers_add(r.peers, a);
	pb = peers_add(r.peers, b);
	peers_judge(r.peers);
	assert_true(is_used(pa));
	assert_string_equal(reason_of(&r, pb),
			    "uses the same MAC, address or route as 10.5.3.0/24");
	a->lease->born = 9;
	peers_change(r.peers, pa);
	peers_judge(r.peers);
	assert_true(is_used(pb));
	assert_string_equal(reason_of(&r, pa),
			    "uses the same MAC, address or route as 10.5.4.0/24");
}

/* Without a rival that changes nothing in the kernel. */
static void test_born_again_alone(void **state)
{
	(void)state;
	auto_member struct manager_member *a = member("10.5.3.0-24", 1, 1);
	auto_rig struct rig r;
	const struct kernel_object *object;
	uint32_t entry;
	enum kernel_verb verb;
	struct peer *p;

	rig_init(&r, NETWORK);
	place(&r, OWN);
	p = peers_add(r.peers, a);
	peers_judge(r.peers);
	while (reconcile_next(r.reconcile, &verb, &object, &entry))
		;
	a->lease->born = 9;
	peers_change(r.peers, p);
	peers_judge(r.peers);
	assert_true(is_used(p));
	assert_int_equal(reconcile_pending_kinds(r.reconcile), 0);
}

/* A reason is news once, however often it is found again. */
static void test_news(void **state)
{
	(void)state;
	auto_member struct manager_member *a = member("11.5.3.0-24", 1, 1);
	auto_rig struct rig r;

	rig_init(&r, NETWORK);
	news_calls = 0;
	peers_add(r.peers, a);
	for (unsigned i = 0; i < 3; i++)
		place(&r, OWN);
	assert_int_equal(news_calls, 1);
}

/* ---- whatever the order ---- */

#define FEW 12

static unsigned drawn;

static unsigned draw(unsigned below)
{
	drawn = drawn * 1103515245 + 12345;
	return (drawn >> 12) % below;
}

static bool in_conflict(const struct lease *a, const struct lease *b)
{
	return subnet_overlaps(&a->subnet, &b->subnet) ||
	       strcmp(a->backend_data, b->backend_data) == 0;
}

static bool is_before(const struct lease *a, const struct lease *b)
{
	return a->born != b->born ? a->born < b->born
				  : memcmp(&a->subnet, &b->subnet, sizeof(a->subnet)) < 0;
}

/* The rule, word for word: from the oldest to the youngest, if no used one is in conflict. */
static void expect(struct lease *const *leases, bool used[static FEW])
{
	bool done[FEW] = { false };

	for (unsigned n = 0; n < FEW; n++) {
		unsigned oldest = FEW;

		for (unsigned i = 0; i < FEW; i++) {
			if (!done[i] && (oldest == FEW || is_before(leases[i], leases[oldest])))
				oldest = i;
		}
		done[oldest] = true;
		used[oldest] = true;
		for (unsigned i = 0; i < FEW; i++) {
			if (i != oldest && used[i] && in_conflict(leases[i], leases[oldest]))
				used[oldest] = false;
		}
	}
}

/* Subnets of three lengths in a small space, few MACs, ages with ties. */
static struct lease *random_lease(const struct lease *const *others, unsigned len)
{
	for (;;) {
		unsigned bits = 22 + 2 * draw(3);
		unsigned block = draw(1u << (bits - 20)) << (28 - bits);
		auto_free char *key = xasprintf("10.5.%u.0-%u", (block << 4 & 0xff0) >> 4, bits);
		struct lease *l = vxlan_lease(key, 1 + draw(6), draw(8));
		bool taken = false;

		for (unsigned i = 0; i < len; i++)
			taken |= subnet_equal(&others[i]->subnet, &l->subnet);
		if (!taken)
			return l;
		lease_free(l);
	}
}

/* Comes, changes, is born again, goes and comes: at the end all are there. */
static void shuffle_in(struct rig *r, struct lease *const *leases, struct lease *const *others,
		       struct manager_member *members, struct peer **peers)
{
	for (unsigned step = 0; step < 4 * FEW; step++) {
		/* At last each of them as it is. */
		unsigned i = step < 3 * FEW ? draw(FEW) : (step * 5 + 3) % FEW;

		members[i].lease = step < 3 * FEW && draw(2) ? others[i] : leases[i];
		if (!peers[i])
			peers[i] = peers_add(r->peers, &members[i]);
		else if (step < 3 * FEW && draw(3) == 0)
			peers_remove(r->peers, STEAL(peers[i]));
		else
			peers_change(r->peers, peers[i]);
		/* Events may come several at a time, and while some are to be judged still. */
		if (draw(3))
			peers_judge_some(r->peers, draw(2) ? draw(4) : SIZE_MAX);
	}
	peers_judge(r->peers);
}

static void test_any_order_gives_the_same(void **state)
{
	(void)state;
	unsigned beaten = 0;

	for (unsigned seed = 1; seed <= 300; seed++) {
		struct lease *leases[FEW];
		struct lease *others[FEW]; /* what the same keys said before */
		bool used[FEW] = { false };

		drawn = seed;
		for (unsigned i = 0; i < FEW; i++) {
			leases[i] = random_lease((const struct lease *const *)leases, i);
			others[i] = vxlan_lease("10.5.0.0-24", 1 + draw(6), draw(8));
			others[i]->subnet = leases[i]->subnet;
		}
		expect(leases, used);
		for (unsigned round = 0; round < 20; round++) {
			struct manager_member members[FEW] = { 0 };
			struct peer *peers[FEW] = { NULL };
			auto_rig struct rig r;
			size_t ignored = 0;

			rig_init(&r, NETWORK);
			place(&r, OWN);
			shuffle_in(&r, leases, others, members, peers);
			for (unsigned i = 0; i < FEW; i++) {
				ignored += !used[i];
				if (is_used(peers[i]) != used[i])
					fail_msg("seed %u round %u: lease %u is%s used", seed,
						 round, i, used[i] ? " not" : "");
			}
			assert_int_equal(peers_counts(r.peers)->ignored, ignored);
			beaten += ignored > 1;
		}
		for (unsigned i = 0; i < FEW; i++) {
			lease_free(leases[i]);
			lease_free(others[i]);
		}
	}
	assert_true(beaten > 1000);
}

/* ---- many ---- */

#define MANY 20000

enum collision { SAME_MAC, SAME_SUBNET, AROUND, COLLISIONS };

static struct manager_member *one_of_many(enum collision kind, unsigned i)
{
	auto_free char *key = NULL;

	/* A second family makes another key of the same subnet. */
	if (kind == SAME_SUBNET)
		key = xasprintf("10.5.3.0-24&fd10:0:%x::-64", i);
	else if (kind == AROUND && i == 0)
		key = xstrdup("10.128.0.0-10");
	else if (kind == AROUND)
		key = xasprintf("10.%u.%u.%u-28", 128 + (i >> 12), i >> 4 & 0xff, i << 4 & 0xff);
	else
		key = xasprintf("10.%u.%u.0-24", i >> 8, i & 0xff);
	return member(key, i + 1, kind == SAME_MAC ? 1 : i);
}

/* How often a lease is judged, for every lease that comes or goes. */
static void check_cost(struct rig *r, const char *what, uint64_t *before, unsigned events)
{
	uint64_t judged = peers_counts(r->peers)->judged_total - *before;

	if (judged > 3 * (uint64_t)events)
		fail_msg("%s: %llu judgements for %u events", what, (unsigned long long)judged,
			 events);
	*before += judged;
}

static void check_many(enum collision kind)
{
	struct manager_member **members = xcalloc(MANY, sizeof(*members));
	struct peer **peers = xcalloc(MANY, sizeof(struct peer *));
	auto_rig struct rig r;
	uint64_t judged = 0;

	rig_init(&r,
		 "{\"Network\":\"10.0.0.0/8\",\"EnableIPv6\":true,\"IPv6Network\":\"fd10::/32\"}");
	for (unsigned i = 0; i < MANY; i++) {
		members[i] = one_of_many(kind, i);
		peers[i] = peers_add(r.peers, members[i]);
	}
	place(&r, OWN);
	check_cost(&r, "all at once", &judged, MANY);
	assert_true(is_used(peers[0]));
	assert_int_equal(peers_counts(r.peers)->ignored, MANY - 1);
	/* The one that is used goes, each time. */
	for (unsigned i = 0; i + 1 < MANY; i++) {
		peers_remove(r.peers, peers[i]);
		peers_judge(r.peers);
		assert_true(is_used(peers[i + 1]));
	}
	check_cost(&r, "the oldest goes", &judged, MANY);
	/* And an older one comes, each time. */
	for (unsigned i = MANY - 1; i-- > 0;) {
		peers[i] = peers_add(r.peers, members[i]);
		peers_judge(r.peers);
		assert_true(is_used(peers[i]));
	}
	check_cost(&r, "an older one comes", &judged, kind == AROUND ? 2 * MANY : MANY);
	/* The way to all of them is another. */
	place(&r, OWN);
	check_cost(&r, "all anew", &judged, MANY);
	for (unsigned i = MANY; i-- > 0;) {
		peers_remove(r.peers, peers[i]);
		peers_judge(r.peers);
	}
	check_cost(&r, "the youngest goes", &judged, MANY);
	assert_int_equal(peers_counts(r.peers)->len, 0);
	for (unsigned i = 0; i < MANY; i++)
		member_free(members[i]);
	free(members);
	free(peers);
}

static void test_many_with_one_mac(void **state)
{
	(void)state;
	check_many(SAME_MAC);
}

static void test_many_with_one_subnet(void **state)
{
	(void)state;
	check_many(SAME_SUBNET);
}

static void test_many_in_one(void **state)
{
	(void)state;
	check_many(AROUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_a_chain),
		cmocka_unit_test(test_another_type_keeps_its_subnet),
		cmocka_unit_test(test_born_again),
		cmocka_unit_test(test_born_again_alone),
		cmocka_unit_test(test_news),
		cmocka_unit_test(test_any_order_gives_the_same),
		cmocka_unit_test(test_many_with_one_mac),
		cmocka_unit_test(test_many_with_one_subnet),
		cmocka_unit_test(test_many_in_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
