/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subnet/etcd_store and subnet/etcd_client against servers that answer what etcd 3.4.23 answered,
 * and what stands between: which request goes where, what becomes of the outcome.
 */
#include "tests/unit/fake_etcd.h"

#include "lib/file.h"

#define CONFIG   "{\"Network\":\"10.5.0.0/16\"}"
#define KEY      "/f/subnets/10.5.34.0-24"
#define HANDLE   77
#define RANGE    "/v3/kv/range"
#define TXN      "/v3/kv/txn"
#define GRANT    "/v3/lease/grant"
#define REVOKE   "/v3/lease/revoke"
#define LOGIN    "/v3/auth/authenticate"
#define NO_TOKEN UNARY_ERROR("etcdserver: user name is empty", 3)
#define OLD      UNARY_ERROR("etcdserver: invalid auth token", 16)
#define TOKEN    HEAD(4) ",\"token\":\"puDSvQScTYADrcEi.18\"}"
#define WRITTEN                                                                                    \
	HEAD(8)                                                                                    \
	",\"succeeded\":true,\"responses\":[{\"response_put\":{\"header\":{\"revision\":\"8\"}}}]" \
	"}"

#define auto_text auto_free char *

static struct lease *lease_on(const char *key)
{
	struct lease *l = lease_new();

	assert_int_equal(subnet_key_parse(key, &l->subnet, NULL), 0);
	l->public_v4 = test_addr("192.0.2.7");
	l->backend_type = xstrdup("vxlan");
	l->create_revision = 3;
	l->mod_revision = 5;
	l->handle = HANDLE;
	return l;
}

static struct question *set_config(struct rig *r, const char *config, uint64_t revision)
{
	struct store_request request = { .op = STORE_CONFIG_SET,
					 .config = config,
					 .config_revision = revision };

	return submit(r, &request);
}

/* {header, "kvs":[...]}, which is a transaction that failed if `failed`. */
static char *found(const char *head, const char *kvs, bool failed)
{
	return xasprintf(failed ? "%s,\"responses\":[{\"response_range\":{\"kvs\":[%s]}}]}"
				: "%s,\"kvs\":[%s],\"count\":\"1\"}",
			 head, kvs);
}

/* ---- reading ---- */

static void test_config(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_text there = kv("/f/config", CONFIG, 2, 2, 0);
	auto_text answer = found(HEAD(7), there, false);
	auto_text body = etcd_encode_range("/f/config", NULL, 0, 0);
	struct question *q = ask(r, STORE_CONFIG, NULL, 0);
	struct asked *a = expect(r, 0, RANGE, body);
	const struct store_reply *got;

	assert_int_equal(strncmp(a->head, "POST ", 5), 0);
	assert_true(has_header(a, "Content-Type: application/json"));
	assert_null(strstr(a->head, "Authorization"));
	assert_null(strstr(a->head, "Expect:"));
	reply(a, 200, answer);
	got = answered(q, STORE_OK);
	assert_string_equal(got->config, CONFIG);
	assert_int_equal(got->config_revision, 2);
	assert_int_equal(got->revision, 7);
}

/* What is not there is not in the answer either: neither list nor count nor "succeeded": false. */
static void test_absent_means_zero(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	struct question *q = ask(r, STORE_CONFIG, NULL, 0);

	reply(expect(r, 0, RANGE, NULL), 200, HEAD(1) "}");
	assert_contains(answered(q, STORE_ABSENT)->err.text, "/f/config");

	q = ask(r, STORE_LIST, NULL, 0);
	reply(expect(r, 0, RANGE, NULL), 200, HEAD(1) "}");
	assert_int_equal(answered(q, STORE_OK)->leases_len, 0);
	assert_int_equal(q->reply.revision, 1);

	q = ask(r, STORE_UPDATE, l, 0);
	reply(expect(r, 0, TXN, NULL), 200, HEAD(8) "}");
	assert_null(answered(q, STORE_CONFLICT)->holder);
}

