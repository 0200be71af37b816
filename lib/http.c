/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/http.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/http_error.h"
#include "lib/http_internal.h"

/* A peer whose host died or was cut off is given up after about 20 s. */
#define KEEPALIVE_IDLE_S     10
#define KEEPALIVE_INTERVAL_S 5
#define KEEPALIVE_COUNT      3
#define USER_TIMEOUT_MS      20000

static void call_free(struct http_call *call)
{
	if (call->has_ended)
		TAILQ_REMOVE(&call->client->ended, call, ended_link);
	if (call->deadline)
		event_free(call->deadline);
	curl.easy_cleanup(call->easy);
	curl.slist_free_all(call->headers);
	free(call->certificate);
	free(call->in);
	free(call->grpc_message);
	free(call);
}

static int code_of(CURLcode result)
{
	switch (result) {
	case CURLE_OK:
		return 0;
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return -ECONNREFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
		return -EPROTO;
	default:
		return -EIO;
	}
}

void http_call_add(struct http_call *call)
{
	call->is_added = true;
	call->client->grpc_calls += call->request.grpc;
	curl.multi_add_handle(call->client->multi, call->easy);
}

static void take_away(struct http_call *call)
{
	if (!call->is_added)
		return;
	call->is_added = false;
	call->client->grpc_calls -= call->request.grpc;
	curl.multi_remove_handle(call->client->multi, call->easy);
}

/* What libcurl says of the end; the sentence may have to be freed: *ret_owned. */
static void describe_end(struct http_call *call, CURLcode result, struct http_reply *reply,
			 char **ret_owned)
{
	curl_off_t retry_after_s = 0;
	long os_errno = 0;
	long sent = 0;

	curl.easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &reply->status);
	curl.easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &sent);
	curl.easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
	reply->sent = sent > 0;
	reply->retry_after_s = retry_after_s;
	reply->code = call->too_large ? -EFBIG : code_of(result);
	reply->error = call->error[0] ? call->error : curl.easy_strerror(result);
	/* libcurl's own sentence has the milliseconds in it, so that no two failures read alike. */
	if (result == CURLE_COULDNT_CONNECT &&
	    curl.easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &os_errno) == CURLE_OK && os_errno)
		reply->error = strerror((int)os_errno);
	else if (result != CURLE_OK)
		*ret_owned = http_error_explain(result, reply->error, call->certificate);
	if (*ret_owned)
		reply->error = *ret_owned;
	if (call->too_large)
		reply->error = "the answer is larger than allowed";
	if (call->is_overdue)
		reply->error = "timed out: no answer came in time";
	if (call->request.grpc)
		http_grpc_judge(call, result, reply);
}

static void finish(struct http_call *call, CURLcode result)
{
	auto_free char *owned = NULL;
	struct http_reply reply = { 0 };

	if (call->request.grpc && result == CURLE_OPERATION_TIMEDOUT)
		http_grpc_timed_out(call);
	take_away(call);
	if (call->unsent)
		reply = (struct http_reply){ .code = call->unsent,
					     .error = call->error,
					     .grpc_status = -1,
					     .grpc_message = "" };
	else
		describe_end(call, result, &reply, &owned);
	reply.call = call;
	reply.body = call->in ? call->in : "";
	reply.body_size = call->in_size;
	if (call->request.grpc)
		http_grpc_leave(call, &reply);
	call->request.on_done(call->request.arg, &reply);
	call_free(call);
}

/* Hands over what streams have brought. A callback may cancel any call, this one too. */
static void deliver(struct http_client *client)
{
	struct http_call *call;

	while ((call = TAILQ_FIRST(&client->streams))) {
		auto_free char *data = NULL;
		size_t size = call->in_size;

		if (call->open_is_due) {
			call->open_is_due = false;
			call->request.on_open(call->request.arg);
			continue;
		}
		TAILQ_REMOVE(&client->streams, call, streams_link);
		call->in_streams = false;
		if (!call->request.on_data || size == 0)
			continue;
		data = STEAL(call->in);
		call->in_size = call->in_cap = 0;
		call->request.on_data(call->request.arg, data, size);
	}
}

static bool is_sent_again(struct http_call *call, CURLcode result)
{
	if (!http_grpc_may_go_again(call, result))
		return false;
	take_away(call);
	http_grpc_send(call);
	return true;
}

