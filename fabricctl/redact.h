/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A text without its secrets, for somebody else to read. Left out are
 *
 *   - values that are known to be secret (redact_add_value), wherever they stand
 *   - what follows a name that sounds like one: password = x, "PSK": "x", --token x; also in JSON
 *     within JSON, and to the end of a line that is an assignment. A name that ends with "file" names
 *     a file
 *   - user and password in a URL, what follows Bearer, Basic and -u, JSON Web Tokens, private keys in PEM
 *
 * Too much rather than too little. A text that is one object of JSON stays one. Pure.
 */
#ifndef FABRICCTL_REDACT_H
#define FABRICCTL_REDACT_H

#include <stddef.h>

#define REDACT_VALUES_MAX 16
#define REDACT_NAMES_MAX  16
#define REDACT_SHORTEST   4 /* shorter values would be found in everything */
#define REDACT_LEFT_OUT   "(left out)"

struct redactor {
	char *values[REDACT_VALUES_MAX];
	size_t values_len;
	const char *names[REDACT_NAMES_MAX]; /* of secrets, besides those that sound like one */
	size_t names_len;
};

/* Copied. Beyond the maximum, and if it is too short, none is added. */
void redact_add_value(struct redactor *r, const char *value);
/* Borrowed. */
void redact_add_name(struct redactor *r, const char *name);
void redact_fini(struct redactor *r);

/* Caller frees. *ret_left_out: how often something was. */
char *redact_text(const struct redactor *r, const char *text, size_t *ret_left_out);

#endif
