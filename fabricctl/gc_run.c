/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fabricctl gc: shows what is there for containers that are gone; with --apply the CNI plugin undoes
 * each with a DEL, as if the runtime had asked. Nothing is removed here.
 */
#include <errno.h>
#include <event2/event.h>
#include <string.h>

#include "fabric/plugin_find.h"
#include "fabricctl/command.h"
#include "fabricctl/containers.h"
#include "fabricctl/document.h"
#include "fabricctl/gc.h"
#include "fabricctl/loop.h"
#include "fabricctl/pods.h"
#include "fabricctl/reservations.h"
#include "fabricctl/runtime.h"
#include "fabricctl/table.h"
#include "kernel/link.h"
#include "kernel/lookup.h"
#include "kernel/probe.h"
#include "lib/clock.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/process.h"
#include "subnet/subnet_env.h"

#define SUBNET_FILE_MAX 65536
#define PROBE_MS        1100 /* the kernel asks a second time after 1 s */
#define DEL_TIMEOUT_MS  60000
#define CNI_VERSION     "1.0.0"

struct plan {
	const struct ctl *c;
	const struct settings *settings;
	const char *ipam_dir;
	const char *cache_dir;
	struct subnet_env env; /* whose subnets are judged */
	json_t *attachments;   /* of containers_list */
	json_t *items;         /* what is to be removed, and what is in doubt */
	struct netlink *nl;
	struct suspect *suspects;
	size_t suspects_len;
	size_t suspects_cap;
};

/* ---- what there is ---- */

static void add(struct plan *p, const char *kind, const json_t *from, bool remove,
		const char *reason)
{
	static const char *const keys[] = { "network", "containerID", "interface", "addresses" };
	json_t *item = json_object();

	json_object_set_new(item, "kind", json_string(kind));
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		json_t *value = json_object_get(from, keys[i]);

		json_object_set(item, keys[i], value ? value : json_null());
	}
	json_object_set_new(item, "action", json_string(remove ? "remove" : "keep"));
	json_object_set_new(item, "reason", json_text(reason));
	json_object_set_new(item, "error", json_null());
	json_array_append_new(p->items, item);
}

/* 0 if that is not known. */
static int64_t age_of(const json_t *item)
{
	const char *since = ctl_text(item, "since");
	int64_t since_ms;

	return since && clock_parse_utc(since, &since_ms) == 0 ? (clock_wall_ms() - since_ms) / 1000
							       : 0;
}

static void look_at_attachments(struct plan *p)
{
	json_t *item;
	size_t i;

	json_array_foreach (p->attachments, i, item) {
		const char *reason;
		bool remove;

		pods_judge(item, p->cache_dir);
		remove = gc_judge_attachment(item, age_of(item), &reason);
		if (reason)
			add(p, "attachment", item, remove, reason);
	}
}

static bool has_record(const struct plan *p, const char *container_id)
{
	json_t *item;
	size_t i;

	json_array_foreach (p->attachments, i, item) {
		const char *id = ctl_text(item, "containerID");

		if (id && strcmp(id, container_id) == 0)
			return true;
	}
	return false;
}

/* Of which only whoever has the address can tell. */
struct suspect {
	struct gc_reservation facts;
	struct ip_addr address;
	uint32_t bridge; /* on which he can be asked; 0: there is none */
	json_t *from;
};

/* A container's own link is proof enough. */
static void find_bridge(const struct plan *p, struct suspect *s)
{
	struct lookup_packet packet = { .dst = s->address };
	struct lookup_route way;
	struct link_info device;

	s->facts.holder = GC_UNKNOWN;
	if (lookup_route(p->nl, &packet, &way, NULL) < 0 || ip_addr_is_set(&way.gateway) ||
	    link_get_by_index(p->nl, way.ifindex, &device, NULL) < 0)
		return;
	if (strcmp(device.kind, "veth") == 0)
		s->facts.holder = GC_SOMEBODY;
	else if (strcmp(device.kind, "bridge") == 0)
		s->bridge = way.ifindex;
}

