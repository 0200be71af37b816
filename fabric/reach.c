/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/reach.h"

#include <string.h>
#include <sys/queue.h>

#include "lib/clock.h"
#include "lib/util.h"

#define SEQUENCES 1024 /* questions under way, at most: ten seconds of them */
#define LOSS_OF   32   /* questions, of which the lost ones are counted */

/* How soon one is asked again. All that wait for one time stand in one queue, and so in order. */
enum pace { FIRST, QUICK, USUAL, SLOW };
#define PACES 4

/* A peer in one family. */
struct target {
	const struct manager_member *member;
	int family;
	enum reach_state state;
	enum pace pace;
	uint16_t sequence; /* of the last question */
	int64_t due_ms;
	int64_t since_ms;   /* its state */
	int64_t changed_ms; /* the last reach_changed; 0: none */
	struct reach_way ways[REACH_LAYERS];
	TAILQ_ENTRY(target) queue;
	LIST_ENTRY(target) alike; /* of one family and state */
};
TAILQ_HEAD(target_queue, target);

struct reach_peer {
	struct target *families[2];
};

struct reach {
	int64_t interval_ms;
	reach_ask_fn *ask;
	void *arg;
	unsigned underlay;
	unsigned tunnel;
	uint16_t sequence;
	bool heard[2]; /* from anybody, ever */
	struct target_queue queues[PACES];
	LIST_HEAD(, target) alike[2][REACH_STATES];
	struct target *waiting[SEQUENCES]; /* by the sequence of its last question */
	struct reach_counts counts;
};

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
	return &r->waiting[t->sequence % SEQUENCES];
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
	LIST_REMOVE(t, alike);
	r->counts.states[family][t->state]--;
	t->state = state;
	t->since_ms = now_ms;
	LIST_INSERT_HEAD(&r->alike[family][state], t, alike);
	r->counts.states[family][state]++;
}

static void put_in_line(struct reach *r, struct target *t, enum pace pace, int64_t due_ms)
{
	t->pace = pace;
	t->due_ms = due_ms;
	TAILQ_INSERT_TAIL(&r->queues[pace], t, queue);
}

static struct target *add(struct reach *r, int family, int64_t now_ms)
{
	struct target *t = xcalloc(1, sizeof(*t));

	t->family = family;
	t->since_ms = now_ms;
	LIST_INSERT_HEAD(&r->alike[index_of(family)][REACH_NEW], t, alike);
	r->counts.states[index_of(family)][REACH_NEW]++;
	put_in_line(r, t, FIRST, now_ms + REACH_NEW_MS);
	return t;
}

static void drop(struct reach *r, struct target *t)
{
	if (!t)
		return;
	wait_no_more(r, t);
	TAILQ_REMOVE(&r->queues[t->pace], t, queue);
	LIST_REMOVE(t, alike);
	r->counts.states[index_of(t->family)][t->state]--;
	free(t);
}

/* The tunnel's address is looked for at the start of its subnet. */
static void addresses(const struct reach *r, const struct lease *l, int family,
		      struct ip_addr ret[static REACH_LAYERS])
{
	bool v4 = family == AF_INET;
	unsigned bit = v4 ? 1 : 2;
	const struct ip_net *subnet = v4 ? &l->subnet.v4 : &l->subnet.v6;

	memset(ret, 0, REACH_LAYERS * sizeof(*ret));
	if (!ip_net_is_set(subnet))
		return;
	if (r->underlay & bit)
		ret[REACH_UNDERLAY] = v4 ? l->public_v4 : l->public_v6;
	if (r->tunnel & bit)
		ret[REACH_OVERLAY] = subnet->addr;
}

static void set_family(struct reach *r, struct target **t, const struct manager_member *member,
		       int family, int64_t now_ms)
{
	struct ip_addr at[REACH_LAYERS];
	bool same = *t != NULL;

	addresses(r, member->lease, family, at);
	for (unsigned i = 0; i < REACH_LAYERS && same; i++)
		same = ip_addr_equal(&at[i], &(*t)->ways[i].address);
	if (!same) {
		drop(r, STEAL(*t));
		if (!ip_addr_is_set(&at[REACH_UNDERLAY]) && !ip_addr_is_set(&at[REACH_OVERLAY]))
			return;
		*t = add(r, family, now_ms);
		for (unsigned i = 0; i < REACH_LAYERS; i++)
			(*t)->ways[i] = (struct reach_way){ .address = at[i], .rtt_us = -1 };
	}
	(*t)->member = member;
}

struct reach_peer *reach_set(struct reach *r, struct reach_peer *p,
			     const struct manager_member *member, int64_t now_ms)
{
	if (!p)
		p = xcalloc(1, sizeof(*p));
	set_family(r, &p->families[0], member, AF_INET, now_ms);
	set_family(r, &p->families[1], member, AF_INET6, now_ms);
	return p;
}

