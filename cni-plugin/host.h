/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two network namespaces that an attachment joins, and a socket into each.
 *
 * The container's is opened once, checked, and used by descriptor from then on: a path may be
 * replaced meanwhile.
 */
#ifndef CNI_PLUGIN_HOST_H
#define CNI_PLUGIN_HOST_H

#include "cni-plugin/env.h"
#include "kernel/netlink.h"

struct host {
	int own_fd;
	int container_fd; /* -1: not opened, or not there any more */
	struct netlink *nl;
	struct netlink *container_nl; /* NULL like container_fd */
	struct netlink *nf;           /* nftables, of the host; opened by host_open_nf */
	int ipv6_fd;                  /* /proc/sys/net/ipv6 of the host; -1: not opened yet */
	int ports_fd;                 /* the lock of rival_check; -1: not held */
	bool no_guard;                /* the kernel has no nftables on bridges */
	bool disturbed; /* what containers share was not as it should be: see keep.h */
};

/* The host's side alone. */
int host_open(struct host *ret, struct err *e) MUST_CHECK;

/*
 * Opens CNI_NETNS and a socket inside, for ADD and CHECK. CNI_UNKNOWN_CONTAINER: there is nothing
 * at the path. CNI_NAMESPACE: it is no network namespace, or it is the one that we are in, which
 * only CNI_NETNS_OVERRIDE allows.
 */
int host_open_container(struct host *h, const struct cni_env *env, struct err *e) MUST_CHECK;

/*
 * Opens the socket for nftables unless it is open. It stays until host_close: closing it waits for
 * the grace period of what was removed, which by then has passed during something that takes as
 * long.
 */
int host_open_nf(struct host *h, struct err *e) MUST_CHECK;

/*
 * Sets a switch of the host; `fmt` makes the path below /proc/sys/net/ipv6/. Success where the
 * kernel does not have it: without IPv6 nothing of it matters.
 */
int host_set_ipv6(struct host *h, unsigned value, struct err *e, const char *fmt, ...)
	PRINTF(4, 5) MUST_CHECK;

void host_close(struct host *h);

/*
 * Between these two, /proc/sys/net and new sockets are the container's. Leaving cannot fail: a
 * process that is in the wrong namespace must not do another thing, so it tries for a second and
 * then aborts.
 */
int host_enter_container(const struct host *h, struct err *e) MUST_CHECK;
void host_leave_container(const struct host *h);

static inline void host_close_ref(struct host *h)
{
	host_close(h);
}
#define auto_host __attribute__((cleanup(host_close_ref)))
#define HOST_NONE                                                                                  \
	{                                                                                          \
		.own_fd = -1, .container_fd = -1, .ipv6_fd = -1, .ports_fd = -1                    \
	}

#endif
