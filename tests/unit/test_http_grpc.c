/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib/http by gRPC, against a server of HTTP/2 in the test's own process that says what it is told to,
 * frame by frame. Source of the frames: RFC 9113; of the headers' bytes: RFC 7541.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/http.h"
#include "tests/unit/loop.h"

#define DEADLINE_MS  10000
#define SHORT_MS     200
#define FRAME_HEADER 9
#define PREFACE_SIZE 24
#define STREAMS_MAX  8

enum frame { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7 };
#define ACK         0x1
#define END_STREAM  0x1
#define END_HEADERS 0x4

struct server {
	struct event_base *base;
	struct event *accept;
	int fd;
	uint16_t port;
	struct bufferevent *conn;
	unsigned accepted;
	bool hangs_up; /* on whoever comes, as a server does that takes our greeting for rubbish */
	bool greeted;
	uint32_t streams[STREAMS_MAX]; /* that the client has opened, in that order */
	unsigned streams_len;
	struct http_client *http;
};

/* A call, and what became of it. */
struct heard {
	struct http_call *call;
	unsigned done;
	unsigned doubts;
	size_t bytes;
	int code;
	int grpc_status;
};

static void send_frame(struct server *s, enum frame type, uint8_t flags, uint32_t stream,
		       const void *payload, size_t size)
{
	const uint8_t header[FRAME_HEADER] = { (uint8_t)(size >> 16),
					       (uint8_t)(size >> 8),
					       (uint8_t)size,
					       (uint8_t)type,
					       flags,
					       (uint8_t)(stream >> 24),
					       (uint8_t)(stream >> 16),
					       (uint8_t)(stream >> 8),
					       (uint8_t)stream };

	bufferevent_write(s->conn, header, sizeof(header));
	bufferevent_write(s->conn, payload, size);
}

static void take_frame(struct server *s, enum frame type, uint8_t flags, uint32_t stream)
{
	if (type == SETTINGS && !(flags & ACK))
		send_frame(s, SETTINGS, ACK, 0, "", 0);
	if (type == HEADERS && s->streams_len < STREAMS_MAX)
		s->streams[s->streams_len++] = stream;
}

static void on_bytes(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	struct server *s = arg;
	uint8_t h[FRAME_HEADER];
	size_t size;

	if (!s->greeted && evbuffer_get_length(in) >= PREFACE_SIZE) {
		s->greeted = true;
		evbuffer_drain(in, PREFACE_SIZE);
		send_frame(s, SETTINGS, 0, 0, "", 0);
	}
	while (s->greeted && evbuffer_copyout(in, h, sizeof(h)) == sizeof(h)) {
		size = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];
		if (evbuffer_get_length(in) < FRAME_HEADER + size)
			return;
		evbuffer_drain(in, FRAME_HEADER + size);
		take_frame(s, h[3], h[4],
			   (uint32_t)h[5] << 24 | (uint32_t)h[6] << 16 | (uint32_t)h[7] << 8 |
				   h[8]);
	}
}

static void on_accept(evutil_socket_t listener, short what UNUSED, void *arg)
{
	struct server *s = arg;
	struct sockaddr_in peer;
	socklen_t size = sizeof(peer);
	int fd = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

	assert_true(fd >= 0);
	if (s->conn)
		bufferevent_free(s->conn);
	s->accepted++;
	if (s->hangs_up) {
		const struct linger reset = { .l_onoff = 1 };

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
		s->conn = NULL;
		return;
	}
	s->greeted = false;
	s->conn = bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(s->conn, on_bytes, NULL, NULL, s);
	bufferevent_enable(s->conn, EV_READ | EV_WRITE);
}

static int setup(void **state)
{
	struct server *s = xcalloc(1, sizeof(*s));
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof(address);
	struct err e;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->base = event_base_new();
	s->http = http_client_new(s->base);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (http_client_load(s->http, &e) < 0 ||
	    bind(s->fd, (struct sockaddr *)&address, size) < 0 ||
	    getsockname(s->fd, (struct sockaddr *)&address, &size) < 0 || listen(s->fd, 16) < 0)
		return -1;
	s->port = ntohs(address.sin_port);
	s->accept = event_new(s->base, s->fd, EV_READ | EV_PERSIST, on_accept, s);
	event_add(s->accept, NULL);
	*state = s;
	return 0;
}

/* From now on connections are refused. */
static void refuse(struct server *s)
{
	if (!s->accept)
		return;
	event_free(STEAL(s->accept));
	close(s->fd);
}

