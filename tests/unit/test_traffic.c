/* SPDX-License-Identifier: Apache-2.0 */
/*
 * traffic: the rules as a packet meets them, checked by a small interpreter of rules over a table
 * of packets; the sets that follow their holders; and how a rule in the kernel is told from the one
 * that is wanted.
 */
#include "tests/unit/test.h"

#include <linux/netfilter/nf_tables.h>

#include "kernel/message.h"
#include "kernel/nft_internal.h"
#include "tests/unit/nft_words.h"
#include "tests/unit/traffic_rig.h"

/* ---- the rules, by packets ---- */

struct packet {
	const char *name;
	const char *source;
	const char *destination;
	enum nft_action verdict;
	uint32_t mark;
	const char *in_device;
	uint16_t udp_port;
	uint8_t protocol;
	bool tcp; /* and not UDP, to that port */
	bool from_peer;
	bool from_container;
	bool to_this_host;
	bool to_many; /* the frame is broadcast or multicast */
};

#define ROW(name_, source_, destination_, verdict_, ...)                                           \
	{                                                                                          \
		.name = (name_), .source = (source_), .destination = (destination_),               \
		.verdict = (verdict_), __VA_ARGS__                                                 \
	}

static bool net_matches(const struct ip_net *net, const char *text, bool inverted)
{
	struct ip_addr a = test_addr(text);

	return !ip_net_is_set(net) || ip_net_contains(net, &a) != inverted;
}

static uint8_t protocol_of(const struct packet *p)
{
	return p->protocol ? p->protocol : p->tcp ? IPPROTO_TCP : p->udp_port ? IPPROTO_UDP : 0;
}

static bool matches(const struct nft_rule *r, const struct packet *p)
{
	struct ip_addr source = test_addr(p->source);

	if (r->family && r->family != source.family)
		return false;
	if (r->in_device[0] && (!p->in_device || strcmp(r->in_device, p->in_device) != 0))
		return false;
	if (r->udp_port && (r->udp_port != p->udp_port || p->tcp))
		return false;
	if (r->port && r->port != p->udp_port)
		return false;
	if (r->protocol && (r->protocol == protocol_of(p)) == r->protocol_not)
		return false;
	if (r->mark_mask && (p->mark & r->mark_mask) != r->mark)
		return false;
	if ((r->not_to_this_mac && !p->to_many) || (r->to_this_mac && p->to_many) ||
	    (r->to_this_host && !p->to_this_host))
		return false;
	if (r->in_device_set && !p->from_container)
		return false;
	if (r->source_set && p->from_peer == r->source_set_not)
		return false;
	return net_matches(&r->source, p->source, r->source_not) &&
	       net_matches(&r->source_outside, p->source, true) &&
	       net_matches(&r->destination, p->destination, r->destination_not);
}

static enum traffic_chain chain_named(const char *name)
{
	for (unsigned i = 0; i < TRAFFIC_TABLE_CHAINS; i++) {
		if (strcmp(traffic_chains[i].name, name) == 0)
			return i;
	}
	fail_msg("no chain %s", name);
	return 0;
}

/* NFT_ACTION_RETURN if no rule decides: the policy. */
static enum nft_action decide(const struct traffic_rules *rules, enum traffic_chain chain,
			      const struct packet *p)
{
	for (size_t i = 0; i < rules->len; i++) {
		const struct nft_rule *r = &rules->items[i];
		enum nft_action verdict = r->action;

		if (r->chain != chain || verdict == NFT_ACTION_REMEMBER || !matches(r, p))
			continue;
		if (verdict == NFT_ACTION_JUMP)
			verdict = decide(rules, chain_named(r->jump), p);
		if (verdict != NFT_ACTION_RETURN || r->action != NFT_ACTION_JUMP)
			return verdict;
	}
	return NFT_ACTION_RETURN;
}

