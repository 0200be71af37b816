/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who claims which prefix, to find what overlaps among thousands: by exact prefix, by the prefixes
 * around it in the few lengths that are in use, and by a walk only if there are longer ones.
 */
#ifndef SUBNET_CLAIMS_H
#define SUBNET_CLAIMS_H

#include "lib/hash.h"
#include "subnet/lease.h"

struct claim {
	struct ip_net net;
	void *owner;
	struct hash_link link;
};

/* Zero-initialised. Holds what is in the caller's claims. */
struct claims {
	struct hash_table by_net;
	unsigned lens[2][129]; /* claims of each length, IPv4 and IPv6 */
};

/* `claim` stays where it is until claims_remove. An unset prefix is no claim. */
void claims_add(struct claims *c, struct claim *claim, const struct ip_net *net, void *owner);
void claims_remove(struct claims *c, struct claim *claim);

/* Shows every claim that has an address in common with `net`. `visit` must not add or remove. */
void claims_overlapping(const struct claims *c, const struct ip_net *net,
			void (*visit)(void *arg, void *owner), void *arg);

#endif
