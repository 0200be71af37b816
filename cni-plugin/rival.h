/* SPDX-License-Identifier: Apache-2.0 */
/* A port of the host is the container's that had it first, as long as it lives. */
#ifndef CNI_PLUGIN_RIVAL_H
#define CNI_PLUGIN_RIVAL_H

#include "cni-plugin/host.h"
#include "cni-plugin/record.h"

/*
 * For a record that is written: its rules and its interface come next. If it publishes ports, nobody
 * else gets past here until host_close: of two at once neither would see that the other is alive.
 *
 * CNI_CONFLICT: one of the record's host ports is published for another that lives, whom it names.
 * CNI_CONFIG: one is at an address from which nothing comes to the container: of a family that it has
 * none of, or ::1.
 */
int rival_check(struct host *h, const char *data_dir, const struct record *r,
		struct err *e) MUST_CHECK;

#endif
