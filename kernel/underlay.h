/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions about the network that the fabric runs over: which addresses an interface has, which
 * way the kernel would send a packet. Nothing here changes anything.
 */
#ifndef KERNEL_UNDERLAY_H
#define KERNEL_UNDERLAY_H

#include "kernel/netlink.h"
#include "kernel/object.h"
#include "lib/addr.h"

struct underlay_address {
	uint32_t ifindex;
	struct ip_net net;
	uint8_t scope;
	bool deprecated;
	bool dynamic; /* not permanent: DHCP or autoconfiguration */
	bool temporary;
	/* Nobody may use it yet, or ever: duplicate address detection runs (and the address is not
	 * used optimistically meanwhile, RFC 4429), or has found another host with it. */
	bool tentative;
	bool duplicate;
};

/* All addresses of the namespace, of one family or AF_UNSPEC for both, in kernel order. Caller
 * frees. */
int underlay_addresses(struct netlink *nl, int family, struct underlay_address **ret,
		       size_t *ret_len, struct err *e) MUST_CHECK;

/*
 * Shows the routes of table main of one family that `protocol` (RTPROT_) made; 0: all. What changes
 * meanwhile may be shown twice, or not.
 */
int underlay_routes_visit(struct netlink *nl, int family, uint8_t protocol,
			  void (*visit)(void *arg, const struct kernel_object *route), void *arg,
			  struct err *e) MUST_CHECK;

struct underlay_route {
	uint32_t ifindex;
	struct ip_addr source;  /* unset if the kernel named none */
	struct ip_addr gateway; /* unset: on the same link */
};

/* The way to `dst`. -ENETUNREACH if there is none. */
int underlay_route_to(struct netlink *nl, const struct ip_addr *dst, struct underlay_route *ret,
		      struct err *e) MUST_CHECK;

#define UNDERLAY_MATCHES_MAX 64

/* The routes themselves that packets to these addresses take, at most UNDERLAY_MATCHES_MAX of them,
 * asked for in one system call. ret[i] is all zero where there is none, or none of table main. One that
 * leads nowhere (blackhole, unreachable, prohibit) IPv4 does not show: of it value.type alone is set. */
int underlay_match_routes(struct netlink *nl, const struct ip_addr *dsts, size_t len,
			  struct kernel_object *ret, struct err *e) MUST_CHECK;

struct underlay_default {
	uint32_t ifindex;
	bool routed; /* through a gateway */
};

/*
 * The default route of table main that packets take now. False if that cannot be told at once; then
 * underlay_defaults looks for it.
 */
bool underlay_default_in_use(struct netlink *nl, int family, struct underlay_default *ret);
/* All default routes in table main, the best metric first, by a look at all routes. Of one with
 * several ways the first. Caller frees. */
int underlay_defaults(struct netlink *nl, int family, struct underlay_default **ret,
		      size_t *ret_len, struct err *e) MUST_CHECK;
/*
 * Whether a route over this interface leads through a router to somewhere outside `network` (which
 * may be unset), and is not the fabric's.
 */
bool underlay_leads_out(struct netlink *nl, uint32_t ifindex, int family,
			const struct ip_net *network);

#endif
