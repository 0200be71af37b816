/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/err.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

int err_set(struct err *e, int code, const char *fmt, ...)
{
	/* The old text may be among the arguments. */
	char text[ERR_TEXT_SIZE];
	va_list ap;

	if (!e)
		return code;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	e->code = code;
	memcpy(e->text, text, sizeof(text));
	util_make_printable(e->text);
	return code;
}

int err_sys(struct err *e, int code, const char *fmt, ...)
{
	char text[ERR_TEXT_SIZE];
	va_list ap;
	size_t used;

	if (!e)
		return code;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	used = strlen(text);
	snprintf(text + used, sizeof(text) - used, ": %s", strerror(-code));
	e->code = code;
	memcpy(e->text, text, sizeof(text));
	util_make_printable(e->text);
	return code;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	char noun[ERR_TEXT_SIZE];
	char rest[ERR_TEXT_SIZE];
	va_list ap;

	if (!e)
		return -EIO;
	va_start(ap, fmt);
	vsnprintf(noun, sizeof(noun), fmt, ap);
	va_end(ap);
	memcpy(rest, e->text, sizeof(rest));
	/* Cutting a text that is too long is what is wanted here. */
	if (snprintf(e->text, sizeof(e->text), "%s: %s", noun, rest) < 0)
		e->text[0] = '\0';
	util_make_printable(e->text);
	return e->code;
}
