/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/health.h"

#define STRANGER_TEXT (RULES_NEAREST_TEXT + IP_ADDR_TEXT + 100)

/* ---- judging ---- */

/* The first of several, and how many more there are. */
static void add_several(struct problem_list *ret, enum problem_severity severity, const char *name,
			const char *first, size_t more)
{
	struct problem *p;

	problem_add(ret, severity, name, "%s", first);
	p = (struct problem *)problem_find(ret, name);
	if (p) /* there was room for it */
		p->more += (unsigned)more;
}

static const char *next_step(enum manager_state state)
{
	if (state == MANAGER_LOST)
		return "; running containers keep their routes, the subnet is claimed again";
	if (state == MANAGER_CONFLICT)
		return "; running containers keep their routes, no other subnet is taken";
	return "";
}

static const char *state_problem(const struct manager_view *m)
{
	return m->state_problem ? m->state_problem : manager_state_name(m->state);
}

static void judge_lease(const struct manager_view *m, struct problem_list *ret)
{
	if (m->stale)
		problem_add(ret, PROBLEM_WARNING, "stale",
			    "the store was not heard since the start, what was known last is in "
			    "use: %s",
			    m->reason);
	else if (m->state == MANAGER_LISTING || m->state == MANAGER_CLAIMING)
		problem_add(ret, m->reason[0] ? PROBLEM_WARNING : PROBLEM_INFO, state_problem(m),
			    "%s", m->reason);
	else if (m->state != MANAGER_HELD)
		problem_add(ret, PROBLEM_ERROR, state_problem(m), "%s%s", m->reason,
			    next_step(m->state));
	else if (m->reason[0])
		problem_add(ret, PROBLEM_WARNING, "lease-not-renewed", "%s", m->reason);
}

/* Nobody here chose it. */
static void judge_assigned(const struct manager_view *m, struct problem_list *ret)
{
	struct err e;

	if (m->assigned && m->own && m->config &&
	    network_config_has_room(m->config, &m->own->subnet, &e) < 0)
		problem_add(ret, PROBLEM_ERROR, "subnet-outside-network", "%s", e.text);
}

static void judge_store(const struct manager_view *m, struct problem_list *ret)
{
	if (m->state == MANAGER_HELD && !m->watch_live)
		problem_add(ret, PROBLEM_WARNING, "watch-lost", "%s; what is known stays in use",
			    m->watch_reason[0] ? m->watch_reason : "the watch is being opened");
	if (m->config_problem)
		problem_add(ret, PROBLEM_WARNING, m->config_problem, "%s", m->config_reason);
	if (m->junk_len)
		problem_add(ret, PROBLEM_WARNING, "junk-keys",
			    "%zu key%s among the leases cannot be read", m->junk_len,
			    m->junk_len == 1 ? "" : "s");
}

static void judge_kernel(const struct fabric_view *f, struct problem_list *ret)
{
	size_t wanted = 0;

	if (!f->started)
		return;
	for (unsigned k = 0; k < KERNEL_KINDS; k++)
		wanted += f->reconcile->wanted[k];
	if (!f->devices_ok)
		problem_add(ret, PROBLEM_ERROR, "device-failed", "%s", f->device_error);
	if (f->reconcile->failed)
		problem_add(ret, PROBLEM_ERROR, "kernel-refused",
			    "%zu of %zu objects were refused by the kernel: %s%s",
			    f->reconcile->failed, wanted, f->refused,
			    f->reconcile->failed > 1 ? ", for one" : "");
	else if (f->reconcile->unsettled)
		problem_add(ret, PROBLEM_WARNING, "kernel-behind",
			    "%zu objects are not yet in the kernel", f->reconcile->unsettled);
	if (f->unread[0])
		problem_add(ret, PROBLEM_WARNING, "kernel-not-read", "%s; trying again", f->unread);
	if (f->unwritten[0])
		problem_add(ret, PROBLEM_WARNING, "kernel-not-written", "%s; comparing again",
			    f->unwritten);
	if (f->shadow[0])
		add_several(ret, PROBLEM_WARNING, "route-shadowed", f->shadow,
			    MAX(f->shadowed, (size_t)1) - 1);
}

/* What most depends on first. */
static void judge_fights(const struct rules_view *r, const struct fabric_view *f,
			 struct problem_list *ret)
{
	if (r->fight[0])
		problem_add(ret, PROBLEM_WARNING, "fighting", "%s", r->fight);
	if (f->fights > 0)
		add_several(ret, PROBLEM_WARNING, "fighting", f->fight, f->fights - 1);
}

