/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is this host's clock right? Leases are counted by the store, and durations by a clock that nobody sets, so
 * that no packet depends on it; but certificates are judged by it, and every time that is shown. It is
 * compared with that of the store.
 */
#ifndef FLANNELD_WALL_CLOCK_H
#define FLANNELD_WALL_CLOCK_H

#include "lib/http.h"
#include "lib/problem.h"
#include "subnet/store.h"

/* Seconds apart. */
#define WALL_CLOCK_INFO_S 60 /* is mentioned */
#define WALL_CLOCK_WARNING_S                                                                       \
	3600 /* what was issued within the hour is not valid yet, or any more */

struct wall_clock;

/* Looks every half minute; `changed` is told if there is another answer then. Never NULL. */
struct wall_clock *wall_clock_new(struct event_base *base, const struct http_client *http,
				  struct store *store, void (*changed)(void *arg), void *arg);
void wall_clock_free(struct wall_clock *w);

/* "clock-skew", if it is. */
void wall_clock_problems(const struct wall_clock *w, struct problem_list *list);

/* By how much a clock is ahead of another at `where`, as a problem; nothing if they agree. Pure. */
void wall_clock_judge(int64_t ahead_s, const char *where, struct problem_list *list);

#endif
