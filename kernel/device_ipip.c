/* SPDX-License-Identifier: Apache-2.0 */
/* Source: linux/if_tunnel.h; net/ipv4/ipip.c (ipip_netlink_parms) for defaults and what can change. */
#include "kernel/device_ipip.h"

#include "kernel/link.h" /* net/if.h comes before linux/if.h */

#include <libmnl/libmnl.h>
#include <linux/if_tunnel.h>
#include <netinet/in.h>

/* What a device of this kind says of itself. */
struct ipip_info {
	struct ip_addr local;
	bool plain;  /* to any remote, IPv4 inside, nothing around it: a tunnel as ours */
	bool normal; /* and with the rest as we leave it */
};

static bool is_zero(const struct nlattr *a)
{
	const uint8_t *p = mnl_attr_get_payload(a);

	for (size_t i = 0; i < mnl_attr_get_payload_len(a); i++) {
		if (p[i])
			return false;
	}
	return true;
}

static void read_attribute(const struct nlattr *a, struct ipip_info *ret)
{
	switch (mnl_attr_get_type(a)) {
	case IFLA_IPTUN_LOCAL:
		if (mnl_attr_get_payload_len(a) == 4)
			ret->local = ip_addr_from_bytes(AF_INET, mnl_attr_get_payload(a));
		break;
	case IFLA_IPTUN_REMOTE:
	case IFLA_IPTUN_ENCAP_TYPE:
		ret->plain &= is_zero(a);
		break;
	case IFLA_IPTUN_COLLECT_METADATA:
		ret->plain = false;
		break;
	case IFLA_IPTUN_PROTO:
		ret->plain &= mnl_attr_get_payload_len(a) == 1 &&
			      (mnl_attr_get_u8(a) == IPPROTO_IPIP || mnl_attr_get_u8(a) == 0);
		break;
	case IFLA_IPTUN_PMTUDISC:
		ret->normal &= !is_zero(a);
		break;
	case IFLA_IPTUN_LINK:
	case IFLA_IPTUN_TTL:
	case IFLA_IPTUN_TOS:
	case IFLA_IPTUN_FWMARK:
		ret->normal &= is_zero(a);
		break;
	default:
		break;
	}
}

static struct ipip_info read_info(const struct link_info *link)
{
	struct ipip_info info = { .plain = true, .normal = true };
	const struct nlattr *attr;

	mnl_attr_for_each_payload ((const void *)link->data, link->data_size)
		read_attribute(attr, &info);
	return info;
}

/* What is not named is what the kernel leaves unset: a change sets all anew. */
static void encode(struct nlmsghdr *hdr, const void *spec, bool change UNUSED)
{
	const struct device_ipip *i = spec;

	mnl_attr_put(hdr, IFLA_IPTUN_LOCAL, ip_addr_size(&i->local), i->local.b);
	mnl_attr_put_u8(hdr, IFLA_IPTUN_PROTO, IPPROTO_IPIP);
	mnl_attr_put_u8(hdr, IFLA_IPTUN_PMTUDISC, 1);
}

static enum device_match match(const void *spec, const struct link_info *link)
{
	const struct ipip_info have = read_info(link);
	const struct device_ipip *want = spec;

	if (!have.plain)
		return DEVICE_OTHER;
	if (!have.normal || !ip_addr_equal(&have.local, &want->local))
		return DEVICE_MOVABLE;
	return DEVICE_SAME;
}

/* The kernel finds a tunnel by its two addresses. */
static bool conflicts(const void *spec, const struct link_info *link)
{
	const struct ipip_info have = read_info(link);
	const struct device_ipip *want = spec;

	return have.plain && ip_addr_equal(&have.local, &want->local);
}

const struct device_kind device_ipip = {
	.name = "ipip",
	.encode = encode,
	.match = match,
	.conflicts = conflicts,
};
