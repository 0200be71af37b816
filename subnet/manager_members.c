/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manager's picture of the store: every lease, and every key that cannot be read. Events and
 * lists both end here, and what changed is told to the listener once, whichever of them brought it.
 */
#include "subnet/manager_internal.h"

struct manager_member *manager_find(const struct manager *m, const struct subnet *s)
{
	struct manager_member *member;

	HASH_FIND(hh, m->members, s, sizeof(*s), member);
	return member;
}

static void tell_peer(struct manager *m, struct manager_member *member, bool gone)
{
	m->ops->peer(m->arg, member, gone);
}

/* Marks one member as ours and all others as peers; tells the listener of those that changed sides.
 */
void manager_set_own(struct manager *m, const struct subnet *own)
{
	struct manager_member *member;
	struct manager_member *tmp;

	HASH_ITER (hh, m->members, member, tmp) {
		bool is_own = own && subnet_equal(&member->lease->subnet, own);

		if (is_own == member->own)
			continue;
		if (is_own)
			tell_peer(m, member, true);
		member->own = is_own;
		if (!is_own)
			tell_peer(m, member, false);
	}
}

/* Takes `lease` in. */
void manager_upsert(struct manager *m, struct lease *lease)
{
	struct manager_member *member = manager_find(m, &lease->subnet);
	bool changed = true;

	if (!member) {
		member = xcalloc(1, sizeof(*member));
		member->lease = lease;
		HASH_ADD_KEYPTR(hh, m->members, &member->lease->subnet, sizeof(lease->subnet),
				member);
		m->unreadable += lease->problem != NULL;
	} else if (lease->mod_revision < member->lease->mod_revision) {
		/* Older news: a list overtaken by events, or an event repeated. */
		lease_free(lease);
		return;
	} else {
		changed = !lease_equal(lease, member->lease);
		m->unreadable -= member->lease->problem != NULL;
		m->unreadable += lease->problem != NULL;
		HASH_DEL(m->members, member);
		lease_free(member->lease);
		member->lease = lease;
		HASH_ADD_KEYPTR(hh, m->members, &member->lease->subnet, sizeof(lease->subnet),
				member);
	}
	member->seen = m->list_number;
	if (changed && !member->own)
		tell_peer(m, member, false);
}

void manager_forget(struct manager *m, struct manager_member *member)
{
	if (!member->own)
		tell_peer(m, member, true);
	HASH_DEL(m->members, member);
	m->unreadable -= member->lease->problem != NULL;
	lease_free(member->lease);
	free(member);
}

void manager_add_junk(struct manager *m, const char *key, const char *reason)
{
	struct manager_junk *j;

	HASH_FIND_STR(m->junk, key, j);
	if (j) {
		free(j->reason);
		j->reason = xstrdup(reason);
		return;
	}
	m->junk_len++;
	if (HASH_COUNT(m->junk) >= MANAGER_JUNK_MAX)
		return;
	j = xcalloc(1, sizeof(*j));
	j->key = xstrdup(key);
	j->reason = xstrdup(reason);
	HASH_ADD_KEYPTR(hh, m->junk, j->key, strlen(j->key), j);
	manager_note(m, LOG_LEVEL_WARN, "lease-key-ignored", "key %s: %s", key, reason);
}

void manager_remove_junk(struct manager *m, const char *key)
{
	struct manager_junk *j;

	HASH_FIND_STR(m->junk, key, j);
	if (m->junk_len > 0)
		m->junk_len--;
	if (!j)
		return;
	HASH_DEL(m->junk, j);
	free(j->key);
	free(j->reason);
	free(j);
}

void manager_forget_junk(struct manager *m)
{
	struct manager_junk *j;
	struct manager_junk *tmp;

	HASH_ITER (hh, m->junk, j, tmp) {
		HASH_DEL(m->junk, j);
		free(j->key);
		free(j->reason);
		free(j);
	}
	m->junk_len = 0;
}

static int by_age(const void *a, const void *b)
{
	const struct lease *x = *(struct lease *const *)a;
	const struct lease *y = *(struct lease *const *)b;

	return x->create_revision < y->create_revision ? -1
						       : x->create_revision > y->create_revision;
}

void manager_take_list(struct manager *m, struct store_reply *reply)
{
	struct manager_member *member;
	struct manager_member *tmp;

	m->list_number++;
	m->counts.lists_total++;
	m->list_revision = reply->revision;
	m->revision = MAX(m->revision, reply->revision);
	/* Oldest first: where two leases want one thing, the older has it. */
	if (reply->leases_len > 0)
		qsort(reply->leases, reply->leases_len, sizeof(*reply->leases), by_age);
	/* Departures first, so that what they held is free for who came. */
	for (size_t i = 0; i < reply->leases_len; i++) {
		member = manager_find(m, &reply->leases[i]->subnet);
		if (member)
			member->seen = m->list_number;
	}
	HASH_ITER (hh, m->members, member, tmp) {
		if (member->seen != m->list_number)
			manager_forget(m, member);
	}
	for (size_t i = 0; i < reply->leases_len; i++)
		manager_upsert(m, STEAL(reply->leases[i]));
	manager_forget_junk(m);
	for (size_t i = 0; i < reply->junk_len; i++)
		manager_add_junk(m, reply->junk[i].key, reply->junk[i].reason);
}
