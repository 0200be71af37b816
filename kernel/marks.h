/* SPDX-License-Identifier: Apache-2.0 */
/* How this host's fabric marks what it makes in the kernel, to know it again after any restart. */
#ifndef KERNEL_MARKS_H
#define KERNEL_MARKS_H

#include "lib/addr.h"

/*
 * The routes we make carry our number in rtm_protocol, so that after any restart we know them
 * again.
 *
 * It is a range of numbers. Linux keeps all IPv4 routes that agree in protocol, metric and device
 * in one hash chain (fib_info_hashfn) and walks it for every route added: ten thousand peers on one
 * device cost 50 million comparisons, about a second, and fifty thousand half a minute. Spread over
 * 64 numbers by subnet they cost 0.8 and 20 million. No routing daemon has a number of the range.
 * Routes on devices that are not ours carry the first, so that a dump can ask for them.
 */
#define FABRIC_ROUTE_PROTOCOL      102
#define FABRIC_ROUTE_PROTOCOLS_LEN 64
uint8_t fabric_route_protocol(const struct ip_net *dst);

static inline bool fabric_is_our_protocol(uint8_t protocol)
{
	return protocol >= FABRIC_ROUTE_PROTOCOL &&
	       protocol < FABRIC_ROUTE_PROTOCOL + FABRIC_ROUTE_PROTOCOLS_LEN;
}

/*
 * Devices carry our mark as alias (IFLA_IFALIAS), tables of nf_tables as comment, jumps into our
 * chains of iptables as comment of the rule. The same text for all of them, one for each daemon on
 * this host: who runs two, with a state directory each, runs two fabrics, and neither touches what
 * the other has marked. What has no mark is never ours.
 */
#define MARK_SIZE   32
#define MARK_PREFIX "flanneld " /* of every daemon's */

/* The tables of nf_tables, inet and bridge, that the CNI plugin makes. */
#define MARK_CNI_TABLE "flannel-cni"

/* The group (IFLA_GROUP) of the host's end of each container's interface that the CNI plugin makes. */
#define MARK_CONTAINER_GROUP 0x666c /* "fl" */

/* The name under which the plugin records what docker asked for: no network of a CNI configuration. */
#define MARK_DOCKER_NETWORK "docker-flannel"

/* "flanneld 0123456789abcdef", from what stays the same after any restart. */
const char *mark_format(char buf[static MARK_SIZE], const char *node_id, const char *state_dir);

#endif