/* In a chain with the policy accept it is one and the same. */
static enum nft_action passing(enum traffic_chain chain, enum nft_action verdict)
{
	return chain == TRAFFIC_GUARD && verdict == NFT_ACTION_ACCEPT ? NFT_ACTION_RETURN : verdict;
}

static void check_packets(const struct traffic_rules *rules, enum traffic_chain chain,
			  const struct packet *packets, size_t len)
{
	for (size_t i = 0; i < len; i++)
		assert_row(passing(chain, decide(rules, chain, &packets[i])) == packets[i].verdict,
			   packets[i].name);
}

static void test_masquerade(void **state UNUSED)
{
	const enum nft_action snat = NFT_ACTION_MASQUERADE_RANDOM;
	const enum nft_action keep = NFT_ACTION_RETURN;
	const struct packet packets[] = {
		ROW("own to own", "10.5.1.2", "10.5.1.3", keep),
		ROW("own to remote", "10.5.1.2", "10.5.2.2", keep),
		ROW("remote to own", "10.5.2.2", "10.5.1.2", keep),
		ROW("outside to own", "192.0.2.9", "10.5.1.2", keep),
		ROW("own to outside", "10.5.1.2", "192.0.2.9", snat),
		ROW("remote through us to outside", "10.5.2.2", "192.0.2.9", snat),
		ROW("remote through us to remote", "10.5.2.2", "10.5.3.2", snat),
		ROW("outside through us to remote", "192.0.2.9", "10.5.2.2", snat),
		ROW("outside to outside", "192.0.2.9", "192.0.2.10", keep),
		ROW("own to multicast", "10.5.1.2", "239.1.1.1", keep),
		ROW("outside to multicast", "192.0.2.9", "239.1.1.1", keep),
		ROW("own to excluded", "10.5.1.2", "198.51.100.3", keep),
		ROW("excluded through us to remote", "198.51.100.3", "10.5.2.2", snat),
		ROW("marked to outside", "10.5.1.2", "192.0.2.9", keep, .mark = 0x4000),
		ROW("marked among others", "10.5.1.2", "192.0.2.9", keep, .mark = 0xffff),
		ROW("otherwise marked", "10.5.1.2", "192.0.2.9", snat, .mark = 0xbfff),
		ROW("own to own, IPv6", "fd10:5:0:1::2", "fd10:5:0:1::3", keep),
		ROW("own to remote, IPv6", "fd10:5:0:1::2", "fd10:5:0:2::2", keep),
		ROW("outside to own, IPv6", "2001:db8::9", "fd10:5:0:1::2", keep),
		ROW("own to outside, IPv6", "fd10:5:0:1::2", "2001:db8::9", snat),
		ROW("outside to remote, IPv6", "2001:db8::9", "fd10:5:0:2::2", snat),
		ROW("own to multicast, IPv6", "fd10:5:0:1::2", "ff05::1", keep),
		ROW("own to excluded, IPv6", "fd10:5:0:1::2", "2001:db8:51::1", keep),
		ROW("marked, IPv6", "fd10:5:0:1::2", "2001:db8::9", keep, .mark = 0x4000),
	};
	struct ip_net exclude[] = { test_net("198.51.100.0/24"), test_net("2001:db8:51::/48") };
	struct traffic_options o = everything;
	struct traffic_rules rules;

	o.exclude = exclude;
	o.exclude_len = ARRAY_LEN(exclude);
	rules = rules_of(&o);
	check_packets(&rules, TRAFFIC_MASQUERADE, packets, ARRAY_LEN(packets));
	traffic_rules_fini(&rules);
}

