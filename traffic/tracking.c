/* SPDX-License-Identifier: Apache-2.0 */
/*
 * May the tunnel's packets go past connection tracking? Each of its flows has a source port of its own
 * and costs an entry on both hosts, which nobody needs, unless somebody's rules look there before they
 * let the tunnel in or out, or translate its addresses. Then it is tracked, and it is said for whose
 * sake: samples are walked through the chains of others as they were with tracking, and as they are
 * without. Where the two are taken alike, or those that are not tracked pass for certain, nothing is
 * lost. What is not known counts as needed.
 *
 * So with errors of ICMP that answer tunnel packets: of one that is not tracked they are not related,
 * but invalid, and whoever drops those would hide how large packets may be on the way.
 */
#include <netinet/in.h>

#include <linux/netfilter.h>

#include "traffic/chains.h"
#include "traffic/rules_internal.h"

#define PEERS_MAX 16 /* whose packets are tried, in each family */

static const int families[2] = { AF_INET, AF_INET6 };

/* One of the sample's ways through this host. */
struct passage {
	uint32_t hooks[2];
	enum filter_connection tracked[2];
	enum filter_connection untracked;
	const char *what;
};

static const struct passage comes_in = { { NF_INET_PRE_ROUTING, NF_INET_LOCAL_IN },
					 { FILTER_NEW, FILTER_ESTABLISHED },
					 FILTER_UNTRACKED,
					 "tunnel packets that come in" };
static const struct passage goes_out = { { NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING },
					 { FILTER_NEW, FILTER_ESTABLISHED },
					 FILTER_UNTRACKED,
					 "tunnel packets that go out" };
static const struct passage error_comes_in = { { NF_INET_PRE_ROUTING, NF_INET_LOCAL_IN },
					       { FILTER_RELATED, FILTER_RELATED },
					       FILTER_INVALID,
					       "errors of ICMP that answer tunnel packets" };

/* A chain that packets enter: of nf_tables, or of a table of iptables-legacy. */
struct place {
	const struct nft_chain_info *nft;
	const struct iptables_table *legacy;
	uint32_t hook;
};

static struct filter_outcome walk(const struct rules_survey *s, const struct place *p,
				  const struct filter_packet *packet,
				  enum filter_connection connection)
{
	auto_free char *ours = xasprintf("%s" TRAFFIC_IPTABLES_MASQUERADE, s->r->table);
	const char *const without[] = { ours, TRAFFIC_IPTABLES_FLANNEL_MASQUERADE, NULL };
	struct filter_packet here = *packet;
	struct filter_outcome o;

	here.connection = connection;
	if (p->nft)
		filter_nft_walk(s->filter, p->nft, &here, without, &o);
	else
		iptables_walk(p->legacy, p->hook, &here, without, &o);
	return o;
}

static void describe(const struct rules_survey *s, const struct place *p, char *ret, size_t size)
{
	static const char *const names[] = { "PREROUTING", "INPUT", "FORWARD", "OUTPUT",
					     "POSTROUTING" };
	size_t t = 0;

	if (p->nft) {
		snprintf(ret, size, "chain %.60s of table %s %.60s", p->nft->name,
			 chains_family_name(p->nft), p->nft->table);
		return;
	}
	while (p->legacy != &s->legacy[0][t] && p->legacy != &s->legacy[1][t])
		t++;
	snprintf(ret, size, "chain %s of iptables-legacy's table %s", names[p->hook],
		 rules_legacy_tables[t]);
}

/* Whether the chain tells a connection that is known from one that is not. */
static bool looks_at_tracking(struct rules_survey *s, const struct place *p,
			      const struct filter_packet *packet, const struct passage *passage)
{
	struct filter_outcome without = walk(s, p, packet, passage->untracked);
	bool differs = false;

	for (size_t i = 0; i < ARRAY_LEN(passage->tracked); i++)
		differs |= walk(s, p, packet, passage->tracked[i]).way != without.way;
	s->tracks |= differs;
	return differs && (!without.passes || without.doubt);
}

