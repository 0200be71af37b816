/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network namespaces as descriptors: opened from a path that somebody else wrote, compared,
 * entered.
 *
 * A netlink socket belongs to the namespace in which it was opened, for ever; what depends on the
 * namespace that the thread is in at the moment is only the opening of sockets and the tree
 * /proc/sys/net. Source: setns(2), ioctl_ns(2).
 */
#ifndef KERNEL_NETNS_H
#define KERNEL_NETNS_H

#include "lib/err.h"

/*
 * Opens the network namespace at `path` (a bind mount, or /proc/PID/ns/net); the caller closes
 * *ret_fd. -ENOENT: nothing there. -EINVAL: there is something, and it is not a network namespace.
 * Never blocks on a FIFO.
 */
int netns_open(const char *path, int *ret_fd, struct err *e) MUST_CHECK;

/* The namespace that this thread is in now. */
int netns_open_own(int *ret_fd, struct err *e) MUST_CHECK;

/* The same namespace, whatever the paths were: namespaces are told apart by device and inode. */
bool netns_equal(int a_fd, int b_fd);

/* Moves this thread into the namespace. Needs CAP_SYS_ADMIN. */
int netns_enter(int fd, struct err *e) MUST_CHECK;

#endif
