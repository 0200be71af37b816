/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/echo.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <time.h>
#include <unistd.h>

#include "lib/util.h"

#define RTT_MAX_US 600000000 /* ten minutes: then the clock was set, or it is no answer to us */

struct echo {
	int fd;
	int family;
	uint64_t secret;
};

/* Both families' headers have this shape; checksum and identifier are the kernel's. */
struct message {
	uint8_t type;
	uint8_t code;
	uint16_t checksum;
	uint16_t identifier;
	uint16_t sequence;
	uint64_t secret;
	int64_t sent_us;
};
_Static_assert(sizeof(struct message) == 24, "nothing between the members");

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t address_of(const struct ip_addr *a, union address *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->any.sa_family = a->family;
	if (a->family == AF_INET) {
		memcpy(&ret->v4.sin_addr, a->b, sizeof(ret->v4.sin_addr));
		return sizeof(ret->v4);
	}
	memcpy(&ret->v6.sin6_addr, a->b, sizeof(ret->v6.sin6_addr));
	return sizeof(ret->v6);
}

static int64_t wall_us(const struct timespec *ts)
{
	return (int64_t)ts->tv_sec * 1000000 + ts->tv_nsec / 1000;
}

int echo_open(const struct ip_addr *from, struct echo **ret, struct err *e)
{
	int family = from->family;
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			family == AF_INET ? (int)IPPROTO_ICMP : (int)IPPROTO_ICMPV6);
	union address address;
	socklen_t size = address_of(from, &address);
	char text[IP_ADDR_TEXT];
	int on = 1;

	if (fd < 0 && errno == EACCES)
		return err_set(e, -EACCES,
			       "net.ipv4.ping_group_range does not let group %u of this process "
			       "ask by ICMP echo",
			       (unsigned)getegid());
	if (fd < 0)
		return err_sys(e, -errno, "ICMP echo cannot be asked");
	if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) < 0 ||
	    bind(fd, &address.any, size) < 0) {
		int rc = err_sys(e, -errno, "ICMP echo cannot be asked from %s",
				 ip_addr_format(from, text));

		close(fd);
		return rc;
	}
	*ret = xcalloc(1, sizeof(**ret));
	**ret = (struct echo){ .fd = fd, .family = family, .secret = util_random_u64() };
	return 0;
}

void echo_close(struct echo *s)
{
	if (!s)
		return;
	close(s->fd);
	free(s);
}

int echo_send(struct echo *s, const struct ip_addr *to, uint16_t sequence)
{
	struct message m = { .type = s->family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST,
			     .sequence = htons(sequence),
			     .secret = s->secret };
	union address address;
	socklen_t size = address_of(to, &address);
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	m.sent_us = wall_us(&now);
	return sendto(s->fd, &m, sizeof(m), 0, &address.any, size) < 0 ? -errno : 0;
}

static int64_t arrived_us(struct msghdr *hdr)
{
	const struct cmsghdr *c;
	struct timespec ts;

	for (c = CMSG_FIRSTHDR(hdr); c; c = CMSG_NXTHDR(hdr, (struct cmsghdr *)c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
			memcpy(&ts, CMSG_DATA(c), sizeof(ts));
			return wall_us(&ts);
		}
	}
	return -1;
}

bool echo_read(struct echo *s, struct echo_answer *ret)
{
	uint8_t answer = s->family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY;

	for (;;) {
		char control[CMSG_SPACE(sizeof(struct timespec))] __attribute__((aligned(8)));
		union address from = { 0 };
		struct message m;
		struct iovec data = { &m, sizeof(m) };
		struct msghdr hdr = { .msg_name = &from,
				      .msg_namelen = sizeof(from),
				      .msg_iov = &data,
				      .msg_iovlen = 1,
				      .msg_control = control,
				      .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(s->fd, &hdr, 0);
		int64_t rtt_us;

		if (n < 0 && errno != EINTR)
			return false;
		if (n < (ssize_t)sizeof(m) || m.type != answer || m.secret != s->secret)
			continue;
		rtt_us = arrived_us(&hdr) - m.sent_us;
		ret->from = ip_addr_from_bytes(s->family, s->family == AF_INET
								  ? (const void *)&from.v4.sin_addr
								  : &from.v6.sin6_addr);
		ret->sequence = ntohs(m.sequence);
		ret->rtt_us = rtt_us < 0 || rtt_us > RTT_MAX_US ? -1 : (int32_t)rtt_us;
		return true;
	}
}
