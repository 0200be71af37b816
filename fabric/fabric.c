/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/fabric.h"

#include <errno.h>
#include <event2/event.h>
#include <malloc.h>

#include "fabric/apply.h"
#include "fabric/device.h"
#include "fabric/fabric_internal.h"
#include "fastpath/fast_path.h"
#include "kernel/monitor.h"
#include "lib/clock.h"
#include "lib/log.h"

#define WRITE_TURN_MS     10    /* then the loop gets its turn */
#define READ_AGAIN_MS     500   /* after a kernel that could not be read ahead */
#define FIRST_WALK_MS     1000  /* a start has more urgent things to do */
#define SLOW_MIN_MS       30000 /* full comparison although nothing was noticed */
#define SLOW_COST_FACTOR  2000  /* ... but at most 1/2000 of the time is spent on it */
#define SYNC_TURNS_MAX    256 /* of the loop, while somebody waits: as many as 65536 leases need */
#define SYNC_MAX_MS       10000 /* ... and no longer than this */
#define READ_AHEAD_MAX_MS 2000  /* what was read longer than this before its use is read again */

/* After refused writes and failed devices. */
static const struct backoff_policy retry = { .min_ms = 500, .max_ms = 30000 };

static void arm(struct event *ev, int64_t delay_ms)
{
	struct timeval tv = { delay_ms / 1000, delay_ms % 1000 * 1000 };

	event_add(ev, &tv);
}

void fabric_arm_earlier(struct fabric *f, struct event *ev, int64_t delay_ms)
{
	struct timeval due;

	if (event_pending(ev, EV_TIMEOUT, &due)) {
		struct timeval now;
		int64_t left;

		event_base_gettimeofday_cached(f->base, &now);
		left = (due.tv_sec - now.tv_sec) * 1000 + (due.tv_usec - now.tv_usec) / 1000;
		if (left <= delay_ms)
			return;
	}
	arm(ev, delay_ms);
}

void fabric_want_work(struct fabric *f, int64_t delay_ms)
{
	if (f->started)
		fabric_arm_earlier(f, f->work, delay_ms);
}

/* ---- work ---- */

/* False if the kernel could not be read: what is left stays dirty. */
static bool observe(struct fabric *f, unsigned kinds)
{
	for (unsigned k = 0; k < KERNEL_KINDS; k++) {
		struct timespec start;
		struct timespec end;
		struct err e;

		if (!(kinds & 1u << k))
			continue;
		clock_gettime(CLOCK_MONOTONIC, &start);
		if (apply_observe(f->reconcile, &f->kernel, 1u << k, &e) < 0) {
			f->unread = e;
			return false;
		}
		clock_gettime(CLOCK_MONOTONIC, &end);
		f->observation_s[k] = (double)(end.tv_sec - start.tv_sec) +
				      (double)(end.tv_nsec - start.tv_nsec) / 1e9;
		f->observed_ms[k] = clock_boot_ms();
		f->dirty &= ~(1u << k);
	}
	f->last_observation_ms = clock_boot_ms();
	f->unread.code = 0;
	return true;
}

/* What it takes to read all kinds. */
static double observation_seconds(const struct fabric *f)
{
	double seconds = 0;

	for (unsigned k = 0; k < KERNEL_KINDS; k++)
		seconds += f->observation_s[k];
	return seconds;
}

static void arm_slow(struct fabric *f)
{
	int64_t by_cost = (int64_t)(observation_seconds(f) * 1000 * SLOW_COST_FACTOR);

	arm(f->slow, MAX(by_cost, (int64_t)SLOW_MIN_MS));
}

/* However often there is something else to do until then. */
static void retry_later(struct fabric *f)
{
	int64_t now_ms = clock_boot_ms();
	int64_t left_ms = backoff_left(&f->backoff, now_ms);

	fabric_want_work(f, left_ms ? left_ms : backoff_next(&f->backoff, &retry, now_ms));
}

/* What was refused and what could not be made, once its time has come. */
static void try_what_failed(struct fabric *f)
{
	if (!f->backoff.failures || backoff_left(&f->backoff, clock_boot_ms()))
		return;
	f->devices_dirty |= !f->devices_ok;
	if (reconcile_counts(f->reconcile)->failed > 0) {
		f->dirty = KERNEL_ALL_KINDS;
		/* Perhaps it is the device that does not take it. */
		f->devices_dirty = true;
	}
}

