/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fabric made by a process, as backends of the user-space class are: copies packets between a TUN
 * device and a UDP socket, the bare IPv4 packet in each datagram. What the udp backend is measured
 * against, and the other end of its wire format in tests.
 *
 *   tun_udp DEVICE LOCAL PORT SUBNET/LEN=PEER...    says "ready" on stdout, ends when killed
 *
 * Like flannel's it takes one off the TTL both ways, tells of nothing and knows its peers by the
 * routes alone.
 */
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/ip.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUTES_MAX 64

struct route {
	in_addr_t network;
	in_addr_t mask;
	struct sockaddr_in peer;
};

static struct route routes[ROUTES_MAX];
static int routes_len;

static unsigned number(const char *text, unsigned max)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (!*text || *end || n > max)
		errx(2, "%s: must be a number, %u at most", text, max);
	return (unsigned)n;
}

static struct sockaddr_in endpoint(const char *address, const char *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)number(port, 65535)) };

	if (inet_pton(AF_INET, address, &a.sin_addr) != 1)
		errx(2, "%s is no address", address);
	return a;
}

static void add_route(char *text, const char *port)
{
	char *slash = strchr(text, '/');
	char *equals = strchr(text, '=');
	struct route *r = &routes[routes_len++];

	if (!slash || !equals || equals < slash || routes_len > ROUTES_MAX)
		errx(2, "%s: must be SUBNET/LEN=PEER", text);
	*slash = *equals = '\0';
	r->mask = htonl((uint32_t)(UINT64_MAX << (32 - number(slash + 1, 32))));
	r->network = endpoint(text, port).sin_addr.s_addr & r->mask;
	r->peer = endpoint(equals + 1, port);
}

static int open_tun(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
		err(1, "%s", name);
	return fd;
}

static int open_socket(const char *address, const char *port)
{
	struct sockaddr_in a = endpoint(address, port);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		err(1, "%s port %s", address, port);
	return fd;
}

/* RFC 1624; false if the packet has come to its end. */
static int decrement_ttl(struct iphdr *ip)
{
	uint32_t sum;

	if (ip->ttl <= 1)
		return 0;
	ip->ttl--;
	sum = ntohs(ip->check) + 0x100u;
	ip->check = htons((uint16_t)(sum + (sum >> 16)));
	return 1;
}

static const struct sockaddr_in *find_peer(in_addr_t destination)
{
	for (int i = 0; i < routes_len; i++) {
		if ((destination & routes[i].mask) == routes[i].network)
			return &routes[i].peer;
	}
	return NULL;
}

static void from_tun(int tun, int sock)
{
	static char packet[65536] __attribute__((aligned(4)));
	struct iphdr *ip = (struct iphdr *)(void *)packet;
	ssize_t n = read(tun, packet, sizeof(packet));
	const struct sockaddr_in *peer;

	if (n < (ssize_t)sizeof(*ip) || ip->version != 4)
		return;
	peer = find_peer(ip->daddr);
	/* A full queue loses a packet, as on any wire. */
	if (peer && decrement_ttl(ip))
		(void)!sendto(sock, packet, (size_t)n, 0, (const struct sockaddr *)peer,
			      sizeof(*peer));
}

static void from_socket(int tun, int sock)
{
	static char packet[65536] __attribute__((aligned(4)));
	struct iphdr *ip = (struct iphdr *)(void *)packet;
	ssize_t n = recv(sock, packet, sizeof(packet), 0);

	if (n >= (ssize_t)sizeof(*ip) && decrement_ttl(ip))
		(void)!write(tun, packet, (size_t)n);
}

int main(int argc, char **argv)
{
	struct pollfd fds[2] = { { .events = POLLIN }, { .events = POLLIN } };

	if (argc < 4)
		errx(2, "DEVICE LOCAL PORT SUBNET/LEN=PEER...");
	for (int i = 4; i < argc; i++)
		add_route(argv[i], argv[3]);
	fds[0].fd = open_tun(argv[1]);
	fds[1].fd = open_socket(argv[2], argv[3]);
	puts("ready");
	fflush(stdout);
	for (;;) {
		if (poll(fds, 2, -1) < 0)
			err(1, "poll");
		if (fds[0].revents)
			from_tun(fds[0].fd, fds[1].fd);
		if (fds[1].revents)
			from_socket(fds[0].fd, fds[1].fd);
	}
}
