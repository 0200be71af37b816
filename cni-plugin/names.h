/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and MAC addresses for what we make: chosen before it is made, so that they can be written
 * down first.
 */
#ifndef CNI_PLUGIN_NAMES_H
#define CNI_PLUGIN_NAMES_H

#include <net/if.h>
#include <stdio.h>

#include "lib/addr.h"

/* A random address for one interface: locally administered, unicast. */
static inline struct mac_addr names_random_mac(void)
{
	struct mac_addr mac;

	util_random(mac.b, sizeof(mac.b));
	mac.b[0] = (uint8_t)((mac.b[0] & 0xfe) | 0x02);
	return mac;
}

/* "veth" and 8 random hex digits, as chained plugins and operators know them. */
static inline void names_random_veth(char ret[static IFNAMSIZ])
{
	uint32_t number;

	util_random(&number, sizeof(number));
	snprintf(ret, IFNAMSIZ, "veth%08x", number);
}

#endif
