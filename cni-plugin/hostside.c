/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/hostside.h"

#include <errno.h>
#include <string.h>

#include "cni-plugin/error.h"

#define MISMATCH(e, ...) cni_error(e, CNI_MISMATCH, __VA_ARGS__)

int hostside_check_bridge(struct host *h, const struct record *r, struct device *ret, struct err *e)
{
	int rc = device_get(h->nl, r->bridge, ret, e);

	if (rc == -ENODEV)
		return MISMATCH(e, "bridge %s does not exist", r->bridge);
	if (rc < 0)
		return cni_classify(e, CNI_KERNEL);
	if (strcmp(ret->kind, "bridge") != 0)
		return MISMATCH(e, "%s is not a bridge", r->bridge);
	if (!ret->up)
		return MISMATCH(e, "bridge %s is down", r->bridge);
	if (ret->no_arp)
		return MISMATCH(e, "bridge %s does no ARP", r->bridge);
	if (r->promiscuous && !ret->promiscuous)
		return MISMATCH(e, "bridge %s is not promiscuous", r->bridge);
	return 0;
}

int hostside_check_link(const struct record *r, const struct device *d, const struct device *bridge,
			struct err *e)
{
	if (!d->up)
		return MISMATCH(e, "host interface %s is down", r->host_ifname);
	if (!bridge)
		return 0;
	if (d->master_ifindex != bridge->ifindex)
		return MISMATCH(e, "host interface %s is not a port of bridge %s", r->host_ifname,
				r->bridge);
	if (d->port_hairpin != r->hairpin || d->port_isolated != r->isolated)
		return MISMATCH(e, "host interface %s has other port flags than configured",
				r->host_ifname);
	return 0;
}

static int check_addresses(const struct record *r, const struct attach_routed *have, struct err *e)
{
	char text[IP_NET_TEXT];

	for (size_t i = 0; i < r->gateways_len; i++) {
		if (!attach_has_address(have, &r->gateways[i]))
			return MISMATCH(e, "%s lacks gateway address %s", r->gateway_device,
					ip_net_format(&r->gateways[i], text));
	}
	return 0;
}

/* Without it the host does not find the containers, though the address is there. */
static int check_connected(const struct record *r, const struct attach_routed *have, struct err *e)
{
	char text[IP_NET_TEXT];

	for (size_t i = 0; i < r->gateways_len; i++) {
		struct ip_net net = ip_net_masked(&r->gateways[i]);

		if (!attach_has_connected(have, &r->gateways[i]))
			return MISMATCH(e, "%s lacks the route to %s", r->gateway_device,
					ip_net_format(&net, text));
	}
	return 0;
}

int hostside_check_gateways(struct host *h, const struct record *r, struct err *e)
{
	struct attach_routed have = { 0 };
	struct device d;
	int rc;

	if (r->gateways_len == 0)
		return 0;
	rc = device_get(h->nl, r->gateway_device, &d, e);
	if (rc == -ENODEV)
		return MISMATCH(e, "gateway interface %s does not exist", r->gateway_device);
	if (rc < 0 || attach_read_routed(h, d.ifindex, &have, e) < 0)
		return cni_classify(e, CNI_KERNEL);
	if (!d.up)
		rc = MISMATCH(e, "gateway interface %s is down", r->gateway_device);
	if (rc == 0)
		rc = check_addresses(r, &have, e);
	if (rc == 0)
		rc = check_connected(r, &have, e);
	hostside_routed_fini(&have);
	return rc;
}

int hostside_check_routed(struct host *h, const struct record *r, uint32_t ifindex,
			  struct attach_routed *ret, struct err *e)
{
	char text[IP_ADDR_TEXT];

	*ret = (struct attach_routed){ 0 };
	if (attach_read_routed(h, ifindex, ret, e) < 0)
		return cni_classify(e, CNI_KERNEL);
	if (check_addresses(r, ret, e) < 0)
		return e->code;
	for (size_t i = 0; i < r->addresses_len; i++) {
		if (!attach_has_route(ret, &r->addresses[i]))
			return MISMATCH(e, "host interface %s lacks the route to %s",
					r->host_ifname, ip_addr_format(&r->addresses[i], text));
	}
	return 0;
}

void hostside_routed_fini(struct attach_routed *r)
{
	free(r->addresses);
	free(r->routes);
}
