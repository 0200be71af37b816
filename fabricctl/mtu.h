/* SPDX-License-Identifier: Apache-2.0 */
/* A PathMTUList document as the reader asked for it. */
#ifndef FABRICCTL_MTU_H
#define FABRICCTL_MTU_H

#include "fabricctl/ctl.h"

/* Prints the list in the format wanted. CTL_FOUND if there is a black hole in it, CTL_OK if not. */
int mtu_print(const struct ctl *c, const json_t *document);

#endif
