/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/bridge.h"

#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/rtnetlink.h>

#include "cni-plugin/error.h"
#include "cni-plugin/names.h"
#include "kernel/forwarding.h"
#include "kernel/inet.h"
#include "kernel/sequence.h"
#include "kernel/sysctl.h"

#define ATTEMPTS 5

static bool filters_vlans(const struct config *c)
{
	return c->vlans.access || c->vlans.trunk_len;
}

/*
 * Whoever gives the bridge another MAC (a network manager that has a policy for it), the kernel tells
 * the containers, which would go on using the former one for their gateway for some 45 s. Best effort.
 */
static void announce_changes(struct host *h, const char *bridge)
{
	auto_sequence struct sequence *s = sequence_new();
	struct device d;

	if (device_get(h->nl, bridge, &d, NULL) < 0)
		return;
	device_encode_arp_notify(d.ifindex, sequence_reserve(s));
	sequence_commit(s, "bridge %s: announce changes", bridge);
	(void)!sequence_run(s, h->nl, NULL);
	(void)!host_set_ipv6(h, 1, NULL, "conf/%s/ndisc_notify", bridge);
}

/* Somebody else may make or remove the bridge at any moment, so both are tried by turns. */
static int get_or_create(struct host *h, const struct config *c, struct device *ret, struct err *e)
{
	for (unsigned attempt = 1;; attempt++) {
		struct mac_addr mac = names_random_mac();
		int rc = device_get(h->nl, c->bridge, ret, e);

		if (rc != -ENODEV)
			return rc;
		rc = device_create_bridge(h->nl, c->bridge, &mac, c->mtu_bytes, e);
		if (rc < 0 && (rc != -EEXIST || attempt == ATTEMPTS))
			return rc;
		/*
		 * Without its link-local address at once it would not forward to the first
		 * containers.
		 */
		h->disturbed = true;
		if (rc == 0)
			announce_changes(h, c->bridge);
		if (rc == 0)
			rc = host_set_ipv6(h, 0, e, "conf/%s/accept_dad", c->bridge);
		if (rc < 0 && rc != -EEXIST)
			return rc;
	}
}

int bridge_ensure(struct host *h, const struct config *c, struct device *ret, struct err *e)
{
	auto_sequence struct sequence *s = sequence_new();
	unsigned wanted = IFF_UP | (c->promiscuous ? IFF_PROMISC : 0);
	struct device d;
	int rc;

	if (get_or_create(h, c, &d, e) < 0)
		return cni_classify(e, CNI_KERNEL);
	if (strcmp(d.kind, "bridge") != 0)
		return cni_error(e, CNI_CONFLICT, "%s exists and is not a bridge", c->bridge);
	if (host_set_ipv6(h, 0, e, "conf/%s/accept_ra", c->bridge) < 0)
		return cni_classify(e, CNI_KERNEL);
	if (!d.up || d.no_arp || (c->promiscuous && !d.promiscuous)) {
		h->disturbed = true;
		device_encode_flags(d.ifindex, wanted, wanted | IFF_NOARP, sequence_reserve(s));
		sequence_commit(s, "bridge %s: set up", c->bridge);
	}
	if (filters_vlans(c)) {
		device_encode_vlan_filtering(d.ifindex, sequence_reserve(s));
		sequence_commit(s, "bridge %s: turn on VLAN filtering", c->bridge);
	}
	rc = sequence_run(s, h->nl, e);
	if (rc < 0)
		return cni_classify(e, CNI_KERNEL);
	*ret = d;
	return 0;
}

