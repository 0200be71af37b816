/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Choosing a free subnet: pure arithmetic over the addresses that leases already cover.
 *
 * The choice is uniform over everything that is free, so that hosts which start at the same instant
 * seldom want the same one; the store's compare-and-swap decides when they do.
 */
#ifndef SUBNET_POOL_H
#define SUBNET_POOL_H

#include "subnet/config.h"

/*
 * Picks a subnet of family `f` that overlaps none of the `taken` (which may have any length and
 * overlap each other). `random` is the caller's randomness, all 64 bits used. `taken` is sorted by
 * this call. -ENOSPC if all are taken.
 */
int pool_pick(const struct network_family *f, struct ip_net *taken, size_t taken_len,
	      uint64_t random, struct ip_net *ret, struct err *e) MUST_CHECK;

/* How many subnets of the family are still free. Sorts `taken` as well. */
u128 pool_free_count(const struct network_family *f, struct ip_net *taken, size_t taken_len);

/* How many of those that are free stand side by side at most. Sorts `taken` as well. */
u128 pool_largest_run(const struct network_family *f, struct ip_net *taken, size_t taken_len);

#endif
