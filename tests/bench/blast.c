/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As many small UDP packets as go, and how many arrive: a program that costs less than what it measures, many
 * packets in each system call.
 *
 *   blast send ADDRESS PORT SECONDS BYTES     says how many it sent
 *   blast receive ADDRESS PORT SECONDS        says how many came, once there was none for a second; SECONDS at most
 *
 * And what one packet costs, as ns, by the 10th percentile of batches, which others who use the machine disturb least:
 * between namespaces of one machine all of a packet's way is walked inside the system call that sends it.
 *
 *   blast cost ADDRESS PORT PACKETS           in one flow
 *   blast flows ADDRESS PORT PACKETS          each in a new one
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#define BATCH     64
#define BYTES_MAX 1400

static char packets[BATCH][BYTES_MAX];
static struct iovec vectors[BATCH];
static struct mmsghdr messages[BATCH];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int open_socket(const char *address, const char *port, int listen)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)strtoul(port, NULL, 10)) };
	struct timeval patience = { 1, 0 };
	int size = 4 << 20;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || inet_pton(AF_INET, address, &a.sin_addr) != 1)
		errx(2, "%s is no address", address);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (listen ? bind(fd, (struct sockaddr *)&a, sizeof(a))
		   : connect(fd, (struct sockaddr *)&a, sizeof(a)))
		err(1, "%s port %s", address, port);
	return fd;
}

static void prepare(size_t bytes)
{
	for (int i = 0; i < BATCH; i++) {
		vectors[i] = (struct iovec){ packets[i], bytes };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vectors[i], .msg_iovlen = 1 };
	}
}

/* ---- what a packet costs ---- */

#define BYTES 64

struct packet {
	struct iphdr ip;
	struct udphdr udp;
	char data[BYTES];
} __attribute__((packed));

static struct packet raw[BATCH];

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Headers of our own, since a socket for each flow would cost more than the flow. */
static int open_raw(const char *address, const char *port)
{
	int bound = open_socket(address, port, 0);
	static struct sockaddr_in to;
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);

	if (fd < 0 || getsockname(bound, (struct sockaddr *)&from, &len) < 0)
		err(1, "raw socket");
	to = (struct sockaddr_in){ .sin_family = AF_INET };
	inet_pton(AF_INET, address, &to.sin_addr);
	for (int i = 0; i < BATCH; i++) {
		raw[i].ip = (struct iphdr){ .version = 4,
					    .ihl = 5,
					    .ttl = 64,
					    .protocol = IPPROTO_UDP,
					    .saddr = from.sin_addr.s_addr,
					    .daddr = to.sin_addr.s_addr };
		raw[i].udp = (struct udphdr){ .dest = htons((uint16_t)strtoul(port, NULL, 10)),
					      .len = htons(sizeof(raw[i].udp) + BYTES) };
		vectors[i] = (struct iovec){ &raw[i], sizeof(raw[i]) };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vectors[i],
						       .msg_iovlen = 1,
						       .msg_name = &to,
						       .msg_namelen = sizeof(to) };
	}
	return fd;
}

static int cost(int fd, size_t batches, int new_flows)
{
	double *took = calloc(batches + 1, sizeof(*took));
	uint32_t flow = (uint32_t)(now() * 1e6);
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	for (size_t k = 0; k < batches; k++) {
		double begin;

		for (int i = 0; i < BATCH && new_flows; i++)
			raw[i].udp.source = htons((uint16_t)(1024 + flow++ % 60000));
		begin = now();
		if (sendmmsg(fd, messages, BATCH, 0) != BATCH)
			err(1, "send");
		took[k] = (now() - begin) / BATCH * 1e9;
	}
	qsort(took, batches, sizeof(*took), compare);
	printf("%.1f\n", took[batches / 10]);
	free(took);
	return 0;
}

int main(int argc, char **argv)
{
	int sending = argc == 6 && strcmp(argv[1], "send") == 0;
	unsigned long count = 0;
	double begin;
	double last;
	int fd;

	if (argc == 5 && strcmp(argv[1], "cost") == 0) {
		fd = open_socket(argv[2], argv[3], 0);
		prepare(BYTES);
		return cost(fd, strtoul(argv[4], NULL, 10) / BATCH, 0);
	}
	if (argc == 5 && strcmp(argv[1], "flows") == 0)
		return cost(open_raw(argv[2], argv[3]), strtoul(argv[4], NULL, 10) / BATCH, 1);
	if (!sending && (argc != 5 || strcmp(argv[1], "receive") != 0))
		errx(2, "cost|flows ADDRESS PORT PACKETS | send ADDRESS PORT SECONDS BYTES | "
			"receive ADDRESS PORT SECONDS");
	fd = open_socket(argv[2], argv[3], !sending);
	prepare(sending ? strtoul(argv[5], NULL, 10) % BYTES_MAX : BYTES_MAX);
	begin = last = now();
	while (last - begin < strtod(argv[4], NULL)) {
		int n = sending ? sendmmsg(fd, messages, BATCH, 0)
				: recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);

		if (n < 0 && !sending && count)
			break;
		count += n > 0 ? (unsigned long)n : 0;
		last = now();
	}
	printf("%lu\n", count);
	return 0;
}
