/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The own key once it is held: what stands there against what we publish. Who writes over it may be
 * a person, another host, or a second daemon with our identity.
 */
#include "subnet/manager_internal.h"

#include <stdarg.h>

#define CONTESTED_MAX 3
#define RIVAL_MS      120000 /* longer than the longest pause of a daemon like this one */

void manager_remember_address(struct manager *m, const struct lease *published)
{
	const struct ip_addr *address = manager_public_address(published);

	for (unsigned i = 0; i < ARRAY_LEN(m->published); i++) {
		if (ip_addr_equal(&m->published[i], address))
			return;
	}
	m->published[m->published_len++ % ARRAY_LEN(m->published)] = *address;
}

/* An address that this process publishes or has published. */
bool manager_is_our_address(const struct manager *m, const struct lease *l)
{
	const struct ip_addr *address = manager_public_address(l);

	if (manager_same_public(l, m->attributes))
		return true;
	/* Before we moved, since we have had its place after that; or our own question. */
	if (manager_same_text(l->node_id, m->node_id) &&
	    (l->mod_revision <= m->past_revision || l->mod_revision == m->challenged))
		return true;
	for (unsigned i = 0; i < ARRAY_LEN(m->published); i++) {
		if (ip_addr_is_set(address) && ip_addr_equal(&m->published[i], address))
			return true;
	}
	return false;
}

/* What stands under our key is another host's claim, not a change of ours. */
static bool is_foreign(const struct manager *m, const struct lease *l)
{
	if (l->problem)
		return false;
	if (l->node_id)
		return strcmp(l->node_id, m->node_id) != 0;
	return ip_addr_is_set(manager_public_address(l)) && !manager_is_our_address(m, l);
}

/*
 * Another host with our id writes its address into our lease. Who was here first writes it back,
 * who took the lease over gives it up; if both think they were first, both stop after a few rounds.
 */
static bool is_contested(struct manager *m, const struct lease *l)
{
	if (l->problem || !l->node_id || manager_is_our_address(m, l))
		return false;
	m->contested++;
	return m->taken_over || m->contested >= CONTESTED_MAX;
}

static void set_rival(struct manager *m, int64_t now_ms, const char *name, const char *fmt, ...)
	PRINTF(4, 5);

static void set_rival(struct manager *m, int64_t now_ms, const char *name, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m->rival, sizeof(m->rival), fmt, ap);
	va_end(ap);
	m->rival_name = name;
	m->rival_until_ms = now_ms + RIVAL_MS;
}

/* What stands under our key is not what we wrote. */
static void overwritten(struct manager *m, int64_t now_ms, const struct lease *l)
{
	bool same_id = manager_same_text(l->node_id, m->node_id);
	char address[IP_ADDR_TEXT];

	if (l->claim && same_id)
		manager_note(m, LOG_LEVEL_ERROR, "node-id-twice",
			     "a host at %s has this host's node id %s and asks for its lease; a "
			     "copied disk image? Give one of them another id",
			     l->claim, m->node_id);
	else if (same_id && !manager_same_text(l->node_name, m->node_name))
		set_rival(
			m, now_ms, "node-id-twice",
			"another flanneld, of %s at %s, has this host's node id %s and writes over "
			"its lease; give one of them another id",
			l->node_name ? l->node_name : "a host without a name",
			ip_addr_format(manager_public_address(l), address), m->node_id);
	else if (m->rewrites.failures > 1)
		set_rival(m, now_ms, "lease-overwritten",
			  "somebody writes over this host's lease again and again; it is written "
			  "again, ever less often");
	else
		manager_note(m, LOG_LEVEL_WARN, "lease-overwritten",
			     "somebody changed our lease in the store; writing it again");
}

/*
 * Our lease as we publish it: at once the first time, then ever less eagerly, since who writes it too
 * may be as eager. Who asks whether we live (a mark in it) waits for the answer.
 */
