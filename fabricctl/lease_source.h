/* SPDX-License-Identifier: Apache-2.0 */
/* The list of leases straight from the store, in the shape in which the daemon gives it. */
#ifndef FABRICCTL_LEASE_SOURCE_H
#define FABRICCTL_LEASE_SOURCE_H

#include "fabricctl/lease_view.h"
#include "fabricctl/session.h"

/*
 * The list, from the daemon or with --store from the store, without the time left. Complains with
 * ctl_fail and returns its status; caller owns *ret. `hint` is what to try without a daemon.
 */
int lease_source_get(const struct ctl *c, const char *hint, json_t **ret);

/* Prints the list of the store once. Returns the exit status. */
int lease_source_print(const struct ctl *c, struct lease_view *v);

/* Shows every change until nobody reads it any more. Returns the exit status. */
int lease_source_watch(const struct ctl *c, struct lease_view *v);

/* One item of the list. `own_node_id` is "" if it is not known which host this is. */
json_t *lease_source_item(const struct lease *lease, const char *own_node_id);

#endif
