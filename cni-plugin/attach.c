/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/attach.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <time.h>

#include "cni-plugin/bridge.h"
#include "cni-plugin/error.h"
#include "cni-plugin/names.h"
#include "cni-plugin/ruleset.h"
#include "kernel/device.h"
#include "kernel/inet.h"
#include "kernel/sequence.h"
#include "kernel/sysctl.h"
#include "lib/clock.h"

_Static_assert(RECORD_UNMASKED_MAX >= SUBNET_ENV_NETWORKS_MAX + RECORD_ADDRESSES_MAX, "exceptions");

#define GATEWAYS_MAX      RECORD_ADDRESSES_MAX
#define SETTLE_TIMEOUT_MS 5000
#define SETTLE_STEP_US    200

struct ip_addr attach_gateway(const struct result_address *a)
{
	struct ip_net subnet = ip_net_masked(&a->net);

	if (ip_addr_is_set(&a->gateway))
		return a->gateway;
	return ip_addr_from_u128(subnet.addr.family, ip_addr_to_u128(&subnet.addr) + 1);
}

/*
 * The gateway that a route without one of its own takes: that of the first address of its family.
 */
static struct ip_addr default_gateway(const struct result *ipam, int family)
{
	for (size_t i = 0; i < ipam->addresses_len; i++) {
		if (ipam->addresses[i].net.addr.family == family)
			return ipam->addresses[i].gateway;
	}
	return (struct ip_addr){ 0 };
}

static bool has_default_route(const struct result *ipam, int family)
{
	for (size_t i = 0; i < ipam->routes_len; i++) {
		const struct result_route *r = &ipam->routes[i];

		if (r->dst.addr.family == family && r->dst.len == 0 && ip_addr_is_set(&r->gateway))
			return true;
	}
	return false;
}

/*
 * The routes to install: the configured ones, and with isDefaultGateway a default route per family
 * unless there is one.
 */
static void collect_routes(const struct config *c, const struct result *ipam, struct result *routes)
{
	bool done_v4 = has_default_route(ipam, AF_INET);
	bool done_v6 = has_default_route(ipam, AF_INET6);

	for (size_t i = 0; i < ipam->routes_len; i++)
		result_add_route(routes, &ipam->routes[i]);
	if (!c->is_default_gateway)
		return;
	for (size_t i = 0; i < ipam->addresses_len; i++) {
		int family = ipam->addresses[i].net.addr.family;
		bool *done = family == AF_INET ? &done_v4 : &done_v6;
		struct result_route route = { .gateway = attach_gateway(&ipam->addresses[i]),
					      .priority = -1,
					      .table = -1,
					      .scope = -1 };

		if (*done)
			continue;
		*done = true;
		route.dst.addr.family = (uint8_t)family;
		result_add_route(routes, &route);
	}
}

static struct ip_net host_net(const struct ip_addr *a)
{
	return (struct ip_net){ .addr = *a, .len = (uint8_t)ip_family_bits(a->family) };
}

/* Gateway addresses with the prefix length of the subnet they serve, each once. */
static size_t collect_gateways(const struct result *ipam, struct ip_net ret[static GATEWAYS_MAX])
{
	size_t len = 0;

	for (size_t i = 0; i < ipam->addresses_len && len < GATEWAYS_MAX; i++) {
		struct ip_net gateway = { .addr = attach_gateway(&ipam->addresses[i]),
					  .len = ipam->addresses[i].net.len };
		bool known = false;

		for (size_t k = 0; k < len; k++)
			known |= ip_net_equal(&ret[k], &gateway);
		if (!known)
			ret[len++] = gateway;
	}
	return len;
}

static void append_unmasked(struct record *r, const struct ip_net *net)
{
	struct ip_net masked = ip_net_masked(net);

	for (size_t i = 0; i < r->unmasked_len; i++) {
		if (ip_net_equal(&r->unmasked[i], &masked))
			return;
	}
	if (r->unmasked_len < RECORD_UNMASKED_MAX)
		r->unmasked[r->unmasked_len++] = masked;
}

/*
 * Not masqueraded is what stays in the container's subnet, and what goes to the overlay's other
 * hosts: they know the way back, and policies there want to see the container's own address.
 */
static void plan_masquerade(const struct config *c, const struct result *ipam, struct record *ret)
{
	for (size_t i = 0; i < ipam->addresses_len; i++)
		append_unmasked(ret, &ipam->addresses[i].net);
	for (size_t i = 0; i < c->unmasked_len; i++)
		append_unmasked(ret, &c->unmasked[i]);
}

