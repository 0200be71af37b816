/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/peers.h"

#include <errno.h>

#include "fabric/peers_internal.h"
#include "kernel/marks.h"

/* IPv6 knows nothing behind it; IPv4 takes it as it takes any. */
#define BLACKHOLE_METRIC 0xffffffffu
#define QUEUE_KEPT       64 /* places of it, while it is empty */

enum verdict {
	USED,
	VACANT,  /* right as it is, and nothing to be done */
	REFUSED, /* of no use to anybody: has nothing */
	USELESS, /* of no use to this host: its subnets are taken all the same, as elsewhere */
	WAITS,
};

/* ---- the judgement ---- */

/* What the lease says is read once for each change of it. */
static int want_of_backend(struct peers *ps, struct peer *p, struct err *e)
{
	const struct backend *b = ps->place.backend;
	struct backend_path paths[2] = { 0 };

	if (!p->parsed && backend_parse(b->type, p->member->lease, &p->data, e) < 0)
		return e->code;
	p->parsed = true;
	if (b->needs_paths)
		ps->ops->paths(ps->arg, p->member->lease, paths);
	return backend_want_peer(b, p->member->lease, p->data, paths, &ps->wants, e);
}

static void forget_parsed(struct peer *p)
{
	free(STEAL(p->data));
	p->parsed = false;
}

/* The slot of an object that an older lease has, or this host itself. */
static const struct kernel_key *older_holder(const struct peers *ps, const struct peer *p,
					     struct reconcile_owner **ret)
{
	for (size_t i = 0; i < ps->wants.len; i++) {
		const struct kernel_key *key = &ps->wants.items[i].key;
		struct reconcile_owner *o = reconcile_holder(ps->reconcile, key);

		if (o && o != &p->owner && (o == &ps->own || peers_is_older((struct peer *)o, p))) {
			*ret = o;
			return key;
		}
	}
	return NULL;
}

static enum verdict decide(struct peers *ps, struct peer *p, struct slot *ret_awaited,
			   struct err *e)
{
	struct reconcile_owner *holder = NULL;
	const struct kernel_key *key;
	const struct peer *older;
	char text[SUBNET_KEY_TEXT];

	if (peers_check(&ps->place, p->member->lease, e) < 0)
		return REFUSED;
	older = peers_older_overlapping(ps, p);
	if (older) {
		bool v4 = ip_net_overlaps(peers_net(older, 0), peers_net(p, 0));

		*ret_awaited = peers_slot_of_net(peers_net(older, v4 ? 0 : 1));
		err_set(e, -EEXIST, "overlaps the older lease %s",
			subnet_format(&older->member->lease->subnet, text));
		return WAITS;
	}
	if (peers_is_vacant(p->member->lease))
		return VACANT;
	if (want_of_backend(ps, p, e) < 0)
		return USELESS;
	key = older_holder(ps, p, &holder);
	if (key) {
		*ret_awaited = peers_slot_of_key(key);
		err_set(e, -EEXIST, "uses the same MAC, address or route as %s",
			holder == &ps->own
				? "this host"
				: subnet_format(&((struct peer *)holder)->member->lease->subnet,
						text));
		return WAITS;
	}
	return USED;
}

static void want_nothing(struct peers *ps, struct reconcile_owner *owner)
{
	struct reconcile_owner *nobody;

	if (reconcile_want(ps->reconcile, owner, NULL, 0, &nobody) < 0)
		abort(); /* nothing can be in the way of nothing */
}

static void give_way(struct peers *ps, struct peer *p)
{
	peers_note_slots(ps, p);
	peers_leave_nets(ps, p);
	want_nothing(ps, &p->owner);
	peers_enqueue(ps, p);
}

/* Whoever else has one of these subnets is younger. */
static void clear_nets(struct peers *ps, const struct peer *p)
{
	for (size_t family = 0; family < ARRAY_LEN(ps->nets); family++) {
		struct peer *younger;

		while ((younger = peers_next_overlapping(ps, peers_net(p, family), NULL)))
			give_way(ps, younger);
	}
}

/* What is wanted becomes the owner's; whoever else has some of it is younger. */
static void take_objects(struct peers *ps, struct reconcile_owner *owner)
{
	struct reconcile_owner *other;

	while (reconcile_want(ps->reconcile, owner, ps->wants.items, ps->wants.len, &other) < 0)
		give_way(ps, (struct peer *)other);
}

