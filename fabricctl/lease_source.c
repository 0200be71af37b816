/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/lease_source.h"

#include <event2/event.h>
#include <string.h>

#include "backends/backend.h"
#include "fabricctl/client.h"
#include "fabricctl/loop.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "subnet/lease_json.h"

#define ANSWER_TIMEOUT_MS 10000
#define TIME_LEFT_AT_ONCE 16   /* questions under way */
#define TIME_LEFT_MAX     1000 /* leases of which it is asked for without --time-left */

json_t *lease_source_item(const struct lease *l, const char *own_node_id)
{
	json_t *object = json_object();
	struct members item = members_of(object);

	lease_put_members(l, &item);
	backend_describe_lease(l, &item);
	if (*own_node_id)
		member_boolean(&item, "own", l->node_id && strcmp(l->node_id, own_node_id) == 0);
	else
		member_null(&item, "own");
	member_boolean(&item, "reservation", lease_is_reservation(l));
	member_boolean(&item, "unbound", lease_is_unbound(l));
	member_null(&item, "expiresSeconds");
	lease_put_revision(l, &item);
	member_null(&item, "kernel");
	member_text(&item, "reason", l->problem);
	member_null(&item, "reach");
	member_null(&item, "rttSeconds");
	member_null(&item, "lossPercent");
	return object;
}

static json_t *junk_item(const char *key, const char *reason)
{
	auto_free char *printable = xstrdup(key);

	util_make_printable(printable);
	return json_pack("{s:s,s:s}", "key", printable, "reason", reason);
}

static json_t *new_document(json_t *items, json_t *junk)
{
	json_t *document = ctl_document("SubnetList");

	json_object_set_new(document, "source", json_string("store"));
	json_object_set_new(document, "items", items);
	json_object_set_new(document, "junk", junk);
	return document;
}

/* ---- once ---- */

struct time_left {
	struct session *session;
	struct lease **leases;
	size_t len;
	json_t *items; /* same order */
	size_t next;
	size_t outstanding;
	bool failed; /* the store has gone: no more questions */
};

/* The lease that one question is about. */
struct time_left_question {
	struct time_left *all;
	size_t index;
};

static void ask_time_left(struct time_left *all);

static void on_time_left(void *arg, struct store_reply *reply)
{
	struct time_left_question *question = arg;
	struct time_left *all = question->all;
	json_t *item = json_array_get(all->items, question->index);

	free(question);
	if (reply->status == STORE_OK || reply->status == STORE_ABSENT)
		json_object_set_new(item, "expiresSeconds",
				    json_integer(reply->status == STORE_OK ? reply->ttl_s : 0));
	else
		all->failed = true;
	all->outstanding--;
	ask_time_left(all);
	if (all->outstanding == 0)
		event_base_loopbreak(all->session->base);
}

static void ask_time_left(struct time_left *all)
{
	while (!all->failed && all->outstanding < TIME_LEFT_AT_ONCE && all->next < all->len) {
		size_t index = all->next++;
		struct store_request request = { .op = STORE_TIME_LEFT,
						 .lease = all->leases[index] };
		struct time_left_question *question;

		if (!(all->leases[index]->flags & LEASE_EXPIRES))
			continue;
		question = xmalloc(sizeof(*question));
		*question = (struct time_left_question){ all, index };
		all->outstanding++;
		store_submit(all->session->store, &request, on_time_left, question);
	}
}

static void add_time_left(struct session *s, struct store_reply *list, json_t *items)
{
	struct time_left all = {
		.session = s, .leases = list->leases, .len = list->leases_len, .items = items
	};

	ask_time_left(&all);
	if (all.outstanding > 0)
		event_base_dispatch(s->base);
}

static void add_created(json_t *item, const struct lease *lease)
{
	char when[CLOCK_TEXT];

	json_object_set_new(item, "created",
			    json_string(clock_format_utc((int64_t)lease->born, when)));
}

/* The answer to STORE_LIST as a document. */
static json_t *list_document(struct session *s, struct store_reply *list, bool with_time_left)
{
	json_t *items = json_array();
	json_t *junk = json_array();
	json_t *document;
	char revision[24];

	for (size_t i = 0; i < list->leases_len; i++) {
		json_t *item = lease_source_item(list->leases[i], s->settings.node_id);

		if (s->store->type->traits & STORE_DATED && list->leases[i]->born)
			add_created(item, list->leases[i]);
		json_array_append_new(items, item);
	}
	for (size_t i = 0; i < list->junk_len; i++)
		json_array_append_new(junk, junk_item(list->junk[i].key, list->junk[i].reason));
	if (with_time_left)
		add_time_left(s, list, items);
	document = new_document(items, junk);
	snprintf(revision, sizeof(revision), "%llu", (unsigned long long)list->revision);
	json_object_set_new(document, "revision", json_string(revision));
	return document;
}

/* The document, with the time left of so many leases at most, or of none. */
static int get(const struct ctl *c, size_t time_left_max, json_t **ret)
{
	auto_session struct session s;
	struct store_reply list = { 0 };
	int status = session_open(c, &s);

	if (status)
		return status;
	session_ask(&s, &(struct store_request){ .op = STORE_LIST }, &list);
	if (list.status != STORE_OK)
		status = session_fail(c, &s, &list);
	else
		*ret = list_document(&s, &list, list.leases_len <= time_left_max);
	store_reply_fini(&list);
	return status;
}

