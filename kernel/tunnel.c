/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/tunnel.h"

#include <errno.h>

#include "kernel/device_ipip.h"
#include "kernel/device_vxlan.h"
#include "kernel/lookup.h"
#include "kernel/wireguard.h"

/* Outer IP header, UDP, VXLAN and inner Ethernet header; the same of the others. */
#define VXLAN_OVERHEAD     50
#define IPIP_OVERHEAD      20
#define UDP_OVERHEAD       8
#define WIREGUARD_OVERHEAD 60
#define IPV6_MORE          20

static uint16_t overhead(unsigned bytes, const struct ip_addr *remote)
{
	return (uint16_t)(bytes + (remote->family == AF_INET6 ? IPV6_MORE : 0));
}

static int find_vxlan(struct kernel *k, const struct link_info *device, const struct ip_addr *next,
		      struct tunnel_way *ret, struct err *e)
{
	struct lookup_neighbour neighbour;
	struct device_vxlan spec;
	struct lookup_fdb fdb;
	char address[IP_ADDR_TEXT];
	char remote[IP_ADDR_TEXT];
	char mac[MAC_TEXT];
	int rc;

	ip_addr_format(next, address);
	rc = lookup_neighbour(k->route, device->ifindex, next, &neighbour, e);
	if (rc < 0)
		return rc;
	if (mac_addr_is_zero(&neighbour.mac))
		return err_set(e, -ENOENT, "%s has no neighbour entry for %s", device->name,
			       address);
	rc = lookup_fdb(k->route, device->ifindex, false, &neighbour.mac, &fdb, e);
	if (rc < 0)
		return rc;
	mac_addr_format(&neighbour.mac, mac);
	if (!ip_addr_is_set(&fdb.remote))
		return err_set(e, -ENOENT, "%s has no FDB entry for %s, the MAC of neighbour %s",
			       device->name, mac, address);
	device_vxlan_read(device, &spec);
	*ret = (struct tunnel_way){ .is_tunnel = true,
				    .remote = fdb.remote,
				    .local = spec.local,
				    .protocol = IPPROTO_UDP,
				    .port = spec.port,
				    .overhead_bytes = overhead(VXLAN_OVERHEAD, &fdb.remote) };
	snprintf(ret->how, sizeof(ret->how), "neighbour %s is %s, FDB entry %s is %s", address, mac,
		 mac, ip_addr_format(&fdb.remote, remote));
	return 0;
}

static int find_ipip(const struct link_info *device, const struct ip_addr *next,
		     struct tunnel_way *ret, struct err *e)
{
	struct device_ipip spec;
	char address[IP_ADDR_TEXT];

	if (next->family != AF_INET)
		return err_set(e, -ENOENT, "%s carries IPv4 only", device->name);
	device_ipip_read(device, &spec);
	*ret = (struct tunnel_way){ .is_tunnel = true,
				    .remote = *next,
				    .local = spec.local,
				    .protocol = spec.udp_port ? IPPROTO_UDP : IPPROTO_IPIP,
				    .port = spec.udp_port,
				    .overhead_bytes =
					    IPIP_OVERHEAD + (spec.udp_port ? UDP_OVERHEAD : 0) };
	snprintf(ret->how, sizeof(ret->how), "the route's gateway is the remote end, %s",
		 ip_addr_format(next, address));
	return 0;
}

/* ---- wireguard ---- */

struct wireguard_search {
	const struct ip_addr *dst;
	struct wireguard_peer current; /* whose allowed-ips are being visited */
	struct wireguard_peer found;
	struct ip_net net; /* the longest; unset: none */
};

/* One with many allowed-ips comes in several parts, and only the first has more than its key. */
static void on_peer(void *arg, const struct wireguard_peer *p)
{
	struct wireguard_search *s = arg;

	if (ip_addr_is_set(&p->address) || memcmp(s->current.key, p->key, sizeof(p->key)) != 0)
		s->current = *p;
}

static void on_allowed_ip(void *arg, const uint8_t key[static WIREGUARD_KEY_SIZE] UNUSED,
			  const struct ip_net *net)
{
	struct wireguard_search *s = arg;

	if (net->addr.family != s->dst->family || !ip_net_contains(net, s->dst) ||
	    (ip_net_is_set(&s->net) && s->net.len >= net->len))
		return;
	s->net = *net;
	s->found = s->current;
}

static void on_forget(void *arg)
{
	((struct wireguard_search *)arg)->net = (struct ip_net){ 0 };
}

static int find_wireguard(struct kernel *k, const struct link_info *device,
			  const struct ip_addr *dst, struct tunnel_way *ret, struct err *e)
{
	static const struct wireguard_visitor visitor = { .peer = on_peer,
							  .allowed_ip = on_allowed_ip,
							  .forget = on_forget };
	struct wireguard_search s = { .dst = dst };
	char address[IP_ADDR_TEXT];
	char net[IP_NET_TEXT];
	int rc = wireguard_read(k, device->ifindex, &visitor, &s, e);

	if (rc < 0)
		return rc;
	if (!ip_net_is_set(&s.net))
		return err_set(e, -ENOENT, "no peer of %s has %s among its allowed-ips",
			       device->name, ip_addr_format(dst, address));
	ip_net_format(&s.net, net);
	if (!ip_addr_is_set(&s.found.address))
		return err_set(e, -ENOENT, "the peer of %s that has allowed-ip %s has no endpoint",
			       device->name, net);
	*ret = (struct tunnel_way){ .is_tunnel = true,
				    .remote = s.found.address,
				    .protocol = IPPROTO_UDP,
				    .port = s.found.port,
				    .overhead_bytes =
					    overhead(WIREGUARD_OVERHEAD, &s.found.address) };
	snprintf(ret->how, sizeof(ret->how), "allowed-ip %s is of the peer at %s%s", net,
		 ip_addr_format(&s.found.address, address),
		 s.found.handshake_s ? "" : ", with which there never was a handshake");
	return 0;
}

int tunnel_find(struct kernel *k, const struct link_info *device, const struct ip_addr *next,
		const struct ip_addr *dst, struct tunnel_way *ret, struct err *e)
{
	char name[IFNAMSIZ];

	if (strcmp(device->kind, "vxlan") == 0)
		return find_vxlan(k, device, next, ret, e);
	if (strcmp(device->kind, "ipip") == 0)
		return find_ipip(device, next, ret, e);
	if (strcmp(device->kind, "wireguard") == 0 ||
	    (strcmp(device->kind, "tun") == 0 && wireguard_by_process(k, device->ifindex, name)))
		return find_wireguard(k, device, dst, ret, e);
	*ret = (struct tunnel_way){ 0 };
	return 0;
}
