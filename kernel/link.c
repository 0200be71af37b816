/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/link.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/addr.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/route/link.h>

/* libnl objects need a cleanup of their own type. */
static void put_link(struct rtnl_link **link)
{
	if (*link)
		rtnl_link_put(*link);
}

static void put_msg(struct nl_msg **msg)
{
	if (*msg)
		nlmsg_free(*msg);
}

static void put_addr(struct nl_addr **addr)
{
	if (*addr)
		nl_addr_put(*addr);
}

#define auto_link __attribute__((cleanup(put_link)))
#define auto_msg  __attribute__((cleanup(put_msg)))
#define auto_addr __attribute__((cleanup(put_addr)))

static int from_libnl(struct err *e, int code, const char *what)
{
	return err_set(e, code == -NLE_NOMEM ? -ENOMEM : -EINVAL, "%s: %s", what,
		       nl_geterror(code));
}

static void read_link(struct rtnl_link *link, struct link_info *ret)
{
	struct nl_addr *mac = rtnl_link_get_addr(link);
	const char *kind = rtnl_link_get_type(link);
	const char *name = rtnl_link_get_name(link);
	const char *alias = rtnl_link_get_ifalias(link);
	unsigned flags = rtnl_link_get_flags(link);
	int32_t netns_id;

	ret->ifindex = (uint32_t)rtnl_link_get_ifindex(link);
	snprintf(ret->name, sizeof(ret->name), "%s", name ? name : "");
	snprintf(ret->kind, sizeof(ret->kind), "%s", kind ? kind : "");
	snprintf(ret->alias, sizeof(ret->alias), "%s", alias ? alias : "");
	ret->mtu_bytes = rtnl_link_get_mtu(link);
	ret->up = flags & IFF_UP;
	ret->running = flags & IFF_RUNNING;
	ret->loopback = flags & IFF_LOOPBACK;
	ret->no_arp = flags & IFF_NOARP;
	ret->master_ifindex = (uint32_t)rtnl_link_get_master(link);
	ret->group = rtnl_link_get_group(link);
	ret->peer_elsewhere = rtnl_link_get_link_netnsid(link, &netns_id) == 0;
	if (mac && nl_addr_get_len(mac) == sizeof(ret->mac.b))
		memcpy(ret->mac.b, nl_addr_get_binary_addr(mac), sizeof(ret->mac.b));
}

static void on_object(struct nl_object *object, void *arg)
{
	read_link((struct rtnl_link *)object, arg);
}

/* What its kind says of a device, as the kernel sent it: IFLA_INFO_DATA inside IFLA_LINKINFO. */
static void keep_data(const struct nlattr *data, struct link_info *ret)
{
	if (nla_len(data) > (int)sizeof(ret->data))
		return;
	ret->data_size = (uint16_t)nla_len(data);
	memcpy(ret->data, nla_data(data), ret->data_size);
}

/*
 * libnl takes for granted that statistics of a device come with its attributes; it reads through a
 * null pointer if they do not. False for such a message.
 */
static bool read_linkinfo(const struct nlmsghdr *hdr, struct link_info *ret)
{
	struct nlattr *info;
	struct nlattr *a;
	int info_left;
	int left;

	nlmsg_for_each_attr (info, (struct nlmsghdr *)hdr, sizeof(struct ifinfomsg), info_left) {
		bool has_statistics = false;
		bool has_data = false;

		if (nla_type(info) != IFLA_LINKINFO)
			continue;
		nla_for_each_nested (a, info, left) {
			has_statistics |= nla_type(a) == IFLA_INFO_XSTATS;
			if (nla_type(a) == IFLA_INFO_DATA) {
				has_data = true;
				keep_data(a, ret);
			}
		}
		if (has_statistics && !has_data)
			return false;
	}
	return true;
}

