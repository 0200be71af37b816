/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/vici_message.h"

#include <errno.h>
#include <string.h>

/* Bytes of the length before it. */
#define NAME_WIDTH  1
#define VALUE_WIDTH 2

/* ---- writing ---- */

/* What has grown is wiped where it was. */
static uint8_t *room(struct vici_message *m, size_t size)
{
	uint8_t *larger;
	size_t cap;

	if (m->failed || size > VICI_MESSAGE_MAX - m->size) {
		m->failed = true;
		return NULL;
	}
	if (m->cap - m->size < size) {
		cap = MAX(m->cap * 2, m->size + size + 256);
		larger = xmalloc(cap);
		if (m->size)
			memcpy(larger, m->data, m->size);
		vici_message_fini(&(struct vici_message){ .data = m->data, .cap = m->cap });
		m->data = larger;
		m->cap = cap;
	}
	m->size += size;
	return m->data + m->size - size;
}

static void put_mark(struct vici_message *m, enum vici_element element)
{
	uint8_t *at = room(m, 1);

	if (at)
		*at = (uint8_t)element;
}

/* Behind its length in `width` bytes. */
static void put_text(struct vici_message *m, size_t width, const char *text)
{
	size_t size = strlen(text);
	uint8_t *at;

	m->failed |= size >> 8 * width != 0;
	at = room(m, width + size);
	if (!at)
		return;
	for (size_t i = 0; i < width; i++)
		at[i] = (uint8_t)(size >> 8 * (width - 1 - i));
	memcpy(at + width, text, size);
}

static void put_name(struct vici_message *m, enum vici_element element, const char *name)
{
	put_mark(m, element);
	put_text(m, NAME_WIDTH, name);
}

void vici_section(struct vici_message *m, const char *name)
{
	put_name(m, VICI_SECTION, name);
	m->failed |= ++m->depth > VICI_DEPTH_MAX;
}

void vici_section_end(struct vici_message *m)
{
	put_mark(m, VICI_SECTION_END);
	m->depth--;
}

void vici_value(struct vici_message *m, const char *name, const char *value)
{
	put_name(m, VICI_VALUE, name);
	put_text(m, VALUE_WIDTH, value);
}

void vici_list(struct vici_message *m, const char *name, const char *const values[])
{
	put_name(m, VICI_LIST, name);
	for (size_t i = 0; values[i]; i++) {
		put_mark(m, VICI_ITEM);
		put_text(m, VALUE_WIDTH, values[i]);
	}
	put_mark(m, VICI_LIST_END);
}

void vici_message_fini(struct vici_message *m)
{
	if (m->data)
		explicit_bzero(m->data, m->cap);
	free(m->data);
	*m = (struct vici_message){ 0 };
}

/* ---- reading ---- */

bool vici_text_is(const struct vici_text *t, const char *text)
{
	return t->data && t->size == strlen(text) && memcmp(t->data, text, t->size) == 0;
}

const char *vici_text_copy(const struct vici_text *t, char *buf, size_t size)
{
	size_t len = t->data ? MIN(t->size, size - 1) : 0;

	for (size_t i = 0; i < len; i++)
		buf[i] = t->data[i] >= ' ' && t->data[i] <= '~' ? t->data[i] : '?';
	buf[len] = '\0';
	return buf;
}

struct reader {
	const uint8_t *at;
	size_t left;
};

/* A text behind a length of `width` bytes. */
static bool take_text(struct reader *r, size_t width, struct vici_text *ret)
{
	size_t size = 0;

	if (r->left < width)
		return false;
	for (size_t i = 0; i < width; i++)
		size = size << 8 | r->at[i];
	r->at += width;
	r->left -= width;
	if (r->left < size)
		return false;
	*ret = (struct vici_text){ (const char *)r->at, size };
	r->at += size;
	r->left -= size;
	return true;
}

/* Whether the element may stand here; where we are after it. */
static bool follow(enum vici_element element, unsigned *depth, bool *in_list)
{
	bool opens = element == VICI_SECTION;

	switch (element) {
	case VICI_ITEM:
		return *in_list;
	case VICI_LIST_END:
		return *in_list && !(*in_list = false);
	case VICI_LIST:
		return !*in_list && (*in_list = true);
	case VICI_VALUE:
		return !*in_list;
	case VICI_SECTION:
	case VICI_SECTION_END:
		if (*in_list || (opens ? *depth == VICI_DEPTH_MAX : *depth == 0))
			return false;
		*depth = opens ? *depth + 1 : *depth - 1;
		return true;
	}
	return false;
}

int vici_walk(const void *data, size_t size, vici_visit_fn *visit, void *arg, struct err *e)
{
	struct reader r = { data, size };
	unsigned depth = 0;
	bool in_list = false;

	while (r.left) {
		enum vici_element element = (enum vici_element) * r.at;
		struct vici_text name = { 0 };
		struct vici_text value = { 0 };
		unsigned around = depth;
		bool named =
			element == VICI_SECTION || element == VICI_VALUE || element == VICI_LIST;

		r.at++;
		r.left--;
		if (!follow(element, &depth, &in_list) ||
		    (named && !take_text(&r, NAME_WIDTH, &name)) ||
		    ((element == VICI_VALUE || element == VICI_ITEM) &&
		     !take_text(&r, VALUE_WIDTH, &value)))
			return err_set(e, -EBADMSG, "vici: element %d at byte %zu is malformed",
				       (int)element, size - r.left);
		if (visit)
			visit(arg, element, element == VICI_SECTION_END ? depth : around, &name,
			      &value);
	}
	if (depth || in_list)
		return err_set(e, -EBADMSG, "vici: the message ends inside a section or list");
	return 0;
}

struct finding {
	const char *name;
	struct vici_text found;
};

static void look_for(void *arg, enum vici_element element, unsigned depth,
		     const struct vici_text *name, const struct vici_text *value)
{
	struct finding *f = arg;

	if (element == VICI_VALUE && depth == 0 && !f->found.data && vici_text_is(name, f->name))
		f->found = *value;
}

struct vici_text vici_find(const void *data, size_t size, const char *name)
{
	struct finding f = { .name = name };

	return vici_walk(data, size, look_for, &f, NULL) == 0 ? f.found : (struct vici_text){ 0 };
}
