/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our table of nf_tables: made, compared, put back; its sets and counters; what others left behind.
 */
#include <errno.h>

#include "traffic/rules_internal.h"

#include <linux/netfilter.h>

#include "kernel/rehearsal.h"
#include "lib/clock.h"
#include "lib/log.h"

struct nft_table rules_table(const struct rules *r)
{
	return (struct nft_table){ .family = NFPROTO_INET, .name = r ? r->table : "" };
}

/* ---- elements ---- */

struct elements {
	struct nft_element *items;
	size_t len;
	size_t cap;
};

static void collect(void *arg, const void *key)
{
	struct elements *e = arg;

	GROW(e->items, e->len, e->cap);
	e->items[e->len++] = (struct nft_element){ .key = key };
}

static void put_elements(const struct rules *r, struct sequence *s)
{
	const struct nft_table t = rules_table(r);

	for (uint8_t i = 0; i < TRAFFIC_SETS && r->listener; i++) {
		struct elements e = { 0 };

		r->listener->elements(r->listener_arg, i, collect, &e);
		nft_add_elements(s, &t, &traffic_sets[i], e.items, e.len, false);
		free(e.items);
	}
}

/* ---- counters ---- */

struct strangers {
	struct rules *r;
	int family;
	int64_t now_ms;
};

/* Into its place among those seen last. */
static void note_stranger(void *arg, const struct nft_element *el)
{
	const struct strangers *s = arg;
	struct rules *r = s->r;
	int64_t age_ms = TRAFFIC_STRANGER_S * 1000ll -
			 (int64_t)MIN(el->left_ms, TRAFFIC_STRANGER_S * 1000ull);
	size_t at = r->strangers_len;

	while (at > 0 && r->strangers[at - 1].seen_ms < s->now_ms - age_ms)
		at--;
	if (at == RULES_STRANGERS_MAX)
		return;
	r->strangers_len = MIN(r->strangers_len + 1, (size_t)RULES_STRANGERS_MAX);
	memmove(&r->strangers[at + 1], &r->strangers[at],
		(r->strangers_len - at - 1) * sizeof(r->strangers[0]));
	r->strangers[at] = (struct rules_stranger){ .addr = ip_addr_from_bytes(s->family, el->key),
						    .packets = el->packets,
						    .seen_ms = s->now_ms - age_ms };
}

static void read_strangers(struct rules *r)
{
	const struct nft_table t = rules_table(r);

	r->strangers_len = 0;
	for (uint8_t i = TRAFFIC_STRANGERS; i < TRAFFIC_ALL_SETS; i++) {
		struct strangers s = { r, i == TRAFFIC_STRANGERS ? AF_INET : AF_INET6,
				       clock_boot_ms() };

		/* What cannot be read is not told. */
		(void)!nft_elements_visit(r->nl, &t, &traffic_sets[i], NULL, note_stranger, &s,
					  NULL);
	}
	for (size_t i = 0; i < r->strangers_len && r->listener; i++)
		r->listener->nearest(r->listener_arg, &r->strangers[i].addr,
				     r->strangers[i].nearest);
}

/* A table that is gone counts no longer, but what was counted stays. */
void rules_table_read_counters(struct rules *r)
{
	const struct nft_table t = rules_table(r);
	uint64_t before = r->counters[0].packets;

	for (size_t i = 0; i < ARRAY_LEN(r->counters); i++) {
		struct nft_counter *c = &r->counters[i];
		struct nft_counter now = { .name = c->name };

		if (!r->nl || !r->started || nft_counter_read(r->nl, &t, &now, NULL) < 0)
			continue;
		if (now.packets > c->packets && r->stands)
			r->dropped_ms = clock_boot_ms();
		c->packets = MAX(c->packets, now.packets);
		c->bytes = MAX(c->bytes, now.bytes);
	}
	/* Who it was is worth a look when there was somebody, or it is forgotten. */
	if (r->counters[0].packets != before || r->strangers_len)
		read_strangers(r);
}

/* ---- other people's rules ---- */

/* Chains that flannel made: on iptables, and tables of their own. */
static bool is_flannel(const struct nft_chain_info *c)
{
	return (strcmp(c->table, "nat") == 0 && strcmp(c->name, "FLANNEL-POSTRTG") == 0) ||
	       (strcmp(c->table, "filter") == 0 && strcmp(c->name, "FLANNEL-FWD") == 0) ||
	       (c->family == NFPROTO_IPV4 && strcmp(c->table, "flannel-ipv4") == 0) ||
	       (c->family == NFPROTO_IPV6 && strcmp(c->table, "flannel-ipv6") == 0);
}

/* A chain on iptables that we may have made, under whatever name of a table: its jump tells. */
static bool may_be_ours(const struct nft_chain_info *c)
{
	const char *suffix = strrchr(c->name, '-');

	return suffix && ((strcmp(c->table, "nat") == 0 && strcmp(suffix, "-POSTRTG") == 0) ||
			  (strcmp(c->table, "filter") == 0 && strcmp(suffix, "-FWD") == 0));
}

