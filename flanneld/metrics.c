/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metrics: one table row for each plain number, a few with labels by hand. promtool check
 * metrics is the judge.
 */
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

#include "flanneld/report.h"
#include "fastpath/fast_path.h"
#include "lib/clock.h"
#include "lib/json.h"

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP flannel_%s %s\n# TYPE flannel_%s %s\n", name, help, name, type);
}

static void gauge(FILE *out, const char *name, const char *help, double value)
{
	head(out, name, "gauge", help);
	fprintf(out, "flannel_%s %.17g\n", name, value);
}

static void counter(FILE *out, const char *name, const char *help, uint64_t value)
{
	head(out, name, "counter", help);
	fprintf(out, "flannel_%s %" PRIu64 "\n", name, value);
}

static void by_kind(FILE *out, const char *name, const char *type, const char *help,
		    const uint64_t values[static KERNEL_KINDS])
{
	head(out, name, type, help);
	for (unsigned k = 0; k < KERNEL_KINDS; k++)
		fprintf(out, "flannel_%s{object=\"%s\"} %" PRIu64 "\n", name, kernel_kinds[k]->name,
			values[k]);
}

static void lease_metrics(const struct manager_view *m, FILE *out)
{
	head(out, "lease_state", "gauge", "1 for the state that this host's lease is in.");
	for (enum manager_state s = MANAGER_WAIT_CONFIG; s <= MANAGER_CONFLICT; s++)
		fprintf(out, "flannel_lease_state{state=\"%s\"} %d\n", manager_state_name(s),
			m->state == s);
	if (m->expires_ms)
		gauge(out, "lease_expiry_timestamp_seconds",
		      "When the lease expires unless it is renewed, Unix time.",
		      (double)clock_wall_of(m->expires_ms) / 1000);
	head(out, "lease_renewals_total", "counter", "Renewals of this host's lease by result.");
	fprintf(out,
		"flannel_lease_renewals_total{result=\"ok\"} %" PRIu64
		"\nflannel_lease_renewals_total{result=\"error\"} %" PRIu64 "\n",
		m->renewals_ok, m->renewals_failed);
	counter(out, "lease_lost_total", "Times the store no longer had this host's lease.",
		m->lost_total);
}

static void problem_metrics(const struct health *h, FILE *out)
{
	head(out, "problem", "gauge", "1 for every problem that there is now.");
	for (size_t i = 0; i < h->present; i++)
		fprintf(out, "flannel_problem{name=\"%s\",severity=\"%s\"} 1\n",
			h->entries[i].problem.name,
			problem_severity_name(h->entries[i].problem.severity));
}

/* Of the operations that were asked for at all. */
static void request_histograms(const struct store_calls *calls, FILE *out)
{
	static const char name[] = "flannel_store_request_duration_seconds";

	head(out, "store_request_duration_seconds", "histogram",
	     "How long the store took to answer, by operation.");
	for (unsigned op = 0; op < STORE_OPS; op++) {
		const char *op_name = store_op_name(op);
		uint64_t below = 0;

		for (size_t i = 0; i <= STORE_CALLS_BUCKETS; i++)
			below += calls->buckets[op][i];
		if (!below)
			continue;
		below = 0;
		for (size_t i = 0; i < STORE_CALLS_BUCKETS; i++) {
			below += calls->buckets[op][i];
			fprintf(out, "%s_bucket{op=\"%s\",le=\"%g\"} %" PRIu64 "\n", name, op_name,
				store_calls_buckets_s[i], below);
		}
		below += calls->buckets[op][STORE_CALLS_BUCKETS];
		fprintf(out,
			"%s_bucket{op=\"%s\",le=\"+Inf\"} %" PRIu64 "\n%s_sum{op=\"%s\"} %.6f\n"
			"%s_count{op=\"%s\"} %" PRIu64 "\n",
			name, op_name, below, name, op_name, calls->seconds[op], name, op_name,
			below);
	}
}

