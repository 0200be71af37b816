/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/underlay.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "kernel/kinds.h"
#include "kernel/marks.h"
#include "kernel/message.h"

/* One question for a route: header, rtmsg and an IPv6 address. */
#define QUESTION_SIZE 64
_Static_assert(QUESTION_SIZE >= NLMSG_LENGTH(sizeof(struct rtmsg)) + RTA_SPACE(16), "it fits");

struct address_array {
	struct underlay_address *items;
	size_t len;
	size_t cap;
};

static void collect_address(void *arg, const struct nlmsghdr *hdr)
{
	const struct ifaddrmsg *m = nlmsg_data(hdr);
	struct address_array *a = arg;
	const struct nlattr *attr;
	struct kernel_object o;
	uint32_t flags = 0;
	bool gone;

	if (!kernel_object_decode(hdr, &o, &gone) || !kernel_is_address(&o))
		return;
	flags = m->ifa_flags;
	nlattr_for_each (attr, hdr, sizeof(*m)) {
		if (nlattr_type(attr) == IFA_FLAGS && nlattr_size(attr) == 4)
			flags = nlattr_u32(attr);
	}
	GROW(a->items, a->len, a->cap);
	a->items[a->len++] = (struct underlay_address){
		.ifindex = o.key.ifindex,
		.net = { kernel_object_dst(&o), o.key.len },
		.scope = m->ifa_scope,
		.deprecated = flags & IFA_F_DEPRECATED,
		.dynamic = !(flags & IFA_F_PERMANENT),
		.temporary = flags & IFA_F_TEMPORARY && m->ifa_family == AF_INET6,
		.tentative = flags & IFA_F_TENTATIVE && !(flags & IFA_F_OPTIMISTIC),
		.duplicate = flags & IFA_F_DADFAILED,
	};
}

static void forget_addresses(void *arg)
{
	struct address_array *found = arg;

	found->len = 0;
}

int underlay_addresses(struct netlink *nl, int family, struct underlay_address **ret,
		       size_t *ret_len, struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;
	struct address_array found = { 0 };

	kernel_kinds[KERNEL_ADDRESS]->encode_dump(family, 0, 0, hdr);
	if (netlink_dump(nl, hdr, collect_address, forget_addresses, &found, e) < 0) {
		free(found.items);
		return err_wrap(e, "addresses");
	}
	*ret = found.items;
	*ret_len = found.len;
	return 0;
}

struct route_visit {
	void (*visit)(void *arg, const struct kernel_object *route);
	void *arg;
	uint8_t protocol;
};

static void show_route(void *arg, const struct nlmsghdr *hdr)
{
	const struct route_visit *v = arg;
	struct kernel_object o;
	bool gone;

	/* Kernels that filter nothing show all routes. */
	if (kernel_object_decode(hdr, &o, &gone) && !gone && kernel_is_route(&o) &&
	    (!v->protocol || o.value.protocol == v->protocol))
		v->visit(v->arg, &o);
}

int underlay_routes_visit(struct netlink *nl, int family, uint8_t protocol,
			  void (*visit)(void *arg, const struct kernel_object *route), void *arg,
			  struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;
	struct route_visit v = { visit, arg, protocol };

	kernel_kinds[KERNEL_ROUTE]->encode_dump(family, 0, protocol, hdr);
	return netlink_dump(nl, hdr, show_route, NULL, &v, e) < 0 ? err_wrap(e, "routes") : 0;
}

static void take_route(void *arg, const struct nlmsghdr *hdr)
{
	const struct rtmsg *m = nlmsg_data(hdr);
	struct underlay_route *route = arg;
	const struct nlattr *attr;

	if (hdr->nlmsg_type != RTM_NEWROUTE)
		return;
	nlattr_for_each (attr, hdr, sizeof(*m)) {
		size_t size = nlattr_size(attr);
		const void *data = nlattr_data(attr);

		if (nlattr_type(attr) == RTA_OIF && size == 4)
			route->ifindex = nlattr_u32(attr);
		else if (nlattr_type(attr) == RTA_PREFSRC && (size == 4 || size == 16))
			route->source = ip_addr_from_bytes(m->rtm_family, data);
		else if (nlattr_type(attr) == RTA_GATEWAY && (size == 4 || size == 16))
			route->gateway = ip_addr_from_bytes(m->rtm_family, data);
	}
}

