/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/lease_view.h"

#include <string.h>

#include "fabricctl/command.h"
#include "fabricctl/document.h"
#include "fabricctl/dot.h"
#include "fabricctl/table.h"
#include "fabricctl/text.h"
#include "lib/buffer.h"
#include "lib/clock.h"
#include "lib/json.h"

/* Change as time passes, without anything having happened. */
static const char *const passing[] = { "expiresSeconds", "rttSeconds", "lossPercent" };

int lease_view_init(struct lease_view *v, const struct ctl *c)
{
	const struct ctl_options *o = &c->options;
	const char *sort = o->sort;
	struct err e;
	int rc = 0;

	*v = (struct lease_view){ .c = c };
	if (o->columns) {
		rc = lease_columns_parse(o->columns, v->columns, &v->columns_len, &e);
	} else {
		bool all = c->format == FORMAT_WIDE || c->format == FORMAT_RAW;

		for (size_t i = 0; i < LEASE_COLUMNS_LEN; i++) {
			/* While watching, times would stay as they were at the last change. */
			bool stale = o->watch && c->format != FORMAT_RAW &&
				     strcmp(lease_columns[i].name, "TIME LEFT") == 0;

			if ((all || !lease_columns[i].wide) && !stale)
				v->columns[v->columns_len++] = &lease_columns[i];
		}
	}
	v->sort = &lease_columns[0];
	if (rc == 0 && sort) {
		v->backwards = *sort == '-';
		sort += v->backwards;
		rc = lease_column_find(sort, strlen(sort), &v->sort, &e);
	}
	while (rc == 0 && v->filters_len < o->filters_len) {
		rc = lease_filter_parse(o->filters[v->filters_len], &v->filters[v->filters_len],
					&e);
		v->filters_len += rc == 0;
	}
	if (rc < 0)
		return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command), "%s", e.text);
	if (o->watch && c->format == FORMAT_DOT)
		return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
				"--output dot is one picture, and goes not with --watch");
	return CTL_OK;
}

void lease_view_fini(struct lease_view *v)
{
	for (size_t i = 0; i < v->filters_len; i++)
		lease_filter_fini(&v->filters[i]);
	json_decref(v->known);
}

bool lease_view_wants_time_left(const struct lease_view *v)
{
	if (document_item_is_wanted(v->c) || v->c->options.time_left)
		return true;
	if (v->c->format != FORMAT_NAME) {
		for (size_t i = 0; i < v->columns_len; i++) {
			if (strcmp(v->columns[i]->name, "TIME LEFT") == 0)
				return true;
		}
	}
	for (size_t i = 0; i < v->filters_len; i++) {
		if (strcmp(v->filters[i].column->name, "TIME LEFT") == 0)
			return true;
	}
	return strcmp(v->sort->name, "TIME LEFT") == 0;
}

/* Those of `names` that are not among them yet. */
static void add_fields(struct buffer *fields, const char *names)
{
	for (const char *p = names; *p;) {
		size_t size = strcspn(p, ",");
		auto_free char *name = xasprintf(",%.*s,", (int)size, p);

		if (!strstr(fields->data, name))
			buffer_puts(fields, name + 1);
		p += size + (p[size] == ',');
	}
}

char *lease_view_fields(const struct lease_view *v)
{
	struct buffer fields = { 0 };

	if (document_item_is_wanted(v->c) || v->c->format == FORMAT_DOT || v->c->options.watch)
		return NULL;
	buffer_puts(&fields, ",");
	/* What names a lease. */
	add_fields(&fields, lease_columns[0].fields);
	for (size_t i = 0; i < v->columns_len; i++)
		add_fields(&fields, v->columns[i]->fields);
	for (size_t i = 0; i < v->filters_len; i++)
		add_fields(&fields, v->filters[i].column->fields);
	add_fields(&fields, v->sort->fields);
	/* Without the commas around them. */
	fields.data[--fields.size] = '\0';
	memmove(fields.data, fields.data + 1, fields.size--);
	return buffer_steal(&fields);
}

static bool matches(const struct lease_view *v, const json_t *item)
{
	for (size_t i = 0; i < v->filters_len; i++) {
		if (!lease_filter_match(&v->filters[i], item))
			return false;
	}
	return true;
}