static void test_list_in_pages_of_one_revision(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_text one = kv("/f/subnets/10.5.1.0-24", "{\"PublicIP\":\"192.0.2.1\"}", 3, 3, 11);
	auto_text junk = kv("/f/subnets/what", "{}", 4, 4, 0);
	auto_text two = kv("/f/subnets/10.5.2.0-24", "{", 5, 6, 12);
	auto_text first =
		xasprintf(HEAD(7) ",\"kvs\":[%s,%s],\"more\":true,\"count\":\"3\"}", one, junk);
	auto_text second = xasprintf(HEAD(9) ",\"kvs\":[%s],\"count\":\"3\"}", two);
	auto_text from_start = etcd_encode_range("/f/subnets/", "/f/subnets0", 1000, 0);
	auto_text from_there = etcd_encode_range("/f/subnets/what\x01", "/f/subnets0", 1000, 7);
	struct question *q = ask(r, STORE_LIST, NULL, 0);
	const struct store_reply *got;

	/* The first revision is compacted before the second page: once more from the start. */
	reply(expect(r, 0, RANGE, from_start), 200, first);
	reply(expect(r, 0, RANGE, from_there), 400,
	      UNARY_ERROR("etcdserver: mvcc: required revision has been compacted", 11));
	reply(expect(r, 0, RANGE, from_start), 200, first);
	reply(expect(r, 0, RANGE, from_there), 200, second);
	got = answered(q, STORE_OK);
	assert_int_equal(got->revision, 7);
	assert_int_equal(got->leases_len, 2);
	assert_int_equal(got->leases[0]->handle, 11);
	assert_null(got->leases[0]->problem);
	assert_int_equal(got->leases[1]->create_revision, 5);
	assert_int_equal(got->leases[1]->mod_revision, 6);
	assert_non_null(got->leases[1]->problem);
	assert_int_equal(got->junk_len, 1);
	assert_string_equal(got->junk[0].key, "/f/subnets/what");
}

/* A cluster that takes another's place between two pages: half of each is no list. */
static void test_list_of_one_cluster(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_text one = kv("/f/subnets/10.5.1.0-24", "{}", 3, 3, 11);
	auto_text first = xasprintf(HEAD(7) ",\"kvs\":[%s],\"more\":true}", one);
	auto_text from_start = etcd_encode_range("/f/subnets/", "/f/subnets0", 1000, 0);
	struct question *q = ask(r, STORE_LIST, NULL, 0);

	reply(expect(r, 0, RANGE, from_start), 200, first);
	reply(expect(r, 0, RANGE, NULL), 200, HEAD_OF("5", 30) "}");
	reply(expect(r, 0, RANGE, from_start), 200, HEAD_OF("5", 30) "}");
	assert_int_equal(answered(q, STORE_OK)->leases_len, 0);
	assert_int_equal(q->reply.revision, 30);
}

/* There is more, and nothing says where: what came so far is not all there is. */
static void test_list_that_cannot_go_on(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct question *q = ask(r, STORE_LIST, NULL, 0);

	reply(expect(r, 0, RANGE, NULL), 200, HEAD(7) ",\"kvs\":[],\"more\":true}");
	assert_contains(answered(q, STORE_UNAVAILABLE)->err.text, "no key to go on from");
}

/* The next page is under way when this one turns out to be of no use. */
static void test_list_with_a_page_that_cannot_be_read(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_text one = kv("/f/subnets/10.5.1.0-24", "{}", 3, 3, 11);
	auto_text first = xasprintf(HEAD(7) ",\"kvs\":[{\"key\":\"%%\"},%s],\"more\":true}", one);
	auto_text from_there =
		etcd_encode_range("/f/subnets/10.5.1.0-24\x01", "/f/subnets0", 1000, 7);
	struct question *q = ask(r, STORE_LIST, NULL, 0);

	reply(expect(r, 0, RANGE, NULL), 200, first);
	assert_contains(answered(q, STORE_UNAVAILABLE)->err.text, "base64");
	expect(r, 0, RANGE, from_there);
}

/* Compaction that is faster than we read is a trouble that passes. */
static void test_list_that_never_ends(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_text one = kv("/f/subnets/10.5.1.0-24", "{}", 3, 3, 11);
	auto_text first = xasprintf(HEAD(7) ",\"kvs\":[%s],\"more\":true}", one);
	struct question *q = ask(r, STORE_LIST, NULL, 0);

	for (int i = 0; i < 4; i++) {
		reply(expect(r, 0, RANGE, NULL), 200, first);
		reply(expect(r, 0, RANGE, NULL), 400,
		      UNARY_ERROR("etcdserver: mvcc: required revision has been compacted", 11));
	}
	answered(q, STORE_UNAVAILABLE);
}

