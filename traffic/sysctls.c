/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/sysctls.h"

#include <string.h>

#include "kernel/sysctl.h"
#include "lib/log.h"

/* As sysctl(8) writes it: net.ipv4.conf.flannel/1.forwarding for a device with a dot in its name. */
static void format_name(const char *path, char *buf, size_t size)
{
	snprintf(buf, size, "net.%s", path);
	for (char *p = buf + strlen("net."); *p; p++) {
		if (*p == '/')
			*p = '.';
		else if (*p == '.')
			*p = '/';
	}
}

const char *sysctls_check(bool v4, bool v6, const char *device, bool set, char *buf, size_t size)
{
	/* The general switch sets those of all devices; one device may still have its own mind. */
	struct {
		bool wanted;
		char path[64];
	} list[] = {
		{ v4, "ipv4/ip_forward" },
		{ v4 && *device, "" },
		{ v6, "ipv6/conf/all/forwarding" },
	};
	char name[72];

	snprintf(list[1].path, sizeof(list[1].path), "ipv4/conf/%s/forwarding", device);
	*buf = '\0';
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		unsigned value;

		/* One that cannot be read belongs to a family that the kernel does not have. */
		if (!list[i].wanted || sysctl_get(&value, NULL, "%s", list[i].path) < 0 || value)
			continue;
		format_name(list[i].path, name, sizeof(name));
		if (set && sysctl_set(1, NULL, "%s", list[i].path) == 0) {
			log_info("sysctl-set", "%s = 1", name);
			continue;
		}
		snprintf(buf, size,
			 "%s is 0, so nothing is forwarded between containers and other hosts; "
			 "%s",
			 name,
			 set ? "it could not be set"
			     : "set it, for instance with the file for sysctl.d that comes with "
			       "flanneld, or start flanneld with --set-sysctls");
		return buf;
	}
	return buf;
}
