/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fabricctl lease: what its files share, and what it reads from its command line (pure).
 *
 *   lease.c           show, renew, release
 *   lease_reserve.c   reserve, unreserve
 */
#ifndef FABRICCTL_LEASE_H
#define FABRICCTL_LEASE_H

#include "fabricctl/ctl.h"
#include "subnet/config.h"
#include "subnet/lease.h"

/* "10.5.50.0/24", "fd10:5:0:50::/64" or both with a comma between them, without host bits. -EINVAL
 * with a sentence. */
int lease_parse_subnet(const char *text, struct subnet *ret, struct err *e) MUST_CHECK;

/* Whether the network would lease this subnet; -EINVAL says why not. */
int lease_check_subnet(const struct network_config *config, const struct subnet *subnet,
		       struct err *e) MUST_CHECK;

/*
 * What stands in the way of a reservation; NULL: nothing, or *ret_done: it is there already,
 * whether its host uses it or not. Borrowed.
 */
const struct lease *lease_in_the_way(struct lease *const *leases, size_t len,
				     const struct lease *reservation, bool *ret_done);

/*
 * Says what was done, would be, or was so already (`changed` false). `action` is the verb; `lease`
 * NULL: this host has none; revision 0: none came of it. Returns CTL_OK.
 */
int lease_print_change(const struct ctl *c, const char *action, const struct lease *lease,
		       bool changed, uint64_t revision);

/* The verbs; return the exit status. */
int lease_reserve(struct ctl *c);
int lease_unreserve(struct ctl *c);
/* Gives back the lease of this host, after asking. With --force even while a daemon runs. */
int lease_release(struct ctl *c);

#endif
