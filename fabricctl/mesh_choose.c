/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which hosts a matrix is of. Records name few of a host's peers, so all ways are counted by what is named,
 * however many hosts there are; the matrix itself has a cell for each way, and so a limit: of more hosts those
 * with the most bad ways, from them and to them, are shown, or those that were asked for.
 */
#include <fnmatch.h>
#include <string.h>

#include "fabricctl/mesh.h"

struct tally {
	const struct mesh_index *index;
	bool *wanted;
	uint32_t *bad; /* ways from and to each host */
	size_t *seen;  /* the last host, from 1, whose record names each */
	size_t *counts;
	size_t wanted_len;
};

/* Shows each host that the record of `from` names, once. */
static void visit_named(const struct tally *t, size_t from,
			void (*visit)(const struct tally *t, size_t from, size_t to,
				      enum mesh_way way))
{
	const struct health_record *r = t->index->fleet->hosts[from].record;

	for (size_t i = 0; r && i < r->peers_len; i++) {
		size_t to = mesh_find(t->index, &r->peers[i].subnet);

		if (to >= t->index->fleet->len || to == from || t->seen[to] == from + 1)
			continue;
		t->seen[to] = from + 1;
		visit(t, from, to, mesh_way_of(&r->peers[i]));
	}
}

static void visit_all(const struct tally *t, void (*visit)(const struct tally *t, size_t from,
							   size_t to, enum mesh_way way))
{
	memset(t->seen, 0, t->index->fleet->len * sizeof(*t->seen));
	for (size_t from = 0; from < t->index->fleet->len; from++)
		visit_named(t, from, visit);
}

static void note_bad(const struct tally *t, size_t from, size_t to, enum mesh_way way)
{
	if (!mesh_way_is_bad(way))
		return;
	t->bad[from]++;
	t->bad[to]++;
}

/* Whose way to or from one that was asked for is bad belongs to the picture. `seen` is used up: wanted
 * stays as it was until all are known. */
static void note_other_end(const struct tally *t, size_t from, size_t to, enum mesh_way way)
{
	if (mesh_way_is_bad(way) && t->wanted[from] != t->wanted[to])
		t->bad[t->wanted[from] ? to : from] = UINT32_MAX;
}

static void count_named(const struct tally *t, size_t from, size_t to, enum mesh_way way)
{
	if (!t->wanted[from] || !t->wanted[to])
		return;
	t->counts[way]++;
	t->counts[mesh_other_way(&t->index->fleet->hosts[from])]--;
}

/* ---- who is wanted ---- */

static bool matches(const struct fleet_host *h, const char *pattern)
{
	return fnmatch(pattern, h->name, 0) == 0 || fnmatch(pattern, h->subnet, 0) == 0;
}

/* NULL, or the first of the patterns that no host has. */
static const char *want_matching(struct tally *t, char **patterns, size_t len)
{
	const struct fleet *f = t->index->fleet;

	for (size_t p = 0; p < len; p++) {
		bool any = false;

		for (size_t i = 0; i < f->len; i++) {
			if (!matches(&f->hosts[i], patterns[p]))
				continue;
			t->wanted[i] = any = true;
		}
		if (!any)
			return patterns[p];
	}
	for (size_t i = 0; i < f->len && len == 0; i++)
		t->wanted[i] = true;
	return NULL;
}

static void want_other_ends(struct tally *t)
{
	visit_all(t, note_other_end);
	for (size_t i = 0; i < t->index->fleet->len; i++)
		t->wanted[i] |= t->bad[i] == UINT32_MAX;
	memset(t->bad, 0, t->index->fleet->len * sizeof(*t->bad));
}

static int by_bad(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a;
	const uint32_t y = *(const uint32_t *)b;

	return (x < y) - (x > y);
}

/* How many bad ways a host must have to be among the first `max` of those that are wanted; *ret_at_least: how many that
 * have just as many are among them. */
static uint32_t threshold(const struct tally *t, size_t max, size_t *ret_at_least)
{
	auto_free uint32_t *sorted = xcalloc(MAX(t->wanted_len, (size_t)1), sizeof(*sorted));
	size_t len = 0;
	uint32_t least;

	for (size_t i = 0; i < t->index->fleet->len; i++) {
		if (t->wanted[i])
			sorted[len++] = t->bad[i];
	}
	qsort(sorted, len, sizeof(*sorted), by_bad);
	least = sorted[max - 1];
	*ret_at_least = 1;
	while (*ret_at_least < max && sorted[max - 1 - *ret_at_least] == least)
		++*ret_at_least;
	return least;
}

static void take(struct mesh *m, const struct tally *t, size_t max)
{
	const struct fleet *f = t->index->fleet;
	bool all = t->wanted_len <= max;
	size_t equal = 0;
	uint32_t least = all ? 0 : threshold(t, max, &equal);

	m->shown.hosts = xcalloc(MAX(MIN(t->wanted_len, max), (size_t)1), sizeof(*f->hosts));
	m->bad = xcalloc(MAX(MIN(t->wanted_len, max), (size_t)1), sizeof(*m->bad));
	for (size_t i = 0; i < f->len; i++) {
		if (!t->wanted[i] || (!all && t->bad[i] < least) ||
		    (!all && t->bad[i] == least && equal == 0))
			continue;
		equal -= !all && t->bad[i] == least;
		m->bad[m->shown.len] = t->bad[i];
		m->shown.hosts[m->shown.len++] = f->hosts[i];
	}
}

const char *mesh_choose(struct mesh *m, const struct mesh_index *index, size_t max, char **patterns,
			size_t patterns_len)
{
	size_t len = MAX(index->fleet->len, (size_t)1);
	auto_free bool *wanted = xcalloc(len, sizeof(*wanted));
	auto_free uint32_t *bad = xcalloc(len, sizeof(*bad));
	auto_free size_t *seen = xcalloc(len, sizeof(*seen));
	struct tally t = { index, wanted, bad, seen, m->counts, 0 };
	const char *unknown = want_matching(&t, patterns, patterns_len);

	if (unknown)
		return unknown;
	if (patterns_len)
		want_other_ends(&t);
	for (size_t i = 0; i < index->fleet->len; i++)
		t.wanted_len += wanted[i];
	for (size_t i = 0; i < index->fleet->len; i++) {
		if (wanted[i])
			m->counts[mesh_other_way(&index->fleet->hosts[i])] += t.wanted_len - 1;
	}
	m->counts[MESH_SELF] = t.wanted_len;
	visit_all(&t, note_bad);
	visit_all(&t, count_named);
	m->total = t.wanted_len;
	take(m, &t, max);
	return NULL;
}
