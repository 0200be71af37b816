/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The peers of the fabric: every lease of another host, whether it is of use here, and if not why.
 *
 * A lease is measured alone (check_peer, the backend), then against the others: of two that
 * overlap, or want one slot in the kernel, the older has it.
 */
#include <errno.h>

#include "fabric/fabric_internal.h"
#include "kernel/underlay.h"
#include "lib/log.h"

/* IPv6 knows nothing behind it; IPv4 takes it as it takes any. */
#define BLACKHOLE_METRIC 0xffffffffu

static void set_ignored(struct fabric *f, struct peer *p, const char *reason, bool in_the_way)
{
	char key[SUBNET_KEY_TEXT];

	if (reason && (!p->ignored || strcmp(p->ignored, reason) != 0))
		log_warn("peer-ignored", "%s: %s", subnet_format(&p->member->lease->subnet, key),
			 reason);
	f->ignored_len += !!reason - !!p->ignored;
	f->in_the_way_len += (size_t)in_the_way - (size_t)p->in_the_way;
	free(p->ignored);
	p->ignored = reason ? xstrdup(reason) : NULL;
	p->in_the_way = in_the_way;
}

/* One family's part of a peer's subnet. Lengths are those that a valid configuration may have. */
static int check_subnet(const struct network_family *n, const struct ip_net *subnet,
			const struct ip_addr *local, const struct ip_net *segment, struct err *e)
{
	bool v4 = subnet->addr.family == AF_INET;
	unsigned longest = v4 ? 30 : 126;
	char text[IP_NET_TEXT];

	if (!ip_net_is_set(subnet) || !n->enabled)
		return 0;
	if (!ip_net_contains_net(&n->network, subnet))
		return err_set(e, -EINVAL, "subnet is outside %s %s",
			       v4 ? "Network" : "IPv6Network", ip_net_format(&n->network, text));
	if (subnet->len < n->network.len + 2 || subnet->len > longest)
		return err_set(e, -EINVAL, "subnet's length is %u, must be from %u to %u",
			       subnet->len, n->network.len + 2, longest);
	if (ip_net_contains(subnet, local))
		return err_set(e, -EINVAL, "contains this host's own address in the underlay");
	/* A network inside the segment works, as long as nobody there has its addresses; but out of
	 * one around it no lease may take what this host reaches directly. */
	if (ip_net_is_set(segment) && ip_net_contains_net(&n->network, segment) &&
	    ip_net_overlaps(subnet, segment))
		return err_set(e, -EINVAL, "overlaps this host's segment of the underlay, %s",
			       ip_net_format(segment, text));
	return 0;
}

/* Nobody can be reached at the first and the last address of an IPv4 segment. */
static int check_unicast(const struct ip_net *segment, const struct ip_addr *addr, struct err *e)
{
	char text[IP_ADDR_TEXT];
	struct ip_net host = { *addr, segment->len };
	u128 last;

	if (!ip_net_is_set(segment) || segment->len > 30 || !ip_net_contains(segment, addr))
		return 0;
	last = ip_addr_to_u128(&segment->addr) + ip_net_size(AF_INET, segment->len) - 1;
	if (!ip_net_has_host_bits(&host) || ip_addr_to_u128(addr) == last)
		return err_set(e, -EINVAL, "public address %s is the %s address of the underlay",
			       ip_addr_format(addr, text),
			       ip_net_has_host_bits(&host) ? "broadcast" : "network");
	return 0;
}

/* Rules that hold for every backend: a lease must not take what the network or this host has. */
static int check_peer(const struct fabric *f, const struct lease *l, struct err *e)
{
	char text[SUBNET_KEY_TEXT];

	if (l->problem)
		return err_set(e, -EINVAL, "%s", l->problem);
	if (check_subnet(&f->config.v4, &l->subnet.v4, &f->external.local_v4,
			 &f->external.segment_v4, e) < 0 ||
	    check_subnet(&f->config.v6, &l->subnet.v6, &f->external.local_v6,
			 &f->external.segment_v6, e) < 0 ||
	    check_unicast(&f->external.segment_v4, &l->public_v4, e) < 0)
		return e->code;
	if (subnet_overlaps(&l->subnet, &f->own))
		return err_set(e, -EEXIST, "overlaps this host's own subnet %s",
			       subnet_format(&f->own, text));
	return 0;
}

