/* SPDX-License-Identifier: Apache-2.0 */
/* Reads golden files: "= name" lines, each followed by hex with comments, or by lines of text. */
#ifndef TESTS_UNIT_GOLDEN_H
#define TESTS_UNIT_GOLDEN_H

#include <ctype.h>

#include "lib/file.h"
#include "tests/unit/test.h"

#define GOLDEN_MAX 1024

struct golden {
	size_t size;
	uint8_t bytes[GOLDEN_MAX] __attribute__((aligned(8)));
};

/* The message of this name; the test fails if the file has none. Paths start at the root of the
 * tree. */
static inline UNUSED struct golden golden_read(const char *path, const char *name)
{
	auto_free char *text = NULL;
	struct golden g = { 0 };
	bool found = false;
	unsigned digits = 0;
	struct err e;

	if (file_read(path, 1 << 20, &text, NULL, &e) < 0)
		fail_msg("%s", e.text);
	for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
		if (line[0] == '=') {
			if (found)
				break;
			found = strcmp(line + 2, name) == 0;
			continue;
		}
		for (const char *p = line; found && *p && *p != '#'; p++) {
			if (*p == ' ')
				continue;
			if (!isxdigit((unsigned char)*p) || g.size == GOLDEN_MAX)
				fail_msg("%s: \"%s\": \"%s\"", path, name, line);
			g.bytes[g.size] = (uint8_t)(g.bytes[g.size] << 4 |
						    (*p <= '9' ? *p - '0' : (*p | 32) - 'a' + 10));
			g.size += digits++ & 1;
		}
	}
	if (!found || digits & 1)
		fail_msg("%s has no whole message \"%s\"", path, name);
	return g;
}

/* Fails with both in hex unless `size` bytes at `data` are the message of this name. */
static inline UNUSED void golden_check(const char *path, const char *name, const void *data,
				       size_t size)
{
	struct golden g = golden_read(path, name);
	char expected[2 * GOLDEN_MAX + 1] = "";
	char actual[2 * GOLDEN_MAX + 1] = "";

	for (size_t i = 0; i < g.size; i++)
		snprintf(expected + 2 * i, 3, "%02x", g.bytes[i]);
	for (size_t i = 0; i < size && i < GOLDEN_MAX; i++)
		snprintf(actual + 2 * i, 3, "%02x", ((const uint8_t *)data)[i]);
	if (strcmp(expected, actual) != 0)
		fail_msg("%s\n  is        %s\n  should be %s", name, actual, expected);
}

/* The text of this name: all lines up to an empty one, without comments. Caller frees. */
static inline UNUSED char *golden_text(const char *path, const char *name)
{
	auto_free char *file = NULL;
	char *found = NULL;
	bool inside = false;
	struct err e;

	if (file_read(path, 1 << 20, &file, NULL, &e) < 0)
		fail_msg("%s", e.text);
	for (char *rest = file, *line; (line = strsep(&rest, "\n"));) {
		if (line[0] == '=' || line[0] == '\0' || line[0] == '#') {
			inside = line[0] == '=' && strcmp(line + 2, name) == 0;
		} else if (inside) {
			char *longer = found ? xasprintf("%s\n%s", found, line) : xstrdup(line);

			free(found);
			found = longer;
		}
	}
	if (!found)
		fail_msg("%s has no \"%s\"", path, name);
	return found;
}

#endif