static const char *family_name(uint8_t family)
{
	return family == NFPROTO_INET ? "inet" : family == NFPROTO_IPV4 ? "ip" : "ip6";
}

static void survey_chain(void *arg, const struct nft_chain_info *c)
{
	struct rules_survey *s = arg;

	if (is_flannel(c) && s->leftovers_len < RULES_FOREIGN_MAX)
		s->leftovers[s->leftovers_len++] = *c;
	if (c->family != NFPROTO_INET && may_be_ours(c))
		s->iptables_chains |= c->family == NFPROTO_IPV4 ? 1 : 2;
	if (c->family == NFPROTO_INET && strcmp(c->table, s->r->table) == 0)
		s->table_is_full |= c->base && c->hook == traffic_chains[TRAFFIC_MASQUERADE].hook;
	rules_obstacle_chain(s, c);
}

static void survey_table(void *arg, uint8_t family, const char *name, const char *mark)
{
	struct rules_survey *s = arg;

	if (strcmp(mark, s->r->mark) == 0 && family == NFPROTO_INET &&
	    strcmp(name, s->r->table) != 0 && s->former_len < RULES_FOREIGN_MAX)
		snprintf(s->former[s->former_len++], NFT_NAME_SIZE, "%s", name);
}

static int take_survey(struct rules *r, struct rules_survey *s, struct err *e)
{
	int rc = 0;

	*s = (struct rules_survey){ .r = r, .filter = filter_nft_new(r->nl) };
	rules_mode_survey(s);
	if (r->nl)
		rc = nft_tables_visit(r->nl, survey_table, s, e);
	if (r->nl && rc == 0)
		rc = nft_chains_visit(r->nl, survey_chain, s, e);
	rules_find_obstacles(s);
	rules_judge_tracking(s);
	return r->nl ? rc : err_set(e, -EPROTONOSUPPORT, "nftables: the kernel does not have it");
}

static bool all_stands(const struct rules *r)
{
	return r->stands && !r->error.code && (r->mode == RULES_NFTABLES || r->iptables_stands);
}

static void sweep_table(void *arg, uint8_t family, const char *name, const char *mark)
{
	struct rules *r = arg;
	struct err e;

	if (strcmp(mark, r->mark) != 0 || (family == NFPROTO_INET && strcmp(name, r->table) == 0))
		return;
	if (nft_table_delete(r->nl, family, name, &e) < 0)
		log_warn("leftover", "table %s %s: %s", family_name(family), name, e.text);
	else
		log_info("leftover", "removed: table %s %s, which nobody wants any more",
			 family_name(family), name);
}

void rules_table_sweep(struct rules *r)
{
	struct err e;

	if (!r->sweep_due || !r->nl || r->dirty || !all_stands(r))
		return;
	r->sweep_due = false;
	if (nft_tables_visit(r->nl, sweep_table, r, &e) < 0)
		log_warn("leftover", "%s", e.text);
}

/* Only once ours stand, and once only: who makes them anew has a reason. */
static void remove_leftovers(struct rules *r, const struct rules_survey *s)
{
	struct err e;

	if (!r->leftovers || !all_stands(r))
		return;
	r->leftovers = false;
	for (size_t i = 0; i < s->leftovers_len; i++) {
		const struct nft_chain_info *c = &s->leftovers[i];
		int rc;

		if (strcmp(c->table, "nat") == 0 || strcmp(c->table, "filter") == 0)
			rc = nft_chain_delete(r->nl, c->family, c->table,
					      strcmp(c->table, "nat") == 0 ? "POSTROUTING"
									   : "FORWARD",
					      c->name, &e);
		else
			rc = nft_table_delete(r->nl, c->family, c->table, &e);
		/* Two chains may have been in one table. */
		if (rc < 0 && rc != -ENOENT)
			log_warn("leftover", "table %s %s, chain %s: %s", family_name(c->family),
				 c->table, c->name, e.text);
		else if (rc == 0)
			log_info("leftover", "removed: table %s %s, chain %s",
				 family_name(c->family), c->table, c->name);
	}
}

/* ---- the table ---- */

static int replace(struct rules *r, const struct traffic_rules *wanted, const char *why,
		   struct err *e)
{
	auto_sequence struct sequence *s = sequence_new();
	struct nft_ruleset set;
	struct timespec start;
	struct timespec end;
	double ms;
	int rc;

