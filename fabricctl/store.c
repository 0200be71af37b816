/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl store: how every endpoint is, and what stands there. */
#include "fabricctl/store.h"

#include <event2/event.h>
#include <string.h>
#include <time.h>

#include "fabricctl/command.h"
#include "fabricctl/document.h"
#include "fabricctl/session.h"
#include "fabricctl/table.h"
#include "lib/base64.h"
#include "stores/etcd/etcd_store.h"

#define PAGE_LEN     500
#define PAGE_SHRINKS 8 /* as often as one turns out to be too large */

/* ---- ping ---- */

struct ping {
	struct session *session;
	char *config_key;
	json_t *items; /* one for each endpoint */
	size_t outstanding;
	int code; /* of the last failure */
};

struct probe {
	struct ping *ping;
	size_t endpoint;
	struct timespec start;
};

void store_add_status(json_t *item, const struct etcd_reply *reply)
{
	const char *role = "follower";

	if (reply->is_learner)
		role = "learner";
	else if (!reply->leader)
		role = "no leader";
	else if (reply->leader == reply->header.member_id)
		role = "leader";
	json_object_set_new(item, "role", json_string(role));
	json_object_set_new(item, "version",
			    reply->version ? json_text(reply->version) : json_null());
	json_object_set_new(item, "revision",
			    json_sprintf("%llu", (unsigned long long)reply->header.revision));
	json_object_set_new(item, "dbSizeBytes", json_integer((json_int_t)reply->db_size));
	json_object_set_new(item, "memberID",
			    json_sprintf("%llx", (unsigned long long)reply->header.member_id));
}

/* How it was spoken with in the end, and why, if that was not our wish. */
static void add_transport(const struct ping *ping, size_t endpoint, json_t *item)
{
	auto_json json_t *description = json_object();
	const json_t *state;

	etcd_client_describe(ping->session->client, description);
	state = json_array_get(json_object_get(description, "endpoints"), endpoint);
	json_object_set(item, "transport", json_object_get(state, "transport"));
	json_object_set(item, "reason", json_object_get(state, "transport_reason"));
}

static void probe_done(struct probe *p, const struct etcd_result *result)
{
	struct ping *ping = p->ping;
	json_t *item = json_array_get(ping->items, p->endpoint);

	if (result->code == ETCD_OK) {
		add_transport(ping, p->endpoint, item);
	} else {
		auto_free char *text = xstrdup(result->text);

		util_make_printable(text);
		ping->code = result->code;
		json_object_set_new(item, "reason", json_string(text));
	}
	json_object_set_new(item, "ok", json_boolean(result->code == ETCD_OK));
	free(p);
	if (--ping->outstanding == 0)
		event_base_loopbreak(ping->session->base);
}

static void on_read(void *arg, const struct etcd_result *result)
{
	struct probe *p = arg;
	json_t *item = json_array_get(p->ping->items, p->endpoint);
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	if (result->code == ETCD_OK)
		json_object_set_new(item, "latencySeconds",
				    json_real((double)(end.tv_sec - p->start.tv_sec) +
					      (double)(end.tv_nsec - p->start.tv_nsec) / 1e9));
	probe_done(p, result);
}

/* Now that the connection stands: how long does it take to read what a majority agrees on? */
static void on_status(void *arg, const struct etcd_result *result)
{
	struct probe *p = arg;
	const struct etcd_ask ask = { .method = ETCD_RANGE,
				      .key = p->ping->config_key,
				      .limit = 1 };

	if (result->code != ETCD_OK) {
		probe_done(p, result);
		return;
	}
	store_add_status(json_array_get(p->ping->items, p->endpoint), result->reply);
	clock_gettime(CLOCK_MONOTONIC, &p->start);
	etcd_client_call_at(p->ping->session->client, p->endpoint, &ask, on_read, p);
}

json_t *store_endpoint(const char *url)
{
	return json_pack("{s:s,s:b,s:n,s:n,s:n,s:n,s:n,s:n,s:n,s:s}", "endpoint", url, "ok", 0,
			 "transport", "role", "version", "revision", "dbSizeBytes", "memberID",
			 "latencySeconds", "reason", "");
}

static void ask_all(struct ping *ping)
{
	auto_json json_t *description = json_object();
	const json_t *endpoints;
	json_t *endpoint;
	size_t i;

	etcd_client_describe(ping->session->client, description);
	endpoints = json_object_get(description, "endpoints");
	ping->outstanding = json_array_size(endpoints);
	json_array_foreach (endpoints, i, endpoint)
		json_array_append_new(ping->items, store_endpoint(ctl_text(endpoint, "url")));
	for (i = 0; i < json_array_size(ping->items); i++) {
		struct probe *p = xcalloc(1, sizeof(*p));

		p->ping = ping;
		p->endpoint = i;
		etcd_client_call_at(ping->session->client, i,
				    &(struct etcd_ask){ .method = ETCD_STATUS }, on_status, p);
	}
	event_base_dispatch(ping->session->base);
}

