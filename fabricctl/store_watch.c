/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fabricctl store watch: what the store tells those who follow it, change by change, as the daemon
 * is told; and on standard error what goes over the wire for it.
 */
#include <event2/event.h>
#include <string.h>

#include "fabricctl/document.h"
#include "fabricctl/lease_source.h"
#include "fabricctl/loop.h"
#include "fabricctl/store.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"
#include "subnet/peer_news.h"

struct follower {
	const struct ctl *c;
	struct session session;
	struct store_watch *watch;
	int status;
};

static const char *const type_names[] = {
	[STORE_EVENT_PUT] = "put",       [STORE_EVENT_DELETE] = "delete",
	[STORE_EVENT_CONFIG] = "config", [STORE_EVENT_JUNK] = "junk",
	[STORE_EVENT_LIVE] = "live",     [STORE_EVENT_LOST] = "lost",
	[STORE_EVENT_RESYNC] = "resync",
};

static enum ctl_color color(const char *type)
{
	return strcmp(type, "lost") == 0 || strcmp(type, "junk") == 0 ? COLOR_WARN : COLOR_NONE;
}

/* Consumes `item`, which has what only this kind of event has. */
static void print(const struct follower *f, const char *type, uint64_t revision, const char *text,
		  json_t *item)
{
	const struct ctl *c = f->c;
	char when[CLOCK_TEXT];

	clock_format_utc(clock_wall_ms(), when);
	if (c->format == FORMAT_TABLE) {
		auto_free char *safe = xstrdup(text);

		util_make_printable(safe);
		fprintf(c->out, "%s  %s%-6s%s  %8llu  %s\n", when, ctl_color_on(c, color(type)),
			type, ctl_color_off(c, color(type)), (unsigned long long)revision, safe);
		json_decref(item);
	} else {
		json_object_set_new(item, "time", json_string(when));
		json_object_set_new(item, "type", json_string(type));
		json_object_set_new(item, "revision",
				    json_sprintf("%llu", (unsigned long long)revision));
		document_print_item(c, item);
	}
	fflush(c->out);
}

static void print_lease(const struct follower *f, const struct store_event *event)
{
	const struct lease *l = event->lease;
	char who[PEER_NEWS_SIZE];
	char subnet[SUBNET_KEY_TEXT];
	auto_free char *text =
		event->type == STORE_EVENT_DELETE
			? xstrdup(subnet_format(&l->subnet, subnet))
			: xasprintf("%s, %s", peer_news_who(l, who),
				    l->backend_type ? l->backend_type : "no backend");
	json_t *item = json_object();

	json_object_set_new(item, "lease", lease_source_item(l, f->session.settings.node_id));
	print(f, type_names[event->type], event->revision, text, item);
}

static void print_junk(const struct follower *f, const struct store_event *event)
{
	const char *reason = event->reason ? event->reason : "deleted";
	auto_free char *text = xasprintf("%s: %s", event->key, reason);
	json_t *item = json_object();

	json_object_set_new(item, "key", json_text(event->key));
	json_object_set_new(item, "reason", json_text(reason));
	print(f, type_names[event->type], event->revision, text, item);
}

static void print_state(const struct follower *f, const struct store_event *event)
{
	const char *reason = event->reason ? event->reason : "";
	json_t *item = json_object();

	if (*reason)
		json_object_set_new(item, "reason", json_text(reason));
	print(f, type_names[event->type], event->revision, reason, item);
}

static void start(struct follower *f);

static void on_event(void *arg, struct store_event *event)
{
	struct follower *f = arg;

	switch (event->type) {
	case STORE_EVENT_PUT:
	case STORE_EVENT_DELETE:
		print_lease(f, event);
		break;
	case STORE_EVENT_JUNK:
		print_junk(f, event);
		break;
	case STORE_EVENT_CONFIG:
	case STORE_EVENT_LIVE:
	case STORE_EVENT_LOST:
		print_state(f, event);
		break;
	case STORE_EVENT_RESYNC:
		print_state(f, event);
		store_watch_stop(STEAL(f->watch));
		start(f);
		break;
	}
	if (ferror(f->c->out))
		event_base_loopbreak(f->session.base);
}

static void on_list(void *arg, struct store_reply *reply)
{
	struct follower *f = arg;
	auto_free char *text = NULL;
	json_t *item;

	if (reply->status != STORE_OK) {
		f->status = session_fail(f->c, &f->session, reply);
		event_base_loopbreak(f->session.base);
		return;
	}
	text = xasprintf("%zu leases, %zu keys that are none", reply->leases_len,
			 reply->junk_len + reply->junk_more);
	item = json_pack("{s:I,s:I}", "leases", (json_int_t)reply->leases_len, "junk",
			 (json_int_t)(reply->junk_len + reply->junk_more));
	print(f, "list", reply->revision, text, item);
	f->watch = store_watch(f->session.store, reply->revision + 1, on_event, f);
}

static void start(struct follower *f)
{
	store_submit(f->session.store, &(struct store_request){ .op = STORE_LIST }, on_list, f);
}

int store_watch_run(const struct ctl *c)
{
	struct follower f = { .c = c };
	struct event *closed;

	f.status = session_open(c, &f.session);
	if (f.status == CTL_OK) {
		log_setup(LOG_FORMAT_TEXT, LOG_LEVEL_DEBUG);
		closed = loop_watch_reader(f.session.base, c->out);
		start(&f);
		event_base_dispatch(f.session.base);
		store_watch_stop(f.watch);
		if (closed)
			event_free(closed);
	}
	session_close(&f.session);
	return f.status;
}
