/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another program, run from the loop: input given, output collected, nothing blocks.
 *
 * A program without a directory is found in the system's only. It gets the arguments as they are (no shell),
 * a fixed environment or one that is given, and no descriptors but its three. Input is a file in memory, and so is
 * output unless it is bounded: neither side waits for the other.
 */
#ifndef LIB_PROCESS_H
#define LIB_PROCESS_H

#include "lib/err.h"

#define PROCESS_OUTPUT_MAX (32 * 1024 * 1024)

struct event_base;
struct process;

/* What is to run; read by process_run() only. */
struct process_task {
	const char *const *argv; /* [0]: a name without directory, or an absolute path */
	const char *const
		*environment; /* "NAME=value", as argv ends with NULL; NULL: the fixed one */
	const char *input;    /* NULL: none */
	/* Bytes to stdout, PROCESS_OUTPUT_MAX at most; who writes more is ended: -EFBIG. Output is a
	 * pipe then. 0: a file in memory, of which PROCESS_OUTPUT_MAX are read. */
	size_t output_max;
	int64_t timeout_ms;
};

/*
 * rc: 0, or negative with the reason in `e`: it could not be waited for, was killed after its time,
 * or ended with another status than 0, and then the text is its first line on stderr. `output` is
 * what it wrote to stdout, zero-terminated; valid during the call. The process is freed afterwards.
 * One that was killed, and with it what it has started, is not waited for: it may take its time to end.
 */
typedef void process_done_fn(void *arg, int rc, const char *output, const struct err *e);

/* Whether there is such a program. */
bool process_exists(const char *name);

/* -ENOENT: there is no such program. */
int process_run(struct event_base *base, const struct process_task *task, process_done_fn *done,
		void *arg, struct process **ret, struct err *e) MUST_CHECK;
/* The same with the fixed environment, whatever it writes. */
int process_start(struct event_base *base, const char *const argv[], const char *input,
		  int64_t timeout_ms, process_done_fn *done, void *arg, struct process **ret,
		  struct err *e) MUST_CHECK;
/* Kills it if it still runs, without waiting for its end; `done` is not called. */
void process_cancel(struct process *p);

#endif
