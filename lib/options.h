/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command line, environment and configuration file from one table.
 *
 * Syntax is that of Go's flag package, which flannel's users have in their scripts: -x v, --x v,
 * -x=v; a boolean is set by its name alone and unset by =false. A later source replaces an earlier
 * one: file, environment, command line.
 */
#ifndef LIB_OPTIONS_H
#define LIB_OPTIONS_H

#include "lib/err.h"

enum option_type {
	OPTION_BOOL,   /* bool */
	OPTION_INT,    /* int64_t, from min to max */
	OPTION_TEXT,   /* char *, owned; never NULL */
	OPTION_CHOICE, /* char *, one of the words in `choices` */
	OPTION_LIST,   /* struct option_list; may be given again and again */
	OPTION_TABLE,  /* no option: those of another table stand here */
};

struct option_list {
	char **items;
	size_t len;
	unsigned source; /* that gave them: a later one replaces them */
};

struct option_spec {
	const char *name; /* without dashes; the environment name follows from it */
	enum option_type type;
	size_t offset;     /* of the value in the caller's struct */
	const char *value; /* default, as it would be written; NULL for "", false, empty list */
	int64_t min;
	int64_t max;
	const char *choices; /* words between commas */
	const char *help;
	const char *unsupported; /* not NULL: any value but the default is refused with this */
	/* More that a tool wants to know. */
	const char *metavar; /* what its value is, "FILE" if it is a path; NULL: see type */
	bool secret;         /* better not on a command line */
	const struct option_spec *table; /* TABLE: offsets in it begin at `offset` */
};

/*
 * An option of a table, or of a table in it, and where its value is. Visits all, in order, until
 * one returns other than 0, which is returned.
 */
typedef int option_visit_fn(const struct option_spec *spec, void *value, void *arg);
int options_each(const struct option_spec *specs, void *values, option_visit_fn *fn, void *arg);
/* NULL if there is none of this name. `values` may be NULL. */
const struct option_spec *options_find(const struct option_spec *specs, const char *name);

/* Fills `values` with the defaults. The table ends with name NULL. */
void options_init(const struct option_spec *specs, void *values);
void options_fini(const struct option_spec *specs, void *values);

/* Each reads one source. -EINVAL names flag, value and range, or the flag that may have
 * been meant. */
int options_read_file(const struct option_spec *specs, void *values, const char *path,
		      struct err *e) MUST_CHECK;
/* The same of another program's: lines that it alone understands are passed over. */
int options_read_file_of_others(const struct option_spec *specs, void *values, const char *path,
				struct err *e) MUST_CHECK;
int options_read_environment(const struct option_spec *specs, void *values, const char *prefix,
			     struct err *e) MUST_CHECK;
/* *ret_first is the index of the first argument that is no flag, argc if there is none; parsing
 * ends there. */
int options_read_arguments(const struct option_spec *specs, void *values, int argc, char **argv,
			   int *ret_first, struct err *e) MUST_CHECK;

/*
 * Variables of the environment whose names begin as ours do and that no option has. `nearest` is the
 * one that may have been meant, or NULL.
 */
void options_each_unknown_variable(const struct option_spec *specs, const char *prefix,
				   void (*fn)(const char *name, const char *nearest));

/*
 * What options_read_file would read: a line for each value that is not the default. -EINVAL: a value has
 * more than one line, or blanks at an end. Caller frees *ret.
 */
int options_format(const struct option_spec *specs, void *values, char **ret,
		   struct err *e) MUST_CHECK;

/* -EINVAL: what the option of this name says is no absolute path. */
int options_check_path(const char *name, const char *path, struct err *e) MUST_CHECK;

/*
 * One paragraph for every option, for --help. `prefix` is that of the environment names, or NULL.
 */
void options_print_help(const struct option_spec *specs, const char *prefix, FILE *out);

#endif
