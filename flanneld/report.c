/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/report.h"

#include "lib/buffer.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "subnet/lease_json.h"

static json_t *document(const char *kind)
{
	char when[CLOCK_TEXT];

	return json_pack("{s:s,s:s,s:s}", "apiVersion", REPORT_API_VERSION, "kind", kind,
			 "generated", clock_format_utc(clock_wall_ms(), when));
}

/* Seconds with the precision that was measured. */
static json_t *rtt_json(const struct reach_way *w)
{
	return w && w->rtt_us >= 0 ? json_real((double)w->rtt_us / 1e6) : json_null();
}

static json_t *loss_json(const struct reach_way *w)
{
	return w && w->asked
		       ? json_integer(100 * (w->asked - __builtin_popcount(w->answered)) / w->asked)
		       : json_null();
}

/* Of the way that its packets take: through the tunnel, where there is one. */
static void add_reach(json_t *item, const struct reach_peer *p)
{
	static const int families[] = { AF_INET, AF_INET6 };
	const struct reach_way *w = NULL;

	for (size_t i = 0; i < ARRAY_LEN(families) && !w; i++) {
		w = reach_way(p, families[i], REACH_OVERLAY);
		if (!w)
			w = reach_way(p, families[i], REACH_UNDERLAY);
	}
	json_object_set_new(item, "reach",
			    p ? json_string(reach_state_name(reach_state(p))) : json_null());
	json_object_set_new(item, "rttSeconds", rtt_json(w));
	json_object_set_new(item, "lossPercent", loss_json(w));
}

json_t *report_subnet(const struct daemon_view *v, const struct manager_member *member)
{
	const struct lease *l = member->lease;
	const char *reason = v->own_reason;
	const char *kernel =
		member->own ? v->own_state : fabric_peer_state(v->fabric.fabric, member, &reason);
	json_t *item = lease_to_json(l);

	if (member->kept_until_ms && !*reason)
		reason = "gone from the store, kept for a moment in case it is claimed again";
	backend_describe_lease(l, item);
	json_object_set_new(item, "own", json_boolean(member->own));
	json_object_set_new(item, "reservation", json_boolean(lease_is_reservation(l)));
	json_object_set_new(item, "unbound", json_boolean(lease_is_unbound(l)));
	json_object_set_new(
		item, "expiresSeconds",
		member->own && v->manager.expires_ms
			? json_integer(
				  MAX((v->manager.expires_ms - clock_boot_ms()) / 1000, (int64_t)0))
			: json_null());
	json_object_set_new(item, "revision", lease_revision_json(l->mod_revision));
	json_object_set_new(item, "kernel", json_string(kernel));
	json_object_set_new(item, "reason", json_text(reason));
	add_reach(item, member->own ? NULL : fabric_peer_reach(v->fabric.fabric, member));
	return item;
}

static int by_subnet(const void *a, const void *b)
{
	const struct subnet *x = &(*(const struct manager_member *const *)a)->lease->subnet;
	const struct subnet *y = &(*(const struct manager_member *const *)b)->lease->subnet;

	return memcmp(x, y, sizeof(*x));
}

static void add_junk(json_t *list, const struct manager_junk *j)
{
	auto_free char *key = xstrdup(j->key);
	auto_free char *reason = xstrdup(j->reason);

	util_make_printable(key);
	util_make_printable(reason);
	json_append(list, json_pack("{s:s,s:s}", "key", key, "reason", reason));
}

const struct manager_member **report_members(const struct daemon_view *v, size_t *ret_len)
{
	const struct manager_member **sorted;
	const struct manager_member *member = NULL;
	size_t len = 0;

	sorted = xmalloc(v->manager.members_len * sizeof(*sorted));
	while ((member = manager_next(v->manager.members, member)))
		sorted[len++] = member;
	qsort(sorted, len, sizeof(*sorted), by_subnet);
	*ret_len = len;
	return sorted;
}

/* Without its items. */
static json_t *subnet_list(const struct daemon_view *v)
{
	json_t *root = document("SubnetList");
	json_t *junk = json_array();
	const struct manager_junk *j;
	const struct manager_junk *tmp_junk;

	HASH_ITER (hh, v->manager.junk, j, tmp_junk)
		add_junk(junk, j);
	json_object_set_new(root, "source", json_string("daemon"));
	json_object_set_new(root, "items", json_array());
	json_object_set_new(root, "junk", junk);
	return root;
}

