/* SPDX-License-Identifier: Apache-2.0 */
/* lib/nearest: the word that was meant. */
#include "tests/unit/test.h"

#include "lib/nearest.h"

static void test_distance_counts_typing_mistakes(void **state UNUSED)
{
	char longest[200];

	assert_int_equal(nearest_distance("", ""), 0);
	assert_int_equal(nearest_distance("status", "status"), 0);
	assert_int_equal(nearest_distance("", "abc"), 3);
	assert_int_equal(nearest_distance("subnet", "subnets"), 1);
	assert_int_equal(nearest_distance("sbunets", "subnets"), 1);
	assert_int_equal(nearest_distance("stauts", "status"), 1);
	assert_int_equal(nearest_distance("kitten", "sitting"), 3);
	assert_int_equal(nearest_distance("abc", "xyz"), 3);
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_true(nearest_distance(longest, "status") > 10);
}

static const char *nearest_of(const char *word, const char *const *candidates)
{
	struct nearest n = { .word = word };

	for (; *candidates; candidates++)
		nearest_consider(&n, *candidates);
	return n.best ? n.best : "-";
}

static void test_what_was_meant(void **state UNUSED)
{
	static const char *const words[] = {
		"iface", "iface-regex", "ip-masq", "v", "Backend", NULL
	};

	assert_string_equal(nearest_of("ifcae", words), "iface");
	assert_string_equal(nearest_of("iface-regx", words), "iface-regex");
	assert_string_equal(nearest_of("ip_masq", words), "ip-masq");
	assert_string_equal(nearest_of("bakend", words), "Backend");
	assert_string_equal(nearest_of("back", words), "Backend");
	assert_string_equal(nearest_of("w", words), "-");
	assert_string_equal(nearest_of("kubernetes", words), "-");
	assert_string_equal(nearest_of("", words), "-");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_distance_counts_typing_mistakes),
		cmocka_unit_test(test_what_was_meant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
