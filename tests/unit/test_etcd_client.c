/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stores/etcd/etcd_client against servers that answer what etcd 3.4.23 answered, and what stands
 * between: which endpoint is asked, and by which prefix. As whom is in test_etcd_login.c.
 */
#include "tests/unit/etcd_rig.h"

/* ---- which failures go where ---- */

static const struct failure failures[] = {
	{ "no quorum, read", 503, UNARY_ERROR("etcdserver: request timed out", 14), true,
	  STORE_UNAVAILABLE },
	{ "no leader, streamed", 503, NO_LEADER, true, STORE_UNAVAILABLE },
	{ "no quorum, write", 500, UNARY_ERROR("context deadline exceeded", 2), true,
	  STORE_UNAVAILABLE },
	{ "deadline", 504, UNARY_ERROR("context deadline exceeded", 4), true, STORE_UNAVAILABLE },
	{ "shutting down", 408, UNARY_ERROR("context canceled", 1), true, STORE_UNAVAILABLE },
	{ "gateway", 500, UNARY_ERROR("stream terminated by RST_STREAM", 13), true,
	  STORE_UNAVAILABLE },
	{ "proxy", 502, "<html>Bad Gateway</html>", true, STORE_UNAVAILABLE },
	{ "empty", 200, "", true, STORE_UNAVAILABLE },
	{ "error in 200", 200, NO_LEADER, true, STORE_UNAVAILABLE },
	{ "cut", CUT, NULL, true, STORE_UNAVAILABLE },
	{ "silent", SILENT, NULL, true, STORE_UNAVAILABLE },
	{ "refused", REFUSED, NULL, true, STORE_UNAVAILABLE },
	{ "denied", 403, UNARY_ERROR("etcdserver: permission denied", 7), false, STORE_DENIED },
	{ "no user", 400, NO_TOKEN, false, STORE_DENIED },
	{ "token", 401, OLD, false, STORE_DENIED },
	{ "no space", 429, UNARY_ERROR("etcdserver: mvcc: database space exceeded", 8), false,
	  STORE_UNAVAILABLE },
	{ "argument", 400, UNARY_ERROR("etcdserver: key is not provided", 3), false,
	  STORE_INVALID },
	{ "not found", 404, UNARY_ERROR("etcdserver: requested lease not found", 5), false,
	  STORE_INVALID },
	{ "precondition", 412, UNARY_ERROR("etcdserver: lease already exists", 9), false,
	  STORE_INVALID },
	{ "v2 no leader", 503, V2_STREAM_ERROR("etcdserver: no leader", 14), true,
	  STORE_UNAVAILABLE },
	{ "v2 denied", 403, V2_ERROR("etcdserver: permission denied", 7), false, STORE_DENIED },
	{ "v2 token", 401, V2_ERROR("etcdserver: invalid auth token", 16), false, STORE_DENIED },
	{ "v2 no user", 400, V2_ERROR("etcdserver: user name is empty", 3), false, STORE_DENIED },
	{ "v2 precondition", 400, V2_ERROR("etcdserver: lease already exists", 9), false,
	  STORE_INVALID },
	{ "future", 400,
	  UNARY_ERROR("etcdserver: mvcc: required revision is a future revision", 11), false,
	  STORE_INVALID },
};

static void test_reads_go_to_another_endpoint(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
		const struct failure *f = &failures[i];
		auto_rig r = rig_for(2, f);
		struct question *q = ask(r, STORE_CONFIG, NULL, 0);

		print_message("%s\n", f->name);
		if (f->status != REFUSED)
			end_in(expect(r, 0, RANGE, NULL), f);
		if (!f->transient) {
			answered(q, f->one);
			continue;
		}
		reply(expect(r, 1, RANGE, NULL), 200, HEAD(1) "}");
		answered(q, STORE_ABSENT);
		/* And stay there while it answers. */
		q = ask(r, STORE_CONFIG, NULL, 0);
		reply(expect(r, 1, RANGE, NULL), 200, HEAD(1) "}");
		answered(q, STORE_ABSENT);
	}
}

