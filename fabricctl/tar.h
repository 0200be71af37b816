/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tar archive of plain files, written to a stream: the ustar form of POSIX.1-1988, which every
 * tar reads. By hand, since it is one header: libarchive and what it needs would be loaded at every
 * start of this tool.
 */
#ifndef FABRICCTL_TAR_H
#define FABRICCTL_TAR_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TAR_NAME_MAX 99

/* A file of mode 0600, root's. The name is relative, TAR_NAME_MAX bytes at most. Whether all could be
 * written is seen by ferror(). */
void tar_add(FILE *out, const char *name, const void *data, size_t size, int64_t mtime_s);
/* What ends an archive. */
void tar_end(FILE *out);

#endif