/* All that are on one bridge at once: an answer that does not come takes a second. */
static void ask_on(const struct plan *p, uint32_t bridge)
{
	auto_free struct probe *probes = xcalloc(p->suspects_len, sizeof(*probes));
	auto_free struct suspect **asked = xcalloc(p->suspects_len, sizeof(struct suspect *));
	struct err ignored;
	size_t len = 0;

	for (size_t i = 0; i < p->suspects_len; i++) {
		if (p->suspects[i].bridge != bridge)
			continue;
		asked[len] = &p->suspects[i];
		probes[len++].addr = p->suspects[i].address;
	}
	if (probe_all(p->nl, bridge, probes, len, PROBE_MS, &ignored) == 0) {
		for (size_t i = 0; i < len; i++)
			asked[i]->facts.holder = probes[i].answered ? GC_SOMEBODY : GC_NOBODY;
	}
	for (size_t i = 0; i < len; i++)
		asked[i]->bridge = 0;
}

static void judge_suspects(struct plan *p)
{
	for (size_t i = 0; i < p->suspects_len; i++)
		find_bridge(p, &p->suspects[i]);
	for (size_t i = 0; i < p->suspects_len; i++) {
		if (p->suspects[i].bridge)
			ask_on(p, p->suspects[i].bridge);
	}
	for (size_t i = 0; i < p->suspects_len; i++) {
		const char *reason;
		bool remove = gc_judge_reservation(&p->suspects[i].facts, &reason);

		add(p, "reservation", p->suspects[i].from, remove, reason);
		json_decref(p->suspects[i].from);
	}
	free(p->suspects);
}

static bool is_ours(const struct plan *p, const struct ip_addr *address)
{
	const struct ip_net *net = address->family == AF_INET ? &p->env.subnet : &p->env.subnet_v6;

	return ip_net_is_set(net) && ip_net_contains(net, address);
}

static void visit_reservation(void *arg, const struct reservation *r)
{
	struct plan *p = arg;
	auto_free char *pod = NULL;
	auto_json json_t *from = NULL;
	char text[IP_ADDR_TEXT];
	enum runtime_view view;
	struct gc_reservation facts = { .holder = GC_NOBODY };
	const char *reason;

	if (!is_ours(p, &r->address))
		return;
	view = runtime_find(p->cache_dir, r->network, r->container_id, r->interface, &pod);
	facts.has_record = has_record(p, r->container_id);
	facts.is_named = *r->container_id && *r->interface;
	facts.runtime_knows = view == RUNTIME_SILENT ? -1 : view == RUNTIME_KNOWS;
	facts.age_s = (clock_wall_ms() - r->written_ms) / 1000;
	from = json_pack("{s:o,s:o,s:o,s:[s]}", "network", json_text(r->network), "containerID",
			 json_text(r->container_id), "interface", json_text(r->interface),
			 "addresses", ip_addr_format(&r->address, text));
	if (gc_judge_reservation(&facts, &reason)) {
		GROW(p->suspects, p->suspects_len, p->suspects_cap);
		p->suspects[p->suspects_len++] = (struct suspect){ .facts = facts,
								   .address = r->address,
								   .from = json_incref(from) };
	} else if (reason) {
		add(p, "reservation", from, false, reason);
	}
}

/* -ENOENT and the like: it is not known which subnets are this host's. */
static int look_at_reservations(struct plan *p, struct err *e)
{
	auto_free char *text = NULL;
	int rc = file_read(p->settings->subnet_file, SUBNET_FILE_MAX, &text, NULL, e);

	if (rc == 0 && subnet_env_parse(text, &p->env, e) < 0)
		rc = err_wrap(e, "%s", p->settings->subnet_file);
	if (rc == 0)
		rc = netlink_open(NETLINK_ROUTE, &p->nl, e);
	if (rc < 0)
		return rc;
	rc = reservations_each(p->ipam_dir, visit_reservation, p, e);
	judge_suspects(p);
	netlink_close(p->nl);
	return rc;
}

