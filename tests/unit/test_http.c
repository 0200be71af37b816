/* SPDX-License-Identifier: Apache-2.0 */
/* lib/http: what the connections are like, and what is known of a call that failed. */
#include "tests/unit/fake_etcd.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

/* More than any bound that one might think of. */
#define FAKES 3
#define MANY  (FAKES * HTTP_HOST_CONNECTIONS_MAX)

struct end {
	unsigned done;
	int code;
	long status;
	bool sent;
	char error[200];
};

static void on_done(void *arg, const struct http_reply *reply)
{
	struct end *end = arg;

	end->done++;
	end->code = reply->code;
	end->status = reply->status;
	end->sent = reply->sent;
	snprintf(end->error, sizeof(end->error), "%s", reply->code ? reply->error : "");
}

static struct http_call *post_to(struct rig *r, size_t fake, struct end *end, const char *scheme,
				 bool fresh, int64_t connect_timeout_ms, int64_t timeout_ms)
{
	auto_free char *url = xasprintf("%s://127.0.0.1:%u/x", scheme, r->fakes[fake].port);
	struct http_request request = { .url = url,
					.body = "{}",
					.body_size = 2,
					.fresh = fresh,
					.connect_timeout_ms = connect_timeout_ms,
					.timeout_ms = timeout_ms,
					.max_reply_size = 4096,
					.on_done = on_done,
					.arg = end };

	return http_call_start(r->http, &request);
}

static struct http_call *post(struct rig *r, struct end *end, const char *scheme, bool fresh,
			      int64_t connect_timeout_ms, int64_t timeout_ms)
{
	return post_to(r, 0, end, scheme, fresh, connect_timeout_ms, timeout_ms);
}

static const struct end *ended(struct rig *r, const struct end *end)
{
	int64_t until = patience();

	while (!end->done)
		turn(r, until, "the end of the call");
	assert_int_equal(end->done, 1);
	return end;
}

/* The client's end of a connection: both ends are in this process. */
static int client_fd(const struct conn *c)
{
	for (int fd = 0; fd < 4096; fd++) {
		struct sockaddr_in name = { 0 };
		socklen_t size = sizeof(name);

		if (getsockname(fd, (struct sockaddr *)&name, &size) == 0 &&
		    name.sin_family == AF_INET && ntohs(name.sin_port) == c->peer_port)
			return fd;
	}
	fail_msg("no socket has port %u", c->peer_port);
	return -1;
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
	return value;
}

/* A host that died is noticed after 25 s without, and 20 s with something on its way. */
static void test_dead_hosts_are_noticed(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct end end = { 0 };
	struct asked *a;
	int fd;

	post(r, &end, "http", false, 3000, 0);
	a = expect(r, 0, "/x", "{}");
	fd = client_fd(a->conn);
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 10);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 5);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 20000);
	reply(a, 200, "{}");
	assert_int_equal(ended(r, &end)->status, 200);
}

/* Whatever the environment says of proxies, a call goes to the server that its URL names. */
static void test_no_proxy_of_the_environment(void **state)
{
	(void)state;
	static const char *const names[] = { "http_proxy",  "HTTP_PROXY", "https_proxy",
					     "HTTPS_PROXY", "all_proxy",  "ALL_PROXY" };
	auto_rig r = rig_new(2, NULL);
	auto_free char *proxy = xasprintf("http://127.0.0.1:%u", r->fakes[1].port);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct end end = { 0 };

		setenv(names[i], proxy, 1);
		post(r, &end, "http", true, 3000, 0);
		reply(expect(r, 0, "/x", "{}"), 200, "{}");
		assert_int_equal(ended(r, &end)->status, 200);
		unsetenv(names[i]);
	}
}

