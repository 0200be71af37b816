/* SPDX-License-Identifier: Apache-2.0 */
/* Permanent neighbours: which MAC address an overlay address has. Source: linux/neighbour.h. */
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "kernel/kind_attrs.h"

struct kernel_object kernel_neighbour(uint32_t ifindex, const struct ip_addr *addr,
				      const struct mac_addr *mac)
{
	struct kernel_object o = {
		.key = { .kind = KERNEL_NEIGHBOUR, .family = addr->family, .ifindex = ifindex },
		.value = { .state = NUD_PERMANENT }
	};

	memcpy(o.key.dst, addr->b, sizeof(o.key.dst));
	memcpy(o.value.gateway, mac->b, sizeof(mac->b));
	return o;
}

static bool owns(const struct kernel_marks *marks, const struct kernel_object *o)
{
	return kernel_marks_device(marks, o->key.ifindex) && (o->value.state & NUD_PERMANENT) &&
	       !(o->value.flags & NTF_PROXY);
}

static int dump(struct kernel *k, struct kernel_objects *found, struct err *e)
{
	int rc = kernel_dump_devices(k, KERNEL_NEIGHBOUR, AF_INET, found, e);

	return rc < 0 ? rc : kernel_dump_devices(k, KERNEL_NEIGHBOUR, AF_INET6, found, e);
}

static void encode(enum kernel_verb verb, const struct kernel_object *o, struct nlmsghdr *hdr)
{
	struct ndmsg *m;

	kind_put_header(hdr, RTM_NEWNEIGH, verb);
	m = nlmsg_put_header(hdr, sizeof(*m));
	m->ndm_family = o->key.family;
	m->ndm_ifindex = (int)o->key.ifindex;
	m->ndm_state = o->value.state;
	m->ndm_flags = o->value.flags;
	m->ndm_type = RTN_UNICAST;
	nlattr_put(hdr, NDA_DST, kind_family_size(o->key.family), o->key.dst);
	nlattr_put(hdr, NDA_LLADDR, 6, o->value.gateway);
}

static void encode_dump(int family, uint32_t ifindex, uint8_t protocol UNUSED, struct nlmsghdr *hdr)
{
	struct ndmsg *m = kind_put_dump(hdr, RTM_GETNEIGH, sizeof(*m));

	m->ndm_family = (uint8_t)family;
	if (ifindex)
		nlattr_put_u32(hdr, NDA_IFINDEX, ifindex);
}

static bool decode(const struct nlmsghdr *hdr, struct kernel_object *o)
{
	const struct ndmsg *m = nlmsg_data(hdr);
	struct kind_attrs a;

	if (!kind_is_message(hdr, RTM_NEWNEIGH, sizeof(*m)) ||
	    (m->ndm_family != AF_INET && m->ndm_family != AF_INET6))
		return false;
	a = kind_attrs(hdr, sizeof(*m));
	o->key.family = m->ndm_family;
	o->key.ifindex = (uint32_t)m->ndm_ifindex;
	o->value.state = (uint8_t)m->ndm_state;
	o->value.flags = m->ndm_flags;
	kind_copy_attr(&a, NDA_LLADDR, 6, o->value.gateway);
	return kind_copy_attr(&a, NDA_DST, kind_family_size(m->ndm_family), o->key.dst);
}

static void describe(const struct kernel_object *o, char *buf, size_t size)
{
	struct ip_addr dst = kernel_object_dst(o);
	struct mac_addr mac;
	char dst_text[IP_ADDR_TEXT];
	char mac_text[MAC_TEXT];

	memcpy(mac.b, o->value.gateway, sizeof(mac.b));
	snprintf(buf, size, "neighbour %s lladdr %s dev %u", ip_addr_format(&dst, dst_text),
		 mac_addr_format(&mac, mac_text), o->key.ifindex);
}

extern const struct kernel_kind kernel_kind_neighbour;
const struct kernel_kind kernel_kind_neighbour = {
	.name = "neighbour",
	.owns = owns,
	.dump = dump,
	.encode = encode,
	.encode_dump = encode_dump,
	.decode = decode,
	.describe = describe,
};
