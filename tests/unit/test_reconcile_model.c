/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reconciler against a simulated kernel: owners come, go, move and change; a vandal deletes,
 * alters and adds objects; foreign routes take slots; writes are refused; devices vanish;
 * observations come at any moment. All from a seeded random source, so that a failure can be
 * repeated: the seed is in its message.
 *
 * Checked: when all faults have stopped, the kernel is exactly what is wanted plus what is foreign,
 * and looking again writes nothing. And where nobody disturbs, one pass over the queue is enough,
 * without ever looking.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "fabric/reconcile.h"

#define DEVICE    7
#define OTHER_DEV 3
#define OWNERS    12
#define SLOTS     20 /* subnets 10.5.0.0/24 to 10.5.19.0/24, and as many MAC addresses */
#define FOREIGN_AREA                                                                               \
	5 /* in the first of them a foreign route may stand, and the vandal does nothing */
#define KERNEL_MAX  400
#define MAX_OBJECTS 4

struct world {
	uint64_t seed;
	struct reconcile *r;
	struct reconcile_owner owners[OWNERS];
	struct kernel_object wanted[OWNERS][MAX_OBJECTS];
	size_t wanted_len[OWNERS];
	struct kernel_object kernel[KERNEL_MAX];
	size_t kernel_len;
	bool ours_once[FOREIGN_AREA]; /* the wanted route of this slot has been in the kernel */
	unsigned refuse_percent;
	uint64_t writes;
	int64_t now_ms;
};

static unsigned below(struct world *w, unsigned limit)
{
	return (unsigned)(test_random(&w->seed) % limit);
}

static bool chance(struct world *w, unsigned percent)
{
	return below(w, 100) < percent;
}

static bool same_key(const struct kernel_object *a, const struct kernel_object *b)
{
	return memcmp(&a->key, &b->key, sizeof(a->key)) == 0;
}

