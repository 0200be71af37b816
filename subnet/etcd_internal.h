/* SPDX-License-Identifier: Apache-2.0 */
/* What etcd_store.c and etcd_watch.c share; for nobody else. */
#ifndef SUBNET_ETCD_INTERNAL_H
#define SUBNET_ETCD_INTERNAL_H

#include "subnet/etcd_store.h"

#define ETCD_RETRY_MIN_MS 100
#define ETCD_RETRY_MAX_MS 10000

struct etcd_store {
	struct store base;
	struct event_base *loop;
	struct etcd_client *client;
	uint64_t (*random)(void);
	char *config_key;
	char *subnets_prefix; /* with a trailing slash */
	char *subnets_end;
	uint64_t cluster_id; /* of the cluster we first talked to, 0 before */
	struct etcd_request *requests;
};

/* Reads one key under subnets_prefix. The result is a lease, or NULL and *ret_reason: caller frees
 * either. */
struct lease *etcd_read_lease(const struct etcd_store *s, const struct etcd_kv *kv,
			      char **ret_reason);

struct store_watch *etcd_watch_start(struct store *s, uint64_t from_revision, store_event_fn *fn,
				     void *arg);
void etcd_watch_stop(struct store_watch *w);

#endif
