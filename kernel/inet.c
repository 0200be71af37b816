/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/inet.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "kernel/message.h"

static void put_ip(struct nlmsghdr *hdr, uint16_t type, const struct ip_addr *a)
{
	nlattr_put(hdr, type, ip_addr_size(a), a->b);
}

static struct ifaddrmsg *put_address_header(const struct inet_address *a, uint16_t type,
					    uint16_t flags, struct nlmsghdr *hdr)
{
	struct ifaddrmsg *m;

	nlmsg_begin(hdr);
	hdr->nlmsg_type = type;
	hdr->nlmsg_flags = NLM_F_REQUEST | flags;
	m = nlmsg_put_header(hdr, sizeof(*m));
	m->ifa_family = a->net.addr.family;
	m->ifa_prefixlen = a->net.len;
	m->ifa_index = a->ifindex;
	return m;
}

void inet_encode_address_add(const struct inet_address *a, struct nlmsghdr *hdr)
{
	uint32_t flags = 0;

	put_address_header(a, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, hdr);
	put_ip(hdr, IFA_LOCAL, &a->net.addr);
	put_ip(hdr, IFA_ADDRESS, &a->net.addr);
	if (a->net.addr.family == AF_INET && a->net.len < 31) {
		u128 all = ip_addr_to_u128(&a->net.addr) | (ip_net_size(AF_INET, a->net.len) - 1);
		struct ip_addr broadcast = ip_addr_from_u128(AF_INET, all);

		put_ip(hdr, IFA_BROADCAST, &broadcast);
	}
	if (a->net.addr.family == AF_INET6 && a->no_dad)
		flags |= IFA_F_NODAD;
	if (a->no_prefix)
		flags |= IFA_F_NOPREFIXROUTE;
	if (flags)
		nlattr_put_u32(hdr, IFA_FLAGS, flags);
}

void inet_encode_address_delete(const struct inet_address *a, struct nlmsghdr *hdr)
{
	put_address_header(a, RTM_DELADDR, 0, hdr);
	put_ip(hdr, IFA_LOCAL, &a->net.addr);
	put_ip(hdr, IFA_ADDRESS, &a->net.addr);
}

void inet_encode_route_add(const struct inet_route *r, struct nlmsghdr *hdr)
{
	uint32_t table = r->table ? r->table : RT_TABLE_MAIN;
	struct ip_net dst = ip_net_masked(&r->dst);
	struct rtmsg *m;

	nlmsg_begin(hdr);
	hdr->nlmsg_type = RTM_NEWROUTE;
	hdr->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_APPEND;
	m = nlmsg_put_header(hdr, sizeof(*m));
	m->rtm_family = dst.addr.family;
	m->rtm_dst_len = dst.len;
	m->rtm_table = table < 256 ? (uint8_t)table : RT_TABLE_UNSPEC;
	m->rtm_protocol = r->protocol;
	m->rtm_type = RTN_UNICAST;
	if (r->scope != INET_SCOPE_ANY)
		m->rtm_scope = (uint8_t)r->scope;
	else
		m->rtm_scope = ip_addr_is_set(&r->gateway) ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	nlattr_put_u32(hdr, RTA_TABLE, table);
	if (dst.len)
		put_ip(hdr, RTA_DST, &dst.addr);
	if (ip_addr_is_set(&r->gateway))
		put_ip(hdr, RTA_GATEWAY, &r->gateway);
	if (ip_addr_is_set(&r->source))
		put_ip(hdr, RTA_PREFSRC, &r->source);
	if (r->ifindex)
		nlattr_put_u32(hdr, RTA_OIF, r->ifindex);
	if (r->priority)
		nlattr_put_u32(hdr, RTA_PRIORITY, r->priority);
	if (r->mtu_bytes || r->advmss_bytes) {
		struct nlattr *nest = nlattr_nest_begin(hdr, RTA_METRICS);

		if (r->mtu_bytes)
			nlattr_put_u32(hdr, RTAX_MTU, r->mtu_bytes);
		if (r->advmss_bytes)
			nlattr_put_u32(hdr, RTAX_ADVMSS, r->advmss_bytes);
		nlattr_nest_end(hdr, nest);
	}
}

