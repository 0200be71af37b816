/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/kube/kube_client.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/file.h"
#include "lib/http.h"
#include "lib/secret.h"

#define CONNECT_TIMEOUT_MS 3000
/* An API server gives up a request of its own after a minute, and a page takes a second. */
#define CALL_TIMEOUT_MS 15000
/* What comes of a list or a watch at once. */
#define DELIVERY_MAX_SIZE ((size_t)64 << 20)

struct kube_client {
	struct event_base *base;
	struct http_client *http;
	struct kube_access access;
	int64_t quiet_until_ms; /* it has asked not to be asked before */
	uint64_t calls;
	uint64_t patches;
};

struct kube_call {
	struct kube_client *client;
	struct kube_ask ask; /* its texts are `path` and `patch` */
	char *path;
	char *patch;
	kube_done_fn *done;
	void *arg;
	struct event *start;
	struct http_call *http; /* NULL before it has started, and after its end */
	struct kube_stream stream;
	bool busy;      /* inside kube_stream_feed */
	bool cancelled; /* ... and to be freed after it */
};

static int check_file(const char *path, const char *what, struct err *e)
{
	auto_close int fd = -1;

	if (path && file_open(AT_FDCWD, path, O_RDONLY, &fd, e) < 0)
		return err_wrap(e, "%s", what);
	return 0;
}

int kube_client_new(struct event_base *base, struct http_client *http, struct kube_access *access,
		    struct kube_client **ret, struct err *e)
{
	int rc = check_file(access->ca_file, "certificate-authority", e);

	if (rc == 0)
		rc = check_file(access->cert_file, "client-certificate", e);
	if (rc == 0)
		rc = check_file(access->key_file, "client-key", e);
	if (rc == 0)
		rc = http_client_load(http, e);
	if (rc < 0)
		return rc;
	*ret = xcalloc(1, sizeof(**ret));
	**ret = (struct kube_client){ .base = base, .http = http, .access = *access };
	*access = (struct kube_access){ 0 };
	return 0;
}

void kube_client_free(struct kube_client *c)
{
	if (!c)
		return;
	kube_access_fini(&c->access);
	free(c);
}

const char *kube_client_server(const struct kube_client *c)
{
	return c->access.server;
}

void kube_client_counts(const struct kube_client *c, uint64_t *ret_calls, uint64_t *ret_patches)
{
	*ret_calls = c->calls;
	*ret_patches = c->patches;
}

static void call_free(struct kube_call *call)
{
	event_free(call->start);
	kube_stream_fini(&call->stream);
	free(call->path);
	free(call->patch);
	free(call);
}

static void end(struct kube_call *call, const struct kube_answer *answer, const char *body,
		size_t size, bool sent)
{
	struct kube_client *c = call->client;
	int64_t until = clock_boot_ms() + answer->wait_ms;

	call->http = NULL;
	if (answer->wait_ms)
		c->quiet_until_ms = MAX(c->quiet_until_ms, until);
	call->done(call->arg, answer, body, size, sent);
	call_free(call);
}

static void fail(struct kube_call *call, int code, const char *text, bool sent)
{
	struct kube_answer answer = { .outcome = KUBE_LATER };

	err_set(&answer.err, code, "%s", text);
	end(call, &answer, "", 0, sent);
}

/* A success: what is left of it besides its pieces. */
static void end_well(struct kube_call *call, const struct http_reply *reply)
{
	struct kube_answer answer = { .outcome = KUBE_OK };
	const char *rest = reply->body;
	size_t size = reply->body_size;
	struct err e;

	if (!call->ask.piece) {
		kube_answer_read(reply->status, rest, size, reply->retry_after_s, &answer);
	} else if (kube_stream_end(&call->stream, &rest, &size, &e) < 0) {
		fail(call, e.code, e.text, true);
		return;
	}
	end(call, &answer, rest ? rest : "", rest ? size : 0, true);
}