void http_call_end(struct http_call *call)
{
	if (call->has_ended)
		return;
	call->has_ended = true;
	TAILQ_INSERT_TAIL(&call->client->ended, call, ended_link);
}

/* Those whose end libcurl has not seen, or will not. */
static void end(struct http_client *client)
{
	struct http_call *call;

	while ((call = TAILQ_FIRST(&client->ended)))
		finish(call, call->is_overdue ? CURLE_OPERATION_TIMEDOUT : CURLE_OK);
}

static void reap(struct http_client *client)
{
	CURLMsg *msg;
	CURLcode result;
	int left;

	while ((msg = curl.multi_info_read(client->multi, &left))) {
		struct http_call *call;

		if (msg->msg != CURLMSG_DONE)
			continue;
		result = msg->data.result;
		curl.easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &call);
		if (call->request.grpc && is_sent_again(call, result))
			continue;
		finish(call, result);
	}
}

/* Nobody's callback runs inside libcurl, where calls can be neither started nor cancelled. */
static void act(struct http_client *client, curl_socket_t fd, int what)
{
	size_t bytes_before = client->grpc_bytes;
	int running;

	curl.multi_socket_action(client->multi, fd, what, &running);
	http_grpc_look(client, what & CURL_CSELECT_IN, bytes_before);
	deliver(client);
	reap(client);
	end(client);
}

/*
 * Not libcurl's timer: it knows nothing of calls that are held, looks at none that waits for a connection
 * of another, and one that is about to run out while curl_multi_perform starts another call is forgotten.
 */
static void on_deadline(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct http_call *call = arg;

	call->is_overdue = !call->has_ended;
	http_call_end(call);
	act(call->client, CURL_SOCKET_TIMEOUT, 0);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	act(arg, (curl_socket_t)fd,
	    (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

/* libcurl says which socket it wants watched for what. `socketp` holds our event for it. */
static int want_socket(CURL *easy UNUSED, curl_socket_t fd, int what, void *arg, void *socketp)
{
	struct http_client *client = arg;
	struct event *ev = socketp;
	short flags = EV_PERSIST;

	if (ev)
		event_free(ev);
	ev = NULL;
	if (what != CURL_POLL_REMOVE) {
		flags |= (short)(what & CURL_POLL_IN ? EV_READ : 0);
		flags |= (short)(what & CURL_POLL_OUT ? EV_WRITE : 0);
		ev = event_new(client->base, (evutil_socket_t)fd, flags, on_socket, client);
		event_add(ev, NULL);
	}
	curl.multi_assign(client->multi, fd, ev);
	return 0;
}

static int want_timer(CURLM *multi UNUSED, long timeout_ms, void *arg)
{
	struct http_client *client = arg;
	struct timeval tv = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };

	if (timeout_ms < 0)
		event_del(client->timer);
	else
		event_add(client->timer, &tv);
	return 0;
}

struct http_client *http_client_new(struct event_base *base)
{
	struct http_client *client = xcalloc(1, sizeof(*client));

	client->base = base;
	TAILQ_INIT(&client->streams);
	TAILQ_INIT(&client->ended);
	client->timer = evtimer_new(base, on_timer, client);
	client->kick = event_new(base, -1, 0, on_timer, client);
	return client;
}

int http_client_load(struct http_client *client, struct err *e)
{
	int rc = client->multi ? 0 : curl_load(e);

	if (client->multi || rc < 0)
		return rc;
	client->multi = curl.multi_init();
	curl.multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl.multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
	curl.multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl.multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
	curl.multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)HTTP_HOST_CONNECTIONS_MAX);
	curl.multi_setopt(client->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
			  (long)HTTP_HOST_CONNECTIONS_MAX);
	return 0;
}

int http_client_apart(struct http_client *client, struct http_client **ret, struct err *e)
{
	if (!client->apart) {
		client->apart = http_client_new(client->base);
		client->apart->owner = client;
	}
	*ret = client->apart;
	return http_client_load(client->apart, e);
}

void http_client_free(struct http_client *client)
{
	if (!client)
		return;
	http_client_free(client->apart);
	if (client->multi)
		curl.multi_cleanup(client->multi);
	http_grpc_fini(client);
	event_free(client->timer);
	event_free(client->kick);
	free(client->sockets);
	free(client);
}

