/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What somebody needs who helps: files in memory, each without its secrets and with a bound, then
 * written as one archive. bundle_sources.c says what is in it, bundle.c what becomes of that.
 */
#ifndef FABRICCTL_BUNDLE_H
#define FABRICCTL_BUNDLE_H

#include "fabricctl/redact.h"
#include "fabricctl/settings.h"

#define BUNDLE_FILE_MAX                                                                            \
	((size_t)4 << 20) /* what is longer is cut: the end is kept, which is newer */
#define BUNDLE_TOTAL_MAX ((size_t)48 << 20)

struct bundle {
	const struct ctl *c;
	const struct settings *settings;
	struct redactor redactor;
	bool daemon_answers;
	json_t *items; /* {"name", "sizeBytes", "leftOut", "cutBytes", "error"}, in the order of texts */
	char **texts;
	size_t texts_len;
	size_t texts_cap;
	size_t total;
};

/* Adds a file. `text` is read only, NULL: nothing could be had, and `error` says why; both may be given.
 */
void bundle_add(struct bundle *b, const char *name, const char *text, const char *error);

/* Everything, as far as it is there. Blocks, for a minute at most where nobody answers. */
void bundle_gather(struct bundle *b);

#endif