/* HTTP 200 and an object, but not etcd's: to be taken for an empty store it would have to say so.
 */
static void test_answers_of_others(void **state)
{
	(void)state;
	static const char *const bodies[] = { "{}",
					      "{\"header\":{}}",
					      "{\"kvs\":[]}",
					      "{\"header\":7,\"kvs\":7}",
					      "{\"ok\":true}",
					      "" };
	auto_lease struct lease *l = lease_on("10.5.34.0-24");

	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		static const enum store_op ops[] = { STORE_CONFIG, STORE_LIST };
		auto_rig r = rig_new(1, NULL);
		struct question *q;

		for (size_t j = 0; j < ARRAY_LEN(ops); j++) {
			q = ask(r, ops[j], NULL, 0);
			reply(expect(r, 0, RANGE, NULL), 200, bodies[i]);
			answered(q, STORE_UNAVAILABLE);
		}
		/* Nor is a lease lost because of it. */
		if (i == 1)
			continue;
		q = ask(r, STORE_KEEPALIVE, l, 0);
		reply(expect(r, 0, "/v3/lease/keepalive", NULL), 200, bodies[i]);
		answered(q, STORE_UNAVAILABLE);
	}
}

/* ---- which failures go where ---- */

#define CUT     (-1)
#define REFUSED (-2)
#define SILENT  (-3)

static const struct failure {
	const char *name;
	int status; /* or one of the above */
	const char *body;
	bool transient;        /* another endpoint may know better */
	enum store_status one; /* of a read with nobody else to ask */
} failures[] = {
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

/* Makes `a` end in this way. A refusal happens before there is a request. */
static void end_in(struct asked *a, const struct failure *f)
{
	if (f->status == CUT)
		cut(a);
	else if (f->status != SILENT)
		reply(a, f->status, f->body);
}

static struct rig *rig_for(size_t endpoints, const struct failure *f)
{
	struct rig *r = rig_new(endpoints, NULL);

	etcd_client_set_timeouts(store_of_rig(r)->client, 3000, f->status == SILENT ? 100 : 10000);
	if (f->status == REFUSED)
		fake_refuse(&r->fakes[0]);
	return r;
}

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

/* ---- outcomes that were not seen ---- */

static struct question *ask_write(struct rig *r, enum store_op op)
{
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	struct question *q;

	chance = 2 * (HANDLE - 1);
	if (op == STORE_CONFIG_SET)
		return set_config(r, CONFIG, 5);
	q = ask(r, op, l, op == STORE_CREATE ? 60 : 0);
	if (op == STORE_CREATE)
		reply(expect(r, 0, GRANT, NULL), 200, HEAD(7) ",\"ID\":\"77\",\"TTL\":\"60\"}");
	return q;
}

/* What stands under the key: as before the write, as after it, or as somebody else left it. */
enum stands { BEFORE, AFTER, OTHER };

static char *standing(enum store_op op, enum stands what, bool failed)
{
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	auto_text value = lease_value_format(l);
	const char *key = op == STORE_CONFIG_SET ? "/f/config" : KEY;
	const char *ours = op == STORE_CONFIG_SET ? CONFIG : value;
	bool absent =
		(op == STORE_CREATE && what == BEFORE) || (op == STORE_REMOVE && what == AFTER);
	int64_t handle = op == STORE_CONFIG_SET ? 0 : HANDLE;
	auto_text record = absent           ? xstrdup("")
			   : what == BEFORE ? kv(key, "{\"a\":1}", 3, 5, handle)
			   : what == AFTER  ? kv(key, ours, op == STORE_CREATE ? 8 : 3, 8, handle)
					    : kv(key, "{\"b\":2}", 9, 9, 1234);

	if (absent)
		return xstrdup(HEAD(9) "}");
	return found(HEAD(9), record, failed);
}

static void check_written(enum store_op op, const struct store_reply *got)
{
	assert_true(got->revision >= 8);
	if (op == STORE_CREATE) {
		assert_int_equal(got->holder->create_revision, 8);
		assert_int_equal(got->holder->handle, HANDLE);
		assert_int_equal(got->ttl_s, 60);
	}
	if (op == STORE_CREATE || op == STORE_UPDATE)
		assert_int_equal(got->holder->mod_revision, 8);
	if (op == STORE_CONFIG_SET)
		assert_int_equal(got->config_revision, 8);
}

static const enum store_op writes[] = { STORE_CREATE, STORE_UPDATE, STORE_REMOVE,
					STORE_CONFIG_SET };
/* A 500 of a member without quorum, and a connection that ends. */
static const struct failure lost[] = {
	{ .status = 500, .body = UNARY_ERROR("context deadline exceeded", 2) },
	{ .status = CUT },
};

static void test_unknown_outcome_it_happened(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(writes) * ARRAY_LEN(lost); i++) {
		enum store_op op = writes[i / ARRAY_LEN(lost)];
		auto_rig r = rig_new(1, NULL);
		auto_text after = standing(op, AFTER, false);
		struct question *q = ask_write(r, op);

		print_message("%s\n", store_op_name(op));
		end_in(expect(r, 0, TXN, NULL), &lost[i % ARRAY_LEN(lost)]);
		reply(expect(r, 0, RANGE, NULL), 200, after);
		check_written(op, answered(q, STORE_OK));
	}
}

