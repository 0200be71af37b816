/* SPDX-License-Identifier: Apache-2.0 */
/* Routes of table main. Source: linux/rtnetlink.h. */
#include <linux/rtnetlink.h>

#include "kernel/kind_attrs.h"

struct kernel_object kernel_route(const struct ip_net *dst, const struct ip_addr *gateway,
				  uint32_t ifindex, bool onlink, uint8_t protocol)
{
	bool v6 = dst->addr.family == AF_INET6;
	struct kernel_object o = { .key = { .kind = KERNEL_ROUTE,
					    .family = dst->addr.family,
					    .len = dst->len,
					    .metric = v6 ? KERNEL_ROUTE_METRIC_V6 : 0 },
				   .value = { .protocol = protocol,
					      .type = RTN_UNICAST,
					      .onlink = onlink,
					      .ifindex = ifindex } };

	memcpy(o.key.dst, dst->addr.b, sizeof(o.key.dst));
	/* IPv6 routes have no scope: the kernel shows universe for all of them. */
	o.value.scope = gateway || v6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
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

static bool owns(const struct kernel_marks *marks, const struct kernel_object *o)
{
	struct ip_net dst = { kernel_object_dst(o), o->key.len };

	if (o->value.type != RTN_UNICAST && o->value.type != RTN_BLACKHOLE)
		return false;
	/* We make none with several gateways, and could not name one well enough to delete it. */
	if (o->value.extra & KERNEL_EXTRA_PATHS)
		return false;
	if (kernel_marks_device(marks, o->value.ifindex))
		return o->value.protocol != RTPROT_KERNEL && !ip_addr_is_link_local(&dst.addr) &&
		       !ip_addr_is_multicast(&dst.addr);
	if (!fabric_is_our_protocol(o->value.protocol))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(marks->networks); i++) {
		if (ip_net_is_set(&marks->networks[i]) &&
		    ip_net_contains_net(&marks->networks[i], &dst))
			return true;
	}
	return false;
}

static bool has_network(const struct kernel_marks *marks, int family)
{
	for (size_t i = 0; i < ARRAY_LEN(marks->networks); i++) {
		if (marks->networks[i].addr.family == family)
			return true;
	}
	return false;
}

static int dump(struct kernel *k, struct kernel_objects *found, struct err *e)
{
	static const int families[] = { AF_INET, AF_INET6 };
	int rc = 0;

	for (size_t f = 0; f < ARRAY_LEN(families) && rc == 0; f++) {
		rc = kernel_dump_devices(k, KERNEL_ROUTE, families[f], found, e);
		/* Ours on other devices. What is on our devices comes twice, which does no harm. */
		if (rc == 0 && has_network(&k->marks, families[f]))
			rc = kernel_dump_route(k, KERNEL_ROUTE, families[f], 0,
					       FABRIC_ROUTE_PROTOCOL, found, e);
	}
	return rc;
}

static void encode(enum kernel_verb verb, const struct kernel_object *o, struct nlmsghdr *hdr)
{
	size_t size = kind_family_size(o->key.family);
	struct rtmsg *m;

	kind_put_header(hdr, RTM_NEWROUTE, verb);
	m = nlmsg_put_header(hdr, sizeof(*m));
	m->rtm_family = o->key.family;
	m->rtm_dst_len = o->key.len;
	m->rtm_table = RT_TABLE_MAIN;
	m->rtm_protocol = o->value.protocol;
	m->rtm_scope = o->value.scope;
	m->rtm_type = o->value.type;
	m->rtm_flags = o->value.onlink ? RTNH_F_ONLINK : 0;
	nlattr_put_u32(hdr, RTA_TABLE, RT_TABLE_MAIN);
	nlattr_put(hdr, RTA_DST, size, o->key.dst);
	if (o->value.gateway_family)
		nlattr_put(hdr, RTA_GATEWAY, kind_family_size(o->value.gateway_family),
			   o->value.gateway);
	if (o->value.ifindex)
		nlattr_put_u32(hdr, RTA_OIF, o->value.ifindex);
	if (o->key.metric)
		nlattr_put_u32(hdr, RTA_PRIORITY, o->key.metric);
	if (o->value.mtu_bytes) {
		struct nlattr *metrics = nlattr_nest_begin(hdr, RTA_METRICS);

		nlattr_put_u32(hdr, RTAX_MTU, o->value.mtu_bytes);
		nlattr_nest_end(hdr, metrics);
	}
}