static int teardown(void **state)
{
	struct server *s = *state;

	refuse(s);
	if (s->conn)
		bufferevent_free(s->conn);
	http_client_free(s->http);
	event_base_free(s->base);
	free(s);
	return 0;
}

static void on_data(void *arg, const char *data UNUSED, size_t size)
{
	((struct heard *)arg)->bytes += size;
}

static void on_doubt(void *arg)
{
	((struct heard *)arg)->doubts++;
}

static void on_done(void *arg, const struct http_reply *reply)
{
	struct heard *h = arg;

	h->call = NULL;
	h->done++;
	h->code = reply->code;
	h->grpc_status = reply->grpc_status;
}

static void start_for(struct server *s, struct heard *h, bool streams, int64_t timeout_ms)
{
	auto_free char *url = xasprintf("http://127.0.0.1:%u/a/B", s->port);
	const struct http_request request = {
		.url = url,
		.body = "\0\0\0\0",
		.body_size = 5,
		.connect_timeout_ms = DEADLINE_MS,
		.timeout_ms = timeout_ms,
		.max_reply_size = 1 << 20,
		.grpc = true,
		.on_data = streams ? on_data : NULL,
		.on_doubt = streams ? on_doubt : NULL,
		.on_done = on_done,
		.arg = h,
	};

	h->call = http_call_start(s->http, &request);
}

static void start(struct server *s, struct heard *h, bool streams)
{
	start_for(s, h, streams, streams ? 0 : DEADLINE_MS);
}

