/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request socket to the kernel: single calls, dumps and batches, with the kernel's own error
 * texts.
 *
 * Everything that this program tells the kernel goes through here, so the counts at the end are the
 * truth about how much was said. Requests are bytes (kernel/message.h); who encodes them are
 * kernel/kind_*.c (addresses, neighbours, FDB entries, routes), kernel/nft*.c (tables and what is in
 * them) and kernel/link.c (devices).
 *
 * Calls block for as long as the kernel works, which is microseconds; a reply that does not come
 * within 5 s is -ETIMEDOUT. Requests that change something are not sent during a rehearsal
 * (kernel/rehearsal.h), and succeed. Source: linux/Documentation/userspace-api/netlink/intro.rst,
 * linux/netlink.h.
 */
#ifndef KERNEL_NETLINK_H
#define KERNEL_NETLINK_H

#include <linux/netlink.h>

#include "lib/err.h"

#define NETLINK_MESSAGE_MAX 1024 /* bytes one batched request may need */

/*
 * What every netlink socket does. Bound to an address that the kernel chooses; 0 or -errno. Received is what
 * the kernel itself sent, and nobody else: bytes read, or -errno, with -EMSGSIZE if it did not fit.
 */
int netlink_socket_bind(int fd, uint32_t *ret_port_id) MUST_CHECK;
ssize_t netlink_socket_receive(int fd, void *buffer, size_t size) MUST_CHECK;

struct netlink;

struct netlink_counts {
	uint64_t writes;       /* messages sent that change something */
	uint64_t dumps;        /* dumps asked for */
	uint64_t system_calls; /* sends and receives */
	uint64_t errors;       /* requests refused by the kernel */
};

/* protocol: NETLINK_ROUTE, NETLINK_NETFILTER. Turns on extended acks, capped acks and strict dump
 * filters. */
int netlink_open(int protocol, struct netlink **ret, struct err *e) MUST_CHECK;
void netlink_close(struct netlink *nl);

/* Our address on this socket: notifications caused by our own requests carry it. */
uint32_t netlink_port_id(const struct netlink *nl);
const struct netlink_counts *netlink_counts(const struct netlink *nl);

/*
 * Sends one request and waits for its end. Sets sequence number and NLM_F_ACK. `on_reply` (may be
 * NULL) sees each message that comes before the ack. Error: the kernel's errno, the text names it
 * in the kernel's words if it gave any.
 */
int netlink_call(struct netlink *nl, struct nlmsghdr *request,
		 void (*on_reply)(void *arg, const struct nlmsghdr *reply), void *arg,
		 struct err *e) MUST_CHECK;

/*
 * Sends a dump request (NLM_F_DUMP is set here) and shows every message of the answer to `visit`.
 *
 * A dump that the kernel marks as interrupted may have shown objects twice or not at all, so it is
 * taken again: before each further one `forget` is called, for `arg` to be as it was before the
 * call. NULL: who sees an object twice is not disturbed. Where something changes all the time it
 * is given up after a few: -EINTR.
 */
int netlink_dump(struct netlink *nl, struct nlmsghdr *request,
		 void (*visit)(void *arg, const struct nlmsghdr *object), void (*forget)(void *arg),
		 void *arg, struct err *e) MUST_CHECK;

/*
 * A batch: many requests in one system call. Only the last of them asks for an ack, since the
 * kernel reports every failure unasked; failures are matched by sequence number and handed to
 * `on_error` with the cookie of the request.
 */
struct netlink_batch;

typedef void netlink_error_fn(void *arg, void *cookie, int code, const char *text);

struct netlink_batch *netlink_batch_new(struct netlink *nl, netlink_error_fn *on_error, void *arg);
void netlink_batch_free(struct netlink_batch *b);
/* Room of NETLINK_MESSAGE_MAX bytes for the next request, header zeroed. Sends first if the batch
 * is full. */
struct nlmsghdr *netlink_batch_reserve(struct netlink_batch *b);
/* The request in the reserved room is complete. */
void netlink_batch_commit(struct netlink_batch *b, void *cookie);
/*
 * Sends what is pending and waits for the kernel. Failures of single requests are not an error
 * here. -ENOBUFS: acks were lost, so what happened is unknown and must be found by a dump.
 */
int netlink_batch_flush(struct netlink_batch *b, struct err *e) MUST_CHECK;

/*
 * Sends complete requests that stand one behind the other, each aligned, in one system call, and
 * waits for the ack of the one with index `acked`: the last, or the last that the kernel answers
 * where a closing marker follows. Sets sequence numbers. Refusals go to `on_error` with the index
 * of the request and are not an error here. -ENOBUFS as above. For kernel/sequence.c, which fills
 * such a buffer.
 */
int netlink_send_sequence(struct netlink *nl, void *requests, size_t size, size_t acked,
			  void (*on_error)(void *arg, size_t index, int code, const char *text),
			  void *arg, struct err *e) MUST_CHECK;

/*
 * Sends questions of which each has one message as its answer, stored like the requests of
 * netlink_send_sequence, in one system call, and shows the answers. `answer` is NULL where the kernel
 * refused one; code and text say why. Sets sequence numbers.
 */
typedef void netlink_answer_fn(void *arg, size_t index, const struct nlmsghdr *answer, int code,
			       const char *text);
int netlink_ask(struct netlink *nl, void *questions, size_t size, netlink_answer_fn *on_answer,
		void *arg, struct err *e) MUST_CHECK;

#endif
