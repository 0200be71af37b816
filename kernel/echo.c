/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/echo.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <time.h>
#include <unistd.h>

#include "lib/util.h"

#define RTT_MAX_US 600000000 /* ten minutes: then the clock was set, or it is no answer to us */

/* Bytes, without options. */
#define IPV4_HEADER 20
#define IPV6_HEADER 40

struct echo {
	int fd;
	int family;
	bool large;
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

static struct ip_addr address_from(int family, const union address *a)
{
	return ip_addr_from_bytes(family, family == AF_INET ? (const void *)&a->v4.sin_addr
							    : &a->v6.sin6_addr);
}

static int64_t wall_us(const struct timespec *ts)
{
	return (int64_t)ts->tv_sec * 1000000 + ts->tv_nsec / 1000;
}

/* Large questions leave as they are, or not at all; who refuses them is heard. */
static int set_large(int fd, int family, bool as_learned)
{
	bool v4 = family == AF_INET;
	int level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
	int discover_v4 = as_learned ? IP_PMTUDISC_DO : IP_PMTUDISC_PROBE;
	int discover_v6 = as_learned ? IPV6_PMTUDISC_DO : IPV6_PMTUDISC_PROBE;
	int on = 1;

	if (setsockopt(fd, level, v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER,
		       v4 ? &discover_v4 : &discover_v6, sizeof(int)) < 0)
		return -1;
	return setsockopt(fd, level, v4 ? IP_RECVERR : IPV6_RECVERR, &on, sizeof(on));
}

int echo_open(const struct ip_addr *from, enum echo_kind kind, struct echo **ret, struct err *e)
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
	    (kind != ECHO_SMALL && set_large(fd, family, kind == ECHO_LARGE_AS_LEARNED) < 0) ||
	    bind(fd, &address.any, size) < 0) {
		int rc = err_sys(e, -errno, "ICMP echo cannot be asked from %s",
				 ip_addr_format(from, text));

		close(fd);
		return rc;
	}
	*ret = xcalloc(1, sizeof(**ret));
	**ret = (struct echo){
		.fd = fd, .family = family, .large = kind != ECHO_SMALL, .secret = util_random_u64()
	};
	return 0;
}

void echo_close(struct echo *s)
{
	if (!s)
		return;
	close(s->fd);
	free(s);
}

/* One from the queue of errors; false: it is empty. */
static bool read_error(struct echo *s, struct sock_extended_err *ret, struct echo_refusal *about)
{
	/* With who said so, and when. */
	char control[CMSG_SPACE(sizeof(*ret) + sizeof(union address)) +
		     CMSG_SPACE(sizeof(struct timespec))] __attribute__((aligned(8)));
	union address to = { 0 };
	struct message m = { 0 };
	struct iovec data = { &m, sizeof(m) };
	struct msghdr hdr = { .msg_name = &to,
			      .msg_namelen = sizeof(to),
			      .msg_iov = &data,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	const struct cmsghdr *c;

	if (recvmsg(s->fd, &hdr, MSG_ERRQUEUE) < 0)
		return false;
	memset(ret, 0, sizeof(*ret));
	for (c = CMSG_FIRSTHDR(&hdr); c; c = CMSG_NXTHDR(&hdr, (struct cmsghdr *)c)) {
		if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
		    (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
			memcpy(ret, CMSG_DATA(c), sizeof(*ret));
	}
	about->to = address_from(s->family, &to);
	about->sequence = ntohs(m.sequence);
	about->mtu_bytes = (uint16_t)MIN(ret->ee_info, (uint32_t)UINT16_MAX);
	return true;
}

/* An error that the kernel keeps for the socket is returned by whatever call is next: it may be of another question. */
static bool is_too_large_here(struct echo *s)
{
	struct sock_extended_err error;
	struct echo_refusal about;
	bool here = false;

	while (!here && read_error(s, &error, &about))
		here = error.ee_origin == SO_EE_ORIGIN_LOCAL && error.ee_errno == EMSGSIZE;
	return here;
}

bool echo_read_refusal(struct echo *s, struct echo_refusal *ret)
{
	struct sock_extended_err error;

	while (read_error(s, &error, ret)) {
		if (error.ee_errno == EMSGSIZE && error.ee_origin != SO_EE_ORIGIN_LOCAL)
			return true;
	}
	return false;
}

int echo_send(struct echo *s, const struct ip_addr *to, uint16_t sequence, uint16_t size_bytes)
{
	static uint8_t padding[UINT16_MAX];
	struct message m = { .type = s->family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST,
			     .sequence = htons(sequence),
			     .secret = s->secret };
	size_t least = sizeof(m) + (s->family == AF_INET ? IPV4_HEADER : IPV6_HEADER);
	struct iovec data[] = { { &m, sizeof(m) },
				{ padding, size_bytes > least ? size_bytes - least : 0 } };
	union address address;
	struct msghdr hdr = { .msg_name = &address,
			      .msg_namelen = address_of(to, &address),
			      .msg_iov = data,
			      .msg_iovlen = ARRAY_LEN(data) };
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	m.sent_us = wall_us(&now);
	if (sendmsg(s->fd, &hdr, 0) >= 0)
		return 0;
	/* It has reached the interface, which drops it: for its size, if the other end of a link within this host
	 * is narrower. */
	if (s->large && errno == ENOBUFS)
		return 0;
	if (s->large && errno == EMSGSIZE)
		return is_too_large_here(s) ? -EMSGSIZE : -EAGAIN;
	return -errno;
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
		ret->from = address_from(s->family, &from);
		ret->sequence = ntohs(m.sequence);
		ret->rtt_us = rtt_us < 0 || rtt_us > RTT_MAX_US ? -1 : (int32_t)rtt_us;
		return true;
	}
}
