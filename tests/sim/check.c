/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold.
 *
 *   P1   no two running hosts hold overlapping subnets. Where every lease is kept as it should be:
 *        at no instant, however hosts are cut off, crash or pause (a paused one does nothing, and
 *        has a second after it to look at the clock). Where somebody deletes keys or a store
 *        forgets: until both hosts could hear of it, and no longer.
 *   P3   when faults stop, every host knows exactly what the store holds, and holds a lease, or
 *        says whose it is that is in its way.
 *   P9   requests, requests under way and notes of a minute are bounded, notes by peers.
 *   P10  no host says that it holds what the store does not have, longer than it takes to hear of
 *        it, or for the life of its lease if it cannot hear anything.
 */
#include "tests/sim/world.h"

#include "subnet/pool.h"

#define GRACE        (60 * SECOND)
#define GRACE_LIST   (440 * SECOND) /* the next list tells what the watch did not */
#define RESUME_GRACE SECOND
#define REQUESTS_MAX 150
#define NOTES_MAX    100
#define NOTES_A_PEER 3 /* where there are many: it joins, is another, leaves */
#define IN_FLIGHT    12

static int64_t grace(const struct world *w)
{
	return w->unsafe ? GRACE + GRACE_LIST : GRACE;
}

/* Since when nothing keeps this host from knowing the truth; now, if something does. */
static int64_t undisturbed_since(const struct host *h)
{
	if (!host_reachable(h) || h->paused_until > h->w->now)
		return h->w->now;
	return MAX(h->disturbed_at, h->w->store_disturbed_at);
}

static void drop_overlaps(struct world *w, const struct host *h)
{
	size_t kept = 0;

	for (size_t i = 0; i < w->overlaps_len; i++) {
		if (w->overlaps[i].a != h && w->overlaps[i].b != h)
			w->overlaps[kept++] = w->overlaps[i];
	}
	w->overlaps_len = kept;
}

static bool just_resumed(const struct host *h)
{
	return h->paused_until > 0 && h->w->now - h->paused_until <= RESUME_GRACE;
}

static void judge_overlap(struct world *w, const struct overlap *o)
{
	char subnet[SUBNET_KEY_TEXT];
	int64_t undisturbed = MAX(undisturbed_since(o->a), undisturbed_since(o->b));
	int64_t since = MAX(o->since, undisturbed);

	if (w->unsafe ? w->now - since > grace(w) : !just_resumed(o->a) && !just_resumed(o->b))
		world_violation(w, o->a, "P1: holds %s, and so does host-%u, for %lld ms",
				subnet_format(&o->a->held_subnet, subnet), o->b->index,
				(long long)(w->now - o->since));
}

static void find_overlaps(struct host *h)
{
	struct world *w = h->w;

	for (unsigned i = 0; i < w->hosts_len; i++) {
		struct host *other = &w->hosts[i];
		struct overlap o = { h, other, w->now };

		if (other == h || !other->held ||
		    !subnet_overlaps(&h->held_subnet, &other->held_subnet))
			continue;
		GROW(w->overlaps, w->overlaps_len, w->overlaps_cap);
		w->overlaps[w->overlaps_len++] = o;
		judge_overlap(w, &o);
	}
}

static void check_bounds(struct host *h)
{
	struct world *w = h->w;
	unsigned notes_max = MAX((unsigned)NOTES_MAX, NOTES_A_PEER * w->hosts_len);

	if (w->now - h->window_at >= MINUTE) {
		h->window_at = w->now;
		h->window_requests = h->requests;
		h->window_notes = h->notes;
	}
	if (h->requests - h->window_requests > REQUESTS_MAX)
		world_violation(w, h, "P9: more than %d requests within a minute", REQUESTS_MAX);
	if (h->notes - h->window_notes > notes_max)
		world_violation(w, h, "P9: more than %u notes within a minute", notes_max);
	if (h->in_flight > IN_FLIGHT)
		world_violation(w, h, "P9: %u requests under way", h->in_flight);
}

