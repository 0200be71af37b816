/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/fabric.h"

#include <errno.h>
#include <event2/event.h>
#include <malloc.h>
#include <sys/queue.h>

#include "backends/apply.h"
#include "kernel/monitor.h"
#include "kernel/underlay.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "subnet/claims.h"

#define WRITES_PER_TURN 4096 /* then the loop gets its turn */
#define HEAL_DELAY_MS   10   /* lets a burst of notifications become one dump */
/* IPv6 knows nothing behind it; IPv4 takes it as it takes any. */
#define BLACKHOLE_METRIC  0xffffffffu
#define RETRY_MIN_MS      500 /* after refused writes and failed devices */
#define RETRY_MAX_MS      30000
#define SLOW_MIN_MS       30000 /* full comparison although nothing was noticed */
#define SLOW_COST_FACTOR  2000  /* ... but at most 1/2000 of the time is spent on it */
#define UNDERLAY_DELAY_MS 100   /* lets an interface come up with all its addresses */
#define OBSOLETE_MAX      8
#define NOTIFICATIONS_MAX 4096 /* read in one turn */

struct peer {
	struct reconcile_owner owner; /* first: an owner found in the way is a peer */
	struct manager_member *member;
	bool wanted; /* its objects were stated to the reconciler */
	struct rules_peer guard;
	char *ignored;   /* why its lease is of no use; NULL if it is used */
	bool in_the_way; /* ignored because of another peer: try again when peers change */
	struct claim claims[2];
	TAILQ_ENTRY(peer) link;
};

struct fabric {
	struct event_base *base;
	const struct fabric_ops *ops;
	void *arg;
	struct netlink *nl;
	struct monitor *monitor;
	struct event *monitor_event;
	struct event *work; /* timer; armed whenever there is something to do */
	struct event *slow;
	struct event *underlay;
	struct reconcile *reconcile;
	struct rules *rules;
	bool blackhole;
	struct reconcile_scope scope;
	struct backend *backend;
	struct network_config config; /* only the families; backend is not ours */
	struct external external;
	struct subnet own;
	struct reconcile_owner own_owner;
	bool started;
	bool settled_once;
	bool devices_dirty;
	bool paths_dirty; /* peers may be reached another way now */
	bool underlay_lost;
	bool devices_ok;
	uint32_t obsolete[OBSOLETE_MAX]; /* devices to remove once all is settled */
	size_t obsolete_len;
	struct err device_error;
	struct backend_device devices[BACKEND_DEVICES];
	uint32_t ifindexes[BACKEND_DEVICES];
	size_t devices_len;
	unsigned dirty; /* kinds to observe */
	unsigned failures;
	int64_t last_observation_ms;
	double last_observation_s;
	TAILQ_HEAD(, peer) peers;
	struct claims claims; /* of the peers, by subnet */
	size_t peers_len;
	size_t ignored_len;
	size_t in_the_way_len;
	uint64_t overruns_total;
	uint64_t observations_total;
	uint64_t device_repairs_total;
};

static void arm(struct event *ev, int64_t delay_ms)
{
	struct timeval tv = { delay_ms / 1000, delay_ms % 1000 * 1000 };

	event_add(ev, &tv);
}

/* Does not postpone what is due earlier. */
static void want_work(struct fabric *f, int64_t delay_ms)
{
	struct timeval due;

	if (!f->started)
		return;
	if (event_pending(f->work, EV_TIMEOUT, &due)) {
		struct timeval now;
		int64_t left;

		event_base_gettimeofday_cached(f->base, &now);
		left = (due.tv_sec - now.tv_sec) * 1000 + (due.tv_usec - now.tv_usec) / 1000;
		if (left <= delay_ms)
			return;
	}
	arm(f->work, delay_ms);
}

/* ---- peers ---- */

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
			const struct ip_addr *local, struct err *e)
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
	return 0;
}

