/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/state_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>
#include <sys/stat.h>

#include "lib/file.h"
#include "lib/log.h"

#define LOCK_ATTEMPTS 20

/*
 * Whose lock it is, by /proc/locks: "1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF". 0 if it does
 * not say, as for a process of another PID namespace. The device is not compared: file systems with
 * subvolumes show another one there than stat does.
 */
static long holder_of(ino_t inode)
{
	FILE *locks = fopen("/proc/locks", "re");
	char line[256];
	long pid = 0;

	while (locks && !pid && fgets(line, sizeof(line), locks)) {
		uintmax_t ino;
		long candidate;

		if (sscanf(line, "%*u: FLOCK ADVISORY WRITE %ld %*x:%*x:%ju", &candidate, &ino) ==
			    2 &&
		    ino == inode)
			pid = candidate;
	}
	if (locks)
		fclose(locks);
	return MAX(pid, 0L);
}

static int busy(const char *directory, int fd, struct err *e)
{
	char who[40] = "";
	struct stat st;
	long pid = fstat(fd, &st) == 0 ? holder_of(st.st_ino) : 0;

	if (pid)
		snprintf(who, sizeof(who), ", process %ld", pid);
	return err_set(e, -EBUSY,
		       "another flanneld%s, uses the state directory %s; give this one another "
		       "with --state-dir",
		       who, directory);
}

/*
 * A daemon that ended while it started a program leaves the lock to it for the moment between the
 * kernel's letting go of the parent and the closing of descriptors by exec. Seen at a restart in the
 * middle of iptables-restore.
 */
static int try_lock(int fd)
{
	static const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };

	for (unsigned i = 0; i < LOCK_ATTEMPTS; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK)
			break;
		nanosleep(&pause, NULL);
	}
	return -errno;
}

int state_lock(const char *directory, int *ret_fd, struct err *e)
{
	struct err why;
	int rc;
	int fd;

	*ret_fd = -1;
	rc = file_make_directories(directory, 0755, &why);
	if (rc == 0) {
		fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		rc = fd >= 0 ? try_lock(fd) : -errno;
		if (rc == 0) {
			*ret_fd = fd;
			return 0;
		}
		rc = err_sys(&why, rc, "%s", directory);
		if (fd >= 0 && rc == -EWOULDBLOCK)
			rc = busy(directory, fd, e);
		if (fd >= 0)
			close(fd);
	}
	if (rc == -EBUSY)
		return rc;
	log_warn("state-dir-not-locked", "%s; a second flanneld on it would not be noticed",
		 why.text);
	return 0;
}
