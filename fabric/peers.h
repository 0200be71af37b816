/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The peers: every lease of another host, whether it is of use here, and if not why. Pure: no
 * netlink, no event loop, no log.
 *
 * A lease is measured alone, by rules that hold for every backend (fabric/peers_check.c) and by the
 * backend. Then against the others, from the oldest to the youngest: a lease is used if none that is
 * used and older overlaps it or wants one slot in the kernel with it. So which are used follows from
 * the leases alone, whatever order they came in, and every host finds the same; and a lease that is
 * not used stands in nobody's way.
 *
 * Who finds a slot taken waits for it: not to be looked at again before it is free, and then one
 * after the other. N leases that want one slot cost O(N log N), and so do N events among them.
 *
 *     lease ──> alone? ──no──────────────────────────────────> ignored, with a reason
 *                 │ yes
 *                 v
 *              slots held by an older one? ──yes──> waits for that slot ──free──> once more
 *                 │ no
 *                 v
 *              used: younger holders of them give way and are judged again
 */
#ifndef FABRIC_PEERS_H
#define FABRIC_PEERS_H

#include <sys/queue.h>

#include "backends/backend.h"
#include "fabric/reconcile.h"
#include "lib/tree.h"
#include "subnet/manager.h"
#include "traffic/traffic.h"

struct peers;
struct peer_trouble;
struct reach_peer;

/* With ten thousand peers there are as many of these. */
struct peer {
	struct reconcile_owner owner;        /* first: an owner found in the way is a peer */
	bool told : 1;                       /* the caller's, false at first */
	bool changed : 1;                    /* since it was judged last */
	bool parsed : 1;                     /* data stands for the lease as it is now */
	bool holds : 1;                      /* its subnets are taken by it */
	bool queued : 1;                     /* to be judged */
	bool wanted : 1;                     /* all that it means was stated to the reconciler */
	bool reserved : 1;                   /* counted so */
	const struct manager_member *member; /* another lease that says the same may come into it */
	void *data;                          /* what the backend read in the lease */
	struct reach_peer *reach;            /* the caller's, NULL at first */
	uint64_t born;                       /* the lease's, as the trees have it */
	struct peer_trouble *trouble;        /* why it is not used; NULL if it is, or is vacant */
	LIST_ENTRY(peer) link;
	struct tree_node nets[2]; /* its subnets, among those that are taken */
};

_Static_assert(sizeof(struct peer) <= 104, "a peer has grown");

/* What leases are measured by. */
struct peers_place {
	const struct backend *backend; /* borrowed until the next peers_set_place */
	struct network_family v4;
	struct network_family v6;
	struct subnet own;
	struct ip_addr local_v4; /* this host's addresses in the underlay; unset if none */
	struct ip_addr local_v6;
	struct ip_net segment_v4; /* and what is reached there without a router */
	struct ip_net segment_v6;
	bool guard;      /* peers are let in through the guard by their addresses */
	bool blackhole;  /* addresses of our own subnet that no container has lead nowhere */
	bool devices_ok; /* false: what a lease means may lack objects yet */
};

struct peers_ops {
	/* How the kernel reaches the peer's public addresses, if the backend needs to know. */
	void (*paths)(void *arg, const struct lease *l, struct backend_path ret[static 2]);
	/* Was judged. used: packets are to be sent there and taken from there. news: why it is
	 * ignored, if that is not what was said the last time; else NULL. */
	void (*judged)(void *arg, struct peer *p, bool used, const char *news);
};

/* `r` gets what is wanted: from nobody else. */
struct peers *peers_new(struct reconcile *r, const struct peers_ops *ops, void *arg);
/* With all peers. What they want of the reconciler is not taken back. */
void peers_free(struct peers *ps);

/* The member is borrowed until peers_remove. Judged by peers_judge. */
struct peer *peers_add(struct peers *ps, const struct manager_member *member);
/* Its lease says something else, or was born again. */
void peers_change(struct peers *ps, struct peer *p);
/* Frees it. Those that waited for what it had are judged by peers_judge. */
void peers_remove(struct peers *ps, struct peer *p);

/* All are to be measured anew. States what this host wants for itself; a peer that has some of it
 * gives way. */
void peers_set_place(struct peers *ps, const struct peers_place *place);

/* Judges whoever may have to be judged otherwise now. Not before peers_set_place. */
void peers_judge(struct peers *ps);
/* The same, but `max` of them at most, the oldest first. False: some are left. */
bool peers_judge_some(struct peers *ps, size_t max);

/* The objects of this host itself. */
struct reconcile_owner *peers_own(struct peers *ps);
/* "ok", "pending", "failed" or "ignored", and in *ret_reason why (borrowed, "" if there is nothing
 * to say). p may be NULL. */
const char *peers_state(const struct peers *ps, const struct peer *p, const char **ret_reason);
/* The peer whose objects these are; NULL: they are this host's own. */
const struct peer *peers_of_owner(const struct peers *ps, const struct reconcile_owner *owner);
/* One of those that are not used, and in *ret_reason why (borrowed); NULL: all are. */
const struct peer *peers_ignored(const struct peers *ps, const char **ret_reason);
/* Any peer first, then the one after it; NULL at the end. */
struct peer *peers_next(const struct peers *ps, const struct peer *p);

struct peers_counts {
	size_t len;
	size_t ignored;
	size_t reserved; /* of use, and claimed by no host of ours: perhaps there is no such host */
	uint64_t judged_total;
};
const struct peers_counts *peers_counts(const struct peers *ps);

/* peers_check.c: the rules that hold for every backend. */
int peers_check(const struct peers_place *place, const struct lease *l, struct err *e) MUST_CHECK;
/* A subnet that is kept for a host which has not come yet: there is nobody to send packets to. */
bool peers_is_vacant(const struct lease *l);

#endif