static void prepare(const struct lease_view *v, json_t *document)
{
	json_t *items = json_object_get(document, "items");
	auto_json json_t *kept = json_array();
	json_t *item;
	size_t i;

	json_array_foreach (items, i, item) {
		if (matches(v, item))
			json_array_append(kept, item);
	}
	lease_sort(kept, v->sort, v->backwards);
	json_object_set(document, "items", kept);
}

/* What --columns names was found before, so that this finds it too. */
static void print_table(const struct lease_view *v, const json_t *items)
{
	struct table_column columns[LEASE_COLUMNS_LEN];
	auto_table struct table *table = NULL;
	json_t *item;
	size_t i;

	for (size_t n = 0; n < v->columns_len; n++)
		columns[n] = (struct table_column){
			.name = v->columns[n]->name,
			.right = v->columns[n]->order == ORDER_NUMBER,
			.shrinks = v->columns[n]->shrinks && v->c->format != FORMAT_WIDE,
			.key = v->columns[n]->member,
		};
	table = table_new(columns, v->columns_len);
	json_array_foreach (items, i, item) {
		table_add_row(table);
		for (size_t n = 0; n < v->columns_len; n++) {
			auto_free char *text =
				v->columns[n]->text(item, v->c->format != FORMAT_RAW);

			table_set(table, n, text, lease_column_color(v->columns[n], item));
		}
	}
	table_print(table, v->c);
}

/* Nobody's lease, but somebody wrote it there, and it may explain what is missing above. */
static void print_junk(const struct lease_view *v, const json_t *junk)
{
	const struct ctl *c = v->c;
	json_t *entry;
	size_t i;

	if (json_array_size(junk) == 0)
		return;
	fprintf(c->out, "\n%signored keys%s\n", ctl_color_on(c, COLOR_WARN),
		ctl_color_off(c, COLOR_WARN));
	json_array_foreach (junk, i, entry) {
		const char *key = ctl_text(entry, "key");
		const char *reason = ctl_text(entry, "reason");
		auto_free char *safe_key = text_escape(key ? key : "", c->utf8);
		auto_free char *safe_reason = text_escape(reason ? reason : "", c->utf8);

		fprintf(c->out, "  %s  %s\n", safe_key, safe_reason);
	}
}

static void print_names(const struct lease_view *v, const json_t *items)
{
	json_t *item;
	size_t i;

	json_array_foreach (items, i, item) {
		auto_free char *name = lease_name(item);
		auto_free char *safe = text_escape(name ? name : "-", v->c->utf8);

		fprintf(v->c->out, "%s\n", safe);
	}
}

void lease_view_print(struct lease_view *v, json_t *document)
{
	json_t *items;
	json_t *item;
	size_t i;

	prepare(v, document);
	items = json_object_get(document, "items");
	switch (v->c->format) {
	case FORMAT_JSON:
	case FORMAT_YAML:
		document_print(v->c, json_incref(document));
		break;
	case FORMAT_JSONL:
		json_array_foreach (items, i, item)
			document_print(v->c, json_incref(item));
		break;
	case FORMAT_DOT:
		dot_print(v->c, document);
		break;
	case FORMAT_NAME:
		print_names(v, items);
		break;
	case FORMAT_RAW:
		print_table(v, items);
		break;
	default:
		print_table(v, items);
		/* Without headings it is a program that reads, and this is not for it. */
		if (!v->c->options.no_headers)
			print_junk(v, json_object_get(document, "junk"));
		break;
	}
}

/* ---- changes ---- */

