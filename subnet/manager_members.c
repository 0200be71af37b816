/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manager's picture of the store: every lease, and every key that cannot be read. Events and
 * lists both end here, and what changed is told to the listener once, whichever of them brought it.
 */
#include "subnet/manager_internal.h"
#include "subnet/peer_news.h"

/* A host is told of its loss as soon as we are, and needs a round trip or two, or the election of a
 * leader. */
#define CLAIM_AGAIN_MS 3000

static uint64_t hash_of(const struct hash_link *link)
{
	const struct manager_member *member = CONTAINER_OF(link, struct manager_member, link);

	return hash_bytes(&member->lease->subnet, sizeof(member->lease->subnet));
}

struct manager_member *manager_next(const struct hash_table *members,
				    const struct manager_member *member)
{
	struct hash_link *link = hash_table_next(members, member ? &member->link : NULL, hash_of);

	return link ? CONTAINER_OF(link, struct manager_member, link) : NULL;
}

struct manager_member *manager_member_of(const struct hash_table *members, const struct subnet *s)
{
	struct hash_link *link = hash_table_first(members, hash_bytes(s, sizeof(*s)));

	while (link &&
	       !subnet_equal(&CONTAINER_OF(link, struct manager_member, link)->lease->subnet, s))
		link = link->next;
	return link ? CONTAINER_OF(link, struct manager_member, link) : NULL;
}

struct manager_member *manager_find(const struct manager *m, const struct subnet *s)
{
	return manager_member_of(&m->members, s);
}

/* Out of the table, and gone. */
static void drop(struct manager *m, struct manager_member *member)
{
	hash_table_remove(&m->members, &member->link, hash_of);
	lease_free(member->lease);
	free(member);
}

void manager_drop_members(struct manager *m)
{
	struct manager_member *next;

	for (struct manager_member *l = manager_next(&m->members, NULL); l; l = next) {
		next = manager_next(&m->members, l);
		drop(m, l);
	}
}

static void tell_peer(struct manager *m, struct manager_member *member, bool gone)
{
	m->addresses_changed = true;
	m->ops->peer(m->arg, member, gone);
}

/* What two hosts have that only one may have. Returns its name. */
static const char *describe_twin(const struct manager *m, const struct lease *l,
				 char text[static MANAGER_REASON_SIZE])
{
	char address[IP_ADDR_TEXT];
	char key[SUBNET_KEY_TEXT];

	subnet_format(&l->subnet, key);
	ip_addr_format(ip_addr_is_set(&l->public_v4) ? &l->public_v4 : &l->public_v6, address);
	if (manager_same_text(l->node_id, m->node_id)) {
		snprintf(text, MANAGER_REASON_SIZE,
			 "%s, the lease of %s with public address %s, has this host's node id %s; "
			 "a copied disk image? Give one of them another id",
			 key, l->node_name ? l->node_name : "a host without a name", address,
			 m->node_id);
		return "node-id-twice";
	}
	snprintf(text, MANAGER_REASON_SIZE,
		 "%s, the lease of %s, publishes the same address %s as this host", key,
		 l->node_name ? l->node_name : l->node_id, address);
	return "public-address-twice";
}

static void set_twin(struct manager *m, struct manager_member *member, bool twin)
{
	struct manager_member *other;

	if (twin == member->twin)
		return;
	member->twin = twin;
	m->twins += twin ? 1 : -1;
	if (twin) {
		if (!m->twin)
			m->twin = member;
	} else if (m->twin == member) {
		other = NULL;
		while (m->twins && (other = manager_next(&m->members, other)) && !other->twin)
			;
		m->twin = other;
	}
}

static void mark_twin(struct manager *m, struct manager_member *member)
{
	/* Before we have a lease, one with our id may be ours, of before we moved. */
	bool sure = m->was_held || member->defended;

	set_twin(m, member,
		 sure && m->attributes && !member->own && manager_is_twin(m, member->lease));
}

const char *manager_describe_twin(const struct manager *m, char text[static MANAGER_REASON_SIZE])
{
	return m->twin ? describe_twin(m, m->twin->lease, text) : NULL;
}

void manager_set_own(struct manager *m, const struct subnet *own)
{
	struct manager_member *member = NULL;

	while ((member = manager_next(&m->members, member))) {
		bool is_own = own && subnet_equal(&member->lease->subnet, own);

		if (is_own == member->own)
			continue;
		if (is_own)
			tell_peer(m, member, true);
		member->own = is_own;
		mark_twin(m, member);
		if (!is_own)
			tell_peer(m, member, false);
	}
}

void manager_find_twins(struct manager *m)
{
	struct manager_member *member = NULL;

	while ((member = manager_next(&m->members, member)))
		mark_twin(m, member);
}