static void test_forward(void **state UNUSED)
{
	const struct packet packets[] = {
		ROW("from the network", "10.5.2.2", "192.0.2.9", NFT_ACTION_ACCEPT),
		ROW("to the network", "192.0.2.9", "10.5.2.2", NFT_ACTION_ACCEPT),
		ROW("neither", "192.0.2.9", "192.0.2.10", NFT_ACTION_RETURN),
		ROW("from the network, IPv6", "fd10:5::2", "2001:db8::9", NFT_ACTION_ACCEPT),
		ROW("to the network, IPv6", "2001:db8::9", "fd10:5::2", NFT_ACTION_ACCEPT),
	};
	struct traffic_rules rules = rules_of(&everything);

	check_packets(&rules, TRAFFIC_FORWARD, packets, ARRAY_LEN(packets));
	traffic_rules_fini(&rules);
}

static void test_guard(void **state UNUSED)
{
	const enum nft_action drop = NFT_ACTION_DROP;
	const enum nft_action pass = NFT_ACTION_RETURN;
	const struct packet packets[] = {
		ROW("peer", "192.0.2.2", "192.0.2.1", pass, .udp_port = PORT, .from_peer = true,
		    .to_this_host = true),
		ROW("stranger", "192.0.2.9", "192.0.2.1", drop, .udp_port = PORT,
		    .to_this_host = true),
		ROW("peer at the underlay's device", "192.0.2.2", "192.0.2.1", pass,
		    .udp_port = PORT, .from_peer = true, .in_device = "eth0", .to_this_host = true),
		ROW("stranger there", "192.0.2.9", "192.0.2.1", drop, .udp_port = PORT,
		    .in_device = "eth0", .to_this_host = true),
		ROW("stranger's TCP to that port", "192.0.2.9", "192.0.2.1", pass, .udp_port = PORT,
		    .tcp = true, .to_this_host = true),
		ROW("container's TCP to that port", "10.5.1.2", "192.0.2.1", pass, .udp_port = PORT,
		    .tcp = true, .from_container = true, .to_this_host = true),
		ROW("stranger, another port", "192.0.2.9", "192.0.2.1", pass, .udp_port = 53,
		    .to_this_host = true),
		ROW("stranger, passing through", "192.0.2.9", "203.0.113.1", pass,
		    .udp_port = PORT),
		ROW("container", "10.5.1.2", "203.0.113.1", drop, .udp_port = PORT),
		ROW("remote container", "10.5.2.2", "192.0.2.1", drop, .udp_port = PORT,
		    .in_device = "flannel.1"),
		ROW("container as a peer", "192.0.2.2", "192.0.2.3", drop, .udp_port = PORT,
		    .from_peer = true, .from_container = true),
		ROW("container, another port", "10.5.1.2", "192.0.2.1", pass, .udp_port = 53,
		    .from_container = true),
		ROW("stranger, IPv6", "2001:db8::9", "2001:db8::1", drop, .udp_port = PORT,
		    .to_this_host = true),
		ROW("peer, IPv6", "2001:db8::2", "2001:db8::1", pass, .udp_port = PORT,
		    .from_peer = true, .to_this_host = true),
	};
	struct traffic_options o = everything;
	struct traffic_rules rules = rules_of(&o);

	check_packets(&rules, TRAFFIC_GUARD, packets, ARRAY_LEN(packets));
	traffic_rules_fini(&rules);
	o.guard = false;
	rules = rules_of(&o);
	for (size_t i = 0; i < ARRAY_LEN(packets); i++)
		assert_row(passing(TRAFFIC_GUARD, decide(&rules, TRAFFIC_GUARD, &packets[i])) ==
				   pass,
			   packets[i].name);
	traffic_rules_fini(&rules);
}

