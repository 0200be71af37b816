/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/meter.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/netfilter.h>

enum { SET_SENT, SET_SENT_V6, SET_RECEIVED, SET_RECEIVED_V6, SETS };

static const struct nft_set sets[SETS] = {
	[SET_SENT] = { .name = "meter-sent",
		       .type = NFT_KEY_IPV4,
		       .memory_len = METER_ADDRESSES,
		       .memory_s = METER_MEMORY_S },
	[SET_SENT_V6] = { .name = "meter-sent6",
			  .type = NFT_KEY_IPV6,
			  .memory_len = METER_ADDRESSES,
			  .memory_s = METER_MEMORY_S },
	[SET_RECEIVED] = { .name = "meter-received",
			   .type = NFT_KEY_IPV4,
			   .memory_len = METER_ADDRESSES,
			   .memory_s = METER_MEMORY_S },
	[SET_RECEIVED_V6] = { .name = "meter-received6",
			      .type = NFT_KEY_IPV6,
			      .memory_len = METER_ADDRESSES,
			      .memory_s = METER_MEMORY_S },
};

/* Behind the guard, and behind all that may still drop a packet. */
static const struct nft_chain chains[] = {
	{ .name = "meter-in", .type = "filter", .hook = NF_INET_PRE_ROUTING, .priority = -140 },
	{ .name = "meter-out", .type = "filter", .hook = NF_INET_POST_ROUTING, .priority = 300 },
};
enum { CHAIN_IN, CHAIN_OUT };

struct meter {
	struct netlink *nl; /* NULL: nothing is counted */
	struct event *rest;
	struct meter_place place; /* that is counted for */
};

static const struct nft_table table = { .family = NFPROTO_INET,
					.name = METER_TABLE,
					.owned = true };

/* ---- the rules ---- */

static void add(struct nft_rule *rules, size_t *len, const struct nft_rule *rule)
{
	rules[(*len)++] = *rule;
}

size_t meter_rules(const struct meter_place *place, struct nft_rule *rules)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	size_t len = 0;

	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		if (!ip_net_is_set(&place->network[f]))
			continue;
		/* What stays on this host is nobody's. */
		if (ip_net_is_set(&place->own[f])) {
			add(rules, &len,
			    &(struct nft_rule){ .chain = CHAIN_IN,
						.family = families[f],
						.source = place->own[f],
						.action = NFT_ACTION_RETURN });
			add(rules, &len,
			    &(struct nft_rule){ .chain = CHAIN_OUT,
						.family = families[f],
						.destination = place->own[f],
						.action = NFT_ACTION_RETURN });
		}
		add(rules, &len,
		    &(struct nft_rule){ .chain = CHAIN_IN,
					.family = families[f],
					.source = place->network[f],
					.action = NFT_ACTION_REMEMBER,
					.remember = sets[SET_RECEIVED + f].name });
		add(rules, &len,
		    &(struct nft_rule){ .chain = CHAIN_OUT,
					.family = families[f],
					.destination = place->network[f],
					.action = NFT_ACTION_REMEMBER_TARGET,
					.remember = sets[SET_SENT + f].name });
	}
	return len;
}

/* ---- on and off ---- */

static void stop(struct meter *m)
{
	/* The kernel removes the table with it. */
	netlink_close(m->nl);
	m->nl = NULL;
}

static void on_rest(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	stop(arg);
}

struct meter *meter_new(struct event_base *base)
{
	struct meter *m = xcalloc(1, sizeof(*m));

	m->rest = evtimer_new(base, on_rest, m);
	return m;
}

void meter_free(struct meter *m)
{
	if (!m)
		return;
	stop(m);
	event_free(m->rest);
	free(m);
}

static int start(struct meter *m, const struct meter_place *place, struct err *e)
{
	struct nft_rule rules[METER_RULES_MAX];
	const struct nft_ruleset ruleset = {
		.table = table,
		.chains = chains,
		.chains_len = ARRAY_LEN(chains),
		.sets = sets,
		.sets_len = SETS,
		.rules = rules,
		.rules_len = meter_rules(place, rules),
	};
	auto_sequence struct sequence *s = sequence_new();
	int rc;

	if (netlink_open(NETLINK_NETFILTER, &m->nl, e) < 0) {
		m->nl = NULL;
		return e->code;
	}
	nft_begin(s);
	nft_add_ruleset(s, &ruleset);
	nft_end(s);
	rc = sequence_run(s, m->nl, e);
	if (rc < 0)
		stop(m);
	else
		m->place = *place;
	/* One who does not know the flag says so in either way. */
	return rc == -EINVAL || rc == -EOPNOTSUPP
		       ? err_set(e, -EOPNOTSUPP,
				 "this kernel knows no tables of nf_tables that belong to a socket "
				 "(Linux 5.12 does)")
		       : rc;
}

static bool same_place(const struct meter_place *a, const struct meter_place *b)
{
	for (size_t f = 0; f < 2; f++) {
		if (!ip_net_equal(&a->network[f], &b->network[f]) ||
		    !ip_net_equal(&a->own[f], &b->own[f]))
			return false;
	}
	return true;
}

struct reading {
	meter_fn *visit;
	void *arg;
	int family;
	bool sent;
};

static void on_element(void *arg, const struct nft_element *el)
{
	const struct reading *r = arg;
	struct ip_addr address = ip_addr_from_bytes(r->family, el->key);

	r->visit(r->arg, &address, r->sent, el->packets, el->bytes);
}

int meter_read(struct meter *m, const struct meter_place *place, meter_fn *visit, void *arg,
	       struct err *e)
{
	struct timeval rest = { METER_REST_S, 0 };

	if (m->nl && !same_place(place, &m->place))
		stop(m);
	if (!m->nl && start(m, place, e) < 0)
		return err_wrap(e, "counters");
	event_add(m->rest, &rest);
	for (size_t i = 0; i < SETS; i++) {
		struct reading r = { visit, arg, i % 2 ? AF_INET6 : AF_INET, i < SET_RECEIVED };

		if (nft_elements_visit(m->nl, &table, &sets[i], NULL, on_element, &r, e) < 0) {
			/* Somebody may have taken it away. */
			stop(m);
			return err_wrap(e, "counters");
		}
	}
	return 0;
}