json_t *report_subnets(const struct daemon_view *v)
{
	auto_free const struct manager_member **sorted = NULL;
	json_t *root = subnet_list(v);
	size_t len = 0;

	sorted = report_members(v, &len);
	for (size_t i = 0; i < len; i++)
		json_append(json_object_get(root, "items"), report_subnet(v, sorted[i]));
	return root;
}

static int put(const char *bytes, size_t size, void *out)
{
	buffer_put(out, bytes, size);
	return 0;
}

/* One tree of all items would be several times as large as the text, and take longer to build. */
char *report_subnets_text(const struct daemon_view *v)
{
	static const char before_items[] = "\"items\":[";
	auto_free const struct manager_member **sorted = NULL;
	auto_json json_t *root = subnet_list(v);
	auto_free char *text = json_dumps(root, JSON_COMPACT);
	const char *items = text ? strstr(text, before_items) : NULL;
	struct buffer out = { 0 };
	bool first = true;
	size_t len = 0;

	if (!items)
		return NULL;
	items += strlen(before_items);
	buffer_put(&out, text, (size_t)(items - text));
	sorted = report_members(v, &len);
	for (size_t i = 0; i < len; i++) {
		auto_json json_t *item = report_subnet(v, sorted[i]);
		size_t before = out.size;

		if (!first)
			buffer_putc(&out, ',');
		if (json_dump_callback(item, put, &out, JSON_COMPACT) < 0) {
			out.size = before;
			json_append(json_object_get(root, "items"), NULL); /* counts and says it */
			continue;
		}
		first = false;
	}
	buffer_puts(&out, items);
	return buffer_steal(&out);
}

static json_t *target(const struct lease *l, uint16_t port)
{
	const struct ip_addr *at = ip_addr_is_set(&l->public_v4) ? &l->public_v4 : &l->public_v6;
	auto_free char *text = NULL;
	char address[IP_ADDR_TEXT];
	char subnet[SUBNET_KEY_TEXT];

	ip_addr_format(at, address);
	text = at->family == AF_INET ? xasprintf("%s:%u", address, port)
				     : xasprintf("[%s]:%u", address, port);
	return json_pack("{s:[s],s:{s:o,s:s,s:o}}", "targets", text, "labels", "node",
			 json_text(l->node_name), "subnet", subnet_format(&l->subnet, subnet),
			 "backend", json_text(l->backend_type));
}

json_t *report_targets(const struct daemon_view *v, uint16_t port)
{
	auto_free const struct manager_member **sorted = NULL;
	json_t *items = json_array();
	size_t len = 0;

	sorted = report_members(v, &len);
	for (size_t i = 0; i < len; i++) {
		const struct lease *l = sorted[i]->lease;

		/* flannel's hosts have no such metrics, and a reservation no host. */
		if (l->node_id && (ip_addr_is_set(&l->public_v4) || ip_addr_is_set(&l->public_v6)))
			json_append(items, target(l, port));
	}
	return items;
}

json_t *report_target_list(const struct daemon_view *v, uint16_t port)
{
	json_t *root = document("TargetList");

	json_object_set_new(root, "items", report_targets(v, port));
	return root;
}

static void add_object(void *arg, const struct kernel_object *o, bool settled, const char *error)
{
	int family = kernel_object_family(o);
	char text[KERNEL_OBJECT_TEXT];

	json_append(arg, json_pack("{s:s,s:s,s:s,s:b,s:o}", "kind", kernel_kind_of(o)->name,
				   "family", family == AF_INET6 ? "ipv6" : "ipv4", "object",
				   kernel_object_format(o, text), "settled", settled, "error",
				   lease_text_json(settled ? NULL : error)));
}

/* Null where no device counts by peers. */
static void add_traffic(json_t *item, const struct daemon_view *v,
			const struct manager_member *member)
{
	struct backend_traffic t = { 0 };
	bool known = fabric_peer_traffic(v->fabric.fabric, member, &t);
	int64_t now_s = clock_wall_ms() / 1000;

	json_object_set_new(item, "handshakeSecondsAgo",
			    known && t.handshake_s
				    ? json_integer(MAX(now_s - t.handshake_s, (int64_t)0))
				    : json_null());
	json_object_set_new(item, "receivedBytes",
			    known ? json_integer((json_int_t)t.received_bytes) : json_null());
	json_object_set_new(item, "sentBytes",
			    known ? json_integer((json_int_t)t.sent_bytes) : json_null());
}

