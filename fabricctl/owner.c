/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/owner.h"

#include <ifaddrs.h>

#include "fabricctl/ctl.h"

static void consider_net(struct owner *o, const json_t *lease, const char *key,
			 const struct ip_addr *address)
{
	const char *text = ctl_text(lease, key);
	struct ip_net net;

	if (text && ip_net_parse(text, address->family, &net, NULL) == 0 &&
	    ip_net_contains(&net, address) && (!o->lease || net.len > o->len))
		*o = (struct owner){ lease, net.len, false };
}

static void consider_public(struct owner *o, const json_t *lease, const char *key,
			    const struct ip_addr *address)
{
	const char *text = ctl_text(lease, key);
	struct ip_addr one;

	if (text && ip_addr_parse(text, address->family, &one, NULL) == 0 &&
	    ip_addr_equal(&one, address))
		*o = (struct owner){ lease, ip_family_bits(address->family), true };
}

struct owner owner_find(const json_t *document, const struct ip_addr *address)
{
	struct owner o = { 0 };
	json_t *lease;
	size_t i;

	json_array_foreach (json_object_get(document, "items"), i, lease) {
		consider_net(&o, lease, "subnet", address);
		consider_net(&o, lease, "subnetV6", address);
		consider_public(&o, lease, "publicIP", address);
		consider_public(&o, lease, "publicIPv6", address);
	}
	return o;
}

char *owner_local_device(const struct ip_addr *address)
{
	struct ifaddrs *all = NULL;
	char *name = NULL;

	if (getifaddrs(&all) < 0)
		return NULL;
	for (const struct ifaddrs *i = all; i && !name; i = i->ifa_next) {
		const struct sockaddr *a = i->ifa_addr;
		const void *bytes;

		if (!a || a->sa_family != address->family)
			continue;
		bytes = a->sa_family == AF_INET
				? (const void *)&((const struct sockaddr_in *)(const void *)a)
					  ->sin_addr
				: &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
		if (memcmp(bytes, address->b, ip_addr_size(address)) == 0)
			name = xstrdup(i->ifa_name);
	}
	freeifaddrs(all);
	return name;
}
