/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/etcd/etcd_grpc.h"

#include <errno.h>
#include <string.h>

#include "lib/grpc.h"
#include "stores/etcd/etcd.pb-c.h"
#include "subnet/store.h"

static const char *const paths[ETCD_METHODS] = {
	[ETCD_RANGE] = "KV/Range",
	[ETCD_TXN] = "KV/Txn",
	[ETCD_GRANT] = "Lease/LeaseGrant",
	[ETCD_REVOKE] = "Lease/LeaseRevoke",
	[ETCD_KEEPALIVE] = "Lease/LeaseKeepAlive",
	[ETCD_TIME_TO_LIVE] = "Lease/LeaseTimeToLive",
	[ETCD_AUTHENTICATE] = "Auth/Authenticate",
	[ETCD_STATUS] = "Maintenance/Status",
	[ETCD_WATCH] = "Watch/Watch",
};

static char *path_of(enum etcd_method method, unsigned dialect UNUSED)
{
	return xasprintf("/etcdserverpb.%s", paths[method]);
}

/* ---- requests ---- */

static char *frame(const void *message, size_t *ret_size)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	char *bytes = xmalloc(GRPC_PREFIX_SIZE + size);

	grpc_prefix((uint8_t *)bytes, size);
	protobuf_c_message_pack(message, (uint8_t *)bytes + GRPC_PREFIX_SIZE);
	*ret_size = GRPC_PREFIX_SIZE + size;
	return bytes;
}

static ProtobufCBinaryData bytes_of(char *text)
{
	return (ProtobufCBinaryData){ text ? strlen(text) : 0, (uint8_t *)text };
}

static ProtobufCBinaryData key_of(const struct etcd_ask *ask)
{
	return (ProtobufCBinaryData){ ask->key_size ? ask->key_size : strlen(ask->key),
				      (uint8_t *)ask->key };
}

static char *encode_range(const struct etcd_ask *ask, size_t *ret_size)
{
	Etcd__RangeRequest range = ETCD__RANGE_REQUEST__INIT;

	range.key = key_of(ask);
	range.range_end = bytes_of(ask->range_end);
	range.limit = (int64_t)ask->limit;
	range.revision = (int64_t)ask->revision;
	range.keys_only = ask->keys_only;
	return frame(&range, ret_size);
}

static char *encode_txn(const struct etcd_ask *ask, size_t *ret_size)
{
	Etcd__TxnRequest txn = ETCD__TXN_REQUEST__INIT;
	Etcd__Compare compare = ETCD__COMPARE__INIT;
	Etcd__RequestOp success = ETCD__REQUEST_OP__INIT;
	Etcd__RequestOp failure = ETCD__REQUEST_OP__INIT;
	Etcd__PutRequest put = ETCD__PUT_REQUEST__INIT;
	Etcd__DeleteRangeRequest gone = ETCD__DELETE_RANGE_REQUEST__INIT;
	Etcd__RangeRequest read = ETCD__RANGE_REQUEST__INIT;

	compare.key = put.key = gone.key = read.key = key_of(ask);
	if (ask->txn == ETCD_TXN_CREATE) {
		compare.target = ETCD__COMPARE__COMPARE_TARGET__CREATE;
		compare.target_union_case = ETCD__COMPARE__TARGET_UNION_CREATE_REVISION;
	} else {
		compare.target = ETCD__COMPARE__COMPARE_TARGET__MOD;
		compare.target_union_case = ETCD__COMPARE__TARGET_UNION_MOD_REVISION;
		compare.mod_revision = (int64_t)ask->mod_revision;
	}
	put.value = bytes_of(ask->value);
	put.lease = ask->lease;
	put.ignore_lease = ask->txn == ETCD_TXN_UPDATE && !ask->lease;
	if (ask->txn == ETCD_TXN_DELETE) {
		success.request_case = ETCD__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
		success.request_delete_range = &gone;
	} else {
		success.request_case = ETCD__REQUEST_OP__REQUEST_REQUEST_PUT;
		success.request_put = &put;
	}
	failure.request_case = ETCD__REQUEST_OP__REQUEST_REQUEST_RANGE;
	failure.request_range = &read;
	txn.n_success = 1;
	txn.n_compare = txn.n_failure = ask->txn != ETCD_TXN_SET;
	txn.compare = &(Etcd__Compare *){ &compare };
	txn.success = &(Etcd__RequestOp *){ &success };
	txn.failure = &(Etcd__RequestOp *){ &failure };
	return frame(&txn, ret_size);
}

