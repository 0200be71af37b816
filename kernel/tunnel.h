/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a tunnel device sends a packet, found out as the kernel does it: by neighbour and FDB entry
 * (vxlan), by the route's gateway (ipip, also in UDP), by the longest allowed-ip (wireguard). Nothing is
 * changed.
 */
#ifndef KERNEL_TUNNEL_H
#define KERNEL_TUNNEL_H

#include "kernel/kernel.h"
#include "kernel/link.h"
#include "lib/addr.h"

#define TUNNEL_TEXT 192

struct tunnel_way {
	bool is_tunnel; /* else the device is none that is known here, and the rest is unset */
	struct ip_addr remote;   /* in the underlay */
	struct ip_addr local;    /* the source; unset: as the route to the remote has it */
	uint8_t protocol;        /* IPPROTO_, of what the underlay sees */
	uint16_t port;           /* destination, host order; 0: it has none */
	uint16_t overhead_bytes; /* that are put before each packet */
	char how[TUNNEL_TEXT];   /* for people: what led there */
};

/*
 * `next` is the route's gateway, or if it has none the destination `dst`. -ENOENT: the device has no
 * way for it and drops the packet, the text says what is missing. Blocks for a few system calls; with
 * wireguard for a dump of its peers.
 */
int tunnel_find(struct kernel *k, const struct link_info *device, const struct ip_addr *next,
		const struct ip_addr *dst, struct tunnel_way *ret, struct err *e) MUST_CHECK;

#endif
