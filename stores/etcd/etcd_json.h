/* SPDX-License-Identifier: Apache-2.0 */
/*
 * etcd v3 as its JSON gateway speaks it: request bodies out, replies and errors in. Pure.
 *
 * What the gateway leaves out means zero, 64-bit numbers come as strings, fields come in snake_case
 * or lowerCamelCase by version. Errors come as text, as {"error","message","code"} or, from the
 * second version of the gateway on, which Debian builds 3.5 with, as {"code","message","details"}; of
 * streams as {"error":{"grpc_code"}} or {"error":{"code"}}. All of that ends here. Source: etcd's
 * rpc.proto, and transcripts of etcd 3.4.23, 3.5.16, 3.5.30 and 3.6.14.
 */
#ifndef STORES_ETCD_JSON_H
#define STORES_ETCD_JSON_H

#include "lib/json.h"
#include "stores/etcd/etcd_transport.h"

extern const struct etcd_transport etcd_json_transport;

/* Request bodies; caller frees. Keys are text, revisions and ids numbers; a zero limit or revision
 * is left out. */
char *etcd_encode_probe(const char *key); /* the cheapest read that needs a quorum */
char *etcd_encode_range(const char *key, const char *range_end, uint64_t limit, uint64_t revision);
/* The same from a key of any bytes. */
char *etcd_encode_range_from(const char *key, size_t key_size, const char *range_end,
			     uint64_t limit, uint64_t revision);
char *etcd_encode_grant(int64_t id, int64_t ttl_s);
char *etcd_encode_lease_id(int64_t id); /* revoke, keepalive, timetolive */
char *etcd_encode_authenticate(const char *name, const char *password);
/* If nobody has `key`, put it with the lease; else read it. */
char *etcd_encode_txn_create(const char *key, const char *value, int64_t lease);
/* If `key` still has this mod_revision, put it with the lease (0: keeping its own); else read it. */
char *etcd_encode_txn_update(const char *key, const char *value, uint64_t mod_revision,
			     int64_t lease);
/* If `key` still has this mod_revision, delete it; else read it. */
char *etcd_encode_txn_delete(const char *key, uint64_t mod_revision);
/* Whatever is there, put `key` with the lease. */
char *etcd_encode_txn_set(const char *key, const char *value, int64_t lease);
/* One message of a watch stream: everything from `revision` on, in fragments if it is much.
 * range_end may be NULL. */
char *etcd_encode_watch(const char *key, const char *range_end, uint64_t revision);

/* Reply to range. kvs are appended. With ret_header an answer without a revision is refused. */
int etcd_decode_range(const json_t *reply, struct etcd_header *ret_header, struct etcd_kvs *kvs,
		      struct err *e) MUST_CHECK;
/*
 * From where to ask on after a reply to range that its limit has cut: no key lies between the last
 * one and this. NULL if nothing was cut; -EINVAL if there is no last key. Bytes, caller frees.
 */
int etcd_decode_next_key(const json_t *reply, char **ret, size_t *ret_size,
			 struct err *e) MUST_CHECK;
/* Reply to one of the transactions above; on failure of the compare kvs has what was read. */
int etcd_decode_txn(const json_t *reply, struct etcd_header *ret_header, bool *ret_succeeded,
		    struct etcd_kvs *kvs, struct err *e) MUST_CHECK;
/* TTL of a reply to grant, keepalive or timetolive, STORE_TTL_MAX_S at most; 0 or negative: the lease
 * is gone. */
int64_t etcd_decode_ttl(const json_t *reply);
/* Of a reply to timetolive: what the lease begins with each time it is prolonged; 0: not said. */
int64_t etcd_decode_granted_ttl(const json_t *reply);
/* Borrowed; NULL if missing. */
const char *etcd_decode_token(const json_t *reply);
struct etcd_header etcd_decode_header(const json_t *reply);

/*
 * Turns an HTTP answer into a code: ETCD_OK, a gRPC code, or ETCD_NOT_ETCD. *ret_reply is the
 * parsed object if OK, otherwise *text gets a sentence. What has no header is not etcd's answer: an
 * object without anything in it would else be an empty store, or a lease that is lost.
 */
int etcd_decode_answer(long http_status, const char *body, size_t body_size, json_t **ret_reply,
		       char *text, size_t text_size);

/* One message of a watch stream, which has the size of its line. */
int etcd_decode_watch(const char *line, size_t size, struct etcd_watch_message *ret,
		      struct err *e) MUST_CHECK;

/* The reply to this method, whole. -EINVAL: etcd gives no such answer. */
int etcd_decode_reply(enum etcd_method method, const json_t *reply, struct etcd_reply *ret,
		      struct err *e) MUST_CHECK;

#endif
