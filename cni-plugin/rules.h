/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traffic rules of attachments, in nftables tables of our own: masquerading, and guards on the
 * bridge's ports.
 *
 * The rules themselves are few and never change; what belongs to one container are elements of
 * their sets, put in and taken out by key, in one transaction each, whatever else is in there.
 * Every element carries a comment that says whose it is.
 */
#ifndef CNI_PLUGIN_RULES_H
#define CNI_PLUGIN_RULES_H

#include "cni-plugin/config.h"
#include "cni-plugin/host.h"
#include "cni-plugin/record.h"

/* What an attachment wants. */
struct rules {
	const struct record *record;
	const struct result *ipam; /* the addresses to masquerade, with their subnets */
	const struct config *config;
};

/*
 * Puts everything into force at once: masquerading of the record's addresses if it says so; on a
 * bridge the refusal of router advertisements and of DHCP answers from its ports, and of foreign
 * source MACs with macGuard. Replaces what a former owner of an address or a port left.
 */
int rules_install(struct host *h, const struct rules *r, struct err *e) MUST_CHECK;

/* 0 if all of it is there; CNI_MISMATCH says what is missing. */
int rules_check(struct host *h, const struct rules *r, struct err *e) MUST_CHECK;

/*
 * Removes what belongs to the record, and nothing that has found another owner since. Absence is
 * success.
 */
int rules_remove(struct host *h, const struct record *r, struct err *e) MUST_CHECK;

/* As above, by looking at every element's comment: for when there is no record. */
int rules_remove_owner(struct host *h, const char *network, const char *container_id,
		       const char *ifname, struct err *e) MUST_CHECK;

/*
 * Removes the elements of the network whose owner `keep` does not want; `owner` is what
 * rules_owner_key makes.
 */
int rules_remove_others(struct host *h, const char *network,
			bool (*keep)(void *arg, uint64_t owner), void *arg,
			struct err *e) MUST_CHECK;
uint64_t rules_owner_key(const char *container_id, const char *ifname);

#endif
