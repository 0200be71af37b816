/* SPDX-License-Identifier: Apache-2.0 */
/* flanneld/subnet_file: what others do to subnet.env is undone, in a directory of the test's own. */
#include "tests/unit/loop.h"

#include <event2/event.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "flanneld/subnet_file.h"
#include "lib/clock.h"
#include "lib/file.h"

#define TEXT "FLANNEL_SUBNET=10.5.3.1/24\n"

static char root[] = "/tmp/test_subnet_file.XXXXXX";
static char path[120];
static char directory[100];
static struct event_base *base;
static struct subnet_file *file;
static unsigned changes;

static void on_changed(void *arg)
{
	assert_null(arg);
	changes++;
}

static void shell(const char *fmt, ...) PRINTF(1, 2);

static void shell(const char *fmt, ...)
{
	char command[400];
	va_list ap;
	int status;
	pid_t pid;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int setup(void **state)
{
	(void)state;
	memcpy(root + strlen(root) - 6, "XXXXXX", 6);
	assert_non_null(mkdtemp(root));
	snprintf(directory, sizeof(directory), "%s/run", root);
	snprintf(path, sizeof(path), "%s/subnet.env", directory);
	base = event_base_new();
	file = subnet_file_new(base, path, on_changed, NULL);
	changes = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	subnet_file_free(file);
	event_base_free(base);
	shell("chmod -R u+w %s; rm -rf %s", root, root);
	return 0;
}

static bool is(const char *text)
{
	auto_free char *have = NULL;
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       file_read(path, 4096, &have, NULL, NULL) == 0 && strcmp(have, text) == 0;
}

/* Turns the loop until the file says `text`. */
static void becomes(const char *text)
{
	int64_t end = clock_boot_ms() + 5000;

	while (!is(text)) {
		assert_true(clock_boot_ms() < end);
		loop_turn(base);
	}
}

/* Until all that was noticed is dealt with. */
static void settle(void)
{
	int64_t end = clock_boot_ms() + 3 * SUBNET_FILE_HEAL_MS;

	while (clock_boot_ms() < end) {
		loop_turn(base);
	}
}

/* The inotify instance of `file`, found as others would. */
static int notify_fd(void)
{
	char name[40];
	char target[40];

	for (int fd = 3; fd < 100; fd++) {
		ssize_t size;

		snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
		size = readlink(name, target, sizeof(target) - 1);
		target[MAX(size, 0)] = '\0';
		if (strcmp(target, "anon_inode:inotify") == 0)
			return fd;
	}
	fail_msg("no inotify instance");
	return -1;
}

/* Who writes beside it, faster than events are read, holds nobody else up. */
static void test_much_is_done_beside_it(void **state)
{
	(void)state;
	int left = 0;

	subnet_file_set(file, TEXT);
	becomes(TEXT);
	settle();
	shell("for i in $(seq 1500); do : > %s/a; : > %s/b; done", directory, directory);
	event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
	assert_int_equal(ioctl(notify_fd(), FIONREAD, &left), 0);
	assert_true(left > 0);
	settle();
	assert_int_equal(ioctl(notify_fd(), FIONREAD, &left), 0);
	assert_int_equal(left, 0);
	shell("rm %s", path);
	becomes(TEXT);
}

static void test_what_is_done_to_it(void **state)
{
	(void)state;
	static const char *const deeds[] = {
		"rm %s",
		"echo x >> %s",
		": > %s",
		"mv %s $(dirname %s)/other",
		"echo y > $(dirname %s)/new; mv $(dirname %s)/new %s",
		"ln -sf /dev/null %s",
		"rm %s; mkfifo %s",
		"rm -r $(dirname %s)",
		"rm -r $(dirname %s); mkdir $(dirname %s)",
		"mv $(dirname %s) $(dirname %s).away; mkdir $(dirname %s)",
		"mv $(dirname %s) $(dirname %s).further",
		"rm %s", /* in the directory of after all that */
	};

	for (size_t i = 0; i < ARRAY_LEN(deeds); i++) {
		/* Each is the first one: no fight. */
		subnet_file_free(file);
		file = subnet_file_new(base, path, on_changed, NULL);
		subnet_file_set(file, TEXT);
		assert_row(is(TEXT) && subnet_file_is_written(file), deeds[i]);
		settle();
		for (int round = 0; round < 2; round++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			shell(deeds[i], path, path, path);
#pragma GCC diagnostic pop
			assert_row(!is(TEXT), deeds[i]);
			becomes(TEXT);
			shell("rm -rf %s.away %s.further", directory, directory);
			settle();
		}
		assert_row(subnet_file_is_written(file), deeds[i]);
	}
}

static void test_as_it_should_be_is_left_alone(void **state)
{
	(void)state;
	struct stat before;
	struct stat now;

	shell("mkdir %s; printf '%%s' '%s' > %s", directory, TEXT, path);
	assert_int_equal(stat(path, &before), 0);
	subnet_file_set(file, TEXT);
	shell("touch %s %s.sock", path, directory);
	settle();
	assert_int_equal(stat(path, &now), 0);
	assert_int_equal(now.st_ino, before.st_ino);
	subnet_file_set(file, "FLANNEL_SUBNET=10.5.4.1/24\n");
	assert_true(is("FLANNEL_SUBNET=10.5.4.1/24\n"));
}

static void test_somebody_fights(void **state)
{
	(void)state;
	struct problem_list list = { .len = 0 };
	int64_t start = clock_boot_ms();

	subnet_file_set(file, TEXT);
	for (unsigned i = 0; i < SUBNET_FILE_FIGHT_ROUNDS; i++) {
		subnet_file_problems(file, &list);
		assert_int_equal(list.len, 0);
		unlink(path);
		becomes(TEXT);
	}
	/* More and more slowly; libevent's clock advances in ticks of the kernel, of 10 ms at most. */
	assert_true(clock_boot_ms() - start >=
		    SUBNET_FILE_HEAL_MS * (1 + 1 + 2 + 4) - 10 * SUBNET_FILE_FIGHT_ROUNDS);
	subnet_file_problems(file, &list);
	assert_int_equal(list.len, 1);
	assert_string_equal(list.items[0].name, "fighting");
	assert_contains(list.items[0].text, path);
	assert_true(changes >= SUBNET_FILE_FIGHT_ROUNDS);
}

static void test_it_cannot_be_written(void **state)
{
	(void)state;
	struct problem_list list = { .len = 0 };

	shell("touch %s", directory); /* a file where the directory should be */
	subnet_file_set(file, TEXT);
	assert_false(subnet_file_is_written(file));
	assert_contains(subnet_file_error(file), directory);
	subnet_file_problems(file, &list);
	assert_string_equal(list.items[0].name, "subnet-file");
	shell("rm %s", directory);
	subnet_file_set(file, TEXT);
	assert_true(is(TEXT) && subnet_file_is_written(file));
	assert_string_equal(subnet_file_error(file), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_is_done_to_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_much_is_done_beside_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_as_it_should_be_is_left_alone, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_somebody_fights, setup, teardown),
		cmocka_unit_test_setup_teardown(test_it_cannot_be_written, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
