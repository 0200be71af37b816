/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/device.h"

#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/ip.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>

#include "kernel/message.h"

#define OPER_UP 6 /* IF_OPER_UP; linux/if.h does not go together with net/if.h */

static struct ifinfomsg *put_header(struct nlmsghdr *hdr, uint16_t type, uint16_t flags,
				    uint32_t ifindex)
{
	struct ifinfomsg *m;

	nlmsg_begin(hdr);
	hdr->nlmsg_type = type;
	hdr->nlmsg_flags = NLM_F_REQUEST | flags;
	m = nlmsg_put_header(hdr, sizeof(*m));
	m->ifi_family = AF_UNSPEC;
	m->ifi_index = (int)ifindex;
	return m;
}

static void read_text(const struct nlattr *attr, char *buf, size_t size)
{
	if (nlattr_size(attr) > 0)
		snprintf(buf, size, "%.*s", (int)nlattr_size(attr),
			 (const char *)nlattr_data(attr));
}

static uint32_t read_u32(const struct nlattr *attr)
{
	return nlattr_size(attr) == sizeof(uint32_t) ? nlattr_u32(attr) : 0;
}

static uint8_t read_u8(const struct nlattr *attr)
{
	return nlattr_size(attr) == sizeof(uint8_t) ? nlattr_u8(attr) : 0;
}

static void read_port(const struct nlattr *nest, struct device *d)
{
	const struct nlattr *attr;

	nlattr_for_each_nested (attr, nest) {
		switch (nlattr_type(attr)) {
		case IFLA_BRPORT_MODE:
			d->port_hairpin = read_u8(attr);
			break;
		case IFLA_BRPORT_ISOLATED:
			d->port_isolated = read_u8(attr);
			break;
		}
	}
}

static void read_linkinfo(const struct nlattr *nest, struct device *d)
{
	const struct nlattr *slave_data = NULL;
	const struct nlattr *attr;
	char slave_kind[16] = "";

	nlattr_for_each_nested (attr, nest) {
		switch (nlattr_type(attr)) {
		case IFLA_INFO_KIND:
			read_text(attr, d->kind, sizeof(d->kind));
			break;
		case IFLA_INFO_SLAVE_KIND:
			read_text(attr, slave_kind, sizeof(slave_kind));
			break;
		case IFLA_INFO_SLAVE_DATA:
			slave_data = attr;
			break;
		}
	}
	if (slave_data && strcmp(slave_kind, "bridge") == 0)
		read_port(slave_data, d);
}

/* False for anything but a device, and for messages of other families (bridge ports' copies). */
static bool decode(const struct nlmsghdr *hdr, struct device *ret)
{
	const struct ifinfomsg *m = nlmsg_data(hdr);
	struct device d = { 0 };
	const struct nlattr *attr;

	if (hdr->nlmsg_type != RTM_NEWLINK || nlmsg_size(hdr) < sizeof(*m) ||
	    m->ifi_family != AF_UNSPEC)
		return false;
	d.ifindex = (uint32_t)m->ifi_index;
	d.up = m->ifi_flags & IFF_UP;
	d.promiscuous = m->ifi_flags & IFF_PROMISC;
	d.no_arp = m->ifi_flags & IFF_NOARP;
	nlattr_for_each (attr, hdr, sizeof(*m)) {
		switch (nlattr_type(attr)) {
		case IFLA_IFNAME:
			read_text(attr, d.name, sizeof(d.name));
			break;
		case IFLA_MTU:
			d.mtu_bytes = read_u32(attr);
			break;
		case IFLA_MASTER:
			d.master_ifindex = read_u32(attr);
			break;
		case IFLA_LINK:
			d.peer_ifindex = read_u32(attr);
			break;
		case IFLA_GROUP:
			d.group = read_u32(attr);
			break;
		case IFLA_OPERSTATE:
			d.operational = read_u8(attr) == OPER_UP;
			break;
		case IFLA_ADDRESS:
			if (nlattr_size(attr) == sizeof(d.mac.b))
				memcpy(d.mac.b, nlattr_data(attr), sizeof(d.mac.b));
			break;
		case IFLA_LINKINFO:
			read_linkinfo(attr, &d);
			break;
		}
	}
	if (!d.ifindex || !d.name[0])
		return false;
	*ret = d;
	return true;
}

struct question {
	struct device found;
	struct err refusal;
};

