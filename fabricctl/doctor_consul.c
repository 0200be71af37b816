/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Consul as this host's daemon needs it: whether each agent answers and reaches a leader, whether the token may
 * do what the daemon does, whether the clocks agree, and whether the session of this host's lease is as the
 * daemon makes it. The rights are asked for by a transaction that never succeeds and by a session that
 * holds nothing and is ended at once.
 */
#include <event2/event.h>
#include <string.h>

#include "fabricctl/doctor.h"
#include "fabricctl/loop.h"
#include "lib/endpoints.h"
#include "lib/http.h"
#include "lib/json.h"
#include "stores/consul/consul_client.h"

#define CALL_TIMEOUT_MS 4000
#define NEVER_WRITTEN   "fabricctl-doctor"
#define NEVER_INDEX     "9007199254740991"
#define NS_PER_S        1e9

struct asking {
	struct event_base *base;
	struct http_client *http;
	struct consul_client *client;
	char *prefix;  /* as keys have it */
	char *escaped; /* as paths have it */
	size_t len;    /* endpoints */
	struct answer {
		struct asking *asking;
		enum consul_outcome outcome;
		bool has_index;
		char text[CONSUL_TEXT_MAX + 100];
		char *body;
	} answers[ENDPOINTS_MAX];
	size_t outstanding;
};

static void on_answer(void *arg, const struct consul_result *result)
{
	struct answer *answer = arg;

	answer->outcome = result->outcome;
	answer->has_index = result->index != 0;
	snprintf(answer->text, sizeof(answer->text), "%s", result->text);
	util_make_printable(answer->text);
	free(answer->body);
	answer->body = result->outcome == CONSUL_OK ? xstrndup(result->body, result->size) : NULL;
	if (--answer->asking->outstanding == 0)
		event_base_loopbreak(answer->asking->base);
}

static int asking_open(struct asking *a, const struct consul_options *options, struct err *e)
{
	a->base = loop_new();
	a->http = http_client_new(a->base);
	if (consul_prefix_read(options->prefix, &a->prefix, e) < 0)
		return e->code;
	a->escaped = endpoints_escape(a->prefix, "/");
	if (consul_client_new(a->http, options, &a->client, e) < 0) {
		a->client = NULL;
		return e->code;
	}
	a->len = consul_client_endpoints(a->client);
	for (size_t i = 0; i < a->len; i++)
		a->answers[i].asking = a;
	return 0;
}

static void asking_close(struct asking *a)
{
	consul_client_free(a->client);
	http_client_free(a->http);
	event_base_free(a->base);
	for (size_t i = 0; i < ARRAY_LEN(a->answers); i++)
		free(a->answers[i].body);
	free(a->prefix);
	free(a->escaped);
}

static struct answer *ask_one(struct asking *a, size_t endpoint, const char *path, const char *body)
{
	const struct consul_ask ask = { .path = path, .body = body, .timeout_ms = CALL_TIMEOUT_MS };

	a->outstanding = 1;
	consul_client_call_at(a->client, endpoint, &ask, on_answer, &a->answers[endpoint]);
	event_base_dispatch(a->base);
	return &a->answers[endpoint];
}

/* ---- what is judged ---- */

/* Of what a majority agrees on; who may not read it has reached the store all the same. */
static bool is_reached(const struct answer *answer)
{
	return answer->outcome == CONSUL_DENIED ||
	       (answer->has_index &&
		(answer->outcome == CONSUL_OK || answer->outcome == CONSUL_ABSENT));
}

/* The first agent by which the store is reached; a->len: none. */
static size_t say_agents(struct doctor *d, const struct asking *a)
{
	size_t usable = a->len;
	size_t well = 0;

	for (size_t i = 0; i < a->len; i++) {
		const struct answer *one = &a->answers[i];

		if (is_reached(one)) {
			usable = MIN(usable, i);
			well++;
		} else {
			doctor_say(d, "store", DOCTOR_WARNING, "fabricctl store ping", "%s%s",
				   *one->text ? "" : consul_client_url(a->client, i),
				   *one->text ? one->text : " answers as no Consul does");
		}
	}
	if (well == 0)
		doctor_say(
			d, "store", DOCTOR_ERROR, "consul operator raft list-peers",
			"no agent reaches Consul's leader: the data path stays as it is, changes "
			"are not heard");
	else if (well == a->len)
		doctor_say(d, "store", DOCTOR_OK, NULL,
			   "%zu of %zu agents answer, and reach a leader", well, a->len);
	return usable;
}

/* A token's rights on keys are looked at before the transaction's conditions. */
static struct answer *try_to_write(struct asking *a, size_t endpoint)
{
	auto_free char *key = xasprintf("%s/subnets/" NEVER_WRITTEN, a->prefix);
	auto_json json_t *ops =
		json_pack("[{s:{s:s,s:s,s:I}},{s:{s:s,s:s,s:s}}]", "KV", "Verb", "check-index",
			  "Key", key, "Index", (json_int_t)strtoll(NEVER_INDEX, NULL, 10), "KV",
			  "Verb", "set", "Key", key, "Value", "");
	auto_free char *body = json_dumps(ops, JSON_COMPACT);

	return ask_one(a, endpoint, "/v1/txn", body ? body : "[]");
}

