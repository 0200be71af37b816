/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes of others that take a peer's packets: the same destination before ours (ip route prepend),
 * a lower metric. Not ours to delete, but named.
 *
 * No dump of ours shows them, and hosts may have a hundred thousand routes, so a notification only
 * raises the suspicion, and the kernel is asked which route it takes. Those found are asked for again
 * when something about that destination changes, and on the slow timer.
 */
#include "fabric/fabric_internal.h"
#include "kernel/underlay.h"
#include "lib/log.h"

static struct fabric_shadow *find(struct fabric *f, const struct kernel_object *o)
{
	for (size_t i = 0; i < f->shadows_len; i++) {
		const struct kernel_key *key = &f->shadows[i].route.key;

		if (key->family == o->key.family && key->len == o->key.len &&
		    memcmp(key->dst, o->key.dst, sizeof(key->dst)) == 0)
			return &f->shadows[i];
	}
	return NULL;
}

void fabric_suspect(struct fabric *f, const struct kernel_object *o)
{
	struct kernel_object route;

	if (!kernel_is_route(o) || kernel_object_is_ours(&f->kernel.marks, o) || find(f, o) ||
	    f->shadows_len == ARRAY_LEN(f->shadows) ||
	    !reconcile_wanted_route(f->reconcile, o, &route))
		return;
	f->shadows[f->shadows_len++] = (struct fabric_shadow){ .route = route };
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

/* True if another route than ours is taken. */
static bool ask(struct fabric *f, struct fabric_shadow *s)
{
	struct ip_addr dst = kernel_object_dst(&s->route);
	struct kernel_object taken;
	char text[KERNEL_OBJECT_TEXT];
	char by[KERNEL_OBJECT_TEXT];

	s->asked = true;
	if (!underlay_route_match(f->nl, &dst, &taken) ||
	    !reconcile_wanted_route(f->reconcile, &s->route, &s->route) ||
	    kernel_object_is_ours(&f->kernel.marks, &taken)) {
		if (s->told)
			log_info("route-unshadowed", "%s takes its packets again",
				 kernel_object_format(&s->route, text));
		return false;
	}
	if (!s->told)
		log_warn("route-shadowed", "%s takes the packets of %s",
			 kernel_object_format(&taken, by), kernel_object_format(&s->route, text));
	s->told = true;
	s->taken = taken;
	return true;
}

void fabric_look_for_shadows(struct fabric *f)
{
	for (size_t i = f->shadows_len; i-- > 0;) {
		if (!f->shadows[i].asked && !ask(f, &f->shadows[i]))
			f->shadows[i] = f->shadows[--f->shadows_len];
	}
}

void fabric_doubt_shadows(struct fabric *f)
{
	for (size_t i = 0; i < f->shadows_len; i++)
		f->shadows[i].asked = false;
}

void fabric_describe_shadow(const struct fabric *f, char *buf, size_t size)
{
	char text[KERNEL_OBJECT_TEXT];
	char by[KERNEL_OBJECT_TEXT];

	buf[0] = '\0';
	if (f->shadows_len > 0 && f->shadows[0].told)
		snprintf(buf, size, "%s, which is not ours, takes the packets of %s",
			 kernel_object_format(&f->shadows[0].taken, by),
			 kernel_object_format(&f->shadows[0].route, text));
}
