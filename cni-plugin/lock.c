/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/time.h>

#include "lib/file.h"

#define OPEN_ATTEMPTS 5

static void on_alarm(int signo UNUSED)
{
}

static int try_flock(int fd, off_t offset UNUSED, bool wait)
{
	return flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB));
}

static int try_range(int fd, short type, off_t offset, bool wait)
{
	struct flock range = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = offset, .l_len = 1
	};

	return fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &range);
}

static int try_byte(int fd, off_t offset, bool wait)
{
	return try_range(fd, F_WRLCK, offset, wait);
}

static int try_shared_byte(int fd, off_t offset, bool wait)
{
	return try_range(fd, F_RDLCK, offset, wait);
}

/*
 * The calls have no timeout of their own: a timer interrupts them. It repeats, since the first tick
 * may fall between the test of the clock and the call.
 */
static int take(int (*try)(int fd, off_t offset, bool wait), int fd, off_t offset,
		unsigned timeout_s, struct err *e)
{
	struct itimerval timer = { .it_value = { .tv_sec = timeout_s },
				   .it_interval = { .tv_usec = 100000 } };
	const struct itimerval off = { 0 };
	struct sigaction old;
	struct sigaction action = { .sa_handler = on_alarm };
	int code = 0;

	if (try(fd, offset, false) == 0)
		return 0;
	if (errno != EAGAIN && errno != EACCES && errno != EINTR)
		return err_sys(e, -errno, "lock");
	if (timeout_s == 0)
		return err_set(e, -EAGAIN, "locked by another process");
	sigaction(SIGALRM, &action, &old);
	setitimer(ITIMER_REAL, &timer, NULL);
	if (try(fd, offset, true) < 0)
		code = -errno;
	setitimer(ITIMER_REAL, &off, NULL);
	sigaction(SIGALRM, &old, NULL);
	if (code == -EINTR)
		return err_set(e, -ETIMEDOUT, "still locked by another process after %u s",
			       timeout_s);
	return code < 0 ? err_sys(e, code, "lock") : 0;
}

int lock_file(int fd, unsigned timeout_s, struct err *e)
{
	return take(try_flock, fd, 0, timeout_s, e);
}

/* A lock that was removed while it was waited for keeps nobody out who has made another since. */
static int open_locked(int dir_fd, const char *name, int flags,
		       int (*try)(int fd, off_t offset, bool wait), off_t offset,
		       unsigned timeout_s, int *ret_fd, struct err *e)
{
	for (unsigned i = 0; i < OPEN_ATTEMPTS; i++) {
		auto_close int fd = openat(dir_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return err_sys(e, -errno, "open");
		if (take(try, fd, offset, timeout_s, e) < 0)
			return e->code;
		if (file_is_at(fd, dir_fd, name)) {
			*ret_fd = STEAL_FD(fd);
			return 0;
		}
	}
	return err_set(e, -EAGAIN, "removed again and again");
}

int lock_open_file(int dir_fd, const char *name, unsigned timeout_s, int *ret_fd, struct err *e)
{
	return open_locked(dir_fd, name, O_RDWR | O_CREAT, try_flock, 0, timeout_s, ret_fd, e);
}

int lock_open_byte(int dir_fd, const char *name, off_t offset, unsigned timeout_s, int *ret_fd,
		   struct err *e)
{
	return open_locked(dir_fd, name, O_RDWR | O_CREAT, try_byte, offset, timeout_s, ret_fd, e);
}

int lock_share_byte(int dir_fd, const char *name, off_t offset, unsigned timeout_s, int *ret_fd,
		    struct err *e)
{
	return open_locked(dir_fd, name, O_RDONLY, try_shared_byte, offset, timeout_s, ret_fd, e);
}
