/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Servers of HTTP/1.1 in the test's own process, of which the test is the brain: it waits for the
 * next request, looks at it, and says what comes back.
 *
 *   struct question *q = ask(r, STORE_CONFIG, NULL, 0);
 *   reply(expect(r, 0, "/v3/kv/range", NULL), 200, HEAD(7) "}");
 *   answered(q, STORE_ABSENT);
 *
 * Nothing is answered by itself, so what a test does not expect stays open and fails it: either
 * expect() finds another request than it names, or rig_free() finds one that nobody looked at. The
 * answers are those that etcd 3.4.23 gave; V2_ are those of 3.5.16, 3.5.30 and 3.6.14.
 */
#ifndef TESTS_UNIT_FAKE_ETCD_H
#define TESTS_UNIT_FAKE_ETCD_H

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base64.h"
#include "lib/clock.h"
#include "lib/http.h"
#include "lib/json.h"
#include "stores/etcd/etcd_internal.h"
#include "tests/unit/test.h"

#define DEADLINE_S    10
#define ENDPOINTS_MAX 3
#define TOLD_MAX      64

/* The beginning of every answer at this revision; the closing brace is the test's. */
#define HEAD_OF(cluster, revision)                                                                 \
	"{\"header\":{\"cluster_id\":\"" cluster "\",\"member_id\":\"443629905751424238\","        \
	"\"revision\":\"" #revision "\",\"raft_term\":\"2\"}"
#define CLUSTER        "13455796455940752355"
#define HEAD(revision) HEAD_OF(CLUSTER, revision)
#define UNARY_ERROR(text, code)                                                                    \
	"{\"error\":\"" text "\",\"message\":\"" text "\",\"code\":" #code "}"
#define STREAM_ERROR(text, code)                                                                   \
	"{\"error\":{\"grpc_code\":" #code ",\"http_code\":503,\"message\":\"" text "\","          \
	"\"http_status\":\"Service Unavailable\"}}"
/* Those of the gateway's second version. */
#define V2_ERROR(text, code) "{\"code\":" #code ", \"message\":\"" text "\", \"details\":[]}"
#define V2_STREAM_ERROR(text, code)                                                                \
	"{\"error\":{\"code\":" #code ",\"message\":\"" text "\",\"details\":[]}}"
#define NO_LEADER STREAM_ERROR("etcdserver: no leader", 14)
#define RANGE     "/v3/kv/range"
#define LOGIN     "/v3/auth/authenticate"
#define TOKEN     HEAD(4) ",\"token\":\"puDSvQScTYADrcEi.18\"}"

#define auto_text auto_free char *

#define NO_HTTP2 "HTTP/1.1 505 HTTP Version Not Supported\r\nContent-Length: 0\r\n\r\n"

/* ---- servers ---- */

struct rig;

struct fake {
	struct rig *rig;
	int fd;
	struct event *accept;
	uint16_t port;
	unsigned accepted;
	unsigned prefaces; /* of HTTP/2, which it does not speak */
};

struct conn {
	struct conn *next;
	struct fake *fake;
	struct bufferevent *bev; /* NULL: closed, by whomever */
	uint16_t peer_port;
};

/* A request that came. */
struct asked {
	struct asked *next;
	struct conn *conn;
	char *head; /* request line and headers */
	char *path;
	char *body;
	bool expected;
};

/* What a store was asked, and its reply. */
struct question {
	struct question *next;
	struct rig *rig;
	bool done;
	struct store_reply reply;
};

struct told {
	enum store_event_type type;
	uint64_t revision;
	char *key; /* of the lease, or the junk */
	char *reason;
	char *backend_type;
	bool problem;
};

struct rig {
	struct event_base *base;
	struct event *deadline;
	bool late;
	struct fake fakes[ENDPOINTS_MAX];
	size_t fakes_len;
	struct conn *conns;
	struct asked *asked; /* in the order in which they came */
	struct question *questions;
	struct http_client *http;
	struct store *store;
	struct store_watch *watch;
	struct told told[TOLD_MAX];
	size_t told_len;
	size_t told_seen;
	bool stop_inside;
};

static UNUSED void on_deadline(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	((struct rig *)arg)->late = true;
}

/* Until when to wait for what must come. */
static UNUSED int64_t patience(void)
{
	return clock_boot_ms() + DEADLINE_S * 1000;
}

/* One turn of the loop; fails if it is too late for `what`. */
static UNUSED void turn(struct rig *r, int64_t until, const char *what)
{
	int64_t left = MAX(until - clock_boot_ms(), (int64_t)0);
	struct timeval limit = { left / 1000, left % 1000 * 1000 };

	r->late = false;
	event_add(r->deadline, &limit);
	event_base_loop(r->base, EVLOOP_ONCE);
	event_del(r->deadline);
	if (r->late)
		fail_msg("waited %d s for %s", DEADLINE_S, what);
}

