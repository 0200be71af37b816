/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/object.h"

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

static const char *const kind_names[] = { "address", "fdb", "neighbour", "route" };

const char *kernel_kind_name(enum kernel_kind kind)
{
	return kind_names[kind];
}

struct kernel_object kernel_address(uint32_t ifindex, const struct ip_net *net)
{
	struct kernel_object o = { 0 };

	o.key.kind = KERNEL_ADDRESS;
	o.key.family = net->addr.family;
	o.key.len = net->len;
	o.key.ifindex = ifindex;
	memcpy(o.key.dst, net->addr.b, sizeof(o.key.dst));
	o.value.scope = RT_SCOPE_UNIVERSE;
	return o;
}

struct kernel_object kernel_fdb(uint32_t ifindex, const struct mac_addr *mac,
				const struct ip_addr *remote)
{
	struct kernel_object o = { 0 };

	o.key.kind = KERNEL_FDB;
	o.key.family = AF_BRIDGE;
	o.key.ifindex = ifindex;
	memcpy(o.key.dst, mac->b, sizeof(mac->b));
	o.value.state = NUD_PERMANENT;
	o.value.flags = NTF_SELF;
	o.value.gateway_family = remote->family;
	memcpy(o.value.gateway, remote->b, sizeof(o.value.gateway));
	return o;
}

struct kernel_object kernel_neighbour(uint32_t ifindex, const struct ip_addr *addr,
				      const struct mac_addr *mac)
{
	struct kernel_object o = { 0 };

	o.key.kind = KERNEL_NEIGHBOUR;
	o.key.family = addr->family;
	o.key.ifindex = ifindex;
	memcpy(o.key.dst, addr->b, sizeof(o.key.dst));
	o.value.state = NUD_PERMANENT;
	o.value.mac = *mac;
	return o;
}

struct kernel_object kernel_route(const struct ip_net *dst, const struct ip_addr *gateway,
				  uint32_t ifindex, bool onlink, uint8_t protocol)
{
	struct kernel_object o = { 0 };

	o.key.kind = KERNEL_ROUTE;
	o.key.family = dst->addr.family;
	o.key.len = dst->len;
	o.key.table = RT_TABLE_MAIN;
	o.key.metric = dst->addr.family == AF_INET6 ? KERNEL_ROUTE_METRIC_V6 : 0;
	memcpy(o.key.dst, dst->addr.b, sizeof(o.key.dst));
	o.value.protocol = protocol;
	o.value.type = RTN_UNICAST;
	/* IPv6 routes have no scope: the kernel shows universe for all of them. */
	o.value.scope = gateway || dst->addr.family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	o.value.onlink = onlink;
	o.value.ifindex = ifindex;
	if (gateway) {
		o.value.gateway_family = gateway->family;
		memcpy(o.value.gateway, gateway->b, sizeof(o.value.gateway));
	}
	return o;
}

struct kernel_object kernel_route_blackhole(const struct ip_net *dst, uint8_t protocol)
{
	struct kernel_object o = kernel_route(dst, NULL, 0, false, protocol);

	o.value.type = RTN_BLACKHOLE;
	o.value.scope = RT_SCOPE_UNIVERSE;
	return o;
}

bool kernel_value_equal(const struct kernel_object *a, const struct kernel_object *b)
{
	return memcmp(&a->value, &b->value, sizeof(a->value)) == 0;
}

struct ip_addr kernel_object_dst(const struct kernel_object *o)
{
	if (o->key.kind == KERNEL_FDB)
		return (struct ip_addr){ 0 };
	return ip_addr_from_bytes(o->key.family, o->key.dst);
}

struct ip_addr kernel_object_gateway(const struct kernel_object *o)
{
	if (!o->value.gateway_family)
		return (struct ip_addr){ 0 };
	return ip_addr_from_bytes(o->value.gateway_family, o->value.gateway);
}