int lease_source_get(const struct ctl *c, const char *hint, json_t **ret)
{
	auto_settings struct settings settings = { 0 };
	struct err e;
	int status;

	if (c->options.store)
		return get(c, 0, ret);
	status = settings_read(c, false, &settings);
	if (status)
		return status;
	if (client_get(settings.socket, "/v1/subnets", "SubnetList", ANSWER_TIMEOUT_MS, ret, &e) <
	    0)
		return client_fail(c, settings.socket, &e, hint);
	return CTL_OK;
}

int lease_source_print(const struct ctl *c, struct lease_view *v)
{
	size_t max = c->options.time_left ? SIZE_MAX : TIME_LEFT_MAX;
	auto_json json_t *document = NULL;
	int status = get(c, lease_view_wants_time_left(v) ? max : 0, &document);

	if (status == CTL_OK)
		lease_view_print(v, document);
	return status;
}

/* ---- watching ---- */

struct watcher {
	const struct ctl *c;
	struct lease_view *view;
	struct session session;
	struct store_watch *watch;
	struct event *show; /* what came together is shown together */
	json_t *items;      /* by name */
	json_t *junk;       /* by key */
	json_t *changes;    /* since what was shown last, as the daemon tells them */
	bool lost;
	int status;
};

static void start(struct watcher *w);

static void stop(struct watcher *w, int status)
{
	w->status = status;
	event_base_loopbreak(w->session.base);
}

static json_t *values(json_t *object)
{
	json_t *list = json_array();
	const char *key;
	json_t *value;

	json_object_foreach (object, key, value)
		json_array_append(list, value);
	return list;
}

static void on_show(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct watcher *w = arg;
	auto_json json_t *document = new_document(values(w->items), values(w->junk));

	json_object_set_new(document, "changes", w->changes);
	w->changes = json_array();
	lease_view_update(w->view, document);
	if (ferror(w->c->out))
		stop(w, CTL_OK);
}

static void show_soon(struct watcher *w)
{
	static const struct timeval now = { 0, 0 };

	if (!event_pending(w->show, EV_TIMEOUT, NULL))
		event_add(w->show, &now);
}

static void put(struct watcher *w, const struct lease *lease)
{
	json_t *item = lease_source_item(lease, w->session.settings.node_id);
	auto_free char *name = lease_name(item);

	json_object_set_new(w->items, name, item);
}

static void add_change(struct watcher *w, const char *type, const struct lease *lease)
{
	json_t *item = lease_source_item(lease, w->session.settings.node_id);

	json_array_append_new(w->changes, json_pack("{s:s,s:o}", "type", type, "object", item));
}

static void on_event(void *arg, struct store_event *event)
{
	struct watcher *w = arg;
	char name[SUBNET_KEY_TEXT];

	switch (event->type) {
	case STORE_EVENT_PUT:
		put(w, event->lease);
		add_change(w, "PUT", event->lease);
		break;
	case STORE_EVENT_DELETE:
		json_object_del(w->items, subnet_format(&event->lease->subnet, name));
		add_change(w, "DELETE", event->lease);
		break;
	case STORE_EVENT_JUNK: {
		auto_free char *key = xstrdup(event->key);

		util_make_printable(key);
		if (event->reason)
			json_object_set_new(w->junk, key, junk_item(key, event->reason));
		else
			json_object_del(w->junk, key);
		break;
	}
	case STORE_EVENT_LIVE:
		if (w->lost)
			fprintf(w->c->err, "fabricctl: the store is back\n");
		w->lost = false;
		return;
	case STORE_EVENT_LOST:
		if (!w->lost)
			ctl_fail(w->c, CTL_NO_STORE, event->reason, NULL,
				 "the store is lost; trying to reach it again");
		w->lost = true;
		return;
	case STORE_EVENT_RESYNC:
		store_watch_stop(STEAL(w->watch));
		start(w);
		return;
	case STORE_EVENT_CONFIG:
		return;
	}
	show_soon(w);
}

static void on_list(void *arg, struct store_reply *reply)
{
	struct watcher *w = arg;

	if (reply->status != STORE_OK) {
		stop(w, session_fail(w->c, &w->session, reply));
		return;
	}
	json_object_clear(w->items);
	json_object_clear(w->junk);
	json_array_clear(w->changes);
	for (size_t i = 0; i < reply->leases_len; i++)
		put(w, reply->leases[i]);
	for (size_t i = 0; i < reply->junk_len; i++) {
		auto_free char *key = xstrdup(reply->junk[i].key);

		util_make_printable(key);
		json_object_set_new(w->junk, key, junk_item(key, reply->junk[i].reason));
	}
	show_soon(w);
	w->watch = store_watch(w->session.store, reply->revision + 1, on_event, w);
}

static void start(struct watcher *w)
{
	store_submit(w->session.store, &(struct store_request){ .op = STORE_LIST }, on_list, w);
}

int lease_source_watch(const struct ctl *c, struct lease_view *v)
{
	struct watcher w = { .c = c, .view = v };
	struct event *closed;

	w.status = session_open(c, &w.session);
	if (w.status == CTL_OK) {
		w.items = json_object();
		w.junk = json_object();
		w.changes = json_array();
		w.show = evtimer_new(w.session.base, on_show, &w);
		closed = loop_watch_reader(w.session.base, c->out);
		start(&w);
		event_base_dispatch(w.session.base);
		store_watch_stop(w.watch);
		event_free(w.show);
		if (closed)
			event_free(closed);
		json_decref(w.items);
		json_decref(w.junk);
		json_decref(w.changes);
	}
	session_close(&w.session);
	return w.status;
}