/* netlink itself does not work just now: unread or unwritten says why. */
static void try_again(struct fabric *f)
{
	retry_later(f);
	f->ops->failed(f->arg);
}

/*
 * While the store lists the leases there is time to read what an earlier run left in the kernel:
 * one kind in a turn of the loop, so that no answer has to wait for all of them.
 */
static void read_ahead(struct fabric *f)
{
	unsigned kind = 0;

	while (kind < KERNEL_KINDS && !(f->dirty & 1u << kind))
		kind++;
	if (kind == KERNEL_KINDS)
		return;
	if (!observe(f, 1u << kind))
		arm(f->work, READ_AGAIN_MS);
	else if (f->dirty)
		arm(f->work, 0);
	else
		f->observations_total++;
}

/* What the kernel has told meanwhile may be the cause of what was found, and comes first. */
static void tell(struct fabric *f)
{
	bool devices_dirty = f->devices_dirty;

	fabric_read_notifications(f);
	if (devices_dirty || !f->devices_dirty)
		fabric_tell_drift(f, false);
}

/* All that was wanted has been written. */
static void settle(struct fabric *f)
{
	bool refused = reconcile_counts(f->reconcile)->failed > 0;

	tell(f);
	if (refused)
		fabric_report_refused(f);
	/* Devices that wait for the end of a fight have a time of their own. */
	if (refused || (!f->devices_ok && !f->devices_dirty))
		retry_later(f);
	else if (f->devices_ok)
		backoff_reset(&f->backoff);
	if (!f->settled_once && f->devices_ok) {
		f->settled_once = true;
		arm_slow(f);
		fabric_walk_shadows(f, FIRST_WALK_MS);
		fabric_suspect_policy(f);
		plugin_look(f->plugin);
		/* What the first list needed is not needed again. */
		malloc_trim(0);
	}
	if (f->sweep_due && f->devices_ok)
		fabric_sweep(f);
	fabric_watch_policies(f);
	fabric_look_for_shadows(f);
	fabric_look_at_policy(f);
	fabric_place_fast_path(f);
	fabric_continue_probing(f);
	fabric_await_drift(f);
	f->ops->settled(f->arg);
}

/*
 * Now that it is known what is wanted: which kinds to read again. What was read ahead of a kind
 * stands if it is just that, for the notifications have told of every change since. Otherwise it is
 * forgotten, and the kind is judged by what is wanted.
 */
static unsigned kinds_to_read_again(struct fabric *f)
{
	unsigned kinds;

	while (!fabric_read_notifications(f))
		;
	kinds = reconcile_pending_kinds(f->reconcile);
	/* With its last address a device loses its IPv4 routes without a word, as does an interface
	 * that goes down. */
	if (kinds & kernel_kinds_with(KERNEL_KIND_CARRIES) ||
	    clock_boot_ms() - f->last_observation_ms > READ_AHEAD_MAX_MS)
		kinds = KERNEL_ALL_KINDS;
	else if (f->backend->needs_paths)
		kinds |= kernel_kinds_with(KERNEL_KIND_SILENT);
	reconcile_forget_kinds(f->reconcile, kinds);
	return kinds;
}

static void on_work(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct fabric *f = arg;
	unsigned kinds;
	unsigned reread;
	bool more = false;
	struct err e;

	if (!f->started) {
		read_ahead(f);
		return;
	}
	try_what_failed(f);
	if (f->devices_dirty)
		fabric_look_after_devices(f);
	/* Before all is known that is wanted, nothing is unwanted. */
	if (!fabric_want_all(f)) {
		fabric_want_work(f, 0);
		return;
	}
	/* Until then what the kernel tells waits: it would be judged as if nothing were wanted. */
	if (f->read_ahead) {
		f->read_ahead = false;
		f->dirty |= kinds_to_read_again(f);
		event_add(f->monitor_event, NULL);
	}
	fabric_before_routes(f);
	fabric_tick_drift(f);
	fabric_count_large_containers(f);
	kinds = f->dirty & fabric_readable_kinds(f);
	if (kinds) {
		if (!observe(f, kinds)) {
			try_again(f);
			return;
		}
		f->observations_total++;
		tell(f);
	}
	if (apply_flush(f->reconcile, &f->kernel, WRITE_TURN_MS, &more, &e) < 0) {
		f->unwritten = e;
		f->dirty = KERNEL_ALL_KINDS;
		try_again(f);
		return;
	}
	f->unwritten.code = 0;
	/* At once, so that nobody is told of a success that is none. */
	reread = reconcile_take_reread(f->reconcile);
	if (reread && !observe(f, reread)) {
		f->dirty |= reread;
		try_again(f);
		return;
	}
	more |= reread && reconcile_pending_kinds(f->reconcile);
	if (more) {
		fabric_want_work(f, reread ? FABRIC_HEAL_DELAY_MS : 0);
		return;
	}
	settle(f);
}

