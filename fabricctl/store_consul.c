/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl store ping and dump where the store is Consul. */
#include <event2/event.h>
#include <string.h>
#include <time.h>

#include "fabricctl/document.h"
#include "fabricctl/store.h"
#include "lib/endpoints.h"

/* An agent's description of itself, with all its settings. */
#define SELF_MAX_SIZE ((size_t)4 << 20)

/* ---- ping ---- */

struct ping {
	struct session *session;
	json_t *items; /* one for each agent */
	char *path;    /* to read what a majority agrees on */
	size_t outstanding;
	enum consul_outcome outcome; /* of the last failure */
};

struct probe {
	struct ping *ping;
	size_t endpoint;
	struct timespec start;
};

static void add_latency(json_t *item, const struct timespec *start)
{
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	json_object_set_new(item, "latencySeconds",
			    json_real((double)(end.tv_sec - start->tv_sec) +
				      (double)(end.tv_nsec - start->tv_nsec) / 1e9));
}

static void on_read(void *arg, const struct consul_result *result)
{
	struct probe *p = arg;
	struct ping *ping = p->ping;
	json_t *item = json_array_get(ping->items, p->endpoint);
	bool ok =
		result->index && (result->outcome == CONSUL_OK || result->outcome == CONSUL_ABSENT);

	if (ok) {
		add_latency(item, &p->start);
		json_object_set_new(item, "revision",
				    json_sprintf("%llu", (unsigned long long)result->index));
		json_object_set_new(item, "transport", json_string("http"));
	} else {
		ping->outcome = result->outcome == CONSUL_OK ? CONSUL_INVALID : result->outcome;
		json_object_set_new(item, "reason", json_text(result->text));
	}
	json_object_set_new(item, "ok", json_boolean(ok));
	free(p);
	if (--ping->outstanding == 0)
		event_base_loopbreak(ping->session->base);
}

/* Who it is, if the token may know that; it is of no use for anything else. */
static void add_self(json_t *item, const struct consul_result *result)
{
	auto_json json_t *self = NULL;
	const json_t *config;
	const char *leads;
	bool server;
	bool leader;

	if (result->outcome != CONSUL_OK ||
	    json_parse_object(result->body, result->size, &self, NULL) < 0)
		return;
	config = json_object_get(self, "Config");
	leads = ctl_text(json_object_get(json_object_get(self, "Stats"), "consul"), "leader");
	server = json_is_true(json_object_get(config, "Server"));
	leader = leads && strcmp(leads, "true") == 0;
	json_object_set_new(item, "version", json_text(ctl_text(config, "Version")));
	json_object_set_new(item, "memberID", json_text(ctl_text(config, "NodeName")));
	json_object_set_new(item, "role",
			    json_string(!server  ? "client"
					: leader ? "leader"
						 : "follower"));
}

/* Now that the connection stands: how long does it take to read what a majority agrees on? */
static void on_self(void *arg, const struct consul_result *result)
{
	struct probe *p = arg;
	struct ping *ping = p->ping;

	add_self(json_array_get(ping->items, p->endpoint), result);
	clock_gettime(CLOCK_MONOTONIC, &p->start);
	consul_client_call_at(ping->session->consul, p->endpoint,
			      &(struct consul_ask){ .path = ping->path }, on_read, p);
}

/* Caller frees. */
static char *path_of(const struct session *s, const char *end)
{
	auto_free char *prefix = NULL;
	auto_free char *escaped = NULL;

	/* That it can be read was checked when the client was made. */
	if (consul_prefix_read(s->settings.store.consul.prefix, &prefix, NULL) < 0)
		return xstrdup("/v1/kv/");
	escaped = endpoints_escape(prefix, "/");
	return xasprintf("/v1/kv/%s/%s", escaped, end);
}

