/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel switches under /proc/sys/net, of the network namespace that the thread is in. */
#ifndef KERNEL_SYSCTL_H
#define KERNEL_SYSCTL_H

#include "lib/err.h"

/*
 * Gives the switch a value; a switch that has it already is not written, since some writes cost the
 * kernel a lot (forwarding flushes caches) and a read-only /proc/sys is no obstacle then. `fmt`
 * makes the path below /proc/sys/net/. -ENOENT: the kernel does not have it, for example IPv6 is
 * off.
 */
int sysctl_set(unsigned value, struct err *e, const char *fmt, ...) PRINTF(3, 4) MUST_CHECK;

/*
 * A directory of them, "ipv6" for example, looked up once. The kernel finds the names of all
 * namespaces in one chain: on a host with a thousand containers whose switches were set, a look-up
 * costs a millisecond, which everything below an opened directory saves. -ENOENT as above.
 */
int sysctl_open(const char *directory, int *ret_fd, struct err *e) MUST_CHECK;
/* As sysctl_set; `fmt` makes the path below the directory. */
int sysctl_set_at(int directory_fd, unsigned value, struct err *e, const char *fmt, ...)
	PRINTF(4, 5) MUST_CHECK;

/* Its value. -EINVAL if it is not a number. */
int sysctl_get(unsigned *ret, struct err *e, const char *fmt, ...) PRINTF(3, 4) MUST_CHECK;

#endif
