/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/lookup.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>

#include "kernel/message.h"

/* ---- routes ---- */

static struct nlmsghdr *encode_route(void *buffer, const struct lookup_packet *p, unsigned flags)
{
	struct nlmsghdr *hdr = nlmsg_begin(buffer);
	struct rtmsg *m = nlmsg_put_header(hdr, sizeof(*m));
	uint8_t bits = (uint8_t)ip_family_bits(p->dst.family);
	bool has_ports = p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP;

	hdr->nlmsg_type = RTM_GETROUTE;
	m->rtm_family = p->dst.family;
	m->rtm_dst_len = bits;
	m->rtm_flags = flags;
	nlattr_put(hdr, RTA_DST, ip_addr_size(&p->dst), p->dst.b);
	if (ip_addr_is_set(&p->src)) {
		m->rtm_src_len = bits;
		nlattr_put(hdr, RTA_SRC, ip_addr_size(&p->src), p->src.b);
	}
	if (p->iif_ifindex)
		nlattr_put_u32(hdr, RTA_IIF, p->iif_ifindex);
	/* Of other protocols it refuses to be asked. */
	if (has_ports || p->protocol == IPPROTO_ICMP || p->protocol == IPPROTO_ICMPV6)
		nlattr_put_u8(hdr, RTA_IP_PROTO, p->protocol);
	if (has_ports && p->port)
		nlattr_put_u16(hdr, RTA_DPORT, htobe16(p->port));
	return hdr;
}

static struct ip_addr read_address(const struct nlattr *attr, int family)
{
	struct ip_addr none = { 0 };

	return nlattr_size(attr) == ip_family_bits(family) / 8
		       ? ip_addr_from_bytes(family, nlattr_data(attr))
		       : none;
}

/* A gateway of the other family. */
static struct ip_addr read_via(const struct nlattr *attr)
{
	const struct rtvia *via = nlattr_data(attr);
	size_t size = nlattr_size(attr);
	struct ip_addr none = { 0 };

	if (size < sizeof(*via) ||
	    (via->rtvia_family != AF_INET && via->rtvia_family != AF_INET6) ||
	    size - sizeof(*via) != ip_family_bits(via->rtvia_family) / 8)
		return none;
	return ip_addr_from_bytes(via->rtvia_family, via->rtvia_addr);
}

static uint32_t read_u32(const struct nlattr *attr)
{
	return nlattr_size(attr) == sizeof(uint32_t) ? nlattr_u32(attr) : 0;
}

static uint32_t read_mtu(const struct nlattr *metrics)
{
	const struct nlattr *attr;

	nlattr_for_each_nested (attr, metrics) {
		if (nlattr_type(attr) == RTAX_MTU)
			return read_u32(attr);
	}
	return 0;
}

/* Where to of several gateways it goes, only the answer without RTM_F_FIB_MATCH knows. */
static void read_route_attr(const struct nlattr *attr, int family, struct lookup_route *r)
{
	switch (nlattr_type(attr)) {
	case RTA_DST:
		r->dst.addr = read_address(attr, family);
		break;
	case RTA_GATEWAY:
		r->gateway = read_address(attr, family);
		break;
	case RTA_VIA:
		r->gateway = read_via(attr);
		break;
	case RTA_PREFSRC:
		r->source = read_address(attr, family);
		break;
	case RTA_OIF:
		r->ifindex = read_u32(attr);
		break;
	case RTA_TABLE:
		r->table = read_u32(attr);
		break;
	case RTA_METRICS:
		r->mtu_bytes = read_mtu(attr);
		break;
	case RTA_CACHEINFO:
		if (nlattr_size(attr) >= sizeof(struct rta_cacheinfo)) {
			const struct rta_cacheinfo *c = nlattr_data(attr);

			r->mtu_left_s = c->rta_expires > 0 ? (uint32_t)c->rta_expires / 100 : 0;
		}
		break;
	}
}