int store_consul_ping(const struct ctl *c, struct session *s)
{
	auto_json json_t *items = json_array();
	auto_free char *path = path_of(s, "config?consistent");
	struct ping ping = { .session = s, .items = items, .path = path };
	size_t len = consul_client_endpoints(s->consul);
	size_t failed;
	int status;

	ping.outstanding = len;
	for (size_t i = 0; i < len; i++) {
		struct probe *p = xcalloc(1, sizeof(*p));

		json_array_append_new(items, store_endpoint(consul_client_url(s->consul, i)));
		*p = (struct probe){ .ping = &ping, .endpoint = i };
		consul_client_call_at(
			s->consul, i,
			&(struct consul_ask){ .path = "/v1/agent/self", .max_size = SELF_MAX_SIZE },
			on_self, p);
	}
	event_base_dispatch(s->base);
	status = store_print_ping(c, items, &failed);
	if (status)
		return status;
	if (failed == len)
		return session_fail_consul(c, s, ping.outcome,
					   ctl_text(json_array_get(items, 0), "reason"));
	return failed ? CTL_FOUND : CTL_OK;
}

/* ---- dump ---- */

struct dump {
	const struct ctl *c;
	struct session *session;
	char *prefix;
	int status;
};

static json_t *item_of(const struct consul_entry *entry)
{
	char id[CONSUL_SESSION_TEXT];
	struct consul_kv kv = { 0 };
	json_t *item = NULL;

	if (consul_kv_read(entry->text, entry->size, true, &kv, NULL) == 0)
		item = store_item(kv.key, kv.value, kv.value_size, kv.create_index, kv.modify_index,
				  kv.session ? json_string(consul_session_format(kv.session, id))
					     : NULL);
	consul_kv_fini(&kv);
	return item;
}

static int show(const struct dump *d, const struct consul_result *result)
{
	json_t *items = document_is_wanted(d->c) ? json_array() : NULL;
	struct ctl line = *d->c;
	struct consul_list list = { 0 };
	struct err e;
	int rc = result->outcome == CONSUL_ABSENT
			 ? 0
			 : consul_list_read(result->body, result->size, NULL, &list, &e);

	line.format = FORMAT_JSONL;
	for (size_t i = 0; rc == 0 && i < list.len; i++) {
		json_t *item = item_of(&list.items[i]);

		if (item && items)
			json_array_append_new(items, item);
		else if (item)
			document_print(&line, item);
	}
	consul_list_fini(&list);
	if (rc == 0 && items)
		store_print_dump(d->c, d->prefix, result->index, items);
	else
		json_decref(items);
	return rc < 0 ? session_fail_consul(d->c, d->session, CONSUL_INVALID, e.text) : CTL_OK;
}

static void on_list(void *arg, const struct consul_result *result)
{
	struct dump *d = arg;

	if (result->outcome == CONSUL_OK || (result->outcome == CONSUL_ABSENT && result->index))
		d->status = show(d, result);
	else
		d->status = session_fail_consul(d->c, d->session, result->outcome, result->text);
	event_base_loopbreak(d->session->base);
}

/* To who may not read them, there are no keys: so one is read first. */
static void on_rights(void *arg, const struct consul_result *result)
{
	struct dump *d = arg;
	auto_free char *path = path_of(d->session, "?recurse&consistent");

	if (result->outcome == CONSUL_DENIED || result->outcome == CONSUL_LATER) {
		d->status = session_fail_consul(d->c, d->session, result->outcome, result->text);
		event_base_loopbreak(d->session->base);
		return;
	}
	consul_client_call(d->session->consul,
			   &(struct consul_ask){ .path = path, .max_size = CONSUL_LIST_MAX_SIZE },
			   on_list, d);
}

int store_consul_dump(const struct ctl *c, struct session *s)
{
	auto_free char *path = path_of(s, "subnets/?consistent");
	auto_free char *prefix = NULL;
	auto_free char *shown = NULL;
	struct dump d = { .c = c, .session = s };
	struct err e;

	if (consul_prefix_read(s->settings.store.consul.prefix, &prefix, &e) < 0)
		return ctl_fail(c, CTL_USAGE, NULL, NULL, "%s", e.text);
	shown = xasprintf("%s/", prefix);
	d.prefix = shown;
	consul_client_call(s->consul, &(struct consul_ask){ .path = path }, on_rights, &d);
	event_base_dispatch(s->base);
	return d.status;
}