static void judge_peers(const struct health_inputs *in, struct problem_list *ret)
{
	const struct manager_view *m = in->manager;
	const struct fabric_view *f = in->fabric;

	if (f->ignored)
		problem_add(ret, PROBLEM_WARNING, "peers-ignored",
			    "%zu of %zu peers have a lease that is of no use here: %s%s",
			    f->ignored, f->peers, f->ignored_why,
			    f->ignored > 1 ? ", for one" : "");
	if (m->kept)
		problem_add(ret, PROBLEM_WARNING, "peers-kept",
			    "%zu peer%s gone from the store; what leads there stays for some "
			    "seconds, in case the lease is claimed again",
			    m->kept, m->kept == 1 ? " is" : "s are");
	if (in->twin)
		problem_add(ret, PROBLEM_ERROR, in->twin, "%s%s", in->twin_text,
			    m->twins > 1 ? "; and there are more" : "");
	else if (m->rival_name)
		problem_add(ret, PROBLEM_ERROR, m->rival_name, "%s", m->rival);
	if (m->shared)
		add_several(ret, PROBLEM_WARNING, "public-address-twice", m->shared_text,
			    m->shared - 1);
	if (in->unbound)
		add_several(ret, PROBLEM_INFO, "lease-unbound", in->unbound,
			    MAX(m->unbound, (size_t)1) - 1);
}

/* "; the last of 2 strangers is 192.0.2.99, with 3 packets", or "" */
static const char *describe_stranger(const struct rules_view *r, char buf[static STRANGER_TEXT])
{
	const struct rules_stranger *s = r->strangers;
	char addr[IP_ADDR_TEXT];
	char count[40] = "";

	buf[0] = '\0';
	if (!r->strangers_len)
		return buf;
	if (r->strangers_len > 1)
		snprintf(count, sizeof(count), "last of %zu strangers", r->strangers_len);
	snprintf(buf, STRANGER_TEXT, "; the %s is %s, with %llu packets%s%s",
		 count[0] ? count : "stranger", ip_addr_format(&s->addr, addr),
		 (unsigned long long)s->packets,
		 s->nearest[0] ? "; nearest to it is the peer " : "", s->nearest);
	return buf;
}

static void judge_rules(const struct rules_view *r, struct problem_list *ret)
{
	char stranger[STRANGER_TEXT];

	if (!r->started)
		return;
	if (!r->ok && r->error[0])
		problem_add(ret, PROBLEM_ERROR, "rules-failed", "%s", r->error);
	else if (!r->ok)
		problem_add(ret, PROBLEM_WARNING, "rules-behind", "the rules are being written");
	if (r->forward_block[0])
		problem_add(ret, PROBLEM_ERROR, "forward-blocked", "%s", r->forward_block);
	if (r->input_block[0])
		problem_add(ret, PROBLEM_ERROR, "input-blocked", "%s", r->input_block);
	if (r->output_block[0])
		problem_add(ret, PROBLEM_ERROR, "output-blocked", "%s", r->output_block);
	if (r->probe_error[0])
		problem_add(ret, PROBLEM_WARNING, "firewall-unknown",
			    "%s; whether rules there drop containers' packets is not known",
			    r->probe_error);
	if (r->sysctl_missing[0])
		problem_add(ret, PROBLEM_ERROR, "forwarding-off", "%s", r->sysctl_missing);
	if (r->dropped_lately)
		problem_add(ret, PROBLEM_WARNING, "packets-dropped",
			    "within the last minute, of %llu tunnel packets from no peer and %llu "
			    "with a forged source in all%s",
			    (unsigned long long)r->guard_dropped_total,
			    (unsigned long long)r->spoofed_dropped_total,
			    describe_stranger(r, stranger));
}

static void mention_others(struct problem *p)
{
	size_t used = strlen(p->text);

	if (p->more)
		snprintf(p->text + used, sizeof(p->text) - used, "; and %u more", p->more);
}

void health_judge(const struct health_inputs *in, struct problem_list *ret)
{
	ret->len = 0;
	/* Causes before their consequences: so they are logged if they begin together. */
	if (in->underlay[0])
		problem_add(ret, PROBLEM_ERROR, "underlay-lost", "%s; everything stays as it is",
			    in->underlay);
	judge_store(in->manager, ret);
	judge_assigned(in->manager, ret);
	if (!in->released)
		judge_lease(in->manager, ret);
	judge_kernel(in->fabric, ret);
	judge_fights(in->rules, in->fabric, ret);
	judge_peers(in, ret);
	judge_rules(in->rules, ret);
	for (size_t i = 0; in->reported && i < in->reported->len; i++) {
		const struct problem *p = &in->reported->items[i];

		add_several(ret, p->severity, p->name, p->text, p->more);
	}
	for (size_t i = 0; i < ret->len; i++)
		mention_others(&ret->items[i]);
}