/* A tunnel whose packets have no port is known by its protocol. */
static void test_guard_of_a_protocol(void **state UNUSED)
{
	const enum nft_action drop = NFT_ACTION_DROP;
	const enum nft_action pass = NFT_ACTION_RETURN;
	const struct packet packets[] = {
		ROW("peer", "192.0.2.2", "192.0.2.1", pass, .protocol = IPPROTO_IPIP,
		    .from_peer = true, .to_this_host = true),
		ROW("stranger", "192.0.2.9", "192.0.2.1", drop, .protocol = IPPROTO_IPIP,
		    .to_this_host = true),
		ROW("stranger, another protocol", "192.0.2.9", "192.0.2.1", pass,
		    .protocol = IPPROTO_GRE, .to_this_host = true),
		ROW("container", "10.5.1.2", "203.0.113.1", drop, .protocol = IPPROTO_IPIP),
		ROW("stranger's UDP", "192.0.2.9", "192.0.2.1", pass, .protocol = IPPROTO_UDP,
		    .udp_port = PORT, .to_this_host = true),
	};
	const struct traffic_device device = { .name = "flannel.ipip",
					       .guard = { { IPPROTO_IPIP, 0 } } };
	struct traffic_place place = { .network = { test_net("10.5.0.0/16") },
				       .own = { test_net("10.5.1.0/24") },
				       .devices = &device,
				       .devices_len = 1 };
	struct traffic_rules rules = { 0 };

	traffic_rules(&everything, &place, 1u << TRAFFIC_GUARD, &rules);
	check_packets(&rules, TRAFFIC_GUARD, packets, ARRAY_LEN(packets));
	traffic_rules_fini(&rules);
}

/* udp's device takes packets in UDP, and those of the bare protocol as well. */
static void test_guard_of_a_port_and_a_protocol(void **state UNUSED)
{
	const enum nft_action drop = NFT_ACTION_DROP;
	const enum nft_action pass = NFT_ACTION_RETURN;
	const struct packet packets[] = {
		ROW("peer", "192.0.2.2", "192.0.2.1", pass, .protocol = IPPROTO_UDP,
		    .udp_port = 8285, .from_peer = true, .to_this_host = true),
		ROW("stranger", "192.0.2.9", "192.0.2.1", drop, .protocol = IPPROTO_UDP,
		    .udp_port = 8285, .to_this_host = true),
		ROW("stranger, in no UDP", "192.0.2.9", "192.0.2.1", drop, .protocol = IPPROTO_IPIP,
		    .to_this_host = true),
		ROW("stranger, another port", "192.0.2.9", "192.0.2.1", pass,
		    .protocol = IPPROTO_UDP, .udp_port = 8286, .to_this_host = true),
		ROW("container", "10.5.1.2", "203.0.113.1", drop, .protocol = IPPROTO_UDP,
		    .udp_port = 8285),
	};
	const struct traffic_device device = {
		.name = "flannel0", .guard = { { IPPROTO_UDP, 8285 }, { IPPROTO_IPIP, 0 } }
	};
	struct traffic_place place = { .network = { test_net("10.5.0.0/16") },
				       .own = { test_net("10.5.1.0/24") },
				       .devices = &device,
				       .devices_len = 1 };
	struct traffic_rules rules = { 0 };

	traffic_rules(&everything, &place, 1u << TRAFFIC_GUARD, &rules);
	check_packets(&rules, TRAFFIC_GUARD, packets, ARRAY_LEN(packets));
	traffic_rules_fini(&rules);
}

/* wireguard authenticates by itself, and its port is open to hosts that have moved. */
static void test_no_guard_of_a_device_that_needs_none(void **state UNUSED)
{
	const enum nft_action pass = NFT_ACTION_RETURN;
	const struct packet packets[] = {
		ROW("peer", "192.0.2.2", "192.0.2.1", pass, .protocol = IPPROTO_UDP,
		    .udp_port = 51820, .from_peer = true, .to_this_host = true),
		ROW("peer that has moved", "192.0.2.9", "192.0.2.1", pass, .protocol = IPPROTO_UDP,
		    .udp_port = 51820, .to_this_host = true),
	};
	const struct traffic_device device = { .name = "flannel-wg" };
	struct traffic_place place = { .network = { test_net("10.5.0.0/16") },
				       .own = { test_net("10.5.1.0/24") },
				       .devices = &device,
				       .devices_len = 1 };
	struct traffic_rules rules = { 0 };

	traffic_rules(&everything, &place, 1u << TRAFFIC_GUARD, &rules);
	check_packets(&rules, TRAFFIC_GUARD, packets, ARRAY_LEN(packets));
	traffic_rules_fini(&rules);
}

