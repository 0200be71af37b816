// SPDX-License-Identifier: Apache-2.0
/*
 * A foreign program that changes the kernel of one namespace all the time: `churn RATE` adds and deletes routes, neighbours
 * and addresses on a device of its own, RATE changes a second, until SIGTERM, which also removes the device. Prints how
 * many changes the kernel took. Source: rtnetlink(7).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

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

struct batch {
	char bytes[BATCH_LEN * 128];
	size_t size;
};

static struct nlmsghdr *batch_put(struct batch *b, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(b->bytes + b->size);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	return nlh;
}

static void batch_done(struct batch *b, const struct nlmsghdr *nlh)
{
	b->size += MNL_ALIGN(nlh->nlmsg_len);
}

/* 172.28.0.0/14 is nobody's in the laboratory. */
static uint32_t address_be32(uint32_t number)
{
	return htonl(0xac1c0000U + number % 0x3ffff);
}

static void put_route(struct batch *b, uint32_t number, int ifindex, bool add)
{
	struct nlmsghdr *nlh =
		batch_put(b, add ? RTM_NEWROUTE : RTM_DELROUTE, add ? NLM_F_CREATE : 0);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));

	rtm->rtm_family = AF_INET;
	rtm->rtm_dst_len = 32;
	rtm->rtm_table = RT_TABLE_MAIN;
	rtm->rtm_protocol = RTPROT_STATIC;
	rtm->rtm_type = RTN_UNICAST;
	rtm->rtm_scope = RT_SCOPE_LINK;
	mnl_attr_put_u32(nlh, RTA_DST, address_be32(number));
	mnl_attr_put_u32(nlh, RTA_OIF, (uint32_t)ifindex);
	batch_done(b, nlh);
}

static void put_neighbour(struct batch *b, uint32_t number, int ifindex, bool add)
{
	static const uint8_t mac[6] = { 0x0e, 0xcc, 0, 0, 0, 1 };
	struct nlmsghdr *nlh =
		batch_put(b, add ? RTM_NEWNEIGH : RTM_DELNEIGH, add ? NLM_F_CREATE : 0);
	struct ndmsg *ndm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ndm));

	ndm->ndm_family = AF_INET;
	ndm->ndm_ifindex = ifindex;
	ndm->ndm_state = NUD_PERMANENT;
	mnl_attr_put_u32(nlh, NDA_DST, address_be32(number));
	if (add)
		mnl_attr_put(nlh, NDA_LLADDR, sizeof(mac), mac);
	batch_done(b, nlh);
}

static int send_acked(struct mnl_socket *nl, struct nlmsghdr *nlh)
{
	char buffer[8192];
	ssize_t size;

	nlh->nlmsg_flags |= NLM_F_ACK;
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	size = mnl_socket_recvfrom(nl, buffer, sizeof(buffer));
	if (size < 0)
		return -errno;
	return mnl_cb_run(buffer, (size_t)size, 0, mnl_socket_get_portid(nl), NULL, NULL) < 0
		       ? -errno
		       : 0;
}

/* A veth pair whose two ends are here; gone with either. */
static int device_add(struct mnl_socket *nl)
{
	struct batch b = { .size = 0 };
	struct nlmsghdr *nlh = batch_put(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	struct nlattr *info, *data, *peer;

	ifi->ifi_family = AF_UNSPEC;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, DEVICE);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(nlh, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	mnl_attr_put_strz(nlh, IFLA_IFNAME, OTHER_END);
	mnl_attr_nest_end(nlh, peer);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	return send_acked(nl, nlh);
}

/* An end of a pair goes up only once it has the other: not in the message that makes both. */
static int device_up(struct mnl_socket *nl, const char *name)
{
	struct batch b = { .size = 0 };
	struct nlmsghdr *nlh = batch_put(&b, RTM_NEWLINK, 0);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));

	ifi->ifi_flags = ifi->ifi_change = IFF_UP;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	return send_acked(nl, nlh);
}

static void device_del(struct mnl_socket *nl)
{
	struct batch b = { .size = 0 };
	struct nlmsghdr *nlh = batch_put(&b, RTM_DELLINK, 0);

	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(nlh, IFLA_IFNAME, DEVICE);
	send_acked(nl, nlh);
}

/* Errors are the only answers to messages without NLM_F_ACK; returns how many there were. */
static unsigned int refused(struct mnl_socket *nl)
{
	struct pollfd pfd = { .fd = mnl_socket_get_fd(nl), .events = POLLIN };
	char buffer[16384];
	unsigned int n = 0;

	while (poll(&pfd, 1, 0) > 0) {
		ssize_t size = mnl_socket_recvfrom(nl, buffer, sizeof(buffer));
		int left = (int)size;

		for (struct nlmsghdr *nlh = (void *)buffer; size > 0 && mnl_nlmsg_ok(nlh, left);
		     nlh = mnl_nlmsg_next(nlh, &left))
			n++;
	}
	return n;
}

static void churn(struct mnl_socket *nl, int ifindex, unsigned int rate)
{
	const long pause_ns = 1000000000L / rate * BATCH_LEN;
	unsigned long long sent = 0, failed = 0;
	uint32_t number = 0;
	struct timespec due;

	clock_gettime(CLOCK_MONOTONIC, &due);
	while (!ending) {
		struct batch b = { .size = 0 };

		for (int i = 0; i < BATCH_LEN / 4; i++, number++) {
			put_route(&b, number, ifindex, true);
			put_neighbour(&b, number, ifindex, true);
			put_route(&b, number - ALIVE_LEN, ifindex, false);
			put_neighbour(&b, number - ALIVE_LEN, ifindex, false);
		}
		if (mnl_socket_sendto(nl, b.bytes, b.size) > 0)
			sent += BATCH_LEN;
		failed += refused(nl);
		due.tv_nsec += pause_ns;
		due.tv_sec += due.tv_nsec / 1000000000L;
		due.tv_nsec %= 1000000000L;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
	}
	printf("%llu\n", sent - failed);
}

int main(int argc, char **argv)
{
	unsigned long rate = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
	struct mnl_socket *nl;
	int rc;

	if (rate < BATCH_LEN || rate > RATE_MAX) {
		fprintf(stderr, "usage: churn RATE, %d to %d changes a second\n", BATCH_LEN,
			RATE_MAX);
		return 2;
	}
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	nl = mnl_socket_open(NETLINK_ROUTE);
	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		perror("churn: netlink");
		return 1;
	}
	rc = device_add(nl);
	if (rc == 0)
		rc = device_up(nl, DEVICE);
	if (rc == 0)
		rc = device_up(nl, OTHER_END);
	if (rc < 0) {
		fprintf(stderr, "churn: %s: %s\n", DEVICE, strerror(-rc));
		return 1;
	}
	churn(nl, (int)if_nametoindex(DEVICE), (unsigned int)rate);
	device_del(nl);
	mnl_socket_close(nl);
	return 0;
}
