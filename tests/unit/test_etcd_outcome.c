/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes of stores/etcd/etcd_store whose answer never came: what stands under the key says what has
 * happened.
 */
#include "tests/unit/etcd_rig.h"

static void check_written(enum store_op op, const struct store_reply *got)
{
	assert_true(got->revision >= 8);
	if (op == STORE_CREATE) {
		assert_int_equal(got->holder->born, 8);
		assert_int_equal(got->holder->id, HANDLE);
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

/*
 * The first one was still on its way when we looked, and is what stands in the way of the second.
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unknown_outcome_it_happened),
		cmocka_unit_test(test_unknown_outcome_it_did_not_happen),
		cmocka_unit_test(test_unknown_outcome_it_happened_late),
		cmocka_unit_test(test_unknown_outcome_somebody_else_was_there),
		cmocka_unit_test(test_lost_compare_is_a_conflict),
		cmocka_unit_test(test_unknown_outcome_stays_unknown),
		cmocka_unit_test(test_unknown_outcome_is_not_forgotten),
		cmocka_unit_test(test_looking_ends),
		cmocka_unit_test(test_libcurl_repeats_no_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
