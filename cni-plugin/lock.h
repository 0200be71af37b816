/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for a file lock, but not for ever: whoever holds it may be stopped or hang on a dead
 * disk.
 */
#ifndef CNI_PLUGIN_LOCK_H
#define CNI_PLUGIN_LOCK_H

#include <sys/types.h>

#include "lib/err.h"

/*
 * Exclusive flock(2) on an open file; released by closing it. -ETIMEDOUT after timeout_s seconds;
 * with 0, -EAGAIN at once.
 */
int lock_file(int fd, unsigned timeout_s, struct err *e) MUST_CHECK;

/*
 * The same on a file of a directory, which is made if it is not there; *ret_fd is the caller's. The
 * lock is of the file that has the name when it is taken.
 */
int lock_open_file(int dir_fd, const char *name, unsigned timeout_s, int *ret_fd,
		   struct err *e) MUST_CHECK;

/*
 * Exclusive lock of one byte of such a file (fcntl(2), open file description), so that one file
 * serves any number of things to lock: each takes a byte, which need not exist. Released by
 * closing. -ETIMEDOUT, -EAGAIN.
 */
int lock_open_byte(int dir_fd, const char *name, off_t offset, unsigned timeout_s, int *ret_fd,
		   struct err *e) MUST_CHECK;

/*
 * Shared with others of its kind, and keeps off those above. Makes and writes nothing, so it works
 * where nothing can be written. -ENOENT: nobody has locked anything yet. -ETIMEDOUT, -EAGAIN.
 */
int lock_share_byte(int dir_fd, const char *name, off_t offset, unsigned timeout_s, int *ret_fd,
		    struct err *e) MUST_CHECK;

#endif
