/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/daemon.h"

#include <errno.h>
#include <event2/event.h>

#include "flanneld/clients.h"
#include "flanneld/host.h"
#include "flanneld/identity.h"
#include "flanneld/notify.h"
#include "flanneld/record.h"
#include "flanneld/state_file.h"
#include "flanneld/state_lock.h"
#include "flanneld/show.h"
#include "flanneld/signals.h"
#include "flanneld/status.h"
#include "flanneld/subnet_file.h"
#include "flanneld/wall_clock.h"
#include "kernel/marks.h"
#include "lib/clock.h"
#include "lib/file.h"
#include "lib/http.h"
#include "lib/log.h"
#include "stores/store_open.h"
#include "subnet/subnet_env.h"
#include "traffic/meter.h"

#define SAVE_DELAY_S 10 /* the last known state is written at most this often */

/* ---- telling others ---- */

static void write_subnet_env(struct daemon *d)
{
	auto_free char *text = NULL;
	struct manager_view m;
	struct subnet usable;

	manager_view(d->manager, &m);
	if (!d->env_dirty || !m.own || !m.config)
		return;
	/* Containers get no address of a family that leads nowhere. */
	usable = m.own->subnet;
	if (!(fabric_families(d->fabric) & 1))
		usable.v4 = (struct ip_net){ 0 };
	if (!(fabric_families(d->fabric) & 2))
		usable.v6 = (struct ip_net){ 0 };
	text = subnet_env_format(m.config, &usable, fabric_pod_mtu(d->fabric),
				 d->options->fabric.traffic.ip_masq, d->drain != DRAIN_OFF);
	subnet_file_set(d->subnet_file, text);
	d->env_dirty = false;
}

static void arm_at(struct event *timer, int64_t due_ms)
{
	int64_t now = clock_boot_ms();
	int64_t delay = due_ms > now ? due_ms - now : 0;
	struct timeval tv = { delay / 1000, delay % 1000 * 1000 };

	if (due_ms == INT64_MAX)
		event_del(timer);
	else
		event_add(timer, &tv);
}

/* After every input: the next deadline may be another now, and so may what systemd is told. */
static void after(struct daemon *d)
{
	struct daemon_view v;

	show_judge(d, &v);
	arm_at(d->timer, manager_deadline(d->manager));
	arm_at(d->health_timer, health_deadline(&d->health));
	if (!event_pending(d->save, EV_TIMEOUT, NULL)) {
		struct timeval gap = { SAVE_DELAY_S, 0 };

		if (state_file_is_due(d))
			event_add(d->save, &gap);
	}
	show_systemd(d, &v);
	record_consider(d->record, &v);
	status_server_changed(d->status);
}

/* ---- manager's outputs ---- */

static void on_reply(void *arg, uint64_t id, struct store_reply *reply)
{
	struct daemon *d = arg;

	d->store->type->place(d->store, &d->place);
	manager_heard(d->manager, d->place.cluster);
	host_heard(d);
	manager_reply(d->manager, clock_boot_ms(), id, reply);
	if (d->leaving && host_has_left(d))
		event_base_loopbreak(d->base);
	after(d);
}

static void on_submit(void *arg, uint64_t id, const struct store_request *request)
{
	struct daemon *d = arg;

	store_calls_submit(&d->calls, request, id, on_reply, d);
}

static void on_event(void *arg, struct store_event *event)
{
	struct daemon *d = arg;

	store_calls_trace(event);
	host_heard(d);
	manager_event(d->manager, clock_boot_ms(), event);
	after(d);
}

static void on_watch(void *arg, uint64_t from_revision)
{
	struct daemon *d = arg;

	store_watch_stop(STEAL(d->watch));
	if (from_revision)
		d->watch = store_watch(d->store, from_revision, on_event, d);
}

static bool on_recall(void *arg, struct last_known *known)
{
	const struct daemon *d = arg;
	struct err e;

	if (state_file_load_peers(d->options, known, &e) == 0)
		return true;
	log_warn("state-file", "%s; it is not used", e.text);
	return false;
}

static int on_check_config(void *arg UNUSED, const struct network_config *config, struct err *e)
{
	struct backend *backend = NULL;
	int rc = backend_create(config, &backend, e);

	backend_free(backend);
	return rc;
}

static void on_config(void *arg, const struct network_config *config UNUSED)
{
	struct daemon *d = arg;

	d->claim_pending = true;
	event_active(d->deferred, 0, 0);
}