static void rewrite(struct manager *m, int64_t now_ms, const struct lease *in_store)
{
	static const struct backoff_policy pace = {
		.min_ms = 1000, .max_ms = 30000, .calm_ms = 60000, .at_once = true
	};

	if (m->rewrite_at == INT64_MAX)
		m->rewrite_at = now_ms + backoff_next(&m->rewrites, &pace, now_ms);
	if (now_ms < m->rewrite_at && !in_store->claim)
		return;
	m->rewrite_at = INT64_MAX;
	manager_update(m, in_store);
}

void manager_tick_own(struct manager *m, int64_t now_ms)
{
	if (now_ms >= m->rival_until_ms) {
		m->rival_until_ms = INT64_MAX;
		m->rival_name = NULL;
		m->rival[0] = '\0';
	}
	if (now_ms < m->rewrite_at)
		return;
	if (m->state == MANAGER_HELD)
		manager_check_own(m, now_ms);
	/* It was not the time for it; whatever comes next looks again. */
	if (m->rewrite_at <= now_ms)
		m->rewrite_at = INT64_MAX;
}

/* What has become of our key. */
static const char *rebound(const struct lease *l)
{
	if (lease_is_reservation(l))
		return "our key was made a reservation, it no longer expires";
	if (lease_is_unbound(l))
		return "somebody wrote our key without its lease of the store, so that it would "
		       "never end; it is bound to a new one";
	return "our key was bound to another lease of the store";
}

void manager_check_own(struct manager *m, int64_t now_ms)
{
	const struct manager_member *mine = manager_find(m, &m->own->subnet);
	const struct lease *l = mine ? mine->lease : NULL;
	auto_lease struct lease *want = l ? manager_wanted(m, l) : NULL;

	if (!l) {
		manager_lost(m, now_ms, "its key is no longer in the store");
		return;
	}
	/* A write of ours is on its way into the picture, or on its way at all. Not so if the
	 * picture is past it and still has less: that is of another history. */
	if (m->own->mod_revision > m->revision || m->claim_id)
		return;
	if (is_foreign(m, l) || (l->mod_revision != m->own->mod_revision && is_contested(m, l))) {
		manager_conflict(m, now_ms, l);
		return;
	}
	if (m->own->id != l->id || m->own->flags != l->flags) {
		manager_note(m, LOG_LEVEL_WARN, "lease-rebound", "%s", rebound(l));
		manager_abandon_keepalive(m);
		m->own->id = l->id;
		m->own->flags = l->flags;
		manager_keep_alive(m, now_ms);
	}
	if (!lease_equal(want, l) || lease_is_unbound(l)) {
		/* Not news if what we publish is what has changed. */
		if (l->mod_revision != m->own->mod_revision && !lease_equal(l, m->own))
			overwritten(m, now_ms, l);
		rewrite(m, now_ms, l);
	} else {
		m->rewrite_at = INT64_MAX;
		m->write_failed = false;
		manager_complaint_over(m);
	}
	m->own->mod_revision = l->mod_revision;
	m->own->born = l->born;
}

void manager_remove_leftover(struct manager *m, const struct manager_member *member)
{
	const struct lease *l;

	if (!member || manager_is_assigned(m))
		return;
	l = member->lease;
	/*
	 * A subnet of another length or of another network, or a create of unknown outcome that
	 * happened after all. Only what surely is this host's: id and address, or flannel's rule
	 * for one that is in the way. Never a reservation.
	 */
	if (member->own || member->kept_until_ms || l->flags & LEASE_RESERVED ||
	    !manager_is_surely_ours(m, l))
		return;
	if (l->node_id || subnet_overlaps(&l->subnet, &m->own->subnet))
		manager_submit(m, STORE_REMOVE, l);
}

void manager_remove_leftovers(struct manager *m)
{
	struct manager_member *member = NULL;

	while ((member = manager_next(&m->members, member)))
		manager_remove_leftover(m, member);
}