static void test_unknown_outcome_it_did_not_happen(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(writes); i++) {
		auto_rig r = rig_new(1, NULL);
		auto_text before = standing(writes[i], BEFORE, false);
		struct question *q = ask_write(r, writes[i]);
		struct asked *first = expect(r, 0, TXN, NULL);

		print_message("%s\n", store_op_name(writes[i]));
		reply(first, 500, UNARY_ERROR("context deadline exceeded", 2));
		reply(expect(r, 0, RANGE, NULL), 200, before);
		/* Byte for byte the same: the compare is what makes it harmless. */
		reply(expect(r, 0, TXN, first->body), 200, WRITTEN);
		check_written(writes[i], answered(q, STORE_OK));
	}
}

/* The first one was still on its way when we looked, and is what stands in the way of the second.
 */
static void test_unknown_outcome_it_happened_late(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(writes); i++) {
		auto_rig r = rig_new(1, NULL);
		auto_text before = standing(writes[i], BEFORE, false);
		auto_text after = standing(writes[i], AFTER, true);
		struct question *q = ask_write(r, writes[i]);

		print_message("%s\n", store_op_name(writes[i]));
		reply(expect(r, 0, TXN, NULL), 503,
		      UNARY_ERROR("etcdserver: request timed out", 14));
		reply(expect(r, 0, RANGE, NULL), 200, before);
		reply(expect(r, 0, TXN, NULL), 200, after);
		check_written(writes[i], answered(q, STORE_OK));
	}
}

static void test_unknown_outcome_somebody_else_was_there(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(writes); i++) {
		auto_rig r = rig_new(1, NULL);
		auto_text other = standing(writes[i], OTHER, false);
		auto_text handle = etcd_encode_lease_id(HANDLE);
		struct question *q = ask_write(r, writes[i]);

		print_message("%s\n", store_op_name(writes[i]));
		cut(expect(r, 0, TXN, NULL));
		reply(expect(r, 0, RANGE, NULL), 200, other);
		answered(q, STORE_CONFLICT);
		if (writes[i] != STORE_CONFIG_SET)
			assert_int_equal(q->reply.holder->mod_revision, 9);
		if (writes[i] == STORE_CREATE)
			expect(r, 0, REVOKE, handle);
	}
}

/* A write that was answered has no excuse: what stands there is not its doing, like it or not. */
static void test_lost_compare_is_a_conflict(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(writes); i++) {
		auto_rig r = rig_new(1, NULL);
		enum store_op op = writes[i];
		auto_text after = standing(op, op == STORE_CREATE ? OTHER : AFTER, true);
		struct question *q = ask_write(r, op);

		print_message("%s\n", store_op_name(op));
		reply(expect(r, 0, TXN, NULL), 200, after);
		if (op == STORE_CREATE)
			expect(r, 0, REVOKE, NULL);
		assert_int_equal(answered(q, STORE_CONFLICT)->revision, 9);
	}
}

