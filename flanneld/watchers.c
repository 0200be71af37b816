/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/watchers.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <string.h>
#include <sys/queue.h>

#include "flanneld/status_internal.h"
#include "lib/clock.h"
#include "lib/log.h"

#define GAP_MS   100   /* changes within this time are told together */
#define STALL_MS 30000 /* who has read nothing for so long is let go */
#define SHARE    20    /* a line is made in a 20th of the time at most */

struct watcher {
	struct watchers *all;
	struct evhttp_request *request; /* NULL: its connection ends by us */
	uid_t user;
	int64_t busy_since_ms; /* a line is under way since then; 0: it has read all */
	bool missed;           /* something has changed since its last line */
	uint64_t told;         /* number of the first that it has not been sent */
	TAILQ_ENTRY(watcher) link;
};

struct watchers {
	const struct watchers_topic *topic;
	void *arg;
	struct event *tell; /* after the gap */
	int64_t took_ms;
	bool stopping;
	TAILQ_HEAD(, watcher) list;
};

/* A line for any number of watchers, in memory once. */
struct line {
	unsigned users;
	uint64_t from; /* the first in it, and the first that is not */
	uint64_t end;
	size_t size;
	char *text;
};

static void forget(struct watchers *ws)
{
	uint64_t first = ws->topic->end(ws->arg);
	const struct watcher *w;

	TAILQ_FOREACH (w, &ws->list, link)
		first = MIN(first, w->told);
	if (ws->topic->forget)
		ws->topic->forget(ws->arg, first);
}

static void on_gone(struct evhttp_connection *connection UNUSED, void *arg)
{
	struct watcher *w = arg;
	struct watchers *ws = w->all;

	if (w->request && !ws->stopping)
		evhttp_request_free(w->request);
	TAILQ_REMOVE(&ws->list, w, link);
	forget(ws);
	free(w);
}

static struct line *line_new(struct watchers *ws, uint64_t from)
{
	struct line *line = xcalloc(1, sizeof(*line));
	json_t *document = ws->topic->document(ws->arg, from);
	auto_free char *text = json_dumps(document, JSON_COMPACT);

	json_decref(document);
	line->users = 1;
	line->from = from;
	line->end = ws->topic->end(ws->arg);
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

static void tell_soon(struct watchers *ws)
{
	int64_t gap_ms = MAX(GAP_MS, ws->took_ms * SHARE);
	struct timeval gap = { gap_ms / 1000, gap_ms % 1000 * 1000 };

	if (!event_pending(ws->tell, EV_TIMEOUT, NULL))
		event_add(ws->tell, &gap);
}

/* It has read all it was sent; what changed meanwhile comes next. */
static void on_drained(struct evhttp_connection *connection UNUSED, void *arg)
{
	struct watcher *w = arg;

	w->busy_since_ms = 0;
	if (w->missed)
		tell_soon(w->all);
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

void watchers_add(struct watchers *ws, struct evhttp_request *request, uint64_t from)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);
	struct line *line;
	struct watcher *w;

	if (!clients_keep(request)) {
		status_reply_text(request, 503, "text/plain", "too many watchers\n");
		return;
	}
	w = xcalloc(1, sizeof(*w));
	w->all = ws;
	w->request = request;
	w->user = clients_user(request);
	w->told = from;
	TAILQ_INSERT_TAIL(&ws->list, w, link);
	evhttp_connection_set_timeout(connection, 0);
	evhttp_connection_set_closecb(connection, on_gone, w);
	evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
			  "application/jsonl");
	evhttp_send_reply_start(request, 200, NULL);
	line = line_new(ws, from);
	send_line(w, line);
	line_release(line);
}

static void on_tell(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct watchers *ws = arg;
	int64_t start_ms = clock_boot_ms();
	struct line *line = NULL;
	struct watcher *next;

	for (struct watcher *w = TAILQ_FIRST(&ws->list); w; w = next) {
		next = TAILQ_NEXT(w, link);
		w->missed = true;
		if (!w->busy_since_ms) {
			if (line && line->from != w->told)
				line_release(STEAL(line));
			if (!line)
				line = line_new(ws, w->told);
			send_line(w, line);
		} else if (clock_boot_ms() - w->busy_since_ms > STALL_MS) {
			log_warn("watcher-dropped",
				 "a client of uid %d that watches %s has read nothing for %d s",
				 (int)w->user, ws->topic->name, STALL_MS / 1000);
			evhttp_connection_free(evhttp_request_get_connection(STEAL(w->request)));
		}
	}
	if (line)
		line_release(line);
	forget(ws);
	ws->took_ms = clock_boot_ms() - start_ms;
}

void watchers_changed(struct watchers *ws)
{
	if (!TAILQ_EMPTY(&ws->list))
		tell_soon(ws);
}

bool watchers_are_none(const struct watchers *ws)
{
	return TAILQ_EMPTY(&ws->list);
}

struct watchers *watchers_new(struct event_base *base, const struct watchers_topic *topic,
			      void *arg)
{
	struct watchers *ws = xcalloc(1, sizeof(*ws));

	ws->topic = topic;
	ws->arg = arg;
	TAILQ_INIT(&ws->list);
	ws->tell = evtimer_new(base, on_tell, ws);
	return ws;
}

void watchers_stop(struct watchers *ws)
{
	struct watcher *next;

	ws->stopping = true;
	for (struct watcher *w = TAILQ_FIRST(&ws->list); w; w = next) {
		next = TAILQ_NEXT(w, link);
		evhttp_send_reply_end(w->request);
	}
}

void watchers_free(struct watchers *ws)
{
	event_free(ws->tell);
	free(ws);
}
