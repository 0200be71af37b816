/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network configuration: waited for, read once, and from then on compared with what the store
 * has. What is in use changes with a restart only, and one that would take this host's subnet from
 * its containers not even then: a host that has a lease goes on with the configuration it was
 * leased under until somebody gives the lease back (fabricctl lease release).
 *
 * A change of the backend's type may be made by the majority (BackendChange): hosts with different types do not
 * reach each other, so a host that starts stays with the larger part. For that it counts the leases first.
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

/* Whether this host can go on with its subnet. One that was assigned is not the configuration's to take. */
static bool keeps(const struct manager *m, const struct network_config *config,
		  const struct subnet *own)
{
	return manager_is_assigned(m) || network_config_keeps(config, own);
}

static bool is_another_type(const struct manager *m, const struct network_config *a,
			    const struct network_config *b)
{
	const char *types[2] = { a->backend_type, b->backend_type };

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		types[i] = *types[i] ? types[i] : m->default_backend;
	return strcmp(types[0], types[1]) != 0;
}

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
	if (own && !keeps(m, &config, &own->subnet)) {
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
		 "%s to use it%s%s",
		 differences,
		 config.change_with_majority && is_another_type(m, &config, &m->config)
			 ? "once half of the other hosts have changed, restart flanneld"
			 : "restart flanneld",
		 own ? ", this host keeps " : "", own ? subnet_format(&own->subnet, subnet) : "");
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
	       !keeps(m, config, &k->own->subnet);
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

/* ---- a change of type with the majority ---- */

/* Whether it asks this host to stay with the type of its lease for as long as most others do. */
static bool asks_for_others(const struct manager *m, int64_t now_ms,
			    const struct network_config *config)
{
	const struct last_known *k = &m->last_known;
	auto_network_config struct network_config was = { 0 };

	return config->change_with_majority && k->config && k->own &&
	       now_ms < m->last_known_expires_ms &&
	       network_config_parse(k->config, strlen(k->config), &was, NULL) == 0 &&
	       is_another_type(m, config, &was);
}

static void ask_for_others(struct manager *m, struct store_reply *reply)
{
	store_reply_fini(&m->undecided);
	m->undecided = *reply;
	*reply = (struct store_reply){ .status = reply->status };
	m->census_id = manager_submit(m, STORE_LIST, NULL);
}

static bool same_type(const struct lease *a, const struct lease *b)
{
	return strcmp(a->backend_type ? a->backend_type : "",
		      b->backend_type ? b->backend_type : "") == 0;
}

/* More than half of the other hosts have leases of our type. */
static bool most_stay(const struct manager *m, const struct store_reply *list, size_t *ret_others)
{
	const struct lease *own = m->last_known.own;
	size_t same = 0;

	*ret_others = 0;
	for (size_t i = 0; i < list->leases_len; i++) {
		const struct lease *l = list->leases[i];

		if (l->problem || lease_is_reservation(l) || subnet_equal(&l->subnet, &own->subnet))
			continue;
		++*ret_others;
		same += same_type(l, own);
	}
	return same * 2 > *ret_others;
}

void manager_on_census(struct manager *m, int64_t now_ms, struct store_reply *list)
{
	struct store_reply reply = m->undecided;
	auto_network_config struct network_config config = { 0 };
	char why[120];
	size_t others;
	struct err e;

	m->undecided = (struct store_reply){ 0 };
	if (list->status != STORE_OK) {
		if (!manager_restore(m, now_ms, list->err.text))
			wait_for_config(m, now_ms, "store-unavailable", list->err.text);
	} else if (parse(m, &reply, &config, &e) < 0) {
		wait_for_config(m, now_ms, "config-invalid", e.text);
	} else if (m->last_known.own && most_stay(m, list, &others)) {
		snprintf(why, sizeof(why),
			 "the backend is to be another, and most of %zu other hosts have not "
			 "changed yet",
			 others);
		if (!stay(m, now_ms, &reply, why))
			take(m, &reply, &config);
	} else {
		take(m, &reply, &config);
	}
	store_reply_fini(&reply);
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
	} else if (renumbers(m, now_ms, &config) &&
		   stay(m, now_ms, reply,
			"the network configuration has no place for this host's subnet")) {
		return;
	} else if (asks_for_others(m, now_ms, &config)) {
		ask_for_others(m, reply);
	} else {
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
