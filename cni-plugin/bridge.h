/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bridge that all containers of a network share on this host: made when missing, otherwise used
 * as it is.
 *
 * What is done here is done for the host and stays: it is the same for every attachment, and
 * nothing of it is undone when one fails or goes. What was not as it should be, or not there, sets
 * h->disturbed: others may miss more of it (keep.h).
 */
#ifndef CNI_PLUGIN_BRIDGE_H
#define CNI_PLUGIN_BRIDGE_H

#include "cni-plugin/config.h"
#include "cni-plugin/host.h"
#include "kernel/device.h"

/*
 * The configured bridge, up, with promiscuity and VLAN filtering as configured. CNI_CONFLICT: the
 * name belongs to a device that is no bridge.
 */
int bridge_ensure(struct host *h, const struct config *c, struct device *ret,
		  struct err *e) MUST_CHECK;

/*
 * The interface that carries the gateways: the bridge, or with a VLAN `<bridge>.<vlan>`; cut if too
 * long.
 */
void bridge_gateway_name(const struct config *c, char ret[static IFNAMSIZ]);

/*
 * Gives the bridge, or with a VLAN its interface for that, which is made if need be, the gateway
 * addresses. CNI_CONFLICT: it has another one of that kind already, and forceAddress does not say to
 * replace it. *ret: the interface. *ret_others is set if it has addresses beside them.
 */
int bridge_ensure_gateways(struct host *h, const struct config *c, const struct device *bridge,
			   const struct ip_net *gateways, size_t len, struct device *ret,
			   bool *ret_others, struct err *e) MUST_CHECK;

/* Makes what stands a port again, and up; with bridge_setup_port. */
int bridge_put_port(struct host *h, const struct config *c, const struct device *bridge,
		    const struct device *port, struct err *e) MUST_CHECK;

/* Hairpin, isolation and VLANs of a port; asks the kernel nothing if there is nothing to set. */
int bridge_setup_port(struct host *h, const struct config *c, const struct device *bridge,
		      const char *port, struct err *e) MUST_CHECK;

/* Before it gets this address: new devices may have IPv6 switched off
 * (net.ipv6.conf.default.disable_ipv6). */
int bridge_allow_family(const char *device, const struct ip_net *address, struct err *e) MUST_CHECK;

/* Routing between interfaces, for the families of the addresses. */
int bridge_enable_forwarding(const struct ip_net *gateways, size_t len, struct err *e) MUST_CHECK;

#endif
