/* SPDX-License-Identifier: Apache-2.0 */
/* lib/child: what is told of a program that has ended, and one that goes on. */
#include "tests/unit/test.h"

#include <errno.h>
#include <sys/wait.h>

#include "lib/child.h"

static void check(const char *said, const char *want)
{
	auto_free char *copy = xstrdup(said);
	auto_free char *text = xasprintf("x: exit status 3: %s", want);
	struct err e;

	assert_int_equal(child_outcome("x", 3 << 8, copy, &e), -EIO);
	assert_string_equal(e.text, text);
}

static void test_first_line_in_words(void **state UNUSED)
{
	check("no route\nusage: x", "no route");
	check("\n  indented\n", "indented");
	/* wireguard-go warns so, and then says what went wrong. */
	check("\u250c\u2500\u2500\u2510\n\u2502  not needed  \u2502\n\u2514\u2500\u2518\nERROR: "
	      "busy\n",
	      "ERROR: busy");
	/* Somebody's own language is better than nothing. */
	check("\n\u00e9chec\n\u00e0 suivre\n", "\u00e9chec");
	check("", "");
}

static void test_status_and_signal(void **state UNUSED)
{
	char said[] = "whatever";
	struct err e;

	assert_int_equal(child_outcome("x", 0, said, &e), 0);
	assert_int_equal(child_outcome("x", 9, said, &e), -EIO);
	assert_string_equal(e.text, "x was ended by signal 9");
}

static void test_a_program_that_fails(void **state UNUSED)
{
	const char *const argv[] = { "/bin/sh", "-c",
				     "printf '\\342\\224\\214\\ngone\\n' >&2; exit 1", NULL };
	struct err e;

	assert_int_equal(child_run(argv, 10000, &e), -EIO);
	assert_string_equal(e.text, "/bin/sh: exit status 1: gone");
}

static void test_one_that_goes_on(void **state UNUSED)
{
	const char *const argv[] = { "/bin/sh", "-c", "[ $MINE = 7 ] && [ -z $HOME ] && exit 3",
				     NULL };
	const char *const none[] = { "/nowhere/charon", NULL };
	struct err e;
	int status = 0;
	pid_t pid = 0;

	assert_int_equal(child_start(none, NULL, &pid, &e), -ENOENT);
	assert_int_equal(child_start(argv, "MINE=7", &pid, &e), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_line_in_words),
		cmocka_unit_test(test_status_and_signal),
		cmocka_unit_test(test_a_program_that_fails),
		cmocka_unit_test(test_one_that_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
