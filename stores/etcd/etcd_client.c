/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/etcd/etcd_client.h"

#include <errno.h>

#include "lib/clock.h"
#include "lib/protobuf.h"
#include "lib/secret.h"
#include "stores/etcd/etcd_endpoint.h"
#include "stores/etcd/etcd_grpc.h"
#include "stores/etcd/etcd_internal.h"
#include "stores/etcd/etcd_json.h"

#define VERSION_MAX_SIZE 4096 /* {"etcdserver":"3.5.16","etcdcluster":"3.5.0"} */

struct etcd_client {
	struct http_client *http;
	struct etcd_endpoint *endpoints;
	size_t endpoints_len;
	size_t current;
	const struct etcd_transport *transport; /* asked for, or tried first */
	bool falls_back;                        /* to JSON, where gRPC is not spoken */
	struct http_tls tls;
	char *ca_file;
	char *cert_file;
	char *key_file;
	char *username;
	char *password;
	char *password_file;
	char *token;
	bool auth_disabled; /* the server says that it has no users */
	int64_t connect_timeout_ms;
	int64_t call_timeout_ms;
	struct etcd_call *login;
	struct etcd_call *calls; /* all, linked by next */
	struct http_call *clock_call;
	void (*clock_done)(void *arg);
	void *clock_arg;
};

struct etcd_call {
	struct etcd_client *client;
	struct etcd_call *next;
	struct etcd_ask ask;
	size_t body_size; /* as it was sent last */
	bool write;
	bool is_login;
	bool waits_for_login;
	bool login_is_over; /* the one it waited for */
	bool logged_in_again;
	bool pinned; /* to endpoint, see etcd_client_call_at */
	size_t endpoint;
	unsigned attempts;                      /* endpoints left behind */
	const struct etcd_transport *transport; /* of the last try, as well as */
	unsigned dialect;
	unsigned dialects; /* tried at this endpoint */
	int64_t asked_ms;
	struct http_call *http;
	etcd_call_fn *fn;
	void *arg;
};

static char *copy_if_set(const char *text)
{
	return text && *text ? xstrdup(text) : NULL;
}

int etcd_client_new(struct http_client *http, const struct etcd_options *options,
		    struct etcd_client **ret, struct err *e)
{
	struct etcd_client *c = xcalloc(1, sizeof(*c));
	int rc;

	c->http = http;
	etcd_client_set_timeouts(c, ETCD_CONNECT_TIMEOUT_MS, ETCD_CALL_TIMEOUT_MS);
	c->ca_file = copy_if_set(options->ca_file);
	c->cert_file = copy_if_set(options->cert_file);
	c->key_file = copy_if_set(options->key_file);
	c->username = copy_if_set(options->username);
	c->password = copy_if_set(options->password);
	c->password_file = copy_if_set(options->password_file);
	c->falls_back = !options->transport || strcmp(options->transport, "auto") == 0;
	c->transport = c->falls_back || strcmp(options->transport, "grpc") == 0
			       ? &etcd_grpc_transport
			       : &etcd_json_transport;
	rc = etcd_endpoints_parse(options->endpoints, c->cert_file && c->key_file, c->transport,
				  &c->endpoints, &c->endpoints_len, e);
	if (rc == 0)
		rc = etcd_options_are_usable(options, e);
	if (rc == 0)
		rc = http_client_load(http, e);
	if (rc == 0 && c->transport == &etcd_grpc_transport)
		rc = protobuf_load(e);
	if (rc < 0) {
		etcd_client_free(c);
		return rc;
	}
	c->tls = (struct http_tls){ .ca_file = c->ca_file,
				    .cert_file = c->cert_file,
				    .key_file = c->key_file };
	*ret = c;
	return 0;
}

void etcd_client_set_timeouts(struct etcd_client *c, int64_t connect_ms, int64_t call_ms)
{
	c->connect_timeout_ms = connect_ms;
	c->call_timeout_ms = call_ms;
}

static void call_free(struct etcd_call *call)
{
	struct etcd_call **link = &call->client->calls;

	while (*link != call)
		link = &(*link)->next;
	*link = call->next;
	if (call->client->login == call)
		call->client->login = NULL;
	etcd_ask_fini(&call->ask);
	free(call);
}

void etcd_client_free(struct etcd_client *c)
{
	if (!c)
		return;
	while (c->calls)
		etcd_call_cancel(c->calls);
	http_call_cancel(c->clock_call);
	etcd_endpoints_free(c->endpoints, c->endpoints_len);
	free(c->ca_file);
	free(c->cert_file);
	free(c->key_file);
	free(c->username);
	secret_free(c->password);
	free(c->password_file);
	free(c->token);
	free(c);
}

