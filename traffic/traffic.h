/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to packets of the fabric on their way through this host, as data. Pure.
 *
 *   masquerade  packets that leave the network get this host's address, so that answers find back
 *   forward     packets from and to the network may pass through this host
 *   guard       tunnel packets are taken from peers only and never from containers; what comes out
 *               of the tunnel must not pretend to come from here
 *
 * From the network, the own subnet and the options follow the rules, and from the peers' leases the
 * addresses that the guard lets in. kernel/nft.h writes both to the kernel.
 */
#ifndef TRAFFIC_TRAFFIC_H
#define TRAFFIC_TRAFFIC_H

#include "kernel/nft.h"

#define TRAFFIC_EXCLUDE_MAX 64
#define TRAFFIC_TABLE_MAX   20 /* bytes of a table's name: chains of iptables are named after it */
#define TRAFFIC_DEVICES     2
#define TRAFFIC_GUARDS      2

/*
 * Names inside the table, part of the interface: operators see them, scripts read them. None without
 * a dash, since nft reads back no name that is a word of its language, and it learns new ones.
 */
#define TRAFFIC_SET_PEERS        "fabric-peers"
#define TRAFFIC_SET_PEERS_V6     "fabric-peers6"
#define TRAFFIC_SET_CONTAINERS   "container-devices"
#define TRAFFIC_SET_STRANGERS    "fabric-strangers"
#define TRAFFIC_SET_STRANGERS_V6 "fabric-strangers6"
#define TRAFFIC_COUNTER_GUARD    "guard-dropped"
#define TRAFFIC_COUNTER_SPOOF    "spoofed-dropped"

/* kube-proxy's mark of packets that it masquerades itself. */
#define TRAFFIC_KUBE_MARK 0x4000u

/* The first four go together: guard sends what concerns them to the second and third. */
enum traffic_chain {
	TRAFFIC_GUARD,
	TRAFFIC_TUNNEL, /* tunnel packets */
	TRAFFIC_INNER,  /* what comes out of the tunnel */
	TRAFFIC_OUTPUT, /* what this host sends: tunnel packets are not tracked */
	TRAFFIC_MASQUERADE,
	TRAFFIC_TABLE_CHAINS,
	/* In iptables only: in a table of our own an accept changes nothing, and costs each packet. */
	TRAFFIC_FORWARD = TRAFFIC_TABLE_CHAINS,
	TRAFFIC_CHAINS
};
/* Of the table, in the order of enum traffic_chain. */
extern const struct nft_chain traffic_chains[TRAFFIC_TABLE_CHAINS];

/* The first ones have elements of ours; in the others the guard remembers who sent what it dropped. */
enum {
	TRAFFIC_PEERS,
	TRAFFIC_PEERS_V6,
	TRAFFIC_CONTAINERS,
	TRAFFIC_SETS,
	TRAFFIC_STRANGERS = TRAFFIC_SETS,
	TRAFFIC_STRANGERS_V6,
	TRAFFIC_ALL_SETS
};
extern const struct nft_set traffic_sets[TRAFFIC_ALL_SETS];

#define TRAFFIC_STRANGERS_MAX 256 /* remembered at most, in each family, */
#define TRAFFIC_STRANGER_S    600 /* for this time after the last packet */

struct traffic_options {
	bool masquerade;
	bool fully_random;
	bool forward;
	bool guard;                   /* tunnel packets from peers only */
	bool anti_spoof;              /* on what comes out of the tunnel */
	bool notrack;                 /* tunnel packets are kept out of connection tracking */
	const struct ip_net *exclude; /* networks that are not masqueraded towards */
	size_t exclude_len;
};

/* A tunnel device, and which packets are the tunnel's. */
struct traffic_device {
	char name[IFNAMSIZ];
	struct traffic_guard {
		uint8_t protocol; /* IPPROTO_; 0: none */
		uint16_t port;    /* destination, host order; 0: the protocol has none */
	} guard[TRAFFIC_GUARDS];
	uint16_t udp_port; /* its tunnel's, guarded or not; 0: it is in no UDP */
};

/* Index 0 is IPv4, 1 IPv6; unset where the network has none. */
struct traffic_place {
	struct ip_net network[2];
	struct ip_net own[2];
	/* Where tunnel packets come in, as a rule: what comes elsewhere is judged at length. */
	char underlay[2][IFNAMSIZ];
	struct ip_addr local[2]; /* the address there */
	const struct traffic_device *devices;
	size_t devices_len;
};

/* Packets of a tunnel. */
struct traffic_tunnel {
	uint8_t protocol; /* IPPROTO_ */
	uint16_t port;    /* 0: the protocol has none */
	bool guarded; /* they come from peers only, and go to this port; else they come from it */
};
#define TRAFFIC_TUNNELS (TRAFFIC_DEVICES * (TRAFFIC_GUARDS + 1))
/* Each of them once; how many. */
size_t traffic_tunnels(const struct traffic_place *place,
		       struct traffic_tunnel ret[static TRAFFIC_TUNNELS]);

struct traffic_rules {
	struct nft_rule *items;
	size_t len;
	size_t cap;
};

/* The rules of these chains (mask of 1 << enum traffic_chain; TRAFFIC_GUARD stands for the first
 * four), appended to *ret, which the caller frees with traffic_rules_fini. Rules borrow nothing
 * from the arguments. */
void traffic_rules(const struct traffic_options *o, const struct traffic_place *place,
		   unsigned chains, struct traffic_rules *ret);
void traffic_rules_fini(struct traffic_rules *r);

/* What nft_replace_ruleset takes: the chains in use, their rules, and the guard's sets and counters.
 * Borrows `rules`, `table`, `mark` and `counters`, of which there are two. */
struct nft_ruleset traffic_ruleset(const char *table, const char *mark,
				   const struct traffic_rules *rules,
				   const struct nft_counter *counters);

#endif
