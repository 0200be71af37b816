/* SPDX-License-Identifier: Apache-2.0 */
/* The store command: what it makes of answers, which is pure, and its verbs and stores with a file of their own. */
#ifndef FABRICCTL_STORE_H
#define FABRICCTL_STORE_H

#include "fabricctl/ctl.h"
#include "fabricctl/session.h"
#include "stores/etcd/etcd_message.h"

/* What etcd says of one member: adds "role", "version", "revision", "dbSizeBytes", "memberID" to
 * *item. */
void store_add_status(json_t *item, const struct etcd_reply *reply);

/* One key as the dump shows it: its value as JSON if it is an object, without secrets; else as
 * text; else as base64. */
json_t *store_key(const struct etcd_kv *kv);
/* The same of any store; `lease` is consumed, NULL: none. */
json_t *store_item(const char *key, const char *value, size_t size, uint64_t create_revision,
		   uint64_t mod_revision, json_t *lease);

/* Endpoints as ping shows them, and how many of them do not answer; the exit status. */
json_t *store_endpoint(const char *url);
int store_print_ping(const struct ctl *c, json_t *items, size_t *ret_failed);
/* The document of a dump; `items` is consumed. */
void store_print_dump(const struct ctl *c, const char *prefix, uint64_t revision, json_t *items);

/* fabricctl store ping and dump, of Consul; the exit status. */
int store_consul_ping(const struct ctl *c, struct session *s);
int store_consul_dump(const struct ctl *c, struct session *s);

/* fabricctl store repair; the exit status. */
int store_repair(const struct ctl *c);

/* fabricctl store watch; the exit status. */
int store_watch_run(const struct ctl *c);

#endif
