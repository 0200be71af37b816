/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody undoes what we do, and does it again. The first time it is put right at once; while it
 * goes on, later and later, so that neither side's zeal costs more than a little; and when it has
 * stood for a while, it is over.
 *
 *     undone    x x x  x    x        x                x
 *     put back  x x  x   x      x          x                    x
 *                      |<--- a fight: it has a name, with what and with whom --->|
 *
 * Pure: the time is an argument.
 */
#ifndef FABRIC_FIGHT_H
#define FABRIC_FIGHT_H

#include "lib/addr.h"
#include "lib/backoff.h"

#define FIGHT_NAME_SIZE 32
#define FIGHT_TEXT      160

/* Over one thing. All zero: none. */
struct fight {
	struct backoff pace;
	uint32_t pid;               /* who undid it last; 0: unknown */
	char name[FIGHT_NAME_SIZE]; /* ... that process */
};

/* It was undone, again perhaps. Returns how long to wait before it is put back, in milliseconds. */
int64_t fight_undone(struct fight *f, int64_t now_ms);
/* How much of the wait is left. */
int64_t fight_wait(const struct fight *f, int64_t now_ms);
/* Whether it has been undone often enough, in a row, to be called a fight. */
bool fight_is_on(const struct fight *f);
/* When it will have stood long enough for all to be forgotten. */
int64_t fight_end_ms(const struct fight *f);

/* Who did it, as far as is known; `name` is cut. */
void fight_blame(struct fight *f, uint32_t pid, const char *name);
/* "undone 12 times in a row by ip (pid 1234), put back every 5.1 s"; into `buf`, returned. */
const char *fight_describe(const struct fight *f, char buf[static FIGHT_TEXT]);

#endif
