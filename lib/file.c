/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#ifndef PIPEFS_MAGIC
#define PIPEFS_MAGIC 0x50495045
#endif

/*
 * Opening a FIFO would wait for its other end, for ever if need be. A pipe that a shell made, which
 * /dev/stdin and /dev/fd lead to, has one: it is waited for as usual.
 */
int file_open(int dir_fd, const char *name, int flags, int *ret_fd, struct err *e)
{
	auto_close int fd = openat(dir_fd, name, flags | O_CLOEXEC | O_NONBLOCK, 0600);
	struct statfs fs;
	struct stat st;

	if (fd < 0 && errno == ENXIO)
		return err_set(e, -EINVAL, "%s: a FIFO or a socket, not a file", name);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, -errno, "%s", name);
	if (S_ISFIFO(st.st_mode)) {
		if (fstatfs(fd, &fs) < 0 || fs.f_type != PIPEFS_MAGIC)
			return err_set(e, -EINVAL, "%s: a FIFO, not a file", name);
	}
	if (fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return err_sys(e, -errno, "%s", name);
	*ret_fd = STEAL_FD(fd);
	return 0;
}

/* Up to the first byte `end`, or all of the file if there is none. EOF is no byte: all of it. */
static int read_until(int fd, const char *name, int end, size_t max_size, char **ret,
		      size_t *ret_size, struct err *e)
{
	size_t used = 0;
	size_t room = 4096;
	auto_free char *data = xmalloc(room + 1);

	for (const char *found = NULL; !found;) {
		ssize_t n;

		if (used == room) {
			room *= 2;
			data = xrealloc(data, room + 1);
		}
		n = read(fd, data + used, room - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, -errno, "%s", name);
		if (n == 0)
			break;
		if (end != EOF)
			found = memchr(data + used, end, (size_t)n);
		used = found ? (size_t)(found - data) : used + (size_t)n;
		if (used > max_size)
			return err_set(e, -EFBIG, "%s: larger than %zu bytes", name, max_size);
	}
	data[used] = '\0';
	*ret = STEAL(data);
	if (ret_size)
		*ret_size = used;
	return 0;
}

int file_read(const char *path, size_t max_size, char **ret, size_t *ret_size, struct err *e)
{
	auto_close int fd = -1;
	int rc = file_open(AT_FDCWD, path, O_RDONLY, &fd, e);

	return rc < 0 ? rc : read_until(fd, path, EOF, max_size, ret, ret_size, e);
}

int file_read_stdin(size_t max_size, char **ret, size_t *ret_size, struct err *e)
{
	return read_until(STDIN_FILENO, "standard input", EOF, max_size, ret, ret_size, e);
}

int file_read_line(const char *path, size_t max_size, char **ret, size_t *ret_size, struct err *e)
{
	auto_close int fd = -1;
	int rc = file_open(AT_FDCWD, path, O_RDONLY, &fd, e);

	return rc < 0 ? rc : read_until(fd, path, '\n', max_size, ret, ret_size, e);
}

int file_make_directories(const char *path, mode_t mode, struct err *e)
{
	auto_free char *copy = xstrdup(path);
	struct stat st;

	if (!*path)
		return err_sys(e, -ENOENT, "directory \"\"");
	for (char *p = copy + 1;; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, c ? 0755 : mode) < 0 && errno != EEXIST)
			return err_sys(e, -errno, "%s", copy);
		if (!c)
			break;
		*p = c;
	}
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_sys(e, -ENOTDIR, "%s", path);
	return 0;
}

static int write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

/* The directory that it is in. Caller frees. */
static char *directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return xstrdup(".");
	return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

int file_replace(const char *path, const void *data, size_t size, mode_t mode, struct err *e)
{
	auto_free char *dir = directory_of(path);
	int rc = file_make_directories(dir, 0755, e);

	return rc < 0 ? rc : file_replace_within(path, data, size, mode, e);
}

int file_replace_within(const char *path, const void *data, size_t size, mode_t mode, struct err *e)
{
	auto_free char *tmp = xasprintf("%s.tmp.%d", path, (int)getpid());
	auto_free char *dir = directory_of(path);
	auto_close int dir_fd = -1;
	auto_close int fd = -1;
	int rc;

	unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, -errno, "%s", tmp);
	rc = write_all(fd, data, size);
	if (rc == 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
		rc = -errno;
	if (rc == 0 && rename(tmp, path) < 0)
		rc = -errno;
	if (rc < 0) {
		unlink(tmp);
		return err_sys(e, rc, "%s", path);
	}
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd >= 0)
		fsync(dir_fd);
	return 0;
}

bool file_is_at(int fd, int dir_fd, const char *name)
{
	struct stat open_one;
	struct stat there;

	return fstat(fd, &open_one) == 0 && fstatat(dir_fd, name, &there, 0) == 0 &&
	       open_one.st_dev == there.st_dev && open_one.st_ino == there.st_ino;
}