static void add_probes(json_t *item, const struct reach_peer *p)
{
	static const int families[] = { AF_INET, AF_INET6 };
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		for (enum reach_layer layer = 0; layer < REACH_LAYERS; layer++) {
			const struct reach_way *w = reach_way(p, families[i], layer);

			if (!w)
				continue;
			json_append(
				list,
				json_pack(
					"{s:s,s:s,s:o,s:o,s:o,s:o,s:o}", "family",
					i ? "ipv6" : "ipv4", "layer", reach_layer_name(layer),
					"address", lease_addr_json(&w->address), "rttSeconds",
					rtt_json(w), "lossPercent", loss_json(w), "heardSecondsAgo",
					w->heard_ms ? json_integer((clock_boot_ms() - w->heard_ms) /
								   1000)
						    : json_null(),
					"error",
					w->error ? json_string(strerror(-w->error)) : json_null()));
		}
	}
	json_object_set_new(item, "probes", list);
}

json_t *report_peers(const struct daemon_view *v)
{
	auto_free const struct manager_member **sorted = NULL;
	json_t *root = document("PeerList");
	json_t *items = json_array();
	size_t len = 0;

	sorted = report_members(v, &len);
	for (size_t i = 0; i < len; i++) {
		json_t *objects;
		json_t *item;

		if (sorted[i]->own)
			continue;
		item = report_subnet(v, sorted[i]);
		objects = json_array();
		fabric_peer_visit(v->fabric.fabric, sorted[i], add_object, objects);
		json_object_set_new(item, "objects", objects);
		add_traffic(item, v, sorted[i]);
		add_probes(item, fabric_peer_reach(v->fabric.fabric, sorted[i]));
		json_append(items, item);
	}
	json_object_set_new(root, "items", items);
	return root;
}

static json_t *report_family(const struct network_family *f)
{
	return json_pack("{s:o,s:i,s:o,s:o}", "network", lease_net_json(&f->network), "subnetLen",
			 f->subnet_len, "subnetMin", lease_addr_json(&f->subnet_min), "subnetMax",
			 lease_addr_json(&f->subnet_max));
}

json_t *report_config(const struct daemon_view *v)
{
	json_t *root = document("NetworkConfig");
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
	json_t *root = document("Lease");

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

	return json_pack("{s:s,s:s,s:s,s:b,s:b,s:b,s:I,s:I,s:o,s:I,s:I,s:I}", "table", r->table,
			 "mode", rules_mode_name(r->mode), "modeReason", r->mode_reason, "ok",
			 r->ok, "masquerade", v->masquerade, "peerGuard", r->guard,
			 "guardAddresses", (json_int_t)v->fabric.guarded, "guardDroppedPackets",
			 (json_int_t)r->guard_dropped_total, "strangers", report_strangers(r),
			 "spoofedDroppedPackets", (json_int_t)r->spoofed_dropped_total, "healed",
			 (json_int_t)r->heals_total, "writes", (json_int_t)r->writes_total);
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
	json_t *root = document("EventList");
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

static const char *verdict(const struct daemon_view *v)
{
	if (v->ready && !health_is_degraded(v->health))
		return "ok";
	return v->was_ready ? "degraded" : "starting";
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
	json_t *root = document("Status");
	json_t *warnings = json_array();

	log_recent(LOG_LEVEL_WARN, 5, add_event, warnings);
	json_object_set_new(root, "version", json_string(VERSION));
	json_object_set_new(root, "pid", json_integer(getpid()));
	json_object_set_new(root, "uptimeSeconds",
			    json_integer((clock_boot_ms() - v->started_ms) / 1000));
	json_object_set_new(root, "verdict", json_string(verdict(v)));
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
	json_object_set_new(root, "subnetFile", json_text(v->subnet_file));
	json_object_set_new(root, "warnings", warnings);
	return root;
}

json_t *report_diff(void)
{
	json_t *root = document("Diff");

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
	json_t *root = document("Sync");

	json_object_set_new(root, "writes", json_integer((json_int_t)writes));
	json_object_set_new(root, "seconds", json_real(seconds));
	return root;
}