static void compare_all(struct fabric *f)
{
	f->dirty = KERNEL_ALL_KINDS;
	f->devices_dirty = true;
	rules_sync(f->rules);
}

static void on_slow(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct fabric *f = arg;

	f->sweep_due = true;
	fabric_ask_shadows_again(f);
	fabric_suspect_policy(f);
	compare_all(f);
	fabric_want_work(f, 0);
	fabric_want_underlay(f);
	arm_slow(f);
}

void fabric_sync(struct fabric *f)
{
	compare_all(f);
	plugin_look(f->plugin);
	fast_path_sync(f->fast);
	fabric_retry_probing(f);
	fabric_want_work(f, 0);
}

uint64_t fabric_sync_now(struct fabric *f)
{
	uint64_t before = fabric_writes_total(f);
	int64_t until_ms = clock_boot_ms() + SYNC_MAX_MS;

	if (!f->started)
		return 0;
	compare_all(f);
	plugin_look(f->plugin);
	/* What a turn leaves, because there is much of it. What waits for its time, or cannot be
	 * written, is not waited for here. */
	for (unsigned turn = 0; turn < SYNC_TURNS_MAX && clock_boot_ms() < until_ms; turn++) {
		event_del(f->work);
		on_work(-1, 0, f);
		if (f->unread.code || f->unwritten.code ||
		    (!f->judging && !reconcile_pending_kinds(f->reconcile)))
			break;
	}
	return fabric_writes_total(f) - before;
}

/* ---- life ---- */

static void on_monitor(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	fabric_read_notifications(arg);
}

static void on_underlay(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	fabric_look_at_underlay(arg);
}

int fabric_new(struct event_base *base, const struct fabric_ops *ops, void *arg,
	       struct fabric **ret, struct err *e)
{
	struct fabric *f = xcalloc(1, sizeof(*f));
	int rc;

	f->base = base;
	f->ops = ops;
	f->arg = arg;
	f->reconcile = reconcile_new();
	fabric_watch_drift(f);
	fabric_new_peers(f);
	f->work = evtimer_new(base, on_work, f);
	f->slow = evtimer_new(base, on_slow, f);
	f->underlay = evtimer_new(base, on_underlay, f);
	rc = netlink_open(NETLINK_ROUTE, &f->kernel.route, e);
	f->nl = f->kernel.route;
	/* Before the first dump, so that nothing falls between it and the notifications. */
	if (rc == 0)
		rc = monitor_open(netlink_port_id(f->nl), 0, &f->monitor, e);
	if (rc < 0) {
		fabric_free(f);
		return rc;
	}
	*ret = f;
	return 0;
}

void fabric_free(struct fabric *f)
{
	if (!f)
		return;
	fabric_end_probing(f);
	peers_free(f->peers);
	if (f->monitor_event)
		event_free(f->monitor_event);
	if (f->policies_event)
		event_free(f->policies_event);
	event_free(f->work);
	event_free(f->slow);
	event_free(f->underlay);
	fabric_free_containers(f);
	fast_path_free(f->fast);
	fabric_forget_shadows(f);
	fabric_tell_drift(f, true);
	reconcile_free(f->reconcile);
	fabric_drop_backend(f);
	if (f->change_event)
		event_free(f->change_event);
	monitor_close(f->monitor);
	monitor_close(f->policies);
	netlink_close(f->kernel.generic);
	netlink_close(f->kernel.xfrm);
	netlink_close(f->nl);
	free(f);
}

void fabric_identify(struct fabric *f, const char *node_id, const char *state_dir)
{
	f->node_id = node_id;
	f->state_dir = state_dir;
}

struct netlink *fabric_netlink(struct fabric *f)
{
	return f->nl;
}

int fabric_setup(struct fabric *f, const struct network_config *config,
		 const struct external *external, const struct fabric_previous *previous,
		 struct err *e)
{
	int rc;

