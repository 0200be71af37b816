// SPDX-License-Identifier: Apache-2.0
/*
 * A foreign program that changes the kernel of one namespace all the time: `churn RATE` adds and deletes routes, neighbours
 * and addresses on a device of its own, RATE changes a second, until SIGTERM, which also removes the device. Prints how
 * many changes the kernel took. Source: rtnetlink(7).
 */
#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernel/message.h"
#include "kernel/netlink.h"

#define DEVICE    "churn0"
#define OTHER_END "churn1"
#define BATCH_LEN 100
/* Routes and neighbours that exist at once; each is added, and deleted so many changes later. */
#define ALIVE_LEN 200
#define RATE_MAX  1000000

static volatile sig_atomic_t ending;

static void on_signal(int number)
{
	(void)number;
	ending = 1;
}

static struct nlmsghdr *begin(void *room, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *hdr = nlmsg_begin(room);

	hdr->nlmsg_type = type;
	hdr->nlmsg_flags = NLM_F_REQUEST | flags;
	return hdr;
}

/* 172.28.0.0/14 is nobody's in the laboratory. */
static uint32_t address_be32(uint32_t number)
{
	return htonl(0xac1c0000U + number % 0x3ffff);
}

static void put_route(struct netlink_batch *b, uint32_t number, int ifindex, bool add)
{
	struct nlmsghdr *hdr = begin(netlink_batch_reserve(b), add ? RTM_NEWROUTE : RTM_DELROUTE,
				     add ? NLM_F_CREATE : 0);
	struct rtmsg *rtm = nlmsg_put_header(hdr, sizeof(*rtm));

	rtm->rtm_family = AF_INET;
	rtm->rtm_dst_len = 32;
	rtm->rtm_table = RT_TABLE_MAIN;
	rtm->rtm_protocol = RTPROT_STATIC;
	rtm->rtm_type = RTN_UNICAST;
	rtm->rtm_scope = RT_SCOPE_LINK;
	nlattr_put_u32(hdr, RTA_DST, address_be32(number));
	nlattr_put_u32(hdr, RTA_OIF, (uint32_t)ifindex);
	netlink_batch_commit(b, NULL);
}

static void put_neighbour(struct netlink_batch *b, uint32_t number, int ifindex, bool add)
{
	static const uint8_t mac[6] = { 0x0e, 0xcc, 0, 0, 0, 1 };
	struct nlmsghdr *hdr = begin(netlink_batch_reserve(b), add ? RTM_NEWNEIGH : RTM_DELNEIGH,
				     add ? NLM_F_CREATE : 0);
	struct ndmsg *ndm = nlmsg_put_header(hdr, sizeof(*ndm));

	ndm->ndm_family = AF_INET;
	ndm->ndm_ifindex = ifindex;
	ndm->ndm_state = NUD_PERMANENT;
	nlattr_put_u32(hdr, NDA_DST, address_be32(number));
	if (add)
		nlattr_put(hdr, NDA_LLADDR, sizeof(mac), mac);
	netlink_batch_commit(b, NULL);
}

/* A veth pair whose two ends are here; gone with either. */
static int device_add(struct netlink *nl, struct err *e)
{
	char room[NETLINK_MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *hdr = begin(room, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	struct ifinfomsg *ifi = nlmsg_put_header(hdr, sizeof(*ifi));
	struct nlattr *info, *data, *peer;

	ifi->ifi_family = AF_UNSPEC;
	nlattr_put_text(hdr, IFLA_IFNAME, DEVICE);
	info = nlattr_nest_begin(hdr, IFLA_LINKINFO);
	nlattr_put_text(hdr, IFLA_INFO_KIND, "veth");
	data = nlattr_nest_begin(hdr, IFLA_INFO_DATA);
	peer = nlattr_nest_begin(hdr, VETH_INFO_PEER);
	nlmsg_put_header(hdr, sizeof(*ifi));
	nlattr_put_text(hdr, IFLA_IFNAME, OTHER_END);
	nlattr_nest_end(hdr, peer);
	nlattr_nest_end(hdr, data);
	nlattr_nest_end(hdr, info);
	return netlink_call(nl, hdr, NULL, NULL, e);
}

/* An end of a pair goes up only once it has the other: not in the message that makes both. */
static int device_up(struct netlink *nl, const char *name, struct err *e)
{
	char room[NETLINK_MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *hdr = begin(room, RTM_NEWLINK, 0);
	struct ifinfomsg *ifi = nlmsg_put_header(hdr, sizeof(*ifi));

	ifi->ifi_flags = ifi->ifi_change = IFF_UP;
	nlattr_put_text(hdr, IFLA_IFNAME, name);
	return netlink_call(nl, hdr, NULL, NULL, e);
}

static void device_del(struct netlink *nl)
{
	char room[NETLINK_MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *hdr = begin(room, RTM_DELLINK, 0);
	struct err e;

	nlmsg_put_header(hdr, sizeof(struct ifinfomsg));
	nlattr_put_text(hdr, IFLA_IFNAME, DEVICE);
	if (netlink_call(nl, hdr, NULL, NULL, &e) < 0)
		fprintf(stderr, "churn: %s\n", e.text);
}

static void count_refused(void *arg, void *cookie, int code, const char *text)
{
	unsigned long long *refused = arg;

	(void)cookie;
	(void)code;
	(void)text;
	++*refused;
}

static void churn(struct netlink *nl, int ifindex, unsigned int rate)
{
	const long pause_ns = 1000000000L / rate * BATCH_LEN;
	unsigned long long refused = 0;
	struct netlink_batch *b = netlink_batch_new(nl, count_refused, &refused);
	uint64_t before = netlink_counts(nl)->writes;
	uint32_t number = 0;
	struct timespec due;
	struct err e;

	clock_gettime(CLOCK_MONOTONIC, &due);
	while (!ending) {
		for (int i = 0; i < BATCH_LEN / 4; i++, number++) {
			put_route(b, number, ifindex, true);
			put_neighbour(b, number, ifindex, true);
			put_route(b, number - ALIVE_LEN, ifindex, false);
			put_neighbour(b, number - ALIVE_LEN, ifindex, false);
		}
		if (netlink_batch_flush(b, &e) < 0)
			refused += BATCH_LEN;
		due.tv_nsec += pause_ns;
		due.tv_sec += due.tv_nsec / 1000000000L;
		due.tv_nsec %= 1000000000L;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
	}
	netlink_batch_free(b);
	printf("%llu\n", (unsigned long long)(netlink_counts(nl)->writes - before) - refused);
}

int main(int argc, char **argv)
{
	unsigned long rate = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
	struct netlink *nl;
	struct err e;

	if (rate < BATCH_LEN || rate > RATE_MAX) {
		fprintf(stderr, "usage: churn RATE, %d to %d changes a second\n", BATCH_LEN,
			RATE_MAX);
		return 2;
	}
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	if (netlink_open(NETLINK_ROUTE, &nl, &e) < 0 || device_add(nl, &e) < 0 ||
	    device_up(nl, DEVICE, &e) < 0 || device_up(nl, OTHER_END, &e) < 0) {
		fprintf(stderr, "churn: %s: %s\n", DEVICE, e.text);
		return 1;
	}
	churn(nl, (int)if_nametoindex(DEVICE), (unsigned int)rate);
	device_del(nl);
	netlink_close(nl);
	return 0;
}