static void store_metrics(const struct store_calls *calls, const struct manager_view *m, FILE *out)
{
	head(out, "store_requests_total", "counter",
	     "Requests to the store by operation and result.");
	for (unsigned op = 0; op < STORE_OPS; op++) {
		for (unsigned s = 0; s <= STORE_UNKNOWN; s++) {
			if (calls->requests[op][s])
				fprintf(out,
					"flannel_store_requests_total{op=\"%s\",result=\"%s\"} "
					"%" PRIu64 "\n",
					store_op_name(op), store_status_name(s),
					calls->requests[op][s]);
		}
	}
	head(out, "store_request_seconds_total", "counter",
	     "Time spent waiting for the store by operation.");
	for (unsigned op = 0; op < STORE_OPS; op++)
		fprintf(out, "flannel_store_request_seconds_total{op=\"%s\"} %.6f\n",
			store_op_name(op), calls->seconds[op]);
	request_histograms(calls, out);
	gauge(out, "store_revision", "Newest revision that the store has told.",
	      (double)m->revision);
	gauge(out, "watch_live", "1 while changes in the store are told as they happen.",
	      m->watch_live);
	counter(out, "watch_restarts_total", "Times the watch ended.", m->watch_restarts_total);
	counter(out, "store_events_total", "Changes told by the watch.", m->events_total);
	counter(out, "store_lists_total", "Full lists of all leases taken in.", m->lists_total);
}

static void put_label(FILE *out, const char *name, const json_t *value)
{
	fprintf(out, "%s=\"", name);
	for (const char *p = json_string_value(value); p && *p; p++) {
		if (*p == '"' || *p == '\\')
			fputc('\\', out);
		fputc((unsigned char)*p < ' ' ? ' ' : *p, out);
	}
	fputc('"', out);
}

/* Which way each is, and why, if that was not our wish. */
static void endpoint_metrics(const json_t *endpoints, FILE *out)
{
	const json_t *endpoint;
	size_t i;

	head(out, "store_endpoint_info", "gauge",
	     "1 for each endpoint of the store: how it is spoken with, and why, if that was not "
	     "wished.");
	json_array_foreach (endpoints, i, endpoint) {
		fputs("flannel_store_endpoint_info{", out);
		put_label(out, "url", json_object_get(endpoint, "url"));
		fputc(',', out);
		put_label(out, "transport", json_object_get(endpoint, "transport"));
		fputc(',', out);
		put_label(out, "reason", json_object_get(endpoint, "transport_reason"));
		fputs("} 1\n", out);
	}
}

/* Of a store that can be spoken with in more than one way; and of each that has endpoints what those did. */
static void transport_metrics(struct store *s, FILE *out)
{
	static const char *const names[] = { "grpc", "json" };
	size_t counts[ARRAY_LEN(names)] = { 0 };
	size_t counted = 0;
	auto_json json_t *description = json_object();
	const json_t *endpoint;
	size_t i;

	s->ops->describe(s, description);
	if (!json_object_get(description, "endpoints"))
		return;
	json_array_foreach (json_object_get(description, "endpoints"), i, endpoint) {
		const char *name = json_string_value(json_object_get(endpoint, "transport"));

		for (size_t k = 0; k < ARRAY_LEN(names); k++) {
			counts[k] += name && strcmp(name, names[k]) == 0;
			counted += counts[k];
		}
	}
	if (counted > 0)
		head(out, "store_endpoints", "gauge",
		     "Endpoints of the store by how they are spoken with.");
	for (size_t k = 0; k < ARRAY_LEN(names) && counted > 0; k++)
		fprintf(out, "flannel_store_endpoints{transport=\"%s\"} %zu\n", names[k],
			counts[k]);
	endpoint_metrics(json_object_get(description, "endpoints"), out);
}

