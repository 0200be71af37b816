/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/reach.h"

#include <errno.h>
#include <string.h>

#include "fabric/reach_internal.h"
#include "lib/clock.h"
#include "lib/hash.h"
#include "lib/util.h"

#define LOSS_OF 32 /* questions, of which the lost ones are counted */

const int32_t reach_buckets_us[REACH_BUCKETS] = { 100,   200,   500,   1000,   2000,   5000,
						  10000, 20000, 50000, 100000, 200000, 1000000 };

const char *reach_layer_name(enum reach_layer layer)
{
	return layer == REACH_UNDERLAY ? "underlay" : "tunnel";
}

const char *reach_state_name(enum reach_state state)
{
	static const char *const names[] = { "new", "ok", "tunnel-silent", "silent" };

	return names[state];
}

static unsigned index_of(int family)
{
	return family == AF_INET6;
}

/* ---- life ---- */

struct reach *reach_new(int64_t interval_ms, reach_ask_fn *ask, void *arg)
{
	struct reach *r = xcalloc(1, sizeof(*r));

	r->interval_ms = interval_ms;
	r->paths.every_ms = PATH_MTU_EVERY * interval_ms;
	r->ask = ask;
	r->arg = arg;
	for (unsigned i = 0; i < PACES; i++)
		TAILQ_INIT(&r->queues[i]);
	return r;
}

void reach_free(struct reach *r)
{
	free(r);
}

void reach_set_place(struct reach *r, unsigned underlay, unsigned tunnel)
{
	r->underlay = underlay;
	r->tunnel = tunnel;
}

static struct target **slot(struct reach *r, const struct target *t)
{
	return &r->waiting[t->sequence % REACH_SEQUENCES];
}

static void wait_no_more(struct reach *r, const struct target *t)
{
	if (*slot(r, t) == t)
		*slot(r, t) = NULL;
}

static void set_state(struct reach *r, struct target *t, enum reach_state state, int64_t now_ms)
{
	unsigned family = index_of(t->family);

	if (t->state == state)
		return;
	r->counts.states[family][t->state]--;
	t->state = state;
	t->since = clock_tenths(now_ms);
	r->counts.states[family][state]++;
}

/* After whatever may have changed what is known of its ways. */
static void note_path(struct reach *r, struct target *t)
{
	enum path_mtu_state state = target_way(t)->path.state;
	unsigned family = index_of(t->family);

	if (state == t->path)
		return;
	r->counts.paths[family][t->path]--;
	r->counts.paths[family][state]++;
	t->path = state;
}

static void put_in_line(struct reach *r, struct target *t, enum pace pace, int64_t due_ms)
{
	t->pace = pace;
	t->due = clock_tenths(due_ms);
	TAILQ_INSERT_TAIL(&r->queues[pace], t, queue);
}

static struct target *add(struct reach *r, struct reach_peer *p, int family,
			  const struct manager_member *member, int64_t now_ms)
{
	struct target *t = &p->first;

	if (t->member)
		t = p->second = xmalloc(sizeof(*t));
	*t = (struct target){ .member = member };
	t->family = family;
	t->since = clock_tenths(now_ms);
	r->counts.states[index_of(family)][REACH_NEW]++;
	r->counts.paths[index_of(family)][PATH_MTU_UNKNOWN]++;
	put_in_line(r, t, FIRST, now_ms + REACH_NEW_MS);
	return t;
}

static void drop(struct reach *r, struct reach_peer *p, struct target *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < REACH_LAYERS; i++)
		path_mtu_forget(&r->paths, &t->ways[i].path);
	note_path(r, t);
	wait_no_more(r, t);
	TAILQ_REMOVE(&r->queues[t->pace], t, queue);
	r->counts.states[index_of(t->family)][t->state]--;
	r->counts.paths[index_of(t->family)][t->path]--;
	if (t == &p->first)
		t->member = NULL;
	else
		free(STEAL(p->second));
}

/* Of a peer that may not be asked yet. */
static void addresses(const struct reach *r, const struct target *t,
		      struct ip_addr ret[static REACH_LAYERS])
{
	unsigned bit = t->family == AF_INET ? 1 : 2;

	memset(ret, 0, REACH_LAYERS * sizeof(*ret));
	if (!ip_addr_is_set(target_address(t, REACH_OVERLAY)))
		return; /* it has no subnet of this family */
	if (r->underlay & bit)
		ret[REACH_UNDERLAY] = *target_address(t, REACH_UNDERLAY);
	if (r->tunnel & bit)
		ret[REACH_OVERLAY] = *target_address(t, REACH_OVERLAY);
}

/* NULL: it is not asked in that family. */
static struct target *target_of(const struct reach_peer *p, int family)
{
	struct reach_peer *peer = (struct reach_peer *)p;

