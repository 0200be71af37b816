/* SPDX-License-Identifier: Apache-2.0 */
/* What is left out of a text for strangers, how much of it there is, and the archive it goes into. */
#include "tests/unit/test.h"

#include "fabricctl/bundle.h"
#include "fabricctl/tar.h"
#include "lib/json.h"

static const struct {
	const char *text;
	const char *safe;
	size_t n;
} rows[] = {
	{ "", "", 0 },
	{ "nothing to hide: 10.5.1.0/24\n", "nothing to hide: 10.5.1.0/24\n", 0 },
	/* Names that sound like a secret's. */
	{ "etcd-password = my pass word\nx = 1\n", "etcd-password = (left out)\nx = 1\n", 1 },
	{ "#  etcd_password=old\n", "#  etcd_password=(left out)\n", 1 },
	{ "# password: old, or so", "# password: (left out), or so", 1 },
	{ "log: password=a b", "log: password=(left out) b", 1 },
	{ "FLANNEL_TOKEN='a b'\n", "FLANNEL_TOKEN='(left out)'\n", 1 },
	{ "etcd-password-file = /etc/pw\n", "etcd-password-file = /etc/pw\n", 0 },
	{ "password =\nnext = 1\n", "password =\nnext = 1\n", 0 },
	{ "run --password x --psk=y", "run --password (left out) --psk=(left out)", 2 },
	{ "the token of", "the token of", 0 },
	{ "x-extra: v", "x-extra: (left out)", 1 },
	/* JSON, and JSON in it. */
	{ "{\"PSK\": \"a\\\"b\", \"n\": 1}", "{\"PSK\":\"(left out)\",\"n\":1}", 1 },
	{ "{\"PSK\": 12345678, \"n\": 1}", "{\"PSK\":\"(left out)\",\"n\":1}", 1 },
	{ "{\"tokens\": [\"abc\", 7, true]}", "{\"tokens\":[\"(left out)\",7,true]}", 1 },
	{ "bad: {\"PSK\": 12345678, \"n\": 1}\n", "bad: {\"PSK\": (left out), \"n\": 1}\n", 1 },
	{ "{\n \"PSK\": \"a\",\n \"n\": 1\n}", "{\n  \"PSK\": \"(left out)\",\n  \"n\": 1\n}", 1 },
	{ "{\"a\":\"Token=\",\"b\":\"c\"}", "{\"a\":\"Token=\",\"b\":\"c\"}", 0 },
	{ "{\"Token\\\": \\\\\":\"\\\",\"}", "{\"Token\\\": \\\\\":\"(left out)\"}", 1 },
	{ "{\"a\":[\"x\",{\"b\":\"psk=y\"}]}", "{\"a\":[\"x\",{\"b\":\"psk=(left out)\"}]}", 1 },
	{ "{\"token\":7,\"secret\":{\"a\":null}}", "{\"token\":7,\"secret\":{\"a\":null}}", 0 },
	{ "{\"d\":\"{\\\"Token\\\":\\\"x\\\",\\\"n\\\":1}\"}",
	  "{\"d\":\"{\\\"Token\\\":\\\"(left out)\\\",\\\"n\\\":1}\"}", 1 },
	{ "{\"d\":\"a\\npassword=x\\n\"}", "{\"d\":\"a\\npassword=(left out)\\n\"}", 1 },
	{ "\"password\": \"(left out)\"", "\"password\": \"(left out)\"", 0 },
	/* Whatever its name. */
	{ "http://bob:pw@h:2379/x,https://h", "http://(left out)@h:2379/x,https://h", 1 },
	{ "http://h/a@b", "http://h/a@b", 0 },
	{ "Authorization: Bearer abc.def", "Authorization: (left out)", 1 },
	{ "-H 'X: Bearer abc'", "-H 'X: Bearer (left out)'", 1 },
	{ "basic checks", "basic checks", 0 },
	{ "Basic Ym9iOnB3", "Basic (left out)", 1 },
	{ "curl -u bob:pw h", "curl -u (left out) h", 1 },
	{ "ip -u x", "ip -u x", 0 },
	{ "t eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.sig.", "t (left out)", 1 },
	{ "a\n-----BEGIN EC PRIVATE KEY-----\nMII\n-----END EC PRIVATE KEY-----\nb",
	  "a\n(left out)\nb", 1 },
	{ "\"x\\n-----BEGIN PRIVATE KEY-----\\nMII\"", "\"x\\n(left out)\"", 1 },
	/* What others wrote ends where their text does. */
	{ "{\"node\":\"\\\"PSK\\\": \\\"abc\",\"n\":\"x\\\"y\"}",
	  "{\"node\":\"\\\"PSK\\\": \\\"(left out)\",\"n\":\"x\\\"y\"}", 1 },
	{ "{\"PSK\":\"a\\\\\",\"n\":1}", "{\"PSK\":\"(left out)\",\"n\":1}", 1 },
	{ "-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----", 0 },
	/* Known, wherever it stands. */
	{ "x=hunter22hunter22;", "x=(left out)(left out);", 2 },
};

static void test_what_is_left_out(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct redactor r = { 0 };
		auto_free char *safe = NULL;
		size_t n = 77;

		redact_add_value(&r, "hunter22");
		redact_add_value(&r, "x");
		redact_add_name(&r, "x-extra");
		safe = redact_text(&r, rows[i].text, &n);
		assert_string_equal(safe, rows[i].safe);
		assert_int_equal(n, rows[i].n);
		redact_fini(&r);
	}
}

static void test_bounds(void **state UNUSED)
{
	struct bundle b = { .items = json_array() };
	auto_free char *large = xmalloc(BUNDLE_FILE_MAX + 11);
	const json_t *item;
	size_t total = 0;

	memset(large, 'a', BUNDLE_FILE_MAX + 10);
	memcpy(large + BUNDLE_FILE_MAX + 6, "last", 5);
	for (size_t i = 0; i < BUNDLE_TOTAL_MAX / BUNDLE_FILE_MAX + 3; i++)
		bundle_add(&b, "large", large, NULL);
	item = json_array_get(b.items, 0);
	assert_int_equal(ctl_int(item, "cutBytes", 0), 10);
	assert_string_equal(b.texts[0] + BUNDLE_FILE_MAX - 4, "last");
	for (size_t i = 0; i < b.texts_len; i++) {
		total += strlen(b.texts[i]);
		free(b.texts[i]);
	}
	assert_int_equal(total, BUNDLE_TOTAL_MAX);
	free(b.texts);
	json_decref(b.items);
}

static void test_archive(void **state UNUSED)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	unsigned sum = 8 * ' ';

	tar_add(out, "a/b", "hello", 5, 1700000000);
	tar_add(out, "a/empty", NULL, 0, 0);
	tar_end(out);
	fclose(out);
	/* Header, a block of content; header; two blocks of zeros. */
	assert_int_equal(size, 5 * 512);
	assert_string_equal(text, "a/b");
	assert_string_equal(text + 124, "00000000005");
	assert_string_equal(text + 257, "ustar");
	assert_string_equal(text + 512, "hello");
	assert_string_equal(text + 1024, "a/empty");
	for (size_t i = 0; i < 512; i++)
		sum += i >= 148 && i < 156 ? 0 : (unsigned char)text[i];
	assert_int_equal(strtoul(text + 148, NULL, 8), sum);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_left_out),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_archive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