/* ---- its removal ---- */

struct removal {
	struct event_base *base;
	struct err error;
	int rc;
};

static void on_done(void *arg, int rc, const char *output UNUSED, const struct err *e)
{
	struct removal *r = arg;

	r->rc = rc;
	if (rc < 0)
		r->error = *e;
	event_base_loopbreak(r->base);
}

/* As little as says where things are: what was made stands in the record. */
static char *configuration(const struct plan *p, const json_t *item)
{
	auto_json json_t *o =
		json_pack("{s:s,s:O,s:s,s:s,s:s,s:{s:s}}", "cniVersion", CNI_VERSION, "name",
			  json_object_get(item, "network"), "type", PLUGIN_NAME, "dataDir",
			  p->settings->cni_data_dir, "subnetFile", p->settings->subnet_file, "ipam",
			  "dataDir", p->ipam_dir);

	return json_dumps(o, JSON_COMPACT);
}

static void remove_item(const struct plan *p, json_t *item)
{
	auto_free char *path = plugin_find(p->settings->cni_plugin);
	auto_free char *id = xasprintf("CNI_CONTAINERID=%s", ctl_text(item, "containerID"));
	auto_free char *interface = xasprintf("CNI_IFNAME=%s", ctl_text(item, "interface"));
	auto_free char *cni_path =
		path ? xasprintf("CNI_PATH=%.*s", (int)(strrchr(path, '/') - path), path) : NULL;
	auto_free char *input = configuration(p, item);
	const char *argv[] = { path, NULL };
	const char *environment[] = { "CNI_COMMAND=DEL",
				      id,
				      interface,
				      cni_path,
				      "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
				      NULL };
	const struct process_task task = { .argv = argv,
					   .environment = environment,
					   .input = input,
					   .timeout_ms = DEL_TIMEOUT_MS };
	struct removal r = { .base = loop_new() };
	struct process *process;

	r.rc = path ? process_run(r.base, &task, on_done, &r, &process, &r.error)
		    : err_set(&r.error, -ENOENT, "the CNI plugin is gone");
	if (r.rc == 0)
		event_base_dispatch(r.base);
	event_base_free(r.base);
	if (r.rc < 0)
		json_object_set_new(item, "error", json_text(r.error.text));
	else
		json_object_set_new(item, "action", json_string("removed"));
}

/* Returns how many could not be removed. */
static size_t apply(const struct plan *p)
{
	size_t failed = 0;
	json_t *item;
	size_t i;

	json_array_foreach (p->items, i, item) {
		if (strcmp(ctl_text(item, "action"), "remove") != 0)
			continue;
		remove_item(p, item);
		failed += json_is_string(json_object_get(item, "error"));
	}
	return failed;
}

/* ---- the answer ---- */

static int print_table(const struct ctl *c, const json_t *items)
{
	static const struct table_column columns[] = {
		{ "ACTION", .key = "action" },
		{ "KIND", .key = "kind" },
		{ "NETWORK", .key = "network" },
		{ "CONTAINER", .shrinks = true, .key = "containerID" },
		{ "INTERFACE", .key = "interface" },
		{ "ADDRESSES", .key = "addresses" },
		{ "REASON", .shrinks = true, .key = "reason" },
		{ "ERROR", .shrinks = true, .key = "error" },
	};
	auto_table struct table *table = table_new(columns, ARRAY_LEN(columns));
	json_t *item;
	size_t i;

	json_array_foreach (items, i, item) {
		table_add_row(table);
		for (size_t n = 0; n < ARRAY_LEN(columns); n++) {
			auto_free char *list = NULL;
			const char *text = ctl_text(item, columns[n].key);

			if (!text)
				text = list = ctl_join(item, columns[n].key);
			table_set(table, n, text, COLOR_NONE);
		}
	}
	return table_print(table, c);
}

