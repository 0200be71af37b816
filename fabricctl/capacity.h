/* SPDX-License-Identifier: Apache-2.0 */
/* How full the network is, and when it will be. Pure; capacity_run.c asks and prints. */
#ifndef FABRICCTL_CAPACITY_H
#define FABRICCTL_CAPACITY_H

#include "fabricctl/ctl.h"
#include "subnet/config.h"

#define CAPACITY_WARN_PERCENT 90 /* so full is nearly full */

/*
 * What the leases (items of a SubnetList) have of one family:
 * {"network", "subnetLen", "subnets", "used", "reserved", "unbound", "outside", "free",
 *  "largestFreeRun", "usedPercent"}. Used are hosts' that end unless they are renewed; reserved whether their host has come or not; outside are
 * those that this configuration would not give out, which may take some of it all the same. Null if
 * the network does not have the family. Numbers stop at the largest that JSON's readers know, 2^53.
 */
json_t *capacity_of_family(const struct network_family *family, const json_t *leases);

/*
 * When `free` subnets will be gone, from when the leases were made ("created" of items):
 * {"from": a sentence, "hostsPerWeek": or null if it cannot be known, "fullSeconds": or null}
 */
json_t *capacity_forecast(const json_t *leases, int64_t free, int64_t now_ms);

/* Of how many addresses containers can have one. */
int64_t capacity_addresses(const struct ip_net *subnet);

#endif
