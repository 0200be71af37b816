/* SPDX-License-Identifier: Apache-2.0 */
/* lib/clock: how times and durations read. */
#include "tests/unit/test.h"

#include <errno.h>

#include "lib/clock.h"

static void test_utc(void **state)
{
	(void)state;
	char buf[CLOCK_TEXT];

	assert_string_equal(clock_format_utc(0, buf), "1970-01-01T00:00:00.000Z");
	assert_string_equal(clock_format_utc(1709251199999, buf), "2024-02-29T23:59:59.999Z");
	assert_string_equal(clock_format_utc(1700000000007, buf), "2023-11-14T22:13:20.007Z");
	assert_string_equal(clock_format_utc(4102444800000, buf), "2100-01-01T00:00:00.000Z");
}

static void test_utc_ignores_the_time_zone(void **state)
{
	(void)state;
	char buf[CLOCK_TEXT];

	setenv("TZ", "Asia/Kathmandu", 1);
	tzset();
	assert_string_equal(clock_format_utc(0, buf), "1970-01-01T00:00:00.000Z");
	unsetenv("TZ");
	tzset();
}

/* Asked a hundred thousand times, at all places within a millisecond. */
static void test_a_moment_has_one_wall_time(void **state)
{
	(void)state;
	int64_t wall_ms = clock_wall_of(1000);

	assert_in_range(wall_ms - 1000 - (clock_wall_ms() - clock_boot_ms()) + 50, 0, 100);
	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal(clock_wall_of(1000), wall_ms);
	assert_int_equal(clock_wall_of(1234), wall_ms + 234);
}

static void test_durations(void **state)
{
	(void)state;
	static const struct {
		int64_t seconds;
		const char *text;
	} rows[] = {
		{ -5, "0s" },
		{ 0, "0s" },
		{ 12, "12s" },
		{ 59, "59s" },
		{ 60, "1m0s" },
		{ 250, "4m10s" },
		{ 3599, "59m59s" },
		{ 3600, "1h0m" },
		{ 86399, "23h59m" },
		{ 86400, "1d0h" },
		{ 90061, "1d1h" },
		{ 31536000, "365d0h" },
		{ INT64_MAX, "106751991167300d15h" },
	};
	char buf[CLOCK_TEXT];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(clock_format_duration(rows[i].seconds, buf), rows[i].text);
}

static void test_utc_is_read_back(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ms; /* -1: refused */
	} rows[] = {
		{ "1970-01-01T00:00:00.000Z", 0 },
		{ "2024-02-29T12:34:56.789Z", 1709210096789 },
		{ "2024-02-29T12:34:56Z", 1709210096000 },
		{ "2024-02-29T12:34:56", -1 },
		{ "2024-02-29T12:34:56.Z", -1 },
		{ "2024-02-29T12:34:56.789+01:00", -1 },
		{ "2024-02-29", -1 },
		{ "", -1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t ms = -1;

		assert_row(clock_parse_utc(rows[i].text, &ms) == (rows[i].ms < 0 ? -EINVAL : 0),
			   rows[i].text);
		assert_int_equal(ms, rows[i].ms);
	}
}

static void test_clocks_run(void **state)
{
	(void)state;
	int64_t boot = clock_boot_ms();

	assert_true(boot > 0);
	assert_true(clock_boot_ms() >= boot);
	/* After the year 2020 and before 2200: milliseconds, not seconds. */
	assert_in_range(clock_wall_ms(), 1577836800000, 7258118400000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_utc),
		cmocka_unit_test(test_utc_ignores_the_time_zone),
		cmocka_unit_test(test_utc_is_read_back),
		cmocka_unit_test(test_a_moment_has_one_wall_time),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_clocks_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
