/* SPDX-License-Identifier: Apache-2.0 */
/* lib/backoff: waits grow, stay within their limits, and begin anew. */
#include "tests/unit/test.h"

#include "lib/backoff.h"
#include "lib/util.h"

static const struct backoff_policy retry = { .min_ms = 500, .max_ms = 30000 };
static const struct backoff_policy fight = { .min_ms = 10, .max_ms = 5120, .calm_ms = 10000 };

static void test_doubles_up_to_the_longest(void **state)
{
	(void)state;
	static const int64_t expected[] = { 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000 };
	struct backoff b = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(expected); i++)
		assert_int_equal(backoff_next(&b, &retry, 1000), expected[i]);
	assert_int_equal(b.failures, ARRAY_LEN(expected));
	backoff_reset(&b);
	assert_int_equal(backoff_next(&b, &retry, 1000), 500);
}

static void test_any_number_of_failures(void **state)
{
	(void)state;
	static const struct backoff_policy wide = { .min_ms = 1, .max_ms = UINT32_MAX };
	struct backoff b = { .failures = UINT32_MAX - 1 };

	assert_int_equal(backoff_next(&b, &wide, 0), UINT32_MAX);
	assert_int_equal(backoff_next(&b, &wide, 0), UINT32_MAX);
	assert_int_equal(b.failures, UINT32_MAX);
}

static void test_one_wait_for_all(void **state)
{
	(void)state;
	static const struct backoff_policy fixed = { .min_ms = 700, .max_ms = 700 };
	struct backoff b = { 0 };

	for (int i = 0; i < 3; i++)
		assert_int_equal(backoff_next(&b, &fixed, 0), 700);
}

static void test_at_once(void **state)
{
	(void)state;
	static const struct backoff_policy policy = { .min_ms = 200,
						      .max_ms = 500,
						      .at_once = true };
	static const int64_t expected[] = { 0, 200, 400, 500 };
	struct backoff b = { 0 };
	struct backoff spread = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(expected); i++)
		assert_int_equal(backoff_next(&b, &policy, 0), expected[i]);
	assert_int_equal(backoff_next_spread(&spread, &policy, 0, 17), 0);
	assert_int_equal(backoff_next_spread(&spread, &policy, 0, 199), 200);
}

static void test_calm_is_counted_from_the_end_of_a_wait(void **state)
{
	(void)state;
	struct backoff b = { 0 };
	int64_t now = 0;

	for (int i = 0; i < 12; i++)
		now += backoff_next(&b, &fight, now);
	assert_int_equal(b.due_ms, now);
	/* One millisecond short of calm: still the same fight. */
	assert_int_equal(backoff_next(&b, &fight, now + 9999), 5120);
	now = b.due_ms + 10000;
	assert_int_equal(backoff_next(&b, &fight, now), 10);
	assert_int_equal(b.failures, 1);
}

static void test_without_calm_time_does_not_forgive(void **state)
{
	(void)state;
	struct backoff b = { 0 };

	backoff_next(&b, &retry, 0);
	assert_int_equal(backoff_next(&b, &retry, INT64_MAX / 2), 1000);
}

static void test_what_is_left_of_a_wait(void **state)
{
	(void)state;
	struct backoff b = { 0 };

	/* Nothing has failed yet, whatever the clock says. */
	assert_int_equal(backoff_left(&b, -5), 0);
	backoff_next(&b, &retry, 100);
	assert_int_equal(backoff_left(&b, 100), 500);
	assert_int_equal(backoff_left(&b, 599), 1);
	assert_int_equal(backoff_left(&b, 600), 0);
	assert_int_equal(backoff_left(&b, 5000), 0);
}

static void test_spread(void **state)
{
	(void)state;
	struct backoff b = { 0 };
	uint64_t seed = 1;
	int64_t least = INT64_MAX;
	int64_t most = 0;

	for (int i = 0; i < 2000; i++) {
		int64_t wait;

		backoff_reset(&b);
		wait = backoff_next_spread(&b, &retry, 0, test_random(&seed));
		assert_int_equal(b.due_ms, wait);
		least = MIN(least, wait);
		most = MAX(most, wait);
	}
	assert_in_range(least, 1, 25);
	assert_in_range(most, 475, 500);
	assert_int_equal(backoff_next_spread(&b, &retry, 0, UINT64_MAX), UINT64_MAX % 1000 + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_doubles_up_to_the_longest),
		cmocka_unit_test(test_any_number_of_failures),
		cmocka_unit_test(test_one_wait_for_all),
		cmocka_unit_test(test_at_once),
		cmocka_unit_test(test_calm_is_counted_from_the_end_of_a_wait),
		cmocka_unit_test(test_without_calm_time_does_not_forgive),
		cmocka_unit_test(test_what_is_left_of_a_wait),
		cmocka_unit_test(test_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
