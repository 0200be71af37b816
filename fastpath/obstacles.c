/* SPDX-License-Identifier: Apache-2.0 */
#include "fastpath/obstacles.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>
#include <unistd.h>

#include "kernel/filter_nft.h"
#include "kernel/iptables.h"
#include "kernel/marks.h"
#include "kernel/segment.h"

#define OURS_MAX    64
#define METER_TABLE "flannel-meter" /* traffic/meter.h: counts, and decides nothing */

static const int families[2] = { AF_INET, AF_INET6 };

/* ---- samples ---- */

#define SAMPLES_MAX 6

/* Packets between containers, as they come in here and leave. */
static size_t samples(const struct fast_scope *scope, struct filter_packet ret[static SAMPLES_MAX])
{
	size_t len = 0;

	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		const struct ip_net *own = &scope->own[f];
		const struct ip_net *all = &scope->network[f];

		if (!ip_net_is_set(own) || !ip_net_is_set(all))
			continue;
		ret[len++] = (struct filter_packet){ .family = families[f],
						     .source = *own,
						     .destination = *all };
		ret[len++] = (struct filter_packet){ .family = families[f],
						     .source = *all,
						     .destination = *own };
	}
	return len;
}

/* ---- nf_tables ---- */

struct survey {
	const struct fast_scope *scope;
	struct filter_nft *nft;
	struct {
		uint8_t family;
		char name[NFT_NAME_SIZE];
	} ours[OURS_MAX];
	size_t ours_len;
	char *why;
};

static bool is_made_by_us(const char *table)
{
	return strcmp(table, MARK_CNI_TABLE) == 0 || strcmp(table, METER_TABLE) == 0;
}

/* Of this daemon, and of others like it. */
static void on_table(void *arg, uint8_t family, const char *name, const char *mark)
{
	struct survey *s = arg;

	if (s->ours_len == OURS_MAX ||
	    (strncmp(mark, MARK_PREFIX, strlen(MARK_PREFIX)) != 0 && !is_made_by_us(name)))
		return;
	s->ours[s->ours_len].family = family;
	snprintf(s->ours[s->ours_len++].name, sizeof(s->ours[0].name), "%s", name);
}

static bool is_ours(const struct survey *s, const struct nft_chain_info *c)
{
	for (size_t i = 0; i < s->ours_len; i++) {
		if (s->ours[i].family == c->family && strcmp(s->ours[i].name, c->table) == 0)
			return true;
	}
	return false;
}

static const char *family_name(uint8_t family)
{
	return family == NFPROTO_INET     ? "inet"
	       : family == NFPROTO_IPV4   ? "ip"
	       : family == NFPROTO_IPV6   ? "ip6"
	       : family == NFPROTO_BRIDGE ? "bridge"
					  : "netdev";
}

/* Whether packets that are forwarded come by. */
static bool is_on_the_way(const struct nft_chain_info *c)
{
	switch (c->family) {
	case NFPROTO_INET:
	case NFPROTO_IPV4:
	case NFPROTO_IPV6:
		return c->hook != NF_INET_LOCAL_IN && c->hook != NF_INET_LOCAL_OUT;
	case NFPROTO_BRIDGE:
	case NFPROTO_NETDEV:
		return true;
	default:
		return false;
	}
}

static bool enters(const struct nft_chain_info *c, const struct filter_packet *p)
{
	return c->family == NFPROTO_INET ||
	       c->family == (p->family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6);
}

/* A chain that has rules, or drops. */
static bool is_in_use(const struct survey *s, const struct nft_chain_info *c)
{
	const struct filter_packet any = { .family = AF_INET };
	struct filter_outcome o;

	if (c->drops)
		return true;
	filter_nft_walk(s->nft, c, &any, NULL, &o);
	return o.top > 0;
}

static bool translates(const struct survey *s, const struct nft_chain_info *c)
{
	struct filter_packet packets[SAMPLES_MAX];
	size_t len = samples(s->scope, packets);
	struct filter_outcome o;

	for (size_t i = 0; i < len; i++) {
		if (!enters(c, &packets[i]))
			continue;
		filter_nft_walk(s->nft, c, &packets[i], NULL, &o);
		if (!o.idle)
			return true;
	}
	return false;
}

