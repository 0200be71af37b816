/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes to etcd: a grant where the lease shall expire, one transaction, and a look at what it left
 * behind if its end was not seen.
 */
#include <errno.h>

#include "stores/etcd/etcd_internal.h"

/* How often an unknown outcome is looked into before it is given back as unknown. */
#define READ_BACK_ATTEMPTS 3
/* Handles that one create asks for: an id may be taken, a handle be lost before it is used. */
#define GRANT_ATTEMPTS 3

/* The lease as it stands in the store after a write of ours at `revision`; `now` is the store's. */
static void answer_written(struct etcd_request *r, uint64_t revision, uint64_t now)
{
	r->reply.revision = now;
	r->reply.ttl_s = r->ttl_s;
	if (r->op == STORE_CONFIG_SET) {
		r->reply.config_revision = revision;
	} else if (r->op != STORE_REMOVE) {
		r->reply.holder = lease_copy(r->lease);
		r->reply.holder->mod_revision = revision;
		if (r->op == STORE_CREATE)
			r->reply.holder->born = revision;
		if (r->op == STORE_CREATE || r->op == STORE_BIND)
			etcd_set_store_part(r->reply.holder, r->handle);
	}
	etcd_answer(r, STORE_OK);
}

/* Somebody else's value stands there: say whose, and leave nothing of ours behind. */
static void answer_conflict(struct etcd_request *r, const struct etcd_kvs *kvs)
{
	char *reason = NULL;

	if (kvs->len > 0 && r->op != STORE_CONFIG_SET) {
		r->reply.holder = etcd_read_lease(r->store, &kvs->items[0], &reason);
		free(reason);
	}
	if (r->granted)
		etcd_drop_handle(r);
	err_set(&r->reply.err, -EEXIST, "etcd: %s: %s %s", store_op_name(r->op), r->key,
		kvs->len > 0 ? "was changed by somebody else" : "is gone");
	etcd_answer(r, STORE_CONFLICT);
}

/* Whether the compare of the transaction still holds. */
static bool is_unchanged(const struct etcd_request *r, const struct etcd_kv *kv)
{
	if (r->op == STORE_CREATE)
		return !kv;
	if (r->op == STORE_CONFIG_SET)
		return (kv ? kv->mod_revision : 0) == r->config_revision;
	return kv && kv->mod_revision == r->lease->mod_revision;
}

/* Whether what stands under the key is what this write, sent before, would have left there. */
static bool is_done(const struct etcd_request *r, const struct etcd_kv *kv)
{
	if (r->op == STORE_REMOVE)
		return !kv;
	if (r->handle)
		return kv && kv->lease == r->handle;
	return kv && kv->value_size == strlen(r->value) &&
	       memcmp(kv->value, r->value, kv->value_size) == 0;
}

/* What stands under the key decides what a write of unknown outcome has done. */
static void on_read_back(void *arg, const struct etcd_result *result)
{
	struct etcd_request *r = arg;
	const struct etcd_header *header = &result->reply->header;
	const struct etcd_kvs *kvs = &result->reply->kvs;
	const struct etcd_kv *kv = kvs->len ? &kvs->items[0] : NULL;

	r->call = NULL;
	if (result->code != ETCD_OK) {
		etcd_answer_failure(r, result);
	} else if (is_done(r, kv)) {
		answer_written(r, kv ? kv->mod_revision : header->revision, header->revision);
	} else if (is_unchanged(r, kv)) {
		/* It has not happened, or not yet: the compare makes a second try safe. */
		etcd_send_txn(r);
	} else {
		r->reply.revision = header->revision;
		answer_conflict(r, kvs);
	}
}

static void on_txn(void *arg, const struct etcd_result *result)
{
	struct etcd_request *r = arg;
	const struct etcd_header *header = &result->reply->header;
	const struct etcd_kvs *kvs = &result->reply->kvs;
	const struct etcd_kv *kv = kvs->len ? &kvs->items[0] : NULL;

	r->call = NULL;
	if (etcd_code_is_transient(result->code) && result->reached) {
		r->uncertain = true;
		if (r->attempts++ < READ_BACK_ATTEMPTS) {
			etcd_request_call(r,
					  &(struct etcd_ask){ .method = ETCD_RANGE, .key = r->key },
					  on_read_back);
			return;
		}
	}
	/* The store forgot the handle before the key was bound to it. */
	if (result->code == ETCD_NOT_FOUND && r->granted && r->grants < GRANT_ATTEMPTS) {
		etcd_grant(r);
		return;
	}
	if (result->code != ETCD_OK) {
		etcd_answer_failure(r, result);
	} else if (result->reply->succeeded) {
		answer_written(r, header->revision, header->revision);
	} else if (r->uncertain && is_done(r, kv)) {
		/* Our own write is what is in the way of its repetition. */
		answer_written(r, kv ? kv->mod_revision : header->revision, header->revision);
	} else {
		r->reply.revision = header->revision;
		answer_conflict(r, kvs);
	}
}

void etcd_send_txn(struct etcd_request *r)
{
	struct etcd_ask ask = { .method = ETCD_TXN, .key = r->key };

	if (r->op == STORE_REMOVE)
		ask.txn = ETCD_TXN_DELETE;
	else if (r->op == STORE_CREATE || (r->op == STORE_CONFIG_SET && !r->config_revision))
		ask.txn = ETCD_TXN_CREATE;
	else
		ask.txn = ETCD_TXN_UPDATE;
	if (ask.txn != ETCD_TXN_DELETE)
		ask.value = r->value;
	if (ask.txn != ETCD_TXN_CREATE)
		ask.mod_revision =
			r->op == STORE_CONFIG_SET ? r->config_revision : r->lease->mod_revision;
	if (r->op != STORE_CONFIG_SET && r->op != STORE_REMOVE)
		ask.lease = r->handle;
	etcd_request_call(r, &ask, on_txn);
}

static void send_grant(struct etcd_request *r);

static void on_grant(void *arg, const struct etcd_result *result)
{
	struct etcd_request *r = arg;
	bool taken = result->code == ETCD_FAILED_PRECONDITION &&
		     strstr(result->text, "lease already exists");

	r->call = NULL;
	/* We chose the id, so a repeated grant that finds it taken finds our own. */
	if (result->code == ETCD_OK || (taken && r->grant_uncertain)) {
		if (result->code == ETCD_OK)
			r->ttl_s = result->reply->ttl_s;
		r->granted = true;
		etcd_send_txn(r);
	} else if (taken && r->grants < GRANT_ATTEMPTS) {
		etcd_grant(r);
	} else if (etcd_code_is_transient(result->code) && result->reached &&
		   r->attempts++ < READ_BACK_ATTEMPTS) {
		r->grant_uncertain = true;
		send_grant(r);
	} else {
		/* Nothing but an empty handle can be left behind. */
		etcd_answer_failure(r, result);
	}
}

static void send_grant(struct etcd_request *r)
{
	etcd_request_call(
		r,
		&(struct etcd_ask){ .method = ETCD_GRANT, .lease = r->handle, .ttl_s = r->ttl_s },
		on_grant);
}

/* Asks for a handle that nobody has. */
void etcd_grant(struct etcd_request *r)
{
	r->grants++;
	r->granted = r->grant_uncertain = false;
	/* Positive and not zero: servers mishandle negative ids. */
	r->handle = (int64_t)(r->store->random() >> 1) | 1;
	send_grant(r);
}
