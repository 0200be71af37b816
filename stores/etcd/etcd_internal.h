/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What etcd_store.c, etcd_client.c and etcd_watch.c share, and what their tests turn; for nobody
 * else.
 */
#ifndef STORES_ETCD_INTERNAL_H
#define STORES_ETCD_INTERNAL_H

#include <sys/queue.h>

#include "stores/etcd/etcd_store.h"

#define ETCD_CONNECT_TIMEOUT_MS 3000
/* etcd itself gives up after 7 s without a quorum; longer silence means a stopped or unreachable
 * member. */
#define ETCD_CALL_TIMEOUT_MS 10000
#define ETCD_PROBE_MS        10000
#define ETCD_MESSAGE_MAX     ((size_t)64 << 20)
/* Keys of a list, leases or not: a cluster has no more, a server that is no etcd may. */
#define ETCD_LIST_KEYS_MAX ((size_t)16 * STORE_LEASES_MAX)
/* Questions of one lease each, of which people ask hundreds at once. */
#define ETCD_TIME_LEFT_AT_ONCE 2

struct etcd_request;
struct etcd_time_left;

struct etcd_store {
	struct store base;
	struct event_base *loop;
	struct etcd_client *client;
	uint64_t (*random)(void);
	char *prefix; /* as etcd_clean_prefix leaves it */
	char *config_key;
	char *subnets_prefix; /* with a trailing slash */
	char *subnets_end;
	char *health_prefix; /* with a trailing slash */
	char *health_end;
	int64_t health_handle; /* that this host's record is bound to; 0: none */
	uint64_t cluster_id;   /* of the cluster we first talked to, 0 before */
	struct etcd_request *requests;
	int64_t probe_ms;     /* ETCD_PROBE_MS; tests are in more of a hurry */
	size_t message_max;   /* ETCD_MESSAGE_MAX */
	size_t list_keys_max; /* ETCD_LIST_KEYS_MAX */
	/* etcd_time_left.c */
	TAILQ_HEAD(, etcd_request) waiting;
	struct etcd_request *under_way[ETCD_TIME_LEFT_AT_ONCE];
	struct etcd_time_left *times_left;
	struct event *time_left_turn;
};

/* One store request on its way: a chain of etcd calls that ends in one reply. */
struct etcd_request {
	struct etcd_store *store;
	struct etcd_request *next;
	struct etcd_call *call;
	enum store_op op;
	store_reply_fn *fn;
	void *arg;
	struct lease *lease; /* copy of the request's */
	char *key;
	char *value;
	int64_t ttl_s;
	int64_t handle;
	uint64_t config_revision; /* CONFIG_SET */
	unsigned attempts;
	unsigned grants;      /* handles asked for */
	bool grant_uncertain; /* this one may have been granted before */
	bool granted;
	bool uncertain; /* the write was sent and its end not seen */
	uint64_t list_revision;
	uint64_t list_cluster;
	const char *list_prefix; /* the store's: of what is listed */
	const char *list_end;    /* NULL: of `key` alone */
	char *page_from;         /* where the page under way begins */
	size_t page_from_size;
	size_t page_len; /* keys of it at most */
	size_t leases_cap;
	size_t junk_cap;
	size_t health_cap;
	bool waits; /* STORE_TIME_LEFT, for its turn */
	TAILQ_ENTRY(etcd_request) waiting;
	struct store_reply reply;
};

/* Ends the request. */
void etcd_answer(struct etcd_request *r, enum store_status status);
/* ... for a failure that needs no more thought than its gRPC code. */
void etcd_answer_failure(struct etcd_request *r, const struct etcd_result *result);
/* Asks for this request. */
void etcd_request_call(struct etcd_request *r, const struct etcd_ask *ask, etcd_call_fn *fn);
/* Gives back a handle that holds nothing. If this fails it expires by itself. */
void etcd_drop_handle(struct etcd_request *r);
/* A key that is bound to no lease of etcd's was put there by hand. */
void etcd_set_store_part(struct lease *lease, int64_t etcd_lease);

/* What a reply with a TTL means; fills r->reply. */
enum store_status etcd_read_ttl(struct etcd_request *r, const struct etcd_result *result);
/* The status of a failure; r->reply.err says what it was. */
enum store_status etcd_read_failure(struct etcd_request *r, const struct etcd_result *result);

/* etcd_time_left.c: STORE_TIME_LEFT. `drop`: the request goes, wherever it stands. */
void etcd_time_left_init(struct etcd_store *s);
void etcd_time_left_fini(struct etcd_store *s);
void etcd_time_left_ask(struct etcd_request *r);
void etcd_time_left_drop(struct etcd_request *r);
/* What is known of a lease is about to be otherwise. */
void etcd_time_left_forget(struct etcd_store *s, int64_t id);

/* etcd_trace.c: a line for --log-level=debug */
void etcd_trace_call(const char *url, const char *path, const struct etcd_ask *ask,
		     size_t body_size, const struct http_reply *http, bool grpc, int64_t asked_ms);
/* The same for what comes on a stream that was opened at that time, and for its end. */
void etcd_trace_message(const char *url, const struct etcd_watch_message *m, int64_t opened_ms);
void etcd_trace_end(const char *url, const char *why, int64_t opened_ms);
/* The key or the lease that is asked about, or "". Caller frees. */
char *etcd_trace_subject(const struct etcd_ask *ask);

/* etcd_health.c: what hosts tell of themselves. `add`: one key of a list. */
void etcd_health_set(struct etcd_request *r);
void etcd_health_keep(struct etcd_request *r);
void etcd_health_add(struct etcd_request *r, struct etcd_kv *kv);

/* etcd_write.c: UPDATE, BIND, REMOVE, CONFIG_SET, and CREATE of what does not expire. */
void etcd_send_txn(struct etcd_request *r);
/* CREATE, BIND: asks for a handle that nobody has, and then writes. */
void etcd_grant(struct etcd_request *r);

/* Reads one key under subnets_prefix. The result is a lease, or NULL and *ret_reason: caller frees
 * either. */
struct lease *etcd_read_lease(const struct etcd_store *s, const struct etcd_kv *kv,
			      char **ret_reason);

struct store_watch *etcd_watch_start(struct store *s, uint64_t from_revision, store_event_fn *fn,
				     void *arg);
void etcd_watch_stop(struct store_watch *w);
/* For tests: what happens every ETCD_PROBE_MS happens in the next turn of the loop. */
void etcd_watch_tick(struct store_watch *w);

#endif