/* A connection stays that has its address, whatever else became of the underlay. */
static void test_connections_that_have_their_address(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct end end = { 0 };
	struct asked *a;

	post(r, &end, "http", false, 3000, 0);
	a = expect(r, 0, "/x", NULL);
	http_client_addresses_changed(r->http);
	reply(a, 200, "{}");
	assert_int_equal(ended(r, &end)->code, 0);
	end = (struct end){ 0 };
	post(r, &end, "http", false, 3000, 0);
	reply(expect(r, 0, "/x", NULL), 200, "{}");
	assert_int_equal(ended(r, &end)->code, 0);
	assert_int_equal(r->fakes[0].accepted, 1);
}

/* A namespace without 127.0.0.1. In one that never had an address any can be bound to. */
static void leave_127_behind(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_LOOPBACK };
	auto_close int fd = -1;

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
	lo.ifr_addr = (struct sockaddr){ .sa_family = AF_INET }; /* 0.0.0.0: take it away */
	assert_int_equal(ioctl(fd, SIOCSIFADDR, &lo), 0);
}

static void expect_anywhere(struct rig *r)
{
	int64_t until = patience();
	struct asked *q;

	while (!(q = next_asked(r)))
		turn(r, until, "a request to any of them");
	q->expected = true;
}

/* All that have lost theirs are cut, also the one that was opened when many others were. */
static void test_connections_without_their_address(void **state)
{
	(void)state;
	auto_close int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	auto_rig r = rig_new(FAKES, NULL);
	struct end ends[MANY] = { 0 };
	struct end after = { 0 };

	if (geteuid() != 0)
		skip();
	for (size_t i = 0; i < MANY; i++)
		post_to(r, i % FAKES, &ends[i], "http", true, 3000, 0);
	for (size_t i = 0; i < MANY; i++)
		expect_anywhere(r);
	leave_127_behind();
	http_client_addresses_changed(r->http);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	for (size_t i = 0; i < MANY; i++) {
		assert_true(ended(r, &ends[i])->code < 0);
		assert_true(ends[i].sent);
	}
	for (size_t i = 0; i < FAKES; i++)
		assert_int_equal(r->fakes[i].accepted, HTTP_HOST_CONNECTIONS_MAX);
	post(r, &after, "http", false, 3000, 0);
	reply(expect(r, 0, "/x", NULL), 200, "{}");
	assert_int_equal(ended(r, &after)->code, 0);
}

/* Only what was never sent is known not to have been acted on. */
static void test_sent_or_not(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		bool refused, accepted, tls, sent;
		int code;
	} rows[] = {
		{ "refused", .refused = true, .code = -ECONNREFUSED },
		{ "no handshake of TLS", .accepted = true, .tls = true, .code = -ETIMEDOUT },
		{ "cut", .accepted = true, .sent = true, .code = -EIO },
		{ "silent", .sent = true, .code = -ETIMEDOUT },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_rig r = rig_new(1, NULL);
		struct end end = { 0 };

		if (rows[i].refused)
			fake_refuse(&r->fakes[0]);
		post(r, &end, rows[i].tls ? "https" : "http", false, 200, 400);
		if (rows[i].sent && rows[i].accepted)
			cut(expect(r, 0, "/x", NULL));
		else if (rows[i].sent)
			expect(r, 0, "/x", NULL);
		ended(r, &end);
		assert_row(end.sent == rows[i].sent, rows[i].name);
		assert_row(end.code == rows[i].code, rows[i].name);
		assert_true(end.error[0]);
	}
}

/* Connections are kept and used again, unless the caller wants his own: that one ends with the
 * call. */
static void test_fresh_connections(void **state)
{
	(void)state;
	static const unsigned accepted[] = { 1, 1, 2, 2, 3 };
	auto_rig r = rig_new(1, NULL);

	for (unsigned i = 0; i < ARRAY_LEN(accepted); i++) {
		struct end end = { 0 };
		struct asked *a;

		post(r, &end, "http", i % 2 == 0 && i > 0, 3000, 0);
		a = expect(r, 0, "/x", NULL);
		reply(a, 200, "{}");
		ended(r, &end);
		assert_int_equal(r->fakes[0].accepted, accepted[i]);
		if (i % 2 == 0 && i > 0)
			await_closed(r, a);
	}
}

