/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody undoes what we do, and does it again. The first time it is put right at once; while it
 * goes on, later and later, so that neither side's zeal costs more than a little; and when it has
 * stood for a while, it is over. What somebody takes away is put back so, and what he adds removed.
 *
 *     undone    x x x  x    x        x                x
 *     put back  x x  x   x      x          x                    x
 *                      |<--- a fight: it has a name, with what and with whom --->|
 *
 * Pure: the time is an argument. The one exception says so.
 */
#ifndef LIB_FIGHT_H
#define LIB_FIGHT_H

#include "lib/backoff.h"

#define FIGHT_NAME_SIZE 32
#define FIGHT_TEXT      192

/* Over one thing. All zero: none. */
struct fight {
	struct backoff pace;
	bool added;                 /* what is undone is a removal: nobody wants the thing */
	uint32_t pid;               /* who undid it last; 0: unknown */
	char name[FIGHT_NAME_SIZE]; /* ... that process; "": it has ended */
};

/* It was undone, again perhaps. Returns how long to wait before it is put back, in milliseconds. */
int64_t fight_undone(struct fight *f, int64_t now_ms);
/* How much of the wait is left. */
int64_t fight_wait(const struct fight *f, int64_t now_ms);
/* Whether it has been undone often enough, in a row, to be called a fight. */
bool fight_is_on(const struct fight *f);
/* Whether it has stood long enough for all to be forgotten. */
bool fight_is_over(const struct fight *f, int64_t now_ms);
/* When it will have stood long enough for all to be forgotten. */
int64_t fight_end_ms(const struct fight *f);

/* Who did it, as far as is known: pid 0 changes nothing. `name` is cut; "": it has ended. */
void fight_blame(struct fight *f, uint32_t pid, const char *name);
/*
 * The same from the netlink address that it came from: a process's first socket has the process's id
 * for its own. Asks /proc for the name, once for each process in a row.
 */
void fight_blame_port(struct fight *f, uint32_t port_id);
/* "undone 12 times in a row by ip (pid 1234), put back after 5.1 s"; into `buf`, returned. */
const char *fight_describe(const struct fight *f, char buf[static FIGHT_TEXT]);

#endif
