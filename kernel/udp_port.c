/* SPDX-License-Identifier: Apache-2.0 */
/* Source: proc(5), /proc/pid/net/udp and /proc/pid/fd. */
#include "kernel/udp_port.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOKS_MAX 50000 /* descriptors that are looked at */

struct holder {
	unsigned long inode; /* of the socket; 0: the kernel's own */
	unsigned uid;
};

static bool find_socket(const char *path, uint16_t port, struct holder *ret)
{
	auto_fclose FILE *f = fopen(path, "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		unsigned local;

		if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*s %*s %*s %*s %*s %u %*u %lu", &local,
			   &ret->uid, &ret->inode) == 3 &&
		    local == port && ret->inode)
			return true;
	}
	return false;
}

static bool is_number(const char *text)
{
	return *text && strspn(text, "0123456789") == strlen(text);
}

/* Whether the process has a descriptor of the socket. */
static bool has_socket(const char *pid, unsigned long inode, unsigned *looks)
{
	auto_free char *wanted = xasprintf("socket:[%lu]", inode);
	auto_free char *path = xasprintf("/proc/%s/fd", pid);
	DIR *dir = opendir(path);
	const struct dirent *entry;
	bool found = false;

	while (dir && !found && *looks < LOOKS_MAX && (entry = readdir(dir))) {
		char target[64];
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		++*looks;
		if (n < 0)
			continue;
		target[n] = '\0';
		found = strcmp(target, wanted) == 0;
	}
	if (dir)
		closedir(dir);
	return found;
}

static void name_process(const char *pid, char *buf, size_t size)
{
	auto_free char *path = xasprintf("/proc/%s/comm", pid);
	auto_fclose FILE *f = fopen(path, "re");
	char name[32] = "";

	if (f && fgets(name, sizeof(name), f))
		name[strcspn(name, "\n")] = '\0';
	snprintf(buf, size, "process %s (%s)", pid, name);
}

bool udp_port_holder(uint16_t port, char *buf, size_t size)
{
	struct holder holder;
	const struct dirent *entry;
	unsigned looks = 0;
	DIR *dir;

	if (!find_socket("/proc/thread-self/net/udp", port, &holder) &&
	    !find_socket("/proc/thread-self/net/udp6", port, &holder))
		return false;
	snprintf(buf, size, "a process of user %u", holder.uid);
	dir = opendir("/proc");
	while (dir && (entry = readdir(dir))) {
		if (is_number(entry->d_name) && has_socket(entry->d_name, holder.inode, &looks)) {
			name_process(entry->d_name, buf, size);
			break;
		}
	}
	if (dir)
		closedir(dir);
	return true;
}
