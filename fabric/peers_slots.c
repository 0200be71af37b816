/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/peers_internal.h"

bool peers_is_older(const struct peer *a, const struct peer *b)
{
	return a->born != b->born ? a->born < b->born
				  : memcmp(&a->member->lease->subnet, &b->member->lease->subnet,
					   sizeof(a->member->lease->subnet)) < 0;
}

/* ---- who has which subnet ---- */

static struct peer *peer_of_net(const struct tree_node *n, size_t family)
{
	return (struct peer *)((char *)(uintptr_t)n - offsetof(struct peer, nets) -
			       family * sizeof(*n));
}

static size_t family_of(const struct ip_net *net)
{
	return net->addr.family == AF_INET ? 0 : 1;
}

static int compare_address(const struct ip_net *a, const struct ip_net *b)
{
	return memcmp(a->addr.b, b->addr.b, sizeof(a->addr.b));
}

static int compare_v4(const struct tree_node *a, const struct tree_node *b)
{
	return compare_address(peers_net(peer_of_net(a, 0), 0), peers_net(peer_of_net(b, 0), 0));
}

static int compare_v6(const struct tree_node *a, const struct tree_node *b)
{
	return compare_address(peers_net(peer_of_net(a, 1), 1), peers_net(peer_of_net(b, 1), 1));
}

static int place_net(const void *key, const struct tree_node *n)
{
	const struct ip_net *net = key;
	size_t family = family_of(net);
	const struct ip_net *other = peers_net(peer_of_net(n, family), family);

	return ip_net_overlaps(net, other) ? 0 : compare_address(net, other);
}

struct peer *peers_next_overlapping(const struct peers *ps, const struct ip_net *net,
				    const struct peer *p)
{
	size_t family = family_of(net);
	const struct tree_node *n;
	struct peer *found;

	if (!ip_net_is_set(net))
		return NULL;
	n = p ? tree_next(&ps->nets[family], &p->nets[family])
	      : tree_find(&ps->nets[family], place_net, net);
	if (!n)
		return NULL;
	found = peer_of_net(n, family);
	return ip_net_overlaps(net, peers_net(found, family)) ? found : NULL;
}

struct peer *peers_older_overlapping(const struct peers *ps, const struct peer *p)
{
	for (size_t family = 0; family < ARRAY_LEN(ps->nets); family++) {
		const struct ip_net *net = peers_net(p, family);
		struct peer *other = NULL;

		while ((other = peers_next_overlapping(ps, net, other))) {
			if (peers_is_older(other, p))
				return other;
		}
	}
	return NULL;
}

void peers_take_nets(struct peers *ps, struct peer *p)
{
	p->holds = true;
	for (size_t family = 0; family < ARRAY_LEN(ps->nets); family++) {
		if (ip_net_is_set(peers_net(p, family)))
			tree_add(&ps->nets[family], &p->nets[family]);
	}
}

void peers_leave_nets(struct peers *ps, struct peer *p)
{
	if (!p->holds)
		return;
	p->holds = false;
	for (size_t family = 0; family < ARRAY_LEN(ps->nets); family++) {
		if (ip_net_is_set(peers_net(p, family)))
			tree_remove(&ps->nets[family], &p->nets[family]);
	}
}

/* ---- who waits for what ---- */

struct slot peers_slot_of_net(const struct ip_net *net)
{
	struct slot s;

	memset(&s, 0, sizeof(s));
	s.net = *net;
	return s;
}

struct slot peers_slot_of_key(const struct kernel_key *key)
{
	struct slot s;

	memset(&s, 0, sizeof(s));
	s.is_key = 1;
	s.key = *key;
	return s;
}

static const struct peer_trouble *trouble_of(const struct tree_node *n)
{
	return (const struct peer_trouble *)((const char *)n -
					     offsetof(struct peer_trouble, waiting));
}

static int compare_waiting(const struct tree_node *a, const struct tree_node *b)
{
	const struct peer_trouble *x = trouble_of(a);
	const struct peer_trouble *y = trouble_of(b);
	int order = memcmp(&x->slot, &y->slot, sizeof(x->slot));

	if (order == 0 && x->peer != y->peer)
		order = peers_is_older(x->peer, y->peer) ? -1 : 1;
	return order;
}

