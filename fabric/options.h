/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options that say what the kernel of this host is to be like, beside the leases. The daemon takes
 * them, and leaves them in its state directory, so that they are known when it does not run.
 */
#ifndef FABRIC_OPTIONS_H
#define FABRIC_OPTIONS_H

#include "fabric/external.h"
#include "traffic/rules.h"

struct fabric_options {
	struct external_options external;
	struct rules_options traffic;
	bool ip_blackhole_route;
};

/* Ends with name NULL; offsets begin at the struct. */
extern const struct option_spec fabric_option_specs[];

/* -EINVAL names the flag: what no table of options can check. */
int fabric_options_check(const struct fabric_options *o, struct err *e) MUST_CHECK;

/* What the daemon leaves. Texts are "" if they are not known. */
struct fabric_left {
	struct fabric_options options;
	char *node_id;
	char *state_dir;   /* as the daemon calls it: what it marks as its own says so */
	char *subnet_file; /* likewise */
};

extern const struct option_spec fabric_left_specs[];

/* <state_dir>/options: written whole or not at all, by whom it may be read is root. Blocks on the disk. */
int fabric_left_save(const struct fabric_left *left, struct err *e) MUST_CHECK;
/* -ENOENT: there is none. *ret must be released with fabric_left_fini in any case. */
int fabric_left_load(const char *state_dir, struct fabric_left *ret, struct err *e) MUST_CHECK;
void fabric_left_fini(struct fabric_left *left);

#define auto_fabric_left __attribute__((cleanup(fabric_left_fini)))

#endif