void check_host(struct host *h)
{
	struct manager_view v = { 0 };
	bool held;

	if (h->m)
		manager_view(h->m, &v);
	held = h->m && v.state == MANAGER_HELD && h->paused_until <= h->w->now;
	check_bounds(h);
	if (held == h->held && (!held || subnet_equal(&h->held_subnet, &v.own->subnet)))
		return;
	h->held = held;
	h->untrue_since = NEVER;
	drop_overlaps(h->w, h);
	if (held) {
		h->held_subnet = v.own->subnet;
		find_overlaps(h);
	}
}

/* What the store has under this host's key, if it is this host's. */
static const struct mem_entry *own_entry(const struct host *h, const struct subnet *own)
{
	char subnet[SUBNET_KEY_TEXT];
	char key[SUBNET_KEY_TEXT + sizeof(MEM_DB_SUBNETS_PREFIX)];
	const struct mem_entry *e;

	snprintf(key, sizeof(key), "%s%s", MEM_DB_SUBNETS_PREFIX, subnet_key_format(own, subnet));
	e = mem_db_get(h->w->db, key);
	if (!e || !e->lease || !e->lease->node_id || strcmp(e->lease->node_id, h->node_id) != 0 ||
	    (h->same_as_other && !ip_addr_equal(&e->lease->public_v4, &h->address)))
		return NULL;
	return e;
}

static void check_honesty(struct host *h)
{
	struct world *w = h->w;
	struct manager_view v;
	int64_t since;

	if (!h->held)
		return;
	if (own_entry(h, &h->held_subnet)) {
		h->untrue_since = NEVER;
		return;
	}
	h->untrue_since = MIN(h->untrue_since, w->now);
	since = MAX(h->untrue_since, undisturbed_since(h));
	manager_view(h->m, &v);
	if (w->now - since > grace(w) ||
	    (v.own->flags & LEASE_EXPIRES && w->now - h->untrue_since > w->ttl_s * 1000 + grace(w)))
		world_violation(w, h, "P10: says it holds what the store does not have, for %lld s",
				(long long)((w->now - h->untrue_since) / SECOND));
}

void check_now(struct world *w)
{
	for (size_t i = 0; i < w->overlaps_len; i++)
		judge_overlap(w, &w->overlaps[i]);
	for (unsigned i = 0; i < w->hosts_len; i++)
		check_honesty(&w->hosts[i]);
}

/* ---- at the end ---- */

struct picture {
	struct host *h;
	struct manager_view view;
	size_t leases;
	size_t junk;
	size_t mine;     /* leases with this host's id that will run out */
	bool in_the_way; /* another's lease overlaps what this host has */
	struct ip_net *taken;
};

static void compare_entry(void *arg, const struct mem_entry *e)
{
	struct picture *p = arg;
	const struct manager_member *member;

	p->junk += e->junk != NULL;
	if (!e->lease)
		return;
	p->leases++;
	p->mine += !(e->lease->flags & LEASE_RESERVED) && e->lease->node_id &&
		   strcmp(e->lease->node_id, p->h->node_id) == 0 &&
		   ip_addr_equal(&e->lease->public_v4, &p->h->address);
	member = manager_member_of(p->view.members, &e->lease->subnet);
	if (!member)
		world_violation(p->h->w, p->h, "P3: does not know %s", e->key);
	else if (member->lease->mod_revision != e->mod_revision ||
		 !lease_equal(member->lease, e->lease))
		world_violation(p->h->w, p->h, "P3: knows %s of revision %llu, it is of %llu",
				e->key, (unsigned long long)member->lease->mod_revision,
				(unsigned long long)e->mod_revision);
	else if (!member->own && !member->user)
		world_violation(p->h->w, p->h, "P3: has not told of the peer %s", e->key);
	if (p->view.own && subnet_overlaps(&e->lease->subnet, &p->view.own->subnet) &&
	    (!e->lease->node_id || strcmp(e->lease->node_id, p->h->node_id) != 0 ||
	     p->h->same_as_other ||
	     /* Its own of before it moved, in an earlier life; but that the store is another it
	      * cannot see, and so it may be a copied disk image's: it waits until it runs out. */
	     (p->h->w->restored_unseen && !ip_addr_equal(&e->lease->public_v4, &p->h->address))))
		p->in_the_way = true;
}

