/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices of a container's attachment: veth pairs, bridges and bridge ports.
 *
 * kernel/link.c does the daemon's devices, one call each. This is for a process that lives for three
 * milliseconds and is started for every container: many requests fit one system call
 * (kernel/sequence.h). Source: linux/if_link.h, linux/if_bridge.h, linux/rtnetlink.h.
 */
#ifndef KERNEL_DEVICE_H
#define KERNEL_DEVICE_H

#include <linux/netlink.h>
#include <net/if.h>

#include "kernel/netlink.h"
#include "lib/addr.h"

#define DEVICE_VLAN_MAX 4094

struct device {
	uint32_t ifindex;
	char name[IFNAMSIZ];
	char kind[16]; /* "bridge", "veth", ...; empty for physical devices and lo */
	struct mac_addr mac;
	uint32_t mtu_bytes;
	bool up;          /* administratively */
	bool operational; /* and carrying traffic, as the kernel last noticed */
	bool promiscuous;
	bool no_arp; /* neither asks for neighbours nor answers */
	uint32_t master_ifindex;
	uint32_t group;
	uint32_t peer_ifindex; /* veth: the other end, an index of the other end's namespace */
	bool port_hairpin;     /* this and the next: of a port of a bridge */
	bool port_isolated;
};

/* -ENODEV if there is none. */
int device_get(struct netlink *nl, const char *name, struct device *ret, struct err *e) MUST_CHECK;
int device_get_by_index(struct netlink *nl, uint32_t ifindex, struct device *ret,
			struct err *e) MUST_CHECK;

/*
 * Returns when the device is gone, which for a veth takes the kernel some 15 to 30 ms; its peer
 * goes with it.
 */
int device_delete(struct netlink *nl, uint32_t ifindex, struct err *e) MUST_CHECK;

struct device_veth {
	const char *name;
	struct mac_addr mac;
	uint32_t master_ifindex; /* bridge to be a port of; 0: none */
	bool up;                 /* this end; the other one starts down */
	const char *peer_name;
	struct mac_addr peer_mac;
	int peer_netns_fd;  /* where the peer is born; -1: here */
	uint32_t mtu_bytes; /* of both ends; 0: the kernel's choice */
	uint32_t group;     /* of this end: a number by which rules can match it */
};

/*
 * One request makes the whole pair in its two namespaces. -EEXIST: one of the names is taken;
 * nothing is made then.
 */
int device_create_veth(struct netlink *nl, const struct device_veth *veth,
		       struct err *e) MUST_CHECK;

/*
 * A bridge, still down, that has this MAC for good: one that the kernel chose would follow its
 * ports. mtu_bytes 0: the kernel's choice, the smallest of its ports. -EEXIST.
 */
int device_create_bridge(struct netlink *nl, const char *name, const struct mac_addr *mac,
			 uint32_t mtu_bytes, struct err *e) MUST_CHECK;

/* Changes of a device, to be sent in a sequence. flags and mask: IFF_UP, IFF_PROMISC. */
void device_encode_flags(uint32_t ifindex, unsigned flags, unsigned mask, struct nlmsghdr *hdr);
/* To be a port of this bridge. */
void device_encode_master(uint32_t ifindex, uint32_t master_ifindex, struct nlmsghdr *hdr);
void device_encode_mac(uint32_t ifindex, const struct mac_addr *mac, struct nlmsghdr *hdr);
/*
 * IPv4 addresses are announced when the device comes up, and when its MAC is said again (arp_notify;
 * since Linux 2.6.38 by netlink): what /proc/sys would do, without its cost (kernel/sysctl.h).
 */
void device_encode_arp_notify(uint32_t ifindex, struct nlmsghdr *hdr);
/* The next three fail with EOPNOTSUPP on kernels without the feature. */
void device_encode_port(uint32_t ifindex, bool hairpin, bool isolated, struct nlmsghdr *hdr);
void device_encode_vlan_filtering(uint32_t bridge_ifindex, struct nlmsghdr *hdr);
/* VLANs first..last of a port. flags: BRIDGE_VLAN_INFO_PVID, _UNTAGGED. */
void device_encode_vlan(bool add, uint32_t ifindex, uint16_t first, uint16_t last, uint16_t flags,
			struct nlmsghdr *hdr);

#endif