static UNUSED void conn_close(struct conn *c)
{
	if (c->bev)
		bufferevent_free(STEAL(c->bev));
}

static UNUSED void on_conn_end(struct bufferevent *bev UNUSED, short what UNUSED, void *arg)
{
	conn_close(arg);
}

static UNUSED void on_conn_data(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	struct conn *c = arg;

	for (;;) {
		struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
		struct asked **link = &c->fake->rig->asked;
		struct asked *q;
		const char *length;
		size_t head_size;
		size_t body_size;
		auto_free char *head = NULL;

		if (end.pos < 0)
			return;
		head_size = (size_t)end.pos + 4;
		head = xcalloc(head_size + 1, 1);
		evbuffer_copyout(in, head, head_size);
		if (strncmp(head, "PRI ", 4) == 0) {
			c->fake->prefaces++;
			bufferevent_write(bev, NO_HTTP2, strlen(NO_HTTP2));
		}
		if (c->fake->prefaces && strncmp(head, "POST", 4) != 0) {
			evbuffer_drain(in, evbuffer_get_length(in));
			return;
		}
		length = strstr(head, "Content-Length: ");
		body_size = length ? strtoul(length + 16, NULL, 10) : 0;
		if (evbuffer_get_length(in) < head_size + body_size)
			return;
		q = xcalloc(1, sizeof(*q));
		q->conn = c;
		q->body = xcalloc(body_size + 1, 1);
		evbuffer_drain(in, head_size);
		evbuffer_remove(in, q->body, body_size);
		q->path = xstrndup(strchr(head, ' ') + 1, strcspn(strchr(head, ' ') + 1, " "));
		q->head = STEAL(head);
		while (*link)
			link = &(*link)->next;
		*link = q;
	}
}

static UNUSED void on_accept(evutil_socket_t listener, short what UNUSED, void *arg)
{
	struct fake *f = arg;
	struct conn *c = xcalloc(1, sizeof(*c));
	struct sockaddr_in peer = { 0 };
	socklen_t size = sizeof(peer);
	int fd = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) {
		free(c);
		return;
	}
	f->accepted++;
	c->fake = f;
	c->peer_port = ntohs(peer.sin_port);
	c->next = f->rig->conns;
	f->rig->conns = c;
	c->bev = bufferevent_socket_new(f->rig->base, fd, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(c->bev, on_conn_data, NULL, on_conn_end, c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

static UNUSED void fake_bind(struct fake *f)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(f->port) };
	socklen_t size = sizeof(address);
	int one = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	f->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(f->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(f->fd, (struct sockaddr *)&address, size) < 0 ||
	    getsockname(f->fd, (struct sockaddr *)&address, &size) < 0)
		fail_msg("bind: %s", strerror(errno));
	f->port = ntohs(address.sin_port);
}

static UNUSED void fake_listen(struct fake *f)
{
	if (listen(f->fd, 256) < 0)
		fail_msg("listen: %s", strerror(errno));
	f->accept = event_new(f->rig->base, f->fd, EV_READ | EV_PERSIST, on_accept, f);
	event_add(f->accept, NULL);
}

/* From now on connections are refused. Nobody else can get the port meanwhile. */
static UNUSED void fake_refuse(struct fake *f)
{
	event_free(STEAL(f->accept));
	close(f->fd);
	fake_bind(f);
}

/* As when the member's process ends. */
static UNUSED void fake_kill(struct fake *f)
{
	fake_refuse(f);
	for (struct conn *c = f->rig->conns; c; c = c->next) {
		if (c->fake == f)
			conn_close(c);
	}
}

/* The oldest request that nobody expected yet, NULL if there is none. */
static UNUSED struct asked *next_asked(const struct rig *r)
{
	struct asked *q;

	for (q = r->asked; q && q->expected; q = q->next)
		;
	return q;
}

/* The next request that came. `path` and `body` must be its; NULL: any. */
static UNUSED struct asked *expect(struct rig *r, unsigned endpoint, const char *path,
				   const char *body)
{
	int64_t until = patience();
	struct asked *q;

	while (!(q = next_asked(r)))
		turn(r, until, path ? path : "a request");
	q->expected = true;
	if (q->conn->fake != &r->fakes[endpoint] || (path && strcmp(q->path, path) != 0) ||
	    (body && strcmp(q->body, body) != 0))
		fail_msg("expected endpoint %u: %s %s\nbut came endpoint %u: %s %s", endpoint,
			 path ? path : "", body ? body : "", (unsigned)(q->conn->fake - r->fakes),
			 q->path, q->body);
	return q;
}

