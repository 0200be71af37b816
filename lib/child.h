/* SPDX-License-Identifier: Apache-2.0 */
/* Another program, waited for at once, for what ends in milliseconds and leaves something behind that
 * has to outlive us; or one that outlives us itself. Who waits from the loop takes lib/process.h. */
#ifndef LIB_CHILD_H
#define LIB_CHILD_H

#include "lib/err.h"

/* Where a program without a directory is found: in the system's only. NULL if there is none; caller
 * frees. */
char *child_find(const char *name);

/*
 * Runs one, and blocks until it has ended, `timeout_ms` at most: then it is killed, -ETIMEDOUT. argv[0]
 * is a name without directory, or an absolute path; -ENOENT if there is none. It gets the arguments as
 * they are (no shell), a fixed environment, no input, and a session of its own. -EIO if it ended with
 * another status than 0: the text is what child_outcome makes of its stderr.
 */
int child_run(const char *const argv[], int timeout_ms, struct err *e) MUST_CHECK;

/*
 * Starts one that goes on when we end, with a session of its own, no input, and its words where ours go
 * (stderr). argv as above; variable: "NAME=value" beside the fixed environment, or NULL. *ret_pid is our child:
 * who starts it waits for it when it ends.
 */
int child_start(const char *const argv[], const char *variable, pid_t *ret_pid,
		struct err *e) MUST_CHECK;

/*
 * How a program has ended, for waitpid's `status` and what it said on stderr, which is cut into
 * lines. 0, or -EIO with the signal, or with its status and its first line in words: before its error
 * wireguard-go draws a box.
 */
int child_outcome(const char *name, int status, char *said, struct err *e) MUST_CHECK;

#endif