void etcd_call_cancel(struct etcd_call *call)
{
	if (!call)
		return;
	http_call_cancel(call->http);
	call_free(call);
}

/* Calls that were under way together move on together, not one endpoint each. */
void etcd_client_leave(struct etcd_client *c, size_t endpoint)
{
	if (endpoint == c->current)
		c->current = (c->current + 1) % c->endpoints_len;
}

void etcd_client_forget_token(struct etcd_client *c)
{
	free(STEAL(c->token));
}

bool etcd_client_needs_login(const struct etcd_client *c)
{
	return c->username && !c->token && !c->auth_disabled;
}

const char *etcd_client_url(const struct etcd_client *c, size_t endpoint)
{
	return c->endpoints[endpoint].url;
}

void etcd_client_describe(const struct etcd_client *c, json_t *object)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->endpoints_len; i++)
		json_append(list, etcd_endpoint_describe(&c->endpoints[i], i == c->current));
	json_object_set_new(object, "endpoints", list);
}

void etcd_client_problems(const struct etcd_client *c, struct problem_list *list)
{
	size_t without = 0;

	for (size_t i = 0; i < c->endpoints_len; i++)
		without += c->endpoints[i].not_spoken != NULL;
	/* Where nobody speaks it no request succeeds, and each says why. */
	for (size_t i = 0; i < c->endpoints_len && without < c->endpoints_len; i++) {
		const struct etcd_endpoint *ep = &c->endpoints[i];

		if (ep->not_spoken)
			problem_add(list, PROBLEM_WARNING, "store-endpoint",
				    "%s: %s; the other endpoints are asked in its place", ep->url,
				    ep->not_spoken);
	}
}

static void ignore_result(void *arg UNUSED, const struct etcd_result *result UNUSED)
{
}

void etcd_client_recheck(struct etcd_client *c)
{
	for (size_t i = 0; i < c->endpoints_len; i++) {
		if (c->endpoints[i].not_spoken)
			etcd_client_call_at(c, i, &(struct etcd_ask){ .method = ETCD_STATUS },
					    ignore_result, NULL);
	}
}

size_t etcd_client_current(const struct etcd_client *c)
{
	return c->current;
}

/* What is looked for was in the answer's head. */
static void on_clock(void *arg, const struct http_reply *reply UNUSED)
{
	struct etcd_client *c = arg;

	c->clock_call = NULL;
	if (c->clock_done)
		c->clock_done(c->clock_arg);
}

void etcd_client_ask_clock(struct etcd_client *c, size_t endpoint, void (*done)(void *arg),
			   void *arg)
{
	auto_free char *url = xasprintf("%s/version", c->endpoints[endpoint].url);
	struct http_request request = {
		.url = url,
		.tls = &c->tls,
		.connect_timeout_ms = c->connect_timeout_ms,
		.timeout_ms = c->call_timeout_ms,
		.max_reply_size = VERSION_MAX_SIZE,
		.fresh = true, /* there is no other use for a connection of this kind */
		.on_done = on_clock,
		.arg = c,
	};

	struct http_client *http;
	struct err e;

	http_call_cancel(STEAL(c->clock_call));
	c->clock_done = done;
	c->clock_arg = arg;
	/* It was loaded for the client itself. */
	if (http_client_apart(c->http, &http, &e) == 0)
		c->clock_call = http_call_start(http, &request);
}

#define HEADERS_MAX 8

/* Header lines for a request; those of the transport are its own. */
struct headers {
	const char *lines[HEADERS_MAX];
	char *token_line;
};

static void headers_init(struct headers *h, const struct etcd_client *c,
			 const struct etcd_transport *transport, enum etcd_method method)
{
	const char *const *lines = transport->headers(method);
	size_t len = 0;

	for (; lines[len]; len++)
		h->lines[len] = lines[len];
	h->token_line = c->token ? xasprintf("%s: %s", transport->token_header, c->token) : NULL;
	h->lines[len++] = h->token_line;
	h->lines[len] = NULL;
}

static void call_send(struct etcd_call *call);

static void finish(struct etcd_call *call, const struct etcd_result *result)
{
	etcd_call_fn *fn = call->fn;
	void *arg = call->arg;

	call_free(call);
	fn(arg, result);
}

