/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl peers: what the kernel of this host has for every other host. */
#include "fabricctl/peers.h"

#include <inttypes.h>
#include <string.h>

#include "fabricctl/client.h"
#include "fabricctl/command.h"
#include "fabricctl/document.h"
#include "fabricctl/dot.h"
#include "fabricctl/lease_columns.h"
#include "fabricctl/settings.h"
#include "fabricctl/table.h"
#include "fabricctl/text.h"
#include "lib/buffer.h"
#include "lib/clock.h"
#include "lib/json.h"

#define ANSWER_TIMEOUT_MS 10000

enum column {
	COLUMN_SUBNET,
	COLUMN_NODE,
	COLUMN_PUBLIC_IP,
	COLUMN_ROUTE,
	COLUMN_NEIGHBOUR,
	COLUMN_FDB,
	COLUMN_ROUTE_V6,
	COLUMN_NEIGHBOUR_V6,
	COLUMN_FDB_V6,
	COLUMN_KERNEL,
	COLUMN_REASON,
	COLUMN_OBJECTS,
	COLUMN_HANDSHAKE,
	COLUMN_RECEIVED,
	COLUMN_SENT,
	COLUMN_REACH,
	COLUMN_RTT,
	COLUMN_LOSS,
	COLUMN_PATH_MTU,
	COLUMNS
};

/* Heading, and name for --columns, which is that of the member where there is one. */
static const struct name {
	const char *heading;
	const char *key;
} names[COLUMNS] = {
	{ "SUBNET", "subnet" },
	{ "NODE", "node" },
	{ "PUBLIC IP", "publicIP" },
	{ "ROUTE", "route" },
	{ "NEIGHBOUR", "neighbour" },
	{ "FDB", "fdb" },
	{ "ROUTE V6", "routeV6" },
	{ "NEIGH V6", "neighbourV6" },
	{ "FDB V6", "fdbV6" },
	{ "KERNEL", "kernel" },
	{ "REASON", "reason" },
	{ "OBJECTS", "objects" },
	{ "HANDSHAKE", "handshakeSecondsAgo" },
	{ "RECEIVED", "receivedBytes" },
	{ "SENT", "sentBytes" },
	{ "REACH", "reach" },
	{ "RTT", "rttSeconds" },
	{ "LOSS", "lossPercent" },
	{ "PATH MTU", "pathMTU" },
};

static enum ctl_color state_color(const char *state)
{
	if (!state)
		return COLOR_NONE;
	return strcmp(state, "ok") == 0       ? COLOR_GOOD
	       : strcmp(state, "failed") == 0 ? COLOR_BAD
					      : COLOR_WARN;
}

/* In which packets go there: something stands in one of these columns. */
static bool has_family(const json_t *items, enum column first, enum column last)
{
	json_t *item;
	size_t i;

	json_array_foreach (items, i, item) {
		for (enum column column = first; column <= last; column++) {
			if (ctl_text(item, names[column].key))
				return true;
		}
	}
	return false;
}

static char *describe_objects(const json_t *item)
{
	char *text = xstrdup("");
	json_t *object;
	size_t i;

	json_array_foreach (json_object_get(item, "objects"), i, object) {
		auto_free char *before = text;
		const char *name = ctl_text(object, "object");

		text = xasprintf("%s%s%s", before, *before ? "; " : "", name ? name : "?");
	}
	return text;
}

static char *describe_address(const json_t *item)
{
	const char *v4 = ctl_text(item, "publicIP");
	const char *v6 = ctl_text(item, "publicIPv6");

	return xasprintf("%s%s%s", v4 ? v4 : "", v4 && v6 ? "," : "", v6 ? v6 : "");
}

/* Whether a device counts by peers, so that there is something to show of it. */
static bool has_traffic(const json_t *items)
{
	json_t *item;
	size_t i;

	json_array_foreach (items, i, item) {
		if (json_is_integer(json_object_get(item, "receivedBytes")))
			return true;
	}
	return false;
}

/* Whether peers are asked if they answer. */
static bool has_reach(const json_t *items)
{
	json_t *item;
	size_t i;

	json_array_foreach (items, i, item) {
		if (ctl_text(item, "reach"))
			return true;
	}
	return false;
}

/* "4m12s", "never"; NULL: not known. */
static char *describe_handshake(const json_t *item)
{
	const json_t *ago = json_object_get(item, "handshakeSecondsAgo");
	char text[CLOCK_TEXT];

	if (json_is_integer(ago))
		return xstrdup(clock_format_duration(json_integer_value(ago), text));
	return json_is_integer(json_object_get(item, "receivedBytes")) ? xstrdup("never") : NULL;
}

static char *describe_bytes(const json_t *item, const char *key)
{
	const json_t *bytes = json_object_get(item, key);

	return json_is_integer(bytes)
		       ? xasprintf("%" JSON_INTEGER_FORMAT, json_integer_value(bytes))
		       : NULL;
}

static char *describe_loss(const json_t *item)
{
	int64_t percent = ctl_int(item, "lossPercent", -1);

	return percent < 0 ? NULL : xasprintf("%" PRId64 " %%", percent);
}

