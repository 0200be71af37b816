/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/subnets: the list, the list that follows every change, and the list with the time left. */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <string.h>

#include "flanneld/report.h"
#include "flanneld/status_internal.h"
#include "lib/clock.h"
#include "lib/log.h"

#define WATCH_GAP_MS      100   /* changes within this time are told together */
#define WATCH_STALL_MS    30000 /* who has read nothing for so long is let go */
#define WATCH_SHARE       20    /* a line is made in a 20th of the time at most */
#define CHANGES_MAX       1000  /* remembered for those that read slowly */
#define TIME_LEFT_MAX     256   /* leases whose time left is asked for at once */
#define TIME_LEFT_WAIT_MS 2000
#define TIME_LEFT_QUERIES 8 /* at once; others get the list without it */

/* A client of /v1/subnets?watch=1. */
struct watcher {
	struct status_server *server;
	struct evhttp_request *request; /* NULL: its connection ends by us */
	uid_t user;
	int64_t busy_since_ms; /* a line is under way since then; 0: it has read all */
	bool missed;           /* something has changed since its last line */
	uint64_t told;         /* number of the first change that it has not been sent */
	TAILQ_ENTRY(watcher) link;
};

/* A /v1/subnets?timeLeft=1 that waits for the store. */
struct time_left_query {
	struct status_server *server;
	struct evhttp_request *request; /* NULL: the client has gone */
	json_t *document;
	struct event *timer;
	size_t outstanding;
	bool answered;
	TAILQ_ENTRY(time_left_query) link;
};

struct time_left_item {
	struct time_left_query *query;
	json_t *item; /* borrowed from the document */
	TAILQ_ENTRY(time_left_item) link;
};

static bool has_query(struct evhttp_request *request, const char *word)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const char *query = uri ? evhttp_uri_get_query(uri) : NULL;

	return query && strcmp(query, word) == 0;
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
static void forget_changes(struct status_server *s)
{
	uint64_t first = changes_end(s);
	const struct watcher *w;

	TAILQ_FOREACH (w, &s->watchers, link)
		first = MIN(first, w->told);
	while (s->changes_first < first || json_array_size(s->changes) > CHANGES_MAX) {
		json_array_remove(s->changes, 0);
		s->changes_first++;
	}
}

void status_subnets_lease(struct status_server *s, const struct manager_member *member, bool gone)
{
	struct daemon_view v;

	if (TAILQ_EMPTY(&s->watchers))
		return;
	s->ops->view(s->arg, false, &v);
	json_append(s->changes, json_pack("{s:s,s:o}", "type", gone ? "DELETE" : "PUT", "object",
					  report_subnet(&v, member)));
	forget_changes(s);
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

/* ---- watchers ---- */

static void watcher_gone(struct evhttp_connection *connection UNUSED, void *arg)
{
	struct watcher *w = arg;

	if (w->request)
		status_request_gone(w->server, w->request);
	TAILQ_REMOVE(&w->server->watchers, w, link);
	forget_changes(w->server);
	free(w);
}

/* A line for any number of watchers, in memory once. */
struct line {
	unsigned users;
	uint64_t from; /* the first change in it, and the first that is not */
	uint64_t end;
	size_t size;
	char *text;
};

/* For those that have not been told of the changes from `from` on. */
static struct line *line_new(struct status_server *s, uint64_t from)
{
	struct line *line = xcalloc(1, sizeof(*line));
	json_t *document = subnets(s);
	auto_free char *text = NULL;

	add_changes(s, from, document);
	text = json_dumps(document, JSON_COMPACT);
	json_decref(document);
	line->users = 1;
	line->from = from;
	line->end = changes_end(s);
	line->text = xasprintf("%s\n", text ? text : "{}");
	line->size = strlen(line->text);
	return line;
}

static void line_release(struct line *line)
{
	if (--line->users > 0)
		return;
	free(line->text);
	free(line);
}

static void on_line_written(const void *data UNUSED, size_t size UNUSED, void *arg)
{
	line_release(arg);
}

static void tell_soon(struct status_server *s)
{
	int64_t gap_ms = MAX(WATCH_GAP_MS, s->tell_took_ms * WATCH_SHARE);
	struct timeval gap = { gap_ms / 1000, gap_ms % 1000 * 1000 };

	if (!event_pending(s->tell, EV_TIMEOUT, NULL))
		event_add(s->tell, &gap);
}

/* It has read all it was sent; what changed meanwhile comes next. */
static void on_drained(struct evhttp_connection *connection UNUSED, void *arg)
{
	struct watcher *w = arg;

	w->busy_since_ms = 0;
	if (w->missed)
		tell_soon(w->server);
}

static void send_line(struct watcher *w, struct line *line)
{
	struct evbuffer *chunk = evbuffer_new();

	line->users++;
	w->busy_since_ms = clock_boot_ms();
	w->missed = false;
	w->told = line->end;
	evbuffer_add_reference(chunk, line->text, line->size, on_line_written, line);
	evhttp_send_reply_chunk_with_cb(w->request, chunk, on_drained, w);
	evbuffer_free(chunk);
}

static void start_watching(struct status_server *s, struct evhttp_request *request)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);
	struct line *line;
	struct watcher *w;

	if (!clients_keep(request)) {
		status_reply_text(request, 503, "text/plain", "too many watchers\n");
		return;
	}
	w = xcalloc(1, sizeof(*w));
	w->server = s;
	w->request = request;
	w->user = clients_user(request);
	w->told = changes_end(s);
	TAILQ_INSERT_TAIL(&s->watchers, w, link);
	evhttp_connection_set_timeout(connection, 0);
	evhttp_connection_set_closecb(connection, watcher_gone, w);
	evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
			  "application/jsonl");
	evhttp_send_reply_start(request, 200, NULL);
	line = line_new(s, changes_end(s));
	send_line(w, line);
	line_release(line);
}

