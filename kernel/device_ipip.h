/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IPv4 in IPv4 (RFC 2003) to any remote: a route's gateway says where its packets go. With a port they
 * go inside UDP without any other header, and what comes to that port is taken in (kernel/fou.h).
 */
#ifndef KERNEL_DEVICE_IPIP_H
#define KERNEL_DEVICE_IPIP_H

#include "kernel/device_kind.h"
#include "lib/addr.h"

#define IPIP_OVERHEAD     20 /* bytes: the outer header */
#define IPIP_UDP_OVERHEAD 28 /* and that of UDP */

struct device_ipip {
	struct ip_addr local; /* IPv4: the source address */
	uint16_t udp_port;    /* source and destination, host order; 0: not in UDP */
};

/* Specifications are struct device_ipip. */
extern const struct device_kind device_ipip;

struct link_info;
/* What a device of this kind says of itself. */
void device_ipip_read(const struct link_info *link, struct device_ipip *ret);

#endif
