/* SPDX-License-Identifier: Apache-2.0 */
/* What comes on stdin and goes to stdout: one JSON document each, whoever asks. */
#ifndef CNI_PLUGIN_STREAMS_H
#define CNI_PLUGIN_STREAMS_H

#include "lib/json.h"

/*
 * Reads stdin to the end of the file, which must be one JSON object; `what` names it in an error.
 * Caller owns it. CNI_IO, CNI_DECODING.
 */
int streams_read(const char *what, json_t **ret, struct err *e) MUST_CHECK;

/* On one line, and flushed. 0 or -EIO. */
int streams_print(const json_t *j);

#endif
