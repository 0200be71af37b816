/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error codes that a runtime sees, and how they travel inside struct err.
 *
 * The kernel's error numbers end at 4095 (MAX_ERRNO). A code of the CNI protocol is kept beyond
 * them, as -(10000 + code), so that one struct err carries either: lower layers report what
 * happened (an errno), and the step that knows what it means for the runtime classifies it once.
 */
#ifndef CNI_PLUGIN_ERROR_H
#define CNI_PLUGIN_ERROR_H

#include "lib/err.h"

/*
 * 1 to 11, 50 and 51 are the specification's, 8 is its library's, from 100 on they are ours:
 * docs/cni.md.
 */
enum cni_code {
	CNI_INCOMPATIBLE = 1,
	CNI_UNSUPPORTED_FIELD = 2,
	CNI_UNKNOWN_CONTAINER = 3,
	CNI_ENVIRONMENT = 4,
	CNI_IO = 5,
	CNI_DECODING = 6,
	CNI_CONFIG = 7,
	CNI_NAMESPACE = 8,
	CNI_TRY_AGAIN = 11,
	CNI_NOT_AVAILABLE = 50,
	CNI_LIMITED = 51,
	CNI_KERNEL = 100,
	CNI_EXHAUSTED = 101,
	CNI_ADDRESS_UNAVAILABLE = 102,
	CNI_EXISTS = 103,
	CNI_CONFLICT = 104,
	CNI_MISMATCH = 105,
	CNI_DELEGATE = 106,
	CNI_STATE = 107,
};

/* Sets code and sentence; returns e->code. */
int cni_error(struct err *e, unsigned code, const char *fmt, ...) PRINTF(3, 4);

/*
 * Says what an error means for the runtime, unless that is settled: an error that has a CNI code
 * keeps it, and -ETIMEDOUT and -EAGAIN become CNI_TRY_AGAIN whatever the step. Returns e->code.
 */
int cni_classify(struct err *e, unsigned code);

/* The CNI code of an error; CNI_KERNEL where nobody classified it. */
unsigned cni_code_of(const struct err *e);

#endif
