/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "kernel/rehearsal.h"

static int read_file(int at, const char *path, char *text, size_t size)
{
	auto_close int fd = openat(at, path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, size);
	return n < 0 ? -errno : (int)n;
}

/*
 * Opened once for both, which of a new interface is most of the time. Where writing is not allowed
 * what stands there may be right.
 */
static int set_file(int at, const char *path, unsigned value)
{
	auto_close int fd = openat(at, path, O_RDWR | O_CLOEXEC);
	char wanted[16];
	ssize_t size = snprintf(wanted, sizeof(wanted), "%u\n", value);
	int code = fd < 0 ? -errno : 0;
	char have[16];
	ssize_t n;

	if (code == -ENOENT)
		return code;
	n = code ? read_file(at, path, have, sizeof(have)) : pread(fd, have, sizeof(have), 0);
	if (n == size && memcmp(have, wanted, (size_t)n) == 0)
		return 0;
	if (rehearsal_is_on())
		return 0;
	if (code == 0 && pwrite(fd, wanted, (size_t)size, 0) < 0)
		code = -errno;
	return code;
}

#define PATH_SIZE 160

static int format_path(char buf[static PATH_SIZE], struct err *e, const char *fmt, va_list ap)
	PRINTF(3, 0);

static int format_path(char buf[static PATH_SIZE], struct err *e, const char *fmt, va_list ap)
{
	static const char root[] = "/proc/sys/net/";
	size_t used = sizeof(root) - 1;
	int n;

	memcpy(buf, root, sizeof(root));
	n = vsnprintf(buf + used, PATH_SIZE - used, fmt, ap);
	if (n < 0 || (size_t)n >= PATH_SIZE - used)
		return err_set(e, -ENAMETOOLONG, "sysctl: name too long");
	return 0;
}

int sysctl_set(unsigned value, struct err *e, const char *fmt, ...)
{
	char path[PATH_SIZE];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = format_path(path, e, fmt, ap);
	va_end(ap);
	if (n < 0)
		return n;
	n = set_file(AT_FDCWD, path, value);
	return n < 0 ? err_sys(e, n, "%s", path) : 0;
}

int sysctl_open(const char *directory, int *ret_fd, struct err *e)
{
	auto_free char *path = xasprintf("/proc/sys/net/%s", directory);
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, -errno, "%s", path);
	*ret_fd = fd;
	return 0;
}

int sysctl_set_at(int directory_fd, unsigned value, struct err *e, const char *fmt, ...)
{
	char path[PATH_SIZE];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_set(e, -ENAMETOOLONG, "sysctl: name too long");
	n = set_file(directory_fd, path, value);
	return n < 0 ? err_sys(e, n, "sysctl %s", path) : 0;
}

int sysctl_get(unsigned *ret, struct err *e, const char *fmt, ...)
{
	char path[PATH_SIZE];
	char text[16];
	unsigned value;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = format_path(path, e, fmt, ap);
	va_end(ap);
	if (n < 0)
		return n;
	n = read_file(AT_FDCWD, path, text, sizeof(text) - 1);
	if (n < 0)
		return err_sys(e, n, "%s", path);
	text[n] = '\0';
	if (sscanf(text, "%u", &value) != 1)
		return err_set(e, -EINVAL, "%s: not a number", path);
	*ret = value;
	return 0;
}