static void on_login(void *arg, const struct etcd_result *result)
{
	struct etcd_client *c = arg;
	struct etcd_reply none = { 0 };
	struct etcd_result not_sent = *result;
	struct etcd_call *next;
	bool failed;

	not_sent.reached = false;
	not_sent.reply = &none;
	if (result->code == ETCD_OK && result->reply->token) {
		free(c->token);
		c->token = STEAL(result->reply->token);
	} else if (result->code == ETCD_FAILED_PRECONDITION &&
		   strstr(result->text, "authentication is not enabled")) {
		c->auth_disabled = true;
	} else if (result->code == ETCD_OK) {
		not_sent.code = ETCD_NOT_ETCD;
		snprintf(not_sent.text, sizeof(not_sent.text), "no token came of the login");
	}
	failed = etcd_client_needs_login(c);
	/* Those who ask from now on, also from inside the callbacks below, wait for another. */
	for (struct etcd_call *call = c->calls; call; call = call->next) {
		call->login_is_over = call->waits_for_login;
		call->waits_for_login = false;
	}
	for (struct etcd_call *call = c->calls; call; call = next) {
		next = call->next;
		if (!call->login_is_over)
			continue;
		call->login_is_over = false;
		if (failed) {
			finish(call, &not_sent);
			/* The callback may have cancelled others: start over. */
			next = c->calls;
		} else {
			call_send(call);
		}
	}
}

static struct etcd_call *new_call(struct etcd_client *c, const struct etcd_ask *ask,
				  etcd_call_fn *fn, void *arg)
{
	struct etcd_call *call = xcalloc(1, sizeof(*call));

	call->client = c;
	etcd_ask_copy(&call->ask, ask);
	call->write = etcd_ask_writes(ask);
	call->fn = fn;
	call->arg = arg;
	call->next = c->calls;
	c->calls = call;
	return call;
}

/* A file that cannot be read leaves the password that was right last. */
static void read_password(struct etcd_client *c)
{
	char *password;

	if (!c->password_file || secret_read(c->password_file, SECRET_GIVEN, &password, NULL) < 0)
		return;
	secret_free(c->password);
	c->password = password;
}

static void wait_for_login(struct etcd_call *call)
{
	struct etcd_client *c = call->client;

	call->waits_for_login = true;
	if (!c->login) {
		struct etcd_ask ask = { .method = ETCD_AUTHENTICATE };

		read_password(c);
		ask.name = c->username;
		ask.password = c->password;
		c->login = new_call(c, &ask, on_login, c);
		c->login->is_login = true;
		call_send(c->login);
	}
}

/* Whether another member might answer what this one could not. */
static bool worth_another_endpoint(const struct etcd_call *call, const struct etcd_result *result)
{
	return etcd_code_is_transient(result->code) && result->code != ETCD_TOO_LARGE &&
	       (!call->write || !result->reached) && !call->pinned &&
	       call->attempts + 1 < call->client->endpoints_len;
}

/* Whether it was refused for the lack of a token that is good now. */
static bool is_about_the_token(const struct etcd_result *result)
{
	return result->code == ETCD_UNAUTHENTICATED ||
	       (result->code == ETCD_INVALID_ARGUMENT &&
		(strstr(result->text, "user name is empty") ||
		 strstr(result->text, "revision of auth store is old")));
}

/* Calls that were under way together move on together, not one dialect each. */
static bool tries_another_dialect(struct etcd_call *call)
{
	struct etcd_endpoint *ep = &call->client->endpoints[call->endpoint];

	if (call->dialect == ep->dialect)
		ep->dialect = (ep->dialect + 1) % call->transport->dialects;
	if (++call->dialects < call->transport->dialects) {
		call_send(call);
		return true;
	}
	return false;
}

/* Asks by JSON from now on where gRPC is not spoken, if that is wished; `why` is the endpoint's fault. */
static bool falls_back(struct etcd_call *call, const char *why)
{
	if (!call->client->falls_back || call->transport != &etcd_grpc_transport)
		return false;
	etcd_endpoint_fall_back(&call->client->endpoints[call->endpoint], why);
	call->dialects = 0;
	call_send(call);
	return true;
}

/* Whether the request came to where it might be acted on. */
static bool was_reached(int code, const struct http_reply *http)
{
	if (code == ETCD_WRONG_MEMBER || code == ETCD_NOT_SPOKEN || code == ETCD_OTHER_DIALECT)
		return false;
	return !http->code || http->sent;
}

static void trace(const struct etcd_call *call, const struct etcd_endpoint *ep,
		  const struct http_reply *http)
{
	auto_free char *path = call->transport->path(call->ask.method, call->dialect);

	etcd_trace_call(ep->url, path, &call->ask, call->body_size, http, call->transport->grpc,
			call->asked_ms);
}

