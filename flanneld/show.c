/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/show.h"

#include <errno.h>

#include "flanneld/notify.h"
#include "flanneld/record.h"
#include "flanneld/report.h"
#include "flanneld/subnet_file.h"
#include "flanneld/wall_clock.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "traffic/meter.h"

/* Lease held, devices up, kernel once equal to the leases, subnet.env written. Why not, or "". */
static const char *not_ready(const struct daemon *d, const struct manager_view *m,
			     const struct fabric_view *f)
{
	if (d->drain == DRAIN_RELEASED)
		return "this host was taken out of use: fabricctl resume";
	/* A lease that is known from the last run and has not run out is held as well. */
	if (m->state != MANAGER_HELD && !m->stale)
		return m->reason[0] ? m->reason : manager_state_name(m->state);
	if (!f->devices_ok)
		return f->started ? f->device_error : "the device is being made";
	if (!d->settled)
		return "the first peers are being programmed";
	if (subnet_file_error(d->subnet_file)[0])
		return subnet_file_error(d->subnet_file);
	return d->env_dirty || !subnet_file_is_written(d->subnet_file)
		       ? "the subnet file is not written yet"
		       : "";
}

static void on_problem(void *arg UNUSED, const struct health_entry *entry, int64_t lasted_ms)
{
	static const enum log_level levels[] = { [PROBLEM_ERROR] = LOG_LEVEL_ERROR,
						 [PROBLEM_WARNING] = LOG_LEVEL_WARN,
						 [PROBLEM_INFO] = LOG_LEVEL_INFO };
	const struct problem *p = &entry->problem;

	log_about("PROBLEM", p->name);
	if (lasted_ms < 0)
		log_write(levels[p->severity], p->name, "%s", p->text);
	else
		log_info(p->name, "over after %lld.%03lld s", (long long)(lasted_ms / 1000),
			 (long long)(lasted_ms % 1000));
}

void show_judge(struct daemon *d, struct daemon_view *v)
{
	char twin_text[MANAGER_REASON_SIZE];
	char unbound[MANAGER_REASON_SIZE];
	struct problem_list problems; /* large, and used as far as its length says */
	struct problem_list reported;
	struct health_inputs in = {
		.manager = &v->manager,
		.fabric = &v->fabric,
		.rules = &v->rules,
		.twin_text = twin_text,
		.released = d->drain == DRAIN_RELEASED,
		.underlay = d->underlay_error.code ? d->underlay_error.text : d->external.lost,
		.reported = &reported,
	};

	manager_view(d->manager, &v->manager);
	fabric_view(d->fabric, &v->fabric);
	rules_view(d->rules, &v->rules);
	in.twin = manager_describe_twin(d->manager, twin_text);
	in.unbound = manager_describe_unbound(d->manager, unbound) ? unbound : NULL;
	reported.len = 0;
	if (d->calls.store->ops->problems)
		d->calls.store->ops->problems(d->calls.store, &reported);
	wall_clock_problems(d->wall_clock, &reported);
	subnet_file_problems(d->subnet_file, &reported);
	fabric_problems(d->fabric, &reported);
	record_problems(d->record, &reported);
	drain_problems(d, &reported);
	for (size_t i = 0; i < ARRAY_LEN(d->external.places); i++) {
		if (*d->external.places[i].note)
			problem_add(&reported, PROBLEM_INFO, "default-route-elsewhere", "%s",
				    d->external.places[i].note);
	}
	if (*d->external.v6_off)
		problem_add(&reported, PROBLEM_WARNING, "ipv6-off",
			    "the network has IPv6, but %s: containers here have IPv4 only",
			    d->external.v6_off);
	if (d->publish_error.code)
		problem_add(&reported,
			    d->publish_error.code == -EAGAIN ? PROBLEM_WARNING : PROBLEM_ERROR,
			    "lease-not-published", "%s", d->publish_error.text);
	if (d->save_error.code)
		problem_add(&reported, PROBLEM_WARNING, "state-file",
			    "%s; a start without the store would know less than there is",
			    d->save_error.text);
	health_judge(&in, &problems);
	health_track(&d->health, clock_boot_ms(), &problems, on_problem, d);
	v->health = &d->health;
	v->ready_reason = not_ready(d, &v->manager, &v->fabric);
	v->ready = !*v->ready_reason;
	v->was_ready = d->ready_told;
}

