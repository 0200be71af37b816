/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One daemon for a state directory: two would be one host to the store, with one identity, and write
 * over each other's lease for ever.
 */
#ifndef FLANNELD_STATE_LOCK_H
#define FLANNELD_STATE_LOCK_H

#include "lib/err.h"

/*
 * Holds the directory, which is made if it is not there, as long as *ret_fd is open: the kernel
 * lets go when the process ends, however that happens. It is the directory itself that is locked,
 * so that there is no file which somebody could remove. -EBUSY names the other process. A directory
 * that cannot be made, or that cannot be locked (NFS), is no reason not to start: *ret_fd is -1,
 * and that is logged.
 */
int state_lock(const char *directory, int *ret_fd, struct err *e) MUST_CHECK;

#endif