static void add_vlans(struct sequence *s, const struct config *c, uint32_t port_ifindex)
{
	const uint16_t access = BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED;

	if (!c->vlans.keep_default && c->vlans.access != 1) {
		device_encode_vlan(false, port_ifindex, 1, 1, 0, sequence_reserve(s));
		sequence_commit(s, "remove the default VLAN from the port");
	}
	if (c->vlans.access) {
		device_encode_vlan(true, port_ifindex, c->vlans.access, c->vlans.access, access,
				   sequence_reserve(s));
		sequence_commit(s, "add VLAN %u to the port", c->vlans.access);
	}
	for (size_t i = 0; i < c->vlans.trunk_len; i++) {
		device_encode_vlan(true, port_ifindex, c->vlans.trunk[i].first,
				   c->vlans.trunk[i].last, 0, sequence_reserve(s));
		sequence_commit(s, "add VLANs %u-%u to the port", c->vlans.trunk[i].first,
				c->vlans.trunk[i].last);
	}
}

int bridge_put_port(struct host *h, const struct config *c, const struct device *bridge,
		    const struct device *port, struct err *e)
{
	auto_sequence struct sequence *s = sequence_new();

	if (port->master_ifindex != bridge->ifindex) {
		device_encode_master(port->ifindex, bridge->ifindex, sequence_reserve(s));
		sequence_commit(s, "%s: make it a port of %s", port->name, bridge->name);
	}
	if (!port->up) {
		device_encode_flags(port->ifindex, IFF_UP, IFF_UP, sequence_reserve(s));
		sequence_commit(s, "%s: set up", port->name);
	}
	if (sequence_run(s, h->nl, e) < 0)
		return cni_classify(e, CNI_KERNEL);
	return bridge_setup_port(h, c, bridge, port->name, e);
}

int bridge_setup_port(struct host *h, const struct config *c, const struct device *bridge,
		      const char *port, struct err *e)
{
	auto_sequence struct sequence *s = NULL;
	uint32_t port_ifindex;
	struct device d;

	if (!c->hairpin && !c->isolated && !filters_vlans(c))
		return 0;
	if (device_get(h->nl, port, &d, e) < 0)
		return cni_classify(e, CNI_KERNEL);
	port_ifindex = d.ifindex;
	s = sequence_new();
	if (c->hairpin || c->isolated) {
		device_encode_port(port_ifindex, c->hairpin, c->isolated, sequence_reserve(s));
		sequence_commit(s, "set port flags");
	}
	if (filters_vlans(c))
		add_vlans(s, c, port_ifindex);
	if (sequence_run(s, h->nl, e) < 0) {
		err_wrap(e, "bridge %s", bridge->name);
		return cni_classify(e, CNI_KERNEL);
	}
	return 0;
}

static int format_gateway_name(const struct config *c, char ret[static IFNAMSIZ])
{
	int size = c->vlans.access ? snprintf(ret, IFNAMSIZ, "%s.%u", c->bridge, c->vlans.access)
				   : snprintf(ret, IFNAMSIZ, "%s", c->bridge);

	return size < IFNAMSIZ ? 0 : -ENAMETOOLONG;
}

void bridge_gateway_name(const struct config *c, char ret[static IFNAMSIZ])
{
	int ignored UNUSED = format_gateway_name(c, ret);
}

/* One end of a veth pair whose other end is an access port of the bridge. */
static int create_vlan_gateway(struct host *h, const struct config *c, const struct config *access,
			       const struct device *bridge, const char *name, struct err *e)
{
	struct device_veth veth = { .mac = names_random_mac(),
				    .master_ifindex = bridge->ifindex,
				    .up = true,
				    .peer_name = name,
				    .peer_mac = names_random_mac(),
				    .peer_netns_fd = -1,
				    .mtu_bytes = c->mtu_bytes };
	char peer[IFNAMSIZ];
	int rc;

	names_random_veth(peer);
	veth.name = peer;
	rc = device_create_veth(h->nl, &veth, e);
	if (rc == 0)
		rc = host_set_ipv6(h, 0, e, "conf/%s/accept_ra", name);
	return rc == 0 ? bridge_setup_port(h, access, bridge, peer, e) : rc;
}