static char *encode_lease(const struct etcd_ask *ask, size_t *ret_size)
{
	Etcd__LeaseGrantRequest grant = ETCD__LEASE_GRANT_REQUEST__INIT;
	Etcd__LeaseRequest lease = ETCD__LEASE_REQUEST__INIT;

	grant.id = lease.id = ask->lease;
	grant.ttl = ask->ttl_s;
	return ask->method == ETCD_GRANT ? frame(&grant, ret_size) : frame(&lease, ret_size);
}

static char *encode_authenticate(const struct etcd_ask *ask, size_t *ret_size)
{
	Etcd__AuthenticateRequest who = ETCD__AUTHENTICATE_REQUEST__INIT;

	who.name = ask->name;
	who.password = ask->password;
	return frame(&who, ret_size);
}

static char *encode_watch(const struct etcd_ask *ask, size_t *ret_size)
{
	Etcd__WatchRequest watch = ETCD__WATCH_REQUEST__INIT;
	Etcd__WatchCreateRequest create = ETCD__WATCH_CREATE_REQUEST__INIT;

	create.key = key_of(ask);
	create.range_end = bytes_of(ask->range_end);
	create.start_revision = (int64_t)ask->revision;
	create.fragment = true;
	watch.request_union_case = ETCD__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
	watch.create_request = &create;
	return frame(&watch, ret_size);
}

static char *encode(const struct etcd_ask *ask, size_t *ret_size)
{
	switch (ask->method) {
	case ETCD_RANGE:
		return encode_range(ask, ret_size);
	case ETCD_TXN:
		return encode_txn(ask, ret_size);
	case ETCD_GRANT:
	case ETCD_REVOKE:
	case ETCD_KEEPALIVE:
	case ETCD_TIME_TO_LIVE:
		return encode_lease(ask, ret_size);
	case ETCD_AUTHENTICATE:
		return encode_authenticate(ask, ret_size);
	case ETCD_WATCH:
		return encode_watch(ask, ret_size);
	case ETCD_STATUS:
	case ETCD_METHODS:
		break;
	}
	/* A message that says nothing. */
	return frame(&(Etcd__LeaseRequest)ETCD__LEASE_REQUEST__INIT, ret_size);
}

/* ---- answers ---- */

static uint64_t revision_of(int64_t revision)
{
	return (uint64_t)MAX(revision, INT64_C(0));
}

static struct etcd_header header_of(const Etcd__ResponseHeader *h)
{
	return (struct etcd_header){
		.cluster_id = h->cluster_id,
		.member_id = h->member_id,
		.revision = revision_of(h->revision),
	};
}

static void add_kv(struct etcd_kvs *kvs, const Etcd__KeyValue *kv, bool deleted)
{
	etcd_kvs_add(kvs,
		     (struct etcd_kv){ .create_revision = revision_of(kv->create_revision),
				       .mod_revision = revision_of(kv->mod_revision),
				       .lease = kv->lease,
				       .deleted = deleted },
		     kv->key.data, kv->key.len, kv->value.data, kv->value.len);
}

static void take_kvs(struct etcd_reply *r, const Etcd__RangeResponse *range)
{
	for (size_t i = 0; i < range->n_kvs; i++)
		add_kv(&r->kvs, range->kvs[i], false);
}

static int take_range(struct etcd_reply *r, const Etcd__RangeResponse *range, struct err *e)
{
	const Etcd__KeyValue *last = range->n_kvs ? range->kvs[range->n_kvs - 1] : NULL;

	take_kvs(r, range);
	if (!range->more)
		return 0;
	if (!last || !last->key.len)
		return err_set(e, -EINVAL, "etcd: there is more, but no key to go on from");
	etcd_reply_set_next(r, last->key.data, last->key.len);
	return 0;
}

static int take_txn(struct etcd_reply *r, const Etcd__TxnResponse *txn, struct err *e UNUSED)
{
	r->succeeded = txn->succeeded;
	if (txn->n_responses && txn->responses[0]->response_range)
		take_kvs(r, txn->responses[0]->response_range);
	return 0;
}

