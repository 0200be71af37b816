/* SPDX-License-Identifier: Apache-2.0 */
/* The problems of a daemon's status: the most severe first, and among equals the oldest. */
#ifndef FABRICCTL_PROBLEMS_H
#define FABRICCTL_PROBLEMS_H

#include "fabricctl/ctl.h"

/* "2 problems, 1 note, ": how many there are, nothing if none. A note is what makes nothing worse. */
void problems_print_count(const struct ctl *c, const json_t *problems);

/* One a line: severity, since when, name, text. `now_ms` is the wall clock's. */
void problems_print(const struct ctl *c, const json_t *problems, int64_t now_ms);

/* ": name, name", notes left out; nothing if there are none. */
void problems_print_names(const struct ctl *c, const json_t *problems);

#endif