	rules_table_read_counters(r);
	set = traffic_ruleset(r->table, r->mark, wanted, r->counters);
	clock_gettime(CLOCK_MONOTONIC, &start);
	nft_begin(s);
	nft_replace_ruleset(s, &set);
	/* The guard never stands without its peers. */
	put_elements(r, s);
	nft_end(s);
	rc = sequence_run(s, r->nl, e);
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (rc < 0)
		return rc;
	if (r->listener)
		r->listener->replaced(r->listener_arg);
	ms = (double)(end.tv_sec - start.tv_sec) * 1e3 +
	     (double)(end.tv_nsec - start.tv_nsec) / 1e6;
	if (r->stands && r->undone)
		rules_note_undone(r, why, ms);
	else
		log_info("rules-made", "%s; table %s is made in %.1f ms", why, r->table, ms);
	r->culprit[0] = '\0';
	return 0;
}

/* The kernel has no nf_tables, or lacks a part of it that we need. */
static bool is_unsupported(int code)
{
	return code == -EOPNOTSUPP || code == -EPROTONOSUPPORT || code == -ENOENT ||
	       code == -EINVAL;
}

static void note_tracking(struct rules *r, const struct rules_survey *s)
{
	if (r->tracked_told && strcmp(r->tracked, s->tracked) == 0)
		return;
	r->tracked_told = true;
	snprintf(r->tracked, sizeof(r->tracked), "%s", s->tracked);
	r->traffic.notrack = !*r->tracked;
	if (r->traffic.notrack)
		log_info("tunnel-untracked", "tunnel packets are kept out of connection tracking");
	else if (r->options->tunnel_notrack)
		log_info("tunnel-tracked", "the kernel tracks tunnel packets: %s", r->tracked);
}

/* The table is made equal to what is wanted, or found equal. */
static int settle(struct rules *r, const struct rules_survey *s, struct err *e)
{
	struct traffic_rules wanted = { 0 };
	struct nft_ruleset set;
	char why[128];
	int rc;

	rules_mode_choose(r, s);
	rules_mode_stops(r, s);
	rules_note_obstacles(r, s);
	note_tracking(r, s);
	r->chains = rules_mode_chains(r, s);
	traffic_rules(&r->traffic, &r->place, r->chains, &wanted);
	set = traffic_ruleset(r->table, r->mark, &wanted, r->counters);
	rc = nft_compare(r->nl, &set, why, sizeof(why), e);
	if (rc == 0 && why[0] && !rehearsal_is_on())
		rc = replace(r, &wanted, why, e);
	traffic_rules_fini(&wanted);
	return rc;
}

/* A kernel that lacks but this part makes the rest. */
static bool do_without_notrack(struct rules *r, struct rules_survey *s, const struct err *e)
{
	if (!r->traffic.notrack || !is_unsupported(e->code))
		return false;
	r->notrack_unsupported = true;
	snprintf(s->tracked, sizeof(s->tracked), "the kernel cannot do otherwise: %.200s", e->text);
	return true;
}

int rules_difference(const struct rules *r, char *ret, size_t size, struct err *e)
{
	struct traffic_rules wanted = { 0 };
	struct nft_ruleset set;
	char why[128];
	int rc;

	*ret = '\0';
	/* One that is gone and waits to be put back is a difference, the greatest. */
	if (!r || !r->started || !r->stands || r->error.code || !r->nl)
		return 0;
	traffic_rules(&r->traffic, &r->place, r->chains, &wanted);
	set = traffic_ruleset(r->table, r->mark, &wanted, r->counters);
	rc = nft_compare(r->nl, &set, why, sizeof(why), e);
	if (rc == 0 && why[0])
		snprintf(ret, size, "table %s: %s", r->table, why);
	traffic_rules_fini(&wanted);
	return rc;
}

static void ignore_element(void *arg UNUSED, const struct nft_element *el UNUSED)
{
}

/* What was not made may not be there. */
static bool sets_stand(const struct rules *r)
{
	const struct nft_table t = rules_table(r);
	bool all = true;

	for (uint8_t i = 0; i < TRAFFIC_SETS && all; i++)
		all = nft_elements_visit(r->nl, &t, &traffic_sets[i], NULL, ignore_element, NULL,
					 NULL) != -ENOENT;
	return all;
}

int rules_table_settle(struct rules *r, struct err *e)
{
	struct rules_survey survey;
	int rc = take_survey(r, &survey, e);

	if (rc == 0)
		rc = settle(r, &survey, e);
	if (rc < 0 && do_without_notrack(r, &survey, e))
		rc = settle(r, &survey, e);
	r->unsupported = is_unsupported(rc) && !r->stands;
	if (r->unsupported && strcmp(r->options->traffic_mode, "nftables") != 0)
		rules_mode_without_nftables(r, &survey);
	if (rc < 0) {
		rules_survey_fini(&survey);
		return rc;
	}
	r->dirty = false;
	r->stands = true;
	r->gone = rehearsal_is_on() && !sets_stand(r);
	if (rehearsal_is_on()) {
		rules_survey_fini(&survey);
		return 0;
	}
	rules_mode_drive(r, &survey);
	remove_leftovers(r, &survey);
	rules_survey_fini(&survey);
	rules_table_sweep(r);
	return 0;
}
