/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who stops our packets, whatever we accept? Samples of them are walked through the chains of
 * others: containers' to and from other hosts' containers, where packets are forwarded, and the
 * tunnel's, where they come in and go out. What is not certain is not told.
 */
#include <netinet/in.h>

#include <linux/netfilter.h>

#include "traffic/chains.h"
#include "traffic/rules_internal.h"

#define DEVICES_MAX    3      /* container devices tried */
#define PEERS_MAX      4      /* peers whose tunnel packets are tried, in each family */
#define DEFAULT_BRIDGE "cni0" /* while there are no containers */

static const int families[2] = { AF_INET, AF_INET6 };
static const uint8_t peer_sets[2] = { TRAFFIC_PEERS, TRAFFIC_PEERS_V6 };

/* Keys of a set, as many as fit. */
struct keys {
	uint8_t items[PEERS_MAX][NFT_KEY_SIZE];
	size_t size;
	size_t max;
	size_t len;
};

static void keep_key(void *arg, const void *key)
{
	struct keys *k = arg;

	if (k->len < k->max)
		memcpy(k->items[k->len++], key, k->size);
}

static struct keys keys_of(const struct rules *r, uint8_t set, size_t max)
{
	struct keys k = { .size = nft_key_size(traffic_sets[set].type), .max = max };

	if (r->listener)
		r->listener->elements(r->listener_arg, set, keep_key, &k);
	return k;
}

static void set_device(const char *name, char ret[static IFNAMSIZ], uint32_t *ret_index)
{
	snprintf(ret, IFNAMSIZ, "%.*s", IFNAMSIZ - 1, name);
	*ret_index = name[0] ? if_nametoindex(name) : 0;
}

/* ---- words ---- */

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The line that opens the way for forwarded packets. */
static void forward_remedy(const struct rules_survey *s, const struct nft_chain_info *c, int family,
			   char *ret, size_t size)
{
	size_t f = family == AF_INET ? 0 : 1;
	const char *ip = family == AF_INET ? "ip" : "ip6";
	char net[IP_NET_TEXT];

	ip_net_format(&s->r->place.network[f], net);
	if (c && strcmp(c->table, "firewalld") == 0)
		snprintf(ret, size,
			 "firewall-cmd --permanent --zone=trusted --add-source=%s && "
			 "firewall-cmd --reload",
			 net);
	else if (s->ufw && (!c || chains_is_iptables(c, "FORWARD")))
		snprintf(ret, size, "ufw route allow from %s; ufw route allow to %s", net, net);
	else if (!c || chains_is_iptables(c, "FORWARD"))
		snprintf(ret, size, "%stables%s -I FORWARD -s %s -j ACCEPT, and the same with -d",
			 ip, c ? "" : "-legacy", net);
	else
		snprintf(ret, size,
			 "nft insert rule %s %s %s %s saddr %s accept, and the same with daddr",
			 chains_family_name(c), c->table, c->name, ip, net);
}

/* ... and for the tunnel's. */
static void tunnel_remedy(const struct rules_survey *s, const struct nft_chain_info *c,
			  const struct filter_packet *p, bool in, char *ret, size_t size)
{
	const char *chain = in ? "INPUT" : "OUTPUT";
	const char *ip = p->family == AF_INET ? "ip" : "ip6";
	bool udp = p->protocol == IPPROTO_UDP;
	unsigned number = udp ? p->port : p->protocol;

	if (c && strcmp(c->table, "firewalld") == 0 && in)
		snprintf(
			ret, size,
			udp ? "firewall-cmd --permanent --add-port=%u/udp && firewall-cmd --reload"
			    : "firewall-cmd --permanent --add-protocol=%u && firewall-cmd --reload",
			number);
	else if (udp && s->ufw && (!c || chains_is_iptables(c, chain)))
		snprintf(ret, size, "ufw allow %s%u/udp", in ? "" : "out ", number);
	else if (!c || chains_is_iptables(c, chain))
		snprintf(ret, size, "%stables%s -I %s -p %s%u -j ACCEPT", ip, c ? "" : "-legacy",
			 chain, udp ? "udp --dport " : "", number);
	else
		snprintf(ret, size, "nft insert rule %s %s %s %s %u accept", chains_family_name(c),
			 c->table, c->name, udp ? "udp dport" : "meta l4proto", number);
}

/* ---- forwarded packets ---- */

/*
 * FORWARD of iptables that we are about to write to, or have not yet seen with our jump in front,
 * stops nobody.
 */
static bool is_being_opened(const struct rules *r, enum rules_iptables_kind kind)
{
	bool ours = r->iptables_kind == kind || r->iptables_kind == RULES_IPTABLES_ANY;

	return r->mode == RULES_IPTABLES && ours &&
	       (!r->iptables_stands || r->iptables_dirty || rules_iptables_busy(r->iptables));
}