static void test_anti_spoofing(void **state UNUSED)
{
	static const char *const impossible[] = { "10.5.1.7",  "127.0.0.1",       "169.254.3.3",
						  "224.0.0.1", "255.255.255.255", "240.0.0.1",
						  "0.0.0.0",   "fd10:5:0:1::7",   "::1",
						  "::",        "fe80::1",         "ff02::1" };
	struct traffic_rules rules = rules_of(&everything);

	for (size_t i = 0; i < ARRAY_LEN(impossible); i++) {
		const char *to = strchr(impossible[i], ':') ? "fd10:5:0:1::2" : "10.5.1.2";
		struct packet p = ROW(impossible[i], impossible[i], to, NFT_ACTION_DROP,
				      .in_device = "flannel.1");

		assert_row(decide(&rules, TRAFFIC_GUARD, &p) == NFT_ACTION_DROP, p.name);
		p.in_device = "flannel-v6.1";
		assert_row(decide(&rules, TRAFFIC_GUARD, &p) == NFT_ACTION_DROP, p.name);
		p.in_device = "eth0";
		assert_row(decide(&rules, TRAFFIC_GUARD, &p) == NFT_ACTION_RETURN, p.name);
	}
	const struct packet packets[] = {
		ROW("unicast", "10.5.2.2", "10.5.1.2", NFT_ACTION_RETURN, .in_device = "flannel.1"),
		ROW("unicast to many", "10.5.2.2", "10.5.1.2", NFT_ACTION_DROP,
		    .in_device = "flannel.1", .to_many = true),
		ROW("multicast to many", "10.5.2.2", "239.1.1.1", NFT_ACTION_RETURN,
		    .in_device = "flannel.1", .to_many = true),
		ROW("from outside the network", "192.0.2.9", "10.5.1.2", NFT_ACTION_RETURN,
		    .in_device = "flannel.1"),
	};
	check_packets(&rules, TRAFFIC_GUARD, packets, ARRAY_LEN(packets));
	traffic_rules_fini(&rules);
}

/* Rules that take a tunnel out of tracking: chain, protocol, port it goes to, port it comes from. */
static void check_notrack(const struct traffic_place *p, const struct traffic_options *o,
			  const unsigned wanted[][4], size_t wanted_len)
{
	struct traffic_rules rules = { 0 };
	size_t found = 0;

	traffic_rules(o, p, 1u << TRAFFIC_GUARD, &rules);
	for (size_t i = 0; i < rules.len; i++) {
		const struct nft_rule *r = &rules.items[i];

		if (!r->notrack)
			continue;
		assert_true(found < wanted_len);
		assert_int_equal(r->chain, wanted[found][0]);
		assert_int_equal(r->protocol, wanted[found][1]);
		assert_int_equal(r->udp_port, wanted[found][2]);
		assert_int_equal(r->udp_source_port, wanted[found][3]);
		/* What merely passes through is none of our concern. */
		if (r->chain != TRAFFIC_OUTPUT)
			assert_int_equal(r->destination.len,
					 ip_family_bits(r->destination.addr.family));
		found++;
	}
	assert_int_equal(found, wanted_len);
	traffic_rules_fini(&rules);
}

