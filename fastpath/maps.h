/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs of the fast path (fast_path.bpf.c) and the daemon tell each other: the keys and values
 * of their maps. Read by both compilers, so it has the kernel's types. No padding.
 */
#ifndef FASTPATH_MAPS_H
#define FASTPATH_MAPS_H

#include <linux/types.h>

#define FAST_CONTAINERS_MAX 16384
#define FAST_METERED_MAX    32768 /* addresses of other hosts' containers, each way */
#define FAST_TUNNELS        2

/* What became of packets. The first ones took the path, the others went the ordinary way, and why. */
#define FAST_OUTCOMES(X)                                                                           \
	X(OUT, "out", "from a container into the tunnel")                                          \
	X(IN, "in", "out of the tunnel to a container")                                            \
	X(LOCAL, "local", "between two containers of this host")                                   \
	X(OFF, "off", "the path is off")                                                           \
	X(PROTOCOL, "protocol", "neither TCP nor UDP, or reserved ports")                          \
	X(FORM, "form", "fragments, options, extension headers, what does not add up")             \
	X(SOURCE, "source", "from an address that is not this container's, or not the peer's")     \
	X(DESTINATION, "destination", "to what is no container that is known")                     \
	X(TTL, "ttl", "they end here")                                                             \
	X(SIZE, "size", "larger than the next device takes")                                       \
	X(CONNTRACK, "conntrack", "of a connection that the kernel tracks")                        \
	X(ROUTE, "route", "the routes lead elsewhere, or a neighbour is not known")

#define FAST_OUTCOME_PLACE(upper, name, text) FAST_##upper,
enum fast_outcome { FAST_OUTCOMES(FAST_OUTCOME_PLACE) FAST_OUTCOMES_LEN };

/* The one element of the map `settings`. */
struct fast_settings {
	__u32 on;
	__u32 tunnels[FAST_TUNNELS]; /* the indexes of our tunnel devices; 0: none */
	__u32 port;                  /* the tunnel's, of UDP, network order */
	__u32 counts;                /* whether `metered` and `delivered` are filled */
};

/* Key of `containers`: an IPv6 address, or an IPv4 one as ::ffff:a.b.c.d. */
struct fast_address {
	__u32 words[4];
};

/* Whose address it is, and where that container lives. */
struct fast_container {
	__u32 ifindex;   /* our end of its link */
	__u32 segment;   /* the bridge that this is on */
	__u32 mtu_bytes; /* of the link */
	__u8 mac[6];     /* the container's */
	__u8 gateway[6]; /* the bridge's, which it sends to what is beyond */
};

/* Key of `metered`: an address of another host's container, and which way. */
struct fast_metered {
	struct fast_address address;
	__u32 sent; /* to it; 0: received from it */
};

/* Value of `metered`, and of `delivered`, whose key is the device of the container that received. */
struct fast_count {
	__u64 packets;
	__u64 bytes; /* of IP packets */
};

#endif
