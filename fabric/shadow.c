/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes of others that take a peer's packets: the same destination before ours (ip route prepend),
 * a lower metric, a longer prefix. Not ours to delete, but named.
 *
 * No dump of ours shows them, and hosts may have a hundred thousand routes, so the kernel is asked
 * which route it takes: for all that is wanted after the first settle and on the slow timer, a part
 * in each turn, and at once where a notification raises the suspicion. Those found are asked for
 * again when something about them changes.
 */
#include "fabric/fabric_internal.h"
#include "kernel/underlay.h"
#include "lib/clock.h"
#include "lib/log.h"

#define ROUTES_PER_TURN 1024 /* about 3 ms */

static bool same_destination(const struct kernel_object *a, const struct kernel_object *b)
{
	return a->key.family == b->key.family && a->key.len == b->key.len &&
	       memcmp(a->key.dst, b->key.dst, sizeof(a->key.dst)) == 0;
}

static struct fabric_shadow *find(struct fabric *f, const struct kernel_object *o)
{
	for (size_t i = 0; i < f->shadows_len; i++) {
		struct fabric_shadow *s = &f->shadows[i];

		if (same_destination(&s->route, o) || (s->told && same_destination(&s->taken, o)))
			return s;
	}
	return NULL;
}

static void add(struct fabric *f, const struct kernel_object *route)
{
	GROW(f->shadows, f->shadows_len, f->shadows_cap);
	f->shadows[f->shadows_len++] = (struct fabric_shadow){ .route = *route };
}

void fabric_suspect(struct fabric *f, const struct kernel_object *o)
{
	struct kernel_object route;

	if (!kernel_is_route(o) || kernel_object_is_ours(&f->kernel.marks, o) ||
	    !reconcile_wanted_route(f->reconcile, o, &route) || find(f, o))
		return;
	add(f, &route);
	fabric_want_work(f, 0);
}

void fabric_suspect_again(struct fabric *f, const struct kernel_object *o)
{
	struct fabric_shadow *s = kernel_is_route(o) ? find(f, o) : NULL;

	if (s)
		s->asked = false;
	if (s)
		fabric_want_work(f, 0);
}

/* A shorter prefix is only taken where ours is not there, which is drift. */
static bool stands_before(const struct fabric *f, const struct kernel_object *taken,
			  const struct kernel_object *route)
{
	return kernel_is_route(taken) && taken->key.len >= route->key.len &&
	       !kernel_object_is_ours(&f->kernel.marks, taken);
}

/* What the kernel takes now. False if it is no shadow any more. */
static bool judge(struct fabric *f, struct fabric_shadow *s, const struct kernel_object *taken)
{
	char text[KERNEL_OBJECT_TEXT];
	char by[KERNEL_OBJECT_TEXT];

	s->asked = true;
	if (!reconcile_wanted_route(f->reconcile, &s->route, &s->route) ||
	    !stands_before(f, taken, &s->route)) {
		if (s->told && fabric_may_name(&f->shadow_log))
			log_info("route-unshadowed", "%s takes its packets again",
				 kernel_object_format(&s->route, text));
		return false;
	}
	if (!s->told && fabric_may_name(&f->shadow_log))
		log_warn("route-shadowed", "%s takes the packets of %s",
			 kernel_object_format(taken, by), kernel_object_format(&s->route, text));
	s->told = true;
	s->taken = *taken;
	return true;
}

static void ask_again(struct fabric *f)
{
	for (size_t i = f->shadows_len; i-- > 0;) {
		struct fabric_shadow *s = &f->shadows[i];
		struct ip_addr dst = kernel_object_dst(&s->route);
		struct kernel_object taken;

		/* While the kernel does not answer what was found stands. */
		if (!s->asked && underlay_match_routes(f->nl, &dst, 1, &taken, NULL) == 0 &&
		    !judge(f, s, &taken))
			*s = f->shadows[--f->shadows_len];
	}
}

/* Some of the routes. False if the kernel does not answer. */
static bool ask_some(struct fabric *f)
{
	struct kernel_object routes[UNDERLAY_MATCHES_MAX];
	struct kernel_object taken[UNDERLAY_MATCHES_MAX];
	struct ip_addr dsts[UNDERLAY_MATCHES_MAX];
	size_t len = 0;

	while (len < UNDERLAY_MATCHES_MAX && f->shadow_walk) {
		f->shadow_walk = reconcile_next_route(f->reconcile, f->shadow_walk, &routes[len]);
		/* Those without a way are for our own subnet, where others' are welcome. */
		if (f->shadow_walk && routes[len].value.ifindex) {
			dsts[len] = kernel_object_dst(&routes[len]);
			len++;
		}
	}
	if (underlay_match_routes(f->nl, dsts, len, taken, NULL) < 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (stands_before(f, &taken[i], &routes[i]) && !find(f, &routes[i]))
			add(f, &routes[i]);
	}
	return true;
}

static void ask_all_again(struct fabric *f)
{
	f->shadow_writes = netlink_counts(f->nl)->writes;
	for (size_t i = 0; i < f->shadows_len; i++)
		f->shadows[i].asked = false;
}

static void begin_walk(struct fabric *f)
{
	f->shadow_walk_ms = 0;
	f->shadow_walk = 1;
	ask_all_again(f);
}

void fabric_look_for_shadows(struct fabric *f)
{
	int64_t left_ms = f->shadow_walk_ms ? f->shadow_walk_ms - clock_boot_ms() : INT64_MAX;

	if (left_ms <= 0)
		begin_walk(f);
	/* Nothing notifies us of what we write ourselves, and that may have ended one. */
	if (netlink_counts(f->nl)->writes != f->shadow_writes)
		ask_all_again(f);
	for (size_t asked = 0; f->shadow_walk && asked < ROUTES_PER_TURN;
	     asked += UNDERLAY_MATCHES_MAX) {
		if (!ask_some(f))
			f->shadow_walk = 0;
	}
	ask_again(f);
	if (f->shadow_walk)
		fabric_want_work(f, 1);
	else if (f->shadow_walk_ms)
		fabric_want_work(f, left_ms);
}

void fabric_walk_shadows(struct fabric *f, int64_t delay_ms)
{
	f->shadow_walk_ms = clock_boot_ms() + delay_ms;
}

size_t fabric_describe_shadows(const struct fabric *f, char *buf, size_t size)
{
	char text[KERNEL_OBJECT_TEXT];
	char by[KERNEL_OBJECT_TEXT];
	size_t told = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < f->shadows_len; i++) {
		const struct fabric_shadow *s = &f->shadows[i];

		if (s->told && told++ == 0)
			snprintf(buf, size, "%s, which is not ours, takes the packets of %s",
				 kernel_object_format(&s->taken, by),
				 kernel_object_format(&s->route, text));
	}
	return told;
}
