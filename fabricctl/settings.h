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

/* What is read if nobody names another. */
#define SETTINGS_CONFIG_FILE "/etc/flannel/flanneld.conf"

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

/*
 * Whether these settings lead to the daemon's etcd: they were told, or `status`, the daemon's Status (NULL:
 * it does not answer), says that it uses the defaults as well. *ret_why says why not. `is_asked_for`: the
 * store was asked for by option.
 */
bool settings_know_store(const struct settings *s, bool is_asked_for, const json_t *status,
			 char *ret_why, size_t size);

#define auto_settings __attribute__((cleanup(settings_fini)))

#endif
