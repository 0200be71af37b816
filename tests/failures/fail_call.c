/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shared object to be preloaded, which makes one system call of a program fail: the n-th of those
 * that speak with the kernel's network, with files or with other programs, counted from the start
 * of main on. It takes the place of the C library's functions, so it sees the calls of the libraries
 * (libmnl, libevent, libcurl) as well; those that the C library makes for itself (fopen's
 * reads, getaddrinfo) it does not.
 *
 *   FAIL_CALL_IN     the name of the program that is meant; those that lead to it, and that it starts,
 *                    are left alone
 *   FAIL_CALL_AT     which call fails, 1 is the first; 0: none
 *   FAIL_CALL_ERROR  an errno instead of the call's usual one; only for calls that may be interrupted
 *                    if it is EINTR
 *   FAIL_CALL_LOG    a file: with FAIL_CALL_AT=0 every call's name is appended, a line each; otherwise
 *                    the one that failed
 *
 * A call fails before it did anything. Reading and waiting are tried again by whoever does so; only
 * what is wrong with that can be seen here, not what a call that succeeded late would do.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

static atomic_long calls;
static long fail_at = -1; /* nothing is counted before main */
static int fail_error;
static const char *log_path;

__attribute__((constructor)) static void start(void)
{
	const char *in = getenv("FAIL_CALL_IN");
	const char *at = getenv("FAIL_CALL_AT");
	const char *error = getenv("FAIL_CALL_ERROR");

	if (!in || !at || strcmp(in, program_invocation_short_name) != 0)
		return;
	log_path = getenv("FAIL_CALL_LOG");
	fail_error = error ? (int)strtol(error, NULL, 10) : 0;
	fail_at = strtol(at, NULL, 10);
}

/* Opened each time: programs close the descriptors that they do not know. */
static void say(const char *name, long n)
{
	char line[80];
	int len = snprintf(line, sizeof(line), "%ld %s\n", n, name);
	long fd = log_path ? syscall(SYS_openat, AT_FDCWD, log_path,
				     O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)
			   : -1;

	if (fd >= 0) {
		syscall(SYS_write, fd, line, len);
		syscall(SYS_close, fd);
	}
}

/* Whether this call is the one; then errno is set. `error` is its usual one; 0: it cannot fail. */
static bool fails(const char *name, int error, bool interruptible)
{
	long n;

	if (fail_at < 0)
		return false;
	n = atomic_fetch_add(&calls, 1) + 1;
	if (fail_at == 0 || n == fail_at)
		say(name, n);
	if (n != fail_at || !error || (fail_error == EINTR && !interruptible))
		return false;
	errno = fail_error ? fail_error : error;
	return true;
}

