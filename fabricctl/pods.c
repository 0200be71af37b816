/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fabricctl pods: what is attached on this host. By the CNI plugin's records, whether the interface
 * is there, and whether the runtime still knows of it.
 */
#include "fabricctl/pods.h"

#include <errno.h>
#include <string.h>

#include "fabricctl/command.h"
#include "fabricctl/containers.h"
#include "fabricctl/document.h"
#include "fabricctl/runtime.h"
#include "fabricctl/table.h"
#include "lib/clock.h"
#include "lib/json.h"

static const struct field {
	const char *key;
	const char *heading;
} fields[] = {
	{ "pod", "POD" },       { "addresses", "ADDRESSES" }, { "interface", "INTERFACE" },
	{ "device", "DEVICE" }, { "network", "NETWORK" },     { "containerID", "CONTAINER" },
	{ "since", "SINCE" },   { "state", "STATE" },         { "reason", "REASON" },
};

static const char FORGOTTEN[] = "the runtime does not know of it: its DEL was lost; the runtime's "
				"garbage collection, or DEL by hand, frees it";
static const char GONE[] = "its interface is gone: the container ended without a DEL, or somebody "
			   "deleted it";
static const char UNFINISHED[] = "its ADD has not come to its end";

bool pods_judge(json_t *item, const char *directory)
{
	const char *error = ctl_text(item, "error");
	const char *state = "ok";
	const char *reason = "";
	auto_free char *pod = NULL;
	enum runtime_view view = runtime_view(directory, item, &pod);

	if (error) {
		state = "damaged";
		reason = error;
	} else if (!json_is_true(json_object_get(item, "complete"))) {
		state = "unfinished";
		reason = UNFINISHED;
	} else if (json_is_false(json_object_get(item, "deviceExists"))) {
		state = "gone";
		reason = GONE;
	} else if (view == RUNTIME_FORGOT) {
		state = "forgotten";
		reason = FORGOTTEN;
	}
	json_object_set_new(item, "pod", pod ? json_text(pod) : json_null());
	json_object_set_new(item, "runtime",
			    view == RUNTIME_SILENT ? json_null()
						   : json_boolean(view == RUNTIME_KNOWS));
	json_object_set_new(item, "state", json_string(state));
	json_object_set_new(item, "reason", json_text(reason));
	return strcmp(state, "ok") == 0;
}

/* What a cell shows. Caller frees; NULL: nothing. */
static char *cell_text(const struct ctl *c, const json_t *item, const char *key)
{
	const char *text = ctl_text(item, key);
	char age[CLOCK_TEXT];
	int64_t since_ms;

	if (strcmp(key, "addresses") == 0)
		return ctl_join(item, key);
	if (text && strcmp(key, "since") == 0 && c->format != FORMAT_RAW &&
	    clock_parse_utc(text, &since_ms) == 0)
		text = clock_format_duration((clock_wall_ms() - since_ms) / 1000, age);
	return text ? xstrdup(text) : NULL;
}

static int print_table(const struct ctl *c, const json_t *items)
{
	struct table_column columns[ARRAY_LEN(fields)];
	auto_table struct table *table = NULL;
	json_t *item;
	size_t i;

	for (size_t n = 0; n < ARRAY_LEN(fields); n++)
		columns[n] = (struct table_column){
			.name = fields[n].heading,
			.key = fields[n].key,
			.shrinks = strcmp(fields[n].key, "containerID") == 0 ||
				   strcmp(fields[n].key, "reason") == 0,
		};
	table = table_new(columns, ARRAY_LEN(fields));
	json_array_foreach (items, i, item) {
		table_add_row(table);
		for (size_t n = 0; n < ARRAY_LEN(fields); n++) {
			auto_free char *text = cell_text(c, item, fields[n].key);
			bool is_state = strcmp(fields[n].key, "state") == 0;

			table_set(table, n, text,
				  !is_state                         ? COLOR_NONE
				  : text && strcmp(text, "ok") == 0 ? COLOR_GOOD
								    : COLOR_BAD);
		}
	}
	return table_print(table, c);
}

static int print(const struct ctl *c, json_t *items)
{
	json_t *document;
	json_t *item;
	size_t i;

	switch (c->format) {
	case FORMAT_JSON:
	case FORMAT_YAML:
		document = ctl_document("PodList");
		json_object_set(document, "items", items);
		document_print(c, document);
		return CTL_OK;
	case FORMAT_JSONL:
		json_array_foreach (items, i, item)
			document_print(c, json_incref(item));
		return CTL_OK;
	default:
		return print_table(c, items);
	}
}

int pods_run(struct ctl *c)
{
	const char *directory =
		c->options.cni_cache_dir ? c->options.cni_cache_dir : RUNTIME_DIRECTORY;
	auto_settings struct settings settings = { 0 };
	auto_json json_t *list = NULL;
	const json_t *failed;
	json_t *items;
	bool all = true;
	json_t *item;
	struct err e;
	size_t i;
	int status = settings_read(c, false, &settings);

	if (status)
		return status;
	if (containers_list(&settings, &list, &e) < 0)
		return ctl_fail(c, e.code == -ENOENT ? CTL_NOT_FOUND : CTL_FAILED, NULL,
				"--cni-plugin FILE", "%s", e.text);
	items = json_object_get(list, "attachments");
	json_array_foreach (items, i, item)
		all &= pods_judge(item, directory);
	status = print(c, items);
	if (status)
		return status;
	failed = json_array_get(json_object_get(list, "failed"), 0);
	if (failed)
		return ctl_fail(c, CTL_FAILED, json_string_value(failed), "sudo",
				"not all records can be read");
	return all ? CTL_OK : CTL_FOUND;
}
