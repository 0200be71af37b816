/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a command is, and the table of all of them. Help, completion and the manual page follow it.
 */
#ifndef FABRICCTL_COMMAND_H
#define FABRICCTL_COMMAND_H

#include "fabricctl/arguments.h"
#include "fabricctl/ctl.h"

#define FORMAT_BIT(f) (1u << (f))

struct command {
	const char *name;
	const char *operands; /* as in the usage line, "" if there are none */
	const char
		*words; /* operands that are fixed words, between spaces, for completion; or "" */
	/* Of the other operands, for completion: "WORD:KIND" between spaces, where KIND follows the
	 * word, ":KIND" where it stands alone; see completion.h; or "". */
	const char *values;
	int operands_max;
	unsigned options;    /* groups */
	unsigned formats;    /* FORMAT_BIT of each; the table is always the default */
	const char *help;    /* one line */
	const char *details; /* paragraphs for `help COMMAND`, wrapped */
	/* Returns the exit status. */
	int (*run)(struct ctl *c);
};

/* Ends with name NULL. */
extern const struct command commands[];

const struct command *command_find(const char *name);
/* Complains about a command that does not exist, naming the nearest. */
int command_unknown(const struct ctl *c, const char *name);
/* "table|wide|json" with `separator` between them. Caller frees. */
char *command_formats(const struct command *command, const char *separator);
/* "fabricctl help NAME"; a static buffer. */
const char *command_help_hint(const struct command *command);
/* Prints the help of one command, of the program if `command` is NULL. */
void command_print_help(FILE *out, const struct command *command);
/* Runs what the command line asks for. */
int command_run(struct ctl *c);

int subnets_run(struct ctl *c);
int status_run(struct ctl *c);
int peers_run(struct ctl *c);
int mtu_run(struct ctl *c);
int hosts_run(struct ctl *c);
int mesh_run(struct ctl *c);
int events_run(struct ctl *c);
int ip_run(struct ctl *c);
int pods_run(struct ctl *c);
int trace_run(struct ctl *c);
int test_run(struct ctl *c);
int top_run(struct ctl *c);
int doctor_run(struct ctl *c);
int capacity_run(struct ctl *c);
int gc_run(struct ctl *c);
int bundle_run(struct ctl *c);
int explain_run(struct ctl *c);
int diff_run(struct ctl *c);
int sync_run(struct ctl *c);
int log_level_run(struct ctl *c);
int drain_run(struct ctl *c);
int resume_run(struct ctl *c);
int lease_run(struct ctl *c);
int config_run(struct ctl *c);
int store_run(struct ctl *c);
int version_run(struct ctl *c);
int help_run(struct ctl *c);
int completion_run(struct ctl *c);

#endif
