/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/traffic.h"

#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>

#define COMMENT_MASQUERADE "flanneld masq"
#define COMMENT_FORWARD    "flanneld forward"

const struct nft_chain traffic_chains[TRAFFIC_TABLE_CHAINS] = {
	/* Before connection tracking: what is dropped here costs no entry there. */
	[TRAFFIC_GUARD] = { "fabric-guard", "filter", NF_INET_PRE_ROUTING, NF_IP_PRI_RAW },
	[TRAFFIC_TUNNEL] = { "fabric-tunnel", NULL, 0, 0 },
	[TRAFFIC_INNER] = { "fabric-inner", NULL, 0, 0 },
	[TRAFFIC_OUTPUT] = { "fabric-output", "filter", NF_INET_LOCAL_OUT, NF_IP_PRI_RAW },
	[TRAFFIC_MASQUERADE] = { "fabric-postrtg", "nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC },
};

const struct nft_set traffic_sets[TRAFFIC_ALL_SETS] = {
	[TRAFFIC_PEERS] = { .name = TRAFFIC_SET_PEERS, .type = NFT_KEY_IPV4 },
	[TRAFFIC_PEERS_V6] = { .name = TRAFFIC_SET_PEERS_V6, .type = NFT_KEY_IPV6 },
	[TRAFFIC_CONTAINERS] = { .name = TRAFFIC_SET_CONTAINERS, .type = NFT_KEY_IFNAME },
	[TRAFFIC_STRANGERS] = { .name = TRAFFIC_SET_STRANGERS,
				.type = NFT_KEY_IPV4,
				.memory_len = TRAFFIC_STRANGERS_MAX,
				.memory_s = TRAFFIC_STRANGER_S },
	[TRAFFIC_STRANGERS_V6] = { .name = TRAFFIC_SET_STRANGERS_V6,
				   .type = NFT_KEY_IPV6,
				   .memory_len = TRAFFIC_STRANGERS_MAX,
				   .memory_s = TRAFFIC_STRANGER_S },
};

static const uint8_t families[2] = { AF_INET, AF_INET6 };

static struct ip_net net(const char *text)
{
	struct ip_net n;

	if (ip_net_parse(text, AF_UNSPEC, &n, NULL) < 0)
		abort();
	return n;
}

static struct nft_rule *add(struct traffic_rules *r, enum traffic_chain chain, uint8_t family,
			    enum nft_action action)
{
	struct nft_rule *rule;

	GROW(r->items, r->len, r->cap);
	rule = &r->items[r->len++];
	*rule = (struct nft_rule){ .chain = (uint8_t)chain, .family = family, .action = action };
	return rule;
}

/* ---- masquerade ---- */

static struct nft_rule *masquerade(struct traffic_rules *r, uint8_t family, enum nft_action action,
				   const struct ip_net *source, bool source_not,
				   const struct ip_net *destination, bool destination_not)
{
	struct nft_rule *rule = add(r, TRAFFIC_MASQUERADE, family, action);

	if (source)
		rule->source = *source;
	if (destination)
		rule->destination = *destination;
	rule->source_not = source_not;
	rule->destination_not = destination_not;
	rule->comment = COMMENT_MASQUERADE;
	return rule;
}

static void masquerade_rules(const struct traffic_options *o, const struct traffic_place *place,
			     size_t f, struct traffic_rules *ret)
{
	enum nft_action snat =
		o->fully_random ? NFT_ACTION_MASQUERADE_RANDOM : NFT_ACTION_MASQUERADE;
	struct ip_net multicast = f == 0 ? net("224.0.0.0/4") : net("ff00::/8");
	const struct ip_net *all = &place->network[f];
	const struct ip_net *own = &place->own[f];
	uint8_t family = families[f];
	struct nft_rule *rule;

	rule = masquerade(ret, family, NFT_ACTION_RETURN, NULL, false, NULL, false);
	rule->mark = rule->mark_mask = TRAFFIC_KUBE_MARK;
	masquerade(ret, family, NFT_ACTION_RETURN, own, false, all, false);
	masquerade(ret, family, NFT_ACTION_RETURN, all, false, own, false);
	/* From outside to a container here: it shall see who calls; the way back is through us. */
	masquerade(ret, family, NFT_ACTION_RETURN, all, true, own, false);
	for (size_t i = 0; i < o->exclude_len; i++) {
		if (o->exclude[i].addr.family == family)
			masquerade(ret, family, NFT_ACTION_RETURN, all, false, &o->exclude[i],
				   false);
	}
	masquerade(ret, family, snat, all, false, &multicast, true);
	/* From outside through us to a container elsewhere: its answer must come back this way. */
	masquerade(ret, family, snat, all, true, all, false);
}

/* ---- forward ---- */

static void forward_rules(const struct traffic_place *place, size_t f, struct traffic_rules *ret)
{
	struct nft_rule *rule = add(ret, TRAFFIC_FORWARD, families[f], NFT_ACTION_ACCEPT);

	rule->source = place->network[f];
	rule->comment = COMMENT_FORWARD;
	rule = add(ret, TRAFFIC_FORWARD, families[f], NFT_ACTION_ACCEPT);
	rule->destination = place->network[f];
	rule->comment = COMMENT_FORWARD;
}

/* ---- guard ---- */

static struct nft_rule *drop(struct traffic_rules *r, enum traffic_chain chain, uint8_t family,
			     const char *counter, const char *comment)
{
	struct nft_rule *rule = add(r, chain, family, NFT_ACTION_DROP);

	rule->counter = counter;
	rule->comment = comment;
	return rule;
}

/*
 * What rules cost. Each packet of a container meets the base chain here, each packet between hosts the
 * whole of it twice at the receiver. Measured, of one condition on one packet: 10 ns for bytes of a
 * header (1, 2 or 4), 15 for a protocol or a family, 45 for the name of a device, 65 for an address in
 * a set, 110 for a name in a set, 165 for an address in a set of intervals. So the usual packet is let
 * go by few of the first kind, and the others are judged one by one behind that.
 */

static struct ip_net host_net(const struct ip_addr *a)
{
	return (struct ip_net){ *a, (uint8_t)ip_family_bits(a->family) };
}

/* Most packets have nothing to do with the tunnel: they meet these rules and no others. */
static struct nft_rule *jump(struct traffic_rules *r, enum traffic_chain to)
{
	struct nft_rule *rule = add(r, TRAFFIC_GUARD, 0, NFT_ACTION_JUMP);

	rule->jump = traffic_chains[to].name;
	return rule;
}

/*
 * Tunnel packets to this host come from peers. Containers have no business with them at all, to
 * whomever: not by their address, which remote containers cannot hide from the rules on the tunnel
 * device, and not by the device they come in from, whatever address they write into them. Tunnel
 * packets that merely pass through, of somebody else's overlay, are none of our concern.
 *
 * by_protocol: some of the tunnel's packets have no port. Else whatever has its port comes here.
 */
static void tunnel_rules(const struct traffic_options *o, const struct traffic_place *place,
			 bool by_protocol, struct traffic_rules *ret)
{
	static const char *const sets[2] = { TRAFFIC_SET_PEERS, TRAFFIC_SET_PEERS_V6 };
	static const char *const memories[2] = { TRAFFIC_SET_STRANGERS, TRAFFIC_SET_STRANGERS_V6 };
	static const char from_container[] = "tunnel packet of a container";
	struct nft_rule *rule;

	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		if (!place->underlay[f][0] || !ip_addr_is_set(&place->local[f]))
			continue;
		rule = add(ret, TRAFFIC_TUNNEL, families[f], NFT_ACTION_ACCEPT);
		memcpy(rule->in_device, place->underlay[f], IFNAMSIZ);
		rule->source_set = sets[f];
		rule->comment = "tunnel packet of a peer";
		rule->notrack = o->notrack;
		/* One that merely passes through may be translated. */
		if (o->notrack)
			rule->destination = host_net(&place->local[f]);
		if (o->notrack && !by_protocol)
			rule->protocol = IPPROTO_UDP;
	}
	if (!by_protocol) {
		rule = add(ret, TRAFFIC_TUNNEL, 0, NFT_ACTION_RETURN);
		rule->protocol = IPPROTO_UDP;
		rule->protocol_not = true;
	}
	rule = drop(ret, TRAFFIC_TUNNEL, 0, TRAFFIC_COUNTER_GUARD, from_container);
	rule->in_device_set = TRAFFIC_SET_CONTAINERS;
	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		if (ip_net_is_set(&place->network[f])) {
			rule = drop(ret, TRAFFIC_TUNNEL, families[f], TRAFFIC_COUNTER_GUARD,
				    from_container);
			rule->source = place->network[f];
		}
		/* A rule of its own: one with a set that is full goes no further. */
		rule = add(ret, TRAFFIC_TUNNEL, families[f], NFT_ACTION_REMEMBER);
		rule->source_set = sets[f];
		rule->source_set_not = true;
		rule->to_this_host = true;
		rule->remember = memories[f];
		rule = drop(ret, TRAFFIC_TUNNEL, families[f], TRAFFIC_COUNTER_GUARD,
			    "tunnel packet of no peer");
		rule->source_set = sets[f];
		rule->source_set_not = true;
		rule->to_this_host = true;
	}
}

