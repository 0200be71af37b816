/* SPDX-License-Identifier: Apache-2.0 */
/* cni-plugin/hook: what an OCI runtime says of a container's life. */
#include "tests/unit/test.h"

#include "cni-plugin/error.h"
#include "cni-plugin/hook.h"

static int parse(const char *text, struct hook_event *ret, struct err *e)
{
	return hook_parse_state(text, strlen(text), ret, e);
}

static void test_states(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum cni_command command;
		int64_t pid;
	} cases[] = {
		/* runc 1.1 and crun 1.8 write these. */
		{ "{\"ociVersion\":\"1.0.2-dev\",\"id\":\"c1\",\"status\":\"creating\",\"pid\":"
		  "6712,"
		  "\"bundle\":\"/b\"}",
		  CNI_ADD, 6712 },
		{ "{\"ociVersion\":\"1.0.2-dev\",\"id\":\"c1\",\"status\":\"stopped\",\"bundle\":"
		  "\"/b\"}",
		  CNI_DEL, 0 },
		{ "{\"id\":\"c1\",\"status\":\"created\",\"pid\":4194304}", CNI_ADD, 4194304 },
		{ "{\"id\":\"c1\",\"status\":\"running\",\"pid\":1}", CNI_ADD, 1 },
		{ "{\"id\":\"c1\",\"status\":\"stopped\",\"pid\":-1}", CNI_DEL, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_hook_event struct hook_event event = { 0 };
		struct err e;

		assert_int_equal(parse(cases[i].text, &event, &e), 0);
		assert_int_equal(event.command, cases[i].command);
		assert_int_equal(event.pid, cases[i].pid);
		assert_string_equal(event.container_id, "c1");
	}
}

static void test_what_is_none(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *said;
	} cases[] = {
		{ "", "state on stdin" },
		{ "{\"id\":\"c1\"}", "status is missing" },
		{ "{\"status\":\"stopped\"}", "id is missing" },
		{ "{\"id\":\"c1\",\"status\":\"paused\"}",
		  "must be creating, created, running or" },
		{ "{\"id\":\"c1\",\"status\":\"creating\"}", "pid is missing" },
		{ "{\"id\":\"c1\",\"status\":\"creating\",\"pid\":4194305}", "pid is 4194305" },
		{ "{\"id\":\"c1\",\"status\":\"stopped\",\"status\":\"running\"}",
		  "state on stdin" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct hook_event event = { 0 };
		struct err e;

		assert_true(parse(cases[i].text, &event, &e) < 0);
		assert_int_equal(cni_code_of(&e), CNI_DECODING);
		assert_contains(e.text, cases[i].said);
		assert_null(event.container_id);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_what_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
