/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/probe.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kernel/netns.h"
#include "lib/clock.h"
#include "lib/util.h"

#define MARKER_SIZE 16
#define PACKET_MAX  65536
#define SIZE_MIN    64

struct probe {
	struct probe_question q;
	int fd;
	uint16_t own_port;
	uint16_t sequence;
	uint8_t marker[MARKER_SIZE];
	size_t payload_size; /* behind the header of ICMP or UDP */
	int64_t first_us;    /* when the first was sent */
	uint8_t buffer[PACKET_MAX];
};

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static bool is_icmp(const struct probe *p)
{
	return p->q.protocol == IPPROTO_ICMP || p->q.protocol == IPPROTO_ICMPV6;
}

static socklen_t address_of(const struct ip_addr *a, uint16_t port, union address *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->any.sa_family = a->family;
	if (a->family == AF_INET) {
		memcpy(&ret->v4.sin_addr, a->b, sizeof(ret->v4.sin_addr));
		ret->v4.sin_port = htons(port);
		return sizeof(ret->v4);
	}
	memcpy(&ret->v6.sin6_addr, a->b, sizeof(ret->v6.sin6_addr));
	ret->v6.sin6_port = htons(port);
	return sizeof(ret->v6);
}

/* ---- the socket ---- */

/* A socket stays in the namespace that it was opened in. */
static int socket_in(int namespace_fd, int family, int type, int protocol, struct err *e)
{
	auto_close int own_fd = -1;
	int fd;

	if (namespace_fd < 0)
		return socket(family, type, protocol);
	if (netns_open_own(&own_fd, e) < 0 || netns_enter(namespace_fd, e) < 0) {
		errno = EPERM;
		return -1;
	}
	fd = socket(family, type, protocol);
	if (netns_enter(own_fd, NULL) < 0)
		abort(); /* whoever was let into another is let back */
	return fd;
}

static void forbid_cutting(int fd, int family)
{
	int how = family == AF_INET ? (int)IP_PMTUDISC_PROBE : (int)IPV6_PMTUDISC_PROBE;

	if (family == AF_INET)
		setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &how, sizeof(how));
	else
		setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &how, sizeof(how));
}

static int set_up(struct probe *p, struct err *e)
{
	union address address;
	socklen_t size = address_of(&p->q.src, 0, &address);
	char text[IP_ADDR_TEXT];

	if (p->q.whole)
		forbid_cutting(p->fd, p->q.src.family);
	if (bind(p->fd, &address.any, size) < 0)
		return err_sys(e, -errno, "nothing can be sent from %s",
			       ip_addr_format(&p->q.src, text));
	if (getsockname(p->fd, &address.any, &size) == 0)
		p->own_port = ntohs(p->q.src.family == AF_INET ? address.v4.sin_port
							       : address.v6.sin6_port);
	size = address_of(&p->q.dst, is_icmp(p) ? 0 : p->q.port, &address);
	/* A connected socket hears of ICMP errors; TCP's connects when it is to be sent. */
	if (p->q.protocol != IPPROTO_TCP && connect(p->fd, &address.any, size) < 0)
		p->q.packets = 0; /* probe_run says why: it fails again */
	return 0;
}

int probe_open(const struct probe_question *q, struct probe **ret, struct err *e)
{
	struct probe *p = xcalloc(1, sizeof(*p));
	int type = q->protocol == IPPROTO_TCP   ? SOCK_STREAM
		   : q->protocol == IPPROTO_UDP ? SOCK_DGRAM
						: SOCK_RAW;
	size_t headers = (q->src.family == AF_INET ? 20 : 40) + 8u;

	p->q = *q;
	p->sequence = 0;
	util_random(p->marker, sizeof(p->marker));
	p->payload_size = MAX(q->size, (size_t)SIZE_MIN) - headers;
	p->payload_size = MIN(MAX(p->payload_size, (size_t)MARKER_SIZE), (size_t)PACKET_MAX - 8);
	p->fd = socket_in(q->namespace_fd, q->src.family, type | SOCK_CLOEXEC | SOCK_NONBLOCK,
			  q->protocol, e);
	if (p->fd < 0) {
		err_sys(e, -errno, "nothing can be sent");
		free(p);
		return e->code;
	}
	if (set_up(p, e) < 0) {
		probe_close(p);
		return e->code;
	}
	*ret = p;
	return 0;
}

void probe_close(struct probe *p)
{
	if (!p)
		return;
	close(p->fd);
	free(p);
}

void probe_patterns(const struct probe *p, struct tap_patterns *ret)
{
	*ret = (struct tap_patterns){ .len = 0 };
	if (p->q.protocol != IPPROTO_TCP)
		tap_pattern_add(ret, p->marker, sizeof(p->marker));
	if (is_icmp(p))
		return;
	tap_pattern_add_flow(ret, &p->q.src, p->own_port, &p->q.dst, p->q.port);
	tap_pattern_add_flow(ret, &p->q.dst, p->q.port, &p->q.src, p->own_port);
}

/* ---- sending and hearing ---- */

