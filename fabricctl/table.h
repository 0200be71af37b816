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
};

struct table;

/* The columns must outlive the table. */
struct table *table_new(const struct table_column *columns, size_t columns_len);
void table_free(struct table *t);

/* Begins a row; its cells are "-" until set. */
void table_add_row(struct table *t);
/* Copied. NULL and "" leave the cell empty, which shows as "-". */
void table_set(struct table *t, size_t column, const char *text, enum ctl_color color);

/* With headings unless told otherwise. */
void table_print(const struct table *t, const struct ctl *c, bool headers);
/* Fields with a tab between them, a row a line. */
void table_print_raw(const struct table *t, const struct ctl *c);

static inline void table_free_ref(struct table **t)
{
	table_free(*t);
}
#define auto_table __attribute__((cleanup(table_free_ref)))

#endif
