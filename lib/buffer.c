/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/buffer.h"

#include <stdarg.h>
#include <string.h>

#include "lib/json.h"

#define CAP_MIN ((size_t)256)

/* Room for `size` bytes and a NUL. */
static char *reserve(struct buffer *b, size_t size)
{
	if (b->cap - b->size <= size) {
		b->cap = MAX(CAP_MIN, b->cap * 2);
		b->cap = MAX(b->cap, b->size + size + 1);
		b->data = xrealloc(b->data, b->cap);
	}
	return b->data + b->size;
}

void buffer_put(struct buffer *b, const char *bytes, size_t size)
{
	char *room = reserve(b, size);

	memcpy(room, bytes, size);
	room[size] = '\0';
	b->size += size;
}

void buffer_puts(struct buffer *b, const char *text)
{
	buffer_put(b, text, strlen(text));
}

void buffer_putc(struct buffer *b, char c)
{
	buffer_put(b, &c, 1);
}

void buffer_printf(struct buffer *b, const char *fmt, ...)
{
	va_list ap;
	va_list again;
	char *room;
	int size;

	va_start(ap, fmt);
	va_copy(again, ap);
	room = reserve(b, 0);
	size = vsnprintf(room, b->cap - b->size, fmt, ap);
	if (size < 0)
		abort();
	if ((size_t)size >= b->cap - b->size)
		vsnprintf(reserve(b, (size_t)size), (size_t)size + 1, fmt, again);
	b->size += (size_t)size;
	va_end(again);
	va_end(ap);
}

/* What jansson alone can judge or write: control characters, and whether it is UTF-8. */
static void put_by_jansson(struct buffer *b, const char *text)
{
	auto_json json_t *string = json_text(text);
	auto_free char *quoted = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;

	buffer_puts(b, quoted ? quoted : "\"\"");
}

void buffer_put_json(struct buffer *b, const char *text)
{
	size_t size = 0;
	char *to;

	if (!text)
		text = "";
	for (; text[size]; size++) {
		if ((unsigned char)text[size] < ' ' || (unsigned char)text[size] > '~') {
			put_by_jansson(b, text);
			return;
		}
	}
	to = reserve(b, size * 2 + 2);
	*to++ = '"';
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			*to++ = '\\';
		*to++ = *text;
	}
	*to++ = '"';
	*to = '\0';
	b->size = (size_t)(to - b->data);
}

char *buffer_steal(struct buffer *b)
{
	char *data;

	reserve(b, 0)[0] = '\0';
	data = STEAL(b->data);
	b->size = b->cap = 0;
	return data;
}
