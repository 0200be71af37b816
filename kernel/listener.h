/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket that notifications of the kernel come in by, of whatever protocol: opened, filtered,
 * read. What they say is for kernel/monitor.c and kernel/nft_monitor.c.
 */
#ifndef KERNEL_LISTENER_H
#define KERNEL_LISTENER_H

#include <linux/netlink.h>

#include "lib/err.h"

struct listener;

/*
 * Joins `groups` of `protocol` (NETLINK_ROUTE, ...) in the current network namespace, non-blocking.
 * What the socket with `ignore_port_id` caused is dropped inside the kernel where the kernel says
 * who did; 0: nothing is. receive_buffer_bytes: asked for above the system's limit if we may.
 */
int listener_open(int protocol, const int *groups, size_t groups_len, uint32_t ignore_port_id,
		  int receive_buffer_bytes, struct listener **ret, struct err *e) MUST_CHECK;
void listener_close(struct listener *l);
/* To wait on for reading. */
int listener_fd(const struct listener *l);

struct listener_ops {
	void (*message)(void *arg, const struct nlmsghdr *hdr);
	/* Notifications were lost. */
	void (*overrun)(void *arg);
};

/* Delivers what is there, about `max` messages at most; returns how many it read. */
unsigned listener_read(struct listener *l, unsigned max, const struct listener_ops *ops, void *arg);

#endif