static void on_peer(void *arg, struct manager_member *member, bool gone)
{
	struct daemon *d = arg;

	if (gone)
		status_server_lease(d->status, member, true);
	fabric_peer(d->fabric, member, gone);
	if (!gone)
		status_server_lease(d->status, member, false);
}

static void on_own(void *arg, const struct lease *own)
{
	struct daemon *d = arg;

	d->env_dirty = true;
	fabric_set_own(d->fabric, &own->subnet);
	if (d->settled)
		write_subnet_env(d);
}

static void on_note(void *arg UNUSED, enum log_level level, const char *event, const char *text)
{
	char subnet[SUBNET_KEY_TEXT];

	/* What is said of a peer begins with its subnet and a colon (subnet/peer_news.h). */
	if (strncmp(event, "peer-", strlen("peer-")) == 0) {
		snprintf(subnet, sizeof(subnet), "%.*s", (int)strcspn(text, " ") - 1, text);
		log_about("PEER", subnet);
	}
	log_write(level, event, "%s", text);
}

static const struct manager_ops manager_ops = {
	.submit = on_submit,
	.watch = on_watch,
	.recall = on_recall,
	.check_config = on_check_config,
	.config = on_config,
	.peer = on_peer,
	.own = on_own,
	.note = on_note,
};

/* ---- fabric's outputs ---- */

static void on_settled(void *arg)
{
	struct daemon *d = arg;
	struct manager_view m;
	struct fabric_view f;

	manager_view(d->manager, &m);
	fabric_view(d->fabric, &f);
	if (!d->settled && f.devices_ok)
		d->settled = true;
	if (d->settled)
		write_subnet_env(d);
	signals_end_reload(d);
	after(d);
}

static void on_failed(void *arg)
{
	struct daemon *d = arg;

	signals_end_reload(d);
	event_active(d->health_timer, 0, 0);
}

static void on_mtu_changed(void *arg)
{
	struct daemon *d = arg;

	d->env_dirty = true;
	event_active(d->deferred, 0, 0);
}

/* Claims, or says what is another now: as soon as the backend knows what the lease must say. */
static void publish(struct daemon *d)
{
	auto_lease struct lease *attributes = lease_new();

	d->publish_error.code = 0;
	if (d->drain == DRAIN_RELEASED || !d->is_set_up)
		return;
	if (fabric_publish(d->fabric, attributes, &d->publish_error) < 0)
		return;
	host_overwrite(d, attributes);
	if (d->claim_wanted)
		manager_claim(d->manager, clock_boot_ms(), attributes);
	else
		manager_publish(d->manager, clock_boot_ms(), attributes);
	d->claim_wanted = false;
}

static void on_backend_changed(void *arg, bool publish_again)
{
	struct daemon *d = arg;

	if (publish_again)
		publish(d);
	after(d);
}

/* We stand elsewhere now: devices and peers follow, the other hosts are told. The subnet stays. */
static void move(struct daemon *d, const struct external *x)
{
	uint32_t pod_mtu_before = fabric_pod_mtu(d->fabric);
	char text[EXTERNAL_TEXT];
	char pods[100] = "";
	uint32_t pod_mtu;
	struct err e;

	if (fabric_move(d->fabric, x, &e) < 0) {
		d->underlay_error = e;
		return;
	}
	pod_mtu = fabric_pod_mtu(d->fabric);
	if (pod_mtu != pod_mtu_before)
		snprintf(pods, sizeof(pods),
			 "; new containers have mtu %u -> %u, those that run keep %u",
			 pod_mtu_before, pod_mtu, pod_mtu_before);
	log_warn("underlay-changed", "%s%s", external_format(&d->external, x, text), pods);
	show_places(x);
	d->external = *x;
	http_client_addresses_changed(d->http);
	manager_avoid(d->manager, &x->places[0].segment, &x->places[1].segment);
	publish(d);
}

static bool on_underlay_changed(void *arg)
{
	struct daemon *d = arg;
	struct external_options o = host_options(d);
	struct external x;
	struct manager_view m;
	struct err e;

	manager_view(d->manager, &m);
	if (!m.config)
		return true;
	if (external_choose(fabric_netlink(d->fabric), &o, m.config, &d->external, &x, &e) < 0) {
		d->underlay_error = e;
	} else {
		d->underlay_error.code = 0;
		if (external_equal(&x, &d->external))
			d->external = x; /* and its notes */
		else
			move(d, &x);
	}
	after(d);
	return !d->underlay_error.code && !external_is_unsettled(&d->external);
}