void attach_plan_names(const struct config *c, struct record *ret)
{
	names_random_veth(ret->host_ifname);
	ret->host_mac = names_random_mac();
	ret->mac = c->has_mac ? c->mac : names_random_mac();
	ret->ptp = c->ptp;
	if (!c->ptp)
		snprintf(ret->bridge, sizeof(ret->bridge), "%s", c->bridge);
	ret->masquerade = c->ip_masq;
	ret->mac_guard = c->mac_guard;
}

void attach_plan(const struct config *c, const struct result *ipam, struct record *ret)
{
	if (ret->masquerade)
		plan_masquerade(c, ipam, ret);
	ret->vlans = c->vlans;
	ret->hairpin = c->hairpin;
	ret->isolated = c->isolated;
	ret->promiscuous = c->promiscuous;
	ret->mtu_bytes = c->mtu_bytes;
	if (!c->is_gateway && !c->ptp)
		return;
	ret->gateways_len = collect_gateways(ipam, ret->gateways);
	for (size_t i = 0; c->ptp && i < ret->gateways_len; i++)
		ret->gateways[i] = host_net(&ret->gateways[i].addr);
	if (c->ptp)
		snprintf(ret->gateway_device, IFNAMSIZ, "%s", ret->host_ifname);
	else
		bridge_gateway_name(c, ret->gateway_device);
}

/*
 * A port of a bridge takes no part in IP, and goes up at once; nor does it when the bridge is gone,
 * and a thousand of them with a link-local address each, in one routing table, cost milliseconds
 * for every further one. A routed link must not believe the
 * container's router advertisements, and needs its link-local address at once: without it the host
 * does not forward to the container.
 */
static int create_veth(const struct attach *a, uint32_t master_ifindex, struct err *e)
{
	struct device_veth veth = { .name = a->record->host_ifname,
				    .mac = a->record->host_mac,
				    .master_ifindex = master_ifindex,
				    .up = master_ifindex != 0,
				    .peer_name = a->record->ifname,
				    .peer_mac = a->record->mac,
				    .peer_netns_fd = a->host->container_fd,
				    .mtu_bytes = a->config->mtu_bytes,
				    .group = RULESET_DEVICE_GROUP };
	int rc = device_create_veth(a->host->nl, &veth, e);

	if (rc == -EEXIST)
		return cni_classify(e, CNI_EXISTS);
	if (rc < 0)
		return cni_classify(e, CNI_KERNEL);
	if (master_ifindex)
		rc = host_set_ipv6(a->host, 1, e, "conf/%s/disable_ipv6", veth.name);
	else
		rc = host_set_ipv6(a->host, 0, e, "conf/%s/accept_ra", veth.name);
	if (rc == 0 && !master_ifindex)
		rc = host_set_ipv6(a->host, 0, e, "conf/%s/accept_dad", veth.name);
	return rc < 0 ? cni_classify(e, CNI_KERNEL) : 0;
}

static bool has_family(const struct result *ipam, int family)
{
	for (size_t i = 0; i < ipam->addresses_len; i++) {
		if (ipam->addresses[i].net.addr.family == family)
			return true;
	}
	return false;
}

/* Switches of the container's interface. A kernel without one of them works all the same. */
static int set_container_switches(const struct attach *a, struct err *e)
{
	bool detect = a->config->detect_duplicates;
	const struct {
		const char *name;
		bool wanted;
		bool on;
	} switches[] = {
		{ "accept_dad", true, detect },  { "enhanced_dad", detect, true },
		{ "disable_ipv6", true, false }, { "keep_addr_on_down", true, true },
		{ "ndisc_notify", true, true },
	};
	auto_close int fd = -1;
	int rc = sysctl_open("ipv6/conf", &fd, e);

	if (rc == 0)
		rc = sysctl_set_at(fd, 0, e, "lo/disable_ipv6");
	for (size_t i = 0; i < ARRAY_LEN(switches) && (rc == 0 || rc == -ENOENT) && fd >= 0; i++) {
		if (switches[i].wanted)
			rc = sysctl_set_at(fd, switches[i].on, e, "%s/%s", a->record->ifname,
					   switches[i].name);
	}
	return rc == -ENOENT ? 0 : rc;
}

