/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network configuration: waited for, read once, and from then on compared with what the store
 * has. What is in use changes with a restart only, and one that would take this host's subnet from
 * its containers not even then: a host that has a lease goes on with the configuration it was
 * leased under until somebody gives the lease back (fabricctl lease release).
 */
#include "subnet/manager_internal.h"

#include <errno.h>

#define POLL_MS     1000
#define POLL_MAX_MS 5000

void manager_read_config(struct manager *m)
{
	m->config_at = INT64_MAX;
	if (!m->config_id)
		m->config_id = manager_submit(m, STORE_CONFIG, NULL);
}

static void wait_for_config(struct manager *m, int64_t now_ms, const char *event, const char *text)
{
	manager_complain(m, LOG_LEVEL_WARN, event, text);
	manager_set_state(m, MANAGER_WAIT_CONFIG, text);
	m->config_at =
		now_ms + MIN((int64_t)POLL_MS * (1 + m->config_polls++ / 10), (int64_t)POLL_MAX_MS);
}

/* Checks the backend's part as well. */
static int parse(const struct manager *m, const struct store_reply *reply,
		 struct network_config *ret, struct err *e)
{
	int rc = network_config_parse(reply->config, reply->config_size, ret, e);

	return rc < 0 ? rc : m->ops->check_config(m->arg, ret, e);
}

/* ---- what another one would mean ---- */

/* What the store has, against what is in use. NULL if they mean the same; else the problem's name
 * and a sentence. */
static const char *judge(const struct manager *m, const struct store_reply *reply,
			 char text[static MANAGER_REASON_SIZE])
{
	const struct lease *own = m->own;
	auto_network_config struct network_config config = { 0 };
	char differences[160];
	char subnet[SUBNET_KEY_TEXT];
	struct err e;

	if (reply->status == STORE_ABSENT) {
		snprintf(text, MANAGER_REASON_SIZE,
			 "the network configuration was deleted from the store; the one in use "
			 "stays so, also when flanneld is restarted");
		return "config-missing";
	}
	if (parse(m, reply, &config, &e) < 0) {
		snprintf(
			text, MANAGER_REASON_SIZE,
			"what the store has as network configuration is of no use: %.300s; the one "
			"in use stays so, also when flanneld is restarted",
			e.text);
		return "config-invalid";
	}
	if (!network_config_differs(&config, &m->config, m->default_backend, differences,
				    sizeof(differences)))
		return NULL;
	if (own && !network_config_keeps(&config, &own->subnet)) {
		snprintf(text, MANAGER_REASON_SIZE,
			 "the network configuration in the store has no place for this host's "
			 "subnet %s: %s; the one in use stays so, also when flanneld is restarted. "
			 "To renumber this host, stop its containers and flanneld, then fabricctl "
			 "lease release",
			 subnet_format(&own->subnet, subnet), differences);
		return "config-renumbers";
	}
	snprintf(text, MANAGER_REASON_SIZE,
		 "the network configuration in the store is another than the one in use: %s; "
		 "restart flanneld to use it%s%s",
		 differences, own ? ", this host keeps " : "",
		 own ? subnet_format(&own->subnet, subnet) : "");
	return "config-changed";
}

static void set_problem(struct manager *m, const char *problem, const char *text)
{
	m->config_problem = problem;
	snprintf(m->config_reason, sizeof(m->config_reason), "%s", problem ? text : "");
}

/* A configuration after the first. */
static void compare(struct manager *m, int64_t now_ms, struct store_reply *reply)
{
	char text[MANAGER_REASON_SIZE];
	const char *problem;

	if (reply->status != STORE_OK && reply->status != STORE_ABSENT) {
		m->config_at = now_ms + POLL_MAX_MS + (int64_t)(manager_random(m) % POLL_MAX_MS);
		return;
	}
	problem = judge(m, reply, text);
	set_problem(m, problem, text);
	if (problem)
		return;
	/* Written in another way it means the same. */
	free(m->config_text);
	m->config_text = STEAL(reply->config);
	m->config_revision = reply->config_revision;
}

/* ---- the first ---- */

/*
 * A host that was leased its subnet goes on with the configuration of then if the store has none
 * any more, or one that it cannot follow. `why`: what is wrong with it.
 */
static bool stay(struct manager *m, int64_t now_ms, struct store_reply *reply, const char *why)
{
	if (!manager_restore(m, now_ms, why))
		return false;
	compare(m, now_ms, reply);
	return true;
}

/* Whether it takes from this host the subnet that it was leased. */
static bool renumbers(struct manager *m, int64_t now_ms, const struct network_config *config)
{
	const struct last_known *k = &m->last_known;

	return k->config && k->own && now_ms < m->last_known_expires_ms &&
	       !network_config_keeps(config, &k->own->subnet);
}

static void take(struct manager *m, struct store_reply *reply, struct network_config *config)
{
	m->has_config = true;
	m->config = *config;
	*config = (struct network_config){ 0 };
	m->config_text = STEAL(reply->config);
	m->config_revision = reply->config_revision;
	manager_set_state(m, MANAGER_LISTING, "the configuration was just read");
	/* The list does not depend on what the configuration leads to; both go on at once. */
	manager_list(m);
	m->ops->config(m->arg, &m->config);
}

void manager_on_config(struct manager *m, int64_t now_ms, struct store_reply *reply)
{
	auto_network_config struct network_config config = { 0 };
	char text[ERR_TEXT_SIZE + 40];
	struct err e;

	if (m->has_config) {
		compare(m, now_ms, reply);
	} else if (reply->status == STORE_ABSENT) {
		if (!stay(m, now_ms, reply, reply->err.text))
			wait_for_config(m, now_ms, "config-missing", reply->err.text);
	} else if (reply->status != STORE_OK) {
		if (!manager_restore(m, now_ms, reply->err.text))
			wait_for_config(m, now_ms, "store-unavailable", reply->err.text);
	} else if (parse(m, reply, &config, &e) < 0) {
		snprintf(text, sizeof(text), "network configuration: %s", e.text);
		if (!stay(m, now_ms, reply, text))
			wait_for_config(m, now_ms, "config-invalid", text);
	} else if (!renumbers(m, now_ms, &config) ||
		   !stay(m, now_ms, reply,
			 "the network configuration has no place for this host's subnet")) {
		take(m, reply, &config);
	}
}

void manager_reject_config(struct manager *m, int64_t now_ms, const char *reason)
{
	if (m->state != MANAGER_LISTING || m->attributes)
		return;
	network_config_fini(&m->config);
	free(STEAL(m->config_text));
	m->has_config = false;
	m->stale = false;
	m->list_id = 0;
	m->retry_at = INT64_MAX;
	wait_for_config(m, now_ms, "config-unusable", reason);
}