/*
 * The addresses a peer sends from: published and, behind NAT, source. Of families that are in use,
 * in which they have been judged. Behind another NAT a peer may well have our own address as its
 * source; from there no packet comes with it.
 */
static void want_guard(struct peers *ps, const struct lease *l)
{
	const struct ip_addr *addrs[] = { &l->public_v4, &l->source_v4, &l->public_v6,
					  &l->source_v6 };

	for (size_t i = 0; i < ARRAY_LEN(addrs); i++) {
		uint8_t set = i < 2 ? TRAFFIC_PEERS : TRAFFIC_PEERS_V6;
		bool enabled = i < 2 ? ps->place.v4.enabled : ps->place.v6.enabled;
		const struct ip_addr *local = i < 2 ? &ps->place.local_v4 : &ps->place.local_v6;
		struct kernel_object o;

		if (!enabled || !ip_addr_is_set(addrs[i]) || ip_addr_equal(addrs[i], local) ||
		    (i % 2 && ip_addr_equal(addrs[i], addrs[i - 1])))
			continue;
		o = kernel_element_addr(set, addrs[i]);
		wants_add(&ps->wants, &o);
	}
}

static void count_reserved(struct peers *ps, struct peer *p, bool reserved)
{
	ps->counts.reserved += (size_t)reserved - p->reserved;
	p->reserved = reserved;
}

static void judge(struct peers *ps, struct peer *p)
{
	const struct lease *l = p->member->lease;
	bool was_ignored = p->trouble != NULL;
	enum verdict verdict;
	struct slot awaited;
	struct err e = { 0 };
	bool ignored;
	bool news;

	ps->counts.judged_total++;
	ps->wants.len = 0;
	peers_note_slots(ps, p);
	peers_leave_nets(ps, p);
	verdict = decide(ps, p, &awaited, &e);
	if (verdict != USED)
		ps->wants.len = 0;
	if (verdict == USED || verdict == USELESS) {
		clear_nets(ps, p);
		peers_take_nets(ps, p);
	}
	/* Nothing to write is right for some backends, but not while a device is missing. */
	p->wanted = ps->wants.len > 0 || ps->place.devices_ok;
	if (verdict == USED && ps->place.guard)
		want_guard(ps, l);
	take_objects(ps, &p->owner);
	ignored = verdict != USED && verdict != VACANT;
	count_reserved(ps, p, !ignored && l->flags & LEASE_RESERVED && !l->node_id);
	news = ignored && (!was_ignored || strcmp(p->trouble->reason, e.text) != 0);
	peers_set_trouble(ps, p, ignored ? e.text : NULL, verdict == WAITS ? &awaited : NULL);
	peers_wake(ps);
	ps->ops->judged(ps->arg, p, verdict == USED, news ? p->trouble->reason : NULL);
	p->changed = false;
}

static int by_age(const void *a, const void *b)
{
	const struct peer *x = *(const struct peer *const *)a;
	const struct peer *y = *(const struct peer *const *)b;

	return x == y ? 0 : peers_is_older(x, y) ? -1 : 1;
}

bool peers_judge_some(struct peers *ps, size_t max)
{
	/* What is in order is a heap. */
	if (ps->queue_unordered)
		qsort(ps->queue, ps->queue_len, sizeof(struct peer *), by_age);
	ps->queue_unordered = false;
	for (size_t n = 0; n < max && ps->queue_len; n++)
		judge(ps, peers_dequeue(ps));
	if (ps->queue_len)
		return false;
	if (ps->queue_cap > QUEUE_KEPT) {
		free(STEAL(ps->queue));
		ps->queue_cap = 0;
	}
	return true;
}

void peers_judge(struct peers *ps)
{
	peers_judge_some(ps, SIZE_MAX);
}

/* ---- the set of peers ---- */

struct peers *peers_new(struct reconcile *r, const struct peers_ops *ops, void *arg)
{
	struct peers *ps = xcalloc(1, sizeof(*ps));

	ps->reconcile = r;
	ps->ops = ops;
	ps->arg = arg;
	peers_init_slots(ps);
	return ps;
}

static void free_peer(struct peers *ps, struct peer *p)
{
	LIST_REMOVE(p, link);
	ps->counts.len--;
	count_reserved(ps, p, false);
	forget_parsed(p);
	free(p->trouble);
	free(p);
}

void peers_free(struct peers *ps)
{
	if (!ps)
		return;
	while (!LIST_EMPTY(&ps->all))
		free_peer(ps, LIST_FIRST(&ps->all));
	wants_fini(&ps->wants);
	free(ps->queue);
	free(ps->freed);
	free(ps);
}

