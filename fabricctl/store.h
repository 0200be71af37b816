/* SPDX-License-Identifier: Apache-2.0 */
/* The store command: what it makes of etcd's answers, which is pure, and its verbs with a file of their own. */
#ifndef FABRICCTL_STORE_H
#define FABRICCTL_STORE_H

#include "fabricctl/ctl.h"
#include "stores/etcd/etcd_message.h"

/* What etcd says of one member: adds "role", "version", "revision", "dbSizeBytes", "memberID" to
 * *item. */
void store_add_status(json_t *item, const struct etcd_reply *reply);

/* One key as the dump shows it: its value as JSON if it is an object, without secrets; else as
 * text; else as base64. */
json_t *store_key(const struct etcd_kv *kv);

/* fabricctl store repair; the exit status. */
int store_repair(const struct ctl *c);

/* fabricctl store watch; the exit status. */
int store_watch_run(const struct ctl *c);

#endif
