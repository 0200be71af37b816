/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fabricctl/probe.h"
#include "fabricctl/test.h"
#include "kernel/netns.h"
#include "lib/clock.h"

#define LATE_MS      1000 /* answers that come later are lost */
#define DATAGRAM_MAX 65536

static volatile sig_atomic_t is_over;

static void on_signal(int number UNUSED)
{
	is_over = 1;
}

bool test_is_over(void)
{
	return is_over;
}

void test_catch_signals(void)
{
	/* Without SA_RESTART: whoever waits is woken. */
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

/* ---- flows ---- */

struct flow {
	struct probe *probe;
	struct probe_result result;
	int64_t heard_ms; /* the last answer, or the beginning */
};

static void hear(struct flow *f, struct test_flow *ret)
{
	unsigned before = f->result.answered;
	int64_t now_ms = clock_boot_ms();

	probe_hear(f->probe, &f->result);
	if (f->result.answered == before)
		return;
	ret->longest_gap_ms = MAX(ret->longest_gap_ms, now_ms - f->heard_ms);
	f->heard_ms = now_ms;
}

static bool all_answered(const struct flow *flows, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (flows[i].result.answered < flows[i].result.sent)
			return false;
	}
	return true;
}

/* Hears what has come or comes within that time. */
static void hear_all(struct flow *flows, struct pollfd *fds, size_t len, int64_t wait_ms,
		     struct test_flow *ret)
{
	if (poll(fds, len, (int)MAX(wait_ms, (int64_t)0)) <= 0)
		return;
	for (size_t i = 0; i < len; i++) {
		if (fds[i].revents)
			hear(&flows[i], &ret[i]);
	}
}

/* Sends while `until_ms` is not there; then hears for a while who is late. */
static void hold(struct flow *flows, struct pollfd *fds, size_t len, int64_t until_ms,
		 struct test_flow *ret)
{
	int64_t next_ms = clock_boot_ms();
	int64_t end_ms = until_ms + LATE_MS;

	while (clock_boot_ms() < end_ms) {
		bool sending = clock_boot_ms() < until_ms;

		if (is_over && sending) {
			until_ms = clock_boot_ms();
			end_ms = until_ms + LATE_MS;
			continue;
		}
		if (!sending && all_answered(flows, len))
			return;
		if (sending && clock_boot_ms() >= next_ms) {
			for (size_t i = 0; i < len; i++)
				probe_send(flows[i].probe, &flows[i].result);
			next_ms += TEST_FLOW_GAP_MS;
		}
		hear_all(flows, fds, len, (sending ? next_ms : end_ms) - clock_boot_ms(), ret);
	}
	/* What came in time while this process had none. */
	hear_all(flows, fds, len, 0, ret);
}

static int begin(const struct sandbox *s, const struct test_target *target, struct flow *f,
		 struct err *e)
{
	bool v4 = target->address.family == AF_INET;
	const struct probe_question q = {
		.src = s->addresses[v4 ? 0 : 1],
		.dst = target->address,
		.protocol = v4 ? (uint8_t)IPPROTO_ICMP : (uint8_t)IPPROTO_ICMPV6,
		.packets = 1,
		.namespace_fd = s->namespace_fd,
	};

	f->result = PROBE_RESULT_NONE;
	return probe_open(&q, &f->probe, e);
}

int test_flows(const struct sandbox *s, const struct test_target *targets, size_t len,
	       int64_t duration_ms, struct test_flow *ret, struct err *e)
{
	auto_free struct flow *flows = xcalloc(len, sizeof(*flows));
	auto_free struct pollfd *fds = xcalloc(len, sizeof(*fds));
	int64_t now_ms = clock_boot_ms();
	int rc = 0;

	for (size_t i = 0; i < len && rc == 0; i++) {
		rc = begin(s, &targets[i], &flows[i], e);
		if (rc == 0)
			fds[i] =
				(struct pollfd){ .fd = probe_fd(flows[i].probe), .events = POLLIN };
		flows[i].heard_ms = now_ms;
		ret[i] = (struct test_flow){ 0 };
	}
	if (rc == 0)
		hold(flows, fds, len, now_ms + duration_ms, ret);
	for (size_t i = 0; i < len; i++) {
		ret[i].sent = flows[i].result.sent;
		ret[i].answered = MIN(flows[i].result.answered, flows[i].result.sent);
		/* Who is silent to the end has no answer that would show it. */
		if (ret[i].answered < ret[i].sent && flows[i].probe)
			ret[i].longest_gap_ms = MAX(ret[i].longest_gap_ms,
						    now_ms + duration_ms - flows[i].heard_ms);
		probe_close(flows[i].probe);
	}
	return rc;
}

/* ---- listening ---- */

static int open_listener(int type, struct err *e)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(TEST_PORT) };
	auto_close int fd = socket(AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int off = 0;

	if (fd < 0)
		return err_sys(e, -errno, "socket");
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (const struct sockaddr *)(const void *)&any, sizeof(any)) < 0 ||
	    (type == SOCK_STREAM && listen(fd, 64) < 0))
		return err_sys(e, -errno, "port %d", TEST_PORT);
	return STEAL_FD(fd);
}

static void serve(int tcp_fd, int udp_fd)
{
	auto_free char *datagram = xmalloc(DATAGRAM_MAX);

	while (!is_over) {
		struct pollfd fds[] = { { .fd = tcp_fd, .events = POLLIN },
					{ .fd = udp_fd, .events = POLLIN } };
		struct sockaddr_in6 from;
		socklen_t size = sizeof(from);
		ssize_t n;
		int fd;

		if (poll(fds, ARRAY_LEN(fds), -1) <= 0)
			continue;
		fd = accept(tcp_fd, NULL, NULL);
		if (fd >= 0)
			close(fd);
		n = recvfrom(udp_fd, datagram, DATAGRAM_MAX, 0, (struct sockaddr *)(void *)&from,
			     &size);
		if (n >= 0)
			(void)!sendto(udp_fd, datagram, (size_t)n, 0,
				      (const struct sockaddr *)(const void *)&from, size);
	}
}

int test_listen(const struct sandbox *s, struct err *e)
{
	auto_close int own_fd = -1;
	auto_close int tcp_fd = -1;
	auto_close int udp_fd = -1;

	if (netns_open_own(&own_fd, e) < 0 || netns_enter(s->namespace_fd, e) < 0)
		return e->code;
	tcp_fd = open_listener(SOCK_STREAM, e);
	if (tcp_fd >= 0)
		udp_fd = open_listener(SOCK_DGRAM, e);
	if (netns_enter(own_fd, NULL) < 0)
		abort(); /* whoever was let into another is let back */
	if (tcp_fd < 0 || udp_fd < 0)
		return e->code;
	serve(tcp_fd, udp_fd);
	return 0;
}
