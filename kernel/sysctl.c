/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

static int access_file(const char *path, int flags, char *text, size_t size)
{
	auto_close int fd = open(path, flags | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = flags == O_RDONLY ? read(fd, text, size) : write(fd, text, size);
	return n < 0 ? -errno : (int)n;
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
	char wanted[16];
	char have[16];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = format_path(path, e, fmt, ap);
	va_end(ap);
	if (n < 0)
		return n;
	snprintf(wanted, sizeof(wanted), "%u\n", value);
	n = access_file(path, O_RDONLY, have, sizeof(have));
	if (n >= 0 && (size_t)n == strlen(wanted) && memcmp(have, wanted, (size_t)n) == 0)
		return 0;
	n = access_file(path, O_WRONLY, wanted, strlen(wanted));
	return n < 0 ? err_sys(e, n, "%s", path) : 0;
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
	n = access_file(path, O_RDONLY, text, sizeof(text) - 1);
	if (n < 0)
		return err_sys(e, n, "%s", path);
	text[n] = '\0';
	if (sscanf(text, "%u", &value) != 1)
		return err_set(e, -EINVAL, "%s: not a number", path);
	*ret = value;
	return 0;
}
