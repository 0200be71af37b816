/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's notifications about devices, addresses, neighbours, FDB entries, routes and policy rules;
 * another monitor has those about IPsec's policies.
 *
 * A notification is a hint that something may have drifted, never the truth about it: notifications
 * get lost (overrun), and several changes may have happened by the time one is read. Who listens
 * looks again.
 */
#ifndef KERNEL_MONITOR_H
#define KERNEL_MONITOR_H

#include "kernel/link.h"
#include "kernel/kinds.h"

struct monitor;

struct monitor_ops {
	void (*link)(void *arg, const struct link_info *link, bool gone);
	/* port_id: the netlink address of who did it; 0: the kernel itself, or it does not say. */
	void (*object)(void *arg, const struct kernel_object *object, bool gone, uint32_t port_id);
	/* A policy rule came or went. */
	void (*rule)(void *arg);
	/* All objects of a kind went, by one command. */
	void (*flushed)(void *arg, unsigned kind);
	/* Notifications were lost: everything may have changed. */
	void (*overrun)(void *arg);
};

/*
 * Starts listening in the current network namespace, non-blocking. What the socket with
 * `ignore_port_id` (see netlink_port_id) causes is not reported where the kernel says who caused
 * it, that is for all but FDB entries. receive_buffer_bytes 0: the default, 8 MiB.
 */
int monitor_open(uint32_t ignore_port_id, int receive_buffer_bytes, struct monitor **ret,
		 struct err *e) MUST_CHECK;
/* The same for IPsec's policies alone: object, flushed and overrun are what it tells. */
int monitor_open_xfrm(uint32_t ignore_port_id, struct monitor **ret, struct err *e) MUST_CHECK;
void monitor_close(struct monitor *m);
/* To wait on for reading. */
int monitor_fd(const struct monitor *m);
/* Delivers what is there, `max` notifications at most; returns how many it read. */
unsigned monitor_read(struct monitor *m, unsigned max, const struct monitor_ops *ops, void *arg);

#endif