/* 224.0.0.0/3: multicast, reserved and broadcast. */
static const char *const impossible[] = { "0.0.0.0/8",   "127.0.0.0/8", "169.254.0.0/16",
					  "224.0.0.0/3", "::/127",      "fe80::/10",
					  "ff00::/8" };

static void impossible_source(struct traffic_rules *ret, struct ip_net source)
{
	struct nft_rule *rule = drop(ret, TRAFFIC_INNER, source.addr.family, TRAFFIC_COUNTER_SPOOF,
				     "impossible source");

	rule->source = source;
}

/* What comes out of the tunnel comes from another host's containers. */
static void inner_rules(const struct traffic_place *place, struct traffic_rules *ret)
{
	static const char *const many[2] = { "224.0.0.0/3", "ff00::/8" };

	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		if (ip_net_is_set(&place->own[f]))
			impossible_source(ret, place->own[f]);
	}
	for (size_t i = 0; i < ARRAY_LEN(impossible); i++)
		impossible_source(ret, net(impossible[i]));
	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		struct nft_rule *rule = drop(ret, TRAFFIC_INNER, families[f], TRAFFIC_COUNTER_SPOOF,
					     "unicast to many");

		rule->not_to_this_mac = true;
		rule->destination = net(many[f]);
		rule->destination_not = true;
	}
}

