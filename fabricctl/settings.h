/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the daemon and its store are, found out the way the daemon does: its configuration file,
 * FLANNELD_* in the environment, the command line, each replacing the one before. Other lines of
 * the file are the daemon's business.
 */
#ifndef FABRICCTL_SETTINGS_H
#define FABRICCTL_SETTINGS_H

#include "fabricctl/ctl.h"
#include "stores/store_open.h"

struct settings {
	char *socket;
	struct store_options store;
	char *node_id;
	char *state_dir;
	char *subnet_file;
	char *cni_plugin; /* "": where it usually is */
	char *cni_data_dir;
	char *config_file;
};

/*
 * `for_store`: a file that cannot be read is an error, and the password is read from its file;
 * otherwise the default file may be missing or unreadable. Complains with ctl_fail and returns its
 * status; *ret must be released with settings_fini in any case.
 */
int settings_read(const struct ctl *c, bool for_store, struct settings *ret);
void settings_fini(struct settings *s);

#define auto_settings __attribute__((cleanup(settings_fini)))

#endif
