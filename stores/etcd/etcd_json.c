/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/etcd/etcd_json.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>

#include "lib/base64.h"
#include "subnet/store.h"

static char *encode_text(const char *text)
{
	return base64_encode(text, strlen(text));
}

char *etcd_encode_range(const char *key, const char *range_end, uint64_t limit, uint64_t revision)
{
	return etcd_encode_range_from(key, strlen(key), range_end, limit, revision);
}

char *etcd_encode_range_from(const char *key, size_t key_size, const char *range_end,
			     uint64_t limit, uint64_t revision)
{
	auto_free char *key64 = base64_encode(key, key_size);
	auto_free char *end64 = range_end ? encode_text(range_end) : NULL;
	auto_free char *end = end64 ? xasprintf(",\"range_end\":\"%s\"", end64) : xstrdup("");
	auto_free char *limit_text =
		limit ? xasprintf(",\"limit\":\"%" PRIu64 "\"", limit) : xstrdup("");
	auto_free char *revision_text =
		revision ? xasprintf(",\"revision\":\"%" PRIu64 "\"", revision) : xstrdup("");

	return xasprintf("{\"key\":\"%s\"%s%s%s}", key64, end, limit_text, revision_text);
}

char *etcd_encode_probe(const char *key)
{
	auto_free char *key64 = encode_text(key);

	return xasprintf("{\"key\":\"%s\",\"keys_only\":true}", key64);
}

char *etcd_encode_grant(int64_t id, int64_t ttl_s)
{
	return xasprintf("{\"TTL\":\"%" PRId64 "\",\"ID\":\"%" PRId64 "\"}", ttl_s, id);
}

char *etcd_encode_lease_id(int64_t id)
{
	return xasprintf("{\"ID\":\"%" PRId64 "\"}", id);
}

char *etcd_encode_authenticate(const char *name, const char *password)
{
	auto_json json_t *object = json_pack("{s:s,s:s}", "name", name, "password", password);
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	return text ? text : xstrdup("{}");
}

char *etcd_encode_txn_create(const char *key, const char *value, int64_t lease)
{
	auto_free char *key64 = encode_text(key);
	auto_free char *value64 = encode_text(value);

	return xasprintf("{\"compare\":[{\"key\":\"%s\",\"target\":\"CREATE\",\"result\":\"EQUAL\","
			 "\"create_revision\":\"0\"}],"
			 "\"success\":[{\"request_put\":{\"key\":\"%s\",\"value\":\"%s\","
			 "\"lease\":\"%" PRId64 "\"}}],"
			 "\"failure\":[{\"request_range\":{\"key\":\"%s\"}}]}",
			 key64, key64, value64, lease, key64);
}

char *etcd_encode_txn_update(const char *key, const char *value, uint64_t mod_revision,
			     int64_t lease)
{
	auto_free char *key64 = encode_text(key);
	auto_free char *value64 = encode_text(value);
	auto_free char *bound = lease ? xasprintf("\"lease\":\"%" PRId64 "\"", lease)
				      : xstrdup("\"ignore_lease\":true");

	return xasprintf("{\"compare\":[{\"key\":\"%s\",\"target\":\"MOD\",\"result\":\"EQUAL\","
			 "\"mod_revision\":\"%" PRIu64 "\"}],"
			 "\"success\":[{\"request_put\":{\"key\":\"%s\",\"value\":\"%s\","
			 "%s}}],"
			 "\"failure\":[{\"request_range\":{\"key\":\"%s\"}}]}",
			 key64, mod_revision, key64, value64, bound, key64);
}

char *etcd_encode_txn_delete(const char *key, uint64_t mod_revision)
{
	auto_free char *key64 = encode_text(key);

	return xasprintf("{\"compare\":[{\"key\":\"%s\",\"target\":\"MOD\",\"result\":\"EQUAL\","
			 "\"mod_revision\":\"%" PRIu64 "\"}],"
			 "\"success\":[{\"request_delete_range\":{\"key\":\"%s\"}}],"
			 "\"failure\":[{\"request_range\":{\"key\":\"%s\"}}]}",
			 key64, mod_revision, key64, key64);
}

