/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/rows.h"

#include <errno.h>
#include <string.h>

#include "lib/json.h"
#include "lib/buffer.h"
#include "lib/members.h"
#include "lib/util.h"

struct reader {
	const char *start;
	const char *p; /* the next byte */
	const char *end;
	const char *names[MEMBERS_FIELDS_MAX];
	size_t names_len;
};

static int fail(const struct reader *r, struct err *e)
{
	return err_set(e, -EINVAL, "not valid JSON at byte %zu of it", (size_t)(r->p - r->start));
}

static bool take(struct reader *r, char c)
{
	if (r->p == r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

/* To the byte behind the string that begins here; *ret_plain: it has no escapes. False: it does not end. */
static bool skip_string(struct reader *r, bool *ret_plain)
{
	*ret_plain = true;
	for (r->p++; r->p < r->end && *r->p != '"'; r->p++) {
		if (*r->p == '\\') {
			*ret_plain = false;
			r->p++;
		}
	}
	return r->p < r->end && *r->p++ == '"';
}

/* To the byte behind the value that begins here: where it ends, whether or not it is one. */
static bool skip_value(struct reader *r)
{
	size_t depth = 0;
	bool plain;

	while (r->p < r->end) {
		char c = *r->p;

		if (c == '"') {
			if (!skip_string(r, &plain))
				return false;
			continue;
		}
		if (depth == 0 && (c == ',' || c == ']' || c == '}'))
			return true;
		depth += c == '[' || c == '{';
		depth -= c == ']' || c == '}';
		r->p++;
	}
	return false;
}

static bool is_word(const char *from, size_t size, const char *word)
{
	return size == strlen(word) && memcmp(from, word, size) == 0;
}

/* What is most frequent; NULL: something else. */
static json_t *read_simple(const char *from, size_t size)
{
	json_int_t number = 0;

	if (is_word(from, size, "null"))
		return json_null();
	if (is_word(from, size, "true"))
		return json_true();
	if (is_word(from, size, "false"))
		return json_false();
	if (size == 0 || size > 15 || (*from == '0' && size > 1))
		return NULL;
	for (size_t i = 0; i < size; i++) {
		if (from[i] < '0' || from[i] > '9')
			return NULL;
		number = number * 10 + (from[i] - '0');
	}
	return json_integer(number);
}

/* NULL: there is none. */
static json_t *read_value(struct reader *r)
{
	const char *from = r->p;
	bool plain = false;
	json_t *value = NULL;

	if (r->p < r->end && *r->p == '"') {
		if (!skip_string(r, &plain))
			return NULL;
		for (const char *p = from; plain && p < r->p; p++)
			plain = (unsigned char)*p >= ' ' && (unsigned char)*p <= '~';
		if (plain)
			return json_stringn_nocheck(from + 1, (size_t)(r->p - from) - 2);
	} else if (!skip_value(r)) {
		return NULL;
	}
	value = read_simple(from, (size_t)(r->p - from));
	return value ? value
		     : json_loadb(from, (size_t)(r->p - from),
				  JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
}

static int read_item(struct reader *r, json_t *item, struct err *e)
{
	if (!take(r, '['))
		return fail(r, e);
	for (size_t i = 0; i < r->names_len; i++) {
		json_t *value;

		if (i && !take(r, ','))
			return fail(r, e);
		value = read_value(r);
		if (!value)
			return fail(r, e);
		if (json_is_null(value))
			json_decref(value);
		else
			json_object_set_new_nocheck(item, r->names[i], value);
	}
	return take(r, ']') ? 0 : fail(r, e);
}

static int read_items(struct reader *r, json_t *items, struct err *e)
{
	while (!take(r, ']')) {
		json_t *item = json_object();
		int rc;

		json_array_append_new(items, item);
		if (json_array_size(items) > 1 && !take(r, ','))
			return fail(r, e);
		rc = read_item(r, item, e);
		if (rc < 0)
			return rc;
	}
	if (!take(r, '}'))
		return fail(r, e);
	take(r, '\n');
	return r->p == r->end ? 0 : fail(r, e);
}

static int read_names(struct reader *r, const json_t *document, struct err *e)
{
	const json_t *fields = json_object_get(document, "fields");
	json_t *name;
	size_t i;

	if (!json_is_array(fields))
		return -ENOENT;
	json_array_foreach (fields, i, name) {
		if (!json_is_string(name) || i == ARRAY_LEN(r->names))
			return err_set(e, -EINVAL, "\"fields\" are not %zu names at most",
				       ARRAY_LEN(r->names));
		r->names[r->names_len++] = json_string_value(name);
	}
	return 0;
}

int rows_parse(const char *text, size_t size, json_t **ret, struct err *e)
{
	/* In a string its quotes would not stand so. */
	static const char before[] = ",\"items\":[";
	const char *found = memmem(text, size, before, strlen(before));
	auto_json json_t *document = NULL;
	auto_buffer struct buffer head = { 0 };
	struct reader r = { .start = text, .end = text + size };
	json_t *items;
	int rc;

	if (!found || found == text)
		return -ENOENT;
	buffer_put(&head, text, (size_t)(found - text));
	buffer_putc(&head, '}');
	if (json_parse_object(head.data, head.size, &document, NULL) < 0)
		return -ENOENT;
	rc = read_names(&r, document, e);
	if (rc < 0)
		return rc;
	items = json_array();
	json_object_set_new(document, "items", items);
	r.p = found + strlen(before);
	rc = read_items(&r, items, e);
	if (rc == 0)
		*ret = STEAL(document);
	return rc;
}
