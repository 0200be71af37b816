/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices that containers live behind, which the guard keeps away from the tunnel: every one
 * with an address of our own subnet or a route into it, but our own. The guard knows them by name,
 * which says something at boot too, before there are any.
 */
#include <event2/event.h>
#include <linux/rtnetlink.h>

#include "fabric/fabric_internal.h"
#include "kernel/link.h"
#include "kernel/underlay.h"
#include "lib/clock.h"

#define LARGE_DELAY_MS 100 /* many containers may come and go at once */
#define PORT_DELAY_MS  200 /* the end of a link takes the kernel some 30 */

struct container_device {
	struct reconcile_owner owner;
	uint32_t ifindex;
	char name[IFNAMSIZ];
	bool down;
	/* Its last address in our subnet, containers' gateway, by family; unset: it never had one. */
	struct ip_net gateways[2];
	bool lost[2]; /* it has that one no more */
};

static bool is_fabric_device(const struct fabric *f, uint32_t ifindex)
{
	return ifindex == 1 || external_is_interface(&f->external, ifindex) ||
	       kernel_marks_device(&f->kernel.marks, ifindex);
}

static struct container_device *find(const struct fabric *f, uint32_t ifindex)
{
	for (size_t i = 0; i < f->containers_len; i++) {
		if (f->containers[i]->ifindex == ifindex)
			return f->containers[i];
	}
	return NULL;
}

static void want(struct fabric *f, struct container_device *d)
{
	struct kernel_object o = kernel_element_device(TRAFFIC_CONTAINERS, d->name);
	struct reconcile_owner *other;
	bool guarded = rules_guards(f->rules);

	if (reconcile_want(f->reconcile, &d->owner, &o, guarded, &other) < 0)
		abort(); /* elements are shared */
	fabric_want_work(f, 0);
}

void fabric_want_containers(struct fabric *f)
{
	for (size_t i = 0; i < f->containers_len; i++)
		want(f, f->containers[i]);
}

/* A link of a single container goes down with it; what serves many does not by itself. */
static bool is_down(const struct link_info *link)
{
	return !link->up && strcmp(link->kind, "veth") != 0;
}

/* Containers live behind this device, unless it is of the fabric or the underlay. */
static void add(struct fabric *f, uint32_t ifindex)
{
	struct container_device d = { .ifindex = ifindex };
	struct link_info link;

	if (!ifindex || is_fabric_device(f, ifindex) || find(f, ifindex) ||
	    link_get_by_index(f->nl, ifindex, &link, NULL) < 0)
		return;
	memcpy(d.name, link.name, sizeof(d.name));
	d.down = is_down(&link);
	GROW(f->containers, f->containers_len, f->containers_cap);
	f->containers[f->containers_len] = xmalloc(sizeof(d));
	*f->containers[f->containers_len] = d;
	want(f, f->containers[f->containers_len++]);
}

/* A prefix in our own subnet; one around it is somebody else's business. */
static bool is_inside(const struct fabric *f, const struct ip_net *net)
{
	return (ip_net_is_set(&f->own.v4) && ip_net_contains_net(&f->own.v4, net)) ||
	       (ip_net_is_set(&f->own.v6) && ip_net_contains_net(&f->own.v6, net));
}

/*
 * An address of this host in a subnet of the network that is another host's, or may be soon: what is
 * sent there stays here. A bridge keeps it after the host was given another subnet.
 */
static bool is_old_gateway(const struct fabric *f, const struct kernel_object *o)
{
	struct ip_net net = { kernel_object_dst(o), 0 };
	bool v4 = net.addr.family == AF_INET;
	const struct ip_net *network = &f->kernel.marks.networks[v4 ? 0 : 1];

	net.len = (uint8_t)ip_family_bits(net.addr.family);
	return ip_net_is_set(network) && ip_net_contains(network, &net.addr) &&
	       ip_net_is_set(v4 ? &f->own.v4 : &f->own.v6) && !is_inside(f, &net) &&
	       !is_fabric_device(f, o->key.ifindex);
}