/* No address of the network is one that the rules above drop. */
static bool all_possible(const struct ip_net *network)
{
	for (size_t i = 0; i < ARRAY_LEN(impossible); i++) {
		struct ip_net no = net(impossible[i]);

		if (ip_net_overlaps(network, &no))
			return false;
	}
	return true;
}

/* The usual packet out of the tunnel meets none of those. */
static void remote_rules(const struct traffic_place *place, struct traffic_rules *ret)
{
	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		struct nft_rule *rule;

		if (!ip_net_is_set(&place->own[f]) || !ip_net_is_set(&place->network[f]) ||
		    !all_possible(&place->network[f]))
			continue;
		rule = add(ret, TRAFFIC_GUARD, families[f], NFT_ACTION_ACCEPT);
		rule->to_this_mac = true;
		rule->source = place->network[f];
		rule->source_outside = place->own[f];
		rule->comment = "packet of another host's container";
	}
}

/* Whether an earlier guard of the place, in the order of devices, is for the same packets. */
static bool guarded_before(const struct traffic_place *place, size_t device, size_t guard)
{
	const struct traffic_guard *this = &place->devices[device].guard[guard];

	for (size_t i = 0; i <= device; i++) {
		for (size_t g = 0; g < (i < device ? TRAFFIC_GUARDS : guard); g++) {
			const struct traffic_guard *other = &place->devices[i].guard[g];

			if (other->protocol == this->protocol && other->port == this->port)
				return true;
		}
	}
	return false;
}

static bool guard_device(const struct traffic_place *place, size_t device, bool by_protocol,
			 struct traffic_rules *ret)
{
	bool guarded = false;

	for (size_t g = 0; g < TRAFFIC_GUARDS; g++) {
		const struct traffic_guard *guard = &place->devices[device].guard[g];
		struct nft_rule *rule;

		if (!guard->protocol)
			continue;
		guarded = true;
		if (guarded_before(place, device, g))
			continue;
		rule = jump(ret, TRAFFIC_TUNNEL);
		if (guard->port && by_protocol)
			rule->udp_port = guard->port;
		else if (guard->port)
			rule->port = guard->port;
		else
			rule->protocol = guard->protocol;
	}
	return guarded;
}

static bool is_by_protocol(const struct traffic_place *place)
{
	bool found = false;

	for (size_t i = 0; i < place->devices_len * TRAFFIC_GUARDS; i++) {
		const struct traffic_device *d = &place->devices[i / TRAFFIC_GUARDS];
		const struct traffic_guard *guard = &d->guard[i % TRAFFIC_GUARDS];

		found |= guard->protocol && !guard->port;
	}
	return found;
}

static void guard_rules(const struct traffic_options *o, const struct traffic_place *place,
			struct traffic_rules *ret)
{
	bool by_protocol = is_by_protocol(place);
	bool guarded = false;

