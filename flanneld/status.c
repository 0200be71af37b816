/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/status.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "flanneld/clients.h"
#include "flanneld/local_socket.h"
#include "flanneld/report.h"
#include "flanneld/status_internal.h"
#include "lib/clock.h"
#include "lib/log.h"

#define REQUEST_MAX_SIZE  4096
#define REQUEST_TIMEOUT_S 30
#define BUSY_SIZE         65536 /* a smaller answer is given however much waits */

/* A /v1/lease/renew that waits for the store. */
struct renewal {
	struct status_server *server;
	struct evhttp_request *request;
	uint64_t ok; /* renewals before it */
	uint64_t failed;
	TAILQ_ENTRY(renewal) link;
};

/* ---- replies ---- */

void status_reply_text(struct evhttp_request *request, int code, const char *type, const char *text)
{
	struct evbuffer *body = evbuffer_new();
	size_t size = strlen(text);

	clients_touch(request);
	if (size > BUSY_SIZE && clients_queued() + size > CLIENTS_QUEUED_SIZE) {
		code = 503;
		type = "text/plain";
		text = "too much waits for clients that do not read\n";
	}
	evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", type);
	evbuffer_add(body, text, strlen(text));
	evhttp_send_reply(request, code, NULL, body);
	evbuffer_free(body);
}

void status_reply_document(struct evhttp_request *request, const char *text)
{
	if (text) {
		status_reply_text(request, 200, "application/json", text);
	} else {
		log_error("json-failed", "an answer could not be written");
		status_reply_text(request, 500, "text/plain", "the answer could not be written\n");
	}
}

void status_reply_json(struct evhttp_request *request, json_t *document)
{
	auto_free char *text = json_dumps(document, JSON_COMPACT);

	status_reply_document(request, text);
	json_decref(document);
}

static void on_healthz(struct evhttp_request *request, void *arg UNUSED)
{
	status_reply_text(request, 200, "text/plain", "flanneld is running\n");
}

static void on_readyz(struct evhttp_request *request, void *arg)
{
	struct status_server *s = arg;
	auto_free char *text = NULL;
	struct daemon_view v;

	s->ops->view(s->arg, false, &v);
	if (v.ready) {
		status_reply_text(request, 200, "text/plain", "flanneld is ready\n");
		return;
	}
	text = xasprintf("flanneld is not ready yet: %s\n", v.ready_reason);
	status_reply_text(request, 503, "text/plain", text);
}

/* Prometheus names the forms that it reads, the best first, and this among them or not. */
static bool wants_open_metrics(struct evhttp_request *request)
{
	const struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
	const char *accept = evhttp_find_header(headers, "Accept");

	return accept && strstr(accept, "application/openmetrics-text");
}

static void reply_open_metrics(struct evhttp_request *request, const char *metrics)
{
	auto_free char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	report_open_metrics(metrics, out);
	fclose(out);
	status_reply_text(request, 200,
			  "application/openmetrics-text; version=1.0.0; charset=utf-8", text);
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
	if (wants_open_metrics(request))
		reply_open_metrics(request, text);
	else
		status_reply_text(request, 200, "text/plain; version=0.0.4", text);
}

/* Whom Prometheus is to ask; it takes the list as it is. */
static void on_sd(struct evhttp_request *request, void *arg)
{
	struct status_server *s = arg;
	struct daemon_view v;

	s->ops->view(s->arg, false, &v);
	status_reply_json(request, report_targets(&v, s->port));
}

static void on_targets(struct evhttp_request *request, void *arg)
{
	struct status_server *s = arg;
	struct daemon_view v;

	if (!s->port) {
		status_reply_text(request, 503, "text/plain",
				  "healthz-port is 0: metrics are served on no port");
		return;
	}
	s->ops->view(s->arg, false, &v);
	status_reply_json(request, report_target_list(&v, s->port));
}

static void on_status(struct evhttp_request *request, void *arg)
{
	struct status_server *s = arg;
	struct daemon_view v;

	s->ops->view(s->arg, true, &v);
	status_reply_json(request, report_status(&v));
}

static void reply_list(struct evhttp_request *request, const struct status_server *s,
		       char *list(const struct daemon_view *v, const char *fields))
{
	auto_free char *fields = status_query_value(request, "fields");
	auto_free char *text = NULL;
	struct daemon_view v;

	s->ops->view(s->arg, false, &v);
	text = list(&v, fields);
	status_reply_document(request, text);
}

static void on_peers(struct evhttp_request *request, void *arg)
{
	reply_list(request, arg, report_peers_text);
}

static void on_mtu(struct evhttp_request *request, void *arg)
{
	reply_list(request, arg, report_mtu_text);
}

