/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/kube/kube_stream.h"

#include <errno.h>
#include <string.h>

void kube_stream_init(struct kube_stream *s, enum kube_stream_form form, kube_stream_fn *fn,
		      void *arg)
{
	*s = (struct kube_stream){ .form = form, .fn = fn, .arg = arg };
}

void kube_stream_fini(struct kube_stream *s)
{
	buffer_fini(&s->piece);
	buffer_fini(&s->rest);
	*s = (struct kube_stream){ 0 };
}

static int add(struct buffer *to, const char *data, size_t n, struct err *e)
{
	if (to->size + n > KUBE_OBJECT_MAX_SIZE)
		return err_set(e, -EFBIG, "an object is larger than %zu bytes",
			       KUBE_OBJECT_MAX_SIZE);
	buffer_put(to, data, n);
	return 0;
}

/* The depth at which a piece begins. */
static unsigned ground(const struct kube_stream *s)
{
	return s->form == KUBE_STREAM_LIST ? 2 : 0;
}

static bool in_piece(const struct kube_stream *s)
{
	return s->piece.size > 0;
}

/* The byte goes into the list itself, by itself. */
static int list_byte(struct kube_stream *s, char c, struct err *e)
{
	size_t at = s->rest.size;
	int rc = add(&s->rest, &c, 1, e);

	if (rc < 0 || s->depth != 1)
		return rc;
	if (c == '"' && !s->quoted)
		s->word = at;
	else if (c == '"' && !s->escaped)
		s->was_items =
			s->rest.size - s->word == strlen("\"items\"") &&
			memcmp(s->rest.data + s->word, "\"items\"", strlen("\"items\"")) == 0;
	else if (c == ',')
		s->was_items = false;
	return 0;
}

static int outside(struct kube_stream *s, char c, struct err *e)
{
	if (s->form == KUBE_STREAM_LIST)
		return list_byte(s, c, e);
	if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
		return 0;
	return err_set(e, -EBADMSG, "character 0x%02x stands where an object should begin",
		       (unsigned char)c);
}

static void step(struct kube_stream *s, char c)
{
	if (s->quoted) {
		if (s->escaped)
			s->escaped = false;
		else if (c == '\\')
			s->escaped = true;
		else if (c == '"')
			s->quoted = false;
	} else if (c == '"') {
		s->quoted = true;
	} else if (c == '{' || c == '[') {
		if (s->depth++ == 1 && c == '[' && s->was_items)
			s->in_items = true;
	} else if ((c == '}' || c == ']') && s->depth > 0) {
		if (--s->depth == 1)
			s->in_items = false;
	}
}

static bool begins_piece(const struct kube_stream *s, char c)
{
	return c == '{' && !s->quoted && s->depth == ground(s) &&
	       (s->form == KUBE_STREAM_EVENTS || s->in_items);
}

/* Behind the quote that ends the string which begins at `begin`. */
static size_t string_end(const char *text, size_t begin, size_t size)
{
	size_t i = begin + 1;
	const char *quote;

	while (i < size && (quote = memchr(text + i, '"', size - i))) {
		size_t escapes = 0;

		i = (size_t)(quote - text);
		while (text[i - 1 - escapes] == '\\')
			escapes++;
		i++;
		if (escapes % 2 == 0)
			return i;
	}
	return size;
}

/* Behind the bracket that closes the one at `i`. */
static size_t value_end(const char *text, size_t i, size_t size)
{
	unsigned depth = 0;

	while (i < size) {
		char c = text[i];

		i = c == '"' ? string_end(text, i, size) : i + 1;
		depth += c == '{' || c == '[';
		if ((c == '}' || c == ']') && --depth == 0)
			break;
	}
	return i;
}

/* What a Node has most of, and nobody here reads: its images, who has written which member, what the machine is. */
static bool is_unread(const char *word, size_t size)
{
	static const char *const words[] = {
		"\"images\"",    "\"managedFields\"",   "\"nodeInfo\"",
		"\"capacity\"",  "\"allocatable\"",     "\"labels\"",
		"\"addresses\"", "\"volumesAttached\"", "\"volumesInUse\"",
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (words[i][1] == word[1] && strlen(words[i]) == size &&
		    memcmp(word, words[i], size) == 0)
			return true;
	}
	return false;
}

