/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that is taken out of use: `fabricctl drain`, `fabricctl resume`. Written down in the state
 * directory, so that a restart changes nothing.
 *
 *   off ──drain──> drained ──release──> released: the daemon ends, so that its lease can be given back
 *    ^  <──resume──   │                    │
 *    └─────────────resume──────────────────┘
 *
 * Drained: subnet.env says so, and the CNI plugin attaches nothing new; all that runs goes on. Released:
 * the daemon, if it is started again, claims nothing until it is resumed.
 */
#ifndef FLANNELD_DRAIN_H
#define FLANNELD_DRAIN_H

#include "lib/problem.h"

enum drain_state { DRAIN_OFF, DRAIN_DRAINED, DRAIN_RELEASED, DRAIN_STATES };
/* "off", "drained", "released" */
const char *drain_state_name(enum drain_state state);
/* False: it is none of those. */
bool drain_state_parse(const char *text, enum drain_state *ret);

struct daemon;

/* What is written down; what cannot be read is off, and said. */
void drain_start(struct daemon *d);
/* Writes it down and acts by it. A host that was never drained cannot be released: -EINVAL. Released ends
 * the loop, a moment later. */
int drain_set(struct daemon *d, enum drain_state state, struct err *e) MUST_CHECK;
void drain_problems(const struct daemon *d, struct problem_list *ret);

#endif
