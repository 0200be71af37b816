/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What somebody meant who mistyped a word, among the words there are. Pure.
 *
 *   struct nearest n = { .word = "ifcae" };
 *   nearest_consider(&n, "iface"); ...
 *   if (n.best) "did you mean iface?"
 */
#ifndef LIB_NEAREST_H
#define LIB_NEAREST_H

#include "lib/util.h"

struct nearest {
	const char *word; /* as it was given; borrowed */
	const char *best; /* the nearest of those considered; NULL: none is near */
	unsigned distance;
};

/*
 * Case does not count. Near is what needs less than four changes and keeps a letter of the word; a
 * word that was not finished is as near as it gets.
 */
void nearest_consider(struct nearest *n, const char *candidate);

/* How many letters must be changed, added, removed or swapped with their neighbour to make one word
 * of the other. */
unsigned nearest_distance(const char *a, const char *b);

#endif
