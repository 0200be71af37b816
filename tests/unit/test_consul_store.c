/* SPDX-License-Identifier: Apache-2.0 */
/* stores/consul against agents by script: what is asked, in which order, and what is made of every answer. */
#include "tests/unit/consul_rig.h"

/* ---- requests ---- */

static void test_config(void **state)
{
	(void)state;
	auto_rig r = consul_rig(1, NULL);
	auto_text there = list_of(entry("f/config", "{}", 3, 7, 0, NULL), NULL);
	struct question *q = ask(r, STORE_CONFIG, NULL, 0);
	const struct store_reply *reply;

	says(expect(r, 0, CONFIG, ""), 200, 9, there);
	reply = answered(q, STORE_OK);
	assert_string_equal(reply->config, "{}");
	assert_int_equal(reply->config_revision, 7);
	assert_int_equal(reply->revision, 9);
	q = ask(r, STORE_CONFIG, NULL, 0);
	says(expect(r, 0, CONFIG, ""), 404, 9, "");
	answered(q, STORE_ABSENT);
	q = ask(r, STORE_CONFIG, NULL, 0);
	says(expect(r, 0, CONFIG, ""), 403, 0, "Permission denied");
	answered(q, STORE_DENIED);
	/* Neither is "there is none". */
	q = ask(r, STORE_CONFIG, NULL, 0);
	says(expect(r, 0, CONFIG, ""), 404, 0, "not found");
	answered(q, STORE_UNAVAILABLE);
	q = ask(r, STORE_CONFIG, NULL, 0);
	says(expect(r, 0, CONFIG, ""), 500, 0, "No cluster leader");
	answered(q, STORE_UNAVAILABLE);
}

static void test_list(void **state)
{
	(void)state;
	auto_rig r = consul_rig(1, NULL);
	auto_text keys = list_of(entry(KEY, VALUE, 3, 7, 0, S1),
				 entry("f/subnets/junk", "x", 4, 4, 0, NULL));
	struct question *q = ask(r, STORE_LIST, NULL, 0);
	const struct store_reply *reply;

	says(expect(r, 0, RIGHTS, ""), 404, 20, "");
	says(expect(r, 0, LIST, ""), 200, 7, keys);
	reply = answered(q, STORE_OK);
	/* That of the prefix may be of before other keys, and go back: that of all does not. */
	assert_int_equal(reply->revision, 20);
	assert_int_equal(reply->leases_len, 1);
	assert_int_equal(reply->leases[0]->born, 3);
	assert_int_equal(reply->leases[0]->mod_revision, 7);
	assert_int_equal(reply->leases[0]->flags, LEASE_EXPIRES);
	assert_true((uint64_t)reply->leases[0]->id == 0x5ba0cbcb5ddf21fe);
	assert_int_equal(reply->junk_len, 1);
	assert_string_equal(reply->junk[0].key, "f/subnets/junk");
}

/* To who may not read, the list looks empty. */
static void test_list_without_rights(void **state)
{
	(void)state;
	auto_rig r = consul_rig(1, NULL);
	struct question *q = ask(r, STORE_LIST, NULL, 0);

	says(expect(r, 0, RIGHTS, ""), 403, 0, "Permission denied");
	assert_contains(answered(q, STORE_DENIED)->err.text, "Permission denied");
	q = ask(r, STORE_LIST, NULL, 0);
	says(expect(r, 0, RIGHTS, ""), 404, 20, "");
	says_with(expect(r, 0, LIST, ""), 200, 7, "X-Consul-Results-Filtered-By-ACLs: true\r\n",
		  "[]");
	answered(q, STORE_DENIED);
	q = ask(r, STORE_LIST, NULL, 0);
	says(expect(r, 0, RIGHTS, ""), 404, 20, "");
	says(expect(r, 0, LIST, ""), 404, 0, "");
	answered(q, STORE_UNAVAILABLE);
	q = ask(r, STORE_LIST, NULL, 0);
	says(expect(r, 0, RIGHTS, ""), 404, 20, "");
	says(expect(r, 0, LIST, ""), 404, 7, "");
	assert_int_equal(answered(q, STORE_OK)->leases_len, 0);
}

