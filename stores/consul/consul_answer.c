/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/consul/consul_answer.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/base64.h"
#include "lib/json.h"

/* Consul's own limits of a session's TTL. */
#define SESSION_TTL_MIN_S 10
#define SESSION_TTL_MAX_S 86400

/* ---- what an answer means ---- */

static bool says(const char *text, const char *const *words)
{
	for (; *words; words++) {
		if (strstr(text, *words))
			return true;
	}
	return false;
}

/* What a server said that was asked by another comes as 500 with a text in front. */
static bool is_denial(const char *text)
{
	static const char *const words[] = { "ACL not found", "Permission denied",
					     "ACL support disabled", NULL };

	return says(text, words);
}

/* Statuses of 500 that another attempt will not change. */
static bool is_final(const char *text)
{
	static const char *const words[] = { "No path to datacenter",
					     "Invalid Session TTL",
					     "invalid session",
					     "UUID must be 36",
					     "strconv.",
					     NULL };

	return says(text, words);
}

static enum consul_outcome outcome_of_txn(const char *text)
{
	static const char *const conflicts[] = { "exists",         "doesn't exist", "modify index",
						 "index is stale", "already held",  NULL };

	if (is_denial(text))
		return CONSUL_DENIED;
	if (strstr(text, "invalid session"))
		return CONSUL_NO_SESSION;
	return says(text, conflicts) ? CONSUL_CONFLICT : CONSUL_INVALID;
}

/* {"Errors":[{"What":"..."}]}: the first of them. */
static void read_txn_error(const char *body, size_t size, char text[static CONSUL_TEXT_MAX])
{
	auto_json json_t *answer = NULL;
	const char *what = NULL;

	if (json_parse_object(body, size, &answer, NULL) == 0)
		what = json_string_value(json_object_get(
			json_array_get(json_object_get(answer, "Errors"), 0), "What"));
	if (what)
		snprintf(text, CONSUL_TEXT_MAX, "%.*s", CONSUL_TEXT_MAX - 1, what);
}

enum consul_outcome consul_outcome_of(long http_status, const char *body, size_t size,
				      char text[static CONSUL_TEXT_MAX])
{
	text[0] = '\0';
	if (http_status == 200)
		return CONSUL_OK;
	snprintf(text, CONSUL_TEXT_MAX, "%.*s", (int)MIN(size, (size_t)CONSUL_TEXT_MAX - 1), body);
	if (http_status == 409)
		read_txn_error(body, size, text);
	text[strcspn(text, "\r\n")] = '\0';
	util_make_printable(text);
	if (!*text)
		snprintf(text, CONSUL_TEXT_MAX, "HTTP status %ld", http_status);
	switch (http_status) {
	case 404:
		return CONSUL_ABSENT;
	case 401:
	case 403:
		return CONSUL_DENIED;
	case 409:
		return outcome_of_txn(text);
	case 408:
	case 429:
		return CONSUL_LATER;
	default:
		break;
	}
	if (is_denial(text))
		return CONSUL_DENIED;
	return http_status < 500 || is_final(text) ? CONSUL_INVALID : CONSUL_LATER;
}

uint64_t consul_index_of(const char *header)
{
	char *end;
	unsigned long long index;

	if (!header || *header < '0' || *header > '9')
		return 0;
	errno = 0;
	index = strtoull(header, &end, 10);
	return errno || *end ? 0 : index;
}

/* ---- sessions ---- */

int consul_session_parse(const char *text, u128 *ret, struct err *e)
{
	static const char digits[] = "0123456789abcdef";
	u128 session = 0;

	for (unsigned i = 0; i < CONSUL_SESSION_TEXT - 1; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		const char *digit = text[i] ? strchr(digits, text[i]) : NULL;

		if (dash ? text[i] != '-' : !digit)
			return err_set(e, -EINVAL, "\"%.40s\" is no session's UUID", text);
		if (!dash)
			session = session << 4 | (unsigned)(digit - digits);
	}
	if (text[CONSUL_SESSION_TEXT - 1])
		return err_set(e, -EINVAL, "\"%.40s\" is no session's UUID", text);
	*ret = session;
	return 0;
}

const char *consul_session_format(u128 session, char buf[static CONSUL_SESSION_TEXT])
{
	uint64_t high = (uint64_t)(session >> 64);
	uint64_t low = (uint64_t)session;

	snprintf(buf, CONSUL_SESSION_TEXT,
		 "%08" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%012" PRIx64, high >> 32,
		 high >> 16 & 0xffff, high & 0xffff, low >> 48, low & 0xffffffffffff);
	return buf;
}

int consul_session_ttl(int64_t lease_ttl_s, int64_t *ret_s, struct err *e)
{
	int64_t ttl_s = MAX(lease_ttl_s / 2 + lease_ttl_s % 2, (int64_t)SESSION_TTL_MIN_S);

	if (ttl_s > SESSION_TTL_MAX_S)
		return err_set(e, -EINVAL,
			       "a lease of %" PRId64 " s is longer than %d s, twice what Consul "
			       "lets a session live",
			       lease_ttl_s, 2 * SESSION_TTL_MAX_S);
	*ret_s = ttl_s;
	return 0;
}