/* Once round and no further; the reply says which endpoint, and what it said. */
static void test_nobody_answers(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
		const struct failure *f = &failures[i];
		auto_rig r = rig_for(1, f);
		auto_text url = xasprintf("http://127.0.0.1:%u: ", r->fakes[0].port);
		struct question *q = ask(r, STORE_CONFIG, NULL, 0);

		if (f->status != REFUSED)
			end_in(expect(r, 0, RANGE, NULL), f);
		assert_row(answered(q, f->one), f->name);
		assert_contains(q->reply.err.text, url);
		if (f->status > 0 && f->body[0] == '{')
			assert_contains(strchr(f->body, ':'), strrchr(q->reply.err.text, ':') + 2);
	}
}

/* A read that two members cannot answer is asked of each once. */
static void test_every_endpoint_once(void **state)
{
	(void)state;
	auto_rig r = rig_new(3, NULL);
	struct question *q = ask(r, STORE_CONFIG, NULL, 0);

	for (unsigned i = 0; i < 3; i++)
		reply(expect(r, i, RANGE, NULL), 503, NO_LEADER);
	answered(q, STORE_UNAVAILABLE);
}

/* Calls that were under way together when an endpoint failed do not skip the next one. */
static void test_calls_move_on_together(void **state)
{
	(void)state;
	auto_rig r = rig_new(3, NULL);
	struct question *one = ask(r, STORE_CONFIG, NULL, 0);
	struct question *two = ask(r, STORE_CONFIG, NULL, 0);
	struct asked *a = expect(r, 0, RANGE, NULL);
	struct asked *b = expect(r, 0, RANGE, NULL);

	reply(a, 503, NO_LEADER);
	reply(expect(r, 1, RANGE, NULL), 200, HEAD(1) "}");
	reply(b, 503, NO_LEADER);
	reply(expect(r, 1, RANGE, NULL), 200, HEAD(1) "}");
	answered(one, STORE_ABSENT);
	answered(two, STORE_ABSENT);
}

/* An answer of 503 to a write says nothing about whether it happened: nobody else is asked to do it
 * before somebody was asked whether it is done. */
static void test_writes_are_not_repeated_blindly(void **state)
{
	(void)state;
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	auto_text there = kv(KEY, "{}", 3, 5, HANDLE);
	auto_text unchanged = found(HEAD(7), there, false);

	for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
		const struct failure *f = &failures[i];
		auto_rig r = rig_for(2, f);
		struct question *q = ask(r, STORE_UPDATE, l, 0);

		print_message("%s\n", f->name);
		if (f->status != REFUSED)
			end_in(expect(r, 0, TXN, NULL), f);
		if (!f->transient) {
			answered(q, f->one);
			continue;
		}
		/* Surely not sent: no need to ask. */
		if (f->status != REFUSED)
			reply(expect(r, 1, RANGE, NULL), 200, unchanged);
		reply(expect(r, 1, TXN, NULL), 200, WRITTEN);
		answered(q, STORE_OK);
	}
}

/* A host that does not answer at all: what could not be sent cannot have happened. */
/* A learner has done nothing, so another is asked, for a write as well. */
static void test_learner(void **state)
{
	(void)state;
	static const struct failure says[] = {
		{ .status = 503, .body = UNARY_ERROR(LEARNER, 14) },
		{ .status = 503, .body = V2_ERROR(LEARNER, 14) },
		{ .status = 400, .body = V2_ERROR(LEARNER, 9) },
		{ .status = 400, .body = V2_ERROR("etcdserver: not capable", 9) },
	};
	auto_lease struct lease *l = lease_on("10.5.34.0-24");

	for (size_t i = 0; i < ARRAY_LEN(says); i++) {
		auto_rig r = rig_new(3, NULL);
		struct question *q = ask(r, STORE_CONFIG, NULL, 0);
		struct asked *first;

		reply(expect(r, 0, RANGE, NULL), says[i].status, says[i].body);
		reply(expect(r, 1, RANGE, NULL), 200, HEAD(1) "}");
		answered(q, STORE_ABSENT);
		q = ask(r, STORE_UPDATE, l, 0);
		first = expect(r, 1, TXN, NULL);

		reply(first, says[i].status, says[i].body);
		reply(expect(r, 2, TXN, first->body), 200, WRITTEN);
		answered(q, STORE_OK);
		/* It is not asked again. */
		q = ask(r, STORE_CREATE, l, 60);
		reply(expect(r, 2, GRANT, NULL), 200, HEAD(7) ",\"ID\":\"1\",\"TTL\":\"60\"}");
		reply(expect(r, 2, TXN, NULL), 200, WRITTEN);
		answered(q, STORE_OK);
	}
}

