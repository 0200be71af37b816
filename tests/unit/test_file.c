/* SPDX-License-Identifier: Apache-2.0 */
/* lib/file: bounded reads and atomic replacement, in a directory of its own. */
#include "tests/unit/test.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "lib/file.h"

static char dir[] = "/tmp/test_file.XXXXXX";

static const char *in_dir(const char *name)
{
	static char path[200];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static unsigned count_entries(const char *path)
{
	DIR *d = opendir(path);
	unsigned count = 0;

	assert_non_null(d);
	for (const struct dirent *entry; (entry = readdir(d));)
		count += entry->d_name[0] != '.';
	closedir(d);
	return count;
}

static int make_dir(void **state)
{
	(void)state;
	memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_tree(const char *path)
{
	DIR *d = opendir(path);

	for (const struct dirent *entry; d && (entry = readdir(d));) {
		auto_free char *name = xasprintf("%s/%s", path, entry->d_name);

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlink(name) < 0)
			remove_tree(name);
	}
	if (d)
		closedir(d);
	return rmdir(path);
}

static int remove_dir(void **state)
{
	(void)state;
	return remove_tree(dir);
}

static void test_what_is_written_is_read(void **state)
{
	(void)state;
	auto_free char *big = xmalloc(100000);
	auto_free char *back = NULL;
	size_t size = 0;
	struct err e;

	for (size_t i = 0; i < 100000; i++)
		big[i] = (char)(i * 31);
	assert_int_equal(file_replace(in_dir("big"), big, 100000, 0644, &e), 0);
	assert_int_equal(file_read(in_dir("big"), 100000, &back, &size, &e), 0);
	assert_int_equal(size, 100000);
	assert_memory_equal(back, big, size);
	assert_int_equal(back[size], '\0');
}

static void test_empty_file(void **state)
{
	(void)state;
	auto_free char *back = NULL;
	size_t size = 77;

	assert_int_equal(file_replace(in_dir("empty"), "", 0, 0644, NULL), 0);
	assert_int_equal(file_read(in_dir("empty"), 0, &back, &size, NULL), 0);
	assert_int_equal(size, 0);
	assert_string_equal(back, "");
	/* The size is of no interest to everybody. */
	free(STEAL(back));
	assert_int_equal(file_read(in_dir("empty"), 10, &back, NULL, NULL), 0);
}

static void test_reading_is_bounded(void **state)
{
	(void)state;
	char *back = NULL;
	size_t size = 77;
	struct err e;

	assert_int_equal(file_replace(in_dir("f"), "0123456789", 10, 0644, &e), 0);
	assert_int_equal(file_read(in_dir("f"), 9, &back, &size, &e), -EFBIG);
	assert_null(back);
	assert_int_equal(size, 77);
	assert_contains(e.text, "9 bytes");
	assert_contains(e.text, in_dir("f"));
	/* A file without end does not hold anybody up. */
	assert_int_equal(file_read("/dev/zero", 1 << 20, &back, &size, &e), -EFBIG);
}

static void test_first_line(void **state)
{
	(void)state;
	/* The end of the line at every place that a read may end at. */
	static const size_t lengths[] = { 0, 1, 4095, 4096, 4097, 8192, 20000 };
	char *back = NULL;
	size_t size = 77;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		auto_free char *text = xmalloc(lengths[i] + 6);

		memset(text, 'x', lengths[i]);
		memcpy(text + lengths[i], "\nrest\n", 6);
		for (size_t rest = 0; rest <= 6; rest += 3) {
			assert_int_equal(
				file_replace(in_dir("l"), text, lengths[i] + rest, 0644, &e), 0);
			assert_int_equal(file_read_line(in_dir("l"), lengths[i], &back, &size, &e),
					 0);
			assert_int_equal(size, lengths[i]);
			assert_memory_equal(back, text, size);
			assert_int_equal(back[size], '\0');
			free(STEAL(back));
		}
	}
	assert_int_equal(file_read_line(in_dir("l"), 19999, &back, &size, &e), -EFBIG);
	assert_int_equal(file_read_line("/dev/zero", 1 << 20, &back, &size, &e), -EFBIG);
	assert_null(back);
}

static void test_a_fifo_is_not_waited_for(void **state)
{
	(void)state;
	auto_free char *text = NULL;
	struct err e = { 0 };
	char pipe_path[40];
	char fifo[200];
	int ends[2];

	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	alarm(10);
	assert_int_equal(file_read(fifo, 10, &text, NULL, &e), -EINVAL);
	assert_non_null(strstr(e.text, fifo));
	assert_non_null(strstr(e.text, "FIFO"));
	assert_null(text);
	/* What a shell makes of <(command) is no FIFO with a name. */
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "hello", 5), 5);
	close(ends[1]);
	snprintf(pipe_path, sizeof(pipe_path), "/dev/fd/%d", ends[0]);
	assert_int_equal(file_read(pipe_path, 10, &text, NULL, &e), 0);
	assert_string_equal(text, "hello");
	close(ends[0]);
	alarm(0);
}

