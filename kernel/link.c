/* SPDX-License-Identifier: Apache-2.0 */
/* Source: linux/if_link.h, linux/rtnetlink.h. */
#include "kernel/link.h"

#include <errno.h>
#include <linux/rtnetlink.h>

#include "kernel/kind_attrs.h"

#define REQUEST_MAX (1024 + LINK_DATA_MAX)

/* ---- what the kernel says ---- */

/* At most as much as there is room for; it need not have a NUL. */
static void copy_text(const struct nlattr *a, char *buf, size_t size)
{
	size_t len = MIN((size_t)nlattr_size(a), size - 1);

	memcpy(buf, nlattr_data(a), len);
	buf[len] = '\0';
}

/* False: it has another size. */
static bool copy_number(const struct nlattr *a, uint32_t *ret)
{
	if (nlattr_size(a) != sizeof(*ret))
		return false;
	memcpy(ret, nlattr_data(a), sizeof(*ret));
	return true;
}

/* What its kind says of a device, as the kernel sent it: IFLA_INFO_DATA inside IFLA_LINKINFO. */
static void keep_data(const struct nlattr *data, struct link_info *ret)
{
	uint16_t size = nlattr_size(data);

	if (size > sizeof(ret->data))
		return;
	ret->data_size = size;
	memcpy(ret->data, nlattr_data(data), size);
}

static bool read_flag(const struct nlattr *a)
{
	return nlattr_size(a) >= 1 && nlattr_u8(a) != 0;
}

/* What its bridge says of a port: IFLA_INFO_SLAVE_DATA. */
static void read_port(const struct nlattr *data, struct link_info *ret)
{
	const struct nlattr *a;

	nlattr_for_each_nested (a, data) {
		if (nlattr_type(a) == IFLA_BRPORT_STATE && nlattr_size(a) >= 1)
			ret->port_state = nlattr_u8(a);
		else if (nlattr_type(a) == IFLA_BRPORT_ISOLATED ||
			 nlattr_type(a) == IFLA_BRPORT_LOCKED)
			ret->port_confined |= read_flag(a);
	}
}

static void read_bridge(const struct nlattr *data, struct link_info *ret)
{
	const struct nlattr *a;

	nlattr_for_each_nested (a, data) {
		if (nlattr_type(a) == IFLA_BR_VLAN_FILTERING)
			ret->vlans = read_flag(a);
	}
}

static void read_xdp(const struct nlattr *xdp, struct link_info *ret)
{
	const struct nlattr *a;

	nlattr_for_each_nested (a, xdp) {
		if (nlattr_type(a) == IFLA_XDP_ATTACHED)
			ret->xdp = read_flag(a);
	}
}

static void read_linkinfo(const struct nlattr *info, struct link_info *ret)
{
	const struct nlattr *a;
	char above[sizeof(ret->kind)] = ""; /* the kind of what it is a port of */

	nlattr_for_each_nested (a, info) {
		if (nlattr_type(a) == IFLA_INFO_KIND)
			copy_text(a, ret->kind, sizeof(ret->kind));
		else if (nlattr_type(a) == IFLA_INFO_SLAVE_KIND)
			copy_text(a, above, sizeof(above));
		else if (nlattr_type(a) == IFLA_INFO_SLAVE_DATA && strcmp(above, "bridge") == 0)
			read_port(a, ret);
		else if (nlattr_type(a) == IFLA_INFO_DATA && strcmp(ret->kind, "bridge") == 0)
			read_bridge(a, ret);
		if (nlattr_type(a) == IFLA_INFO_DATA)
			keep_data(a, ret);
	}
}

static bool read_attr(const struct nlattr *a, struct link_info *ret)
{
	switch (nlattr_type(a)) {
	case IFLA_IFNAME:
		copy_text(a, ret->name, sizeof(ret->name));
		break;
	case IFLA_IFALIAS:
		copy_text(a, ret->alias, sizeof(ret->alias));
		break;
	case IFLA_ADDRESS:
		if (nlattr_size(a) == sizeof(ret->mac.b))
			memcpy(ret->mac.b, nlattr_data(a), sizeof(ret->mac.b));
		break;
	case IFLA_MTU:
		return copy_number(a, &ret->mtu_bytes);
	case IFLA_MASTER:
		return copy_number(a, &ret->master_ifindex);
	case IFLA_GROUP:
		return copy_number(a, &ret->group);
	case IFLA_LINK_NETNSID:
		ret->peer_elsewhere = true;
		break;
	case IFLA_XDP:
		read_xdp(a, ret);
		break;
	case IFLA_LINKINFO:
		read_linkinfo(a, ret);
		break;
	default:
		break;
	}
	return true;
}