static void on_view(void *arg, bool counters, struct daemon_view *ret)
{
	struct daemon *d = arg;

	if (counters)
		rules_refresh(d->rules);
	fabric_hear(d->fabric);
	show_judge(d, ret);
	ret->node_id = d->node_id;
	ret->node_name = d->node_name;
	ret->subnet_file = d->options->subnet_file;
	ret->masquerade = d->options->fabric.traffic.ip_masq;
	ret->started_ms = d->started_ms;
	ret->started_wall_ms = d->started_wall_ms;
	ret->store = &d->calls;
	ret->pod_mtu_bytes = ret->fabric.devices_len ? fabric_pod_mtu(d->fabric) : 0;
	ret->own_state = fabric_own_state(d->fabric, &ret->own_reason);
}

static int on_diff(void *arg, fabric_difference_fn *visit, void *visit_arg, struct err *e)
{
	struct daemon *d = arg;

	return fabric_diff(d->fabric, visit, visit_arg, e);
}

static uint64_t on_sync(void *arg)
{
	struct daemon *d = arg;

	return fabric_sync_now(d->fabric);
}

static bool on_renew(void *arg)
{
	struct daemon *d = arg;

	return manager_renew(d->manager, clock_boot_ms());
}

static int on_drain(void *arg, enum drain_state state, struct err *e)
{
	struct daemon *d = arg;

	return state == d->drain ? 0 : drain_set(d, state, e);
}

static void on_ask(void *arg, const struct store_request *request, store_calls_fn *fn, void *fn_arg)
{
	struct daemon *d = arg;

	store_calls_submit(&d->calls, request, 0, fn, fn_arg);
}

static int on_meter(void *arg, meter_fn *visit, const struct fast_path_count_ops *fast,
		    void *visit_arg, struct err *e)
{
	struct daemon *d = arg;
	struct meter_place place = { 0 };
	struct manager_view m;

	manager_view(d->manager, &m);
	if (!m.config || !m.own)
		return err_set(e, -EAGAIN, "there is no lease yet");
	place.network[0] = m.config->v4.network;
	place.network[1] = m.config->v6.network;
	place.own[0] = m.own->subnet.v4;
	place.own[1] = m.own->subnet.v6;
	if (meter_read(d->meter, &place, visit, visit_arg, e) < 0)
		return e->code;
	fabric_count_fast_path(d->fabric, fast, visit_arg);
	return 0;
}

const struct status_ops show_status_ops = { .view = on_view,
					    .diff = on_diff,
					    .sync = on_sync,
					    .renew = on_renew,
					    .ask = on_ask,
					    .drain = on_drain,
					    .meter = on_meter };

void show_systemd(struct daemon *d, const struct daemon_view *v)
{
	const struct problem *worst = health_worst(v->health);
	char subnet[SUBNET_KEY_TEXT] = "-";
	char *status;

	if (v->manager.own)
		subnet_format(&v->manager.own->subnet, subnet);
	if (worst)
		status = xasprintf("%s: %s", worst->name, worst->text);
	else if (!v->ready)
		status = xasprintf("not ready: %s", v->ready_reason);
	else
		status = xasprintf("ok, %s, %zu other leases", subnet, v->fabric.peers);
	if (!d->last_status || strcmp(status, d->last_status) != 0)
		notify_systemd("STATUS=%s", status);
	free(d->last_status);
	d->last_status = status;
	if (!d->started_told &&
	    (v->ready || clock_boot_ms() - d->started_ms >= DAEMON_START_MAX_MS)) {
		d->started_told = true;
		notify_systemd("READY=1");
		if (!v->ready)
			log_warn("not-ready",
				 "%s; what waits for this start need not wait any longer, here it "
				 "goes on",
				 v->ready_reason);
	}
	if (!d->ready_told && v->ready) {
		d->ready_told = true;
		/* A reservation is no host. */
		log_info("ready", "%s, %zu peers, %lld ms after the start", subnet,
			 v->fabric.peers - v->fabric.reserved,
			 (long long)(clock_boot_ms() - d->started_ms));
	}
}

void show_places(const struct external *x)
{
	for (size_t i = 0; i < ARRAY_LEN(x->places); i++) {
		if (x->places[i].ifindex)
			log_debug("interface-chosen", "%s: %s, by %s", i ? "IPv6" : "IPv4",
				  x->places[i].name, x->places[i].by);
	}
}
