/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/record.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/utsname.h>

#include "flanneld/daemon.h"
#include "flanneld/report.h"
#include "flanneld/show.h"
#include "lib/clock.h"
#include "lib/hash.h"
#include "subnet/health_record.h"

struct record {
	struct daemon *daemon;
	struct event *timer;
	struct health_record written; /* what stands in the store, if is_written */
	struct health_record sent;    /* what is on its way there */
	bool is_written;
	bool under_way;
	int64_t round_ms;   /* in which all hosts may write once */
	int64_t own_ms;     /* and when in it this one may */
	uint64_t seen;      /* a hash of what was considered last */
	int64_t changed_ms; /* when that became another; 0: it is written */
	int64_t free_ms;    /* not written before */
	int64_t kept_ms;    /* written or prolonged last */
	struct err refused;
};

_Static_assert((int)REACH_NEW == HEALTH_NEW && (int)REACH_WELL == HEALTH_WELL &&
		       (int)REACH_TUNNEL_SILENT == HEALTH_TUNNEL_SILENT &&
		       (int)REACH_SILENT == HEALTH_SILENT,
	       "a record has the states of fabric/reach.h");

/* ---- what it says ---- */

static void add_peer(struct health_record *r, const struct daemon_view *v,
		     const struct manager_member *member)
{
	const struct reach_peer *reach =
		member->own ? NULL : fabric_peer_reach(v->fabric.fabric, member);
	const struct subnet *s = &member->lease->subnet;
	const struct reach_way *way = reach ? reach_main_way(reach) : NULL;

	if (!reach)
		return;
	health_record_add_peer(r,
			       &(struct health_record_peer){
				       .subnet = ip_net_is_set(&s->v4) ? s->v4 : s->v6,
				       .reach = (enum health_reach)reach_state(reach),
				       .loss_percent = (uint8_t)(way ? reach_loss_percent(way) : 0),
				       .rtt_us = way ? way->rtt_us : -1,
			       });
}

static void add_problems(struct health_record *r, const struct health *h)
{
	for (size_t i = 0; i < h->present; i++) {
		const struct health_entry *entry = &h->entries[i];

		if (r->problems_len == HEALTH_RECORD_PROBLEMS_MAX) {
			r->problems_more++;
			continue;
		}
		r->problems[r->problems_len++] = (struct health_record_problem){
			.name = xstrdup(entry->problem.name),
			.severity = entry->problem.severity,
			.since_s = clock_wall_of(entry->since_ms) / 1000,
			.text = xstrdup(entry->problem.text),
		};
	}
}

static void compose(const struct daemon *d, const struct daemon_view *v, struct health_record *ret)
{
	const struct lease *own = v->manager.own;
	const struct manager_member *member = NULL;
	struct utsname system;

	*ret = (struct health_record){
		.node_id = xstrdup(d->node_id),
		.node_name = xstrdup(d->node_name),
		.version = xstrdup(VERSION),
		.kernel = xstrdup(uname(&system) == 0 ? system.release : ""),
		.backend = xstrdup(v->fabric.backend),
		.written_s = clock_wall_ms() / 1000,
		.started_s = d->started_wall_ms / 1000,
		.verdict = report_verdict(v),
		.subnet = own->subnet,
		.public_v4 = own->public_v4,
		.public_v6 = own->public_v6,
		.pod_mtu_bytes = v->fabric.devices_len ? fabric_pod_mtu(d->fabric) : 0,
	};
	add_problems(ret, v->health);
	while ((member = manager_next(v->manager.members, member)))
		add_peer(ret, v, member);
	health_record_sort_peers(ret);
}

/* What others would want to hear of at once, quickly read. */
static uint64_t look(const struct daemon_view *v)
{
	enum health_verdict verdict = report_verdict(v);
	uint64_t hash = hash_fnv1a(HASH_FNV_INIT, &verdict, sizeof(verdict));

	for (size_t i = 0; i < v->health->present; i++) {
		const struct problem *p = &v->health->entries[i].problem;

		hash = hash_text(hash, p->name);
		hash = hash_fnv1a(hash, &p->severity, sizeof(p->severity));
	}
	if (v->fabric.reach)
		hash = hash_fnv1a(hash, v->fabric.reach->states, sizeof(v->fabric.reach->states));
	return hash_fnv1a(hash, &v->manager.own->subnet, sizeof(v->manager.own->subnet));
}

/* ---- when ---- */

static void find_moment(struct record *r, const struct daemon_view *v)
{
	const struct manager_member *member = NULL;
	int64_t before = 0;

	while ((member = manager_next(v->manager.members, member)))
		before += memcmp(&member->lease->subnet, &v->manager.own->subnet,
				 sizeof(member->lease->subnet)) < 0;
	r->own_ms = before * 1000 / RECORD_WRITES_PER_S;
	r->round_ms = ((int64_t)v->manager.members_len + 1) * 1000 / RECORD_WRITES_PER_S;
}

