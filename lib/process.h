/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another program, run from the loop: input given, output collected, nothing blocks.
 *
 * A program without a directory is found in the system's only. It gets the arguments as they are (no shell),
 * a fixed environment and no descriptors but its three. Input and output are files in memory, so
 * that neither side waits for the other.
 */
#ifndef LIB_PROCESS_H
#define LIB_PROCESS_H

#include "lib/err.h"

#define PROCESS_OUTPUT_MAX (32 * 1024 * 1024)

struct event_base;
struct process;

/*
 * rc: 0, or negative with the reason in `e`: it could not be waited for, was killed after its time,
 * or ended with another status than 0, and then the text is its first line on stderr. `output` is
 * what it wrote to stdout, zero-terminated; valid during the call. The process is freed afterwards.
 * One that was killed is not waited for: it may take its time to end.
 */
typedef void process_done_fn(void *arg, int rc, const char *output, const struct err *e);

/* Whether there is such a program. */
bool process_exists(const char *name);

/* argv[0] is a name without directory, or an absolute path; -ENOENT if there is none. `input` may be
 * NULL. */
int process_start(struct event_base *base, const char *const argv[], const char *input,
		  int64_t timeout_ms, process_done_fn *done, void *arg, struct process **ret,
		  struct err *e) MUST_CHECK;
/* Kills it if it still runs, without waiting for its end; `done` is not called. */
void process_cancel(struct process *p);

#endif