/* One line about one lease, in columns as wide as usual: what comes next is not known yet. */
static void print_change(const struct lease_view *v, const char *change, const json_t *item)
{
	const struct ctl *c = v->c;
	enum ctl_color color = *change == 'A'   ? COLOR_GOOD
			       : *change == 'D' ? COLOR_BAD
						: COLOR_WARN;
	bool raw = c->format == FORMAT_RAW;

	if (document_item_is_wanted(c)) {
		document_print_item(c, json_pack("{s:s,s:O}", "type", change, "object", item));
		return;
	}
	fprintf(c->out, "%s%s%s%*s", ctl_color_on(c, color), change, ctl_color_off(c, color),
		raw ? 0 : 8 - (int)strlen(change), "");
	for (size_t n = 0; n < (c->format == FORMAT_NAME ? 1 : v->columns_len); n++) {
		const struct lease_column *column =
			c->format == FORMAT_NAME ? &lease_columns[0] : v->columns[n];
		auto_free char *text = column->text(item, !raw);
		auto_free char *safe = text_escape(text ? text : "-", c->utf8);
		bool last = n + 1 == v->columns_len || c->format == FORMAT_NAME;

		if (raw)
			fprintf(c->out, "\t%s", safe);
		else
			fprintf(c->out, "  %-*s", last ? 0 : (int)column->size, safe);
	}
	fputc('\n', c->out);
}

static bool has_changed(const json_t *before, const json_t *after)
{
	auto_json json_t *a = json_copy((json_t *)before);
	auto_json json_t *b = json_copy((json_t *)after);

	for (size_t i = 0; i < ARRAY_LEN(passing); i++) {
		json_object_del(a, passing[i]);
		json_object_del(b, passing[i]);
	}
	return !json_equal(a, b);
}

/*
 * What happened since the last list, one by one. The last change of each lease is in the list, which
 * knows what became of it.
 */
static void print_history(struct lease_view *v, const json_t *changes)
{
	auto_json json_t *last = json_object();
	json_t *change;
	size_t i;

	json_array_foreach (changes, i, change) {
		auto_free char *name = lease_name(json_object_get(change, "object"));

		json_object_set_new(last, name ? name : "", json_integer((json_int_t)i));
	}
	json_array_foreach (changes, i, change) {
		json_t *item = json_object_get(change, "object");
		const char *type = ctl_text(change, "type");
		auto_free char *name = lease_name(item);
		json_t *before = json_object_get(v->known, name ? name : "");

		if (!name || !type ||
		    json_integer_value(json_object_get(last, name)) == (json_int_t)i)
			continue;
		if (strcmp(type, "PUT") == 0 && matches(v, item)) {
			if (!before || has_changed(before, item))
				print_change(v, before ? "MODIFIED" : "ADDED", item);
			json_object_set(v->known, name, item);
		} else if (before) {
			print_change(v, "DELETED", before);
			json_object_del(v->known, name);
		}
	}
}

static void print_changes(struct lease_view *v, const json_t *items)
{
	json_t *now = json_object();
	const char *name;
	json_t *before;
	json_t *item;
	size_t i;

	json_array_foreach (items, i, item) {
		auto_free char *key = lease_name(item);

		before = json_object_get(v->known, key ? key : "");
		json_object_set(now, key ? key : "", item);
		if (!before)
			print_change(v, "ADDED", item);
		else if (has_changed(before, item))
			print_change(v, "MODIFIED", item);
	}
	json_object_foreach (v->known, name, before) {
		if (!json_object_get(now, name))
			print_change(v, "DELETED", before);
	}
	json_decref(v->known);
	v->known = now;
}

/* Cursor home, print, and clear what was longer before. */
static void redraw(struct lease_view *v, json_t *document)
{
	size_t len = json_array_size(json_object_get(document, "items"));
	char when[CLOCK_TEXT];

	fprintf(v->c->out,
		"\033[H\033[J%zu lease%s from the %s at %s, as it is now; "
		"Ctrl-C ends\n\n",
		len, len == 1 ? "" : "s", ctl_text(document, "source"),
		clock_format_utc(clock_wall_ms(), when));
	lease_view_print(v, document);
}

void lease_view_update(struct lease_view *v, json_t *document)
{
	bool lines = document_item_is_wanted(v->c);
	json_int_t lost = json_integer_value(json_object_get(document, "changesLost"));

	prepare(v, document);
	if (v->c->tty && !lines) {
		redraw(v, document);
	} else {
		if (lost > 0)
			fprintf(v->c->err,
				"fabricctl: %" JSON_INTEGER_FORMAT
				" changes came faster than they were read; the leases as they are "
				"now follow\n",
				lost);
		if (v->known)
			print_history(v, json_object_get(document, "changes"));
		print_changes(v, json_object_get(document, "items"));
	}
	fflush(v->c->out);
}