static int take_lease(struct etcd_reply *r, const Etcd__LeaseResponse *lease, struct err *e UNUSED)
{
	r->ttl_s = MIN(lease->ttl, STORE_TTL_MAX_S);
	return 0;
}

static int take_time_to_live(struct etcd_reply *r, const Etcd__LeaseTimeToLiveResponse *lease,
			     struct err *e UNUSED)
{
	r->ttl_s = MIN(lease->ttl, STORE_TTL_MAX_S);
	r->granted_ttl_s = MIN(lease->granted_ttl, STORE_TTL_MAX_S);
	return 0;
}

static int take_token(struct etcd_reply *r, const Etcd__AuthenticateResponse *login,
		      struct err *e UNUSED)
{
	r->token = *login->token ? xstrdup(login->token) : NULL;
	return 0;
}

static int take_status(struct etcd_reply *r, const Etcd__StatusResponse *status,
		       struct err *e UNUSED)
{
	r->version = xstrdup(status->version);
	r->db_size = revision_of(status->db_size);
	r->leader = status->leader;
	r->is_learner = status->is_learner;
	return 0;
}

static int unreadable(struct err *e)
{
	return err_set(e, -EBADMSG, "etcd: an answer that cannot be read");
}

/* One type of answer: unpacked, its header looked at, the rest taken. */
#define DEFINE_READ(name, type, unpack, release)                                                   \
	static int read_##name(const uint8_t *bytes, size_t size, struct etcd_reply *r,            \
			       struct err *e)                                                      \
	{                                                                                          \
		type *m = unpack(NULL, size, bytes);                                               \
		int rc = m && m->header ? 0 : unreadable(e);                                       \
                                                                                                   \
		if (rc == 0) {                                                                     \
			r->header = header_of(m->header);                                          \
			rc = take_##name(r, m, e);                                                 \
		}                                                                                  \
		if (m)                                                                             \
			release(m, NULL);                                                          \
		return rc;                                                                         \
	}
DEFINE_READ(range, Etcd__RangeResponse, etcd__range_response__unpack,
	    etcd__range_response__free_unpacked)
DEFINE_READ(txn, Etcd__TxnResponse, etcd__txn_response__unpack, etcd__txn_response__free_unpacked)
DEFINE_READ(lease, Etcd__LeaseResponse, etcd__lease_response__unpack,
	    etcd__lease_response__free_unpacked)
DEFINE_READ(time_to_live, Etcd__LeaseTimeToLiveResponse, etcd__lease_time_to_live_response__unpack,
	    etcd__lease_time_to_live_response__free_unpacked)
DEFINE_READ(token, Etcd__AuthenticateResponse, etcd__authenticate_response__unpack,
	    etcd__authenticate_response__free_unpacked)
DEFINE_READ(status, Etcd__StatusResponse, etcd__status_response__unpack,
	    etcd__status_response__free_unpacked)

static int read_message(enum etcd_method method, const uint8_t *bytes, size_t size,
			struct etcd_reply *r, struct err *e)
{
	switch (method) {
	case ETCD_RANGE:
		return read_range(bytes, size, r, e);
	case ETCD_TXN:
		return read_txn(bytes, size, r, e);
	case ETCD_TIME_TO_LIVE:
		return read_time_to_live(bytes, size, r, e);
	case ETCD_AUTHENTICATE:
		return read_token(bytes, size, r, e);
	case ETCD_STATUS:
		return read_status(bytes, size, r, e);
	default:
		return read_lease(bytes, size, r, e);
	}
}

static int read_answer(enum etcd_method method, const struct http_reply *http,
		       struct etcd_reply *ret, struct err *e)
{
	struct etcd_reply r = { 0 };
	const uint8_t *bytes;
	size_t size;
	int rc = grpc_frame_read(http->body, http->body_size, &bytes, &size, e);

	if (rc == 0)
		rc = read_message(method, bytes, size, &r, e);
	if (rc == 0 && (method == ETCD_RANGE || method == ETCD_TXN) && !r.header.revision)
		rc = err_set(e, -EINVAL, "etcd: an answer without a revision");
	if (rc < 0)
		etcd_reply_fini(&r);
	else
		*ret = r;
	return rc;
}

