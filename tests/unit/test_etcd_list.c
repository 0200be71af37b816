/* SPDX-License-Identifier: Apache-2.0 */
/* The lists of stores/etcd/etcd_store, page by page, from servers that are large, odd or no etcd. */
#include "tests/unit/etcd_rig.h"

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
	auto_text from_there =
		etcd_encode_range_from("/f/subnets/what", 16, "/f/subnets0", 1000, 7);
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
	assert_int_equal(got->leases[0]->id, 11);
	assert_null(got->leases[0]->problem);
	assert_int_equal(got->leases[1]->born, 5);
	assert_int_equal(got->leases[1]->mod_revision, 6);
	assert_non_null(got->leases[1]->problem);
	assert_int_equal(got->junk_len, 1);
	assert_string_equal(got->junk[0].key, "/f/subnets/what");
}

/* A key that goes on behind a NUL is another key than the lease's that it begins with. */
static void test_list_with_a_key_that_hides_its_end(void **state)
{
	(void)state;
	static const char key[] = "/f/subnets/10.5.1.0-24\0x";
	auto_rig r = rig_new(1, NULL);
	auto_text one = kv("/f/subnets/10.5.1.0-24", "{\"PublicIP\":\"192.0.2.1\"}", 3, 3, 11);
	auto_text key64 = base64_encode(key, sizeof(key) - 1);
	auto_text all =
		xasprintf(HEAD(7) ",\"kvs\":[%s,{\"key\":\"%s\",\"value\":\"e30=\"}]}", one, key64);
	struct question *q = ask(r, STORE_LIST, NULL, 0);
	const struct store_reply *got;

	reply(expect(r, 0, RANGE, NULL), 200, all);
	got = answered(q, STORE_OK);
	assert_int_equal(got->leases_len, 1);
	assert_int_equal(got->leases[0]->id, 11);
	assert_int_equal(got->junk_len, 1);
	assert_string_equal(got->junk[0].key, "/f/subnets/10.5.1.0-24\\0x");
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

/* Pages that lead nowhere: the same keys again, or keys before them. */
static void test_list_that_does_not_lead_on(void **state)
{
	(void)state;
	static const char *const last[] = { "/f/subnets/10.5.1.0-24", "/f/subnets/10.5.0.0-24" };

	for (size_t i = 0; i < ARRAY_LEN(last); i++) {
		auto_rig r = rig_new(1, NULL);
		auto_text one = kv("/f/subnets/10.5.1.0-24", "{}", 3, 3, 11);
		auto_text two = kv(last[i], "{}", 3, 3, 11);
		auto_text first = xasprintf(HEAD(7) ",\"kvs\":[%s],\"more\":true}", one);
		auto_text second = xasprintf(HEAD(7) ",\"kvs\":[%s],\"more\":true}", two);
		struct question *q = ask(r, STORE_LIST, NULL, 0);

		reply(expect(r, 0, RANGE, NULL), 200, first);
		reply(expect(r, 0, RANGE, NULL), 200, second);
		assert_contains(answered(q, STORE_UNAVAILABLE)->err.text, "does not lead on");
	}
}

/* Junk without end: a few are named, by a part of their keys, and there is an end to it. */
static void test_list_of_nothing_but_junk(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	struct question *q;

	store_of_rig(r)->list_keys_max = STORE_JUNK_MAX + 299;
	for (size_t end = 0; end < 2; end++) {
		q = ask(r, STORE_LIST, NULL, 0);
		for (unsigned page = 0; page < 4 + end; page++) {
			auto_text body = xstrdup("");
			auto_text answer = NULL;

			for (unsigned i = 0; i < 325; i++) {
				auto_text key = xasprintf("/f/subnets/%u-%03u-%0600u", page, i, 7);
				auto_text item = kv(key, "{}", 3, 3, 0);
				char *longer = xasprintf("%s%s%s", body, i ? "," : "", item);

				free(body);
				body = longer;
			}
			answer = xasprintf(HEAD(7) ",\"kvs\":[%s]%s}", body,
					   page < 3 || end ? ",\"more\":true" : "");
			reply(expect(r, 0, RANGE, NULL), 200, answer);
			if (page == 4)
				break;
		}
		if (end)
			assert_contains(answered(q, STORE_UNAVAILABLE)->err.text,
					"more than 1299 keys");
	}
	q = q->next;
	answered(q, STORE_OK);
	assert_int_equal(q->reply.junk_len, STORE_JUNK_MAX);
	assert_int_equal(q->reply.junk_more, 300);
	assert_int_equal(strlen(q->reply.junk[0].key), STORE_JUNK_KEY_MAX);
}

/* A page of large values is asked for in smaller ones until it fits; then they grow again. */
static void test_list_with_large_values(void **state)
{
	(void)state;
	auto_rig r = rig_new(2, NULL);
	auto_text large = xcalloc((3 << 20) / 2, 1);
	auto_text one = NULL;
	auto_text all = NULL;
	auto_text page = NULL;
	struct question *q = ask(r, STORE_LIST, NULL, 0);
	static const size_t lens[] = { 1000, 125, 15, 1, 2, 4 };

	memset(large, 'x', (3 << 20) / 2 - 1);
	one = kv("/f/subnets/10.5.1.0-24", large, 3, 3, 11);
	all = xasprintf(HEAD(7) ",\"kvs\":[%s,%s,%s],\"more\":true}", one, one, one);
	page = xasprintf(HEAD(7) ",\"kvs\":[%s],\"more\":true}", one);
	for (size_t i = 0; i < 4; i++) {
		auto_text body = etcd_encode_range("/f/subnets/", "/f/subnets0", lens[i], 0);

		reply(expect(r, 0, RANGE, body), 200, i < 3 ? all : page);
	}
	for (size_t i = 4; i < ARRAY_LEN(lens); i++) {
		auto_text key = xasprintf("/f/subnets/10.5.%zu.0-24", i);
		auto_text from = xasprintf("/f/subnets/10.5.%zu.0-24", i == 4 ? 1 : i - 1);
		auto_text body =
			etcd_encode_range_from(from, strlen(from) + 1, "/f/subnets0", lens[i], 7);
		auto_text item = kv(key, "{}", 3, 3, 11);
		auto_text small = xasprintf(HEAD(7) ",\"kvs\":[%s]%s}", item,
					    i + 1 < ARRAY_LEN(lens) ? ",\"more\":true" : "");

		reply(expect(r, 0, RANGE, body), 200, small);
	}
	answered(q, STORE_OK);
	assert_int_equal(q->reply.leases_len, 3);
	assert_non_null(q->reply.leases[0]->problem);
}

static void test_list_with_a_value_that_is_too_large(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_text large = xcalloc(5 << 20, 1);
	struct question *q = ask(r, STORE_LIST, NULL, 0);

	memset(large, ' ', (5 << 20) - 1);
	for (size_t i = 0; i < 4; i++)
		reply(expect(r, 0, RANGE, NULL), 200, large);
	assert_contains(answered(q, STORE_UNAVAILABLE)->err.text,
			"/f/subnets/ is larger than 4 MiB");
}

/* The next page is under way when this one turns out to be of no use. */
static void test_list_with_a_page_that_cannot_be_read(void **state)
{
	(void)state;
	auto_rig r = rig_new(1, NULL);
	auto_text one = kv("/f/subnets/10.5.1.0-24", "{}", 3, 3, 11);
	auto_text first = xasprintf(HEAD(7) ",\"kvs\":[{\"key\":\"%%\"},%s],\"more\":true}", one);
	struct question *q = ask(r, STORE_LIST, NULL, 0);

	reply(expect(r, 0, RANGE, NULL), 200, first);
	assert_contains(answered(q, STORE_UNAVAILABLE)->err.text, "base64");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list_in_pages_of_one_revision),
		cmocka_unit_test(test_list_with_a_key_that_hides_its_end),
		cmocka_unit_test(test_list_that_does_not_lead_on),
		cmocka_unit_test(test_list_of_nothing_but_junk),
		cmocka_unit_test(test_list_with_large_values),
		cmocka_unit_test(test_list_with_a_value_that_is_too_large),
		cmocka_unit_test(test_list_of_one_cluster),
		cmocka_unit_test(test_list_that_cannot_go_on),
		cmocka_unit_test(test_list_with_a_page_that_cannot_be_read),
		cmocka_unit_test(test_list_that_never_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