static void on_answer(void *arg, const struct http_reply *http)
{
	struct etcd_call *call = arg;
	struct etcd_client *c = call->client;
	struct etcd_endpoint *ep = &c->endpoints[call->endpoint];
	__attribute__((cleanup(etcd_reply_fini))) struct etcd_reply reply = { 0 };
	struct etcd_result result = { .reply = &reply };
	char text[ETCD_TEXT_MAX] = "";

	call->http = NULL;
	trace(call, ep, http);
	result.code = call->transport->decode(call->ask.method, http, &reply, text);
	result.reached = was_reached(result.code, http);
	if (result.code == ETCD_OTHER_DIALECT) {
		if (tries_another_dialect(call))
			return;
		result.code = ETCD_NOT_SPOKEN;
	}
	if (result.code == ETCD_NOT_SPOKEN && falls_back(call, text))
		return;
	etcd_endpoint_note_answer(ep, c->transport, result.code, http->code != 0, text);
	snprintf(result.text, sizeof(result.text), "%.90s: %.300s", ep->url, text);
	if (is_about_the_token(&result) && c->username && !call->logged_in_again &&
	    !call->is_login) {
		call->logged_in_again = true;
		c->auth_disabled = false;
		etcd_client_forget_token(c);
		wait_for_login(call);
		return;
	}
	if (result.code != ETCD_OK)
		etcd_endpoint_note_failure(ep, http->code ? http->error : result.text);
	if (etcd_code_is_transient(result.code) && result.code != ETCD_TOO_LARGE)
		etcd_client_leave(c, call->endpoint);
	if (worth_another_endpoint(call, &result)) {
		call->attempts++;
		call->dialects = 0;
		call_send(call);
		return;
	}
	finish(call, &result);
}

static void call_send(struct etcd_call *call)
{
	struct etcd_client *c = call->client;
	size_t endpoint = call->pinned ? call->endpoint : c->current;
	struct etcd_endpoint *ep = &c->endpoints[endpoint];
	auto_free char *path = ep->transport->path(call->ask.method, ep->dialect);
	auto_free char *url = xasprintf("%s%s", ep->url, path);
	size_t body_size;
	auto_secret char *body = ep->transport->encode(&call->ask, &body_size);
	struct headers headers;
	struct http_request request = {
		.url = url,
		.headers = headers.lines,
		.body = body,
		.body_size = body_size,
		.tls = &c->tls,
		.connect_timeout_ms = c->connect_timeout_ms,
		.timeout_ms = c->call_timeout_ms,
		.max_reply_size = ETCD_REPLY_MAX_SIZE,
		.fresh = call->write,
		.grpc = ep->transport->grpc,
		.on_done = on_answer,
		.arg = call,
	};

	headers_init(&headers, c, ep->transport, call->ask.method);
	call->endpoint = endpoint;
	call->asked_ms = clock_boot_ms();
	call->transport = ep->transport;
	call->dialect = ep->dialect;
	call->body_size = body_size;
	call->http = http_call_start(c->http, &request);
	free(headers.token_line);
}

static struct etcd_call *start(struct etcd_call *call)
{
	if (etcd_client_needs_login(call->client))
		wait_for_login(call);
	else
		call_send(call);
	return call;
}

struct etcd_call *etcd_client_call(struct etcd_client *c, const struct etcd_ask *ask,
				   etcd_call_fn *fn, void *arg)
{
	return start(new_call(c, ask, fn, arg));
}

struct etcd_call *etcd_client_call_at(struct etcd_client *c, size_t endpoint,
				      const struct etcd_ask *ask, etcd_call_fn *fn, void *arg)
{
	struct etcd_call *call = new_call(c, ask, fn, arg);

	call->pinned = true;
	call->endpoint = endpoint;
	return start(call);
}

static char *encode_all(const struct etcd_transport *transport, const struct etcd_ask *asks,
			size_t len, size_t *ret_size)
{
	char *body = NULL;

	*ret_size = 0;
	for (size_t i = 0; i < len; i++) {
		size_t size;
		auto_free char *one = transport->encode(&asks[i], &size);

		body = xrealloc(body, *ret_size + size);
		memcpy(body + *ret_size, one, size);
		*ret_size += size;
	}
	return body;
}

struct etcd_stream *etcd_client_stream(struct etcd_client *c, const struct etcd_ask *asks,
				       size_t len, const struct etcd_listener *listener,
				       size_t *ret_endpoint)
{
	const struct etcd_endpoint *ep = &c->endpoints[c->current];
	auto_free char *path = ep->transport->path(asks[0].method, ep->dialect);
	auto_free char *url = xasprintf("%s%s", ep->url, path);
	size_t body_size;
	auto_free char *body = encode_all(ep->transport, asks, len, &body_size);
	struct headers headers;
	struct http_request request = {
		.url = url,
		.headers = headers.lines,
		.body = body,
		.body_size = body_size,
		.tls = &c->tls,
		.connect_timeout_ms = c->connect_timeout_ms,
		.grpc = ep->transport->grpc,
	};
	struct etcd_stream *stream;

	headers_init(&headers, c, ep->transport, asks[0].method);
	*ret_endpoint = c->current;
	stream = etcd_stream_open(c->http, ep->transport, &request, listener);
	free(headers.token_line);
	return stream;
}