	for (size_t i = 0; i < place->devices_len && o->guard; i++)
		guarded |= guard_device(place, i, by_protocol, ret);
	if (o->anti_spoof && place->devices_len)
		remote_rules(place, ret);
	for (size_t i = 0; i < place->devices_len && o->anti_spoof; i++)
		memcpy(jump(ret, TRAFFIC_INNER)->in_device, place->devices[i].name, IFNAMSIZ);
	if (guarded)
		tunnel_rules(o, place, by_protocol, ret);
	if (o->anti_spoof && place->devices_len)
		inner_rules(place, ret);
}

/* ---- past connection tracking ---- */

static void add_tunnel(struct traffic_tunnel *tunnels, size_t *len, struct traffic_tunnel tunnel)
{
	for (size_t i = 0; i < *len; i++) {
		if (tunnels[i].protocol == tunnel.protocol && tunnels[i].port == tunnel.port)
			return;
	}
	tunnels[(*len)++] = tunnel;
}

size_t traffic_tunnels(const struct traffic_place *place,
		       struct traffic_tunnel ret[static TRAFFIC_TUNNELS])
{
	size_t len = 0;

	for (size_t i = 0; i < place->devices_len; i++) {
		const struct traffic_device *d = &place->devices[i];

		for (size_t g = 0; g < TRAFFIC_GUARDS; g++) {
			if (d->guard[g].protocol)
				add_tunnel(ret, &len,
					   (struct traffic_tunnel){ d->guard[g].protocol,
								    d->guard[g].port, true });
		}
		if (d->udp_port)
			add_tunnel(ret, &len,
				   (struct traffic_tunnel){ IPPROTO_UDP, d->udp_port, false });
	}
	return len;
}

static struct nft_rule *notrack(struct traffic_rules *r, enum traffic_chain chain, uint8_t family,
				const struct traffic_tunnel *tunnel)
{
	struct nft_rule *rule = add(r, chain, family, NFT_ACTION_CONTINUE);

	rule->notrack = true;
	rule->comment = "tunnel packet";
	if (!tunnel->port)
		rule->protocol = tunnel->protocol;
	else if (chain == TRAFFIC_OUTPUT && !tunnel->guarded)
		rule->udp_source_port = tunnel->port;
	else
		rule->udp_port = tunnel->port;
	return rule;
}

/* What the guard takes from peers is not tracked from there on; without a guard it is told here. */
static void notrack_rules(const struct traffic_options *o, const struct traffic_place *place,
			  struct traffic_rules *ret)
{
	struct traffic_tunnel tunnels[TRAFFIC_TUNNELS];
	size_t len = traffic_tunnels(place, tunnels);

	for (size_t i = 0; i < len; i++) {
		notrack(ret, TRAFFIC_OUTPUT, 0, &tunnels[i]);
		for (size_t f = 0; f < ARRAY_LEN(families); f++) {
			if (ip_addr_is_set(&place->local[f]) && !(tunnels[i].guarded && o->guard))
				notrack(ret, TRAFFIC_GUARD, families[f], &tunnels[i])->destination =
					host_net(&place->local[f]);
		}
	}
}

void traffic_rules(const struct traffic_options *o, const struct traffic_place *place,
		   unsigned chains, struct traffic_rules *ret)
{
	if (chains & 1u << TRAFFIC_GUARD && o->notrack)
		notrack_rules(o, place, ret);
	if (chains & 1u << TRAFFIC_GUARD)
		guard_rules(o, place, ret);
	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		if (!ip_net_is_set(&place->network[f]))
			continue;
		if (o->forward && (chains & 1u << TRAFFIC_FORWARD))
			forward_rules(place, f, ret);
		if (o->masquerade && (chains & 1u << TRAFFIC_MASQUERADE) &&
		    ip_net_is_set(&place->own[f]))
			masquerade_rules(o, place, f, ret);
	}
}

void traffic_rules_fini(struct traffic_rules *r)
{
	free(r->items);
	memset(r, 0, sizeof(*r));
}

struct nft_ruleset traffic_ruleset(const char *table, const char *mark,
				   const struct traffic_rules *rules,
				   const struct nft_counter *counters)
{
	uint32_t without = 1u << TRAFFIC_OUTPUT | 1u << TRAFFIC_MASQUERADE;

	for (size_t i = 0; i < rules->len; i++)
		without &= ~(1u << rules->items[i].chain);
	return (struct nft_ruleset){
		.table = { .family = NFPROTO_INET, .name = table, .mark = mark },
		.chains = traffic_chains,
		.chains_len = TRAFFIC_TABLE_CHAINS,
		.chains_without = without,
		.sets = traffic_sets,
		.sets_len = TRAFFIC_ALL_SETS,
		.counters = counters,
		.counters_len = 2,
		.rules = rules->items,
		.rules_len = rules->len
	};
}
