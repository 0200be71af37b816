/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/status.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "flanneld/report.h"
#include "lib/clock.h"
#include "lib/file.h"

#define REQUEST_MAX_SIZE       4096
#define REQUEST_TIMEOUT_S      30
#define WATCHERS_MAX           32
#define WATCH_GAP_MS           100 /* changes within this time are told together */
#define WATCH_BACKLOG_MAX_SIZE ((size_t)16 << 20)
#define TIME_LEFT_MAX          256 /* leases whose time left is asked for at once */
#define TIME_LEFT_WAIT_MS      2000

/* A client of /v1/subnets?watch=1. */
struct watcher {
	struct status_server *server;
	struct evhttp_request *request;
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

/* A /v1/lease/renew that waits for the store. */
struct renewal {
	struct status_server *server;
	struct evhttp_request *request;
	uint64_t ok; /* renewals before it */
	uint64_t failed;
	TAILQ_ENTRY(renewal) link;
};

struct status_server {
	struct event_base *base;
	const struct status_ops *ops;
	void *arg;
	struct evhttp *local;
	struct evhttp *tcp;
	char *path;
	struct event *tell; /* watchers, after the gap */
	TAILQ_HEAD(, watcher) watchers;
	size_t watchers_len;
	TAILQ_HEAD(, time_left_query) queries;
	TAILQ_HEAD(, time_left_item) items;
	TAILQ_HEAD(, renewal) renewals;
};

/* ---- replies ---- */

static void reply_text(struct evhttp_request *request, int code, const char *type, const char *text)
{
	struct evbuffer *body = evbuffer_new();

	evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", type);
	evbuffer_add(body, text, strlen(text));
	evhttp_send_reply(request, code, NULL, body);
	evbuffer_free(body);
}

static void reply_json(struct evhttp_request *request, json_t *document)
{
	auto_free char *text = json_dumps(document, JSON_COMPACT);

	reply_text(request, 200, "application/json", text ? text : "{}");
	json_decref(document);
}

static void on_healthz(struct evhttp_request *request, void *arg UNUSED)
{
	reply_text(request, 200, "text/plain", "flanneld is running\n");
}

static void on_readyz(struct evhttp_request *request, void *arg)
{
	struct status_server *s = arg;
	auto_free char *text = NULL;
	struct daemon_view v;

	s->ops->view(s->arg, false, &v);
	if (v.ready) {
		reply_text(request, 200, "text/plain", "flanneld is ready\n");
		return;
	}
	text = xasprintf("flanneld is not ready yet: %s\n", v.ready_reason);
	reply_text(request, 503, "text/plain", text);
}

static void on_metrics(struct evhttp_request *request, void *arg)
{
	struct status_server *s = arg;
	auto_free char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	struct daemon_view v;

	if (!out)
		abort();
	s->ops->view(s->arg, true, &v);
	report_metrics(&v, out);
	fclose(out);
	reply_text(request, 200, "text/plain; version=0.0.4", text);
}

static void on_status(struct evhttp_request *request, void *arg)
{
	struct status_server *s = arg;
	struct daemon_view v;

	s->ops->view(s->arg, true, &v);
	reply_json(request, report_status(&v));
}

static void on_peers(struct evhttp_request *request, void *arg)
{
	struct status_server *s = arg;
	struct daemon_view v;

	s->ops->view(s->arg, false, &v);
	reply_json(request, report_peers(&v));
}

static void on_config(struct evhttp_request *request, void *arg)
{
	struct status_server *s = arg;
	struct daemon_view v;

	s->ops->view(s->arg, false, &v);
	reply_json(request, report_config(&v));
}

static void on_diff(struct evhttp_request *request, void *arg)
{
	struct status_server *s = arg;
	json_t *document = report_diff();
	struct err e;

	if (s->ops->diff(s->arg, report_difference, document, &e) == 0) {
		reply_json(request, document);
		return;
	}
	json_decref(document);
	reply_text(request, 503, "text/plain", e.text);
}

/* Who may read may not write: the socket's group looks, root acts. */
static bool is_root(struct evhttp_request *request)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);
	int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

