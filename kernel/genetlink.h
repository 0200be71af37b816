/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generic netlink: kernel modules with a protocol of their own, found by name. Requests and answers
 * travel over kernel/netlink.c. Source: linux/genetlink.h, net/netlink/genetlink.c.
 */
#ifndef KERNEL_GENETLINK_H
#define KERNEL_GENETLINK_H

#include <linux/genetlink.h>

#include "kernel/netlink.h"

/*
 * A socket to the module that calls itself `family` ("fou"), and the type that its messages have.
 * The kernel loads the module if it can. -ENOENT: it has none. Caller closes *ret.
 */
int genetlink_open(const char *family, struct netlink **ret, uint16_t *ret_type,
		   struct err *e) MUST_CHECK;

/* Starts a request in a zeroed buffer. */
void genetlink_put_header(struct nlmsghdr *hdr, uint16_t type, uint8_t command, uint8_t version);

#endif
