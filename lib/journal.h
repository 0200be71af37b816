/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's own protocol: one datagram of fields for each line of the log, so that
 * `journalctl EVENT=drift-healed` or `PEER=10.5.3.0/24` finds what is looked for.
 * Source: systemd's documentation of the native journal protocol.
 */
#ifndef LIB_JOURNAL_H
#define LIB_JOURNAL_H

#include "lib/util.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Opens a socket to it once, for all lines to come. The descriptor, or -errno. */
int journal_open(const char *path) MUST_CHECK;

struct journal_field {
	const char *name;  /* capital letters and '_' */
	const char *value; /* no line in it is broken; NULL: the field is left out */
};

/* 0, or -errno: it has not arrived, and must be said otherwise. Never blocks. */
int journal_send(int fd, const struct journal_field *fields, size_t len) MUST_CHECK;

#endif