/* The token is read for each call. One that changes between the two of a list begins it again. */
static void test_token(void **state)
{
	(void)state;
	char path[] = "/tmp/test-consul-XXXXXX";
	int fd = mkstemp(path);
	struct consul_options options = { .token_file = path };
	struct question *q;
	struct asked *a;

	assert_int_equal(write(fd, "one\n", 4), 4);
	{
		auto_rig r = consul_rig(1, &options);

		q = ask(r, STORE_LIST, NULL, 0);
		a = expect(r, 0, RIGHTS, "");
		assert_true(has_header(a, "X-Consul-Token: one"));
		assert_int_equal(pwrite(fd, "two\n", 4, 0), 4);
		says(a, 404, 20, "");
		a = expect(r, 0, LIST, "");
		assert_true(has_header(a, "X-Consul-Token: two"));
		says(a, 404, 7, "");
		says(expect(r, 0, RIGHTS, ""), 404, 20, "");
		says(expect(r, 0, LIST, ""), 404, 7, "");
		answered(q, STORE_OK);
		/* While it is replaced the last one serves. */
		assert_int_equal(ftruncate(fd, 0), 0);
		q = ask(r, STORE_CONFIG, NULL, 0);
		a = expect(r, 0, CONFIG, "");
		assert_true(has_header(a, "X-Consul-Token: two"));
		says(a, 404, 7, "");
		answered(q, STORE_ABSENT);
	}
	close(fd);
	unlink(path);
}

static void test_datacenter_and_agents(void **state)
{
	(void)state;
	struct consul_options options = { .datacenter = (char *)"dc2" };
	auto_rig r = consul_rig(2, &options);
	struct question *q = ask(r, STORE_CONFIG, NULL, 0);
	auto_lease struct lease *l = a_lease();

	says(expect(r, 0, CONFIG "&dc=dc2", ""), 500, 0, "rpc error making call: EOF");
	says(expect(r, 1, CONFIG "&dc=dc2", ""), 404, 9, "");
	answered(q, STORE_ABSENT);
	/* The second is asked from now on; of a write that may have happened no other is. */
	q = ask(r, STORE_CREATE, l, 60);
	says(expect(r, 1, MAKE "?dc=dc2", NULL), 500, 0, "No path to datacenter");
	answered(q, STORE_INVALID);
	q = ask(r, STORE_CREATE, l, 60);
	says(expect(r, 1, MAKE "?dc=dc2", NULL), 500, 0, "No cluster leader");
	answered(q, STORE_UNAVAILABLE);
	/* One that refuses connections has not acted on it. */
	fake_kill(&r->fakes[0]);
	q = ask(r, STORE_CREATE, l, 60);
	says(expect(r, 1, MAKE "?dc=dc2", NULL), 403, 0, "Permission denied");
	answered(q, STORE_DENIED);
}

/* ---- writes ---- */

static struct asked *expect_session(struct rig *r, const char *ttl)
{
	struct asked *q = expect(r, 0, MAKE, NULL);

	assert_contains(q->head, "PUT ");
	assert_contains(q->body, ttl);
	assert_contains(q->body, "\"Behavior\":\"delete\"");
	assert_contains(q->body, "\"Checks\":[],\"NodeChecks\":[]");
	return q;
}

#define RESULT(modify)                                                                             \
	"{\"Results\":[{\"KV\":{\"Key\":\"" KEY "\",\"CreateIndex\":" #modify                      \
	",\"ModifyIndex\":" #modify "}}],\"Errors\":null}"
#define REFUSED(why) "{\"Results\":null,\"Errors\":[{\"OpIndex\":0,\"What\":\"" why "\"}]}"

