/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl config set: another network configuration, if nobody else was quicker. */
#include "fabricctl/config.h"

#include <string.h>

#include "backends/backend.h"
#include "fabricctl/document.h"
#include "fabricctl/lease.h"
#include "fabricctl/session.h"
#include "fabricctl/text.h"
#include "lib/json.h"

/* ---- what is different ---- */

static void add_change(json_t *list, const char *key, json_t *before, json_t *after)
{
	json_t *change = json_object();

	json_object_set_new(change, "key", json_string(key));
	json_object_set_new(change, "before", before ? json_incref(before) : json_null());
	json_object_set_new(change, "after", after ? json_incref(after) : json_null());
	json_array_append_new(list, change);
}

static void compare(json_t *list, const char *path, json_t *before, json_t *after)
{
	const char *key;
	json_t *value;

	json_object_foreach (before, key, value) {
		auto_free char *name = xasprintf("%s%s%s", path, *path ? "." : "", key);
		json_t *other = json_object_get(after, key);

		if (json_is_object(value) && json_is_object(other))
			compare(list, name, value, other);
		else if (!other || !json_equal(value, other))
			add_change(list, name, value, other);
	}
	json_object_foreach (after, key, value) {
		auto_free char *name = xasprintf("%s%s%s", path, *path ? "." : "", key);

		if (!json_object_get(before, key))
			add_change(list, name, NULL, value);
	}
}

json_t *config_changes(const json_t *before, const json_t *after)
{
	json_t *list = json_array();

	compare(list, "", (json_t *)before, (json_t *)after);
	return list;
}

/* ---- set ---- */

struct change {
	struct session session;
	struct network_config config;
	char *text; /* the new document */
	size_t size;
	struct store_reply old;
	json_t *changes;
	char *type_change; /* what another type of backend means for those that run; NULL: it is the same */
	size_t leases;
	size_t leases_outside; /* of subnets that the new configuration does not lease */
};

static void change_fini(struct change *x)
{
	store_reply_fini(&x->old);
	json_decref(x->changes);
	free(x->type_change);
	network_config_fini(&x->config);
	session_close(&x->session);
	free(x->text);
}

static void print_side(const struct ctl *c, char sign, const json_t *change, const char *side)
{
	json_t *value = json_object_get(change, side);
	auto_free char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	auto_free char *line = xasprintf("%s: %s", ctl_text(change, "key"), text);
	auto_free char *safe = text_escape(line, c->utf8);
	enum ctl_color color = sign == '-' ? COLOR_BAD : COLOR_GOOD;

	if (!json_is_null(value))
		fprintf(c->out, "%s%c %s%s\n", ctl_color_on(c, color), sign, safe,
			ctl_color_off(c, color));
}

static void print_changes(const struct ctl *c, const struct change *x)
{
	json_t *change;
	size_t i;

	json_array_foreach (x->changes, i, change) {
		print_side(c, '-', change, "before");
		print_side(c, '+', change, "after");
	}
	if (x->type_change)
		fprintf(c->out, "%s%s%s\n", ctl_color_on(c, COLOR_WARN), x->type_change,
			ctl_color_off(c, COLOR_WARN));
	if (x->leases_outside)
		fprintf(c->out,
			"%s%zu of %zu leases do not fit it: their hosts get other subnets%s\n",
			ctl_color_on(c, COLOR_WARN), x->leases_outside, x->leases,
			ctl_color_off(c, COLOR_WARN));
}

static int print_result(const struct ctl *c, const struct change *x, bool changed,
			uint64_t revision)
{
	auto_free char *summary = config_describe(&x->config);
	bool differs = json_array_size(x->changes) > 0;

	if (document_is_wanted(c)) {
		json_t *document = ctl_document("ConfigChange");

		json_object_set_new(document, "changed", json_boolean(changed));
		json_object_set_new(document, "dryRun", json_boolean(c->options.dry_run));
		json_object_set_new(document, "revision",
				    json_sprintf("%llu", (unsigned long long)revision));
		json_object_set_new(document, "summary", json_string(summary));
		json_object_set(document, "changes", x->changes);
		json_object_set_new(document, "typeChange",
				    x->type_change ? json_string(x->type_change) : json_null());
		json_object_set_new(document, "leases", json_integer((json_int_t)x->leases));
		json_object_set_new(document, "leasesOutside",
				    json_integer((json_int_t)x->leases_outside));
		document_print(c, document);
	} else if (changed) {
		fprintf(c->out, "config set: %s (revision %llu)\n", summary,
			(unsigned long long)revision);
		if (x->old.config)
			fputs("daemons that run use it when they start again\n", c->out);
	} else if (differs) {
		fprintf(c->out, "would set: %s\n", summary);
	} else {
		fprintf(c->out, "nothing to do: the store has this configuration already: %s\n",
			summary);
	}
	return CTL_OK;
}

