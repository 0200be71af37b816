/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of whom is asked (fabric/reach.c), for what is told of it (fabric/reach_problems.c); for
 * nobody else. */
#ifndef FABRIC_REACH_INTERNAL_H
#define FABRIC_REACH_INTERNAL_H

#include <sys/queue.h>

#include "fabric/reach.h"

#define REACH_SEQUENCES 1024 /* questions under way, at most: ten seconds of them */

/* How soon one is asked again. All that wait for one time stand in one queue, and so in order. */
enum pace { HASTE, FIRST, QUICK, USUAL, SLOW };
#define PACES 5

/* A peer in one family. */
struct target {
	const struct manager_member *member;
	uint8_t family;
	uint8_t state; /* enum reach_state */
	uint8_t pace;  /* enum pace */
	uint8_t path; /* enum path_mtu_state: of the way that containers' packets take, as counted */
	uint16_t sequence; /* of the last question */
	/* As clock_tenths. */
	uint32_t due;
	uint32_t since;     /* its state */
	uint32_t changed;   /* the last reach_changed; 0: none */
	uint32_t addresses; /* a hash of them, for whether they are the same still */
	struct reach_way ways[REACH_LAYERS];
	TAILQ_ENTRY(target) queue;
};
_Static_assert(sizeof(struct target) <= 144, "one or two for each peer");
TAILQ_HEAD(target_queue, target);

/* The way that packets for its containers take. */
static inline const struct reach_way *target_way(const struct target *t)
{
	return &t->ways[t->ways[REACH_OVERLAY].has_address ? REACH_OVERLAY : REACH_UNDERLAY];
}

/* Where one is asked. The tunnel's address is looked for at the start of its subnet. */
static inline const struct ip_addr *target_address(const struct target *t, enum reach_layer layer)
{
	const struct lease *l = t->member->lease;

	if (layer == REACH_UNDERLAY)
		return t->family == AF_INET ? &l->public_v4 : &l->public_v6;
	return t->family == AF_INET ? &l->subnet.v4.addr : &l->subnet.v6.addr;
}

/* Most peers have one family only. */
struct reach_peer {
	struct target first; /* is there if its member is set */
	struct target *second;
};

struct reach {
	int64_t interval_ms;
	reach_ask_fn *ask;
	void *arg;
	unsigned underlay;
	unsigned tunnel;
	uint16_t sequence;
	bool heard[2]; /* from anybody, ever */
	struct path_mtu_plan paths;
	unsigned large_left; /* peers that may be asked a large question in this turn */
	struct target_queue queues[PACES];
	struct target *waiting[REACH_SEQUENCES]; /* by the sequence of its last question */
	struct reach_counts counts;
};

#endif
