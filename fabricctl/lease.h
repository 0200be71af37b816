/* SPDX-License-Identifier: Apache-2.0 */
/* What the lease command reads from its command line. Pure. */
#ifndef FABRICCTL_LEASE_H
#define FABRICCTL_LEASE_H

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

#endif
