/* SPDX-License-Identifier: Apache-2.0 */
#include "subnet/manager_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>

#define CONFIG_POLL_MS 1000
/* Longer than the longest pause before a host asks its store again. */
#define DOUBT_MS       15000
#define RESYNC_CALM_MS 10000 /* history that breaks again within this is listed less eagerly */

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

void manager_complain(struct manager *m, enum log_level level, const char *event, const char *text)
{
	if (strcmp(m->complaint, text) == 0)
		return;
	snprintf(m->complaint, sizeof(m->complaint), "%s", text);
	manager_note(m, level, event, "%s; trying again", text);
}

void manager_set_state(struct manager *m, enum manager_state state, const char *reason)
{
	m->state = state;
	m->state_problem = NULL;
	if (reason != m->reason)
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
	m->traits = options->traits;
	m->random = options->seed;
	m->default_backend = options->default_backend;
	m->ops = ops;
	m->arg = arg;
	m->rewrite_at = m->rival_until_ms = INT64_MAX;
	m->retry_at = m->keepalive_at = m->anti_entropy_at = m->config_at = m->kept_at = INT64_MAX;
	m->addresses_at = INT64_MAX;
	manager_set_state(m, MANAGER_WAIT_CONFIG, "no answer from the store yet");
	return m;
}

void manager_free(struct manager *m)
{
	if (!m)
		return;
	manager_drop_members(m);
	manager_forget_junk(m, true);
	lease_free(m->own);
	lease_free(m->attributes);
	if (m->has_config)
		network_config_fini(&m->config);
	free(m->config_text);
	last_known_fini(&m->last_known);
	store_reply_fini(&m->undecided);
	free(m->node_id);
	free(m->node_name);
	free(m);
}

uint64_t manager_submit(struct manager *m, enum store_op op, const struct lease *lease)
{
	struct store_request request = { .op = op, .lease = lease, .ttl_s = m->ttl_s };
	uint64_t id = ++m->last_id;

	m->ops->submit(m->arg, id, &request);
	return id;
}

int64_t manager_backoff(struct manager *m, int64_t now_ms)
{
	static const struct backoff_policy retry = { .min_ms = 200, .max_ms = 10000 };

	return now_ms + backoff_next_spread(&m->backoff, &retry, now_ms, manager_random(m));
}

/* Everybody at another time, so that the store has an even load. */
static int64_t next_anti_entropy(struct manager *m, int64_t now_ms)
{
	return now_ms + m->anti_entropy_s * 800 +
	       (int64_t)(manager_random(m) % (uint64_t)(m->anti_entropy_s * 400 + 1));
}

void manager_set_node_name(struct manager *m, const char *name)
{
	free(m->node_name);
	m->node_name = xstrdup(name);
}

void manager_avoid(struct manager *m, const struct ip_net *v4, const struct ip_net *v6)
{
	m->avoid[0] = *v4;
	m->avoid[1] = *v6;
}

void manager_claim(struct manager *m, int64_t now_ms, const struct lease *attributes)
{
	lease_free(m->attributes);
	m->attributes = lease_copy(attributes);
	free(m->attributes->node_id);
	free(m->attributes->node_name);
	m->attributes->node_id = xstrdup(m->node_id);
	m->attributes->node_name = xstrdup(m->node_name);
	manager_remember_address(m, m->attributes);
	manager_find_twins(m);
	if (m->stale && m->own) {
		/* From here on containers use it, as if it had been held. */
		m->was_held = true;
		m->ops->own(m->arg, m->own);
	}
	if (m->state != MANAGER_LISTING || m->claim_id || m->adopting || m->verifying)
		return;
	backoff_reset(&m->backoff);
	if (m->list_revision && !m->list_id)
		manager_choose(m, now_ms);
}

void manager_publish(struct manager *m, int64_t now_ms, const struct lease *attributes)
{
	/* Before the first claim there is nothing to change; the claim brings its own. */
	if (!m->attributes)
		return;
	manager_claim(m, now_ms, attributes);
	if (m->state == MANAGER_HELD)
		manager_check_own(m, now_ms);
}

/* ---- the list ---- */

void manager_list(struct manager *m)
{
	if (m->list_id)
		return;
	m->list_floor = m->floor;
	m->list_id = manager_submit(m, STORE_LIST, NULL);
}