/*
 * How iptables' FORWARD would take the packets without our jump: whether that is needed must not
 * depend on whether it is there. The first place that stops any counts.
 */
static void note_iptables(struct rules_stops *stops, const struct filter_outcome *o, bool policy)
{
	stops->drops |= o->stops || (!o->passes && policy);
	if (o->stops && o->top && (stops->top == 0 || o->top < stops->top))
		stops->top = o->top;
}

static void look_without_us(struct rules_survey *s, struct filter_nft *nft,
			    const struct nft_chain_info *c, const struct filter_packet *p)
{
	size_t f = p->family == AF_INET ? 0 : 1;
	const struct iptables_table *legacy = &s->legacy[f][1];
	auto_free char *ours = xasprintf("%s" TRAFFIC_IPTABLES_FORWARD, s->r->table);
	const char *const without[] = { ours, TRAFFIC_IPTABLES_FLANNEL_FORWARD, NULL };
	struct filter_outcome o;

	if (c) {
		filter_nft_walk(nft, c, p, without, &o);
		note_iptables(&s->nft[f], &o, c->drops);
	} else {
		iptables_walk(legacy, NF_INET_FORWARD, p, without, &o);
		note_iptables(&s->legacy_stops[f], &o,
			      iptables_policy_drops(legacy, NF_INET_FORWARD));
	}
}

static void note_forward(struct rules_survey *s, const struct nft_chain_info *c,
			 const struct filter_packet *p, const struct filter_outcome *o)
{
	char where[128];
	char remedy[200];
	bool iptables = !c || chains_is_iptables(c, "FORWARD");

	if (!o->stops || s->block[0] || !s->r->traffic.forward)
		return;
	chains_describe_stop(c, o, where, sizeof(where));
	forward_remedy(s, c, p->family, remedy, sizeof(remedy));
	snprintf(s->block, sizeof(s->block), "%s stops packets of containers; to open it: %s",
		 where, remedy);
	s->block_kind = !iptables ? RULES_IPTABLES_ANY
			: c       ? RULES_IPTABLES_NFT
				  : RULES_IPTABLES_LEGACY;
}

static void walk_forward(struct rules_survey *s, struct filter_nft *nft,
			 const struct filter_packet *p)
{
	static const uint32_t hooks[] = { NF_INET_PRE_ROUTING, NF_INET_FORWARD,
					  NF_INET_POST_ROUTING };
	size_t f = p->family == AF_INET ? 0 : 1;
	struct filter_outcome o;

	iptables_walk(&s->legacy[f][1], NF_INET_FORWARD, p, NULL, &o);
	note_forward(s, NULL, p, &o);
	look_without_us(s, nft, NULL, p);
	for (size_t h = 0; h < ARRAY_LEN(hooks); h++) {
		struct filter_packet here = *p;

		if (hooks[h] == NF_INET_PRE_ROUTING)
			set_device("", here.out_device, &here.out_index);
		if (hooks[h] == NF_INET_POST_ROUTING)
			set_device("", here.in_device, &here.in_index);
		for (size_t i = 0; i < s->bases_len; i++) {
			if (!chains_enters(&s->bases[i], p->family, hooks[h]))
				continue;
			filter_nft_walk(nft, &s->bases[i], &here, NULL, &o);
			note_forward(s, &s->bases[i], p, &o);
			if (chains_is_iptables(&s->bases[i], "FORWARD"))
				look_without_us(s, nft, &s->bases[i], p);
		}
	}
}

static void forward_of_family(struct rules_survey *s, struct filter_nft *nft, size_t f)
{
	const struct traffic_place *place = &s->r->place;
	bool both = ip_net_is_set(&place->network[0]) && ip_net_is_set(&place->network[1]);
	size_t tunnel = both && place->devices_len > 1 ? f : 0;
	const char *device =
		place->devices_len ? place->devices[tunnel].name : s->r->place.underlay[f];
	struct keys bridges = keys_of(s->r, TRAFFIC_CONTAINERS, DEVICES_MAX);
	struct filter_packet p = { .family = families[f],
				   .protocol = IPPROTO_TCP,
				   .port = FILTER_SAMPLE_PORT };

	if (bridges.len == 0)
		memcpy(bridges.items[bridges.len++], DEFAULT_BRIDGE, sizeof(DEFAULT_BRIDGE));
	for (size_t i = 0; i < bridges.len; i++) {
		const char *bridge = (const char *)bridges.items[i];

		p.source = place->own[f];
		p.destination = place->network[f];
		set_device(bridge, p.in_device, &p.in_index);
		set_device(device, p.out_device, &p.out_index);
		walk_forward(s, nft, &p);
		p.source = place->network[f];
		p.destination = place->own[f];
		set_device(device, p.in_device, &p.in_index);
		set_device(bridge, p.out_device, &p.out_index);
		walk_forward(s, nft, &p);
	}
}