static void test_notrack(void **state UNUSED)
{
	static const unsigned vxlan[][4] = { { TRAFFIC_OUTPUT, 0, PORT, 0 },
					     { TRAFFIC_TUNNEL, IPPROTO_UDP, 0, 0 },
					     { TRAFFIC_TUNNEL, IPPROTO_UDP, 0, 0 } };
	static const unsigned open[][4] = { { TRAFFIC_OUTPUT, 0, PORT, 0 },
					    { TRAFFIC_GUARD, 0, PORT, 0 },
					    { TRAFFIC_GUARD, 0, PORT, 0 } };
	static const unsigned wireguard[][4] = { { TRAFFIC_OUTPUT, 0, 0, 51820 },
						 { TRAFFIC_GUARD, 0, 51820, 0 },
						 { TRAFFIC_GUARD, 0, 51820, 0 } };
	static const unsigned fou[][4] = { { TRAFFIC_OUTPUT, 0, 8285, 0 },
					   { TRAFFIC_OUTPUT, IPPROTO_IPIP, 0, 0 },
					   { TRAFFIC_TUNNEL, 0, 0, 0 },
					   { TRAFFIC_TUNNEL, 0, 0, 0 } };
	static const struct traffic_device wg = { .name = "flannel-wg", .udp_port = 51820 };
	static const struct traffic_device flannel0 = {
		.name = "flannel0",
		.guard = { { IPPROTO_UDP, 8285 }, { IPPROTO_IPIP, 0 } },
		.udp_port = 8285,
	};
	struct traffic_options o = everything;
	struct traffic_place p = place();

	check_notrack(&p, &o, vxlan, 0);
	o.notrack = true;
	check_notrack(&p, &o, vxlan, ARRAY_LEN(vxlan));
	o.guard = false;
	check_notrack(&p, &o, open, ARRAY_LEN(open));
	o.guard = true;
	p.devices_len = 1;
	p.devices = &wg;
	check_notrack(&p, &o, wireguard, ARRAY_LEN(wireguard));
	p.devices = &flannel0;
	check_notrack(&p, &o, fou, ARRAY_LEN(fou));
	p.devices_len = 0;
	check_notrack(&p, &o, vxlan, 0);
}

static void test_switches(void **state UNUSED)
{
	const struct traffic_options none = { 0 };
	struct traffic_options o = everything;
	struct traffic_rules rules = rules_of(&none);
	struct traffic_place one;

	assert_int_equal(rules.len, 0);
	traffic_rules_fini(&rules);

	o.fully_random = false;
	rules = rules_of(&o);
	for (size_t i = 0; i < rules.len; i++)
		assert_int_not_equal(rules.items[i].action, NFT_ACTION_MASQUERADE_RANDOM);
	traffic_rules_fini(&rules);

	/* One family only: nothing about the other but in the guard. */
	one = place();
	one.network[1] = one.own[1] = (struct ip_net){ 0 };
	traffic_rules(&everything, &one, 1u << TRAFFIC_FORWARD | 1u << TRAFFIC_MASQUERADE, &rules);
	assert_int_equal(rules.len, 8);
	for (size_t i = 0; i < rules.len; i++)
		assert_int_equal(rules.items[i].family, AF_INET);
	traffic_rules_fini(&rules);
}

static void test_ruleset_has_the_chains_in_use(void **state UNUSED)
{
	const struct nft_counter counters[2] = { { "a", 0, 0 }, { "b", 0, 0 } };
	const unsigned both = 1u << TRAFFIC_OUTPUT | 1u << TRAFFIC_MASQUERADE;
	struct traffic_place p = place();
	struct traffic_rules rules = { 0 };

	assert_int_equal(traffic_ruleset("t", "m", &rules, counters).chains_without, both);
	traffic_rules(&everything, &p, 1u << TRAFFIC_GUARD, &rules);
	assert_int_equal(traffic_ruleset("t", "m", &rules, counters).chains_without, both);
	traffic_rules(&everything, &p, 1u << TRAFFIC_MASQUERADE, &rules);
	assert_int_equal(traffic_ruleset("t", "m", &rules, counters).chains_without,
			 1u << TRAFFIC_OUTPUT);
	traffic_rules_fini(&rules);
}

