/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/etcd/etcd_client.h"

#include <errno.h>

#include "lib/clock.h"
#include "lib/secret.h"
#include "stores/etcd/etcd_internal.h"

/* Of one message of a stream, or what comes of several at once. */
#define DELIVERY_MAX_SIZE ((size_t)64 << 20)

#define NO_GATEWAY                                                                                 \
	"has no JSON gateway; start that etcd with --enable-grpc-gateway=true (if it has a "       \
	"--config-file: \"enable-grpc-gateway: true\" there), and name members' client ports, "    \
	"not a "                                                                                   \
	"grpc-proxy"

/* The gateway's prefix by server version: 3.4 and later, 3.3, 3.2. */
static const char *const api_prefixes[] = { "/v3", "/v3beta", "/v3alpha" };

struct endpoint {
	char *url; /* scheme://host:port */
	size_t api_prefix;
	bool no_gateway; /* as it answered last */
	uint64_t errors;
	char last_error[300];
};

struct etcd_client {
	struct http_client *http;
	struct endpoint endpoints[ETCD_ENDPOINTS_MAX];
	size_t endpoints_len;
	size_t current;
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
};

struct etcd_call {
	struct etcd_client *client;
	struct etcd_call *next;
	char *path;
	char *body;
	bool write;
	bool is_login;
	bool waits_for_login;
	bool login_is_over; /* the one it waited for */
	bool logged_in_again;
	bool pinned; /* to endpoint, see etcd_client_call_at */
	size_t endpoint;
	unsigned attempts; /* endpoints left behind */
	size_t api_prefix; /* of the last try */
	unsigned prefixes; /* tried at this endpoint */
	int64_t asked_ms;
	struct http_call *http;
	etcd_call_fn *fn;
	void *arg;
};

static char *copy_if_set(const char *text)
{
	return text && *text ? xstrdup(text) : NULL;
}

/* What may be shown of an endpoint that is refused: in front of the "@" may stand a password. */
static const char *without_user(const char *given)
{
	const char *at = strrchr(given, '@');

	return at ? at + 1 : given;
}

/* host:port or scheme://host:port, nothing behind it. */
static int add_endpoint(struct etcd_client *c, const char *text, size_t size, struct err *e)
{
	auto_free char *given = xstrndup(text, size);
	const char *host = given;
	const char *scheme = c->cert_file && c->key_file ? "https" : "http";
	size_t host_size;

	if (strncmp(given, "http://", 7) == 0) {
		scheme = "http";
		host += 7;
	} else if (strncmp(given, "https://", 8) == 0) {
		scheme = "https";
		host += 8;
	} else if (strstr(given, "://")) {
		return err_set(e, -EINVAL, "\"%.100s\": the scheme must be http or https",
			       without_user(given));
	}
	host_size = strcspn(host, "/?#");
	if (host_size == 0 || strcspn(host, " \t@") < host_size ||
	    (host[host_size] && strcmp(host + host_size, "/") != 0))
		return err_set(e, -EINVAL,
			       "\"%.100s\" must be http://host:port or https://host:port",
			       without_user(given));
	if (c->endpoints_len == ETCD_ENDPOINTS_MAX)
		return err_set(e, -EINVAL, "more than %d endpoints", ETCD_ENDPOINTS_MAX);
	c->endpoints[c->endpoints_len++].url = xasprintf("%s://%.*s", scheme, (int)host_size, host);
	return 0;
}

static int add_endpoints(struct etcd_client *c, const char *list, struct err *e)
{
	for (const char *p = list; *p;) {
		size_t size = strcspn(p, ",");
		const char *next = p + size + (p[size] == ',');
		int rc;

		while (size && (*p == ' ' || *p == '\t')) {
			p++;
			size--;
		}
		while (size && (p[size - 1] == ' ' || p[size - 1] == '\t'))
			size--;
		rc = size ? add_endpoint(c, p, size, e) : 0;
		if (rc < 0)
			return rc;
		p = next;
	}
	return c->endpoints_len ? 0 : err_set(e, -EINVAL, "the list of endpoints is empty");
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
	rc = add_endpoints(c, options->endpoints, e);
	if (rc == 0)
		rc = etcd_options_are_usable(options, e);
	if (rc == 0)
		rc = http_client_load(http, e);
	if (rc < 0) {
		etcd_client_free(c);
		return rc;
	}
	c->tls = (struct http_tls){ c->ca_file, c->cert_file, c->key_file };
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
	free(call->path);
	secret_free(call->body); /* a login's holds a password */
	free(call);
}

