/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Consul's HTTP API answers: statuses and texts, keys of a list, sessions, transactions. Pure: bytes in, a
 * decision out.
 *
 *   GET  /v1/kv/PREFIX/?recurse   [{"Key":"...","Value":"BASE64","Flags":0,"LockIndex":1,"Session":"UUID",
 *                                   "CreateIndex":13,"ModifyIndex":16},...]       404: there is none, or none for us
 *   PUT  /v1/session/create       {"ID":"UUID"}
 *   PUT  /v1/session/renew/UUID   [{"ID":"UUID","TTL":"43200s",...}]              404: it is no more
 *   PUT  /v1/txn                  {"Results":[{"KV":{...}}],"Errors":null}        409: {"Errors":[{"OpIndex":0,"What":"..."}]}
 *
 * Source: Consul's API documentation, and what agents of 1.8.7 were seen to answer.
 */
#ifndef STORES_CONSUL_ANSWER_H
#define STORES_CONSUL_ANSWER_H

#include "lib/addr.h"

/* Of an entry of a list; Consul itself takes values of 512 KiB, as base64 a third more. */
#define CONSUL_ENTRY_MAX_SIZE ((size_t)1 << 20)
/* Keys of a list, leases or not. */
#define CONSUL_KEYS_MAX     ((size_t)16 * 65536)
#define CONSUL_SESSION_TEXT 37 /* a UUID */
#define CONSUL_TEXT_MAX     300

enum consul_outcome {
	CONSUL_OK,
	CONSUL_ABSENT,     /* no such key, none with this prefix, no such session */
	CONSUL_CONFLICT,   /* a check of the transaction did not hold */
	CONSUL_NO_SESSION, /* of a transaction: the session is no more */
	CONSUL_DENIED,     /* the token is unknown, or may not */
	CONSUL_INVALID,    /* it will not accept this, however often it is asked */
	CONSUL_LATER,      /* it cannot now: no leader, too many requests, not reached */
};

/* An HTTP answer. `body` is any text; what is printable of it goes to `text` unless OK. */
enum consul_outcome consul_outcome_of(long http_status, const char *body, size_t size,
				      char text[static CONSUL_TEXT_MAX]);

/* The value of X-Consul-Index; 0: there is none, which is no answer of a store that works. */
uint64_t consul_index_of(const char *header);

struct consul_kv {
	char *key;
	char *value; /* NUL-terminated beyond value_size; NULL if it was not wanted */
	size_t value_size;
	u128 session; /* 0: none holds it */
	uint64_t flags;
	uint64_t create_index;
	uint64_t modify_index;
};

void consul_kv_fini(struct consul_kv *kv);
/* One entry of a list. *ret is untouched unless it succeeded. -EINVAL: it is none. */
int consul_kv_read(const char *text, size_t size, bool with_value, struct consul_kv *ret,
		   struct err *e) MUST_CHECK;

/* What is known of a key. */
struct consul_entry {
	char *key;
	uint64_t modify_index;
	uint64_t digest;  /* of the text */
	size_t size;      /* of the text: */
	const char *text; /* where it stands in the answer; NULL after consul_list_forget_texts */
};

/* {0} is empty. */
struct consul_list {
	struct consul_entry *items; /* ordered by key, none twice */
	size_t len;
	size_t cap;
	size_t unreadable; /* entries that are none, and have no key that could be named */
};

/*
 * A list, as it came. Its entries point into `body`, see consul_list_forget_texts. -EBADMSG: these are no
 * entries; -EFBIG: they are too many, or one is too large. *ret is for consul_list_fini, also after an
 * error. `before`: the list that came last, of which most may be as it was; NULL: none.
 */
int consul_list_read(const char *body, size_t size, const struct consul_list *before,
		     struct consul_list *ret, struct err *e) MUST_CHECK;
/* Keys and indices alone are kept. */
void consul_list_forget_texts(struct consul_list *list);
void consul_list_fini(struct consul_list *list);

/* What has become of `old`: pointers into both lists, for consul_diff_fini. */
struct consul_diff {
	const struct consul_entry *
		*changed; /* new or otherwise, in the order of their ModifyIndex */
	size_t changed_len;
	const struct consul_entry **gone;
	size_t gone_len;
};

void consul_diff_make(const struct consul_list *old, const struct consul_list *now,
		      struct consul_diff *ret);
void consul_diff_fini(struct consul_diff *diff);

/* The session that was made. -EBADMSG: it is none. */
int consul_session_read(const char *body, size_t size, u128 *ret, struct err *e) MUST_CHECK;
/* The TTL of the session that was renewed, in seconds. -EBADMSG: it is none. */
int consul_renewal_read(const char *body, size_t size, int64_t *ret_ttl_s,
			struct err *e) MUST_CHECK;
/* The key that the last operation of a transaction has left; -ENODATA: it has left none. */
int consul_txn_read(const char *body, size_t size, struct consul_kv *ret, struct err *e) MUST_CHECK;

/* A UUID; *ret as its 32 digits. -EINVAL: it is none. */
int consul_session_parse(const char *text, u128 *ret, struct err *e) MUST_CHECK;
const char *consul_session_format(u128 session, char buf[static CONSUL_SESSION_TEXT]);

/* How long a session's TTL must be for a lease of so many seconds: it ends after twice its TTL. Of less than
 * 20 s is one of 20 s. -EINVAL: no session lives so long. */
int consul_session_ttl(int64_t lease_ttl_s, int64_t *ret_s, struct err *e) MUST_CHECK;

#endif
