/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of which some members are wanted, as the daemon sends it (lib/members.h): "fields" names them, and
 * each of "items", which comes last, is an array of their values. Read beside jansson, for which an item of
 * thousands is as much work as the rest of the document: a list of 5000 in a third of the time.
 */
#ifndef FABRICCTL_ROWS_H
#define FABRICCTL_ROWS_H

#include <jansson.h>

#include "lib/err.h"

/*
 * The document with items that are objects again, without members that are null. -ENOENT: it has no fields,
 * and is read as any other. -EINVAL: it is no such document; says what is wrong and where. Caller owns *ret.
 */
int rows_parse(const char *text, size_t size, json_t **ret, struct err *e) MUST_CHECK;

#endif