/* One that holds nothing, of the shortest life, and is ended at once. False: it was refused. */
static bool try_session(struct asking *a, size_t endpoint)
{
	static const char body[] =
		"{\"Name\":\"" NEVER_WRITTEN "\",\"TTL\":\"10s\",\"Behavior\":\"delete\","
		"\"LockDelay\":\"0s\",\"Checks\":[],\"NodeChecks\":[]}";
	const struct answer *answer = ask_one(a, endpoint, "/v1/session/create", body);
	auto_free char *path = NULL;
	char id[CONSUL_SESSION_TEXT];
	u128 session;

	if (answer->outcome != CONSUL_OK)
		return false;
	if (consul_session_read(answer->body, strlen(answer->body), &session, NULL) < 0)
		return true;
	path = xasprintf("/v1/session/destroy/%s", consul_session_format(session, id));
	ask_one(a, endpoint, path, "");
	return true;
}

static void say_rights(struct doctor *d, struct asking *a, size_t endpoint)
{
	auto_free char *remedy =
		xasprintf("consul acl policy update -name NAME -rules 'key_prefix \"%s/\" "
			  "{ policy = \"write\" } session_prefix \"\" "
			  "{ policy = \"write\" }'",
			  a->prefix);
	const struct answer *answer = &a->answers[endpoint];

	if (answer->outcome == CONSUL_DENIED) {
		doctor_say(d, "store-rights", DOCTOR_ERROR, remedy, "%s/ cannot be read: %s",
			   a->prefix, answer->text);
		return;
	}
	answer = try_to_write(a, endpoint);
	if (answer->outcome != CONSUL_CONFLICT) {
		doctor_say(d, "store-rights", DOCTOR_ERROR, remedy,
			   "no lease can be written below %s/subnets: %s", a->prefix, answer->text);
		return;
	}
	if (!try_session(a, endpoint))
		doctor_say(d, "store-rights", DOCTOR_ERROR, remedy,
			   "no session can be made, which a lease is bound to: %s",
			   a->answers[endpoint].text);
	else
		doctor_say(d, "store-rights", DOCTOR_OK, NULL,
			   "%s/ can be read and written, sessions can be made", a->prefix);
}

/* What is wrong with the session of a lease. */
static void judge_session(struct doctor *d, const json_t *session, const char *id)
{
	double delay_s = json_number_value(json_object_get(session, "LockDelay")) / NS_PER_S;
	const char *behavior = ctl_text(session, "Behavior");

	if (!session)
		doctor_say(d, "store-session", DOCTOR_WARNING, "fabricctl lease renew",
			   "session %s of this host's lease is no more", id);
	else if (!behavior || strcmp(behavior, "delete") != 0)
		doctor_say(
			d, "store-session", DOCTOR_WARNING, "consul kv get -detailed KEY",
			"session %s of this host's lease has the behavior %.20s, not delete: its "
			"key stays when it ends, and the subnet is never free again",
			id, behavior ? behavior : "?");
	else if (delay_s > 0)
		doctor_say(
			d, "store-session", DOCTOR_WARNING, NULL,
			"session %s of this host's lease has a lock delay of %.0f s: when it ends "
			"nobody, this host neither, can claim the subnet for so long; the daemon "
			"makes "
			"its sessions without one",
			id, delay_s);
	else
		doctor_say(d, "store-session", DOCTOR_OK, NULL,
			   "session %s of this host's lease has no lock delay", id);
}

/* By the daemon's word which it is. */
static void say_session(struct doctor *d, struct asking *a, size_t endpoint)
{
	const char *handle = ctl_text(json_object_get(d->status, "lease"), "handle");
	u128 session = handle ? lease_id_parse(handle) : 0;
	auto_json json_t *list = NULL;
	auto_free char *path = NULL;
	const struct answer *answer;
	char id[CONSUL_SESSION_TEXT];

	if (!session)
		return;
	path = xasprintf("/v1/session/info/%s", consul_session_format(session, id));
	answer = ask_one(a, endpoint, path, NULL);
	if (answer->outcome == CONSUL_OK)
		list = json_loads(answer->body, 0, NULL);
	if (json_is_array(list))
		judge_session(d, json_array_get(list, 0), id);
	else if (answer->outcome != CONSUL_DENIED)
		doctor_say(d, "store-session", DOCTOR_WARNING, NULL, "session %s: %s", id,
			   *answer->text ? answer->text : "the answer is no list");
}

void doctor_check_consul(struct doctor *d)
{
	struct asking a = { 0 };
	auto_free char *path = NULL;
	struct err e;
	size_t usable;

	if (asking_open(&a, &d->settings->store.consul, &e) < 0) {
		doctor_say(d, "store", DOCTOR_ERROR, NULL, "it cannot be asked: %s", e.text);
		asking_close(&a);
		return;
	}
	path = xasprintf("/v1/kv/%s/subnets/?consistent", a.escaped);
	a.outstanding = a.len;
	for (size_t i = 0; i < a.len; i++)
		consul_client_call_at(
			a.client, i,
			&(struct consul_ask){ .path = path, .timeout_ms = CALL_TIMEOUT_MS },
			on_answer, &a.answers[i]);
	event_base_dispatch(a.base);
	usable = say_agents(d, &a);
	if (usable < a.len) {
		doctor_say_clock(d, a.http, consul_client_url(a.client, usable));
		say_rights(d, &a, usable);
		say_session(d, &a, usable);
	}
	asking_close(&a);
}
