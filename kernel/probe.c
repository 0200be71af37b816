/* SPDX-License-Identifier: Apache-2.0 */
/* Source: linux/neighbour.h; net/core/neighbour.c for NTF_USE. */
#include "kernel/probe.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <time.h>

#include "kernel/message.h"
#include "lib/clock.h"

#define REQUEST_SIZE 256
#define STEP_US      2000

static struct nlmsghdr *put_neighbour(char *buffer, uint16_t type, uint16_t flags, uint32_t ifindex,
				      const struct ip_addr *addr)
{
	struct nlmsghdr *hdr = nlmsg_begin(buffer);
	struct ndmsg *m = nlmsg_put_header(hdr, sizeof(*m));

	hdr->nlmsg_type = type;
	hdr->nlmsg_flags = NLM_F_REQUEST | flags;
	m->ndm_family = addr->family;
	m->ndm_ifindex = (int)ifindex;
	m->ndm_state = NUD_NONE;
	m->ndm_flags = type == RTM_NEWNEIGH ? NTF_USE : 0;
	nlattr_put(hdr, NDA_DST, ip_addr_size(addr), addr->b);
	return hdr;
}

/* What is known already may be old: it is forgotten, and a new entry asks at once. */
static void ask(struct netlink *nl, uint32_t ifindex, const struct ip_addr *addr)
{
	char buffer[REQUEST_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));

	(void)!netlink_call(nl, put_neighbour(buffer, RTM_DELNEIGH, 0, ifindex, addr), NULL, NULL,
			    NULL);
	(void)!netlink_call(nl, put_neighbour(buffer, RTM_NEWNEIGH, NLM_F_CREATE, ifindex, addr),
			    NULL, NULL, NULL);
}

struct answers {
	uint32_t ifindex;
	struct probe *items;
	size_t len;
	bool waiting; /* for one at least */
};

static void on_neighbour(void *arg, const struct nlmsghdr *hdr)
{
	const struct ndmsg *m = nlmsg_data(hdr);
	struct answers *all = arg;
	const struct nlattr *attr;

	if (hdr->nlmsg_type != RTM_NEWNEIGH || nlmsg_size(hdr) < sizeof(*m) ||
	    (uint32_t)m->ndm_ifindex != all->ifindex)
		return;
	nlattr_for_each (attr, hdr, sizeof(*m)) {
		if (nlattr_type(attr) != NDA_DST)
			continue;
		for (size_t i = 0; i < all->len; i++) {
			struct probe *p = &all->items[i];

			if (p->addr.family != m->ndm_family ||
			    nlattr_size(attr) != ip_addr_size(&p->addr) ||
			    memcmp(nlattr_data(attr), p->addr.b, ip_addr_size(&p->addr)) != 0)
				continue;
			all->waiting |= m->ndm_state == NUD_INCOMPLETE;
			p->answered = !(m->ndm_state & (NUD_INCOMPLETE | NUD_FAILED));
		}
	}
}

static int read_answers(struct netlink *nl, struct answers *all, struct err *e)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };

	all->waiting = false;
	for (size_t i = 0; i < all->len; i++)
		all->items[i].answered = true;
	for (size_t i = 0; i < sizeof(families); i++) {
		char buffer[REQUEST_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
		struct nlmsghdr *hdr = nlmsg_begin(buffer);
		struct ndmsg *m = nlmsg_put_header(hdr, sizeof(*m));

		hdr->nlmsg_type = RTM_GETNEIGH;
		m->ndm_family = families[i];
		if (netlink_dump(nl, hdr, on_neighbour, NULL, all, e) < 0)
			return err_wrap(e, "neighbours");
	}
	return 0;
}

int probe_all(struct netlink *nl, uint32_t ifindex, struct probe *items, size_t len,
	      unsigned timeout_ms, struct err *e)
{
	const struct timespec step = { .tv_nsec = STEP_US * 1000 };
	struct answers all = { .ifindex = ifindex, .items = items, .len = len };
	int64_t end_ms = clock_boot_ms() + timeout_ms;

	for (size_t i = 0; i < len; i++)
		ask(nl, ifindex, &items[i].addr);
	do {
		nanosleep(&step, NULL);
		if (read_answers(nl, &all, e) < 0)
			return e->code;
	} while (all.waiting && clock_boot_ms() < end_ms);
	return 0;
}

static void on_route(void *arg, const struct nlmsghdr *hdr)
{
	const struct nlattr *attr;

	if (hdr->nlmsg_type != RTM_NEWROUTE)
		return;
	nlattr_for_each (attr, hdr, sizeof(struct rtmsg)) {
		if (nlattr_type(attr) == RTA_OIF && nlattr_size(attr) == sizeof(uint32_t))
			*(uint32_t *)arg = nlattr_u32(attr);
	}
}

int probe_route(struct netlink *nl, const struct ip_addr *addr, uint32_t *ret_ifindex,
		struct err *e)
{
	char buffer[REQUEST_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *hdr = nlmsg_begin(buffer);
	struct rtmsg *m = nlmsg_put_header(hdr, sizeof(*m));
	uint32_t ifindex = 0;

	hdr->nlmsg_type = RTM_GETROUTE;
	hdr->nlmsg_flags = NLM_F_REQUEST;
	m->rtm_family = addr->family;
	m->rtm_dst_len = (uint8_t)ip_family_bits(addr->family);
	nlattr_put(hdr, RTA_DST, ip_addr_size(addr), addr->b);
	if (netlink_call(nl, hdr, on_route, &ifindex, e) < 0)
		return err_wrap(e, "route");
	*ret_ifindex = ifindex;
	return 0;
}
