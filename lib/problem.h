/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Things that are wrong now, as a list: what a module tells when it is asked how it is.
 *
 * A problem is a stable name that can be searched for and alerted on, a severity and a sentence. A
 * module adds what is wrong each time it is asked and remembers nothing; since when, and the lines
 * in the log when one begins and ends, are flanneld/health.h's.
 */
#ifndef LIB_PROBLEM_H
#define LIB_PROBLEM_H

#include "lib/err.h"

#define PROBLEMS_MAX 32

enum problem_severity {
	PROBLEM_ERROR,   /* packets are lost, or will be unless somebody acts */
	PROBLEM_WARNING, /* something is not as it should be: the verdict is "degraded" */
	PROBLEM_INFO,    /* worth knowing; all is well none the less */
};
const char *problem_severity_name(enum problem_severity severity);

struct problem {
	const char *name; /* a literal */
	enum problem_severity severity;
	unsigned more; /* others with this name that were told as well */
	char text[ERR_TEXT_SIZE];
};

/* No two have one name. Zero-initialise `len` alone. */
struct problem_list {
	struct problem items[PROBLEMS_MAX];
	size_t len;
};

/*
 * Adds one. `name` is a literal; the text is made printable. If the name is there already, the first
 * text stands, the worse severity counts, and so does the number. What finds no room is left out: by
 * then there is no doubt about the verdict.
 */
void problem_add(struct problem_list *list, enum problem_severity severity, const char *name,
		 const char *fmt, ...) PRINTF(4, 5);

/* NULL if there is none of that name. */
const struct problem *problem_find(const struct problem_list *list, const char *name);

#endif
