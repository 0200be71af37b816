/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stores/etcd/etcd_client against servers that answer what etcd 3.4.23 answered, and what stands
 * between: which endpoint is asked, as whom, and by which prefix.
 */
#include "tests/unit/etcd_rig.h"

#include "lib/file.h"

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

/* ---- users and certificates ---- */

static struct rig *rig_with_user(size_t endpoints)
{
	struct etcd_options options = { .username = (char *)"fabric",
					.password = (char *)"open \"sesame\"" };

	return rig_new(endpoints, &options);
}

static const char credentials[] = "{\"name\":\"fabric\",\"password\":\"open \\\"sesame\\\"\"}";

/* Logs in, and gets the first question that waited for it. */
static struct asked *log_in(struct rig *r, unsigned endpoint, const char *path)
{
	struct asked *a = expect(r, endpoint, LOGIN, credentials);

	assert_null(strstr(a->head, "Authorization"));
	reply(a, 200, TOKEN);
	a = expect(r, endpoint, path, NULL);
	assert_true(has_header(a, "Authorization: puDSvQScTYADrcEi.18"));
	return a;
}

static void test_login_comes_first(void **state)
{
	(void)state;
	auto_rig r = rig_with_user(1);
	struct question *one = ask(r, STORE_CONFIG, NULL, 0);
	struct question *two = ask(r, STORE_CONFIG, NULL, 0);

	/* One for all. */
	reply(log_in(r, 0, RANGE), 200, HEAD(1) "}");
	reply(expect(r, 0, RANGE, NULL), 200, HEAD(1) "}");
	answered(one, STORE_ABSENT);
	answered(two, STORE_ABSENT);
}

/* Expired, not there any more after a restart, or older than the last change of rights. */
static void test_expired_token(void **state)
{
	(void)state;
	static const struct failure why[] = {
		{ .status = 401, .body = OLD },
		{ .status = 400, .body = NO_TOKEN },
		{ .status = 400,
		  .body = UNARY_ERROR("etcdserver: revision of auth store is old", 3) },
	};
	auto_lease struct lease *l = lease_on("10.5.34.0-24");

	for (size_t i = 0; i < ARRAY_LEN(why); i++) {
		auto_rig r = rig_with_user(2);
		struct question *q = ask(r, STORE_CONFIG, NULL, 0);

		reply(log_in(r, 0, RANGE), 200, HEAD(1) "}");
		answered(q, STORE_ABSENT);
		/* A write too: what was refused has not happened. */
		q = ask(r, STORE_UPDATE, l, 0);
		end_in(expect(r, 0, TXN, NULL), &why[i]);
		reply(log_in(r, 0, TXN), 200, WRITTEN);
		answered(q, STORE_OK);
		/* Once, not for ever. */
		q = ask(r, STORE_CONFIG, NULL, 0);
		end_in(expect(r, 0, RANGE, NULL), &why[i]);
		end_in(log_in(r, 0, RANGE), &why[i]);
		answered(q, STORE_DENIED);
	}
}

/* To log in again is not to have tried another endpoint. */
static void test_expired_token_then_no_leader(void **state)
{
	(void)state;
	auto_rig r = rig_with_user(2);
	struct question *q = ask(r, STORE_CONFIG, NULL, 0);

	end_in(log_in(r, 0, RANGE), &(struct failure){ .status = 401, .body = OLD });
	reply(log_in(r, 0, RANGE), 503, NO_LEADER);
	reply(expect(r, 1, RANGE, NULL), 200, HEAD(1) "}");
	answered(q, STORE_ABSENT);
}

static void test_wrong_password(void **state)
{
	(void)state;
	auto_rig r = rig_with_user(2);
	auto_json json_t *description = json_object();
	auto_text text = NULL;
	struct question *one = ask(r, STORE_CONFIG, NULL, 0);
	struct question *two = ask(r, STORE_LIST, NULL, 0);

	reply(expect(r, 0, LOGIN, NULL), 400,
	      UNARY_ERROR("etcdserver: authentication failed, invalid user ID or password", 3));
	assert_contains(answered(one, STORE_DENIED)->err.text, "authentication failed");
	answered(two, STORE_DENIED);
	/* Nowhere to be seen. */
	r->store->ops->describe(r->store, description);
	text = json_dumps(description, 0);
	assert_contains(text, "authentication failed");
	assert_null(strstr(text, "sesame"));
	assert_null(strstr(one->reply.err.text, "sesame"));
	assert_null(strstr(two->reply.err.text, "sesame"));
}

/* A login that was answered by something else gives nobody an answer to what he asked. */
static void test_login_without_a_token(void **state)
{
	(void)state;
	auto_rig r = rig_with_user(1);
	struct question *q = ask(r, STORE_LIST, NULL, 0);

	reply(expect(r, 0, LOGIN, NULL), 200, HEAD(3) "}");
	assert_contains(answered(q, STORE_UNAVAILABLE)->err.text, "token");
	q = ask(r, STORE_LIST, NULL, 0);
	reply(expect(r, 0, LOGIN, NULL), 200, "{}");
	answered(q, STORE_UNAVAILABLE);
}

static void ask_again(void *arg, struct store_reply *reply UNUSED)
{
	struct rig **r = arg;

	/* From inside a failed login. */
	submit(*r, &(struct store_request){ .op = STORE_CONFIG });
}

/* What is asked when a login has just failed is not refused because of that one. */
static void test_asked_while_a_login_fails(void **state)
{
	(void)state;
	auto_rig r = rig_with_user(1);

	store_submit(r->store, &(struct store_request){ .op = STORE_CONFIG }, ask_again, &r);
	reply(expect(r, 0, LOGIN, NULL), 503, NO_LEADER);
	reply(log_in(r, 0, RANGE), 200, HEAD(1) "}");
	answered(r->questions, STORE_ABSENT);
}

