/* SPDX-License-Identifier: Apache-2.0 */
#include "subnet/manager.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>

#include "subnet/pool.h"

#define RETRY_MIN_MS	  200
#define RETRY_MAX_MS	  10000
#define CONFIG_POLL_MS	  1000
#define CONFIG_POLL_MAX_MS 5000
#define CONFLICT_RETRY_MS 30000

/* One outstanding request of a kind is enough; a reply with another id is of an abandoned one. */
struct manager {
	char *node_id;
	char *node_name;
	struct subnet previous;
	int64_t ttl_s;
	int64_t renew_margin_s;
	int64_t anti_entropy_s;
	uint64_t random;
	const struct manager_ops *ops;
	void *arg;

	enum manager_state state;
	char reason[MANAGER_REASON_SIZE];
	char watch_reason[MANAGER_REASON_SIZE];

	bool has_config;
	bool config_announced; /* ops->config was called, its answer is awaited or has come */
	bool config_changed;
	struct network_config config;
	char *config_text;
	uint64_t config_revision;

	struct lease *attributes; /* what we publish; NULL before manager_claim */
	struct lease *own;	  /* as it stands in the store, as far as we know */
	int64_t expires_ms;
	int64_t renewed_ms;

	struct manager_member *members;
	struct manager_junk *junk;
	size_t junk_len;
	size_t unreadable;
	uint32_t list_number;
	uint64_t revision;	/* newest seen in events and lists */
	uint64_t list_revision; /* of the last list taken in */
	bool watching;
	bool watch_live;

	/* Deadlines, INT64_MAX when not set. */
	int64_t retry_at;	 /* the step that the state stands for */
	int64_t keepalive_at;
	int64_t anti_entropy_at;
	int64_t config_at;
	unsigned failures;

	uint64_t last_id;
	uint64_t config_id; /* 0: none under way */
	uint64_t list_id;
	uint64_t claim_id; /* create or update */
	uint64_t keepalive_id;
	struct subnet claiming;
	bool creating;

	struct manager_view counts; /* only the totals are used */
};

const char *manager_state_name(enum manager_state state)
{
	static const char *const names[] = { "waiting-for-config", "listing", "claiming",
					     "held",		   "lost",    "conflict" };

	return names[state];
}

