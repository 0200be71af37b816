/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that belong together, sent in one system call, with the first failure as the result.
 *
 * netlink_batch is for thousands of requests whose failures are told one by one; this is for a
 * dozen that must all succeed. Routing netlink goes on after a failure, so the caller undoes what
 * was done; nfnetlink takes a sequence that stands in batch markers as a whole or not at all.
 */
#ifndef KERNEL_SEQUENCE_H
#define KERNEL_SEQUENCE_H

#include "kernel/netlink.h"

struct sequence;

struct sequence *sequence_new(void);
void sequence_free(struct sequence *s);

/* Room of NETLINK_MESSAGE_MAX bytes for the next request, all zero. Valid until the next call. */
struct nlmsghdr *sequence_reserve(struct sequence *s);
/* As above, for a request that may need that many bytes. */
struct nlmsghdr *sequence_reserve_room(struct sequence *s, size_t size);
/*
 * The request in the reserved room is complete; the text says what it does, for an error message.
 */
void sequence_commit(struct sequence *s, const char *fmt, ...) PRINTF(2, 3);
/*
 * As commit, for a closing marker: nothing answers it, so the request before it is the last to wait
 * for.
 */
void sequence_commit_marker(struct sequence *s);

/*
 * Sends everything, waits until the kernel has done it, and leaves the sequence empty. Error: the
 * first request that failed, as "text: the kernel's words", its errno. -ENOBUFS: what happened is
 * unknown.
 */
int sequence_run(struct sequence *s, struct netlink *nl, struct err *e) MUST_CHECK;

static inline void sequence_free_ref(struct sequence **s)
{
	sequence_free(*s);
}
#define auto_sequence __attribute__((cleanup(sequence_free_ref)))

#endif