/* Something that health is judged by. */
static void on_changed(void *arg)
{
	after(arg);
}

static const struct fabric_ops fabric_ops = { .settled = on_settled,
					      .problems_changed = on_changed,
					      .failed = on_failed,
					      .mtu_changed = on_mtu_changed,
					      .underlay_changed = on_underlay_changed,
					      .backend_changed = on_backend_changed };

/* ---- start ---- */

/* The configuration is here: find our place in the underlay, read the backend's part, and claim. */
static void set_up(struct daemon *d)
{
	struct external_options o = host_options(d);
	struct external external;
	struct manager_view m;
	struct fabric_view f;
	char text[EXTERNAL_TEXT];
	struct err e;
	int rc;

	d->claim_pending = false;
	manager_view(d->manager, &m);
	if (!m.config)
		return;
	rc = external_choose(fabric_netlink(d->fabric), &o, m.config, &d->external, &external, &e);
	if (rc == 0)
		rc = fabric_setup(d->fabric, m.config, &external, &d->previous, &e);
	if (rc < 0) {
		manager_reject_config(d->manager, clock_boot_ms(), e.text);
		return;
	}
	d->is_set_up = true;
	d->external = external;
	show_places(&external);
	fabric_view(d->fabric, &f);
	log_info("network", "%s on %s", f.backend, external_format(NULL, &external, text));
	manager_avoid(d->manager, &external.places[0].segment, &external.places[1].segment);
	d->claim_wanted = true;
	publish(d);
}

static void on_deferred(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct daemon *d = arg;

	if (d->claim_pending)
		set_up(d);
	if (d->publish_wanted)
		publish(d);
	d->publish_wanted = false;
	if (d->settled)
		write_subnet_env(d);
	after(d);
}

static void on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct daemon *d = arg;

	manager_tick(d->manager, clock_boot_ms());
	after(d);
}

static void on_health(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	after(arg);
}

static void on_save(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	state_file_save(arg);
	after(arg);
}

/* A start is over in any case after a time: see show_systemd. */
static void bound_start(struct daemon *d)
{
	struct timeval tv = { DAEMON_START_MAX_MS / 1000, DAEMON_START_MAX_MS % 1000 * 1000 };

	event_base_once(d->base, -1, EV_TIMEOUT, on_health, d, &tv);
}

static void read_previous(struct daemon *d)
{
	auto_free char *text = NULL;

	if (file_read(d->options->subnet_file, SUBNET_ENV_MAX_SIZE, &text, NULL, NULL) < 0)
		return;
	subnet_env_recall(text, &d->previous.own, d->previous.networks);
}

/* Which host this is, and that nobody else here is it. */
static int identify(struct daemon *d, struct err *e)
{
	const struct flanneld_options *o = d->options;
	int rc = state_lock(o->state_dir, &d->state_lock, e);

	if (rc == 0)
		rc = identity_node_id(o->node_id, o->state_dir, &d->node_id, e);
	if (rc < 0)
		return rc;
	d->node_name = identity_node_name(o->node_name);
	drain_start(d);
	state_file_leave_options(d);
	return 0;
}

/* Whoever asks us something. */
static int serve(struct daemon *d, struct err *e)
{
	const struct flanneld_options *o = d->options;
	const struct status_options status = {
		.socket = o->socket,
		.healthz_ip = o->healthz_ip,
		.healthz_port = (uint16_t)o->healthz_port,
	};
	int rc = status_server_new(d->base, &status, &show_status_ops, d, &d->status, e);

	if (rc == 0)
		rc = docker_server_new(d->base, &o->docker, &o->plugin, o->subnet_file, &d->docker,
				       e);
	return rc;
}