static void on_chain(void *arg, const struct nft_chain_info *c)
{
	struct survey *s = arg;

	/* What has a name so long that it is cut cannot be asked for its rules. */
	bool cut = strlen(c->name) == NFT_NAME_SIZE - 1 || strlen(c->table) == NFT_NAME_SIZE - 1;

	if (*s->why || !c->base || is_ours(s, c) || !is_on_the_way(c) || (!cut && !is_in_use(s, c)))
		return;
	if (c->translates && !cut && !translates(s, c))
		return;
	snprintf(s->why, FAST_WHY_TEXT, "chain %.60s of table %s %.60s, which is not ours, %s",
		 c->name, family_name(c->family), c->table,
		 c->translates ? "may translate containers' packets" : "sees containers' packets");
}

void fast_obstacle_chains(struct netlink *nl, const struct fast_scope *scope,
			  char ret[static FAST_WHY_TEXT])
{
	struct survey s = { .scope = scope, .why = ret };
	struct err e;

	ret[0] = '\0';
	if (!nl)
		return;
	s.nft = filter_nft_new(nl);
	if (nft_tables_visit(nl, on_table, &s, &e) < 0 ||
	    nft_chains_visit(nl, on_chain, &s, &e) < 0)
		snprintf(ret, FAST_WHY_TEXT, "chains of nf_tables cannot be read: %.160s", e.text);
	filter_nft_free(s.nft);
}

bool fast_obstacle_may_be(const struct nft_change *change)
{
	switch (change->message) {
	case NFT_MSG_NEWTABLE: /* its flags, or its mark */
	case NFT_MSG_DELTABLE:
	case NFT_MSG_NEWCHAIN:
	case NFT_MSG_DELCHAIN:
	case NFT_MSG_NEWRULE:
	case NFT_MSG_DELRULE:
		return !is_made_by_us(change->table);
	default:
		return false;
	}
}

/* ---- the old form ---- */

/* True if it is in the way. */
static bool is_table_used(const struct fast_scope *scope, size_t f, const char *table)
{
	static const unsigned hooks[] = { NF_INET_PRE_ROUTING, NF_INET_POST_ROUTING };
	struct filter_packet packets[SAMPLES_MAX];
	size_t len = samples(scope, packets);
	struct iptables_table t;
	bool used = false;
	struct err e;

	if (iptables_read(families[f], table, &t, &e) < 0)
		return true;
	if (!t.present)
		return false;
	if (strcmp(table, "nat") != 0) {
		used = t.has_rules || iptables_policy_drops(&t, NF_INET_FORWARD);
	} else {
		for (size_t i = 0; i < len * ARRAY_LEN(hooks) && t.has_rules; i++) {
			const struct filter_packet *p = &packets[i / ARRAY_LEN(hooks)];
			struct filter_outcome o;

			if (p->family != families[f])
				continue;
			iptables_walk(&t, hooks[i % ARRAY_LEN(hooks)], p, NULL, &o);
			used |= !o.idle;
		}
	}
	iptables_table_fini(&t);
	return used;
}

void fast_obstacle_legacy(const struct fast_scope *scope, char ret[static FAST_WHY_TEXT])
{
	static const char *const tables[] = { "filter", "nat", "mangle", "raw", "security" };
	static const char *const modules[] = { "ebtable_broute", "ebtable_nat", "ebtable_filter" };

	ret[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(tables) * ARRAY_LEN(families); i++) {
		size_t f = i % ARRAY_LEN(families);
		const char *table = tables[i / ARRAY_LEN(families)];

		if (is_table_used(scope, f, table)) {
			snprintf(ret, FAST_WHY_TEXT,
				 "table %s of %s-legacy has rules, or cannot be read", table,
				 f == 0 ? "iptables" : "ip6tables");
			return;
		}
	}
	/* What its tables hold only its own tool reads. */
	for (size_t i = 0; i < ARRAY_LEN(modules); i++) {
		auto_free char *path = xasprintf("/sys/module/%s", modules[i]);

		if (access(path, F_OK) == 0) {
			snprintf(ret, FAST_WHY_TEXT, "ebtables in its old form is in use: %s",
				 modules[i]);
			return;
		}
	}
}

void fast_obstacle_policies(struct netlink *nl, char ret[static FAST_WHY_TEXT])
{
	unsigned len = 0;
	struct err e;

	ret[0] = '\0';
	if (nl && segment_xfrm_policies(nl, &len, &e) < 0)
		snprintf(ret, FAST_WHY_TEXT, "policies of IPsec cannot be counted: %.160s", e.text);
	else if (len)
		snprintf(ret, FAST_WHY_TEXT, "there are policies of IPsec: ip xfrm policy");
}
