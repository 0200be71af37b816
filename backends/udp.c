/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp: the bare IPv4 packet in UDP, 28 bytes a packet, one route for each peer.
 *
 *   10.5.3.0/24 via 192.0.2.3 dev flannel0 onlink
 *
 * flannel copies packets between a TUN device and a socket, by a process. The kernel does the same on the
 * wire: an ipip device inside UDP (FOU), from and to one port. So all but words and keys is that of
 * backends/ipip.c, and hosts of both kinds form one network. Leases have no type, as flannel's: a
 * host with another backend that has none (alloc) cannot be told from a peer.
 */
#include "backends/udp.h"

#include "backends/ipip.h"

#define DEVICE_NAME  "flannel0"
#define DEFAULT_PORT 8285

static int udp_create(const struct network_config *config, struct backend **ret, struct err *e)
{
	uint64_t port = DEFAULT_PORT;
	struct ipip *i = NULL;

	if (json_read_uint(config->backend, "Port", 1, UINT16_MAX, &port, e) < 0 ||
	    ipip_new(&backend_udp, config, &i, e) < 0)
		return e->code;
	i->device_name = DEVICE_NAME;
	i->overhead_bytes = IPIP_UDP_OVERHEAD;
	i->spec.udp_port = (uint16_t)port;
	*ret = &i->base;
	return 0;
}

static void udp_describe(const struct backend *b, char *buf, size_t size)
{
	snprintf(buf, size, "udp port %u", ipip_of(b)->spec.udp_port);
}

const struct backend_type backend_udp = {
	.name = "udp",
	.keys = "Port",
	.untyped = true,
	.device_kind = &device_ipip,
	.create = udp_create,
	.free = ipip_free,
	.set_host = ipip_set_host,
	.publish = ipip_publish,
	.devices = ipip_devices,
	.device_is = ipip_device_is,
	.want_own = ipip_want_own,
	.want_peer = ipip_want_peer,
	.pod_mtu = ipip_pod_mtu,
	.describe = udp_describe,
};
