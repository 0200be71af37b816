/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses and routes of one interface with everything a container's configuration can ask for.
 *
 * kernel/object.c has the fabric's addresses and routes: few attributes, compared by the thousand.
 * Here are a handful of them with all their attributes: table, scope, metrics, preferred source, no
 * duplicate address detection. Requests are encoded only; they travel in a netlink_batch. Source:
 * linux/rtnetlink.h, linux/if_addr.h.
 */
#ifndef KERNEL_INET_H
#define KERNEL_INET_H

#include <linux/netlink.h>

#include "kernel/netlink.h"
#include "lib/addr.h"

struct inet_address {
	uint32_t ifindex;
	struct ip_net net;
	bool no_dad;    /* IPv6: usable at once; right where we know that nobody else has it */
	bool no_prefix; /* IPv6: without the route to its prefix */
	bool tentative; /* read only: duplicate address detection still runs */
	bool duplicate; /* read only: it found somebody */
};

#define INET_SCOPE_ANY -1

struct inet_route {
	struct ip_net dst; /* host bits are cleared for the kernel */
	struct ip_addr gateway;
	struct ip_addr source; /* preferred source */
	uint32_t ifindex;
	uint32_t table;    /* 0: main */
	uint32_t priority; /* 0: the kernel's default */
	uint32_t mtu_bytes;
	uint32_t advmss_bytes;
	int scope; /* RT_SCOPE_, or INET_SCOPE_ANY: link without gateway, universe with one */
	uint8_t protocol; /* RTPROT_ */
};

/*
 * Both fail with EEXIST in the kernel if it is there already; a route is appended behind others to
 * the same dst.
 */
void inet_encode_address_add(const struct inet_address *a, struct nlmsghdr *hdr);
void inet_encode_address_delete(const struct inet_address *a, struct nlmsghdr *hdr);
void inet_encode_route_add(const struct inet_route *r, struct nlmsghdr *hdr);

/* All addresses of one interface; caller frees the array. family AF_UNSPEC: both. */
int inet_list_addresses(struct netlink *nl, int family, uint32_t ifindex, struct inet_address **ret,
			size_t *ret_len, struct err *e) MUST_CHECK;

/* All unicast routes of one interface in every table; caller frees the array. */
int inet_list_routes(struct netlink *nl, int family, uint32_t ifindex, struct inet_route **ret,
		     size_t *ret_len, struct err *e) MUST_CHECK;

#endif
