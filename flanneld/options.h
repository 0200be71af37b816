/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's options: flannel's, with their names and defaults, and our own. */
#ifndef FLANNELD_OPTIONS_H
#define FLANNELD_OPTIONS_H

#include "fabric/options.h"
#include "fabric/plugin.h"
#include "fastpath/fast_path.h"
#include "flanneld/docker.h"
#include "stores/store_open.h"

struct flanneld_options {
	struct store_options store;
	/* this host */
	struct fabric_options fabric;
	struct fast_path_options fast;
	char *node_id;
	char *node_name;
	/* the lease */
	char *subnet_file;
	int64_t subnet_lease_renew_margin;
	int64_t lease_ttl;
	char *state_dir;
	/* containers */
	struct plugin_options plugin;
	struct docker_options docker;
	/* status */
	char *healthz_ip;
	int64_t probe_interval; /* seconds; 0: off */
	int64_t healthz_port;
	bool health_record;
	char *socket;
	char *log_format;
	char *log_level;
	int64_t v;
	char *vmodule;
	char *log_backtrace_at;
	/* about the program */
	char *config_file;
	bool version;
	bool help;
	bool h;
};

extern const struct option_spec flanneld_option_specs[];

/*
 * Reads file, environment and command line into *ret, in that order of precedence from low to high,
 * and checks what concerns several options at once. `ret` must be released with
 * flanneld_options_fini in any case.
 */
int flanneld_options_read(int argc, char **argv, struct flanneld_options *ret,
			  struct err *e) MUST_CHECK;
void flanneld_options_fini(struct flanneld_options *o);

/* FLANNELD_... variables that mean nothing; see options_each_unknown_variable. */
void flanneld_options_each_unknown(void (*fn)(const char *name, const char *nearest));

#endif
