/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/segment.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>

#include "kernel/kind_attrs.h"

#define NUD_USABLE (NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY)

struct room {
	char bytes[NETLINK_MESSAGE_MAX] __attribute__((aligned(8)));
};

struct search {
	uint32_t ifindex;
	void (*neighbour)(void *arg, const struct ip_addr *addr, const struct mac_addr *mac);
	void (*port)(void *arg, const struct mac_addr *mac, uint32_t port_ifindex);
	void (*queue)(void *arg, uint32_t ifindex, const char *kind);
	void *arg;
};

/* ---- neighbours and ports ---- */

bool segment_neighbour_decode(const struct nlmsghdr *hdr, struct segment_neighbour *ret)
{
	const struct ndmsg *m = nlmsg_data(hdr);
	struct segment_neighbour n = { 0 };
	uint8_t dst[16] = { 0 };
	struct kind_attrs a;

	if (!kind_is_message(hdr, RTM_NEWNEIGH, sizeof(*m)) || m->ndm_flags & NTF_PROXY)
		return false;
	a = kind_attrs(hdr, sizeof(*m));
	n.ifindex = (uint32_t)m->ndm_ifindex;
	n.usable = kind_copy_attr(&a, NDA_LLADDR, sizeof(n.mac.b), n.mac.b) &&
		   hdr->nlmsg_type == RTM_NEWNEIGH;
	if (m->ndm_family == AF_INET || m->ndm_family == AF_INET6) {
		if (!kind_copy_attr(&a, NDA_DST, m->ndm_family == AF_INET ? 4 : 16, dst))
			return false;
		n.addr = ip_addr_from_bytes(m->ndm_family, dst);
		n.usable &= (m->ndm_state & NUD_USABLE) != 0;
	} else if (m->ndm_family != AF_BRIDGE ||
		   !kind_copy_attr(&a, NDA_MASTER, sizeof(n.bridge), &n.bridge) ||
		   m->ndm_state & NUD_PERMANENT) {
		/* NUD_PERMANENT: the port's own address. */
		return false;
	}
	*ret = n;
	return true;
}

static void on_neighbour(void *arg, const struct nlmsghdr *hdr)
{
	const struct search *s = arg;
	struct segment_neighbour n;

	if (!segment_neighbour_decode(hdr, &n) || !n.usable)
		return;
	if (s->neighbour && !n.bridge && n.ifindex == s->ifindex)
		s->neighbour(s->arg, &n.addr, &n.mac);
	else if (s->port && n.bridge == s->ifindex)
		s->port(s->arg, &n.mac, n.ifindex);
}

static int dump_neighbours(struct netlink *nl, uint8_t family, uint16_t by, const struct search *s,
			   struct err *e)
{
	struct room room = { 0 };
	struct nlmsghdr *hdr = (void *)room.bytes;
	struct ndmsg *m = kind_put_dump(hdr, RTM_GETNEIGH, sizeof(*m));

	m->ndm_family = family;
	nlattr_put_u32(hdr, by, s->ifindex);
	return netlink_dump(nl, hdr, on_neighbour, NULL, (void *)s, e);
}

int segment_neighbours_visit(struct netlink *nl, uint32_t ifindex,
			     void (*visit)(void *arg, const struct ip_addr *addr,
					   const struct mac_addr *mac),
			     void *arg, struct err *e)
{
	const struct search s = { .ifindex = ifindex, .neighbour = visit, .arg = arg };
	int rc = dump_neighbours(nl, AF_INET, NDA_IFINDEX, &s, e);

	return rc < 0 ? rc : dump_neighbours(nl, AF_INET6, NDA_IFINDEX, &s, e);
}

int segment_ports_visit(struct netlink *nl, uint32_t ifindex,
			void (*visit)(void *arg, const struct mac_addr *mac, uint32_t port_ifindex),
			void *arg, struct err *e)
{
	const struct search s = { .ifindex = ifindex, .port = visit, .arg = arg };

	return dump_neighbours(nl, AF_BRIDGE, NDA_MASTER, &s, e);
}

int segment_confirm(struct netlink *nl, uint32_t ifindex, const struct ip_addr *addr, struct err *e)
{
	struct room room = { 0 };
	struct nlmsghdr *hdr = nlmsg_begin(room.bytes);
	struct ndmsg *m;

	hdr->nlmsg_type = RTM_NEWNEIGH;
	hdr->nlmsg_flags = NLM_F_REQUEST;
	m = nlmsg_put_header(hdr, sizeof(*m));
	m->ndm_family = addr->family;
	m->ndm_ifindex = (int)ifindex;
	m->ndm_flags = NTF_USE;
	nlattr_put(hdr, NDA_DST, ip_addr_size(addr), addr->b);
	return netlink_call(nl, hdr, NULL, NULL, e);
}

/* ---- what else looks at packets ---- */

static void on_queue(void *arg, const struct nlmsghdr *hdr)
{
	const struct tcmsg *m = nlmsg_data(hdr);
	const struct search *s = arg;
	struct kind_attrs a;

	if (!kind_is_message(hdr, RTM_NEWQDISC, sizeof(*m)))
		return;
	a = kind_attrs(hdr, sizeof(*m));
	if (a.by_type[TCA_KIND] && nlattr_is_text(a.by_type[TCA_KIND]) &&
	    strcmp(nlattr_data(a.by_type[TCA_KIND]), "noqueue") != 0)
		s->queue(s->arg, (uint32_t)m->tcm_ifindex, nlattr_data(a.by_type[TCA_KIND]));
}

int segment_queues_visit(struct netlink *nl,
			 void (*visit)(void *arg, uint32_t ifindex, const char *kind), void *arg,
			 struct err *e)
{
	const struct search s = { .queue = visit, .arg = arg };
	struct room room = { 0 };
	struct nlmsghdr *hdr = (void *)room.bytes;

	kind_put_dump(hdr, RTM_GETQDISC, sizeof(struct tcmsg));
	return netlink_dump(nl, hdr, on_queue, NULL, (void *)&s, e);
}

static void on_policies(void *arg, const struct nlmsghdr *hdr)
{
	struct xfrmu_spdinfo info;
	const struct nlattr *a;
	unsigned *len = arg;

	if (hdr->nlmsg_type != XFRM_MSG_NEWSPDINFO)
		return;
	nlattr_for_each (a, hdr, sizeof(uint32_t)) {
		if (nlattr_type(a) != XFRMA_SPD_INFO || nlattr_size(a) < sizeof(info))
			continue;
		memcpy(&info, nlattr_data(a), sizeof(info));
		*len = info.incnt + info.outcnt + info.fwdcnt;
	}
}

int segment_xfrm_policies(struct netlink *nl, unsigned *ret, struct err *e)
{
	struct room room = { 0 };
	struct nlmsghdr *hdr = nlmsg_begin(room.bytes);
	unsigned len = 0;
	int rc;

	hdr->nlmsg_type = XFRM_MSG_GETSPDINFO;
	hdr->nlmsg_flags = NLM_F_REQUEST;
	nlmsg_put_header(hdr, sizeof(uint32_t));
	rc = netlink_call(nl, hdr, on_policies, &len, e);
	if (rc == 0)
		*ret = len;
	return rc;
}