/* IPv4's are set by netlink, with the addresses. */
static int enter_and_set_switches(const struct attach *a, struct err *e)
{
	int rc;

	if (!has_family(a->ipam, AF_INET6))
		return 0;
	if (host_enter_container(a->host, e) < 0)
		return e->code;
	rc = set_container_switches(a, e);
	host_leave_container(a->host);
	return rc < 0 ? cni_classify(e, CNI_KERNEL) : 0;
}

static void add_address(struct sequence *s, const struct inet_address *address)
{
	char text[IP_NET_TEXT];

	inet_encode_address_add(address, sequence_reserve(s));
	sequence_commit(s, "add address %s", ip_net_format(&address->net, text));
}

static void add_route(struct sequence *s, const struct inet_route *route)
{
	char text[IP_NET_TEXT];

	inet_encode_route_add(route, sequence_reserve(s));
	sequence_commit(s, "add route to %s", ip_net_format(&route->dst, text));
}

static void add_configured_routes(struct sequence *s, const struct result *routes,
				  const struct result *ipam, uint32_t ifindex)
{
	for (size_t i = 0; i < routes->routes_len; i++) {
		const struct result_route *r = &routes->routes[i];
		struct inet_route route = {
			.dst = r->dst,
			.gateway = r->gateway,
			.ifindex = ifindex,
			.table = r->table < 0 ? 0 : (uint32_t)r->table,
			.priority = r->priority < 0 ? 0 : (uint32_t)r->priority,
			.mtu_bytes = r->mtu_bytes,
			.advmss_bytes = r->advmss_bytes,
			.scope = r->scope < 0 ? INET_SCOPE_ANY : (int)r->scope,
			.protocol = RTPROT_BOOT,
		};

		if (!ip_addr_is_set(&route.gateway))
			route.gateway = default_gateway(ipam, r->dst.addr.family);
		add_route(s, &route);
	}
}

/*
 * All traffic of a routed container goes to the host, also for its neighbours of the same subnet:
 * the subnet is behind the gateway, and only the gateway is on the link.
 */
static void add_ptp_routes(struct sequence *s, const struct result *ipam, uint32_t ifindex)
{
	for (size_t i = 0; i < ipam->addresses_len; i++) {
		const struct result_address *a = &ipam->addresses[i];
		struct ip_addr gateway = attach_gateway(a);
		struct inet_route to_gateway = { .dst = host_net(&gateway),
						 .source = a->net.addr,
						 .ifindex = ifindex,
						 .scope = INET_SCOPE_ANY,
						 .protocol = RTPROT_BOOT };
		struct inet_route to_subnet = { .dst = ip_net_masked(&a->net),
						.gateway = gateway,
						.source = a->net.addr,
						.ifindex = ifindex,
						.scope = INET_SCOPE_ANY,
						.protocol = RTPROT_BOOT };

		add_route(s, &to_gateway);
		add_route(s, &to_subnet);
	}
}

static int setup_container(const struct attach *a, const struct result *routes, struct device *ret,
			   struct err *e)
{
	auto_sequence struct sequence *s = sequence_new();
	struct device d;

	if (device_get(a->host->container_nl, a->record->ifname, &d, e) < 0)
		return cni_classify(e, CNI_KERNEL);
	for (size_t i = 0; i < a->ipam->addresses_len; i++) {
		struct inet_address address = { .ifindex = d.ifindex,
						.net = a->ipam->addresses[i].net,
						.no_dad = !a->config->detect_duplicates,
						.no_prefix = a->config->ptp };

		add_address(s, &address);
	}
	device_encode_arp_notify(d.ifindex, sequence_reserve(s));
	sequence_commit(s, "announce addresses");
	device_encode_flags(d.ifindex, IFF_UP, IFF_UP, sequence_reserve(s));
	sequence_commit(s, "set up");
	if (a->config->ptp)
		add_ptp_routes(s, a->ipam, d.ifindex);
	add_configured_routes(s, routes, a->ipam, d.ifindex);
	if (sequence_run(s, a->host->container_nl, e) < 0) {
		err_wrap(e, "container interface %s", a->record->ifname);
		return cni_classify(e, CNI_KERNEL);
	}
	*ret = d;
	return 0;
}

bool attach_has_route(const struct attach_routed *have, const struct ip_addr *container)
{
	struct ip_net dst = host_net(container);

	for (size_t i = 0; i < have->routes_len; i++) {
		if (ip_net_equal(&have->routes[i].dst, &dst))
			return true;
	}
	return false;
}

