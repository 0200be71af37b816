/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store in a directory of one machine: several daemons, say one in each network namespace,
 * share it without etcd. With the same meaning: revisions, leases that run out, compare and swap,
 * changes told as they happen.
 *
 *   DIR/config    the network configuration; edit it with any editor, or replace it
 *   DIR/journal   what the store was, then every step since: one JSON object a line
 *   DIR/lock      held (flock) by whoever writes
 *
 * Somebody may move the directory away, restore it from a backup, remove it and make it again: it is
 * looked at every second, for a file system that reports nothing too, and another one makes all who
 * watch list again. While it is not there, or a line of the journal cannot be read, they have what
 * they were told, and STORE_EVENT_LOST with the reason; nothing is written until a person has
 * decided (fabricctl store repair).
 *
 * A step counts once its line ends: what a crash left behind of the last line is cut off by the
 * next writer. A long journal is replaced, by rename, by one that begins with the present; whoever
 * had not read all of the old one lists again. Lease times are those of the machine's uptime; after
 * a reboot all start anew, as they do with etcd when its leader changes.
 */
#ifndef STORES_FILE_STORE_H
#define STORES_FILE_STORE_H

#include "stores/mem_store.h"

extern const struct store_type file_store_type;

/*
 * `directory` is made if it is not there. Fails if it cannot be written. Blocks on the disk when something is written: milliseconds.
 */
int file_store_new(struct event_base *base, const char *directory, uint64_t (*random)(void),
		   struct store **ret, struct err *e) MUST_CHECK;

#endif