static void kernel_metrics(const struct fabric_view *f, FILE *out)
{
	uint64_t wanted[KERNEL_KINDS];

	for (unsigned k = 0; k < KERNEL_KINDS; k++)
		wanted[k] = f->reconcile->wanted[k];
	by_kind(out, "kernel_objects", "gauge", "Kernel objects that the leases stand for.",
		wanted);
	gauge(out, "kernel_objects_unsettled", "Those that are not in the kernel as wanted.",
	      (double)f->reconcile->unsettled);
	gauge(out, "kernel_objects_refused", "Those that the kernel refused.",
	      (double)f->reconcile->failed);
	by_kind(out, "reconcile_puts_total", "counter", "Objects written to the kernel.",
		f->reconcile->puts);
	by_kind(out, "reconcile_drops_total", "counter", "Objects removed from the kernel.",
		f->reconcile->drops);
	by_kind(out, "drift_total", "counter", "Objects found missing or altered by others.",
		f->reconcile->drift);
	counter(out, "device_repairs_total", "Times a device was made again or set right.",
		f->device_repairs_total);
	counter(out, "netlink_writes_total", "Messages sent to the kernel that change something.",
		f->netlink.writes);
	counter(out, "netlink_dumps_total", "Dumps asked of the kernel.", f->netlink.dumps);
	counter(out, "netlink_system_calls_total", "System calls on the request socket.",
		f->netlink.system_calls);
	counter(out, "netlink_errors_total", "Requests that the kernel refused.",
		f->netlink.errors);
	counter(out, "netlink_overruns_total", "Times notifications of the kernel were lost.",
		f->overruns_total);
	counter(out, "observations_total", "Comparisons of the kernel with the leases.",
		f->observations_total);
	gauge(out, "observation_seconds", "How long it takes to read all that is compared.",
	      f->observation_s);
}

static void rules_metrics(const struct daemon_view *v, FILE *out)
{
	const struct rules_view *r = &v->rules;

	head(out, "rules_ok", "gauge", "1 while the traffic rules stand as wanted, by mode.");
	fprintf(out, "flannel_rules_ok{mode=\"%s\"} %d\n", rules_mode_name(r->mode), r->ok);
	gauge(out, "guard_addresses", "Addresses that tunnel packets are taken from.",
	      (double)v->fabric.guarded);
	counter(out, "guard_dropped_packets_total",
		"Tunnel packets dropped because they came from no peer, or from a container.",
		r->guard_dropped_total);
	counter(out, "spoofed_dropped_packets_total",
		"Packets out of the tunnel dropped because their source was forged.",
		r->spoofed_dropped_total);
	gauge(out, "tunnel_tracked",
	      "1 while the kernel tracks connections of the tunnel's own packets.",
	      *r->tracked != 0);
	counter(out, "rules_healed_total", "Times traffic rules altered by others were put back.",
		r->heals_total);
	counter(out, "rules_writes_total", "Messages sent to nf_tables that change something.",
		r->writes_total);
}

static void fast_path_metrics(const struct fabric *f, FILE *out)
{
	struct fast_path_view p;

	fabric_view_fast_path(f, &p);
	gauge(out, "fast_path_on", "1 while packets between containers may take the fast path.",
	      p.on);
	gauge(out, "fast_path_containers", "Addresses of containers here that it is for.",
	      (double)p.containers);
	counter(out, "fast_path_healed_total", "Entries of its maps that others altered, put back.",
		p.healed_total);
	head(out, "fast_path_packets_total", "counter",
	     "Packets that its programs saw, by what became of them: out, in and local took it.");
	for (enum fast_outcome o = 0; o < FAST_OUTCOMES_LEN; o++)
		fprintf(out, "flannel_fast_path_packets_total{outcome=\"%s\"} %" PRIu64 "\n",
			fast_outcome_name(o), p.outcomes[o]);
}