	if (!p)
		return NULL;
	if (p->first.member && p->first.family == family)
		return &peer->first;
	return p->second && p->second->family == family ? p->second : NULL;
}

static void set_family(struct reach *r, struct reach_peer *p, const struct manager_member *member,
		       int family, const struct reach_size sizes[static REACH_LAYERS],
		       int64_t now_ms)
{
	const struct target now = { .member = member, .family = family };
	struct target *t = target_of(p, family);
	struct ip_addr at[REACH_LAYERS];
	uint32_t hash;

	addresses(r, &now, at);
	hash = (uint32_t)hash_bytes(at, sizeof(at));
	if (!t || t->addresses != hash) {
		drop(r, p, t);
		if (!ip_addr_is_set(&at[REACH_UNDERLAY]) && !ip_addr_is_set(&at[REACH_OVERLAY]))
			return;
		t = add(r, p, family, member, now_ms);
		t->addresses = hash;
		for (unsigned i = 0; i < REACH_LAYERS; i++)
			t->ways[i] = (struct reach_way){ .has_address = ip_addr_is_set(&at[i]),
							 .rtt_us = -1 };
	}
	t->member = member;
	for (unsigned i = 0; i < REACH_LAYERS; i++)
		path_mtu_set(&r->paths, &t->ways[i].path, sizes[i].bytes, sizes[i].overhead_bytes);
	note_path(r, t);
}

struct reach_peer *reach_set(struct reach *r, struct reach_peer *p,
			     const struct manager_member *member,
			     const struct reach_size sizes[static 2][REACH_LAYERS], int64_t now_ms)
{
	if (!p)
		p = xcalloc(1, sizeof(*p));
	set_family(r, p, member, AF_INET, sizes[0], now_ms);
	set_family(r, p, member, AF_INET6, sizes[1], now_ms);
	return p;
}

void reach_changed(struct reach_peer *p, int64_t now_ms)
{
	p->first.changed = clock_tenths(now_ms);
	if (p->second)
		p->second->changed = clock_tenths(now_ms);
}

void reach_forget(struct reach *r, struct reach_peer *p)
{
	if (!p)
		return;
	drop(r, p, p->second);
	drop(r, p, target_of(p, p->first.family));
	free(p);
}

/* ---- questions and answers ---- */

static bool answers(const struct reach_way *w)
{
	return w->heard && !w->lost;
}

/* Unset, it does not answer either. */
static bool is_silent(const struct reach_way *w)
{
	return !w->has_address || w->lost >= REACH_LOST_MAX;
}

static bool is_well(const struct target *t)
{
	return answers(target_way(t));
}

/* When the answers to one question have had their time: they come one after the other. */
static void judge(struct reach *r, struct target *t, int64_t now_ms)
{
	const struct reach_way *underlay = &t->ways[REACH_UNDERLAY];
	const struct reach_way *tunnel = &t->ways[REACH_OVERLAY];

	if (is_well(t))
		set_state(r, t, REACH_WELL, now_ms);
	else if (is_silent(tunnel) && is_silent(underlay))
		set_state(r, t, REACH_SILENT, now_ms);
	else if (is_silent(tunnel) && answers(underlay))
		set_state(r, t, REACH_TUNNEL_SILENT, now_ms);
}

/* A question is over: answered, or to be asked again. */
static void end_question(struct reach *r, struct reach_way *w, enum reach_layer layer,
			 bool answered)
{
	w->awaited = false;
	w->asked = (uint8_t)MIN(w->asked + 1, LOSS_OF);
	w->answered = w->answered << 1 | answered;
	if (answered)
		w->lost = 0;
	else if (w->lost < UINT8_MAX)
		w->lost++;
	r->counts.answered[layer] += answered;
}

/* It has answered by then if it does at all. */
static bool is_near(const struct target *t)
{
	bool near = true;

	for (unsigned i = 0; i < REACH_LAYERS; i++)
		near &= !t->ways[i].has_address || t->ways[i].rtt_us < REACH_HASTE_MS * 1000 / 2;
	return near;
}

static enum pace pace_of(const struct target *t, int64_t now_ms)
{
	bool doubtful = t->state == REACH_NEW;
	bool hurries = false;

	for (unsigned i = 0; i < REACH_LAYERS; i++) {
		doubtful |= t->ways[i].lost > 0 && t->ways[i].lost < REACH_LOST_MAX;
		hurries |= path_mtu_hurries(&t->ways[i].path);
	}
	if (hurries && is_near(t))
		return HASTE;
	if (doubtful || hurries)
		return QUICK;
	if (t->state == REACH_SILENT && now_ms - clock_tenths_ms(t->since) > REACH_LONG_MS)
		return SLOW;
	return USUAL;
}