/* Answers those that may not act. */
static bool may_act(struct evhttp_request *request)
{
	if (evhttp_request_get_command(request) != EVHTTP_REQ_POST)
		reply_text(request, 405, "text/plain", "POST only\n");
	else if (!is_root(request))
		reply_text(request, 403, "text/plain", "only root may do this\n");
	else
		return true;
	return false;
}

static void on_sync(struct evhttp_request *request, void *arg)
{
	struct status_server *s = arg;
	struct timespec start;
	struct timespec end;
	uint64_t writes;

	if (!may_act(request))
		return;
	clock_gettime(CLOCK_MONOTONIC, &start);
	writes = s->ops->sync(s->arg);
	clock_gettime(CLOCK_MONOTONIC, &end);
	reply_json(request,
		   report_sync(writes, (double)(end.tv_sec - start.tv_sec) +
					       (double)(end.tv_nsec - start.tv_nsec) / 1e9));
}

/* ---- the own lease ---- */

static void on_lease(struct evhttp_request *request, void *arg)
{
	struct status_server *s = arg;
	struct daemon_view v;

	s->ops->view(s->arg, false, &v);
	reply_json(request, report_own_lease(&v));
}

static void renewal_free(struct renewal *r)
{
	TAILQ_REMOVE(&r->server->renewals, r, link);
	free(r);
}

static void renewal_client_gone(struct evhttp_connection *connection UNUSED, void *arg)
{
	renewal_free(arg);
}

static void not_renewed(struct evhttp_request *request, const struct manager_view *m)
{
	reply_text(request, 503, "text/plain",
		   m->reason[0] ? m->reason : "there is no lease to renew yet");
}

static void answer_renewals(struct status_server *s)
{
	struct renewal *next;
	struct daemon_view v;

	if (TAILQ_EMPTY(&s->renewals))
		return;
	s->ops->view(s->arg, false, &v);
	for (struct renewal *r = TAILQ_FIRST(&s->renewals); r; r = next) {
		struct evhttp_request *request = r->request;
		bool ok = v.manager.renewals_ok != r->ok;

		next = TAILQ_NEXT(r, link);
		if (!ok && v.manager.renewals_failed == r->failed &&
		    v.manager.state == MANAGER_HELD)
			continue;
		evhttp_connection_set_closecb(evhttp_request_get_connection(request), NULL, NULL);
		renewal_free(r);
		if (ok)
			reply_json(request, report_own_lease(&v));
		else
			not_renewed(request, &v.manager);
	}
}

static void on_renew(struct evhttp_request *request, void *arg)
{
	struct status_server *s = arg;
	struct daemon_view v;
	struct renewal *r;

	if (!may_act(request))
		return;
	s->ops->view(s->arg, false, &v);
	if (!s->ops->renew(s->arg)) {
		if (v.manager.state == MANAGER_HELD)
			reply_json(request, report_own_lease(&v));
		else
			not_renewed(request, &v.manager);
		return;
	}
	r = xcalloc(1, sizeof(*r));
	*r = (struct renewal){
		s, request, v.manager.renewals_ok, v.manager.renewals_failed, { 0 }
	};
	TAILQ_INSERT_TAIL(&s->renewals, r, link);
	evhttp_connection_set_closecb(evhttp_request_get_connection(request), renewal_client_gone,
				      r);
}

/* ---- /v1/subnets ---- */

static bool has_query(struct evhttp_request *request, const char *word)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const char *query = uri ? evhttp_uri_get_query(uri) : NULL;

	return query && strcmp(query, word) == 0;
}

static void watcher_gone(struct evhttp_connection *connection UNUSED, void *arg)
{
	struct watcher *w = arg;

	TAILQ_REMOVE(&w->server->watchers, w, link);
	w->server->watchers_len--;
	free(w);
}