void manager_watch_from_list(struct manager *m, int64_t now_ms)
{
	if (m->watching)
		return;
	if (!m->list_revision) {
		manager_list(m);
		return;
	}
	m->watching = true;
	if (m->anti_entropy_at == INT64_MAX)
		m->anti_entropy_at = next_anti_entropy(m, now_ms);
	m->ops->watch(m->arg, m->list_revision + 1);
}

/*
 * The store is another one than we knew, or the same at an earlier time, or has forgotten how it
 * came to what it is. Revisions of before mean nothing any more; what we know stays until a list
 * replaces it. Peers that a store of the past does not know have hardly left all at once: they will
 * claim their subnets again like us, and until they had time to, their objects stay.
 */
void manager_break_history(struct manager *m, uint64_t revision, uint64_t before)
{
	if (before)
		manager_note(m, LOG_LEVEL_WARN, "store-went-back",
			     "the store is at revision %" PRIu64 " and was at %" PRIu64
			     " before: it was restored or wiped",
			     revision, before);
	m->watching = false;
	m->watch_live = false;
	m->before_break = MAX(m->before_break, m->newest);
	m->revision = m->newest = m->list_revision = m->floor = m->list_floor = 0;
	m->past_revision = m->challenged = 0;
	m->list_id = 0;
	if (m->own)
		m->own->born = m->own->mod_revision = 0;
	m->ops->watch(m->arg, 0);
}

static void on_list(struct manager *m, int64_t now_ms, struct store_reply *reply)
{
	if (reply->status != STORE_OK) {
		if (m->state <= MANAGER_CLAIMING && !m->verifying)
			manager_claim_failed(m, now_ms, &reply->err);
		else
			m->anti_entropy_at = manager_backoff(m, now_ms);
		return;
	}
	if (reply->revision < m->list_floor) {
		manager_break_history(m, reply->revision, m->list_floor);
	} else if (reply->revision < m->newest) {
		/* Overtaken by events while it was on its way. */
		m->anti_entropy_at = now_ms + 1000 + (int64_t)(manager_random(m) % 1000);
		return;
	}
	if (reply->revision < m->before_break) {
		m->doubt_until_ms = now_ms + DOUBT_MS;
		m->past_revision = reply->revision;
		m->contested = 0;
	}
	/* What was read of it meanwhile may be older than the list, and the watch tells what is
	 * newer. */
	if (m->before_break)
		m->config_at = now_ms;
	m->before_break = 0;
	manager_take_list(m, now_ms, reply);
	if (m->stale) {
		m->stale = false;
		last_known_fini(&m->last_known);
		manager_note(m, LOG_LEVEL_INFO, "store-heard",
			     "the store answers; what was known last is replaced");
		/* What the store has now decides, also about the configuration. */
		m->config_at = now_ms;
	}
	m->anti_entropy_at = next_anti_entropy(m, now_ms);
	if (m->state <= MANAGER_CLAIMING && !m->claim_id && !m->adopting && !m->verifying) {
		if (m->attributes)
			manager_choose(m, now_ms);
		return;
	}
	if (m->state == MANAGER_WAIT_CONFIG)
		return;
	manager_watch_from_list(m, now_ms);
	manager_settle(m, now_ms, true);
	if (m->state == MANAGER_HELD) {
		manager_check_own(m, now_ms);
		manager_remove_leftovers(m);
	} else if (m->state == MANAGER_CONFLICT) {
		m->retry_at = now_ms;
	}
}

/* ---- events ---- */

static void on_put(struct manager *m, int64_t now_ms, struct store_event *event)
{
	struct lease *lease = STEAL(event->lease);
	struct subnet subnet = lease->subnet;
	bool own = m->own && subnet_equal(&subnet, &m->own->subnet);

	manager_upsert(m, lease);
	if (m->verifying)
		manager_settle(m, now_ms, false);
	else if (m->state == MANAGER_HELD && own)
		manager_check_own(m, now_ms);
	else if (m->state == MANAGER_HELD)
		manager_remove_leftover(m, manager_find(m, &subnet));
	/* Somebody put things right, or another has it now: the next try finds out which. */
	else if (own && (m->state == MANAGER_LOST || m->state == MANAGER_CONFLICT) &&
		 !m->claim_id && !m->adopting)
		m->retry_at = MIN(m->retry_at, now_ms + (int64_t)(manager_random(m) % 1000));
}