/* ---- the tunnel's packets ---- */

static void walk_tunnel(struct rules_survey *s, struct filter_nft *nft,
			const struct filter_packet *p, bool in)
{
	const uint32_t hooks[2] = { in ? NF_INET_PRE_ROUTING : NF_INET_LOCAL_OUT,
				    in ? NF_INET_LOCAL_IN : NF_INET_POST_ROUTING };
	char *block = in ? s->input_block : s->output_block;
	const struct iptables_table *legacy = &s->legacy[p->family == AF_INET ? 0 : 1][1];
	const struct nft_chain_info *chain = NULL;
	struct filter_outcome o;
	char where[128];
	char remedy[150];

	if (block[0])
		return;
	iptables_walk(legacy, in ? NF_INET_LOCAL_IN : NF_INET_LOCAL_OUT, p, NULL, &o);
	for (size_t i = 0; i < 2 * s->bases_len && !o.stops; i++) {
		chain = &s->bases[i / 2];
		if (chains_enters(chain, p->family, hooks[i % 2]))
			filter_nft_walk(nft, chain, p, NULL, &o);
	}
	if (!o.stops)
		return;
	chains_describe_stop(chain, &o, where, sizeof(where));
	tunnel_remedy(s, chain, p, in, remedy, sizeof(remedy));
	snprintf(block, sizeof(s->input_block),
		 "%s stops tunnel packets %s other hosts; to open it: %s", where,
		 in ? "from" : "to", remedy);
}

static void tunnel_of_guard(struct rules_survey *s, struct filter_nft *nft, size_t f,
			    const struct traffic_guard *guard)
{
	struct keys peers = keys_of(s->r, peer_sets[f], PEERS_MAX);

	for (size_t i = 0; i < peers.len; i++) {
		struct ip_net peer = { .addr = ip_addr_from_bytes(families[f], peers.items[i]),
				       .len = (uint8_t)ip_family_bits(families[f]) };
		struct filter_packet in = { .family = families[f],
					    .protocol = guard->protocol,
					    .port = guard->port,
					    .source = peer };
		struct filter_packet out = { .family = families[f],
					     .protocol = guard->protocol,
					     .port = guard->port,
					     .destination = peer };

		set_device(s->r->place.underlay[f], in.in_device, &in.in_index);
		set_device(s->r->place.underlay[f], out.out_device, &out.out_index);
		walk_tunnel(s, nft, &in, true);
		walk_tunnel(s, nft, &out, false);
	}
}

void rules_find_obstacles(struct rules_survey *s)
{
	struct filter_nft *nft = s->filter;
	const struct traffic_place *place = &s->r->place;

	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		if (ip_net_is_set(&place->network[f]) && ip_net_is_set(&place->own[f]))
			forward_of_family(s, nft, f);
		for (size_t i = 0; i < place->devices_len * TRAFFIC_GUARDS; i++) {
			const struct traffic_device *d = &place->devices[i / TRAFFIC_GUARDS];

			if (d->guard[i % TRAFFIC_GUARDS].protocol)
				tunnel_of_guard(s, nft, f, &d->guard[i % TRAFFIC_GUARDS]);
		}
	}
}

static bool is_ours(const struct rules_survey *s, const struct nft_chain_info *c)
{
	bool ours = strcmp(c->table, s->r->table) == 0;

	for (size_t i = 0; i < s->former_len; i++)
		ours |= strcmp(c->table, s->former[i]) == 0;
	return ours && c->family == NFPROTO_INET;
}

void rules_obstacle_chain(struct rules_survey *s, const struct nft_chain_info *c)
{
	bool ours = is_ours(s, c);

	s->ufw |= starts_with(c->name, "ufw-");
	if (!c->base || ours ||
	    (c->family != NFPROTO_INET && c->family != NFPROTO_IPV4 && c->family != NFPROTO_IPV6))
		return;
	s->truncated |= s->bases_len == RULES_BASES_MAX || s->nats_len == RULES_BASES_MAX;
	if (c->filters && s->bases_len < RULES_BASES_MAX)
		s->bases[s->bases_len++] = *c;
	if (c->translates && s->nats_len < RULES_BASES_MAX)
		s->nats[s->nats_len++] = *c;
}

void rules_note_obstacles(struct rules *r, const struct rules_survey *s)
{
	bool opening = s->block_kind != RULES_IPTABLES_ANY && is_being_opened(r, s->block_kind);
	bool told_not_to = r->mode == RULES_NFTABLES && s->block_kind != RULES_IPTABLES_ANY;

	snprintf(r->forward_block, sizeof(r->forward_block), "%s%s", opening ? "" : s->block,
		 told_not_to && !opening ? "; or set traffic-mode to auto" : "");
	snprintf(r->input_block, sizeof(r->input_block), "%s", s->input_block);
	snprintf(r->output_block, sizeof(r->output_block), "%s", s->output_block);
}
