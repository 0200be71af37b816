/* SPDX-License-Identifier: Apache-2.0 */
/* What users write of where a service is that has several addresses: a comma list of URLs. Pure. */
#ifndef LIB_ENDPOINTS_H
#define LIB_ENDPOINTS_H

#include "lib/err.h"
#include "lib/util.h"

#define ENDPOINTS_MAX 32

/*
 * Reads a comma list of http://host:port, https://host:port and host:port, which is https if `tls`. -EINVAL
 * names the one that is malformed, without a password that stands in it; ENDPOINTS_MAX at most. What is
 * returned are scheme://host:port, *ret_len of them, also if it failed: endpoints_free.
 */
int endpoints_read(const char *list, bool tls, char ***ret, size_t *ret_len,
		   struct err *e) MUST_CHECK;
void endpoints_free(char **urls, size_t len);

/* Of a part of a URL's path or query: what is neither letter, digit nor one of "-_.~", nor in `also`, becomes
 * %XX. Caller frees. */
char *endpoints_escape(const char *text, const char *also);

#endif