char *etcd_encode_txn_set(const char *key, const char *value, int64_t lease)
{
	auto_free char *key64 = encode_text(key);
	auto_free char *value64 = encode_text(value);

	return xasprintf("{\"success\":[{\"request_put\":{\"key\":\"%s\",\"value\":\"%s\","
			 "\"lease\":\"%" PRId64 "\"}}]}",
			 key64, value64, lease);
}

char *etcd_encode_watch(const char *key, const char *range_end, uint64_t revision)
{
	auto_free char *key64 = encode_text(key);
	auto_free char *end64 = range_end ? encode_text(range_end) : NULL;
	auto_free char *end = end64 ? xasprintf(",\"range_end\":\"%s\"", end64) : xstrdup("");

	return xasprintf("{\"create_request\":{\"key\":\"%s\"%s,\"start_revision\":\"%" PRIu64 "\","
			 "\"fragment\":true}}\n",
			 key64, end, revision);
}

/* A field by either spelling. */
static const json_t *field(const json_t *object, const char *snake, const char *camel)
{
	const json_t *v = json_object_get(object, snake);

	return v || !camel ? v : json_object_get(object, camel);
}

struct etcd_header etcd_decode_header(const json_t *reply)
{
	const json_t *header = json_object_get(reply, "header");

	return (struct etcd_header){
		.cluster_id = json_uint64_lenient(field(header, "cluster_id", "clusterId")),
		.member_id = json_uint64_lenient(field(header, "member_id", "memberId")),
		.revision = json_uint64_lenient(json_object_get(header, "revision")),
	};
}

static int decode_bytes(const json_t *v, char **ret, size_t *ret_size, struct err *e)
{
	if (!v) {
		*ret = xstrdup("");
		*ret_size = 0;
		return 0;
	}
	if (!json_is_string(v))
		return err_set(e, -EINVAL, "not a base64 string");
	return base64_decode(json_string_value(v), json_string_length(v), ret, ret_size, e);
}

static int decode_kv(const json_t *object, bool deleted, struct etcd_kvs *kvs, struct err *e)
{
	auto_free char *key = NULL;
	auto_free char *value = NULL;
	size_t key_size;
	size_t value_size;

	if (decode_bytes(json_object_get(object, "key"), &key, &key_size, e) < 0)
		return err_wrap(e, "etcd: key");
	if (decode_bytes(json_object_get(object, "value"), &value, &value_size, e) < 0)
		return err_wrap(e, "etcd: value");
	etcd_kvs_add(kvs,
		     (struct etcd_kv){
			     .create_revision = json_uint64_lenient(
				     field(object, "create_revision", "createRevision")),
			     .mod_revision = json_uint64_lenient(
				     field(object, "mod_revision", "modRevision")),
			     .lease = json_int64_lenient(json_object_get(object, "lease")),
			     .deleted = deleted,
		     },
		     key, key_size, value, value_size);
	return 0;
}

int etcd_decode_range(const json_t *reply, struct etcd_header *ret_header, struct etcd_kvs *kvs,
		      struct err *e)
{
	const json_t *items = json_object_get(reply, "kvs");
	size_t i;
	json_t *item;

	json_array_foreach (items, i, item) {
		if (decode_kv(item, false, kvs, e) < 0)
			return e->code;
	}
	if (ret_header) {
		*ret_header = etcd_decode_header(reply);
		if (ret_header->revision == 0)
			return err_set(e, -EINVAL, "etcd: an answer without a revision");
	}
	return 0;
}

int etcd_decode_next_key(const json_t *reply, char **ret, size_t *ret_size, struct err *e)
{
	const json_t *items = json_object_get(reply, "kvs");
	const json_t *last = json_array_get(items, json_array_size(items) - 1);
	auto_free char *key = NULL;
	size_t size;

	if (!json_is_true(json_object_get(reply, "more"))) {
		*ret = NULL;
		return 0;
	}
	if (decode_bytes(json_object_get(last, "key"), &key, &size, e) < 0)
		return err_wrap(e, "etcd: key");
	if (size == 0)
		return err_set(e, -EINVAL, "etcd: there is more, but no key to go on from");
	/* The next key there can be: a NUL more, which stands behind what was decoded. */
	*ret = STEAL(key);
	*ret_size = size + 1;
	return 0;
}

