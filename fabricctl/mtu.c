/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl mtu: how large packets to each peer may be, and whether what containers send arrives. */
#include "fabricctl/mtu.h"

#include <inttypes.h>
#include <string.h>

#include "fabricctl/client.h"
#include "fabricctl/command.h"
#include "fabricctl/document.h"
#include "fabricctl/lease_columns.h"
#include "fabricctl/settings.h"
#include "fabricctl/table.h"
#include "lib/clock.h"
#include "lib/json.h"

#define ANSWER_TIMEOUT_MS 10000

enum column {
	COLUMN_SUBNET,
	COLUMN_NODE,
	COLUMN_PUBLIC_IP,
	COLUMN_INTERFACE,
	COLUMN_DEVICE,
	COLUMN_CONTAINERS,
	COLUMN_UNDERLAY,
	COLUMN_TUNNEL,
	COLUMN_SEEN,
	COLUMN_VERDICT,
	COLUMNS
};

static const struct table_column columns[COLUMNS] = {
	{ .name = "SUBNET", .key = "subnet" },
	{ .name = "NODE", .key = "node", .shrinks = true },
	{ .name = "PUBLIC IP", .key = "publicIP" },
	{ .name = "INTERFACE", .key = "interface" },
	{ .name = "DEVICE", .key = "device" },
	{ .name = "CONTAINERS", .key = "containersMTU", .right = true },
	{ .name = "UNDERLAY", .key = "underlay" },
	{ .name = "TUNNEL", .key = "tunnel" },
	{ .name = "SEEN", .key = "seen", .right = true },
	{ .name = "VERDICT", .key = "verdict" },
};

/* "eth0 1500"; NULL: there is none. */
static char *describe_device(const json_t *item, const char *name, const char *mtu)
{
	const char *text = ctl_text(item, name);
	int64_t bytes = ctl_int(item, mtu, 0);

	if (!text)
		return NULL;
	return bytes ? xasprintf("%s %" PRId64, text, bytes) : xstrdup(text);
}

static char *describe_bytes(const json_t *object, const char *key)
{
	int64_t bytes = ctl_int(object, key, 0);

	return bytes ? xasprintf("%" PRId64, bytes) : NULL;
}

/* The largest that was seen to pass: "1500", "1400 of 1500", "0 of 1500"; NULL: nothing is known. */
static char *describe_path(const struct ctl *c, const json_t *path)
{
	const char *verdict = ctl_text(path, "pathMTU");
	int64_t passed = ctl_int(path, "passedMTU", 0);
	int64_t full = ctl_int(path, "fullMTU", 0);

	if (!verdict || strcmp(verdict, "unknown") == 0)
		return NULL;
	return passed == full || c->format == FORMAT_RAW
		       ? xasprintf("%" PRId64, passed)
		       : xasprintf("%" PRId64 " of %" PRId64, passed, full);
}

/* How long ago something passed on the way that packets take; raw: in seconds. */
static char *describe_seen(const struct ctl *c, const json_t *item)
{
	const json_t *tunnel = json_object_get(item, "tunnel");
	const json_t *path = json_is_object(tunnel) ? tunnel : json_object_get(item, "underlay");
	int64_t ago_s = ctl_int(path, "passedSecondsAgo", -1);
	char text[CLOCK_TEXT];

	if (ago_s < 0)
		return NULL;
	return c->format == FORMAT_RAW ? xasprintf("%" PRId64, ago_s)
				       : xstrdup(clock_format_duration(ago_s, text));
}

static enum ctl_color verdict_color(const char *verdict)
{
	if (!verdict || strcmp(verdict, "unknown") == 0)
		return COLOR_NONE;
	return strcmp(verdict, "ok") == 0        ? COLOR_GOOD
	       : strcmp(verdict, "smaller") == 0 ? COLOR_WARN
						 : COLOR_BAD;
}

static char *cell_text(const struct ctl *c, const json_t *item, enum column column)
{
	const char *text = NULL;

	switch (column) {
	case COLUMN_SUBNET:
		return lease_name(item);
	case COLUMN_NODE:
		text = ctl_text(item, "node");
		break;
	case COLUMN_PUBLIC_IP:
		text = ctl_text(item, "publicIP");
		break;
	case COLUMN_INTERFACE:
		return describe_device(item, "interface", "interfaceMTU");
	case COLUMN_DEVICE:
		return describe_device(item, "device", "deviceMTU");
	case COLUMN_CONTAINERS:
		return describe_bytes(item, "containersMTU");
	case COLUMN_UNDERLAY:
		return describe_path(c, json_object_get(item, "underlay"));
	case COLUMN_TUNNEL:
		return describe_path(c, json_object_get(item, "tunnel"));
	case COLUMN_SEEN:
		return describe_seen(c, item);
	default:
		text = ctl_text(item, "verdict");
		break;
	}
	return text ? xstrdup(text) : NULL;
}

static int print_table(const struct ctl *c, const json_t *items)
{
	auto_table struct table *table = table_new(columns, COLUMNS);
	json_t *item;
	size_t i;

	json_array_foreach (items, i, item) {
		table_add_row(table);
		for (enum column column = 0; column < COLUMNS; column++) {
			auto_free char *text = cell_text(c, item, column);

			table_set(table, column, text,
				  column == COLUMN_VERDICT ? verdict_color(text) : COLOR_NONE);
		}
	}
	return table_print(table, c);
}

static bool has_black_hole(const json_t *items)
{
	json_t *item;
	size_t i;

	json_array_foreach (items, i, item) {
		const char *verdict = ctl_text(item, "verdict");

		if (verdict && strcmp(verdict, "black-hole") == 0)
			return true;
	}
	return false;
}

int mtu_print(const struct ctl *c, const json_t *document)
{
	const json_t *items = json_object_get(document, "items");
	int status = CTL_OK;
	json_t *item;
	size_t i;

	switch (c->format) {
	case FORMAT_JSON:
	case FORMAT_YAML:
		document_print(c, json_incref((json_t *)document));
		break;
	case FORMAT_JSONL:
		json_array_foreach (items, i, item)
			document_print_item(c, json_incref(item));
		break;
	default:
		status = print_table(c, items);
		break;
	}
	return status ? status : has_black_hole(items) ? CTL_FOUND : CTL_OK;
}

int mtu_run(struct ctl *c)
{
	auto_settings struct settings settings = { 0 };
	auto_json json_t *document = NULL;
	const char *reason;
	struct err e;
	int status = settings_read(c, false, &settings);

	if (status)
		return status;
	if (client_get(settings.socket, "/v1/mtu", "PathMTUList", ANSWER_TIMEOUT_MS, &document,
		       &e) < 0)
		return client_fail(c, settings.socket, &e, NULL);
	reason = ctl_text(document, "reason");
	if (!json_is_true(json_object_get(document, "on")))
		return ctl_fail(c, CTL_FAILED,
				reason && *reason ? reason : "its probe-interval is 0",
				"fabricctl status", "the daemon does not ask peers what passes");
	return mtu_print(c, document);
}
