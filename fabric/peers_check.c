/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that hold for every backend: a lease must not take what the network or this host has. */
#include <errno.h>

#include "fabric/peers.h"

/* One family's part of a peer's subnet. Lengths are those that a valid configuration may have. */
static int check_subnet(const struct network_family *n, const struct ip_net *subnet,
			const struct ip_addr *local, const struct ip_net *segment, struct err *e)
{
	bool v4 = subnet->addr.family == AF_INET;
	unsigned longest = v4 ? 30 : 126;
	char text[IP_NET_TEXT];

	if (!ip_net_is_set(subnet) || !n->enabled)
		return 0;
	if (!ip_net_contains_net(&n->network, subnet))
		return err_set(e, -EINVAL, "subnet is outside %s %s",
			       v4 ? "Network" : "IPv6Network", ip_net_format(&n->network, text));
	if (subnet->len < n->network.len + 2 || subnet->len > longest)
		return err_set(e, -EINVAL, "subnet's length is %u, must be from %u to %u",
			       subnet->len, n->network.len + 2, longest);
	if (ip_net_contains(subnet, local))
		return err_set(e, -EINVAL, "contains this host's own address in the underlay");
	/* A network inside the segment works, as long as nobody there has its addresses; but out of
	 * one around it no lease may take what this host reaches directly. */
	if (ip_net_is_set(segment) && ip_net_contains_net(&n->network, segment) &&
	    ip_net_overlaps(subnet, segment))
		return err_set(e, -EINVAL, "overlaps this host's segment of the underlay, %s",
			       ip_net_format(segment, text));
	return 0;
}

/* Nobody can be reached at the first and the last address of an IPv4 segment. */
static int check_unicast(const char *what, const struct ip_net *segment, const struct ip_addr *addr,
			 struct err *e)
{
	char text[IP_ADDR_TEXT];
	struct ip_net host = { *addr, segment->len };
	u128 last;

	if (!ip_net_is_set(segment) || segment->len > 30 || !ip_net_contains(segment, addr))
		return 0;
	last = ip_addr_to_u128(&segment->addr) + ip_net_size(AF_INET, segment->len) - 1;
	if (!ip_net_has_host_bits(&host) || ip_addr_to_u128(addr) == last)
		return err_set(e, -EINVAL, "%s address %s is the %s address of the underlay", what,
			       ip_addr_format(addr, text),
			       ip_net_has_host_bits(&host) ? "broadcast" : "network");
	return 0;
}

/* Where its packets come from: the guard lets them in. The public address is the backend's to judge,
 * where it uses one. */
static int check_source(const char *key, const struct network_family *n,
			const struct ip_addr *source, const struct ip_addr *local, struct err *e)
{
	if (!n->enabled || !ip_addr_is_set(source))
		return 0;
	return backend_check_address(key, source, &n->network, local, e);
}

int peers_check(const struct peers_place *place, const struct lease *l, struct err *e)
{
	char text[SUBNET_KEY_TEXT];

	if (l->problem)
		return err_set(e, -EINVAL, "%s", l->problem);
	if (check_subnet(&place->v4, &l->subnet.v4, &place->local_v4, &place->segment_v4, e) < 0 ||
	    check_subnet(&place->v6, &l->subnet.v6, &place->local_v6, &place->segment_v6, e) < 0 ||
	    check_unicast("public", &place->segment_v4, &l->public_v4, e) < 0 ||
	    check_unicast("source", &place->segment_v4, &l->source_v4, e) < 0 ||
	    check_source("Source", &place->v4, &l->source_v4, &place->local_v4, e) < 0 ||
	    check_source("SourceIPv6", &place->v6, &l->source_v6, &place->local_v6, e) < 0)
		return e->code;
	if (subnet_overlaps(&l->subnet, &place->own))
		return err_set(e, -EEXIST, "overlaps this host's own subnet %s",
			       subnet_format(&place->own, text));
	return 0;
}

bool peers_is_vacant(const struct lease *l)
{
	return l->flags & LEASE_RESERVED && !l->node_id && !l->backend_type && !l->problem;
}
