/* SPDX-License-Identifier: Apache-2.0 */
/* lib/err: codes survive, layers add up, and no text is too long or unprintable. */
#include "tests/unit/test.h"

#include <errno.h>
#include <jansson.h>

static void test_set_returns_its_code(void **state)
{
	(void)state;
	struct err e;

	assert_int_equal(err_set(&e, -ENOSPC, "no %s left", "room"), -ENOSPC);
	assert_int_equal(e.code, -ENOSPC);
	assert_string_equal(e.text, "no room left");
	assert_int_equal(err_set(NULL, -EPERM, "nobody reads this"), -EPERM);
}

static void test_sys_adds_the_reason(void **state)
{
	(void)state;
	struct err e;

	assert_int_equal(err_sys(&e, -ENOENT, "/run/%s", "x"), -ENOENT);
	assert_string_equal(e.text, "/run/x: No such file or directory");
	assert_int_equal(err_sys(NULL, -ENOENT, "x"), -ENOENT);
}

static void test_each_layer_adds_a_noun(void **state)
{
	(void)state;
	struct err e;

	err_set(&e, -EINVAL, "Nexthop has invalid gateway");
	assert_int_equal(err_wrap(&e, "route"), -EINVAL);
	assert_int_equal(err_wrap(&e, "peer %s", "10.5.3.0/24"), -EINVAL);
	assert_int_equal(err_wrap(&e, "vxlan"), -EINVAL);
	assert_string_equal(e.text, "vxlan: peer 10.5.3.0/24: route: Nexthop has invalid gateway");
	assert_true(err_wrap(NULL, "x") < 0);
}

static void test_long_texts_are_cut(void **state)
{
	(void)state;
	char noun[2 * ERR_TEXT_SIZE];
	struct err e;

	memset(noun, 'n', sizeof(noun));
	noun[sizeof(noun) - 1] = '\0';
	assert_int_equal(err_set(&e, -EINVAL, "%s", noun), -EINVAL);
	assert_int_equal(strlen(e.text), ERR_TEXT_SIZE - 1);
	assert_int_equal(err_wrap(&e, "%s", noun), -EINVAL);
	assert_int_equal(strlen(e.text), ERR_TEXT_SIZE - 1);
	assert_int_equal(err_sys(&e, -EIO, "%s", noun), -EIO);
	assert_int_equal(strlen(e.text), ERR_TEXT_SIZE - 1);
}

/* Texts go to terminals, logs and JSON: nothing in them may act on a terminal or break the
 * encoding. */
static void test_bytes_from_outside_are_made_harmless(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "a\x1b[2Jb", "a?[2Jb" },
		{ "a\nb\tc\x7f", "a?b?c?" },
		{ "M\xc3\xbcnchen", "M\xc3\xbcnchen" }, /* UTF-8 stays */
		{ "\xe2\x82\xac \xf0\x9f\x90\xa7", "\xe2\x82\xac \xf0\x9f\x90\xa7" },
		{ "a\xff"
		  "b",
		  "a?b" },         /* never a byte of UTF-8 */
		{ "a\xc3", "a?" }, /* cut short */
		{ "a\xe2\x82", "a??" },
		{ "a\xc0\x80"
		  "b",
		  "a??b" }, /* overlong */
		{ "a\xe0\x80\x80"
		  "b",
		  "a???b" },
		{ "a\xed\xa0\x80"
		  "b",
		  "a???b" },                      /* surrogate */
		{ "a\xf4\x90\x80\x80", "a????" }, /* beyond Unicode */
		{ "a\xc2\x9b"
		  "b",
		  "a??b" }, /* CSI as one character */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e;

		err_set(&e, -EINVAL, "%s", rows[i][0]);
		assert_string_equal(e.text, rows[i][1]);
		err_sys(&e, -EPERM, "%s", rows[i][0]);
		assert_memory_equal(e.text, rows[i][1], strlen(rows[i][1]));
		err_set(&e, -EINVAL, "x");
		err_wrap(&e, "%s", rows[i][0]);
		assert_memory_equal(e.text, rows[i][1], strlen(rows[i][1]));
	}
}

static void test_a_cut_text_is_still_utf8(void **state)
{
	(void)state;
	char text[2 * ERR_TEXT_SIZE];

	for (size_t shift = 0; shift < 4; shift++) {
		struct err e;
		json_t *j;

		memset(text, 'x', sizeof(text));
		for (size_t i = shift; i + 4 < sizeof(text); i += 4)
			memcpy(text + i, "\xf0\x9f\x90\xa7", 4);
		text[sizeof(text) - 1] = '\0';
		err_set(&e, -EINVAL, "%s", text);
		j = json_string(e.text);
		assert_non_null(j);
		json_decref(j);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_returns_its_code),
		cmocka_unit_test(test_sys_adds_the_reason),
		cmocka_unit_test(test_each_layer_adds_a_noun),
		cmocka_unit_test(test_long_texts_are_cut),
		cmocka_unit_test(test_bytes_from_outside_are_made_harmless),
		cmocka_unit_test(test_a_cut_text_is_still_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
