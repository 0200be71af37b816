/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/report.h"

#include "fastpath/fast_path.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "subnet/lease_json.h"

json_t *report_document(const char *kind)
{
	char when[CLOCK_TEXT];

	return json_pack("{s:s,s:s,s:s}", "apiVersion", REPORT_API_VERSION, "kind", kind,
			 "generated", clock_format_utc(clock_wall_ms(), when));
}

static json_t *report_family(const struct network_family *f)
{
	return json_pack("{s:o,s:i,s:o,s:o}", "network", lease_net_json(&f->network), "subnetLen",
			 f->subnet_len, "subnetMin", lease_addr_json(&f->subnet_min), "subnetMax",
			 lease_addr_json(&f->subnet_max));
}

json_t *report_config(const struct daemon_view *v)
{
	json_t *root = report_document("NetworkConfig");
	json_t *backend;

	if (!v->manager.config)
		return root;
	json_object_set_new(root, "ipv4",
			    v->manager.config->v4.enabled ? report_family(&v->manager.config->v4)
							  : json_null());
	json_object_set_new(root, "ipv6",
			    v->manager.config->v6.enabled ? report_family(&v->manager.config->v6)
							  : json_null());
	json_object_set_new(root, "backendType", json_string(backend_type_name(v->manager.config)));
	backend = json_deep_copy(v->manager.config->backend);
	json_leave_out_secrets(backend);
	json_object_set_new(root, "backend", backend);
	json_object_set_new(root, "changedInStore",
			    json_boolean(v->manager.config_problem != NULL));
	return root;
}

static json_t *report_lease(const struct manager_view *m)
{
	json_t *lease = json_object();
	char id[LEASE_ID_TEXT];
	char revision[24];
	char key[SUBNET_KEY_TEXT];

	json_object_set_new(lease, "state", json_string(manager_state_name(m->state)));
	json_object_set_new(lease, "reason", json_text(m->reason));
	json_object_set_new(lease, "stale", json_boolean(m->stale));
	if (!m->own)
		return lease;
	json_object_set_new(lease, "subnet", json_string(subnet_format(&m->own->subnet, key)));
	json_object_set_new(lease, "publicIP", lease_addr_json(&m->own->public_v4));
	json_object_set_new(lease, "publicIPv6", lease_addr_json(&m->own->public_v6));
	snprintf(revision, sizeof(revision), "%llu", (unsigned long long)m->own->mod_revision);
	json_object_set_new(lease, "handle", json_string(lease_id_format(m->own->id, id)));
	json_object_set_new(lease, "revision", json_string(revision));
	json_object_set_new(lease, "reservation", json_boolean(lease_is_reservation(m->own)));
	if (m->expires_ms)
		json_object_set_new(
			lease, "expiresSeconds",
			json_integer(MAX((m->expires_ms - clock_boot_ms()) / 1000, (int64_t)0)));
	if (m->renewed_ms)
		json_object_set_new(lease, "renewedSecondsAgo",
				    json_integer((clock_boot_ms() - m->renewed_ms) / 1000));
	return lease;
}

json_t *report_own_lease(const struct daemon_view *v)
{
	json_t *root = report_document("Lease");

	json_object_set_new(root, "source", json_string("daemon"));
	json_object_set_new(root, "node", json_text(v->node_name));
	json_object_set_new(root, "nodeID", json_text(v->node_id));
	json_object_set_new(root, "lease", report_lease(&v->manager));
	return root;
}

static json_t *report_kernel(const struct fabric_view *f)
{
	json_t *kernel = json_object();
	json_t *wanted = json_object();
	json_t *drift = json_object();

	for (unsigned k = 0; k < KERNEL_KINDS; k++) {
		json_object_set_new(wanted, kernel_kinds[k]->name,
				    json_integer((json_int_t)f->reconcile->wanted[k]));
		json_object_set_new(drift, kernel_kinds[k]->name,
				    json_integer((json_int_t)f->reconcile->drift[k]));
	}
	json_object_set_new(kernel, "wanted", wanted);
	json_object_set_new(kernel, "unsettled", json_integer((json_int_t)f->reconcile->unsettled));
	json_object_set_new(kernel, "failed", json_integer((json_int_t)f->reconcile->failed));
	json_object_set_new(kernel, "driftHealed", drift);
	json_object_set_new(kernel, "writes", json_integer((json_int_t)f->netlink.writes));
	if (f->last_observation_ms)
		json_object_set_new(
			kernel, "comparedSecondsAgo",
			json_integer((clock_boot_ms() - f->last_observation_ms) / 1000));
	return kernel;
}