int etcd_decode_txn(const json_t *reply, struct etcd_header *ret_header, bool *ret_succeeded,
		    struct etcd_kvs *kvs, struct err *e)
{
	const json_t *first = json_array_get(json_object_get(reply, "responses"), 0);
	const json_t *range = field(first, "response_range", "responseRange");

	*ret_header = etcd_decode_header(reply);
	*ret_succeeded = json_is_true(json_object_get(reply, "succeeded"));
	if (ret_header->revision == 0)
		return err_set(e, -EINVAL, "etcd: an answer without a revision");
	return range ? etcd_decode_range(range, NULL, kvs, e) : 0;
}

static int64_t decode_seconds(const json_t *reply, const char *member)
{
	const json_t *result = json_object_get(reply, "result");

	return MIN(json_int64_lenient(json_object_get(result ? result : reply, member)),
		   STORE_TTL_MAX_S);
}

int64_t etcd_decode_ttl(const json_t *reply)
{
	return decode_seconds(reply, "TTL");
}

int64_t etcd_decode_granted_ttl(const json_t *reply)
{
	return decode_seconds(reply, "grantedTTL");
}

const char *etcd_decode_token(const json_t *reply)
{
	return json_string_value(json_object_get(reply, "token"));
}

/* The code inside an error object of either shape; ETCD_OK if it is none. */
static int decode_error(const json_t *object, char *text, size_t text_size)
{
	const json_t *error = json_object_get(object, "error");
	const json_t *source = json_is_object(error) ? error : object;
	const json_t *code = field(source, "grpc_code", "grpcCode");
	const char *message = json_string_value(json_object_get(source, "message"));

	if (!error && !json_object_get(object, "code"))
		return ETCD_OK;
	if (!code)
		code = json_object_get(source, "code");
	if (!message && json_is_string(error))
		message = json_string_value(error);
	snprintf(text, text_size, "%s", message && *message ? message : "unnamed error");
	return etcd_code_judge(json_integer_value(code), text);
}

int etcd_decode_answer(long http_status, const char *body, size_t body_size, json_t **ret_reply,
		       char *text, size_t text_size)
{
	auto_json json_t *object = NULL;
	const json_t *result;
	struct err e;
	int code;

	if (json_parse_object(body, body_size, &object, &e) < 0) {
		/* The sentence of etcd does not say what to do. */
		if (http_status == 400 && strstr(body, "CommonName of client")) {
			snprintf(text, text_size,
				 "a client certificate with a CommonName cannot be used through "
				 "etcd's "
				 "gateway while authentication is on: use a certificate without "
				 "one, and "
				 "user name and password");
			return ETCD_PERMISSION_DENIED;
		}
		snprintf(text, text_size, "HTTP %ld: %.*s", http_status,
			 (int)MIN(strcspn(body, "\r\n"), (size_t)160), body);
		return ETCD_NOT_ETCD;
	}
	code = decode_error(object, text, text_size);
	if (code != ETCD_OK)
		return code;
	if (http_status != 200) {
		snprintf(text, text_size, "HTTP %ld without an error in it", http_status);
		return ETCD_NOT_ETCD;
	}
	result = json_object_get(object, "result");
	if (!json_is_object(json_object_get(result ? result : object, "header"))) {
		snprintf(text, text_size, "HTTP 200, but not an answer of etcd: no header in it");
		return ETCD_NOT_ETCD;
	}
	*ret_reply = STEAL(object);
	return ETCD_OK;
}

int etcd_decode_watch(const char *line, size_t size, struct etcd_watch_message *ret, struct err *e)
{
	struct etcd_watch_message m = { .size = size };
	auto_json json_t *object = NULL;
	const json_t *result;
	const char *reason;
	const json_t *item;
	size_t i;

	if (json_parse_object(line, size, &object, e) < 0)
		return err_wrap(e, "etcd: watch");
	m.error = decode_error(object, m.reason, sizeof(m.reason));
	result = json_object_get(object, "result");
	if (m.error == ETCD_OK && !json_is_object(result))
		return err_set(e, -EINVAL, "etcd: watch: neither result nor error");
	m.header = etcd_decode_header(result);
	m.created = json_is_true(json_object_get(result, "created"));
	m.canceled = json_is_true(json_object_get(result, "canceled"));
	m.fragment = json_is_true(json_object_get(result, "fragment"));
	m.compact_revision =
		json_uint64_lenient(field(result, "compact_revision", "compactRevision"));
	reason = json_string_value(field(result, "cancel_reason", "cancelReason"));
	if (m.canceled)
		snprintf(m.reason, sizeof(m.reason), "%s", reason && *reason ? reason : "canceled");
	json_array_foreach (json_object_get(result, "events"), i, item) {
		const char *type = json_string_value(json_object_get(item, "type"));
		bool deleted = type && strcmp(type, "DELETE") == 0;

		if (decode_kv(json_object_get(item, "kv"), deleted, &m.events, e) < 0) {
			etcd_watch_message_fini(&m);
			return e->code;
		}
	}
	*ret = m;
	return 0;
}

