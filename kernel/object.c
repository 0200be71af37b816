/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/object.h"

#include "kernel/kinds.h"

bool kernel_is_address(const struct kernel_object *o)
{
	return o->key.kind == KERNEL_ADDRESS;
}

bool kernel_is_route(const struct kernel_object *o)
{
	return o->key.kind == KERNEL_ROUTE;
}

bool kernel_value_equal(const struct kernel_object *a, const struct kernel_object *b)
{
	return memcmp(&a->value, &b->value, sizeof(a->value)) == 0;
}

struct ip_addr kernel_object_dst(const struct kernel_object *o)
{
	if (o->key.family != AF_INET && o->key.family != AF_INET6)
		return (struct ip_addr){ 0 };
	return ip_addr_from_bytes(o->key.family, o->key.dst);
}

struct ip_addr kernel_object_gateway(const struct kernel_object *o)
{
	if (!o->value.gateway_family)
		return (struct ip_addr){ 0 };
	return ip_addr_from_bytes(o->value.gateway_family, o->value.gateway);
}
