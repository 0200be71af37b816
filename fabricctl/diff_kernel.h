/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl diff --kernel: without the daemon. */
#ifndef FABRICCTL_DIFF_KERNEL_H
#define FABRICCTL_DIFF_KERNEL_H

#include "fabricctl/settings.h"

/* A Diff as the daemon gives it, of what it left behind. Complains, and returns the exit status. */
int diff_kernel(const struct ctl *c, const struct settings *s, json_t **ret);

#endif
