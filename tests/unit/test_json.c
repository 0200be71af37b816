/* SPDX-License-Identifier: Apache-2.0 */
/* lib/json: keys in any case, strict types, and errors that name key, value and range. */
#include "tests/unit/test.h"

#include <errno.h>

#include "lib/json.h"

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	struct err e;

	if (json_parse_object(text, strlen(text), &j, &e) < 0)
		fail_msg("%s: %s", text, e.text);
	return j;
}

static void test_only_objects_are_documents(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		" ",
		"{",
		"[]",
		"1",
		"\"x\"",
		"null",
		"{} {}",
		"{}x",
		"{'a':1}",
		"{\"a\":01}",
		"{a:1}",
		"{\"a\":1,}",
		"{\"a\":nan}",
		"\xef\xbb\xbf{}",
		"{\"a\":\"\xff\"}",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		json_t *j = NULL;
		struct err e = { 0 };

		assert_row(json_parse_object(bad[i], strlen(bad[i]), &j, &e) == -EINVAL, bad[i]);
		assert_row(!j && e.text[0], bad[i]);
	}
}

static void test_syntax_errors_say_where(void **state)
{
	(void)state;
	const char *text = "{\n  \"Network\": 10.5.0.0/16\n}";
	json_t *j = NULL;
	struct err e;

	assert_int_equal(json_parse_object(text, strlen(text), &j, &e), -EINVAL);
	assert_contains(e.text, "line 2");
	assert_contains(e.text, "column");
}

static void test_size_rules_not_the_terminator(void **state)
{
	(void)state;
	json_t *j = NULL;

	assert_int_equal(json_parse_object("{}garbage", 2, &j, NULL), 0);
	json_decref(j);
	j = NULL;
	assert_int_equal(json_parse_object("{}\0", 3, &j, NULL), -EINVAL);
	assert_null(j);
}

static void test_deep_nesting_is_an_error_not_a_crash(void **state)
{
	(void)state;
	size_t depth = 200000;
	auto_free char *text = xmalloc(depth * 5 + 1);
	json_t *j = NULL;

	for (size_t i = 0; i < depth; i++)
		memcpy(text + i * 5, "{\"a\":", 5);
	assert_int_equal(json_parse_object(text, depth * 5, &j, NULL), -EINVAL);
}

static void test_keys_in_any_case(void **state)
{
	(void)state;
	auto_json json_t *j = parse("{\"NETWORK\":\"a\",\"subnetlen\":24,\"Nothing\":null}");

	assert_string_equal(json_string_value(json_get_any_case(j, "Network")), "a");
	assert_int_equal(json_integer_value(json_get_any_case(j, "SubnetLen")), 24);
	assert_null(json_get_any_case(j, "Subnet"));
	assert_null(json_get_any_case(j, "nothing"));
}

/* Word for word, at any depth, wherever the two stand; the error shows the key as it is written. */
static void test_a_member_twice_is_an_error(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *says;
	} rows[] = {
		{ "{\"VNI\":1,\"VNI\":2}", "\"VNI\" is given twice, again at line 1, column 14" },
		{ "{\"VNI\":1,\"VNI\":1}", "\"VNI\" is given twice" },
		{ "{\"VNI\":1,\"VNI\":null}", "\"VNI\" is given twice" },
		{ "{\"a\":1,\n \"b\":[{\"c\":{\"Port\":1,\n\"x\":2 , \"Port\" : 2}}]}",
		  "\"Port\" is given twice, again at line 3, column 14" },
		{ "{\"PersistentKeepaliveInterval\":1,\"PersistentKeepaliveInterval\":2}",
		  "\"PersistentKeepaliveInterval\" is given twice" },
		{ "{\"V\\u004eI\":1,\"VNI\":2}", "\"VNI\" is given twice" },
		{ "{\"x\\\"y\":1,\"x\\\"y\":2}", "\"x\\\"y\" is given twice" },
		{ "{\"x\\\\\":1,\"x\\\\\":2}", "\"x\\\\\" is given twice" },
		{ "{\"\":1,\"\":2}", "\"\" is given twice" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *j = NULL;
		struct err e = { 0 };

		assert_row(json_parse_object(rows[i].text, strlen(rows[i].text), &j, &e) == -EINVAL,
			   rows[i].text);
		assert_null(j);
		if (strncmp(e.text, rows[i].says, strlen(rows[i].says)) != 0)
			fail_msg("%s: %s", rows[i].text, e.text);
	}
}