static void arm(struct record *r)
{
	int64_t now_ms = clock_boot_ms();
	int64_t due_ms = r->kept_ms + RECORD_KEEP_MS;
	struct timeval tv;

	if (r->under_way)
		return;
	if (r->refused.code)
		due_ms = r->kept_ms + RECORD_REFUSED_MS;
	else if (r->changed_ms)
		due_ms = MIN(due_ms, MAX(r->changed_ms, r->free_ms));
	due_ms = MAX(due_ms - now_ms, (int64_t)0);
	tv = (struct timeval){ due_ms / 1000, due_ms % 1000 * 1000 };
	event_add(r->timer, &tv);
}

/* Not at once with all the others. After find_moment. */
static void await_moment(struct record *r, int64_t settle_ms)
{
	int64_t in_round_ms = (clock_wall_ms() + settle_ms) % r->round_ms;

	if (!r->changed_ms)
		r->changed_ms = clock_boot_ms() + settle_ms +
				(r->own_ms - in_round_ms + r->round_ms) % r->round_ms;
}

static void on_reply(void *arg, uint64_t id UNUSED, struct store_reply *reply)
{
	struct record *r = arg;
	bool refused = reply->status == STORE_DENIED || reply->status == STORE_INVALID;
	bool was_refused = r->refused.code;

	r->under_way = false;
	r->kept_ms = clock_boot_ms();
	r->refused.code = 0;
	if (refused)
		r->refused = reply->err;
	/* KEEP has sent nothing: what was written stands, or is gone. */
	if (reply->status != STORE_OK)
		r->is_written = false;
	if (r->sent.node_id) {
		health_record_fini(&r->written);
		r->written = r->sent;
		r->sent = (struct health_record){ 0 };
		r->is_written = reply->status == STORE_OK;
	} else if (reply->status == STORE_ABSENT) {
		/* So it may be for all of them. */
		await_moment(r, 0);
	}
	arm(r);
	if (refused != was_refused)
		event_active(r->daemon->health_timer, 0, 0);
}

/* Writes what there is to tell, if its time has come; what stands is prolonged. */
static void tell(struct record *r, const struct daemon_view *v)
{
	struct daemon *d = r->daemon;
	struct store_request request = { .op = STORE_HEALTH_KEEP,
					 .ttl_s = RECORD_TTL_S,
					 .health_name = d->node_id };
	int64_t now_ms = clock_boot_ms();
	auto_free char *text = NULL;
	struct health_record now;

	find_moment(r, v);
	compose(d, v, &now);
	if (r->is_written && !health_record_differs(&r->written, &now))
		r->changed_ms = 0;
	else
		await_moment(r, 0);
	if (r->changed_ms && now_ms >= MAX(r->changed_ms, r->free_ms)) {
		text = health_record_format(&now);
		request.op = STORE_HEALTH_SET;
		request.health = text;
		r->sent = now;
		r->changed_ms = 0;
		r->free_ms = now_ms + MAX(r->round_ms, (int64_t)RECORD_EVERY_MIN_MS);
	} else {
		health_record_fini(&now);
	}
	if (!text && !r->is_written) {
		r->kept_ms = now_ms;
		arm(r);
		return;
	}
	r->under_way = true;
	store_calls_submit(&d->calls, &request, 0, on_reply, r);
}

static bool can_tell(const struct daemon_view *v)
{
	return v->manager.own && !v->manager.stale;
}

static void on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct record *r = arg;
	struct daemon_view v;

	show_judge(r->daemon, &v);
	if (can_tell(&v)) {
		tell(r, &v);
		return;
	}
	r->kept_ms = clock_boot_ms();
	r->changed_ms = 0;
	arm(r);
}

void record_consider(struct record *r, const struct daemon_view *v)
{
	uint64_t seen;

	if (!r || !can_tell(v))
		return;
	seen = look(v);
	if (seen == r->seen)
		return;
	r->seen = seen;
	find_moment(r, v);
	await_moment(r, RECORD_SETTLE_MS);
	arm(r);
}

void record_problems(const struct record *r, struct problem_list *ret)
{
	if (r && r->refused.code)
		problem_add(ret, PROBLEM_INFO, "health-record",
			    "the store does not take what this host has to tell of itself, so that "
			    "fabricctl hosts and mesh do not have it: %s",
			    r->refused.text);
}

struct record *record_new(struct daemon *d)
{
	struct record *r;

	if (!d->options->health_record || !(d->store->type->traits & STORE_KEEPS_HEALTH))
		return NULL;
	r = xcalloc(1, sizeof(*r));
	r->daemon = d;
	r->timer = evtimer_new(d->base, on_timer, r);
	r->kept_ms = clock_boot_ms();
	return r;
}

void record_free(struct record *r)
{
	if (!r)
		return;
	event_free(r->timer);
	health_record_fini(&r->written);
	health_record_fini(&r->sent);
	free(r);
}
