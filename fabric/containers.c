/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices that containers live behind, which the guard keeps away from the tunnel: every one
 * with an address of our own subnet or a route into it, but our own. The guard knows them by name,
 * which says something at boot too, before there are any.
 */
#include <linux/rtnetlink.h>

#include "fabric/fabric_internal.h"
#include "kernel/link.h"
#include "kernel/underlay.h"

#define LARGE_DELAY_MS 100 /* many containers may come and go at once */

struct container_device {
	struct reconcile_owner owner;
	uint32_t ifindex;
	char name[IFNAMSIZ];
};

static bool is_fabric_device(const struct fabric *f, uint32_t ifindex)
{
	return ifindex == 1 || ifindex == f->external.ifindex ||
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

/* Containers live behind this device, unless it is of the fabric or the underlay. */
static void add(struct fabric *f, uint32_t ifindex)
{
	struct container_device d = { .ifindex = ifindex };

	if (!ifindex || is_fabric_device(f, ifindex) || find(f, ifindex) ||
	    !if_indextoname(ifindex, d.name))
		return;
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

void fabric_container_object(struct fabric *f, const struct kernel_object *o)
{
	struct ip_net net = { kernel_object_dst(o), o->key.len };

	if (!f->started)
		return;
	/* A bridge may have a wider prefix than ours: its address tells. */
	if (kernel_is_address(o))
		net.len = (uint8_t)ip_family_bits(net.addr.family);
	if ((kernel_is_address(o) || kernel_is_route(o)) && is_inside(f, &net))
		add(f, kernel_is_address(o) ? o->key.ifindex : o->value.ifindex);
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
	f->large.dirty = true;
	fabric_want_work(f, LARGE_DELAY_MS);
}

void fabric_count_large_containers(struct fabric *f)
{
	uint32_t mtu_bytes = fabric_pod_mtu(f);
	auto_free struct link_info *links = NULL;
	size_t len = 0;

	if (!f->large.dirty || link_list(f->nl, &links, &len, NULL) < 0)
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

void fabric_container_link(struct fabric *f, const struct link_info *link, bool gone)
{
	struct container_device *d = find(f, link->ifindex);
	struct reconcile_owner *other;

	look_for_large(f, link, gone);
	if (!d)
		return;
	if (!gone) {
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
	fabric_container_object(arg, route);
}

static void find_addresses(struct fabric *f)
{
	struct underlay_address *all = NULL;
	size_t len = 0;

	if (underlay_addresses(f->nl, AF_UNSPEC, &all, &len, NULL) < 0)
		return;
	for (size_t i = 0; i < len; i++) {
		struct kernel_object o = kernel_address(all[i].ifindex, &all[i].net);

		fabric_container_object(f, &o);
	}
	free(all);
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

void fabric_free_containers(struct fabric *f)
{
	for (size_t i = 0; i < f->containers_len; i++)
		free(f->containers[i]);
	free(f->containers);
}