/* It stands; but the bridge may have been made again since, and somebody have set it down. */
static int mend_vlan_gateway(struct host *h, const struct config *access,
			     const struct device *bridge, const struct device *d, struct err *e)
{
	auto_sequence struct sequence *s = sequence_new();
	struct device peer;

	if (d->peer_ifindex && device_get_by_index(h->nl, d->peer_ifindex, &peer, NULL) == 0 &&
	    strcmp(peer.kind, "veth") == 0 &&
	    (peer.master_ifindex != bridge->ifindex || !peer.up) &&
	    bridge_put_port(h, access, bridge, &peer, e) < 0)
		return e->code;
	if (d->up)
		return 0;
	device_encode_flags(d->ifindex, IFF_UP, IFF_UP, sequence_reserve(s));
	sequence_commit(s, "%s: set up", d->name);
	return sequence_run(s, h->nl, e);
}

/* The interface that carries the gateway of a VLAN, `<bridge>.<vlan>`. */
static int ensure_vlan_gateway(struct host *h, const struct config *c, const struct device *bridge,
			       struct device *ret, struct err *e)
{
	struct config access = { .vlans = { .access = c->vlans.access,
					    .keep_default = c->vlans.keep_default } };
	char name[IFNAMSIZ];
	int rc;

	if (format_gateway_name(c, name) < 0)
		return cni_error(e, CNI_CONFIG,
				 "bridge %s: the name of its interface for VLAN %u is too long",
				 c->bridge, c->vlans.access);
	rc = device_get(h->nl, name, ret, e);
	if (rc == -ENODEV) {
		rc = create_vlan_gateway(h, c, &access, bridge, name, e);
		if (rc == 0 || rc == -EEXIST)
			rc = device_get(h->nl, name, ret, e);
	}
	if (rc == 0)
		rc = mend_vlan_gateway(h, &access, bridge, ret, e);
	return rc < 0 ? cni_classify(e, CNI_KERNEL) : 0;
}

static bool is_wanted(const struct ip_net *net, const struct ip_net *gateways, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (ip_net_equal(net, &gateways[i]))
			return true;
	}
	return false;
}

/*
 * IPv4: a second subnet on one bridge is a mistake. IPv6: interfaces have several, but not inside
 * each other.
 */
static bool collides(const struct ip_net *have, const struct ip_net *want)
{
	if (have->addr.family != want->addr.family || ip_addr_is_link_local(&have->addr))
		return false;
	return want->addr.family == AF_INET || ip_net_overlaps(have, want);
}

struct gateway_plan {
	const struct config *config;
	const struct device *device;
	const struct inet_address *have;
	size_t have_len;
	struct sequence *changes;
	bool lacking;
};

static bool has_address(const struct gateway_plan *p, const struct ip_net *net)
{
	for (size_t i = 0; i < p->have_len; i++) {
		if (ip_net_equal(&p->have[i].net, net))
			return true;
	}
	return false;
}

static int resolve_collision(const struct gateway_plan *p, const struct inet_address *have,
			     const struct ip_net *want, struct err *e)
{
	char have_text[IP_NET_TEXT];
	char want_text[IP_NET_TEXT];

	ip_net_format(&have->net, have_text);
	ip_net_format(want, want_text);
	if (p->config->force_address) {
		inet_encode_address_delete(have, sequence_reserve(p->changes));
		sequence_commit(p->changes, "%s: remove address %s", p->device->name, have_text);
	} else if (!p->config->keep_other_addresses) {
		return cni_error(e, CNI_CONFLICT,
				 "%s already has an IP address different from %s: %s",
				 p->device->name, want_text, have_text);
	}
	return 0;
}

int bridge_allow_family(const char *device, const struct ip_net *address, struct err *e)
{
	int rc = address->addr.family == AF_INET6
			 ? sysctl_set(0, e, "ipv6/conf/%s/disable_ipv6", device)
			 : 0;

	/* The kernel takes IPv6 away from such an interface, with everything that it had. */
	if (rc == -ENOENT)
		return err_set(e, rc,
			       "%s has no IPv6: its MTU, or that of one of its ports, is below "
			       "%u, or the kernel has none",
			       device, IPV6_MTU_MIN);
	return rc;
}

