/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/etcd/etcd_stream.h"

#include <string.h>

#include "lib/clock.h"
#include "stores/etcd/etcd_internal.h"

/* What comes at once. */
#define DELIVERY_MAX_SIZE ((size_t)64 << 20)
/* One large catch-up message must not stay allocated for ever. */
#define KEPT_MAX_SIZE ((size_t)256 << 10)

struct etcd_stream {
	const struct etcd_transport *transport;
	struct etcd_listener listener;
	struct http_call *http;
	char *url; /* where and how it was opened, for the log */
	int64_t opened_ms;
	char *data; /* bytes of messages that are not yet told */
	size_t size;
	size_t cap;
	size_t seen; /* of them, by transport->message_size */
	bool busy;   /* inside a callback */
	bool closed;
};

static void stream_free(struct etcd_stream *s)
{
	free(s->url);
	free(s->data);
	free(s);
}

void etcd_stream_close(struct etcd_stream *s)
{
	if (!s)
		return;
	http_call_cancel(STEAL(s->http));
	s->closed = true;
	if (!s->busy)
		stream_free(s);
}

static void end(struct etcd_stream *s, int code, const char *text)
{
	if (s->closed)
		return;
	http_call_cancel(STEAL(s->http));
	s->closed = true;
	etcd_trace_end(s->url, text, s->opened_ms);
	s->listener.on_end(s->listener.arg, code, text);
}

/* Tells the first message if it is whole; its size, or 0. */
static size_t tell_message(struct etcd_stream *s, const char *data, size_t size)
{
	size_t n = s->transport->message_size(data, size, s->seen);
	struct etcd_watch_message m;
	struct err e;

	s->seen = size;
	if (MAX(n, n ? 0 : size) > s->listener.message_max) {
		end(s, ETCD_TOO_LARGE, "a message is larger than allowed");
		return 0;
	}
	if (n == 0 || n > size)
		return 0;
	s->seen = 0;
	if (s->transport->decode_watch(data, n, &m, &e) < 0) {
		end(s, ETCD_NOT_ETCD, e.text);
		return 0;
	}
	etcd_trace_message(s->url, &m, s->opened_ms);
	s->listener.on_message(s->listener.arg, &m);
	etcd_watch_message_fini(&m);
	return n;
}

static void append(struct etcd_stream *s, const char *data, size_t size)
{
	if (s->size + size > s->cap) {
		s->cap = MAX(s->cap * 2, s->size + size);
		s->data = xrealloc(s->data, s->cap);
	}
	memcpy(s->data + s->size, data, size);
	s->size += size;
}

static void keep_rest(struct etcd_stream *s, size_t told)
{
	s->size -= told;
	if (s->size)
		memmove(s->data, s->data + told, s->size);
	else if (s->cap > KEPT_MAX_SIZE)
		s->cap = (free(STEAL(s->data)), 0);
}

static void on_data(void *arg, const char *data, size_t size)
{
	struct etcd_stream *s = arg;
	size_t told = 0;
	size_t n;

	s->busy = true;
	append(s, data, size);
	while (!s->closed && told < s->size &&
	       (n = tell_message(s, s->data + told, s->size - told)))
		told += n;
	s->busy = false;
	if (s->closed)
		stream_free(s);
	else
		keep_rest(s, told);
}

static void on_done(void *arg, const struct http_reply *reply)
{
	struct etcd_stream *s = arg;
	char text[ETCD_TEXT_MAX] = "";
	int code = s->transport->decode_end(reply, text);

	s->http = NULL;
	s->busy = true;
	end(s, code, text);
	stream_free(s);
}

static void on_doubt(void *arg)
{
	struct etcd_stream *s = arg;

	if (!s->closed)
		s->listener.on_doubt(s->listener.arg);
}

struct etcd_stream *etcd_stream_open(struct http_client *http,
				     const struct etcd_transport *transport,
				     const struct http_request *request,
				     const struct etcd_listener *listener)
{
	struct etcd_stream *s = xcalloc(1, sizeof(*s));
	struct http_request filled = *request;

	s->transport = transport;
	s->url = xstrdup(request->url);
	s->opened_ms = clock_boot_ms();
	s->listener = *listener;
	filled.max_reply_size = DELIVERY_MAX_SIZE;
	filled.on_data = on_data;
	filled.on_doubt = on_doubt;
	filled.on_done = on_done;
	filled.arg = s;
	s->http = http_call_start(http, &filled);
	return s;
}
