/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/problems.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"

static const struct severity {
	const char *name;
	enum ctl_color color;
} severities[] = {
	{ "error", COLOR_BAD },
	{ "warning", COLOR_WARN },
	{ "info", COLOR_DIM },
};
#define ERROR (&severities[0])
#define INFO  (&severities[2])

/* One that is not known is taken for the worst. */
static const struct severity *severity_of(const json_t *problem)
{
	const char *name = ctl_text(problem, "severity");

	for (size_t i = 0; name && i < ARRAY_LEN(severities); i++) {
		if (strcmp(name, severities[i].name) == 0)
			return &severities[i];
	}
	return ERROR;
}

static int compare(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a;
	const json_t *y = *(json_t *const *)b;
	const char *since_x = ctl_text(x, "since");
	const char *since_y = ctl_text(y, "since");

	if (severity_of(x) != severity_of(y))
		return severity_of(x) < severity_of(y) ? -1 : 1;
	/* Times in UTC are in the order of their texts. */
	return strcmp(since_x ? since_x : "", since_y ? since_y : "");
}

/* Caller frees the array, whose entries are borrowed. */
static json_t **in_order(const json_t *problems)
{
	json_t **list = xcalloc(json_array_size(problems) + 1, sizeof(*list));
	json_t *problem;
	size_t i;

	json_array_foreach (problems, i, problem)
		list[i] = problem;
	qsort(list, json_array_size(problems), sizeof(*list), compare);
	return list;
}

static size_t count_notes(const json_t *problems)
{
	json_t *problem;
	size_t n = 0;
	size_t i;

	json_array_foreach (problems, i, problem)
		n += severity_of(problem) == INFO;
	return n;
}

void problems_print_count(const struct ctl *c, const json_t *problems)
{
	size_t notes = count_notes(problems);
	size_t worse = json_array_size(problems) - notes;

	if (worse)
		fprintf(c->out, "%zu problem%s, ", worse, worse == 1 ? "" : "s");
	if (notes)
		fprintf(c->out, "%zu note%s, ", notes, notes == 1 ? "" : "s");
}

static const char *age(const json_t *problem, int64_t now_ms, char buf[static CLOCK_TEXT])
{
	const char *since = ctl_text(problem, "since");
	int64_t since_ms;

	if (!since || clock_parse_utc(since, &since_ms) < 0)
		return "-";
	return clock_format_duration((now_ms - since_ms) / 1000, buf);
}

void problems_print(const struct ctl *c, const json_t *problems, int64_t now_ms)
{
	auto_free json_t **list = in_order(problems);

	for (size_t i = 0; list[i]; i++) {
		const struct severity *severity = severity_of(list[i]);
		auto_free char *name = ctl_safe(c, list[i], "name");
		auto_free char *text = ctl_safe(c, list[i], "text");
		char buf[CLOCK_TEXT];

		fprintf(c->out, "  %s%-7s%s %6s  %-18s %s\n", ctl_color_on(c, severity->color),
			severity->name, ctl_color_off(c, severity->color),
			age(list[i], now_ms, buf), name, text);
	}
}

void problems_print_names(const struct ctl *c, const json_t *problems)
{
	auto_free json_t **list = in_order(problems);

	for (size_t i = 0; list[i] && severity_of(list[i]) != INFO; i++) {
		auto_free char *name = ctl_safe(c, list[i], "name");

		fprintf(c->out, "%s%s", i ? ", " : ": ", name);
	}
}
