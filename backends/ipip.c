/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ipip: IPv4 in IPv4, 20 bytes a packet, one route for each peer.
 *
 *   10.5.3.0/24 via 192.0.2.3 dev flannel.ipip onlink
 *
 * The device sends to whatever gateway a route names, so peers need neither neighbours nor an FDB, and
 * a lease no data. It takes packets from anybody: the guard knows the peers. Names are flannel's, so
 * that hosts of both kinds form one network.
 */
#include "backends/ipip.h"

#include <errno.h>
#include <netinet/in.h>

#include "kernel/marks.h"

#define DEVICE_NAME "flannel.ipip"
#define INSIDE_MIN  576 /* bytes that IPv4 needs (RFC 791) */

int ipip_new(const struct backend_type *type, const struct network_config *config,
	     struct ipip **ret, struct err *e)
{
	if (!config->v4.enabled || config->v6.enabled)
		return err_set(e, -EINVAL,
			       "%s carries IPv4 only: EnableIPv4 must be true, EnableIPv6 false",
			       type->name);
	*ret = xcalloc(1, sizeof(**ret));
	(*ret)->base.type = type;
	(*ret)->network = config->v4.network;
	return 0;
}

static int ipip_create(const struct network_config *config, struct backend **ret, struct err *e)
{
	bool direct_routing = false;
	struct ipip *i = NULL;

	if (json_read_bool(config->backend, "DirectRouting", &direct_routing, e) < 0 ||
	    ipip_new(&backend_ipip, config, &i, e) < 0)
		return e->code;
	i->device_name = DEVICE_NAME;
	i->overhead_bytes = IPIP_OVERHEAD;
	i->base.needs_paths = i->direct_routing = direct_routing;
	*ret = &i->base;
	return 0;
}

void ipip_free(struct backend *b)
{
	free(ipip_of(b));
}

uint32_t ipip_pod_mtu(const struct backend *b)
{
	return ipip_of(b)->host.lower[0].mtu_bytes - ipip_of(b)->overhead_bytes;
}

/* The device also takes packets that are in no UDP, so both are the guard's. */
static void set_guards(struct ipip *i)
{
	struct backend_guard *guard = i->device.guard;

	if (i->spec.udp_port)
		*guard++ = (struct backend_guard){ IPPROTO_UDP, i->spec.udp_port };
	*guard = (struct backend_guard){ .protocol = IPPROTO_IPIP };
}

int ipip_set_host(struct backend *b, const struct backend_host *host, struct err *e)
{
	struct ipip *i = ipip_of(b);

	if (host->lower[0].mtu_bytes < INSIDE_MIN + i->overhead_bytes)
		return err_set(
			e, -EMSGSIZE, "the interface's MTU is %u, must be %u at least for %s",
			host->lower[0].mtu_bytes, INSIDE_MIN + i->overhead_bytes, b->type->name);
	i->host = *host;
	i->host.node_id = NULL;
	i->spec.local = host->local_v4;
	i->device = (struct backend_device){
		.kind = &device_ipip,
		.spec = &i->spec,
		.mtu_bytes = ipip_pod_mtu(b),
		.families = 1,
		.udp_port = i->spec.udp_port,
	};
	snprintf(i->device.name, sizeof(i->device.name), "%s", i->device_name);
	set_guards(i);
	return 0;
}

int ipip_publish(const struct backend *b, struct lease *own, struct err *e UNUSED)
{
	const struct backend_host *host = &ipip_of(b)->host;

	if (!b->type->untyped)
		own->backend_type = xstrdup(b->type->name);
	own->public_v4 = host->public_v4;
	if (!ip_addr_equal(&host->local_v4, &host->public_v4))
		own->source_v4 = host->local_v4;
	own->mtu_v4_bytes = backend_publish_mtu(host->lower[0].mtu_bytes);
	return 0;
}

size_t ipip_devices(const struct backend *b, const struct backend_device **ret)
{
	*ret = &ipip_of(b)->device;
	return 1;
}

void ipip_device_is(struct backend *b, size_t device UNUSED, uint32_t ifindex,
		    const struct mac_addr *mac UNUSED)
{
	ipip_of(b)->ifindex = ifindex;
}

void ipip_want_own(const struct backend *b, const struct subnet *own, struct wants *ret)
{
	const struct ipip *i = ipip_of(b);
	struct ip_net host = { own->v4.addr, 32 };
	struct kernel_object address;

	if (!i->ifindex)
		return;
	address = kernel_address(i->ifindex, &host);
	wants_add(ret, &address);
}

int ipip_want_peer(const struct backend *b, const struct lease *peer, const void *data UNUSED,
		   const struct backend_path paths[static 2], struct wants *ret, struct err *e)
{
	const struct ip_net *subnet = &peer->subnet.v4;
	const struct ipip *i = ipip_of(b);
	struct kernel_object route;

	if (!ip_net_is_set(subnet))
		return err_set(e, -EINVAL, "has no IPv4 subnet, and %s carries IPv4 only",
			       b->type->name);
	if (backend_check_public(peer, AF_INET, &i->network, &i->host, e) < 0)
		return e->code;
	/* No router in between: the tunnel would only cost. */
	if (i->direct_routing && paths[0].on_link) {
		route = kernel_route(subnet, &peer->public_v4, paths[0].ifindex, false,
				     FABRIC_ROUTE_PROTOCOL);
		route.value.mtu_bytes =
			backend_route_mtu(peer, AF_INET, i->host.lower[0].mtu_bytes, 0);
	} else if (i->ifindex) {
		route = kernel_route(subnet, &peer->public_v4, i->ifindex, true,
				     fabric_route_protocol(subnet));
		route.value.mtu_bytes =
			backend_route_mtu(peer, AF_INET, i->device.mtu_bytes, i->overhead_bytes);
	} else {
		return 0;
	}
	wants_add(ret, &route);
	return 0;
}

static void ipip_describe(const struct backend *b, char *buf, size_t size)
{
	snprintf(buf, size, "ipip%s", ipip_of(b)->direct_routing ? " direct routing" : "");
}

const struct backend_type backend_ipip = {
	.name = "ipip",
	.keys = "DirectRouting",
	.device_kind = &device_ipip,
	.create = ipip_create,
	.free = ipip_free,
	.set_host = ipip_set_host,
	.publish = ipip_publish,
	.devices = ipip_devices,
	.device_is = ipip_device_is,
	.want_own = ipip_want_own,
	.want_peer = ipip_want_peer,
	.pod_mtu = ipip_pod_mtu,
	.describe = ipip_describe,
};
