/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC over libcurl's HTTP/2: one connection to each origin, which all its calls share.
 *
 * Over TLS both sides agree on HTTP/2 when they shake hands. On a plain port it must be known
 * before, and libcurl 7.88 refuses that for a connection that stands already: so one call, the
 * opener, makes a connection with that knowledge, and all others wait until it has been answered on.
 * From then on they go as calls that would take HTTP/2 if the server had it: on the connection that
 * stands it has. If there is none any more such a call is not let make one, which would be of
 * HTTP/1.1: it is sent again as an opener.
 *
 *   call ──> a connection stands? ──yes──> sent on it ──(it was gone)──┐
 *              │ no                                                    v
 *              └──> somebody opens one? ──yes──> held             the opener
 *                            └──────────no─────────────────────────────^
 *
 * A call ends with its grpc-status, which libcurl 7.88 tells long before it takes a stream whose own
 * side is open for done. It also may leave the end of an answer unread, until it is asked once more.
 * Seen with 7.88.1, 8.14.1 and 8.23.0.
 */
#include "lib/http_internal.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/grpc.h"

static struct http_origin *find_origin(struct http_client *client, const char *url)
{
	const char *host = strstr(url, "://");
	size_t size = host ? (size_t)(host - url) + 3 : 0;
	struct http_origin *origin;

	size += strcspn(url + size, "/");
	for (origin = client->origins; origin; origin = origin->next) {
		if (strlen(origin->name) == size && memcmp(origin->name, url, size) == 0)
			return origin;
	}
	origin = xcalloc(1, sizeof(*origin));
	origin->client = client;
	origin->name = xstrndup(url, size);
	origin->is_tls = strncmp(url, "https:", 6) == 0;
	TAILQ_INIT(&origin->held);
	TAILQ_INIT(&origin->streams);
	origin->next = client->origins;
	client->origins = origin;
	return origin;
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose UNUSED, struct curl_sockaddr *addr)
{
	struct http_call *call = arg;
	struct http_origin *origin = call->origin;
	curl_socket_t fd = CURL_SOCKET_BAD;

	call->is_late = !call->is_opener && !origin->is_tls;
	if (!call->is_late)
		fd = http_open_socket(call->client, addr);
	if (fd != CURL_SOCKET_BAD) {
		GROW(origin->sockets, origin->sockets_len, origin->sockets_cap);
		origin->sockets[origin->sockets_len++] = fd;
	}
	return fd;
}

static int close_socket(void *arg, curl_socket_t fd)
{
	struct http_origin *origin = arg;

	for (size_t i = 0; i < origin->sockets_len; i++) {
		if (origin->sockets[i] == fd)
			origin->sockets[i--] = origin->sockets[--origin->sockets_len];
	}
	if (origin->sockets_len == 0)
		origin->is_open = false;
	return http_close_socket(origin->client, fd);
}

static size_t on_read(char *buffer, size_t size, size_t len, void *arg)
{
	struct http_call *call = arg;
	size_t n = MIN(size * len, call->request.body_size - call->out_read);

	/* A stream's own side stays open: to some servers its end is that of the stream. */
	if (n == 0 && call->request.on_data)
		return CURL_READFUNC_PAUSE;
	memcpy(buffer, call->out + call->out_read, n);
	call->out_read += n;
	return n;
}

/*
 * On a connection that turns out to be closed libcurl would send the request again by itself, and the
 * first may have been acted on.
 */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct http_call *call = arg;

	if (call->request.fresh || call->request.on_data || offset != 0 || origin != SEEK_SET)
		return CURL_SEEKFUNC_FAIL;
	call->out_read = 0;
	return CURL_SEEKFUNC_OK;
}

static void note_status(struct http_call *call, const char *line, size_t size)
{
	size_t value_size;
	const char *value = grpc_header(line, size, "grpc-status", &value_size);

	if (value) {
		call->grpc_status = grpc_status_read(value, value_size);
	} else if ((value = grpc_header(line, size, "grpc-message", &value_size))) {
		free(call->grpc_message);
		call->grpc_message = grpc_message_read(value, value_size);
	}
	if (call->grpc_status == 0 || (call->grpc_status > 0 && call->grpc_message))
		http_call_end(call);
}

