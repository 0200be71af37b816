/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/backend.h"

#include <errno.h>

#include "backends/alloc.h"
#include "backends/extension.h"
#include "backends/host_gw.h"
#include "backends/ipip.h"
#include "backends/ipsec.h"
#include "backends/udp.h"
#include "backends/vxlan.h"
#include "backends/wireguard.h"
#include "lib/hash.h"

/* tests/backends/backend_test.c: in the programs that are linked with it, and nowhere else. */
extern const struct backend_type backend_test __attribute__((weak));

const struct backend_type *const backend_types[] = {
	&backend_vxlan, &backend_host_gw,   &backend_wireguard, &backend_ipip, &backend_udp,
	&backend_ipsec, &backend_extension, &backend_alloc,     &backend_test, NULL
};

/* What flannel has, or had, and nothing here does. */
static const char *const cloud_types[] = { "tencent-vpc", "ali-vpc", "aws-vpc", "gce" };

const char *backend_type_name(const struct network_config *config)
{
	return *config->backend_type ? config->backend_type : backend_types[0]->name;
}

int backend_create(const struct network_config *config, struct backend **ret, struct err *e)
{
	const char *wanted = backend_type_name(config);
	char known[200] = "";
	size_t used = 0;

	for (size_t i = 0; backend_types[i]; i++) {
		if (strcmp(backend_types[i]->name, wanted) == 0) {
			if (backend_types[i]->create(config, ret, e) < 0)
				return err_wrap(e, "Backend");
			return 0;
		}
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "",
					 backend_types[i]->name);
	}
	for (size_t i = 0; i < ARRAY_LEN(cloud_types); i++) {
		if (strcmp(cloud_types[i], wanted) == 0)
			return err_set(
				e, -EINVAL,
				"Backend.Type is \"%s\", which writes routes into a cloud's own "
				"table, "
				"and nothing here does; vxlan works there, and host-gw where hosts "
				"share a link",
				wanted);
	}
	return err_set(e, -EINVAL, "Backend.Type is \"%s\", must be one of: %s", wanted, known);
}

void backend_free(struct backend *b)
{
	if (b)
		b->type->free(b);
}

void wants_add(struct wants *w, const struct kernel_object *o)
{
	GROW(w->items, w->len, w->cap);
	w->items[w->len++] = *o;
}

int backend_parse(const struct backend_type *type, const struct lease *peer, void **ret,
		  struct err *e)
{
	const char *theirs = peer->backend_type ? peer->backend_type : "";
	const char *ours = type->untyped ? "" : type->name;

	*ret = NULL;
	if (!type->want_peer)
		return 0;
	if (strcmp(theirs, ours) != 0 && type->untyped)
		return err_set(e, -EINVAL, "BackendType is \"%.40s\", leases of %s have none",
			       theirs, type->name);
	if (strcmp(theirs, ours) != 0)
		return err_set(e, -EINVAL, "BackendType is \"%.40s\", ours is \"%s\"", theirs,
			       type->name);
	return type->peer_parse ? type->peer_parse(peer, ret, e) : 0;
}

size_t backend_devices(const struct backend *b, const struct backend_device **ret)
{
	return b->type->devices ? b->type->devices(b, ret) : 0;
}

void backend_want_own(const struct backend *b, const struct subnet *own, struct wants *ret)
{
	if (b->type->want_own)
		b->type->want_own(b, own, ret);
}

int backend_want_peer(const struct backend *b, const struct lease *peer, const void *data,
		      const struct backend_path paths[static 2], struct wants *ret, struct err *e)
{
	return b->type->want_peer ? b->type->want_peer(b, peer, data, paths, ret, e) : 0;
}

void backend_describe_lease(const struct lease *l, struct members *item)
{
	for (size_t i = 0; backend_types[i]; i++) {
		const struct backend_type *type = backend_types[i];
		auto_free void *data = NULL;

		if (!type->describe_peer)
			continue;
		if (backend_parse(type, l, &data, NULL) < 0)
			data = NULL;
		type->describe_peer(data, item);
	}
}

/* IPv4's "this network" (RFC 1122) and IPv4 in IPv6's clothes (RFC 4291) go over no wire. */
static bool is_no_destination(const struct ip_addr *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return a->family == AF_INET ? a->b[0] == 0 : memcmp(a->b, mapped, sizeof(mapped)) == 0;
}

int backend_check_address(const char *key, const struct ip_addr *address,
			  const struct ip_net *network, const struct ip_addr *local, struct err *e)
{
	char text[IP_ADDR_TEXT];

	ip_addr_format(address, text);
	if (ip_addr_is_loopback(address) || ip_addr_is_multicast(address) ||
	    ip_addr_is_unspecified(address) || is_no_destination(address))
		return err_set(e, -EINVAL, "%s is %s, must be a unicast address", key, text);
	if (address->family == AF_INET && ip_addr_is_link_local(address) &&
	    !ip_addr_is_link_local(local))
		return err_set(e, -EINVAL,
			       "%s is %s, a link-local address, and this host's is none", key,
			       text);
	if (ip_net_contains(network, address))
		return err_set(e, -EINVAL, "%s is %s, inside the overlay network", key, text);
	return 0;
}

int backend_check_public(const struct lease *peer, int family, const struct ip_net *network,
			 const struct backend_host *host, struct err *e)
{
	const struct ip_addr *address = backend_public_address(peer, family);
	const struct ip_addr *local = family == AF_INET ? &host->local_v4 : &host->local_v6;
	const char *key = family == AF_INET ? "PublicIP" : "PublicIPv6";
	char text[IP_ADDR_TEXT];

	if (!ip_addr_is_set(address))
		return err_set(e, -EINVAL, "%s is missing", key);
	if (backend_check_address(key, address, network, local, e) < 0)
		return e->code;
	if (ip_addr_equal(address, family == AF_INET ? &host->public_v4 : &host->public_v6) ||
	    ip_addr_equal(address, local))
		return err_set(e, -EINVAL, "%s is %s, which is this host's own", key,
			       ip_addr_format(address, text));
	return 0;
}

/* The least that every host must take (RFC 791, RFC 8200): nobody's lease makes packets smaller. */
static uint32_t least_mtu(int family)
{
	return family == AF_INET ? 576 : 1280;
}

uint16_t backend_route_mtu(const struct lease *peer, int family, uint32_t own_bytes,
			   uint32_t overhead)
{
	uint32_t said = family == AF_INET ? peer->mtu_v4_bytes : peer->mtu_v6_bytes;
	uint32_t least = least_mtu(family);
	uint32_t theirs = said > overhead + least ? said - overhead : least;

	if (!said || theirs >= own_bytes)
		return 0;
	return (uint16_t)MIN(theirs, (uint32_t)KERNEL_ROUTE_MTU_MAX);
}

/* Mixed, so that ids which differ in one character differ in all bytes. */
struct mac_addr backend_derive_mac(const char *node_id, uint32_t network, int family)
{
	uint64_t h = hash_fnv1a(HASH_FNV_INIT, node_id, strlen(node_id));
	struct mac_addr mac;

	h = hash_fnv1a(h, &network, sizeof(network));
	h = hash_mix(hash_fnv1a(h, &family, sizeof(family)));
	for (unsigned i = 0; i < sizeof(mac.b); i++)
		mac.b[i] = (uint8_t)(h >> (8 * i));
	mac.b[0] = (uint8_t)((mac.b[0] & 0xfe) | 0x02);
	return mac;
}
