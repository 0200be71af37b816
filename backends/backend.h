/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a backend is: the answer to "which kernel objects does one lease mean?"
 *
 * A backend is pure. It reads its part of the network configuration, says what this host must
 * publish, which device it needs, and which objects each peer's lease stands for. It never adds or
 * deletes anything itself: devices and objects are made equal to its answer by fabric/apply.c. So
 * a backend is one file, tested without root.
 *
 * Order of use: create, set_host (again whenever the underlay changes), publish (before the lease
 * is written), devices, set_ifindex (whenever a device got a new one), then own_objects and
 * peer_objects as often as leases change.
 */
#ifndef BACKENDS_BACKEND_H
#define BACKENDS_BACKEND_H

#include <net/if.h>

#include "kernel/link.h"
#include "kernel/object.h"
#include "subnet/config.h"
#include "subnet/lease.h"

#define BACKEND_DEVICES      2 /* one for each family at most */
#define BACKEND_PEER_OBJECTS 8

/* What a backend must know of this host. Copied. */
struct backend_host {
	const char *node_id;
	uint32_t lower_ifindex; /* the external interface */
	uint32_t lower_mtu_bytes;
	struct ip_addr local_v4; /* its own there, unset if none: where tunnel packets come from */
	struct ip_addr local_v6;
	struct ip_addr public_v4; /* what peers send to */
	struct ip_addr public_v6;
};

/* How the kernel would reach a peer's public address, without the fabric. */
struct backend_path {
	bool on_link;     /* directly, with no router in between */
	uint32_t ifindex; /* over this device; 0: not at all */
};

/* A device that must exist. */
struct backend_device {
	char name[IFNAMSIZ];
	struct link_vxlan vxlan;
	struct mac_addr mac;
	uint32_t mtu_bytes;
};

/* Objects of one lease, in a caller's array. */
struct backend_objects {
	struct kernel_object items[BACKEND_PEER_OBJECTS];
	size_t len;
};

struct backend;

struct backend_type {
	const char *name; /* as in Backend.Type, lower case */
	/* Reads the Backend object; the error names key, value and range. */
	int (*create)(const struct network_config *config, struct backend **ret, struct err *e);
	void (*free)(struct backend *b);
	/* Where this host stands in the underlay. An error: why this backend cannot work there. */
	int (*set_host)(struct backend *b, const struct backend_host *host, struct err *e);
	/* An existing device of ours has this MAC: keep it, since peers know it. NULL if there are
	 * no devices. */
	void (*keep_mac)(struct backend *b, size_t device, const struct mac_addr *mac);
	/* Fills type, data and public addresses of our own lease. */
	void (*publish)(const struct backend *b, struct lease *own);
	/* How many devices, and which. `own` is the subnet we hold. */
	size_t (*devices)(const struct backend *b,
			  struct backend_device ret[static BACKEND_DEVICES]);
	/* Device number `device` (as in devices) has this index now; 0: it does not exist. */
	void (*set_ifindex)(struct backend *b, size_t device, uint32_t ifindex);
	/* Objects for our own subnet. */
	void (*own_objects)(const struct backend *b, const struct subnet *own,
			    struct backend_objects *ret);
	/*
	 * Objects for a peer, none if it needs none. An error means its lease is of no use to us,
	 * and says why in a peer's terms. `paths` (IPv4, IPv6) are filled in only if needs_paths.
	 */
	int (*peer_objects)(const struct backend *b, const struct lease *peer,
			    const struct backend_path paths[static 2], struct backend_objects *ret,
			    struct err *e);
	/* MTU that containers may use. */
	uint32_t (*pod_mtu)(const struct backend *b);
	/* One sentence for people: "vxlan vni 1 port 8472". */
	void (*describe)(const struct backend *b, char *buf, size_t size);
};

/* First member of every backend's own struct. */
struct backend {
	const struct backend_type *type;
	bool needs_paths; /* peer_objects depends on how the kernel reaches the peer */
};

/* NULL-terminated. */
extern const struct backend_type *const backend_types[];

/* Looks the type up and creates it. The error lists the types there are. */
int backend_create(const struct network_config *config, struct backend **ret,
		   struct err *e) MUST_CHECK;
void backend_free(struct backend *b);

/*
 * A peer's address in one family that packets can be sent to: -EINVAL with the reason if it is
 * missing, not unicast, ours, or inside the overlay `network`.
 */
int backend_check_public(const struct lease *peer, int family, const struct ip_net *network,
			 const struct backend_host *host, struct err *e) MUST_CHECK;
/* That the peer's lease is of our type. */
int backend_check_type(const struct lease *peer, const struct backend_type *type,
		       struct err *e) MUST_CHECK;

static inline const struct ip_addr *backend_public_address(const struct lease *l, int family)
{
	return family == AF_INET ? &l->public_v4 : &l->public_v6;
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
