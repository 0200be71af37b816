/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network devices: looked up, made, changed, deleted. What only a kind of device understands is
 * kernel/device_kind.h's.
 */
#ifndef KERNEL_LINK_H
#define KERNEL_LINK_H

#include <net/if.h>

#include "kernel/device_kind.h"
#include "kernel/netlink.h"
#include "lib/addr.h"

#define LINK_ALIAS_SIZE 64  /* longer ones are cut */
#define LINK_DATA_MAX   512 /* bytes of a device's own attributes that are kept */

struct link_info {
	uint32_t ifindex;
	char name[IFNAMSIZ];
	char kind[16]; /* "bridge", "veth", ...; empty for physical devices and lo */
	uint32_t mtu_bytes;
	bool up; /* administratively */
	bool running;
	bool loopback;
	bool no_arp; /* neither asks for neighbours nor answers */
	uint32_t master_ifindex;
	uint32_t group;
	bool peer_elsewhere; /* what it is linked with, a veth's other end, is in another namespace */
	struct mac_addr mac;
	bool xdp;                    /* a program of XDP sees what comes in */
	bool vlans;                  /* a bridge that tells VLANs apart */
	uint8_t port_state;          /* of a bridge's port: BR_STATE_ */
	bool port_confined;          /* of a bridge's port: isolated, or locked */
	char alias[LINK_ALIAS_SIZE]; /* what somebody noted about it; "" for nothing */
	/* What IFLA_INFO_DATA holds, for the device's kind to read; nothing if it is longer. */
	uint16_t data_size;
	uint8_t data[LINK_DATA_MAX] __attribute__((aligned(4)));
};

/* -ENODEV if there is none. */
int link_get_by_name(struct netlink *nl, const char *name, struct link_info *ret,
		     struct err *e) MUST_CHECK;
int link_get_by_index(struct netlink *nl, uint32_t ifindex, struct link_info *ret,
		      struct err *e) MUST_CHECK;
/* All devices of the namespace in kernel order; caller frees the array. */
int link_list(struct netlink *nl, struct link_info **ret, size_t *ret_len,
	      struct err *e) MUST_CHECK;

struct link_new {
	const char *name;
	const struct device_kind *kind;
	const void *spec;
	struct mac_addr mac; /* zero: the kernel's choice, or the kind has none */
	uint32_t mtu_bytes;  /* 0: the kernel's choice */
};
/* Made down, with the MAC already in place so that nobody (udev) invents another. */
int link_create(struct netlink *nl, const struct link_new *device, struct err *e) MUST_CHECK;
/*
 * Makes a device of this kind, which matched DEVICE_MOVABLE, as specified; it keeps its index,
 * routes, neighbours and FDB. -EOPNOTSUPP if the kernel cannot (Linux before 4.13).
 */
int link_change(struct netlink *nl, uint32_t ifindex, const struct device_kind *kind,
		const void *spec, struct err *e) MUST_CHECK;
int link_delete(struct netlink *nl, uint32_t ifindex, struct err *e) MUST_CHECK;

int link_set_up(struct netlink *nl, uint32_t ifindex, struct err *e) MUST_CHECK;
int link_set_down(struct netlink *nl, uint32_t ifindex, struct err *e) MUST_CHECK;
/* Takes it down for the moment if the kernel does not rename a device that is up. */
int link_set_name(struct netlink *nl, uint32_t ifindex, const char *name, struct err *e) MUST_CHECK;
int link_set_alias(struct netlink *nl, uint32_t ifindex, const char *alias,
		   struct err *e) MUST_CHECK;
int link_set_mtu(struct netlink *nl, uint32_t ifindex, uint32_t mtu_bytes,
		 struct err *e) MUST_CHECK;
int link_set_mac(struct netlink *nl, uint32_t ifindex, const struct mac_addr *mac,
		 struct err *e) MUST_CHECK;
/* Takes it out of the bridge, bond, team or VRF that it is in. */
int link_set_alone(struct netlink *nl, uint32_t ifindex, struct err *e) MUST_CHECK;

/* Reads RTM_NEWLINK or RTM_DELLINK (*ret_gone). False for anything else and for what cannot be
 * read. */
bool link_decode(const struct nlmsghdr *hdr, struct link_info *ret, bool *ret_gone);

#endif
