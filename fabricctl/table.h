/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list on its way to the reader: rows of texts, escaped when printed, as a table by libsmartcols
 * or as lines of fields. On a terminal it fits its width, anywhere else nothing is cut.
 */
#ifndef FABRICCTL_TABLE_H
#define FABRICCTL_TABLE_H

#include "fabricctl/ctl.h"

struct table_column {
	const char *name; /* heading */
	bool right;       /* numbers */
	bool shrinks;     /* long texts may be cut when the terminal is narrow */
	const char *key;  /* the member of JSON that it shows: its name for --columns */
};

struct table;

/* The columns must outlive the table. */
struct table *table_new(const struct table_column *columns, size_t columns_len);
void table_free(struct table *t);

/*
 * The columns that --columns names, by key or heading, in its order: *ret has room for columns_len
 * indices. All without it. Complains and returns the exit status.
 */
int table_choose(const struct ctl *c, const struct table_column *columns, size_t columns_len,
		 size_t *ret, size_t *ret_len);

/* Begins a row; its cells are "-" until set. */
void table_add_row(struct table *t);
/* Copied. NULL and "" leave the cell empty, which shows as "-". */
void table_set(struct table *t, size_t column, const char *text, enum ctl_color color);

/*
 * As -o asks for: with headings unless told otherwise, or raw: fields with a tab between them, a row
 * a line. Of the columns those that --columns names; complains and returns the exit status.
 */
int table_print(const struct table *t, const struct ctl *c);

static inline void table_free_ref(struct table **t)
{
	table_free(*t);
}
#define auto_table __attribute__((cleanup(table_free_ref)))

#endif