static size_t count(const json_t *items, const char *action)
{
	size_t n = 0;
	json_t *item;
	size_t i;

	json_array_foreach (items, i, item)
		n += strcmp(ctl_text(item, "action"), action) == 0;
	return n;
}

static int print(const struct plan *p, const struct err *unknown)
{
	const struct ctl *c = p->c;
	size_t todo = count(p->items, "remove");
	json_t *document;
	int status;

	if (document_is_wanted(c)) {
		document = ctl_document("GarbageList");
		json_object_set(document, "items", p->items);
		json_object_set_new(document, "applied", json_boolean(c->options.apply));
		json_object_set_new(document, "reservationsUnknown",
				    unknown->code ? json_text(unknown->text) : json_null());
		document_print(c, document);
		return CTL_OK;
	}
	status = json_array_size(p->items) || c->format == FORMAT_RAW ? print_table(c, p->items)
								      : CTL_OK;
	if (status || c->format == FORMAT_RAW || c->options.no_headers)
		return status;
	if (c->options.apply)
		fprintf(c->out, "removed %zu", count(p->items, "removed"));
	else
		fprintf(c->out, "%zu to be removed%s", todo, todo ? " (fabricctl gc --apply)" : "");
	fprintf(c->out, ", %zu in doubt and left alone\n", count(p->items, "keep"));
	if (unknown->code)
		fprintf(c->out, "reserved addresses were not looked at: %s\n", unknown->text);
	return CTL_OK;
}

static int find(struct plan *p, struct err *unknown)
{
	json_t *list = NULL;
	const json_t *failed;
	struct err e;

	if (containers_list(p->settings, &list, &e) < 0)
		return ctl_fail(p->c, e.code == -ENOENT ? CTL_NOT_FOUND : CTL_FAILED, NULL,
				"--cni-plugin FILE", "%s", e.text);
	p->attachments = json_incref(json_object_get(list, "attachments"));
	failed = json_array_get(json_object_get(list, "failed"), 0);
	if (failed) {
		int status = ctl_fail(p->c, CTL_FAILED, json_string_value(failed), "sudo",
				      "not all records can be read, so nothing is judged");

		json_decref(list);
		return status;
	}
	json_decref(list);
	look_at_attachments(p);
	unknown->code = look_at_reservations(p, unknown);
	return CTL_OK;
}

int gc_run(struct ctl *c)
{
	const struct ctl_options *o = &c->options;
	auto_settings struct settings settings = { 0 };
	struct plan p = { .c = c, .settings = &settings, .items = json_array() };
	struct err unknown = { 0 };
	size_t failed = 0;
	size_t todo = 0;
	int status = settings_read(c, false, &settings);

	p.ipam_dir = o->cni_ipam_dir ? o->cni_ipam_dir : RESERVATIONS_DIRECTORY;
	p.cache_dir = o->cni_cache_dir ? o->cni_cache_dir : RUNTIME_DIRECTORY;
	if (status == CTL_OK && o->plan && o->apply)
		status = ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
				  "either --plan or --apply");
	if (status == CTL_OK)
		status = find(&p, &unknown);
	if (status == CTL_OK)
		todo = count(p.items, "remove");
	if (status == CTL_OK && o->apply && todo) {
		auto_free char *what = xasprintf("remove what %zu containers left behind", todo);

		if (!document_is_wanted(c) && !o->yes)
			status = print_table(c, p.items);
		if (status == CTL_OK)
			status = ctl_confirm(c, what);
		if (status == CTL_OK)
			failed = apply(&p);
	}
	if (status == CTL_OK)
		status = print(&p, &unknown);
	if (status == CTL_OK && failed)
		status = ctl_fail(c, CTL_FAILED, NULL, "fabricctl gc",
				  "%zu of %zu could not be removed", failed, todo);
	else if (status == CTL_OK && !o->apply && todo)
		status = CTL_FOUND;
	json_decref(p.attachments);
	json_decref(p.items);
	return status;
}
