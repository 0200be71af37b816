/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shared object to be preloaded, with which a program's wall clock is wrong, since a network namespace
 * has none of its own.
 *
 *   SHIFT_CLOCK_FILE   a file of 8 bytes, a signed number in the machine's order: so many seconds is the clock
 *                      ahead. It may be written at any time, as a clock may be set.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift_s;

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv("SHIFT_CLOCK_FILE");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *map;

	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		shift_s = map;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	/* A sanitizer asks for the time before anything could have been looked up. */
	int rc = (int)syscall(SYS_clock_gettime, id, ts);

	if (rc == 0 && id == CLOCK_REALTIME && shift_s)
		ts->tv_sec += *shift_s;
	return rc;
}
