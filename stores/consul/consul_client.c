/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/consul/consul_client.h"

#include <errno.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/http.h"
#include "lib/log.h"
#include "lib/secret.h"
#include "lib/endpoints.h"

#define CONNECT_TIMEOUT_MS 3000

struct endpoint {
	uint64_t errors;
	char last_error[CONSUL_TEXT_MAX];
};

struct consul_client {
	struct http_client *http;
	char **urls;
	size_t urls_len;
	struct endpoint *endpoints; /* same order */
	size_t current;
	char *datacenter; /* NULL: the agent's */
	char *ca_file;
	char *cert_file;
	char *key_file;
	struct http_tls tls;
	char *token_file;
	char *token; /* as it was read last */
	uint64_t token_number;
	uint64_t requests;
	struct consul_call *calls;
};

struct consul_call {
	struct consul_client *client;
	struct consul_call *next;
	struct consul_ask ask;
	char *path;
	char *body;
	bool pinned;
	size_t endpoint;
	unsigned attempts; /* endpoints left behind */
	uint64_t token;
	int64_t asked_ms;
	struct http_call *http;
	consul_call_fn *fn;
	void *arg;
};

static char *copy_if_set(const char *text)
{
	return text && *text ? xstrdup(text) : NULL;
}

int consul_client_new(struct http_client *http, const struct consul_options *options,
		      struct consul_client **ret, struct err *e)
{
	struct consul_options copy = *options;
	struct consul_client *c = xcalloc(1, sizeof(*c));
	int rc;

	c->http = http;
	c->datacenter = copy_if_set(options->datacenter);
	c->ca_file = copy_if_set(options->ca_file);
	c->cert_file = copy_if_set(options->cert_file);
	c->key_file = copy_if_set(options->key_file);
	c->token_file = copy_if_set(options->token_file);
	c->tls = (struct http_tls){ .ca_file = c->ca_file,
				    .cert_file = c->cert_file,
				    .key_file = c->key_file };
	rc = endpoints_read(options->endpoints, c->cert_file, &c->urls, &c->urls_len, e);
	if (rc < 0)
		err_wrap(e, "consul-endpoints");
	c->endpoints = xcalloc(ENDPOINTS_MAX, sizeof(*c->endpoints));
	if (rc == 0)
		rc = consul_options_check(&copy, e);
	if (rc == 0)
		rc = http_client_load(http, e);
	if (rc < 0) {
		consul_client_free(c);
		return rc;
	}
	*ret = c;
	return 0;
}

void consul_client_free(struct consul_client *c)
{
	if (!c)
		return;
	while (c->calls)
		consul_call_cancel(c->calls);
	endpoints_free(c->urls, c->urls_len);
	free(c->endpoints);
	free(c->datacenter);
	free(c->ca_file);
	free(c->cert_file);
	free(c->key_file);
	free(c->token_file);
	secret_free(c->token);
	free(c);
}

void consul_client_leave(struct consul_client *c, size_t endpoint)
{
	if (endpoint == c->current)
		c->current = (c->current + 1) % c->urls_len;
}

size_t consul_client_endpoints(const struct consul_client *c)
{
	return c->urls_len;
}

const char *consul_client_url(const struct consul_client *c, size_t endpoint)
{
	return c->urls[endpoint];
}

void consul_client_describe(const struct consul_client *c, json_t *object)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->urls_len; i++) {
		const struct endpoint *ep = &c->endpoints[i];

		json_append(list, json_pack("{s:s,s:b,s:s,s:I,s:o}", "url", c->urls[i], "current",
					    (int)(i == c->current), "transport", "http", "errors",
					    (json_int_t)ep->errors, "last_error",
					    json_text(ep->last_error)));
	}
	json_object_set_new(object, "endpoints", list);
	json_object_set_new(object, "requests", json_integer((json_int_t)c->requests));
}

static void call_free(struct consul_call *call)
{
	struct consul_call **link = &call->client->calls;

	while (*link != call)
		link = &(*link)->next;
	*link = call->next;
	free(call->path);
	free(call->body);
	free(call);
}

void consul_call_cancel(struct consul_call *call)
{
	if (!call)
		return;
	http_call_cancel(call->http);
	call_free(call);
}

/* A file that cannot be read now, as while it is replaced, leaves the token that was read last. */
static void read_token(struct consul_client *c)
{
	auto_secret char *token = NULL;

	if (!c->token_file || secret_read(c->token_file, SECRET_GIVEN, &token, NULL) < 0)
		return;
	if (c->token && strcmp(c->token, token) == 0)
		return;
	secret_free(c->token);
	c->token = STEAL(token);
	c->token_number++;
}

static void call_send(struct consul_call *call);