bool link_decode(const struct nlmsghdr *hdr, struct link_info *ret, bool *ret_gone)
{
	auto_msg struct nl_msg *msg = NULL;
	struct link_info link = { 0 };

	if (hdr->nlmsg_type != RTM_NEWLINK && hdr->nlmsg_type != RTM_DELLINK)
		return false;
	if (!read_linkinfo(hdr, &link))
		return false;
	msg = nlmsg_convert((struct nlmsghdr *)hdr);
	if (!msg)
		return false;
	nlmsg_set_proto(msg, NETLINK_ROUTE);
	if (nl_msg_parse(msg, on_object, &link) < 0 || !link.ifindex)
		return false;
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

static int get(struct netlink *nl, uint32_t ifindex, const char *name, struct link_info *ret,
	       struct err *e)
{
	struct link_array found = { 0 };
	auto_msg struct nl_msg *msg = NULL;
	int rc;

	rc = rtnl_link_build_get_request((int)ifindex, name, &msg);
	if (rc < 0)
		return from_libnl(e, rc, "device request");
	rc = netlink_call(nl, nlmsg_hdr(msg), collect, &found, e);
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
	struct {
		struct nlmsghdr hdr;
		struct ifinfomsg info;
	} request = { .hdr = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETLINK } };

	struct link_array found = { 0 };

	if (netlink_dump(nl, &request.hdr, collect, forget, &found, e) < 0) {
		free(found.items);
		return err_wrap(e, "devices");
	}
	*ret = found.items;
	*ret_len = found.len;
	return 0;
}

/*
 * The part of a request that is the kind's. libnl writes it only for kinds that it knows, and then
 * wants to know better; it comes last, so that it can be appended.
 */
static int put_linkinfo(struct nl_msg *msg, const struct device_kind *kind, const void *spec,
			bool change)
{
	struct nlattr *info = nla_nest_start(msg, IFLA_LINKINFO);
	struct nlattr *data;

	if (!info || nla_put_string(msg, IFLA_INFO_KIND, kind->name) < 0 ||
	    nlmsg_get_max_size(msg) < nlmsg_hdr(msg)->nlmsg_len + LINK_DATA_MAX)
		return -NLE_NOMEM;
	data = nla_nest_start(msg, IFLA_INFO_DATA);
	kind->encode(nlmsg_hdr(msg), spec, change);
	nla_nest_end(msg, data);
	return nla_nest_end(msg, info);
}

int link_create(struct netlink *nl, const struct link_new *device, struct err *e)
{
	auto_link struct rtnl_link *link = rtnl_link_alloc();
	auto_addr struct nl_addr *mac = NULL;
	auto_msg struct nl_msg *msg = NULL;
	int rc;

	mac = nl_addr_build(AF_LLC, device->mac.b, sizeof(device->mac.b));
	if (!link || !mac)
		return err_set(e, -ENOMEM, "device %s: out of memory", device->name);
	rtnl_link_set_name(link, device->name);
	if (!mac_addr_is_zero(&device->mac))
		rtnl_link_set_addr(link, mac);
	if (device->mtu_bytes)
		rtnl_link_set_mtu(link, device->mtu_bytes);
	rc = rtnl_link_build_add_request(link, NLM_F_CREATE | NLM_F_EXCL, &msg);
	if (rc == 0)
		rc = put_linkinfo(msg, device->kind, device->spec, false);
	if (rc < 0)
		return from_libnl(e, rc, device->name);
	if (netlink_call(nl, nlmsg_hdr(msg), NULL, NULL, e) < 0)
		return err_wrap(e, "create device %s", device->name);
	return 0;
}

int link_delete(struct netlink *nl, uint32_t ifindex, struct err *e)
{
	struct {
		struct nlmsghdr hdr;
		struct ifinfomsg info;
	} request = { .hdr = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_DELLINK },
		      .info = { .ifi_index = (int)ifindex } };

	if (netlink_call(nl, &request.hdr, NULL, NULL, e) < 0)
		return err_wrap(e, "delete device %u", ifindex);
	return 0;
}

