/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Completion of command lines: a script for each shell, made of the tables of commands and options.
 *
 * What an option's choices or a command's values name besides words are kinds of what is not known
 * before: FILE, a path; FORMAT, what -o knows of the command; COMMAND; and NODE, SUBNET, ADDRESS and
 * WORD, which the script asks for with `fabricctl completion nodes`, when they are wanted.
 */
#ifndef FABRICCTL_COMPLETION_H
#define FABRICCTL_COMPLETION_H

#include "fabricctl/command.h"

/* The word after `fabricctl completion` that lists what is of this kind; NULL: words are no kind. */
const char *completion_live(const char *kind);

/* A command's values one by one: *rest is its `values` at first. Word ("" for any) and kind are
 * for the caller to free. Whether there was one. */
bool completion_next_value(const char **rest, char **ret_word, char **ret_kind);

/* Prints a text in single quotes, as bash and zsh read them, or as fish does. */
void completion_print_quoted(FILE *out, const char *text, bool fish);

void completion_print_bash(FILE *out);
void completion_print_zsh(FILE *out);
void completion_print_fish(FILE *out);

#endif
