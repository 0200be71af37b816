/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of a tunnel device's forwarding database: behind which host a MAC address is. Source:
 * linux/neighbour.h. */
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "kernel/kind_attrs.h"

struct kernel_object kernel_fdb(uint32_t ifindex, const struct mac_addr *mac,
				const struct ip_addr *remote)
{
	struct kernel_object o = {
		.key = { .kind = KERNEL_FDB, .family = AF_BRIDGE, .ifindex = ifindex },
		.value = { .state = NUD_PERMANENT,
			   .flags = NTF_SELF,
			   .gateway_family = remote->family }
	};

	memcpy(o.key.dst, mac->b, sizeof(mac->b));
	memcpy(o.value.gateway, remote->b, sizeof(o.value.gateway));
	return o;
}

/* Learned entries come and go with the config's Learning; only fixed ones, and those that have more
 * than an address, are made by somebody. */
static bool owns(const struct kernel_marks *marks, const struct kernel_object *o)
{
	return kernel_marks_device(marks, o->key.ifindex) && (o->value.flags & NTF_SELF) &&
	       ((o->value.state & NUD_PERMANENT) || o->value.extra);
}

static int dump(struct kernel *k, struct kernel_objects *found, struct err *e)
{
	return kernel_dump_devices(k, KERNEL_FDB, AF_BRIDGE, found, e);
}

static void encode(enum kernel_verb verb, const struct kernel_object *o, struct nlmsghdr *hdr)
{
	struct ndmsg *m;

	kind_put_header(hdr, RTM_NEWNEIGH, verb);
	m = nlmsg_put_header(hdr, sizeof(*m));
	m->ndm_family = AF_BRIDGE;
	m->ndm_ifindex = (int)o->key.ifindex;
	m->ndm_state = o->value.state;
	m->ndm_flags = o->value.flags;
	nlattr_put(hdr, NDA_LLADDR, 6, o->key.dst);
	/* Without an address the kernel drops the entry whatever is in it; by one it would not find
	 * an entry that differs in port, VNI or interface, or leads to a nexthop object. */
	if (o->value.gateway_family && !(verb == KERNEL_DROP && o->value.extra))
		nlattr_put(hdr, NDA_DST, kind_family_size(o->value.gateway_family),
			   o->value.gateway);
}

/*
 * By an address over an entry with a nexthop object, CREATE | REPLACE is acknowledged and does
 * nothing (6.1 to 7.2): the driver looks for a remote of that address in it. Nobody loses by
 * the moment without an entry, since it led elsewhere.
 */
static void write_fdb(struct kernel_batch *b, enum kernel_verb verb, const struct kernel_object *o,
		      void *cookie)
{
	if (verb == KERNEL_REMAKE) {
		struct kernel_object whatever = *o;

		whatever.value.extra = KERNEL_EXTRA_ATTRIBUTES;
		encode(KERNEL_DROP, &whatever, kernel_batch_message(b));
		kernel_batch_commit(b, NULL);
	}
	encode(verb, o, kernel_batch_message(b));
	kernel_batch_commit(b, cookie);
}

static void encode_dump(int family UNUSED, uint32_t ifindex, uint8_t protocol UNUSED,
			struct nlmsghdr *hdr)
{
	struct ndmsg *m = kind_put_dump(hdr, RTM_GETNEIGH, sizeof(*m));

	m->ndm_family = AF_BRIDGE;
	if (ifindex)
		nlattr_put_u32(hdr, NDA_IFINDEX, ifindex);
}

static bool decode(const struct nlmsghdr *hdr, struct kernel_object *o)
{
	/* The kernel shows them only if they differ from the device's. */
	static const uint8_t extras[] = { NDA_PORT, NDA_VNI, NDA_IFINDEX, NDA_NH_ID };
	const struct ndmsg *m = nlmsg_data(hdr);
	const struct nlattr *dst;
	struct kind_attrs a;
	size_t size;

	if (!kind_is_message(hdr, RTM_NEWNEIGH, sizeof(*m)) || m->ndm_family != AF_BRIDGE ||
	    !(m->ndm_flags & NTF_SELF))
		return false;
	a = kind_attrs(hdr, sizeof(*m));
	dst = a.by_type[NDA_DST];
	size = dst ? nlattr_size(dst) : 0;
	o->key.family = AF_BRIDGE;
	o->key.ifindex = (uint32_t)m->ndm_ifindex;
	o->value.state = (uint8_t)m->ndm_state;
	o->value.flags = m->ndm_flags;
	if (size == 4 || size == 16) {
		o->value.gateway_family = size == 4 ? AF_INET : AF_INET6;
		memcpy(o->value.gateway, nlattr_data(dst), size);
	}
	if (kind_has_any(&a, extras, ARRAY_LEN(extras)))
		o->value.extra = KERNEL_EXTRA_ATTRIBUTES;
	return kind_copy_attr(&a, NDA_LLADDR, 6, o->key.dst);
}

static void describe(const struct kernel_object *o, char *buf, size_t size)
{
	struct ip_addr remote = kernel_object_gateway(o);
	struct mac_addr mac;
	char remote_text[IP_ADDR_TEXT];
	char mac_text[MAC_TEXT];

	memcpy(mac.b, o->key.dst, sizeof(mac.b));
	snprintf(buf, size, "fdb %s dst %s dev %u", mac_addr_format(&mac, mac_text),
		 ip_addr_format(&remote, remote_text), o->key.ifindex);
}

/* The key is a MAC address; packets travel in the family of the host behind it. */
static uint8_t family(const struct kernel_object *o)
{
	return o->value.gateway_family;
}

extern const struct kernel_kind kernel_kind_fdb;
const struct kernel_kind kernel_kind_fdb = {
	.name = "fdb",
	.flags = KERNEL_KIND_SEVERAL | KERNEL_KIND_UNPROVEN,
	.owns = owns,
	.dump = dump,
	.encode = encode,
	.write = write_fdb,
	.encode_dump = encode_dump,
	.decode = decode,
	.describe = describe,
	.family = family,
};
