/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel of this host ought to have by what the daemon left behind, compared with what it has,
 * by the daemon's own code: backend, peers, reconciler and rules, in a rehearsal (kernel/rehearsal.h). Nothing
 * is written, nothing runs beside it, and no daemon is needed.
 */
#ifndef FABRIC_LOOK_H
#define FABRIC_LOOK_H

#include "fabric/fabric.h"
#include "fabric/options.h"
#include "subnet/last_known.h"

/*
 * Shows to `visit` what fabric_diff would (fabric/fabric.h). `known` with its own lease and all peers; both are only read. Blocks
 * for a few dumps of the kernel. From then on this process writes nothing to the kernel any more.
 *
 * An error: the configuration is of no use, the host has no place in the underlay, its key is not there,
 * or the kernel cannot be read.
 */
int fabric_look(const struct fabric_left *left, const struct last_known *known,
		fabric_difference_fn *visit, void *arg, struct err *e) MUST_CHECK;

#endif
