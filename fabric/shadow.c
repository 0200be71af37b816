/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes of others that take a peer's packets: the same destination before ours (ip route prepend),
 * a lower metric, a longer prefix inside it. Not ours to delete, but named.
 *
 *     a foreign route, shown by a notification or by the walk over all routes
 *       -> the wanted route around it      reconcile_route_around(); most have none
 *       -> suspicion, one for each of ours
 *       -> the kernel is asked what it takes, and again when something about either changes
 *
 * The walk is for what no notification told of, or told before the peer came: after the first settle,
 * soon after anything of ours was written, and when notifications were lost. A host may have a hundred
 * thousand routes, so it rests in proportion to what it cost.
 */
#include "fabric/fabric_internal.h"
#include "kernel/underlay.h"
#include "lib/clock.h"
#include "lib/log.h"

#define WALK_MIN_MS      1000
#define TAKEN_TEXT       (KERNEL_OBJECT_TEXT + IFNAMSIZ + 8)
#define WALK_COST_FACTOR 2000 /* so many times as long as a walk took no other one begins */

/* A route of ours that another one may stand before. */
struct fabric_shadow {
	struct kernel_object route;
	struct kernel_object taken; /* the one that packets take, if told */
	struct kernel_object by;    /* the one that was seen, and its destination is asked about */
	bool asked;                 /* since something about it changed */
	bool told;                  /* one does, and the log says so */
	struct hash_link link;
};

static uint64_t hash_of(const struct hash_link *link)
{
	const struct fabric_shadow *s = CONTAINER_OF(link, struct fabric_shadow, link);

	return hash_bytes(&s->route.key, sizeof(s->route.key));
}

static struct fabric_shadow *next(const struct fabric *f, const struct fabric_shadow *s)
{
	struct hash_link *link = hash_table_next(&f->shadows, s ? &s->link : NULL, hash_of);

	return link ? CONTAINER_OF(link, struct fabric_shadow, link) : NULL;
}

static struct fabric_shadow *find(const struct fabric *f, const struct kernel_object *route)
{
	struct hash_link *link =
		hash_table_first(&f->shadows, hash_bytes(&route->key, sizeof(route->key)));

	for (; link; link = link->next) {
		struct fabric_shadow *s = CONTAINER_OF(link, struct fabric_shadow, link);

		if (memcmp(&s->route.key, &route->key, sizeof(route->key)) == 0)
			return s;
	}
	return NULL;
}

static void forget(struct fabric *f, struct fabric_shadow *s)
{
	hash_table_remove(&f->shadows, &s->link, hash_of);
	free(s);
}

static struct ip_net destination(const struct kernel_object *o)
{
	return (struct ip_net){ kernel_object_dst(o), o->key.len };
}

static void suspect(struct fabric *f, const struct kernel_object *route,
		    const struct kernel_object *by)
{
	struct fabric_shadow *s = find(f, route);

	if (!s) {
		s = xcalloc(1, sizeof(*s));
		s->route = *route;
		hash_table_add(&f->shadows, &s->link, hash_of);
	} else if (s->told || by->key.len <= s->by.key.len) {
		return;
	}
	/* A longer one certainly takes packets, one beside ours perhaps. */
	s->by = *by;
	s->asked = false;
}

static bool is_foreign(const struct fabric *f, const struct kernel_object *o)
{
	return kernel_is_route(o) && !kernel_object_is_ours(&f->kernel.marks, o);
}

/* Spares nearly all routes of a host that has many the search. */
static bool is_in_network(const struct fabric *f, const struct kernel_object *o)
{
	const struct ip_net *networks = f->kernel.marks.networks;
	struct ip_net dst = destination(o);

	for (size_t i = 0; i < ARRAY_LEN(f->kernel.marks.networks); i++) {
		if (ip_net_is_set(&networks[i]) && ip_net_contains_net(&networks[i], &dst))
			return true;
	}
	return false;
}

