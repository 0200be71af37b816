/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes an interface in a container: the veth pair, its host side on a bridge or routed, addresses
 * and routes.
 *
 * Everything is decided by then (config.c) and written down (record.h): these functions only do it,
 * in an order in which nothing can send before it is guarded, and leave undoing to undo.c.
 */
#ifndef CNI_PLUGIN_ATTACH_H
#define CNI_PLUGIN_ATTACH_H

#include "cni-plugin/config.h"
#include "cni-plugin/host.h"
#include "cni-plugin/record.h"
#include "cni-plugin/result.h"
#include "kernel/inet.h"

struct attach {
	struct host *host;
	const struct config *config;
	const char *sandbox; /* the namespace's path, for the result */
	struct record *record;
	bool *ret_other_addresses; /* set if the bridge has some beside the gateways */
	const struct result *ipam; /* what address management says: addresses, routes */
};

/*
 * Makes it all and adds what it made to `result`: the interfaces in the order that chained plugins
 * expect, and the addresses and routes. Blocks for some milliseconds. On failure everything that
 * may exist is in the record.
 */
int attach_interface(const struct attach *a, struct result *result, struct err *e) MUST_CHECK;

/* What our end of a routed link has, or the gateway's interface; all zero: nothing yet. */
struct attach_routed {
	struct inet_address *addresses;
	size_t addresses_len;
	struct inet_route *routes;
	size_t routes_len;
};
/* Reads it; hostside_routed_fini frees it, also after a failure. */
int attach_read_routed(struct host *h, uint32_t ifindex, struct attach_routed *ret,
		       struct err *e) MUST_CHECK;
/* The host's end of a routed link: up, the gateways' addresses, the ways to the container's. */
int attach_put_routed(struct host *h, const struct record *r, const struct attach_routed *have,
		      struct err *e) MUST_CHECK;
bool attach_has_address(const struct attach_routed *have, const struct ip_net *address);
bool attach_has_route(const struct attach_routed *have, const struct ip_addr *container);
/* The route to what is around a gateway's address, which the kernel makes with it; true if nothing is. */
bool attach_has_connected(const struct attach_routed *have, const struct ip_net *address);

/* The gateway of an address: its own, or where none is given the first address of its subnet. */
struct ip_addr attach_gateway(const struct result_address *a);

/* Chooses the names and MACs of what will be made, and notes how it will be. */
void attach_plan_names(const struct config *c, struct record *ret);

/*
 * Notes in the record what CHECK will look for on the host's side, and what it takes to put that
 * back: gateways, switches, where masquerading ends.
 */
void attach_plan(const struct config *c, const struct result *ipam, struct record *ret);

#endif