static void test_errors_name_the_path(void **state)
{
	(void)state;
	char *back = NULL;
	size_t size;
	struct err e;

	assert_int_equal(file_read(in_dir("none"), 10, &back, &size, &e), -ENOENT);
	assert_contains(e.text, in_dir("none"));
	assert_int_equal(file_read(dir, 10, &back, &size, &e), -EISDIR);
	assert_contains(e.text, dir);
	assert_int_equal(file_replace(in_dir("a"), "x", 1, 0644, &e), 0);
	assert_int_equal(file_replace(in_dir("a/b"), "x", 1, 0644, &e), -ENOTDIR);
	assert_contains(e.text, in_dir("a"));
}

static void test_mode_is_exact_whatever_the_umask(void **state)
{
	(void)state;
	static const mode_t modes[] = { 0644, 0600, 0666 };
	mode_t old = umask(077);

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		struct stat st;

		assert_int_equal(file_replace(in_dir("m"), "x", 1, modes[i], NULL), 0);
		assert_int_equal(stat(in_dir("m"), &st), 0);
		assert_int_equal(st.st_mode & 07777, modes[i]);
	}
	umask(old);
}

static void test_replacing_leaves_one_file(void **state)
{
	(void)state;
	auto_free char *back = NULL;

	assert_int_equal(file_replace(in_dir("r"), "a long first content", 20, 0644, NULL), 0);
	assert_int_equal(file_replace(in_dir("r"), "second", 6, 0644, NULL), 0);
	assert_int_equal(file_read(in_dir("r"), 100, &back, NULL, NULL), 0);
	assert_string_equal(back, "second");
	assert_int_equal(count_entries(dir), 1);
}

/* A reader that has the old file open keeps the old content, whole. */
static void test_a_reader_never_sees_half(void **state)
{
	(void)state;
	char buf[16] = "";
	FILE *old;

	assert_int_equal(file_replace(in_dir("h"), "old", 3, 0644, NULL), 0);
	old = fopen(in_dir("h"), "r");
	assert_non_null(old);
	assert_int_equal(file_replace(in_dir("h"), "new content", 11, 0644, NULL), 0);
	assert_int_equal(fread(buf, 1, sizeof(buf) - 1, old), 3);
	assert_string_equal(buf, "old");
	fclose(old);
}

static void test_failed_replacement_leaves_nothing(void **state)
{
	(void)state;
	struct err e;

	/* A directory that is not empty cannot be replaced by a file. */
	assert_int_equal(file_replace(in_dir("d/inner"), "x", 1, 0644, &e), 0);
	assert_true(file_replace(in_dir("d"), "x", 1, 0644, &e) < 0);
	assert_contains(e.text, in_dir("d"));
	assert_int_equal(count_entries(dir), 1);
}

static void test_a_link_is_replaced_not_followed(void **state)
{
	(void)state;
	auto_free char *target = xstrdup(in_dir("target"));
	auto_free char *back = NULL;
	struct stat st;

	assert_int_equal(file_replace(target, "precious", 8, 0644, NULL), 0);
	assert_int_equal(symlink(target, in_dir("link")), 0);
	assert_int_equal(file_replace(in_dir("link"), "new", 3, 0644, NULL), 0);
	assert_int_equal(file_read(target, 100, &back, NULL, NULL), 0);
	assert_string_equal(back, "precious");
	assert_int_equal(lstat(in_dir("link"), &st), 0);
	assert_true(S_ISREG(st.st_mode));
}

static void test_directories_are_made(void **state)
{
	(void)state;
	mode_t old = umask(022);
	struct stat st;
	struct err e;

	assert_int_equal(file_replace(in_dir("x/y/z"), "1", 1, 0600, &e), 0);
	assert_int_equal(stat(in_dir("x/y"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(file_make_directories(in_dir("p/q"), 0700, &e), 0);
	assert_int_equal(stat(in_dir("p"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(stat(in_dir("p/q"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	/* What is there stays as it is. */
	assert_int_equal(file_make_directories(in_dir("p"), 0700, &e), 0);
	assert_int_equal(stat(in_dir("p"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(file_make_directories("/", 0755, &e), 0);
	umask(old);
}

static void test_a_file_in_the_way_of_a_directory(void **state)
{
	(void)state;
	struct err e;

	assert_int_equal(file_replace(in_dir("f"), "", 0, 0644, &e), 0);
	assert_int_equal(file_make_directories(in_dir("f/g"), 0755, &e), -ENOTDIR);
	assert_contains(e.text, in_dir("f/g"));
	assert_int_equal(file_make_directories(in_dir("f"), 0755, &e), -ENOTDIR);
	assert_int_equal(file_make_directories("", 0755, &e), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_is_written_is_read, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_empty_file, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_reading_is_bounded, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_first_line, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_a_fifo_is_not_waited_for, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(test_errors_name_the_path, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_mode_is_exact_whatever_the_umask, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(test_replacing_leaves_one_file, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(test_a_reader_never_sees_half, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(test_failed_replacement_leaves_nothing, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(test_a_link_is_replaced_not_followed, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(test_directories_are_made, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_a_file_in_the_way_of_a_directory, make_dir,
						remove_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