/* Who sent what the guard dropped, the last one first. */
static json_t *report_strangers(const struct rules_view *r)
{
	json_t *strangers = json_array();
	int64_t now_ms = clock_boot_ms();
	char addr[IP_ADDR_TEXT];

	for (size_t i = 0; i < r->strangers_len; i++) {
		const struct rules_stranger *s = &r->strangers[i];

		json_array_append_new(
			strangers,
			json_pack("{s:s,s:I,s:I,s:o}", "address", ip_addr_format(&s->addr, addr),
				  "packets", (json_int_t)s->packets, "secondsAgo",
				  (json_int_t)((now_ms - s->seen_ms) / 1000), "nearestPeer",
				  s->nearest[0] ? json_text(s->nearest) : json_null()));
	}
	return strangers;
}

static json_t *report_traffic(const struct daemon_view *v)
{
	const struct rules_view *r = &v->rules;

	return json_pack("{s:s,s:s,s:s,s:b,s:b,s:b,s:I,s:I,s:o,s:I,s:b,s:s,s:I,s:I}", "table",
			 r->table, "mode", rules_mode_name(r->mode), "modeReason", r->mode_reason,
			 "ok", r->ok, "masquerade", v->masquerade, "peerGuard", r->guard,
			 "guardAddresses", (json_int_t)v->fabric.guarded, "guardDroppedPackets",
			 (json_int_t)r->guard_dropped_total, "strangers", report_strangers(r),
			 "spoofedDroppedPackets", (json_int_t)r->spoofed_dropped_total,
			 "tunnelTracked", *r->tracked != 0, "tunnelTrackedReason", r->tracked,
			 "healed", (json_int_t)r->heals_total, "writes",
			 (json_int_t)r->writes_total);
}

static json_t *report_fast_path(const struct fabric *f)
{
	json_t *packets = json_object();
	json_t *root = json_object();
	struct fast_path_view p;

	fabric_view_fast_path(f, &p);
	json_object_set_new(root, "mode", json_string(p.mode));
	json_object_set_new(root, "on", json_boolean(p.on));
	json_object_set_new(root, "reason", json_text(p.reason));
	json_object_set_new(root, "containers", json_integer((json_int_t)p.containers));
	json_object_set_new(root, "refused", json_integer((json_int_t)p.refused));
	json_object_set_new(root, "refusedReason", json_text(p.refused_why));
	json_object_set_new(root, "healed", json_integer((json_int_t)p.healed_total));
	json_object_set_new(root, "writes", json_integer((json_int_t)p.writes_total));
	for (enum fast_outcome o = 0; o < FAST_OUTCOMES_LEN; o++)
		json_object_set_new(packets, fast_outcome_name(o),
				    json_integer((json_int_t)p.outcomes[o]));
	json_object_set_new(root, "packets", packets);
	return root;
}

static json_t *report_probes(const struct fabric_view *f)
{
	json_t *probes = json_object();
	json_t *peers = json_object();

	json_object_set_new(probes, "on", json_boolean(f->reach != NULL));
	json_object_set_new(probes, "reason", json_text(f->reach_off));
	json_object_set_new(probes, "intervalSeconds", json_integer(f->reach_interval_s));
	for (enum reach_state s = 0; f->reach && s < REACH_STATES; s++)
		json_object_set_new(peers, reach_state_name(s),
				    json_integer((json_int_t)(f->reach->states[0][s] +
							      f->reach->states[1][s])));
	json_object_set_new(probes, "peers", peers);
	return probes;
}

static void add_event(void *arg, const struct log_event *event)
{
	char when[CLOCK_TEXT];

	json_append(arg,
		    json_pack("{s:s,s:s,s:s,s:s}", "time", clock_format_utc(event->wall_ms, when),
			      "level", log_level_name(event->level), "event", event->name, "text",
			      event->text));
}

json_t *report_events(uint64_t from)
{
	json_t *root = report_document("EventList");
	json_t *items = json_array();
	uint64_t end = log_end();
	uint64_t first = end - MIN(end, (uint64_t)LOG_RECENT_LEN);

	log_recent(LOG_LEVEL_INFO, (unsigned)(end - MAX(from, first)), add_event, items);
	json_object_set_new(root, "lost",
			    json_integer(from < first ? (json_int_t)(first - from) : 0));
	json_object_set_new(root, "items", items);
	return root;
}

static json_t *report_devices(const struct fabric_view *f)
{
	json_t *devices = json_array();
	char mac[MAC_TEXT];

	for (size_t i = 0; i < f->devices_len; i++)
		json_append(devices, json_pack("{s:s,s:I,s:i,s:s}", "name", f->devices[i].name,
					       "index", (json_int_t)f->ifindexes[i], "mtu",
					       (int)f->devices[i].mtu_bytes, "mac",
					       mac_addr_format(&f->devices[i].mac, mac)));
	return devices;
}

