/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which containers of this host the fast path is for: what the kernel itself knows of them, the neighbours of
 * the bridges that they live behind, and the ports of those. A container whose link somebody else looks at,
 * by a queue or a program, goes the ordinary way, so that he sees its packets.
 */
#ifndef FASTPATH_SURVEY_H
#define FASTPATH_SURVEY_H

#include "fastpath/object.h"
#include "fastpath/obstacles.h"
#include "kernel/netlink.h"

struct fast_found {
	struct fast_address address;
	struct fast_container container;
	struct ip_addr addr;
};

struct fast_survey {
	struct fast_found *items; /* by address */
	size_t len;
	size_t cap;
	size_t refused;                  /* addresses whose container goes the ordinary way, */
	char refused_why[FAST_WHY_TEXT]; /* for one; "" */
	char tunnel_why[FAST_WHY_TEXT];  /* who looks at the tunnel's device; "" */
};

struct fast_devices {
	const uint32_t *tunnels; /* 0: none */
	size_t tunnels_len;
	const uint32_t *segments; /* that containers live behind */
	size_t segments_len;
};

/* Blocks for dumps of devices, queues, neighbours and ports. *ret is the caller's to fast_survey_fini, also
 * after an error. */
int fast_survey_take(struct netlink *nl, const struct fast_object *o,
		     const struct fast_scope *scope, const struct fast_devices *devices,
		     struct fast_survey *ret, struct err *e) MUST_CHECK;
void fast_survey_fini(struct fast_survey *s);
const struct fast_found *fast_survey_find(const struct fast_survey *s,
					  const struct fast_address *address);
/* Whether a device of those that are used has got a program of somebody else's. */
bool fast_survey_is_outdated(const struct fast_survey *s, const struct fast_object *o,
			     const struct fast_devices *devices);

struct fast_address fast_address_of(const struct ip_addr *addr);
struct ip_addr fast_address_to(const struct fast_address *address);

#endif