void etcd_client_free(struct etcd_client *c)
{
	if (!c)
		return;
	while (c->calls)
		etcd_call_cancel(c->calls);
	for (size_t i = 0; i < c->endpoints_len; i++)
		free(c->endpoints[i].url);
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

	for (size_t i = 0; i < c->endpoints_len; i++) {
		const struct endpoint *ep = &c->endpoints[i];

		json_append(list,
			    json_pack("{s:s,s:b,s:I,s:o}", "url", ep->url, "current",
				      (int)(i == c->current), "errors", (json_int_t)ep->errors,
				      "last_error", json_text(ep->last_error)));
	}
	json_object_set_new(object, "endpoints", list);
}

void etcd_client_problems(const struct etcd_client *c, struct problem_list *list)
{
	size_t without = 0;

	for (size_t i = 0; i < c->endpoints_len; i++)
		without += c->endpoints[i].no_gateway;
	/* Where nobody has one no request succeeds, and each says why. */
	for (size_t i = 0; i < c->endpoints_len && without < c->endpoints_len; i++) {
		if (c->endpoints[i].no_gateway)
			problem_add(list, PROBLEM_WARNING, "store-endpoint",
				    "%s: %s; the other endpoints are asked in its place",
				    c->endpoints[i].url, NO_GATEWAY);
	}
}

static void ignore_result(void *arg UNUSED, const struct etcd_result *result UNUSED)
{
}

void etcd_client_recheck(struct etcd_client *c)
{
	for (size_t i = 0; i < c->endpoints_len; i++) {
		if (c->endpoints[i].no_gateway)
			etcd_client_call_at(c, i, "maintenance/status", "{}", ignore_result, NULL);
	}
}

static void note_failure(struct endpoint *ep, const char *text)
{
	ep->errors++;
	snprintf(ep->last_error, sizeof(ep->last_error), "%.*s", (int)sizeof(ep->last_error) - 1,
		 text);
}

/* Headers for a request; the array and the token line are the caller's. */
struct headers {
	const char *lines[4];
	char *token_line;
};