static json_t *report_problems(const struct health *h)
{
	json_t *list = json_array();

	for (size_t i = 0; i < h->present; i++) {
		const struct health_entry *entry = &h->entries[i];
		const struct problem *p = &entry->problem;
		char since[CLOCK_TEXT];

		json_append(list, json_pack("{s:s,s:s,s:s,s:s}", "name", p->name, "severity",
					    problem_severity_name(p->severity), "since",
					    clock_format_utc(clock_wall_of(entry->since_ms), since),
					    "text", p->text));
	}
	return list;
}

enum health_verdict report_verdict(const struct daemon_view *v)
{
	if (v->ready && !health_is_degraded(v->health))
		return HEALTH_OK;
	return v->was_ready ? HEALTH_DEGRADED : HEALTH_STARTING;
}

static json_t *report_store(const struct daemon_view *v)
{
	struct store *s = v->store->store;
	json_t *store = json_object();

	s->ops->describe(s, store);
	json_object_set_new(store, "watchLive", json_boolean(v->manager.watch_live));
	json_object_set_new(store, "watchReason", json_text(v->manager.watch_reason));
	return store;
}

/* The second one where it is another, and only there. */
static void report_interfaces(const struct external *x, json_t *root)
{
	const struct external_place *v4 = &x->places[0];
	const struct external_place *v6 = &x->places[1];
	const struct external_place *first = v4->ifindex ? v4 : v6;

	json_object_set_new(root, "externalInterface", lease_text_json(first->name));
	json_object_set_new(root, "externalInterfaceV6",
			    v6->ifindex == first->ifindex ? json_null()
							  : lease_text_json(v6->name));
}

json_t *report_status(const struct daemon_view *v)
{
	const struct manager_view *m = &v->manager;
	const struct fabric_view *f = &v->fabric;
	json_t *root = report_document("Status");
	json_t *warnings = json_array();

	log_recent(LOG_LEVEL_WARN, 5, add_event, warnings);
	json_object_set_new(root, "version", json_string(VERSION));
	json_object_set_new(root, "pid", json_integer(getpid()));
	json_object_set_new(root, "uptimeSeconds",
			    json_integer((clock_boot_ms() - v->started_ms) / 1000));
	json_object_set_new(root, "verdict", json_string(health_verdict_name(report_verdict(v))));
	json_object_set_new(root, "ready", json_boolean(v->ready));
	json_object_set_new(root, "readyReason", json_text(v->ready_reason));
	json_object_set_new(root, "problems", report_problems(v->health));
	json_object_set_new(root, "node", json_text(v->node_name));
	json_object_set_new(root, "nodeID", json_text(v->node_id));
	json_object_set_new(root, "lease", report_lease(m));
	json_object_set_new(root, "store", report_store(v));
	json_object_set_new(root, "backend", json_text(f->backend));
	report_interfaces(f->external, root);
	json_object_set_new(root, "devices", report_devices(f));
	json_object_set_new(root, "podMTU",
			    v->pod_mtu_bytes ? json_integer(v->pod_mtu_bytes) : json_null());
	json_object_set_new(root, "peers", json_integer((json_int_t)f->peers));
	json_object_set_new(root, "peersReserved", json_integer((json_int_t)f->reserved));
	json_object_set_new(root, "peersIgnored", json_integer((json_int_t)f->ignored));
	json_object_set_new(root, "probes", report_probes(f));
	json_object_set_new(root, "leases", json_integer((json_int_t)m->members_len));
	json_object_set_new(root, "junkKeys", json_integer((json_int_t)m->junk_len));
	json_object_set_new(root, "kernel", report_kernel(f));
	json_object_set_new(root, "traffic", report_traffic(v));
	json_object_set_new(root, "fastPath", report_fast_path(f->fabric));
	json_object_set_new(root, "subnetFile", json_text(v->subnet_file));
	json_object_set_new(root, "warnings", warnings);
	return root;
}

json_t *report_drain(const char *state)
{
	json_t *root = report_document("Drain");

	json_object_set_new(root, "state", json_string(state));
	return root;
}

json_t *report_log_level(void)
{
	json_t *root = report_document("LogLevel");

	json_object_set_new(root, "level", json_string(log_level_name(log_level_get())));
	return root;
}

json_t *report_diff(void)
{
	json_t *root = report_document("Diff");

	json_object_set_new(root, "items", json_array());
	return root;
}

void report_difference(void *arg, const char *action, const char *kind, const char *text)
{
	json_append(json_object_get(arg, "items"),
		    json_pack("{s:s,s:s,s:s}", "action", action, "kind", kind, "object", text));
}

json_t *report_sync(uint64_t writes, double seconds)
{
	json_t *root = report_document("Sync");

	json_object_set_new(root, "writes", json_integer((json_int_t)writes));
	json_object_set_new(root, "seconds", json_real(seconds));
	return root;
}
