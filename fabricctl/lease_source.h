/* SPDX-License-Identifier: Apache-2.0 */
/* The list of leases straight from the store, in the shape in which the daemon gives it. */
#ifndef FABRICCTL_LEASE_SOURCE_H
#define FABRICCTL_LEASE_SOURCE_H

#include "fabricctl/lease_view.h"
#include "fabricctl/session.h"

/* Prints the list once. Returns the exit status. */
int lease_source_print(const struct ctl *c, struct lease_view *v);

/* Shows every change until nobody reads it any more. Returns the exit status. */
int lease_source_watch(const struct ctl *c, struct lease_view *v);

/* One item of the list. `own_node_id` is "" if it is not known which host this is. */
json_t *lease_source_item(const struct lease *lease, const char *own_node_id);

#endif
