/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hands of the reconciler: reads the kernel into it by dumps and carries its queue to the
 * kernel in batches.
 */
#ifndef BACKENDS_APPLY_H
#define BACKENDS_APPLY_H

#include "backends/backend.h"
#include "backends/reconcile.h"
#include "kernel/netlink.h"

#define APPLY_ALL_KINDS ((1u << KERNEL_KINDS) - 1)

/*
 * Observes the kinds in the mask (1 << enum kernel_kind). On error the observation of that kind was
 * left out and nothing was concluded from it. Blocks for the dumps.
 */
int apply_observe(struct reconcile *r, struct netlink *nl, const struct reconcile_scope *scope,
		  unsigned kinds, struct err *e) MUST_CHECK;

/*
 * Sends up to `max` queued writes. *ret_more says whether some are left. Refused writes are not an
 * error: the reconciler keeps them by name. -ENOBUFS: answers were lost, observe again.
 */
int apply_flush(struct reconcile *r, struct netlink *nl, size_t max, bool *ret_more,
		struct err *e) MUST_CHECK;

/*
 * Makes the device exist with the wanted attributes and up, changing as little as possible;
 * *ret_ifindex is its index. An existing device is kept, with index, if it is the same tunnel; its
 * place in the underlay, MTU and MAC are changed in place; one that is another tunnel under our
 * name is replaced; one of another kind is an error, since it is not ours. *ret_changed: made or
 * altered.
 *
 * known_ifindex: the index it had last, 0 if none. Somebody may have renamed it: then it is given
 * its name back, since it would stand in the way of another one.
 */
int apply_device(struct netlink *nl, const struct backend_device *d, uint32_t known_ifindex,
		 uint32_t *ret_ifindex, bool *ret_changed, struct err *e) MUST_CHECK;

/* Whether a device is as wanted in everything. */
bool apply_is_as_wanted(const struct link_info *link, const struct backend_device *d);

/*
 * True if the wanted device exists already as this tunnel, made by an earlier run or by flannel,
 * or can be changed into it; then *ret_ifindex is its index and *ret_mac its MAC, which peers know.
 */
bool apply_find_device(struct netlink *nl, const struct backend_device *d, uint32_t *ret_ifindex,
		       struct mac_addr *ret_mac);

#endif
