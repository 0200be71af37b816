/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib/process: programs run from the loop. kill() is the test's: it can hold a SIGKILL back, as the
 * kernel does for a process inside a call that hangs.
 */
#include "tests/unit/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/clock.h"
#include "lib/process.h"

static bool unkillable;
static pid_t spared; /* who would have been killed */

int kill(pid_t pid, int number)
{
	if (unkillable) {
		spared = pid;
		return 0;
	}
	return (int)syscall(SYS_kill, pid, number);
}

static struct event_base *base;

struct outcome {
	unsigned calls;
	int rc;
	struct err e;
	char output[100];
};

static void on_done(void *arg, int rc, const char *output, const struct err *e)
{
	struct outcome *o = arg;

	o->calls++;
	o->rc = rc;
	o->e = *e;
	snprintf(o->output, sizeof(o->output), "%s", output);
}

static int setup(void **state)
{
	(void)state;
	base = event_base_new();
	unkillable = false;
	spared = 0;
	return base ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	event_base_free(base);
	return 0;
}

static bool has_children(void)
{
	siginfo_t info;

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* Turns the loop until `*calls` is not 0, or, without it, until no child is left. */
static void turn(const unsigned *calls)
{
	int64_t end = clock_boot_ms() + 5000;

	while (calls ? *calls == 0 : has_children()) {
		assert_true(clock_boot_ms() < end);
		loop_turn(base);
	}
}

static struct process *start(const char *const argv[], const char *input, int64_t timeout_ms,
			     struct outcome *o)
{
	struct process *p = NULL;
	struct err e;

	if (process_start(base, argv, input, timeout_ms, on_done, o, &p, &e) < 0)
		fail_msg("%s", e.text);
	return p;
}

static void test_input_and_output(void **state)
{
	(void)state;
	const char *const argv[] = { "cat", NULL };
	struct outcome o = { 0 };

	start(argv, "in and out", 5000, &o);
	turn(&o.calls);
	assert_int_equal(o.rc, 0);
	assert_string_equal(o.output, "in and out");
	assert_false(has_children());
}

/* Through pipes, with an environment of its own, and no more output than it may. */
static void test_bounded(void **state)
{
	(void)state;
	static const struct {
		const char *command;
		size_t max;
		int rc;
		const char *output, *error;
	} rows[] = {
		{ "read word; echo $word $NAME; echo no >/dev/stderr", 20, 0, "in value\n", "" },
		{ "printf %20s x", 20, 0, "                   x", "" },
		{ "printf %21s x; sleep 30", 20, -EFBIG, "                    ",
		  "more than 20 bytes" },
		{ "yes", 300000, -EFBIG, NULL, "more than 300000 bytes" },
		{ "yes | head -c 300000 >&2; exit 3", 20, -EIO, "", "exit status 3: y" },
		{ "echo early; sleep 1 & exit 0", 20, 0, "early\n", "" },
	};
	const char *const environment[] = { "NAME=value", "PATH=/usr/bin:/bin", NULL };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *const argv[] = { "sh", "-c", rows[i].command, NULL };
		const struct process_task task = { argv, environment, "in\n", rows[i].max, 5000 };
		struct process *p = NULL;
		struct outcome o = { 0 };
		struct err e;

		assert_int_equal(process_run(base, &task, on_done, &o, &p, &e), 0);
		turn(&o.calls);
		assert_row(o.rc == rows[i].rc, rows[i].command);
		assert_row(!rows[i].output || strcmp(o.output, rows[i].output) == 0,
			   rows[i].command);
		assert_row(strstr(o.e.text, rows[i].error), rows[i].command);
	}
	turn(NULL);
}

static void test_failures(void **state)
{
	(void)state;
	const char *const none[] = { "no-such-program", NULL };
	const char *const nowhere[] = { "/does/not/exist", NULL };
	const char *const fails[] = { "/bin/cat", "/does/not/exist", NULL };
	struct outcome o = { 0 };
	struct process *p;
	struct err e;

	assert_int_equal(process_start(base, none, NULL, 1000, on_done, &o, &p, &e), -ENOENT);
	assert_int_equal(process_start(base, nowhere, NULL, 1000, on_done, &o, &p, &e), -ENOENT);
	start(fails, NULL, 5000, &o);
	turn(&o.calls);
	assert_int_equal(o.rc, -EIO);
	assert_contains(o.e.text, "cat: exit status 1: ");
	assert_contains(o.e.text, "/does/not/exist");
}

static void test_timeout(void **state)
{
	(void)state;
	const char *const argv[] = { "sleep", "30", NULL };
	struct outcome o = { 0 };

	start(argv, NULL, 20, &o);
	turn(&o.calls);
	assert_int_equal(o.rc, -ETIMEDOUT);
	turn(NULL);
	assert_int_equal(o.calls, 1);
}

/* What does not end when it is killed holds nobody up, and is reaped when it ends at last. */
static void test_it_cannot_be_killed(void **state)
{
	(void)state;
	const char *const argv[] = { "sleep", "30", NULL };
	int64_t began = clock_boot_ms();
	struct outcome o = { 0 };
	struct process *p;

	unkillable = true;
	start(argv, NULL, 20, &o);
	turn(&o.calls);
	assert_int_equal(o.rc, -ETIMEDOUT);
	assert_true(has_children());
	syscall(SYS_kill, spared, SIGKILL);
	turn(NULL);
	p = start(argv, NULL, 20000, &o);
	process_cancel(p);
	assert_true(has_children());
	syscall(SYS_kill, spared, SIGKILL);
	turn(NULL);
	assert_int_equal(o.calls, 1);
	assert_true(clock_boot_ms() - began < 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_input_and_output, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timeout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_it_cannot_be_killed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
