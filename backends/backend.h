/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a backend is: the answer to "which kernel objects does one lease mean?"
 *
 * A backend is pure. It reads its part of the network configuration, says what this host must
 * publish, which device it needs, and which objects each peer's lease stands for. It never adds or
 * deletes anything itself: devices and objects are made equal to its answer by the fabric. So a
 * backend is one file, tested without root.
 *
 * Its life, in the order in which the members are called:
 *
 *   1. create       once, from the network configuration
 *   2. set_host     where this host stands; again whenever the underlay changes
 *   3. device_is    for each device of ours that an earlier run left, and for none: before it is known
 *                   to peers
 *   4. start        once, if there is a live part
 *   5. publish      before our lease is written; again after 2, and when the backend says so
 *   6. devices      which must exist; again after 2, and when the backend says so
 *      device_is    whenever one of them has another index
 *   7. want_own     the objects of our own subnet; again after 2 and 6, and when the backend says so
 *   8. peer_parse   once for each lease of a peer, and once for each change of it
 *      want_peer    its objects, from what was parsed; again when want_own is, and when the way to it
 *                   changes (needs_paths)
 *      peer         of the live part: packets are to be sent to it, or no more
 *   9. stop         of the live part; the data path stays
 *  10. free         once, after the data of all peers was freed
 *
 * Of the live part own comes before 7, sweep when all that is wanted stands.
 *
 * pod_mtu, families and health may be called at any time after 2, describe after 1; describe_peer
 * needs no backend. An error of 1, 2 or 4 ends it with 10: the configuration is of no use here.
 *
 * Members that may be NULL, and what that means: devices, device_is (no devices), want_own (no
 * objects), want_peer (no objects, and any lease is good), peer_parse (nothing in the lease but what
 * struct lease has), describe_peer (nothing to show), families (all), health (nothing), secret (none),
 * live (all is kernel objects), leftover (nothing but kernel objects).
 *
 * Pointers that a backend is given live as long as the call, but for backend_env. What it must keep,
 * it copies.
 */
#ifndef BACKENDS_BACKEND_H
#define BACKENDS_BACKEND_H

#include <net/if.h>

#include "kernel/device_kind.h"
#include "kernel/object.h"
#include "lib/json.h"
#include "lib/members.h"
#include "lib/problem.h"
#include "subnet/config.h"
#include "subnet/lease.h"

#define BACKEND_DEVICES_MAX 2 /* one for each family at most */
#define BACKEND_GUARDS      2

/* The external interface of a family. */
struct backend_lower {
	uint32_t ifindex;
	uint32_t mtu_bytes;
};

/* What a backend must know of this host. */
struct backend_host {
	const char *node_id;
	const void *secret;            /* as the type asks for; wiped after the call */
	struct backend_lower lower[2]; /* IPv4, IPv6; all zero, and so the addresses: none here */
	struct ip_addr local_v4;       /* its own there: where tunnel packets come from */
	struct ip_addr local_v6;
	struct ip_addr public_v4; /* what peers send to */
	struct ip_addr public_v6;
};

/* How the kernel would reach a peer's public address, without the fabric. */
struct backend_path {
	bool on_link;     /* directly, with no router in between */
	uint32_t ifindex; /* over this device; 0: not at all */
};

/* Packets that only peers may send to this host. */
struct backend_guard {
	uint8_t protocol; /* IPPROTO_; 0: none */
	uint16_t port;    /* destination, host order; 0: the protocol has none */
};

/* A device that must exist. */
struct backend_device {
	char name[IFNAMSIZ];
	const struct device_kind *kind;
	const void *spec;    /* the kind's; lives as long as this */
	struct mac_addr mac; /* zero: the kind has none */
	uint32_t mtu_bytes;  /* 0: the kernel's choice */
	uint8_t families;    /* of the packets inside: mask, 1 for IPv4, 2 for IPv6 */
	uint16_t udp_port;   /* that it listens on, host order; 0: none */
	bool has_neighbours; /* carries Ethernet frames, each to the MAC address of a neighbour */
	struct backend_guard guard[BACKEND_GUARDS];
};

/* Objects that are wanted for one lease. Zero-initialised; whoever holds it frees items. */
struct wants {
	struct kernel_object *items;
	size_t len;
	size_t cap;
};

void wants_add(struct wants *w, const struct kernel_object *o);
static inline void wants_fini(struct wants *w)
{
	free(w->items);
	*w = (struct wants){ 0 };
}
#define auto_wants __attribute__((cleanup(wants_fini)))

struct backend;
struct event_base;
struct kernel;

/* A key of this host, made once and kept over reboots (lib/secret.h): who has it is this host. */
struct backend_secret {
	const char *name; /* of the file in the state directory: "wireguard.key" */
	size_t size;      /* bytes, SECRET_KEY_MAX at most */
	/* Where flannel keeps it, and the variable that names another place: a key from there is
	 * taken over, once. NULL: it has none. */
	const char *flannel_variable;
	const char *flannel_path;
};

