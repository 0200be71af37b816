/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes of objects of any kind, gathered and sent together. Refusals are told one by one, with the
 * cookie of the write.
 */
#ifndef KERNEL_BATCH_H
#define KERNEL_BATCH_H

#include "kernel/kernel.h"
#include "kernel/object.h"

enum kernel_verb {
	KERNEL_CREATE,  /* fails with EEXIST if the slot is taken */
	KERNEL_REPLACE, /* over what is there, if anything */
	KERNEL_DROP,
	KERNEL_REMAKE, /* what is there cannot be replaced: drop it, whatever it is, then put */
};

struct kernel_batch;

struct kernel_batch *kernel_batch_new(struct kernel *k, netlink_error_fn *on_refused, void *arg);
void kernel_batch_free(struct kernel_batch *b);

/* For kinds, whose write ends in these: room for one request on NETLINK_ROUTE, and its end. A NULL
 * cookie: a refusal is of no interest. */
struct nlmsghdr *kernel_batch_message(struct kernel_batch *b);
void kernel_batch_commit(struct kernel_batch *b, void *cookie);

/* An element of one of our table's sets: those that follow each other are one transaction. */
void kernel_batch_element(struct kernel_batch *b, enum kernel_verb verb,
			  const struct kernel_object *o, void *cookie);

/* A change of a WireGuard device: those that follow each other are told together. */
struct wireguard_change;
void kernel_batch_wireguard(struct kernel_batch *b, const struct wireguard_change *c, void *cookie);

/* A complete request on NETLINK_XFRM, at most NETLINK_MESSAGE_MAX; copied. */
void kernel_batch_xfrm(struct kernel_batch *b, const struct nlmsghdr *request, void *cookie);

/* Of the kernel that it is for. */
const struct kernel_marks *kernel_batch_marks(const struct kernel_batch *b);

/* As netlink_batch_flush. *ret_doubts: kinds of which not all was done and not all of that was told
 * as refused; observe them. */
int kernel_batch_flush(struct kernel_batch *b, unsigned *ret_doubts, struct err *e) MUST_CHECK;

#endif