static void send_line(struct watcher *w, const char *text)
{
	struct evbuffer *chunk = evbuffer_new();

	evbuffer_add_printf(chunk, "%s\n", text);
	evhttp_send_reply_chunk(w->request, chunk);
	evbuffer_free(chunk);
}

static json_t *subnets(struct status_server *s)
{
	struct daemon_view v;

	s->ops->view(s->arg, false, &v);
	return report_subnets(&v);
}

static void start_watching(struct status_server *s, struct evhttp_request *request)
{
	auto_free char *text = NULL;
	struct watcher *w;
	json_t *document;

	if (s->watchers_len == WATCHERS_MAX) {
		reply_text(request, 503, "text/plain", "too many watchers\n");
		return;
	}
	w = xcalloc(1, sizeof(*w));
	w->server = s;
	w->request = request;
	TAILQ_INSERT_TAIL(&s->watchers, w, link);
	s->watchers_len++;
	evhttp_connection_set_timeout(evhttp_request_get_connection(request), 0);
	evhttp_connection_set_closecb(evhttp_request_get_connection(request), watcher_gone, w);
	evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
			  "application/jsonl");
	evhttp_send_reply_start(request, 200, NULL);
	document = subnets(s);
	text = json_dumps(document, JSON_COMPACT);
	json_decref(document);
	send_line(w, text ? text : "{}");
}

/* What a client that does not read has waiting; beyond it the client is let go. */
static bool is_behind(const struct watcher *w)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(w->request);
	struct bufferevent *bev = evhttp_connection_get_bufferevent(connection);

	return evbuffer_get_length(bufferevent_get_output(bev)) > WATCH_BACKLOG_MAX_SIZE;
}

static void on_tell(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct status_server *s = arg;
	json_t *document = subnets(s);
	auto_free char *text = json_dumps(document, JSON_COMPACT);
	struct watcher *next;

	json_decref(document);
	for (struct watcher *w = TAILQ_FIRST(&s->watchers); w; w = next) {
		next = TAILQ_NEXT(w, link);
		if (is_behind(w))
			evhttp_connection_free(evhttp_request_get_connection(w->request));
		else
			send_line(w, text ? text : "{}");
	}
}

void status_server_changed(struct status_server *s)
{
	static const struct timeval gap = { 0, WATCH_GAP_MS * 1000 };

	if (s)
		answer_renewals(s);
	if (s && s->watchers_len > 0 && !event_pending(s->tell, EV_TIMEOUT, NULL))
		event_add(s->tell, &gap);
}

static void query_free(struct time_left_query *q)
{
	TAILQ_REMOVE(&q->server->queries, q, link);
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
		reply_json(q->request, json_incref(q->document));
		q->request = NULL;
	}
}

static void query_client_gone(struct evhttp_connection *connection UNUSED, void *arg)
{
	struct time_left_query *q = arg;

	q->request = NULL;
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

static void on_subnets(struct evhttp_request *request, void *arg)
{
	struct status_server *s = arg;

	if (has_query(request, "watch=1"))
		start_watching(s, request);
	else if (has_query(request, "timeLeft=1"))
		ask_time_left(s, request);
	else
		reply_json(request, subnets(s));
}

static void on_unknown(struct evhttp_request *request, void *arg UNUSED)
{
	reply_text(request, 404, "text/plain", "not found\n");
}

/* ---- servers ---- */

static struct evhttp *new_server(struct status_server *s)
{
	struct evhttp *http = evhttp_new(s->base);

	evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_max_headers_size(http, REQUEST_MAX_SIZE);
	evhttp_set_max_body_size(http, REQUEST_MAX_SIZE);
	evhttp_set_timeout(http, REQUEST_TIMEOUT_S);
	evhttp_set_cb(http, "/healthz", on_healthz, s);
	evhttp_set_cb(http, "/livez", on_healthz, s);
	evhttp_set_cb(http, "/readyz", on_readyz, s);
	evhttp_set_cb(http, "/metrics", on_metrics, s);
	evhttp_set_gencb(http, on_unknown, s);
	return http;
}

/* Whether a daemon answers on this socket. */
static bool is_alive(const struct sockaddr_un *addr)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0;
}

