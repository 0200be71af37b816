/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon says about this host: subnet.env, and whether it can be believed. */
#ifndef CNI_PLUGIN_FABRIC_H
#define CNI_PLUGIN_FABRIC_H

#include "subnet/subnet_env.h"

/*
 * Reads the file. No file is CNI_TRY_AGAIN: the daemon has not got its subnet yet. A file that
 * anybody may write or replace is refused with CNI_CONFIG, as is one that does not parse. IPv6 is
 * left out, with a line in the log, where its MTU does not let it work and IPv4 does.
 */
int fabric_read(const char *path, struct subnet_env *ret, struct err *e) MUST_CHECK;

/* CNI_NOT_AVAILABLE if no more containers are to be attached. */
int fabric_check_open(const struct subnet_env *f, struct err *e) MUST_CHECK;

#endif
