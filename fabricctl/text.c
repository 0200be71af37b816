/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/text.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define DURATION_MAX_S ((int64_t)365 * 86400)

/* Size of the UTF-8 sequence at `p` and its character; 0 if it is none. RFC 3629 section 4. */
static size_t decode(const unsigned char *p, uint32_t *ret)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t size = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	uint32_t c;

	if (size == 1) {
		*ret = p[0];
		return 1;
	}
	if (size == 0 || p[0] > 0xf4)
		return 0;
	c = p[0] & (0x7fu >> size);
	for (size_t i = 1; i < size; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < smallest[size] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret = c;
	return size;
}

/* Characters that show nothing, or make what follows look like something else. */
static bool is_deceptive(uint32_t c)
{
	return (c >= 0x80 && c <= 0x9f) || c == 0xad || c == 0x61c || c == 0x180e ||
	       (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
	       (c >= 0xe000 && c <= 0xf8ff) || c >= 0xe0000;
}

char *text_escape(const char *text, bool utf8)
{
	const unsigned char *p = (const unsigned char *)text;
	/* The longest replacement is that of one byte by four, or of two by six. */
	char *out = xmalloc(strlen(text) * 4 + 1);
	char *o = out;

	while (*p) {
		uint32_t c = 0;
		size_t size = decode(p, &c);

		if (size == 1 && c >= 0x20 && c < 0x7f) {
			if (c == '\\')
				*o++ = '\\';
			*o++ = (char)c;
		} else if (size == 1 && (c == '\n' || c == '\t' || c == '\r')) {
			*o++ = '\\';
			*o++ = c == '\n' ? 'n' : c == '\t' ? 't' : 'r';
		} else if (size > 1 && utf8 && !is_deceptive(c)) {
			memcpy(o, p, size);
			o += size;
		} else if (size > 1 && utf8 && c <= 0xffff) {
			o += snprintf(o, 7, "\\u%04x", (unsigned)c);
		} else {
			size = size ? size : 1;
			for (size_t i = 0; i < size; i++)
				o += snprintf(o, 5, "\\%03o", p[i]);
		}
		p += size;
	}
	*o = '\0';
	return out;
}

int text_parse_duration(const char *text, int64_t *ret_s, struct err *e)
{
	static const struct {
		char name;
		int64_t seconds;
	} units[] = { { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };
	const char *p = text;
	int64_t total = 0;

	do {
		char *end;
		long long n;
		size_t u = 0;

		errno = 0;
		n = isdigit((unsigned char)*p) ? strtoll(p, &end, 10) : -1;
		if (n < 0 || errno || n > DURATION_MAX_S)
			goto invalid;
		while (u < ARRAY_LEN(units) && units[u].name != *end)
			u++;
		/* A number alone is seconds. */
		if (u == ARRAY_LEN(units) && (*end || p != text))
			goto invalid;
		total += n * (u == ARRAY_LEN(units) ? 1 : units[u].seconds);
		if (total > DURATION_MAX_S)
			goto invalid;
		p = end + (*end != '\0');
	} while (*p);
	*ret_s = total;
	return 0;
invalid:
	return err_set(e, -EINVAL,
		       "\"%.60s\" must be a duration such as 90, 30s, 5m or 1h30m, up to 365d",
		       text);
}

bool text_same_name(const char *a, const char *b)
{
	for (;;) {
		while (*a && strchr("-_ ", *a))
			a++;
		while (*b && strchr("-_ ", *b))
			b++;
		if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
			return false;
		if (!*a)
			return true;
		a++;
		b++;
	}
}