static bool same(const struct kernel_object *a, const struct kernel_object *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* The simulated kernel. */

static void kernel_remove(struct world *w, size_t i)
{
	memmove(&w->kernel[i], &w->kernel[i + 1], (--w->kernel_len - i) * sizeof(w->kernel[0]));
}

static void kernel_append(struct world *w, const struct kernel_object *o)
{
	assert_true(w->kernel_len < KERNEL_MAX);
	w->kernel[w->kernel_len++] = *o;
}

static struct kernel_object *kernel_first(struct world *w, const struct kernel_object *o)
{
	for (size_t i = 0; i < w->kernel_len; i++) {
		if (same_key(&w->kernel[i], o))
			return &w->kernel[i];
	}
	return NULL;
}

static bool kernel_has(const struct world *w, const struct kernel_object *o)
{
	for (size_t i = 0; i < w->kernel_len; i++) {
		if (same(&w->kernel[i], o))
			return true;
	}
	return false;
}

/* As fib_table_insert does it: REPLACE takes the first in the slot, but not to make a twin of a
 * later one. */
static int kernel_put(struct world *w, const struct kernel_object *o, bool replace)
{
	struct kernel_object *first = kernel_first(w, o);

	if (!first) {
		kernel_append(w, o);
		return 0;
	}
	if (!replace)
		return -EEXIST;
	/* As vxlan_fdb_update does it with a nexthop object: says yes and does nothing. */
	if (first->value.extra && o->key.kind == KERNEL_FDB)
		return 0;
	if (!same(first, o) && kernel_has(w, o))
		return -EEXIST;
	*first = *o;
	return 0;
}

/* Neighbours and addresses are deleted by key, routes and FDB entries as they are. */
static int kernel_drop(struct world *w, const struct kernel_object *o)
{
	bool by_key = o->key.kind == KERNEL_NEIGHBOUR || o->key.kind == KERNEL_ELEMENT ||
		      o->key.kind == KERNEL_ADDRESS ||
		      (o->key.kind == KERNEL_FDB && o->value.extra);

	for (size_t i = 0; i < w->kernel_len; i++) {
		if (by_key ? same_key(&w->kernel[i], o) : same(&w->kernel[i], o)) {
			kernel_remove(w, i);
			return 0;
		}
	}
	return -ESRCH;
}

static void kernel_lose_device(struct world *w)
{
	for (size_t i = w->kernel_len; i-- > 0;) {
		if (w->kernel[i].key.ifindex == DEVICE || w->kernel[i].value.ifindex == DEVICE)
			kernel_remove(w, i);
	}
}

/* Objects by number. */

static struct ip_net subnet(unsigned slot)
{
	return (struct ip_net){ ip_addr_from_u128(AF_INET, 0x0a050000 + slot * 256), 24 };
}

static struct mac_addr mac(unsigned slot)
{
	return (struct mac_addr){ { 2, 0, 0, 0, 0, (uint8_t)slot } };
}

static struct kernel_object some_route(unsigned slot, unsigned gateway, uint32_t ifindex,
				       uint8_t protocol)
{
	struct ip_net dst = subnet(slot);
	struct ip_addr via = ip_addr_from_u128(AF_INET, 0x0a050000 + slot * 256 + gateway);

	return kernel_route(&dst, &via, ifindex, true, protocol);
}

static struct kernel_object some_fdb(unsigned slot, unsigned host)
{
	struct ip_addr remote = ip_addr_from_u128(AF_INET, 0xc0000200 + host);
	struct mac_addr m = mac(slot);

	return kernel_fdb(DEVICE, &m, &remote);
}

static struct kernel_object some_neighbour(unsigned slot, unsigned mac_slot)
{
	struct ip_net dst = subnet(slot);
	struct mac_addr m = mac(mac_slot);

	return kernel_neighbour(DEVICE, &dst.addr, &m);
}

/* Owners behind one address have the same. */
static struct kernel_object some_element(unsigned host)
{
	struct ip_addr addr = ip_addr_from_u128(AF_INET, 0xc0000200 + host);

	return kernel_element_addr(0, &addr);
}

/* What may happen. */

static void owner_changes(struct world *w)
{
	unsigned i = below(w, OWNERS);
	unsigned slot = below(w, SLOTS);
	unsigned mac_slot = chance(w, 80) ? slot : below(w, SLOTS);
	struct kernel_object objects[MAX_OBJECTS] = {
		some_element(below(w, 6)),
		some_fdb(mac_slot, below(w, 5)),
		some_neighbour(slot, mac_slot),
		/* Directly routed now and then, as a peer on the same link would be. */
		chance(w, 80) ? some_route(slot, 0, DEVICE, FABRIC_ROUTE_PROTOCOL)
			      : some_route(slot, 1, OTHER_DEV, FABRIC_ROUTE_PROTOCOL),
	};
	struct reconcile_owner *other = NULL;
	size_t len = chance(w, 30) ? 0 : 1 + below(w, MAX_OBJECTS);
	int rc = reconcile_want(w->r, &w->owners[i], objects, len, &other);

	if (rc == 0) {
		memcpy(w->wanted[i], objects, sizeof(objects));
		w->wanted_len[i] = len;
		return;
	}
	assert_int_equal(rc, -EEXIST);
	assert_true(other && other != &w->owners[i]);
}

static void vandal_strikes(struct world *w)
{
	unsigned slot = FOREIGN_AREA + below(w, SLOTS - FOREIGN_AREA);
	struct kernel_object o;

	switch (below(w, 5)) {
	case 0: /* removes something of ours */
	case 1:
		if (w->kernel_len > 0) {
			size_t i = below(w, (unsigned)w->kernel_len);
			unsigned area = w->kernel[i].key.dst[2];

			if (w->kernel[i].key.kind != KERNEL_ROUTE || area >= FOREIGN_AREA)
				kernel_remove(w, i);
		}
		return;
	case 2: /* alters or adds an FDB entry, perhaps with what we never write */
		o = some_fdb(slot, 5 + below(w, 5));
		if (chance(w, 50)) {
			struct kernel_object *first = kernel_first(w, &o);

			o.value.extra = KERNEL_EXTRA_ATTRIBUTES;
			if (first)
				*first = o;
			else
				kernel_append(w, &o);
			return;
		}
		break;
	case 3: /* a neighbour */
		o = some_neighbour(slot, below(w, SLOTS));
		break;
	default: /* a route on our device, instead of or beside ours */
		o = some_route(slot, 7 + below(w, 3), DEVICE, RTPROT_BOOT);
		if (chance(w, 50) && !kernel_has(w, &o)) {
			kernel_append(w, &o);
			return;
		}
		break;
	}
	kernel_put(w, &o, true);
}

static bool is_foreign(const struct kernel_object *o)
{
	return o->key.kind == KERNEL_ROUTE && o->value.protocol == RTPROT_STATIC;
}

/* Keeps ours_once true to its word. */
static void note_slots(struct world *w)
{
	for (unsigned slot = 0; slot < FOREIGN_AREA; slot++) {
		struct kernel_object o = some_route(slot, 0, DEVICE, FABRIC_ROUTE_PROTOCOL);
		const struct kernel_object *first = kernel_first(w, &o);
		bool wanted = false;

		for (size_t i = 0; i < OWNERS; i++) {
			for (size_t k = 0; k < w->wanted_len[i]; k++)
				wanted |= same_key(&w->wanted[i][k], &o);
		}
		w->ours_once[slot] =
			wanted && (w->ours_once[slot] || (first && !is_foreign(first)));
	}
}

/*
 * Somebody else's route comes where nothing stands, or goes. It does not come where ours was lost:
 * such a slot is taken back.
 */
static void foreigner_acts(struct world *w)
{
	unsigned slot = below(w, FOREIGN_AREA);
	struct kernel_object o = some_route(slot, 99, OTHER_DEV, RTPROT_STATIC);

	if (kernel_has(w, &o))
		kernel_drop(w, &o);
	else if (!w->ours_once[slot])
		kernel_put(w, &o, false);
}

static void look(struct world *w, unsigned kind)
{
	w->now_ms += below(w, 2000);
	reconcile_tick(w->r, w->now_ms);
	reconcile_observe_begin(w->r, kind);
	for (size_t i = 0; i < w->kernel_len; i++)
		reconcile_observe(w->r, &w->kernel[i]);
	reconcile_observe_end(w->r);
}

/* The writes that are announced, to be compared with those that come. */
struct announced {
	enum kernel_verb action[KERNEL_MAX];
	struct kernel_object object[KERNEL_MAX];
	unsigned len;
};

static void announce(void *arg, enum kernel_verb action, const struct kernel_object *o)
{
	struct announced *a = arg;

	assert_true(a->len < KERNEL_MAX);
	a->action[a->len] = action;
	a->object[a->len++] = *o;
}

/* Carries out at most `max` writes; returns how many. */
static unsigned flush(struct world *w, unsigned max)
{
	const struct kernel_object *object;
	uint32_t entry;
	auto_free struct announced *announced = xcalloc(1, sizeof(*announced));
	enum kernel_verb action;
	unsigned kinds = 0;
	unsigned count = 0;

	reconcile_pending_visit(w->r, announce, announced);
	for (unsigned i = 0; i < announced->len; i++)
		kinds |= 1u << announced->object[i].key.kind;
	assert_int_equal(reconcile_pending_kinds(w->r), kinds);
	while (count < max && reconcile_next(w->r, &action, &object, &entry)) {
		struct kernel_object o = *object;
		int rc;

		if (count >= announced->len || announced->action[count] != action ||
		    !same(&announced->object[count], &o))
			fail_msg("seed %lu: a write that was not announced", w->seed);
		count++;
		if (chance(w, w->refuse_percent))
			rc = chance(w, 50) ? -ENETDOWN : -EINVAL;
		else if (action == KERNEL_DROP)
			rc = kernel_drop(w, &o);
		else {
			struct kernel_object whatever = o;

			whatever.value.extra = KERNEL_EXTRA_ATTRIBUTES;
			if (action == KERNEL_REMAKE)
				kernel_drop(w, &whatever);
			rc = kernel_put(w, &o, action != KERNEL_CREATE);
		}
		if (rc < 0)
			reconcile_refused(w->r, entry, rc, strerror(-rc));
		else
			w->writes++;
	}
	assert_true(count == max || count == announced->len);
	return count;
}

static bool is_wanted(const struct world *w, const struct kernel_object *o)
{
	for (size_t i = 0; i < OWNERS; i++) {
		for (size_t k = 0; k < w->wanted_len[i]; k++) {
			if (same(&w->wanted[i][k], o))
				return true;
		}
	}
	return false;
}

static void fail_object(uint64_t seed, unsigned step, const char *what,
			const struct kernel_object *o)
{
	char text[KERNEL_OBJECT_TEXT];

	fail_msg("seed %lu, step %u: %s: %s", seed, step, what, kernel_object_format(o, text));
}

/* The kernel has what is wanted and what is foreign, and nothing else. */
static void check(struct world *w, uint64_t seed, unsigned step)
{
	size_t unsettled = 0;

	for (size_t i = 0; i < w->kernel_len; i++) {
		if (!is_foreign(&w->kernel[i]) && !is_wanted(w, &w->kernel[i]))
			fail_object(seed, step, "is there and not wanted", &w->kernel[i]);
	}
	for (size_t i = 0; i < OWNERS; i++) {
		unsigned owner_unsettled = 0;

		for (size_t k = 0; k < w->wanted_len[i]; k++) {
			const struct kernel_object *first = kernel_first(w, &w->wanted[i][k]);

			if (first && is_foreign(first))
				owner_unsettled++;
			else if (!first || !same(first, &w->wanted[i][k]))
				fail_object(seed, step, "is wanted and not there",
					    &w->wanted[i][k]);
		}
		/* It is said for each owner how much of it is not as wanted. */
		if (w->owners[i].unsettled != owner_unsettled)
			fail_msg("seed %lu, step %u: owner %zu has %u unsettled, said are %u", seed,
				 step, i, owner_unsettled, w->owners[i].unsettled);
		unsettled += owner_unsettled;
	}
	assert_int_equal(reconcile_counts(w->r)->unsettled, unsettled);
}

static void look_at_all(struct world *w)
{
	for (unsigned k = 0; k < KERNEL_KINDS; k++)
		look(w, k);
}

static void world_init(struct world *w, uint64_t seed)
{
	struct kernel_marks scope = { .ifindexes = { DEVICE },
				      .ifindexes_len = 1,
				      .networks = { test_net("10.5.0.0/16") },
				      .sets_len = 1 };

	memset(w, 0, sizeof(*w));
	w->seed = seed * 0x9e3779b97f4a7c15u + 1;
	w->r = reconcile_new();
	reconcile_set_marks(w->r, &scope);
}

static void anything_happens(struct world *w)
{
	unsigned dice = below(w, 100);

	if (dice < 40) {
		owner_changes(w);
	} else if (dice < 55) {
		vandal_strikes(w);
	} else if (dice < 60) {
		foreigner_acts(w);
	} else if (dice < 75) {
		look(w, below(w, KERNEL_KINDS));
	} else if (dice < 98) {
		flush(w, below(w, 20));
	} else {
		kernel_lose_device(w);
		reconcile_forget_device(w->r, DEVICE);
	}
	note_slots(w);
}

static size_t count_foreign(const struct world *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->kernel_len; i++)
		n += is_foreign(&w->kernel[i]);
	return n;
}