static char *size_text(const json_t *item, bool people)
{
	int64_t size = ctl_int(item, "dbSizeBytes", -1);

	if (size < 0)
		return NULL;
	return people ? xasprintf("%.1f MiB", (double)size / (1 << 20))
		      : xasprintf("%lld", (long long)size);
}

static char *latency_text(const json_t *item, bool people)
{
	const json_t *latency = json_object_get(item, "latencySeconds");

	if (!json_is_real(latency))
		return NULL;
	return people ? xasprintf("%.1f ms", 1000 * json_real_value(latency))
		      : xasprintf("%.6f", json_real_value(latency));
}

static int print_ping(const struct ctl *c, const json_t *items)
{
	static const struct table_column columns[] = {
		{ "ENDPOINT", .key = "endpoint" },
		{ "STATE", .key = "ok" },
		{ "BY", .key = "transport" },
		{ "ROLE", .key = "role" },
		{ "VERSION", .key = "version" },
		{ "REVISION", .right = true, .key = "revision" },
		{ "DB SIZE", .right = true, .key = "dbSizeBytes" },
		{ "LATENCY", .right = true, .key = "latencySeconds" },
		{ "REASON", .shrinks = true, .key = "reason" },
	};
	auto_table struct table *table = table_new(columns, ARRAY_LEN(columns));
	bool people = c->format != FORMAT_RAW;
	json_t *item;
	size_t i;

	json_array_foreach (items, i, item) {
		auto_free char *size = size_text(item, people);
		auto_free char *latency = latency_text(item, people);
		bool ok = json_is_true(json_object_get(item, "ok"));

		table_add_row(table);
		table_set(table, 0, ctl_text(item, "endpoint"), COLOR_NONE);
		table_set(table, 1, ok ? "ok" : "failed", ok ? COLOR_GOOD : COLOR_BAD);
		table_set(table, 2, ctl_text(item, "transport"), COLOR_NONE);
		table_set(table, 3, ctl_text(item, "role"), COLOR_NONE);
		table_set(table, 4, ctl_text(item, "version"), COLOR_NONE);
		table_set(table, 5, ctl_text(item, "revision"), COLOR_NONE);
		table_set(table, 6, size, COLOR_NONE);
		table_set(table, 7, latency, COLOR_NONE);
		table_set(table, 8, ctl_text(item, "reason"), COLOR_NONE);
	}
	return table_print(table, c);
}

int store_print_ping(const struct ctl *c, json_t *items, size_t *ret_failed)
{
	size_t failed = 0;
	json_t *item;
	size_t i;

	json_array_foreach (items, i, item)
		failed += !json_is_true(json_object_get(item, "ok"));
	*ret_failed = failed;
	if (document_item_is_wanted(c)) {
		json_t *document = ctl_document("StorePing");

		json_object_set(document, "items", items);
		document_print(c, document);
	} else {
		return print_ping(c, items);
	}
	return CTL_OK;
}

static int ping(struct ctl *c)
{
	auto_session struct session s;
	auto_json json_t *items = json_array();
	auto_free char *prefix = NULL;
	auto_free char *key = NULL;
	struct ping p = { .session = &s, .items = items };
	size_t failed;
	int status = session_connect(c, &s);

	if (status)
		return status;
	if (s.consul)
		return store_consul_ping(c, &s);
	prefix = etcd_clean_prefix(s.settings.store.etcd.prefix);
	key = xasprintf("%s%sconfig", prefix, strcmp(prefix, "/") == 0 ? "" : "/");
	p.config_key = key;
	ask_all(&p);
	status = store_print_ping(c, items, &failed);
	if (status)
		return status;
	if (failed && failed == json_array_size(items))
		return session_fail_call(c, &s, p.code,
					 ctl_text(json_array_get(items, 0), "reason"));
	return failed ? CTL_FOUND : CTL_OK;
}

/* ---- dump ---- */

json_t *store_item(const char *key, const char *text, size_t size, uint64_t create_revision,
		   uint64_t mod_revision, json_t *lease)
{
	json_t *item = json_object();
	json_t *value = NULL;

	json_object_set_new(item, "key", json_text(key));
	if (json_parse_object(text, size, &value, NULL) == 0)
		json_leave_out_secrets(value);
	else
		value = json_stringn(text, size);
	if (value) {
		json_object_set_new(item, "value", value);
	} else {
		auto_free char *base64 = base64_encode(text, size);

		json_object_set_new(item, "valueBase64", json_string(base64));
	}
	json_object_set_new(item, "createRevision",
			    json_sprintf("%llu", (unsigned long long)create_revision));
	json_object_set_new(item, "modRevision",
			    json_sprintf("%llu", (unsigned long long)mod_revision));
	json_object_set_new(item, "lease", lease ? lease : json_null());
	return item;
}

