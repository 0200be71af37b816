/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/table.h"

#include <libsmartcols.h>
#include <string.h>

#include "fabricctl/command.h"
#include "fabricctl/text.h"

/* What is not longer than this is never cut, however narrow the terminal. */
#define LONG_TEXT 24

struct cell {
	char *text; /* NULL: empty */
	enum ctl_color color;
};

struct table {
	const struct table_column *columns;
	size_t columns_len;
	struct cell *cells; /* rows one after the other */
	size_t rows_len;
	size_t rows_cap;
};

struct table *table_new(const struct table_column *columns, size_t columns_len)
{
	struct table *t = xcalloc(1, sizeof(*t));

	t->columns = columns;
	t->columns_len = columns_len;
	return t;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->rows_len * t->columns_len; i++)
		free(t->cells[i].text);
	free(t->cells);
	free(t);
}

void table_add_row(struct table *t)
{
	if (t->rows_len == t->rows_cap) {
		t->rows_cap = t->rows_cap ? t->rows_cap * 2 : 16;
		t->cells = xrealloc(t->cells, t->rows_cap * t->columns_len * sizeof(*t->cells));
	}
	for (size_t i = 0; i < t->columns_len; i++)
		t->cells[t->rows_len * t->columns_len + i] = (struct cell){ 0 };
	t->rows_len++;
}

void table_set(struct table *t, size_t column, const char *text, enum ctl_color color)
{
	struct cell *cell = &t->cells[(t->rows_len - 1) * t->columns_len + column];

	free(cell->text);
	cell->text = text && *text ? xstrdup(text) : NULL;
	cell->color = color;
}

static bool is_named(const struct table_column *column, const char *name)
{
	return text_same_name(name, column->name) ||
	       (column->key && text_same_name(name, column->key));
}

/* "subnet, node, publicIP". Caller frees. */
static char *names_of(const struct table_column *columns, size_t columns_len)
{
	char *all = xstrdup("");

	for (size_t i = 0; i < columns_len; i++) {
		auto_free char *before = all;
		const char *name = columns[i].key ? columns[i].key : columns[i].name;

		all = xasprintf("%s%s%s", before, i ? ", " : "", name);
	}
	return all;
}

/* The column of this name, columns_len if there is none. */
static size_t find_column(const struct table_column *columns, size_t columns_len, const char *name)
{
	size_t i = 0;

	while (i < columns_len && !is_named(&columns[i], name))
		i++;
	return i;
}

int table_choose(const struct ctl *c, const struct table_column *columns, size_t columns_len,
		 size_t *ret, size_t *ret_len)
{
	auto_free char *list = c->options.columns ? xstrdup(c->options.columns) : NULL;
	auto_free char *known = NULL;
	char *rest = list;
	size_t len = 0;

	while (rest) {
		const char *name = strsep(&rest, ",");
		size_t column = find_column(columns, columns_len, name);

		if (column == columns_len) {
			known = names_of(columns, columns_len);
			return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
					"there is no column \"%.40s\"; there are %s", name, known);
		}
		for (size_t i = 0; i < len; i++) {
			if (ret[i] == column)
				return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
						"column \"%.40s\" is named twice", name);
		}
		ret[len++] = column;
	}
	for (; !list && len < columns_len; len++)
		ret[len] = len;
	*ret_len = len;
	return CTL_OK;
}

static char *cell_text(const struct cell *cell, const struct ctl *c)
{
	return cell->text ? text_escape(cell->text, c->utf8) : xstrdup("-");
}

/* Whether something in the column is so long that it may be cut for the others' sake. */
static bool is_long(const struct table *t, size_t column)
{
	for (size_t row = 0; row < t->rows_len; row++) {
		const char *text = t->cells[row * t->columns_len + column].text;

		if (text && strlen(text) > LONG_TEXT)
			return true;
	}
	return false;
}

/* Columns of the table, in the order in which they are printed. */
struct chosen {
	size_t *columns;
	size_t len;
};

static void add_columns(struct libscols_table *out, const struct table *t, const struct ctl *c,
			const struct chosen *chosen)
{
	for (size_t i = 0; i < chosen->len; i++) {
		const struct table_column *column = &t->columns[chosen->columns[i]];
		int flags = column->right ? SCOLS_FL_RIGHT : 0;

		if (c->tty && column->shrinks && is_long(t, chosen->columns[i]))
			flags |= SCOLS_FL_TRUNC;
		scols_table_new_column(out, column->name, 0, flags);
	}
}

static void add_rows(struct libscols_table *out, const struct table *t, const struct ctl *c,
		     const struct chosen *chosen)
{
	for (size_t row = 0; row < t->rows_len; row++) {
		struct libscols_line *line = scols_table_new_line(out, NULL);

		for (size_t i = 0; i < chosen->len; i++) {
			const struct cell *cell =
				&t->cells[row * t->columns_len + chosen->columns[i]];
			auto_free char *text = cell_text(cell, c);

			scols_line_set_data(line, i, text);
			if (cell->text && cell->color != COLOR_NONE)
				scols_cell_set_color(scols_line_get_cell(line, i),
						     ctl_color_on(c, cell->color));
		}
	}
}

static void print_people(const struct table *t, const struct ctl *c, const struct chosen *chosen)
{
	struct libscols_table *out = scols_new_table();
	bool headers = !c->options.no_headers;

	if (!out)
		abort();
	scols_table_set_stream(out, c->out);
	scols_table_set_termforce(out, c->tty ? SCOLS_TERMFORCE_AUTO : SCOLS_TERMFORCE_NEVER);
	scols_table_enable_noencoding(out, 1); /* text_escape has done it, reversibly */
	scols_table_enable_noheadings(out, !headers);
	scols_table_enable_colors(out, c->color);
	scols_table_set_column_separator(out, "  ");
	add_columns(out, t, c, chosen);
	add_rows(out, t, c, chosen);
	/* An empty table has its headings all the same. */
	if (t->rows_len > 0) {
		scols_print_table(out);
	} else if (headers) {
		for (size_t i = 0; i < chosen->len; i++)
			fprintf(c->out, "%s%s", i ? "  " : "", t->columns[chosen->columns[i]].name);
		fputc('\n', c->out);
	}
	scols_unref_table(out);
}

static void print_raw(const struct table *t, const struct ctl *c, const struct chosen *chosen)
{
	for (size_t row = 0; row < t->rows_len; row++) {
		const struct cell *cells = &t->cells[row * t->columns_len];

		for (size_t i = 0; i < chosen->len; i++) {
			auto_free char *text = cell_text(&cells[chosen->columns[i]], c);

			fprintf(c->out, "%s%s", i ? "\t" : "", text);
		}
		fputc('\n', c->out);
	}
}

int table_print(const struct table *t, const struct ctl *c)
{
	auto_free size_t *columns = xcalloc(t->columns_len, sizeof(*columns));
	struct chosen chosen = { columns, 0 };
	int status = table_choose(c, t->columns, t->columns_len, columns, &chosen.len);

	if (status)
		return status;
	(c->format == FORMAT_RAW ? print_raw : print_people)(t, c, &chosen);
	return CTL_OK;
}