static uint64_t next_random(struct manager *m)
{
	/* splitmix64 */
	uint64_t z = m->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void note(struct manager *m, enum log_level level, const char *event, const char *fmt, ...)
	PRINTF(4, 5);

static void note(struct manager *m, enum log_level level, const char *event, const char *fmt, ...)
{
	char text[ERR_TEXT_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	m->ops->note(m->arg, level, event, text);
}

static void set_state(struct manager *m, enum manager_state state, const char *reason)
{
	m->state = state;
	snprintf(m->reason, sizeof(m->reason), "%s", reason);
}

struct manager *manager_new(const struct manager_options *options, const struct manager_ops *ops,
			    void *arg)
{
	struct manager *m = xcalloc(1, sizeof(*m));

	m->node_id = xstrdup(options->node_id);
	m->node_name = xstrdup(options->node_name);
	m->previous = options->previous;
	m->ttl_s = options->ttl_s;
	m->renew_margin_s = options->renew_margin_s;
	m->anti_entropy_s = options->anti_entropy_s;
	m->random = options->seed;
	m->ops = ops;
	m->arg = arg;
	m->retry_at = m->keepalive_at = m->anti_entropy_at = m->config_at = INT64_MAX;
	set_state(m, MANAGER_WAIT_CONFIG, "no answer from the store yet");
	return m;
}

static void forget_junk(struct manager *m)
{
	struct manager_junk *j;
	struct manager_junk *tmp;

	HASH_ITER(hh, m->junk, j, tmp)
	{
		HASH_DEL(m->junk, j);
		free(j->key);
		free(j->reason);
		free(j);
	}
	m->junk_len = 0;
}

void manager_free(struct manager *m)
{
	struct manager_member *member;
	struct manager_member *tmp;

	if (!m)
		return;
	HASH_ITER(hh, m->members, member, tmp)
	{
		HASH_DEL(m->members, member);
		lease_free(member->lease);
		free(member);
	}
	forget_junk(m);
	lease_free(m->own);
	lease_free(m->attributes);
	if (m->has_config)
		network_config_fini(&m->config);
	free(m->config_text);
	free(m->node_id);
	free(m->node_name);
	free(m);
}

static uint64_t submit(struct manager *m, enum store_op op, const struct lease *lease)
{
	struct store_request request = { .op = op, .lease = lease, .ttl_s = m->ttl_s };
	uint64_t id = ++m->last_id;

	m->ops->submit(m->arg, id, &request);
	return id;
}

/* Full jitter, so that hosts which failed together do not come back together. */
static int64_t backoff(struct manager *m)
{
	int64_t limit = RETRY_MIN_MS;

	for (unsigned i = 0; i < m->failures && limit < RETRY_MAX_MS; i++)
		limit *= 2;
	m->failures++;
	return (int64_t)(next_random(m) % (uint64_t)MIN(limit, (int64_t)RETRY_MAX_MS)) + 1;
}

/* ---- leases ---- */

static struct manager_member *find(const struct manager *m, const struct subnet *s)
{
	struct manager_member *member;

	HASH_FIND(hh, m->members, s, sizeof(*s), member);
	return member;
}

static void tell_peer(struct manager *m, struct manager_member *member, bool gone)
{
	m->ops->peer(m->arg, member, gone);
}

/* Marks one member as ours and all others as peers; tells the listener of those that changed sides. */
static void set_own(struct manager *m, const struct subnet *own)
{
	struct manager_member *member;
	struct manager_member *tmp;

	HASH_ITER(hh, m->members, member, tmp)
	{
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
static void upsert(struct manager *m, struct lease *lease)
{
	struct manager_member *member = find(m, &lease->subnet);
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

static void forget(struct manager *m, struct manager_member *member)
{
	if (!member->own)
		tell_peer(m, member, true);
	HASH_DEL(m->members, member);
	m->unreadable -= member->lease->problem != NULL;
	lease_free(member->lease);
	free(member);
}

static void add_junk(struct manager *m, const char *key, const char *reason)
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
	note(m, LOG_LEVEL_WARN, "lease-key-ignored", "key %s: %s", key, reason);
}

static void remove_junk(struct manager *m, const char *key)
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

/* ---- configuration ---- */

static void read_config(struct manager *m)
{
	m->config_at = INT64_MAX;
	if (!m->config_id)
		m->config_id = submit(m, STORE_CONFIG, NULL);
}

static void wait_for_config(struct manager *m, int64_t now_ms, const char *event, const char *text)
{
	/* Said again only when it is something else. */
	if (strcmp(m->reason, text) != 0)
		note(m, LOG_LEVEL_WARN, event, "%s", text);
	set_state(m, MANAGER_WAIT_CONFIG, text);
	m->config_at = now_ms + MIN((int64_t)CONFIG_POLL_MS * (1 + m->failures / 10),
				    (int64_t)CONFIG_POLL_MAX_MS);
	m->failures++;
}

/* A configuration after the first: in use until restart is the old one, and that is said. */
static void compare_config(struct manager *m, const struct store_reply *reply)
{
	bool same = reply->status == STORE_OK && strcmp(reply->config, m->config_text) == 0;

	if (reply->status != STORE_OK && reply->status != STORE_ABSENT)
		return;
	if (!same && !m->config_changed)
		note(m, LOG_LEVEL_WARN, "config-changed",
		     "the network configuration in the store %s; the one read at start stays in use "
		     "until flanneld is restarted",
		     reply->status == STORE_OK ? "was changed" : "was deleted");
	m->config_changed = !same;
}

static void on_config(struct manager *m, int64_t now_ms, struct store_reply *reply)
{
	struct network_config config;
	struct err e;

	if (m->has_config) {
		compare_config(m, reply);
		return;
	}
	switch (reply->status) {
	case STORE_OK:
		break;
	case STORE_ABSENT:
		wait_for_config(m, now_ms, "config-missing", reply->err.text);
		return;
	default:
		wait_for_config(m, now_ms, "store-unavailable", reply->err.text);
		return;
	}
	if (network_config_parse(reply->config, reply->config_size, &config, &e) < 0) {
		char text[ERR_TEXT_SIZE + 40];

		snprintf(text, sizeof(text), "network configuration: %s", e.text);
		wait_for_config(m, now_ms, "config-invalid", text);
		return;
	}
	m->has_config = true;
	m->config = config;
	m->config_text = STEAL(reply->config);
	m->config_revision = reply->config_revision;
	m->failures = 0;
	set_state(m, MANAGER_LISTING, "the configuration was just read");
	/* The list does not depend on what the configuration leads to; both go on at once. */
	m->list_id = submit(m, STORE_LIST, NULL);
	m->ops->config(m->arg, &m->config);
}

void manager_reject_config(struct manager *m, int64_t now_ms, const char *reason)
{
	network_config_fini(&m->config);
	free(STEAL(m->config_text));
	m->has_config = false;
	m->list_id = 0;
	wait_for_config(m, now_ms, "config-unusable", reason);
}

/* ---- claiming ---- */

static bool same_text(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

static bool same_public(const struct lease *a, const struct lease *b)
{
	return (ip_addr_is_set(&a->public_v4) && ip_addr_equal(&a->public_v4, &b->public_v4)) ||
	       (!ip_addr_is_set(&a->public_v4) && ip_addr_is_set(&a->public_v6) &&
		ip_addr_equal(&a->public_v6, &b->public_v6));
}

/*
 * Whether a lease in the store is this host's: by node id; without one (flannel wrote it) by public address; a host
 * that lost its id, say by a new installation, is known by address and name together.
 */
static bool is_ours(const struct manager *m, const struct lease *l)
{
	if (l->problem)
		return false;
	if (l->node_id && strcmp(l->node_id, m->node_id) == 0)
		return true;
	return same_public(m->attributes, l) && (!l->node_id || same_text(l->node_name, m->node_name));
}

static struct manager_member *find_ours(const struct manager *m)
{
	struct manager_member *best = NULL;
	struct manager_member *member;
	struct manager_member *tmp;

	HASH_ITER(hh, m->members, member, tmp)
	{
		bool by_id;

		if (!is_ours(m, member->lease))
			continue;
		by_id = same_text(member->lease->node_id, m->node_id);
		/* By id before by address, then the one we used last, then the oldest. */
		if (!best || (by_id && !same_text(best->lease->node_id, m->node_id)) ||
		    (by_id == same_text(best->lease->node_id, m->node_id) &&
		     (subnet_equal(&member->lease->subnet, &m->previous) ||
		      (!subnet_equal(&best->lease->subnet, &m->previous) &&
		       member->lease->create_revision < best->lease->create_revision))))
			best = member;
	}
	return best;
}

/* A member made before revision `before` that overlaps `s` and is not `except`; NULL if none. */
static const struct manager_member *overlapping(const struct manager *m, const struct subnet *s,
						const struct manager_member *except, uint64_t before)
{
	const struct manager_member *member;
	const struct manager_member *tmp;

	HASH_ITER(hh, m->members, member, tmp)
	{
		if (member != except && member->lease->create_revision < before &&
		    !same_text(member->lease->node_id, m->node_id) &&
		    subnet_overlaps(&member->lease->subnet, s))
			return member;
	}
	return NULL;
}

static int pick(struct manager *m, const struct network_family *f, bool v6,
		const struct manager_member *except, struct ip_net *ret, struct err *e)
{
	auto_free struct ip_net *taken = xmalloc(HASH_COUNT(m->members) * sizeof(*taken));
	const struct manager_member *member;
	const struct manager_member *tmp;
	size_t len = 0;

	HASH_ITER(hh, m->members, member, tmp)
	{
		const struct ip_net *net = v6 ? &member->lease->subnet.v6
					      : &member->lease->subnet.v4;

		if (member != except && ip_net_is_set(net))
			taken[len++] = *net;
	}
	return pool_pick(f, taken, len, next_random(m), ret, e);
}

/* One family's part of the subnet to claim: from our lease, else from the last run, else a free one. */
static int choose_family(struct manager *m, const struct network_family *f, bool v6,
			 const struct manager_member *ours, struct ip_net *ret, struct err *e)
{
	const struct ip_net *candidates[2] = { NULL,
					       v6 ? &m->previous.v6 : &m->previous.v4 };

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
		if (!overlapping(m, &alone, ours,
				 i == 0 ? ours->lease->create_revision : UINT64_MAX)) {
			*ret = *candidates[i];
			return 0;
		}
	}
	return pick(m, f, v6, ours, ret, e);
}

static void warn_of_same_address(struct manager *m)
{
	const struct manager_member *member;
	const struct manager_member *tmp;
	char address[IP_ADDR_TEXT];
	char key[SUBNET_KEY_TEXT];

	HASH_ITER(hh, m->members, member, tmp)
	{
		const struct lease *l = member->lease;

		if (l->problem || is_ours(m, l) || !same_public(m->attributes, l))
			continue;
		note(m, LOG_LEVEL_ERROR, "public-address-twice",
		     "%s, the lease of %s on %s, publishes the same address %s as this host",
		     l->node_name ? l->node_name : "another host", l->node_id,
		     subnet_format(&l->subnet, key), ip_addr_format(&l->public_v4, address));
	}
}

static struct lease *own_lease(const struct manager *m, const struct subnet *s)
{
	struct lease *l = lease_copy(m->attributes);

	l->subnet = *s;
	return l;
}

static void schedule_retry(struct manager *m, int64_t now_ms)
{
	m->retry_at = now_ms + backoff(m);
}

static void held(struct manager *m, int64_t now_ms, bool first);

static void choose(struct manager *m, int64_t now_ms)
{
	struct manager_member *ours = find_ours(m);
	struct subnet s = { 0 };
	struct err e;

	m->retry_at = INT64_MAX;
	warn_of_same_address(m);
	if (choose_family(m, &m->config.v4, false, ours, &s.v4, &e) < 0 ||
	    choose_family(m, &m->config.v6, true, ours, &s.v6, &e) < 0) {
		if (strcmp(m->reason, e.text) != 0)
			note(m, LOG_LEVEL_ERROR, "out-of-subnets", "%s", e.text);
		set_state(m, MANAGER_CLAIMING, e.text);
		schedule_retry(m, now_ms);
		return;
	}
	m->claiming = s;
	m->creating = !ours || !subnet_equal(&ours->lease->subnet, &s);
	set_state(m, MANAGER_CLAIMING, "asking the store for the subnet");
	if (m->creating) {
		auto_lease struct lease *l = own_lease(m, &s);

		m->claim_id = submit(m, STORE_CREATE, l);
	} else {
		auto_lease struct lease *l = own_lease(m, &s);

		l->mod_revision = ours->lease->mod_revision;
		l->create_revision = ours->lease->create_revision;
		l->handle = ours->lease->handle;
		lease_free(m->own);
		m->own = lease_copy(l);
		set_own(m, &s);
		if (!lease_equal(l, ours->lease))
			m->claim_id = submit(m, STORE_UPDATE, l);
		else if (l->handle)
			m->keepalive_id = submit(m, STORE_KEEPALIVE, l);
		else
			held(m, now_ms, false);
	}
}

static void list(struct manager *m)
{
	if (!m->list_id)
		m->list_id = submit(m, STORE_LIST, NULL);
}

static void watch_from_list(struct manager *m, int64_t now_ms)
{
	if (m->watching)
		return;
	m->watching = true;
	m->anti_entropy_at = now_ms + m->anti_entropy_s * 800 +
			     (int64_t)(next_random(m) % (uint64_t)(m->anti_entropy_s * 400 + 1));
	m->ops->watch(m->arg, m->list_revision + 1);
}

static int64_t renew_interval_ms(const struct manager *m, int64_t ttl_s)
{
	int64_t by_margin = ttl_s - m->renew_margin_s;
	int64_t third = ttl_s * 1000 / 3;

	return by_margin > 0 ? MIN(third, by_margin * 1000) : third;
}

static void renewed(struct manager *m, int64_t now_ms, int64_t ttl_s)
{
	m->renewed_ms = now_ms;
	m->expires_ms = now_ms + ttl_s * 1000;
	m->keepalive_at = now_ms + renew_interval_ms(m, ttl_s);
	m->counts.renewals_ok++;
}

static void lost(struct manager *m, int64_t now_ms, const char *why)
{
	char key[SUBNET_KEY_TEXT];

	m->counts.lost_total++;
	m->keepalive_at = INT64_MAX;
	m->expires_ms = 0;
	note(m, LOG_LEVEL_ERROR, "lease-lost",
	     "%s: %s; running containers keep their routes, the subnet is claimed again",
	     subnet_format(&m->own->subnet, key), why);
	m->previous = m->own->subnet;
	set_state(m, MANAGER_LOST, why);
	m->failures = 0;
	m->retry_at = now_ms;
}

/* The store says that ours is another host's: we keep what runs and say so until it is resolved. */
static void conflict(struct manager *m, int64_t now_ms, const struct lease *holder)
{
	char address[IP_ADDR_TEXT] = "-";
	char key[SUBNET_KEY_TEXT];
	char text[MANAGER_REASON_SIZE];

	if (holder)
		ip_addr_format(&holder->public_v4, address);
	snprintf(text, sizeof(text), "%s is held by another host: %s, public address %s",
		 subnet_format(&m->own->subnet, key),
		 holder && holder->node_name ? holder->node_name : "no name", address);
	if (m->state != MANAGER_CONFLICT)
		note(m, LOG_LEVEL_ERROR, "lease-conflict",
		     "%s; running containers keep their routes, no other subnet is taken", text);
	set_state(m, MANAGER_CONFLICT, text);
	m->keepalive_at = INT64_MAX;
	m->retry_at = now_ms + CONFLICT_RETRY_MS;
}

static void held(struct manager *m, int64_t now_ms, bool first)
{
	struct manager_member *member;
	struct manager_member *tmp;
	char key[SUBNET_KEY_TEXT];

	m->failures = 0;
	m->retry_at = INT64_MAX;
	m->previous = m->own->subnet;
	set_state(m, MANAGER_HELD, "");
	note(m, LOG_LEVEL_INFO, "lease-held", "%s, %s", subnet_format(&m->own->subnet, key),
	     first ? "newly claimed" : "ours already");
	/* What else is ours is left over: a subnet of another length, or of another network. */
	HASH_ITER(hh, m->members, member, tmp)
	{
		if (!member->own && same_text(member->lease->node_id, m->node_id))
			submit(m, STORE_REMOVE, member->lease);
	}
	m->ops->own(m->arg, m->own);
	watch_from_list(m, now_ms);
}

/*
 * Our create is in the store. Everything that came before it is known once the watch, which starts where the list
 * ended, has told us of our own key: then whoever is older and overlaps has the right.
 */
static void verify(struct manager *m, int64_t now_ms)
{
	const struct manager_member *other;
	struct manager_member *mine = find(m, &m->own->subnet);
	char mine_text[SUBNET_KEY_TEXT];
	char other_text[SUBNET_KEY_TEXT];

	if (!mine || mine->lease->mod_revision < m->own->create_revision)
		return;
	set_own(m, &m->own->subnet);
	other = overlapping(m, &m->own->subnet, mine, m->own->create_revision);
	if (!other) {
		held(m, now_ms, true);
		return;
	}
	note(m, LOG_LEVEL_WARN, "claim-yielded", "%s overlaps the older lease %s; trying another",
	     subnet_format(&m->own->subnet, mine_text),
	     subnet_format(&other->lease->subnet, other_text));
	submit(m, STORE_REMOVE, mine->lease);
	forget(m, mine);
	lease_free(STEAL(m->own));
	m->previous = (struct subnet){ 0 };
	schedule_retry(m, now_ms);
}

void manager_claim(struct manager *m, int64_t now_ms, const struct lease *attributes)
{
	lease_free(m->attributes);
	m->attributes = lease_copy(attributes);
	free(m->attributes->node_id);
	free(m->attributes->node_name);
	m->attributes->node_id = xstrdup(m->node_id);
	m->attributes->node_name = xstrdup(m->node_name);
	if (m->state == MANAGER_LISTING && m->list_revision && !m->list_id)
		choose(m, now_ms);
}

void manager_publish(struct manager *m, int64_t now_ms, const struct lease *attributes)
{
	manager_claim(m, now_ms, attributes);
	if (m->state == MANAGER_HELD && !m->claim_id) {
		auto_lease struct lease *l = own_lease(m, &m->own->subnet);

		if (lease_equal(l, m->own))
			return;
		l->mod_revision = m->own->mod_revision;
		l->create_revision = m->own->create_revision;
		l->handle = m->own->handle;
		m->claim_id = submit(m, STORE_UPDATE, l);
	}
}

static void claim_failed(struct manager *m, int64_t now_ms, const struct store_reply *reply)
{
	if (strcmp(m->reason, reply->err.text) != 0)
		note(m, LOG_LEVEL_WARN, "claim-failed", "%s; trying again", reply->err.text);
	if (m->state != MANAGER_LOST && m->state != MANAGER_CONFLICT && m->state != MANAGER_HELD)
		set_state(m, MANAGER_LISTING, reply->err.text);
	else
		snprintf(m->reason, sizeof(m->reason), "%s", reply->err.text);
	schedule_retry(m, now_ms);
}

static void on_created(struct manager *m, int64_t now_ms, struct store_reply *reply)
{
	bool again = m->state == MANAGER_LOST || m->state == MANAGER_CONFLICT;

	switch (reply->status) {
	case STORE_OK:
		lease_free(m->own);
		m->own = STEAL(reply->holder);
		if (reply->ttl_s)
			renewed(m, now_ms, reply->ttl_s);
		m->retry_at = INT64_MAX;
		watch_from_list(m, now_ms);
		verify(m, now_ms);
		return;
	case STORE_CONFLICT:
		if (reply->holder && again && !is_ours(m, reply->holder)) {
			conflict(m, now_ms, reply->holder);
			upsert(m, STEAL(reply->holder));
			return;
		}
		/* A lost race costs one round trip: what won is known now. */
		if (reply->holder)
			upsert(m, STEAL(reply->holder));
		m->retry_at = now_ms + (int64_t)(next_random(m) % 20);
		return;
	case STORE_UNKNOWN:
		claim_failed(m, now_ms, reply);
		/* If it did happen, the list shows it as ours. */
		list(m);
		return;
	default:
		claim_failed(m, now_ms, reply);
	}
}

static void on_updated(struct manager *m, int64_t now_ms, struct store_reply *reply)
{
	switch (reply->status) {
	case STORE_OK:
		if (m->state == MANAGER_HELD) {
			lease_free(m->own);
			m->own = STEAL(reply->holder);
			return;
		}
		lease_free(m->own);
		m->own = STEAL(reply->holder);
		upsert(m, lease_copy(m->own));
		if (m->own->handle) {
			m->keepalive_id = submit(m, STORE_KEEPALIVE, m->own);
		} else {
			held(m, now_ms, false);
		}
		return;
	case STORE_CONFLICT:
		if (reply->holder)
			upsert(m, STEAL(reply->holder));
		list(m);
		return;
	default:
		claim_failed(m, now_ms, reply);
		list(m);
	}
}

static void keep_alive(struct manager *m)
{
	m->keepalive_at = INT64_MAX;
	if (m->own && m->own->handle && !m->keepalive_id)
		m->keepalive_id = submit(m, STORE_KEEPALIVE, m->own);
}

static void on_keepalive(struct manager *m, int64_t now_ms, struct store_reply *reply)
{
	if (reply->status == STORE_OK) {
		if (m->reason[0] && m->state == MANAGER_HELD) {
			m->reason[0] = '\0';
			note(m, LOG_LEVEL_INFO, "lease-renewed", "the lease is renewed again");
		}
		m->failures = 0;
		renewed(m, now_ms, reply->ttl_s);
		if (m->state == MANAGER_CLAIMING)
			held(m, now_ms, false);
		return;
	}
	m->counts.renewals_failed++;
	if (reply->status == STORE_ABSENT) {
		if (m->state == MANAGER_HELD)
			lost(m, now_ms, "the store says that the lease has expired");
		else
			list(m);
		return;
	}
	if (strcmp(m->reason, reply->err.text) != 0)
		note(m, LOG_LEVEL_WARN, "lease-not-renewed", "%s; trying again", reply->err.text);
	snprintf(m->reason, sizeof(m->reason), "%s", reply->err.text);
	m->keepalive_at = now_ms + backoff(m);
}

/* ---- the list ---- */

static int by_age(const void *a, const void *b)
{
	const struct lease *x = *(struct lease *const *)a;
	const struct lease *y = *(struct lease *const *)b;

	return x->create_revision < y->create_revision ? -1
						       : x->create_revision > y->create_revision;
}

static void take_list(struct manager *m, struct store_reply *reply)
{
	struct manager_member *member;
	struct manager_member *tmp;

	m->list_number++;
	m->counts.lists_total++;
	m->list_revision = reply->revision;
	m->revision = MAX(m->revision, reply->revision);
	/* Oldest first: where two leases want one thing, the older has it. */
	qsort(reply->leases, reply->leases_len, sizeof(*reply->leases), by_age);
	/* Departures first, so that what they held is free for who came. */
	for (size_t i = 0; i < reply->leases_len; i++) {
		member = find(m, &reply->leases[i]->subnet);
		if (member)
			member->seen = m->list_number;
	}
	HASH_ITER(hh, m->members, member, tmp)
	{
		if (member->seen != m->list_number)
			forget(m, member);
	}
	for (size_t i = 0; i < reply->leases_len; i++)
		upsert(m, STEAL(reply->leases[i]));
	forget_junk(m);
	for (size_t i = 0; i < reply->junk_len; i++)
		add_junk(m, reply->junk[i].key, reply->junk[i].reason);
}

static void check_own(struct manager *m, int64_t now_ms);

static void on_list(struct manager *m, int64_t now_ms, struct store_reply *reply)
{
	if (reply->status != STORE_OK) {
		if (m->state == MANAGER_HELD || m->own) {
			m->anti_entropy_at = now_ms + backoff(m);
			return;
		}
		claim_failed(m, now_ms, reply);
		return;
	}
	/* Events that came while the list was on its way are newer; a list that they overtook is asked for again. */
	if (m->watching && reply->revision < m->revision) {
		m->anti_entropy_at = now_ms + 1000 + (int64_t)(next_random(m) % 1000);
		return;
	}
	take_list(m, reply);
	m->anti_entropy_at = now_ms + m->anti_entropy_s * 800 +
			     (int64_t)(next_random(m) % (uint64_t)(m->anti_entropy_s * 400 + 1));
	if (m->state == MANAGER_LISTING || m->state == MANAGER_CLAIMING) {
		if (m->attributes)
			choose(m, now_ms);
		return;
	}
	watch_from_list(m, now_ms);
	if (m->state == MANAGER_HELD)
		check_own(m, now_ms);
}

/* ---- events ---- */

/* Our own key as the store has it now against what we hold. */
static void check_own(struct manager *m, int64_t now_ms)
{
	const struct manager_member *mine = find(m, &m->own->subnet);
	const struct lease *l = mine ? mine->lease : NULL;
	auto_lease struct lease *want = own_lease(m, &m->own->subnet);

	if (!l) {
		lost(m, now_ms, "its key is no longer in the store");
		return;
	}
	if (l->mod_revision == m->own->mod_revision)
		return;
	if (!l->problem && l->node_id && strcmp(l->node_id, m->node_id) != 0) {
		conflict(m, now_ms, l);
		return;
	}
	m->own->mod_revision = l->mod_revision;
	m->own->create_revision = l->create_revision;
	if (m->own->handle != l->handle) {
		m->own->handle = l->handle;
		note(m, LOG_LEVEL_WARN, "lease-rebound", "%s",
		     l->handle ? "our key was bound to another lease of the store"
			       : "our key was made a reservation, it no longer expires");
		m->expires_ms = 0;
		if (l->handle)
			keep_alive(m);
		else
			m->keepalive_at = INT64_MAX;
	}
	if (!lease_equal(want, l) && !m->claim_id) {
		note(m, LOG_LEVEL_WARN, "lease-overwritten",
		     "somebody changed our lease in the store; writing it again");
		want->mod_revision = l->mod_revision;
		want->create_revision = l->create_revision;
		want->handle = l->handle;
		m->creating = false;
		m->claim_id = submit(m, STORE_UPDATE, want);
	}
}

void manager_event(struct manager *m, int64_t now_ms, struct store_event *event)
{
	struct manager_member *member;
	bool own;

	m->counts.events_total++;
	m->revision = MAX(m->revision, event->revision);
	switch (event->type) {
	case STORE_EVENT_PUT:
		own = m->own && subnet_equal(&event->lease->subnet, &m->own->subnet);
		upsert(m, STEAL(event->lease));
		if (own && m->state == MANAGER_HELD)
			check_own(m, now_ms);
		else if (own && m->state != MANAGER_CONFLICT && !m->claim_id && m->creating)
			verify(m, now_ms);
		break;
	case STORE_EVENT_DELETE:
		member = find(m, &event->lease->subnet);
		if (!member || member->lease->mod_revision > event->revision)
			break;
		own = m->own && subnet_equal(&event->lease->subnet, &m->own->subnet);
		forget(m, member);
		if (own && m->state == MANAGER_HELD)
			lost(m, now_ms, "its key was deleted, or expired in the store");
		else if (own && m->state == MANAGER_CONFLICT)
			m->retry_at = now_ms;
		break;
	case STORE_EVENT_CONFIG:
		read_config(m);
		break;
	case STORE_EVENT_JUNK:
		if (event->reason)
			add_junk(m, event->key, event->reason);
		else
			remove_junk(m, event->key);
		break;
	case STORE_EVENT_LIVE:
		if (m->watch_reason[0])
			note(m, LOG_LEVEL_INFO, "watch-live", "the store is heard again");
		m->watch_reason[0] = '\0';
		m->watch_live = true;
		/* It may have been away for longer than our lease: ask at once. */
		if (m->state == MANAGER_HELD && m->reason[0])
			keep_alive(m);
		break;
	case STORE_EVENT_LOST:
		if (m->watch_live)
			note(m, LOG_LEVEL_WARN, "watch-lost",
			     "%s; the data plane stays as it is, reconnecting", event->reason);
		m->watch_live = false;
		m->counts.watch_restarts_total++;
		snprintf(m->watch_reason, sizeof(m->watch_reason), "%s", event->reason);
		break;
	case STORE_EVENT_RESYNC:
		note(m, LOG_LEVEL_WARN, "watch-resync", "%s; listing all leases again",
		     event->reason);
		m->counts.watch_restarts_total++;
		snprintf(m->watch_reason, sizeof(m->watch_reason), "%s", event->reason);
		m->watch_live = false;
		m->watching = false;
		m->revision = 0;
		m->ops->watch(m->arg, 0);
		list(m);
		read_config(m);
		break;
	}
}

void manager_reply(struct manager *m, int64_t now_ms, uint64_t id, struct store_reply *reply)
{
	if (id == m->config_id) {
		m->config_id = 0;
		on_config(m, now_ms, reply);
	} else if (id == m->list_id) {
		m->list_id = 0;
		on_list(m, now_ms, reply);
	} else if (id == m->claim_id) {
		m->claim_id = 0;
		if (m->creating)
			on_created(m, now_ms, reply);
		else
			on_updated(m, now_ms, reply);
	} else if (id == m->keepalive_id) {
		m->keepalive_id = 0;
		on_keepalive(m, now_ms, reply);
	}
}

/* ---- time ---- */

void manager_start(struct manager *m, int64_t now_ms UNUSED)
{
	read_config(m);
}

/* The step a state is waiting to repeat. */
static void retry(struct manager *m, int64_t now_ms)
{
	m->retry_at = INT64_MAX;
	switch (m->state) {
	case MANAGER_LISTING:
		list(m);
		break;
	case MANAGER_CLAIMING:
		choose(m, now_ms);
		break;
	case MANAGER_LOST:
	case MANAGER_CONFLICT: {
		auto_lease struct lease *l = own_lease(m, &m->own->subnet);

		if (m->claim_id)
			break;
		m->creating = true;
		m->claim_id = submit(m, STORE_CREATE, l);
		break;
	}
	case MANAGER_WAIT_CONFIG:
	case MANAGER_HELD:
		break;
	}
}

void manager_tick(struct manager *m, int64_t now_ms)
{
	if (now_ms >= m->config_at)
		read_config(m);
	if (now_ms >= m->retry_at)
		retry(m, now_ms);
	if (now_ms >= m->keepalive_at)
		keep_alive(m);
	if (now_ms >= m->anti_entropy_at) {
		m->anti_entropy_at = INT64_MAX;
		list(m);
	}
}

int64_t manager_deadline(const struct manager *m)
{
	int64_t step = MIN(m->retry_at, m->config_at);
	int64_t upkeep = MIN(m->keepalive_at, m->anti_entropy_at);

	return MIN(step, upkeep);
}

void manager_view(const struct manager *m, struct manager_view *ret)
{
	*ret = m->counts;
	ret->state = m->state;
	ret->reason = m->reason;
	ret->config = m->has_config ? &m->config : NULL;
	ret->config_revision = m->config_revision;
	ret->config_changed = m->config_changed;
	ret->own = m->own;
	ret->expires_ms = m->expires_ms;
	ret->renewed_ms = m->renewed_ms;
	ret->watch_live = m->watch_live;
	ret->watch_reason = m->watch_reason;
	ret->revision = m->revision;
	ret->members = m->members;
	ret->members_len = HASH_COUNT(m->members);
	ret->unreadable = m->unreadable;
	ret->junk = m->junk;
	ret->junk_len = m->junk_len;
}