json_t *store_key(const struct etcd_kv *kv)
{
	json_t *lease = kv->lease ? json_sprintf("%llx", (unsigned long long)kv->lease) : NULL;

	return store_item(kv->key, kv->value, kv->value_size, kv->create_revision, kv->mod_revision,
			  lease);
}

void store_print_dump(const struct ctl *c, const char *prefix, uint64_t revision, json_t *items)
{
	json_t *document = ctl_document("StoreDump");

	json_object_set_new(document, "prefix", json_string(prefix));
	json_object_set_new(document, "revision",
			    json_sprintf("%llu", (unsigned long long)revision));
	json_object_set_new(document, "items", items);
	document_print(c, document);
}

struct dump {
	char *from; /* where the next page begins, NULL after the last */
	size_t from_size;
	char *end;
	size_t page_len;
	uint64_t revision;
	json_t *items; /* NULL: printed as they come */
};

static void dump_fini(struct dump *d)
{
	free(d->from);
	free(d->end);
	json_decref(d->items);
}

/* One page, printed or added to the items. One of large values is asked for again, shorter. */
static int dump_page(const struct ctl *c, struct session *s, struct dump *d)
{
	__attribute__((cleanup(etcd_reply_fini))) struct etcd_reply reply = { 0 };
	const struct etcd_ask ask = { .method = ETCD_RANGE,
				      .key = d->from,
				      .key_size = d->from_size,
				      .range_end = d->end,
				      .limit = d->page_len,
				      .revision = d->revision };
	struct err e;
	int code = session_call(s, &ask, &reply, &e);

	if (code == ETCD_TOO_LARGE && d->page_len > 1) {
		d->page_len = MAX(d->page_len / PAGE_SHRINKS, (size_t)1);
		return CTL_OK;
	}
	if (code != ETCD_OK)
		return session_fail_call(c, s, code, e.text);
	d->page_len = MIN(d->page_len * 2, (size_t)PAGE_LEN);
	free(d->from);
	d->from = STEAL(reply.next_key);
	d->from_size = reply.next_key_size;
	if (!d->revision)
		d->revision = reply.header.revision;
	for (size_t i = 0; i < reply.kvs.len; i++) {
		if (d->items)
			json_array_append_new(d->items, store_key(&reply.kvs.items[i]));
		else
			document_print_item(c, store_key(&reply.kvs.items[i]));
	}
	return CTL_OK;
}

static int dump(struct ctl *c)
{
	__attribute__((cleanup(dump_fini))) struct dump d = { .page_len = PAGE_LEN };
	auto_session struct session s;
	auto_free char *clean = NULL;
	auto_free char *prefix = NULL;
	int status = session_connect(c, &s);

	if (status)
		return status;
	if (s.consul)
		return store_consul_dump(c, &s);
	clean = etcd_clean_prefix(s.settings.store.etcd.prefix);
	prefix = xasprintf("%s%s", clean, strcmp(clean, "/") == 0 ? "" : "/");
	d.items = document_is_wanted(c) ? json_array() : NULL;
	d.end = etcd_prefix_end(prefix);
	d.from = xstrdup(prefix);
	d.from_size = strlen(prefix);
	while (status == CTL_OK && d.from && !ferror(c->out))
		status = dump_page(c, &s, &d);
	if (status == CTL_OK && d.items)
		store_print_dump(c, prefix, d.revision, STEAL(d.items));
	return status;
}

static int no_table(const struct ctl *c, const char *verb)
{
	return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
			"fabricctl store %s has no --%s", verb,
			c->options.no_headers ? "no-headers"
			: c->options.columns  ? "columns"
					      : "output raw");
}

int store_run(struct ctl *c)
{
	const char *verb = c->operands_len > 0 ? c->operands[0] : "";
	bool is_table = c->format == FORMAT_RAW || c->options.no_headers || c->options.columns;

	if (strcmp(verb, "ping") == 0)
		return ping(c);
	if (strcmp(verb, "dump") == 0)
		return is_table ? no_table(c, verb) : dump(c);
	if (strcmp(verb, "watch") == 0)
		return is_table ? no_table(c, verb) : store_watch_run(c);
	if (strcmp(verb, "repair") == 0) {
		if (c->format != FORMAT_TABLE || is_table)
			return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
					"fabricctl store repair prints text, and nothing else");
		return store_repair(c);
	}
	return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
			"usage: fabricctl store ping, store dump, store watch, or store repair");
}
