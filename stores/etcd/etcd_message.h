/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of etcd v3 and what it answers, in whatever form it crosses the wire: the part of
 * etcd's rpc.proto that is used here. Pure.
 */
#ifndef STORES_ETCD_MESSAGE_H
#define STORES_ETCD_MESSAGE_H

#include "lib/util.h"

/* gRPC status codes that callers act on. */
enum etcd_code {
	ETCD_OK = 0,
	ETCD_CANCELLED = 1,
	ETCD_UNKNOWN = 2,
	ETCD_INVALID_ARGUMENT = 3,
	ETCD_DEADLINE_EXCEEDED = 4,
	ETCD_NOT_FOUND = 5,
	ETCD_PERMISSION_DENIED = 7,
	ETCD_RESOURCE_EXHAUSTED = 8,
	ETCD_FAILED_PRECONDITION = 9,
	ETCD_ABORTED = 10,
	ETCD_OUT_OF_RANGE = 11,
	ETCD_UNIMPLEMENTED = 12,
	ETCD_INTERNAL = 13,
	ETCD_UNAVAILABLE = 14,
	ETCD_UNAUTHENTICATED = 16,
	ETCD_NOT_ETCD = -1, /* an answer that etcd would not give */
	/* The member that was asked does not do such things, being a learner or too old for them;
	 * another may. Nothing was done. Code 14 until 3.5 and 9, that of many a thing, since. */
	ETCD_WRONG_MEMBER = -2,
	/* More came than is taken; the beginning says nothing. */
	ETCD_TOO_LARGE = -3,
	/* The endpoint does not speak this transport. Nothing was done. */
	ETCD_NOT_SPOKEN = -4,
	/* It knows no such path; it may know the same by that of another dialect. Nothing was done. */
	ETCD_OTHER_DIALECT = -5,
};

/* Whether it is about the server's state, not about the request: another server or another time may
 * answer differently, and what was asked may have been done. */
bool etcd_code_is_transient(int code);

/* The code for a number that came as a gRPC status with this text: ETCD_WRONG_MEMBER is not to be
 * told from the number alone. Never ETCD_OK. */
int etcd_code_judge(int64_t number, const char *text);

enum etcd_method {
	ETCD_RANGE,
	ETCD_TXN,
	ETCD_GRANT,
	ETCD_REVOKE,
	ETCD_KEEPALIVE,
	ETCD_TIME_TO_LIVE,
	ETCD_AUTHENTICATE,
	ETCD_STATUS, /* of the member */
	ETCD_WATCH,  /* a stream */
	ETCD_METHODS
};

/* What a transaction does if its compare holds; if not, it reads the key. */
enum etcd_txn {
	ETCD_TXN_CREATE, /* if nobody has the key, put it with the lease */
	ETCD_TXN_UPDATE, /* if it has this mod_revision, put it with the lease (0: keeping its own) */
	ETCD_TXN_DELETE, /* if it has this mod_revision, delete it */
	ETCD_TXN_SET,    /* whatever is there, put it with the lease */
};

/* One message to etcd. Who asks lends what the pointers point to. */
struct etcd_ask {
	enum etcd_method method;
	char *key;       /* RANGE, TXN, WATCH: text, unless key_size says how many bytes */
	size_t key_size; /* RANGE */
	char *range_end; /* RANGE, WATCH; NULL: of the key alone */
	uint64_t limit;  /* RANGE; 0: none */
	bool keys_only;  /* RANGE */
	uint64_t
		revision; /* RANGE: 0: now; WATCH: everything from it on, in fragments if it is much */
	enum etcd_txn txn;
	char *value;           /* TXN */
	uint64_t mod_revision; /* TXN */
	int64_t lease;         /* TXN, and what GRANT, REVOKE, KEEPALIVE, TIME_TO_LIVE are about */
	int64_t ttl_s;         /* GRANT */
	char *name;            /* AUTHENTICATE */
	char *password;
};

/* Whether something is changed, so that a lost answer leaves it open what stands in the store. */
bool etcd_ask_writes(const struct etcd_ask *ask);
/* A copy of its own; released with etcd_ask_fini, which leaves no trace of the password. */
void etcd_ask_copy(struct etcd_ask *ret, const struct etcd_ask *ask);
void etcd_ask_fini(struct etcd_ask *ask);

struct etcd_kv {
	/* Text: a NUL inside, which no key of ours has, reads "\\0" here. So it is never the key that
	 * it begins with. */
	char *key;
	char *value; /* NUL-terminated */
	size_t value_size;
	uint64_t create_revision;
	uint64_t mod_revision;
	int64_t lease;
	bool deleted; /* events only */
};

struct etcd_kvs {
	struct etcd_kv *items;
	size_t len;
	size_t cap;
};
void etcd_kvs_fini(struct etcd_kvs *kvs);
/* Appends a copy; `kv` says all but the key and the value. */
void etcd_kvs_add(struct etcd_kvs *kvs, struct etcd_kv kv, const void *key, size_t key_size,
		  const void *value, size_t value_size);

struct etcd_header {
	uint64_t cluster_id;
	uint64_t member_id;
	uint64_t revision;
};

/* An answer; what its method does not tell is zero. */
struct etcd_reply {
	struct etcd_header header; /* RANGE, TXN: never without a revision */
	struct etcd_kvs kvs;       /* RANGE; TXN: what was read if it did not succeed */
	/* RANGE: from where to ask on if the limit has cut it: no key lies between the last one and
	 * this. NULL if nothing was cut. */
	char *next_key;
	size_t next_key_size;
	bool succeeded; /* TXN */
	int64_t ttl_s;  /* GRANT, KEEPALIVE, TIME_TO_LIVE; 0 or negative: the lease is gone */
	int64_t granted_ttl_s; /* TIME_TO_LIVE: what it begins with when prolonged; 0: not said */
	char *token;           /* AUTHENTICATE */
	/* STATUS */
	char *version;
	uint64_t db_size;
	uint64_t leader; /* its member_id, 0: none */
	bool is_learner;
};
void etcd_reply_fini(struct etcd_reply *reply);
/* Sets next_key to what follows the last key, these bytes. */
void etcd_reply_set_next(struct etcd_reply *reply, const void *last, size_t size);

/* One message of a watch stream. */
struct etcd_watch_message {
	struct etcd_header header;
	bool created;
	bool canceled;
	bool fragment;             /* more of the same revision follows */
	uint64_t compact_revision; /* with canceled: history before it is gone */
	char reason[200];          /* with canceled or error */
	int error;                 /* a gRPC code: the stream has ended */
	size_t size;               /* of the bytes it came in */
	struct etcd_kvs events;
};
void etcd_watch_message_fini(struct etcd_watch_message *m);

/* The end of the range of all keys that start with `prefix`, which must not be empty; caller frees. */
char *etcd_prefix_end(const char *prefix);

#endif
