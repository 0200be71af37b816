/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl events: what has happened on this host, as the daemon's log has it. */
#include <string.h>

#include "fabricctl/client.h"
#include "fabricctl/command.h"
#include "fabricctl/settings.h"
#include "fabricctl/text.h"
#include "lib/clock.h"
#include "lib/json.h"

#define ANSWER_TIMEOUT_MS 5000
#define BEFORE_WATCH      10 /* events that are shown before those that are watched for */

struct events {
	const struct ctl *c;
	int64_t since_ms; /* wall clock; 0: all */
	bool begun;
};

static void print_line(const struct ctl *c, const json_t *item)
{
	auto_free char *when = ctl_safe(c, item, "time");
	auto_free char *level = ctl_safe(c, item, "level");
	auto_free char *event = ctl_safe(c, item, "event");
	auto_free char *text = ctl_safe(c, item, "text");
	enum ctl_color color = strcmp(level, "error") == 0  ? COLOR_BAD
			       : strcmp(level, "warn") == 0 ? COLOR_WARN
							    : COLOR_NONE;

	if (c->format == FORMAT_RAW)
		fprintf(c->out, "%s\t%s\t%s\t%s\n", when, level, event, text);
	else
		fprintf(c->out, "%s  %s%-5s%s  %-18s  %s\n", when, ctl_color_on(c, color), level,
			ctl_color_off(c, color), event, text);
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

static void print_items(const struct ctl *c, const json_t *document)
{
	struct ctl one_line = *c;
	json_t *item;
	size_t i;

	one_line.format = FORMAT_JSONL;
	json_array_foreach (json_object_get(document, "items"), i, item) {
		if (c->format == FORMAT_JSON || c->format == FORMAT_JSONL)
			ctl_print_json(&one_line, json_incref(item));
		else
			print_line(c, item);
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
	print_items(e->c, document);
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
	if (c->format == FORMAT_JSON)
		ctl_print_json(c, json_incref(document));
	else
		print_items(c, document);
	return CTL_OK;
}
