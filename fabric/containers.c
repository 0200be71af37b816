/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices that containers live behind, which the guard keeps away from the tunnel: every one
 * with an address of our own subnet or a route into it, but our own. The guard knows them by name,
 * which says something at boot too, before there are any.
 */
#include <linux/rtnetlink.h>

#include "fabric/fabric_internal.h"
#include "kernel/link.h"

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

void fabric_container_object(struct fabric *f, const struct kernel_object *o)
{
	bool address = kernel_is_address(o);
	uint32_t ifindex = address ? o->key.ifindex : o->value.ifindex;
	struct container_device d = { .ifindex = ifindex };
	struct ip_addr dst;

	if (!f->started || !ifindex || (!address && !kernel_is_route(o)) ||
	    is_fabric_device(f, ifindex))
		return;
	dst = kernel_object_dst(o);
	if (!(ip_net_is_set(&f->own.v4) && ip_net_contains(&f->own.v4, &dst)) &&
	    !(ip_net_is_set(&f->own.v6) && ip_net_contains(&f->own.v6, &dst)))
		return;
	if (find(f, ifindex) || !if_indextoname(ifindex, d.name))
		return;
	GROW(f->containers, f->containers_len, f->containers_cap);
	f->containers[f->containers_len] = xmalloc(sizeof(d));
	*f->containers[f->containers_len] = d;
	want(f, f->containers[f->containers_len++]);
}

void fabric_container_link(struct fabric *f, const struct link_info *link, bool gone)
{
	struct container_device *d = find(f, link->ifindex);
	struct reconcile_owner *other;

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

static void on_dumped(void *arg, const struct nlmsghdr *hdr)
{
	struct kernel_object o;
	bool gone;

	if (kernel_object_decode(hdr, &o, &gone) && !gone)
		fabric_container_object(arg, &o);
}

void fabric_find_containers(struct fabric *f)
{
	/* Who makes routes to containers: the kernel with an address, scripts, plugins. */
	static const uint8_t protocols[] = { RTPROT_KERNEL, RTPROT_BOOT, RTPROT_STATIC };
	static const int families[] = { AF_INET, AF_INET6 };
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;

	if (!rules_guards(f->rules))
		return;
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		memset(buffer, 0, sizeof(buffer));
		kernel_kinds[KERNEL_ADDRESS]->encode_dump(families[i], 0, 0, hdr);
		/* What is missed, because it changed meanwhile, is notified. */
		(void)!netlink_dump(f->nl, hdr, on_dumped, NULL, f, NULL);
		for (size_t p = 0; p < ARRAY_LEN(protocols); p++) {
			memset(buffer, 0, sizeof(buffer));
			kernel_kinds[KERNEL_ROUTE]->encode_dump(families[i], 0, protocols[p], hdr);
			(void)!netlink_dump(f->nl, hdr, on_dumped, NULL, f, NULL);
		}
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
