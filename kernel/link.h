/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network devices: looked up, made, changed, deleted. Devices are few and have many attributes, so
 * libnl-3 encodes and decodes them; the bytes travel over kernel/netlink.c like all others.
 */
#ifndef KERNEL_LINK_H
#define KERNEL_LINK_H

#include <net/if.h>

#include "kernel/netlink.h"
#include "lib/addr.h"

struct link_vxlan {
	uint32_t vni;
	uint16_t port; /* UDP destination port, host order */
	bool gbp;
	bool l2miss;
	/* Only these can be changed while the device is there, see link_move_vxlan. */
	uint32_t lower_ifindex; /* device the tunnel runs over; 0 for none */
	struct ip_addr local;   /* source address; unset: the kernel chooses per route */
	bool learning;
};

struct link_info {
	uint32_t ifindex;
	char name[IFNAMSIZ];
	char kind[16]; /* "vxlan", "bridge", "veth", ...; empty for physical devices and lo */
	uint32_t mtu_bytes;
	bool up; /* administratively */
	bool running;
	bool loopback;
	uint32_t master_ifindex;
	struct mac_addr mac;
	struct link_vxlan vxlan; /* valid if kind is "vxlan" */
};

/* -ENODEV if there is none. */
int link_get_by_name(struct netlink *nl, const char *name, struct link_info *ret,
		     struct err *e) MUST_CHECK;
int link_get_by_index(struct netlink *nl, uint32_t ifindex, struct link_info *ret,
		      struct err *e) MUST_CHECK;
/* All devices of the namespace in kernel order; caller frees the array. */
int link_list(struct netlink *nl, struct link_info **ret, size_t *ret_len,
	      struct err *e) MUST_CHECK;

/* Made down, with the MAC already in place so that nobody (udev) invents another. mtu_bytes 0: the
 * kernel's choice. */
int link_create_vxlan(struct netlink *nl, const char *name, const struct link_vxlan *v,
		      const struct mac_addr *mac, uint32_t mtu_bytes, struct err *e) MUST_CHECK;
/*
 * Gives an existing VXLAN device another lower device, source address and learning; it keeps its
 * index, routes, neighbours and FDB. -EOPNOTSUPP if the kernel cannot (before Linux 4.13, or the
 * address is of another family than before).
 */
int link_move_vxlan(struct netlink *nl, uint32_t ifindex, const struct link_vxlan *v,
		    struct err *e) MUST_CHECK;
int link_delete(struct netlink *nl, uint32_t ifindex, struct err *e) MUST_CHECK;

int link_set_up(struct netlink *nl, uint32_t ifindex, struct err *e) MUST_CHECK;
/* Takes it down for the moment if the kernel does not rename a device that is up. */
int link_set_name(struct netlink *nl, uint32_t ifindex, const char *name, struct err *e) MUST_CHECK;
int link_set_mtu(struct netlink *nl, uint32_t ifindex, uint32_t mtu_bytes,
		 struct err *e) MUST_CHECK;
int link_set_mac(struct netlink *nl, uint32_t ifindex, const struct mac_addr *mac,
		 struct err *e) MUST_CHECK;

/* Reads RTM_NEWLINK or RTM_DELLINK (*ret_gone). False for anything else and for what libnl cannot
 * read. */
bool link_decode(const struct nlmsghdr *hdr, struct link_info *ret, bool *ret_gone);

#endif