/* ---- since when ---- */

/* What comes and goes with every start or change, and how long it may last unmentioned. */
static const struct {
	const char *name;
	int64_t quiet_ms;
} normal_for_a_moment[] = {
	{ "waiting-for-config", 100 }, /* the first answer of the store is on its way */
	{ "listing", 1000 },           { "claiming", 1000 },     { "watch-lost", 1000 },
	{ "kernel-behind", 1000 },     { "rules-behind", 1000 }, { "peers-kept", 20000 },
	{ "lease-unbound", 1000 }, /* its host, if it lives, binds it again */
	{ "bridge-down", 1000 },       { "cni-undone", 1000 },   { "extension-behind", 1000 },
};

static int64_t quiet_ms(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(normal_for_a_moment); i++) {
		if (strcmp(normal_for_a_moment[i].name, name) == 0)
			return normal_for_a_moment[i].quiet_ms;
	}
	return 0;
}

static int64_t linger_ms(const struct health_entry *entry)
{
	int64_t ms = HEALTH_LINGER_MIN_MS;

	for (unsigned i = 0; i < entry->returns && ms < HEALTH_LINGER_MAX_MS; i++)
		ms *= 2;
	return MIN(ms, (int64_t)HEALTH_LINGER_MAX_MS);
}

/* When the entry has something to tell, or may be forgotten. */
static int64_t due_ms(const struct health_entry *entry, bool present)
{
	if (present)
		return entry->told ? INT64_MAX : entry->since_ms + quiet_ms(entry->problem.name);
	return entry->seen_ms + (entry->told ? linger_ms(entry) : HEALTH_CALM_MS);
}

/* The entry for a problem of now, which goes on from the one of that name before. */
static struct health_entry continued(const struct health *h, int64_t now_ms,
				     const struct problem *p)
{
	struct health_entry entry = { .since_ms = now_ms };

	for (size_t i = 0; i < h->len; i++) {
		const struct health_entry *before = &h->entries[i];

		if (strcmp(before->problem.name, p->name) != 0)
			continue;
		entry = *before;
		if (i >= h->present && !before->told)
			entry.since_ms = now_ms;
	}
	entry.problem = *p;
	entry.seen_ms = now_ms;
	return entry;
}

/* False if there is nothing left to remember of it. */
static bool tell_if_due(struct health_entry *entry, bool present, int64_t now_ms,
			health_tell_fn *tell, void *arg)
{
	if (now_ms < due_ms(entry, present))
		return true;
	if (!present && !entry->told)
		return false;
	if (present && entry->ended)
		entry->returns++;
	entry->told = present;
	entry->ended |= !present;
	tell(arg, entry, present ? -1 : entry->seen_ms - entry->since_ms);
	return true;
}

/* What was wrong until now or before, to the end of `ret`. */
static void keep_past(const struct health *h, int64_t now_ms, const struct problem_list *now,
		      struct health *ret)
{
	for (size_t i = 0; i < h->len && ret->len < PROBLEMS_MAX; i++) {
		const struct health_entry *before = &h->entries[i];

		if (problem_find(now, before->problem.name))
			continue;
		ret->entries[ret->len] = *before;
		if (i < h->present)
			ret->entries[ret->len].seen_ms = now_ms;
		ret->len++;
	}
}

void health_track(struct health *h, int64_t now_ms, const struct problem_list *now,
		  health_tell_fn *tell, void *arg)
{
	struct health next; /* large, and used as far as `len` says */

	if (h->len == 0 && now->len == 0)
		return;
	next.present = next.len = now->len;
	for (size_t i = 0; i < now->len; i++)
		next.entries[i] = continued(h, now_ms, &now->items[i]);
	keep_past(h, now_ms, now, &next);
	h->present = next.present;
	h->len = 0;
	for (size_t i = 0; i < next.len; i++) {
		if (tell_if_due(&next.entries[i], i < next.present, now_ms, tell, arg))
			h->entries[h->len++] = next.entries[i];
	}
}

int64_t health_deadline(const struct health *h)
{
	int64_t due = INT64_MAX;

	for (size_t i = 0; i < h->len; i++)
		due = MIN(due, due_ms(&h->entries[i], i < h->present));
	return due;
}

const struct problem *health_worst(const struct health *h)
{
	const struct problem *worst = NULL;

	for (size_t i = 0; i < h->present; i++) {
		const struct problem *p = &h->entries[i].problem;

		if (p->severity < (worst ? worst->severity : PROBLEM_INFO))
			worst = p;
	}
	return worst;
}

bool health_is_degraded(const struct health *h)
{
	return health_worst(h) != NULL;
}
