/* SPDX-License-Identifier: Apache-2.0 */
/* stores/etcd/etcd_client: users, tokens and certificates, against servers that want them. */
#include "tests/unit/etcd_rig.h"

#include "lib/file.h"

static struct rig *rig_with_user(size_t endpoints)
{
	struct etcd_options options = { .transport = (char *)"json",
					.username = (char *)"fabric",
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

/* Only what says that there are no users means that there are none. */
static void test_login_at_a_learner(void **state)
{
	(void)state;
	auto_rig r = rig_with_user(2);
	struct question *q = ask(r, STORE_CONFIG, NULL, 0);
	struct asked *a;

	reply(expect(r, 0, LOGIN, NULL), 400, V2_ERROR(LEARNER, 9));
	reply(expect(r, 1, LOGIN, NULL), 200, TOKEN);
	a = expect(r, 1, RANGE, NULL);
	assert_non_null(strstr(a->head, "Authorization"));
	reply(a, 200, HEAD(1) "}");
	answered(q, STORE_ABSENT);
}

static void test_login_where_there_are_no_users(void **state)
{
	(void)state;
	static const int statuses[] = { 400, 412 };

	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		auto_rig r = rig_with_user(1);
		struct question *q = ask(r, STORE_CONFIG, NULL, 0);

		reply(expect(r, 0, LOGIN, NULL), statuses[i],
		      V2_ERROR("etcdserver: authentication is not enabled", 9));
		reply(expect(r, 0, RANGE, NULL), 200, HEAD(1) "}");
		answered(q, STORE_ABSENT);
	}
}

/* The password file is read at every login. */
static void test_password_file(void **state)
{
	(void)state;
	char path[] = "/tmp/test-password-XXXXXX";
	int fd = mkstemp(path);
	struct etcd_options options = { .transport = (char *)"json",
					.username = (char *)"fabric",
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_login_comes_first),
		cmocka_unit_test(test_expired_token),
		cmocka_unit_test(test_expired_token_then_no_leader),
		cmocka_unit_test(test_wrong_password),
		cmocka_unit_test(test_login_without_a_token),
		cmocka_unit_test(test_asked_while_a_login_fails),
		cmocka_unit_test(test_user_where_there_are_none),
		cmocka_unit_test(test_login_at_a_learner),
		cmocka_unit_test(test_login_where_there_are_no_users),
		cmocka_unit_test(test_password_file),
		cmocka_unit_test(test_password_in_an_endpoint),
		cmocka_unit_test(test_certificate_with_a_common_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
