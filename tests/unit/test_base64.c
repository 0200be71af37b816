/* SPDX-License-Identifier: Apache-2.0 */
/* lib/base64 against the vectors of RFC 4648 section 10, and what it must refuse. */
#include "tests/unit/test.h"

#include <errno.h>

#include "lib/base64.h"

static void test_rfc_vectors(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
		{ "/coreos.com/network/subnets/", "L2NvcmVvcy5jb20vbmV0d29yay9zdWJuZXRzLw==" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *text = base64_encode(rows[i][0], strlen(rows[i][0]));
		auto_free char *back = NULL;
		size_t size = 99;
		struct err e;

		assert_string_equal(text, rows[i][1]);
		assert_int_equal(base64_decode(text, strlen(text), &back, &size, &e), 0);
		assert_int_equal(size, strlen(rows[i][0]));
		assert_string_equal(back, rows[i][0]);
	}
}

static void test_every_byte_and_length_survives(void **state)
{
	(void)state;
	unsigned char data[256];

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(255 - i);
	for (size_t size = 0; size <= sizeof(data); size++) {
		auto_free char *text = base64_encode(data, size);
		auto_free char *back = NULL;
		size_t back_size = 0;

		assert_int_equal(strlen(text), (size + 2) / 3 * 4);
		assert_int_equal(base64_decode(text, strlen(text), &back, &back_size, NULL), 0);
		assert_int_equal(back_size, size);
		assert_memory_equal(back, data, size);
		assert_int_equal(back[size], '\0');
	}
}

static void test_stray_bytes_are_refused(void **state)
{
	(void)state;
	static const char *const rows[] = {
		"Z",    "Zg",       "Zg=",      "Zg===",    "Zm9vY",    "====", "A===",
		"=AAA", "Zg==Zg==", "Zm9v\nZg", "Zm9 vZg=", "Zm9-",     "Zm9_", "Zm9v=",
		"Zg=A", "Z\xc3==",  "Zh==",     "Zm9=",     "Zm9vZn==",
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *ret = NULL;
		size_t size = 77;
		struct err e = { 0 };

		assert_row(base64_decode(rows[i], strlen(rows[i]), &ret, &size, &e) == -EINVAL,
			   rows[i]);
		assert_row(!ret && size == 77, rows[i]);
		assert_contains(e.text, "base64");
	}
}

static void test_size_rules_not_the_terminator(void **state)
{
	(void)state;
	auto_free char *back = NULL;
	size_t size = 0;
	char *ret = NULL;

	assert_int_equal(base64_decode("Zm9vYmFy", 4, &back, &size, NULL), 0);
	assert_int_equal(size, 3);
	assert_string_equal(back, "foo");
	assert_int_equal(base64_decode("Zm9\0", 4, &ret, &size, NULL), -EINVAL);
	assert_null(ret);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc_vectors),
		cmocka_unit_test(test_every_byte_and_length_survives),
		cmocka_unit_test(test_stray_bytes_are_refused),
		cmocka_unit_test(test_size_rules_not_the_terminator),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