bool link_decode(const struct nlmsghdr *hdr, struct link_info *ret, bool *ret_gone)
{
	const struct ifinfomsg *info = nlmsg_data(hdr);
	struct link_info link = { 0 };
	const struct nlattr *a;

	if (!kind_is_message(hdr, RTM_NEWLINK, sizeof(*info)) || info->ifi_index <= 0)
		return false;
	link.ifindex = (uint32_t)info->ifi_index;
	link.up = info->ifi_flags & IFF_UP;
	link.running = info->ifi_flags & IFF_RUNNING;
	link.loopback = info->ifi_flags & IFF_LOOPBACK;
	link.no_arp = info->ifi_flags & IFF_NOARP;
	nlattr_for_each (a, hdr, sizeof(*info)) {
		if (!read_attr(a, &link))
			return false;
	}
	*ret = link;
	*ret_gone = hdr->nlmsg_type == RTM_DELLINK;
	return true;
}

struct link_array {
	struct link_info *items;
	size_t len;
	size_t cap;
};

static void collect(void *arg, const struct nlmsghdr *hdr)
{
	struct link_array *a = arg;
	struct link_info link;
	bool gone;

	if (link_decode(hdr, &link, &gone) && !gone) {
		GROW(a->items, a->len, a->cap);
		a->items[a->len++] = link;
	}
}

/* ---- what it is told ---- */

/* A request about one device. */
struct request {
	struct nlmsghdr *hdr;
	struct ifinfomsg *info;
	char bytes[REQUEST_MAX] __attribute__((aligned(8)));
};

/* ifindex 0: it is told by its name, or does not exist yet. */
static void begin(struct request *r, uint16_t type, uint32_t ifindex)
{
	memset(r->bytes, 0, sizeof(r->bytes));
	r->hdr = nlmsg_begin(r->bytes);
	r->hdr->nlmsg_type = type;
	r->hdr->nlmsg_flags = NLM_F_REQUEST;
	r->info = nlmsg_put_header(r->hdr, sizeof(*r->info));
	r->info->ifi_index = (int)ifindex;
}

static int get(struct netlink *nl, uint32_t ifindex, const char *name, struct link_info *ret,
	       struct err *e)
{
	struct link_array found = { 0 };
	struct request r;
	int rc;

	begin(&r, RTM_GETLINK, ifindex);
	if (name && strlen(name) >= IFNAMSIZ)
		return err_set(e, -ENODEV, "No such device");
	if (name)
		nlattr_put_text(r.hdr, IFLA_IFNAME, name);
	rc = netlink_call(nl, r.hdr, collect, &found, e);
	if (rc == 0 && found.len != 1)
		rc = err_set(e, -ENODEV, "No such device");
	if (rc == 0)
		*ret = found.items[0];
	free(found.items);
	return rc;
}

int link_get_by_name(struct netlink *nl, const char *name, struct link_info *ret, struct err *e)
{
	if (get(nl, 0, name, ret, e) < 0)
		return err_wrap(e, "device %s", name);
	return 0;
}

int link_get_by_index(struct netlink *nl, uint32_t ifindex, struct link_info *ret, struct err *e)
{
	if (get(nl, ifindex, NULL, ret, e) < 0)
		return err_wrap(e, "device %u", ifindex);
	return 0;
}

static void forget(void *arg)
{
	struct link_array *found = arg;

	found->len = 0;
}

int link_list(struct netlink *nl, struct link_info **ret, size_t *ret_len, struct err *e)
{
	struct link_array found = { 0 };
	struct request r;

	begin(&r, RTM_GETLINK, 0);
	if (netlink_dump(nl, r.hdr, collect, forget, &found, e) < 0) {
		free(found.items);
		return err_wrap(e, "devices");
	}
	*ret = found.items;
	*ret_len = found.len;
	return 0;
}

/* The part of a request that is the kind's. */
static void put_linkinfo(struct nlmsghdr *hdr, const struct device_kind *kind, const void *spec,
			 bool change)
{
	struct nlattr *info = nlattr_nest_begin(hdr, IFLA_LINKINFO);
	struct nlattr *data;

	nlattr_put_text(hdr, IFLA_INFO_KIND, kind->name);
	data = nlattr_nest_begin(hdr, IFLA_INFO_DATA);
	kind->encode(hdr, spec, change);
	nlattr_nest_end(hdr, data);
	nlattr_nest_end(hdr, info);
}

