/* SPDX-License-Identifier: Apache-2.0 */
/* Source: linux/if_link.h; drivers/net/vxlan/vxlan_core.c (vxlan_nl2conf) for what can change. */
#include "kernel/device_vxlan.h"

#include <linux/if_link.h>

#include "kernel/link.h"
#include "kernel/message.h"

/* What a device of this kind says of itself. */
struct vxlan_info {
	struct device_vxlan spec;
	uint32_t foreign; /* switches that are on and that we never ask for, by attribute */
};

/* Each changes which packets the device takes, sends or answers. None can be switched off. */
static bool is_foreign_switch(unsigned type)
{
	return type == IFLA_VXLAN_GROUP || type == IFLA_VXLAN_GROUP6 || type == IFLA_VXLAN_L2MISS ||
	       type == IFLA_VXLAN_L3MISS || type == IFLA_VXLAN_PROXY || type == IFLA_VXLAN_RSC ||
	       type == IFLA_VXLAN_COLLECT_METADATA || type == IFLA_VXLAN_GPE;
}

/* Flags have no payload, or one byte. */
static bool is_on(const struct nlattr *a)
{
	const uint8_t *p = nlattr_data(a);

	for (size_t i = 0; i < nlattr_size(a); i++) {
		if (p[i])
			return true;
	}
	return nlattr_size(a) == 0;
}

static void read_attribute(const struct nlattr *a, struct vxlan_info *ret)
{
	unsigned type = nlattr_type(a);
	size_t size = nlattr_size(a);
	struct device_vxlan *v = &ret->spec;

	if (type == IFLA_VXLAN_ID && size == 4)
		v->vni = nlattr_u32(a);
	else if (type == IFLA_VXLAN_LINK && size == 4)
		v->lower_ifindex = nlattr_u32(a);
	else if (type == IFLA_VXLAN_PORT && size == 2)
		v->port = be16toh(nlattr_u16(a));
	else if (type == IFLA_VXLAN_LOCAL && size == 4)
		v->local = ip_addr_from_bytes(AF_INET, nlattr_data(a));
	else if (type == IFLA_VXLAN_LOCAL6 && size == 16)
		v->local = ip_addr_from_bytes(AF_INET6, nlattr_data(a));
	else if (type == IFLA_VXLAN_LEARNING)
		v->learning = is_on(a);
	else if (type == IFLA_VXLAN_GBP)
		v->gbp = is_on(a);
	else if (is_foreign_switch(type) && is_on(a))
		ret->foreign |= 1u << type;
}

static struct vxlan_info read_info(const struct link_info *link)
{
	struct vxlan_info info = { 0 };
	const struct nlattr *attr;

	nlattr_for_each_in (attr, link->data, link->data_size)
		read_attribute(attr, &info);
	return info;
}

void device_vxlan_read(const struct link_info *link, struct device_vxlan *ret)
{
	*ret = read_info(link).spec;
}

static void encode(struct nlmsghdr *hdr, const void *spec, bool change)
{
	const struct device_vxlan *v = spec;

	if (!change) {
		nlattr_put_u32(hdr, IFLA_VXLAN_ID, v->vni);
		nlattr_put_u16(hdr, IFLA_VXLAN_PORT, htobe16(v->port));
		if (v->gbp)
			nlattr_put(hdr, IFLA_VXLAN_GBP, 0, NULL);
	}
	if (v->lower_ifindex)
		nlattr_put_u32(hdr, IFLA_VXLAN_LINK, v->lower_ifindex);
	if (ip_addr_is_set(&v->local))
		nlattr_put(hdr, v->local.family == AF_INET ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6,
			   ip_addr_size(&v->local), v->local.b);
	nlattr_put_u8(hdr, IFLA_VXLAN_LEARNING, v->learning);
}

static enum device_match match(const void *spec, const struct link_info *link)
{
	const struct vxlan_info info = read_info(link);
	const struct device_vxlan *have = &info.spec;
	const struct device_vxlan *want = spec;

	if (have->vni != want->vni || have->port != want->port || have->gbp != want->gbp ||
	    have->local.family != want->local.family || info.foreign)
		return DEVICE_OTHER;
	if (have->lower_ifindex != want->lower_ifindex || have->learning != want->learning ||
	    !ip_addr_equal(&have->local, &want->local))
		return DEVICE_MOVABLE;
	return DEVICE_SAME;
}

/* One socket serves all devices with one port and the same switches; unlike ones exclude each other,
 * as do two with one VNI. */
static bool conflicts(const void *spec, const struct link_info *link)
{
	const struct device_vxlan *want = spec;

	return read_info(link).spec.port == want->port;
}

const struct device_kind device_vxlan = {
	.name = "vxlan",
	.encode = encode,
	.match = match,
	.conflicts = conflicts,
};
