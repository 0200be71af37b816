/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long to wait before the next attempt: twice as long after every failure, within limits.
 *
 * Two kinds of waiting use it. What failed is tried again (a write that the kernel refused, a store
 * that does not answer) until it works: backoff_reset() then forgets the failures. And what somebody
 * else undoes is done again: nothing but time tells that this is over, so the policy says how long
 * it must have been calm.
 *
 *       wait ^                        +-----------  max_ms
 *            |               +--------+
 *            |        +------+
 *            |   +----+
 *     min_ms +---+-------------------------------> failures in a row
 *
 * Pure: the time is an argument, and so is the random number of a wait that must not be everybody's.
 */
#ifndef LIB_BACKOFF_H
#define LIB_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

struct backoff_policy {
	uint32_t min_ms;  /* the first wait, at least 1 */
	uint32_t max_ms;  /* the longest, at least min_ms */
	uint32_t calm_ms; /* so long after a wait's end the next failure is a first one; 0: never */
	bool at_once;     /* the first failure's wait is 0, and min_ms the second's */
};

/* All zero: no failure yet. */
struct backoff {
	int64_t due_ms;    /* when the last wait ends, or ended */
	uint32_t failures; /* in a row */
};

/* Counts a failure at `now_ms` and returns how long to wait from then, in milliseconds. */
int64_t backoff_next(struct backoff *b, const struct backoff_policy *policy, int64_t now_ms);

/*
 * The same where many hosts fail at the same moment and must not come back together: anything from
 * 1 to what backoff_next() would return, by `random`, a number of 64 random bits. At once stays at
 * once.
 */
int64_t backoff_next_spread(struct backoff *b, const struct backoff_policy *policy, int64_t now_ms,
			    uint64_t random);

/*
 * What is left of the last wait, 0 if it is over. For events that come in bursts: all that come
 * within one wait are one failure, and are answered at its end.
 */
static inline int64_t backoff_left(const struct backoff *b, int64_t now_ms)
{
	return b->failures > 0 && b->due_ms > now_ms ? b->due_ms - now_ms : 0;
}

/* It worked: the next failure is a first one. */
static inline void backoff_reset(struct backoff *b)
{
	*b = (struct backoff){ 0 };
}

#endif