static void on_done(void *arg, const struct http_reply *reply)
{
	struct kube_call *call = arg;
	struct kube_answer answer;

	call->http = NULL;
	if (reply->code) {
		fail(call, reply->code, reply->error, reply->sent);
	} else if (reply->status == 200) {
		end_well(call, reply);
	} else {
		kube_answer_read(reply->status, reply->body, reply->body_size, reply->retry_after_s,
				 &answer);
		end(call, &answer, "", 0, true);
	}
}

static void on_piece(void *arg, const char *text, size_t size)
{
	struct kube_call *call = arg;

	if (!call->cancelled)
		call->ask.piece(call->arg, text, size);
}

static void on_data(void *arg, const char *data, size_t size)
{
	struct kube_call *call = arg;
	struct err e;
	int rc;

	call->busy = true;
	rc = kube_stream_feed(&call->stream, data, size, &e);
	call->busy = false;
	if (call->cancelled) {
		call_free(call);
	} else if (rc < 0) {
		http_call_cancel(STEAL(call->http));
		fail(call, rc, e.text, true);
	}
}

static void on_open(void *arg)
{
	struct kube_call *call = arg;

	call->ask.open(call->arg);
}

static void on_start(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct kube_call *call = arg;
	struct kube_client *c = call->client;
	const struct kube_access *a = &c->access;
	const struct http_tls tls = { a->ca_file, a->cert_file, a->key_file,
				      a->ca_pem,  a->cert_pem,  a->key_pem };
	auto_free char *url = xasprintf("%s%s", a->server, call->path);
	auto_secret char *token = NULL;
	auto_secret char *bearer = NULL;
	const char *headers[4] = { "Accept: application/json" };
	size_t n = 1;
	struct http_request request = {
		.url = url,
		.headers = headers,
		.method = call->patch ? "PATCH" : NULL,
		.body = call->patch,
		.body_size = call->patch ? strlen(call->patch) : 0,
		.tls = &tls,
		.connect_timeout_ms = CONNECT_TIMEOUT_MS,
		.timeout_ms = call->ask.endless ? 0 : CALL_TIMEOUT_MS,
		.max_reply_size = call->ask.piece ? DELIVERY_MAX_SIZE : KUBE_OBJECT_MAX_SIZE,
		.on_open = call->ask.open ? on_open : NULL,
		.on_data = call->ask.piece ? on_data : NULL,
		.on_done = on_done,
		.arg = call,
	};
	struct err e;

	if (kube_access_token(&c->access, &token, &e) < 0) {
		fail(call, e.code, e.text, false);
		return;
	}
	if (token)
		headers[n++] = bearer = xasprintf("Authorization: Bearer %s", token);
	if (call->patch)
		headers[n++] = "Content-Type: application/strategic-merge-patch+json";
	c->calls++;
	c->patches += call->patch != NULL;
	call->http = http_call_start(c->http, &request);
}

struct kube_call *kube_call_start(struct kube_client *c, const struct kube_ask *ask,
				  kube_done_fn *done, void *arg)
{
	struct kube_call *call = xcalloc(1, sizeof(*call));
	int64_t wait_ms = MAX(c->quiet_until_ms - clock_boot_ms(), INT64_C(0));
	struct timeval tv = { wait_ms / 1000, wait_ms % 1000 * 1000 };

	*call = (struct kube_call){ .client = c, .ask = *ask, .done = done, .arg = arg };
	call->path = xstrdup(ask->path);
	call->patch = ask->patch ? xstrdup(ask->patch) : NULL;
	kube_stream_init(&call->stream, ask->form, on_piece, call);
	call->start = evtimer_new(c->base, on_start, call);
	event_add(call->start, &tv);
	return call;
}

void kube_call_cancel(struct kube_call *call)
{
	if (!call)
		return;
	http_call_cancel(STEAL(call->http));
	call->cancelled = true;
	if (!call->busy)
		call_free(call);
}