bool attach_has_connected(const struct attach_routed *have, const struct ip_net *address)
{
	struct ip_net dst = ip_net_masked(address);

	if (address->len == ip_family_bits(address->addr.family))
		return true;
	for (size_t i = 0; i < have->routes_len; i++) {
		const struct inet_route *route = &have->routes[i];

		if (ip_net_equal(&route->dst, &dst) && !ip_addr_is_set(&route->gateway))
			return true;
	}
	return false;
}

int attach_read_routed(struct host *h, uint32_t ifindex, struct attach_routed *ret, struct err *e)
{
	int rc = inet_list_addresses(h->nl, AF_UNSPEC, ifindex, &ret->addresses,
				     &ret->addresses_len, e);

	if (rc == 0)
		rc = inet_list_routes(h->nl, AF_UNSPEC, ifindex, &ret->routes, &ret->routes_len, e);
	return rc;
}

bool attach_has_address(const struct attach_routed *have, const struct ip_net *address)
{
	for (size_t i = 0; i < have->addresses_len; i++) {
		if (ip_net_equal(&have->addresses[i].net, address))
			return true;
	}
	return false;
}

int attach_put_routed(struct host *h, const struct record *r, const struct attach_routed *have,
		      struct err *e)
{
	auto_sequence struct sequence *s = sequence_new();
	struct device d;

	if (device_get(h->nl, r->host_ifname, &d, e) < 0)
		return cni_classify(e, CNI_KERNEL);
	device_encode_flags(d.ifindex, IFF_UP, IFF_UP, sequence_reserve(s));
	sequence_commit(s, "set up");
	for (size_t i = 0; i < r->gateways_len; i++) {
		struct inet_address address = { .ifindex = d.ifindex,
						.net = r->gateways[i],
						.no_dad = true };

		if (attach_has_address(have, &r->gateways[i]))
			continue;
		if (bridge_allow_family(r->host_ifname, &r->gateways[i], e) < 0)
			return cni_classify(e, CNI_KERNEL);
		add_address(s, &address);
	}
	for (size_t i = 0; i < r->addresses_len; i++) {
		struct inet_route route = { .dst = host_net(&r->addresses[i]),
					    .ifindex = d.ifindex,
					    .scope = INET_SCOPE_ANY,
					    .protocol = RTPROT_BOOT };

		if (!attach_has_route(have, &r->addresses[i]))
			add_route(s, &route);
	}
	if (sequence_run(s, h->nl, e) < 0) {
		err_wrap(e, "host interface %s", r->host_ifname);
		return cni_classify(e, CNI_KERNEL);
	}
	return 0;
}

static bool addresses_settled(const struct attach *a, uint32_t ifindex, int *ret, struct err *e)
{
	auto_free struct inet_address *list = NULL;
	size_t len = 0;

	*ret = inet_list_addresses(a->host->container_nl, AF_INET6, ifindex, &list, &len, e);
	for (size_t i = 0; i < len; i++) {
		char text[IP_NET_TEXT];

		if (list[i].duplicate)
			*ret = cni_error(e, CNI_CONFLICT, "address %s is in use by somebody else",
					 ip_net_format(&list[i].net, text));
		else if (list[i].tentative)
			return false;
	}
	return true;
}

static bool port_settled(const struct attach *a, int *ret, struct err *e)
{
	struct device d;

	*ret = device_get(a->host->nl, a->record->host_ifname, &d, e);
	return *ret < 0 || d.operational;
}

/*
 * The kernel notices that a link carries traffic a moment after its second end went up, in a work
 * queue of its own; until then the bridge drops what the container sends.
 */
static int wait_until_settled(const struct attach *a, struct err *e)
{
	int64_t deadline_ms = clock_boot_ms() + SETTLE_TIMEOUT_MS;
	bool detect = a->config->detect_duplicates && has_family(a->ipam, AF_INET6);
	struct timespec step = { .tv_nsec = SETTLE_STEP_US * 1000 };
	struct device d;
	int rc = 0;

	if (detect && device_get(a->host->container_nl, a->record->ifname, &d, e) < 0)
		return cni_classify(e, CNI_KERNEL);
	while (!port_settled(a, &rc, e) ||
	       (detect && rc == 0 && !addresses_settled(a, d.ifindex, &rc, e))) {
		if (clock_boot_ms() > deadline_ms)
			return cni_error(e, CNI_TRY_AGAIN, "%s is not ready after %d ms",
					 a->record->host_ifname, SETTLE_TIMEOUT_MS);
		nanosleep(&step, NULL);
		step.tv_nsec = MIN(step.tv_nsec * 2, 20L * 1000 * 1000);
	}
	return rc < 0 ? cni_classify(e, CNI_KERNEL) : 0;
}

