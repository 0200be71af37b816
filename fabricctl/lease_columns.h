/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The columns of a list of leases, and what is done by column: filter and sort. A lease is one item
 * of a SubnetList document, whoever wrote that. Pure.
 */
#ifndef FABRICCTL_LEASE_COLUMNS_H
#define FABRICCTL_LEASE_COLUMNS_H

#include <regex.h>

#include "fabricctl/ctl.h"

enum lease_column_order { ORDER_TEXT, ORDER_NUMBER, ORDER_ADDRESS };

struct lease_column {
	const char *name;   /* heading; on the command line in any case, the space as '-' or '_' */
	const char *member; /* of JSON, which names it as well; NULL: the same */
	const char *fields; /* of an item, of which it is made: "subnet,subnetV6" */
	enum lease_column_order order;
	bool wide;     /* not in the plain table */
	bool shrinks;  /* may be cut on a terminal */
	unsigned size; /* usual width, for lines that come one at a time */
	/* NULL: empty. `people`: as a person reads it, else as a program does. Caller frees. */
	char *(*text)(const json_t *lease, bool people);
};

#define LEASE_COLUMNS_LEN 13
extern const struct lease_column lease_columns[LEASE_COLUMNS_LEN];

/* "0.42 ms", how long a peer's last answer took; NULL: not known. Caller frees. */
char *lease_rtt(const json_t *lease);
/* -EINVAL names those that there are. */
int lease_column_find(const char *name, size_t size, const struct lease_column **ret,
		      struct err *e) MUST_CHECK;
/* "subnet,public-ip": *ret has room for LEASE_COLUMNS_LEN, in the order given, each once. */
int lease_columns_parse(const char *list, const struct lease_column **ret, size_t *ret_len,
			struct err *e) MUST_CHECK;
/* The colour that a cell deserves. */
enum ctl_color lease_column_color(const struct lease_column *column, const json_t *lease);

struct lease_filter {
	const struct lease_column *column;
	bool negate;
	bool is_regex;
	regex_t regex;
	char *text;
};

/* "kernel=failed", "node!=web", "node~^web", "node!~web"; POSIX extended. lease_filter_fini in any
 * case. */
int lease_filter_parse(const char *expr, struct lease_filter *ret, struct err *e) MUST_CHECK;
bool lease_filter_match(const struct lease_filter *filter, const json_t *lease);
void lease_filter_fini(struct lease_filter *filter);

/* Sorts a JSON array of leases; what is empty comes last. Equal ones keep their order. */
void lease_sort(json_t *leases, const struct lease_column *column, bool backwards);

/* The one text that names a lease: its subnet. Caller frees. */
char *lease_name(const json_t *lease);

#endif
