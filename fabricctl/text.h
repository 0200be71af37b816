/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts from outside made safe for a terminal, and the small grammars of the command line.
 * Pure.
 */
#ifndef FABRICCTL_TEXT_H
#define FABRICCTL_TEXT_H

#include "lib/err.h"

/*
 * A copy without anything that a terminal or a line-oriented reader acts on: control characters,
 * characters that change the direction of writing or are invisible, line separators, bytes that are
 * not UTF-8, and the backslash that announces them. Written as \n, \t, \\, \033 (octal, one byte
 * each) or \u202e. Without `utf8` all that is not ASCII is written as bytes. Caller frees.
 */
char *text_escape(const char *text, bool utf8);

/* "90", "90s", "5m", "2h", "1d", "1h30m" in seconds, up to a year. -EINVAL with a sentence. */
int text_parse_duration(const char *text, int64_t *ret_s, struct err *e) MUST_CHECK;

/* Whether both are the same but for case and the signs '-', '_' and ' '. */
bool text_same_name(const char *a, const char *b);

#endif