static void headers_init(struct headers *h, const struct etcd_client *c)
{
	size_t len = 0;

	h->token_line = c->token ? xasprintf("Authorization: %s", c->token) : NULL;
	h->lines[len++] = "Content-Type: application/json";
	/* Without this a member that lost its quorum keeps streams open in silence. */
	h->lines[len++] = "Grpc-Metadata-hasleader: true";
	if (h->token_line)
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
	struct etcd_result not_sent = *result;
	struct etcd_call *next;
	bool failed;

	not_sent.reached = false;
	not_sent.reply = NULL;
	if (result->code == ETCD_OK && etcd_decode_token(result->reply)) {
		free(c->token);
		c->token = xstrdup(etcd_decode_token(result->reply));
	} else if (result->code == ETCD_FAILED_PRECONDITION &&
		   strstr(result->text, "authentication is not enabled")) {
		c->auth_disabled = true;
	} else if (result->code == ETCD_OK) {
		not_sent.code = ETCD_NOT_GRPC;
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

static struct etcd_call *new_call(struct etcd_client *c, const char *path, const char *body,
				  bool write, etcd_call_fn *fn, void *arg)
{
	struct etcd_call *call = xcalloc(1, sizeof(*call));

	call->client = c;
	call->path = xstrdup(path);
	call->body = xstrdup(body);
	call->write = write;
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
		auto_secret char *body = NULL;

		read_password(c);
		body = etcd_encode_authenticate(c->username, c->password);
		c->login = new_call(c, "auth/authenticate", body, false, on_login, c);
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

/* An older server, or one without a gateway: "404 page not found" in plain text. */
static bool tries_another_prefix(struct etcd_call *call, struct etcd_result *result)
{
	struct endpoint *ep = &call->client->endpoints[call->endpoint];

	result->reached = false;
	if (call->api_prefix == ep->api_prefix)
		ep->api_prefix = (ep->api_prefix + 1) % ARRAY_LEN(api_prefixes);
	if (++call->prefixes < ARRAY_LEN(api_prefixes)) {
		call_send(call);
		return true;
	}
	return false;
}

/* Whether the server's end of the connection is gRPC's, which begins with a frame of HTTP/2. */
static bool speaks_http2_only(const struct http_reply *http)
{
	return http->code &&
	       (strstr(http->error, "HTTP/0.9") || strstr(http->error, "no application protocol"));
}

static void read_answer(const struct etcd_call *call, const struct http_reply *http,
			struct etcd_result *result, json_t **ret_reply)
{
	const char *url = call->client->endpoints[call->endpoint].url;
	char text[240] = "";

	if (http->code) {
		*result = (struct etcd_result){ .code = ETCD_UNAVAILABLE, .reached = http->sent };
		if (http->code == -EFBIG)
			result->code = ETCD_TOO_LARGE;
		snprintf(result->text, sizeof(result->text), "%s: %s", url, http->error);
		return;
	}
	result->reached = true;
	result->code = etcd_decode_answer(http->status, http->body, http->body_size, ret_reply,
					  text, sizeof(text));
	snprintf(result->text, sizeof(result->text), "%s: %s", url, text);
	if (result->code == ETCD_WRONG_MEMBER)
		result->reached = false;
}

static void on_answer(void *arg, const struct http_reply *http)
{
	struct etcd_call *call = arg;
	struct etcd_client *c = call->client;
	struct endpoint *ep = &c->endpoints[call->endpoint];
	struct etcd_result result = { 0 };
	bool not_found = !http->code && http->status == 404;
	auto_json json_t *reply = NULL;

	call->http = NULL;
	etcd_trace_call(ep->url, call->path, call->body, http, call->asked_ms);
	read_answer(call, http, &result, &reply);
	result.reply = reply;
	not_found &= result.code == ETCD_NOT_GRPC;
	if (not_found && tries_another_prefix(call, &result))
		return;
	if (not_found || speaks_http2_only(http)) {
		result.code = ETCD_NO_GATEWAY;
		result.reached = false;
		snprintf(result.text, sizeof(result.text), "%s: %s", ep->url, NO_GATEWAY);
	}
	if (result.code == ETCD_NO_GATEWAY || !http->code)
		ep->no_gateway = result.code == ETCD_NO_GATEWAY;
	if (is_about_the_token(&result) && c->username && !call->logged_in_again &&
	    !call->is_login) {
		call->logged_in_again = true;
		c->auth_disabled = false;
		etcd_client_forget_token(c);
		wait_for_login(call);
		return;
	}
	if (result.code != ETCD_OK)
		note_failure(ep, http->code ? http->error : result.text);
	if (etcd_code_is_transient(result.code) && result.code != ETCD_TOO_LARGE)
		etcd_client_leave(c, call->endpoint);
	if (worth_another_endpoint(call, &result)) {
		call->attempts++;
		call->prefixes = 0;
		call_send(call);
		return;
	}
	finish(call, &result);
}

static void call_send(struct etcd_call *call)
{
	struct etcd_client *c = call->client;
	size_t endpoint = call->pinned ? call->endpoint : c->current;
	auto_free char *url =
		xasprintf("%s%s/%s", c->endpoints[endpoint].url,
			  api_prefixes[c->endpoints[endpoint].api_prefix], call->path);
	struct headers headers;
	struct http_request request = {
		.url = url,
		.headers = headers.lines,
		.body = call->body,
		.body_size = strlen(call->body),
		.tls = &c->tls,
		.connect_timeout_ms = c->connect_timeout_ms,
		.timeout_ms = c->call_timeout_ms,
		.max_reply_size = ETCD_REPLY_MAX_SIZE,
		.fresh = call->write,
		.on_done = on_answer,
		.arg = call,
	};

	headers_init(&headers, c);
	call->endpoint = endpoint;
	call->asked_ms = clock_boot_ms();
	call->api_prefix = c->endpoints[endpoint].api_prefix;
	call->http = http_call_start(c->http, &request);
	free(headers.token_line);
}

struct etcd_call *etcd_client_call(struct etcd_client *c, const char *path, const char *body,
				   bool write, etcd_call_fn *fn, void *arg)
{
	struct etcd_call *call = new_call(c, path, body, write, fn, arg);

	if (etcd_client_needs_login(c))
		wait_for_login(call);
	else
		call_send(call);
	return call;
}

struct etcd_call *etcd_client_call_at(struct etcd_client *c, size_t endpoint, const char *path,
				      const char *body, etcd_call_fn *fn, void *arg)
{
	struct etcd_call *call = new_call(c, path, body, false, fn, arg);

	call->pinned = true;
	call->endpoint = endpoint;
	if (etcd_client_needs_login(c))
		wait_for_login(call);
	else
		call_send(call);
	return call;
}

struct http_call *etcd_client_stream(struct etcd_client *c, const char *path, const char *body,
				     void (*on_data)(void *arg, const char *data, size_t size),
				     void (*on_done)(void *arg, const struct http_reply *reply),
				     void *arg, size_t *ret_endpoint)
{
	auto_free char *url = xasprintf("%s%s/%s", etcd_client_url(c, c->current),
					api_prefixes[c->endpoints[c->current].api_prefix], path);
	struct headers headers;
	struct http_request request = {
		.url = url,
		.headers = headers.lines,
		.body = body,
		.body_size = strlen(body),
		.tls = &c->tls,
		.connect_timeout_ms = c->connect_timeout_ms,
		.max_reply_size = DELIVERY_MAX_SIZE,
		.on_data = on_data,
		.on_done = on_done,
		.arg = arg,
	};
	struct http_call *call;

	headers_init(&headers, c);
	*ret_endpoint = c->current;
	call = http_call_start(c->http, &request);
	free(headers.token_line);
	return call;
}