static void process_metrics(int64_t started_wall_ms, FILE *out)
{
	struct rusage usage;
	unsigned long pages = 0;
	auto_fclose FILE *statm = fopen("/proc/self/statm", "re");

	getrusage(RUSAGE_SELF, &usage);
	if (!statm || fscanf(statm, "%*u %lu", &pages) != 1)
		pages = 0;
	fprintf(out,
		"# HELP process_cpu_seconds_total CPU time, user and system.\n"
		"# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %.6f\n",
		(double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
			(double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
	fprintf(out,
		"# HELP process_resident_memory_bytes Memory in RAM.\n"
		"# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %lu\n",
		pages * (unsigned long)sysconf(_SC_PAGESIZE));
	fprintf(out,
		"# HELP process_start_time_seconds When the process started, Unix time.\n"
		"# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %.3f\n",
		(double)started_wall_ms / 1000);
}

static void peer_metrics(const struct daemon_view *v, FILE *out)
{
	size_t ignored = v->fabric.ignored;
	size_t reserved = v->fabric.reserved;

	head(out, "peers", "gauge",
	     "Peers by whether their lease is of use here; a reservation need not have a host.");
	fprintf(out,
		"flannel_peers{state=\"used\"} %zu\nflannel_peers{state=\"reserved\"} %zu\n"
		"flannel_peers{state=\"ignored\"} %zu\n",
		v->fabric.peers - ignored - reserved, reserved, ignored);
}

static void histogram(const struct reach_counts *c, enum reach_layer layer, FILE *out)
{
	const char *name = reach_layer_name(layer);
	uint64_t below = 0;

	for (size_t i = 0; i < REACH_BUCKETS; i++) {
		below += c->buckets[layer][i];
		fprintf(out,
			"flannel_probe_rtt_seconds_bucket{layer=\"%s\",le=\"%g\"} %" PRIu64 "\n",
			name, reach_buckets_us[i] / 1e6, below);
	}
	below += c->buckets[layer][REACH_BUCKETS];
	fprintf(out,
		"flannel_probe_rtt_seconds_bucket{layer=\"%s\",le=\"+Inf\"} %" PRIu64
		"\nflannel_probe_rtt_seconds_sum{layer=\"%s\"} %.6f\n"
		"flannel_probe_rtt_seconds_count{layer=\"%s\"} %" PRIu64 "\n",
		name, below, name, (double)c->rtt_sum_us[layer] / 1e6, name, below);
}

/* Only where peers are asked whether they answer. */
static void probe_metrics(const struct reach_counts *c, FILE *out)
{
	if (!c)
		return;
	head(out, "peers_reach", "gauge", "Peers by whether they answer, in each family.");
	for (enum reach_state s = 0; s < REACH_STATES; s++)
		fprintf(out,
			"flannel_peers_reach{family=\"ipv4\",state=\"%s\"} %zu\n"
			"flannel_peers_reach{family=\"ipv6\",state=\"%s\"} %zu\n",
			reach_state_name(s), c->states[0][s], reach_state_name(s), c->states[1][s]);
	head(out, "peers_mtu_black_hole", "gauge",
	     "Peers to which packets as large as containers' vanish on the way, in each family.");
	fprintf(out,
		"flannel_peers_mtu_black_hole{family=\"ipv4\"} %zu\n"
		"flannel_peers_mtu_black_hole{family=\"ipv6\"} %zu\n",
		c->paths[0][PATH_MTU_BLACK_HOLE], c->paths[1][PATH_MTU_BLACK_HOLE]);
	head(out, "peers_path_mtu", "gauge",
	     "Peers by whether packets as large as containers' pass, in each family.");
	for (enum path_mtu_state s = 0; s < PATH_MTU_STATES; s++)
		fprintf(out,
			"flannel_peers_path_mtu{family=\"ipv4\",state=\"%s\"} %zu\n"
			"flannel_peers_path_mtu{family=\"ipv6\",state=\"%s\"} %zu\n",
			path_mtu_state_name(s), c->paths[0][s], path_mtu_state_name(s),
			c->paths[1][s]);
	head(out, "probes_total", "counter", "Questions by ICMP echo to peers.");
	for (enum reach_layer i = 0; i < REACH_LAYERS; i++)
		fprintf(out, "flannel_probes_total{layer=\"%s\"} %" PRIu64 "\n",
			reach_layer_name(i), c->asked[i]);
	head(out, "probes_answered_total", "counter", "Those that were answered.");
	for (enum reach_layer i = 0; i < REACH_LAYERS; i++)
		fprintf(out, "flannel_probes_answered_total{layer=\"%s\"} %" PRIu64 "\n",
			reach_layer_name(i), c->answered[i]);
	head(out, "probe_rtt_seconds", "histogram", "How long answers took.");
	for (enum reach_layer i = 0; i < REACH_LAYERS; i++)
		histogram(c, i, out);
}

struct traffic_row {
	char peer[SUBNET_KEY_TEXT];
	struct backend_traffic traffic;
};

static void traffic_rows(const struct traffic_row *rows, size_t len, FILE *out)
{
	head(out, "peer_handshake_timestamp_seconds", "gauge",
	     "When the last handshake with a peer was, Unix time; 0 for none yet.");
	for (size_t i = 0; i < len; i++)
		fprintf(out, "flannel_peer_handshake_timestamp_seconds{peer=\"%s\"} %" PRId64 "\n",
			rows[i].peer, rows[i].traffic.handshake_s);
	head(out, "peer_received_bytes_total", "counter",
	     "Bytes that came from a peer, encrypted.");
	for (size_t i = 0; i < len; i++)
		fprintf(out, "flannel_peer_received_bytes_total{peer=\"%s\"} %" PRIu64 "\n",
			rows[i].peer, rows[i].traffic.received_bytes);
	head(out, "peer_sent_bytes_total", "counter", "Bytes that went to a peer, encrypted.");
	for (size_t i = 0; i < len; i++)
		fprintf(out, "flannel_peer_sent_bytes_total{peer=\"%s\"} %" PRIu64 "\n",
			rows[i].peer, rows[i].traffic.sent_bytes);
}

/* Only where a device counts by peers. */
static void traffic_metrics(const struct daemon_view *v, FILE *out)
{
	auto_free const struct manager_member **members = NULL;
	auto_free struct traffic_row *rows = NULL;
	size_t members_len = 0;
	size_t len = 0;

	members = report_members(v, &members_len);
	rows = xcalloc(members_len + 1, sizeof(*rows));
	for (size_t i = 0; i < members_len; i++) {
		struct traffic_row *row = &rows[len];

		if (members[i]->own ||
		    !fabric_peer_traffic(v->fabric.fabric, members[i], &row->traffic))
			continue;
		subnet_format(&members[i]->lease->subnet, row->peer);
		len++;
	}
	if (len)
		traffic_rows(rows, len, out);
}

void report_metrics(const struct daemon_view *v, FILE *out)
{
	const struct manager_view *m = &v->manager;
	const struct fabric_view *f = &v->fabric;

	head(out, "build_info", "gauge", "The version that runs.");
	fprintf(out, "flannel_build_info{version=\"%s\"} 1\n", VERSION);
	gauge(out, "ready", "1 if this host can serve containers.", v->ready);
	problem_metrics(v->health, out);
	peer_metrics(v, out);
	traffic_metrics(v, out);
	probe_metrics(f->reach, out);
	if (v->pod_mtu_bytes)
		gauge(out, "pod_mtu_bytes", "MTU that new containers here are given.",
		      v->pod_mtu_bytes);
	gauge(out, "junk_keys", "Keys among the leases that cannot be read.", (double)m->junk_len);
	lease_metrics(m, out);
	store_metrics(v->store, m, out);
	transport_metrics(v->store->store, out);
	kernel_metrics(f, out);
	rules_metrics(v, out);
	fast_path_metrics(f->fabric, out);
	counter(out, "json_failures_total", "Parts of answers that could not be built: a defect.",
		json_failures_total());
	process_metrics(v->started_wall_ms, out);
}

/* "# TYPE NAME counter": the size of NAME, if it is a counter's that ends in _total, else 0. */
static size_t counter_size(const char *name)
{
	static const char suffix[] = "_total";
	size_t size = strcspn(name, " \n");

	return size > strlen(suffix) &&
			       strncmp(name + size - strlen(suffix), suffix, strlen(suffix)) == 0
		       ? size - strlen(suffix)
		       : 0;
}

void report_open_metrics(const char *metrics, FILE *out)
{
	static const char *const heads[] = { "# HELP ", "# TYPE " };

	while (*metrics) {
		size_t size = strcspn(metrics, "\n") + 1;
		size_t skipped = 0;

		for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
			const char *name = metrics + strlen(heads[i]);
			size_t short_size;

			if (strncmp(metrics, heads[i], strlen(heads[i])) != 0)
				continue;
			short_size = counter_size(name);
			if (!short_size)
				continue;
			fprintf(out, "%s%.*s", heads[i], (int)short_size, name);
			skipped = strlen(heads[i]) + short_size + strlen("_total");
		}
		fwrite(metrics + skipped, 1, size - skipped, out);
		metrics += size;
	}
	fputs("# EOF\n", out);
}
