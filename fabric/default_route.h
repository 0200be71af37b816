/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which default route leads into the underlay. Pure.
 *
 * Every host's default route may move for reasons that are not the fabric's: a VPN adds one that is
 * better, connman and dhcpcd give each container's interface a link-local address and a route. To
 * follow it would publish an address that no peer can send to. So the fabric stays where it is as
 * long as it can, and never goes where containers or its own packets are.
 */
#ifndef FABRIC_DEFAULT_ROUTE_H
#define FABRIC_DEFAULT_ROUTE_H

#include "kernel/link.h"
#include "kernel/underlay.h"

#define DEFAULT_ROUTE_NOTE 256

/* What the kernel has, for one family. */
struct default_route_facts {
	int family;
	struct ip_net network; /* of the overlay */
	const struct link_info *links;
	size_t links_len;
	const struct underlay_address *addresses;
	size_t addresses_len;
	const struct underlay_default *routes; /* the one that packets take first */
	size_t routes_len;
	uint32_t present;       /* has the address in use; 0: no interface has it */
	bool present_leads_out; /* has a route through a router that is not the fabric's */
};

/*
 * The interface to use. `ret_note`: which default route was seen and not followed, and why, or "".
 * -ENETUNREACH: there is no default route. -ENODEV: none that can be used; the sentence says why.
 */
int default_route_choose(const struct default_route_facts *f, uint32_t *ret_ifindex,
			 char ret_note[static DEFAULT_ROUTE_NOTE], struct err *e) MUST_CHECK;

#endif