static int read_leases(const struct ctl *c, struct change *x)
{
	struct store_reply list = { 0 };
	int status = CTL_OK;
	struct err e;

	session_ask(&x->session, &(struct store_request){ .op = STORE_LIST }, &list);
	if (list.status != STORE_OK)
		status = session_fail(c, &x->session, &list);
	for (size_t i = 0; i < list.leases_len; i++)
		x->leases_outside +=
			lease_check_subnet(&x->config, &list.leases[i]->subnet, &e) < 0;
	x->leases = list.leases_len;
	store_reply_fini(&list);
	return status;
}

/* Hosts whose backends have different types do not reach each other. */
static void judge_type(struct change *x)
{
	auto_network_config struct network_config was = { 0 };
	const char *before;
	const char *after = backend_type_name(&x->config);

	if (!x->leases || !x->old.config ||
	    network_config_parse(x->old.config, x->old.config_size, &was, NULL) < 0)
		return;
	before = backend_type_name(&was);
	if (strcmp(before, after) == 0)
		return;
	x->type_change = xasprintf(
		"the backend becomes %s, was %s: a host changes %s, and hosts that have changed do "
		"not "
		"reach containers on those that have not",
		after, before,
		x->config.change_with_majority
			? "when flanneld is restarted and at least half of the others have changed "
			  "(BackendChange), or was made to by fabricctl lease release"
			: "as soon as flanneld is restarted, by a reboot too");
}

/* The document in the store may be none at all. */
static int compare_with_store(const struct ctl *c, struct change *x)
{
	auto_json json_t *before = NULL;
	auto_json json_t *after = NULL;
	struct err e;

	session_ask(&x->session, &(struct store_request){ .op = STORE_CONFIG }, &x->old);
	if (x->old.status != STORE_OK && x->old.status != STORE_ABSENT)
		return session_fail(c, &x->session, &x->old);
	if (x->old.config &&
	    json_parse_object(x->old.config, x->old.config_size, &before, &e) < 0) {
		auto_free char *printable = xstrdup(x->old.config);

		util_make_printable(printable);
		before = json_pack("{s:s}", "what cannot be read", printable);
	}
	if (json_parse_object(x->text, x->size, &after, &e) < 0)
		return ctl_fail(c, CTL_FOUND, NULL, NULL, "%s", e.text);
	x->changes = config_changes(before, after);
	return CTL_OK;
}

static int write_config(const struct ctl *c, struct change *x)
{
	struct store_request request = { .op = STORE_CONFIG_SET,
					 .config = x->text,
					 .config_revision = x->old.config_revision };
	struct store_reply reply = { 0 };
	int status;

	session_ask(&x->session, &request, &reply);
	if (reply.status == STORE_OK)
		status = print_result(c, x, true, reply.config_revision);
	else if (reply.status == STORE_CONFLICT)
		status = ctl_fail(c, CTL_CONFLICT, "nothing was written",
				  "the same again, to see what is different now",
				  "somebody else changed the network configuration meanwhile");
	else
		status = session_fail(c, &x->session, &reply);
	store_reply_fini(&reply);
	return status;
}

static int change_config(struct ctl *c, struct change *x)
{
	int status = session_open(c, &x->session);

	if (status == CTL_OK)
		status = session_need_trait(c, &x->session, STORE_WRITES_CONFIG, true,
					    "does not let its configuration be written");
	if (status == CTL_OK)
		status = compare_with_store(c, x);
	if (status == CTL_OK)
		status = read_leases(c, x);
	if (status)
		return status;
	judge_type(x);
	if (json_array_size(x->changes) == 0 && x->old.config)
		return print_result(c, x, false, x->old.config_revision);
	if (!document_is_wanted(c))
		print_changes(c, x);
	if (c->options.dry_run)
		return print_result(c, x, false, x->old.config_revision);
	/* The first one breaks nothing. */
	if (x->old.config) {
		auto_free char *what = xasprintf("replace the network configuration of %zu host%s",
						 x->leases, x->leases == 1 ? "" : "s");

		status = ctl_confirm(c, what);
	}
	return status ? status : write_config(c, x);
}

int config_set(struct ctl *c, const char *name)
{
	struct change x = { 0 };
	struct err e;
	int status = config_read(c, name, &x.text, &x.size);

	if (status == CTL_OK && config_validate(x.text, x.size, &x.config, &e) < 0) {
		status = config_fail(c, name, &e);
		x.config = (struct network_config){ 0 };
	}
	if (status == CTL_OK) {
		auto_json json_t *warnings = config_warnings(x.text, x.size, &x.config);

		config_warn(c, warnings);
		status = change_config(c, &x);
	}
	change_fini(&x);
	return status;
}