static void on_device(void *arg, size_t index UNUSED, const struct nlmsghdr *hdr, int code,
		      const char *text)
{
	struct question *q = arg;

	if (hdr)
		decode(hdr, &q->found);
	else
		err_set(&q->refusal, code, "%s", text);
}

/* By index, or if that is 0 by name. */
static int get(struct netlink *nl, uint32_t ifindex, const char *name, struct device *ret,
	       struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;
	struct question q = { 0 };
	int rc;

	put_header(hdr, RTM_GETLINK, 0, ifindex);
	if (!ifindex)
		nlattr_put_text(hdr, IFLA_IFNAME, name);
	nlattr_put_u32(hdr, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	rc = netlink_ask(nl, hdr, hdr->nlmsg_len, on_device, &q, e);
	if (rc < 0)
		return rc;
	if (q.refusal.code)
		return err_set(e, q.refusal.code, "%s", q.refusal.text);
	if (!q.found.ifindex)
		return err_set(e, -ENODEV, "No such device");
	*ret = q.found;
	return 0;
}

int device_get(struct netlink *nl, const char *name, struct device *ret, struct err *e)
{
	return get(nl, 0, name, ret, e) < 0 ? err_wrap(e, "device %s", name) : 0;
}

int device_get_by_index(struct netlink *nl, uint32_t ifindex, struct device *ret, struct err *e)
{
	return get(nl, ifindex, NULL, ret, e) < 0 ? err_wrap(e, "device %u", ifindex) : 0;
}

int device_delete(struct netlink *nl, uint32_t ifindex, struct err *e)
{
	char buffer[64] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;

	put_header(hdr, RTM_DELLINK, 0, ifindex);
	if (netlink_call(nl, hdr, NULL, NULL, e) < 0)
		return err_wrap(e, "delete device %u", ifindex);
	return 0;
}

static void put_peer(struct nlmsghdr *hdr, const struct device_veth *veth)
{
	struct nlattr *peer = nlattr_nest_begin(hdr, VETH_INFO_PEER);

	/* The nest starts with a header of its own, as if it were a message. */
	nlmsg_put_header(hdr, sizeof(struct ifinfomsg));
	nlattr_put_text(hdr, IFLA_IFNAME, veth->peer_name);
	nlattr_put(hdr, IFLA_ADDRESS, sizeof(veth->peer_mac.b), veth->peer_mac.b);
	if (veth->mtu_bytes)
		nlattr_put_u32(hdr, IFLA_MTU, veth->mtu_bytes);
	if (veth->peer_netns_fd >= 0)
		nlattr_put_u32(hdr, IFLA_NET_NS_FD, (uint32_t)veth->peer_netns_fd);
	nlattr_nest_end(hdr, peer);
}

int device_create_veth(struct netlink *nl, const struct device_veth *veth, struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;
	struct ifinfomsg *m = put_header(hdr, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
	struct nlattr *info;
	struct nlattr *data;

	if (veth->up)
		m->ifi_flags = m->ifi_change = IFF_UP;
	nlattr_put_text(hdr, IFLA_IFNAME, veth->name);
	nlattr_put(hdr, IFLA_ADDRESS, sizeof(veth->mac.b), veth->mac.b);
	if (veth->mtu_bytes)
		nlattr_put_u32(hdr, IFLA_MTU, veth->mtu_bytes);
	if (veth->master_ifindex)
		nlattr_put_u32(hdr, IFLA_MASTER, veth->master_ifindex);
	if (veth->group)
		nlattr_put_u32(hdr, IFLA_GROUP, veth->group);
	info = nlattr_nest_begin(hdr, IFLA_LINKINFO);
	nlattr_put_text(hdr, IFLA_INFO_KIND, "veth");
	data = nlattr_nest_begin(hdr, IFLA_INFO_DATA);
	put_peer(hdr, veth);
	nlattr_nest_end(hdr, data);
	nlattr_nest_end(hdr, info);
	if (netlink_call(nl, hdr, NULL, NULL, e) < 0)
		return err_wrap(e, "create veth %s", veth->name);
	return 0;
}

int device_create_bridge(struct netlink *nl, const char *name, const struct mac_addr *mac,
			 uint32_t mtu_bytes, struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;
	struct nlattr *info;

	put_header(hdr, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
	nlattr_put_text(hdr, IFLA_IFNAME, name);
	nlattr_put(hdr, IFLA_ADDRESS, sizeof(mac->b), mac->b);
	if (mtu_bytes)
		nlattr_put_u32(hdr, IFLA_MTU, mtu_bytes);
	info = nlattr_nest_begin(hdr, IFLA_LINKINFO);
	nlattr_put_text(hdr, IFLA_INFO_KIND, "bridge");
	nlattr_nest_end(hdr, info);
	if (netlink_call(nl, hdr, NULL, NULL, e) < 0)
		return err_wrap(e, "create bridge %s", name);
	return 0;
}

void device_encode_flags(uint32_t ifindex, unsigned flags, unsigned mask, struct nlmsghdr *hdr)
{
	struct ifinfomsg *m = put_header(hdr, RTM_SETLINK, 0, ifindex);

	m->ifi_flags = flags;
	m->ifi_change = mask;
}

void device_encode_master(uint32_t ifindex, uint32_t master_ifindex, struct nlmsghdr *hdr)
{
	put_header(hdr, RTM_SETLINK, 0, ifindex);
	nlattr_put_u32(hdr, IFLA_MASTER, master_ifindex);
}

void device_encode_mac(uint32_t ifindex, const struct mac_addr *mac, struct nlmsghdr *hdr)
{
	put_header(hdr, RTM_SETLINK, 0, ifindex);
	nlattr_put(hdr, IFLA_ADDRESS, sizeof(mac->b), mac->b);
}

void device_encode_arp_notify(uint32_t ifindex, struct nlmsghdr *hdr)
{
	struct nlattr *families;
	struct nlattr *inet;
	struct nlattr *conf;

	put_header(hdr, RTM_SETLINK, 0, ifindex);
	families = nlattr_nest_begin(hdr, IFLA_AF_SPEC);
	inet = nlattr_nest_begin(hdr, AF_INET);
	conf = nlattr_nest_begin(hdr, IFLA_INET_CONF);
	nlattr_put_u32(hdr, IPV4_DEVCONF_ARP_NOTIFY, 1);
	nlattr_nest_end(hdr, conf);
	nlattr_nest_end(hdr, inet);
	nlattr_nest_end(hdr, families);
}

void device_encode_port(uint32_t ifindex, bool hairpin, bool isolated, struct nlmsghdr *hdr)
{
	struct nlattr *nest;

	put_header(hdr, RTM_SETLINK, 0, ifindex)->ifi_family = AF_BRIDGE;
	nest = nlattr_nest_begin(hdr, IFLA_PROTINFO | NLA_F_NESTED);
	if (hairpin)
		nlattr_put_u8(hdr, IFLA_BRPORT_MODE, 1);
	if (isolated)
		nlattr_put_u8(hdr, IFLA_BRPORT_ISOLATED, 1);
	nlattr_nest_end(hdr, nest);
}

void device_encode_vlan_filtering(uint32_t bridge_ifindex, struct nlmsghdr *hdr)
{
	struct nlattr *info;
	struct nlattr *data;

	put_header(hdr, RTM_NEWLINK, 0, bridge_ifindex);
	info = nlattr_nest_begin(hdr, IFLA_LINKINFO);
	nlattr_put_text(hdr, IFLA_INFO_KIND, "bridge");
	data = nlattr_nest_begin(hdr, IFLA_INFO_DATA);
	nlattr_put_u8(hdr, IFLA_BR_VLAN_FILTERING, 1);
	nlattr_nest_end(hdr, data);
	nlattr_nest_end(hdr, info);
}

static void put_vlan(struct nlmsghdr *hdr, uint16_t vid, uint16_t flags)
{
	struct bridge_vlan_info info = { .vid = vid, .flags = flags };

	nlattr_put(hdr, IFLA_BRIDGE_VLAN_INFO, sizeof(info), &info);
}

void device_encode_vlan(bool add, uint32_t ifindex, uint16_t first, uint16_t last, uint16_t flags,
			struct nlmsghdr *hdr)
{
	struct nlattr *nest;

	put_header(hdr, add ? RTM_SETLINK : RTM_DELLINK, 0, ifindex)->ifi_family = AF_BRIDGE;
	nest = nlattr_nest_begin(hdr, IFLA_AF_SPEC);
	if (first == last) {
		put_vlan(hdr, first, flags);
	} else {
		put_vlan(hdr, first, flags | BRIDGE_VLAN_INFO_RANGE_BEGIN);
		put_vlan(hdr, last, flags | BRIDGE_VLAN_INFO_RANGE_END);
	}
	nlattr_nest_end(hdr, nest);
}