struct mac_addr kernel_object_mac(const struct kernel_object *o)
{
	struct mac_addr mac = o->value.mac;

	if (o->key.kind == KERNEL_FDB)
		memcpy(mac.b, o->key.dst, sizeof(mac.b));
	return mac;
}

static size_t family_size(int family)
{
	return family == AF_INET ? 4 : 16;
}

static void encode_address(const struct kernel_object *o, struct nlmsghdr *hdr)
{
	struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(hdr, sizeof(*m));

	m->ifa_family = o->key.family;
	m->ifa_prefixlen = o->key.len;
	m->ifa_scope = o->value.scope;
	m->ifa_index = o->key.ifindex;
	mnl_attr_put(hdr, IFA_LOCAL, family_size(o->key.family), o->key.dst);
	mnl_attr_put(hdr, IFA_ADDRESS, family_size(o->key.family), o->key.dst);
	/* The address is ours by lease: looking for a duplicate on a device without broadcast would
	 * only delay it. */
	if (o->key.family == AF_INET6)
		mnl_attr_put_u32(hdr, IFA_FLAGS, IFA_F_NODAD);
}

static void encode_fdb(const struct kernel_object *o, struct nlmsghdr *hdr)
{
	struct ndmsg *m = mnl_nlmsg_put_extra_header(hdr, sizeof(*m));

	m->ndm_family = AF_BRIDGE;
	m->ndm_ifindex = (int)o->key.ifindex;
	m->ndm_state = o->value.state;
	m->ndm_flags = o->value.flags;
	mnl_attr_put(hdr, NDA_LLADDR, 6, o->key.dst);
	if (o->value.gateway_family)
		mnl_attr_put(hdr, NDA_DST, family_size(o->value.gateway_family), o->value.gateway);
}

static void encode_neighbour(const struct kernel_object *o, struct nlmsghdr *hdr)
{
	struct ndmsg *m = mnl_nlmsg_put_extra_header(hdr, sizeof(*m));

	m->ndm_family = o->key.family;
	m->ndm_ifindex = (int)o->key.ifindex;
	m->ndm_state = o->value.state;
	m->ndm_flags = o->value.flags;
	m->ndm_type = RTN_UNICAST;
	mnl_attr_put(hdr, NDA_DST, family_size(o->key.family), o->key.dst);
	mnl_attr_put(hdr, NDA_LLADDR, 6, o->value.mac.b);
}

static void encode_route(const struct kernel_object *o, struct nlmsghdr *hdr)
{
	struct rtmsg *m = mnl_nlmsg_put_extra_header(hdr, sizeof(*m));

	m->rtm_family = o->key.family;
	m->rtm_dst_len = o->key.len;
	m->rtm_table = o->key.table < 256 ? (uint8_t)o->key.table : RT_TABLE_UNSPEC;
	m->rtm_protocol = o->value.protocol;
	m->rtm_scope = o->value.scope;
	m->rtm_type = o->value.type;
	m->rtm_flags = o->value.onlink ? RTNH_F_ONLINK : 0;
	mnl_attr_put_u32(hdr, RTA_TABLE, o->key.table);
	mnl_attr_put(hdr, RTA_DST, family_size(o->key.family), o->key.dst);
	if (o->value.gateway_family)
		mnl_attr_put(hdr, RTA_GATEWAY, family_size(o->value.gateway_family),
			     o->value.gateway);
	if (o->value.ifindex)
		mnl_attr_put_u32(hdr, RTA_OIF, o->value.ifindex);
	if (o->key.metric)
		mnl_attr_put_u32(hdr, RTA_PRIORITY, o->key.metric);
}