/* True if the attribute holds exactly one address of the family. */
static bool read_ip(const struct nlattr *attr, int family, struct ip_addr *ret)
{
	if (nlattr_size(attr) != ip_family_bits(family) / 8)
		return false;
	*ret = ip_addr_from_bytes(family, nlattr_data(attr));
	return true;
}

static bool read_u32(const struct nlattr *attr, uint32_t *ret)
{
	if (nlattr_size(attr) != sizeof(*ret))
		return false;
	*ret = nlattr_u32(attr);
	return true;
}

static bool decode_address(const struct nlmsghdr *hdr, struct inet_address *ret)
{
	const struct ifaddrmsg *m = nlmsg_data(hdr);
	struct inet_address a = { 0 };
	struct ip_addr local = { 0 };
	struct ip_addr address = { 0 };
	const struct nlattr *attr;
	uint32_t flags;

	if (hdr->nlmsg_type != RTM_NEWADDR || nlmsg_size(hdr) < sizeof(*m))
		return false;
	if (m->ifa_family != AF_INET && m->ifa_family != AF_INET6)
		return false;
	flags = m->ifa_flags;
	nlattr_for_each (attr, hdr, sizeof(*m)) {
		switch (nlattr_type(attr)) {
		case IFA_LOCAL:
			if (!read_ip(attr, m->ifa_family, &local))
				return false;
			break;
		case IFA_ADDRESS:
			if (!read_ip(attr, m->ifa_family, &address))
				return false;
			break;
		case IFA_FLAGS:
			if (!read_u32(attr, &flags))
				return false;
			break;
		}
	}
	/* IPv6 addresses have only IFA_ADDRESS; on IPv4 it is the peer where there is one. */
	a.net.addr = ip_addr_is_set(&local) ? local : address;
	a.net.len = m->ifa_prefixlen;
	a.ifindex = m->ifa_index;
	a.no_dad = flags & IFA_F_NODAD;
	a.no_prefix = flags & IFA_F_NOPREFIXROUTE;
	a.tentative = flags & IFA_F_TENTATIVE;
	a.duplicate = flags & IFA_F_DADFAILED;
	if (!ip_addr_is_set(&a.net.addr) || a.net.len > ip_family_bits(m->ifa_family))
		return false;
	*ret = a;
	return true;
}

static void read_metrics(const struct nlattr *nest, struct inet_route *r)
{
	const struct nlattr *attr;

	nlattr_for_each_nested (attr, nest) {
		if (nlattr_type(attr) == RTAX_MTU)
			read_u32(attr, &r->mtu_bytes);
		else if (nlattr_type(attr) == RTAX_ADVMSS)
			read_u32(attr, &r->advmss_bytes);
	}
}

/* One next hop of a multipath route, as a route of its own. */
static void read_next_hop(const struct rtnexthop *hop, int family, struct inet_route *r)
{
	const struct nlattr *attr;

	r->ifindex = (uint32_t)hop->rtnh_ifindex;
	nlattr_for_each_in (attr, RTNH_DATA(hop), hop->rtnh_len - sizeof(*hop)) {
		if (nlattr_type(attr) == RTA_GATEWAY)
			read_ip(attr, family, &r->gateway);
	}
}

struct route_list {
	uint32_t ifindex;
	struct inet_route *items;
	size_t len;
	size_t cap;
};

static void collect_route(struct route_list *list, const struct inet_route *r)
{
	if (r->ifindex != list->ifindex)
		return;
	GROW(list->items, list->len, list->cap);
	list->items[list->len++] = *r;
}

static void collect_hops(struct route_list *list, const struct nlattr *attr, int family,
			 const struct inet_route *route)
{
	const struct rtnexthop *hop = nlattr_data(attr);
	size_t left = nlattr_size(attr);

	while (left >= sizeof(*hop) && hop->rtnh_len >= sizeof(*hop) && hop->rtnh_len <= left) {
		struct inet_route r = *route;

		read_next_hop(hop, family, &r);
		collect_route(list, &r);
		left -= MIN(left, (size_t)RTNH_ALIGN(hop->rtnh_len));
		hop = RTNH_NEXT(hop);
	}
}