static void settle(struct world *w, uint64_t seed)
{
	for (unsigned round = 0; round < 4; round++) {
		uint64_t writes = w->writes;

		look_at_all(w);
		flush(w, UINT32_MAX);
		if (round > 0 && w->writes == writes)
			return;
	}
	fail_msg("seed %lu: still writing after 4 rounds", seed);
}

static void test_when_faults_stop_the_kernel_is_as_wanted(void **state)
{
	(void)state;
	auto_free struct world *w = xmalloc(sizeof(*w));

	for (uint64_t seed = 1; seed <= 300; seed++) {
		size_t foreign;

		world_init(w, seed);
		w->refuse_percent = seed % 3 ? 5 : 0;
		for (unsigned step = 0; step < 400; step++)
			anything_happens(w);
		/* Quiet. */
		w->refuse_percent = 0;
		foreign = count_foreign(w);
		settle(w, seed);
		check(w, seed, 0);
		assert_int_equal(count_foreign(w), foreign);
		/* Without foreign routes in the way nothing at all is even tried. */
		for (size_t i = w->kernel_len; i-- > 0;) {
			if (is_foreign(&w->kernel[i]))
				kernel_remove(w, i);
		}
		look_at_all(w);
		flush(w, UINT32_MAX);
		check(w, seed, 1);
		look_at_all(w);
		if (flush(w, UINT32_MAX))
			fail_msg("seed %lu: writes although nothing differs", seed);
		reconcile_free(w->r);
	}
}