/* Whatever keeps us from looking, "nothing was changed" is not what we know. */
static void test_unknown_outcome_stays_unknown(void **state)
{
	(void)state;
	static const struct failure why[] = {
		{ .status = 503, .body = NO_LEADER },
		{ .status = 403, .body = UNARY_ERROR("etcdserver: permission denied", 7) },
		{ .status = 200, .body = "{}" },
		{ .status = REFUSED },
	};

	for (size_t i = 0; i < ARRAY_LEN(writes) * ARRAY_LEN(why); i++) {
		enum store_op op = writes[i / ARRAY_LEN(why)];
		const struct failure *f = &why[i % ARRAY_LEN(why)];
		auto_rig r = rig_new(1, NULL);
		struct question *q = ask_write(r, op);
		struct asked *a = expect(r, 0, TXN, NULL);

		print_message("%s, %d\n", store_op_name(op), f->status);
		if (f->status == REFUSED) {
			fake_kill(&r->fakes[0]);
		} else {
			cut(a);
			end_in(expect(r, 0, RANGE, NULL), f);
		}
		assert_true(answered(q, STORE_UNKNOWN)->err.text[0]);
	}
}

/* Not found, tried again, and then not even sent: the first may still come. */
static void test_unknown_outcome_is_not_forgotten(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_text before = standing(STORE_UPDATE, BEFORE, false);
	struct question *q = ask_write(r, STORE_UPDATE);

	reply(expect(r, 0, TXN, NULL), 500, UNARY_ERROR("context deadline exceeded", 2));
	reply(expect(r, 0, RANGE, NULL), 200, before);
	expect(r, 0, TXN, NULL);
	fake_kill(&r->fakes[0]);
	answered(q, STORE_UNKNOWN);
}

static void test_looking_ends(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_text before = standing(STORE_UPDATE, BEFORE, false);
	struct question *q = ask_write(r, STORE_UPDATE);

	for (int i = 0; i < 3; i++) {
		cut(expect(r, 0, TXN, NULL));
		reply(expect(r, 0, RANGE, NULL), 200, before);
	}
	cut(expect(r, 0, TXN, NULL));
	answered(q, STORE_UNKNOWN);
}

/*
 * A kept connection that the server closes without an answer: libcurl would send the request again
 * by itself, and nobody would know that there were two.
 */
static void test_libcurl_repeats_no_write(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(writes); i++) {
		auto_rig r = rig_new(1, NULL);
		auto_text after = standing(writes[i], AFTER, false);
		struct question *q = ask(r, STORE_CONFIG, NULL, 0);

		print_message("%s\n", store_op_name(writes[i]));
		reply(expect(r, 0, RANGE, NULL), 200, HEAD(7) "}");
		answered(q, STORE_ABSENT);
		q = ask_write(r, writes[i]);
		cut(expect(r, 0, TXN, NULL));
		reply(expect(r, 0, RANGE, NULL), 200, after);
		answered(q, STORE_OK);
	}
}

/* ---- claims ---- */

static void test_create_byte_for_byte(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	auto_text value = lease_value_format(l);
	auto_text key64 = base64_encode(KEY, strlen(KEY));
	auto_text value64 = base64_encode(value, strlen(value));
	auto_text txn = xasprintf(
		"{\"compare\":[{\"key\":\"%s\",\"target\":\"CREATE\",\"result\":\"EQUAL\","
		"\"create_revision\":\"0\"}],\"success\":[{\"request_put\":{\"key\":\"%s\","
		"\"value\":\"%s\",\"lease\":\"77\"}}],"
		"\"failure\":[{\"request_range\":{\"key\":\"%s\"}}]}",
		key64, key64, value64, key64);
	struct question *q;

	chance = 2 * (HANDLE - 1);
	q = ask(r, STORE_CREATE, l, 60);
	reply(expect(r, 0, GRANT, "{\"TTL\":\"60\",\"ID\":\"77\"}"), 200,
	      HEAD(7) ",\"ID\":\"77\",\"TTL\":\"61\"}");
	reply(expect(r, 0, TXN, txn), 200, WRITTEN);
	answered(q, STORE_OK);
	assert_int_equal(q->reply.ttl_s, 61);
	assert_int_equal(q->reply.holder->handle, HANDLE);
	assert_int_equal(q->reply.holder->create_revision, 8);
}