/* ---- the transport ---- */

#define NO_GATEWAY                                                                                 \
	"has no JSON gateway; start that etcd with --enable-grpc-gateway=true (if it has a "       \
	"--config-file: \"enable-grpc-gateway: true\" there), and name members' client ports, "    \
	"not a grpc-proxy"

/* The gateway's prefix by server version: 3.4 and later, 3.3, 3.2. */
static const char *const api_prefixes[] = { "/v3", "/v3beta", "/v3alpha" };

static const char *const paths[ETCD_METHODS] = {
	[ETCD_RANGE] = "kv/range",
	[ETCD_TXN] = "kv/txn",
	[ETCD_GRANT] = "lease/grant",
	[ETCD_REVOKE] = "lease/revoke",
	[ETCD_KEEPALIVE] = "lease/keepalive",
	[ETCD_TIME_TO_LIVE] = "lease/timetolive",
	[ETCD_AUTHENTICATE] = "auth/authenticate",
	[ETCD_STATUS] = "maintenance/status",
	[ETCD_WATCH] = "watch",
};

static char *path_of(enum etcd_method method, unsigned dialect)
{
	return xasprintf("%s/%s", api_prefixes[dialect], paths[method]);
}

static char *encode_txn(const struct etcd_ask *ask)
{
	switch (ask->txn) {
	case ETCD_TXN_CREATE:
		return etcd_encode_txn_create(ask->key, ask->value, ask->lease);
	case ETCD_TXN_UPDATE:
		return etcd_encode_txn_update(ask->key, ask->value, ask->mod_revision, ask->lease);
	case ETCD_TXN_SET:
		return etcd_encode_txn_set(ask->key, ask->value, ask->lease);
	case ETCD_TXN_DELETE:
		break;
	}
	return etcd_encode_txn_delete(ask->key, ask->mod_revision);
}

static char *encode_body(const struct etcd_ask *ask)
{
	switch (ask->method) {
	case ETCD_RANGE:
		if (ask->keys_only)
			return etcd_encode_probe(ask->key);
		return etcd_encode_range_from(ask->key,
					      ask->key_size ? ask->key_size : strlen(ask->key),
					      ask->range_end, ask->limit, ask->revision);
	case ETCD_TXN:
		return encode_txn(ask);
	case ETCD_GRANT:
		return etcd_encode_grant(ask->lease, ask->ttl_s);
	case ETCD_REVOKE:
	case ETCD_KEEPALIVE:
	case ETCD_TIME_TO_LIVE:
		return etcd_encode_lease_id(ask->lease);
	case ETCD_AUTHENTICATE:
		return etcd_encode_authenticate(ask->name, ask->password);
	case ETCD_WATCH:
		return etcd_encode_watch(ask->key, ask->range_end, ask->revision);
	case ETCD_STATUS:
	case ETCD_METHODS:
		break;
	}
	return xstrdup("{}");
}

static char *encode(const struct etcd_ask *ask, size_t *ret_size)
{
	char *body = encode_body(ask);

	*ret_size = strlen(body);
	return body;
}

static void decode_member(const json_t *reply, struct etcd_reply *ret)
{
	const char *version = json_string_value(json_object_get(reply, "version"));

	ret->version = version ? xstrdup(version) : NULL;
	ret->db_size = json_uint64_lenient(json_object_get(reply, "dbSize"));
	ret->leader = json_uint64_lenient(json_object_get(reply, "leader"));
	ret->is_learner = json_is_true(json_object_get(reply, "isLearner"));
}