/*
 * One line is under way to each watcher at most. Who has not taken it when the next is due gets the
 * newest once it has; who does not read at all is let go.
 */
static void on_tell(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct status_server *s = arg;
	int64_t start_ms = clock_boot_ms();
	struct line *line = NULL;
	struct watcher *next;

	for (struct watcher *w = TAILQ_FIRST(&s->watchers); w; w = next) {
		next = TAILQ_NEXT(w, link);
		w->missed = true;
		if (!w->busy_since_ms) {
			if (line && line->from != w->told)
				line_release(STEAL(line));
			if (!line)
				line = line_new(s, w->told);
			send_line(w, line);
		} else if (clock_boot_ms() - w->busy_since_ms > WATCH_STALL_MS) {
			log_warn("watcher-dropped",
				 "a client of uid %d that watches the leases has read nothing for "
				 "%d s",
				 (int)w->user, WATCH_STALL_MS / 1000);
			evhttp_connection_free(evhttp_request_get_connection(STEAL(w->request)));
		}
	}
	if (line)
		line_release(line);
	forget_changes(s);
	s->tell_took_ms = clock_boot_ms() - start_ms;
}

void status_subnets_changed(struct status_server *s)
{
	if (!TAILQ_EMPTY(&s->watchers))
		tell_soon(s);
}

static void query_free(struct time_left_query *q)
{
	TAILQ_REMOVE(&q->server->queries, q, link);
	q->server->queries_len--;
	event_free(q->timer);
	json_decref(q->document);
	free(q);
}

static void query_answer(struct time_left_query *q)
{
	if (q->answered)
		return;
	q->answered = true;
	event_del(q->timer);
	if (q->request) {
		evhttp_connection_set_closecb(evhttp_request_get_connection(q->request), NULL,
					      NULL);
		status_reply_json(q->request, json_incref(q->document));
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

	if (reply->status == STORE_OK && !q->answered)
		json_object_set_new(item->item, "expiresSeconds", json_integer(reply->ttl_s));
	TAILQ_REMOVE(&q->server->items, item, link);
	free(item);
	if (--q->outstanding == 0) {
		query_answer(q);
		query_free(q);
	}
}

/* The list with the time that each lease has left, which only the store knows. */
static void ask_time_left(struct status_server *s, struct evhttp_request *request)
{
	static const struct timeval wait = { TIME_LEFT_WAIT_MS / 1000, 0 };
	struct time_left_query *q = xcalloc(1, sizeof(*q));
	auto_free const struct manager_member **members = NULL;
	struct daemon_view v;
	size_t len;

	s->ops->view(s->arg, false, &v);
	q->server = s;
	q->request = request;
	q->document = report_subnets(&v);
	q->timer = evtimer_new(s->base, on_query_timeout, q);
	q->outstanding = 1;
	TAILQ_INSERT_TAIL(&s->queries, q, link);
	s->queries_len++;
	event_add(q->timer, &wait);
	evhttp_connection_set_closecb(evhttp_request_get_connection(request), query_client_gone, q);
	members = report_members(&v, &len);
	for (size_t i = 0; i < len && q->outstanding <= TIME_LEFT_MAX; i++) {
		struct store_request ask = { .op = STORE_TIME_LEFT, .lease = members[i]->lease };
		struct time_left_item *item;

		if (members[i]->own || !(members[i]->lease->flags & LEASE_EXPIRES))
			continue;
		item = xcalloc(1, sizeof(*item));
		item->query = q;
		item->item = json_array_get(json_object_get(q->document, "items"), i);
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

	if (has_query(request, "watch=1"))
		start_watching(s, request);
	else if (has_query(request, "timeLeft=1") && s->queries_len < TIME_LEFT_QUERIES)
		ask_time_left(s, request);
	else
		status_reply_json(request, subnets(s));
}

void status_subnets_init(struct status_server *s)
{
	TAILQ_INIT(&s->watchers);
	TAILQ_INIT(&s->queries);
	TAILQ_INIT(&s->items);
	s->changes = json_array();
	s->tell = evtimer_new(s->base, on_tell, s);
}

void status_subnets_stop(struct status_server *s)
{
	struct time_left_item *item;
	struct watcher *next;

	while ((item = TAILQ_FIRST(&s->items))) {
		TAILQ_REMOVE(&s->items, item, link);
		free(item);
	}
	for (struct watcher *w = TAILQ_FIRST(&s->watchers); w; w = next) {
		next = TAILQ_NEXT(w, link);
		evhttp_send_reply_end(w->request);
	}
}

void status_subnets_fini(struct status_server *s)
{
	while (!TAILQ_EMPTY(&s->queries))
		query_free(TAILQ_FIRST(&s->queries));
	json_decref(s->changes);
	event_free(s->tell);
}