static void encode(const struct kernel_object *o, const uint16_t types[static KERNEL_KINDS],
		   uint16_t flags, struct nlmsghdr *hdr)
{
	mnl_nlmsg_put_header(hdr);
	hdr->nlmsg_type = types[o->key.kind];
	hdr->nlmsg_flags = NLM_F_REQUEST | flags;
	switch ((enum kernel_kind)o->key.kind) {
	case KERNEL_ADDRESS:
		encode_address(o, hdr);
		break;
	case KERNEL_FDB:
		encode_fdb(o, hdr);
		break;
	case KERNEL_NEIGHBOUR:
		encode_neighbour(o, hdr);
		break;
	case KERNEL_ROUTE:
	case KERNEL_KINDS:
		encode_route(o, hdr);
		break;
	}
}

void kernel_object_encode_put(const struct kernel_object *o, bool replace, struct nlmsghdr *hdr)
{
	static const uint16_t types[] = { RTM_NEWADDR, RTM_NEWNEIGH, RTM_NEWNEIGH, RTM_NEWROUTE };

	encode(o, types, NLM_F_CREATE | (replace ? NLM_F_REPLACE : NLM_F_EXCL), hdr);
}

void kernel_object_encode_drop(const struct kernel_object *o, struct nlmsghdr *hdr)
{
	static const uint16_t types[] = { RTM_DELADDR, RTM_DELNEIGH, RTM_DELNEIGH, RTM_DELROUTE };

	encode(o, types, 0, hdr);
}

void kernel_object_encode_dump(enum kernel_kind kind, int family, uint32_t ifindex,
			       uint8_t protocol, struct nlmsghdr *hdr)
{
	mnl_nlmsg_put_header(hdr);
	hdr->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	if (kind == KERNEL_ADDRESS) {
		struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(hdr, sizeof(*m));

		hdr->nlmsg_type = RTM_GETADDR;
		m->ifa_family = (uint8_t)family;
		m->ifa_index = ifindex;
	} else if (kind == KERNEL_ROUTE) {
		struct rtmsg *m = mnl_nlmsg_put_extra_header(hdr, sizeof(*m));

		hdr->nlmsg_type = RTM_GETROUTE;
		m->rtm_family = (uint8_t)family;
		m->rtm_table = RT_TABLE_MAIN;
		m->rtm_protocol = protocol;
		mnl_attr_put_u32(hdr, RTA_TABLE, RT_TABLE_MAIN);
		if (ifindex)
			mnl_attr_put_u32(hdr, RTA_OIF, ifindex);
	} else {
		struct ndmsg *m = mnl_nlmsg_put_extra_header(hdr, sizeof(*m));

		hdr->nlmsg_type = RTM_GETNEIGH;
		m->ndm_family = kind == KERNEL_FDB ? AF_BRIDGE : (uint8_t)family;
		if (ifindex)
			mnl_attr_put_u32(hdr, NDA_IFINDEX, ifindex);
	}
}

/*
 * Attributes by type; a malformed or repeated one is left out, the reader checks presence and size.
 */
struct attrs {
	const struct nlattr *by_type[32];
};

static void collect_attrs(const struct nlmsghdr *hdr, size_t offset, struct attrs *ret)
{
	const struct nlattr *attr;

	memset(ret, 0, sizeof(*ret));
	mnl_attr_for_each (attr, hdr, offset) {
		if (mnl_attr_get_type(attr) < ARRAY_LEN(ret->by_type))
			ret->by_type[mnl_attr_get_type(attr)] = attr;
	}
}

static bool copy_attr(const struct attrs *a, unsigned type, size_t size, void *ret)
{
	const struct nlattr *attr = a->by_type[type];

	if (!attr || mnl_attr_get_payload_len(attr) != size)
		return false;
	memcpy(ret, mnl_attr_get_payload(attr), size);
	return true;
}

static bool has_any(const struct attrs *a, const uint8_t *types, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (a->by_type[types[i]])
			return true;
	}
	return false;
}