static void note_bytes(struct http_call *call, size_t size)
{
	call->client->grpc_bytes += size;
	call->origin->bytes += size;
}

static bool starts_with(const char *line, size_t size, const char *word)
{
	return size > strlen(word) && memcmp(line, word, strlen(word)) == 0;
}

static size_t on_header(char *line, size_t size, size_t len, void *arg)
{
	struct http_call *call = arg;
	size_t n = size * len;

	note_bytes(call, n);
	http_clock_hear(call->client, call->easy, line, n);
	if (starts_with(line, n, "HTTP/2") && call->origin->sockets_len) {
		call->origin->is_open = true;
		/* A stream may live longer than the connection is good for others. */
		if (call->origin->opener == call)
			call->origin->opener = NULL;
	} else if (starts_with(line, n, "HTTP/1")) {
		/* Whatever else comes, libcurl would wait for our side of a stream. */
		call->is_http1 = true;
		return 0;
	}
	note_status(call, line, n);
	return n;
}

static size_t on_write(char *data, size_t size, size_t len, void *arg)
{
	struct http_call *call = arg;

	note_bytes(call, size * len);
	if (call->in_size + size * len <= call->request.max_reply_size)
		return http_on_write(data, size, len, call);
	/* An error here would cost all others the connection. */
	call->too_large = true;
	http_call_end(call);
	return size * len;
}

static void add(struct http_call *call, bool as_opener)
{
	long version = as_opener && !call->origin->is_tls ? CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE
							  : CURL_HTTP_VERSION_2TLS;

	call->is_opener = as_opener;
	call->bytes_before = call->origin->bytes;
	if (as_opener)
		call->origin->opener = call;
	curl.easy_setopt(call->easy, CURLOPT_HTTP_VERSION, version);
	curl.easy_setopt(call->easy, CURLOPT_FRESH_CONNECT, (long)as_opener);
	http_call_add(call);
}

/* As where it stands at this moment demands. */
void http_grpc_send(struct http_call *call)
{
	struct http_origin *origin = call->origin;

	if (origin->is_open) {
		add(call, false);
	} else if (origin->opener) {
		call->is_held = true;
		TAILQ_INSERT_TAIL(&origin->held, call, held_link);
	} else {
		add(call, true);
	}
}

void http_grpc_start(struct http_call *call, const struct http_request *request)
{
	CURL *easy = call->easy;

	call->origin = find_origin(call->client, request->url);
	call->grpc_status = -1;
	call->out = xmalloc(MAX(request->body_size, (size_t)1));
	memcpy(call->out, request->body, request->body_size);
	if (request->on_doubt)
		TAILQ_INSERT_TAIL(&call->origin->streams, call, doubt_link);
	call->headers = curl.slist_append(call->headers, "Accept:");
	curl.easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
	curl.easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl.easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
	curl.easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
	curl.easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, call->origin);
	curl.easy_setopt(easy, CURLOPT_FORBID_REUSE, 0L);
	curl.easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
	curl.easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl.easy_setopt(easy, CURLOPT_HEADERDATA, call);
	curl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
	curl.easy_setopt(easy, CURLOPT_POST, 1L);
	curl.easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
			 request->on_data ? (curl_off_t)-1 : (curl_off_t)request->body_size);
	curl.easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
	curl.easy_setopt(easy, CURLOPT_READDATA, call);
	curl.easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
	curl.easy_setopt(easy, CURLOPT_SEEKDATA, call);
	http_grpc_send(call);
}

/* True if there were some. */
static bool release_held(struct http_origin *origin)
{
	struct http_call *call;
	bool any = false;

	while ((call = TAILQ_FIRST(&origin->held)) && (origin->is_open || !origin->opener)) {
		TAILQ_REMOVE(&origin->held, call, held_link);
		call->is_held = false;
		add(call, !origin->is_open);
		any = true;
	}
	return any;
}

/*
 * One call's end is no reason for libcurl to give up a connection, which others may be using. If nothing
 * at all has come meanwhile it is of no use to anybody.
 */
void http_grpc_timed_out(struct http_call *call)
{
	const struct http_origin *origin = call->origin;

	if (!call->is_added || origin->bytes != call->bytes_before)
		return;
	for (size_t i = 0; i < origin->sockets_len; i++)
		shutdown(origin->sockets[i], SHUT_RDWR);
}