/* In another case only where the key is read: what is not read may be as it likes. */
static void test_a_key_twice_in_another_case_is_an_error_when_read(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"{\"Key\":1,\"key\":2}",
		"{\"key\":2,\"other\":1,\"KEY\":2}",
		"{\"KEY\":null,\"key\":2}",
		"{\"key\":2,\"kEy\":null}",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		auto_json json_t *j = parse(texts[i]);
		struct ip_addr addr;
		struct ip_net net;
		uint64_t number = 77;
		const char *text;
		json_t *value = j;
		bool flag;
		struct err e = { 0 };

		assert_row(json_find(j, "Key", &value, &e) == -EINVAL, texts[i]);
		assert_contains(e.text, "Key is given twice, as \"");
		assert_contains(e.text, "\" and as \"");
		assert_ptr_equal(value, j);
		assert_row(json_read_uint(j, "Key", 0, 9, &number, &e) == -EINVAL, texts[i]);
		assert_contains(e.text, "Key is given twice");
		assert_row(json_read_bool(j, "Key", &flag, NULL) == -EINVAL, texts[i]);
		assert_row(json_read_string(j, "Key", &text, NULL) == -EINVAL, texts[i]);
		assert_row(json_read_ip_addr(j, "Key", AF_INET, &addr, NULL) == -EINVAL, texts[i]);
		assert_row(json_read_ip_net(j, "Key", AF_INET, &net, NULL) == -EINVAL, texts[i]);
		assert_row(number == 77, texts[i]);
		assert_int_equal(json_find(j, "nothing", &value, &e), 0);
		assert_null(value);
		/* Where nothing can be refused: the last that says something. */
		assert_int_equal(json_integer_value(json_get_any_case(j, "Key")), 2);
	}
}

static void test_find(void **state)
{
	(void)state;
	auto_json json_t *j = parse("{\"One\":1,\"none\":null,\"x\":1,\"X\":2}");
	json_t *value = NULL;
	struct err e;

	assert_int_equal(json_find(j, "ONE", &value, &e), 0);
	assert_int_equal(json_integer_value(value), 1);
	assert_int_equal(json_find(j, "None", &value, &e), 0);
	assert_null(value);
	assert_int_equal(json_find(NULL, "One", &value, &e), 0);
	assert_null(value);
}

static void test_bool(void **state)
{
	(void)state;
	auto_json json_t *j = parse("{\"t\":true,\"f\":false,\"n\":null,\"s\":\"true\",\"i\":1}");
	bool value = true;
	struct err e;

	assert_int_equal(json_read_bool(j, "F", &value, &e), 0);
	assert_false(value);
	assert_int_equal(json_read_bool(j, "T", &value, &e), 0);
	assert_true(value);
	assert_int_equal(json_read_bool(j, "n", &value, &e), 0);
	assert_int_equal(json_read_bool(j, "absent", &value, &e), 0);
	assert_true(value);
	assert_int_equal(json_read_bool(j, "s", &value, &e), -EINVAL);
	assert_string_equal(e.text, "s is \"true\", must be true or false");
	assert_int_equal(json_read_bool(j, "i", &value, &e), -EINVAL);
	assert_true(value);
}