/*
 * The address may have been another container's a moment ago, whose MAC its neighbours, the host
 * among them, would go on using for up to 45 s. Said again, the MAC makes the kernel announce all
 * addresses (arp_notify, ndisc_notify; since Linux 2.6.31 and 3.12): gratuitous ARP and unsolicited
 * neighbour advertisements, by which entries that exist are corrected. Of what it announced when the
 * interface went up, IPv6's part was lost, since the link did not carry yet.
 */
static int announce(const struct attach *a, const struct device *container, struct err *e)
{
	auto_sequence struct sequence *s = NULL;

	/* What was said of IPv4 when the interface came up has been heard: once is enough, for every
	 * port of the bridge gets it. */
	if (!has_family(a->ipam, AF_INET6))
		return 0;
	s = sequence_new();
	device_encode_mac(container->ifindex, &container->mac, sequence_reserve(s));
	sequence_commit(s, "container interface %s: announce", a->record->ifname);
	return sequence_run(s, a->host->container_nl, e) < 0 ? cni_classify(e, CNI_KERNEL) : 0;
}

static void list_interfaces(const struct attach *a, const struct device *bridge,
			    const struct device *vlan_gateway, struct result *result)
{
	uint32_t mtu = a->config->mtu_bytes;
	size_t container;

	if (bridge)
		result_add_interface(result, bridge->name, &bridge->mac, 0, NULL);
	result_add_interface(result, a->record->host_ifname, &a->record->host_mac, mtu, NULL);
	container =
		result_add_interface(result, a->record->ifname, &a->record->mac, mtu, a->sandbox);
	if (vlan_gateway)
		result_add_interface(result, vlan_gateway->name, &vlan_gateway->mac, 0, NULL);
	for (size_t i = 0; i < a->ipam->addresses_len; i++) {
		const struct result_address *r = &a->ipam->addresses[i];

		result_add_address(result, &r->net, &r->gateway);
		result->addresses[result->addresses_len - 1].interface = (int)container;
	}
}

/* The addresses by which containers reach the host, and through it everything else. */
static int setup_gateways(const struct attach *a, const struct device *bridge, struct device *ret,
			  struct err *e)
{
	const struct record *r = a->record;

	if (r->gateways_len == 0)
		return 0;
	if (bridge_ensure_gateways(a->host, a->config, bridge, r->gateways, r->gateways_len, ret,
				   a->ret_other_addresses, e) < 0)
		return e->code;
	return bridge_enable_forwarding(r->gateways, r->gateways_len, e);
}

static int attach_to_bridge(const struct attach *a, struct result *result, struct err *e)
{
	const struct config *c = a->config;
	struct device container;
	struct device gateway = { 0 };
	struct device bridge;

	if (bridge_ensure(a->host, c, &bridge, e) < 0 ||
	    setup_gateways(a, &bridge, &gateway, e) < 0 || create_veth(a, bridge.ifindex, e) < 0)
		return e->code;
	if (bridge_setup_port(a->host, c, &bridge, a->record->host_ifname, e) < 0)
		return e->code;
	if (!c->interface_down &&
	    (enter_and_set_switches(a, e) < 0 || setup_container(a, result, &container, e) < 0 ||
	     wait_until_settled(a, e) < 0 || announce(a, &container, e) < 0))
		return e->code;
	list_interfaces(a, &bridge, c->vlans.access && gateway.ifindex ? &gateway : NULL, result);
	return 0;
}

static int attach_routed(const struct attach *a, struct result *result, struct err *e)
{
	const struct attach_routed nothing = { 0 };
	const struct record *r = a->record;
	struct device container;

	if (bridge_enable_forwarding(r->gateways, r->gateways_len, e) < 0 ||
	    create_veth(a, 0, e) < 0 || attach_put_routed(a->host, r, &nothing, e) < 0 ||
	    enter_and_set_switches(a, e) < 0 || setup_container(a, result, &container, e) < 0 ||
	    wait_until_settled(a, e) < 0)
		return e->code;
	list_interfaces(a, NULL, NULL, result);
	return 0;
}

int attach_interface(const struct attach *a, struct result *result, struct err *e)
{
	collect_routes(a->config, a->ipam, result);
	return a->config->ptp ? attach_routed(a, result, e) : attach_to_bridge(a, result, e);
}
