/* SPDX-License-Identifier: Apache-2.0 */
/* A Diff document as the reader asked for it. */
#ifndef FABRICCTL_DIFF_H
#define FABRICCTL_DIFF_H

#include "fabricctl/ctl.h"

/* A line for each difference, or JSON. CTL_FOUND if there is any. */
int diff_print(const struct ctl *c, const json_t *document);

#endif