/* A put without its lease would make the key immortal. */
static void test_update_keeps_the_lease(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	auto_text value = lease_value_format(l);
	auto_text key64 = base64_encode(KEY, strlen(KEY));
	auto_text value64 = base64_encode(value, strlen(value));
	auto_text txn =
		xasprintf("{\"compare\":[{\"key\":\"%s\",\"target\":\"MOD\",\"result\":\"EQUAL\","
			  "\"mod_revision\":\"5\"}],\"success\":[{\"request_put\":{\"key\":\"%s\","
			  "\"value\":\"%s\",\"ignore_lease\":true}}],"
			  "\"failure\":[{\"request_range\":{\"key\":\"%s\"}}]}",
			  key64, key64, value64, key64);
	struct question *q = ask(r, STORE_UPDATE, l, 0);

	reply(expect(r, 0, TXN, txn), 200, WRITTEN);
	assert_int_equal(answered(q, STORE_OK)->holder->handle, HANDLE);
	assert_int_equal(q->reply.holder->create_revision, 3);
	assert_int_equal(q->reply.holder->mod_revision, 8);
}

static void test_lease_ids_are_positive(void **state)
{
	(void)state;
	static const uint64_t chances[] = { 0, 1, UINT64_MAX, (uint64_t)1 << 63, INT64_MAX };
	auto_lease struct lease *l = lease_on("10.5.34.0-24");

	for (size_t i = 0; i < ARRAY_LEN(chances); i++) {
		auto_rig r = rig_new(1, NULL);
		const char *id;

		chance = chances[i];
		ask(r, STORE_CREATE, l, 60);
		id = strstr(expect(r, 0, GRANT, NULL)->body, "\"ID\":\"");
		assert_non_null(id);
		assert_true(strtoll(id + 6, NULL, 10) > 0);
	}
}

/* We chose the id, so one that is there already when we ask again is ours. */
static void test_grant_repeated(void **state)
{
	(void)state;
	static const struct failure why[] = {
		{ .status = 500, .body = UNARY_ERROR("context deadline exceeded", 2) },
		{ .status = 503, .body = NO_LEADER },
		{ .status = 504, .body = UNARY_ERROR("context deadline exceeded", 4) },
		{ .status = 502, .body = "Bad Gateway" },
		{ .status = CUT },
	};
	auto_lease struct lease *l = lease_on("10.5.34.0-24");

	for (size_t i = 0; i < ARRAY_LEN(why); i++) {
		auto_rig r = rig_new(2, NULL);
		struct question *q = ask(r, STORE_CREATE, l, 60);
		struct asked *first = expect(r, 0, GRANT, NULL);

		print_message("%d\n", why[i].status);
		end_in(first, &why[i]);
		reply(expect(r, 1, GRANT, first->body), 412,
		      UNARY_ERROR("etcdserver: lease already exists", 9));
		reply(expect(r, 1, TXN, NULL), 200, WRITTEN);
		assert_int_equal(answered(q, STORE_OK)->ttl_s, 60);
	}
}

/* One that is there when we ask for the first time is somebody else's, however unlikely. */
static void test_grant_of_a_taken_id(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	struct question *q;

	chance = 2 * (HANDLE - 1);
	q = ask(r, STORE_CREATE, l, 60);
	chance = 2 * HANDLE;
	reply(expect(r, 0, GRANT, "{\"TTL\":\"60\",\"ID\":\"77\"}"), 412,
	      UNARY_ERROR("etcdserver: lease already exists", 9));
	chance = 2 * (HANDLE + 1);
	reply(expect(r, 0, GRANT, "{\"TTL\":\"60\",\"ID\":\"79\"}"), 200,
	      HEAD(7) ",\"ID\":\"79\",\"TTL\":\"60\"}");
	reply(expect(r, 0, TXN, NULL), 200, WRITTEN);
	assert_int_equal(answered(q, STORE_OK)->holder->handle, 79);
}

