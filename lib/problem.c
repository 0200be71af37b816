/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/problem.h"

#include <stdarg.h>
#include <string.h>

const char *problem_severity_name(enum problem_severity severity)
{
	static const char *const names[] = { "error", "warning", "info" };

	return names[severity];
}

const struct problem *problem_find(const struct problem_list *list, const char *name)
{
	for (size_t i = 0; i < list->len; i++) {
		if (strcmp(list->items[i].name, name) == 0)
			return &list->items[i];
	}
	return NULL;
}

void problem_add(struct problem_list *list, enum problem_severity severity, const char *name,
		 const char *fmt, ...)
{
	struct problem *p = (struct problem *)problem_find(list, name);
	va_list ap;

	if (p) {
		p->severity = MIN(p->severity, severity);
		p->more++;
		return;
	}
	if (list->len == PROBLEMS_MAX)
		return;
	p = &list->items[list->len++];
	p->name = name;
	p->severity = severity;
	p->more = 0;
	va_start(ap, fmt);
	vsnprintf(p->text, sizeof(p->text), fmt, ap);
	va_end(ap);
	util_make_printable(p->text);
}