static void on_route(void *arg, const struct nlmsghdr *hdr)
{
	const struct rtmsg *m = nlmsg_data(hdr);
	struct inet_route r = { .scope = INET_SCOPE_ANY };
	const struct nlattr *hops = NULL;
	const struct nlattr *attr;
	bool ok = true;

	if (hdr->nlmsg_type != RTM_NEWROUTE || nlmsg_size(hdr) < sizeof(*m) ||
	    m->rtm_type != RTN_UNICAST || m->rtm_flags & RTM_F_CLONED ||
	    (m->rtm_family != AF_INET && m->rtm_family != AF_INET6))
		return;
	r.dst.addr.family = m->rtm_family;
	r.dst.len = m->rtm_dst_len;
	r.table = m->rtm_table;
	r.scope = m->rtm_scope;
	r.protocol = m->rtm_protocol;
	nlattr_for_each (attr, hdr, sizeof(*m)) {
		switch (nlattr_type(attr)) {
		case RTA_DST:
			ok &= read_ip(attr, m->rtm_family, &r.dst.addr);
			break;
		case RTA_GATEWAY:
			ok &= read_ip(attr, m->rtm_family, &r.gateway);
			break;
		case RTA_PREFSRC:
			ok &= read_ip(attr, m->rtm_family, &r.source);
			break;
		case RTA_OIF:
			ok &= read_u32(attr, &r.ifindex);
			break;
		case RTA_TABLE:
			ok &= read_u32(attr, &r.table);
			break;
		case RTA_PRIORITY:
			ok &= read_u32(attr, &r.priority);
			break;
		case RTA_METRICS:
			read_metrics(attr, &r);
			break;
		case RTA_MULTIPATH:
			hops = attr;
			break;
		}
	}
	if (!ok)
		return;
	if (hops)
		collect_hops(arg, hops, m->rtm_family, &r);
	else
		collect_route(arg, &r);
}

static void forget_routes(void *arg)
{
	struct route_list *list = arg;

	list->len = 0;
}

int inet_list_routes(struct netlink *nl, int family, uint32_t ifindex, struct inet_route **ret,
		     size_t *ret_len, struct err *e)
{
	struct {
		struct nlmsghdr hdr;
		struct rtmsg m;
		struct nlattr attr;
		uint32_t ifindex;
	} request = { .hdr = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETROUTE },
		      .m = { .rtm_family = (uint8_t)family },
		      .attr = { .nla_type = RTA_OIF,
				.nla_len = sizeof(request.attr) + sizeof(request.ifindex) },
		      .ifindex = ifindex };
	struct route_list list = { .ifindex = ifindex };

	if (netlink_dump(nl, &request.hdr, on_route, forget_routes, &list, e) < 0) {
		free(list.items);
		return err_wrap(e, "routes");
	}
	*ret = list.items;
	*ret_len = list.len;
	return 0;
}

struct address_list {
	uint32_t ifindex;
	struct inet_address *items;
	size_t len;
	size_t cap;
};

static void on_address(void *arg, const struct nlmsghdr *hdr)
{
	struct address_list *list = arg;
	struct inet_address a;

	/* An old kernel ignores the filter in the request. */
	if (!decode_address(hdr, &a) || a.ifindex != list->ifindex)
		return;
	GROW(list->items, list->len, list->cap);
	list->items[list->len++] = a;
}

static void forget_addresses(void *arg)
{
	struct address_list *list = arg;

	list->len = 0;
}

int inet_list_addresses(struct netlink *nl, int family, uint32_t ifindex, struct inet_address **ret,
			size_t *ret_len, struct err *e)
{
	struct {
		struct nlmsghdr hdr;
		struct ifaddrmsg m;
	} request = { .hdr = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETADDR },
		      .m = { .ifa_family = (uint8_t)family, .ifa_index = ifindex } };
	struct address_list list = { .ifindex = ifindex };

	if (netlink_dump(nl, &request.hdr, on_address, forget_addresses, &list, e) < 0) {
		free(list.items);
		return err_wrap(e, "addresses");
	}
	*ret = list.items;
	*ret_len = list.len;
	return 0;
}
