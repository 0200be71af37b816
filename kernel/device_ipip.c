/* SPDX-License-Identifier: Apache-2.0 */
/* Source: linux/if_tunnel.h; net/ipv4/ipip.c (ipip_netlink_parms) for defaults and what can change. */
#include "kernel/device_ipip.h"

#include "kernel/link.h" /* net/if.h comes before linux/if.h */

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_tunnel.h>
#include <netinet/in.h>

#include "kernel/fou.h"
#include "kernel/message.h"

/* What a device of this kind says of itself. */
struct ipip_info {
	struct ip_addr local;
	bool plain;  /* to any remote, IPv4 inside: a tunnel as ours */
	bool normal; /* and with the rest as we leave it */
	uint16_t encap_type;
	uint16_t encap_flags;
	uint16_t source_port;
	uint16_t destination_port;
};

static bool is_zero(const struct nlattr *a)
{
	const uint8_t *p = nlattr_data(a);

	for (size_t i = 0; i < nlattr_size(a); i++) {
		if (p[i])
			return false;
	}
	return true;
}

static uint16_t read_u16(const struct nlattr *a)
{
	return nlattr_size(a) == sizeof(uint16_t) ? nlattr_u16(a) : 0;
}

static void read_attribute(const struct nlattr *a, struct ipip_info *ret)
{
	switch (nlattr_type(a)) {
	case IFLA_IPTUN_LOCAL:
		if (nlattr_size(a) == 4)
			ret->local = ip_addr_from_bytes(AF_INET, nlattr_data(a));
		break;
	case IFLA_IPTUN_REMOTE:
		ret->plain &= is_zero(a);
		break;
	case IFLA_IPTUN_ENCAP_TYPE:
		ret->encap_type = read_u16(a);
		break;
	case IFLA_IPTUN_ENCAP_FLAGS:
		ret->encap_flags = read_u16(a);
		break;
	case IFLA_IPTUN_ENCAP_SPORT:
		ret->source_port = ntohs(read_u16(a));
		break;
	case IFLA_IPTUN_ENCAP_DPORT:
		ret->destination_port = ntohs(read_u16(a));
		break;
	case IFLA_IPTUN_COLLECT_METADATA:
		ret->plain = false;
		break;
	case IFLA_IPTUN_PROTO:
		ret->plain &=
			nlattr_size(a) == 1 && (nlattr_u8(a) == IPPROTO_IPIP || nlattr_u8(a) == 0);
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

	nlattr_for_each_in (attr, link->data, link->data_size)
		read_attribute(attr, &info);
	return info;
}

void device_ipip_read(const struct link_info *link, struct device_ipip *ret)
{
	struct ipip_info info = read_info(link);

	*ret = (struct device_ipip){ .local = info.local,
				     .udp_port = info.encap_type == TUNNEL_ENCAP_FOU
							 ? info.destination_port
							 : 0 };
}

/* What is not named is what the kernel leaves unset: a change sets all anew. */
static void encode(struct nlmsghdr *hdr, const void *spec, bool change UNUSED)
{
	const struct device_ipip *i = spec;

	nlattr_put(hdr, IFLA_IPTUN_LOCAL, ip_addr_size(&i->local), i->local.b);
	nlattr_put_u8(hdr, IFLA_IPTUN_PROTO, IPPROTO_IPIP);
	nlattr_put_u8(hdr, IFLA_IPTUN_PMTUDISC, 1);
	nlattr_put_u16(hdr, IFLA_IPTUN_ENCAP_TYPE,
		       i->udp_port ? TUNNEL_ENCAP_FOU : TUNNEL_ENCAP_NONE);
	nlattr_put_u16(hdr, IFLA_IPTUN_ENCAP_FLAGS, 0); /* no checksum: flannel sends none */
	nlattr_put_u16(hdr, IFLA_IPTUN_ENCAP_SPORT, htons(i->udp_port));
	nlattr_put_u16(hdr, IFLA_IPTUN_ENCAP_DPORT, htons(i->udp_port));
}

/* Ports of a device without encapsulation mean nothing. */
static bool has_encap(const struct ipip_info *have, const struct device_ipip *want)
{
	if (!want->udp_port)
		return have->encap_type == TUNNEL_ENCAP_NONE;
	return have->encap_type == TUNNEL_ENCAP_FOU && have->encap_flags == 0 &&
	       have->source_port == want->udp_port && have->destination_port == want->udp_port;
}

static enum device_match match(const void *spec, const struct link_info *link)
{
	const struct ipip_info have = read_info(link);
	const struct device_ipip *want = spec;

	if (!have.plain)
		return DEVICE_OTHER;
	if (!have.normal || !has_encap(&have, want) || !ip_addr_equal(&have.local, &want->local))
		return DEVICE_MOVABLE;
	return DEVICE_SAME;
}

/* Without the module a device in UDP is refused with "Invalid argument". */
static int prepare(const void *spec, struct err *e)
{
	const struct device_ipip *want = spec;

	return want->udp_port ? fou_available(e) : 0;
}

static int configure(struct kernel *k UNUSED, uint32_t ifindex UNUSED, const void *spec,
		     struct err *e)
{
	const struct device_ipip *want = spec;

	return want->udp_port ? fou_listen(&want->local, want->udp_port, e) : 0;
}

static int release(const struct link_info *link, struct err *e)
{
	const struct ipip_info was = read_info(link);
	int rc;

	if (was.encap_type != TUNNEL_ENCAP_FOU || !ip_addr_is_set(&was.local))
		return 0;
	rc = fou_close(&was.local, was.destination_port, e);
	return rc == -ENOENT ? 0 : rc;
}

/* The kernel finds a tunnel by its two addresses, whatever is around its packets. */
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
	.prepare = prepare,
	.configure = configure,
	.release = release,
	.conflicts = conflicts,
};
