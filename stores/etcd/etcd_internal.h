/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What etcd_store.c, etcd_client.c and etcd_watch.c share, and what their tests turn; for nobody
 * else.
 */
#ifndef STORES_ETCD_INTERNAL_H
#define STORES_ETCD_INTERNAL_H

#include "stores/etcd/etcd_store.h"

#define ETCD_CONNECT_TIMEOUT_MS 3000
/* etcd itself gives up after 7 s without a quorum; longer silence means a stopped or unreachable
 * member. */
#define ETCD_CALL_TIMEOUT_MS 10000
#define ETCD_PROBE_MS        10000
#define ETCD_MESSAGE_MAX     ((size_t)64 << 20)

struct etcd_store {
	struct store base;
	struct event_base *loop;
	struct etcd_client *client;
	uint64_t (*random)(void);
	char *prefix; /* as etcd_clean_prefix leaves it */
	char *config_key;
	char *subnets_prefix; /* with a trailing slash */
	char *subnets_end;
	uint64_t cluster_id; /* of the cluster we first talked to, 0 before */
	struct etcd_request *requests;
	int64_t probe_ms;   /* ETCD_PROBE_MS; tests are in more of a hurry */
	size_t message_max; /* ETCD_MESSAGE_MAX */
};

/* Reads one key under subnets_prefix. The result is a lease, or NULL and *ret_reason: caller frees
 * either. */
struct lease *etcd_read_lease(const struct etcd_store *s, const struct etcd_kv *kv,
			      char **ret_reason);

/* Instead of ETCD_CONNECT_TIMEOUT_MS and ETCD_CALL_TIMEOUT_MS, for calls that are not yet sent. */
void etcd_client_set_timeouts(struct etcd_client *c, int64_t connect_ms, int64_t call_ms);

struct store_watch *etcd_watch_start(struct store *s, uint64_t from_revision, store_event_fn *fn,
				     void *arg);
void etcd_watch_stop(struct store_watch *w);
/* For tests: what happens every ETCD_PROBE_MS happens in the next turn of the loop. */
void etcd_watch_tick(struct store_watch *w);

#endif