/* Ours, or about to be: the event of a create may come before its answer. */
static bool is_own(const struct manager *m, const struct lease *l)
{
	if (m->own && subnet_equal(&l->subnet, &m->own->subnet))
		return true;
	if (!m->claim_id || !m->creating)
		return false;
	return manager_is_assigned(m) ? manager_same_text(l->node_name, m->node_name)
				      : subnet_equal(&l->subnet, &m->claiming);
}

/* A line about a peer. The first list is one line, whatever is in it. */
static void news(struct manager *m, const char *event, const struct lease *old,
		 const struct lease *now)
{
	char text[PEER_NEWS_SIZE];
	const char *said;

	if (m->list_number == 0 || m->first_list)
		return;
	said = old && now ? peer_news_changes(old, now, text)
			  : peer_news_who(now ? now : old, text);
	if (said)
		manager_note(m, LOG_LEVEL_INFO, event, "%s", said);
}

static void count(struct manager *m, const struct lease *l, bool more)
{
	size_t by = more ? 1 : (size_t)-1;

	if (l->problem)
		m->unreadable += by;
	if (lease_is_unbound(l))
		m->unbound += by;
}

bool manager_describe_unbound(const struct manager *m, char text[static MANAGER_REASON_SIZE])
{
	const struct manager_member *member = NULL;
	char key[SUBNET_KEY_TEXT];

	if (m->unbound == 0)
		return false;
	while ((member = manager_next(&m->members, member)) && !lease_is_unbound(member->lease))
		;
	if (!member)
		return false;
	subnet_format(&member->lease->subnet, key);
	snprintf(text, MANAGER_REASON_SIZE,
		 "%s, the lease of %s, never ends: somebody wrote its key without its lease of the "
		 "store. fabricctl lease unreserve %s gives it an end",
		 key, member->lease->node_name ? member->lease->node_name : member->lease->node_id,
		 key);
	return true;
}

void manager_upsert(struct manager *m, struct lease *lease)
{
	struct manager_member *member = manager_find(m, &lease->subnet);
	char key[SUBNET_KEY_TEXT];
	bool changed = true;

	if (!member && m->members.len >= STORE_LEASES_MAX && !is_own(m, lease)) {
		manager_add_junk(m, subnet_key_format(&lease->subnet, key),
				 "more than 65536 leases");
		lease_free(lease);
		return;
	}
	lease = lease_compact(lease);
	if (!member) {
		member = xcalloc(1, sizeof(*member));
		member->lease = lease;
		member->own = is_own(m, lease);
		hash_table_add(&m->members, &member->link, hash_of);
		count(m, lease, true);
		if (!member->own)
			news(m, "peer-joined", NULL, lease);
	} else if (lease->mod_revision < member->lease->mod_revision) {
		/* Older news: a list overtaken by events, or an event repeated. */
		lease_free(lease);
		return;
	} else {
		/*
		 * One that was made again is younger: another may have the right to the subnet. And
		 * without a word of its value a reservation becomes a lease, or the other way round.
		 */
		changed = !lease_equal(lease, member->lease) ||
			  lease->born != member->lease->born ||
			  lease->flags != member->lease->flags;
		count(m, member->lease, false);
		count(m, lease, true);
		if (changed && !member->own)
			news(m, "peer-changed", member->lease, lease);
		lease_free(member->lease);
		member->lease = lease;
	}
	member->seen = m->list_number;
	m->addresses_changed |= member->kept_until_ms != 0;
	m->kept -= member->kept_until_ms != 0;
	member->kept_until_ms = 0;
	m->newest = MAX(m->newest, member->lease->mod_revision);
	m->floor = MAX(m->floor, m->newest);
	mark_twin(m, member);
	if (changed && !member->own)
		tell_peer(m, member, false);
}

void manager_forget(struct manager *m, struct manager_member *member)
{
	if (!member->own) {
		news(m, "peer-left", member->lease, NULL);
		tell_peer(m, member, true);
	}
	set_twin(m, member, false);
	count(m, member->lease, false);
	m->kept -= member->kept_until_ms != 0;
	drop(m, member);
}

void manager_add_junk(struct manager *m, const char *given, const char *reason)
{
	auto_free char *key = xstrndup(given, STORE_JUNK_KEY_MAX);
	struct manager_junk *j;

	HASH_FIND_STR(m->junk, key, j);
	if (j) {
		free(j->reason);
		j->reason = xstrdup(reason);
		j->seen = m->list_number;
		return;
	}
	m->junk_len++;
	if (HASH_COUNT(m->junk) >= MANAGER_JUNK_MAX)
		return;
	j = xcalloc(1, sizeof(*j));
	j->key = STEAL(key);
	j->reason = xstrdup(reason);
	j->seen = m->list_number;
	HASH_ADD_KEYPTR(hh, m->junk, j->key, strlen(j->key), j);
	manager_note(m, LOG_LEVEL_WARN, "lease-key-ignored", "key %s: %s", j->key, reason);
}