static void on_delete(struct manager *m, int64_t now_ms, const struct store_event *event)
{
	struct manager_member *member = manager_find(m, &event->lease->subnet);
	bool own = m->own && subnet_equal(&event->lease->subnet, &m->own->subnet);
	char key[SUBNET_KEY_TEXT];

	if (!member && m->members.len >= STORE_LEASES_MAX)
		manager_remove_junk(m, subnet_key_format(&event->lease->subnet, key));
	if (!member || member->lease->mod_revision > event->revision)
		return;
	manager_depart(m, now_ms, member, event->revision);
	if (own)
		manager_own_deleted(m, now_ms);
	else if (m->state == MANAGER_CONFLICT &&
		 subnet_overlaps(&event->lease->subnet, &m->own->subnet))
		m->retry_at = now_ms;
}

/* Whether a change of a lease is news: a list told what came up to its revision. */
static bool is_news(struct manager *m, const struct store_event *event)
{
	if (event->revision && event->revision <= m->list_revision)
		return false;
	m->revision = MAX(m->revision, event->revision);
	m->newest = MAX(m->newest, event->revision);
	return true;
}

static void on_resync(struct manager *m, int64_t now_ms, const char *reason)
{
	bool again = m->resync_ms && now_ms - m->resync_ms < RESYNC_CALM_MS;

	manager_note(m, LOG_LEVEL_WARN, "watch-resync", "%s; listing all leases again", reason);
	m->counts.watch_restarts_total++;
	snprintf(m->watch_reason, sizeof(m->watch_reason), "%s", reason);
	m->resync_ms = now_ms;
	manager_break_history(m, 0, 0);
	if (again)
		m->anti_entropy_at = manager_backoff(m, now_ms);
	else
		manager_list(m);
	manager_read_config(m);
}

static void on_live(struct manager *m, int64_t now_ms)
{
	m->watch_reason[0] = '\0';
	m->watch_live = true;
	/* It may have been away for longer than our lease: ask at once, or nearly so. */
	if (m->state == MANAGER_HELD && m->reason[0])
		manager_keep_alive(m, now_ms);
	else if (m->state == MANAGER_LOST && m->retry_at != INT64_MAX)
		m->retry_at = MIN(m->retry_at, now_ms + (int64_t)(manager_random(m) % 1000));
}

static void on_lost(struct manager *m, const char *reason)
{
	m->watch_live = false;
	m->counts.watch_restarts_total++;
	snprintf(m->watch_reason, sizeof(m->watch_reason), "%s", reason);
}

void manager_event(struct manager *m, int64_t now_ms, struct store_event *event)
{
	m->counts.events_total++;
	m->floor = MAX(m->floor, event->revision);
	switch (event->type) {
	case STORE_EVENT_PUT:
		if (is_news(m, event))
			on_put(m, now_ms, event);
		break;
	case STORE_EVENT_DELETE:
		if (is_news(m, event))
			on_delete(m, now_ms, event);
		break;
	case STORE_EVENT_CONFIG:
		/* Not everybody at once, and not for every change of a busy hour. */
		if (m->config_at > now_ms + CONFIG_POLL_MS)
			m->config_at = now_ms + 1 + (int64_t)(manager_random(m) % CONFIG_POLL_MS);
		break;
	case STORE_EVENT_JUNK:
		if (!is_news(m, event))
			break;
		if (event->reason)
			manager_add_junk(m, event->key, event->reason);
		else
			manager_remove_junk(m, event->key);
		break;
	case STORE_EVENT_LIVE:
		on_live(m, now_ms);
		break;
	case STORE_EVENT_LOST:
		on_lost(m, event->reason);
		break;
	case STORE_EVENT_RESYNC:
		on_resync(m, now_ms, event->reason);
		break;
	}
	manager_await_addresses(m, now_ms);
}

