/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fabricctl top: how much goes to and comes from every peer and every container. Containers are counted by
 * the kernel anyway, by the host's end of each link; peers by the daemon, while it is asked (traffic/meter.h).
 */
#ifndef FABRICCTL_TOP_H
#define FABRICCTL_TOP_H

#include "fabricctl/ctl.h"
#include "lib/addr.h"

/* Of a peer or container, in one interval. "Received" by this host from the peer; by the container. */
struct top_row {
	const char *name;   /* borrowed: of the peer's node, or of the container's link */
	const char *detail; /* borrowed: its subnet, or its addresses; may be NULL */
	uint64_t received_packets;
	uint64_t received_bytes;
	uint64_t sent_packets;
	uint64_t sent_bytes;
	uint64_t dropped; /* of containers */
};

/* ---- counters that grow, and how much they have grown ---- */

/* What was counted last of each name; {"10.5.3.2 sent": [packets, bytes]}. */
struct top_memory {
	json_t *seen;
};

/*
 * How much the two have grown since they were last told of; what is new or smaller than before, since whoever counts
 * has begun anew, has grown by all that it is. The first time that anything is told (`first`) nothing has. Pure.
 */
void top_memory_grow(struct top_memory *m, const char *name, bool first, uint64_t *packets,
		     uint64_t *bytes);

/* "1.2k", "940M": three digits at least are right. */
const char *top_format(double number, char ret[static 16]);

#endif