static void test_uint(void **state)
{
	(void)state;
	static const struct {
		const char *value;
		uint64_t min;
		uint64_t max;
		bool ok;
		uint64_t expected;
	} rows[] = {
		{ "0", 0, 10, true, 0 },
		{ "10", 0, 10, true, 10 },
		{ "11", 0, 10, false, 0 },
		{ "1", 2, 10, false, 0 },
		{ "-1", 0, UINT64_MAX, false, 0 },
		{ "9223372036854775807", 0, UINT64_MAX, true, INT64_MAX },
		{ "null", 5, 10, true, 77 },
		{ "\"5\"", 0, 10, false, 0 },
		{ "5.0", 0, 10, false, 0 },
		{ "true", 0, 10, false, 0 },
		{ "[5]", 0, 10, false, 0 },
		{ "{}", 0, 10, false, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *text = xasprintf("{\"Port\":%s}", rows[i].value);
		auto_json json_t *j = parse(text);
		struct err e = { 0 };
		uint64_t value = 77;
		int rc = json_read_uint(j, "Port", rows[i].min, rows[i].max, &value, &e);

		assert_row(rc == (rows[i].ok ? 0 : -EINVAL), text);
		assert_row(value == (rows[i].ok ? rows[i].expected : 77), text);
		if (!rows[i].ok) {
			auto_free char *range =
				xasprintf("from %lu to %lu", rows[i].min, rows[i].max);

			assert_contains(e.text, "Port");
			assert_contains(e.text, rows[i].value);
			assert_contains(e.text, range);
		}
	}
}

static void test_string(void **state)
{
	(void)state;
	auto_json json_t *j = parse("{\"Type\":\"vxlan\",\"n\":null,\"i\":5,\"empty\":\"\"}");
	const char *value = "before";
	struct err e;

	assert_int_equal(json_read_string(j, "n", &value, &e), 0);
	assert_string_equal(value, "before");
	assert_int_equal(json_read_string(j, "i", &value, &e), -EINVAL);
	assert_string_equal(e.text, "i is 5, must be a string");
	assert_int_equal(json_read_string(j, "type", &value, &e), 0);
	assert_string_equal(value, "vxlan");
	assert_int_equal(json_read_string(j, "empty", &value, &e), 0);
	assert_string_equal(value, "");
}

static void test_long_values_are_shortened_in_errors(void **state)
{
	(void)state;
	auto_free char *text = xmalloc(100020);
	json_t *j;
	bool value;
	struct err e;

	memset(text, 'x', 100019);
	memcpy(text, "{\"b\":\"", 6);
	memcpy(text + 100000, "\"}", 3);
	j = parse(text);
	assert_int_equal(json_read_bool(j, "b", &value, &e), -EINVAL);
	assert_true(strlen(e.text) < 200);
	assert_contains(e.text, "true or false");
	json_decref(j);
}

static void test_addresses(void **state)
{
	(void)state;
	auto_json json_t *j =
		parse("{\"a\":\"10.5.0.1\",\"n\":\"10.5.0.0/16\",\"i\":7,\"x\":\"?\"}");
	struct ip_addr before = test_addr("192.0.2.9");
	struct ip_addr expected = test_addr("10.5.0.1");
	struct ip_addr addr = before;
	struct ip_net expected_net = test_net("10.5.0.0/16");
	struct ip_net net = { 0 };
	struct err e;

	assert_int_equal(json_read_ip_addr(j, "absent", AF_INET, &addr, &e), 0);
	assert_int_equal(json_read_ip_addr(j, "a", AF_INET6, &addr, &e), -EINVAL);
	assert_contains(e.text, "a: ");
	assert_contains(e.text, "10.5.0.1");
	assert_contains(e.text, "IPv6");
	assert_int_equal(json_read_ip_addr(j, "i", AF_INET, &addr, &e), -EINVAL);
	assert_int_equal(json_read_ip_addr(j, "x", AF_INET, &addr, NULL), -EINVAL);
	assert_true(ip_addr_equal(&addr, &before));
	assert_int_equal(json_read_ip_addr(j, "A", AF_INET, &addr, &e), 0);
	assert_true(ip_addr_equal(&addr, &expected));

	assert_int_equal(json_read_ip_net(j, "a", AF_INET, &net, &e), -EINVAL);
	assert_contains(e.text, "a: ");
	assert_int_equal(json_read_ip_net(j, "i", AF_INET, &net, NULL), -EINVAL);
	assert_false(ip_net_is_set(&net));
	assert_int_equal(json_read_ip_net(j, "N", AF_INET, &net, &e), 0);
	assert_true(ip_net_equal(&net, &expected_net));
}

/* Protobuf writes 64-bit numbers as strings, so that JavaScript does not round them. */
static void test_lenient_numbers(void **state)
{
	(void)state;
	auto_json json_t *j =
		parse("{\"n\":5,\"s\":\"7587868383918361090\",\"big\":"
		      "\"18446744073709551615\",\"neg\":\"-1\",\"x\":\"x\",\"b\":true}");

	assert_true(json_uint64_lenient(json_object_get(j, "n")) == 5);
	assert_true(json_uint64_lenient(json_object_get(j, "s")) == 7587868383918361090u);
	assert_true(json_uint64_lenient(json_object_get(j, "big")) == UINT64_MAX);
	assert_true(json_uint64_lenient(json_object_get(j, "x")) == 0);
	assert_true(json_uint64_lenient(json_object_get(j, "b")) == 0);
	assert_true(json_uint64_lenient(NULL) == 0);
	assert_true(json_int64_lenient(json_object_get(j, "neg")) == -1);
	assert_true(json_int64_lenient(json_object_get(j, "s")) == 7587868383918361090);
	assert_true(json_int64_lenient(json_object_get(j, "n")) == 5);
	assert_true(json_int64_lenient(NULL) == 0);
}

static void test_depth_is_bounded(void **state)
{
	(void)state;
	static const char good[] =
		"{\"a\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]],\"b\":\"[[[\\\"[[[[[[[[[[[[[[[[[\"}";
	static const char bad[] = "{\"a\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}";
	auto_json json_t *object = NULL;
	struct err e;

	assert_int_equal(json_parse_object(good, strlen(good), &object, &e), 0);
	json_decref(object);
	object = NULL;
	assert_int_equal(json_parse_object(bad, strlen(bad), &object, &e), -EINVAL);
	assert_contains(e.text, "more than 16 levels deep");
}

/* A text of a proxy in Latin-1, or one cut inside a character, is shown with marks, not left out. */
static void test_any_text_is_a_string(void **state)
{
	(void)state;
	auto_json json_t *list = json_array();
	uint64_t before = json_failures_total();

	json_append(list, json_pack("{s:o}", "text", json_text("Zugriff verweigert f\xfcr \xc3")));
	json_append(list, json_text(NULL));
	json_append(list, json_text("evil\x1b[31m"));
	assert_int_equal(json_array_size(list), 3);
	/* What is UTF-8 stays as it is: who shows it decides how. */
	assert_string_equal(json_string_value(json_array_get(list, 2)), "evil\x1b[31m");
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "text")),
			    "Zugriff verweigert f?r ?");
	assert_string_equal(json_string_value(json_array_get(list, 1)), "");
	assert_int_equal(json_failures_total(), before);
	json_append(list, json_pack("{s:s}", "text", "f\xfcr"));
	assert_int_equal(json_failures_total(), before + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_depth_is_bounded),
		cmocka_unit_test(test_only_objects_are_documents),
		cmocka_unit_test(test_syntax_errors_say_where),
		cmocka_unit_test(test_size_rules_not_the_terminator),
		cmocka_unit_test(test_deep_nesting_is_an_error_not_a_crash),
		cmocka_unit_test(test_keys_in_any_case),
		cmocka_unit_test(test_a_member_twice_is_an_error),
		cmocka_unit_test(test_a_key_twice_in_another_case_is_an_error_when_read),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_bool),
		cmocka_unit_test(test_uint),
		cmocka_unit_test(test_string),
		cmocka_unit_test(test_long_values_are_shortened_in_errors),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_lenient_numbers),
		cmocka_unit_test(test_any_text_is_a_string),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