bool lookup_route_decode(const struct nlmsghdr *hdr, struct lookup_route *ret)
{
	const struct rtmsg *m = nlmsg_data(hdr);
	struct lookup_route r = { 0 };
	const struct nlattr *attr;

	if (hdr->nlmsg_type != RTM_NEWROUTE || nlmsg_size(hdr) < sizeof(*m) ||
	    (m->rtm_family != AF_INET && m->rtm_family != AF_INET6) ||
	    m->rtm_dst_len > ip_family_bits(m->rtm_family))
		return false;
	r.type = m->rtm_type;
	r.protocol = m->rtm_protocol;
	r.table = m->rtm_table;
	r.onlink = m->rtm_flags & RTNH_F_ONLINK;
	r.dst.addr = ip_addr_from_bytes(m->rtm_family, (const uint8_t[16]){ 0 });
	r.dst.len = m->rtm_dst_len;
	nlattr_for_each (attr, hdr, sizeof(*m))
		read_route_attr(attr, m->rtm_family, &r);
	*ret = r;
	return true;
}

static void take_route(void *arg, const struct nlmsghdr *hdr)
{
	lookup_route_decode(hdr, arg);
}

static int ask_route(struct netlink *nl, const struct lookup_packet *p, unsigned flags,
		     struct lookup_route *ret, struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };

	return netlink_call(nl, encode_route(buffer, p, flags), take_route, ret, e);
}

int lookup_route(struct netlink *nl, const struct lookup_packet *p, struct lookup_route *ret,
		 struct err *e)
{
	/* IPv6 always names the table, and refuses to be asked for it. */
	unsigned match = RTM_F_FIB_MATCH | (p->dst.family == AF_INET ? RTM_F_LOOKUP_TABLE : 0u);
	struct lookup_route way = { 0 };
	struct lookup_route route = { 0 };
	char text[IP_ADDR_TEXT];

	if (ask_route(nl, p, 0, &way, e) < 0 || ask_route(nl, p, match, &route, e) < 0)
		return err_wrap(e, "route to %s", ip_addr_format(&p->dst, text));
	/* IPv6 answers with a route that refuses. */
	if (route.type == RTN_BLACKHOLE)
		return err_set(e, -EINVAL, "route to %s: blackhole", ip_addr_format(&p->dst, text));
	route.gateway = way.gateway;
	route.source = way.source;
	route.ifindex = way.ifindex;
	route.mtu_bytes = way.mtu_bytes;
	route.mtu_left_s = way.mtu_left_s;
	if (!route.ifindex || !if_indextoname(route.ifindex, route.device))
		return err_set(e, -ENETUNREACH, "route to %s: none", ip_addr_format(&p->dst, text));
	*ret = route;
	return 0;
}

const char *lookup_route_format(const struct lookup_route *r, char buf[static LOOKUP_ROUTE_TEXT])
{
	bool gateway = ip_addr_is_set(&r->gateway);
	char dst[IP_NET_TEXT];
	char via[IP_ADDR_TEXT];
	char table[24] = "";

	if (r->table != RT_TABLE_MAIN && r->table != RT_TABLE_LOCAL)
		snprintf(table, sizeof(table), " table %u", r->table);
	snprintf(buf, LOOKUP_ROUTE_TEXT, "%s%s%s%s dev %s%s proto %u%s",
		 r->type == RTN_LOCAL ? "local " : "", ip_net_format(&r->dst, dst),
		 gateway ? " via " : "", gateway ? ip_addr_format(&r->gateway, via) : "", r->device,
		 r->onlink ? " onlink" : "", r->protocol, table);
	return buf;
}

/* ---- neighbours and FDB entries ---- */

static struct nlmsghdr *put_question(void *buffer, int family, uint32_t ifindex)
{
	struct nlmsghdr *hdr = nlmsg_begin(buffer);
	struct ndmsg *m = nlmsg_put_header(hdr, sizeof(*m));

	hdr->nlmsg_type = RTM_GETNEIGH;
	m->ndm_family = (uint8_t)family;
	m->ndm_ifindex = (int)ifindex;
	return hdr;
}

static void read_mac(const struct nlattr *attr, struct mac_addr *ret)
{
	if (nlattr_size(attr) == sizeof(ret->b))
		memcpy(ret->b, nlattr_data(attr), sizeof(ret->b));
}

bool lookup_neighbour_decode(const struct nlmsghdr *hdr, struct lookup_neighbour *ret)
{
	const struct ndmsg *m = nlmsg_data(hdr);
	const struct nlattr *attr;

	if (hdr->nlmsg_type != RTM_NEWNEIGH || nlmsg_size(hdr) < sizeof(*m))
		return false;
	*ret = (struct lookup_neighbour){ .state = m->ndm_state };
	nlattr_for_each (attr, hdr, sizeof(*m)) {
		if (nlattr_type(attr) == NDA_LLADDR)
			read_mac(attr, &ret->mac);
	}
	return true;
}