/* Where others' are welcome, whatever route of ours is around them. */
static bool is_in_own_subnet(const struct fabric *f, const struct kernel_object *o)
{
	struct ip_net dst = destination(o);
	const struct ip_net *own = dst.addr.family == AF_INET ? &f->own.v4 : &f->own.v6;

	return ip_net_is_set(own) && ip_net_contains_net(own, &dst);
}

/* Ours that this foreign route may stand before. */
static bool route_behind(const struct fabric *f, const struct kernel_object *o,
			 struct kernel_object *ret)
{
	return is_foreign(f, o) && is_in_network(f, o) && !is_in_own_subnet(f, o) &&
	       reconcile_route_around(f->reconcile, o, ret) && ret->value.ifindex;
}

void fabric_suspect(struct fabric *f, const struct kernel_object *o, bool gone)
{
	struct kernel_object route;
	struct fabric_shadow *s;

	if (!route_behind(f, o, &route))
		return;
	s = find(f, &route);
	if (s)
		s->asked = false;
	if (!gone)
		suspect(f, &route, o);
	if (s || !gone)
		fabric_want_work(f, 0);
}

/* A shorter prefix is only taken where ours is not there, which is drift. */
static bool stands_before(const struct fabric *f, const struct kernel_object *taken,
			  const struct kernel_object *route)
{
	return is_foreign(f, taken) && taken->key.len >= route->key.len;
}

static void end(struct fabric *f, struct fabric_shadow *s)
{
	char text[KERNEL_OBJECT_TEXT];

	if (s->told) {
		if (fabric_may_name(&f->shadow_log))
			log_info("route-unshadowed", "%s takes its packets again",
				 kernel_object_format(&s->route, text));
		/* Of several longer ones one is remembered. */
		if (s->taken.key.len > s->route.key.len)
			fabric_walk_shadows(f, WALK_MIN_MS);
	}
	forget(f, s);
}

/* What the kernel takes now. */
static void judge(struct fabric *f, struct fabric_shadow *s, const struct kernel_object *taken)
{
	char text[KERNEL_OBJECT_TEXT];
	char by[KERNEL_OBJECT_TEXT];

	s->asked = true;
	/* Not shown, so it is the one that was seen. */
	if (!kernel_is_route(taken) && taken->value.type && taken->value.type == s->by.value.type)
		taken = &s->by;
	if (!stands_before(f, taken, &s->route)) {
		end(f, s);
		return;
	}
	if (!s->told && fabric_may_name(&f->shadow_log))
		log_warn("route-shadowed", "%s takes the packets of %s",
			 kernel_object_format(taken, by), kernel_object_format(&s->route, text));
	s->told = true;
	s->taken = *taken;
}

/* While the kernel does not answer what was found stands. */
static void ask(struct fabric *f, struct fabric_shadow **asked, size_t len)
{
	struct kernel_object taken[UNDERLAY_MATCHES_MAX];
	struct ip_addr dsts[UNDERLAY_MATCHES_MAX];

	for (size_t i = 0; i < len; i++)
		dsts[i] = kernel_object_dst(&asked[i]->by);
	if (len == 0 || underlay_match_routes(f->nl, dsts, len, taken, NULL) < 0)
		return;
	for (size_t i = 0; i < len; i++)
		judge(f, asked[i], &taken[i]);
}

static bool is_wanted(const struct fabric *f, const struct kernel_object *route)
{
	struct kernel_object now;

	return reconcile_route_around(f->reconcile, route, &now) &&
	       memcmp(&now.key, &route->key, sizeof(now.key)) == 0;
}

static void ask_again(struct fabric *f)
{
	struct fabric_shadow *asked[UNDERLAY_MATCHES_MAX];
	struct fabric_shadow *following;
	size_t len = 0;

	for (struct fabric_shadow *s = next(f, NULL); s; s = following) {
		following = next(f, s);
		if (s->asked)
			continue;
		if (!is_wanted(f, &s->route)) {
			end(f, s);
			continue;
		}
		asked[len++] = s;
		if (len == ARRAY_LEN(asked)) {
			ask(f, asked, len);
			len = 0;
		}
	}
	ask(f, asked, len);
}