/* Nobody else writes: then what was queued is enough, with no look at the kernel. */
static void test_undisturbed_one_flush_is_enough(void **state)
{
	(void)state;
	auto_free struct world *w = xmalloc(sizeof(*w));

	for (uint64_t seed = 1; seed <= 200; seed++) {
		world_init(w, seed);
		for (unsigned step = 0; step < 150; step++) {
			for (unsigned n = below(w, 8); n > 0; n--)
				owner_changes(w);
			if (chance(w, 50))
				flush(w, below(w, 10));
			if (chance(w, 20))
				look(w, below(w, KERNEL_KINDS));
			if (chance(w, 40)) {
				flush(w, UINT32_MAX);
				check(w, seed, step);
			}
		}
		reconcile_free(w->r);
	}
}

/* A new daemon in a world that another has left: finds everything, writes nothing. */
static void test_a_second_start_writes_nothing(void **state)
{
	(void)state;
	auto_free struct world *w = xmalloc(sizeof(*w));

	for (uint64_t seed = 1; seed <= 100; seed++) {
		bool looks_first = seed & 1;
		struct reconcile *old;
		struct kernel_marks scope = { .ifindexes = { DEVICE },
					      .ifindexes_len = 1,
					      .networks = { test_net("10.5.0.0/16") },
					      .sets_len = 1 };

		world_init(w, seed);
		for (unsigned step = 0; step < 60; step++)
			owner_changes(w);
		flush(w, UINT32_MAX);
		old = w->r;
		w->r = reconcile_new();
		reconcile_set_marks(w->r, &scope);
		memset(w->owners, 0, sizeof(w->owners));
		if (looks_first)
			look_at_all(w);
		for (size_t i = 0; i < OWNERS; i++) {
			struct reconcile_owner *other;

			assert_int_equal(reconcile_want(w->r, &w->owners[i], w->wanted[i],
							w->wanted_len[i], &other),
					 0);
		}
		if (!looks_first)
			look_at_all(w);
		assert_int_equal(flush(w, UINT32_MAX), 0);
		check(w, seed, 0);
		reconcile_free(old);
		reconcile_free(w->r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_when_faults_stop_the_kernel_is_as_wanted),
		cmocka_unit_test(test_undisturbed_one_flush_is_enough),
		cmocka_unit_test(test_a_second_start_writes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