static void put(struct kernel_batch *b, enum kernel_verb verb, const struct kernel_object *o,
		void *cookie)
{
	encode(verb, o, kernel_batch_message(b));
	kernel_batch_commit(b, cookie);
}

/*
 * Linux takes an IPv6 gateway "onlink" only if the routes that there are do not lead to it over
 * another device (ip6_route_check_nh_onlink). Our gateway is the first address of the route's own
 * destination: a route that is to be replaced and leads over another device is in its own way. To
 * delete it first would leave a moment without a path, so a route to the gateway alone stands there
 * for the time of the replacement.
 */
static void write_route(struct kernel_batch *b, enum kernel_verb verb,
			const struct kernel_object *o, void *cookie)
{
	struct ip_net gateway = { kernel_object_gateway(o), 128 };
	struct kernel_object helper;

	if (verb != KERNEL_REPLACE || o->key.family != AF_INET6 || !o->value.onlink) {
		put(b, verb, o, cookie);
		return;
	}
	helper = kernel_route(&gateway, NULL, o->value.ifindex, false, o->value.protocol);
	/* Refused if it is there already, and then it is of use as well. */
	put(b, KERNEL_CREATE, &helper, NULL);
	put(b, KERNEL_REPLACE, o, cookie);
	put(b, KERNEL_DROP, &helper, NULL);
}

static void encode_dump(int family, uint32_t ifindex, uint8_t protocol, struct nlmsghdr *hdr)
{
	struct rtmsg *m = kind_put_dump(hdr, RTM_GETROUTE, sizeof(*m));

	m->rtm_family = (uint8_t)family;
	m->rtm_table = RT_TABLE_MAIN;
	m->rtm_protocol = protocol;
	nlattr_put_u32(hdr, RTA_TABLE, RT_TABLE_MAIN);
	if (ifindex)
		nlattr_put_u32(hdr, RTA_OIF, ifindex);
}

/* An MTU alone is what we may have written; anything else is not. */
static void decode_metrics(const struct nlattr *metrics, struct kernel_value *ret)
{
	const struct nlattr *attr;
	uint32_t mtu;

	nlattr_for_each_nested (attr, metrics) {
		mtu = nlattr_size(attr) == 4 ? nlattr_u32(attr) : 0;
		if (nlattr_type(attr) == RTAX_MTU && mtu && mtu <= KERNEL_ROUTE_MTU_MAX)
			ret->mtu_bytes = (uint16_t)mtu;
		else
			ret->extra |= KERNEL_EXTRA_ATTRIBUTES;
	}
}

static void decode_value(const struct rtmsg *m, const struct kind_attrs *a,
			 struct kernel_value *ret)
{
	static const uint8_t paths[] = { RTA_MULTIPATH, RTA_NH_ID };
	static const uint8_t extras[] = { RTA_PREFSRC, RTA_ENCAP, RTA_VIA };