static void on_route(void *arg, const struct kernel_object *o)
{
	struct fabric *f = arg;
	struct kernel_object route;

	if (route_behind(f, o, &route))
		suspect(f, &route, o);
}

void fabric_ask_shadows_again(struct fabric *f)
{
	f->shadow_writes = netlink_counts(f->nl)->writes;
	for (struct fabric_shadow *s = next(f, NULL); s; s = next(f, s))
		s->asked = false;
}

static void walk(struct fabric *f)
{
	static const int families[] = { AF_INET, AF_INET6 };
	int64_t begin_ms = clock_boot_ms();
	bool all = true;
	int64_t end_ms;

	fabric_ask_shadows_again(f);
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		if (ip_net_is_set(&f->kernel.marks.networks[i]) &&
		    underlay_routes_visit(f->nl, families[i], 0, on_route, f, NULL) < 0)
			all = false;
	}
	end_ms = clock_boot_ms();
	f->shadow_walk_ms = 0;
	f->shadow_rest_ms = end_ms + (end_ms - begin_ms) * WALK_COST_FACTOR;
	if (!all)
		fabric_walk_shadows(f, WALK_MIN_MS);
}

void fabric_look_for_shadows(struct fabric *f)
{
	int64_t now_ms = clock_boot_ms();

	if (f->shadow_walk_ms && now_ms >= f->shadow_walk_ms)
		walk(f);
	/* Nothing notifies us of what we write ourselves. That may have ended one, and new peers may be
	 * behind a route that was there before them. */
	if (netlink_counts(f->nl)->writes != f->shadow_writes) {
		fabric_ask_shadows_again(f);
		if (!f->shadow_walk_ms)
			fabric_walk_shadows(f, WALK_MIN_MS);
	}
	ask_again(f);
	if (f->shadow_walk_ms)
		fabric_want_work(f, f->shadow_walk_ms - now_ms);
}

void fabric_walk_shadows(struct fabric *f, int64_t delay_ms)
{
	f->shadow_walk_ms = MAX(clock_boot_ms() + delay_ms, f->shadow_rest_ms);
}

/* "route 10.5.3.7/32 via 192.0.2.254 dev 2 proto 3 (by eth0)" */
static const char *describe_taken(const struct kernel_object *taken, char buf[static TAKEN_TEXT])
{
	char name[IFNAMSIZ];
	size_t used;

	kernel_object_format(taken, buf);
	used = strlen(buf);
	if (taken->value.ifindex && if_indextoname(taken->value.ifindex, name))
		snprintf(buf + used, TAKEN_TEXT - used, " (by %s)", name);
	return buf;
}

size_t fabric_describe_shadows(const struct fabric *f, char *buf, size_t size)
{
	char text[KERNEL_OBJECT_TEXT];
	char by[TAKEN_TEXT];
	size_t told = 0;

	buf[0] = '\0';
	for (const struct fabric_shadow *s = next(f, NULL); s; s = next(f, s)) {
		if (s->told && told++ == 0)
			snprintf(buf, size, "%s, which is not ours, takes the packets of %s",
				 describe_taken(&s->taken, by),
				 kernel_object_format(&s->route, text));
	}
	return told;
}

void fabric_visit_shadows(const struct fabric *f, fabric_difference_fn *visit, void *arg)
{
	char text[KERNEL_OBJECT_TEXT];

	for (const struct fabric_shadow *s = next(f, NULL); s; s = next(f, s)) {
		if (s->told)
			visit(arg, "shadowed", "route", kernel_object_format(&s->taken, text));
	}
}

void fabric_forget_shadows(struct fabric *f)
{
	struct fabric_shadow *s;

	while ((s = next(f, NULL)))
		forget(f, s);
}