static struct nlmsghdr *encode_get_route(void *buffer, const struct ip_addr *dst, unsigned flags)
{
	struct nlmsghdr *hdr = nlmsg_begin(buffer);
	struct rtmsg *m = nlmsg_put_header(hdr, sizeof(*m));

	hdr->nlmsg_type = RTM_GETROUTE;
	m->rtm_family = dst->family;
	m->rtm_dst_len = (uint8_t)ip_family_bits(dst->family);
	m->rtm_flags = flags;
	nlattr_put(hdr, RTA_DST, ip_addr_size(dst), dst->b);
	return hdr;
}

int underlay_route_to(struct netlink *nl, const struct ip_addr *dst, struct underlay_route *ret,
		      struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = encode_get_route(buffer, dst, 0);
	struct underlay_route route = { 0 };
	char text[IP_ADDR_TEXT];

	if (netlink_call(nl, hdr, take_route, &route, e) < 0)
		return err_wrap(e, "route to %s", ip_addr_format(dst, text));
	if (!route.ifindex)
		return err_set(e, -ENETUNREACH, "route to %s: none", ip_addr_format(dst, text));
	*ret = route;
	return 0;
}

/* What the lookup of a packet ends with on a route that leads nowhere (fib_props); 0: on none. */
static uint8_t type_of_failure(int code)
{
	return code == -EINVAL         ? RTN_BLACKHOLE
	       : code == -EHOSTUNREACH ? RTN_UNREACHABLE
	       : code == -EACCES       ? RTN_PROHIBIT
				       : 0;
}

static void take_match(void *arg, size_t index, const struct nlmsghdr *hdr, int code,
		       const char *text UNUSED)
{
	struct kernel_object *found = arg;
	struct kernel_object o;
	bool gone;

	if (hdr && kernel_object_decode(hdr, &o, &gone) && kernel_is_route(&o))
		found[index] = o;
	else if (!hdr)
		found[index].value.type = type_of_failure(code);
}

int underlay_match_routes(struct netlink *nl, const struct ip_addr *dsts, size_t len,
			  struct kernel_object *ret, struct err *e)
{
	char questions[UNDERLAY_MATCHES_MAX * QUESTION_SIZE] __attribute__((aligned(8))) = { 0 };
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		/* IPv6 always names the table, and refuses to be asked for it. */
		unsigned flags =
			RTM_F_FIB_MATCH | (dsts[i].family == AF_INET ? RTM_F_LOOKUP_TABLE : 0u);

		used += NLMSG_ALIGN(encode_get_route(questions + used, &dsts[i], flags)->nlmsg_len);
	}
	memset(ret, 0, len * sizeof(*ret));
	return netlink_ask(nl, questions, used, take_match, ret, e);
}

static bool read_default(const struct nlmsghdr *hdr, struct underlay_default *ret)
{
	const struct rtmsg *m = nlmsg_data(hdr);
	const struct nlattr *attr;

	*ret = (struct underlay_default){ 0 };
	if (hdr->nlmsg_type != RTM_NEWROUTE || m->rtm_dst_len != 0 || m->rtm_type != RTN_UNICAST ||
	    m->rtm_table != RT_TABLE_MAIN)
		return false;
	nlattr_for_each (attr, hdr, sizeof(*m)) {
		uint16_t type = nlattr_type(attr);

		ret->routed |= type == RTA_GATEWAY || type == RTA_VIA || type == RTA_MULTIPATH;
		if (type == RTA_OIF && nlattr_size(attr) == 4)
			ret->ifindex = nlattr_u32(attr);
		/* Several ways: the first will do, as it does for flannel. */
		if (type == RTA_MULTIPATH && !ret->ifindex &&
		    nlattr_size(attr) >= sizeof(struct rtnexthop)) {
			const struct rtnexthop *hop = nlattr_data(attr);

			ret->ifindex = (uint32_t)hop->rtnh_ifindex;
		}
	}
	return ret->ifindex != 0;
}