/* Notes the first one only: it is the one to look at. */
static void judge(struct rules_survey *s, const struct place *p, const struct filter_packet *packet,
		  const struct passage *passage, bool nat)
{
	char where[160];

	/* Errors go where the packet went that they answer. */
	if (s->tracked[0] || (nat && passage->untracked != FILTER_UNTRACKED))
		return;
	if (nat ? !walk(s, p, packet, FILTER_NEW).translates
		: !looks_at_tracking(s, p, packet, passage))
		return;
	describe(s, p, where, sizeof(where));
	snprintf(s->tracked, sizeof(s->tracked), "%s %s %s", where,
		 nat ? "may translate addresses of" : "looks at connections before it lets pass",
		 passage->what);
}

static void judge_passage(struct rules_survey *s, const struct filter_packet *packet,
			  const struct passage *passage)
{
	const struct iptables_table *legacy = s->legacy[packet->family == AF_INET ? 0 : 1];

	for (size_t h = 0; h < ARRAY_LEN(passage->hooks); h++) {
		uint32_t hook = passage->hooks[h];

		for (size_t t = 0; t < RULES_LEGACY_TABLES; t++)
			judge(s, &(struct place){ .legacy = &legacy[t], .hook = hook }, packet,
			      passage, t == RULES_LEGACY_NAT);
		for (size_t i = 0; i < s->bases_len; i++) {
			if (chains_enters(&s->bases[i], packet->family, hook))
				judge(s, &(struct place){ .nft = &s->bases[i], .hook = hook },
				      packet, passage, false);
		}
		for (size_t i = 0; i < s->nats_len; i++) {
			if (chains_enters(&s->nats[i], packet->family, hook))
				judge(s, &(struct place){ .nft = &s->nats[i], .hook = hook },
				      packet, passage, true);
		}
	}
}

static void set_device(const char *name, char ret[static IFNAMSIZ], uint32_t *ret_index)
{
	snprintf(ret, IFNAMSIZ, "%.*s", IFNAMSIZ - 1, name);
	*ret_index = name[0] ? if_nametoindex(name) : 0;
}

static struct ip_net host_net(const struct ip_addr *a)
{
	return (struct ip_net){ *a, (uint8_t)ip_family_bits(a->family) };
}

/* peer: unset if it may be anybody. */
static void judge_tunnel(struct rules_survey *s, size_t f, const struct traffic_tunnel *tunnel,
			 const struct ip_net *peer)
{
	const struct traffic_place *place = &s->r->place;
	struct filter_packet in = { .family = families[f],
				    .protocol = tunnel->protocol,
				    .port = tunnel->port,
				    .source = *peer,
				    .destination = host_net(&place->local[f]) };
	struct filter_packet out = { .family = families[f],
				     .protocol = tunnel->protocol,
				     .port = tunnel->port,
				     .source = host_net(&place->local[f]),
				     .destination = *peer };

	set_device(place->underlay[f], in.in_device, &in.in_index);
	set_device(place->underlay[f], out.out_device, &out.out_index);
	judge_passage(s, &in, &comes_in);
	judge_passage(s, &out, &goes_out);
}

struct peers {
	struct rules_survey *s;
	const struct traffic_tunnel *tunnel;
	size_t f;
	size_t len;
};

static void judge_peer(void *arg, const void *key)
{
	struct peers *p = arg;
	struct ip_addr addr = ip_addr_from_bytes(families[p->f], key);
	struct ip_net peer = host_net(&addr);

	if (p->len++ < PEERS_MAX)
		judge_tunnel(p->s, p->f, p->tunnel, &peer);
}

