/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes to Consul: a session where the lease shall end, one transaction, and a look at what it left behind
 * if its end was not seen.
 *
 *   CREATE       check-not-exists, lock (or set, of what does not end)
 *   UPDATE       check-index, lock by the session that holds it (or set)
 *   BIND         check-index, lock by a new session
 *   REMOVE       check-index, delete-cas: that alone would succeed where there is no key
 *   CONFIG_SET   check-not-exists or check-index, set
 *
 * The lock delay of a session that was destroyed does not hold off any of these, and is asked to be 0.
 */
#include <errno.h>

#include "lib/base64.h"
#include "lib/buffer.h"
#include "stores/consul/consul_internal.h"

/* How often an unknown outcome is looked into before it is given back as unknown. */
#define READ_BACK_ATTEMPTS 3
/* Sessions that one write asks for: one may have ended before the key was bound to it. */
#define GRANT_ATTEMPTS 3
/* Consul's numbers are JSON's for some clients, which have 53 bits. */
#define MARK_BITS 52

static void send_txn(struct consul_request *r);
static void make_session(struct consul_request *r);

static bool makes_session(const struct consul_request *r)
{
	return r->session_ttl_s > 0;
}

/* The key as it stands in the store after a write of ours. */
static void answer_written(struct consul_request *r, uint64_t modify_index, uint64_t now)
{
	r->reply.revision = now;
	r->reply.ttl_s = 2 * r->session_ttl_s;
	if (r->op == STORE_CONFIG_SET) {
		r->reply.config_revision = modify_index;
	} else if (r->op != STORE_REMOVE) {
		r->reply.holder = lease_copy(r->lease);
		r->reply.holder->mod_revision = modify_index;
		if (r->op == STORE_CREATE)
			r->reply.holder->born = modify_index;
		if (r->op != STORE_UPDATE)
			consul_set_store_part(r->reply.holder, r->session);
	}
	consul_answer(r, STORE_OK);
}

/* Somebody else's value stands there: say whose, and leave nothing of ours behind. */
static void answer_conflict(struct consul_request *r, const struct consul_kv *kv)
{
	char *reason = NULL;

	if (kv && r->op != STORE_CONFIG_SET) {
		r->reply.holder = consul_read_lease(r->store, kv, &reason);
		free(reason);
	}
	if (r->granted)
		consul_drop_session(r);
	err_set(&r->reply.err, -EEXIST, "consul: %s: %s %s", store_op_name(r->op), r->key,
		kv ? "was changed by somebody else" : "is gone");
	consul_answer(r, STORE_CONFLICT);
}

/* Whether the check of the transaction still holds. */
static bool is_unchanged(const struct consul_request *r, const struct consul_kv *kv)
{
	if (r->op == STORE_CREATE)
		return !kv;
	if (r->op == STORE_CONFIG_SET)
		return (kv ? kv->modify_index : 0) == r->config_revision;
	return kv && kv->modify_index == r->lease->mod_revision;
}

/* Whether what stands there is what this write, sent before, has left. */
static bool is_done(const struct consul_request *r, const struct consul_kv *kv)
{
	return r->op == STORE_REMOVE ? !kv : kv && kv->flags == r->mark;
}

/* What stands under the key decides what the transaction has done. */
static void judge(struct consul_request *r, const struct consul_kv *kv, uint64_t index)
{
	r->reply.revision = index;
	if (r->uncertain && is_done(r, kv))
		answer_written(r, kv ? kv->modify_index : index, index);
	else if (r->uncertain && is_unchanged(r, kv))
		/* It has not happened, or not yet: the check makes a second try safe. */
		send_txn(r);
	else
		answer_conflict(r, kv);
}

static void on_read_back(void *arg, const struct consul_result *result)
{
	struct consul_request *r = arg;
	struct consul_kv kv = { 0 };
	struct err e;
	int rc;

	r->call = NULL;
	if (result->outcome != CONSUL_OK && result->outcome != CONSUL_ABSENT) {
		consul_answer_failure(r, result);
		return;
	}
	rc = consul_read_one(result, &kv, &e);
	if (rc == 0 || rc == -ENOENT) {
		judge(r, rc == 0 ? &kv : NULL, result->index);
	} else {
		r->reply.err = e;
		err_wrap(&r->reply.err, "consul: %s", store_op_name(r->op));
		consul_answer(r, STORE_UNKNOWN);
	}
	consul_kv_fini(&kv);
}

static void read_back(struct consul_request *r)
{
	consul_request_read(r, r->key, on_read_back);
}

/* After a delete nothing tells its index but a read of what is gone. */
static void on_removed(void *arg, const struct consul_result *result)
{
	struct consul_request *r = arg;

	r->call = NULL;
	answer_written(r, result->index, result->index);
}