static void take_default(void *arg, const struct nlmsghdr *hdr)
{
	struct underlay_default *first = arg;
	struct underlay_default route;

	if (!first->ifindex && read_default(hdr, &route))
		*first = route;
}

/*
 * The kernel looks it up, however long its table is, and shows the route itself (Linux 4.13 and
 * later). To addresses for documentation few have another route; those who do, such as routers that
 * refuse them, are told false.
 */
bool underlay_default_in_use(struct netlink *nl, int family, struct underlay_default *ret)
{
	static const char *const documentation[] = { "203.0.113.1", "2001:db8::1" };
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	/* IPv6 always names the table, and refuses to be asked for it. */
	unsigned flags = RTM_F_FIB_MATCH | (family == AF_INET ? RTM_F_LOOKUP_TABLE : 0u);
	struct underlay_default found = { 0 };
	struct ip_addr dst;

	if (ip_addr_parse(documentation[family != AF_INET], family, &dst, NULL) < 0)
		abort();
	if (netlink_call(nl, encode_get_route(buffer, &dst, flags), take_default, &found, NULL) <
		    0 ||
	    found.ifindex == 0)
		return false;
	*ret = found;
	return true;
}

struct default_array {
	struct underlay_default *items;
	size_t len;
	size_t cap;
};

static void collect_default(void *arg, const struct nlmsghdr *hdr)
{
	struct default_array *a = arg;
	struct underlay_default route;

	if (!read_default(hdr, &route))
		return;
	GROW(a->items, a->len, a->cap);
	a->items[a->len++] = route;
}

static void forget_defaults(void *arg)
{
	((struct default_array *)arg)->len = 0;
}

int underlay_defaults(struct netlink *nl, int family, struct underlay_default **ret,
		      size_t *ret_len, struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;
	struct default_array found = { 0 };

	kernel_kinds[KERNEL_ROUTE]->encode_dump(family, 0, 0, hdr);
	if (netlink_dump(nl, hdr, collect_default, forget_defaults, &found, e) < 0) {
		free(found.items);
		return err_wrap(e, "default routes");
	}
	*ret = found.items;
	*ret_len = found.len;
	return 0;
}

struct way_out {
	uint32_t ifindex;
	const struct ip_net *network;
	bool found;
};

static void look_for_way_out(void *arg, const struct nlmsghdr *hdr)
{
	struct way_out *w = arg;
	struct kernel_object o;
	struct ip_net dst;
	bool gone;

	/* Kernels that filter nothing show all routes. */
	if (!kernel_object_decode(hdr, &o, &gone) || gone || !kernel_is_route(&o) ||
	    o.value.ifindex != w->ifindex || !o.value.gateway_family ||
	    o.value.type != RTN_UNICAST || fabric_is_our_protocol(o.value.protocol))
		return;
	dst = (struct ip_net){ kernel_object_dst(&o), o.key.len };
	w->found |= !ip_net_is_set(w->network) || dst.len < w->network->len ||
		    !ip_net_contains(w->network, &dst.addr);
}

static void forget_way_out(void *arg)
{
	((struct way_out *)arg)->found = false;
}

bool underlay_leads_out(struct netlink *nl, uint32_t ifindex, int family,
			const struct ip_net *network)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;
	struct way_out w = { .ifindex = ifindex, .network = network };

	kernel_kinds[KERNEL_ROUTE]->encode_dump(family, ifindex, 0, hdr);
	return netlink_dump(nl, hdr, look_for_way_out, forget_way_out, &w, NULL) == 0 && w.found;
}
