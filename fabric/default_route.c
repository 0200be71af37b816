/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/default_route.h"

#include <errno.h>

#include "kernel/marks.h"

#define REASON_SIZE 96

static const struct link_info *find_link(const struct default_route_facts *f, uint32_t ifindex)
{
	for (size_t i = 0; i < f->links_len; i++) {
		if (ifindex && f->links[i].ifindex == ifindex)
			return &f->links[i];
	}
	return NULL;
}

static const char *name_of(const struct default_route_facts *f, uint32_t ifindex)
{
	const struct link_info *link = find_link(f, ifindex);

	return link ? link->name : "a vanished interface";
}

static const char *family_name(const struct default_route_facts *f)
{
	return f->family == AF_INET ? "IPv4" : "IPv6";
}

/* What the addresses of an interface say about it. */
struct seen {
	bool any;     /* of this family */
	bool global;  /* beyond this link */
	bool overlay; /* inside the network: containers are behind it, or the fabric itself */
};

static struct seen look_at_addresses(const struct default_route_facts *f, uint32_t ifindex)
{
	struct seen seen = { 0 };

	for (size_t i = 0; i < f->addresses_len; i++) {
		const struct underlay_address *a = &f->addresses[i];

		if (a->ifindex != ifindex || a->net.addr.family != f->family)
			continue;
		seen.any = true;
		seen.global |= !ip_addr_is_link_local(&a->net.addr);
		seen.overlay |=
			ip_net_is_set(&f->network) && ip_net_contains(&f->network, &a->net.addr);
	}
	return seen;
}

/*
 * What container runtimes and managers of virtual machines call the bridges that they make. The kernel
 * does not tell them from one that a host reaches others by.
 */
static bool is_runtimes_bridge(const struct link_info *link)
{
	static const char *const names[] = { "docker", "podman", "cni",     "cni-podman", "nerdctl",
					     "lxcbr",  "lxdbr",  "incusbr", "virbr" };
	const char *end = link->name + strcspn(link->name, "0123456789");
	static const char docker[] = "br-"; /* and 12 digits of the network's id */

	if (strcmp(link->kind, "bridge") != 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t size = strlen(names[i]);

		if ((size_t)(end - link->name) == size && *end &&
		    strncmp(link->name, names[i], size) == 0)
			return true;
	}
	end = link->name + strlen(docker);
	return strncmp(link->name, docker, strlen(docker)) == 0 && strlen(end) == 12 &&
	       strspn(end, "0123456789abcdef") == 12;
}

/*
 * Why packets of the tunnel must never leave here; "" if they may. A veth whose other end is in
 * another namespace leads to a container, or is the way out of a host that is one itself: that one
 * has a router and an address that others can send to. laid_over: the network may have been laid over
 * the underlay, so that an address inside it is none of a container.
 */
static const char *refuse(const struct default_route_facts *f, uint32_t ifindex, bool routed,
			  bool laid_over, char buf[static REASON_SIZE])
{
	const struct link_info *link = find_link(f, ifindex);
	const struct link_info *master = link ? find_link(f, link->master_ifindex) : NULL;
	struct seen seen = look_at_addresses(f, ifindex);

	*buf = '\0';
	if (!link || link->loopback)
		snprintf(buf, REASON_SIZE, "it leads to no other host");
	else if (strncmp(link->alias, MARK_PREFIX, strlen(MARK_PREFIX)) == 0)
		snprintf(buf, REASON_SIZE, "it is a device of the fabric");
	else if (link->group == MARK_CONTAINER_GROUP)
		snprintf(buf, REASON_SIZE, "it is a container's interface");
	else if (master && strcmp(master->kind, "bridge") == 0)
		snprintf(buf, REASON_SIZE, "it is a port of the bridge %s", master->name);
	else if (seen.overlay && (!laid_over || strcmp(link->kind, "bridge") == 0))
		snprintf(buf, REASON_SIZE, "it has an address inside the network");
	else if (is_runtimes_bridge(link))
		snprintf(buf, REASON_SIZE, "it is a container runtime's bridge by its name");
	else if (strcmp(link->kind, "veth") == 0 && link->peer_elsewhere &&
		 (!seen.global || !routed))
		snprintf(buf, REASON_SIZE,
			 "it is a veth into another namespace, as containers have");
	else if (!seen.any)
		snprintf(buf, REASON_SIZE, "it has no %s address", family_name(f));
	return buf;
}

static void note(const struct default_route_facts *f, uint32_t other, uint32_t chosen,
		 const char *reason, char ret[static DEFAULT_ROUTE_NOTE])
{
	snprintf(ret, DEFAULT_ROUTE_NOTE,
		 "the default route of %s leads over %s, which is not followed: %s; in use is %s",
		 family_name(f), name_of(f, other), reason, name_of(f, chosen));
}

int default_route_choose(const struct default_route_facts *f, uint32_t *ret_ifindex,
			 char ret_note[static DEFAULT_ROUTE_NOTE], struct err *e)
{
	const struct link_info *present = find_link(f, f->present);
	uint32_t first = f->routes_len ? f->routes[0].ifindex : 0;
	uint32_t chosen = 0;
	char first_reason[REASON_SIZE] = "";
	char reason[REASON_SIZE];
	const struct link_info *down = present && !present->up ? present : NULL;

	if (present && (!present->up || *refuse(f, f->present, true, false, reason)))
		present = NULL;
	if (present && f->present_leads_out)
		chosen = f->present;
	for (size_t i = 0; i < f->routes_len; i++) {
		const struct underlay_default *r = &f->routes[i];
		bool refused = *refuse(f, r->ifindex, r->routed, false, reason);

		if (i == 0)
			memcpy(first_reason, reason, sizeof(first_reason));
		if (!refused && !chosen)
			chosen = r->ifindex;
	}
	for (size_t i = 0; i < f->routes_len && !chosen && !present; i++) {
		const struct underlay_default *r = &f->routes[i];

		if (r->routed && !*refuse(f, r->ifindex, true, true, reason))
			chosen = r->ifindex;
	}
	if (!chosen && !f->routes_len)
		return err_set(e, -ENETUNREACH, "there is no default route%s%s%s",
			       down ? ", and " : "", down ? down->name : "",
			       down ? " is down" : "");
	if (!chosen && present)
		chosen = f->present;
	if (!chosen)
		return err_set(e, -ENODEV, "the default route leads over %s, but %s",
			       name_of(f, first), first_reason);
	*ret_ifindex = chosen;
	*ret_note = '\0';
	if (first && first != chosen)
		note(f, first, chosen,
		     *first_reason ? first_reason
				   : "the interface in use is up and has its address and a way out",
		     ret_note);
	return 0;
}