static bool decode_address(const struct nlmsghdr *hdr, struct kernel_object *o)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(hdr);
	struct attrs a;

	if (mnl_nlmsg_get_payload_len(hdr) < sizeof(*m))
		return false;
	if (m->ifa_family != AF_INET && m->ifa_family != AF_INET6)
		return false;
	if (m->ifa_prefixlen > ip_family_bits(m->ifa_family))
		return false;
	collect_attrs(hdr, sizeof(*m), &a);
	o->key.kind = KERNEL_ADDRESS;
	o->key.family = m->ifa_family;
	o->key.len = m->ifa_prefixlen;
	o->key.ifindex = m->ifa_index;
	o->value.scope = m->ifa_scope;
	return copy_attr(&a, IFA_LOCAL, family_size(m->ifa_family), o->key.dst) ||
	       copy_attr(&a, IFA_ADDRESS, family_size(m->ifa_family), o->key.dst);
}

static bool decode_neighbour(const struct nlmsghdr *hdr, struct kernel_object *o)
{
	/* The kernel shows them only if they differ from the device's. */
	static const uint8_t extras[] = { NDA_PORT, NDA_VNI, NDA_IFINDEX, NDA_NH_ID };
	const struct ndmsg *m = mnl_nlmsg_get_payload(hdr);
	struct attrs a;

	if (mnl_nlmsg_get_payload_len(hdr) < sizeof(*m))
		return false;
	collect_attrs(hdr, sizeof(*m), &a);
	o->key.family = m->ndm_family;
	o->key.ifindex = (uint32_t)m->ndm_ifindex;
	o->value.state = m->ndm_state;
	o->value.flags = m->ndm_flags;
	if (m->ndm_family == AF_BRIDGE) {
		const struct nlattr *dst = a.by_type[NDA_DST];

		o->key.kind = KERNEL_FDB;
		if (!(m->ndm_flags & NTF_SELF) || !copy_attr(&a, NDA_LLADDR, 6, o->key.dst))
			return false;
		if (dst && mnl_attr_get_payload_len(dst) == 4)
			o->value.gateway_family = AF_INET;
		else if (dst && mnl_attr_get_payload_len(dst) == 16)
			o->value.gateway_family = AF_INET6;
		if (o->value.gateway_family)
			memcpy(o->value.gateway, mnl_attr_get_payload(dst),
			       mnl_attr_get_payload_len(dst));
		if (has_any(&a, extras, ARRAY_LEN(extras)))
			o->value.extra = KERNEL_EXTRA_ATTRIBUTES;
		return true;
	}
	if (m->ndm_family != AF_INET && m->ndm_family != AF_INET6)
		return false;
	o->key.kind = KERNEL_NEIGHBOUR;
	copy_attr(&a, NDA_LLADDR, 6, o->value.mac.b);
	return copy_attr(&a, NDA_DST, family_size(m->ndm_family), o->key.dst);
}

static bool decode_route(const struct nlmsghdr *hdr, struct kernel_object *o)
{
	static const uint8_t paths[] = { RTA_MULTIPATH, RTA_NH_ID };
	static const uint8_t extras[] = { RTA_METRICS, RTA_PREFSRC, RTA_ENCAP, RTA_VIA };
	const struct rtmsg *m = mnl_nlmsg_get_payload(hdr);
	struct attrs a;

	if (mnl_nlmsg_get_payload_len(hdr) < sizeof(*m))
		return false;
	if (m->rtm_family != AF_INET && m->rtm_family != AF_INET6)
		return false;
	if (m->rtm_dst_len > ip_family_bits(m->rtm_family))
		return false;
	if ((m->rtm_flags & RTM_F_CLONED) || m->rtm_src_len || m->rtm_tos)
		return false;
	collect_attrs(hdr, sizeof(*m), &a);
	o->key.kind = KERNEL_ROUTE;
	o->key.family = m->rtm_family;
	o->key.len = m->rtm_dst_len;
	o->key.table = m->rtm_table;
	copy_attr(&a, RTA_TABLE, 4, &o->key.table);
	copy_attr(&a, RTA_PRIORITY, 4, &o->key.metric);
	copy_attr(&a, RTA_OIF, 4, &o->value.ifindex);
	if (!copy_attr(&a, RTA_DST, family_size(m->rtm_family), o->key.dst) && m->rtm_dst_len)
		return false;
	if (copy_attr(&a, RTA_GATEWAY, family_size(m->rtm_family), o->value.gateway))
		o->value.gateway_family = m->rtm_family;
	o->value.protocol = m->rtm_protocol;
	o->value.type = m->rtm_type;
	o->value.scope = m->rtm_scope;
	o->value.onlink = !!(m->rtm_flags & RTNH_F_ONLINK);
	if (has_any(&a, paths, ARRAY_LEN(paths)))
		o->value.extra |= KERNEL_EXTRA_PATHS;
	if (has_any(&a, extras, ARRAY_LEN(extras)))
		o->value.extra |= KERNEL_EXTRA_ATTRIBUTES;
	/* IPv6 hangs blackholes on lo; to us they have no device. */
	if (m->rtm_type == RTN_BLACKHOLE)
		o->value.ifindex = 0;
	return o->key.table == RT_TABLE_MAIN;
}

