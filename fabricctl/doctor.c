/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl doctor: looks at this host, says what is in the way, and does what is safe. */
#include "fabricctl/doctor.h"

#include <errno.h>
#include <event2/event.h>

#include "fabric/plugin_find.h"
#include "fabricctl/client.h"
#include "fabricctl/command.h"
#include "fabricctl/containers.h"
#include "fabricctl/document.h"
#include "fabricctl/lease_source.h"
#include "fabricctl/loop.h"
#include "kernel/sysctl.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/process.h"
#include "subnet/last_known.h"

#define ANSWER_TIMEOUT_MS 5000
#define SYNC_TIMEOUT_MS   60000
#define KEEP_TIMEOUT_MS   60000
#define SUBNET_FILE_MAX   65536

/* ---- what can be known ---- */

/* As a SubnetList, from what the daemon wrote down when it last heard the store. NULL: nothing. */
static json_t *last_known_leases(const struct settings *s)
{
	auto_free char *path = xasprintf("%s/last-known.json", s->state_dir);
	auto_free char *text = NULL;
	struct last_known known = { 0 };
	json_t *document;
	json_t *items;
	size_t size;

	if (file_read(path, LAST_KNOWN_MAX_SIZE, &text, &size, NULL) < 0 ||
	    last_known_parse(text, size, &known, NULL) < 0)
		return NULL;
	document = ctl_document("SubnetList");
	items = json_array();
	if (known.own) {
		const char *id = known.own->node_id ? known.own->node_id : "";

		json_array_append_new(items, lease_source_item(known.own, id));
		for (size_t i = 0; i < known.peers_len; i++)
			json_array_append_new(items, lease_source_item(known.peers[i], id));
	}
	last_known_fini(&known);
	json_object_set_new(document, "items", items);
	return document;
}

static int gather_leases(struct doctor *d)
{
	struct err ignored;

	if (d->c->options.store)
		return lease_source_get(d->c, NULL, &d->leases);
	if (!d->status || client_get(d->settings->socket, "/v1/subnets", "SubnetList",
				     ANSWER_TIMEOUT_MS, &d->leases, &ignored) < 0)
		d->leases = last_known_leases(d->settings);
	return CTL_OK;
}

/* The daemon's own, if it says which. */
static void gather_subnet_file(struct doctor *d)
{
	const char *named = ctl_text(d->status, "subnetFile");
	const char *path = named && *named ? named : d->settings->subnet_file;
	auto_free char *text = NULL;
	struct err *e = &d->env_error;

	d->subnet_file = path;
	if (file_read(path, SUBNET_FILE_MAX, &text, NULL, e) < 0)
		return;
	if (subnet_env_parse(text, &d->env, e) < 0)
		err_wrap(e, "%s", path);
	else
		e->code = 0;
}

static void gather_links(struct doctor *d)
{
	struct netlink *nl;

	if (netlink_open(NETLINK_ROUTE, &nl, NULL) < 0)
		return;
	if (link_list(nl, &d->links, &d->links_len, NULL) < 0)
		d->links_len = 0;
	netlink_close(nl);
}

/* All of it, and all checks. Returns an exit status if the store was to be asked and cannot be. */
static int examine(struct doctor *d)
{
	int status;

	d->checks = json_array();
	if (client_get(d->settings->socket, "/v1/status", "Status", ANSWER_TIMEOUT_MS, &d->status,
		       &d->daemon_error) < 0)
		d->status = NULL;
	status = gather_leases(d);
	if (status)
		return status;
	if (containers_list(d->settings, &d->containers, &d->containers_error) < 0)
		d->containers = NULL;
	gather_subnet_file(d);
	gather_links(d);
	doctor_check(d);
	return CTL_OK;
}

static void forget(struct doctor *d)
{
	json_decref(d->status);
	json_decref(d->leases);
	json_decref(d->containers);
	json_decref(d->checks);
	free(d->links);
}

/* ---- the answer ---- */

static void print_checks(const struct ctl *c, const struct doctor *d)
{
	json_t *item;
	size_t i;

	json_array_foreach (d->checks, i, item) {
		auto_free char *check = ctl_safe(c, item, "check");
		auto_free char *state = ctl_safe(c, item, "state");
		auto_free char *text = ctl_safe(c, item, "text");
		auto_free char *remedy = ctl_safe(c, item, "remedy");
		enum ctl_color color = strcmp(state, "ok") == 0      ? COLOR_GOOD
				       : strcmp(state, "error") == 0 ? COLOR_BAD
								     : COLOR_WARN;

		fprintf(c->out, "%s%-7s%s  %-16s  %s\n", ctl_color_on(c, color), state,
			ctl_color_off(c, color), check, text);
		if (json_is_string(json_object_get(item, "remedy")))
			fprintf(c->out, "%9stry: %s\n", "", remedy);
	}
}

static void print_sum(const struct ctl *c, const struct doctor *d, const char *before)
{
	fprintf(c->out, "%s%zu error%s, %zu warning%s in %zu checks\n", before, d->errors,
		d->errors == 1 ? "" : "s", d->warnings, d->warnings == 1 ? "" : "s",
		json_array_size(d->checks));
}

