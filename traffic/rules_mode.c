/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nftables or iptables? An accept in our table does not help where a chain of iptables drops, so
 * there the rules for masquerade and forwarding stand in iptables, of the kind that drops. The
 * guard, which only drops, stands in our table in any case.
 *
 * The choice is made at the start, and later only from nftables to iptables, when somebody (docker,
 * as a rule) begins to drop: going to and fro with him would help nobody. Each way the new rules
 * stand before the old ones go.
 */
#include "traffic/rules_internal.h"
#include "lib/log.h"

static const int families[2] = { AF_INET, AF_INET6 };
const char *const rules_legacy_tables[RULES_LEGACY_TABLES] = { "nat", "filter", "mangle", "raw" };

static const char REASON_FLAG[] = "traffic-mode says so";
static const char REASON_DROP[] = "FORWARD of iptables drops what is forwarded";
static const char REASON_LEGACY[] =
	"rules of iptables-legacy are in use, and EnableNFTables is not set";
static const char REASON_NO_NFTABLES[] = "the kernel's nf_tables cannot be used";
static const char REASON_DEFAULT[] = "no rules of iptables stand in the way";
static const char REASON_UNKNOWN[] = "what iptables does is not known";

/* Tables from number `first` on. */
static void look_at_legacy(struct rules_survey *s, size_t first)
{
	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		for (size_t t = first; t < (size_t)RULES_LEGACY_TABLES; t++) {
			struct err e;

			if (iptables_read(families[f], rules_legacy_tables[t], &s->legacy[f][t],
					  &e) < 0)
				s->legacy_error = e;
		}
	}
	s->r->probe_error = s->legacy_error;
}

void rules_mode_survey(struct rules_survey *s)
{
	look_at_legacy(s, 0);
}

void rules_survey_fini(struct rules_survey *s)
{
	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		for (size_t t = 0; t < (size_t)RULES_LEGACY_TABLES; t++)
			iptables_table_fini(&s->legacy[f][t]);
	}
	filter_nft_free(s->filter);
	s->filter = NULL;
}

static bool legacy_drops(const struct rules_survey *s)
{
	return s->legacy_stops[0].drops || s->legacy_stops[1].drops;
}

static bool nft_drops(const struct rules_survey *s)
{
	return s->nft[0].drops || s->nft[1].drops;
}

static bool legacy_has_rules(const struct rules_survey *s)
{
	return s->legacy[0][0].has_rules || s->legacy[0][1].has_rules ||
	       s->legacy[1][0].has_rules || s->legacy[1][1].has_rules;
}

static enum rules_iptables_kind kind_for(const struct rules_survey *s)
{
	if (nft_drops(s))
		return RULES_IPTABLES_NFT;
	return legacy_drops(s) || legacy_has_rules(s) ? RULES_IPTABLES_LEGACY : RULES_IPTABLES_ANY;
}

static void set_mode(struct rules *r, const struct rules_survey *s, enum rules_mode mode,
		     const char *reason)
{
	if (r->mode_reason && r->mode == mode) {
		if (r->mode_reason == REASON_UNKNOWN)
			r->mode_reason = reason;
		return;
	}
	if (mode == RULES_IPTABLES)
		r->iptables_kind = kind_for(s);
	r->iptables_dirty = mode == RULES_IPTABLES;
	r->mode = mode;
	r->mode_reason = reason;
	log_info("rules-mode", "%s: %s", rules_mode_name(mode), reason);
}

void rules_mode_choose(struct rules *r, const struct rules_survey *s)
{
	const char *flag = r->options->traffic_mode;
	bool chosen = r->mode_reason && r->mode_reason != REASON_UNKNOWN;

	if (strcmp(flag, "auto") != 0)
		set_mode(r, s, strcmp(flag, "iptables") == 0 ? RULES_IPTABLES : RULES_NFTABLES,
			 REASON_FLAG);
	else if (r->traffic.forward && (nft_drops(s) || legacy_drops(s)))
		set_mode(r, s, RULES_IPTABLES, REASON_DROP);
	else if (!chosen && !r->enable_nftables && legacy_has_rules(s))
		set_mode(r, s, RULES_IPTABLES, REASON_LEGACY);
	else if (!chosen)
		set_mode(r, s, RULES_NFTABLES,
			 s->legacy_error.code ? REASON_UNKNOWN : REASON_DEFAULT);
}

/* The number of the rule in iptables' FORWARD that our jump has to stand before. */
static unsigned top_of(const struct rules *r, const struct rules_survey *s, size_t f)
{
	unsigned nft = r->iptables_kind == RULES_IPTABLES_LEGACY ? 0 : s->nft[f].top;
	unsigned legacy = r->iptables_kind == RULES_IPTABLES_NFT ? 0 : s->legacy_stops[f].top;

	return MAX(nft, legacy);
}

void rules_mode_stops(struct rules *r, const struct rules_survey *s)
{
	for (size_t f = 0; f < ARRAY_LEN(families) && !rules_iptables_busy(r->iptables); f++) {
		unsigned top = top_of(r, s, f);

		/* Where it does not help, once is enough. */
		r->iptables_dirty |= r->mode == RULES_IPTABLES && top && top != r->iptables_top[f];
		r->iptables_top[f] = top;
	}
}

void rules_mode_without_nftables(struct rules *r, const struct rules_survey *s)
{
	set_mode(r, s, RULES_IPTABLES, REASON_NO_NFTABLES);
	rules_mode_stops(r, s);
	rules_note_obstacles(r, s);
	rules_mode_drive(r, s);
}