static void test_create(void **state)
{
	(void)state;
	auto_rig r = consul_rig(1, NULL);
	auto_lease struct lease *l = a_lease();
	auto_text value64 = base64_encode(VALUE, strlen(VALUE));
	auto_text txn = xasprintf("[{\"KV\":{\"Key\":\"" KEY "\",\"Verb\":\"check-not-exists\"}},"
				  "{\"KV\":{\"Key\":\"" KEY
				  "\",\"Value\":\"%s\",\"Flags\":1,\"Verb\":\"lock\","
				  "\"Session\":\"" S1 "\"}}]",
				  value64);
	struct question *q = ask(r, STORE_CREATE, l, 86400);
	const struct store_reply *reply;

	says(expect_session(r, "\"43200s\""), 200, 0, "{\"ID\":\"" S1 "\"}");
	says(expect(r, 0, TXN, txn), 200, 0, RESULT(13));
	reply = answered(q, STORE_OK);
	assert_int_equal(reply->ttl_s, 86400);
	assert_int_equal(reply->holder->born, 13);
	assert_int_equal(reply->holder->mod_revision, 13);
	assert_int_equal(reply->holder->flags, LEASE_EXPIRES);
	q = ask(r, STORE_CREATE, l, 172802);
	assert_contains(answered(q, STORE_INVALID)->err.text, "172800");
}

/* Somebody was quicker: a read tells who, and the session is given back. */
static void test_create_taken(void **state)
{
	(void)state;
	auto_rig r = consul_rig(1, NULL);
	auto_lease struct lease *l = a_lease();
	auto_text there = list_of(entry(KEY, VALUE, 3, 7, 99, S2), NULL);
	struct question *q = ask(r, STORE_CREATE, l, 60);
	const struct store_reply *reply;

	says(expect_session(r, "\"30s\""), 200, 0, "{\"ID\":\"" S1 "\"}");
	says(expect(r, 0, TXN, NULL), 409, 0, REFUSED("key exists"));
	says(expect(r, 0, GET, ""), 200, 12, there);
	reply = answered(q, STORE_CONFLICT);
	assert_int_equal(reply->holder->mod_revision, 7);
	assert_int_equal(reply->revision, 12);
	says(expect(r, 0, "/v1/session/destroy/" S1, ""), 200, 0, "true");
}

/* The end of a write was not seen: what stands there tells by its mark. */
static void test_unseen(void **state)
{
	(void)state;
	auto_rig r = consul_rig(1, NULL);
	auto_lease struct lease *l = a_lease();
	auto_text ours = list_of(entry(KEY, VALUE, 13, 13, MARK, S1), NULL);
	auto_text other = list_of(entry(KEY, VALUE, 13, 13, 5, S2), NULL);
	struct question *q = ask(r, STORE_CREATE, l, 60);

	/* It has happened. */
	says(expect_session(r, "30s"), 200, 0, "{\"ID\":\"" S1 "\"}");
	says(expect(r, 0, TXN, NULL), 500, 0, "leadership lost while committing log");
	says(expect(r, 0, GET, ""), 200, 15, ours);
	assert_int_equal(answered(q, STORE_OK)->holder->mod_revision, 13);
	/* Not yet: again, and now our own is in the way. */
	q = ask(r, STORE_CREATE, l, 60);
	says(expect_session(r, "30s"), 200, 0, "{\"ID\":\"" S1 "\"}");
	cut(expect(r, 0, TXN, NULL));
	says(expect(r, 0, GET, ""), 404, 15, "");
	says(expect(r, 0, TXN, NULL), 409, 0, REFUSED("key exists"));
	says(expect(r, 0, GET, ""), 200, 15, ours);
	answered(q, STORE_OK);
	/* Somebody else's. */
	q = ask(r, STORE_CREATE, l, 60);
	says(expect_session(r, "30s"), 200, 0, "{\"ID\":\"" S1 "\"}");
	cut(expect(r, 0, TXN, NULL));
	says(expect(r, 0, GET, ""), 200, 15, other);
	answered(q, STORE_CONFLICT);
	says(expect(r, 0, "/v1/session/destroy/" S1, ""), 200, 0, "true");
	/* Nobody tells: the session may hold the key, and is left alone. */
	q = ask(r, STORE_CREATE, l, 60);
	says(expect_session(r, "30s"), 200, 0, "{\"ID\":\"" S1 "\"}");
	cut(expect(r, 0, TXN, NULL));
	says(expect(r, 0, GET, ""), 500, 0, "No cluster leader");
	answered(q, STORE_UNKNOWN);
}

