/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory in the BPF file system, and whose it is: a symbolic link in it, `owner`, says the daemon's mark
 * (kernel/marks.h). What is removed from there leaves the kernel, unless somebody else holds it.
 */
#ifndef FASTPATH_PINS_H
#define FASTPATH_PINS_H

#include "lib/err.h"

/* The directory, which is ours or is made so, with its parent. -ENODEV: not in a BPF file system; -EEXIST:
 * another daemon's. */
int fast_pins_own(const char *directory, const char *owner, struct err *e) MUST_CHECK;
/* Removes the directory with all that is in it, if it is `owner`'s. True if it was there. */
bool fast_pins_remove(const char *directory, const char *owner);
/* The same for all directories beside `directory`. */
void fast_pins_sweep(const char *directory, const char *owner);
void fast_pins_unlink(const char *directory, const char *name);
/* Shows the name of each, `owner` among them. */
void fast_pins_visit(const char *directory, void (*visit)(void *arg, const char *name), void *arg);

#endif