/* ---- answers ---- */

static UNUSED void send_text(struct asked *q, const char *text)
{
	assert_non_null(q->conn->bev);
	bufferevent_write(q->conn->bev, text, strlen(text));
}

/* Part of a streamed body. */
static UNUSED void stream_bytes(struct asked *q, const char *bytes, size_t size)
{
	auto_free char *length = xasprintf("%zx\r\n", size);

	send_text(q, length);
	bufferevent_write(q->conn->bev, bytes, size);
	send_text(q, "\r\n");
}

/* One message of a stream. */
static UNUSED void stream(struct asked *q, const char *message)
{
	auto_free char *line = xasprintf("%s\n", message);

	stream_bytes(q, line, strlen(line));
}

static UNUSED void stream_open(struct asked *q, int status)
{
	auto_free char *text = xasprintf("HTTP/1.1 %d Whatever\r\n"
					 "Content-Type: application/json\r\n"
					 "Grpc-Metadata-Content-Type: application/grpc\r\n"
					 "Trailer: Grpc-Trailer-Content-Type\r\n"
					 "Transfer-Encoding: chunked\r\n\r\n",
					 status);

	send_text(q, text);
}

static UNUSED void stream_end(struct asked *q)
{
	send_text(q, "0\r\nGrpc-Trailer-Content-Type: application/grpc\r\n\r\n");
}

/* etcd streams its errors, and gives good answers in one piece. */
static UNUSED void reply(struct asked *q, int status, const char *body)
{
	if (status == 200) {
		auto_free char *text = xasprintf("HTTP/1.1 200 OK\r\n"
						 "Content-Type: application/json\r\n"
						 "Content-Length: %zu\r\n\r\n%s",
						 strlen(body), body);

		send_text(q, text);
		return;
	}
	stream_open(q, status);
	stream(q, body);
	stream_end(q);
}

/* The connection ends, the request stays without an answer. */
static UNUSED void cut(struct asked *q)
{
	conn_close(q->conn);
}

/* Until the client closes what this request came on. */
static UNUSED void await_closed(struct rig *r, const struct asked *q)
{
	int64_t until = patience();

	while (q->conn->bev)
		turn(r, until, "the connection to be closed");
}

static UNUSED bool has_header(const struct asked *q, const char *line)
{
	auto_free char *whole = xasprintf("\r\n%s\r\n", line);

	return strstr(q->head, whole);
}

/* A key-value of an answer. Empty values and zero leases are left out, as etcd does. */
static UNUSED char *kv(const char *key, const char *value, uint64_t created, uint64_t modified,
		       int64_t lease)
{
	auto_free char *key64 = base64_encode(key, strlen(key));
	auto_free char *value64 = base64_encode(value, strlen(value));
	auto_free char *value_text = *value ? xasprintf(",\"value\":\"%s\"", value64) : xstrdup("");
	auto_free char *lease_text =
		lease ? xasprintf(",\"lease\":\"%lld\"", (long long)lease) : xstrdup("");
	auto_free char *create_text =
		created ? xasprintf("\"create_revision\":\"%llu\",", (unsigned long long)created)
			: xstrdup("");

	return xasprintf("{\"key\":\"%s\",%s\"mod_revision\":\"%llu\",\"version\":\"1\"%s%s}",
			 key64, create_text, (unsigned long long)modified, value_text, lease_text);
}

/* ---- the store under test ---- */

/* What the store takes for chance: of lease ids, and of back-off. */
static UNUSED uint64_t chance;

static UNUSED uint64_t fixed_random(void)
{
	return chance;
}

/* So many servers and no store yet; *ret_list is what it is to be told of them: caller frees. */
static UNUSED struct rig *rig_listen(size_t endpoints, char **ret_list)
{
	struct rig *r = xcalloc(1, sizeof(*r));
	auto_free char *list = xstrdup("");

	chance = 0;
	r->base = event_base_new();
	r->deadline = evtimer_new(r->base, on_deadline, r);
	r->http = http_client_new(r->base);
	r->fakes_len = endpoints;
	for (size_t i = 0; i < endpoints; i++) {
		char *longer;

		r->fakes[i].rig = r;
		fake_bind(&r->fakes[i]);
		fake_listen(&r->fakes[i]);
		longer = xasprintf("%s%shttp://127.0.0.1:%u", list, i ? "," : "", r->fakes[i].port);
		free(list);
		list = longer;
	}
	*ret_list = STEAL(list);
	return r;
}