void manager_reply(struct manager *m, int64_t now_ms, uint64_t id, struct store_reply *reply)
{
	bool known = true;

	if (id == m->config_id) {
		m->config_id = 0;
		manager_on_config(m, now_ms, reply);
	} else if (id == m->census_id) {
		m->census_id = 0;
		manager_on_census(m, now_ms, reply);
	} else if (id == m->list_id) {
		m->list_id = 0;
		on_list(m, now_ms, reply);
	} else if (id == m->claim_id) {
		m->claim_id = 0;
		if (reply->revision && reply->revision < m->claim_floor) {
			manager_break_history(m, reply->revision, m->claim_floor);
			manager_list(m);
		}
		if (m->creating)
			manager_on_created(m, now_ms, reply);
		else
			manager_on_updated(m, now_ms, reply);
	} else if (id == m->keepalive_id) {
		m->keepalive_id = 0;
		manager_on_keepalive(m, now_ms, reply);
	} else {
		/* Abandoned: it may even be of a history that is over. */
		known = false;
	}
	if (known && (reply->status == STORE_OK || reply->status == STORE_CONFLICT))
		m->floor = MAX(m->floor, reply->revision);
	manager_await_addresses(m, now_ms);
}

/* ---- time ---- */

void manager_start(struct manager *m, int64_t now_ms UNUSED)
{
	manager_read_config(m);
}

void manager_tick(struct manager *m, int64_t now_ms)
{
	if (now_ms >= m->config_at)
		manager_read_config(m);
	/* First of all, and also after a long sleep: what has run out is not ours any more. */
	if (m->state == MANAGER_HELD && m->expires_ms && now_ms >= m->expires_ms)
		manager_expire(m, now_ms);
	if (now_ms >= m->retry_at)
		manager_retry(m, now_ms);
	manager_tick_own(m, now_ms);
	if (now_ms >= m->keepalive_at)
		manager_keep_alive(m, now_ms);
	if (now_ms >= m->kept_at)
		manager_forget_departed(m, now_ms);
	if (now_ms >= m->addresses_at)
		manager_compare_addresses(m);
	if (now_ms >= m->anti_entropy_at) {
		m->anti_entropy_at = INT64_MAX;
		manager_list(m);
		manager_read_config(m);
	}
	manager_await_addresses(m, now_ms);
}

bool manager_renew(struct manager *m, int64_t now_ms)
{
	if (m->state != MANAGER_HELD || !(m->own->flags & LEASE_EXPIRES))
		return false;
	manager_keep_alive(m, now_ms);
	return true;
}

int64_t manager_deadline(const struct manager *m)
{
	int64_t step = MIN(m->retry_at, m->config_at);
	int64_t upkeep = MIN(m->keepalive_at, m->anti_entropy_at);
	int64_t expiry = m->state == MANAGER_HELD && m->expires_ms ? m->expires_ms : INT64_MAX;

	step = MIN(step, upkeep);
	step = MIN(step, m->kept_at);
	step = MIN(step, m->rewrite_at);
	step = MIN(step, m->addresses_at);
	step = MIN(step, m->rival_until_ms);
	return MIN(step, expiry);
}

void manager_view(const struct manager *m, struct manager_view *ret)
{
	*ret = m->counts;
	ret->state = m->state;
	ret->state_problem = m->state_problem;
	ret->reason = m->reason;
	ret->config = m->has_config ? &m->config : NULL;
	ret->stale = m->stale;
	ret->config_text = m->config_text;
	ret->newest = m->newest;
	ret->config_revision = m->config_revision;
	ret->config_problem = m->config_problem;
	ret->config_reason = m->config_reason;
	ret->rival_name = m->rival_name;
	ret->rival = m->rival;
	ret->own = m->own;
	ret->assigned = manager_is_assigned(m);
	ret->expires_ms = m->expires_ms;
	ret->renewed_ms = m->renewed_ms;
	ret->watch_live = m->watch_live;
	ret->watch_reason = m->watch_reason;
	ret->revision = m->revision;
	ret->members = &m->members;
	ret->members_len = m->members.len;
	ret->unreadable = m->unreadable;
	ret->unbound = m->unbound;
	ret->shared = m->shared;
	ret->shared_text = m->shared_text;
	ret->kept = m->kept;
	ret->twins = m->twins;
	ret->junk = m->junk;
	ret->junk_len = m->junk_len;
}