static void set_cell(struct table *t, size_t cell, enum column column, const json_t *item)
{
	auto_free char *text = NULL;
	const char *state;

	switch (column) {
	case COLUMN_SUBNET:
		text = lease_name(item);
		table_set(t, cell, text, COLOR_NONE);
		break;
	case COLUMN_NODE:
		table_set(t, cell, ctl_text(item, "node"), COLOR_NONE);
		break;
	case COLUMN_PUBLIC_IP:
		text = describe_address(item);
		table_set(t, cell, text, COLOR_NONE);
		break;
	case COLUMN_REASON:
		table_set(t, cell, ctl_text(item, "reason"), COLOR_NONE);
		break;
	case COLUMN_OBJECTS:
		text = describe_objects(item);
		table_set(t, cell, text, COLOR_NONE);
		break;
	case COLUMN_HANDSHAKE:
		text = describe_handshake(item);
		table_set(t, cell, text, COLOR_NONE);
		break;
	case COLUMN_RECEIVED:
	case COLUMN_SENT:
		text = describe_bytes(item, column == COLUMN_SENT ? "sentBytes" : "receivedBytes");
		table_set(t, cell, text, COLOR_NONE);
		break;
	case COLUMN_RTT:
		text = lease_rtt(item);
		table_set(t, cell, text, COLOR_NONE);
		break;
	case COLUMN_LOSS:
		text = describe_loss(item);
		table_set(t, cell, text, COLOR_NONE);
		break;
	default:
		state = ctl_text(item, names[column].key);
		table_set(t, cell, state, state_color(state));
		break;
	}
}

static int print_table(const struct ctl *c, const json_t *items)
{
	bool all = c->format == FORMAT_RAW || c->options.columns;
	bool v6 = all || has_family(items, COLUMN_ROUTE_V6, COLUMN_FDB_V6);
	bool v4 = all || !v6 || has_family(items, COLUMN_ROUTE, COLUMN_FDB);
	bool traffic = c->options.columns || has_traffic(items);
	bool reach = c->options.columns || has_reach(items);
	struct table_column columns[COLUMNS];
	enum column shown[COLUMNS];
	auto_table struct table *table = NULL;
	size_t len = 0;
	json_t *item;
	size_t i;

	for (enum column column = 0; column < COLUMNS; column++) {
		bool state_v4 = column >= COLUMN_ROUTE && column <= COLUMN_FDB;
		bool state_v6 = column >= COLUMN_ROUTE_V6 && column <= COLUMN_FDB_V6;

		if ((state_v4 && !v4) || (state_v6 && !v6) ||
		    (column >= COLUMN_HANDSHAKE && column <= COLUMN_SENT && !traffic) ||
		    (column >= COLUMN_REACH && !reach) ||
		    ((column == COLUMN_OBJECTS || column == COLUMN_PATH_MTU) && !all &&
		     c->format != FORMAT_WIDE))
			continue;
		columns[len] = (struct table_column){
			.name = names[column].heading,
			.right = column == COLUMN_RECEIVED || column == COLUMN_SENT ||
				 column == COLUMN_RTT || column == COLUMN_LOSS,
			.shrinks = c->format != FORMAT_WIDE &&
				   (column == COLUMN_NODE || column == COLUMN_REASON),
			.key = names[column].key,
		};
		shown[len++] = column;
	}
	table = table_new(columns, len);
	json_array_foreach (items, i, item) {
		table_add_row(table);
		for (size_t n = 0; n < len; n++)
			set_cell(table, n, shown[n], item);
	}
	return table_print(table, c);
}

/* What a table needs; NULL: all is shown. Caller frees. */
static char *fields(const struct ctl *c)
{
	struct buffer text = { 0 };

	if (document_item_is_wanted(c) || c->format == FORMAT_DOT)
		return NULL;
	buffer_puts(&text, "subnetV6,publicIPv6");
	for (enum column column = 0; column < COLUMNS; column++) {
		/* They are longer than all others, and seldom shown. */
		bool seldom = column == COLUMN_OBJECTS || column == COLUMN_PATH_MTU;

		if (!seldom || c->options.columns || c->format == FORMAT_RAW ||
		    c->format == FORMAT_WIDE)
			buffer_printf(&text, ",%s", names[column].key);
	}
	return buffer_steal(&text);
}

int peers_print(const struct ctl *c, const json_t *document)
{
	const json_t *items = json_object_get(document, "items");
	json_t *item;
	size_t i;

	switch (c->format) {
	case FORMAT_JSON:
	case FORMAT_YAML:
		document_print(c, json_incref((json_t *)document));
		break;
	case FORMAT_JSONL:
		json_array_foreach (items, i, item)
			document_print(c, json_incref(item));
		break;
	case FORMAT_NAME:
		json_array_foreach (items, i, item) {
			auto_free char *name = lease_name(item);
			auto_free char *safe = text_escape(name ? name : "-", c->utf8);

			fprintf(c->out, "%s\n", safe);
		}
		break;
	case FORMAT_DOT:
		dot_print(c, document);
		break;
	default:
		return print_table(c, items);
	}
	return CTL_OK;
}

int peers_run(struct ctl *c)
{
	auto_settings struct settings settings = { 0 };
	auto_json json_t *document = NULL;
	auto_free char *wanted = fields(c);
	auto_free char *path = NULL;
	struct err e;
	int status = settings_read(c, false, &settings);

	if (status)
		return status;
	path = client_list_path("/v1/peers", wanted);
	if (client_get(settings.socket, path, "PeerList", ANSWER_TIMEOUT_MS, &document, &e) < 0)
		return client_fail(c, settings.socket, &e, "fabricctl subnets --store");
	return peers_print(c, document);
}
