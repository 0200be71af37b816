/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ICMP echo, asked without privileges: the kernel's ping sockets, which give each asker an identifier
 * of its own and let through nothing but the answers to it.
 *
 * The kernel says when an answer arrived, so that the time it took is right whenever it is read: nobody
 * has to wake up for each. An answer must carry what only the asker knows.
 *
 * Of large questions it matters whether they arrive whole. They go with "don't fragment", and what routers and
 * this kernel say of those that were too large is kept to be read. What the kernel has learned of the way is left
 * out of it, or not: packets that it forwards by IPv4 go whatever it has learned, by IPv6 it refuses what is larger.
 *
 * Source: linux/net/ipv4/ping.c; IP_MTU_DISCOVER and IP_RECVERR in ip(7); net.ipv4.ping_group_range in linux/Documentation/networking/ip-sysctl.rst,
 * for both families.
 */
#ifndef KERNEL_ECHO_H
#define KERNEL_ECHO_H

#include "lib/addr.h"

struct echo;

struct echo_answer {
	struct ip_addr from;
	uint16_t sequence;
	int32_t rtt_us; /* -1: the clock was set meanwhile */
};

/* A router's word, or the kernel's, that a question was too large. */
struct echo_refusal {
	struct ip_addr to;
	uint16_t sequence;
	uint16_t mtu_bytes; /* what is not; 0: not told */
};

enum echo_kind { ECHO_SMALL, ECHO_LARGE, ECHO_LARGE_AS_LEARNED };

/*
 * A socket that asks such questions from this address of ours. -EACCES: net.ipv4.ping_group_range leaves this process's
 * group out. -EADDRNOTAVAIL: no interface has the address.
 */
int echo_open(const struct ip_addr *from, enum echo_kind kind, struct echo **ret,
	      struct err *e) MUST_CHECK;
void echo_close(struct echo *s);
/*
 * size_bytes: of the IP packet; as small as it may be, if that is more. 0, or why it did not leave this host, as
 * -errno: -EMSGSIZE if it is larger than the MTU of the interface, or what has been learned; -EAGAIN if this cannot be told now.
 */
int echo_send(struct echo *s, const struct ip_addr *to, uint16_t sequence, uint16_t size_bytes);
/* One of the answers that have come; false: there is none. What is none of ours is left out. */
bool echo_read(struct echo *s, struct echo_answer *ret);
/* Likewise of the refusals, of large questions. */
bool echo_read_refusal(struct echo *s, struct echo_refusal *ret);

#endif
