/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address ranges as host-local's configuration describes them: sets of ranges, one address out of
 * each set.
 *
 * Pure. Walking order, defaults and what is refused are host-local's, so that both can hand out
 * addresses from one pool by turns.
 */
#ifndef CNI_PLUGIN_RANGES_H
#define CNI_PLUGIN_RANGES_H

#include "lib/json.h"

#define RANGES_SETS_MAX    64
#define RANGES_PER_SET_MAX 256

struct range {
	struct ip_net subnet;
	struct ip_addr start;
	struct ip_addr end; /* inclusive */
	struct ip_addr gateway;
};

struct range_set {
	struct range *items;
	size_t len;
};

struct ranges {
	struct range_set *sets;
	size_t len;
};

/*
 * Reads the sets of `ipam`, in this order: the capability `ipRanges` of `runtime` (may be NULL),
 * subnet/rangeStart/ rangeEnd/gateway at the top of ipam, ipam.ranges. -EINVAL says which range is
 * wrong and why; ranges_fini frees.
 */
int ranges_parse(const json_t *ipam, const json_t *runtime, struct ranges *ret,
		 struct err *e) MUST_CHECK;
void ranges_fini(struct ranges *r);

/* The range of a set that has the address, between its start and end; NULL if none. */
const struct range *range_set_find(const struct range_set *set, const struct ip_addr *a);

/*
 * A walk through a set, once around: it begins behind `last` if that lies in the set, else at the
 * first start, and visits each address but gateways. `last` itself comes at the end.
 */
struct range_walk {
	const struct range_set *set;
	size_t index;
	struct ip_addr at; /* the address handed out last */
	struct ip_addr first;
	bool started;
	bool begins_behind; /* at the beginning: skip to the address behind `at` */
};

void range_walk_init(struct range_walk *w, const struct range_set *set, const struct ip_addr *last);
/* False at the end. */
bool range_walk_next(struct range_walk *w, struct ip_addr *ret, const struct range **ret_range);

/* "10.1.2.1-10.1.2.254,…", for messages; caller frees. */
char *range_set_format(const struct range_set *set);

static inline void ranges_fini_ref(struct ranges *r)
{
	ranges_fini(r);
}
#define auto_ranges __attribute__((cleanup(ranges_fini_ref)))

#endif