static int plan_gateway(struct gateway_plan *p, const struct ip_net *gateways, size_t len,
			const struct ip_net *want, struct err *e)
{
	struct inet_address a = { .ifindex = p->device->ifindex, .net = *want, .no_dad = true };
	char text[IP_NET_TEXT];

	if (has_address(p, want))
		return 0;
	for (size_t i = 0; i < p->have_len; i++) {
		if (!is_wanted(&p->have[i].net, gateways, len) && collides(&p->have[i].net, want) &&
		    resolve_collision(p, &p->have[i], want, e) < 0)
			return e->code;
	}
	p->lacking = true;
	if (bridge_allow_family(p->device->name, want, e) < 0)
		return e->code;
	inet_encode_address_add(&a, sequence_reserve(p->changes));
	sequence_commit(p->changes, "%s: add address %s", p->device->name,
			ip_net_format(want, text));
	/*
	 * Said explicitly, the MAC no longer follows the ports' of a bridge that somebody else
	 * made.
	 */
	device_encode_mac(p->device->ifindex, &p->device->mac, sequence_reserve(p->changes));
	sequence_commit(p->changes, "%s: set MAC address", p->device->name);
	return 0;
}

static int ensure_gateways_once(struct host *h, const struct config *c, const struct device *device,
				const struct ip_net *gateways, size_t len, bool *ret_others,
				struct err *e)
{
	auto_sequence struct sequence *s = sequence_new();
	auto_free struct inet_address *have = NULL;
	struct gateway_plan plan = { .config = c, .device = device, .changes = s };

	if (inet_list_addresses(h->nl, AF_UNSPEC, device->ifindex, &have, &plan.have_len, e) < 0)
		return e->code;
	plan.have = have;
	for (size_t i = 0; i < plan.have_len; i++)
		*ret_others |= !is_wanted(&have[i].net, gateways, len) &&
			       !ip_addr_is_link_local(&have[i].net.addr);
	for (size_t i = 0; i < len; i++) {
		if (plan_gateway(&plan, gateways, len, &gateways[i], e) < 0)
			return e->code;
	}
	h->disturbed |= plan.lacking;
	return sequence_run(s, h->nl, e);
}

static int ensure_gateways(struct host *h, const struct config *c, const struct device *device,
			   const struct ip_net *gateways, size_t len, bool *ret_others,
			   struct err *e)
{
	for (unsigned attempt = 1;; attempt++) {
		int rc = ensure_gateways_once(h, c, device, gateways, len, ret_others, e);

		if (rc == 0)
			return 0;
		/*
		 * Of several first containers at once one adds the address, the others look again.
		 */
		if (rc != -EEXIST || attempt == ATTEMPTS)
			return cni_classify(e, CNI_KERNEL);
	}
}

int bridge_enable_forwarding(const struct ip_net *gateways, size_t len, struct err *e)
{
	bool v4 = false;
	bool v6 = false;

	for (size_t i = 0; i < len; i++) {
		v4 |= gateways[i].addr.family == AF_INET;
		v6 |= gateways[i].addr.family == AF_INET6;
	}
	if ((v4 && sysctl_set(1, e, "ipv4/ip_forward") < 0) ||
	    (v6 && forwarding_turn_on_v6(NULL, e) < 0))
		return cni_classify(e, CNI_KERNEL);
	return 0;
}

int bridge_ensure_gateways(struct host *h, const struct config *c, const struct device *bridge,
			   const struct ip_net *gateways, size_t len, struct device *ret,
			   bool *ret_others, struct err *e)
{
	*ret = *bridge;
	if (c->vlans.access && ensure_vlan_gateway(h, c, bridge, ret, e) < 0)
		return e->code;
	return ensure_gateways(h, c, ret, gateways, len, ret_others, e);
}
