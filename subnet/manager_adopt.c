/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lease that is ours already, from this or an earlier life: taken over, unless its host turns out
 * to live and we to be a copy of its disk.
 */
#include "subnet/manager_internal.h"

#define CHALLENGE_MS 2000 /* a host that lives is told of a question and answers within this */

/* Asks the host of this lease, by a mark in it that changes nothing else, whether it lives. */
static void challenge(struct manager *m, const struct lease *in_store)
{
	auto_lease struct lease *l = lease_copy(in_store);
	char address[IP_ADDR_TEXT];
	char key[SUBNET_KEY_TEXT];

	free(l->claim);
	l->claim = xstrdup(ip_addr_format(manager_public_address(m->attributes), address));
	manager_abandon(m);
	m->creating = false;
	m->challenging = true;
	m->claim_floor = m->floor;
	m->claim_id = manager_submit(m, STORE_UPDATE, l);
	manager_note(m, LOG_LEVEL_INFO, "lease-asked-for",
		     "%s has this host's node id and another public address, %s: this host's of "
		     "before it moved, unless that host answers within %d s",
		     subnet_format(&l->subnet, key),
		     ip_addr_format(manager_public_address(l), address), CHALLENGE_MS / 1000);
}

void manager_on_challenged(struct manager *m, int64_t now_ms, struct lease *marked)
{
	m->challenging = false;
	m->challenged = marked->mod_revision;
	m->challenged_subnet = marked->subnet;
	m->challenge_ms = m->retry_at = now_ms + CHALLENGE_MS;
	manager_upsert(m, marked);
}

static void defended(struct manager *m, int64_t now_ms, const struct lease *in_store)
{
	struct manager_member *member = manager_find(m, &in_store->subnet);

	m->challenged = 0;
	if (member) {
		member->defended = true;
		manager_find_twins(m);
	}
	if (m->was_held)
		manager_conflict(m, now_ms, in_store);
	else
		manager_choose(m, now_ms);
}

/*
 * A lease with our node id and another address is of this host, which has moved; or of a host that
 * lives, and we are a copy of its disk. A live one writes its lease again when it finds our mark in
 * it. True if the lease is free to be taken over; else something is under way.
 */
static bool is_undefended(struct manager *m, int64_t now_ms, const struct lease *in_store)
{
	if (manager_is_assigned(m) || !manager_same_text(in_store->node_id, m->node_id) ||
	    manager_same_public(in_store, m->attributes) ||
	    in_store->mod_revision <= m->past_revision)
		return true;
	if (!m->challenged || !subnet_equal(&in_store->subnet, &m->challenged_subnet)) {
		challenge(m, in_store);
	} else if (in_store->mod_revision != m->challenged) {
		defended(m, now_ms, in_store);
	} else if (now_ms < m->challenge_ms) {
		m->retry_at = m->challenge_ms;
	} else {
		m->challenged = 0;
		return true;
	}
	return false;
}

/* `in_store` is ours, from this or an earlier life. */
void manager_adopt(struct manager *m, int64_t now_ms, const struct lease *in_store)
{
	struct lease *l;
	bool same;

	if (!is_undefended(m, now_ms, in_store))
		return;
	l = manager_wanted(m, in_store);
	same = lease_equal(l, in_store) && !lease_is_unbound(in_store);
	manager_abandon(m);
	m->adopting = true;
	m->taken_over = manager_same_text(in_store->node_id, m->node_id) &&
			!manager_same_public(in_store, m->attributes) && !m->was_held;
	m->past_revision = in_store->mod_revision;
	lease_free(m->own);
	m->own = l;
	manager_set_own(m, &l->subnet);
	if (!same)
		manager_update(m, in_store);
	else if (l->flags & LEASE_EXPIRES)
		manager_keep_alive(m, now_ms);
	else
		manager_alive(m, now_ms);
}