/* Nobody but learners: it may change, and is no mistake of the request's. */
static void test_nobody_but_a_learner(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	struct question *q = ask(r, STORE_CREATE, l, 60);

	reply(expect(r, 0, GRANT, NULL), 400, V2_ERROR(LEARNER, 9));
	assert_contains(answered(q, STORE_UNAVAILABLE)->err.text, "learner");
}

static void test_write_to_a_host_that_is_gone(void **state)
{
	(void)state;
	auto_rig r = rig_new(2, NULL);
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	struct sockaddr_in address = { .sin_family = AF_INET };
	struct question *q;
	int filler[4];

	/* Its queue is full and nobody accepts: further handshakes get no answer. */
	fake_refuse(&r->fakes[0]);
	assert_int_equal(listen(r->fakes[0].fd, 0), 0);
	address.sin_port = htons(r->fakes[0].port);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (size_t i = 0; i < ARRAY_LEN(filler); i++) {
		filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(filler[i], (struct sockaddr *)&address, sizeof(address));
	}
	etcd_client_set_timeouts(store_of_rig(r)->client, 100, 10000);
	q = ask(r, STORE_UPDATE, l, 0);
	reply(expect(r, 1, TXN, NULL), 200, WRITTEN);
	answered(q, STORE_OK);
	for (size_t i = 0; i < ARRAY_LEN(filler); i++)
		close(filler[i]);
}

static void test_write_that_was_never_sent_changed_nothing(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_lease struct lease *l = lease_on("10.5.34.0-24");

	fake_refuse(&r->fakes[0]);
	answered(ask(r, STORE_UPDATE, l, 0), STORE_UNAVAILABLE);
}

/* ---- older servers ---- */

static void test_older_prefixes(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct question *q = ask(r, STORE_CONFIG, NULL, 0);

	reply(expect(r, 0, "/v3/kv/range", NULL), 404, "404 page not found");
	reply(expect(r, 0, "/v3beta/kv/range", NULL), 404, "Not Found");
	reply(expect(r, 0, "/v3alpha/kv/range", NULL), 200, HEAD(1) "}");
	answered(q, STORE_ABSENT);
	q = ask(r, STORE_CONFIG, NULL, 0);
	reply(expect(r, 0, "/v3alpha/kv/range", NULL), 200, HEAD(1) "}");
	answered(q, STORE_ABSENT);
	/* It was upgraded. */
	q = ask(r, STORE_CONFIG, NULL, 0);
	reply(expect(r, 0, "/v3alpha/kv/range", NULL), 404, "404 page not found");
	reply(expect(r, 0, "/v3/kv/range", NULL), 200, HEAD(1) "}");
	answered(q, STORE_ABSENT);
}

/* Several calls find out at the same time: none of them skips the prefix that is right. */
static void test_older_prefix_found_together(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct question *one = ask(r, STORE_CONFIG, NULL, 0);
	struct question *two = ask(r, STORE_CONFIG, NULL, 0);
	struct asked *a = expect(r, 0, "/v3/kv/range", NULL);
	struct asked *b = expect(r, 0, "/v3/kv/range", NULL);

	reply(a, 404, "404 page not found");
	reply(expect(r, 0, "/v3beta/kv/range", NULL), 200, HEAD(1) "}");
	reply(b, 404, "404 page not found");
	reply(expect(r, 0, "/v3beta/kv/range", NULL), 200, HEAD(1) "}");
	answered(one, STORE_ABSENT);
	answered(two, STORE_ABSENT);
}

/* A web server among the endpoints, and an older etcd behind it. */
static void test_endpoint_that_is_no_etcd(void **state)
{
	(void)state;
	auto_rig r = rig_new(2, NULL);
	struct question *q = ask(r, STORE_CONFIG, NULL, 0);

	for (int i = 0; i < 3; i++)
		reply(expect(r, 0, NULL, NULL), 404, "Not Found");
	reply(expect(r, 1, "/v3/kv/range", NULL), 404, "Not Found");
	reply(expect(r, 1, "/v3beta/kv/range", NULL), 200, HEAD(1) "}");
	answered(q, STORE_ABSENT);
}