static void read_result(const struct consul_call *call, const struct http_reply *http,
			struct consul_result *ret)
{
	const char *filtered;
	char text[CONSUL_TEXT_MAX];

	ret->endpoint = call->endpoint;
	ret->token = call->token;
	ret->reached = !http->code || http->sent;
	ret->body = http->body;
	ret->size = http->body_size;
	if (http->code) {
		/* Somebody has answered, and more than is of use. */
		ret->outcome = http->code == -EFBIG ? CONSUL_INVALID : CONSUL_LATER;
		snprintf(text, sizeof(text), "%s", http->error);
	} else {
		ret->outcome = consul_outcome_of(http->status, http->body, http->body_size, text);
		ret->index = consul_index_of(http_reply_header(http, "X-Consul-Index"));
		filtered = http_reply_header(http, "X-Consul-Results-Filtered-By-ACLs");
		ret->filtered = filtered && strcmp(filtered, "true") == 0;
	}
	if (ret->outcome != CONSUL_OK)
		snprintf(ret->text, sizeof(ret->text), "%.90s: %.299s",
			 call->client->urls[call->endpoint], text);
}

static void on_answer(void *arg, const struct http_reply *http)
{
	struct consul_call *call = arg;
	struct consul_client *c = call->client;
	struct consul_result result = { 0 };
	consul_call_fn *fn = call->fn;
	void *fn_arg = call->arg;

	call->http = NULL;
	read_result(call, http, &result);
	log_debug("consul-call", "%s%s: %ld, %zu bytes, %lld ms%s%s", c->urls[call->endpoint],
		  call->path, http->status, http->body_size,
		  (long long)(clock_boot_ms() - call->asked_ms), result.text[0] ? ": " : "",
		  result.text);
	if (result.outcome == CONSUL_LATER) {
		struct endpoint *ep = &c->endpoints[call->endpoint];

		ep->errors++;
		snprintf(ep->last_error, sizeof(ep->last_error), "%.*s",
			 (int)sizeof(ep->last_error) - 1, result.text);
		consul_client_leave(c, call->endpoint);
		if (!call->pinned && (!call->body || !result.reached) &&
		    call->attempts + 1 < c->urls_len) {
			call->attempts++;
			call_send(call);
			return;
		}
	}
	call_free(call);
	fn(fn_arg, &result);
}

static void call_send(struct consul_call *call)
{
	struct consul_client *c = call->client;
	auto_free char *url = NULL;
	auto_secret char *token_line = NULL;
	const char *headers[] = { NULL, NULL };
	struct http_request request = {
		.headers = headers,
		.method = call->body ? "PUT" : NULL,
		.body = call->body,
		.body_size = call->body ? strlen(call->body) : 0,
		.tls = &c->tls,
		.connect_timeout_ms = CONNECT_TIMEOUT_MS,
		.timeout_ms = call->ask.timeout_ms ? call->ask.timeout_ms : CONSUL_CALL_TIMEOUT_MS,
		.max_reply_size = call->ask.max_size ? call->ask.max_size : CONSUL_ENTRY_MAX_SIZE,
		.fresh = call->body != NULL,
		.on_done = on_answer,
		.arg = call,
	};

	if (!call->pinned)
		call->endpoint = c->current;
	read_token(c);
	call->token = c->token_number;
	if (c->token)
		headers[0] = token_line = xasprintf("X-Consul-Token: %s", c->token);
	url = xasprintf("%s%s%s%s", c->urls[call->endpoint], call->path,
			!c->datacenter            ? ""
			: strchr(call->path, '?') ? "&dc="
						  : "?dc=",
			c->datacenter ? c->datacenter : "");
	request.url = url;
	call->asked_ms = clock_boot_ms();
	c->requests++;
	call->http = http_call_start(c->http, &request);
}

static struct consul_call *start(struct consul_client *c, const struct consul_ask *ask, bool pinned,
				 size_t endpoint, consul_call_fn *fn, void *arg)
{
	struct consul_call *call = xcalloc(1, sizeof(*call));

	*call = (struct consul_call){ .client = c,
				      .next = c->calls,
				      .ask = *ask,
				      .pinned = pinned,
				      .endpoint = endpoint,
				      .fn = fn,
				      .arg = arg };
	call->path = xstrdup(ask->path);
	call->body = ask->body ? xstrdup(ask->body) : NULL;
	c->calls = call;
	call_send(call);
	return call;
}

struct consul_call *consul_client_call(struct consul_client *c, const struct consul_ask *ask,
				       consul_call_fn *fn, void *arg)
{
	return start(c, ask, false, 0, fn, arg);
}

struct consul_call *consul_client_call_at(struct consul_client *c, size_t endpoint,
					  const struct consul_ask *ask, consul_call_fn *fn,
					  void *arg)
{
	return start(c, ask, true, endpoint, fn, arg);
}