static void on_config(struct evhttp_request *request, void *arg)
{
	struct status_server *s = arg;
	struct daemon_view v;

	s->ops->view(s->arg, false, &v);
	status_reply_json(request, report_config(&v));
}

char *status_query_value(struct evhttp_request *request, const char *key)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const char *query = uri ? evhttp_uri_get_query(uri) : NULL;
	size_t key_size = strlen(key);

	for (const char *p = query; p && *p;) {
		size_t size = strcspn(p, "&");

		if (size > key_size && memcmp(p, key, key_size) == 0 && p[key_size] == '=')
			return xstrndup(p + key_size + 1, size - key_size - 1);
		p += size + (p[size] == '&');
	}
	return NULL;
}

bool status_has_query(struct evhttp_request *request, const char *key, const char *value)
{
	auto_free char *found = status_query_value(request, key);

	return found && strcmp(found, value) == 0;
}

static json_t *followed(void *arg UNUSED, uint64_t from)
{
	return report_events(from);
}

static uint64_t followed_end(void *arg UNUSED)
{
	return log_end();
}

static const struct watchers_topic events_topic = { .name = "the events",
						    .document = followed,
						    .end = followed_end };

static void on_event(void *arg)
{
	struct status_server *s = arg;

	watchers_changed(s->followers);
}

static void on_events(struct evhttp_request *request, void *arg)
{
	struct status_server *s = arg;

	if (status_has_query(request, "watch", "1"))
		watchers_add(s->followers, request, 0);
	else
		status_reply_json(request, report_events(0));
}

static void on_diff(struct evhttp_request *request, void *arg)
{
	struct status_server *s = arg;
	json_t *document = report_diff();
	struct err e;

	if (s->ops->diff(s->arg, report_difference, document, &e) == 0) {
		status_reply_json(request, document);
		return;
	}
	json_decref(document);
	status_reply_text(request, 503, "text/plain", e.text);
}

/* Who may read may not write: the socket's group looks, root acts. */
static bool is_root(struct evhttp_request *request)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);

	return local_socket_is_root(
		bufferevent_getfd(evhttp_connection_get_bufferevent(connection)));
}

/* Answers those that may not act. */
static bool may_act(struct evhttp_request *request)
{
	if (evhttp_request_get_command(request) != EVHTTP_REQ_POST)
		status_reply_text(request, 405, "text/plain", "POST only\n");
	else if (!is_root(request))
		status_reply_text(request, 403, "text/plain", "only root may do this\n");
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
	status_reply_json(request,
			  report_sync(writes, (double)(end.tv_sec - start.tv_sec) +
						      (double)(end.tv_nsec - start.tv_nsec) / 1e9));
}

/* "state=off|drained|released": takes this host out of use, or back. */
static void on_drain(struct evhttp_request *request, void *arg)
{
	static const char key[] = "state=";
	const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
	struct status_server *s = arg;
	enum drain_state state;
	struct err e;

	if (!may_act(request))
		return;
	if (!query || strncmp(query, key, strlen(key)) != 0 ||
	    !drain_state_parse(query + strlen(key), &state))
		status_reply_text(request, 400, "text/plain",
				  "state must be off, drained or released\n");
	else if (s->ops->drain(s->arg, state, &e) < 0)
		status_reply_text(request, 503, "text/plain", e.text);
	else
		status_reply_json(request, report_drain(drain_state_name(state)));
}

/* How much is logged; with "level=debug" it is that from now on, until the daemon ends. */
static void on_log_level(struct evhttp_request *request, void *arg UNUSED)
{
	static const char key[] = "level=";
	const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
	enum log_level level;

	if (query && strncmp(query, key, strlen(key)) == 0) {
		query += strlen(key);
		level = log_level_parse(query);
		if (!may_act(request))
			return;
		if (strcmp(log_level_name(level), query) != 0) {
			status_reply_text(request, 400, "text/plain",
					  "level must be error, warn, info or debug\n");
			return;
		}
		if (level != log_level_get())
			log_info("log-level", "%s, until the next start", log_level_name(level));
		log_level_set(level);
	}
	status_reply_json(request, report_log_level());
}

/* Asks for writes, if nothing was counted until now. */
static void on_meter(struct evhttp_request *request, void *arg)
{
	struct status_server *s = arg;
	json_t *document;
	struct err e;

	if (!may_act(request))
		return;
	document = report_meter();
	if (s->ops->meter(s->arg, report_metered, &report_fast_counts, document, &e) == 0) {
		status_reply_json(request, document);
		return;
	}
	json_decref(document);
	status_reply_text(request, 503, "text/plain", e.text);
}

/* ---- the own lease ---- */

