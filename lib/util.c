/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation that does not fail, and texts that do no harm. */
#include "lib/util.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/random.h>

static void *checked(void *p)
{
	if (!p) {
		static const char text[] = "out of memory\n";
		ssize_t ignored UNUSED = write(STDERR_FILENO, text, sizeof(text) - 1);
		abort();
	}
	return p;
}

void *xmalloc(size_t size)
{
	return checked(malloc(size ? size : 1));
}

void *xcalloc(size_t len, size_t size)
{
	return checked(calloc(len ? len : 1, size ? size : 1));
}

void *xrealloc(void *p, size_t size)
{
	return checked(realloc(p, size ? size : 1));
}

char *xstrdup(const char *s)
{
	return checked(strdup(s));
}

char *xstrndup(const char *s, size_t size)
{
	return checked(strndup(s, size));
}

char *xasprintf(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	return checked(text);
}

/* Of three bytes: what turns the direction of writing, ends a line, or is not seen: U+200B to U+200F,
 * U+2028 to U+202E, U+2060 to U+206F, U+FEFF. */
static bool misleads(const unsigned char *p)
{
	if (p[0] == 0xef)
		return p[1] == 0xbb && p[2] == 0xbf;
	if (p[0] != 0xe2)
		return false;
	if (p[1] == 0x81)
		return p[2] >= 0xa0 && p[2] <= 0xaf;
	return p[1] == 0x80 && ((p[2] >= 0x8b && p[2] <= 0x8f) || (p[2] >= 0xa8 && p[2] <= 0xae));
}

/* Size of the printable character at `p`, 0 if there is none. RFC 3629 section 4. */
static size_t character_size(const unsigned char *p)
{
	unsigned char low = 0x80;
	unsigned char high = 0xbf;
	size_t size;

	if (p[0] < 0x80)
		return p[0] >= 0x20 && p[0] != 0x7f;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		size = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		size = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		size = 4;
	else
		return 0;
	if (p[0] == 0xc2)
		low = 0xa0; /* U+0080 to U+009F are control characters */
	else if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < size; i++) {
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	}
	return size == 3 && misleads(p) ? 0 : size;
}

void util_make_printable(char *s)
{
	unsigned char *p = (unsigned char *)s;

	while (*p) {
		size_t size = character_size(p);

		if (size == 0)
			*p = '?';
		p += size ? size : 1;
	}
}

void util_random(void *ret, size_t size)
{
	char *p = ret;

	while (size) {
		ssize_t n = getrandom(p, size, 0);

		if (n < 0 && errno != EINTR)
			abort();
		if (n > 0) {
			p += n;
			size -= (size_t)n;
		}
	}
}

uint64_t util_random_u64(void)
{
	uint64_t value;

	util_random(&value, sizeof(value));
	return value;
}