/* ---- rules in the kernel's form ---- */

struct message {
	struct nlmsghdr hdr;
	char room[4096];
} __attribute__((aligned(8)));

static const struct nlattr *encode(const struct nft_rule *r, struct message *m)
{
	nlmsg_begin(m);
	nft_put_expressions(&m->hdr, r);
	return nlmsg_data(&m->hdr);
}

static void test_every_rule_differs_from_every_other(void **state UNUSED)
{
	struct traffic_rules rules = rules_of(&everything);
	struct message a;
	struct message b;

	assert_true(rules.len > 30);
	for (size_t i = 0; i < rules.len; i++) {
		for (size_t j = 0; j < rules.len; j++) {
			bool same = nft_attrs_equal(encode(&rules.items[i], &a),
						    encode(&rules.items[j], &b));

			if (same != (i == j))
				fail_msg("rules %zu and %zu", i, j);
		}
	}
	traffic_rules_fini(&rules);
}

/* The kernel hides flags of which none is set, or shows them unasked; anything else is a difference. */
static void test_attributes_match_as_the_kernel_shows_them(void **state UNUSED)
{
	struct message want;
	struct message have;
	struct nlattr *nest;

	nlmsg_begin(&want);
	nest = nlattr_nest_begin(&want.hdr, 7);
	nlattr_put_u32(&want.hdr, 1, 5);
	nlattr_put_u32(&want.hdr, 2, 0);
	nlattr_nest_end(&want.hdr, nest);

	for (unsigned shape = 0; shape < 6; shape++) {
		bool same = shape == 0 || shape == 2 || shape == 5;

		nlmsg_begin(&have);
		nest = nlattr_nest_begin(&have.hdr, 7);
		nest->nla_type = 7; /* nf_tables does not mark nests */
		if (shape != 3)
			nlattr_put_u32(&have.hdr, 1, 5);
		if (shape == 1)
			nlattr_put_u32(&have.hdr, 9, 1); /* one more of another type */
		if (shape == 2)
			nlattr_put_u32(&have.hdr, 2, 0);
		if (shape == 4)
			nlattr_put_u32(&have.hdr, 1, 6); /* one more of the same type */
		if (shape == 5)
			nlattr_put_u32(&have.hdr, 9, 0); /* flags unasked, none set */
		nlattr_nest_end(&have.hdr, nest);
		if (nft_attrs_equal(nlmsg_data(&want.hdr), nlmsg_data(&have.hdr)) != same)
			fail_msg("shape %u", shape);
	}
}

static void test_names_are_no_words(void **state UNUSED)
{
	static const char *const counters[] = { TRAFFIC_COUNTER_GUARD, TRAFFIC_COUNTER_SPOOF };

	for (size_t i = 0; i < TRAFFIC_TABLE_CHAINS; i++)
		assert_nft_name(traffic_chains[i].name);
	for (size_t i = 0; i < TRAFFIC_ALL_SETS; i++)
		assert_nft_name(traffic_sets[i].name);
	for (size_t i = 0; i < ARRAY_LEN(counters); i++)
		assert_nft_name(counters[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_are_no_words),
		cmocka_unit_test(test_masquerade),
		cmocka_unit_test(test_forward),
		cmocka_unit_test(test_guard),
		cmocka_unit_test(test_guard_of_a_protocol),
		cmocka_unit_test(test_guard_of_a_port_and_a_protocol),
		cmocka_unit_test(test_no_guard_of_a_device_that_needs_none),
		cmocka_unit_test(test_anti_spoofing),
		cmocka_unit_test(test_notrack),
		cmocka_unit_test(test_switches),
		cmocka_unit_test(test_ruleset_has_the_chains_in_use),
		cmocka_unit_test(test_every_rule_differs_from_every_other),
		cmocka_unit_test(test_attributes_match_as_the_kernel_shows_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
