/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The four kinds of kernel objects that a fabric has many of, as plain comparable values, and their
 * netlink form.
 *
 *   address     10.5.17.0/32 on flannel.1
 *   FDB entry   VTEP MAC -> underlay address of the host behind it
 *   neighbour   overlay address -> VTEP MAC
 *   route       subnet via overlay address, or via underlay address
 *
 * An object is a key, which names the slot it takes in the kernel, and a value, what stands there.
 * Two objects with one key exclude each other; writing an object replaces what has its key. Pure:
 * bytes in, bytes out. Source: linux/rtnetlink.h, linux/neighbour.h, linux/if_addr.h.
 */
#ifndef KERNEL_OBJECT_H
#define KERNEL_OBJECT_H

#include <linux/netlink.h>

#include "lib/addr.h"

/* The order in which objects are made, so that a route never points at nothing; they are removed in
 * reverse. */
enum kernel_kind { KERNEL_ADDRESS, KERNEL_FDB, KERNEL_NEIGHBOUR, KERNEL_ROUTE, KERNEL_KINDS };

/* No padding, all bytes defined, so that it can be hashed and compared as bytes. */
struct kernel_key {
	uint8_t kind;   /* enum kernel_kind */
	uint8_t family; /* AF_INET, AF_INET6; FDB: AF_BRIDGE */
	uint8_t len;    /* prefix length; 0 for FDB and neighbour */
	uint8_t zero;
	uint32_t ifindex; /* 0 for routes: their slot is not bound to a device */
	uint32_t table;   /* routes only */
	uint32_t metric;  /* routes only; the kernel's default for IPv6 is 1024 */
	uint8_t dst[16];  /* address, or the MAC in the first 6 bytes (FDB) */
};

struct kernel_value {
	uint8_t protocol; /* routes: who made it (RTPROT_) */
	uint8_t type;     /* routes: RTN_ */
	uint8_t scope;    /* routes and addresses: RT_SCOPE_ */
	uint8_t onlink; /* routes: the gateway is reachable on the device whatever the table says */
	uint16_t state; /* neighbour and FDB: NUD_ */
	uint8_t flags;  /* neighbour and FDB: NTF_ */
	uint8_t gateway_family; /* routes: 0 without gateway; FDB: family of the remote address */
	uint32_t ifindex;       /* routes: output device, 0 for blackhole */
	uint8_t gateway[16];    /* routes: gateway; FDB: remote underlay address */
	struct mac_addr mac;    /* neighbour */
	uint8_t extra; /* KERNEL_EXTRA_: what others may add to an object and we never do */
	uint8_t zero;
};

#define KERNEL_EXTRA_PATHS      0x01 /* routes: several gateways, or a nexthop object */
#define KERNEL_EXTRA_ATTRIBUTES 0x02 /* routes: metrics, source; FDB: port, VNI, interface */

struct kernel_object {
	struct kernel_key key;
	struct kernel_value value;
};

_Static_assert(sizeof(struct kernel_key) == 32, "kernel_key has padding");
_Static_assert(sizeof(struct kernel_value) == 36, "kernel_value has padding");

#define KERNEL_ROUTE_METRIC_V6 1024
#define KERNEL_OBJECT_TEXT     160

/* Constructors: all that is not named gets the value that a dump would show. */
struct kernel_object kernel_address(uint32_t ifindex, const struct ip_net *net);
struct kernel_object kernel_fdb(uint32_t ifindex, const struct mac_addr *mac,
				const struct ip_addr *remote);
struct kernel_object kernel_neighbour(uint32_t ifindex, const struct ip_addr *addr,
				      const struct mac_addr *mac);
/* gateway may be NULL (directly connected). protocol: RTPROT_ or our own. Table main, unicast. */
struct kernel_object kernel_route(const struct ip_net *dst, const struct ip_addr *gateway,
				  uint32_t ifindex, bool onlink, uint8_t protocol);
struct kernel_object kernel_route_blackhole(const struct ip_net *dst, uint8_t protocol);

bool kernel_value_equal(const struct kernel_object *a, const struct kernel_object *b);

/* The destination address and the remote or gateway (family 0 if there is none). */
struct ip_addr kernel_object_dst(const struct kernel_object *o);
struct ip_addr kernel_object_gateway(const struct kernel_object *o);
struct mac_addr kernel_object_mac(const struct kernel_object *o);

/*
 * Encodes a request into `hdr`, room NETLINK_MESSAGE_MAX. put: create, and with `replace` take over
 * an existing slot, without it fail with EEXIST. drop: delete exactly this object, nothing that
 * merely has its key.
 */
void kernel_object_encode_put(const struct kernel_object *o, bool replace, struct nlmsghdr *hdr);
void kernel_object_encode_drop(const struct kernel_object *o, struct nlmsghdr *hdr);

/* A dump request for one kind. ifindex and protocol 0 mean any. */
void kernel_object_encode_dump(enum kernel_kind kind, int family, uint32_t ifindex,
			       uint8_t protocol, struct nlmsghdr *hdr);

/*
 * Reads a dumped object or a notification. True if it is one of the four kinds and well formed;
 * *ret_gone says whether it is a deletion. Cloned routes and other tables than main give false.
 * Routes with several gateways have neither gateway nor device.
 */
bool kernel_object_decode(const struct nlmsghdr *hdr, struct kernel_object *ret, bool *ret_gone);

/* "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102", as ip(8) would say it; into `buf`,
 * returned. */
const char *kernel_object_format(const struct kernel_object *o,
				 char buf[static KERNEL_OBJECT_TEXT]);
const char *kernel_kind_name(enum kernel_kind kind);

#endif