void reach_changed(struct reach_peer *p, int64_t now_ms)
{
	for (unsigned i = 0; i < ARRAY_LEN(p->families); i++) {
		if (p->families[i])
			p->families[i]->changed_ms = now_ms;
	}
}

void reach_forget(struct reach *r, struct reach_peer *p)
{
	if (!p)
		return;
	drop(r, p->families[0]);
	drop(r, p->families[1]);
	free(p);
}

/* ---- questions and answers ---- */

static bool answers(const struct reach_way *w)
{
	return w->heard_ms && !w->lost;
}

/* Unset, it does not answer either. */
static bool is_silent(const struct reach_way *w)
{
	return !ip_addr_is_set(&w->address) || w->lost >= REACH_LOST_MAX;
}

static bool is_well(const struct target *t)
{
	const struct reach_way *tunnel = &t->ways[REACH_OVERLAY];

	return answers(ip_addr_is_set(&tunnel->address) ? tunnel : &t->ways[REACH_UNDERLAY]);
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

static enum pace pace_of(const struct target *t, int64_t now_ms)
{
	bool doubtful = t->state == REACH_NEW;

	for (unsigned i = 0; i < REACH_LAYERS; i++)
		doubtful |= t->ways[i].lost > 0 && t->ways[i].lost < REACH_LOST_MAX;
	if (doubtful)
		return QUICK;
	if (t->state == REACH_SILENT && now_ms - t->since_ms > REACH_LONG_MS)
		return SLOW;
	return USUAL;
}

static int64_t pace_ms(const struct reach *r, enum pace pace)
{
	if (pace == QUICK)
		return MIN(r->interval_ms, (int64_t)REACH_QUICK_MS);
	return pace == USUAL ? r->interval_ms : MAX(r->interval_ms, (int64_t)REACH_LONG_EVERY_MS);
}

static void ask(struct reach *r, struct target *t, int64_t now_ms)
{
	enum pace pace;

	for (enum reach_layer i = 0; i < REACH_LAYERS; i++) {
		if (t->ways[i].awaited)
			end_question(r, &t->ways[i], i, false);
	}
	judge(r, t, now_ms);
	wait_no_more(r, t);
	t->sequence = r->sequence++;
	*slot(r, t) = t;
	for (enum reach_layer i = 0; i < REACH_LAYERS; i++) {
		struct reach_way *w = &t->ways[i];

		if (!ip_addr_is_set(&w->address))
			continue;
		w->awaited = true;
		w->error = r->ask(r->arg, t->family, i, &w->address, t->sequence);
		r->counts.asked[i]++;
	}
	TAILQ_REMOVE(&r->queues[t->pace], t, queue);
	pace = pace_of(t, now_ms);
	put_in_line(r, t, pace, now_ms + pace_ms(r, pace));
}

static struct target *next(const struct reach *r)
{
	struct target *first = NULL;

	for (unsigned i = 0; i < PACES; i++) {
		struct target *t = TAILQ_FIRST(&r->queues[i]);

		if (t && (!first || t->due_ms < first->due_ms))
			first = t;
	}
	return first;
}

void reach_turn(struct reach *r, int64_t now_ms)
{
	struct target *t;

	for (unsigned n = 0; n < REACH_PER_TURN && (t = next(r)) && t->due_ms <= now_ms; n++)
		ask(r, t, now_ms);
}

int64_t reach_deadline(const struct reach *r)
{
	const struct target *t = next(r);

	return t ? t->due_ms : INT64_MAX;
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
		return ip_addr_equal(from, &t->ways[layer].address);
	return ip_net_contains(t->family == AF_INET ? &l->subnet.v4 : &l->subnet.v6, from);
}

bool reach_answer(struct reach *r, enum reach_layer layer, const struct ip_addr *from,
		  uint16_t sequence, int32_t rtt_us, int64_t now_ms)
{
	struct target *t = r->waiting[sequence % SEQUENCES];
	struct reach_way *w;

	if (!t || t->sequence != sequence || t->family != from->family)
		return false;
	w = &t->ways[layer];
	if (!w->awaited || !is_from(t, layer, from))
		return false;
	end_question(r, w, layer, true);
	w->heard_ms = now_ms;
	w->rtt_us = rtt_us;
	r->heard[index_of(t->family)] = true;
	if (rtt_us >= 0)
		count_rtt(r, layer, rtt_us);
	if (is_well(t))
		set_state(r, t, REACH_WELL, now_ms);
	return true;
}

/* ---- what is told ---- */

static const char *others(size_t count, char buf[static 40])
{
	buf[0] = '\0';
	if (count > 1)
		snprintf(buf, 40, "; and %zu more", count - 1);
	return buf;
}

static const char *since(const struct target *t, const char *never, char buf[static CLOCK_TEXT + 8])
{
	const struct reach_way *w = t->ways;
	int64_t heard_ms = MAX(w[REACH_UNDERLAY].heard_ms, w[REACH_OVERLAY].heard_ms);
	char when[CLOCK_TEXT];

	if (t->state == REACH_TUNNEL_SILENT)
		heard_ms = w[REACH_OVERLAY].heard_ms;
	if (!heard_ms)
		return never;
	snprintf(buf, CLOCK_TEXT + 8, "since %s", clock_format_utc(clock_wall_of(heard_ms), when));
	return buf;
}

/* A question may have been on its way when the lease was changed. */
static bool is_silent_since_change(const struct target *t)
{
	int64_t heard_ms = t->ways[REACH_OVERLAY].heard_ms;

	return t->changed_ms && heard_ms && heard_ms < t->changed_ms + REACH_QUICK_MS;
}

static void tell_tunnel(const struct target *t, size_t count, const char *tunnel,
			struct problem_list *ret)
{
	const struct reach_way *w = &t->ways[REACH_OVERLAY];
	char public[IP_ADDR_TEXT];
	char when[CLOCK_TEXT + 8];
	char more[40];
	char who[LEASE_DESCRIBE_TEXT];

	ip_addr_format(&t->ways[REACH_UNDERLAY].address, public);
	if (w->error)
		problem_add(ret, PROBLEM_WARNING, "peer-unreachable",
			    "%s: %s answers, but packets into the tunnel (%s) do not leave this "
			    "host: %s%s",
			    lease_describe(t->member->lease, who), public, tunnel,
			    strerror(-w->error), others(count, more));
	else if (is_silent_since_change(t))
		problem_add(ret, PROBLEM_WARNING, "peer-unreachable",
			    "%s: %s answers, but nothing comes back through the tunnel (%s) since "
			    "its lease was changed at %s: is that right? The log has old and new "
			    "(peer-changed)%s",
			    lease_describe(t->member->lease, who), public, tunnel,
			    clock_format_utc(clock_wall_of(t->changed_ms), when),
			    others(count, more));
	else
		problem_add(ret, PROBLEM_WARNING, "peer-unreachable",
			    "%s: %s answers, but nothing comes back through the tunnel (%s) %s: "
			    "is that filtered on the way, or flanneld not running there?%s",
			    lease_describe(t->member->lease, who), public, tunnel,
			    since(t, "so far", when), others(count, more));
}

static void tell_silent(const struct target *t, size_t count, struct problem_list *ret)
{
	const struct reach_way *w = &t->ways[REACH_UNDERLAY];
	char address[IP_ADDR_TEXT];
	char when[CLOCK_TEXT + 8];
	char more[40];
	char who[LEASE_DESCRIBE_TEXT];

	if (!ip_addr_is_set(&w->address))
		w = &t->ways[REACH_OVERLAY];
	ip_addr_format(&w->address, address);
	if (w->error)
		problem_add(ret, PROBLEM_INFO, "peer-unreachable",
			    "%s: no packet to %s leaves "
			    "this host: %s%s",
			    lease_describe(t->member->lease, who), address, strerror(-w->error),
			    others(count, more));
	else
		problem_add(ret, PROBLEM_INFO, "peer-unreachable",
			    "%s: %s does not answer %s: that host is down, or the way to it%s",
			    lease_describe(t->member->lease, who), address,
			    since(t, "so far", when), others(count, more));
}

void reach_problems(const struct reach *r, const char *tunnel, struct problem_list *ret)
{
	for (unsigned i = 0; i < ARRAY_LEN(r->alike); i++) {
		const struct target *unheard = LIST_FIRST(&r->alike[i][REACH_TUNNEL_SILENT]);
		const struct target *silent = LIST_FIRST(&r->alike[i][REACH_SILENT]);
		const size_t *n = r->counts.states[i];
		size_t all = 0;

		for (unsigned s = 0; s < REACH_STATES; s++)
			all += n[s];
		if (unheard)
			tell_tunnel(unheard, n[REACH_TUNNEL_SILENT], tunnel, ret);
		if (silent && n[REACH_SILENT] == all && all > 1 && r->heard[i])
			problem_add(ret, PROBLEM_WARNING, "no-peer-answers",
				    "none of %zu peers answers any more by IPv%c: this host is "
				    "cut off from them",
				    all, i ? '6' : '4');
		else if (silent)
			tell_silent(silent, n[REACH_SILENT], ret);
	}
}

const struct reach_way *reach_way(const struct reach_peer *p, int family, enum reach_layer layer)
{
	const struct target *t = p ? p->families[index_of(family)] : NULL;

	return t && ip_addr_is_set(&t->ways[layer].address) ? &t->ways[layer] : NULL;
}

enum reach_state reach_state(const struct reach_peer *p)
{
	enum reach_state worst = REACH_NEW;

	for (unsigned i = 0; i < ARRAY_LEN(p->families); i++) {
		if (p->families[i])
			worst = MAX(worst, p->families[i]->state);
	}
	return worst;
}

const struct reach_counts *reach_counts(const struct reach *r)
{
	return &r->counts;
}
