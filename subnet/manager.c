/* SPDX-License-Identifier: Apache-2.0 */
#include "subnet/manager_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>

#define RETRY_MIN_MS       200
#define RETRY_MAX_MS       10000
#define CONFIG_POLL_MS     1000
#define CONFIG_POLL_MAX_MS 5000
#define CONFLICT_RETRY_MS  30000

const char *manager_state_name(enum manager_state state)
{
	static const char *const names[] = {
		"waiting-for-config", "listing", "claiming", "held", "lost", "conflict"
	};

	return names[state];
}

uint64_t manager_random(struct manager *m)
{
	/* splitmix64 */
	uint64_t z = m->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

void manager_note(struct manager *m, enum log_level level, const char *event, const char *fmt, ...)
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

void manager_free(struct manager *m)
{
	struct manager_member *member;
	struct manager_member *tmp;

	if (!m)
		return;
	HASH_ITER (hh, m->members, member, tmp) {
		HASH_DEL(m->members, member);
		lease_free(member->lease);
		free(member);
	}
	manager_forget_junk(m);
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
	return (int64_t)(manager_random(m) % (uint64_t)MIN(limit, (int64_t)RETRY_MAX_MS)) + 1;
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
		manager_note(m, LOG_LEVEL_WARN, event, "%s", text);
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
		manager_note(
			m, LOG_LEVEL_WARN, "config-changed",
			"the network configuration in the store %s; the one read at start stays in "
			"use "
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
	struct manager_member *ours = manager_find_ours(m);
	struct subnet s = { 0 };
	struct err e;

	m->retry_at = INT64_MAX;
	manager_warn_of_same_address(m);
	if (manager_choose_family(m, &m->config.v4, false, ours, &s.v4, &e) < 0 ||
	    manager_choose_family(m, &m->config.v6, true, ours, &s.v6, &e) < 0) {
		if (strcmp(m->reason, e.text) != 0)
			manager_note(m, LOG_LEVEL_ERROR, "out-of-subnets", "%s", e.text);
		/* Nothing is watched yet: only another list shows that one has become free. */
		set_state(m, MANAGER_LISTING, e.text);
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
		manager_set_own(m, &s);
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
			     (int64_t)(manager_random(m) % (uint64_t)(m->anti_entropy_s * 400 + 1));
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
	/* Their answers would be about the lease that is gone. */
	m->keepalive_id = 0;
	m->claim_id = 0;
	m->expires_ms = 0;
	manager_note(m, LOG_LEVEL_ERROR, "lease-lost",
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
		manager_note(m, LOG_LEVEL_ERROR, "lease-conflict",
			     "%s; running containers keep their routes, no other subnet is taken",
			     text);
	set_state(m, MANAGER_CONFLICT, text);
	m->keepalive_at = INT64_MAX;
	m->keepalive_id = 0;
	m->claim_id = 0;
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
	manager_note(m, LOG_LEVEL_INFO, "lease-held", "%s, %s", subnet_format(&m->own->subnet, key),
		     first ? "newly claimed" : "ours already");
	/* What else is ours is left over: a subnet of another length, or of another network. */
	HASH_ITER (hh, m->members, member, tmp) {
		if (!member->own && manager_same_text(member->lease->node_id, m->node_id))
			submit(m, STORE_REMOVE, member->lease);
	}
	m->ops->own(m->arg, m->own);
	watch_from_list(m, now_ms);
}

/*
 * Our create is in the store. Everything that came before it is known once the watch, which starts
 * where the list ended, has told us of our own key: then whoever is older and overlaps has the
 * right.
 */
static void verify(struct manager *m, int64_t now_ms)
{
	const struct manager_member *other;
	struct manager_member *mine = manager_find(m, &m->own->subnet);
	char mine_text[SUBNET_KEY_TEXT];
	char other_text[SUBNET_KEY_TEXT];

	if (!mine || mine->lease->create_revision != m->own->create_revision ||
	    !manager_same_text(mine->lease->node_id, m->node_id))
		return;
	manager_set_own(m, &m->own->subnet);
	other = manager_overlapping(m, &m->own->subnet, mine, m->own->create_revision);
	if (!other) {
		held(m, now_ms, true);
		return;
	}
	manager_note(m, LOG_LEVEL_WARN, "claim-yielded", "%s overlaps the older lease %s",
		     subnet_format(&m->own->subnet, mine_text),
		     subnet_format(&other->lease->subnet, other_text));
	submit(m, STORE_REMOVE, mine->lease);
	manager_forget(m, mine);
	/* With containers on it a subnet is not given up. */
	if (m->state == MANAGER_LOST) {
		conflict(m, now_ms, other->lease);
		return;
	}
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
		m->creating = false;
		m->claim_id = submit(m, STORE_UPDATE, l);
	}
}

static void claim_failed(struct manager *m, int64_t now_ms, const struct store_reply *reply)
{
	if (strcmp(m->reason, reply->err.text) != 0)
		manager_note(m, LOG_LEVEL_WARN, "claim-failed", "%s; trying again",
			     reply->err.text);
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
		if (m->state == MANAGER_CONFLICT)
			set_state(m, MANAGER_LOST, "the subnet is free again and was just claimed");
		lease_free(m->own);
		m->own = STEAL(reply->holder);
		if (reply->ttl_s)
			renewed(m, now_ms, reply->ttl_s);
		m->retry_at = INT64_MAX;
		watch_from_list(m, now_ms);
		verify(m, now_ms);
		return;
	case STORE_CONFLICT:
		if (reply->holder && again && !manager_is_ours(m, reply->holder)) {
			conflict(m, now_ms, reply->holder);
			manager_upsert(m, STEAL(reply->holder));
			return;
		}
		/* It is ours: an earlier create was done without our being told. It is taken as it
		 * is. */
		if (reply->holder && again)
			set_state(m, MANAGER_CLAIMING, "found again in the store");
		/* A lost race costs one round trip: what won is known now. */
		if (reply->holder)
			manager_upsert(m, STEAL(reply->holder));
		m->retry_at = now_ms + (int64_t)(manager_random(m) % 20);
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
		lease_free(m->own);
		m->own = STEAL(reply->holder);
		manager_upsert(m, lease_copy(m->own));
		if (m->state == MANAGER_HELD) {
			m->reason[0] = '\0';
			return;
		}
		if (m->own->handle) {
			m->keepalive_id = submit(m, STORE_KEEPALIVE, m->own);
		} else {
			held(m, now_ms, false);
		}
		return;
	case STORE_CONFLICT:
		if (reply->holder)
			manager_upsert(m, STEAL(reply->holder));
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
			manager_note(m, LOG_LEVEL_INFO, "lease-renewed",
				     "the lease is renewed again");
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
		manager_note(m, LOG_LEVEL_WARN, "lease-not-renewed", "%s; trying again",
			     reply->err.text);
	snprintf(m->reason, sizeof(m->reason), "%s", reply->err.text);
	m->keepalive_at = now_ms + backoff(m);
}

/* ---- the list ---- */

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
	/* Events that came while the list was on its way are newer; a list that they overtook is
	 * asked for again. */
	if (m->watching && reply->revision < m->revision) {
		m->anti_entropy_at = now_ms + 1000 + (int64_t)(manager_random(m) % 1000);
		return;
	}
	manager_take_list(m, reply);
	m->anti_entropy_at = now_ms + m->anti_entropy_s * 800 +
			     (int64_t)(manager_random(m) % (uint64_t)(m->anti_entropy_s * 400 + 1));
	if (m->state == MANAGER_LISTING || m->state == MANAGER_CLAIMING) {
		if (m->attributes && !m->claim_id)
			choose(m, now_ms);
		return;
	}
	watch_from_list(m, now_ms);
	if (m->state == MANAGER_HELD)
		check_own(m, now_ms);
	else if (!m->claim_id && m->retry_at == INT64_MAX)
		m->retry_at = now_ms; /* our create was not confirmed: it was overwritten at once */
}

/* ---- events ---- */

/* Our own key was written by somebody else. False: it is another host's now. */
static bool accept_overwritten(struct manager *m, int64_t now_ms, const struct lease *l)
{
	if (!l->problem && l->node_id && strcmp(l->node_id, m->node_id) != 0) {
		conflict(m, now_ms, l);
		return false;
	}
	m->own->mod_revision = l->mod_revision;
	m->own->create_revision = l->create_revision;
	if (m->own->handle == l->handle)
		return true;
	m->own->handle = l->handle;
	manager_note(m, LOG_LEVEL_WARN, "lease-rebound", "%s",
		     l->handle ? "our key was bound to another lease of the store"
			       : "our key was made a reservation, it no longer expires");
	m->expires_ms = 0;
	m->keepalive_at = INT64_MAX;
	m->keepalive_id = 0; /* of the other one */
	keep_alive(m);
	return true;
}

/* Our own key as the store has it now against what we hold and what we want to publish. */
static void check_own(struct manager *m, int64_t now_ms)
{
	const struct manager_member *mine = manager_find(m, &m->own->subnet);
	const struct lease *l = mine ? mine->lease : NULL;
	auto_lease struct lease *want = own_lease(m, &m->own->subnet);
	bool overwritten = l && l->mod_revision != m->own->mod_revision;

	if (!l) {
		lost(m, now_ms, "its key is no longer in the store");
		return;
	}
	if (overwritten && !accept_overwritten(m, now_ms, l))
		return;
	if (lease_equal(want, l)) {
		/* Nothing is due that could fail: what did has no meaning any more. */
		if (!l->handle && !m->claim_id)
			m->reason[0] = '\0';
		return;
	}
	if (m->claim_id)
		return;
	if (overwritten)
		manager_note(m, LOG_LEVEL_WARN, "lease-overwritten",
			     "somebody changed our lease in the store; writing it again");
	want->mod_revision = l->mod_revision;
	want->create_revision = l->create_revision;
	want->handle = l->handle;
	m->creating = false;
	m->claim_id = submit(m, STORE_UPDATE, want);
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
		manager_upsert(m, STEAL(event->lease));
		if (own && m->state == MANAGER_HELD)
			check_own(m, now_ms);
		else if (own && !m->claim_id && m->creating)
			verify(m, now_ms);
		break;
	case STORE_EVENT_DELETE:
		member = manager_find(m, &event->lease->subnet);
		if (!member || member->lease->mod_revision > event->revision)
			break;
		own = m->own && subnet_equal(&event->lease->subnet, &m->own->subnet);
		manager_forget(m, member);
		if (own && m->state == MANAGER_HELD)
			lost(m, now_ms, "its key was deleted, or expired in the store");
		else if (own && !m->claim_id && (m->state == MANAGER_CONFLICT || m->creating))
			m->retry_at = now_ms;
		break;
	case STORE_EVENT_CONFIG:
		read_config(m);
		break;
	case STORE_EVENT_JUNK:
		if (event->reason)
			manager_add_junk(m, event->key, event->reason);
		else
			manager_remove_junk(m, event->key);
		break;
	case STORE_EVENT_LIVE:
		if (m->watch_reason[0])
			manager_note(m, LOG_LEVEL_INFO, "watch-live", "the store is heard again");
		m->watch_reason[0] = '\0';
		m->watch_live = true;
		/* It may have been away for longer than our lease: ask at once. */
		if (m->state == MANAGER_HELD && m->reason[0])
			keep_alive(m);
		break;
	case STORE_EVENT_LOST:
		if (m->watch_live)
			manager_note(m, LOG_LEVEL_WARN, "watch-lost",
				     "%s; the data plane stays as it is, reconnecting",
				     event->reason);
		m->watch_live = false;
		m->counts.watch_restarts_total++;
		snprintf(m->watch_reason, sizeof(m->watch_reason), "%s", event->reason);
		break;
	case STORE_EVENT_RESYNC:
		manager_note(m, LOG_LEVEL_WARN, "watch-resync", "%s; listing all leases again",
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
		const struct manager_member *other =
			manager_overlapping(m, &m->own->subnet, NULL, UINT64_MAX);

		if (m->claim_id)
			break;
		if (other) {
			conflict(m, now_ms, other->lease);
			break;
		}
		m->creating = true;
		m->claim_id = submit(m, STORE_CREATE, l);
		break;
	}
	case MANAGER_HELD:
		/* What we publish could not be written. */
		check_own(m, now_ms);
		break;
	case MANAGER_WAIT_CONFIG:
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