/* Nor can a write have happened there. */
static void test_write_to_what_is_no_etcd(void **state)
{
	(void)state;
	auto_rig r = rig_new(2, NULL);
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	struct question *q = ask(r, STORE_UPDATE, l, 0);

	for (int i = 0; i < 3; i++)
		reply(expect(r, 0, NULL, NULL), 404, "Not Found");
	reply(expect(r, 1, TXN, NULL), 200, WRITTEN);
	answered(q, STORE_OK);
}

/* ---- servers without a gateway ---- */

static const char *problem_of(struct rig *r)
{
	static struct problem_list list;

	list.len = 0;
	r->store->ops->problems(r->store, &list);
	assert_true(list.len <= 1);
	return list.len ? list.items[0].text : "";
}

static void refuse_all_prefixes(struct rig *r, unsigned endpoint)
{
	for (int i = 0; i < 3; i++)
		reply(expect(r, endpoint, NULL, NULL), 404, "404 page not found");
}

static void test_nobody_has_a_gateway(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct question *q = ask(r, STORE_CONFIG, NULL, 0);

	refuse_all_prefixes(r, 0);
	assert_non_null(
		strstr(answered(q, STORE_UNAVAILABLE)->err.text, "--enable-grpc-gateway=true"));
	/* Each request says it. */
	assert_string_equal(problem_of(r), "");
}

static void test_one_has_no_gateway_until_it_has(void **state)
{
	(void)state;
	auto_rig r = rig_new(2, NULL);
	struct question *q = ask(r, STORE_CONFIG, NULL, 0);

	refuse_all_prefixes(r, 0);
	/* Whose version the first one was asked for is not the second one's. */
	reply(expect(r, 1, RANGE, NULL), 200, HEAD(1) "}");
	answered(q, STORE_ABSENT);
	assert_non_null(strstr(problem_of(r), "--enable-grpc-gateway=true"));
	etcd_client_recheck(store_of_rig(r)->client);
	reply(expect(r, 0, "/v3/maintenance/status", NULL), 200, HEAD(1) "}");
	q = ask(r, STORE_CONFIG, NULL, 0);
	reply(expect(r, 1, RANGE, NULL), 200, HEAD(1) "}");
	answered(q, STORE_ABSENT);
	assert_string_equal(problem_of(r), "");
	etcd_client_recheck(store_of_rig(r)->client);
}

/* A port for gRPC alone begins with its settings, whatever it is sent. */
static void test_port_of_grpc_alone(void **state)
{
	static const char settings[] = "\0\0\6\4\0\0\0\0\0\0\5\0\0\x40\0";
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct question *q = ask(r, STORE_CONFIG, NULL, 0);
	struct asked *a = expect(r, 0, RANGE, NULL);

	bufferevent_write(a->conn->bev, settings, sizeof(settings) - 1);
	assert_non_null(
		strstr(answered(q, STORE_UNAVAILABLE)->err.text, "--enable-grpc-gateway=true"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_has_a_gateway),
		cmocka_unit_test(test_one_has_no_gateway_until_it_has),
		cmocka_unit_test(test_port_of_grpc_alone),
		cmocka_unit_test(test_reads_go_to_another_endpoint),
		cmocka_unit_test(test_nobody_answers),
		cmocka_unit_test(test_every_endpoint_once),
		cmocka_unit_test(test_calls_move_on_together),
		cmocka_unit_test(test_writes_are_not_repeated_blindly),
		cmocka_unit_test(test_learner),
		cmocka_unit_test(test_nobody_but_a_learner),
		cmocka_unit_test(test_write_to_a_host_that_is_gone),
		cmocka_unit_test(test_write_that_was_never_sent_changed_nothing),
		cmocka_unit_test(test_older_prefixes),
		cmocka_unit_test(test_older_prefix_found_together),
		cmocka_unit_test(test_endpoint_that_is_no_etcd),
		cmocka_unit_test(test_write_to_what_is_no_etcd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
