/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/members.h"

#include <inttypes.h>
#include <string.h>

#include "lib/json.h"

struct members members_of(json_t *object)
{
	return (struct members){ .object = object };
}

struct members members_as_text(const char *fields)
{
	struct members m = { 0 };
	const char *p = fields;

	while (p && m.fields_len < MEMBERS_FIELDS_MAX) {
		size_t size = strcspn(p, ",");

		m.fields[m.fields_len++] = (struct members_field){ .name = p, .name_size = size };
		p = p[size] ? p + size + 1 : NULL;
	}
	return m;
}

void members_fini(struct members *m)
{
	buffer_fini(&m->text);
}

json_t *members_fields(const struct members *m)
{
	json_t *list = m->fields_len ? json_array() : NULL;

	for (size_t i = 0; i < m->fields_len; i++) {
		auto_free char *name = xstrndup(m->fields[i].name, m->fields[i].name_size);

		json_array_append_new(list, json_text(name));
	}
	return list;
}

static int find(const struct members *m, const char *name)
{
	size_t size = strlen(name);

	for (size_t i = 0; i < m->fields_len; i++) {
		if (m->fields[i].name_size == size && memcmp(m->fields[i].name, name, size) == 0)
			return (int)i;
	}
	return -1;
}

static int field_of(struct members *m, const char *name)
{
	unsigned n = m->told++;

	if (n >= ARRAY_LEN(m->last))
		return find(m, name);
	if (m->last[n].name != name) {
		m->last[n].name = name;
		m->last[n].field = find(m, name);
	}
	return m->last[n].field;
}

bool members_wants(const struct members *m, const char *name)
{
	return m->fields_len == 0 || find(m, name) >= 0;
}

/* ---- text ---- */

/* False: it is not wanted. What is put into m->text until end() is its value. */
static bool begin(struct members *m, const char *name)
{
	if (m->fields_len) {
		int field = field_of(m, name);

		if (field >= 0)
			m->fields[field].offset = m->text.size;
		return field >= 0;
	}
	if (m->text.size)
		buffer_putc(&m->text, ',');
	buffer_putc(&m->text, '"');
	buffer_puts(&m->text, name);
	buffer_puts(&m->text, "\":");
	return true;
}

static void end(struct members *m, const char *name)
{
	if (m->fields_len) {
		unsigned n = m->told - 1;
		int field = n < ARRAY_LEN(m->last) ? m->last[n].field : find(m, name);

		m->fields[field].size = m->text.size - m->fields[field].offset;
	}
}

void members_put(struct members *m, struct buffer *out)
{
	if (!m->fields_len) {
		buffer_putc(out, '{');
		buffer_put(out, m->text.data, m->text.size);
		buffer_putc(out, '}');
	} else {
		buffer_putc(out, '[');
		for (size_t i = 0; i < m->fields_len; i++) {
			struct members_field *f = &m->fields[i];

			if (i)
				buffer_putc(out, ',');
			if (f->size)
				buffer_put(out, m->text.data + f->offset, f->size);
			else
				buffer_put(out, "null", 4);
			f->size = 0;
		}
		buffer_putc(out, ']');
	}
	m->text.size = 0;
	m->told = 0;
}

ssize_t members_offset(const struct members *m, const char *name)
{
	int field = find(m, name);
	size_t offset = 1;

	for (int i = 0; i < field; i++)
		offset += (m->fields[i].size ? m->fields[i].size : 4) + 1;
	return field < 0 ? -1 : (ssize_t)offset;
}

/* ---- values ---- */

void member_json(struct members *m, const char *name, json_t *value)
{
	auto_json json_t *counted = NULL;
	auto_free char *text = NULL;

	if (!value) {
		counted = json_array();
		json_append(counted, NULL);
		value = json_null();
	}
	if (m->object) {
		json_object_set_new_nocheck(m->object, name, value);
		return;
	}
	if (begin(m, name)) {
		text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
		buffer_puts(&m->text, text ? text : "null");
		end(m, name);
	}
	json_decref(value);
}

void member_text(struct members *m, const char *name, const char *text)
{
	if (m->object) {
		json_object_set_new_nocheck(m->object, name, json_text(text));
	} else if (begin(m, name)) {
		buffer_put_json(&m->text, text);
		end(m, name);
	}
}

void member_text_or_null(struct members *m, const char *name, const char *text)
{
	if (text && *text)
		member_text(m, name, text);
	else
		member_null(m, name);
}

/* A value that is written like this in both. */
static void put_word(struct members *m, const char *name, const char *word)
{
	if (begin(m, name)) {
		buffer_puts(&m->text, word);
		end(m, name);
	}
}

void member_integer(struct members *m, const char *name, int64_t value)
{
	char text[24];

	if (m->object) {
		json_object_set_new_nocheck(m->object, name, json_integer(value));
		return;
	}
	snprintf(text, sizeof(text), "%" PRId64, value);
	put_word(m, name, text);
}

void member_real(struct members *m, const char *name, double value, unsigned digits)
{
	char text[64];

	if (m->object) {
		json_object_set_new_nocheck(m->object, name, json_real(value));
		return;
	}
	snprintf(text, sizeof(text), "%.*f", (int)digits, value);
	put_word(m, name, text);
}

void member_boolean(struct members *m, const char *name, bool value)
{
	if (m->object)
		json_object_set_new_nocheck(m->object, name, json_boolean(value));
	else
		put_word(m, name, value ? "true" : "false");
}

void member_null(struct members *m, const char *name)
{
	if (m->object)
		json_object_set_new_nocheck(m->object, name, json_null());
	else
		put_word(m, name, "null");
}
