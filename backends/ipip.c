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

#include "kernel/device_ipip.h"
#include "kernel/marks.h"

#define DEVICE_NAME   "flannel.ipip"
#define LOWER_MTU_MIN (576 + IPIP_OVERHEAD) /* IPv4 needs 576 inside (RFC 791) */

struct ipip {
	struct backend base;
	bool direct_routing;
	struct ip_net network;
	struct backend_host host;
	uint32_t ifindex;
	struct device_ipip spec;
	struct backend_device device;
};

static struct ipip *ipip_of(const struct backend *b)
{
	return (struct ipip *)b;
}

static int ipip_create(const struct network_config *config, struct backend **ret, struct err *e)
{
	struct ipip *i;
	bool direct_routing = false;
	int rc = json_read_bool(config->backend, "DirectRouting", &direct_routing, e);

	if (rc == 0 && (!config->v4.enabled || config->v6.enabled))
		rc = err_set(e, -EINVAL,
			     "ipip carries IPv4 only: EnableIPv4 must be true, EnableIPv6 false");
	if (rc < 0)
		return rc;
	i = xcalloc(1, sizeof(*i));
	i->base.type = &backend_ipip;
	i->base.needs_paths = direct_routing;
	i->direct_routing = direct_routing;
	i->network = config->v4.network;
	*ret = &i->base;
	return 0;
}

static void ipip_free(struct backend *b)
{
	free(ipip_of(b));
}

static uint32_t ipip_pod_mtu(const struct backend *b)
{
	return ipip_of(b)->host.lower[0].mtu_bytes - IPIP_OVERHEAD;
}

static int ipip_set_host(struct backend *b, const struct backend_host *host, struct err *e)
{
	struct ipip *i = ipip_of(b);

	if (host->lower[0].mtu_bytes < LOWER_MTU_MIN)
		return err_set(e, -EMSGSIZE,
			       "the interface's MTU is %u, must be %u at least for ipip",
			       host->lower[0].mtu_bytes, LOWER_MTU_MIN);
	i->host = *host;
	i->host.node_id = NULL;
	i->spec.local = host->local_v4;
	i->device = (struct backend_device){
		.name = DEVICE_NAME,
		.kind = &device_ipip,
		.spec = &i->spec,
		.mtu_bytes = ipip_pod_mtu(b),
		.families = 1,
		.guard = { { .protocol = IPPROTO_IPIP } },
	};
	return 0;
}

static int ipip_publish(const struct backend *b, struct lease *own, struct err *e UNUSED)
{
	const struct backend_host *host = &ipip_of(b)->host;

	own->backend_type = xstrdup(backend_ipip.name);
	own->public_v4 = host->public_v4;
	if (!ip_addr_equal(&host->local_v4, &host->public_v4))
		own->source_v4 = host->local_v4;
	own->mtu_v4_bytes = backend_publish_mtu(host->lower[0].mtu_bytes);
	return 0;
}

static size_t ipip_devices(const struct backend *b, const struct backend_device **ret)
{
	*ret = &ipip_of(b)->device;
	return 1;
}

static void ipip_device_is(struct backend *b, size_t device UNUSED, uint32_t ifindex,
			   const struct mac_addr *mac UNUSED)
{
	ipip_of(b)->ifindex = ifindex;
}

static void ipip_want_own(const struct backend *b, const struct subnet *own, struct wants *ret)
{
	const struct ipip *i = ipip_of(b);
	struct ip_net host = { own->v4.addr, 32 };
	struct kernel_object address;

	if (!i->ifindex)
		return;
	address = kernel_address(i->ifindex, &host);
	wants_add(ret, &address);
}

static int ipip_want_peer(const struct backend *b, const struct lease *peer,
			  const void *data UNUSED, const struct backend_path paths[static 2],
			  struct wants *ret, struct err *e)
{
	const struct ip_net *subnet = &peer->subnet.v4;
	const struct ipip *i = ipip_of(b);
	struct kernel_object route;

	if (!ip_net_is_set(subnet))
		return err_set(e, -EINVAL, "has no IPv4 subnet, and ipip carries IPv4 only");
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
			backend_route_mtu(peer, AF_INET, i->device.mtu_bytes, IPIP_OVERHEAD);
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