static void written(struct consul_request *r, const struct consul_result *result)
{
	struct consul_kv kv = { 0 };
	struct err e;

	if (r->op == STORE_REMOVE) {
		consul_request_read(r, r->key, on_removed);
	} else if (consul_txn_read(result->body, result->size, &kv, &e) < 0) {
		r->reply.err = e;
		err_wrap(&r->reply.err, "consul: %s", store_op_name(r->op));
		consul_answer(r, STORE_UNKNOWN);
	} else {
		answer_written(r, kv.modify_index, kv.modify_index);
	}
	consul_kv_fini(&kv);
}

static void on_txn(void *arg, const struct consul_result *result)
{
	struct consul_request *r = arg;

	r->call = NULL;
	switch (result->outcome) {
	case CONSUL_OK:
		written(r, result);
		return;
	case CONSUL_CONFLICT:
		/* By whom, only a read tells; it may be our own write that is in the way of its repetition. A
		 * server that says both, changed and not, is not asked for ever. */
		if (r->uncertain && r->attempts++ >= 2 * READ_BACK_ATTEMPTS)
			break;
		read_back(r);
		return;
	case CONSUL_NO_SESSION:
		if (!r->granted) {
			/* The lease's own is no more, and so is its key, or somebody took it over. */
			read_back(r);
			return;
		}
		r->granted = false;
		if (r->grants < GRANT_ATTEMPTS) {
			make_session(r);
			return;
		}
		break;
	case CONSUL_LATER:
		if (!result->reached)
			break;
		r->uncertain = true;
		if (r->attempts++ < READ_BACK_ATTEMPTS) {
			read_back(r);
			return;
		}
		break;
	default:
		break;
	}
	consul_answer_failure(r, result);
}

static void put_check(const struct consul_request *r, struct buffer *b)
{
	uint64_t index = r->op == STORE_CONFIG_SET ? r->config_revision
			 : r->op == STORE_CREATE   ? 0
						   : r->lease->mod_revision;

	buffer_puts(b, "[{\"KV\":{\"Key\":");
	buffer_put_json(b, r->key);
	if (index)
		buffer_printf(b, ",\"Verb\":\"check-index\",\"Index\":%llu}}",
			      (unsigned long long)index);
	else
		buffer_puts(b, ",\"Verb\":\"check-not-exists\"}}");
}

static void put_write(const struct consul_request *r, struct buffer *b)
{
	auto_free char *value64 = NULL;
	char id[CONSUL_SESSION_TEXT];

	buffer_puts(b, ",{\"KV\":{\"Key\":");
	buffer_put_json(b, r->key);
	if (r->op == STORE_REMOVE) {
		buffer_printf(b, ",\"Verb\":\"delete-cas\",\"Index\":%llu}}]",
			      (unsigned long long)r->lease->mod_revision);
		return;
	}
	value64 = base64_encode(r->value, strlen(r->value));
	buffer_printf(b, ",\"Value\":\"%s\",\"Flags\":%llu", value64, (unsigned long long)r->mark);
	if (r->session)
		buffer_printf(b, ",\"Verb\":\"lock\",\"Session\":\"%s\"}}]",
			      consul_session_format(r->session, id));
	else
		buffer_puts(b, ",\"Verb\":\"set\"}}]");
}

static void send_txn(struct consul_request *r)
{
	auto_buffer struct buffer body = { 0 };

	put_check(r, &body);
	put_write(r, &body);
	consul_request_call(r, &(struct consul_ask){ .path = "/v1/txn", .body = body.data },
			    on_txn);
}

static void on_session(void *arg, const struct consul_result *result)
{
	struct consul_request *r = arg;

	r->call = NULL;
	if (result->outcome != CONSUL_OK) {
		/* Nothing but an empty session can be left behind. */
		consul_answer_failure(r, result);
		return;
	}
	if (consul_session_read(result->body, result->size, &r->session, &r->reply.err) < 0) {
		err_wrap(&r->reply.err, "consul: %s", store_op_name(r->op));
		consul_answer(r, STORE_UNAVAILABLE);
		return;
	}
	r->granted = true;
	send_txn(r);
}

/*
 * Bound to nothing but its TTL: the health of an agent, which Consul would bind it to by itself, says nothing
 * about the packets of this host.
 */
static void make_session(struct consul_request *r)
{
	auto_free char *body = NULL;
	char key[SUBNET_KEY_TEXT];

	r->grants++;
	body = xasprintf("{\"Name\":\"flannel %s\",\"TTL\":\"%llds\",\"Behavior\":\"delete\","
			 "\"LockDelay\":\"0s\",\"Checks\":[],\"NodeChecks\":[]}",
			 subnet_format(&r->lease->subnet, key), (long long)r->session_ttl_s);
	consul_request_call(r, &(struct consul_ask){ .path = "/v1/session/create", .body = body },
			    on_session);
}

void consul_write(struct consul_request *r)
{
	r->mark = r->store->random() >> (64 - MARK_BITS) | 1;
	if (r->op == STORE_UPDATE)
		r->session = r->lease->id;
	if (makes_session(r))
		make_session(r);
	else
		send_txn(r);
}
