/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hosts tell of themselves, in a store that is a directory: DIRECTORY/health/<node id>.json, a
 * file for each, which ends at the time it was last modified: that is set ahead.
 */
#ifndef STORES_FILE_HEALTH_H
#define STORES_FILE_HEALTH_H

#include "subnet/store.h"

/* Answers STORE_HEALTH_SET, _KEEP and _LIST; `ret` is empty and OK before. now_s: the wall clock's. */
void file_health_answer(const char *directory, int64_t now_s, const struct store_request *request,
			struct store_reply *ret);

#endif