/* An address of a device that containers live behind has come or gone. */
static void note_gateway(struct fabric *f, const struct kernel_object *o, bool gone)
{
	struct ip_net net = { kernel_object_dst(o), (uint8_t)ip_family_bits(o->key.family) };
	struct container_device *d = find(f, o->key.ifindex);
	size_t i = net.addr.family == AF_INET ? 0 : 1;

	if (!d || !is_inside(f, &net) || (gone && !ip_addr_equal(&d->gateways[i].addr, &net.addr)))
		return;
	d->gateways[i] = (struct ip_net){ net.addr, o->key.len };
	if (d->lost[i] == gone)
		return;
	d->lost[i] = gone;
	f->ops->problems_changed(f->arg);
}

/* Perhaps containers live behind the device of this address or route. */
static void consider(struct fabric *f, const struct kernel_object *o)
{
	struct ip_net net = { kernel_object_dst(o), o->key.len };

	/* A bridge may have a wider prefix than ours: its address tells. */
	if (kernel_is_address(o))
		net.len = (uint8_t)ip_family_bits(net.addr.family);
	if ((kernel_is_address(o) || kernel_is_route(o)) && is_inside(f, &net))
		add(f, kernel_is_address(o) ? o->key.ifindex : o->value.ifindex);
	if (kernel_is_address(o))
		note_gateway(f, o, false);
}

static void find_addresses(struct fabric *f);

/* ---- what others undo of the CNI plugin's ---- */

/*
 * Our end of a container's link goes down, leaves its bridge and loses what is on it when the container
 * is on its way out, and has no bridge yet when it comes: only what is still so a little later is a loss.
 */
static void remember_loss(struct fabric *f, uint32_t ifindex, const char *what)
{
	static const struct timeval delay = { 0, PORT_DELAY_MS * 1000 };
	struct fabric_loss *loss = &f->losses[f->losses_len];

	if (!f->plugin || f->losses_len == ARRAY_LEN(f->losses))
		return;
	f->losses_len++;
	loss->ifindex = ifindex;
	snprintf(loss->what, sizeof(loss->what), "%s", what);
	if (!event_pending(f->ports, EV_TIMEOUT, NULL))
		event_add(f->ports, &delay);
}

static void on_ports(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct fabric *f = arg;
	struct link_info link;
	size_t len = f->losses_len;

	f->losses_len = 0;
	for (size_t i = 0; i < len; i++) {
		const struct fabric_loss *loss = &f->losses[i];

		if (link_get_by_index(f->nl, loss->ifindex, &link, NULL) < 0 ||
		    link.group != MARK_CONTAINER_GROUP)
			continue;
		if (*loss->what)
			plugin_suspect(f->plugin, 0, "%s lost the %s", link.name, loss->what);
		else if (!link.up)
			plugin_suspect(f->plugin, 0, "%s is down", link.name);
		else if (!link.master_ifindex && !find(f, link.ifindex))
			plugin_suspect(f->plugin, 0, "%s is on no bridge", link.name);
	}
}

/* Of a bridge, which serves many containers; or of our end of a container's link. */
static void look_for_loss(struct fabric *f, const struct kernel_object *o, uint32_t port_id)
{
	struct ip_net net = { kernel_object_dst(o), o->key.len };
	bool address = kernel_is_address(o);
	const struct container_device *d = find(f, address ? o->key.ifindex : o->value.ifindex);
	char text[IP_NET_TEXT];
	char what[64];

	/* The kernel's own address and somebody's route elsewhere are nothing that the plugin made. */
	if (!d || ip_addr_is_link_local(&net.addr) || (!address && !is_inside(f, &net)))
		return;
	ip_net_format(&net, text);
	snprintf(what, sizeof(what), "%s %s", address ? "address" : "route to", text);
	if (net.len < ip_family_bits(net.addr.family))
		plugin_suspect(f->plugin, port_id, "%s lost the %s", d->name, what);
	else
		remember_loss(f, address ? o->key.ifindex : o->value.ifindex, what);
}

void fabric_container_object(struct fabric *f, const struct kernel_object *o, bool gone,
			     uint32_t port_id)
{
	if (!f->started)
		return;
	if (!gone)
		consider(f, o);
	else if (kernel_is_address(o) || kernel_is_route(o))
		look_for_loss(f, o, port_id);
	if (gone && kernel_is_address(o))
		note_gateway(f, o, true);
	if (kernel_is_address(o) && is_old_gateway(f, o))
		find_addresses(f);
}