int link_create(struct netlink *nl, const struct link_new *device, struct err *e)
{
	struct request r;

	begin(&r, RTM_NEWLINK, 0);
	r.hdr->nlmsg_flags |= NLM_F_CREATE | NLM_F_EXCL;
	nlattr_put_text(r.hdr, IFLA_IFNAME, device->name);
	if (!mac_addr_is_zero(&device->mac))
		nlattr_put(r.hdr, IFLA_ADDRESS, sizeof(device->mac.b), device->mac.b);
	if (device->mtu_bytes)
		nlattr_put_u32(r.hdr, IFLA_MTU, device->mtu_bytes);
	put_linkinfo(r.hdr, device->kind, device->spec, false);
	if (netlink_call(nl, r.hdr, NULL, NULL, e) < 0)
		return err_wrap(e, "create device %s", device->name);
	return 0;
}

int link_delete(struct netlink *nl, uint32_t ifindex, struct err *e)
{
	struct request r;

	begin(&r, RTM_DELLINK, ifindex);
	if (netlink_call(nl, r.hdr, NULL, NULL, e) < 0)
		return err_wrap(e, "delete device %u", ifindex);
	return 0;
}

int link_change(struct netlink *nl, uint32_t ifindex, const struct device_kind *kind,
		const void *spec, struct err *e)
{
	struct request r;

	begin(&r, RTM_NEWLINK, ifindex);
	put_linkinfo(r.hdr, kind, spec, true);
	if (netlink_call(nl, r.hdr, NULL, NULL, e) < 0)
		return err_wrap(e, "device %u: change its %s attributes", ifindex, kind->name);
	return 0;
}

/* A change of an existing device, which has been put into `r`. */
static int set(struct netlink *nl, struct request *r, const char *what, struct err *e)
{
	uint32_t ifindex = (uint32_t)r->info->ifi_index;

	if (netlink_call(nl, r->hdr, NULL, NULL, e) < 0)
		return err_wrap(e, "device %u: set %s", ifindex, what);
	return 0;
}

static int set_flags(struct netlink *nl, uint32_t ifindex, unsigned flags, const char *what,
		     struct err *e)
{
	struct request r;

	begin(&r, RTM_NEWLINK, ifindex);
	r.info->ifi_flags = flags;
	r.info->ifi_change = IFF_UP;
	return set(nl, &r, what, e);
}

int link_set_up(struct netlink *nl, uint32_t ifindex, struct err *e)
{
	return set_flags(nl, ifindex, IFF_UP, "up", e);
}

int link_set_down(struct netlink *nl, uint32_t ifindex, struct err *e)
{
	return set_flags(nl, ifindex, 0, "down", e);
}

static int set_name(struct netlink *nl, uint32_t ifindex, const char *name, struct err *e)
{
	struct request r;

	begin(&r, RTM_NEWLINK, ifindex);
	nlattr_put_text(r.hdr, IFLA_IFNAME, name);
	return set(nl, &r, "name", e);
}

int link_set_name(struct netlink *nl, uint32_t ifindex, const char *name, struct err *e)
{
	int rc = set_name(nl, ifindex, name, e);

	if (rc == -EBUSY) {
		rc = link_set_down(nl, ifindex, e);
		if (rc == 0)
			rc = set_name(nl, ifindex, name, e);
	}
	return rc;
}

int link_set_alias(struct netlink *nl, uint32_t ifindex, const char *alias, struct err *e)
{
	struct request r;

	begin(&r, RTM_NEWLINK, ifindex);
	nlattr_put_text(r.hdr, IFLA_IFALIAS, alias);
	return set(nl, &r, "alias", e);
}

int link_set_mtu(struct netlink *nl, uint32_t ifindex, uint32_t mtu_bytes, struct err *e)
{
	struct request r;

	begin(&r, RTM_NEWLINK, ifindex);
	nlattr_put_u32(r.hdr, IFLA_MTU, mtu_bytes);
	return set(nl, &r, "MTU", e);
}

int link_set_alone(struct netlink *nl, uint32_t ifindex, struct err *e)
{
	struct request r;

	begin(&r, RTM_NEWLINK, ifindex);
	nlattr_put_u32(r.hdr, IFLA_MASTER, 0);
	return set(nl, &r, "no master", e);
}

int link_set_mac(struct netlink *nl, uint32_t ifindex, const struct mac_addr *mac, struct err *e)
{
	struct request r;

	begin(&r, RTM_NEWLINK, ifindex);
	nlattr_put(r.hdr, IFLA_ADDRESS, sizeof(mac->b), mac->b);
	return set(nl, &r, "MAC address", e);
}
