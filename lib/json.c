/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/json.h"

#include <errno.h>
#include <inttypes.h>
#include <strings.h>

#include "lib/log.h"

#define KEY_SHOWN_MAX 80

/* Counts brackets outside of strings; what is no JSON anyway is the parser's to refuse. */
static bool too_deep(const char *text, size_t size)
{
	unsigned depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < size; i++) {
		if (quoted && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
		else if (!quoted && (text[i] == '{' || text[i] == '[') && ++depth > JSON_DEPTH_MAX)
			return true;
		else if (!quoted && (text[i] == '}' || text[i] == ']') && depth > 0)
			depth--;
	}
	return false;
}

/* Where the string begins whose last quote is the byte before `end`. */
static size_t string_start(const char *text, size_t end)
{
	for (size_t i = end - 1; i-- > 0;) {
		size_t backslashes = 0;

		if (text[i] != '"')
			continue;
		while (backslashes < i && text[i - 1 - backslashes] == '\\')
			backslashes++;
		if (backslashes % 2 == 0)
			return i;
	}
	return 0;
}

/* The parser has stopped behind the second of them; its own sentence does not name long ones. */
static int refuse_duplicate(const char *text, const json_error_t *error, struct err *e)
{
	size_t end = (size_t)error->position;
	size_t start = string_start(text, end);

	return err_set(e, -EINVAL, "%.*s is given twice, again at line %d, column %d",
		       (int)MIN(end - start, (size_t)KEY_SHOWN_MAX), text + start, error->line,
		       error->column);
}

int json_parse_object(const char *text, size_t size, json_t **ret, struct err *e)
{
	json_error_t error;
	json_t *j;

	if (too_deep(text, size))
		return err_set(e, -EINVAL, "more than %d levels deep", JSON_DEPTH_MAX);
	j = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
	if (!j && json_error_code(&error) == json_error_duplicate_key)
		return refuse_duplicate(text, &error, e);
	if (!j)
		return err_set(e, -EINVAL, "not valid JSON at line %d, column %d: %s", error.line,
			       error.column, error.text);
	if (!json_is_object(j)) {
		json_decref(j);
		return err_set(e, -EINVAL, "not a JSON object");
	}
	*ret = j;
	return 0;
}

int json_find(const json_t *object, const char *key, json_t **ret, struct err *e)
{
	const char *first = NULL;
	json_t *found = NULL;
	const char *k;
	json_t *v;

	json_object_foreach ((json_t *)object, k, v) {
		if (strcasecmp(k, key) != 0)
			continue;
		if (first)
			return err_set(e, -EINVAL,
				       "%s is given twice, as \"%.80s\" and as \"%.80s\"", key,
				       first, k);
		first = k;
		found = v;
	}
	*ret = json_is_null(found) ? NULL : found;
	return 0;
}

json_t *json_get_any_case(const json_t *object, const char *key)
{
	json_t *found = NULL;
	const char *k;
	json_t *v;

	json_object_foreach ((json_t *)object, k, v) {
		if (strcasecmp(k, key) == 0 && !json_is_null(v))
			found = v;
	}
	return found;
}

/* The value as the user wrote it, shortened, for error messages. */
static const char *shown(const json_t *v, char buf[static 64])
{
	auto_free char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);

	snprintf(buf, 64, "%s", text ? text : "?");
	return buf;
}

int json_read_bool(const json_t *object, const char *key, bool *ret, struct err *e)
{
	json_t *v = NULL;
	char text[64];
	int rc = json_find(object, key, &v, e);

	if (rc < 0 || !v)
		return rc;
	if (!json_is_boolean(v))
		return err_set(e, -EINVAL, "%s is %s, must be true or false", key, shown(v, text));
	*ret = json_is_true(v);
	return 0;
}

int json_read_uint(const json_t *object, const char *key, uint64_t min, uint64_t max, uint64_t *ret,
		   struct err *e)
{
	json_t *v = NULL;
	char text[64];
	int rc = json_find(object, key, &v, e);

	if (rc < 0 || !v)
		return rc;
	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
	    (uint64_t)json_integer_value(v) < min || (uint64_t)json_integer_value(v) > max)
		return err_set(e, -EINVAL,
			       "%s is %s, must be an integer from %" PRIu64 " to %" PRIu64, key,
			       shown(v, text), min, max);
	*ret = (uint64_t)json_integer_value(v);
	return 0;
}

int json_read_string(const json_t *object, const char *key, const char **ret, struct err *e)
{
	json_t *v = NULL;
	char text[64];
	int rc = json_find(object, key, &v, e);

	if (rc < 0 || !v)
		return rc;
	if (!json_is_string(v))
		return err_set(e, -EINVAL, "%s is %s, must be a string", key, shown(v, text));
	*ret = json_string_value(v);
	return 0;
}

int json_read_ip_addr(const json_t *object, const char *key, int family, struct ip_addr *ret,
		      struct err *e)
{
	const char *text = NULL;

	if (json_read_string(object, key, &text, e) < 0)
		return e ? e->code : -EINVAL;
	if (text && ip_addr_parse(text, family, ret, e) < 0) {
		err_wrap(e, "%s", key);
		return -EINVAL;
	}
	return 0;
}

int json_read_ip_net(const json_t *object, const char *key, int family, struct ip_net *ret,
		     struct err *e)
{
	const char *text = NULL;

	if (json_read_string(object, key, &text, e) < 0)
		return e ? e->code : -EINVAL;
	if (text && ip_net_parse(text, family, ret, e) < 0) {
		err_wrap(e, "%s", key);
		return -EINVAL;
	}
	return 0;
}

uint64_t json_uint64_lenient(const json_t *value)
{
	if (json_is_integer(value))
		return (uint64_t)json_integer_value(value);
	if (json_is_string(value))
		return strtoull(json_string_value(value), NULL, 10);
	return 0;
}

int64_t json_int64_lenient(const json_t *value)
{
	if (json_is_integer(value))
		return json_integer_value(value);
	if (json_is_string(value))
		return strtoll(json_string_value(value), NULL, 10);
	return 0;
}

json_t *json_text(const char *text)
{
	json_t *value = json_string(text ? text : "");
	auto_free char *printable = NULL;

	if (value)
		return value;
	printable = xstrdup(text);
	util_make_printable(printable);
	return json_string(printable);
}

static bool is_secret(const char *key)
{
	static const char *const names[] = { "psk",    "password", "privatekey",
					     "secret", "token",    "accesskeysecret" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcasecmp(key, names[i]) == 0)
			return true;
	}
	return false;
}

void json_leave_out_secrets(json_t *value)
{
	const char *key;
	json_t *member;
	size_t i;

	json_array_foreach (value, i, member)
		json_leave_out_secrets(member);
	json_object_foreach (value, key, member) {
		if (is_secret(key))
			json_object_set_new(value, key, json_string("(left out)"));
		else
			json_leave_out_secrets(member);
	}
}

static uint64_t failures_total;

void json_append(json_t *array, json_t *item)
{
	if (json_array_append_new(array, item) == 0)
		return;
	failures_total++;
	log_error("json-failed", "an item of a list could not be built and is missing");
}

uint64_t json_failures_total(void)
{
	return failures_total;
}