/* What is another now, and so is to be asked for again. */
enum backend_change {
	BACKEND_PUBLISH = 1, /* publish */
	BACKEND_DEVICES = 2, /* devices */
	BACKEND_WANTS = 4,   /* want_own, want_peer of all peers */
	BACKEND_HEALTH = 8,  /* health */
};

/* What a live part works with, until stop. */
struct backend_env {
	struct event_base *loop;
	struct kernel *kernel;
	const char *state_dir;
	/* Something (a mask of enum backend_change) has changed. May be called at any time, from
	 * inside a member too: the loop asks later. */
	void (*changed)(void *arg, unsigned what);
	void *arg;
};

/* What has gone between a peer and this host, as far as a device counts it for each peer. */
struct backend_traffic {
	int64_t handshake_s; /* the last one, Unix time; 0: none yet */
	uint64_t received_bytes;
	uint64_t sent_bytes;
};

/*
 * What runs beside kernel objects: commands, another daemon, a socket. Nothing in it blocks.
 */
struct backend_live {
	/* env lives until stop. An error: why this backend cannot work here. */
	int (*start)(struct backend *b, const struct backend_env *env, struct err *e);
	/* Our lease is held, or is another now: before any peer is told. Without start before it nothing is
	 * run, and only want_peer is asked (kernel/rehearsal.h). NULL: nothing depends on it. */
	void (*own)(struct backend *b, const struct subnet *own);
	/* A peer is used from now on, or its lease has changed; `gone`: no more, and only its subnet
	 * counts. data as in want_peer, NULL if gone. NULL: peers are kernel objects alone. */
	void (*peer)(struct backend *b, const struct lease *peer, const void *data, bool gone);
	/* All that is wanted stands: what an earlier run left for peers that nobody has told of goes. May be called
	 * again and again. NULL: nothing can be left. */
	void (*sweep)(struct backend *b);
	/* Adds what is wrong now. NULL: never anything. */
	void (*health)(const struct backend *b, struct problem_list *ret);
	/* What has gone between us and a peer that is used; data as in want_peer. False: that is not known.
	 * NULL: never. */
	bool (*traffic)(struct backend *b, const void *data, struct backend_traffic *ret);
	/* After it nothing of the backend runs in the loop. keep_data_path: what packets need stays
	 * as it is, as it does when the daemon is killed; else it is taken down. */
	void (*stop)(struct backend *b, bool keep_data_path);
};

struct backend_type {
	const char *name; /* as in Backend.Type, lower case */
	const char *
		keys; /* that it reads of the Backend object beside Type, between blanks; or NULL */
	bool untyped; /* its leases have no BackendType, as flannel's have none */
	/* Somebody else makes its devices: one that has our subnet's address and no mark is theirs, and
	 * not what a flannel daemon left. */
	bool foreign_devices;
	/* Of its devices; NULL if it has none. */
	const struct device_kind *device_kind;
	const struct backend_secret *secret;
	const struct backend_live *live;
	/* Reads the Backend object; the error names key, value and range. */
	int (*create)(const struct network_config *config, struct backend **ret, struct err *e);
	void (*free)(struct backend *b);
	/* Where this host stands in the underlay. An error: why this backend cannot work there. */
	int (*set_host)(struct backend *b, const struct backend_host *host, struct err *e);
	/*
	 * Fills type, data and public addresses of our own lease, all unset before. -EAGAIN with a
	 * sentence: not known yet, BACKEND_PUBLISH will tell; no lease is written before.
	 */
	int (*publish)(const struct backend *b, struct lease *own, struct err *e);
	/* How many devices, BACKEND_DEVICES_MAX at most, and which. They are the backend's, and may
	 * change under the reader with set_host and device_is. */
	size_t (*devices)(const struct backend *b, const struct backend_device **ret);
	/* Device number `device` (as in devices) has this index and MAC now; index 0: it does not
	 * exist. A MAC that peers may know is kept, if it is one. */
	void (*device_is)(struct backend *b, size_t device, uint32_t ifindex,
			  const struct mac_addr *mac);
	/* Adds the objects of our own subnet. */
	void (*want_own)(const struct backend *b, const struct subnet *own, struct wants *ret);
	/*
	 * Reads what a lease of this type carries for us, and nothing but that: the result does not
	 * depend on this host or its configuration. *ret is one block of memory that the caller frees
	 * with free(); it lives as long as the lease is unchanged. An error says what is wrong in a
	 * peer's terms.
	 */
	int (*peer_parse)(const struct lease *peer, void **ret, struct err *e);
	/*
	 * Adds the objects of a peer, none if it needs none; data is what peer_parse gave. An error
	 * means that its lease is of no use to us, and says why in a peer's terms; what was added
	 * does not count then. `paths` (IPv4, IPv6) are filled in only if needs_paths.
	 */
	int (*want_peer)(const struct backend *b, const struct lease *peer, const void *data,
			 const struct backend_path paths[static 2], struct wants *ret,
			 struct err *e);
	/*
	 * What a lease says, for people and programs: sets members of a JSON object. data NULL: the
	 * lease is of another type or cannot be read; sets those that every lease is promised to
	 * have, to null.
	 */
	void (*describe_peer)(const void *data, struct members *item);
	/* MTU that containers may use. */
	uint32_t (*pod_mtu)(const struct backend *b);
	/* Families in which containers of this host can reach others, of those that the network has:
	 * mask, 1 for IPv4, 2 for IPv6. NULL: all. */
	unsigned (*families)(const struct backend *b);
	/* Adds what is wrong with this host's place, though some of it works. NULL: never anything. */
	void (*health)(const struct backend *b, struct problem_list *ret);
	/* One sentence for people: "host-gw". */
	void (*describe)(const struct backend *b, char *buf, size_t size);
	/*
	 * What an earlier run with this type left beside kernel objects, while another type is in use:
	 * a backend of which only the live part's start, sweep, health and stop are called, and free;
	 * its sweep takes it all down. NULL: nothing was left.
	 */
	struct backend *(*leftover)(const char *state_dir);
};

