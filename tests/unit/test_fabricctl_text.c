/* SPDX-License-Identifier: Apache-2.0 */
/* What reaches a terminal, durations, nearest words. */
#include "tests/unit/test.h"

#include "fabricctl/text.h"

static void test_escape_leaves_nothing_that_a_terminal_acts_on(void **state UNUSED)
{
	static const struct {
		const char *text;
		const char *utf8;
		const char *ascii;
	} rows[] = {
		{ "", "", "" },
		{ "host-1.example", "host-1.example", "host-1.example" },
		{ "a b~!", "a b~!", "a b~!" },
		{ "\033[31mred", "\\033[31mred", "\\033[31mred" },
		{ "a\nb\tc\rd\be", "a\\nb\\tc\\rd\\010e", "a\\nb\\tc\\rd\\010e" },
		{ "\x7f", "\\177", "\\177" },
		{ "back\\slash", "back\\\\slash", "back\\\\slash" },
		{ "\\033", "\\\\033", "\\\\033" },
		{ "M\xc3\xbcller", "M\xc3\xbcller", "M\\303\\274ller" },
		{ "\xe6\x97\xa5", "\xe6\x97\xa5", "\\346\\227\\245" },
		{ "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80", "\\360\\237\\230\\200" },
		/* C1 controls: some terminals take U+009B for ESC [ */
		{ "\xc2\x9b"
		  "31m",
		  "\\u009b31m", "\\302\\23331m" },
		/* right-to-left override, zero width space, line separator, byte order mark */
		{ "a\xe2\x80\xae"
		  "b",
		  "a\\u202eb", "a\\342\\200\\256b" },
		{ "\xe2\x80\x8b", "\\u200b", "\\342\\200\\213" },
		{ "\xe2\x80\xa8", "\\u2028", "\\342\\200\\250" },
		{ "\xef\xbb\xbf", "\\ufeff", "\\357\\273\\277" },
		/* tag characters, beyond the basic plane */
		{ "\xf3\xa0\x80\x81", "\\363\\240\\200\\201", "\\363\\240\\200\\201" },
		/* not UTF-8: stray bytes, cut short, overlong, surrogate, too large */
		{ "\xff", "\\377", "\\377" },
		{ "a\xc3", "a\\303", "a\\303" },
		{ "\xe6\x97", "\\346\\227", "\\346\\227" },
		{ "\xc0\x9b", "\\300\\233", "\\300\\233" },
		{ "\xe0\x80\x9b", "\\340\\200\\233", "\\340\\200\\233" },
		{ "\xed\xa0\x80", "\\355\\240\\200", "\\355\\240\\200" },
		{ "\xf4\x90\x80\x80", "\\364\\220\\200\\200", "\\364\\220\\200\\200" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *utf8 = text_escape(rows[i].text, true);
		auto_free char *ascii = text_escape(rows[i].text, false);

		assert_string_equal(utf8, rows[i].utf8);
		assert_string_equal(ascii, rows[i].ascii);
	}
}

/* Every byte sequence, however wild, becomes printable. */
static void test_escape_of_anything_is_printable(void **state UNUSED)
{
	uint64_t seed = 1;

	for (unsigned round = 0; round < 20000; round++) {
		char text[9] = "";
		auto_free char *safe = NULL;
		auto_free char *ascii = NULL;
		auto_free char *again = NULL;

		for (size_t i = 0; i < sizeof(text) - 1; i++)
			text[i] = (char)(test_random(&seed) % 255 + 1);
		safe = text_escape(text, true);
		ascii = text_escape(text, false);
		for (const unsigned char *p = (unsigned char *)ascii; *p; p++)
			assert_true(*p >= 0x20 && *p < 0x7f);
		for (const unsigned char *p = (unsigned char *)safe; *p; p++)
			assert_true(*p >= 0x20 && *p != 0x7f);
		/* What is left of UTF-8 passes the library's own judgement unchanged. */
		again = xstrdup(safe);
		util_make_printable(again);
		assert_string_equal(again, safe);
	}
}

static void test_durations(void **state UNUSED)
{
	static const struct {
		const char *text;
		int64_t seconds;
	} good[] = {
		{ "0", 0 },     { "90", 90 },         { "30s", 30 },         { "5m", 300 },
		{ "2h", 7200 }, { "1d", 86400 },      { "1h30m", 5400 },     { "1m30s", 90 },
		{ "0s", 0 },    { "365d", 31536000 }, { "1d1h1m1s", 90061 },
	};
	static const char *const bad[] = { "",     "x",    "-1", " 5",
					   "5 ",   "5x",   "s",  "1h30",
					   "1.5s", "366d", "+5", "99999999999999999999",
					   "5m ",  "0x10" };
	int64_t seconds;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_row(text_parse_duration(good[i].text, &seconds, &e) == 0, good[i].text);
		assert_int_equal(seconds, good[i].seconds);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		seconds = 4711;
		assert_row(text_parse_duration(bad[i], &seconds, &e) < 0, bad[i]);
		assert_int_equal(seconds, 4711);
		assert_contains(e.text, "must be a duration");
	}
}

static void test_same_name(void **state UNUSED)
{
	assert_true(text_same_name("PUBLIC IP", "public-ip"));
	assert_true(text_same_name("publicip", "public_ip"));
	assert_true(text_same_name("mac", "MAC"));
	assert_false(text_same_name("mac", "macs"));
	assert_false(text_same_name("node", "node id"));
	assert_false(text_same_name("", "a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape_leaves_nothing_that_a_terminal_acts_on),
		cmocka_unit_test(test_escape_of_anything_is_printable),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_same_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
