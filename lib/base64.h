/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64, standard alphabet with padding: RFC 4648 section 4. What etcd's JSON gateway wraps keys
 * and values in.
 */
#ifndef LIB_BASE64_H
#define LIB_BASE64_H

#include "lib/err.h"

/* A NUL-terminated string; caller frees. */
char *base64_encode(const void *data, size_t size);

/* Decodes; the result is NUL-terminated beyond *ret_size for convenience; caller frees. -EINVAL on
 * any stray byte or bit: of two texts that differ only one is the encoding of something. */
int base64_decode(const char *text, size_t text_size, char **ret, size_t *ret_size,
		  struct err *e) MUST_CHECK;

#endif
