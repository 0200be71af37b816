/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every command of fabricctl shares: its exit statuses, what the command line said, where and
 * how to print.
 *
 *   main -> arguments (one table of options) -> commands (one table) -> one file for each command
 *
 * A command writes its answer to ctl->out and nothing else; what went wrong goes to ctl->err
 * through ctl_fail, three lines: what, why, what to do. It returns the exit status of the program.
 */
#ifndef FABRICCTL_CTL_H
#define FABRICCTL_CTL_H

#include <jansson.h>

#include "lib/err.h"

#define CTL_API_VERSION "fabric/v1"
#define CTL_FILTERS_MAX 16

/* In the manual page; scripts rely on them. */
enum ctl_status {
	CTL_OK = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_FOUND = 3, /* ran, and found something wrong */
	CTL_NO_DAEMON = 4,
	CTL_NO_STORE = 5,
	CTL_DENIED = 6,
	CTL_TIMEOUT = 7,
	CTL_NOT_FOUND = 8,
	CTL_CONFLICT = 9,
};

enum ctl_format {
	FORMAT_TABLE,
	FORMAT_WIDE,
	FORMAT_JSON,
	FORMAT_JSONL,
	FORMAT_YAML,
	FORMAT_RAW,
	FORMAT_NAME,
	FORMAT_ENV,
	FORMAT_DOT,
	FORMAT_PROM_SD,
	FORMAT_SVG,
	FORMAT_HTML,
	FORMATS
};

struct command;

/* Texts are borrowed from the command line; NULL: not given. */
struct ctl_options {
	const char *output;
	const char *color;
	const char *columns;
	const char *sort;
	const char *filters[CTL_FILTERS_MAX];
	size_t filters_len;
	const char *timeout;
	const char *since;
	const char *cni_cache_dir;
	const char *cni_ipam_dir;
	const char *warn;
	const char *proto;
	const char *port;
	const char *count;
	const char *disrupt;
	const char *cni_config;
	bool help;
	bool version;
	bool store;
	bool no_headers;
	bool watch;
	bool time_left;
	bool wait;
	bool brief;
	bool dry_run;
	bool kernel;
	bool fix;
	bool plan;
	bool apply;
	bool live;
	bool listen;
	bool yes;
	bool force;
	bool release;
	const char *node;
	const char *public_ip;
	const char *public_ipv6;
	/* Options that the daemon has too, as "--name=value", for settings_read. Owned. */
	char **settings;
	int settings_len;
};

struct ctl {
	const struct command *command; /* NULL: none was given */
	struct ctl_options options;
	char **operands; /* what follows the command and is no option; the array is owned */
	int operands_len;
	enum ctl_format format;
	FILE *out;
	FILE *err;
	bool tty; /* `out` is a terminal that can be redrawn */
	bool color;
	bool utf8; /* the locale's encoding */
};

/* "table", "wide", ... */
const char *ctl_format_name(enum ctl_format format);

/*
 * Prints one failure to ctl->err and returns `status`. `why` and `hint` may be NULL. What must not
 * reach a terminal is replaced.
 */
int ctl_fail(const struct ctl *c, enum ctl_status status, const char *why, const char *hint,
	     const char *what, ...) PRINTF(5, 6);

/*
 * To be called before something that runs may break; `what` says what, as a question without its
 * end: "give back 10.5.1.0/24". CTL_OK if --yes was given or the person at the terminal agrees;
 * otherwise complains and returns the exit status.
 */
int ctl_confirm(const struct ctl *c, const char *what);

/* An object with apiVersion, kind and generated; printed by document_print. */
json_t *ctl_document(const char *kind);

/* Text of a field, NULL if it is absent, null or no string. Borrowed. */
const char *ctl_text(const json_t *object, const char *key);
/* A number, `otherwise` if it is none. */
int64_t ctl_int(const json_t *object, const char *key, int64_t otherwise);
/* A text as it may be printed (text_escape), "-" if it is empty or no text. Caller frees. */
char *ctl_safe(const struct ctl *c, const json_t *object, const char *key);

/* Texts of a list with commas between them, "" if there is none. Caller frees. */
char *ctl_join(const json_t *object, const char *key);

/* Escape sequences if colour is wanted, "" otherwise. */
enum ctl_color { COLOR_NONE, COLOR_GOOD, COLOR_WARN, COLOR_BAD, COLOR_DIM, COLOR_BOLD };
const char *ctl_color_on(const struct ctl *c, enum ctl_color color);
const char *ctl_color_off(const struct ctl *c, enum ctl_color color);

#endif