static void judge_errors(struct rules_survey *s, size_t f)
{
	const struct traffic_place *place = &s->r->place;
	struct filter_packet error = { .family = families[f],
				       .protocol = f == 0 ? IPPROTO_ICMP : IPPROTO_ICMPV6,
				       .destination = host_net(&place->local[f]) };

	set_device(place->underlay[f], error.in_device, &error.in_index);
	judge_passage(s, &error, &error_comes_in);
}

static const uint8_t sets[2] = { TRAFFIC_PEERS, TRAFFIC_PEERS_V6 };

static void count_peer(void *arg, const void *key UNUSED)
{
	unsigned *count = arg;

	*count += *count < PEERS_MAX;
}

static unsigned peers_to_try(const struct rules *r, size_t f)
{
	unsigned count = 0;

	if (r->listener)
		r->listener->elements(r->listener_arg, sets[f], count_peer, &count);
	return count;
}

bool rules_tracking_is_old(const struct rules *r)
{
	return r->tracked_told &&
	       (peers_to_try(r, 0) != r->peers_tried[0] || peers_to_try(r, 1) != r->peers_tried[1]);
}

static void judge_family(struct rules_survey *s, size_t f, const struct traffic_tunnel *tunnels,
			 size_t len)
{
	const struct rules *r = s->r;

	for (size_t i = 0; i < len; i++) {
		struct peers peers = { s, &tunnels[i], f, 0 };

		if (r->listener && tunnels[i].guarded && r->traffic.guard)
			r->listener->elements(r->listener_arg, sets[f], judge_peer, &peers);
		if (peers.len == 0)
			judge_tunnel(s, f, &tunnels[i], &(struct ip_net){ 0 });
	}
	judge_errors(s, f);
}

/* Whether the kernel tracks anything here, which it does for who asks for it. */
static bool is_tracking(struct rules_survey *s)
{
	static const struct passage any = { .tracked = { FILTER_NEW, FILTER_ESTABLISHED },
					    .untracked = FILTER_UNTRACKED };
	bool tracks = s->tracks || s->r->traffic.masquerade || s->nats_len ||
		      s->legacy[0][RULES_LEGACY_NAT].present ||
		      s->legacy[1][RULES_LEGACY_NAT].present;

	for (size_t i = 0; i < s->bases_len && !tracks; i++) {
		const struct place p = { .nft = &s->bases[i], .hook = s->bases[i].hook };
		const struct filter_packet packet = { .family = s->bases[i].family == NFPROTO_IPV6
									? AF_INET6
									: AF_INET };

		looks_at_tracking(s, &p, &packet, &any);
		tracks = s->tracks;
	}
	return tracks;
}

void rules_judge_tracking(struct rules_survey *s)
{
	struct traffic_tunnel tunnels[TRAFFIC_TUNNELS];
	size_t len = traffic_tunnels(&s->r->place, tunnels);
	bool placed = false;

	for (size_t f = 0; f < ARRAY_LEN(families); f++)
		s->r->peers_tried[f] = peers_to_try(s->r, f);
	if (!s->r->options->tunnel_notrack || s->r->notrack_unsupported) {
		snprintf(s->tracked, sizeof(s->tracked), "%s",
			 s->r->notrack_unsupported ? "the kernel cannot do otherwise"
						   : "tunnel-notrack says so");
		return;
	}
	for (size_t f = 0; f < ARRAY_LEN(families) && len; f++) {
		if (!ip_addr_is_set(&s->r->place.local[f]))
			continue;
		placed = true;
		judge_family(s, f, tunnels, len);
	}
	if (!placed)
		snprintf(s->tracked, sizeof(s->tracked),
			 "this backend has none that could do without");
	else if (s->legacy_error.code)
		snprintf(s->tracked, sizeof(s->tracked), "%s", "what iptables does is not known");
	else if (s->truncated)
		snprintf(s->tracked, sizeof(s->tracked),
			 "there are more chains than are looked at");
	else if (!s->tracked[0] && !is_tracking(s))
		snprintf(s->tracked, sizeof(s->tracked), "no rule needs any connection tracked");
}