static int place_slot(const void *key, const struct tree_node *n)
{
	return memcmp(key, &trouble_of(n)->slot, sizeof(struct slot));
}

static bool is_taken(const struct peers *ps, const struct slot *s)
{
	const struct peer *holder;

	if (s->is_key)
		return reconcile_holder(ps->reconcile, &s->key) != NULL;
	holder = peers_next_overlapping(ps, &s->net, NULL);
	return holder && ip_net_equal(peers_net(holder, family_of(&s->net)), &s->net);
}

static void note_freed(struct peers *ps, const struct slot *s)
{
	GROW(ps->freed, ps->freed_len, ps->freed_cap);
	ps->freed[ps->freed_len++] = *s;
}

static void note_object(void *arg, const struct kernel_object *o, bool settled UNUSED,
			const char *error UNUSED)
{
	struct slot s = peers_slot_of_key(&o->key);

	note_freed(arg, &s);
}

void peers_note_slots(struct peers *ps, const struct peer *p)
{
	if (!ps->waiting.root)
		return;
	if (p->trouble && p->trouble->waits)
		note_freed(ps, &p->trouble->slot);
	for (size_t family = 0; family < ARRAY_LEN(ps->nets) && p->holds; family++) {
		struct slot s = peers_slot_of_net(peers_net(p, family));

		if (ip_net_is_set(&s.net))
			note_freed(ps, &s);
	}
	reconcile_owner_visit(ps->reconcile, &p->owner, note_object, ps);
}

void peers_enqueue(struct peers *ps, struct peer *p)
{
	size_t i = ps->queue_len;

	if (p->queued)
		return;
	p->queued = true;
	GROW(ps->queue, ps->queue_len, ps->queue_cap);
	for (ps->queue_len++; i > 0 && peers_is_older(p, ps->queue[(i - 1) / 2]); i = (i - 1) / 2)
		ps->queue[i] = ps->queue[(i - 1) / 2];
	ps->queue[i] = p;
}

struct peer *peers_dequeue(struct peers *ps)
{
	struct peer *first = ps->queue[0];
	struct peer *last = ps->queue[--ps->queue_len];
	size_t i = 0;

	for (size_t child = 1; child < ps->queue_len; child = 2 * i + 1) {
		if (child + 1 < ps->queue_len &&
		    peers_is_older(ps->queue[child + 1], ps->queue[child]))
			child++;
		if (!peers_is_older(ps->queue[child], last))
			break;
		ps->queue[i] = ps->queue[child];
		i = child;
	}
	ps->queue[i] = last;
	first->queued = false;
	return first;
}

void peers_wake(struct peers *ps)
{
	for (size_t i = 0; i < ps->freed_len; i++) {
		const struct slot *s = &ps->freed[i];
		const struct tree_node *n = tree_find(&ps->waiting, place_slot, s);

		if (n && place_slot(s, n) == 0 && !is_taken(ps, s))
			peers_enqueue(ps, trouble_of(n)->peer);
	}
	ps->freed_len = 0;
}

void peers_set_trouble(struct peers *ps, struct peer *p, const char *reason,
		       const struct slot *awaited)
{
	struct peer_trouble *t;

	if (p->trouble && p->trouble->waits)
		tree_remove(&ps->waiting, &p->trouble->waiting);
	if (p->trouble)
		TAILQ_REMOVE(&ps->troubles, p->trouble, link);
	ps->counts.ignored += !!reason - !!p->trouble;
	free(STEAL(p->trouble));
	if (!reason)
		return;
	t = xcalloc(1, sizeof(*t) + strlen(reason) + 1);
	t->peer = p;
	memcpy(t->reason, reason, strlen(reason) + 1);
	p->trouble = t;
	TAILQ_INSERT_TAIL(&ps->troubles, t, link);
	if (awaited) {
		t->waits = true;
		t->slot = *awaited;
		tree_add(&ps->waiting, &t->waiting);
	}
}

void peers_init_slots(struct peers *ps)
{
	ps->nets[0].compare = compare_v4;
	ps->nets[1].compare = compare_v6;
	ps->waiting.compare = compare_waiting;
	TAILQ_INIT(&ps->troubles);
}
