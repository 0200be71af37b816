/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the peers share; for nobody else.
 *
 *   peers.c         the judgement, and the set of peers
 *   peers_slots.c   who has which subnet, who waits for what, who is to be judged
 *   peers_check.c   the rules that hold for every backend
 */
#ifndef FABRIC_PEERS_INTERNAL_H
#define FABRIC_PEERS_INTERNAL_H

#include "fabric/peers.h"

/* What only one lease can have: a subnet, or a slot in the kernel. All bytes defined. */
struct slot {
	uint8_t is_key;
	uint8_t zero[3];
	union {
		struct ip_net net;
		struct kernel_key key;
	};
};

/* Why a lease is not used. */
struct peer_trouble {
	struct peer *peer;
	TAILQ_ENTRY(peer_trouble) link;
	bool waits; /* until `slot` is free */
	struct tree_node waiting;
	struct slot slot;
	char reason[];
};

struct peers {
	struct reconcile *reconcile;
	const struct peers_ops *ops;
	void *arg;
	struct peers_place place;
	struct reconcile_owner own;
	LIST_HEAD(, peer) all;
	TAILQ_HEAD(, peer_trouble) troubles;
	struct tree nets[2]; /* the subnets that are taken, by address; no two overlap */
	struct tree waiting; /* by slot, then by age */
	/* To be judged: a heap, the oldest first, unless it is unordered. */
	struct peer **queue;
	size_t queue_len;
	size_t queue_cap;
	bool queue_unordered;
	/* Scratch of one judgement: what its lease wants, and what was let go. */
	struct wants wants;
	struct slot *freed;
	size_t freed_len;
	size_t freed_cap;
	struct peers_counts counts;
};

void peers_init_slots(struct peers *ps);

/* By birth; those of one age by subnet, so that all hosts agree. */
bool peers_is_older(const struct peer *a, const struct peer *b);

static inline const struct ip_net *peers_net(const struct peer *p, size_t family)
{
	return family == 0 ? &p->member->lease->subnet.v4 : &p->member->lease->subnet.v6;
}

/* The first holder of a subnet that overlaps, in the order of addresses, or the next of them after
 * `p`; NULL if there is none. */
struct peer *peers_next_overlapping(const struct peers *ps, const struct ip_net *net,
				    const struct peer *p);
/* One that is older than `p` and overlaps it in either family; NULL if there is none. */
struct peer *peers_older_overlapping(const struct peers *ps, const struct peer *p);
/* Nobody may have one that overlaps. */
void peers_take_nets(struct peers *ps, struct peer *p);
void peers_leave_nets(struct peers *ps, struct peer *p);

struct slot peers_slot_of_net(const struct ip_net *net);
struct slot peers_slot_of_key(const struct kernel_key *key);

/* Notes all that this lease has, or stands in line for, before it is let go: peers_wake sees whose
 * turn it is. */
void peers_note_slots(struct peers *ps, const struct peer *p);
/* Of those that wait for a slot that was noted and is free the oldest is to be judged. If it does
 * not take it, its judgement notes the slot again. */
void peers_wake(struct peers *ps);

void peers_enqueue(struct peers *ps, struct peer *p);
/* The oldest; the queue must not be empty. */
struct peer *peers_dequeue(struct peers *ps);

/* reason NULL: none. awaited NULL: it does not wait for another's slot. */
void peers_set_trouble(struct peers *ps, struct peer *p, const char *reason,
		       const struct slot *awaited);

#endif
