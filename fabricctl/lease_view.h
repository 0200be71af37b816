/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One SubnetList document as the reader asked for it: filtered, sorted, in the format wanted; and
 * what changed from one to the next.
 */
#ifndef FABRICCTL_LEASE_VIEW_H
#define FABRICCTL_LEASE_VIEW_H

#include "fabricctl/lease_columns.h"

struct lease_view {
	const struct ctl *c;
	const struct lease_column *columns[LEASE_COLUMNS_LEN];
	size_t columns_len;
	const struct lease_column *sort;
	bool backwards;
	struct lease_filter filters[CTL_FILTERS_MAX];
	size_t filters_len;
	json_t *known; /* by name, what was told last; NULL: nothing yet */
};

/* Reads columns, order and filters from the command line. Complains and returns the exit status. */
int lease_view_init(struct lease_view *v, const struct ctl *c);
void lease_view_fini(struct lease_view *v);

/* Whether the time left matters to what is shown. */
bool lease_view_wants_time_left(const struct lease_view *v);

/* "subnet,node": of items, what is needed for that; NULL: all. Caller frees. */
char *lease_view_fields(const struct lease_view *v);

/* Prints the whole list. The document is changed: filtered and sorted. */
void lease_view_print(struct lease_view *v, json_t *document);

/*
 * For -w: a new list has come. On a terminal it is drawn again; otherwise a line for every lease
 * that was added, changed or removed since the last call. The passing of time is no change. The
 * document is changed as above.
 */
void lease_view_update(struct lease_view *v, json_t *document);

#define auto_lease_view __attribute__((cleanup(lease_view_fini)))

#endif
