/* SPDX-License-Identifier: Apache-2.0 */
/* lib/endpoints: lists of URLs as people write them, and what may stand in one. */
#include "tests/unit/test.h"

#include <errno.h>

#include "lib/endpoints.h"

static void test_lists(void **state)
{
	static const struct {
		const char *list;
		bool tls;
		size_t len;
		const char *last;
	} good[] = {
		{ "http://a:1", false, 1, "http://a:1" },
		{ "http://a:1/,\thttps://b:2 , ,", false, 2, "https://b:2" },
		{ "a:1,b:2,[::1]:3", false, 3, "http://[::1]:3" },
		{ "a:1", true, 1, "https://a:1" },
		{ "http://a:1", true, 1, "http://a:1" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		char **urls;
		size_t len;

		assert_int_equal(endpoints_read(good[i].list, good[i].tls, &urls, &len, NULL), 0);
		assert_int_equal(len, good[i].len);
		assert_string_equal(urls[len - 1], good[i].last);
		endpoints_free(urls, len);
	}
}

static void test_bad_lists(void **state)
{
	static const struct {
		const char *list;
		const char *text;
	} bad[] = {
		{ "", "empty" },
		{ " , ", "empty" },
		{ "ftp://a:1", "http or https" },
		{ "http://", "must be http://" },
		{ "a:1/path", "must be http://" },
		{ "a:1,b:2?x", "\"b:2?x\"" },
		{ "http://user:secret@host:1/x", "\"host:1/x\"" },
	};
	auto_free char *many = xstrdup("a:1");
	struct err e;
	char **urls;
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(endpoints_read(bad[i].list, false, &urls, &len, &e), -EINVAL);
		assert_contains(e.text, bad[i].text);
		assert_null(strstr(e.text, "secret"));
		endpoints_free(urls, len);
	}
	for (size_t i = 1; i <= ENDPOINTS_MAX; i++) {
		char *longer = xasprintf("%s,a:1", many);

		free(many);
		many = longer;
	}
	assert_int_equal(endpoints_read(many, false, &urls, &len, &e), -EINVAL);
	assert_contains(e.text, "more than 32");
	endpoints_free(urls, len);
	assert_int_equal(endpoints_read(many + 4, false, &urls, &len, &e), 0);
	assert_int_equal(len, ENDPOINTS_MAX);
	endpoints_free(urls, len);
}

static void test_escape(void **state)
{
	auto_free char *path = endpoints_escape("a/b c&d%\303\244~-_.Z9", "/");
	auto_free char *query = endpoints_escape("a/b", "");

	(void)state;
	assert_string_equal(path, "a/b%20c%26d%25%C3%A4~-_.Z9");
	assert_string_equal(query, "a%2Fb");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_bad_lists),
		cmocka_unit_test(test_escape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