	kind_copy_attr(a, RTA_OIF, 4, &ret->ifindex);
	if (kind_copy_attr(a, RTA_GATEWAY, kind_family_size(m->rtm_family), ret->gateway))
		ret->gateway_family = m->rtm_family;
	ret->protocol = m->rtm_protocol;
	ret->type = m->rtm_type;
	ret->scope = m->rtm_scope;
	ret->onlink = !!(m->rtm_flags & RTNH_F_ONLINK);
	if (kind_has_any(a, paths, ARRAY_LEN(paths)))
		ret->extra |= KERNEL_EXTRA_PATHS;
	if (kind_has_any(a, extras, ARRAY_LEN(extras)))
		ret->extra |= KERNEL_EXTRA_ATTRIBUTES;
	if (a->by_type[RTA_METRICS])
		decode_metrics(a->by_type[RTA_METRICS], ret);
	/* IPv6 hangs blackholes on lo; to us they have no device. */
	if (m->rtm_type == RTN_BLACKHOLE)
		ret->ifindex = 0;
}

static bool decode(const struct nlmsghdr *hdr, struct kernel_object *o)
{
	const struct rtmsg *m = nlmsg_data(hdr);
	struct kind_attrs a;
	uint32_t table;

	if (!kind_is_message(hdr, RTM_NEWROUTE, sizeof(*m)))
		return false;
	if (m->rtm_family != AF_INET && m->rtm_family != AF_INET6)
		return false;
	if (m->rtm_dst_len > ip_family_bits(m->rtm_family))
		return false;
	if ((m->rtm_flags & RTM_F_CLONED) || m->rtm_src_len || m->rtm_tos)
		return false;
	a = kind_attrs(hdr, sizeof(*m));
	table = m->rtm_table;
	kind_copy_attr(&a, RTA_TABLE, 4, &table);
	if (table != RT_TABLE_MAIN)
		return false;
	o->key.family = m->rtm_family;
	o->key.len = m->rtm_dst_len;
	kind_copy_attr(&a, RTA_PRIORITY, 4, &o->key.metric);
	if (!kind_copy_attr(&a, RTA_DST, kind_family_size(m->rtm_family), o->key.dst) &&
	    m->rtm_dst_len)
		return false;
	decode_value(m, &a, &o->value);
	return true;
}

/* As ip(8) calls them; NULL for others. */
static const char *type_that_leads_nowhere(uint8_t type)
{
	return type == RTN_BLACKHOLE     ? "blackhole"
	       : type == RTN_UNREACHABLE ? "unreachable"
	       : type == RTN_PROHIBIT    ? "prohibit"
					 : NULL;
}

static void describe(const struct kernel_object *o, char *buf, size_t size)
{
	struct ip_addr gateway = kernel_object_gateway(o);
	struct ip_addr dst = kernel_object_dst(o);
	char gateway_text[IP_ADDR_TEXT];
	char dst_text[IP_ADDR_TEXT];
	char mtu_text[sizeof(" mtu 65520")] = "";
	const char *nowhere = type_that_leads_nowhere(o->value.type);

	ip_addr_format(&dst, dst_text);
	ip_addr_format(&gateway, gateway_text);
	if (o->value.mtu_bytes)
		snprintf(mtu_text, sizeof(mtu_text), " mtu %u", o->value.mtu_bytes);
	if (nowhere)
		snprintf(buf, size, "route %s %s/%u proto %u", nowhere, dst_text, o->key.len,
			 o->value.protocol);
	else
		snprintf(buf, size, "route %s/%u%s%s dev %u%s proto %u%s", dst_text, o->key.len,
			 o->value.gateway_family ? " via " : "",
			 o->value.gateway_family ? gateway_text : "", o->value.ifindex,
			 o->value.onlink ? " onlink" : "", o->value.protocol, mtu_text);
}

extern const struct kernel_kind kernel_kind_route;
const struct kernel_kind kernel_kind_route = {
	.name = "route",
	/* Anybody may have a route to where we want one, several of them even. */
	.flags = KERNEL_KIND_OPEN | KERNEL_KIND_SEVERAL | KERNEL_KIND_SILENT,
	.owns = owns,
	.dump = dump,
	.encode = encode,
	.write = write_route,
	.encode_dump = encode_dump,
	.decode = decode,
	.describe = describe,
};
