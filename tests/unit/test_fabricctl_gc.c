/* SPDX-License-Identifier: Apache-2.0 */
/* What is garbage, what is in doubt, and what is somebody's. */
#include "tests/unit/test.h"

#include "fabricctl/gc.h"
#include "lib/json.h"

#define BROKEN_OFF                                                                                 \
	"{\"state\":\"unfinished\",\"reason\":\"its ADD\",\"asksOnce\":true,"                      \
	"\"deviceExists\":false}"

static void test_attachments(void **state UNUSED)
{
	static const struct {
		const char *item;
		bool remove;
		const char *reason; /* NULL: not to be told of */
		int64_t age_s;
	} rows[] = {
		{ "{\"state\":\"ok\"}", false, NULL, 0 },
		{ "{}", false, NULL, 0 },
		{ "{\"state\":\"gone\",\"runtime\":null}", true, "its interface is gone", 0 },
		{ "{\"state\":\"gone\",\"runtime\":false}", true, "the runtime does not know", 0 },
		{ "{\"state\":\"gone\",\"runtime\":true}", false, "the runtime knows of it", 0 },
		{ "{\"state\":\"forgotten\",\"runtime\":false}", false, "its interface is there",
		  0 },
		{ "{\"state\":\"unfinished\",\"reason\":\"its ADD\"}", false, "its ADD", 0 },
		{ "{\"state\":\"damaged\",\"reason\":\"record: x\"}", false, "record: x", 0 },
		{ BROKEN_OFF, true, "broken off", GC_YOUNG_S },
		{ BROKEN_OFF, false, "its ADD", GC_YOUNG_S - 1 },
		{ "{\"state\":\"unfinished\",\"reason\":\"its ADD\",\"asksOnce\":true,"
		  "\"deviceExists\":true}",
		  false, "its ADD", 3600 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_json json_t *item = NULL;
		const char *reason;

		assert_int_equal(json_parse_object(rows[i].item, strlen(rows[i].item), &item, NULL),
				 0);
		assert_row(gc_judge_attachment(item, rows[i].age_s, &reason) == rows[i].remove,
			   rows[i].item);
		assert_row(!reason == !rows[i].reason, rows[i].item);
		if (reason)
			assert_contains(reason, rows[i].reason);
	}
}

static void test_reservations(void **state UNUSED)
{
	static const struct {
		struct gc_reservation r;
		bool remove;
		const char *reason;
	} rows[] = {
		{ { false, true, -1, 3600, GC_NOBODY }, true, "no record" },
		{ { false, true, 0, 3600, GC_NOBODY }, true, "the runtime does not" },
		{ { false, true, 0, GC_YOUNG_S, GC_NOBODY }, true, "no record" },
		{ { false, true, 0, GC_YOUNG_S - 1, GC_NOBODY }, false, "younger" },
		/* A clock that was set back. */
		{ { false, true, 0, -5, GC_NOBODY }, false, "younger" },
		{ { false, true, 0, 3600, GC_SOMEBODY }, false, "somebody has the address" },
		{ { false, true, 0, 3600, GC_UNKNOWN }, false, "nobody can be asked" },
		{ { false, false, 0, 3600, GC_NOBODY }, false, "whose it is" },
		{ { true, true, 0, 3600, GC_NOBODY }, false, NULL },
		{ { false, true, 1, 3600, GC_NOBODY }, false, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *reason;

		assert_int_equal(gc_judge_reservation(&rows[i].r, &reason), rows[i].remove);
		assert_int_equal(!reason, !rows[i].reason);
		if (reason)
			assert_contains(reason, rows[i].reason);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attachments),
		cmocka_unit_test(test_reservations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
