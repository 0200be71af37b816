/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ICMP echo, asked without privileges: the kernel's ping sockets, which give each asker an identifier
 * of its own and let through nothing but the answers to it.
 *
 * The kernel says when an answer arrived, so that the time it took is right whenever it is read: nobody
 * has to wake up for each. An answer must carry what only the asker knows.
 *
 * Source: linux/net/ipv4/ping.c; net.ipv4.ping_group_range in linux/Documentation/networking/ip-sysctl.rst,
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

/*
 * A socket that asks from this address of ours. -EACCES: net.ipv4.ping_group_range leaves this process's
 * group out. -EADDRNOTAVAIL: no interface has the address.
 */
int echo_open(const struct ip_addr *from, struct echo **ret, struct err *e) MUST_CHECK;
void echo_close(struct echo *s);
/* 0, or why it did not leave this host, as -errno. */
int echo_send(struct echo *s, const struct ip_addr *to, uint16_t sequence);
/* One of the answers that have come; false: there is none. What is none of ours is left out. */
bool echo_read(struct echo *s, struct echo_answer *ret);

#endif