static UNUSED struct rig *rig_new(size_t endpoints, struct etcd_options *options)
{
	auto_free char *list = NULL;
	struct rig *r = rig_listen(endpoints, &list);
	struct etcd_options none = { .transport = (char *)"json" };
	struct err e = { 0 };

	options = options ? options : &none;
	options->endpoints = list;
	if (etcd_store_new(r->base, r->http, "/f", options, fixed_random, &r->store, &e) < 0)
		fail_msg("%s", e.text);
	options->endpoints = NULL;
	return r;
}

static UNUSED struct etcd_store *store_of_rig(struct rig *r)
{
	return (struct etcd_store *)r->store;
}

static UNUSED void rig_free(struct rig *r)
{
	const struct asked *left = next_asked(r);

	store_watch_stop(r->watch);
	store_free(r->store);
	http_client_free(r->http);
	for (struct conn *c = r->conns, *next; c; c = next) {
		next = c->next;
		conn_close(c);
		free(c);
	}
	for (size_t i = 0; i < r->fakes_len; i++) {
		if (r->fakes[i].accept)
			event_free(r->fakes[i].accept);
		close(r->fakes[i].fd);
	}
	for (struct question *q = r->questions, *next; q; q = next) {
		next = q->next;
		store_reply_fini(&q->reply);
		free(q);
	}
	for (size_t i = 0; i < r->told_len; i++) {
		free(r->told[i].key);
		free(r->told[i].reason);
		free(r->told[i].backend_type);
	}
	event_free(r->deadline);
	event_base_free(r->base);
	if (left)
		fail_msg("nobody expected %s %s", left->path, left->body);
	for (struct asked *q = r->asked, *next; q; q = next) {
		next = q->next;
		free(q->head);
		free(q->path);
		free(q->body);
		free(q);
	}
	free(r);
}

static UNUSED void on_reply(void *arg, struct store_reply *reply)
{
	struct question *q = arg;

	assert_false(q->done);
	q->done = true;
	q->reply = *reply;
	memset(reply, 0, sizeof(*reply));
}

static UNUSED struct question *submit(struct rig *r, const struct store_request *request)
{
	struct question *q = xcalloc(1, sizeof(*q));

	q->rig = r;
	q->next = r->questions;
	r->questions = q;
	store_submit(r->store, request, on_reply, q);
	assert_false(q->done);
	return q;
}

static UNUSED struct question *ask(struct rig *r, enum store_op op, const struct lease *l,
				   int64_t ttl_s)
{
	struct store_request request = { .op = op, .lease = l, .ttl_s = ttl_s };

	return submit(r, &request);
}

/* Waits for the reply, which must have this status. */
static UNUSED const struct store_reply *answered(struct question *q, enum store_status status)
{
	int64_t until = patience();

	while (!q->done)
		turn(q->rig, until, "the store's reply");
	if (q->reply.status != status)
		fail_msg("%s instead of %s: %s", store_status_name(q->reply.status),
			 store_status_name(status), q->reply.err.text);
	assert_true((status == STORE_OK) == (q->reply.err.text[0] == '\0'));
	return &q->reply;
}

static UNUSED void on_event(void *arg, struct store_event *event)
{
	struct rig *r = arg;
	struct told *t = &r->told[r->told_len++];
	char key[SUBNET_KEY_TEXT];

	assert_true(r->told_len < TOLD_MAX);
	t->type = event->type;
	t->revision = event->revision;
	t->reason = event->reason ? xstrdup(event->reason) : NULL;
	if (event->lease) {
		t->key = xstrdup(subnet_key_format(&event->lease->subnet, key));
		t->problem = event->lease->problem;
		if (event->lease->backend_type)
			t->backend_type = xstrdup(event->lease->backend_type);
	} else if (event->key) {
		t->key = xstrdup(event->key);
	}
	if (r->stop_inside)
		store_watch_stop(STEAL(r->watch));
}

/* Waits for the next event, which must be this. `about`: the key, or part of the reason. */
static UNUSED const struct told *tells(struct rig *r, enum store_event_type type, const char *about)
{
	int64_t until = patience();
	const struct told *t;

	while (r->told_seen == r->told_len)
		turn(r, until, "an event");
	t = &r->told[r->told_seen++];
	if (t->type != type)
		fail_msg("event %d (%s, %s) instead of %d", t->type, t->key ? t->key : "",
			 t->reason ? t->reason : "", type);
	if (about)
		assert_contains(t->key ? t->key : t->reason, about);
	return t;
}

static UNUSED void free_rig(struct rig **r)
{
	if (*r)
		rig_free(*r);
}
#define auto_rig __attribute__((cleanup(free_rig))) struct rig *

#endif