struct peer *peers_add(struct peers *ps, const struct manager_member *member)
{
	struct peer *p = xcalloc(1, sizeof(*p));

	p->member = member;
	p->born = member->lease->born;
	LIST_INSERT_HEAD(&ps->all, p, link);
	ps->counts.len++;
	peers_enqueue(ps, p);
	return p;
}

/* Another one under the same key is as young as its birth: it has nothing any more. */
static void renew(struct peers *ps, struct peer *p, uint64_t born)
{
	auto_free char *reason = p->trouble ? xstrdup(p->trouble->reason) : NULL;

	peers_note_slots(ps, p);
	peers_leave_nets(ps, p);
	peers_set_trouble(ps, p, reason, NULL);
	p->born = born;
	ps->queue_unordered |= p->queued;
}

void peers_change(struct peers *ps, struct peer *p)
{
	uint64_t born = p->member->lease->born;

	forget_parsed(p);
	p->changed = true;
	if (born != p->born) {
		renew(ps, p, born);
		want_nothing(ps, &p->owner);
		peers_wake(ps);
	}
	peers_enqueue(ps, p);
}

void peers_remove(struct peers *ps, struct peer *p)
{
	peers_note_slots(ps, p);
	peers_leave_nets(ps, p);
	want_nothing(ps, &p->owner);
	peers_set_trouble(ps, p, NULL, NULL);
	for (size_t i = 0; i < ps->queue_len && p->queued; i++) {
		if (ps->queue[i] != p)
			continue;
		ps->queue[i] = ps->queue[--ps->queue_len];
		ps->queue_unordered = ps->queue_len > 0;
		p->queued = false;
	}
	peers_wake(ps);
	free_peer(ps, p);
}

/* Behind everything else that leads into the own subnet. */
static void want_blackholes(struct peers *ps)
{
	const struct ip_net *nets[] = { &ps->place.own.v4, &ps->place.own.v6 };

	for (size_t i = 0; i < ARRAY_LEN(nets); i++) {
		struct kernel_object o;

		if (!ip_net_is_set(nets[i]))
			continue;
		o = kernel_route_blackhole(nets[i], FABRIC_ROUTE_PROTOCOL);
		o.key.metric = BLACKHOLE_METRIC;
		wants_add(&ps->wants, &o);
	}
}

void peers_set_place(struct peers *ps, const struct peers_place *place)
{
	struct peer *p;

	/* What was read is read again: another backend may read it. */
	if (place->backend != ps->place.backend) {
		LIST_FOREACH (p, &ps->all, link)
			forget_parsed(p);
	}
	ps->place = *place;
	ps->wants.len = 0;
	backend_want_own(place->backend, &place->own, &ps->wants);
	if (place->blackhole)
		want_blackholes(ps);
	take_objects(ps, &ps->own);
	ps->freed_len = 0;
	LIST_FOREACH (p, &ps->all, link)
		peers_enqueue(ps, p);
}

/* ---- what status asks ---- */

struct reconcile_owner *peers_own(struct peers *ps)
{
	return &ps->own;
}

const char *peers_state(const struct peers *ps, const struct peer *p, const char **ret_reason)
{
	const char *error = p ? reconcile_owner_error(ps->reconcile, &p->owner) : NULL;

	*ret_reason = "";
	if (!p)
		return "pending";
	if (p->trouble) {
		*ret_reason = p->trouble->reason;
		return "ignored";
	}
	if (error) {
		*ret_reason = error;
		return "failed";
	}
	return p->owner.unsettled || !p->wanted ? "pending" : "ok";
}

const struct peer *peers_ignored(const struct peers *ps, const char **ret_reason)
{
	const struct peer_trouble *t = TAILQ_FIRST(&ps->troubles);

	if (!t)
		return NULL;
	*ret_reason = t->reason;
	return t->peer;
}

struct peer *peers_next(const struct peers *ps, const struct peer *p)
{
	return p ? LIST_NEXT(p, link) : LIST_FIRST(&ps->all);
}

const struct peers_counts *peers_counts(const struct peers *ps)
{
	return &ps->counts;
}

const struct peer *peers_of_owner(const struct peers *ps, const struct reconcile_owner *owner)
{
	return owner == &ps->own ? NULL : CONTAINER_OF(owner, struct peer, owner);
}