	fabric_drop_backend(f);
	rc = backend_create(config, &f->backend, e);
	if (rc == 0)
		rc = fabric_set_host(f, external, e);
	if (rc < 0)
		return rc;
	fabric_find_devices(f);
	rc = fabric_start_backend(f, e);
	if (rc < 0)
		return rc;
	f->underlay_unsettled = external_is_unsettled(external);
	f->previous = *previous;
	f->sweep_due = true;
	f->config = *config;
	f->config.backend = NULL;
	f->kernel.marks.networks[0] =
		config->v4.enabled ? config->v4.network : (struct ip_net){ 0 };
	f->kernel.marks.networks[1] =
		config->v6.enabled ? config->v6.network : (struct ip_net){ 0 };
	f->kernel.marks.networks[2] = previous->networks[0];
	f->kernel.marks.networks[3] = previous->networks[1];
	f->dirty = KERNEL_ALL_KINDS;
	arm(f->work, 0);
	return 0;
}

int fabric_move(struct fabric *f, const struct external *external, struct err *e)
{
	int rc = fabric_set_host(f, external, e);

	if (rc < 0)
		return rc;
	f->devices_dirty = true;
	f->wants_dirty = true;
	/* Again, if the devices are others after that. */
	if (f->started)
		fabric_place_rules(f);
	fabric_want_work(f, 0);
	if (f->started)
		fabric_count_large_containers_soon(f);
	f->ops->mtu_changed(f->arg);
	return 0;
}

void fabric_set_own(struct fabric *f, const struct subnet *own)
{
	bool first = !f->started;

	if (!first && subnet_equal(own, &f->own))
		return;
	f->own = *own;
	f->started = true;
	fabric_tell_own(f);
	if (first) {
		f->monitor_event = event_new(f->base, monitor_fd(f->monitor), EV_READ | EV_PERSIST,
					     on_monitor, f);
		fabric_look_after_devices(f);
	}
	f->wants_dirty = true;
	fabric_place_rules(f);
	fabric_find_containers(f);
	f->read_ahead |= first;
	f->dirty |= first ? kernel_kinds_with(KERNEL_KIND_IN_TABLE) : KERNEL_ALL_KINDS;
	fabric_want_work(f, 0);
}

unsigned fabric_families(const struct fabric *f)
{
	unsigned here = (f->external.places[0].ifindex ? 1u : 0u) |
			(f->external.places[1].ifindex ? 2u : 0u);

	return f->backend->type->families ? here & f->backend->type->families(f->backend) : here;
}

uint32_t fabric_pod_mtu(const struct fabric *f)
{
	return f->backend->type->pod_mtu(f->backend);
}

void fabric_view(const struct fabric *f, struct fabric_view *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->fabric = f;
	ret->unread = f->unread.code ? f->unread.text : "";
	ret->unwritten = f->unwritten.code ? f->unwritten.text : "";
	ret->shadowed = fabric_describe_shadows(f, ret->shadow, sizeof(ret->shadow));
	ret->guarded = fabric_guarded(f);
	ret->fights = fabric_describe_fights(f, ret->fight, sizeof(ret->fight));
	ret->started = f->started;
	ret->devices_ok = f->devices_ok;
	ret->device_error = f->device_error.text;
	if (f->backend)
		f->backend->type->describe(f->backend, ret->backend, sizeof(ret->backend));
	ret->external = &f->external;
	ret->devices = f->devices;
	memcpy(ret->ifindexes, f->ifindexes, sizeof(ret->ifindexes));
	ret->devices_len = f->devices_len;
	ret->reconcile = reconcile_counts(f->reconcile);
	fabric_describe_refused(f, ret->refused, sizeof(ret->refused));
	ret->netlink = fabric_counts(f);
	ret->overruns_total = f->overruns_total;
	ret->observations_total = f->observations_total;
	ret->device_repairs_total = f->device_repairs_total;
	ret->peers = peers_counts(f->peers)->len;
	ret->ignored = peers_counts(f->peers)->ignored;
	fabric_describe_ignored(f, ret->ignored_why, sizeof(ret->ignored_why));
	ret->reserved = peers_counts(f->peers)->reserved;
	ret->reach = f->probing.reach && !f->probing.refused.code ? reach_counts(f->probing.reach)
								  : NULL;
	ret->reach_off = f->probing.refused.code ? f->probing.refused.text : "";
	ret->reach_interval_s = f->probing.interval_s;
	ret->last_observation_ms = f->last_observation_ms;
	ret->observation_s = observation_seconds(f);
}