#define UNTIL(s, condition)                                                                        \
	do {                                                                                       \
		int64_t until = clock_boot_ms() + DEADLINE_MS;                                     \
		while (!(condition)) {                                                             \
			if (clock_boot_ms() > until)                                               \
				fail_msg("waited for " #condition);                                \
			loop_turn((s)->base);                                                      \
		}                                                                                  \
	} while (0)

/* ":status: 200", by its number in the table that both sides know. */
static void answer(struct server *s, unsigned call)
{
	send_frame(s, HEADERS, END_HEADERS, s->streams[call], "\x88", 1);
}

static void say(struct server *s, unsigned call)
{
	send_frame(s, DATA, 0, s->streams[call], "\0\0\0\0", 5);
}

/* "grpc-status: N", spelled out, and what a server says that does not want to hear the rest. */
static void end_with(struct server *s, unsigned call, char digit)
{
	char trailer[] = "\0\x0bgrpc-status\1_";

	trailer[sizeof(trailer) - 2] = digit;
	send_frame(s, HEADERS, END_HEADERS | END_STREAM, s->streams[call], trailer,
		   sizeof(trailer) - 1);
	send_frame(s, RST_STREAM, 0, s->streams[call], "\0\0\0", 4);
}

/* No more calls; those that there are go on. */
static void say_goodbye(struct server *s)
{
	send_frame(s, GOAWAY, 0, 0, "\x7f\xff\xff\xff\0\0\0", 8);
}

/* A stream that has brought its first message. */
static void open_stream(struct server *s, struct heard *h)
{
	start(s, h, true);
	UNTIL(s, s->streams_len == 1);
	answer(s, 0);
	say(s, 0);
	UNTIL(s, h->bytes == 5);
}

static void test_calls_and_a_stream_on_one_connection(void **state)
{
	struct server *s = *state;
	struct heard stream = { 0 };
	struct heard good = { 0 };
	struct heard bad = { 0 };

	open_stream(s, &stream);
	start(s, &good, false);
	start(s, &bad, false);
	UNTIL(s, s->streams_len == 3);
	for (unsigned i = 1; i < 3; i++) {
		answer(s, i);
		say(s, i);
		end_with(s, i, i == 1 ? '0' : '5');
	}
	UNTIL(s, good.done && bad.done);
	assert_int_equal(good.code, 0);
	assert_int_equal(good.grpc_status + bad.grpc_status, 5);
	say(s, 0);
	UNTIL(s, stream.bytes == 10);
	end_with(s, 0, '0');
	UNTIL(s, stream.done);
	assert_int_equal(stream.grpc_status, 0);
	assert_int_equal(stream.doubts, 0);
	assert_int_equal(s->accepted, 1);
}

/* Whether it is left is for others to decide: the stream itself goes on. */
static void test_a_server_that_takes_no_more_calls(void **state)
{
	struct server *s = *state;
	struct heard stream = { 0 };

	open_stream(s, &stream);
	say_goodbye(s);
	UNTIL(s, stream.doubts == 1);
	assert_int_equal(stream.done, 0);
	say(s, 0);
	UNTIL(s, stream.bytes == 10);
	http_call_cancel(stream.call);
}

/* What comes while an answer is waited for may be part of it; the next call is refused then. */
static void test_calls_are_refused_while_a_stream_is_open(void **state)
{
	struct server *s = *state;
	struct heard stream = { 0 };
	struct heard last = { 0 };
	struct heard refused = { 0 };

	open_stream(s, &stream);
	start(s, &last, false);
	UNTIL(s, s->streams_len == 2);
	refuse(s);
	say_goodbye(s);
	answer(s, 1);
	end_with(s, 1, '0');
	UNTIL(s, last.done);
	assert_int_equal(last.grpc_status, 0);
	stream.doubts = 0;
	start(s, &refused, false);
	UNTIL(s, refused.done);
	assert_int_equal(refused.code, -ECONNREFUSED);
	assert_true(stream.doubts > 0);
	assert_int_equal(stream.done, 0);
	http_call_cancel(stream.call);
}

/* Those that wait for a connection do not wait for one that nobody makes any more. */
static void test_a_call_whose_opener_is_cancelled(void **state)
{
	struct server *s = *state;
	struct heard opener = { 0 };
	struct heard held = { 0 };

	start(s, &opener, false);
	start(s, &held, false);
	http_call_cancel(opener.call);
	UNTIL(s, s->streams_len == 1);
	answer(s, 0);
	end_with(s, 0, '0');
	UNTIL(s, held.done);
	assert_int_equal(held.grpc_status, 0);
}

/* Nor for longer than they may, if somebody makes it who has all the time. */
static void test_a_call_that_is_held_for_too_long(void **state)
{
	struct server *s = *state;
	struct heard stream = { 0 };
	struct heard held = { 0 };

	start(s, &stream, true);
	start_for(s, &held, false, SHORT_MS);
	UNTIL(s, held.done);
	assert_int_equal(held.code, -ETIMEDOUT);
	assert_int_equal(stream.done, 0);
	UNTIL(s, s->streams_len == 1);
	answer(s, 0);
	say(s, 0);
	UNTIL(s, stream.bytes == 5);
	assert_int_equal(s->streams_len, 1);
	http_call_cancel(stream.call);
}

/* The others go on as long as anything comes; if nothing does the next call has a connection of its own. */
static void test_a_call_that_is_not_answered(void **state)
{
	struct server *s = *state;
	struct heard stream = { 0 };
	struct heard silent = { 0 };
	struct heard next = { 0 };

	open_stream(s, &stream);
	start_for(s, &silent, false, SHORT_MS);
	UNTIL(s, s->streams_len == 2);
	say(s, 0);
	UNTIL(s, silent.done);
	assert_int_equal(silent.code, -ETIMEDOUT);
	assert_int_equal(stream.done, 0);
	silent.done = 0;
	start_for(s, &silent, false, SHORT_MS);
	UNTIL(s, silent.done && stream.done);
	s->streams_len = 0;
	start(s, &next, false);
	UNTIL(s, s->accepted == 2 && s->streams_len == 1);
	answer(s, 0);
	end_with(s, 0, '0');
	UNTIL(s, next.done);
	assert_int_equal(next.grpc_status, 0);
}

/* However quickly it does so. */
static void test_a_server_that_takes_no_http_2(void **state)
{
	struct server *s = *state;
	struct heard call = { 0 };

	s->hangs_up = true;
	start(s, &call, false);
	UNTIL(s, call.done);
	assert_int_equal(call.code, -EPROTONOSUPPORT);
	assert_int_equal(s->accepted, 1);
}

/* Whatever else was said. */
static void test_an_end_without_a_status_is_a_failure(void **state)
{
	struct server *s = *state;
	struct heard call = { 0 };

	start(s, &call, false);
	UNTIL(s, s->streams_len == 1);
	answer(s, 0);
	send_frame(s, DATA, END_STREAM, s->streams[0], "\0\0\0\0", 5);
	UNTIL(s, call.done);
	assert_int_equal(call.grpc_status, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_calls_and_a_stream_on_one_connection, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_server_that_takes_no_more_calls, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_calls_are_refused_while_a_stream_is_open,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_call_whose_opener_is_cancelled, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_call_that_is_held_for_too_long, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_call_that_is_not_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_server_that_takes_no_http_2, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_an_end_without_a_status_is_a_failure, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
