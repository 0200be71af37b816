/* SPDX-License-Identifier: Apache-2.0 */
/* A lease as programs are shown it: the part of a SubnetList's item that the lease alone says. */
#ifndef SUBNET_LEASE_JSON_H
#define SUBNET_LEASE_JSON_H

#include "lib/json.h"
#include "lib/members.h"
#include "subnet/lease.h"

/*
 * subnet, subnetV6, node, nodeID, publicIP, publicIPv6, backend; null where unset. What the backend
 * reads in it comes next (backend_describe_lease), then what the asked one knows of it.
 */
void lease_put_members(const struct lease *l, struct members *item);
void lease_put_revision(const struct lease *l, struct members *item);

/* null if empty, or not UTF-8. */
json_t *lease_text_json(const char *text);
/* "10.5.3.0/24"; null if unset. */
json_t *lease_net_json(const struct ip_net *net);
json_t *lease_addr_json(const struct ip_addr *addr);

#endif
