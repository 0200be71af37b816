/* SPDX-License-Identifier: Apache-2.0 */
/* The ways of choosing an interface for a family. For fabric/external.c alone, which see. */
#ifndef FABRIC_EXTERNAL_MATCH_H
#define FABRIC_EXTERNAL_MATCH_H

#include "fabric/external.h"
#include "kernel/link.h"
#include "kernel/underlay.h"

/* What the kernel has, read once. */
struct external_facts {
	struct netlink *nl;
	struct link_info *links;
	size_t links_len;
	struct underlay_address *addresses;
	size_t addresses_len;
	const struct network_config *config;
	const struct external *before; /* or NULL */
};

/* What was found for one family: the interface and, if it named one, its address there. */
struct external_match {
	uint32_t ifindex; /* 0: none */
	struct ip_addr addr;
	char asked[IFNAMSIZ]; /* as struct external_place has it */
	const char *by;       /* likewise */
};

static inline size_t external_index(int family)
{
	return family == AF_INET ? 0 : 1;
}

static inline const char *external_family_name(int family)
{
	return family == AF_INET ? "IPv4" : "IPv6";
}

static inline const struct network_family *external_family(const struct external_facts *f,
							   int family)
{
	return family == AF_INET ? &f->config->v4 : &f->config->v6;
}

/* Whether packets may carry the address, as far as the kernel is concerned. */
static inline bool external_is_settled(const struct underlay_address *a)
{
	return !a->tentative && !a->duplicate;
}

const struct link_info *external_link(const struct external_facts *f, uint32_t ifindex);
/* Whether the interface (0: any) has the address. */
bool external_owns(const struct external_facts *f, uint32_t ifindex, const struct ip_addr *addr);
/* The best address of one family on an interface; unset if there is none. */
struct ip_addr external_best_address(const struct external_facts *f, uint32_t ifindex, int family);
/* The address in use, if the interface still has it; else unset. */
struct ip_addr external_kept_address(const struct external_facts *f, uint32_t ifindex, int family);
/* Whether the interface was asked for by the user, not found by a default route. */
bool external_is_given(const struct external_options *o);
/*
 * Finds each family of the network by the first way that tells; one that none tells stays 0, its error
 * in `errors`. -EINVAL if an option cannot be read, or nothing tells any family.
 */
int external_match(const struct external_facts *f, const struct external_options *o,
		   struct external_match ret[static 2], struct external *noted,
		   struct err errors[static 2], struct err *e) MUST_CHECK;

#endif
