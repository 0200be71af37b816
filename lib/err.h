/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An error is a value: a negative errno that callers branch on and a sentence for a person.
 *
 * The caller owns it, on its stack; nothing here allocates. The place that notices the error calls
 * err_set, every layer that knows one more noun calls err_wrap: "peer 10.5.3.0/24: route: Nexthop
 * has invalid gateway". Whoever returns an error does not log it; whoever handles it logs
 * it once.
 */
#ifndef LIB_ERR_H
#define LIB_ERR_H

#include "lib/util.h"

#define ERR_TEXT_SIZE 480

struct err {
	int code; /* 0 or a negative errno */
	char text[ERR_TEXT_SIZE];
};

/*
 * Sets code (a negative errno) and text, and returns code, so that `return err_set(e, -EINVAL,
 * ...)` reads as one step. `e` may be NULL when the caller wants only the code. Long texts are cut,
 * control characters replaced.
 */
int err_set(struct err *e, int code, const char *fmt, ...) PRINTF(3, 4);

/* As err_set, with ": " and strerror(-code) appended. For failed system calls. */
int err_sys(struct err *e, int code, const char *fmt, ...) PRINTF(3, 4);

/* Puts "noun: " in front of the text and returns the code that is already there. */
int err_wrap(struct err *e, const char *fmt, ...) PRINTF(2, 3);

#endif
