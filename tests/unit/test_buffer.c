/* SPDX-License-Identifier: Apache-2.0 */
/* lib/buffer: what is put together piece by piece, and strings of JSON against jansson's own. */
#include "tests/unit/test.h"

#include "lib/buffer.h"
#include "lib/json.h"

static void test_pieces(void **state)
{
	struct buffer b = { 0 };
	auto_free char *text = NULL;
	auto_free char *empty = NULL;

	(void)state;
	empty = buffer_steal(&b);
	assert_string_equal(empty, "");
	for (unsigned i = 0; i < 1000; i++) {
		buffer_put(&b, "abcd", 3);
		buffer_putc(&b, '-');
		buffer_printf(&b, "%03u", i);
		buffer_puts(&b, ";");
	}
	assert_int_equal(b.size, 8000);
	assert_int_equal(strlen(b.data), 8000);
	text = buffer_steal(&b);
	assert_null(b.data);
	assert_memory_equal(text, "abc-000;abc-001;", 16);
	assert_string_equal(text + 7992, "abc-999;");
}

static void check_json(const char *text)
{
	auto_buffer struct buffer b = { 0 };
	auto_json json_t *string = json_text(text);
	auto_free char *quoted = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;

	buffer_puts(&b, ">");
	buffer_put_json(&b, text);
	assert_string_equal(b.data + 1, quoted ? quoted : "\"\"");
	assert_int_equal(b.size, strlen(b.data));
}

static void test_strings_of_json(void **state)
{
	static const char *const rows[] = {
		"",
		"\"",
		"\\",
		"a\"b\\c/d",
		"\x1f\n\t\r\b\f",
		"\x7f",
		"{\"VNI\":1}",
		"gr\xc3\xbc\xc3\x9f",
		"\xff",
		"a\x80",
	};
	char filled[700];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_json(rows[i]);
	for (unsigned c = 1; c < 256; c++)
		check_json((char[]){ 'x', (char)c, 0 });
	memset(filled, '"', sizeof(filled));
	filled[sizeof(filled) - 1] = '\0';
	for (size_t i = 0; i < sizeof(filled); i++)
		check_json(filled + i);
	check_json(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_strings_of_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