/* Rules that hold for every backend: a lease must not take what the network or this host has. */
static int check_peer(const struct fabric *f, const struct lease *l, struct err *e)
{
	char text[SUBNET_KEY_TEXT];

	if (l->problem)
		return err_set(e, -EINVAL, "%s", l->problem);
	if (check_subnet(&f->config.v4, &l->subnet.v4, &f->external.local_v4, e) < 0 ||
	    check_subnet(&f->config.v6, &l->subnet.v6, &f->external.local_v6, e) < 0)
		return e->code;
	if (subnet_overlaps(&l->subnet, &f->own))
		return err_set(e, -EEXIST, "overlaps this host's own subnet %s",
			       subnet_format(&f->own, text));
	return 0;
}

/* A subnet that is kept for a host which has not come yet: there is nobody to send packets to. */
static bool is_vacant(const struct lease *l)
{
	return l->handle == 0 && !l->node_id && !l->backend_type && !l->problem;
}

static bool is_older(const struct peer *a, const struct peer *b)
{
	const struct lease *x = a->member->lease;
	const struct lease *y = b->member->lease;

	return x->create_revision != y->create_revision
		       ? x->create_revision < y->create_revision
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
static int want_objects(struct fabric *f, struct peer *p, const struct backend_objects *objects,
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

static void want_peer(struct fabric *f, struct peer *p)
{
	struct backend_objects objects = { .len = 0 };
	struct overlap overlap = overlapping(f, p);
	struct backend_path paths[2];
	struct peer *gave_way = NULL;
	const char *ignored = NULL;
	bool vacant = is_vacant(p->member->lease);
	bool in_the_way = false;
	struct err e;

	find_paths(f, p->member->lease, paths);
	if (check_peer(f, p->member->lease, &e) < 0) {
		ignored = e.text;
	} else if (overlap.oldest) {
		char text[SUBNET_KEY_TEXT];

		err_set(&e, -EEXIST, "overlaps the older lease %s",
			subnet_format(&overlap.oldest->member->lease->subnet, text));
		ignored = e.text;
		in_the_way = true;
	} else if (!vacant && f->backend->type->peer_objects(f->backend, p->member->lease, paths,
							     &objects, &e) < 0) {
		objects.len = 0;
		ignored = e.text;
	}
	if (want_objects(f, p, &objects, &gave_way, &e) < 0) {
		objects.len = 0;
		ignored = e.text;
		in_the_way = true;
	}
	set_ignored(f, p, ignored, in_the_way);
	rules_peer(f->rules, &p->guard, ignored || vacant ? NULL : p->member->lease);
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
	TAILQ_FOREACH(p, &f->peers, link)
	{
		if (p->in_the_way)
			want_peer(f, p);
	}
}

/* Behind everything else that leads into the own subnet. */
static void want_blackholes(const struct fabric *f, struct backend_objects *ret)
{
	const struct ip_net *nets[] = { &f->own.v4, &f->own.v6 };

	for (size_t i = 0; i < ARRAY_LEN(nets) && ret->len < BACKEND_PEER_OBJECTS; i++) {
		struct kernel_object *o = &ret->items[ret->len];

		if (!ip_net_is_set(nets[i]))
			continue;
		*o = kernel_route_blackhole(nets[i], FABRIC_ROUTE_PROTOCOL);
		o->key.metric = BLACKHOLE_METRIC;
		ret->len++;
	}
}

static void want_all(struct fabric *f)
{
	struct backend_objects objects = { .len = 0 };
	struct reconcile_owner *other;
	struct peer *p;

	f->backend->type->own_objects(f->backend, &f->own, &objects);
	if (f->blackhole)
		want_blackholes(f, &objects);
	if (reconcile_want(f->reconcile, &f->own_owner, objects.items, objects.len, &other) < 0)
		log_error("own-objects", "another lease uses this host's own address");
	TAILQ_FOREACH(p, &f->peers, link)
	want_peer(f, p);
}

void fabric_peer(struct fabric *f, struct manager_member *member, bool gone)
{
	struct peer *p = member->user;
	struct reconcile_owner *other;

	if (gone) {
		if (!p)
			return;
		set_ignored(f, p, NULL, false);
		rules_peer(f->rules, &p->guard, NULL);
		if (reconcile_want(f->reconcile, &p->owner, NULL, 0, &other) < 0)
			abort();
		TAILQ_REMOVE(&f->peers, p, link);
		f->peers_len--;
		claims_remove(&f->claims, &p->claims[0]);
		claims_remove(&f->claims, &p->claims[1]);
		member->user = NULL;
		free(p);
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
		if (f->started) {
			clear_the_way(f, p);
			want_peer(f, p);
		}
	}
	if (f->started)
		retry_in_the_way(f);
	want_work(f, 0);
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
	return !f->started || f->own_owner.unsettled ? "pending" : "ok";
}

/* ---- devices ---- */

static void set_ifindex(struct fabric *f, size_t i, uint32_t ifindex)
{
	if (f->ifindexes[i] == ifindex)
		return;
	if (f->ifindexes[i])
		reconcile_forget_device(f->reconcile, f->ifindexes[i]);
	f->ifindexes[i] = ifindex;
	f->scope.ifindexes[i] = ifindex;
	f->backend->type->set_ifindex(f->backend, i, ifindex);
}

/* True if all devices are there and as wanted. */
static bool look_after_devices(struct fabric *f)
{
	bool moved = false;
	bool all = true;

	f->devices_dirty = false;
	f->devices_len = f->backend->type->devices(f->backend, f->devices);
	f->scope.ifindexes_len = f->devices_len;
	for (size_t i = 0; i < f->devices_len; i++) {
		uint32_t ifindex = 0;
		bool changed = false;
		struct err e;

		if (apply_device(f->nl, &f->devices[i], f->ifindexes[i], &ifindex, &changed, &e) <
		    0) {
			if (f->devices_ok || strcmp(e.text, f->device_error.text) != 0)
				log_error("device-failed", "%s; trying again", e.text);
			f->device_error = e;
			all = false;
		}
		if (changed) {
			f->device_repairs_total += f->settled_once;
			log_info(f->settled_once ? "device-repaired" : "device-made",
				 "%s, index %u", f->devices[i].name, ifindex);
			f->dirty = APPLY_ALL_KINDS;
		}
		moved |= ifindex != f->ifindexes[i];
		set_ifindex(f, i, ifindex);
	}
	if (moved) {
		want_all(f);
		f->dirty = APPLY_ALL_KINDS;
		rules_place(f->rules, &f->config, &f->own, f->devices, f->ifindexes, f->devices_len,
			    f->external.ifindex);
	}
	if (all && !f->devices_ok && f->device_error.text[0])
		log_info("device-ok", "all devices are as they should be again");
	if (all)
		f->device_error.text[0] = '\0';
	f->devices_ok = all;
	return all;
}

/* ---- work ---- */

static void report_drift(const uint64_t before[static KERNEL_KINDS],
			 const uint64_t after[static KERNEL_KINDS])
{
	for (unsigned k = 0; k < KERNEL_KINDS; k++) {
		if (after[k] > before[k])
			log_warn("drift-healed", "%llu %s%s missing or altered, put back",
				 (unsigned long long)(after[k] - before[k]), kernel_kind_name(k),
				 after[k] - before[k] == 1 ? "" : "s");
	}
}

/* False if the kernel could not be read. */
static bool observe(struct fabric *f)
{
	const struct reconcile_counts *counts = reconcile_counts(f->reconcile);
	struct reconcile_counts before = *counts;
	unsigned kinds = f->dirty;
	struct timespec start;
	struct timespec end;
	struct err e;
	int rc;

	f->dirty = 0;
	clock_gettime(CLOCK_MONOTONIC, &start);
	rc = apply_observe(f->reconcile, f->nl, &f->scope, kinds, &e);
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (rc < 0) {
		log_warn("kernel-not-read", "%s; trying again", e.text);
		f->dirty = kinds;
		return false;
	}
	f->observations_total++;
	f->last_observation_ms = clock_boot_ms();
	f->last_observation_s =
		(double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
	report_drift(before.drift, counts->drift);
	return true;
}

static void arm_slow(struct fabric *f)
{
	int64_t by_cost = (int64_t)(f->last_observation_s * 1000 * SLOW_COST_FACTOR);

	arm(f->slow, MAX(by_cost, (int64_t)SLOW_MIN_MS));
}

static void retry_later(struct fabric *f)
{
	int64_t delay = RETRY_MIN_MS;

	for (unsigned i = 0; i < f->failures && delay < RETRY_MAX_MS; i++)
		delay *= 2;
	f->failures++;
	want_work(f, MIN(delay, (int64_t)RETRY_MAX_MS));
}

static void visit_error(void *arg, const struct kernel_object *o, bool settled, const char *error)
{
	char text[KERNEL_OBJECT_TEXT];

	if (!settled && error)
		log_warn("write-refused", "%s: %s: %s", (const char *)arg,
			 kernel_object_format(o, text), error);
}

/* One line for every peer that the kernel refused, the first time round. */
static void report_refused(struct fabric *f)
{
	char key[SUBNET_KEY_TEXT];
	struct peer *p;

	if (f->failures > 0)
		return;
	reconcile_owner_visit(&f->own_owner, visit_error, (void *)"own");
	TAILQ_FOREACH(p, &f->peers, link)
	{
		if (p->owner.failed)
			reconcile_owner_visit(
				&p->owner, visit_error,
				(void *)subnet_format(&p->member->lease->subnet, key));
	}
}

static void remove_obsolete(struct fabric *f);
static void want_underlay(struct fabric *f);

static void on_work(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct fabric *f = arg;
	uint64_t strays = reconcile_counts(f->reconcile)->strays;
	bool more = false;
	struct err e;

	if (f->devices_dirty && !look_after_devices(f)) {
		f->devices_dirty = true;
		retry_later(f);
	}
	if (f->paths_dirty) {
		f->paths_dirty = false;
		want_all(f);
	}
	if (f->dirty && !observe(f)) {
		retry_later(f);
		return;
	}
	rules_before_routes(f->rules);
	if (apply_flush(f->reconcile, f->nl, WRITES_PER_TURN, &more, &e) < 0) {
		log_warn("kernel-not-written", "%s; comparing again", e.text);
		f->dirty = APPLY_ALL_KINDS;
		retry_later(f);
		return;
	}
	if (reconcile_counts(f->reconcile)->strays > strays) {
		f->dirty |= 1u << KERNEL_ROUTE | 1u << KERNEL_FDB;
		want_work(f, HEAL_DELAY_MS);
	}
	if (more) {
		want_work(f, 0);
		return;
	}
	rules_after_routes(f->rules);
	if (reconcile_counts(f->reconcile)->failed > 0) {
		report_refused(f);
		f->dirty = APPLY_ALL_KINDS;
		retry_later(f);
	} else if (f->devices_ok) {
		f->failures = 0;
	}
	if (!f->settled_once && f->devices_ok) {
		f->settled_once = true;
		remove_obsolete(f);
		arm_slow(f);
		/* What the first list needed is not needed again. */
		malloc_trim(0);
	}
	f->ops->settled(f->arg);
}

static void on_slow(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct fabric *f = arg;

	fabric_sync(f);
	want_underlay(f);
	arm_slow(f);
}

void fabric_sync(struct fabric *f)
{
	f->dirty = APPLY_ALL_KINDS;
	f->devices_dirty = true;
	rules_sync(f->rules);
	want_work(f, 0);
}

uint64_t fabric_sync_now(struct fabric *f)
{
	uint64_t before = netlink_counts(f->nl)->writes;

	if (!f->started)
		return 0;
	f->dirty = APPLY_ALL_KINDS;
	f->devices_dirty = true;
	do {
		event_del(f->work);
		on_work(-1, 0, f);
	} while (reconcile_counts(f->reconcile)->unsettled >
			 reconcile_counts(f->reconcile)->failed &&
		 f->devices_ok);
	return netlink_counts(f->nl)->writes - before;
}

int fabric_diff(struct fabric *f,
		void (*visit)(void *arg, enum reconcile_action action,
			      const struct kernel_object *o),
		void *arg, struct err *e)
{
	int rc = 0;

	if (!f->started)
		return err_set(e, -EAGAIN, "there is no lease yet");
	rc = apply_observe(f->reconcile, f->nl, &f->scope, APPLY_ALL_KINDS, e);
	if (rc == 0)
		reconcile_difference_visit(f->reconcile, visit, arg);
	want_work(f, 0);
	return rc;
}

/* ---- notifications ---- */

static void want_underlay(struct fabric *f)
{
	if (!event_pending(f->underlay, EV_TIMEOUT, NULL))
		arm(f->underlay, UNDERLAY_DELAY_MS);
}

static void on_underlay(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct fabric *f = arg;

	/* An interface that goes down takes routes along, IPv4 ones without a word. */
	if (f->backend->needs_paths) {
		f->paths_dirty = true;
		f->dirty |= 1u << KERNEL_ROUTE;
		want_work(f, 0);
	}
	f->underlay_lost = !f->ops->underlay_changed(f->arg);
}

static bool on_our_device(const struct fabric *f, uint32_t ifindex)
{
	for (size_t i = 0; i < f->devices_len; i++) {
		if (ifindex && ifindex == f->ifindexes[i])
			return true;
	}
	return false;
}

static void on_link(void *arg, const struct link_info *link, bool gone)
{
	struct fabric *f = arg;

	for (size_t i = 0; i < f->devices_len; i++) {
		const struct backend_device *d = &f->devices[i];
		bool ours = link->ifindex == f->ifindexes[i];

		if (!ours && strcmp(link->name, d->name) != 0)
			continue;
		if (gone && ours)
			log_warn("device-gone", "%s was deleted; making it again", d->name);
		if (gone || !ours || !apply_is_as_wanted(link, d)) {
			f->devices_dirty = true;
			want_work(f, 0);
		}
		/* It may be up again by the time we look, but its IPv4 routes went without a word.
		 */
		if (ours && !link->up)
			f->dirty = APPLY_ALL_KINDS;
	}
	if (gone)
		rules_device_gone(f->rules, link->ifindex);
	if (link->ifindex == f->external.ifindex || strcmp(link->name, f->external.name) == 0 ||
	    (f->underlay_lost && !on_our_device(f, link->ifindex)))
		want_underlay(f);
}

/* Whether this object of somebody else may change where we stand, or how peers are reached. */
static bool concerns_underlay(const struct fabric *f, const struct kernel_object *o)
{
	if (o->key.kind == KERNEL_ADDRESS)
		return !on_our_device(f, o->key.ifindex) &&
		       (o->key.ifindex == f->external.ifindex || f->backend->needs_paths ||
			f->underlay_lost);
	if (o->key.kind != KERNEL_ROUTE || on_our_device(f, o->value.ifindex) ||
	    fabric_is_our_protocol(o->value.protocol))
		return false;
	return o->key.len == 0 || f->backend->needs_paths || f->underlay_lost;
}

static void on_object(void *arg, const struct kernel_object *object, bool gone)
{
	struct fabric *f = arg;

	if (!gone)
		rules_object_seen(f->rules, object);
	if (concerns_underlay(f, object))
		want_underlay(f);
	if (!reconcile_contradicts(f->reconcile, object, gone))
		return;
	f->dirty |= 1u << object->key.kind;
	/* With a device's last address the kernel takes its routes and neighbours, IPv4 routes
	 * without a word. */
	if (gone && object->key.kind == KERNEL_ADDRESS)
		f->dirty = APPLY_ALL_KINDS;
	want_work(f, HEAL_DELAY_MS);
}

static void on_overrun(void *arg)
{
	struct fabric *f = arg;

	f->overruns_total++;
	log_warn("notifications-lost", "the kernel had more to tell than we could read; comparing "
				       "everything");
	f->dirty = APPLY_ALL_KINDS;
	f->devices_dirty = true;
	want_work(f, HEAL_DELAY_MS);
	want_underlay(f);
}

static void on_monitor(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	static const struct monitor_ops ops = { .link = on_link,
						.object = on_object,
						.overrun = on_overrun };
	struct fabric *f = arg;

	monitor_read(f->monitor, NOTIFICATIONS_MAX, &ops, f);
}

/* ---- life ---- */

int fabric_new(struct event_base *base, const struct fabric_ops *ops, void *arg,
	       struct fabric **ret, struct err *e)
{
	struct fabric *f = xcalloc(1, sizeof(*f));
	int rc;

	f->base = base;
	f->ops = ops;
	f->arg = arg;
	TAILQ_INIT(&f->peers);
	f->reconcile = reconcile_new();
	f->work = evtimer_new(base, on_work, f);
	f->slow = evtimer_new(base, on_slow, f);
	f->underlay = evtimer_new(base, on_underlay, f);
	rc = netlink_open(NETLINK_ROUTE, &f->nl, e);
	/* Before the first dump, so that nothing falls between it and the notifications. */
	if (rc == 0)
		rc = monitor_open(netlink_port_id(f->nl), 0, &f->monitor, e);
	if (rc < 0) {
		fabric_free(f);
		return rc;
	}
	*ret = f;
	return 0;
}

void fabric_free(struct fabric *f)
{
	struct peer *p;

	if (!f)
		return;
	while ((p = TAILQ_FIRST(&f->peers))) {
		TAILQ_REMOVE(&f->peers, p, link);
		p->member->user = NULL;
		claims_remove(&f->claims, &p->claims[0]);
		claims_remove(&f->claims, &p->claims[1]);
		free(p->ignored);
		free(p);
	}
	if (f->monitor_event)
		event_free(f->monitor_event);
	event_free(f->work);
	event_free(f->slow);
	event_free(f->underlay);
	reconcile_free(f->reconcile);
	backend_free(f->backend);
	monitor_close(f->monitor);
	netlink_close(f->nl);
	free(f);
}

void fabric_use_rules(struct fabric *f, struct rules *rules, bool blackhole)
{
	f->rules = rules;
	f->blackhole = blackhole;
}

struct netlink *fabric_netlink(struct fabric *f)
{
	return f->nl;
}

static int set_host(struct fabric *f, const struct external *x, const char *node_id, struct err *e)
{
	struct backend_host host = {
		.node_id = node_id,
		.lower_ifindex = x->ifindex,
		.lower_mtu_bytes = x->mtu_bytes,
		.local_v4 = x->local_v4,
		.local_v6 = x->local_v6,
		.public_v4 = x->public_v4,
		.public_v6 = x->public_v6,
	};
	int rc = f->backend->type->set_host(f->backend, &host, e);

	if (rc == 0)
		f->external = *x;
	return rc;
}

/* Peers know the MAC of a device that is there already: changing it would cost packets. */
static void keep_macs(struct fabric *f)
{
	struct backend_device devices[BACKEND_DEVICES];
	size_t len = f->backend->type->devices(f->backend, devices);

	for (size_t i = 0; i < len; i++) {
		struct mac_addr mac;

		if (apply_find_device(f->nl, &devices[i], &mac))
			f->backend->type->keep_mac(f->backend, i, &mac);
	}
}

/*
 * A tunnel device that an earlier configuration needed: it carries the address of the subnet we
 * had, and so is nobody else's.
 */
static bool is_obsolete(const struct fabric *f, const struct link_info *link,
			const struct underlay_address *addresses, size_t len,
			const struct fabric_previous *previous)
{
	struct backend_device devices[BACKEND_DEVICES];
	size_t devices_len = f->backend->type->devices(f->backend, devices);

	if (strcmp(link->kind, "vxlan") != 0)
		return false;
	for (size_t i = 0; i < devices_len; i++) {
		if (strcmp(link->name, devices[i].name) == 0)
			return false;
	}
	for (size_t i = 0; i < len; i++) {
		const struct ip_addr *addr = &addresses[i].net.addr;

		if (addresses[i].ifindex == link->ifindex &&
		    addresses[i].net.len == ip_family_bits(addr->family) &&
		    (ip_addr_equal(addr, &previous->own.v4.addr) ||
		     ip_addr_equal(addr, &previous->own.v6.addr)))
			return true;
	}
	return false;
}

static void find_obsolete(struct fabric *f, const struct fabric_previous *previous)
{
	struct underlay_address *addresses = NULL;
	struct link_info *links = NULL;
	size_t addresses_len = 0;
	size_t links_len = 0;

	f->obsolete_len = 0;
	if (link_list(f->nl, &links, &links_len, NULL) == 0 &&
	    underlay_addresses(f->nl, AF_UNSPEC, &addresses, &addresses_len, NULL) == 0) {
		for (size_t i = 0; i < links_len && f->obsolete_len < OBSOLETE_MAX; i++) {
			if (is_obsolete(f, &links[i], addresses, addresses_len, previous))
				f->obsolete[f->obsolete_len++] = links[i].ifindex;
		}
	}
	free(links);
	free(addresses);
}

static void remove_obsolete(struct fabric *f)
{
	struct err e;

	for (size_t i = 0; i < f->obsolete_len; i++) {
		if (link_delete(f->nl, f->obsolete[i], &e) < 0)
			log_warn("device-obsolete", "%s", e.text);
		else
			log_info("device-obsolete",
				 "device %u of an earlier configuration is removed",
				 f->obsolete[i]);
	}
	f->obsolete_len = 0;
}

int fabric_setup(struct fabric *f, const struct network_config *config,
		 const struct external *external, const struct fabric_previous *previous,
		 const char *node_id, struct err *e)
{
	int rc;

	backend_free(STEAL(f->backend));
	rc = backend_create(config, &f->backend, e);
	if (rc == 0)
		rc = set_host(f, external, node_id, e);
	if (rc < 0)
		return rc;
	keep_macs(f);
	find_obsolete(f, previous);
	f->config = *config;
	f->config.backend = NULL;
	f->scope.networks[0] = config->v4.enabled ? config->v4.network : (struct ip_net){ 0 };
	f->scope.networks[1] = config->v6.enabled ? config->v6.network : (struct ip_net){ 0 };
	f->scope.networks[2] = previous->networks[0];
	f->scope.networks[3] = previous->networks[1];
	return 0;
}

int fabric_move(struct fabric *f, const struct external *external, const char *node_id,
		struct err *e)
{
	int rc = set_host(f, external, node_id, e);

	if (rc < 0)
		return rc;
	f->devices_dirty = true;
	f->paths_dirty = true;
	/* Again, if the devices are others after that. */
	if (f->started)
		rules_place(f->rules, &f->config, &f->own, f->devices, f->ifindexes, f->devices_len,
			    f->external.ifindex);
	want_work(f, 0);
	f->ops->mtu_changed(f->arg);
	return 0;
}

void fabric_publish(const struct fabric *f, struct lease *ret_attributes)
{
	f->backend->type->publish(f->backend, ret_attributes);
}

void fabric_set_own(struct fabric *f, const struct subnet *own)
{
	bool first = !f->started;

	if (!first && subnet_equal(own, &f->own))
		return;
	f->own = *own;
	f->started = true;
	if (first) {
		f->monitor_event = event_new(f->base, monitor_fd(f->monitor), EV_READ | EV_PERSIST,
					     on_monitor, f);
		event_add(f->monitor_event, NULL);
		look_after_devices(f);
		f->devices_dirty = !f->devices_ok;
	}
	rules_place(f->rules, &f->config, &f->own, f->devices, f->ifindexes, f->devices_len,
		    f->external.ifindex);
	if (first)
		rules_look_around(f->rules, f->nl);
	want_all(f);
	f->dirty = APPLY_ALL_KINDS;
	want_work(f, 0);
}

uint32_t fabric_pod_mtu(const struct fabric *f)
{
	return f->backend->type->pod_mtu(f->backend);
}

void fabric_view(const struct fabric *f, struct fabric_view *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->started = f->started;
	ret->devices_ok = f->devices_ok;
	ret->device_error = f->device_error.text;
	if (f->backend)
		f->backend->type->describe(f->backend, ret->backend, sizeof(ret->backend));
	ret->external = &f->external;
	memcpy(ret->devices, f->devices, sizeof(ret->devices));
	memcpy(ret->ifindexes, f->ifindexes, sizeof(ret->ifindexes));
	ret->devices_len = f->devices_len;
	ret->reconcile = reconcile_counts(f->reconcile);
	ret->netlink = netlink_counts(f->nl);
	ret->overruns_total = f->overruns_total;
	ret->observations_total = f->observations_total;
	ret->device_repairs_total = f->device_repairs_total;
	ret->peers = f->peers_len;
	ret->ignored = f->ignored_len;
	ret->last_observation_ms = f->last_observation_ms;
	ret->last_observation_s = f->last_observation_s;
}