bool kernel_object_decode(const struct nlmsghdr *hdr, struct kernel_object *ret, bool *ret_gone)
{
	struct kernel_object o = { 0 };
	bool ok = false;
	bool gone = false;

	switch (hdr->nlmsg_type) {
	case RTM_DELADDR:
		gone = true;
		/* fall through */
	case RTM_NEWADDR:
		ok = decode_address(hdr, &o);
		break;
	case RTM_DELNEIGH:
		gone = true;
		/* fall through */
	case RTM_NEWNEIGH:
		ok = decode_neighbour(hdr, &o);
		break;
	case RTM_DELROUTE:
		gone = true;
		/* fall through */
	case RTM_NEWROUTE:
		ok = decode_route(hdr, &o);
		break;
	}
	if (ok) {
		*ret = o;
		*ret_gone = gone;
	}
	return ok;
}

const char *kernel_object_format(const struct kernel_object *o, char buf[static KERNEL_OBJECT_TEXT])
{
	struct mac_addr mac = kernel_object_mac(o);
	struct ip_addr dst = kernel_object_dst(o);
	struct ip_addr gateway = kernel_object_gateway(o);
	char mac_text[MAC_TEXT];
	char dst_text[IP_ADDR_TEXT];
	char gateway_text[IP_ADDR_TEXT];

	mac_addr_format(&mac, mac_text);
	ip_addr_format(&dst, dst_text);
	ip_addr_format(&gateway, gateway_text);
	switch ((enum kernel_kind)o->key.kind) {
	case KERNEL_ADDRESS:
		snprintf(buf, KERNEL_OBJECT_TEXT, "address %s/%u dev %u", dst_text, o->key.len,
			 o->key.ifindex);
		break;
	case KERNEL_FDB:
		snprintf(buf, KERNEL_OBJECT_TEXT, "fdb %s dst %s dev %u", mac_text, gateway_text,
			 o->key.ifindex);
		break;
	case KERNEL_NEIGHBOUR:
		snprintf(buf, KERNEL_OBJECT_TEXT, "neighbour %s lladdr %s dev %u", dst_text,
			 mac_text, o->key.ifindex);
		break;
	case KERNEL_ROUTE:
	case KERNEL_KINDS:
		if (o->value.type == RTN_BLACKHOLE)
			snprintf(buf, KERNEL_OBJECT_TEXT, "route blackhole %s/%u proto %u",
				 dst_text, o->key.len, o->value.protocol);
		else
			snprintf(buf, KERNEL_OBJECT_TEXT, "route %s/%u%s%s dev %u%s proto %u",
				 dst_text, o->key.len, o->value.gateway_family ? " via " : "",
				 o->value.gateway_family ? gateway_text : "", o->value.ifindex,
				 o->value.onlink ? " onlink" : "", o->value.protocol);
		break;
	}
	return buf;
}
