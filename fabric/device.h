/* SPDX-License-Identifier: Apache-2.0 */
/* One device of the fabric: made equal to what a backend wants of it. */
#ifndef FABRIC_DEVICE_H
#define FABRIC_DEVICE_H

#include "backends/backend.h"
#include "kernel/netlink.h"

#define DEVICE_CHANGES_TEXT 200

/*
 * `mark` (kernel/marks.h) is the alias that says whose the device is. One that is as wanted but for
 * its alias gets ours: an earlier version or flannel made it.
 *
 * Makes the device exist with the wanted attributes and up, changing as little as possible;
 * *ret_ifindex is its index. An existing device is kept, with index, if it is the same tunnel; its
 * place in the underlay, MTU and MAC are changed in place; one that is another tunnel under our
 * name is replaced; one of another kind is an error, since it is not ours. changes: "" at first, gets
 * what was done to it, what was and what is: "set up, it was down; mtu 1000 -> 1450". Long ones are cut.
 *
 * known_ifindex: the index it had last, 0 if none. Somebody may have renamed it: then it is given
 * its name back, since it would stand in the way of another one.
 *
 * During a rehearsal (kernel/rehearsal.h) only `changes` are told; *ret_ifindex is 0 if it would be made.
 */
int device_apply(struct kernel *k, const struct backend_device *d, const char *mark,
		 uint32_t known_ifindex, uint32_t *ret_ifindex,
		 char changes[static DEVICE_CHANGES_TEXT], struct err *e) MUST_CHECK;

/* Whether a device is as wanted in everything. */
bool device_is_as_wanted(const struct link_info *link, const struct backend_device *d,
			 const char *mark);

/*
 * True if the wanted device exists already as this tunnel, made by an earlier run or by flannel,
 * or can be changed into it; then *ret_ifindex is its index and *ret_mac its MAC, which peers know.
 */
bool device_find(struct netlink *nl, const struct backend_device *d, uint32_t *ret_ifindex,
		 struct mac_addr *ret_mac);

#endif
