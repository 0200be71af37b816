/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As many small UDP packets as go, and how many arrive: a program that costs less than what it measures, many
 * packets in each system call.
 *
 *   blast send ADDRESS PORT SECONDS BYTES     says how many it sent
 *   blast receive ADDRESS PORT SECONDS        says how many came, once there was none for a second; SECONDS at most
 */
#include <arpa/inet.h>
#include <err.h>
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

int main(int argc, char **argv)
{
	int sending = argc == 6 && strcmp(argv[1], "send") == 0;
	unsigned long count = 0;
	double begin;
	double last;
	int fd;

	if (!sending && (argc != 5 || strcmp(argv[1], "receive") != 0))
		errx(2, "send ADDRESS PORT SECONDS BYTES | receive ADDRESS PORT SECONDS");
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
