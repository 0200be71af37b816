/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which lease is ours, and which subnet to ask for if none is: what we have, what we had, what is
 * free.
 */
#include "subnet/manager_internal.h"

#include "subnet/pool.h"

bool manager_same_text(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

bool manager_same_public(const struct lease *a, const struct lease *b)
{
	return (ip_addr_is_set(&a->public_v4) && ip_addr_equal(&a->public_v4, &b->public_v4)) ||
	       (!ip_addr_is_set(&a->public_v4) && ip_addr_is_set(&a->public_v6) &&
		ip_addr_equal(&a->public_v6, &b->public_v6));
}

bool manager_is_ours(const struct manager *m, const struct lease *l)
{
	bool same_name = manager_same_text(l->node_name, m->node_name);
	bool same_public = manager_same_public(m->attributes, l);

	if (l->problem)
		return false;
	if (manager_is_assigned(m))
		return same_name;
	/* A reservation that names its host and no address. */
	if (!l->node_id && l->flags & LEASE_RESERVED && !ip_addr_is_set(&l->public_v4) &&
	    !ip_addr_is_set(&l->public_v6))
		return same_name;
	if (manager_same_text(l->node_id, m->node_id))
		return same_public || same_name || subnet_equal(&l->subnet, &m->previous);
	return same_public && (!l->node_id || same_name);
}

bool manager_is_surely_ours(const struct manager *m, const struct lease *l)
{
	return !l->problem && manager_same_public(m->attributes, l) &&
	       (!l->node_id || strcmp(l->node_id, m->node_id) == 0);
}

bool manager_is_twin(const struct manager *m, const struct lease *l)
{
	if (l->problem || !l->node_id)
		return false;
	if (manager_same_text(l->node_id, m->node_id))
		return !manager_same_public(m->attributes, l);
	return manager_same_public(m->attributes, l) &&
	       !manager_same_text(l->node_name, m->node_name);
}

/* By id before by address, then the one we used last, then the one with our address. */
static int rank(const struct manager *m, const struct lease *l)
{
	return manager_same_text(l->node_id, m->node_id) * 4 +
	       subnet_equal(&l->subnet, &m->previous) * 2 + manager_same_public(m->attributes, l);
}

struct manager_member *manager_find_ours(const struct manager *m)
{
	struct manager_member *best = NULL;
	struct manager_member *member = NULL;

	while ((member = manager_next(&m->members, member))) {
		int better;

		if (member->kept_until_ms || member->defended || !manager_is_ours(m, member->lease))
			continue;
		better = best ? rank(m, member->lease) - rank(m, best->lease) : 1;
		if (better > 0 || (better == 0 && member->lease->born < best->lease->born))
			best = member;
	}
	return best;
}

const struct manager_member *manager_overlapping(const struct manager *m, const struct subnet *s,
						 const struct manager_member *except,
						 uint64_t before)
{
	const struct manager_member *member = NULL;

	while ((member = manager_next(&m->members, member))) {
		if (member != except && member->lease->born < before &&
		    !manager_is_surely_ours(m, member->lease) &&
		    subnet_overlaps(&member->lease->subnet, s))
			return member;
	}
	return NULL;
}

static int pick(struct manager *m, const struct network_family *f, bool v6,
		const struct manager_member *except, struct ip_net *ret, struct err *e)
{
	auto_free struct ip_net *taken = xmalloc((m->members.len + 1) * sizeof(*taken));
	const struct ip_net *avoid = &m->avoid[v6];
	const struct manager_member *member = NULL;
	size_t len = 0;

	while ((member = manager_next(&m->members, member))) {
		const struct ip_net *net =
			v6 ? &member->lease->subnet.v6 : &member->lease->subnet.v4;

		if (member != except && ip_net_is_set(net))
			taken[len++] = *net;
	}
	/* All of a network inside a segment would be taken; that is what its user wants. */
	if (ip_net_is_set(avoid) && ip_net_contains_net(&f->network, avoid))
		taken[len++] = *avoid;
	return pool_pick(f, taken, len, manager_random(m), ret, e);
}

/* One family's part of the subnet to claim: from our lease, else from the last run, else a free
 * one. */
int manager_choose_family(struct manager *m, const struct network_family *f, bool v6,
			  const struct manager_member *ours, struct ip_net *ret, struct err *e)
{
	const struct ip_net *candidates[2] = { NULL, v6 ? &m->previous.v6 : &m->previous.v4 };

	*ret = (struct ip_net){ 0 };
	if (!f->enabled)
		return 0;
	if (ours)
		candidates[0] = v6 ? &ours->lease->subnet.v6 : &ours->lease->subnet.v4;
	for (size_t i = 0; i < ARRAY_LEN(candidates); i++) {
		struct subnet alone = { 0 };

		if (!candidates[i] || !network_family_allows(f, candidates[i]))
			continue;
		*(v6 ? &alone.v6 : &alone.v4) = *candidates[i];
		/* What we hold is given up only for who was there before us. */
		if (!manager_overlapping(m, &alone, ours,
					 i == 0 ? ours->lease->born : UINT64_MAX)) {
			*ret = *candidates[i];
			return 0;
		}
	}
	return pick(m, f, v6, ours, ret, e);
}