/* A subnet that is kept for a host which has not come yet: there is nobody to send packets to. */
static bool is_vacant(const struct lease *l)
{
	return l->flags & LEASE_RESERVED && !l->node_id && !l->backend_type && !l->problem;
}

static bool is_older(const struct peer *a, const struct peer *b)
{
	const struct lease *x = a->member->lease;
	const struct lease *y = b->member->lease;

	return x->born != y->born ? x->born < y->born
				  : memcmp(&x->subnet, &y->subnet, sizeof(x->subnet)) < 0;
}

struct overlap {
	struct fabric *f;
	struct peer *peer;
	struct peer *oldest; /* of those before it */
	bool younger;        /* there are some */
};

static void find_overlap(void *arg, void *owner)
{
	struct overlap *o = arg;
	struct peer *p = owner;
	struct err e;

	/*
	 * What breaks a rule by itself is nobody's claim: one bad lease must not cost others. Nor
	 * is what waits for its host, who may come with another key.
	 */
	if (p == o->peer || is_vacant(p->member->lease) ||
	    check_peer(o->f, p->member->lease, &e) < 0)
		return;
	if (is_older(o->peer, p))
		o->younger = true;
	else if (!o->oldest || is_older(p, o->oldest))
		o->oldest = p;
}

static struct overlap overlapping(struct fabric *f, struct peer *p)
{
	const struct subnet *subnet = &p->member->lease->subnet;
	struct overlap o = { .f = f, .peer = p };

	claims_overlapping(&f->claims, &subnet->v4, find_overlap, &o);
	claims_overlapping(&f->claims, &subnet->v6, find_overlap, &o);
	return o;
}

/* How the kernel reaches a peer without us: what our own routes say must not count. */
static void find_paths(const struct fabric *f, const struct lease *l, struct backend_path ret[2])
{
	const struct ip_addr *addresses[] = { &l->public_v4, &l->public_v6 };

	memset(ret, 0, 2 * sizeof(*ret));
	for (size_t i = 0; f->backend->needs_paths && i < ARRAY_LEN(addresses); i++) {
		struct underlay_route route;

		if (!ip_addr_is_set(addresses[i]) ||
		    underlay_route_to(f->nl, addresses[i], &route, NULL) < 0)
			continue;
		for (size_t d = 0; d < f->devices_len; d++) {
			if (route.ifindex == f->ifindexes[d])
				route.ifindex = 0;
		}
		ret[i].ifindex = route.ifindex;
		ret[i].on_link = route.ifindex && !ip_addr_is_set(&route.gateway);
	}
}

/*
 * A slot in the kernel is the older lease's, so that a latecomer cannot take another's traffic.
 * Who gives way is told by the caller's next look at it.
 */
static int want_objects(struct fabric *f, struct peer *p, const struct wants *objects,
			struct peer **ret_gave_way, struct err *e)
{
	char text[SUBNET_KEY_TEXT];
	struct reconcile_owner *other;
	struct reconcile_owner *nobody;

	*ret_gave_way = NULL;
	if (reconcile_want(f->reconcile, &p->owner, objects->items, objects->len, &other) == 0)
		return 0;
	if (other != &f->own_owner && is_older(p, (struct peer *)other)) {
		if (reconcile_want(f->reconcile, other, NULL, 0, &nobody) < 0)
			abort(); /* nothing can be in the way of nothing */
		*ret_gave_way = (struct peer *)other;
		if (reconcile_want(f->reconcile, &p->owner, objects->items, objects->len, &other) ==
		    0)
			return 0;
	}
	if (reconcile_want(f->reconcile, &p->owner, NULL, 0, &nobody) < 0)
		abort();
	return err_set(
		e, -EEXIST, "uses the same MAC, address or route as %s",
		other == &f->own_owner
			? "this host"
			: subnet_format(&((struct peer *)other)->member->lease->subnet, text));
}

