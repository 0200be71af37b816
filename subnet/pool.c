/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subnets of a family are numbered from 0 (SubnetMin) on. Every taken prefix covers a run of
 * numbers; what is between the runs is free. One sorted walk over the runs counts the free ones, a
 * second finds the k-th.
 */
#include "subnet/pool.h"

#include <errno.h>

static int by_address(const void *a, const void *b)
{
	u128 x = ip_addr_to_u128(&((const struct ip_net *)a)->addr);
	u128 y = ip_addr_to_u128(&((const struct ip_net *)b)->addr);

	return x < y ? -1 : x > y;
}

/* Numbers covered by `n`: [*ret_from, *ret_to). False if none. */
static bool covered(const struct network_family *f, const struct ip_net *n, u128 capacity,
		    u128 *ret_from, u128 *ret_to)
{
	int family = f->network.addr.family;
	u128 base = ip_addr_to_u128(&f->subnet_min);
	u128 first = ip_addr_to_u128(&n->addr);
	u128 size = ip_net_size(family, n->len);
	u128 last = first + size - 1; /* size 0 stands for 2^128: wraps to the right value */
	unsigned shift = ip_family_bits(family) - f->subnet_len;
	u128 to;

	if (n->addr.family != family || last < base)
		return false;
	*ret_from = first <= base ? 0 : (first - base) >> shift;
	to = ((last - base) >> shift) + 1;
	*ret_to = MIN(to, capacity);
	return *ret_from < *ret_to;
}

/*
 * Walks over the free numbers. Returns how many there are; when the walk passes free number
 * `wanted`, *ret_number is set to it. *ret_run is the longest run of them. Both may be NULL.
 */
static u128 walk(const struct network_family *f, const struct ip_net *taken, size_t taken_len,
		 u128 wanted, u128 *ret_number, u128 *ret_run)
{
	u128 capacity = network_family_capacity(f);
	u128 next = 0; /* all numbers below are dealt with */
	u128 free_count = 0;
	u128 longest = 0;

	for (size_t i = 0; i <= taken_len; i++) {
		u128 from = capacity;
		u128 to = capacity;

		if (i < taken_len && !covered(f, &taken[i], capacity, &from, &to))
			continue;
		if (from > next) {
			u128 gap = from - next;

			if (ret_number && wanted >= free_count && wanted - free_count < gap)
				*ret_number = next + (wanted - free_count);
			free_count += gap;
			longest = MAX(longest, gap);
		}
		next = MAX(next, to);
	}
	if (ret_run)
		*ret_run = longest;
	return free_count;
}

static void sort(struct ip_net *taken, size_t taken_len)
{
	if (taken_len > 0)
		qsort(taken, taken_len, sizeof(*taken), by_address);
}

u128 pool_free_count(const struct network_family *f, struct ip_net *taken, size_t taken_len)
{
	if (!f->enabled)
		return 0;
	sort(taken, taken_len);
	return walk(f, taken, taken_len, 0, NULL, NULL);
}

u128 pool_largest_run(const struct network_family *f, struct ip_net *taken, size_t taken_len)
{
	u128 run = 0;

	if (!f->enabled)
		return 0;
	sort(taken, taken_len);
	walk(f, taken, taken_len, 0, NULL, &run);
	return run;
}

int pool_pick(const struct network_family *f, struct ip_net *taken, size_t taken_len,
	      uint64_t random, struct ip_net *ret, struct err *e)
{
	u128 free_count = pool_free_count(f, taken, taken_len);
	int family = f->network.addr.family;
	char min_text[IP_ADDR_TEXT];
	char max_text[IP_ADDR_TEXT];
	u128 number = 0;

	if (free_count == 0)
		return err_set(e, -ENOSPC, "out of subnets: all /%u from %s to %s are taken",
			       f->subnet_len, ip_addr_format(&f->subnet_min, min_text),
			       ip_addr_format(&f->subnet_max, max_text));
	/* More than 2^64 subnets: 2^64 of them are choice enough. */
	walk(f, taken, taken_len, random % MIN(free_count, (u128)UINT64_MAX), &number, NULL);
	ret->len = f->subnet_len;
	ret->addr = ip_addr_from_u128(family, ip_addr_to_u128(&f->subnet_min) +
						      number * ip_net_size(family, f->subnet_len));
	return 0;
}
