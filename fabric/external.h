/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which interfaces and addresses of this host face the other hosts: one of each in each family, most
 * often the same interface in both.
 *
 * Order, as flannel's: every iface, every iface-regex, iface-can-reach, and if none of them was
 * given public-ip as a local address, then the default route: fabric/default_route.h says which of
 * several, and stays where it is. Each family chooses for itself, and where nothing tells it where it
 * goes with the other one. The address that is published may be another than the one that packets are
 * sent from: behind NAT the host does not own it, and it never becomes a source address.
 *
 * IPv6 that is switched off in the kernel is left out, if there is IPv4.
 */
#ifndef FABRIC_EXTERNAL_H
#define FABRIC_EXTERNAL_H

#include <net/if.h>

#include "fabric/default_route.h"
#include "kernel/netlink.h"
#include "lib/addr.h"
#include "lib/options.h"
#include "subnet/config.h"

/* How to choose, as the options of the same names say. Texts are "" if not given. */
struct external_options {
	struct option_list iface;
	struct option_list iface_regex;
	char *iface_can_reach;
	char *public_ip;
	char *public_ipv6;
};

/* One family's place; all unset if the network does not have it, or this host. */
struct external_place {
	uint32_t ifindex;
	char name[IFNAMSIZ];
	/* How it was asked for, if by its name: it may have another one by now. "" else. */
	char asked[IFNAMSIZ];
	const char *by; /* what it was chosen by: a flag's name, "the default route" ... */
	/* The interface's; of lo, which may have the address alone, of the one that leads out. */
	uint32_t mtu_bytes;
	uint32_t mtu_ifindex;  /* whose MTU that is */
	struct ip_addr local;  /* owned by the interface */
	struct ip_addr public; /* what peers are told */
	struct ip_net segment; /* the on-link prefix of the local address */
	/* A default route that is not followed, and why; "" if there is none. */
	char note[DEFAULT_ROUTE_NOTE];
};

#define EXTERNAL_OFF_TEXT  128
#define EXTERNAL_LOST_TEXT (ERR_TEXT_SIZE + 8)

struct external {
	struct external_place places[2]; /* IPv4, IPv6 */
	char v6_off[EXTERNAL_OFF_TEXT];  /* why IPv6 is left out though the network has it, or "" */
	/* Why one family's place is none any more, as it was before and stays, or "". */
	char lost[EXTERNAL_LOST_TEXT];
};

/*
 * -ENODEV if nothing matched; the sentence lists what was tried. -ENETDOWN: the interface is down.
 * -EAGAIN, -EADDRNOTAVAIL: its address cannot be used yet, or at all (duplicate address detection).
 * before (may be NULL): what was in use; of several addresses that would do, its are kept, and so is
 * an interface that was asked for by its name and has another one now.
 */
int external_choose(struct netlink *nl, const struct external_options *o,
		    const struct network_config *config, const struct external *before,
		    struct external *ret, struct err *e) MUST_CHECK;

/* Whether a change of any interface, route or address may be one of the choice. */
bool external_is_unsettled(const struct external *x);
/* Whether this is an interface that packets to peers leave by. */
bool external_is_interface(const struct external *x, uint32_t ifindex);
/* Whether one is called so, was when it was chosen, or was asked for by that name. */
bool external_is_name(const struct external *x, const char *name);
/* Whether both mean the same place. */
bool external_equal(const struct external *a, const struct external *b);

#define EXTERNAL_TEXT 700
/* "eth0, mtu 1500, public address 192.0.2.1", and so for each interface; into `buf`, which is
 * returned. before (may be NULL): where it was another, that stands first, "mtu 1500 -> 1400". */
const char *external_format(const struct external *before, const struct external *now,
			    char buf[static EXTERNAL_TEXT]);

#endif