static void test_session_ended_before_its_key(void **state)
{
	(void)state;
	auto_rig r = consul_rig(1, NULL);
	auto_lease struct lease *l = a_lease();
	struct question *q = ask(r, STORE_CREATE, l, 60);

	says(expect_session(r, "30s"), 200, 0, "{\"ID\":\"" S1 "\"}");
	says(expect(r, 0, TXN, NULL), 409, 0, REFUSED("invalid session"));
	says(expect_session(r, "30s"), 200, 0, "{\"ID\":\"" S2 "\"}");
	says(expect(r, 0, TXN, NULL), 200, 0, RESULT(13));
	assert_true((uint64_t)(answered(q, STORE_OK)->holder->id >> 64) == 0x149c13ce60d1422a);
	/* What is no session's answer is not believed. */
	q = ask(r, STORE_CREATE, l, 60);
	says(expect_session(r, "30s"), 200, 0, "{}");
	answered(q, STORE_UNAVAILABLE);
}

static void test_update_and_remove(void **state)
{
	(void)state;
	auto_rig r = consul_rig(1, NULL);
	auto_lease struct lease *l = a_lease();
	struct question *q;
	struct asked *a;

	l->mod_revision = 13;
	l->born = 13;
	l->id = id_of(S1);
	l->flags = LEASE_EXPIRES;
	q = ask(r, STORE_UPDATE, l, 0);
	a = expect(r, 0, TXN, NULL);
	assert_contains(a->body, "\"Verb\":\"check-index\",\"Index\":13");
	assert_contains(a->body, "\"Verb\":\"lock\",\"Session\":\"" S1 "\"");
	says(a, 200, 0, RESULT(17));
	assert_int_equal(answered(q, STORE_OK)->holder->mod_revision, 17);
	assert_int_equal(q->reply.holder->born, 13);
	assert_true(q->reply.holder->id == l->id);
	/* The session is no more, and with it the key. */
	q = ask(r, STORE_UPDATE, l, 0);
	says(expect(r, 0, TXN, NULL), 409, 0, REFUSED("invalid session"));
	says(expect(r, 0, GET, ""), 404, 18, "");
	assert_null(answered(q, STORE_CONFLICT)->holder);
	q = ask(r, STORE_REMOVE, l, 0);
	a = expect(r, 0, TXN, NULL);
	assert_contains(a->body, "\"Verb\":\"delete-cas\",\"Index\":13}}]");
	says(a, 200, 0, RESULT(13));
	says(expect(r, 0, GET, ""), 404, 19, "");
	assert_int_equal(answered(q, STORE_OK)->revision, 19);
	/* One that was unbound stays so. */
	l->id = 0;
	q = ask(r, STORE_UPDATE, l, 0);
	a = expect(r, 0, TXN, NULL);
	assert_contains(a->body, "\"Verb\":\"set\"}}]");
	says(a, 200, 0, RESULT(21));
	answered(q, STORE_OK);
}

static void test_keepalive(void **state)
{
	(void)state;
	auto_rig r = consul_rig(1, NULL);
	auto_lease struct lease *l = a_lease();
	struct question *q;

	l->id = id_of(S1);
	q = ask(r, STORE_KEEPALIVE, l, 0);
	says(expect(r, 0, "/v1/session/renew/" S1, ""), 200, 0, "[{\"TTL\":\"43200s\"}]");
	assert_int_equal(answered(q, STORE_OK)->ttl_s, 86400);
	q = ask(r, STORE_KEEPALIVE, l, 0);
	says(expect(r, 0, "/v1/session/renew/" S1, ""), 404, 0, "Session id 'x' not found");
	answered(q, STORE_ABSENT);
	q = ask(r, STORE_KEEPALIVE, l, 0);
	says(expect(r, 0, "/v1/session/renew/" S1, ""), 500, 0, "failed to get conn");
	answered(q, STORE_UNAVAILABLE);
	q = ask(r, STORE_TIME_LEFT, l, 0);
	answered(q, STORE_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_list_without_rights),
		cmocka_unit_test(test_token),
		cmocka_unit_test(test_datacenter_and_agents),
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_create_taken),
		cmocka_unit_test(test_unseen),
		cmocka_unit_test(test_session_ended_before_its_key),
		cmocka_unit_test(test_update_and_remove),
		cmocka_unit_test(test_keepalive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
