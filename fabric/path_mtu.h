/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether packets as large as containers' pass one way to a peer, and if not how large they may be. Pure:
 * says what is to be asked along with the small questions of fabric/reach.h, and makes of the answers what
 * they mean.
 *
 *                    passes
 *   unknown ──────────────────────────────────────> whole ──┐ not answered PATH_MTU_LOST_MAX times, each
 *      │  ^                                          ^      │ time while the small question was
 *      │  └─ silent to small ones too (from all) ─┐  │      v
 *      └──────────────────────────────────────────┴──┼─> search: the largest of the usual sizes that passes
 *                                                    │      │
 *                                  passes once again │      ├─ the next larger one was refused ──> smaller
 *                                                    └──────┴─ ... vanished ───────────────> black hole
 *
 * Refused says: the kernel here, or a router by ICMP, has told the sender how much passes. That is path
 * MTU discovery as it should be, and containers are told as well. A switch tells nobody, nor does a
 * router whose ICMP is dropped: then connections stand still as soon as there is much to send.
 *
 * An answer is as large as its question, so what passes does so there and back. A router on the way back may
 * cut an answer by IPv4 into fragments, since the kernels that answer allow it: that is no loss.
 *
 * The full size is asked when a way has become well, when it may be another than before, and then once
 * in PATH_MTU_EVERY intervals; while it does not pass, in each. Once it has passed it can stand for the small
 * question, until it is lost once.
 */
#ifndef FABRIC_PATH_MTU_H
#define FABRIC_PATH_MTU_H

#include <stdbool.h>
#include <stdint.h>

#define PATH_MTU_EVERY    10 /* intervals of fabric/reach.h */
#define PATH_MTU_LOST_MAX 4  /* that many in a row are no chance */
#define PATH_MTU_TRIES    2 /* of each size of a search, in which a loss by chance costs one step */
#define PATH_MTU_AGAIN    60 /* intervals, and then how much passes is looked for again */
#define PATH_MTU_HURRIES  16 /* ways of which more is wanted to be known soon, at a time */

enum path_mtu_state {
	PATH_MTU_UNKNOWN,
	PATH_MTU_WHOLE,
	PATH_MTU_SMALLER,
	PATH_MTU_BLACK_HOLE,
	PATH_MTU_STATES
};
/* "unknown", "ok", "smaller", "black-hole" */
const char *path_mtu_state_name(enum path_mtu_state state);

/* What all ways share. */
struct path_mtu_plan {
	int64_t every_ms;
	unsigned hurries; /* ways that do; 0 at first */
	unsigned spread;  /* likewise: ways that were asked at once shall not be so again */
};

/* One way. Zero-initialised; sizes are those of IP packets. */
struct path_mtu {
	uint32_t due;        /* when the full size is to be asked: clock_tenths; 0: at once */
	uint32_t passed;     /* when something was answered last; 0: never */
	uint16_t size_bytes; /* the full size; 0: nothing is asked */
	uint16_t overhead_bytes;
	uint16_t asked_bytes;  /* and not yet answered; 0: nothing */
	uint16_t passed_bytes; /* the largest that is known to pass; 0: none */
	uint16_t failed_bytes; /* the smallest that is known not to; 0: none */
	uint16_t low_bytes;    /* the same in the search that is under way */
	uint16_t high_bytes;
	uint16_t next_bytes; /* of a search: what a router said; 0: nothing */
	uint8_t lost;        /* of the size that is asked now, one after the other */
	uint8_t state : 4;   /* enum path_mtu_state */
	bool hurries : 1;
	bool searching : 1; /* and so hurries */
	bool refused : 1;   /* high_bytes was */
};
_Static_assert(sizeof(struct path_mtu) <= 28, "there are four for each peer");

/*
 * What is to pass, or may pass another way now: it is asked soon. overhead_bytes: what a tunnel adds, so
 * that what a search tries is usual for what carries it.
 */
void path_mtu_set(struct path_mtu_plan *plan, struct path_mtu *m, uint16_t size_bytes,
		  uint16_t overhead_bytes);
/* Nothing is known of this way any more: it is silent, or ends. */
void path_mtu_forget(struct path_mtu_plan *plan, struct path_mtu *m);

/*
 * The size to be asked along with a small question now; 0: none. What was asked before is over by one of
 * the calls below.
 */
uint16_t path_mtu_ask(struct path_mtu *m, int64_t now_ms);
/* The same in place of a small question; 0: it has not passed the last time. */
uint16_t path_mtu_ask_instead(struct path_mtu *m);
void path_mtu_answered(struct path_mtu_plan *plan, struct path_mtu *m, int64_t now_ms);
/* It has had its time; small_answered: and the small question beside it was, or it stood for that. */
void path_mtu_unanswered(struct path_mtu_plan *plan, struct path_mtu *m, bool small_answered);
/* It cannot pass; mtu_bytes: but this, says who told; 0: he did not. */
void path_mtu_refused(struct path_mtu_plan *plan, struct path_mtu *m, uint16_t mtu_bytes);
/* The full size is asked the next time: it was lost, or is where this way carries what it was a part of. */
static inline void path_mtu_doubt(struct path_mtu *m)
{
	m->due = 0;
}
/* The next question is not to wait for its usual time. */
static inline bool path_mtu_hurries(const struct path_mtu *m)
{
	return m->hurries;
}

#endif
