/* SPDX-License-Identifier: Apache-2.0 */
/* Small whole files: read with a bound, replaced atomically. */
#ifndef LIB_FILE_H
#define LIB_FILE_H

#include <sys/types.h>

#include "lib/err.h"

/*
 * openat(2), mode 0600 for what O_CREAT makes, that waits for nobody: a FIFO with this name is
 * -EINVAL, and named, while a pipe that a shell made and led to /dev/fd is read as usual.
 * -errno of openat(2) else.
 */
int file_open(int dir_fd, const char *name, int flags, int *ret_fd, struct err *e) MUST_CHECK;

/* Reads at most max_size bytes; NUL-terminated, caller frees. -ENOENT; -EFBIG if the file is
 * larger; -EINVAL if it is a FIFO, which would be waited for. */
int file_read(const char *path, size_t max_size, char **ret, size_t *ret_size,
	      struct err *e) MUST_CHECK;
/* The same of standard input, which may be a socket, and is not found by a path everywhere. */
int file_read_stdin(size_t max_size, char **ret, size_t *ret_size, struct err *e) MUST_CHECK;
/* As file_read, for the first line alone, without its end, of a file that may be large. */
int file_read_line(const char *path, size_t max_size, char **ret, size_t *ret_size,
		   struct err *e) MUST_CHECK;

/*
 * Replaces `path`: temporary file in the same directory, fsync, rename, fsync of the directory, so
 * that a reader or a crash sees the old content or the new, whole. Mode exactly `mode`. Missing
 * directories are made (0755). Blocks on the disk.
 */
int file_replace(const char *path, const void *data, size_t size, mode_t mode,
		 struct err *e) MUST_CHECK;
/* The same in a directory that is there: one that is not is not made, -ENOENT. */
int file_replace_within(const char *path, const void *data, size_t size, mode_t mode,
			struct err *e) MUST_CHECK;

/* Whether the name in this directory (or AT_FDCWD) is still the open file's: a lock on one that was
 * removed keeps nobody out. */
bool file_is_at(int fd, int dir_fd, const char *name);

/* mkdir -p for `path` itself, mode 0755 for what is missing. */
int file_make_directories(const char *path, mode_t mode, struct err *e) MUST_CHECK;

#endif