int etcd_decode_reply(enum etcd_method method, const json_t *reply, struct etcd_reply *ret,
		      struct err *e)
{
	const json_t *inner = json_object_get(reply, "result");
	struct etcd_reply r = { .header = etcd_decode_header(inner ? inner : reply) };
	const char *token;
	int rc = 0;

	switch (method) {
	case ETCD_RANGE:
		rc = etcd_decode_range(reply, &r.header, &r.kvs, e);
		if (rc == 0)
			rc = etcd_decode_next_key(reply, &r.next_key, &r.next_key_size, e);
		break;
	case ETCD_TXN:
		rc = etcd_decode_txn(reply, &r.header, &r.succeeded, &r.kvs, e);
		break;
	case ETCD_AUTHENTICATE:
		token = etcd_decode_token(reply);
		r.token = token ? xstrdup(token) : NULL;
		break;
	case ETCD_STATUS:
		decode_member(reply, &r);
		break;
	default:
		r.ttl_s = etcd_decode_ttl(reply);
		r.granted_ttl_s = etcd_decode_granted_ttl(reply);
	}
	if (rc < 0) {
		etcd_reply_fini(&r);
		return rc;
	}
	*ret = r;
	return 0;
}

/* Whether the server's end of the connection is gRPC's, which begins with a frame of HTTP/2. */
static bool speaks_http2_only(const struct http_reply *http)
{
	return strstr(http->error, "HTTP/0.9") || strstr(http->error, "no application protocol");
}

static int decode(enum etcd_method method, const struct http_reply *http, struct etcd_reply *ret,
		  char text[ETCD_TEXT_MAX])
{
	auto_json json_t *reply = NULL;
	struct err e;
	int code;

	if (http->code && speaks_http2_only(http)) {
		snprintf(text, ETCD_TEXT_MAX, "%s", NO_GATEWAY);
		return ETCD_NOT_SPOKEN;
	}
	if (http->code)
		return etcd_transport_failure(http, text);
	code = etcd_decode_answer(http->status, http->body, http->body_size, &reply, text,
				  ETCD_TEXT_MAX);
	/* An older server, or one without a gateway: "404 page not found" in plain text. */
	if (code == ETCD_NOT_ETCD && http->status == 404) {
		snprintf(text, ETCD_TEXT_MAX, "%s", NO_GATEWAY);
		return ETCD_OTHER_DIALECT;
	}
	if (code == ETCD_OK && etcd_decode_reply(method, reply, ret, &e) < 0) {
		snprintf(text, ETCD_TEXT_MAX, "%.*s", ETCD_TEXT_MAX - 1, e.text);
		return ETCD_NOT_ETCD;
	}
	return code;
}

/* Messages are lines. */
static size_t message_size(const char *data, size_t size, size_t seen)
{
	const char *newline = memchr(data + seen, '\n', size - seen);

	return newline ? (size_t)(newline - data) + 1 : 0;
}

static int decode_end(const struct http_reply *http, char text[ETCD_TEXT_MAX])
{
	auto_json json_t *reply = NULL;
	int code = ETCD_OK;

	if (http->code)
		return etcd_transport_failure(http, text);
	/* There was no stream at all, but a word why. */
	if (http->status != 200)
		code = etcd_decode_answer(http->status, http->body, http->body_size, &reply, text,
					  ETCD_TEXT_MAX);
	if (code != ETCD_OK)
		return code;
	snprintf(text, ETCD_TEXT_MAX, "the stream ended");
	return ETCD_UNAVAILABLE;
}

/* Without hasleader a member that lost its quorum keeps streams open in silence, and with it tells
 * nothing of itself. */
static const char *const *headers_of(enum etcd_method method)
{
	static const char *const headers[] = { "Content-Type: application/json",
					       "Grpc-Metadata-hasleader: true", NULL };
	static const char *const of_the_member[] = { "Content-Type: application/json", NULL };

	return method == ETCD_STATUS ? of_the_member : headers;
}

const struct etcd_transport etcd_json_transport = {
	.name = "json",
	.dialects = ARRAY_LEN(api_prefixes),
	.headers = headers_of,
	.token_header = "Authorization",
	.path = path_of,
	.encode = encode,
	.decode = decode,
	.message_size = message_size,
	.decode_watch = etcd_decode_watch,
	.decode_end = decode_end,
};
