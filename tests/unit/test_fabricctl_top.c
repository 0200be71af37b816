/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl top: how much counters have grown, and how numbers are shown. */
#include "tests/unit/test.h"

#include "fabricctl/top.h"

struct growth {
	const char *name;
	bool first;
	uint64_t packets;
	uint64_t bytes;
	uint64_t packets_grown;
	uint64_t bytes_grown;
};

static void test_growth(void **state UNUSED)
{
	static const struct growth rows[] = {
		/* What was counted before anybody watched is not of this second. */
		{ "a", true, 1000, 5000, 0, 0 },
		{ "a", false, 1003, 5300, 3, 300 },
		{ "a", false, 1003, 5300, 0, 0 },
		/* Who is new has sent it all since. */
		{ "b", false, 7, 700, 7, 700 },
		/* A counter that begins anew. */
		{ "a", false, 2, 200, 2, 200 },
		{ "a", false, 5, 500, 3, 300 },
		{ "b", false, UINT64_C(9000000000), UINT64_C(1) << 60, UINT64_C(8999999993),
		  (UINT64_C(1) << 60) - 700 },
	};
	struct top_memory memory = { .seen = json_object() };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t packets = rows[i].packets;
		uint64_t bytes = rows[i].bytes;

		top_memory_grow(&memory, rows[i].name, rows[i].first, &packets, &bytes);
		assert_int_equal(packets, rows[i].packets_grown);
		assert_int_equal(bytes, rows[i].bytes_grown);
	}
	json_decref(memory.seen);
}

static void test_numbers(void **state UNUSED)
{
	static const struct {
		double number;
		const char *text;
	} rows[] = {
		{ 0, "0" },         { 0.4, "0" },        { 999, "999" },    { 1000, "1.0k" },
		{ 1234, "1.2k" },   { 99940, "99.9k" },  { 99990, "100k" }, { 940e6, "940M" },
		{ 9.41e9, "9.4G" }, { 1.5e18, "1500P" },
	};
	char text[16];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(top_format(rows[i].number, text), rows[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
