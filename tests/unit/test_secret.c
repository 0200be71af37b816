/* SPDX-License-Identifier: Apache-2.0 */
/* lib/secret: what is read of a file, and which files are refused. */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/file.h"
#include "lib/secret.h"

static char path[] = "/tmp/test-secret-XXXXXX";

static void put(const char *data, size_t size, mode_t mode)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	assert_int_equal(fchmod(fd, mode), 0);
}

static void reads(const char *data, const char *expected)
{
	auto_secret char *secret = NULL;
	struct err e;

	put(data, strlen(data), 0600);
	assert_int_equal(secret_read(path, SECRET_OWN, &secret, &e), 0);
	assert_string_equal(secret, expected);
}

static void refuses(enum secret_kind kind, int code, const char *text)
{
	char *secret = (char *)"untouched";
	struct err e;

	assert_int_equal(secret_read(path, kind, &secret, &e), code);
	assert_contains(e.text, text);
	assert_contains(e.text, path);
	assert_null(strstr(e.text, "sesame"));
	assert_string_equal(secret, "untouched");
}

static void test_the_first_line(void **state)
{
	(void)state;
	reads("sesame", "sesame");
	reads("sesame\n", "sesame");
	reads("sesame\r\n", "sesame");
	reads(" ses ame \nsecond line\n", " ses ame ");
}

static void test_no_line(void **state)
{
	(void)state;
	put("", 0, 0600);
	refuses(SECRET_GIVEN, -ENODATA, "empty");
	put("\nsesame\n", 8, 0600);
	refuses(SECRET_GIVEN, -ENODATA, "empty");
	put("ses\0ame", 7, 0600);
	refuses(SECRET_GIVEN, -EINVAL, "NUL");
}

static void test_size(void **state)
{
	(void)state;
	char data[SECRET_MAX + 2];

	memset(data, 'x', sizeof(data));
	data[SECRET_MAX] = '\0';
	reads(data, data);
	put(data, SECRET_MAX + 1, 0600);
	refuses(SECRET_GIVEN, -EFBIG, "4096");
}

static void test_who_may_touch_it(void **state)
{
	(void)state;
	static const mode_t modes[] = { 0640, 0604, 0620, 0602, 0610 };
	auto_secret char *secret = NULL;

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		put("sesame", 6, modes[i]);
		refuses(SECRET_OWN, -EACCES, "must be 0600");
	}
	put("sesame", 6, 0666);
	refuses(SECRET_GIVEN, -EACCES, "everybody may write it");
	put("sesame", 6, 0644);
	assert_int_equal(secret_read(path, SECRET_GIVEN, &secret, NULL), 0);
	assert_string_equal(secret, "sesame");
}

static void test_no_file(void **state)
{
	(void)state;
	struct err e;
	char *secret;

	unlink(path);
	refuses(SECRET_GIVEN, -ENOENT, "No such file");
	assert_int_equal(secret_read("/", SECRET_GIVEN, &secret, &e), -EINVAL);
	assert_contains(e.text, "directory");
	/* Nobody may ever write into it. */
	assert_int_equal(mkfifo(path, 0600), 0);
	refuses(SECRET_GIVEN, -EINVAL, "a FIFO, not a file");
}

/* A shell's <(command). */
static void test_pipe(void **state)
{
	(void)state;
	auto_secret char *secret = NULL;
	char name[32];
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(write(fds[1], "sesame\n", 7), 7);
	close(fds[1]);
	snprintf(name, sizeof(name), "/dev/fd/%d", fds[0]);
	assert_int_equal(secret_read(name, SECRET_GIVEN, &secret, NULL), 0);
	assert_string_equal(secret, "sesame");
	close(fds[0]);
}

/* ---- a key of our own ---- */