/* Puts null for what is not read, so that it costs no parsing; returns the size that is left. */
static size_t skim(char *text, size_t size)
{
	static const char none[] = ":null";
	size_t out = 0;
	size_t i = 0;

	while (i < size) {
		size_t end = text[i] == '"' ? string_end(text, i, size) : i + 1;
		bool unread = end - i > 1 && is_unread(text + i, end - i);

		memmove(text + out, text + i, end - i);
		out += end - i;
		i = end;
		if (!unread || i + 1 >= size || text[i] != ':' ||
		    (text[i + 1] != '[' && text[i + 1] != '{'))
			continue;
		end = value_end(text, i + 1, size);
		if (end - i < strlen(none))
			continue;
		memcpy(text + out, none, strlen(none));
		out += strlen(none);
		i = end;
	}
	text[out] = '\0';
	return out;
}

/* The piece is whole: handed on, and its memory kept for the next. */
static int hand_on(struct kube_stream *s, struct err *e)
{
	size_t size = skim(s->piece.data, s->piece.size);

	s->piece.size = 0;
	s->fn(s->arg, s->piece.data, size);
	return s->form == KUBE_STREAM_LIST ? list_byte(s, '0', e) : 0;
}

/* Backslashes before `end`, of those from `begin` on: an odd number of them takes what follows for itself. */
static bool is_escaped(const char *text, size_t begin, size_t end)
{
	size_t n = end;

	while (n > begin && text[n - 1] == '\\')
		n--;
	return (end - n) % 2 == 1;
}

/* Within a string: up to and with the quote that ends it, or all. */
static size_t rest_of_string(struct kube_stream *s, const char *data, size_t size)
{
	size_t begin = s->escaped ? 1 : 0;
	size_t i = begin;
	const char *quote;

	while (i < size && (quote = memchr(data + i, '"', size - i))) {
		size_t at = (size_t)(quote - data);

		i = at + 1;
		if (is_escaped(data, begin, at))
			continue;
		s->quoted = s->escaped = false;
		return i;
	}
	s->escaped = is_escaped(data, begin, size);
	return size;
}

/* How many of these bytes belong to the piece: all, or those up to its end. */
static size_t rest_of_piece(struct kube_stream *s, const char *data, size_t size)
{
	static const bool matters[256] = {
		['"'] = true, ['{'] = true, ['}'] = true, ['['] = true, [']'] = true,
	};
	size_t n = 0;

	while (n < size) {
		if (s->quoted) {
			n += rest_of_string(s, data + n, size - n);
			continue;
		}
		while (n < size && !matters[(unsigned char)data[n]])
			n++;
		if (n == size)
			break;
		step(s, data[n++]);
		if (s->depth == ground(s) && !s->quoted)
			break;
	}
	return n;
}

int kube_stream_feed(struct kube_stream *s, const char *data, size_t size, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < size && rc == 0; i++) {
		if (in_piece(s)) {
			size_t n = rest_of_piece(s, data + i, size - i);

			rc = add(&s->piece, data + i, n, e);
			if (rc == 0 && s->depth == ground(s) && !s->quoted)
				rc = hand_on(s, e);
			i += n - 1;
		} else if (begins_piece(s, data[i])) {
			rc = add(&s->piece, data + i, 1, e);
			step(s, data[i]);
		} else {
			rc = outside(s, data[i], e);
			step(s, data[i]);
		}
	}
	return rc;
}

int kube_stream_end(struct kube_stream *s, const char **ret_rest, size_t *ret_size, struct err *e)
{
	if (s->depth > 0 || s->quoted || in_piece(s))
		return err_set(e, -EBADMSG, "it ends within an object");
	*ret_rest = s->rest.data;
	*ret_size = s->rest.size;
	return 0;
}
