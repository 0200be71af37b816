/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/marks.h"

#include <stdio.h>

#include "lib/hash.h"

uint8_t fabric_route_protocol(const struct ip_net *dst)
{
	u128 number = ip_addr_to_u128(&dst->addr) >> (ip_family_bits(dst->addr.family) - dst->len);

	if (dst->addr.family != AF_INET)
		return FABRIC_ROUTE_PROTOCOL;
	return (uint8_t)(FABRIC_ROUTE_PROTOCOL + number % FABRIC_ROUTE_PROTOCOLS_LEN);
}

const char *mark_format(char buf[static MARK_SIZE], const char *node_id, const char *state_dir)
{
	uint64_t hash = hash_text(hash_text(HASH_FNV_INIT, node_id), state_dir);

	snprintf(buf, MARK_SIZE, MARK_PREFIX "%016llx", (unsigned long long)hash_mix(hash));
	return buf;
}
