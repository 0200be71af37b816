/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/nearest.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define WORD_MAX 63
#define NEAR_MAX 3

static bool same(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

void nearest_consider(struct nearest *n, const char *candidate)
{
	size_t size = strlen(n->word);
	unsigned distance = nearest_distance(n->word, candidate);

	if (size > 1 && distance > 1 && strncasecmp(n->word, candidate, size) == 0)
		distance = 1;
	if (distance > NEAR_MAX || distance >= size || (n->best && distance >= n->distance))
		return;
	n->best = candidate;
	n->distance = distance;
}

unsigned nearest_distance(const char *a, const char *b)
{
	unsigned rows[3][WORD_MAX + 1];
	size_t a_len = strlen(a);
	size_t b_len = strlen(b);

	if (a_len > WORD_MAX || b_len > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= b_len; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned *row = rows[i % 3];
		const unsigned *above = rows[(i + 2) % 3];
		const unsigned *above2 = rows[(i + 1) % 3];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned cost = !same(a[i - 1], b[j - 1]);

			row[j] = MIN(above[j], row[j - 1]) + 1;
			row[j] = MIN(row[j], above[j - 1] + cost);
			if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
				row[j] = MIN(row[j], above2[j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}