/* RFC 1071. */
static uint16_t checksum(const uint8_t *data, size_t size)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < size; i += 2)
		sum += (uint32_t)data[i] << 8 | data[i + 1];
	if (size % 2)
		sum += (uint32_t)data[size - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static size_t make_packet(struct probe *p)
{
	bool v4 = p->q.src.family == AF_INET;
	size_t header = is_icmp(p) ? 8 : 0;
	uint16_t sum;

	memset(p->buffer, 0, header + p->payload_size);
	memcpy(p->buffer + header, p->marker, sizeof(p->marker));
	if (!is_icmp(p))
		return p->payload_size;
	p->buffer[0] = v4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
	memcpy(p->buffer + 4, p->marker, 2); /* the identifier */
	p->sequence++;
	p->buffer[6] = (uint8_t)(p->sequence >> 8);
	p->buffer[7] = (uint8_t)p->sequence;
	/* Of ICMPv6 the kernel does it. */
	sum = v4 ? htons(checksum(p->buffer, header + p->payload_size)) : 0;
	memcpy(p->buffer + 2, &sum, sizeof(sum));
	return header + p->payload_size;
}

static void answered(struct probe *p, struct probe_result *r)
{
	if (r->answered++ == 0)
		r->rtt_us = now_us() - p->first_us;
}

/* An error that a socket has: whoever refuses has answered; that nobody was found on the way is the kernel's word. */
static void take_error(struct probe *p, int code, struct probe_result *r)
{
	if (code == ECONNREFUSED)
		answered(p, r);
	else if (!r->refused)
		r->refused = -code;
}

void probe_send(struct probe *p, struct probe_result *r)
{
	union address to;
	socklen_t size = address_of(&p->q.dst, p->q.port, &to);
	int rc;

	if (r->sent == 0)
		p->first_us = now_us();
	if (p->q.protocol == IPPROTO_TCP)
		rc = connect(p->fd, &to.any, size);
	else
		rc = (int)send(p->fd, p->buffer, make_packet(p), 0);
	/* What is told of the one before is told in place of this one. */
	if (rc < 0 && errno == ECONNREFUSED && p->q.protocol == IPPROTO_UDP) {
		answered(p, r);
		rc = (int)send(p->fd, p->buffer, p->payload_size, 0);
	}
	if (rc >= 0 || errno == EINPROGRESS)
		r->sent++;
	else
		take_error(p, errno, r);
}

static void hear_icmp(struct probe *p, size_t size, struct probe_result *r)
{
	bool v4 = p->q.src.family == AF_INET;
	size_t at = v4 && size > 0 ? (size_t)(p->buffer[0] & 15) * 4 : 0;

	if (size >= at + 8 + MARKER_SIZE &&
	    p->buffer[at] == (v4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY) &&
	    memcmp(p->buffer + at + 8, p->marker, MARKER_SIZE) == 0)
		answered(p, r);
}

void probe_hear(struct probe *p, struct probe_result *r)
{
	int code = 0;
	socklen_t size = sizeof(code);
	ssize_t n;

	if (p->q.protocol == IPPROTO_TCP) {
		if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &code, &size) == 0 && code)
			take_error(p, code, r);
		else
			answered(p, r);
		return;
	}
	while ((n = recv(p->fd, p->buffer, sizeof(p->buffer), 0)) >= 0 || errno == EINTR) {
		if (n >= 0 && is_icmp(p))
			hear_icmp(p, (size_t)n, r);
		else if (n >= 0)
			answered(p, r);
	}
	if (errno != EAGAIN)
		take_error(p, errno, r);
}

int probe_fd(const struct probe *p)
{
	return p->fd;
}

/* Until all that were sent are answered, the kernel has refused, or the time is over: what has come by then counts, even
 * if it is only read later. */
static void wait_until(struct probe *p, int64_t end_ms, struct probe_result *r)
{
	bool tcp = p->q.protocol == IPPROTO_TCP;
	int64_t left_ms;

	do {
		struct pollfd fd = { .fd = p->fd, .events = tcp ? POLLOUT : POLLIN };

		left_ms = MAX(end_ms - clock_boot_ms(), (int64_t)0);
		if (r->answered >= r->sent || (tcp && r->refused))
			return;
		if (poll(&fd, 1, (int)left_ms) > 0)
			probe_hear(p, r);
	} while (left_ms > 0);
}

/* A pause in which an answer is heard when it comes. */
static void hear_for(struct probe *p, int64_t ms, struct probe_result *r)
{
	int64_t end_ms = clock_boot_ms() + ms;
	int64_t left_ms;

	while ((left_ms = end_ms - clock_boot_ms()) > 0) {
		struct pollfd fd = { .fd = p->fd, .events = POLLIN };

		if (poll(&fd, 1, (int)left_ms) > 0)
			probe_hear(p, r);
	}
}

void probe_run(struct probe *p, struct probe_result *ret)
{
	unsigned packets = p->q.protocol == IPPROTO_TCP ? 1 : p->q.packets;
	struct probe_result r = PROBE_RESULT_NONE;

	for (unsigned i = 0; i < packets; i++) {
		if (i > 0)
			hear_for(p, p->q.gap_ms, &r);
		probe_send(p, &r);
	}
	if (packets == 0) {
		union address to;
		socklen_t size = address_of(&p->q.dst, is_icmp(p) ? 0 : p->q.port, &to);

		if (connect(p->fd, &to.any, size) < 0)
			take_error(p, errno, &r);
	}
	wait_until(p, clock_boot_ms() + p->q.wait_ms, &r);
	*ret = r;
}
