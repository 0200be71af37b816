/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hosts tell of themselves: a key for each, which only its host writes, so that no write is
 * compared with anything and repeating one is harmless.
 *
 * The key is bound to a lease of etcd's that is kept for this alone. To prolong that writes nothing
 * into etcd's history, so a host that has nothing new to tell costs no revision.
 */
#include "stores/etcd/etcd_internal.h"
#include "subnet/health_record.h"

static void put(struct etcd_request *r);

static void on_grant(void *arg, const struct etcd_result *result)
{
	struct etcd_request *r = arg;

	r->call = NULL;
	if (result->code != ETCD_OK) {
		etcd_answer_failure(r, result);
		return;
	}
	r->granted = true;
	r->store->health_handle = r->handle;
	put(r);
}

static void grant(struct etcd_request *r)
{
	/* Positive and not zero: servers mishandle negative ids. */
	r->handle = (int64_t)(r->store->random() >> 1) | 1;
	etcd_request_call(
		r,
		&(struct etcd_ask){ .method = ETCD_GRANT, .lease = r->handle, .ttl_s = r->ttl_s },
		on_grant);
}

static void on_put(void *arg, const struct etcd_result *result)
{
	struct etcd_request *r = arg;

	r->call = NULL;
	if (result->code == ETCD_OK) {
		r->reply.revision = result->reply->header.revision;
		r->reply.ttl_s = r->ttl_s;
		etcd_answer(r, STORE_OK);
	} else if (result->code == ETCD_NOT_FOUND && !r->granted) {
		/* The lease has run out meanwhile, and the key with it. */
		grant(r);
	} else {
		/* The lease that was granted for this is there for the next time. */
		r->granted = false;
		etcd_answer_failure(r, result);
	}
}

static void put(struct etcd_request *r)
{
	etcd_request_call(r,
			  &(struct etcd_ask){ .method = ETCD_TXN,
					      .txn = ETCD_TXN_SET,
					      .key = r->key,
					      .value = r->value,
					      .lease = r->store->health_handle },
			  on_put);
}

void etcd_health_set(struct etcd_request *r)
{
	if (r->store->health_handle)
		put(r);
	else
		grant(r);
}

static void on_keep(void *arg, const struct etcd_result *result)
{
	struct etcd_request *r = arg;
	enum store_status status = etcd_read_ttl(r, result);

	if (status == STORE_ABSENT)
		r->store->health_handle = 0;
	etcd_answer(r, status);
}

void etcd_health_keep(struct etcd_request *r)
{
	/* One that nobody has reads as expired. */
	etcd_request_call(
		r, &(struct etcd_ask){ .method = ETCD_KEEPALIVE, .lease = r->store->health_handle },
		on_keep);
}

void etcd_health_add(struct etcd_request *r, struct etcd_kv *kv)
{
	struct store_reply *reply = &r->reply;

	/* What is longer is no record, and lists may be of thousands. */
	if (kv->value_size > HEALTH_RECORD_MAX_SIZE)
		return;
	GROW(reply->health, reply->health_len, r->health_cap);
	reply->health[reply->health_len++] =
		(struct store_health){ xstrdup(kv->key + strlen(r->list_prefix)), kv->value,
				       kv->value_size };
	kv->value = NULL;
}
