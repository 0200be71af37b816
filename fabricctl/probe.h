/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Harmless packets that are sent to see whether an answer comes: ICMP echo, a datagram to a UDP port, a TCP
 * connection that is closed at once. That a port is closed is an answer too: who says so is there. They can be
 * told from all others on their way (kernel/tap.h).
 */
#ifndef FABRICCTL_PROBE_H
#define FABRICCTL_PROBE_H

#include "kernel/tap.h"
#include "lib/addr.h"

#define PROBE_PACKETS_MAX 5

struct probe_question {
	struct ip_addr src;
	struct ip_addr dst;
	uint8_t protocol; /* IPPROTO_ICMP or ICMPV6, UDP, TCP */
	uint16_t port;    /* destination, host order; UDP and TCP */
	unsigned packets; /* that are sent, 1 to PROBE_PACKETS_MAX; one with TCP */
	int64_t gap_ms;   /* between them */
	int64_t wait_ms;  /* for the answer to the last */
	size_t size;      /* of the packet, IP header included; 0: small. Not TCP */
	bool whole;       /* is not to be cut on the way (DF) */
	int namespace_fd; /* in which it is sent; -1: our own */
};

struct probe;

/* Opens the sockets; nothing is sent. -EACCES, -EPERM: it takes root. -EADDRNOTAVAIL: `src` is not there. */
int probe_open(const struct probe_question *q, struct probe **ret, struct err *e) MUST_CHECK;
void probe_close(struct probe *p);

/* By what the packets are known, questions and answers. */
void probe_patterns(const struct probe *p, struct tap_patterns *ret);

struct probe_result {
	unsigned sent;
	unsigned answered;
	int refused;    /* -errno with which the kernel did not send one; 0: none */
	int64_t rtt_us; /* of the first answer; -1: none came */
};

/* One packet, and the answers that have come, by ICMP: for who has an own idea of when. They do not block. `r` begins as
 * PROBE_RESULT_NONE, and both add to it. */
#define PROBE_RESULT_NONE ((struct probe_result){ .rtt_us = -1 })
void probe_send(struct probe *p, struct probe_result *r);
void probe_hear(struct probe *p, struct probe_result *r);
/* Readable when there is an answer. */
int probe_fd(const struct probe *p);

/* Sends and waits. Blocks for packets * gap_ms + wait_ms at most. */
void probe_run(struct probe *p, struct probe_result *ret);

#endif
