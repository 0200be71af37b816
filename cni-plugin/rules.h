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

#include "cni-plugin/host.h"
#include "cni-plugin/record.h"

#define RULES_PORT_TEXT 64

/*
 * Puts everything that the record says into force at once: masquerading of its addresses; its ports; on a
 * bridge the refusal of router advertisements and of DHCP answers from its ports, and of foreign
 * source MACs with macGuard. Replaces what a former owner of an address or a port left. Sets
 * h->disturbed if what is for all containers was not as it should be.
 */
int rules_install(struct host *h, const struct record *r, struct err *e) MUST_CHECK;

/*
 * Lets the host itself reach ports that are published on 127.0.0.1, by the device that leads to the
 * container, which is there by now. Nothing is written where it does so already.
 */
int rules_open_localhost(const struct record *r, struct err *e) MUST_CHECK;

/*
 * Shows who else has one of the record's host ports, at the same address, or one of both at all of them:
 * `owner` as rules_owner_key makes it. `port`: "8080/tcp", for the call.
 */
typedef void rules_rival_fn(void *arg, uint64_t owner, const char *port);
int rules_visit_rivals(struct host *h, const struct record *r, rules_rival_fn *visit, void *arg,
		       struct err *e) MUST_CHECK;

/* 0 if all of it is there; CNI_MISMATCH says what is missing. */
int rules_check(struct host *h, const struct record *r, struct err *e) MUST_CHECK;

/*
 * All elements that stand now, read at once, and which of the rules for all containers were found as
 * they should be: for looking at many records. Forget it when something was installed.
 */
struct rules_standing;
int rules_standing_read(struct host *h, struct rules_standing **ret, struct err *e) MUST_CHECK;
void rules_standing_free(struct rules_standing *s);
/* As rules_check, also of what a bridge's containers want that have no rules of their own. */
int rules_standing_check(struct host *h, struct rules_standing *s, const struct record *r,
			 struct err *e) MUST_CHECK;

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
