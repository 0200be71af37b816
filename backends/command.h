/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command of a network configuration, in one of two forms. No shell runs either.
 *
 *   "ip route replace $SUBNET via $PUBLIC_IP"       a text: split on blanks, then every $NAME and ${NAME} of the
 *                                                   daemon's environment and of the command's own variables is
 *                                                   replaced; a word that becomes empty is left out. What only a
 *                                                   shell would understand is refused.
 *   ["sh", "-c", "ip route replace $SUBNET ..."]    an array: words as they are, in which the command's own
 *                                                   variables are replaced and nothing else
 *
 * What a variable has stays one word. Pure but for the daemon's environment.
 */
#ifndef BACKENDS_COMMAND_H
#define BACKENDS_COMMAND_H

#include "lib/json.h"

#define COMMAND_SIZE_MAX  8192 /* bytes, of a text or of all words of an array */
#define COMMAND_WORDS_MAX 256

struct command {
	char **words; /* NULL: there is none */
	size_t len;
	bool is_array;
};

/*
 * Reads one key of a configuration; absent, null and "" are none. -EINVAL names the key and what is wrong.
 * *ret is initialised whatever comes of it.
 */
int command_read(const json_t *object, const char *key, struct command *ret,
		 struct err *e) MUST_CHECK;
/* As it was read, for a file. Caller owns the result. */
json_t *command_json(const struct command *c);
void command_fini(struct command *c);

/*
 * The words with variables ("NAME=value") replaced, ended by NULL; an empty list if no word is left. Caller
 * gives it to command_free_words().
 */
char **command_expand(const struct command *c, const char *const variables[], size_t variables_len);
/* The daemon's environment with these variables, likewise. */
char **command_environment(const char *const variables[], size_t variables_len);
void command_free_words(char **words);

#endif
