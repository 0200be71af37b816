/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/sysctls.h"

#include <fcntl.h>

#include "lib/log.h"

#define ROOT "/proc/sys/"

/* -1 if it cannot be read, as for a family that the kernel does not have. */
static int read_value(const char *name)
{
	auto_free char *path = xasprintf(ROOT "%s", name);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	char c;

	return fd >= 0 && read(fd, &c, 1) == 1 ? c - '0' : -1;
}

static bool write_value(const char *name)
{
	auto_free char *path = xasprintf(ROOT "%s", name);
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool written = fd >= 0 && write(fd, "1", 1) == 1;

	if (written)
		log_info("sysctl-set", "%s = 1", name);
	return written;
}

const char *sysctls_check(bool v4, bool v6, const char *device, bool set, char *buf, size_t size)
{
	/* The general switch sets those of all devices; one device may still have its own mind. */
	struct {
		bool wanted;
		char name[64];
	} list[] = {
		{ v4, "net/ipv4/ip_forward" },
		{ v4 && *device, "" },
		{ v6, "net/ipv6/conf/all/forwarding" },
	};

	snprintf(list[1].name, sizeof(list[1].name), "net/ipv4/conf/%s/forwarding", device);
	*buf = '\0';
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		if (!list[i].wanted || read_value(list[i].name) != 0)
			continue;
		if (set && write_value(list[i].name))
			continue;
		for (char *p = list[i].name; *p; p++) {
			if (*p == '/')
				*p = '.';
			else if (*p == '.')
				*p = '/';
		}
		snprintf(buf, size,
			 "%s is 0, so nothing is forwarded between containers and other hosts; "
			 "%s",
			 list[i].name,
			 set ? "it could not be set"
			     : "set it, for instance with the file for sysctl.d that comes with "
			       "flanneld, or start flanneld with --set-sysctls");
		return buf;
	}
	return buf;
}
