/* SPDX-License-Identifier: Apache-2.0 */
/* flanneld: reads its options and runs the daemon. */
#include <stdio.h>

#include "flanneld/daemon.h"
#include "flanneld/options.h"
#include "lib/journal.h"
#include "lib/log.h"

#define EXIT_USAGE 2

static void warn_of_variable(const char *name, const char *nearest)
{
	log_warn("unknown-variable", "%s in the environment sets nothing%s%s%s", name,
		 nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
}

static int run(int argc, char **argv, struct flanneld_options *options)
{
	struct err e;

	if (flanneld_options_read(argc, argv, options, &e) < 0) {
		fprintf(stderr, "flanneld: %s\n  try: flanneld --help\n", e.text);
		return EXIT_USAGE;
	}
	if (options->help || options->h) {
		printf("flanneld: leases a subnet for this host and connects it with all others\n\n"
		       "usage: flanneld [--flag[=value] ...]\n\n");
		options_print_help(flanneld_option_specs, "FLANNELD_", stdout);
		return 0;
	}
	if (options->version) {
		fprintf(stderr, "%s\n", VERSION);
		return 0;
	}
	log_setup(options->log_format[0] == 'j' ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT,
		  options->v > 0 ? LOG_LEVEL_DEBUG : log_level_parse(options->log_level));
	log_use_journal(JOURNAL_SOCKET);
	flanneld_options_each_unknown(warn_of_variable);
	return daemon_run(options);
}

int main(int argc, char **argv)
{
	struct flanneld_options options;
	int status = run(argc, argv, &options);

	flanneld_options_fini(&options);
	return status;
}