static void take_neighbour(void *arg, const struct nlmsghdr *hdr)
{
	lookup_neighbour_decode(hdr, arg);
}

int lookup_neighbour(struct netlink *nl, uint32_t ifindex, const struct ip_addr *address,
		     struct lookup_neighbour *ret, struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = put_question(buffer, address->family, ifindex);
	struct lookup_neighbour n = { 0 };
	char text[IP_ADDR_TEXT];
	int rc;

	nlattr_put(hdr, NDA_DST, ip_addr_size(address), address->b);
	rc = netlink_call(nl, hdr, take_neighbour, &n, e);
	if (rc < 0 && rc != -ENOENT)
		return err_wrap(e, "neighbour %s", ip_addr_format(address, text));
	*ret = n;
	return 0;
}

static const char *state_name(uint16_t state)
{
	static const struct {
		uint16_t state;
		const char *name;
	} names[] = {
		{ NUD_PERMANENT, "permanent" }, { NUD_NOARP, "no ARP" },
		{ NUD_REACHABLE, "reachable" }, { NUD_STALE, "stale" },
		{ NUD_DELAY, "delay" },         { NUD_PROBE, "probe" },
		{ NUD_FAILED, "failed" },       { NUD_INCOMPLETE, "incomplete" },
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (state & names[i].state)
			return names[i].name;
	}
	return "none";
}

const char *lookup_neighbour_format(const struct lookup_neighbour *n,
				    char buf[static LOOKUP_NEIGHBOUR_TEXT])
{
	char mac[MAC_TEXT];

	if (mac_addr_is_zero(&n->mac))
		snprintf(buf, LOOKUP_NEIGHBOUR_TEXT, "%s", state_name(n->state));
	else
		snprintf(buf, LOOKUP_NEIGHBOUR_TEXT, "%s, %s", mac_addr_format(&n->mac, mac),
			 state_name(n->state));
	return buf;
}

bool lookup_neighbour_is_silent(const struct lookup_neighbour *n)
{
	return n->state & (NUD_FAILED | NUD_INCOMPLETE);
}

bool lookup_fdb_decode(const struct nlmsghdr *hdr, struct lookup_fdb *f)
{
	const struct ndmsg *m = nlmsg_data(hdr);
	const struct nlattr *attr;

	if (hdr->nlmsg_type != RTM_NEWNEIGH || nlmsg_size(hdr) < sizeof(*m))
		return false;
	*f = (struct lookup_fdb){ .found = true, .port_ifindex = (uint32_t)m->ndm_ifindex };
	nlattr_for_each (attr, hdr, sizeof(*m)) {
		size_t size = nlattr_size(attr);

		if (nlattr_type(attr) == NDA_DST && (size == 4 || size == 16))
			f->remote = ip_addr_from_bytes(size == 4 ? AF_INET : AF_INET6,
						       nlattr_data(attr));
	}
	return true;
}

static void take_fdb(void *arg, const struct nlmsghdr *hdr)
{
	lookup_fdb_decode(hdr, arg);
}

int lookup_fdb(struct netlink *nl, uint32_t ifindex, bool is_bridge, const struct mac_addr *mac,
	       struct lookup_fdb *ret, struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = put_question(buffer, AF_BRIDGE, is_bridge ? 0 : ifindex);
	struct ndmsg *m = nlmsg_data(hdr);
	struct lookup_fdb found = { 0 };
	char text[MAC_TEXT];
	int rc;

	/* A bridge is named as master of the port that is looked for. */
	m->ndm_flags = is_bridge ? NTF_MASTER : NTF_SELF;
	nlattr_put(hdr, NDA_LLADDR, sizeof(mac->b), mac->b);
	if (is_bridge)
		nlattr_put_u32(hdr, NDA_MASTER, ifindex);
	rc = netlink_call(nl, hdr, take_fdb, &found, e);
	if (rc < 0 && rc != -ENOENT)
		return err_wrap(e, "FDB entry %s", mac_addr_format(mac, text));
	*ret = found;
	return 0;
}
