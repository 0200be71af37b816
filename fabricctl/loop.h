/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop of one command. */
#ifndef FABRICCTL_LOOP_H
#define FABRICCTL_LOOP_H

#include <stdio.h>

struct event_base;
struct event;

/* Never NULL. */
struct event_base *loop_new(void);

/* The descriptor of `out` if it is a pipe or a socket, whose reader may go away, else -1. When that
 * happens poll(2) says so, whatever events it is asked for. */
int loop_reader(FILE *out);

/*
 * Ends the loop when `out` is a pipe or socket that nobody reads any more, so that `fabricctl
 * subnets -w | head -1` does not wait for a change. NULL if it is neither; to be freed with
 * event_free.
 */
struct event *loop_watch_reader(struct event_base *base, FILE *out);

#endif
