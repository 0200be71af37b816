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

int sysctl_set(unsigned value, struct err *e, const char *fmt, ...)
{
	char path[160] = "/proc/sys/net/";
	size_t used = strlen(path);
	char wanted[16];
	char have[16];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(path + used, sizeof(path) - used, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(path) - used)
		return err_set(e, -ENAMETOOLONG, "sysctl: name too long");
	snprintf(wanted, sizeof(wanted), "%u\n", value);
	n = access_file(path, O_RDONLY, have, sizeof(have));
	if (n >= 0 && (size_t)n == strlen(wanted) && memcmp(have, wanted, (size_t)n) == 0)
		return 0;
	n = access_file(path, O_WRONLY, wanted, strlen(wanted));
	return n < 0 ? err_sys(e, n, "%s", path) : 0;
}