/* ---- interfaces of containers with an MTU of before ---- */

/* Our end of a container's link: a veth on a bridge that they live behind, or behind no bridge. */
static bool is_of_container(const struct fabric *f, const struct link_info *link)
{
	return link->peer_elsewhere && strcmp(link->kind, "veth") == 0 &&
	       !is_fabric_device(f, link->ifindex) &&
	       find(f, link->master_ifindex ? link->master_ifindex : link->ifindex);
}

void fabric_count_large_containers_soon(struct fabric *f)
{
	if (!f->large.due_ms)
		f->large.due_ms = clock_boot_ms() + LARGE_DELAY_MS;
	fabric_want_work(f, LARGE_DELAY_MS);
}

void fabric_count_large_containers(struct fabric *f)
{
	uint32_t mtu_bytes = fabric_pod_mtu(f);
	auto_free struct link_info *links = NULL;
	size_t len = 0;

	int64_t left_ms = f->large.due_ms - clock_boot_ms();

	if (f->large.due_ms && left_ms > 0)
		fabric_want_work(f, left_ms);
	if (!f->large.due_ms || left_ms > 0 || link_list(f->nl, &links, &len, NULL) < 0)
		return;
	f->large = (struct fabric_large_containers){ 0 };
	for (size_t i = 0; i < len; i++) {
		if (links[i].mtu_bytes <= mtu_bytes || !is_of_container(f, &links[i]))
			continue;
		f->large.len++;
		f->large.mtu_bytes = MAX(f->large.mtu_bytes, links[i].mtu_bytes);
	}
}

static void look_for_large(struct fabric *f, const struct link_info *link, bool gone)
{
	if (f->started && strcmp(link->kind, "veth") == 0 &&
	    (f->large.len || (!gone && link->mtu_bytes > fabric_pod_mtu(f))))
		fabric_count_large_containers_soon(f);
}

/* ---- as they come and go ---- */

static void look_for_undone(struct fabric *f, const struct link_info *link,
			    const struct container_device *d, bool gone)
{
	if (gone && d && link->group != MARK_CONTAINER_GROUP)
		plugin_suspect(f->plugin, 0, "%s was deleted", d->name);
	else if (!gone && !link->up && d && link->group != MARK_CONTAINER_GROUP)
		plugin_suspect(f->plugin, 0, "%s is down", link->name);
	else if (!gone && link->no_arp && d && strcmp(link->kind, "bridge") == 0)
		plugin_suspect(f->plugin, 0, "%s does no ARP", link->name);
	else if (!gone && link->group == MARK_CONTAINER_GROUP &&
		 (!link->up || (!link->master_ifindex && !d)))
		remember_loss(f, link->ifindex, "");
}

void fabric_container_link(struct fabric *f, const struct link_info *link, bool gone)
{
	struct container_device *d = find(f, link->ifindex);
	struct reconcile_owner *other;

	look_for_large(f, link, gone);
	look_for_undone(f, link, d, gone);
	if (!d)
		return;
	if (!gone) {
		if (d->down != is_down(link)) {
			d->down = !d->down;
			f->ops->problems_changed(f->arg);
		}
		if (strcmp(d->name, link->name) == 0)
			return;
		snprintf(d->name, sizeof(d->name), "%s", link->name);
		want(f, d);
		return;
	}
	if (reconcile_want(f->reconcile, &d->owner, NULL, 0, &other) < 0)
		abort();
	for (size_t i = 0; i < f->containers_len; i++) {
		if (f->containers[i] == d)
			f->containers[i] = f->containers[--f->containers_len];
	}
	free(d);
	fabric_want_work(f, 0);
}

static void on_route(void *arg, const struct kernel_object *route)
{
	consider(arg, route);
}

static void note_old_gateway(struct fabric *f, const struct underlay_address *a)
{
	char name[IFNAMSIZ];
	char net[IP_NET_TEXT];

	if (f->old_gateways++ || !if_indextoname(a->ifindex, name))
		return;
	snprintf(f->old_gateway, sizeof(f->old_gateway), "%s has %s", name,
		 ip_net_format(&a->net, net));
}