/* The store was wiped, or its leader changed, between grant and put. */
static void test_lease_lost_before_the_put(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct question *q = ask_write(r, STORE_CREATE);

	chance = 2 * (HANDLE + 1);
	reply(expect(r, 0, TXN, NULL), 404,
	      UNARY_ERROR("etcdserver: requested lease not found", 5));
	reply(expect(r, 0, GRANT, "{\"TTL\":\"60\",\"ID\":\"79\"}"), 200,
	      HEAD(7) ",\"ID\":\"79\",\"TTL\":\"60\"}");
	assert_contains(expect(r, 0, TXN, NULL)->body, "\"lease\":\"79\"");
	reply(r->asked->next->next->next, 200, WRITTEN);
	assert_int_equal(answered(q, STORE_OK)->holder->handle, 79);
}

static void test_create_taken_by_another(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_text other = standing(STORE_CREATE, OTHER, true);
	struct question *q = ask_write(r, STORE_CREATE);

	reply(expect(r, 0, TXN, NULL), 200, other);
	expect(r, 0, REVOKE, "{\"ID\":\"77\"}");
	answered(q, STORE_CONFLICT);
	assert_int_equal(q->reply.holder->handle, 1234);
	assert_int_equal(q->reply.revision, 9);
}

/* Two reservations have no lease, both: that does not make the other's ours. */
static void test_reservation_taken_by_another(void **state)
{
	(void)state;
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	auto_text there = kv(KEY, "{\"PublicIP\":\"192.0.2.9\"}", 4, 4, 0);
	auto_text failed = found(HEAD(9), there, true);
	auto_text read = found(HEAD(9), there, false);

	for (int lost_first = 0; lost_first < 2; lost_first++) {
		auto_rig r = rig_new(1, NULL);
		struct question *q = ask(r, STORE_CREATE, l, 0);
		struct asked *a = expect(r, 0, TXN, NULL);

		assert_contains(a->body, "\"lease\":\"0\"");
		if (lost_first) {
			cut(a);
			reply(expect(r, 0, RANGE, NULL), 200, read);
		} else {
			reply(a, 200, failed);
		}
		answered(q, STORE_CONFLICT);
		assert_int_equal(q->reply.holder->mod_revision, 4);
	}
}

static void test_reservation_of_unknown_outcome(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	auto_text value = lease_value_format(l);
	auto_text there = kv(KEY, value, 8, 8, 0);
	auto_text read = found(HEAD(9), there, false);
	struct question *q = ask(r, STORE_CREATE, l, 0);

	cut(expect(r, 0, TXN, NULL));
	reply(expect(r, 0, RANGE, NULL), 200, read);
	assert_int_equal(answered(q, STORE_OK)->holder->create_revision, 8);
}

/* Leases are granted to anybody, also without a token. One that we may not use is given back, not
 * left behind at every attempt. */
static void test_grant_is_no_permission(void **state)
{
	(void)state;
	static const struct failure why[] = {
		{ .status = 403, .body = UNARY_ERROR("etcdserver: permission denied", 7) },
		{ .status = 400, .body = NO_TOKEN },
	};

	for (size_t i = 0; i < ARRAY_LEN(why); i++) {
		auto_rig r = rig_new(1, NULL);
		struct question *q = ask_write(r, STORE_CREATE);

		end_in(expect(r, 0, TXN, NULL), &why[i]);
		expect(r, 0, REVOKE, "{\"ID\":\"77\"}");
		answered(q, STORE_DENIED);
	}
}

/* ---- keeping alive ---- */

static void test_keepalive(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		int status;
		const char *body;
		enum store_status is;
		int64_t ttl_s;
	} rows[] = {
		{ "alive", 200, "{\"result\":" HEAD(2) ",\"ID\":\"77\",\"TTL\":\"60\"}}\n",
		  STORE_OK, 60 },
		/* HTTP 200, no error, no TTL. */
		{ "dead", 200, "{\"result\":" HEAD(2) ",\"ID\":\"77\"}}\n", STORE_ABSENT, 0 },
		{ "zero", 200, "{\"result\":" HEAD(2) ",\"ID\":\"77\",\"TTL\":\"0\"}}\n",
		  STORE_ABSENT, 0 },
		{ "negative", 200, "{\"result\":" HEAD(2) ",\"ID\":\"77\",\"TTL\":\"-1\"}}\n",
		  STORE_ABSENT, -1 },
		{ "not found", 404, UNARY_ERROR("etcdserver: requested lease not found", 5),
		  STORE_ABSENT, 0 },
		/* It says nothing about the lease. */
		{ "no leader", 503, NO_LEADER, STORE_UNAVAILABLE, 0 },
		{ "no leader in 200", 200, NO_LEADER, STORE_UNAVAILABLE, 0 },
		{ "proxy", 200, "{\"result\":{}}", STORE_UNAVAILABLE, 0 },
	};
	auto_lease struct lease *l = lease_on("10.5.34.0-24");

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_rig r = rig_new(1, NULL);
		struct question *q = ask(r, STORE_KEEPALIVE, l, 0);
		struct asked *a = expect(r, 0, "/v3/lease/keepalive", "{\"ID\":\"77\"}");

		print_message("%s\n", rows[i].name);
		assert_true(has_header(a, "Grpc-Metadata-hasleader: true"));
		reply(a, rows[i].status, rows[i].body);
		assert_int_equal(answered(q, rows[i].is)->ttl_s, rows[i].ttl_s);
	}
}

