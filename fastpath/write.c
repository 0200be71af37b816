/* SPDX-License-Identifier: Apache-2.0 */
/* The maps and links of the fast path, made as the survey wants them. */
#include "fastpath/fast_path_internal.h"

#include <errno.h>

struct stale {
	const struct fast_path *f;
	struct fast_address *items;
	size_t len;
	size_t cap;
	bool *known; /* which of the survey's stand as they are to */
};

static void compare(void *arg, const struct fast_address *address, const struct fast_container *c,
		    bool device)
{
	struct stale *s = arg;
	const struct fast_found *want = fast_survey_find(&s->f->survey, address);

	if (!want) {
		GROW(s->items, s->len, s->cap);
		s->items[s->len++] = *address;
	} else if (device && memcmp(&want->container, c, sizeof(*c)) == 0) {
		s->known[want - s->f->survey.items] = true;
	}
}

/* Whether it was so when it was written, so that somebody else has changed it. */
static bool was_written(const struct fast_path *f, const struct fast_found *want)
{
	const struct fast_found *before = fast_survey_find(&f->before, &want->address);

	return before && memcmp(&before->container, &want->container, sizeof(want->container)) == 0;
}

static void keep_written(struct fast_path *f)
{
	struct fast_survey *b = &f->before;

	fast_survey_fini(b);
	b->len = b->cap = f->survey.len;
	b->items = xcalloc(b->len + 1, sizeof(*b->items));
	if (b->len)
		memcpy(b->items, f->survey.items, b->len * sizeof(*b->items));
}

void fast_path_write_containers(struct fast_path *f)
{
	struct stale s = { .f = f, .known = xcalloc(f->survey.len + 1, sizeof(bool)) };

	fast_object_containers_visit(f->object, compare, &s);
	for (size_t i = 0; i < s.len; i++) {
		f->healed_total += f->settled && !fast_survey_find(&f->before, &s.items[i]);
		fast_object_drop(f->object, &s.items[i]);
		f->writes_total++;
	}
	for (size_t i = 0; i < f->survey.len; i++) {
		const struct fast_found *want = &f->survey.items[i];
		struct err e;

		if (s.known[i])
			continue;
		f->writes_total++;
		f->healed_total += f->settled && was_written(f, want);
		/* A device that has gone meanwhile is told of. */
		if (fast_object_put(f->object, &want->address, &want->container, &e) < 0 &&
		    e.code != -ENODEV)
			f->unwritten = e;
	}
	free(s.items);
	free(s.known);
	keep_written(f);
}

struct links {
	const struct fast_path *f;
	uint32_t *stale;
	size_t len;
	size_t cap;
};

static bool is_link_wanted(const struct fast_path *f, uint32_t ifindex)
{
	for (size_t i = 0; i < FAST_TUNNELS; i++) {
		if (ifindex == f->place.tunnels[i])
			return true;
	}
	for (size_t i = 0; i < f->survey.len; i++) {
		if (ifindex == f->survey.items[i].container.ifindex)
			return true;
	}
	return false;
}

static void on_link(void *arg, uint32_t ifindex)
{
	struct links *l = arg;

	if (is_link_wanted(l->f, ifindex))
		return;
	GROW(l->stale, l->len, l->cap);
	l->stale[l->len++] = ifindex;
}

void fast_path_write_links(struct fast_path *f, bool tunnels)
{
	struct links l = { .f = f };
	struct err e;

	fast_object_links_visit(f->object, on_link, &l);
	for (size_t i = 0; i < l.len; i++)
		fast_object_detach(f->object, l.stale[i]);
	free(l.stale);
	for (size_t i = 0; i < FAST_TUNNELS && tunnels; i++) {
		if (f->place.tunnels[i] &&
		    fast_object_attach(f->object, f->place.tunnels[i], FAST_FROM_TUNNEL, &e) < 0)
			f->unwritten = e;
	}
	for (size_t i = 0; i < f->survey.len; i++) {
		/* Likewise. */
		if (fast_object_attach(f->object, f->survey.items[i].container.ifindex,
				       FAST_FROM_CONTAINER, &e) < 0 &&
		    e.code != -ENODEV)
			f->unwritten = e;
	}
}
