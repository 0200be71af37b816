/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much goes to which address of the fabric and comes from it, counted only while somebody watches: a table of
 * nf_tables of its own, whose sets remember the addresses of other hosts' containers with a counter each.
 *
 * The table belongs to our socket (NFT_TABLE_F_OWNER): the kernel removes it when that is closed, which it is when
 * nobody has asked for METER_REST_S, and when this process ends, however that happens. What is counted is the fabric's
 * own packets, before they are put into a tunnel and after they come out of it, whatever the backend.
 */
#ifndef TRAFFIC_METER_H
#define TRAFFIC_METER_H

#include "kernel/nft.h"

#define METER_TABLE  "flannel-meter"
#define METER_REST_S 10 /* without a question; then nothing is counted any more */
#define METER_ADDRESSES                                                                            \
	16384 /* of a family and a direction that are remembered; others are not counted */
#define METER_MEMORY_S 60 /* for so long after its last packet */

struct event_base;
struct meter;

/* Index 0 is IPv4, 1 IPv6; unset where the network has none. */
struct meter_place {
	struct ip_net network[2];
	struct ip_net own[2];
};

/* Counts nothing yet. Never NULL. */
struct meter *meter_new(struct event_base *base);
void meter_free(struct meter *m);

/* One address, in one direction: what came from it or (`sent`) went to it since it was first seen. */
typedef void meter_fn(void *arg, const struct ip_addr *address, bool sent, uint64_t packets,
		      uint64_t bytes);

/*
 * Shows what was counted, after it has seen to it that there is counting; where it had not been on there is nothing to
 * show yet. -EOPNOTSUPP: the kernel knows no tables that belong to a socket (Linux before 5.12).
 * Blocks for some system calls.
 */
int meter_read(struct meter *m, const struct meter_place *place, meter_fn *visit, void *arg,
	       struct err *e) MUST_CHECK;

/* The rules, into `rules`, which has room for METER_RULES_MAX; how many. Pure. */
#define METER_RULES_MAX 8
size_t meter_rules(const struct meter_place *place, struct nft_rule *rules);

#endif
