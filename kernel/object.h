/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel objects that a fabric has many of, as plain comparable values.
 *
 *   element     an address, or the name of a device, in a set of our table of nf_tables
 *   address     10.5.17.0/32 on flannel.1
 *   FDB entry   VTEP MAC -> underlay address of the host behind it
 *   neighbour   overlay address -> VTEP MAC
 *   WireGuard peer   public key -> underlay address and port
 *   allowed-ip  subnet -> public key of the WireGuard peer that it is behind
 *   xfrm policy subnet to subnet, and in which direction -> tunnel between two hosts
 *   route       subnet via overlay address, or via underlay address
 *
 * An object is a key, which names the slot it takes in the kernel, and a value, what stands there.
 * Two objects with one key exclude each other; writing an object replaces what has its key. What
 * can be done with one is said by its kind, in kernel/kinds.h. Pure.
 */
#ifndef KERNEL_OBJECT_H
#define KERNEL_OBJECT_H

#include <linux/netlink.h>

#include "lib/addr.h"

/* No padding, all bytes defined, so that it can be hashed and compared as bytes. */
struct kernel_key {
	uint8_t kind;   /* its place in kernel_kinds */
	uint8_t family; /* AF_INET, AF_INET6; FDB: AF_BRIDGE; a name or a public key: 0 */
	uint8_t len;    /* prefix length; 0 where there is none; element: place of the set */
	uint8_t zero;
	uint32_t ifindex; /* 0 for routes: their slot is not bound to a device */
	uint32_t metric; /* routes only; the kernel's default for IPv6 is 1024. Always table main */
	uint8_t dst[16]; /* address, or the MAC in the first 6 bytes (FDB), or a name, or the first
			    half of a WireGuard peer's public key, or an xfrm policy's selector:
			    source, destination, their lengths, XFRM_POLICY_ */
};

/* One of four forms, each as long as the longest. */
struct kernel_value {
	union {
		struct {
			uint8_t protocol; /* routes: who made it (RTPROT_) */
			uint8_t type;     /* routes: RTN_ */
			uint8_t scope;    /* routes and addresses: RT_SCOPE_ */
			uint8_t onlink;   /* routes: the gateway is reachable on the device whatever
					     the table says */
			union {
				struct {
					uint8_t state; /* neighbour and FDB: NUD_ */
					uint8_t flags; /* neighbour and FDB: NTF_ */
				};
				uint16_t
					mtu_bytes; /* routes: of what goes there; 0: the device's */
			};
			uint8_t gateway_family; /* routes: 0 without gateway; FDB: of the remote */
			uint8_t extra;    /* KERNEL_EXTRA_: what others may add and we never do */
			uint32_t ifindex; /* routes: output device, 0 for blackhole */
			/* Routes: gateway; FDB: remote underlay address; neighbour: the MAC in the
			 * first 6 bytes. */
			uint8_t gateway[16];
			uint8_t unused[8];
		};
		struct {
			uint8_t second[16]; /* half of the public key */
			uint8_t address[16];
			uint16_t port;  /* host order */
			uint8_t family; /* of the address; 0: there is none */
			uint8_t state;  /* KERNEL_WIREGUARD_; none is wanted */
		} wireguard;
		struct {
			uint8_t key[32]; /* public, of the peer */
			uint8_t unused[4];
		} allowed_ip;
		struct {
			uint8_t from[4]; /* the tunnel's ends */
			uint8_t to[4];
			uint32_t reqid;
			uint32_t priority;
			uint8_t protocol; /* IPPROTO_ */
			uint8_t mode;     /* XFRM_MODE_ */
			uint8_t action;   /* XFRM_POLICY_ALLOW or BLOCK */
			uint8_t extra;    /* not 0: a mark, another template, what we never add */
			uint8_t unused[16];
		} xfrm;
	};
};

#define KERNEL_EXTRA_PATHS      0x01 /* routes: several gateways, or a nexthop object */
#define KERNEL_EXTRA_ATTRIBUTES 0x02 /* routes: other metrics, source; FDB: port, VNI, interface */

/* What a WireGuard peer is seen to be. */
#define KERNEL_WIREGUARD_ALIVE 0x01 /* where its endpoint is now it was heard of late */
#define KERNEL_WIREGUARD_OTHER 0x02 /* preshared key or keepalive are not the device's */

struct kernel_object {
	struct kernel_key key;
	struct kernel_value value;
};

_Static_assert(sizeof(struct kernel_key) == 28, "kernel_key has padding");
_Static_assert(sizeof(struct kernel_value) == 36, "kernel_value has padding");

/* flannel's number of all its templates. */
#define KERNEL_XFRM_REQID 11

/* As the kernel numbers them. */
enum kernel_xfrm_direction { KERNEL_XFRM_IN, KERNEL_XFRM_OUT, KERNEL_XFRM_FORWARD };

#define KERNEL_ROUTE_METRIC_V6 1024
#define KERNEL_ROUTE_MTU_MAX   65520 /* the kernel makes this of more: ip_metrics_convert() */
#define KERNEL_OBJECT_TEXT     160
#define KERNEL_PUBLIC_KEY_SIZE 32

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
/* A peer of the WireGuard device; what all of its peers have alike is the device's. */
struct kernel_object kernel_wireguard_peer(uint32_t ifindex,
					   const uint8_t key[static KERNEL_PUBLIC_KEY_SIZE],
					   const struct ip_addr *address, uint16_t port);
void kernel_wireguard_peer_key(const struct kernel_object *o,
			       uint8_t ret[static KERNEL_PUBLIC_KEY_SIZE]);
/* What is sent there goes to that peer, and is taken from no other. */
struct kernel_object kernel_allowed_ip(uint32_t ifindex, const struct ip_net *net,
				       const uint8_t key[static KERNEL_PUBLIC_KEY_SIZE]);
/* What goes from `source` to `destination` goes through an ESP tunnel from one host to the other. IPv4. */
struct kernel_object kernel_xfrm_policy(enum kernel_xfrm_direction direction,
					const struct ip_net *source,
					const struct ip_net *destination,
					const struct ip_addr *from, const struct ip_addr *to);

/* `set` is its place in kernel_marks.sets. */
struct kernel_object kernel_element_addr(uint8_t set, const struct ip_addr *a);
struct kernel_object kernel_element_device(uint8_t set, const char *name);

bool kernel_is_address(const struct kernel_object *o);
bool kernel_is_route(const struct kernel_object *o);
bool kernel_value_equal(const struct kernel_object *a, const struct kernel_object *b);

/* The destination address, and the remote or gateway; family 0 if there is none. */
struct ip_addr kernel_object_dst(const struct kernel_object *o);
struct ip_addr kernel_object_gateway(const struct kernel_object *o);

#endif