/* What is not a message: ETCD_OK if there should be one. */
static int read_status_line(const struct http_reply *http, char text[ETCD_TEXT_MAX])
{
	if (http->code == -EPROTONOSUPPORT) {
		snprintf(text, ETCD_TEXT_MAX, "does not speak gRPC: %s", http->error);
		return ETCD_NOT_SPOKEN;
	}
	if (http->code)
		return etcd_transport_failure(http, text);
	if (http->grpc_status < 0) {
		snprintf(text, ETCD_TEXT_MAX, "HTTP %ld and no grpc-status", http->status);
		return http->status == 404 ? ETCD_NOT_SPOKEN : ETCD_UNAVAILABLE;
	}
	if (http->grpc_status == 0)
		return ETCD_OK;
	snprintf(text, ETCD_TEXT_MAX, "%s",
		 *http->grpc_message ? http->grpc_message : "unnamed error");
	return etcd_code_judge(http->grpc_status, text);
}

static int decode(enum etcd_method method, const struct http_reply *http, struct etcd_reply *ret,
		  char text[ETCD_TEXT_MAX])
{
	int code = read_status_line(http, text);
	struct err e;

	if (code == ETCD_OK && read_answer(method, http, ret, &e) < 0) {
		snprintf(text, ETCD_TEXT_MAX, "%.*s", ETCD_TEXT_MAX - 1, e.text);
		return ETCD_NOT_ETCD;
	}
	return code;
}

static size_t message_size(const char *data, size_t size, size_t seen UNUSED)
{
	return grpc_frame_size(data, size);
}

static void take_events(const Etcd__WatchResponse *watch, struct etcd_watch_message *m)
{
	for (size_t i = 0; i < watch->n_events; i++) {
		const Etcd__Event *event = watch->events[i];

		if (event->kv)
			add_kv(&m->events, event->kv,
			       event->type == ETCD__EVENT__EVENT_TYPE__DELETE);
	}
}

static int decode_watch(const char *data, size_t size, struct etcd_watch_message *ret,
			struct err *e)
{
	struct etcd_watch_message m = { .size = size };
	Etcd__WatchResponse *watch;
	const uint8_t *bytes;
	size_t message;

	if (grpc_frame_read(data, size, &bytes, &message, e) < 0)
		return err_wrap(e, "etcd: watch");
	watch = etcd__watch_response__unpack(NULL, message, bytes);
	if (!watch || !watch->header) {
		if (watch)
			etcd__watch_response__free_unpacked(watch, NULL);
		return unreadable(e);
	}
	m.header = header_of(watch->header);
	m.created = watch->created;
	m.canceled = watch->canceled;
	m.fragment = watch->fragment;
	m.compact_revision = revision_of(watch->compact_revision);
	if (m.canceled)
		snprintf(m.reason, sizeof(m.reason), "%s",
			 *watch->cancel_reason ? watch->cancel_reason : "canceled");
	take_events(watch, &m);
	etcd__watch_response__free_unpacked(watch, NULL);
	*ret = m;
	return 0;
}

static int decode_end(const struct http_reply *http, char text[ETCD_TEXT_MAX])
{
	int code = read_status_line(http, text);

	if (code != ETCD_OK)
		return code;
	snprintf(text, ETCD_TEXT_MAX, "the stream ended");
	return ETCD_UNAVAILABLE;
}

/* Without hasleader a member that lost its quorum keeps streams open in silence, and with it tells
 * nothing of itself. */
static const char *const *headers_of(enum etcd_method method)
{
	static const char *const headers[] = { "content-type: application/grpc", "te: trailers",
					       "hasleader: true", NULL };
	static const char *const of_the_member[] = { "content-type: application/grpc",
						     "te: trailers", NULL };

	return method == ETCD_STATUS ? of_the_member : headers;
}

const struct etcd_transport etcd_grpc_transport = {
	.name = "grpc",
	.dialects = 1,
	.grpc = true,
	.headers = headers_of,
	.token_header = "token",
	.path = path_of,
	.encode = encode,
	.decode = decode,
	.message_size = message_size,
	.decode_watch = decode_watch,
	.decode_end = decode_end,
};