static void doubt(struct http_origin *origin)
{
	struct http_call *stream;

	TAILQ_FOREACH (stream, &origin->streams, doubt_link)
		stream->request.on_doubt(stream->request.arg);
}

/* Nothing came for anybody, and nobody but streams could have asked for it. */
static void doubt_what_is_open(struct http_client *client)
{
	struct http_call *stream;
	size_t streams = 0;

	for (struct http_origin *origin = client->origins; origin; origin = origin->next) {
		TAILQ_FOREACH (stream, &origin->streams, doubt_link)
			streams += stream->is_added;
	}
	if (client->grpc_calls > streams)
		return;
	for (struct http_origin *origin = client->origins; origin; origin = origin->next) {
		if (origin->is_open)
			doubt(origin);
	}
}

void http_grpc_look(struct http_client *client, bool readable, size_t bytes_before)
{
	bool released = false;
	size_t before;
	int running;

	if (!client->origins)
		return;
	for (struct http_origin *origin = client->origins; origin; origin = origin->next)
		released |= release_held(origin);
	/* They are begun by this: of sockets that multi_perform opens libcurl 8 says nothing to who waits for
	 * them. */
	if (released)
		curl.multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	do {
		before = client->grpc_bytes;
		if (client->grpc_calls)
			curl.multi_perform(client->multi, &running);
	} while (client->grpc_bytes != before);
	if (readable && client->grpc_bytes == bytes_before)
		doubt_what_is_open(client);
}

bool http_grpc_may_go_again(struct http_call *call, CURLcode result)
{
	if (!call->is_late || result == CURLE_OPERATION_TIMEDOUT)
		return false;
	call->is_late = false;
	call->origin->is_open = false;
	call->out_read = call->in_size = 0;
	call->error[0] = '\0';
	return true;
}

/*
 * Whether the failure is what a server of something else makes of HTTP/2, or makes of us: nothing was
 * heard that is HTTP/2, though there was a connection.
 */
static bool looks_foreign(const struct http_call *call, CURLcode result)
{
	curl_off_t connected = 0;

	curl.easy_getinfo(call->easy, CURLINFO_CONNECT_TIME_T, &connected);
	if (!call->is_opener || call->origin->is_open || call->request.fresh || connected <= 0)
		return false;
	switch (result) {
	case CURLE_HTTP2:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR: /* it was gone before we had said all */
	case CURLE_RECV_ERROR:
		return !call->origin->is_tls;
	default:
		return false;
	}
}

void http_grpc_judge(struct http_call *call, CURLcode result, struct http_reply *reply)
{
	reply->grpc_status = call->grpc_status;
	reply->grpc_message = call->grpc_message ? call->grpc_message : "";
	if (call->grpc_status >= 0 && !call->too_large) {
		reply->code = 0;
		return;
	}
	if (call->is_http1) {
		reply->code = -EPROTONOSUPPORT;
		reply->error = "it answers in HTTP/1";
	} else if (looks_foreign(call, result)) {
		reply->code = -EPROTONOSUPPORT;
		reply->error = "it does not take HTTP/2";
	}
}

void http_grpc_leave(struct http_call *call, const struct http_reply *reply)
{
	struct http_origin *origin = call->origin;
	struct http_call *held;

	if (call->is_held)
		TAILQ_REMOVE(&origin->held, call, held_link);
	if (call->request.on_doubt)
		TAILQ_REMOVE(&origin->streams, call, doubt_link);
	free(call->out);
	if (origin->opener != call)
		return;
	origin->opener = NULL;
	if (reply && reply->code)
		doubt(origin);
	/* Those that waited for the connection that there is not: none of them was sent. */
	while (reply && reply->code && !origin->is_open && (held = TAILQ_FIRST(&origin->held))) {
		TAILQ_REMOVE(&origin->held, held, held_link);
		held->is_held = false;
		held->unsent = reply->code;
		snprintf(held->error, sizeof(held->error), "%s", reply->error);
		http_call_end(held);
	}
	event_active(call->client->kick, EV_TIMEOUT, 0);
}

void http_grpc_fini(struct http_client *client)
{
	while (client->origins) {
		struct http_origin *origin = client->origins;

		client->origins = origin->next;
		free(origin->name);
		free(origin->sockets);
		free(origin);
	}
}