static void on_lease(struct evhttp_request *request, void *arg)
{
	struct status_server *s = arg;
	struct daemon_view v;

	s->ops->view(s->arg, false, &v);
	status_reply_json(request, report_own_lease(&v));
}

static void renewal_free(struct renewal *r)
{
	TAILQ_REMOVE(&r->server->renewals, r, link);
	free(r);
}

void status_request_gone(const struct status_server *s, struct evhttp_request *request)
{
	if (!s->stopping)
		evhttp_request_free(request);
}

static void renewal_client_gone(struct evhttp_connection *connection UNUSED, void *arg)
{
	struct renewal *r = arg;

	status_request_gone(r->server, r->request);
	renewal_free(r);
}

static void not_renewed(struct evhttp_request *request, const struct manager_view *m)
{
	status_reply_text(request, 503, "text/plain",
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
			status_reply_json(request, report_own_lease(&v));
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
			status_reply_json(request, report_own_lease(&v));
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

static void on_unknown(struct evhttp_request *request, void *arg UNUSED)
{
	status_reply_text(request, 404, "text/plain", "not found\n");
}

void status_server_changed(struct status_server *s)
{
	if (!s)
		return;
	answer_renewals(s);
	status_subnets_changed(s);
}

void status_server_lease(struct status_server *s, const struct manager_member *member, bool gone)
{
	if (s)
		status_subnets_lease(s, member, gone);
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

static int listen_tcp(struct status_server *s, const struct status_options *o, struct err *e)
{
	struct evhttp_bound_socket *bound;
	int rc;

	s->tcp = new_server(s);
	evhttp_set_cb(s->tcp, "/sd", on_sd, s);
	s->tcp_clients =
		clients_new(s->base, s->tcp, "status server", CLIENTS_MAX, CLIENTS_READ_AHEAD_SIZE);
	bound = evhttp_bind_socket_with_handle(s->tcp, o->healthz_ip, o->healthz_port);
	if (!bound)
		return err_sys(e, -errno, "healthz %s port %d", o->healthz_ip, o->healthz_port);
	rc = clients_guard_listener(s->tcp_clients, evhttp_bound_socket_get_listener(bound));
	return rc < 0 ? err_sys(e, rc, "healthz %s port %d", o->healthz_ip, o->healthz_port) : 0;
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
	s->port = options->healthz_port;
	TAILQ_INIT(&s->renewals);
	status_subnets_init(s);
	s->followers = watchers_new(base, &events_topic, s);
	log_listen(on_event, s);
	s->local = new_server(s);
	s->local_clients = clients_new(base, s->local, "status server", CLIENTS_PER_USER,
				       CLIENTS_READ_AHEAD_SIZE);
	evhttp_set_cb(s->local, "/v1/status", on_status, s);
	evhttp_set_cb(s->local, "/v1/subnets", status_on_subnets, s);
	evhttp_set_cb(s->local, "/v1/peers", on_peers, s);
	evhttp_set_cb(s->local, "/v1/mtu", on_mtu, s);
	evhttp_set_cb(s->local, "/v1/targets", on_targets, s);
	evhttp_set_cb(s->local, "/v1/config", on_config, s);
	evhttp_set_cb(s->local, "/v1/diff", on_diff, s);
	evhttp_set_cb(s->local, "/v1/events", on_events, s);
	evhttp_set_cb(s->local, "/v1/sync", on_sync, s);
	evhttp_set_cb(s->local, "/v1/log-level", on_log_level, s);
	evhttp_set_cb(s->local, "/v1/drain", on_drain, s);
	evhttp_set_cb(s->local, "/v1/meter", on_meter, s);
	evhttp_set_cb(s->local, "/v1/lease", on_lease, s);
	evhttp_set_cb(s->local, "/v1/lease/renew", on_renew, s);
	evhttp_set_allowed_methods(s->local, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST);
	rc = local_socket_listen(base, s->local, s->local_clients, options->socket, 0660, e);
	if (rc == 0)
		s->path = xstrdup(options->socket);
	else
		err_wrap(e, "socket");
	if (rc == 0 && options->healthz_port)
		rc = listen_tcp(s, options, e);
	if (rc < 0) {
		status_server_free(s);
		return rc;
	}
	*ret = s;
	return 0;
}

void status_server_free(struct status_server *s)
{
	if (!s)
		return;
	s->stopping = true;
	status_subnets_stop(s);
	log_listen(NULL, NULL);
	watchers_stop(s->followers);
	evhttp_free(s->local); /* ends its connections, and with them the watchers */
	if (s->tcp)
		evhttp_free(s->tcp);
	clients_free(s->local_clients);
	clients_free(s->tcp_clients);
	status_subnets_fini(s);
	watchers_free(s->followers);
	if (s->path)
		unlink(s->path);
	free(s->path);
	free(s);
}
