/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gateway addresses of subnets that this host had before.
 *
 * When the host gets another subnet the bridge keeps the old gateway beside the new one, for the
 * containers that still live on the old subnet. Once none is left the address does harm: it has the
 * host deliver to its own bridge what belongs to the host that has the subnet now.
 */
#ifndef CNI_PLUGIN_GATEWAYS_H
#define CNI_PLUGIN_GATEWAYS_H

#include "cni-plugin/host.h"
#include "cni-plugin/netconf.h"

/*
 * Removes from `device` what is a gateway of the fabric's networks, not of the present subnet, and
 * of no subnet in which an address is reserved. Only for networks that take their subnet from
 * subnet.env. A failure is logged: it is no reason to fail what was asked for.
 */
void gateways_drop_old(const struct host *h, const struct netconf *n, const char *device);

#endif
