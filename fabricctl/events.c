/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl events: what has happened on this host, as the daemon's log has it. */
#include <string.h>

#include "fabricctl/client.h"
#include "fabricctl/command.h"
#include "fabricctl/document.h"
#include "fabricctl/settings.h"
#include "fabricctl/table.h"
#include "fabricctl/text.h"
#include "lib/clock.h"
#include "lib/json.h"

#define ANSWER_TIMEOUT_MS 5000
#define BEFORE_WATCH      10 /* events that are shown before those that are watched for */

/* Heading there is none; the widths are usual ones, since what comes next is not known. */
static const struct table_column columns[] = {
	{ "TIME", .key = "time" },
	{ "LEVEL", .key = "level" },
	{ "EVENT", .key = "event" },
	{ "TEXT", .key = "text" },
};
static const int widths[ARRAY_LEN(columns)] = { 0, 5, 18, 0 };

struct events {
	const struct ctl *c;
	size_t chosen[ARRAY_LEN(columns)];
	size_t chosen_len;
	int64_t since_ms; /* wall clock; 0: all */
	bool begun;
};

static enum ctl_color level_color(const char *level)
{
	return strcmp(level, "error") == 0  ? COLOR_BAD
	       : strcmp(level, "warn") == 0 ? COLOR_WARN
					    : COLOR_NONE;
}

static void print_line(const struct events *e, const json_t *item)
{
	const struct ctl *c = e->c;
	bool raw = c->format == FORMAT_RAW;

	for (size_t i = 0; i < e->chosen_len; i++) {
		size_t column = e->chosen[i];
		auto_free char *text = ctl_safe(c, item, columns[column].key);
		enum ctl_color color =
			strcmp(columns[column].key, "level") == 0 ? level_color(text) : COLOR_NONE;
		bool last = i + 1 == e->chosen_len;

		fprintf(c->out, "%s%s%-*s%s",
			!i    ? ""
			: raw ? "\t"
			      : "  ",
			raw ? "" : ctl_color_on(c, color), raw || last ? 0 : widths[column], text,
			raw ? "" : ctl_color_off(c, color));
	}
	fputc('\n', c->out);
}

static bool is_wanted(const struct events *e, const json_t *item)
{
	const char *when = ctl_text(item, "time");
	int64_t wall_ms = 0;

	return !e->since_ms || !when || clock_parse_utc(when, &wall_ms) < 0 ||
	       wall_ms >= e->since_ms;
}

/* Leaves the newest of those that are wanted, `max` at most, the oldest first. */
static void put_in_order(const struct events *e, json_t *document, size_t max)
{
	const json_t *items = json_object_get(document, "items");
	json_t *wanted = json_array();
	json_t *ordered = json_array();
	json_t *item;
	size_t i;

	json_array_foreach (items, i, item) {
		if (json_array_size(wanted) < max && is_wanted(e, item))
			json_array_append(wanted, item);
	}
	for (i = json_array_size(wanted); i-- > 0;)
		json_array_append(ordered, json_array_get(wanted, i));
	json_decref(wanted);
	json_object_set_new(document, "items", ordered);
}

static void print_items(const struct events *e, const json_t *document)
{
	const struct ctl *c = e->c;
	json_t *item;
	size_t i;

	json_array_foreach (json_object_get(document, "items"), i, item) {
		if (document_item_is_wanted(c))
			document_print_item(c, json_incref(item));
		else
			print_line(e, item);
	}
}

static bool on_document(void *arg, json_t *document)
{
	struct events *e = arg;
	int64_t lost = ctl_int(document, "lost", 0);

	put_in_order(e, document, e->begun || e->since_ms ? SIZE_MAX : BEFORE_WATCH);
	if (e->begun && lost)
		fprintf(e->c->err, "fabricctl: %lld events came faster than they could be read\n",
			(long long)lost);
	e->begun = true;
	print_items(e, document);
	fflush(e->c->out);
	return !ferror(e->c->out);
}

int events_run(struct ctl *c)
{
	auto_settings struct settings settings = { 0 };
	auto_json json_t *document = NULL;
	struct events events = { .c = c };
	int64_t since_s = 0;
	struct err e;
	int status;
	int rc;

	if (c->options.since && text_parse_duration(c->options.since, &since_s, &e) < 0)
		return ctl_fail(c, CTL_USAGE, NULL, NULL, "--since: %s", e.text);
	status = table_choose(c, columns, ARRAY_LEN(columns), events.chosen, &events.chosen_len);
	if (status)
		return status;
	if (c->options.since)
		events.since_ms = clock_wall_ms() - since_s * 1000;
	status = settings_read(c, false, &settings);
	if (status)
		return status;
	if (c->options.watch)
		rc = client_follow(settings.socket, "/v1/events?watch=1", "EventList", c->out,
				   on_document, &events, &e);
	else
		rc = client_get(settings.socket, "/v1/events", "EventList", ANSWER_TIMEOUT_MS,
				&document, &e);
	if (rc < 0)
		return client_fail(c, settings.socket, &e, "journalctl -u flanneld");
	if (!document)
		return CTL_OK;
	put_in_order(&events, document, SIZE_MAX);
	if (document_is_wanted(c))
		document_print(c, json_incref(document));
	else
		print_items(&events, document);
	return CTL_OK;
}