unsigned rules_mode_chains(const struct rules *r, const struct rules_survey *s)
{
	unsigned guard = 1u << TRAFFIC_GUARD;
	unsigned all = (1u << TRAFFIC_TABLE_CHAINS) - 1;

	if (r->mode == RULES_NFTABLES)
		return all;
	/* What masquerades goes on doing so until iptables does; if iptables cannot be told, our
	 * table is better than nothing. */
	return !r->iptables_stands && (s->table_is_full || r->iptables_error.code) ? all : guard;
}

static void remember(struct rules *r, const struct rules_survey *s)
{
	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		for (size_t t = 0; t < (size_t)RULES_LEGACY_TABLES; t++)
			r->digests[f][t] = s->legacy[f][t].digest;
	}
}

/* Of the families: in which there may be chains of ours or flannel's, in this kind of iptables. */
static unsigned families_to_clean(const struct rules_survey *s, enum rules_iptables_kind kind)
{
	unsigned mask = 0;

	if (kind == RULES_IPTABLES_NFT)
		return s->iptables_chains;
	for (size_t f = 0; f < ARRAY_LEN(families); f++)
		mask |= s->legacy[f][0].has_rules || s->legacy[f][1].has_rules ? 1u << f : 0;
	return mask;
}

/* In the kinds of iptables that we do not use; in the one that we do, each update does the same. */
static void look_for_leftovers(struct rules *r, const struct rules_survey *s)
{
	static const enum rules_iptables_kind kinds[] = { RULES_IPTABLES_NFT,
							  RULES_IPTABLES_LEGACY };
	struct traffic_rules none = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		enum rules_iptables_kind other = kinds[1 - i];
		unsigned mask = families_to_clean(s, kinds[i]);

		if (!(r->iptables_leftovers & 1u << kinds[i]))
			continue;
		r->iptables_leftovers &= ~(1u << kinds[i]);
		/* ANY, what the host calls iptables, may be either. */
		if (mask == 0 || (r->mode == RULES_IPTABLES && r->iptables_kind != other))
			continue;
		r->iptables_cleaning = kinds[i];
		rules_iptables_run(r->iptables, kinds[i], &none, r->table, r->mark, mask,
				   (unsigned[2]){ 0 });
		return;
	}
}

void rules_mode_drive(struct rules *r, const struct rules_survey *s)
{
	unsigned all = (1u << TRAFFIC_CHAINS) - 1;
	struct traffic_rules rules = { 0 };
	unsigned mask = 0;

	if (rules_iptables_busy(r->iptables))
		return;
	if (r->iptables_dirty) {
		r->iptables_dirty = false;
		for (size_t f = 0; f < ARRAY_LEN(families); f++)
			mask |= ip_net_is_set(&r->place.network[f]) ? 1u << f : 0;
		traffic_rules(&r->traffic, &r->place, all, &rules);
		rules_iptables_run(r->iptables, r->iptables_kind, &rules, r->table, r->mark, mask,
				   r->iptables_top);
		traffic_rules_fini(&rules);
	} else if (r->iptables_leftovers && r->mode_reason) {
		look_for_leftovers(r, s);
	}
}

static void clean_done(struct rules *r, int rc, unsigned writes, const struct err *e)
{
	const char *where =
		r->iptables_cleaning == RULES_IPTABLES_LEGACY ? "iptables-legacy" : "iptables";

	r->iptables_cleaning = 0;
	if (rc < 0)
		log_warn("leftover", "%s: %s", where, e->text);
	else if (writes)
		log_info("leftover", "removed from %s: chains that nobody wants any more", where);
}

void rules_mode_iptables_done(void *arg, int rc, unsigned writes, const struct err *e)
{
	struct rules *r = arg;
	struct rules_survey now = { .r = r };

	if (r->iptables_cleaning) {
		clean_done(r, rc, writes, e);
	} else if (rc < 0) {
		r->iptables_dirty = true;
		rules_fail(r, &r->iptables_error, e);
	} else {
		rules_mode_survey(&now);
		remember(r, &now);
		rules_survey_fini(&now);
		if (writes && r->iptables_stands) {
			r->heals_total++;
			log_warn("rules-healed", "iptables: rules were missing or altered");
		} else if (writes) {
			log_info("rules-made", "iptables: chains %s-POSTRTG and %s-FWD", r->table,
				 r->table);
		}
		r->iptables_writes += writes;
		r->iptables_error.code = 0;
		backoff_reset(&r->backoff);
		/* Now our table may do without. */
		if (!r->iptables_stands)
			r->dirty = true;
		r->iptables_stands = true;
	}
	if (r->dirty || r->iptables_dirty || r->iptables_leftovers) {
		r->dirty = true;
		rules_want_work(r, 0);
	}
	r->changed(r->arg);
}

void rules_mode_tick(struct rules *r)
{
	bool ours = r->mode == RULES_IPTABLES && r->iptables_kind != RULES_IPTABLES_NFT;
	/* nat, which others fill, is of interest with rules of ours in it, or if they may translate the
	 * tunnel's addresses. */
	size_t first = ours || r->options->tunnel_notrack ? 0 : 1;
	struct rules_survey now = { .r = r };
	bool known = !r->probe_error.code;
	bool changed = false;

	if (rules_iptables_busy(r->iptables))
		return;
	look_at_legacy(&now, first);
	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		for (size_t t = first; t < (size_t)RULES_LEGACY_TABLES; t++) {
			changed |= r->digests[f][t] != now.legacy[f][t].digest;
			r->digests[f][t] = now.legacy[f][t].digest;
		}
	}
	rules_survey_fini(&now);
	changed |= known != !r->probe_error.code;
	if (!changed)
		return;
	r->iptables_dirty |= r->mode == RULES_IPTABLES;
	r->dirty = true;
	rules_want_work(r, 0);
}