static int set_socket_options(void *arg UNUSED, curl_socket_t fd, curlsocktype purpose UNUSED)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S },
		{ IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S },
		{ IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS },
	};

	/* On a unix socket all but the first fail, and are not needed. */
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		setsockopt(fd, options[i].level, options[i].name, &options[i].value,
			   sizeof(options[i].value));
	return CURL_SOCKOPT_OK;
}

curl_socket_t http_open_socket(struct http_client *client, const struct curl_sockaddr *addr)
{
	/* libcurl asks for O_NONBLOCK by itself, and does not look whether it got it. */
	int fd =
		socket(addr->family, addr->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, addr->protocol);

	if (fd < 0)
		return CURL_SOCKET_BAD;
	GROW(client->sockets, client->sockets_len, client->sockets_cap);
	client->sockets[client->sockets_len++] = fd;
	return fd;
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose UNUSED, struct curl_sockaddr *addr)
{
	return http_open_socket(arg, addr);
}

int http_close_socket(struct http_client *client, curl_socket_t fd)
{
	for (size_t i = 0; i < client->sockets_len; i++) {
		if (client->sockets[i] == fd)
			client->sockets[i--] = client->sockets[--client->sockets_len];
	}
	return close(fd);
}

static int close_socket(void *arg, curl_socket_t fd)
{
	return http_close_socket(arg, fd);
}

/* Whether the address this socket is bound to is still one of this host's: another can be bound to
 * it. */
static bool has_its_address(int fd)
{
	struct sockaddr_storage own = { 0 };
	socklen_t size = sizeof(own);
	auto_close int probe = -1;

	if (getsockname(fd, (struct sockaddr *)&own, &size) < 0)
		return true;
	if (own.ss_family == AF_INET)
		((struct sockaddr_in *)&own)->sin_port = 0;
	else if (own.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&own)->sin6_port = 0;
	else
		return true;
	probe = socket(own.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return probe < 0 || bind(probe, (struct sockaddr *)&own, size) == 0 ||
	       errno != EADDRNOTAVAIL;
}

void http_client_addresses_changed(struct http_client *client)
{
	for (size_t i = 0; i < client->sockets_len; i++) {
		if (!has_its_address(client->sockets[i]))
			shutdown(client->sockets[i], SHUT_RDWR);
	}
}

static void add_to_streams(struct http_call *call)
{
	if (call->in_streams)
		return;
	TAILQ_INSERT_TAIL(&call->client->streams, call, streams_link);
	call->in_streams = true;
}

/* A line of the answer's head; an empty one ends it. */
static size_t on_header(char *line, size_t size, size_t len, void *arg)
{
	struct http_call *call = arg;
	size_t n = size * len;
	long status = 0;

	http_clock_hear(call->client, call->easy, line, n);
	if (!call->request.on_open || call->is_open || n == 0 ||
	    (line[0] != '\r' && line[0] != '\n'))
		return n;
	curl.easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status == 200) {
		call->is_open = call->open_is_due = true;
		add_to_streams(call);
	}
	return n;
}

size_t http_on_write(char *data, size_t size, size_t len, void *arg)
{
	struct http_call *call = arg;
	size_t n = size * len;
	long status = 0;

	curl.easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	if (call->request.on_data && status == 200)
		add_to_streams(call);
	if (call->in_size + n > call->request.max_reply_size) {
		call->too_large = true;
		return 0;
	}
	if (call->in_size + n + 1 > call->in_cap) {
		call->in_cap = MAX(call->in_cap * 2, call->in_size + n + 1);
		call->in = xrealloc(call->in, call->in_cap);
	}
	memcpy(call->in + call->in_size, data, n);
	call->in_size += n;
	call->in[call->in_size] = '\0';
	return n;
}

/* libcurl has a copy of the text then. */
static void set_pem(CURL *easy, CURLoption option, const char *pem)
{
	struct curl_blob blob = { .data = (void *)pem, .flags = CURL_BLOB_COPY };

	if (!pem)
		return;
	blob.len = strlen(pem);
	curl.easy_setopt(easy, option, &blob);
}

