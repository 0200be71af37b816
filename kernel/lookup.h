/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel would do with one packet, asked of it as it asks itself: which route the packet
 * takes, which neighbour has an address, where a bridge or a VXLAN device sends a MAC address. One
 * question, one answer; nothing is dumped, and nothing here changes anything.
 * Source: linux/rtnetlink.h, linux/neighbour.h; single neighbours and FDB entries since Linux 5.0.
 */
#ifndef KERNEL_LOOKUP_H
#define KERNEL_LOOKUP_H

#include <net/if.h>

#include "kernel/netlink.h"
#include "lib/addr.h"

#define LOOKUP_ROUTE_TEXT     224
#define LOOKUP_NEIGHBOUR_TEXT 96

struct lookup_packet {
	struct ip_addr dst;
	struct ip_addr src;   /* may be unset for the host's own */
	uint32_t iif_ifindex; /* where it comes in; 0: it is the host's own */
	uint8_t protocol;     /* IPPROTO_; 0: not known */
	uint16_t port;        /* destination, host order; 0: it has none */
};

struct lookup_route {
	uint8_t type;     /* RTN_ */
	uint8_t protocol; /* who made it, RTPROT_ */
	uint32_t table;   /* RT_TABLE_ */
	bool onlink;
	struct ip_net dst;      /* of the route itself */
	struct ip_addr gateway; /* unset: on the link */
	struct ip_addr source;  /* that a packet of the host would have; may be unset */
	uint32_t ifindex;       /* 0: none */
	uint32_t mtu_bytes;     /* of the way, also learned; 0: the device's */
	uint32_t mtu_left_s;    /* until a learned one is forgotten; 0: it was not learned */
	char device[IFNAMSIZ];
};

/*
 * The route that this packet takes. Errors are the kernel's verdict on the packet: -ENETUNREACH no
 * route, -EHOSTUNREACH, -EACCES and -EINVAL what routes and rules of type unreachable, prohibit and
 * blackhole say, -EXDEV its source does not belong there (rp_filter).
 */
int lookup_route(struct netlink *nl, const struct lookup_packet *p, struct lookup_route *ret,
		 struct err *e) MUST_CHECK;
/* As ip route shows it: "10.5.3.0/24 via 10.5.3.0 dev flannel.1 onlink proto 116". */
const char *lookup_route_format(const struct lookup_route *r, char buf[static LOOKUP_ROUTE_TEXT]);

struct lookup_neighbour {
	uint16_t state; /* NUD_; 0: there is none */
	struct mac_addr mac;
};
/* Who has the address on this device. None is no error. */
int lookup_neighbour(struct netlink *nl, uint32_t ifindex, const struct ip_addr *address,
		     struct lookup_neighbour *ret, struct err *e) MUST_CHECK;
/* "02:00:00:00:00:07, permanent"; "none". */
const char *lookup_neighbour_format(const struct lookup_neighbour *n,
				    char buf[static LOOKUP_NEIGHBOUR_TEXT]);
/* Whether packets wait for an answer that has not come: state "incomplete" or "failed". */
bool lookup_neighbour_is_silent(const struct lookup_neighbour *n);

struct lookup_fdb {
	bool found;
	uint32_t port_ifindex; /* of a bridge */
	struct ip_addr remote; /* of a VXLAN device; unset: none */
};
/* Where this bridge or VXLAN device (`is_bridge`) sends frames for the address. */
int lookup_fdb(struct netlink *nl, uint32_t ifindex, bool is_bridge, const struct mac_addr *mac,
	       struct lookup_fdb *ret, struct err *e) MUST_CHECK;

/* ---- for tests: one message as an answer. False, and *ret untouched, if it is none. Pure. ---- */

/* All but `device`. */
bool lookup_route_decode(const struct nlmsghdr *hdr, struct lookup_route *ret);
bool lookup_neighbour_decode(const struct nlmsghdr *hdr, struct lookup_neighbour *ret);
bool lookup_fdb_decode(const struct nlmsghdr *hdr, struct lookup_fdb *ret);

#endif
