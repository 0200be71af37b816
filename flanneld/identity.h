/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who this host is in the store: an id that survives reboots and changes of address, and a name for
 * people.
 */
#ifndef FLANNELD_IDENTITY_H
#define FLANNELD_IDENTITY_H

#include "lib/err.h"

/*
 * `given` if not empty; else the id in <state_dir>/node-id, which is made at random if it is not
 * there. If it cannot be kept, an id derived from /etc/machine-id serves, and a warning is logged.
 * Caller frees. -EINVAL for a malformed id.
 */
int identity_node_id(const char *given, const char *state_dir, char **ret,
		     struct err *e) MUST_CHECK;

/* `given` if not empty, else the host name. Caller frees. */
char *identity_node_name(const char *given);

#endif
