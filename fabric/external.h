/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which interface and addresses of this host face the other hosts.
 *
 * Order, as flannel's: every iface, every iface-regex, iface-can-reach, and if none of them was
 * given public-ip as a local address, then the default route: fabric/default_route.h says which of
 * several, and stays where it is. The address that is published may be
 * another than the one that packets are sent from: behind NAT the host does not own it, and it
 * never becomes a source address.
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

struct external {
	uint32_t ifindex;
	char name[IFNAMSIZ];
	uint32_t mtu_bytes;
	struct ip_addr local_v4; /* owned by the interface; unset if the family is off */
	struct ip_addr local_v6;
	struct ip_addr public_v4; /* what peers are told */
	struct ip_addr public_v6;
	struct ip_net segment_v4; /* the on-link prefix of the local address; unset as that is */
	struct ip_net segment_v6;
	/* IPv4, IPv6: a default route that is not followed, and why; "" if there is none. */
	char note[2][DEFAULT_ROUTE_NOTE];
};

/*
 * -ENODEV if nothing matched; the sentence lists what was tried. -ENETDOWN: the interface is down.
 * -EAGAIN, -EADDRNOTAVAIL: its address cannot be used yet, or at all (duplicate address detection).
 * before (may be NULL): what was in use; of several addresses that would do, its are kept. Only its
 * local addresses count.
 */
int external_choose(struct netlink *nl, const struct external_options *o,
		    const struct network_config *config, const struct external *before,
		    struct external *ret, struct err *e) MUST_CHECK;

/* Whether there is a default route that is not followed. */
static inline bool external_is_noted(const struct external *x)
{
	return *x->note[0] || *x->note[1];
}

#define EXTERNAL_PUBLIC_TEXT (2 * IP_ADDR_TEXT + 8)
/* "192.0.2.1", or "192.0.2.1 and 2001:db8::1": what peers are told, into `buf`, which is returned. */
const char *external_format_public(const struct external *x, char buf[static EXTERNAL_PUBLIC_TEXT]);

#define EXTERNAL_CHANGE_TEXT (2 * EXTERNAL_PUBLIC_TEXT + 2 * IFNAMSIZ + 80)
/* "eth0, mtu 1500 -> 1400, public address 192.0.2.1": what is, and where it is another what was. */
const char *external_format_change(const struct external *before, const struct external *now,
				   char buf[static EXTERNAL_CHANGE_TEXT]);

#endif
