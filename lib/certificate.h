/* SPDX-License-Identifier: Apache-2.0 */
/* From when to when certificates are good. OpenSSL reads them; it is loaded when the first is looked at. */
#ifndef LIB_CERTIFICATE_H
#define LIB_CERTIFICATE_H

#include "lib/err.h"

#define CERTIFICATE_MAX_SIZE                                                                       \
	((size_t)4 << 20) /* of a file: the system's authorities are a quarter of it */

/* Seconds since 1970. */
struct certificate_validity {
	int64_t from_s;  /* the latest beginning of all */
	int64_t until_s; /* the earliest end */
	unsigned len;    /* how many certificates there are */
};

/*
 * Of all certificates in a PEM text, which may have other things in it, keys for example. -EINVAL: there is
 * none, or one cannot be read. -ELIBACC: there is no OpenSSL.
 */
int certificate_read(const char *pem, size_t size, struct certificate_validity *ret,
		     struct err *e) MUST_CHECK;

#endif