static void collect(void *arg, const struct mem_entry *e)
{
	struct picture *p = arg;

	if (e->lease && ip_net_is_set(&e->lease->subnet.v4))
		p->taken[p->leases++] = e->lease->subnet.v4;
}

static bool is_full(const struct world *w, const struct manager_view *v)
{
	auto_free struct ip_net *taken = xmalloc((mem_db_keys(w->db) + 1) * sizeof(*taken));
	struct picture p = { .taken = taken };

	mem_db_each(w->db, collect, &p);
	return v->config && pool_free_count(&v->config->v4, taken, p.leases) == 0;
}

static void check_own(struct host *h, const struct manager_view *v)
{
	const struct mem_entry *e = own_entry(h, &v->own->subnet);
	auto_lease struct lease *want = host_attributes(h);

	if (!e) {
		world_violation(h->w, h, "P3: the store does not have what it holds");
		return;
	}
	if (!ip_addr_equal(&want->public_v4, &e->lease->public_v4) || !e->lease->backend_data ||
	    strcmp(want->backend_data, e->lease->backend_data) != 0)
		world_violation(h->w, h, "P3: the store has not what it publishes");
	if (e->handle &&
	    (!v->expires_ms || mem_db_time_left(h->w->db, h->w->now, e->handle) == 0 ||
	     h->w->now + mem_db_time_left(h->w->db, h->w->now, e->handle) * 1000 < v->expires_ms))
		world_violation(h->w, h, "P10: shows another end of its lease than the store has");
	if (lease_is_unbound(e->lease))
		world_violation(h->w, h, "P4: its key has no end, and nobody has decided that");
	if (!e->handle && v->expires_ms)
		world_violation(h->w, h, "P10: shows an end of a reservation");
}

/* The store has given it another subnet than its containers use, and says so. */
static bool is_reassigned(const struct host *h, const struct manager_view *v)
{
	struct subnet subnet;

	return mem_db_assigned(h->w->db, h->name, &subnet) && v->own && v->state_problem &&
	       strcmp(v->state_problem, "subnet-reassigned") == 0 &&
	       !subnet_equal(&subnet, &v->own->subnet);
}

static void check_at_end(struct host *h)
{
	struct picture p = { .h = h };
	const struct manager_view *v = &p.view;

	manager_view(h->m, &p.view);
	mem_db_each(h->w->db, compare_entry, &p);
	if (p.leases != v->members_len)
		world_violation(h->w, h, "P3: knows %zu leases, the store has %zu", v->members_len,
				p.leases);
	if (p.junk != v->junk_len)
		world_violation(h->w, h, "P3: knows %zu junk keys, the store has %zu", v->junk_len,
				p.junk);
	if (!v->watch_live && v->state >= MANAGER_HELD)
		world_violation(h->w, h, "P3: does not watch: %s", v->watch_reason);
	if (v->state == MANAGER_HELD)
		check_own(h, v);
	else if (!v->reason[0])
		world_violation(h->w, h, "P10: %s without a reason", manager_state_name(v->state));
	else if (!(v->state == MANAGER_CONFLICT && (p.in_the_way || is_reassigned(h, v))) &&
		 !(v->state == MANAGER_CLAIMING && is_full(h->w, v)))
		world_violation(h->w, h, "P3: is still %s: %s", manager_state_name(v->state),
				v->reason);
	if (v->state == MANAGER_HELD && p.mine > 1 && !h->same_as_other)
		world_violation(h->w, h, "P4: has left %zu leases behind", p.mine - 1);
	if (v->state == MANAGER_HELD && v->reason[0])
		world_violation(h->w, h, "P10: complains though nothing is wrong: %s", v->reason);
}

void check_end(struct world *w)
{
	for (unsigned i = 0; i < w->hosts_len && !w->violation; i++) {
		if (w->hosts[i].m)
			check_at_end(&w->hosts[i]);
	}
}