static void test_time_left(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	struct question *q = ask(r, STORE_TIME_LEFT, l, 0);

	reply(expect(r, 0, "/v3/lease/timetolive", "{\"ID\":\"77\"}"), 200,
	      HEAD(2) ",\"ID\":\"77\",\"TTL\":\"59\",\"grantedTTL\":\"60\"}");
	assert_int_equal(answered(q, STORE_OK)->ttl_s, 59);
	q = ask(r, STORE_TIME_LEFT, l, 0);
	reply(expect(r, 0, "/v3/lease/timetolive", NULL), 200,
	      HEAD(2) ",\"ID\":\"77\",\"TTL\":\"-1\"}");
	answered(q, STORE_ABSENT);
}

/* ---- users and certificates ---- */

static struct rig *rig_with_user(size_t endpoints)
{
	struct etcd_options options = { .username = "fabric", .password = "open \"sesame\"" };

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
	struct etcd_options options = { .username = "fabric",
					.password = "first",
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
		struct etcd_options options = { .endpoints = endpoints[i] };
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
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_absent_means_zero),
		cmocka_unit_test(test_list_in_pages_of_one_revision),
		cmocka_unit_test(test_list_of_one_cluster),
		cmocka_unit_test(test_list_that_cannot_go_on),
		cmocka_unit_test(test_list_with_a_page_that_cannot_be_read),
		cmocka_unit_test(test_list_that_never_ends),
		cmocka_unit_test(test_answers_of_others),
		cmocka_unit_test(test_reads_go_to_another_endpoint),
		cmocka_unit_test(test_nobody_answers),
		cmocka_unit_test(test_every_endpoint_once),
		cmocka_unit_test(test_calls_move_on_together),
		cmocka_unit_test(test_writes_are_not_repeated_blindly),
		cmocka_unit_test(test_write_to_a_host_that_is_gone),
		cmocka_unit_test(test_write_that_was_never_sent_changed_nothing),
		cmocka_unit_test(test_unknown_outcome_it_happened),
		cmocka_unit_test(test_unknown_outcome_it_did_not_happen),
		cmocka_unit_test(test_unknown_outcome_it_happened_late),
		cmocka_unit_test(test_unknown_outcome_somebody_else_was_there),
		cmocka_unit_test(test_lost_compare_is_a_conflict),
		cmocka_unit_test(test_unknown_outcome_stays_unknown),
		cmocka_unit_test(test_unknown_outcome_is_not_forgotten),
		cmocka_unit_test(test_looking_ends),
		cmocka_unit_test(test_libcurl_repeats_no_write),
		cmocka_unit_test(test_create_byte_for_byte),
		cmocka_unit_test(test_update_keeps_the_lease),
		cmocka_unit_test(test_lease_ids_are_positive),
		cmocka_unit_test(test_grant_repeated),
		cmocka_unit_test(test_grant_of_a_taken_id),
		cmocka_unit_test(test_lease_lost_before_the_put),
		cmocka_unit_test(test_create_taken_by_another),
		cmocka_unit_test(test_reservation_taken_by_another),
		cmocka_unit_test(test_reservation_of_unknown_outcome),
		cmocka_unit_test(test_grant_is_no_permission),
		cmocka_unit_test(test_keepalive),
		cmocka_unit_test(test_time_left),
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
