/* SPDX-License-Identifier: Apache-2.0 */
/* stores/kube/kube_answer: what an API server's answers mean. */
#include "tests/unit/test.h"

#include <errno.h>

#include "stores/kube/kube_answer.h"

#define STATUS(code, reason, message, details)                                                     \
	"{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","       \
	"\"message\":\"" message "\",\"reason\":\"" reason "\"," details "\"code\":" code "}"
#define EXPIRED STATUS("410", "Expired", "too old resource version: 1 (77)", )

static struct kube_prefix prefix;

static void test_answers(void **state)
{
	static const struct {
		long status;
		const char *body;
		int64_t retry_after_s;
		enum kube_outcome outcome;
		int64_t wait_ms;
		const char *text;
	} rows[] = {
		{ 200, "{\"kind\":\"Node\"}", 0, KUBE_OK, 0, "" },
		{ 200, "", 0, KUBE_OK, 0, "" },
		{ 410, EXPIRED, 0, KUBE_EXPIRED, 0, "410 Expired: too old resource version" },
		{ 200, EXPIRED, 0, KUBE_EXPIRED, 0, "410 Expired" },
		{ 410, STATUS("410", "Gone", "", ), 0, KUBE_EXPIRED, 0, "410 Gone" },
		{ 504,
		  STATUS("504", "Timeout", "Timeout: Too large resource version: 99, current: 7",
			 "\"details\":{\"causes\":[{\"reason\":\"ResourceVersionTooLarge\","
			 "\"message\":\"Too large resource version\"}],\"retryAfterSeconds\":1},"),
		  0, KUBE_AHEAD, 1000, "Too large" },
		{ 504, STATUS("504", "Timeout", "Too large resource version: 9", ), 0, KUBE_AHEAD,
		  0, "504" },
		{ 504, STATUS("504", "Timeout", "request timed out", ), 0, KUBE_LATER, 0, "504" },
		{ 429, "Too many requests, please try again later.\nx", 1, KUBE_LATER, 1000,
		  "429: Too many requests, please try again later." },
		{ 429,
		  STATUS("429", "TooManyRequests", "", "\"details\":{\"retryAfterSeconds\":3},"), 2,
		  KUBE_LATER, 3000, "429 TooManyRequests" },
		{ 503, "<html>", 86400, KUBE_LATER, KUBE_WAIT_MAX_MS, "503: <html>" },
		{ 503, "", -5, KUBE_LATER, 0, "503" },
		{ 500, "\xff\x01", 0, KUBE_LATER, 0, "500: " },
		{ 401, STATUS("401", "Unauthorized", "Unauthorized", ), 0, KUBE_STRANGER, 0,
		  "401" },
		{ 403, STATUS("403", "Forbidden", "nodes is forbidden", ), 0, KUBE_DENIED, 0,
		  "403 Forbidden: nodes is forbidden" },
		{ 404, STATUS("404", "NotFound", "", ), 0, KUBE_ABSENT, 0, "404" },
		{ 409, STATUS("409", "Conflict", "", ), 0, KUBE_CONFLICT, 0, "409" },
		{ 422, STATUS("422", "Invalid", "", ), 0, KUBE_INVALID, 0, "422" },
		{ 302, "", 0, KUBE_LATER, 0, "302" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct kube_answer a;

		kube_answer_read(rows[i].status, rows[i].body, strlen(rows[i].body),
				 rows[i].retry_after_s, &a);
		assert_row(a.outcome == rows[i].outcome, rows[i].body);
		assert_row(a.wait_ms == rows[i].wait_ms, rows[i].body);
		assert_row((a.err.code == 0) == (a.outcome == KUBE_OK), rows[i].body);
		assert_contains(a.err.text, rows[i].text);
	}
}

static void test_lists(void **state)
{
	static const char page[] =
		"{\"kind\":\"NodeList\",\"metadata\":{\"resourceVersion\":\"77\","
		"\"continue\":\"abc\",\"remainingItemCount\":3},\"items\":[0,0]}";
	static const char last[] =
		"{\"kind\":\"NodeList\",\"metadata\":{\"resourceVersion\":\"77\"},"
		"\"items\":null}";
	static const char *const refused[] = {
		"",
		"[]",
		"{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"77\"}}",
		"{\"kind\":\"NodeList\"}",
		"{\"kind\":\"NodeList\",\"metadata\":{\"resourceVersion\":\"\"}}",
	};
	struct kube_list list = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(kube_list_read(page, strlen(page), &list, &e), 0);
	assert_true(list.revision == 77);
	assert_string_equal(list.more, "abc");
	kube_list_fini(&list);
	assert_int_equal(kube_list_read(last, strlen(last), &list, &e), 0);
	assert_null(list.more);
	kube_list_fini(&list);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		assert_row(kube_list_read(refused[i], strlen(refused[i]), &list, &e) == -EINVAL,
			   refused[i]);
}

static struct kube_event event_of(const char *text)
{
	struct kube_event event = { 0 };
	struct err e;

	if (kube_event_read(&prefix, text, strlen(text), &event, &e) < 0)
		fail_msg("%s", e.text);
	return event;
}

#define NODE "{\"metadata\":{\"name\":\"n\",\"resourceVersion\":\"78\"}}"

static void test_events(void **state)
{
	struct kube_event event = event_of("{\"type\":\"MODIFIED\",\"object\":" NODE "}\n");

	(void)state;
	assert_int_equal(event.type, KUBE_EVENT_PUT);
	assert_string_equal(event.node.name, "n");
	assert_true(event.revision == 78);
	kube_event_fini(&event);
	event = event_of("{\"type\":\"DELETED\",\"object\":" NODE "}");
	assert_int_equal(event.type, KUBE_EVENT_DELETE);
	kube_event_fini(&event);
	event = event_of("{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Node\",\"metadata\":{"
			 "\"resourceVersion\":\"90\",\"creationTimestamp\":null}}}");
	assert_int_equal(event.type, KUBE_EVENT_BOOKMARK);
	assert_true(event.revision == 90);
	kube_event_fini(&event);
	event = event_of("{\"type\":\"ERROR\",\"object\":" EXPIRED "}");
	assert_int_equal(event.type, KUBE_EVENT_ERROR);
	assert_int_equal(event.answer.outcome, KUBE_EXPIRED);
	kube_event_fini(&event);
	event = event_of("{\"type\":\"ERROR\",\"object\":{}}");
	assert_int_equal(event.answer.outcome, KUBE_LATER);
	kube_event_fini(&event);
}

static void test_no_events(void **state)
{
	static const char *const rows[] = {
		"",
		"x",
		"{}",
		"{\"type\":\"ADDED\"}",
		"{\"type\":\"ADDED\",\"object\":{}}",
		"{\"type\":\"BOOKMARK\",\"object\":{}}",
		"{\"type\":\"MOVED\",\"object\":" NODE "}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct kube_event event = { 0 };
		struct err e = { 0 };

		assert_row(kube_event_read(&prefix, rows[i], strlen(rows[i]), &event, &e) ==
				   -EINVAL,
			   rows[i]);
		assert_row(e.text[0] && !event.node.name, rows[i]);
	}
}

static int set_up(void **state)
{
	(void)state;
	return kube_prefix_parse("flannel.alpha.coreos.com", &prefix, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_no_events),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
