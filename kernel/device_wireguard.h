/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WireGuard: encrypted, and from known keys alone. The kernel's, or wireguard-go's where the kernel has
 * none; what is told either is kernel/wireguard.h's.
 */
#ifndef KERNEL_DEVICE_WIREGUARD_H
#define KERNEL_DEVICE_WIREGUARD_H

#include "kernel/device_kind.h"
#include "kernel/wireguard.h"

#define WIREGUARD_OVERHEAD                                                                         \
	80 /* bytes, in IPv6: 40 + 8 + 16 + 16 (tag); flannel's for either family */

struct device_wireguard {
	struct wireguard_interface interface;
	/* Of all peers alike. */
	uint8_t preshared[WIREGUARD_KEY_SIZE]; /* zero: none */
	uint16_t keepalive_s;
};

/* Specifications are struct device_wireguard. */
extern const struct device_kind device_wireguard;

/* The specification of one of our devices, if it is of this kind; else NULL. */
const struct device_wireguard *device_wireguard_spec(const struct kernel_marks *marks,
						     uint32_t ifindex);

#endif