static void set_tls(CURL *easy, const struct http_tls *tls)
{
	curl.easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (!tls)
		return;
	if (tls->ca_file)
		curl.easy_setopt(easy, CURLOPT_CAINFO, tls->ca_file);
	set_pem(easy, CURLOPT_CAINFO_BLOB, tls->ca_pem);
	/* This authority and no other: the system's directory would count as well. */
	if (tls->ca_file || tls->ca_pem)
		curl.easy_setopt(easy, CURLOPT_CAPATH, NULL);
	set_pem(easy, CURLOPT_SSLCERT_BLOB, tls->cert_pem);
	set_pem(easy, CURLOPT_SSLKEY_BLOB, tls->key_pem);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* libcurl would keep what it read for a day; files may be replaced at any time. */
	curl.easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
#endif
	if (tls->cert_file)
		curl.easy_setopt(easy, CURLOPT_SSLCERT, tls->cert_file);
	if (tls->key_file)
		curl.easy_setopt(easy, CURLOPT_SSLKEY, tls->key_file);
}

static void set_up(struct http_call *call, const struct http_request *request)
{
	CURL *easy = call->easy;

	curl.easy_setopt(easy, CURLOPT_PRIVATE, call);
	curl.easy_setopt(easy, CURLOPT_URL, request->url);
	curl.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	/* http_proxy and its like in the environment are for the way out, not to a store or a socket. */
	curl.easy_setopt(easy, CURLOPT_PROXY, "");
	curl.easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl.easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
	curl.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl.easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
	curl.easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, set_socket_options);
	curl.easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl.easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call->client);
	curl.easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
	curl.easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, call->client);
	curl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, http_on_write);
	curl.easy_setopt(easy, CURLOPT_WRITEDATA, call);
	curl.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_timeout_ms);
	if (request->unix_socket)
		curl.easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, request->unix_socket);
	curl.easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long)request->fresh);
	curl.easy_setopt(easy, CURLOPT_FORBID_REUSE, (long)request->fresh);
	set_tls(easy, request->tls);
	curl.easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl.easy_setopt(easy, CURLOPT_HEADERDATA, call);
	if (request->tls && request->tls->cert_file)
		call->certificate = xstrdup(request->tls->cert_file);
	else if (request->tls && request->tls->cert_pem)
		call->certificate = xstrdup("the one that was given as a text");
}

struct http_call *http_call_start(struct http_client *client, const struct http_request *request)
{
	struct http_call *call = xcalloc(1, sizeof(*call));
	CURL *easy = curl.easy_init();
	int running;

	if (!easy)
		abort();
	call->client = client;
	call->request = *request;
	call->easy = easy;
	/* Without "Expect:" libcurl waits a second for a 100 that etcd never sends. */
	call->headers = curl.slist_append(call->headers, "Expect:");
	for (size_t i = 0; request->headers && request->headers[i]; i++)
		call->headers = curl.slist_append(call->headers, request->headers[i]);
	set_up(call, request);
	if (request->timeout_ms) {
		struct timeval tv = { request->timeout_ms / 1000,
				      request->timeout_ms % 1000 * 1000 };

		call->deadline = evtimer_new(client->base, on_deadline, call);
		event_add(call->deadline, &tv);
	}
	if (request->grpc) {
		http_grpc_start(call, request);
	} else if (request->body) {
		curl.easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
		curl.easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body);
	}
	if (request->method)
		curl.easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
	/* What the caller lent for this call only. */
	call->request.url = NULL;
	call->request.headers = NULL;
	call->request.method = NULL;
	call->request.body = NULL;
	call->request.tls = NULL;
	if (!request->grpc)
		http_call_add(call);
	/* On an open connection it leaves now and not in the loop's next turn, so that the server
	 * works while our caller does. What has ended by this is told in that turn. */
	curl.multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	event_active(client->kick, EV_TIMEOUT, 0);
	return call;
}

const char *http_reply_header(const struct http_reply *reply, const char *name)
{
	struct curl_header *header;

	if (reply->call->unsent ||
	    curl.easy_header(reply->call->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return NULL;
	return header->value;
}

void http_call_cancel(struct http_call *call)
{
	if (!call)
		return;
	if (call->in_streams)
		TAILQ_REMOVE(&call->client->streams, call, streams_link);
	take_away(call);
	if (call->request.grpc)
		http_grpc_leave(call, NULL);
	call_free(call);
}
