/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/marks.h"

uint8_t fabric_route_protocol(const struct ip_net *dst)
{
	u128 number = ip_addr_to_u128(&dst->addr) >> (ip_family_bits(dst->addr.family) - dst->len);

	if (dst->addr.family != AF_INET)
		return FABRIC_ROUTE_PROTOCOL;
	return (uint8_t)(FABRIC_ROUTE_PROTOCOL + number % FABRIC_ROUTE_PROTOCOLS_LEN);
}