/* What the lease says is read once for each change of it. */
static int want_of_backend(struct fabric *f, struct peer *p, struct wants *ret, struct err *e)
{
	struct backend_path paths[2];

	if (!p->parsed && backend_parse(f->backend->type, p->member->lease, &p->data, e) < 0)
		return e->code;
	p->parsed = true;
	find_paths(f, p->member->lease, paths);
	return backend_want_peer(f->backend, p->member->lease, p->data, paths, ret, e);
}

static void forget_parsed(struct peer *p)
{
	free(STEAL(p->data));
	p->parsed = false;
}

/* Whom the guard lets in for this lease; NULL: nobody. */
static void guard_peer(struct fabric *f, struct peer *p, const struct lease *lease)
{
	struct rules_peer now = { { { 0 } } };

	if (lease)
		now = (struct rules_peer){ { lease->public_v4, lease->public_v6, lease->source_v4,
					     lease->source_v6 } };
	rules_peer(f->rules, &p->guard, now.addr);
}

static void want_peer(struct fabric *f, struct peer *p)
{
	auto_wants struct wants objects = { 0 };
	struct overlap overlap = overlapping(f, p);
	struct peer *gave_way = NULL;
	const char *ignored = NULL;
	bool vacant = is_vacant(p->member->lease);
	bool in_the_way = false;
	struct err e;

	if (check_peer(f, p->member->lease, &e) < 0) {
		ignored = e.text;
	} else if (overlap.oldest) {
		char text[SUBNET_KEY_TEXT];

		err_set(&e, -EEXIST, "overlaps the older lease %s",
			subnet_format(&overlap.oldest->member->lease->subnet, text));
		ignored = e.text;
		in_the_way = true;
	} else if (!vacant && want_of_backend(f, p, &objects, &e) < 0) {
		objects.len = 0;
		ignored = e.text;
	}
	if (want_objects(f, p, &objects, &gave_way, &e) < 0) {
		objects.len = 0;
		ignored = e.text;
		in_the_way = true;
	}
	set_ignored(f, p, ignored, in_the_way);
	guard_peer(f, p, ignored || vacant ? NULL : p->member->lease);
	/* Nothing to write is right for some backends, but not while a device is missing. */
	p->wanted = objects.len > 0 || f->devices_ok || f->devices_len == 0;
	if (gave_way)
		want_peer(f, gave_way);
}

static void yield_to(void *arg, void *owner)
{
	struct overlap *o = arg;
	struct peer *p = owner;

	if (p != o->peer && is_older(o->peer, p))
		want_peer(o->f, p);
}

/* Younger leases that overlap this one give up what they have before it asks for it. */
static void clear_the_way(struct fabric *f, struct peer *p)
{
	const struct subnet *subnet = &p->member->lease->subnet;
	struct overlap o = overlapping(f, p);

	if (!o.younger)
		return;
	claims_overlapping(&f->claims, &subnet->v4, yield_to, &o);
	claims_overlapping(&f->claims, &subnet->v6, yield_to, &o);
}

/* Something was given up: those that it stood in the way of may have it now. */
static void retry_in_the_way(struct fabric *f)
{
	struct peer *p;

	if (f->in_the_way_len == 0)
		return;
	TAILQ_FOREACH (p, &f->peers, link) {
		if (p->in_the_way)
			want_peer(f, p);
	}
}