static int64_t pace_ms(const struct reach *r, enum pace pace)
{
	if (pace == HASTE)
		return MIN(r->interval_ms, (int64_t)REACH_HASTE_MS);
	if (pace == QUICK)
		return MIN(r->interval_ms, (int64_t)REACH_QUICK_MS);
	return pace == USUAL ? r->interval_ms : MAX(r->interval_ms, (int64_t)REACH_LONG_EVERY_MS);
}

/* What was asked the last time had its time to be answered. */
static void end_questions(struct reach *r, struct target *t)
{
	for (enum reach_layer i = 0; i < REACH_LAYERS; i++) {
		struct reach_way *w = &t->ways[i];

		path_mtu_unanswered(&r->paths, &w->path, w->instead || !w->awaited);
		if (w->instead && w->awaited)
			path_mtu_doubt(&t->ways[REACH_UNDERLAY].path);
		if (w->awaited)
			end_question(r, w, i, false);
		if (w->lost >= REACH_LOST_MAX)
			path_mtu_forget(&r->paths, &w->path);
	}
	note_path(r, t);
}

/* A large question in place of the small one. False: that is to be asked. */
static bool ask_instead(struct reach *r, struct target *t, enum reach_layer layer)
{
	struct reach_way *w = &t->ways[layer];
	uint16_t size_bytes = 0;
	int rc;

	if (w == target_way(t) && answers(w))
		size_bytes = path_mtu_ask_instead(&w->path);
	if (!size_bytes)
		return false;
	w->awaited = w->instead = true;
	rc = r->ask(r->arg, t->family, layer, target_address(t, layer), t->sequence, size_bytes);
	if (rc == 0)
		return true;
	w->awaited = w->instead = false;
	if (rc == -EMSGSIZE)
		path_mtu_refused(&r->paths, &w->path, 0);
	else
		path_mtu_unanswered(&r->paths, &w->path, false);
	return false;
}

/* True: it was. */
static bool ask_large(struct reach *r, struct target *t, enum reach_layer layer, int64_t now_ms)
{
	struct reach_way *w = &t->ways[layer];
	uint16_t size_bytes = answers(w) ? path_mtu_ask(&w->path, now_ms) : 0;
	int rc;

	if (!size_bytes)
		return false;
	rc = r->ask(r->arg, t->family, layer, target_address(t, layer), t->sequence, size_bytes);
	if (rc == -EMSGSIZE)
		path_mtu_refused(&r->paths, &w->path, 0);
	else if (rc < 0)
		path_mtu_unanswered(&r->paths, &w->path, false);
	note_path(r, t);
	return true;
}

static void ask(struct reach *r, struct target *t, int64_t now_ms)
{
	bool large = false;
	enum pace pace;

	end_questions(r, t);
	judge(r, t, now_ms);
	wait_no_more(r, t);
	t->sequence = r->sequence++;
	*slot(r, t) = t;
	for (enum reach_layer i = 0; i < REACH_LAYERS; i++) {
		struct reach_way *w = &t->ways[i];

		if (!w->has_address)
			continue;
		r->counts.asked[i]++;
		w->error = 0;
		w->instead = false;
		if (ask_instead(r, t, i))
			continue;
		if (r->large_left)
			large |= ask_large(r, t, i, now_ms);
		w->awaited = true;
		w->error = r->ask(r->arg, t->family, i, target_address(t, i), t->sequence, 0);
	}
	r->large_left -= large;
	TAILQ_REMOVE(&r->queues[t->pace], t, queue);
	pace = pace_of(t, now_ms);
	put_in_line(r, t, pace, now_ms + pace_ms(r, pace));
}

/* Who is due at this time; those that hurry, who are few, do not wait behind the others. */
static struct target *next(const struct reach *r, int64_t now_ms)
{
	struct target *first = TAILQ_FIRST(&r->queues[HASTE]);

	if (first && clock_tenths_ms(first->due) <= now_ms)
		return first;
	for (unsigned i = HASTE + 1; i < PACES; i++) {
		struct target *t = TAILQ_FIRST(&r->queues[i]);

		if (t && (!first || t->due < first->due))
			first = t;
	}
	return first;
}

void reach_turn(struct reach *r, int64_t now_ms)
{
	struct target *t;

	r->large_left = REACH_LARGE_PER_TURN;
	for (unsigned n = 0;
	     n < REACH_PER_TURN && (t = next(r, now_ms)) && clock_tenths_ms(t->due) <= now_ms; n++)
		ask(r, t, now_ms);
}

int64_t reach_deadline(const struct reach *r)
{
	const struct target *t = next(r, INT64_MIN);

	return t ? clock_tenths_ms(t->due) : INT64_MAX;
}

static void count_rtt(struct reach *r, enum reach_layer layer, int32_t rtt_us)
{
	unsigned i = 0;

	while (i < REACH_BUCKETS && rtt_us > reach_buckets_us[i])
		i++;
	r->counts.buckets[layer][i]++;
	r->counts.rtt_sum_us[layer] += (uint64_t)rtt_us;
}

