/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fabricctl trace, the last step: what the other host tells of itself in the store. It is that host's word,
 * and stays for three minutes after its daemon's end, so it decides neither the verdict nor the exit status.
 */
#include <string.h>

#include "fabricctl/client.h"
#include "fabricctl/session.h"
#include "fabricctl/trace.h"
#include "lib/clock.h"
#include "subnet/health_record.h"

#define STATUS_TIMEOUT_MS 100
#define STORE_TIMEOUT_MS  200 /* nobody waits longer for what is only told */

/* What stops packets there, as far as its daemon sees. */
static const char *const obstacles[] = { "input-blocked", "forward-blocked", "forwarding-off",
					 "bridge-down",   "device-failed",   "packets-diverted",
					 "underlay-lost" };

static bool is_obstacle(const struct health_record_problem *p)
{
	for (size_t i = 0; i < ARRAY_LEN(obstacles); i++) {
		if (strcmp(p->name, obstacles[i]) == 0)
			return true;
	}
	return false;
}

/* The one to name: an obstacle, else the worst; NULL: all is well there. */
static const struct health_record_problem *find_worst(const struct health_record *r)
{
	const struct health_record_problem *worst = NULL;

	for (size_t i = 0; i < r->problems_len; i++) {
		const struct health_record_problem *p = &r->problems[i];

		if (p->severity == PROBLEM_INFO)
			continue;
		if (!worst || is_obstacle(p) > is_obstacle(worst) ||
		    (is_obstacle(p) == is_obstacle(worst) && p->severity < worst->severity))
			worst = p;
	}
	return worst;
}

static void say_record(struct trace *t, const char *node, const struct health_record *r)
{
	const struct health_record_problem *worst = find_worst(r);
	auto_free char *remedy = xasprintf("on %s: fabricctl doctor", node);
	int64_t age_s = MAX(clock_wall_ms() / 1000 - r->written_s, INT64_C(0));
	size_t more = r->problems_len + r->problems_more - (worst != NULL);
	char age[CLOCK_TEXT];
	auto_free char *others = more ? xasprintf(" (and %zu more)", more) : xstrdup("");

	clock_format_duration(age_s, age);
	if (worst)
		trace_say(t, "host", TRACE_WARNING, remedy,
			  "%s tells of itself, unchanged for %s: %s, %s: %s%s", node, age,
			  health_verdict_name(r->verdict), worst->name, worst->text, others);
	else
		trace_say(t, "host", r->verdict == HEALTH_OK ? TRACE_OK : TRACE_WARNING,
			  r->verdict == HEALTH_OK ? NULL : remedy,
			  "%s tells of itself, unchanged for %s: %s", node, age,
			  health_verdict_name(r->verdict));
}

static void say_reply(struct trace *t, const char *node, const struct store_reply *reply)
{
	struct health_record r;
	struct err e;

	if (reply->status != STORE_OK) {
		trace_say(t, "host", TRACE_WARNING, NULL,
			  "what %s tells of itself is not known: %s", node, reply->err.text);
	} else if (!reply->health_len) {
		trace_say(t, "host", TRACE_WARNING, NULL,
			  "%s tells nothing of itself: its daemon does not run, does not reach the "
			  "store, or keeps no record",
			  node);
	} else if (health_record_parse(reply->health[0].text, reply->health[0].size, &r, &e) < 0) {
		trace_say(t, "host", TRACE_WARNING, NULL,
			  "what %s tells of itself is no record: %s", node, e.text);
	} else {
		say_record(t, node, &r);
		health_record_fini(&r);
	}
}

/* The one that the daemon uses, if that can be told. */
static bool knows_store(const struct ctl *c, const struct settings *settings)
{
	const struct store_type *type = store_type_of(&settings->store);
	auto_json json_t *status = NULL;
	char why[256];
	struct err e;

	if (!type || !(type->traits & STORE_KEEPS_HEALTH))
		return false;
	if (strcmp(type->scheme, "etcd") != 0)
		return true;
	if (client_get(settings->socket, "/v1/status", "Status", STATUS_TIMEOUT_MS, &status, &e) <
	    0)
		status = NULL;
	return settings_know_store(settings, c->options.store, status, why, sizeof(why));
}

void trace_ask_host(const struct ctl *c, struct trace *t)
{
	const char *node_id = ctl_text(t->destination.lease, "nodeID");
	const char *node = ctl_text(t->destination.lease, "node");
	auto_session struct session s = { 0 };
	struct store_reply reply = { 0 };

	/* Hosts of flannel have no id, and tell nothing. */
	if (!t->reached_peer || !node_id || settings_read(c, false, &s.settings) != CTL_OK ||
	    !knows_store(c, &s.settings))
		return;
	if (store_options_check(&s.settings.store, &reply.err) < 0 ||
	    session_begin(&s, &reply.err) < 0)
		reply.status = STORE_INVALID;
	else
		session_ask_within(
			&s,
			&(struct store_request){ .op = STORE_HEALTH_LIST, .health_name = node_id },
			STORE_TIMEOUT_MS, &reply);
	say_reply(t, node ? node : "the other host", &reply);
	store_reply_fini(&reply);
}
