/* SPDX-License-Identifier: Apache-2.0 */
/* VXLAN devices without default destination: every peer's place is an FDB entry. */
#ifndef KERNEL_DEVICE_VXLAN_H
#define KERNEL_DEVICE_VXLAN_H

#include "kernel/device_kind.h"
#include "lib/addr.h"

struct device_vxlan {
	uint32_t vni;
	uint16_t port; /* UDP destination port, host order */
	bool gbp;
	/* Only these can be changed while the device is there. */
	bool learning;
	uint32_t lower_ifindex; /* device the tunnel runs over; 0 for none */
	struct ip_addr local;   /* source address; unset: the kernel chooses per route */
};

/* Specifications are struct device_vxlan. */
extern const struct device_kind device_vxlan;

struct link_info;
/* What a device of this kind says of itself. */
void device_vxlan_read(const struct link_info *link, struct device_vxlan *ret);

#endif
