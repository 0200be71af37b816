/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host-gw: one route for each peer and family.
 *
 *   10.5.3.0/24 via 192.0.2.3 dev eth0
 *
 * A peer behind a router would get packets that the router cannot deliver, so only peers on the
 * same link are served.
 */
#include "backends/host_gw.h"

#include <errno.h>

#include "kernel/marks.h"

struct host_gw {
	struct backend base;
	struct network_family families[2];
	struct backend_host host;
};

static const int families[] = { AF_INET, AF_INET6 };

static struct host_gw *host_gw_of(const struct backend *b)
{
	return (struct host_gw *)b;
}

static int host_gw_create(const struct network_config *config, struct backend **ret,
			  struct err *e UNUSED)
{
	struct host_gw *h = xcalloc(1, sizeof(*h));

	h->base.type = &backend_host_gw;
	h->base.needs_paths = true;
	h->families[0] = config->v4;
	h->families[1] = config->v6;
	*ret = &h->base;
	return 0;
}

static void host_gw_free(struct backend *b)
{
	free(host_gw_of(b));
}

static int check_owned(const struct ip_addr *local, const struct ip_addr *public, const char *flag,
		       struct err *e)
{
	char local_text[IP_ADDR_TEXT];
	char public_text[IP_ADDR_TEXT];

	if (ip_addr_equal(local, public))
		return 0;
	return err_set(e, -EINVAL,
		       "%s is %s, but with the host-gw backend it must be the interface's own "
		       "address, %s",
		       flag, ip_addr_format(public, public_text),
		       ip_addr_format(local, local_text));
}

static int host_gw_set_host(struct backend *b, const struct backend_host *host, struct err *e)
{
	struct host_gw *h = host_gw_of(b);
	int rc = 0;

	if (h->families[0].enabled)
		rc = check_owned(&host->local_v4, &host->public_v4, "public-ip", e);
	if (rc == 0 && h->families[1].enabled)
		rc = check_owned(&host->local_v6, &host->public_v6, "public-ipv6", e);
	if (rc < 0)
		return rc;
	h->host = *host;
	h->host.node_id = NULL;
	return 0;
}

static int host_gw_publish(const struct backend *b, struct lease *own, struct err *e UNUSED)
{
	const struct host_gw *h = host_gw_of(b);

	own->backend_type = xstrdup(backend_host_gw.name);
	if (h->families[0].enabled)
		own->public_v4 = h->host.public_v4;
	if (h->families[1].enabled)
		own->public_v6 = h->host.public_v6;
	if (h->families[0].enabled)
		own->mtu_v4_bytes = backend_publish_mtu(h->host.lower[0].mtu_bytes);
	if (h->families[1].enabled)
		own->mtu_v6_bytes = backend_publish_mtu(h->host.lower[1].mtu_bytes);
	return 0;
}

static int host_gw_want_peer(const struct backend *b, const struct lease *peer,
			     const void *data UNUSED, const struct backend_path paths[static 2],
			     struct wants *ret, struct err *e)
{
	const struct host_gw *h = host_gw_of(b);
	bool usable = false;
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(families) && rc == 0; i++) {
		const struct ip_addr *public = backend_public_address(peer, families[i]);
		const struct ip_net *subnet = backend_subnet(&peer->subnet, families[i]);
		char text[IP_ADDR_TEXT];

		if (!h->families[i].enabled || !h->host.lower[i].ifindex ||
		    !ip_net_is_set(subnet) || (i == 1 && backend_lacks_v6(peer)))
			continue;
		usable = true;
		rc = backend_check_public(peer, families[i], &h->families[i].network, &h->host, e);
		if (rc == 0 && !paths[i].on_link)
			rc = err_set(e, -EHOSTUNREACH,
				     "%s is %s; host-gw needs it on the same link",
				     ip_addr_format(public, text),
				     paths[i].ifindex ? "behind a router" : "not reachable");
		if (rc == 0) {
			struct kernel_object route = kernel_route(subnet, public, paths[i].ifindex,
								  false, FABRIC_ROUTE_PROTOCOL);

			route.value.mtu_bytes =
				backend_route_mtu(peer, families[i], h->host.lower[i].mtu_bytes, 0);
			wants_add(ret, &route);
		}
	}
	if (rc == 0 && !usable)
		rc = err_set(e, -EINVAL, "has no subnet in a family that this network uses");
	return rc;
}

static uint32_t host_gw_pod_mtu(const struct backend *b)
{
	return backend_least_mtu(&host_gw_of(b)->host);
}

static void host_gw_describe(const struct backend *b UNUSED, char *buf, size_t size)
{
	snprintf(buf, size, "host-gw");
}

const struct backend_type backend_host_gw = {
	.name = "host-gw",
	.create = host_gw_create,
	.free = host_gw_free,
	.set_host = host_gw_set_host,
	.publish = host_gw_publish,
	.want_peer = host_gw_want_peer,
	.pod_mtu = host_gw_pod_mtu,
	.describe = host_gw_describe,
};
