/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses on our devices. Source: linux/if_addr.h. */
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "kernel/kind_attrs.h"

struct kernel_object kernel_address(uint32_t ifindex, const struct ip_net *net)
{
	struct kernel_object o = { .key = { .kind = KERNEL_ADDRESS,
					    .family = net->addr.family,
					    .len = net->len,
					    .ifindex = ifindex },
				   .value = { .scope = RT_SCOPE_UNIVERSE } };

	memcpy(o.key.dst, net->addr.b, sizeof(o.key.dst));
	return o;
}

static bool owns(const struct kernel_marks *marks, const struct kernel_object *o)
{
	struct ip_addr dst = kernel_object_dst(o);

	return kernel_marks_device(marks, o->key.ifindex) && !ip_addr_is_link_local(&dst);
}

static int dump(struct kernel *k, struct kernel_objects *found, struct err *e)
{
	int rc = kernel_dump_devices(k, KERNEL_ADDRESS, AF_INET, found, e);

	return rc < 0 ? rc : kernel_dump_devices(k, KERNEL_ADDRESS, AF_INET6, found, e);
}

static void encode(enum kernel_verb verb, const struct kernel_object *o, struct nlmsghdr *hdr)
{
	size_t size = kind_family_size(o->key.family);
	struct ifaddrmsg *m;

	kind_put_header(hdr, RTM_NEWADDR, verb);
	m = nlmsg_put_header(hdr, sizeof(*m));
	m->ifa_family = o->key.family;
	m->ifa_prefixlen = o->key.len;
	m->ifa_scope = o->value.scope;
	m->ifa_index = o->key.ifindex;
	nlattr_put(hdr, IFA_LOCAL, size, o->key.dst);
	nlattr_put(hdr, IFA_ADDRESS, size, o->key.dst);
	/* The address is ours by lease: looking for a duplicate on a device without broadcast would
	 * only delay it. */
	if (o->key.family == AF_INET6)
		nlattr_put_u32(hdr, IFA_FLAGS, IFA_F_NODAD);
}

static void encode_dump(int family, uint32_t ifindex, uint8_t protocol UNUSED, struct nlmsghdr *hdr)
{
	struct ifaddrmsg *m = kind_put_dump(hdr, RTM_GETADDR, sizeof(*m));

	m->ifa_family = (uint8_t)family;
	m->ifa_index = ifindex;
}

static bool decode(const struct nlmsghdr *hdr, struct kernel_object *o)
{
	const struct ifaddrmsg *m = nlmsg_data(hdr);
	struct kind_attrs a;
	size_t size;

	if (!kind_is_message(hdr, RTM_NEWADDR, sizeof(*m)))
		return false;
	if (m->ifa_family != AF_INET && m->ifa_family != AF_INET6)
		return false;
	if (m->ifa_prefixlen > ip_family_bits(m->ifa_family))
		return false;
	a = kind_attrs(hdr, sizeof(*m));
	size = kind_family_size(m->ifa_family);
	o->key.family = m->ifa_family;
	o->key.len = m->ifa_prefixlen;
	o->key.ifindex = m->ifa_index;
	o->value.scope = m->ifa_scope;
	return kind_copy_attr(&a, IFA_LOCAL, size, o->key.dst) ||
	       kind_copy_attr(&a, IFA_ADDRESS, size, o->key.dst);
}

static void describe(const struct kernel_object *o, char *buf, size_t size)
{
	struct ip_addr dst = kernel_object_dst(o);
	char text[IP_ADDR_TEXT];

	snprintf(buf, size, "address %s/%u dev %u", ip_addr_format(&dst, text), o->key.len,
		 o->key.ifindex);
}

extern const struct kernel_kind kernel_kind_address;
const struct kernel_kind kernel_kind_address = {
	.name = "address",
	/* With a device's last address go its routes and neighbours. */
	.flags = KERNEL_KIND_CARRIES,
	.owns = owns,
	.dump = dump,
	.encode = encode,
	.encode_dump = encode_dump,
	.decode = decode,
	.describe = describe,
};
