/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/subnets: the list, the list that follows every change, and the list with the time left. */
#include <event2/event.h>
#include <event2/http.h>
#include <string.h>

#include "flanneld/report.h"
#include "flanneld/status_internal.h"
#include "lib/clock.h"
#include "lib/log.h"

#define CHANGES_MAX       1000 /* remembered for those that read slowly */
#define TIME_LEFT_MAX     256  /* leases whose time left is asked for at once */
#define TIME_LEFT_WAIT_S  2    /* for the store; and for those that asked for it in earnest: */
#define TIME_LEFT_LONG_S  50   /* a client that waits a minute gets its answer */
#define TIME_LEFT_QUERIES 8    /* at once; others get the list without it */

/* A /v1/subnets?timeLeft= that waits for the store. */
struct time_left_query {
	struct status_server *server;
	struct evhttp_request *request; /* NULL: the client has gone */
	char *fields;                   /* NULL: all */
	struct report_times times;
	struct event *timer;
	size_t outstanding;
	bool answered;
	TAILQ_ENTRY(time_left_query) link;
};

struct time_left_item {
	struct time_left_query *query;
	size_t index; /* of its times */
	TAILQ_ENTRY(time_left_item) link;
};

static void reply_list(struct status_server *s, struct evhttp_request *request)
{
	auto_free char *fields = status_query_value(request, "fields");
	auto_free char *text = NULL;
	struct daemon_view v;

	s->ops->view(s->arg, false, &v);
	text = report_subnets_text(&v, fields, NULL);
	status_reply_document(request, text);
}

static json_t *subnets(struct status_server *s)
{
	struct daemon_view v;

	s->ops->view(s->arg, false, &v);
	return report_subnets(&v);
}

/* ---- the changes ---- */

static uint64_t changes_end(const struct status_server *s)
{
	return s->changes_first + json_array_size(s->changes);
}

/* Those that everybody has, or that are too many. */
static void forget_changes(void *arg, uint64_t first)
{
	struct status_server *s = arg;

	while (s->changes_first < first || json_array_size(s->changes) > CHANGES_MAX) {
		json_array_remove(s->changes, 0);
		s->changes_first++;
	}
}

void status_subnets_lease(struct status_server *s, const struct manager_member *member, bool gone)
{
	struct daemon_view v;

	if (watchers_are_none(s->watchers))
		return;
	s->ops->view(s->arg, false, &v);
	json_append(s->changes, json_pack("{s:s,s:o}", "type", gone ? "DELETE" : "PUT", "object",
					  report_subnet(&v, member)));
	forget_changes(s, s->changes_first);
}

static void add_changes(const struct status_server *s, uint64_t from, json_t *document)
{
	json_t *changes = json_array();
	uint64_t first = MAX(from, s->changes_first);

	for (uint64_t i = first; i < changes_end(s); i++)
		json_array_append(changes, json_array_get(s->changes, i - s->changes_first));
	json_object_set_new(document, "changes", changes);
	json_object_set_new(document, "changesLost", json_integer((json_int_t)(first - from)));
}

static json_t *watched(void *arg, uint64_t from)
{
	struct status_server *s = arg;
	json_t *document = subnets(s);

	add_changes(s, from, document);
	return document;
}

static uint64_t watched_end(void *arg)
{
	return changes_end(arg);
}

static const struct watchers_topic topic = {
	.name = "the leases", .document = watched, .end = watched_end, .forget = forget_changes
};

void status_subnets_changed(struct status_server *s)
{
	watchers_changed(s->watchers);
}

/* ---- the time left ---- */

static void query_free(struct time_left_query *q)
{
	TAILQ_REMOVE(&q->server->queries, q, link);
	q->server->queries_len--;
	event_free(q->timer);
	free(q->fields);
	free(q->times.items);
	free(q);
}

static void query_answer(struct time_left_query *q)
{
	if (q->answered)
		return;
	q->answered = true;
	event_del(q->timer);
	if (q->request) {
		auto_free char *text = NULL;
		struct daemon_view v;

		q->server->ops->view(q->server->arg, false, &v);
		text = report_subnets_text(&v, q->fields, &q->times);
		evhttp_connection_set_closecb(evhttp_request_get_connection(q->request), NULL,
					      NULL);
		status_reply_document(q->request, text);
		q->request = NULL;
	}
}