/* Whoever wants many at once waits for one that is free; each has its answer. */
static void test_connections_to_one_host(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct end ends[40] = { 0 };
	struct asked *asked[HTTP_HOST_CONNECTIONS_MAX];

	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		post(r, &ends[i], "http", false, 1000, 20000);
	for (size_t i = 0; i < ARRAY_LEN(asked); i++)
		asked[i] = expect(r, 0, "/x", NULL);
	for (size_t i = 0; i < 10; i++)
		event_base_loop(r->base, EVLOOP_NONBLOCK);
	assert_int_equal(r->fakes[0].accepted, HTTP_HOST_CONNECTIONS_MAX);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		struct asked *next = i < ARRAY_LEN(asked) ? asked[i] : expect(r, 0, "/x", NULL);

		reply(next, 200, "{}");
	}
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		assert_int_equal(ended(r, &ends[i])->code, 0);
	assert_int_equal(r->fakes[0].accepted, HTTP_HOST_CONNECTIONS_MAX);
}

static void test_bounded_answers(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_free char *much = xcalloc(4098, 1);
	struct end end = { 0 };

	memset(much, ' ', 4097);
	post(r, &end, "http", false, 3000, 0);
	reply(expect(r, 0, "/x", NULL), 200, much);
	assert_int_equal(ended(r, &end)->code, -EFBIG);
	assert_contains(end.error, "larger than allowed");
}

static void test_cancelled_calls_do_not_end(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct end cancelled = { 0 };
	struct end other = { 0 };
	struct http_call *call = post(r, &cancelled, "http", false, 3000, 0);
	struct asked *a = expect(r, 0, "/x", NULL);

	http_call_cancel(call);
	await_closed(r, a);
	post(r, &other, "http", false, 3000, 0);
	reply(expect(r, 0, "/x", NULL), 200, "{}");
	ended(r, &other);
	assert_int_equal(cancelled.done, 0);
	http_call_cancel(NULL);
}

struct opened {
	struct end end; /* first: on_done is given it */
	unsigned opened;
	char data[40];
	struct http_call *to_cancel;
};

static void on_open(void *arg)
{
	struct opened *o = arg;

	assert_string_equal(o->data, "");
	o->opened++;
	http_call_cancel(STEAL(o->to_cancel));
}

static void on_data(void *arg, const char *data, size_t size)
{
	struct opened *o = arg;

	strncat(o->data, data, MIN(size, sizeof(o->data) - strlen(o->data) - 1));
}

static struct http_call *open_stream(struct rig *r, struct opened *o)
{
	auto_free char *url = xasprintf("http://127.0.0.1:%u/stream", r->fakes[0].port);
	const struct http_request request = { .url = url,
					      .connect_timeout_ms = 3000,
					      .max_reply_size = 4096,
					      .on_open = on_open,
					      .on_data = on_data,
					      .on_done = on_done,
					      .arg = o };

	return http_call_start(r->http, &request);
}

/* A stream is known to stand before anything comes on it; an error is none. */
static void test_streams_open_before_they_tell(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct opened good = { 0 };
	struct opened bad = { 0 };
	struct opened cancelled = { 0 };
	int64_t until = patience();
	struct asked *a;

	open_stream(r, &good);
	a = expect(r, 0, "/stream", NULL);
	stream_open(a, 200);
	while (!good.opened)
		turn(r, until, "the beginning of the answer");
	assert_string_equal(good.data, "");
	stream(a, "one");
	stream(a, "two");
	stream_end(a);
	ended(r, &good.end);
	assert_string_equal(good.data, "one\ntwo\n");
	assert_int_equal(good.opened, 1);
	open_stream(r, &bad);
	reply(expect(r, 0, "/stream", NULL), 500, "no");
	assert_int_equal(ended(r, &bad.end)->status, 500);
	assert_int_equal(bad.opened, 0);
	cancelled.to_cancel = open_stream(r, &cancelled);
	a = expect(r, 0, "/stream", NULL);
	stream_open(a, 200);
	await_closed(r, a);
	assert_int_equal(cancelled.opened, 1);
	assert_int_equal(cancelled.end.done, 0);
	assert_string_equal(cancelled.data, "");
}

