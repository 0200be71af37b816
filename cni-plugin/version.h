/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The versions of the specification: which there are, how they compare, which shape of result each
 * has.
 */
#ifndef CNI_PLUGIN_VERSION_H
#define CNI_PLUGIN_VERSION_H

#include "lib/err.h"
#include "lib/json.h"

#define VERSION_LATEST "1.1.0"

/* Results have one of three shapes; the third lost a field, and gained some with 1.1.0. */
enum version_shape {
	VERSION_SHAPE_IP4_IP6,    /* 0.1.0, 0.2.0 */
	VERSION_SHAPE_INTERFACES, /* 0.3.0, 0.3.1, 0.4.0 */
	VERSION_SHAPE_1_0,
	VERSION_SHAPE_1_1,
};

/* 0 if we speak it, which is decided by the exact text; else CNI_INCOMPATIBLE. */
int version_check(const char *version, struct err *e) MUST_CHECK;

/* For a version that passed version_check. */
enum version_shape version_shape(const char *version);
bool version_has_check(const char *version);         /* 0.4.0 */
bool version_has_gc_and_status(const char *version); /* 1.1.0 */

/* {"cniVersion": ..., "supportedVersions": [...]}, the answer to VERSION; caller owns it. */
json_t *version_report(void);

#endif