/* Behind everything else that leads into the own subnet. */
static void want_blackholes(const struct fabric *f, struct wants *ret)
{
	const struct ip_net *nets[] = { &f->own.v4, &f->own.v6 };

	for (size_t i = 0; i < ARRAY_LEN(nets); i++) {
		struct kernel_object o;

		if (!ip_net_is_set(nets[i]))
			continue;
		o = kernel_route_blackhole(nets[i], FABRIC_ROUTE_PROTOCOL);
		o.key.metric = BLACKHOLE_METRIC;
		wants_add(ret, &o);
	}
}

void fabric_want_all(struct fabric *f)
{
	auto_wants struct wants objects = { 0 };
	struct reconcile_owner *other;
	struct peer *p;

	if (!f->wants_dirty)
		return;
	f->wants_dirty = false;
	backend_want_own(f->backend, &f->own, &objects);
	if (f->blackhole)
		want_blackholes(f, &objects);
	if (reconcile_want(f->reconcile, &f->own_owner, objects.items, objects.len, &other) < 0)
		log_error("own-objects", "another lease uses this host's own address");
	TAILQ_FOREACH (p, &f->peers, link)
		want_peer(f, p);
}

static void free_peer(struct fabric *f, struct peer *p)
{
	TAILQ_REMOVE(&f->peers, p, link);
	f->peers_len--;
	claims_remove(&f->claims, &p->claims[0]);
	claims_remove(&f->claims, &p->claims[1]);
	p->member->user = NULL;
	forget_parsed(p);
	free(p->ignored);
	free(p);
}

void fabric_peer(struct fabric *f, struct manager_member *member, bool gone)
{
	struct peer *p = member->user;
	struct reconcile_owner *other;

	if (gone) {
		if (!p)
			return;
		set_ignored(f, p, NULL, false);
		guard_peer(f, p, NULL);
		if (reconcile_want(f->reconcile, &p->owner, NULL, 0, &other) < 0)
			abort();
		free_peer(f, p);
	} else {
		if (!p) {
			p = xcalloc(1, sizeof(*p));
			p->member = member;
			member->user = p;
			TAILQ_INSERT_TAIL(&f->peers, p, link);
			f->peers_len++;
			claims_add(&f->claims, &p->claims[0], &member->lease->subnet.v4, p);
			claims_add(&f->claims, &p->claims[1], &member->lease->subnet.v6, p);
		}
		forget_parsed(p);
		if (f->started) {
			clear_the_way(f, p);
			want_peer(f, p);
		}
	}
	if (f->started)
		retry_in_the_way(f);
	fabric_want_work(f, 0);
}

static void take_error(void *arg, const struct kernel_object *o UNUSED, bool settled,
		       const char *error)
{
	const char **ret = arg;

	if (!settled && error)
		*ret = error;
}

const char *fabric_peer_state(const struct manager_member *member, const char **ret_reason)
{
	const struct peer *p = member->user;

	*ret_reason = "";
	if (!p)
		return "pending";
	if (p->ignored) {
		*ret_reason = p->ignored;
		return "ignored";
	}
	if (p->owner.failed) {
		reconcile_owner_visit(&p->owner, take_error, ret_reason);
		return "failed";
	}
	return p->owner.unsettled || !p->wanted ? "pending" : "ok";
}

void fabric_peer_visit(const struct manager_member *member,
		       void (*visit)(void *arg, const struct kernel_object *o, bool settled,
				     const char *error),
		       void *arg)
{
	const struct peer *p = member->user;

	if (p)
		reconcile_owner_visit(&p->owner, visit, arg);
}

const char *fabric_own_state(const struct fabric *f, const char **ret_reason)
{
	*ret_reason = "";
	if (f->started && !f->devices_ok) {
		*ret_reason = f->device_error.text;
		return "failed";
	}
	if (f->own_owner.failed) {
		reconcile_owner_visit(&f->own_owner, take_error, ret_reason);
		return "failed";
	}
	return !f->started || f->wants_dirty || f->own_owner.unsettled ? "pending" : "ok";
}

void fabric_release_peers(struct fabric *f)
{
	while (!TAILQ_EMPTY(&f->peers))
		free_peer(f, TAILQ_FIRST(&f->peers));
}