static void test_user_where_there_are_none(void **state)
{
	(void)state;
	auto_rig r = rig_with_user(1);
	struct question *q = ask(r, STORE_CONFIG, NULL, 0);
	struct asked *a;

	reply(expect(r, 0, LOGIN, NULL), 400,
	      UNARY_ERROR("etcdserver: authentication is not enabled", 9));
	a = expect(r, 0, RANGE, NULL);
	assert_null(strstr(a->head, "Authorization"));
	/* Then it is switched on, with another password. */
	reply(a, 400, NO_TOKEN);
	reply(expect(r, 0, LOGIN, NULL), 400,
	      UNARY_ERROR("etcdserver: authentication failed, invalid user ID or password", 3));
	assert_contains(answered(q, STORE_DENIED)->err.text, "authentication failed");
	q = ask(r, STORE_CONFIG, NULL, 0);
	reply(log_in(r, 0, RANGE), 200, HEAD(1) "}");
	answered(q, STORE_ABSENT);
}

/* The password file is read at every login. */
static void test_password_file(void **state)
{
	(void)state;
	char path[] = "/tmp/test-password-XXXXXX";
	int fd = mkstemp(path);
	struct etcd_options options = { .username = (char *)"fabric",
					.password = (char *)"first",
					.password_file = path };
	auto_rig r = rig_new(1, &options);
	struct question *q = ask(r, STORE_CONFIG, NULL, 0);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "second\n", 7), 7);
	close(fd);
	/* Read when the login was written, that is, before there was anything in it. */
	reply(expect(r, 0, LOGIN, NULL), 400,
	      UNARY_ERROR("etcdserver: authentication failed, invalid user ID or password", 3));
	answered(q, STORE_DENIED);
	q = ask(r, STORE_CONFIG, NULL, 0);
	reply(expect(r, 0, LOGIN, "{\"name\":\"fabric\",\"password\":\"second\"}"), 200, TOKEN);
	reply(expect(r, 0, RANGE, NULL), 200, HEAD(1) "}");
	answered(q, STORE_ABSENT);
	unlink(path);
}

/* An endpoint with a password in it is refused, without telling the password to the log. */
static void test_password_in_an_endpoint(void **state)
{
	(void)state;
	static const char *const endpoints[] = { "http://root:sesame@192.0.2.1:2379",
						 "root:sesame@192.0.2.1:2379",
						 "ftp://root:sesame@192.0.2.1:2379",
						 "http://root:sesame@192.0.2.1:2379/x" };
	struct event_base *base = event_base_new();
	struct http_client *http = http_client_new(base);

	for (size_t i = 0; i < ARRAY_LEN(endpoints); i++) {
		struct etcd_options options = { .endpoints = (char *)endpoints[i] };
		struct store *store = NULL;
		struct err e = { 0 };

		assert_row(etcd_store_new(base, http, "/f", &options, fixed_random, &store, &e) ==
				   -EINVAL,
			   endpoints[i]);
		assert_contains(e.text, "192.0.2.1:2379");
		assert_null(strstr(e.text, "sesame"));
	}
	http_client_free(http);
	event_base_free(base);
}

#define COMMON_NAME                                                                                \
	"CommonName of client sending a request against gateway will be ignored and not used as "  \
	"expected"

/* It is not enough to pass on what etcd says: it does not say what to do. */
static void test_certificate_with_a_common_name(void **state)
{
	(void)state;
	auto_lease struct lease *l = lease_on("10.5.34.0-24");

	for (int user = 0; user < 2; user++) {
		auto_rig r = user ? rig_with_user(2) : rig_new(2, NULL);
		struct question *q = ask(r, user ? STORE_UPDATE : STORE_CONFIG, l, 0);

		/* The same at every endpoint, and nothing has happened. */
		reply(expect(r, 0, user ? LOGIN : RANGE, NULL), 400, COMMON_NAME "\n");
		answered(q, STORE_DENIED);
		assert_contains(q->reply.err.text, "certificate with a CommonName");
		assert_contains(q->reply.err.text, "certificate without one");
		assert_contains(q->reply.err.text, "user name and password");
	}
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_go_to_another_endpoint),
		cmocka_unit_test(test_nobody_answers),
		cmocka_unit_test(test_every_endpoint_once),
		cmocka_unit_test(test_calls_move_on_together),
		cmocka_unit_test(test_writes_are_not_repeated_blindly),
		cmocka_unit_test(test_write_to_a_host_that_is_gone),
		cmocka_unit_test(test_write_that_was_never_sent_changed_nothing),
		cmocka_unit_test(test_login_comes_first),
		cmocka_unit_test(test_expired_token),
		cmocka_unit_test(test_expired_token_then_no_leader),
		cmocka_unit_test(test_wrong_password),
		cmocka_unit_test(test_login_without_a_token),
		cmocka_unit_test(test_asked_while_a_login_fails),
		cmocka_unit_test(test_user_where_there_are_none),
		cmocka_unit_test(test_password_file),
		cmocka_unit_test(test_password_in_an_endpoint),
		cmocka_unit_test(test_certificate_with_a_common_name),
		cmocka_unit_test(test_older_prefixes),
		cmocka_unit_test(test_older_prefix_found_together),
		cmocka_unit_test(test_endpoint_that_is_no_etcd),
		cmocka_unit_test(test_write_to_what_is_no_etcd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