static void print_json(const struct ctl *c, const struct doctor *d, json_t *done)
{
	json_t *document = ctl_document("Doctor");

	json_object_set_new(document, "errors", json_integer((json_int_t)d->errors));
	json_object_set_new(document, "warnings", json_integer((json_int_t)d->warnings));
	json_object_set(document, "items", d->checks);
	json_object_set(document, "done", done ? done : json_null());
	document_print(c, document);
}

static int verdict(const struct doctor *d)
{
	return d->errors || d->warnings ? CTL_FOUND : CTL_OK;
}

/* ---- what is safe ---- */

struct keeping {
	struct event_base *base;
	struct err error;
	int rc;
};

static void on_kept(void *arg, int rc, const char *output UNUSED, const struct err *e)
{
	struct keeping *k = arg;

	k->rc = rc;
	if (rc < 0)
		k->error = *e;
	event_base_loopbreak(k->base);
}

static int keep(const struct settings *s, struct err *e)
{
	auto_free char *path = plugin_find(s->cni_plugin);
	const char *argv[] = { path, "keep", s->cni_data_dir, NULL };
	struct keeping k = { .base = loop_new() };
	struct process *process;

	k.rc = path ? process_start(k.base, argv, NULL, KEEP_TIMEOUT_MS, on_kept, &k, &process,
				    &k.error)
		    : err_set(&k.error, -ENOENT, "there is no plugin");
	if (k.rc == 0)
		event_base_dispatch(k.base);
	event_base_free(k.base);
	if (k.rc < 0)
		*e = k.error;
	return k.rc;
}

static int apply(const struct doctor_fix *fix, const struct settings *s, struct err *e)
{
	auto_json json_t *answer = NULL;

	switch (fix->kind) {
	case DOCTOR_SYSCTL:
		return sysctl_set(fix->value, e, "%s", fix->path);
	case DOCTOR_KEEP:
		return keep(s, e);
	case DOCTOR_SYNC:
		break;
	}
	return client_post(s->socket, "/v1/sync", "Sync", SYNC_TIMEOUT_MS, &answer, e);
}

/* Shows what would be done, asks, and does it. */
static int fix(const struct ctl *c, const struct doctor *d, json_t *done)
{
	FILE *out = document_is_wanted(c) ? c->err : c->out;
	int status;

	if (d->fixes_len == 0) {
		fputs("\nthere is nothing that is safe to do\n", out);
		return CTL_OK;
	}
	fprintf(out, "\nwhat is safe to do%s\n", c->options.dry_run ? ", and is not done now" : "");
	for (size_t i = 0; i < d->fixes_len; i++) {
		auto_free char *text = doctor_fix_text(&d->fixes[i], d->settings);

		fprintf(out, "  %s\n", text);
	}
	if (c->options.dry_run)
		return CTL_OK;
	status = ctl_confirm(c, "do this");
	for (size_t i = 0; status == CTL_OK && i < d->fixes_len; i++) {
		auto_free char *text = doctor_fix_text(&d->fixes[i], d->settings);
		struct err e;

		if (apply(&d->fixes[i], d->settings, &e) < 0)
			status = ctl_fail(
				c, e.code == -EACCES || e.code == -EPERM ? CTL_DENIED : CTL_FAILED,
				e.text, NULL, "%s: this could not be done", text);
		else
			json_array_append_new(done, json_string(text));
	}
	return status;
}

static int fix_and_look_again(const struct ctl *c, const struct doctor *before)
{
	auto_json json_t *done = json_array();
	struct doctor after = { .c = c,
				.settings = before->settings,
				.store_error = before->store_error };
	int status = fix(c, before, done);

	if (status == CTL_OK && json_array_size(done) > 0)
		status = examine(&after);
	if (status == CTL_OK) {
		const struct doctor *now = after.checks ? &after : before;

		if (document_is_wanted(c))
			print_json(c, now, done);
		else if (after.checks)
			print_sum(c, now, "done; now ");
		status = verdict(now);
	}
	forget(&after);
	return status;
}

int doctor_run(struct ctl *c)
{
	auto_settings struct settings settings = { 0 };
	struct err store_error = { 0 };
	struct doctor d = { .c = c, .settings = &settings, .store_error = &store_error };
	int status;

	if (c->options.dry_run && !c->options.fix)
		return ctl_fail(c, CTL_USAGE, NULL, "fabricctl doctor --fix --dry-run",
				"--dry-run is of no use without --fix");
	status = settings_read(c, false, &settings);
	if (status == CTL_OK && store_options_check(&settings.store, &store_error) == 0)
		store_error.code = 0;
	if (status == CTL_OK)
		status = examine(&d);
	if (status == CTL_OK && !document_is_wanted(c)) {
		print_sum(c, &d, "");
		print_checks(c, &d);
	}
	if (status == CTL_OK && c->options.fix) {
		status = fix_and_look_again(c, &d);
	} else if (status == CTL_OK) {
		if (document_is_wanted(c))
			print_json(c, &d, NULL);
		status = verdict(&d);
	}
	forget(&d);
	return status;
}