static void drop_junk(struct manager *m, struct manager_junk *j)
{
	HASH_DEL(m->junk, j);
	free(j->key);
	free(j->reason);
	free(j);
}

void manager_remove_junk(struct manager *m, const char *given)
{
	auto_free char *key = xstrndup(given, STORE_JUNK_KEY_MAX);
	struct manager_junk *j;

	HASH_FIND_STR(m->junk, key, j);
	if (m->junk_len > 0)
		m->junk_len--;
	if (j)
		drop_junk(m, j);
}

void manager_forget_junk(struct manager *m, bool all)
{
	struct manager_junk *j;
	struct manager_junk *tmp;

	HASH_ITER (hh, m->junk, j, tmp) {
		if (all || j->seen != m->list_number)
			drop_junk(m, j);
	}
}

static int by_age(const void *a, const void *b)
{
	const struct lease *x = *(struct lease *const *)a;
	const struct lease *y = *(struct lease *const *)b;

	return x->born < y->born ? -1 : x->born > y->born;
}

/* A subnet is nobody's any more: who has found none looks again soon. */
static void came_free(struct manager *m, int64_t now_ms)
{
	if (m->state == MANAGER_CLAIMING && m->retry_at != INT64_MAX && !m->verifying)
		m->retry_at = MIN(m->retry_at, now_ms + (int64_t)(manager_random(m) % 1000));
}

void manager_depart(struct manager *m, int64_t now_ms, struct manager_member *member,
		    uint64_t revision)
{
	int64_t until = member->kept_until_ms;

	if (now_ms < m->doubt_until_ms)
		until = m->doubt_until_ms;
	else if (!until && member->lease->node_id)
		until = now_ms + CLAIM_AGAIN_MS;
	if (member->own || !until) {
		manager_forget(m, member);
		came_free(m, now_ms);
		return;
	}
	m->addresses_changed = true;
	m->kept += member->kept_until_ms == 0;
	member->kept_until_ms = until;
	m->kept_at = MIN(m->kept_at, until);
	/* Whatever the store says of it is newer, and it is nobody's elder. */
	member->lease->mod_revision = revision;
	member->lease->born = UINT64_MAX;
}

void manager_forget_departed(struct manager *m, int64_t now_ms)
{
	struct manager_member *member;
	struct manager_member *next;

	m->kept_at = INT64_MAX;
	if (m->kept == 0)
		return;
	for (member = manager_next(&m->members, NULL); member; member = next) {
		next = manager_next(&m->members, member);
		if (!member->kept_until_ms)
			continue;
		if (member->kept_until_ms <= now_ms) {
			manager_forget(m, member);
			came_free(m, now_ms);
		} else {
			m->kept_at = MIN(m->kept_at, member->kept_until_ms);
		}
	}
}

void manager_take_list(struct manager *m, int64_t now_ms, struct store_reply *reply)
{
	struct manager_member *member;
	struct manager_member *next;

	m->first_list = m->list_number++ == 0;
	m->counts.lists_total++;
	m->list_revision = m->revision = m->newest = reply->revision;
	m->races = 0;
	/* Oldest first: where two leases want one thing, the older has it. */
	if (reply->leases_len > 0)
		qsort(reply->leases, reply->leases_len, sizeof(*reply->leases), by_age);
	/* Departures first, so that what they held is free for who came. */
	for (size_t i = 0; i < reply->leases_len; i++) {
		member = manager_find(m, &reply->leases[i]->subnet);
		if (!member)
			continue;
		member->seen = m->list_number;
		/* Newer in the picture than in a list that nothing has overtaken: from a history
		 * that the store has lost. */
		member->lease->mod_revision =
			MIN(member->lease->mod_revision, reply->leases[i]->mod_revision);
	}
	for (member = manager_next(&m->members, NULL); member; member = next) {
		next = manager_next(&m->members, member);
		if (member->seen != m->list_number)
			manager_depart(m, now_ms, member, reply->revision);
	}
	for (size_t i = 0; i < reply->leases_len; i++)
		manager_upsert(m, STEAL(reply->leases[i]));
	for (size_t i = 0; i < reply->junk_len; i++)
		manager_add_junk(m, reply->junk[i].key, reply->junk[i].reason);
	manager_forget_junk(m, false);
	m->junk_len = reply->junk_len + reply->junk_more;
	if (m->first_list)
		manager_note(m, LOG_LEVEL_INFO, "peers-listed", "%zu leases in the store",
			     m->members.len);
	m->first_list = false;
}