/* The function of the next object that has one: the sanitizer's or the C library's. */
#define NEXT(name)                                                                                 \
	static __typeof__(&name) next;                                                             \
	if (!next)                                                                                 \
	next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define WRAP(type, name, parameters, arguments, error, interruptible)                              \
	type name parameters;                                                                      \
	type name parameters                                                                       \
	{                                                                                          \
		NEXT(name);                                                                        \
		return fails(#name, error, interruptible) ? (type)-1 : next arguments;             \
	}

#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#pragma GCC diagnostic ignored "-Wredundant-decls"

/* Sockets. */
WRAP(int, socket, (int a, int b, int c), (a, b, c), EMFILE, false)
WRAP(int, socketpair, (int a, int b, int c, int d[2]), (a, b, c, d), EMFILE, false)
WRAP(int, bind, (int a, const struct sockaddr *b, socklen_t c), (a, b, c), ENOMEM, false)
WRAP(int, listen, (int a, int b), (a, b), ENOBUFS, false)
WRAP(int, connect, (int a, const struct sockaddr *b, socklen_t c), (a, b, c), ENOBUFS, true)
WRAP(int, accept, (int a, struct sockaddr *b, socklen_t *c), (a, b, c), EMFILE, true)
WRAP(int, accept4, (int a, struct sockaddr *b, socklen_t *c, int d), (a, b, c, d), EMFILE, true)
WRAP(int, getsockname, (int a, struct sockaddr *b, socklen_t *c), (a, b, c), ENOBUFS, false)
WRAP(int, getpeername, (int a, struct sockaddr *b, socklen_t *c), (a, b, c), ENOBUFS, false)
WRAP(int, setsockopt, (int a, int b, int c, const void *d, socklen_t e), (a, b, c, d, e), ENOMEM,
     false)
WRAP(int, getsockopt, (int a, int b, int c, void *d, socklen_t *e), (a, b, c, d, e), ENOBUFS, false)
WRAP(ssize_t, send, (int a, const void *b, size_t c, int d), (a, b, c, d), ENOBUFS, true)
WRAP(ssize_t, sendto,
     (int a, const void *b, size_t c, int d, const struct sockaddr *e, socklen_t f),
     (a, b, c, d, e, f), ENOBUFS, true)
WRAP(ssize_t, sendmsg, (int a, const struct msghdr *b, int c), (a, b, c), ENOBUFS, true)
WRAP(ssize_t, recv, (int a, void *b, size_t c, int d), (a, b, c, d), ENOBUFS, true)
WRAP(ssize_t, recvfrom, (int a, void *b, size_t c, int d, struct sockaddr *e, socklen_t *f),
     (a, b, c, d, e, f), ENOBUFS, true)
WRAP(ssize_t, recvmsg, (int a, struct msghdr *b, int c), (a, b, c), ENOBUFS, true)

static mode_t kind_of(int fd)
{
	struct stat st;

	return syscall(SYS_fstat, fd, &st) == 0 ? st.st_mode & S_IFMT : 0;
}

/* Timers and the like have nothing else to say, and pipes, by which signals come, nothing at all. */
static int read_error(int fd)
{
	mode_t kind = kind_of(fd);

	return kind == S_IFREG ? EIO : kind == S_IFIFO ? 0 : EINTR;
}

static int write_error(int fd)
{
	mode_t kind = kind_of(fd);

	return kind == S_IFREG ? ENOSPC : kind == S_IFSOCK ? ENOBUFS : 0;
}

/* Files and directories. */
WRAP(ssize_t, read, (int a, void *b, size_t c), (a, b, c), read_error(a), true)
WRAP(ssize_t, __read_chk, (int a, void *b, size_t c, size_t d), (a, b, c, d), read_error(a), true)
WRAP(ssize_t, pread, (int a, void *b, size_t c, off_t d), (a, b, c, d), EIO, true)
WRAP(ssize_t, readv, (int a, const struct iovec *b, int c), (a, b, c), EIO, true)
WRAP(ssize_t, write, (int a, const void *b, size_t c), (a, b, c), write_error(a), true)
WRAP(ssize_t, pwrite, (int a, const void *b, size_t c, off_t d), (a, b, c, d), ENOSPC, true)
WRAP(ssize_t, writev, (int a, const struct iovec *b, int c), (a, b, c), write_error(a), true)
WRAP(int, fsync, (int a), (a), EIO, true)
WRAP(int, fdatasync, (int a), (a), EIO, true)
WRAP(int, ftruncate, (int a, off_t b), (a, b), ENOSPC, true)
WRAP(int, fchmod, (int a, mode_t b), (a, b), EIO, false)
WRAP(int, chmod, (const char *a, mode_t b), (a, b), EIO, false)
WRAP(int, rename, (const char *a, const char *b), (a, b), ENOSPC, false)
WRAP(int, renameat, (int a, const char *b, int c, const char *d), (a, b, c, d), ENOSPC, false)
WRAP(int, linkat, (int a, const char *b, int c, const char *d, int e), (a, b, c, d, e), ENOSPC,
     false)
WRAP(int, unlink, (const char *a), (a), EIO, false)
WRAP(int, unlinkat, (int a, const char *b, int c), (a, b, c), EIO, false)
WRAP(int, mkdir, (const char *a, mode_t b), (a, b), ENOSPC, false)
WRAP(int, mkdirat, (int a, const char *b, mode_t c), (a, b, c), ENOSPC, false)
WRAP(int, fstat, (int a, struct stat *b), (a, b), EIO, false)
WRAP(int, fstatat, (int a, const char *b, struct stat *c, int d), (a, b, c, d), EIO, false)
WRAP(int, stat, (const char *a, struct stat *b), (a, b), EIO, false)
WRAP(int, fstatfs, (int a, struct statfs *b), (a, b), EIO, false)
WRAP(int, flock, (int a, int b), (a, b), ENOMEM, true)
WRAP(int, inotify_init1, (int a), (a), EMFILE, false)
WRAP(int, inotify_add_watch, (int a, const char *b, uint32_t c), (a, b, c), ENOSPC, false)
WRAP(int, memfd_create, (const char *a, unsigned int b), (a, b), EMFILE, false)

/* Nothing but an interruption happens to this one. */
ssize_t getrandom(void *buf, size_t size, unsigned int flags)
{
	NEXT(getrandom);
	return fails("getrandom", EINTR, true) && errno == EINTR ? -1 : next(buf, size, flags);
}

/* The loop's. */
WRAP(int, epoll_create1, (int a), (a), EMFILE, false)
WRAP(int, epoll_ctl, (int a, int b, int c, struct epoll_event *d), (a, b, c, d), ENOMEM, false)
WRAP(int, eventfd, (unsigned int a, int b), (a, b), EMFILE, false)
WRAP(int, timerfd_create, (clockid_t a, int b), (a, b), EMFILE, false)
WRAP(int, pipe2, (int a[2], int b), (a, b), EMFILE, false)
WRAP(int, setns, (int a, int b), (a, b), ENOMEM, false)
WRAP(int, poll, (struct pollfd * a, nfds_t b, int c), (a, b, c), ENOMEM, true)

/* Those with an argument that may be missing. */
static mode_t mode_of(int flags, va_list *list)
{
	return flags & (O_CREAT | __O_TMPFILE) ? va_arg(*list, mode_t) : 0;
}

static int open_error(int flags)
{
	return flags & O_CREAT ? ENOSPC : EMFILE;
}

int open(const char *path, int flags, ...)
{
	NEXT(open);
	va_list list;
	mode_t mode;

	va_start(list, flags);
	mode = mode_of(flags, &list);
	va_end(list);
	return fails("open", open_error(flags), true) ? -1 : next(path, flags, mode);
}

int openat(int directory, const char *path, int flags, ...)
{
	NEXT(openat);
	va_list list;
	mode_t mode;

	va_start(list, flags);
	mode = mode_of(flags, &list);
	va_end(list);
	return fails("openat", open_error(flags), true) ? -1 : next(directory, path, flags, mode);
}

int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags)
{
	NEXT(__open_2);
	return fails("open", open_error(flags), true) ? -1 : next(path, flags);
}

FILE *fopen(const char *path, const char *mode)
{
	NEXT(fopen);
	return fails("fopen", EMFILE, true) ? NULL : next(path, mode);
}

int ioctl(int fd, unsigned long request, ...);
int ioctl(int fd, unsigned long request, ...)
{
	NEXT(ioctl);
	va_list list;
	void *argument;

	va_start(list, request);
	argument = va_arg(list, void *);
	va_end(list);
	return fails("ioctl", ENOMEM, true) ? -1 : next(fd, request, argument);
}

int fcntl(int fd, int command, ...)
{
	NEXT(fcntl);
	va_list list;
	void *argument;

	va_start(list, command);
	argument = va_arg(list, void *);
	va_end(list);
	return fails("fcntl", ENOMEM, true) ? -1 : next(fd, command, argument);
}
