/* SPDX-License-Identifier: Apache-2.0 */
/* stores/etcd/etcd_client and lib/http_grpc where the other end speaks no gRPC. */
#include "tests/unit/etcd_rig.h"

static json_t *endpoint_of(struct rig *r)
{
	json_t *description = json_object();
	json_t *endpoint;

	etcd_client_describe(store_of_rig(r)->client, description);
	endpoint = json_incref(json_array_get(json_object_get(description, "endpoints"), 0));
	json_decref(description);
	return endpoint;
}

static const char *text(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static struct rig *rig_by(const char *transport)
{
	struct etcd_options options = { .transport = (char *)transport };

	return rig_new(1, &options);
}

/* All that wait for the first one's connection go with it, by JSON, and nobody asks by gRPC after. */
static void test_json_where_grpc_is_not_spoken(void **state)
{
	(void)state;
	auto_rig r = rig_by("auto");
	struct question *one = ask(r, STORE_CONFIG, NULL, 0);
	struct question *two = ask(r, STORE_CONFIG, NULL, 0);
	auto_json json_t *endpoint = NULL;

	reply(expect(r, 0, RANGE, NULL), 200, HEAD(1) "}");
	reply(expect(r, 0, RANGE, NULL), 200, HEAD(1) "}");
	answered(one, STORE_ABSENT);
	answered(two, STORE_ABSENT);
	one = ask(r, STORE_CONFIG, NULL, 0);
	reply(expect(r, 0, RANGE, NULL), 200, HEAD(1) "}");
	answered(one, STORE_ABSENT);
	assert_int_equal(r->fakes[0].prefaces, 1);
	endpoint = endpoint_of(r);
	assert_string_equal(text(endpoint, "transport"), "json");
	assert_contains(text(endpoint, "transport_reason"), "does not speak gRPC");
}

/* Who is there after a failure may be another. */
static void test_grpc_is_tried_again_after_a_failure(void **state)
{
	(void)state;
	auto_rig r = rig_by("auto");
	struct question *q = ask(r, STORE_CONFIG, NULL, 0);

	reply(expect(r, 0, RANGE, NULL), 200, HEAD(1) "}");
	answered(q, STORE_ABSENT);
	fake_kill(&r->fakes[0]);
	answered(ask(r, STORE_CONFIG, NULL, 0), STORE_UNAVAILABLE);
	fake_listen(&r->fakes[0]);
	q = ask(r, STORE_CONFIG, NULL, 0);
	reply(expect(r, 0, RANGE, NULL), 200, HEAD(1) "}");
	answered(q, STORE_ABSENT);
	assert_int_equal(r->fakes[0].prefaces, 2);
}

static void test_neither_is_spoken(void **state)
{
	(void)state;
	auto_rig r = rig_by("auto");
	struct question *q = ask(r, STORE_CONFIG, NULL, 0);
	const char *why;

	for (int i = 0; i < 3; i++)
		reply(expect(r, 0, NULL, NULL), 404, "404 page not found");
	why = answered(q, STORE_UNAVAILABLE)->err.text;
	assert_contains(why, "does not speak gRPC");
	assert_contains(why, "--enable-grpc-gateway=true");
}

/* Each is told the same; what was never sent changed nothing. */
static void test_grpc_and_nothing_else(void **state)
{
	(void)state;
	auto_rig r = rig_by("grpc");
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	struct question *one = ask(r, STORE_CONFIG, NULL, 0);
	struct question *two = ask(r, STORE_CONFIG, NULL, 0);
	struct question *three = ask(r, STORE_UPDATE, l, 0);
	auto_json json_t *endpoint = NULL;

	assert_contains(answered(one, STORE_UNAVAILABLE)->err.text, "does not speak gRPC");
	assert_contains(answered(two, STORE_UNAVAILABLE)->err.text, "does not speak gRPC");
	answered(three, STORE_UNAVAILABLE);
	endpoint = endpoint_of(r);
	assert_string_equal(text(endpoint, "transport"), "grpc");
}

/* Nobody listens: the first one's failure is that of all, at once. */
static void test_held_calls_fail_with_the_first(void **state)
{
	(void)state;
	auto_rig r = rig_by("grpc");
	struct question *q[4];

	fake_refuse(&r->fakes[0]);
	for (size_t i = 0; i < ARRAY_LEN(q); i++)
		q[i] = ask(r, STORE_CONFIG, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(q); i++)
		assert_contains(answered(q[i], STORE_UNAVAILABLE)->err.text, "refused");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_where_grpc_is_not_spoken),
		cmocka_unit_test(test_grpc_is_tried_again_after_a_failure),
		cmocka_unit_test(test_neither_is_spoken),
		cmocka_unit_test(test_grpc_and_nothing_else),
		cmocka_unit_test(test_held_calls_fail_with_the_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