int consul_session_read(const char *body, size_t size, u128 *ret, struct err *e)
{
	auto_json json_t *answer = NULL;
	const char *id;

	if (json_parse_object(body, size, &answer, NULL) < 0)
		return err_set(e, -EBADMSG, "the answer is no session");
	id = json_string_value(json_object_get(answer, "ID"));
	if (!id || consul_session_parse(id, ret, NULL) < 0 || !*ret)
		return err_set(e, -EBADMSG, "there is no session's ID in the answer");
	return 0;
}

/* A duration as Go writes and reads it: "43200s", "12h0m0s". In whole seconds. */
static int read_duration(const char *text, int64_t *ret_s)
{
	static const struct {
		char unit;
		int64_t s;
	} units[] = { { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };
	int64_t total = 0;

	do {
		int64_t number = 0;
		size_t i = 0;

		if (*text < '0' || *text > '9')
			return -EINVAL;
		for (; *text >= '0' && *text <= '9'; text++) {
			number = number * 10 + (*text - '0');
			if (number > INT64_C(1000000000))
				return -EINVAL;
		}
		while (i < ARRAY_LEN(units) && units[i].unit != *text)
			i++;
		if (i == ARRAY_LEN(units))
			return -EINVAL;
		total += number * units[i].s;
		text++;
	} while (*text && total < INT64_C(1000000000));
	*ret_s = total;
	return *text ? -EINVAL : 0;
}

int consul_renewal_read(const char *body, size_t size, int64_t *ret_ttl_s, struct err *e)
{
	auto_json json_t *answer = json_loadb(body, size, JSON_REJECT_DUPLICATES, NULL);
	const char *ttl = json_string_value(json_object_get(json_array_get(answer, 0), "TTL"));

	if (!ttl || read_duration(ttl, ret_ttl_s) < 0)
		return err_set(e, -EBADMSG, "there is no TTL of a session in the answer");
	return 0;
}

/* ---- keys ---- */

void consul_kv_fini(struct consul_kv *kv)
{
	free(kv->key);
	free(kv->value);
	*kv = (struct consul_kv){ 0 };
}

static int read_value(const json_t *object, struct consul_kv *kv, struct err *e)
{
	const char *text = "";

	/* An empty one is null. */
	if (json_read_string(object, "Value", &text, e) < 0)
		return -EINVAL;
	return base64_decode(text, strlen(text), &kv->value, &kv->value_size, e);
}

static int read_session(const json_t *object, struct consul_kv *kv, struct err *e)
{
	const char *text = "";

	if (json_read_string(object, "Session", &text, e) < 0)
		return -EINVAL;
	return *text ? consul_session_parse(text, &kv->session, e) : 0;
}

static int kv_from_json(const json_t *object, bool with_value, struct consul_kv *ret, struct err *e)
{
	struct consul_kv kv = { 0 };
	const char *key = NULL;

	if (json_read_string(object, "Key", &key, e) < 0 ||
	    json_read_uint(object, "Flags", 0, INT64_MAX, &kv.flags, e) < 0 ||
	    json_read_uint(object, "CreateIndex", 1, INT64_MAX, &kv.create_index, e) < 0 ||
	    json_read_uint(object, "ModifyIndex", 1, INT64_MAX, &kv.modify_index, e) < 0)
		return -EINVAL;
	if (!key || !kv.create_index || !kv.modify_index)
		return err_set(e, -EINVAL, "it has no Key, CreateIndex or ModifyIndex");
	if (read_session(object, &kv, e) < 0 || (with_value && read_value(object, &kv, e) < 0))
		return -EINVAL;
	kv.key = xstrdup(key);
	*ret = kv;
	return 0;
}

int consul_kv_read(const char *text, size_t size, bool with_value, struct consul_kv *ret,
		   struct err *e)
{
	auto_json json_t *object = NULL;

	if (json_parse_object(text, size, &object, e) < 0)
		return -EINVAL;
	return kv_from_json(object, with_value, ret, e);
}

int consul_txn_read(const char *body, size_t size, struct consul_kv *ret, struct err *e)
{
	auto_json json_t *answer = NULL;
	const json_t *results;
	const json_t *kv;

	if (json_parse_object(body, size, &answer, e) < 0)
		return -EINVAL;
	results = json_object_get(answer, "Results");
	if (json_array_size(results) == 0)
		return err_set(e, -ENODATA, "the transaction has no results");
	kv = json_object_get(json_array_get(results, json_array_size(results) - 1), "KV");
	if (!json_is_object(kv))
		return err_set(e, -ENODATA, "the transaction's result is no key");
	return kv_from_json(kv, false, ret, e);
}