static int listen_local(struct status_server *s, const char *path, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	auto_free char *dir = xstrdup(path);
	char *slash = strrchr(dir, '/');
	struct evconnlistener *listener;
	auto_close int fd = -1;
	int rc;

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(e, -EINVAL, "socket is \"%s\", longer than %zu bytes", path,
			       sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path));
	if (slash && slash != dir) {
		*slash = '\0';
		rc = file_make_directories(dir, 0755, e);
		if (rc < 0)
			return err_wrap(e, "socket");
	}
	if (is_alive(&addr))
		return err_set(e, -EADDRINUSE, "socket %s: another flanneld is running", path);
	unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(e, -errno, "socket %s", path);
	if (chmod(path, 0660) < 0 || listen(fd, 16) < 0)
		return err_sys(e, -errno, "socket %s", path);
	listener = evconnlistener_new(s->base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE, 0, fd);
	if (!listener)
		return err_set(e, -EIO, "socket %s: cannot listen", path);
	fd = -1;
	evhttp_bind_listener(s->local, listener);
	s->path = xstrdup(path);
	return 0;
}

int status_server_new(struct event_base *base, const struct status_options *options,
		      const struct status_ops *ops, void *arg, struct status_server **ret,
		      struct err *e)
{
	struct status_server *s = xcalloc(1, sizeof(*s));
	int rc;

	s->base = base;
	s->ops = ops;
	s->arg = arg;
	TAILQ_INIT(&s->watchers);
	TAILQ_INIT(&s->queries);
	TAILQ_INIT(&s->items);
	TAILQ_INIT(&s->renewals);
	s->tell = evtimer_new(base, on_tell, s);
	s->local = new_server(s);
	evhttp_set_cb(s->local, "/v1/status", on_status, s);
	evhttp_set_cb(s->local, "/v1/subnets", on_subnets, s);
	evhttp_set_cb(s->local, "/v1/peers", on_peers, s);
	evhttp_set_cb(s->local, "/v1/config", on_config, s);
	evhttp_set_cb(s->local, "/v1/diff", on_diff, s);
	evhttp_set_cb(s->local, "/v1/sync", on_sync, s);
	evhttp_set_cb(s->local, "/v1/lease", on_lease, s);
	evhttp_set_cb(s->local, "/v1/lease/renew", on_renew, s);
	evhttp_set_allowed_methods(s->local, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST);
	rc = listen_local(s, options->socket, e);
	if (rc == 0 && options->healthz_port) {
		s->tcp = new_server(s);
		if (evhttp_bind_socket(s->tcp, options->healthz_ip, options->healthz_port) < 0)
			rc = err_sys(e, -errno, "healthz %s port %d", options->healthz_ip,
				     options->healthz_port);
	}
	if (rc < 0) {
		status_server_free(s);
		return rc;
	}
	*ret = s;
	return 0;
}

void status_server_free(struct status_server *s)
{
	struct time_left_item *item;
	struct watcher *next;

	if (!s)
		return;
	while ((item = TAILQ_FIRST(&s->items))) {
		TAILQ_REMOVE(&s->items, item, link);
		free(item);
	}
	for (struct watcher *w = TAILQ_FIRST(&s->watchers); w; w = next) {
		next = TAILQ_NEXT(w, link);
		evhttp_send_reply_end(w->request);
	}
	evhttp_free(s->local); /* ends its connections, and with them the watchers */
	if (s->tcp)
		evhttp_free(s->tcp);
	while (TAILQ_FIRST(&s->queries))
		query_free(TAILQ_FIRST(&s->queries));
	event_free(s->tell);
	if (s->path)
		unlink(s->path);
	free(s->path);
	free(s);
}
