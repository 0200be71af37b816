/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hands of the reconciler: reads the kernel into it by dumps and carries its queue to the
 * kernel in batches.
 */
#ifndef FABRIC_APPLY_H
#define FABRIC_APPLY_H

#include "fabric/reconcile.h"

/*
 * Observes the kinds in the mask (1 << place in kernel_kinds). On error the observation of that
 * kind was left out and nothing was concluded from it. Blocks for the dumps.
 */
int apply_observe(struct reconcile *r, struct kernel *k, unsigned kinds, struct err *e) MUST_CHECK;

/*
 * Sends queued writes for about `turn_ms`. *ret_more says whether some may be left. Refused writes
 * are not an error: the reconciler keeps them by name. -ENOBUFS: answers were lost, observe again.
 */
int apply_flush(struct reconcile *r, struct kernel *k, int64_t turn_ms, bool *ret_more,
		struct err *e) MUST_CHECK;

#endif
