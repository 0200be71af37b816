/* SPDX-License-Identifier: Apache-2.0 */
/* What consul_store.c, consul_write.c and consul_watch.c share, and what their tests turn; for nobody else. */
#ifndef STORES_CONSUL_INTERNAL_H
#define STORES_CONSUL_INTERNAL_H

#include "stores/consul/consul_client.h"
#include "stores/consul/consul_store.h"

#define CONSUL_PROBE_MS 10000
/* Bytes of lists that a watch takes at once. */
#define CONSUL_CREDIT_MAX ((int64_t)64 << 20)

struct consul_request;

struct consul_store {
	struct store base;
	struct event_base *loop;
	struct consul_client *client;
	uint64_t (*random)(void);
	char *prefix;         /* as consul_prefix_read leaves it */
	char *config_key;     /* PREFIX/config */
	char *subnets_prefix; /* PREFIX/subnets/ */
	char *rights_path;    /* to read a key that is not there, among the leases */
	char *list_path;      /* ... and all below the prefix */
	char *datacenter;     /* "" if none was asked for */
	struct consul_request *requests;
	/* The last list: what a watch from there knows. */
	struct consul_list listed;
	uint64_t listed_index;
	uint64_t listed_revision;
	int64_t probe_ms;   /* CONSUL_PROBE_MS; tests are in more of a hurry */
	int64_t credit_max; /* CONSUL_CREDIT_MAX */
};

/* One store request on its way: a chain of calls that ends in one reply. */
struct consul_request {
	struct consul_store *store;
	struct consul_request *next;
	struct consul_call *call;
	struct event *soon; /* an answer for which nobody has to be asked */
	enum store_status soon_status;
	enum store_op op;
	store_reply_fn *fn;
	void *arg;
	struct lease *lease; /* copy of the request's */
	char *key;
	char *value;
	int64_t session_ttl_s;
	uint64_t config_revision; /* CONFIG_SET */
	u128 session;             /* the key is to be bound to */
	bool granted;             /* ... and was made for this */
	unsigned grants;
	uint64_t mark; /* what this write leaves in the key's Flags */
	unsigned attempts;
	bool uncertain;       /* the write was sent and its end not seen */
	uint64_t table_index; /* LIST: of all keys, before the list was read */
	uint64_t token;       /* ... by whom */
	struct store_reply reply;
};

/* Ends the request. */
void consul_answer(struct consul_request *r, enum store_status status);
/* ... for a failure that needs no more thought than its outcome. */
void consul_answer_failure(struct consul_request *r, const struct consul_result *result);
void consul_request_call(struct consul_request *r, const struct consul_ask *ask,
			 consul_call_fn *fn);
/* Reads one key as it stands with a majority. */
void consul_request_read(struct consul_request *r, const char *key, consul_call_fn *fn);
/* Gives back a session that holds nothing. If this fails it ends by itself. */
void consul_drop_session(struct consul_request *r);

/* consul_write.c: CREATE, UPDATE, BIND, REMOVE, CONFIG_SET */
void consul_write(struct consul_request *r);

/* The one key that an answer to a read of one has. 0, -ENOENT: there is none; -EBADMSG. */
int consul_read_one(const struct consul_result *result, struct consul_kv *ret,
		    struct err *e) MUST_CHECK;
/* A key under subnets_prefix. The result is a lease, or NULL and *ret_reason: caller frees either. */
struct lease *consul_read_lease(const struct consul_store *s, const struct consul_kv *kv,
				char **ret_reason);
bool consul_is_subnet(const struct consul_store *s, const char *key);
/* A key that no session holds was put there by hand. */
void consul_set_store_part(struct lease *lease, u128 session);
/* As consul_list_read, of an answer: no key at all is 404. */
int consul_read_list(const struct consul_result *result, const struct consul_list *before,
		     struct consul_list *ret, struct err *e) MUST_CHECK;

/* consul_watch.c */
struct store_watch *consul_watch_start(struct store *s, uint64_t from_revision, store_event_fn *fn,
				       void *arg);
void consul_watch_stop(struct store_watch *w);

#endif
