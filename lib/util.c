/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation that does not fail. */
#include "lib/util.h"

#include <stdarg.h>
#include <string.h>

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
