/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/error.h"

#include <errno.h>
#include <stdarg.h>

#define CODE_BASE 10000

int cni_error(struct err *e, unsigned code, const char *fmt, ...)
{
	char text[ERR_TEXT_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(e, -(CODE_BASE + (int)code), "%s", text);
}

int cni_classify(struct err *e, unsigned code)
{
	if (e->code == -ETIMEDOUT || e->code == -EAGAIN)
		code = CNI_TRY_AGAIN;
	if (e->code > -CODE_BASE)
		e->code = -(CODE_BASE + (int)code);
	return e->code;
}

unsigned cni_code_of(const struct err *e)
{
	return e->code <= -CODE_BASE ? (unsigned)(-e->code - CODE_BASE) : CNI_KERNEL;
}