/* First member of every backend's own struct. */
struct backend {
	const struct backend_type *type;
	bool needs_paths; /* want_peer depends on how the kernel reaches the peer */
};

/* NULL-terminated. The first one is meant where a configuration names none. */
extern const struct backend_type *const backend_types[];

/* The type that a configuration asks for. Borrowed from either. */
const char *backend_type_name(const struct network_config *config);
/* Looks the type up and creates it. The error lists the types there are. */
int backend_create(const struct network_config *config, struct backend **ret,
		   struct err *e) MUST_CHECK;
void backend_free(struct backend *b);

/*
 * Whether packets between hosts can have this address, whatever they have it for: -EINVAL names the
 * `key` it stands under and the reason. Not if it is not unicast or inside the overlay `network`, nor, in
 * IPv4, link-local, unless this host's own one, `local`, is: then the underlay is one link.
 */
int backend_check_address(const char *key, const struct ip_addr *address,
			  const struct ip_net *network, const struct ip_addr *local,
			  struct err *e) MUST_CHECK;
/*
 * A peer's address in one family that packets can be sent to: -EINVAL with the reason if it is
 * missing, not as above, or ours.
 */
int backend_check_public(const struct lease *peer, int family, const struct ip_net *network,
			 const struct backend_host *host, struct err *e) MUST_CHECK;
/* A host without a place for IPv6 says nothing of it, and is reached by IPv4. */
static inline bool backend_lacks_v6(const struct lease *peer)
{
	return ip_net_is_set(&peer->subnet.v4) && !ip_addr_is_set(&peer->public_v6) &&
	       !peer->backend_v6_data;
}

/*
 * The MTU of a route to a peer, over a device of ours that has `own_bytes`: its underlay's as it says,
 * less `overhead`, where that is less than ours. 0: ours, as for a peer that does not say.
 */
uint16_t backend_route_mtu(const struct lease *peer, int family, uint32_t own_bytes,
			   uint32_t overhead);
/*
 * peer_parse of a lease that must be of this type. *ret is NULL where the type has nothing to
 * parse; the caller frees it.
 */
int backend_parse(const struct backend_type *type, const struct lease *peer, void **ret,
		  struct err *e) MUST_CHECK;
/* The members of these names, or what their absence means. */
size_t backend_devices(const struct backend *b, const struct backend_device **ret);
void backend_want_own(const struct backend *b, const struct subnet *own, struct wants *ret);
int backend_want_peer(const struct backend *b, const struct lease *peer, const void *data,
		      const struct backend_path paths[static 2], struct wants *ret,
		      struct err *e) MUST_CHECK;
/* What the lease says in the terms of its own type, whatever ours is: see describe_peer. */
void backend_describe_lease(const struct lease *l, struct members *item);

static inline const struct ip_addr *backend_public_address(const struct lease *l, int family)
{
	return family == AF_INET ? &l->public_v4 : &l->public_v6;
}

/* The smaller MTU of the families that this host has. */
static inline uint32_t backend_least_mtu(const struct backend_host *h)
{
	uint32_t v4 = h->lower[0].mtu_bytes;
	uint32_t v6 = h->lower[1].mtu_bytes;

	return v4 && v6 ? MIN(v4, v6) : MAX(v4, v6);
}

/* What a lease says of the underlay's MTU: more than 65535 no packet has. */
static inline uint16_t backend_publish_mtu(uint32_t mtu_bytes)
{
	return (uint16_t)MIN(mtu_bytes, (uint32_t)UINT16_MAX);
}

static inline const struct ip_net *backend_subnet(const struct subnet *s, int family)
{
	return family == AF_INET ? &s->v4 : &s->v6;
}

/*
 * A MAC address for a device of this host: the same after every reboot, different for every node,
 * network and family. Unicast, locally administered.
 */
struct mac_addr backend_derive_mac(const char *node_id, uint32_t network, int family);

#endif
