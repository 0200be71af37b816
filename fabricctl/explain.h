/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a word means that the daemon or this tool says: problems, states, events of the log, and
 * words of the field. docs/operations.md is the long form of the problems; that both have the same
 * names, and those which the source can say, a test sees.
 */
#ifndef FABRICCTL_EXPLAIN_H
#define FABRICCTL_EXPLAIN_H

#include <stddef.h>
#include <stdio.h>

struct explain_entry {
	const char *word;
	const char *means;
	const char *packets; /* what it does to them; NULL: nothing to be said */
	const char *action;  /* what to do; NULL: nothing */
};

/* Each ends with word NULL. */
extern const struct explain_entry explain_problems[];
extern const struct explain_entry explain_states[];
extern const struct explain_entry explain_events[];
extern const struct explain_entry explain_words[];

/* All that are explained, one a line. */
void explain_print_words(FILE *out);

#endif