/* What answers inside the fabric may do so from another address of its own. */
static bool is_from(const struct target *t, enum reach_layer layer, const struct ip_addr *from)
{
	const struct lease *l = t->member->lease;

	if (layer == REACH_UNDERLAY)
		return t->ways[layer].has_address && ip_addr_equal(from, target_address(t, layer));
	return ip_net_contains(t->family == AF_INET ? &l->subnet.v4 : &l->subnet.v6, from);
}

/* Whose last question it is; NULL: nobody's. */
static struct target *find(const struct reach *r, enum reach_layer layer,
			   const struct ip_addr *from, uint16_t sequence)
{
	struct target *t = r->waiting[sequence % REACH_SEQUENCES];

	return t && t->sequence == sequence && t->family == from->family && is_from(t, layer, from)
		       ? t
		       : NULL;
}

static void note_answer(struct reach *r, struct target *t, enum reach_layer layer, int32_t rtt_us,
			int64_t now_ms)
{
	struct reach_way *w = &t->ways[layer];

	end_question(r, w, layer, true);
	w->heard = clock_tenths(now_ms);
	w->rtt_us = rtt_us;
	r->heard[index_of(t->family)] = true;
	if (rtt_us >= 0)
		count_rtt(r, layer, rtt_us);
	if (is_well(t))
		set_state(r, t, REACH_WELL, now_ms);
}

bool reach_answer(struct reach *r, enum reach_layer layer, const struct ip_addr *from,
		  uint16_t sequence, int32_t rtt_us, int64_t now_ms)
{
	struct target *t = find(r, layer, from, sequence);

	if (!t || !t->ways[layer].awaited || t->ways[layer].instead)
		return false;
	note_answer(r, t, layer, rtt_us, now_ms);
	return true;
}

void reach_large_answer(struct reach *r, enum reach_layer layer, const struct ip_addr *from,
			uint16_t sequence, int32_t rtt_us, int64_t now_ms)
{
	struct target *t = find(r, layer, from, sequence);

	if (!t)
		return;
	path_mtu_answered(&r->paths, &t->ways[layer].path, now_ms);
	note_path(r, t);
	if (t->ways[layer].instead && t->ways[layer].awaited)
		note_answer(r, t, layer, rtt_us, now_ms);
}

void reach_refused(struct reach *r, enum reach_layer layer, const struct ip_addr *to,
		   uint16_t sequence, uint16_t mtu_bytes)
{
	struct target *t = find(r, layer, to, sequence);

	if (!t)
		return;
	path_mtu_refused(&r->paths, &t->ways[layer].path, mtu_bytes);
	note_path(r, t);
	if (t->ways[layer].instead)
		t->ways[layer].awaited = false;
}

const struct reach_way *reach_way(const struct reach_peer *p, int family, enum reach_layer layer)
{
	const struct target *t = target_of(p, family);

	return t && t->ways[layer].has_address ? &t->ways[layer] : NULL;
}

struct ip_addr reach_address(const struct reach_peer *p, int family, enum reach_layer layer)
{
	return reach_way(p, family, layer) ? *target_address(target_of(p, family), layer)
					   : (struct ip_addr){ 0 };
}

const struct reach_way *reach_main_way(const struct reach_peer *p)
{
	static const int families[] = { AF_INET, AF_INET6 };
	const struct reach_way *w = NULL;

	for (size_t i = 0; i < ARRAY_LEN(families) && !w; i++) {
		w = reach_way(p, families[i], REACH_OVERLAY);
		if (!w)
			w = reach_way(p, families[i], REACH_UNDERLAY);
	}
	return w;
}

unsigned reach_loss_percent(const struct reach_way *w)
{
	return w->asked ? 100 * (w->asked - (unsigned)__builtin_popcount(w->answered)) / w->asked
			: 0;
}

enum reach_state reach_state(const struct reach_peer *p)
{
	enum reach_state worst = REACH_NEW;

	if (p->first.member)
		worst = p->first.state;
	return p->second ? MAX(worst, p->second->state) : worst;
}

enum path_mtu_state reach_path(const struct reach_peer *p, int family)
{
	const struct target *t = target_of(p, family);

	return t ? (enum path_mtu_state)target_way(t)->path.state : PATH_MTU_UNKNOWN;
}

uint16_t reach_packet_bytes(const struct reach_peer *p, int family)
{
	const struct target *t = target_of(p, family);

	/* Also where there is no tunnel of which something could be asked. */
	return t ? t->ways[REACH_OVERLAY].path.size_bytes : 0;
}

const struct reach_counts *reach_counts(const struct reach *r)
{
	return &r->counts;
}