static void find_addresses(struct fabric *f)
{
	struct underlay_address *all = NULL;
	size_t before = f->old_gateways;
	size_t len = 0;

	if (underlay_addresses(f->nl, AF_UNSPEC, &all, &len, NULL) < 0)
		return;
	f->old_gateways = 0;
	for (size_t i = 0; i < len; i++) {
		struct kernel_object o = kernel_address(all[i].ifindex, &all[i].net);

		consider(f, &o);
		if (is_old_gateway(f, &o))
			note_old_gateway(f, &all[i]);
	}
	free(all);
	if (before != f->old_gateways)
		f->ops->problems_changed(f->arg);
}

void fabric_find_containers(struct fabric *f)
{
	/* Who makes routes to containers: the kernel with an address, scripts, plugins. */
	static const uint8_t protocols[] = { RTPROT_KERNEL, RTPROT_BOOT, RTPROT_STATIC };
	static const int families[] = { AF_INET, AF_INET6 };

	/* What is missed, because it changed meanwhile, is notified. */
	find_addresses(f);
	fabric_count_large_containers_soon(f);
	if (!rules_guards(f->rules))
		return;
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		for (size_t p = 0; p < ARRAY_LEN(protocols); p++)
			(void)!underlay_routes_visit(f->nl, families[i], protocols[p], on_route, f,
						     NULL);
	}
}

bool fabric_is_container(const struct fabric *f, const struct reconcile_owner *owner)
{
	for (size_t i = 0; i < f->containers_len; i++) {
		if (&f->containers[i]->owner == owner)
			return true;
	}
	return false;
}

static void on_plugin(void *arg)
{
	const struct fabric *f = arg;

	f->ops->problems_changed(f->arg);
}

void fabric_keep_plugin(struct fabric *f, const struct plugin_options *options)
{
	f->plugin = plugin_new(f->base, options, on_plugin, f);
	f->ports = evtimer_new(f->base, on_ports, f);
}

bool fabric_container_interface(const struct fabric *f, uint32_t *ret_ifindex,
				char ret_name[static IFNAMSIZ])
{
	if (f->containers_len == 0)
		return false;
	*ret_ifindex = f->containers[0]->ifindex;
	memcpy(ret_name, f->containers[0]->name, IFNAMSIZ);
	return true;
}

size_t fabric_container_devices(const struct fabric *f, uint32_t *ret_ifindexes, size_t max)
{
	size_t len = MIN(f->containers_len, max);

	for (size_t i = 0; i < len; i++)
		ret_ifindexes[i] = f->containers[i]->ifindex;
	return len;
}

static void gateway_problems(const struct fabric *f, const struct container_device *d,
			     struct problem_list *ret)
{
	char net[IP_NET_TEXT];

	if (d->down)
		problem_add(ret, PROBLEM_ERROR, "bridge-down",
			    "%s, which containers here are behind, is down: ip link set %s up",
			    d->name, d->name);
	for (size_t i = 0; i < ARRAY_LEN(d->lost) && !d->down; i++) {
		if (d->lost[i] && is_inside(f, &d->gateways[i]))
			problem_add(ret, PROBLEM_ERROR, "bridge-down",
				    "%s has lost the address that containers here send to: ip addr "
				    "add %s dev %s",
				    d->name, ip_net_format(&d->gateways[i], net), d->name);
	}
}

void fabric_container_problems(const struct fabric *f, struct problem_list *ret)
{
	for (size_t i = 0; i < f->containers_len; i++)
		gateway_problems(f, f->containers[i], ret);
	if (f->old_gateways)
		problem_add(ret, PROBLEM_WARNING, "old-gateway",
			    "%s%s, in a subnet that is not this host's: what is sent there stays "
			    "here; a "
			    "bridge's goes with the last container of that subnet, others by ip "
			    "addr del",
			    f->old_gateway, f->old_gateways > 1 ? " and others" : "");
	plugin_problems(f->plugin, ret);
}

void fabric_free_containers(struct fabric *f)
{
	plugin_free(f->plugin);
	if (f->ports)
		event_free(f->ports);
	for (size_t i = 0; i < f->containers_len; i++)
		free(f->containers[i]);
	free(f->containers);
}