static void test_a_key_is_made_once(void **state)
{
	(void)state;
	uint8_t key[32] = { 0 };
	uint8_t again[32];
	uint8_t other[32];
	struct stat st;
	struct err e;

	unlink(path);
	assert_int_equal(secret_load(path, key, sizeof(key), &e), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 44);
	assert_int_equal(secret_load(path, again, sizeof(again), &e), 0);
	assert_memory_equal(key, again, sizeof(key));
	unlink(path);
	assert_int_equal(secret_load(path, other, sizeof(other), &e), 0);
	assert_memory_not_equal(key, other, sizeof(key));
	/* As flannel leaves it. */
	assert_int_equal(chmod(path, 0400), 0);
	assert_int_equal(secret_load(path, again, sizeof(again), &e), 0);
	assert_memory_equal(other, again, sizeof(other));
}

/* Once, and only where there is none yet. */
static void test_a_key_is_taken_over(void **state)
{
	(void)state;
	static const char theirs[] = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
	auto_free char *from = xasprintf("%s.from", path);
	uint8_t key[32] = { 0 };
	bool taken = false;
	struct stat st;
	struct err e;

	unlink(path);
	assert_int_equal(file_replace(from, "sesame", 6, 0400, &e), 0);
	assert_int_equal(secret_take(path, from, key, sizeof(key), &taken, &e), -EINVAL);
	assert_contains(e.text, from);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(file_replace(from, theirs, strlen(theirs), 0400, &e), 0);
	assert_int_equal(secret_take(path, from, key, sizeof(key), &taken, &e), 0);
	assert_true(taken);
	assert_memory_equal(key, "01234567890123456789012345678901", sizeof(key));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(secret_take(path, from, key, sizeof(key), &taken, &e), 0);
	assert_false(taken);
	unlink(from);
	unlink(path);
	assert_int_equal(secret_take(path, from, key, sizeof(key), &taken, &e), 0);
	assert_false(taken);
}

static void refuses_key(int code, const char *text)
{
	char key[32] = "untouched";
	struct stat before;
	struct stat after;
	struct err e;

	assert_int_equal(lstat(path, &before), 0);
	assert_int_equal(secret_load(path, key, sizeof(key), &e), code);
	assert_contains(e.text, text);
	assert_string_equal(key, "untouched");
	assert_int_equal(lstat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

static void test_a_key_that_is_not_right(void **state)
{
	(void)state;
	static const char good[] = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
	uint8_t key[32];
	struct err e;

	put(good, strlen(good), 0600);
	assert_int_equal(secret_load(path, key, sizeof(key), &e), 0);
	assert_memory_equal(key, "01234567890123456789012345678901", sizeof(key));
	put(good, strlen(good), 0640);
	refuses_key(-EACCES, "mode 0640, must be 0600");
	put("MDEyMw==", 8, 0600);
	refuses_key(-EINVAL, "not 32 bytes in base64");
	put("sesame!", 7, 0600);
	refuses_key(-EINVAL, "not 32 bytes in base64");
	put("", 0, 0600);
	refuses_key(-ENODATA, "empty");
}

static void test_a_key_that_is_no_file(void **state)
{
	(void)state;
	uint8_t key[32];
	struct err e;

	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	refuses_key(-EINVAL, "a FIFO, not a file");
	unlink(path);
	assert_int_equal(symlink("/dev/zero", path), 0);
	refuses_key(-ELOOP, path);
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	refuses_key(-EINVAL, "directory");
	assert_int_equal(rmdir(path), 0);
	/* Nothing can be made there. */
	assert_true(secret_load("/dev/null/key", key, sizeof(key), &e) < 0);
	assert_true(secret_load("/proc/test-secret", key, sizeof(key), &e) < 0);
}

static int make(void **state)
{
	(void)state;
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int clean(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_first_line),
		cmocka_unit_test(test_no_line),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_who_may_touch_it),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_a_key_is_made_once),
		cmocka_unit_test(test_a_key_is_taken_over),
		cmocka_unit_test(test_a_key_that_is_not_right),
		cmocka_unit_test(test_a_key_that_is_no_file),
	};

	return cmocka_run_group_tests(tests, make, clean);
}