static void query_client_gone(struct evhttp_connection *connection UNUSED, void *arg)
{
	struct time_left_query *q = arg;

	status_request_gone(q->server, STEAL(q->request));
}

static void on_query_timeout(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	query_answer(arg);
}

static void on_time_left(void *arg, uint64_t id UNUSED, struct store_reply *reply)
{
	struct time_left_item *item = arg;
	struct time_left_query *q = item->query;

	if (reply->status == STORE_OK)
		q->times.items[item->index].seconds = reply->ttl_s;
	TAILQ_REMOVE(&q->server->items, item, link);
	free(item);
	if (--q->outstanding == 0) {
		query_answer(q);
		query_free(q);
	}
}

/* The list with the time that each lease has left, which only the store knows. */
static void ask_time_left(struct status_server *s, struct evhttp_request *request, time_t wait_s)
{
	struct timeval wait = { wait_s, 0 };
	struct time_left_query *q = xcalloc(1, sizeof(*q));
	auto_free const struct manager_member **members = NULL;
	struct daemon_view v;
	size_t len;

	s->ops->view(s->arg, false, &v);
	q->server = s;
	q->request = request;
	q->fields = status_query_value(request, "fields");
	q->times.items = xcalloc(TIME_LEFT_MAX, sizeof(*q->times.items));
	q->timer = evtimer_new(s->base, on_query_timeout, q);
	q->outstanding = 1;
	TAILQ_INSERT_TAIL(&s->queries, q, link);
	s->queries_len++;
	event_add(q->timer, &wait);
	evhttp_connection_set_closecb(evhttp_request_get_connection(request), query_client_gone, q);
	members = report_members(&v, &len);
	for (size_t i = 0; i < len && q->times.len < TIME_LEFT_MAX; i++) {
		struct store_request ask = { .op = STORE_TIME_LEFT, .lease = members[i]->lease };
		struct time_left_item *item;

		if (members[i]->own || !(members[i]->lease->flags & LEASE_EXPIRES))
			continue;
		item = xcalloc(1, sizeof(*item));
		item->query = q;
		item->index = q->times.len++;
		q->times.items[item->index] = (struct report_time){ members[i]->lease->subnet, -1 };
		TAILQ_INSERT_TAIL(&s->items, item, link);
		q->outstanding++;
		s->ops->ask(s->arg, &ask, on_time_left, item);
	}
	if (--q->outstanding == 0) {
		query_answer(q);
		query_free(q);
	}
}

void status_on_subnets(struct evhttp_request *request, void *arg)
{
	struct status_server *s = arg;

	if (status_has_query(request, "watch", "1"))
		watchers_add(s->watchers, request, changes_end(s));
	else if (status_has_query(request, "timeLeft", "1") && s->queries_len < TIME_LEFT_QUERIES)
		ask_time_left(s, request, TIME_LEFT_WAIT_S);
	else if (status_has_query(request, "timeLeft", "wait") &&
		 s->queries_len < TIME_LEFT_QUERIES)
		ask_time_left(s, request, TIME_LEFT_LONG_S);
	else
		reply_list(s, request);
}

void status_subnets_init(struct status_server *s)
{
	s->watchers = watchers_new(s->base, &topic, s);
	TAILQ_INIT(&s->queries);
	TAILQ_INIT(&s->items);
	s->changes = json_array();
}

void status_subnets_stop(struct status_server *s)
{
	struct time_left_item *item;

	while ((item = TAILQ_FIRST(&s->items))) {
		TAILQ_REMOVE(&s->items, item, link);
		free(item);
	}
	watchers_stop(s->watchers);
}

void status_subnets_fini(struct status_server *s)
{
	while (!TAILQ_EMPTY(&s->queries))
		query_free(TAILQ_FIRST(&s->queries));
	json_decref(s->changes);
	watchers_free(s->watchers);
}
