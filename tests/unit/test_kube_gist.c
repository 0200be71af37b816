/* SPDX-License-Identifier: Apache-2.0 */
/* stores/kube/kube_gist: heartbeats are told from changes without a parser. */
#include "tests/unit/test.h"

#include "stores/kube/kube_gist.h"

#define EVENT(type, metadata, spec, status)                                                        \
	"{\"type\":\"" type "\",\"object\":{\"kind\":\"Node\",\"metadata\":{\"name\":\"n1\","      \
	"\"annotations\":{\"a\":\"{\\\"b\\\":1}\"}," metadata "},\"spec\":{" spec "}" status "}}"
#define AT(revision) "\"resourceVersion\":\"" revision "\""
#define STATUS(text) ",\"status\":{\"conditions\":[{\"message\":\"" text "\"}]}"

static struct kube_gist gist_of(const char *text)
{
	struct kube_gist gist = { 0 };

	assert_row(kube_gist_read(text, strlen(text), &gist), text);
	assert_true(gist.hash);
	return gist;
}

static void test_heartbeat_has_the_same(void **state)
{
	struct kube_gist one = gist_of(EVENT("MODIFIED", AT("7"), "\"a\":1", STATUS("x")));
	struct kube_gist two =
		gist_of(EVENT("MODIFIED", AT("1234567"), "\"a\":1", STATUS("}\\\"]y")));

	(void)state;
	assert_int_equal(one.revision, 7);
	assert_int_equal(two.revision, 1234567);
	assert_int_equal(one.hash, two.hash);
}

/* Whatever else differs, of this node or because it is another. */
static void test_change_has_another(void **state)
{
	static const char *const rows[] = {
		EVENT("MODIFIED", AT("7"), "\"a\":1", STATUS("x")),
		EVENT("MODIFIED", AT("7"), "\"a\":2", STATUS("x")),
		EVENT("MODIFIED", AT("7") ",\"uid\":\"u\"", "\"a\":1", STATUS("x")),
		EVENT("MODIFIED", AT("7"), "\"a\":1,\"status\":{}", STATUS("x")),
		EVENT("MODIFIED", AT("7"), "\"a\":1,\"resourceVersion\":\"8\"", STATUS("x")),
		EVENT("MODIFIED", AT("7") ",\"b\":[" AT("8") "]", "\"a\":1", STATUS("x")),
		EVENT("MODIFIED", "\"c\":{" AT("9") "}," AT("7"), "\"a\":1", STATUS("x")),
		EVENT("MODIFIED", AT("7"), "\"a\":1", ""),
	};
	struct kube_gist gists[ARRAY_LEN(rows)];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		gists[i] = gist_of(rows[i]);
		assert_int_equal(gists[i].revision, 7);
		for (size_t n = 0; n < i; n++)
			assert_row(gists[i].hash != gists[n].hash, rows[i]);
	}
}

static void test_order_of_members(void **state)
{
	struct kube_gist one = gist_of("{\"object\":{\"status\":{\"a\":1},\"metadata\":{" AT(
		"5") "}},\"type\":\"MODIFIED\"}");
	struct kube_gist two = gist_of(
		"{\"object\":{\"status\":null,\"metadata\":{" AT("6") "}},\"type\":\"MODIFIED\"}");

	(void)state;
	assert_int_equal(one.hash, two.hash);
}

/* A parser's business. */
static void test_what_has_none(void **state)
{
	static const char *const rows[] = {
		"",
		"{",
		"{}",
		"[]",
		"{\"type\":\"MODIFIED\"}",
		"{\"type\":\"MODIFIED\",\"object\":7}",
		"{\"type\":\"MODIFIED\",\"object\":{\"metadata\":[]}}",
		EVENT("ADDED", AT("7"), "", ""),
		EVENT("DELETED", AT("7"), "", ""),
		EVENT("BOOKMARK", AT("7"), "", ""),
		EVENT("MODIFIED", "\"resourceVersion\":7", "", ""),
		EVENT("MODIFIED", AT(""), "", ""),
		EVENT("MODIFIED", AT("7x"), "", ""),
		EVENT("MODIFIED", AT("-7"), "", ""),
		EVENT("MODIFIED", AT("12345678901234567890"), "", ""),
		EVENT("MODIFIED", AT("7") "," AT("8"), "", ""),
		EVENT("MODIFIED", AT("7"), "", STATUS("x") STATUS("y")),
		EVENT("MODIFIED", AT("7"), "", "") "{}",
		"{ \"type\":\"MODIFIED\",\"object\":{\"metadata\":{" AT("7") "}}}",
		"{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{" AT("7") "}}",
		"{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{" AT(
			"7") "}},\"type\":\"MODIFIED\"}",
		"{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{" AT("7") "}},\"object\":{}x}",
		"{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"resourceVersion\":\"7",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct kube_gist gist;

		assert_row(!kube_gist_read(rows[i], strlen(rows[i]), &gist), rows[i]);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heartbeat_has_the_same),
		cmocka_unit_test(test_change_has_another),
		cmocka_unit_test(test_order_of_members),
		cmocka_unit_test(test_what_has_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