/* A change of an existing device: what `change` sets beyond the index. */
static int set(struct netlink *nl, uint32_t ifindex, struct rtnl_link *change, const char *what,
	       struct err *e)
{
	auto_link struct rtnl_link *orig = rtnl_link_alloc();
	auto_msg struct nl_msg *msg = NULL;
	int rc;

	rtnl_link_set_ifindex(orig, (int)ifindex);
	rc = rtnl_link_build_change_request(orig, change, 0, &msg);
	if (rc < 0)
		return from_libnl(e, rc, what);
	if (netlink_call(nl, nlmsg_hdr(msg), NULL, NULL, e) < 0)
		return err_wrap(e, "device %u: set %s", ifindex, what);
	return 0;
}

int link_change(struct netlink *nl, uint32_t ifindex, const struct device_kind *kind,
		const void *spec, struct err *e)
{
	auto_link struct rtnl_link *orig = rtnl_link_alloc();
	auto_link struct rtnl_link *change = rtnl_link_alloc();
	auto_msg struct nl_msg *msg = NULL;
	int rc;

	rtnl_link_set_ifindex(orig, (int)ifindex);
	rc = rtnl_link_build_change_request(orig, change, 0, &msg);
	if (rc == 0)
		rc = put_linkinfo(msg, kind, spec, true);
	if (rc < 0)
		return from_libnl(e, rc, kind->name);
	if (netlink_call(nl, nlmsg_hdr(msg), NULL, NULL, e) < 0)
		return err_wrap(e, "device %u: change its %s attributes", ifindex, kind->name);
	return 0;
}

int link_set_up(struct netlink *nl, uint32_t ifindex, struct err *e)
{
	auto_link struct rtnl_link *change = rtnl_link_alloc();

	rtnl_link_set_flags(change, IFF_UP);
	return set(nl, ifindex, change, "up", e);
}

int link_set_down(struct netlink *nl, uint32_t ifindex, struct err *e)
{
	auto_link struct rtnl_link *change = rtnl_link_alloc();

	rtnl_link_unset_flags(change, IFF_UP);
	return set(nl, ifindex, change, "down", e);
}

int link_set_name(struct netlink *nl, uint32_t ifindex, const char *name, struct err *e)
{
	auto_link struct rtnl_link *change = rtnl_link_alloc();
	int rc;

	rtnl_link_set_name(change, name);
	rc = set(nl, ifindex, change, "name", e);
	if (rc == -EBUSY) {
		rc = link_set_down(nl, ifindex, e);
		if (rc == 0)
			rc = set(nl, ifindex, change, "name", e);
	}
	return rc;
}

int link_set_alias(struct netlink *nl, uint32_t ifindex, const char *alias, struct err *e)
{
	auto_link struct rtnl_link *change = rtnl_link_alloc();

	rtnl_link_set_ifalias(change, alias);
	return set(nl, ifindex, change, "alias", e);
}

int link_set_mtu(struct netlink *nl, uint32_t ifindex, uint32_t mtu_bytes, struct err *e)
{
	auto_link struct rtnl_link *change = rtnl_link_alloc();

	rtnl_link_set_mtu(change, mtu_bytes);
	return set(nl, ifindex, change, "MTU", e);
}

int link_set_alone(struct netlink *nl, uint32_t ifindex, struct err *e)
{
	auto_link struct rtnl_link *change = rtnl_link_alloc();

	rtnl_link_set_master(change, 0);
	return set(nl, ifindex, change, "no master", e);
}

int link_set_mac(struct netlink *nl, uint32_t ifindex, const struct mac_addr *mac, struct err *e)
{
	auto_link struct rtnl_link *change = rtnl_link_alloc();
	auto_addr struct nl_addr *addr = nl_addr_build(AF_LLC, mac->b, sizeof(mac->b));

	rtnl_link_set_addr(change, addr);
	return set(nl, ifindex, change, "MAC address", e);
}