static int start(struct daemon *d, struct err *e)
{
	const struct flanneld_options *o = d->options;
	struct manager_options manager = {
		.ttl_s = o->lease_ttl,
		.renew_margin_s = o->subnet_lease_renew_margin * 60,
		.anti_entropy_s = MANAGER_ANTI_ENTROPY_S,
		.seed = util_random_u64(),
		.default_backend = backend_types[0]->name,
	};
	char mark[MARK_SIZE];
	int rc;

	rc = identify(d, e);
	if (rc < 0)
		return rc;
	d->subnet_file = subnet_file_new(d->base, o->subnet_file, on_changed, d);
	read_previous(d);
	manager.previous = d->previous.own;
	d->http = http_client_new(d->base);
	rc = store_open(d->base, d->http, &o->store, util_random_u64, &d->store, e);
	d->calls.store = d->store;
	if (rc == 0)
		rc = host_start(d, e);
	if (rc == 0)
		rc = fabric_new(d->base, &fabric_ops, d, &d->fabric, e);
	if (rc == 0)
		rc = rules_new(d->base, &o->fabric.traffic, on_changed, d, &d->rules, e);
	if (rc < 0)
		return rc;
	fabric_identify(d->fabric, d->node_id, o->state_dir);
	fabric_keep_plugin(d->fabric, &o->plugin);
	fabric_use_fast_path(d->fabric, &o->fast);
	fabric_probe(d->fabric, o->probe_interval);
	fabric_use_rules(d->fabric, d->rules, o->fabric.ip_blackhole_route);
	fabric_set_mark(d->fabric, mark_format(mark, d->node_id, o->state_dir));
	manager.node_id = d->node_id;
	manager.node_name = d->node_name;
	manager.traits = d->store->type->traits;
	if (d->store->type->list_interval_s)
		manager.anti_entropy_s = d->store->type->list_interval_s;
	d->manager = manager_new(&manager, &manager_ops, d);
	d->record = record_new(d);
	d->store->type->place(d->store, &d->place);
	d->meter = meter_new(d->base);
	d->wall_clock = wall_clock_new(d->base, d->http, d->store, on_changed, d);
	state_file_restore(d);
	rc = serve(d, e);
	if (rc < 0)
		return rc;
	log_info("starting", "flanneld %s, node %s (%s), store %s, %s", VERSION, d->node_name,
		 d->node_id, d->store->type->scheme, d->place.where);
	manager_start(d->manager, clock_boot_ms());
	after(d);
	return 0;
}

static void stop(struct daemon *d)
{
	if (d->manager && d->drain != DRAIN_RELEASED)
		state_file_save(d);
	if (d->save_error.code)
		log_warn("state-file", "%s", d->save_error.text);
	status_server_free(d->status);
	docker_server_free(d->docker);
	wall_clock_free(d->wall_clock);
	store_watch_stop(d->watch);
	store_free(d->store);
	store_calls_drop(&d->calls);
	record_free(d->record);
	fabric_free(d->fabric);
	rules_free(d->rules);
	meter_free(d->meter);
	manager_free(d->manager);
	http_client_free(d->http);
	subnet_file_free(d->subnet_file);
	for (size_t i = 0; i < ARRAY_LEN(d->signals); i++) {
		if (d->signals[i])
			event_free(d->signals[i]);
	}
	event_free(d->timer);
	event_free(d->health_timer);
	event_free(d->deferred);
	event_free(d->save);
	if (d->watchdog)
		event_free(d->watchdog);
	event_base_free(d->base);
	if (d->state_lock >= 0)
		close(d->state_lock);
	free(d->node_id);
	free(d->node_name);
	free(d->last_status);
}

/* libevent's own words; it has none while all is well. */
static void on_libevent(int severity, const char *text)
{
	log_write(severity >= EVENT_LOG_WARN ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG, "libevent", "%s",
		  text);
}

int daemon_run(const struct flanneld_options *options)
{
	struct event_config *config = event_config_new();
	struct daemon d = { .options = options, .state_lock = -1 };
	struct err e = { 0 };
	int rc;

	event_set_log_callback(on_libevent);
	clients_raise_limit();
	/* The sub-millisecond timer: a millisecond of rounding would be most of the time from event
	 * to route. */
	event_config_set_flag(config,
			      EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_NO_CACHE_TIME);
	d.base = event_base_new_with_config(config);
	event_config_free(config);
	if (!d.base) {
		log_error("start-failed", "no event loop");
		return 1;
	}
	d.started_ms = clock_boot_ms();
	d.started_wall_ms = clock_wall_ms();
	d.timer = evtimer_new(d.base, on_timer, &d);
	d.health_timer = evtimer_new(d.base, on_health, &d);
	d.deferred = evtimer_new(d.base, on_deferred, &d);
	d.save = evtimer_new(d.base, on_save, &d);
	signals_feed_watchdog(&d);
	bound_start(&d);
	rc = signals_watch(&d, &e);
	if (rc == 0)
		rc = start(&d, &e);
	if (rc < 0)
		log_error("start-failed", "%s", e.text);
	else
		event_base_dispatch(d.base);
	stop(&d);
	return rc < 0 ? 1 : 0;
}