static void on_asked_to_wait(void *arg, const struct http_reply *reply)
{
	*(int64_t *)arg = reply->status == 429 ? reply->retry_after_s : -1;
}

static void test_other_methods_and_servers_that_ask_to_wait(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_free char *url = xasprintf("http://127.0.0.1:%u/node", r->fakes[0].port);
	int64_t wait_s = 0;
	const struct http_request request = { .url = url,
					      .method = "PATCH",
					      .body = "{\"a\":1}",
					      .body_size = 7,
					      .connect_timeout_ms = 3000,
					      .timeout_ms = 3000,
					      .max_reply_size = 4096,
					      .on_done = on_asked_to_wait,
					      .arg = &wait_s };
	int64_t until = patience();
	struct asked *a;

	http_call_start(r->http, &request);
	a = expect(r, 0, "/node", "{\"a\":1}");
	assert_int_equal(strncmp(a->head, "PATCH /node ", 12), 0);
	send_text(a, "HTTP/1.1 429 Too Many Requests\r\n"
		     "Retry-After: 7\r\nContent-Length: 0\r\n\r\n");
	while (!wait_s)
		turn(r, until, "the answer");
	assert_int_equal(wait_s, 7);
}

struct seen {
	char *index;
	char *other;
	bool nothing;
	bool done;
};

static void on_headers(void *arg, const struct http_reply *reply)
{
	struct seen *s = arg;
	const char *index = http_reply_header(reply, "X-Consul-Index");
	const char *other = http_reply_header(reply, "x-other");

	s->index = index ? xstrdup(index) : NULL;
	s->other = other ? xstrdup(other) : NULL;
	s->nothing = !http_reply_header(reply, "X-Nothing");
	s->done = true;
}

static void test_headers_of_an_answer(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_free char *url = xasprintf("http://127.0.0.1:%u/", r->fakes[0].port);
	struct seen seen = { 0 };
	const struct http_request request = { .url = url,
					      .connect_timeout_ms = 3000,
					      .timeout_ms = 3000,
					      .max_reply_size = 4096,
					      .on_done = on_headers,
					      .arg = &seen };
	int64_t until = patience();

	http_call_start(r->http, &request);
	send_text(expect(r, 0, "/", NULL), "HTTP/1.1 404 Not Found\r\nx-consul-index: 7\r\n"
					   "X-Other: a b \r\nContent-Length: 0\r\n\r\n");
	while (!seen.done)
		turn(r, until, "the answer");
	assert_string_equal(seen.index, "7");
	assert_string_equal(seen.other, "a b");
	assert_true(seen.nothing);
	free(seen.index);
	free(seen.other);
	/* Where there was no answer there is none. */
	fake_kill(&r->fakes[0]);
	seen = (struct seen){ 0 };
	until = patience();
	http_call_start(r->http, &request);
	while (!seen.done)
		turn(r, until, "the failure");
	assert_null(seen.index);
	assert_true(seen.nothing);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dead_hosts_are_noticed),
		cmocka_unit_test(test_no_proxy_of_the_environment),
		cmocka_unit_test(test_connections_that_have_their_address),
		cmocka_unit_test(test_connections_without_their_address),
		cmocka_unit_test(test_sent_or_not),
		cmocka_unit_test(test_fresh_connections),
		cmocka_unit_test(test_connections_to_one_host),
		cmocka_unit_test(test_bounded_answers),
		cmocka_unit_test(test_cancelled_calls_do_not_end),
		cmocka_unit_test(test_streams_open_before_they_tell),
		cmocka_unit_test(test_other_methods_and_servers_that_ask_to_wait),
		cmocka_unit_test(test_headers_of_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
