/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/etcd/etcd_codec.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>

#include "lib/base64.h"

void etcd_kvs_fini(struct etcd_kvs *kvs)
{
	for (size_t i = 0; i < kvs->len; i++) {
		free(kvs->items[i].key);
		free(kvs->items[i].value);
	}
	free(kvs->items);
	*kvs = (struct etcd_kvs){ 0 };
}

bool etcd_code_is_transient(int code)
{
	switch (code) {
	case ETCD_CANCELLED:
	case ETCD_UNKNOWN:
	case ETCD_DEADLINE_EXCEEDED:
	case ETCD_ABORTED:
	case ETCD_INTERNAL:
	case ETCD_UNAVAILABLE:
	case ETCD_NOT_GRPC:
	case ETCD_WRONG_MEMBER:
	case ETCD_TOO_LARGE:
	case ETCD_NO_GATEWAY:
		return true;
	}
	return false;
}

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

char *etcd_encode_watch(const char *key, const char *range_end, uint64_t revision)
{
	auto_free char *key64 = encode_text(key);
	auto_free char *end64 = range_end ? encode_text(range_end) : NULL;
	auto_free char *end = end64 ? xasprintf(",\"range_end\":\"%s\"", end64) : xstrdup("");

	return xasprintf("{\"create_request\":{\"key\":\"%s\"%s,\"start_revision\":\"%" PRIu64 "\","
			 "\"fragment\":true}}\n",
			 key64, end, revision);
}

char *etcd_prefix_end(const char *prefix)
{
	char *end = xstrdup(prefix);

	/* Our prefixes are text and end in '/', so the last byte can always grow by one. */
	end[strlen(end) - 1]++;
	return end;
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

/* Two bytes for each NUL; `bytes` is consumed. */
static char *key_as_text(char *bytes, size_t size)
{
	char *text;
	char *out;

	if (!memchr(bytes, '\0', size))
		return bytes;
	text = out = xcalloc(2 * size + 1, 1);
	for (size_t i = 0; i < size; i++) {
		if (!bytes[i])
			*out++ = '\\';
		*out++ = bytes[i] ? bytes[i] : '0';
	}
	free(bytes);
	return text;
}

static int decode_kv(const json_t *object, bool deleted, struct etcd_kvs *kvs, struct err *e)
{
	struct etcd_kv kv = { .deleted = deleted };
	size_t key_size;

	if (decode_bytes(json_object_get(object, "key"), &kv.key, &key_size, e) < 0)
		return err_wrap(e, "etcd: key");
	kv.key = key_as_text(kv.key, key_size);
	if (decode_bytes(json_object_get(object, "value"), &kv.value, &kv.value_size, e) < 0) {
		free(kv.key);
		return err_wrap(e, "etcd: value");
	}
	kv.create_revision =
		json_uint64_lenient(field(object, "create_revision", "createRevision"));
	kv.mod_revision = json_uint64_lenient(field(object, "mod_revision", "modRevision"));
	kv.lease = json_int64_lenient(json_object_get(object, "lease"));
	GROW(kvs->items, kvs->len, kvs->cap);
	kvs->items[kvs->len++] = kv;
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

/* Whom a call may be sent to instead is not to be told from the code. */
static int judge(int64_t code, const char *text)
{
	if ((code == ETCD_FAILED_PRECONDITION || code == ETCD_UNAVAILABLE) &&
	    (strstr(text, "rpc not supported for learner") || strstr(text, "not capable")))
		return ETCD_WRONG_MEMBER;
	return code > 0 && code <= INT_MAX ? (int)code : ETCD_UNKNOWN;
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
	return judge(json_integer_value(code), text);
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
		return ETCD_NOT_GRPC;
	}
	code = decode_error(object, text, text_size);
	if (code != ETCD_OK)
		return code;
	if (http_status != 200) {
		snprintf(text, text_size, "HTTP %ld without an error in it", http_status);
		return ETCD_NOT_GRPC;
	}
	result = json_object_get(object, "result");
	if (!json_is_object(json_object_get(result ? result : object, "header"))) {
		snprintf(text, text_size, "HTTP 200, but not an answer of etcd: no header in it");
		return ETCD_NOT_GRPC;
	}
	*ret_reply = STEAL(object);
	return ETCD_OK;
}

int etcd_decode_watch(const char *line, size_t size, struct etcd_watch_message *ret, struct err *e)
{
	struct etcd_watch_message m = { 0 };
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

void etcd_watch_message_fini(struct etcd_watch_message *m)
{
	etcd_kvs_fini(&m->events);
}
