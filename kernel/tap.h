/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What passes a device: copies of packets to or from one address, by which certain packets can be followed
 * from device to device. Nothing is changed, nothing is delayed; it ends with the process, however
 * that ends. The kernel shows what leaves after all chains and queues of the sender's side, and what comes
 * before any of the receiver's. Source: packet(7). Needs CAP_NET_RAW.
 */
#ifndef KERNEL_TAP_H
#define KERNEL_TAP_H

#include "lib/addr.h"

#define TAP_PATTERN_SIZE 48
#define TAP_PATTERNS     4

struct tap;

/* A packet is one that is followed if it has one of these in its first bytes. */
struct tap_patterns {
	struct tap_pattern {
		uint8_t bytes[TAP_PATTERN_SIZE];
		size_t size;
	} items[TAP_PATTERNS];
	size_t len;
};

/* Adds one; it must have room. */
void tap_pattern_add(struct tap_patterns *p, const void *bytes, size_t size);
/* Adds that of packets from one address and port to another: the addresses stand side by side in a header, and
 * the ports behind them (of IPv4 without options, of IPv6 without extensions). Ports in host order. */
void tap_pattern_add_flow(struct tap_patterns *p, const struct ip_addr *src, uint16_t src_port,
			  const struct ip_addr *dst, uint16_t dst_port);
/* Pure. */
bool tap_patterns_match(const struct tap_patterns *p, const void *data, size_t size);

struct tap_count {
	unsigned in;  /* followed packets that came by this device */
	unsigned out; /* that left by it */
	unsigned all; /* whatever left to the address, followed or not */
};

/* Packets of the device to and from `either`. -EPERM. */
int tap_open(uint32_t ifindex, const struct ip_addr *either, struct tap **ret,
	     struct err *e) MUST_CHECK;
void tap_close(struct tap *t);
/* Adds what has passed since the last call. Does not block. */
void tap_read(struct tap *t, const struct tap_patterns *patterns, struct tap_count *count);

#endif
