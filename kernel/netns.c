/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/*
 * The file system is asked before the ioctl: an ioctl on whatever device a path names could do
 * anything. A few old kernels bind namespaces from proc itself, which those tell as
 * PROC_SUPER_MAGIC.
 */
static bool is_network_namespace(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0 || (fs.f_type != NSFS_MAGIC && fs.f_type != PROC_SUPER_MAGIC))
		return false;
	return ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET;
}

int netns_open(const char *path, int *ret_fd, struct err *e)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return err_sys(e, errno == ENOTDIR ? -ENOENT : -errno, "namespace %s", path);
	if (!is_network_namespace(fd))
		return err_set(e, -EINVAL, "namespace %s: not a network namespace", path);
	*ret_fd = STEAL_FD(fd);
	return 0;
}

int netns_open_own(int *ret_fd, struct err *e)
{
	return netns_open("/proc/thread-self/ns/net", ret_fd, e);
}

bool netns_equal(int a_fd, int b_fd)
{
	struct stat a;
	struct stat b;

	return fstat(a_fd, &a) == 0 && fstat(b_fd, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

int netns_enter(int fd, struct err *e)
{
	if (setns(fd, CLONE_NEWNET) < 0)
		return err_sys(e, -errno, "enter network namespace");
	return 0;
}
