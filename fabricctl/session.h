/* SPDX-License-Identifier: Apache-2.0 */
/* The store without the daemon: opened with the daemon's settings, asked one question at a time. */
#ifndef FABRICCTL_SESSION_H
#define FABRICCTL_SESSION_H

#include "fabricctl/settings.h"
#include "stores/consul/consul_client.h"
#include "stores/etcd/etcd_client.h"
#include "subnet/store.h"

struct session {
	struct settings settings;
	struct event_base *base;
	struct http_client *http;
	struct store *store;          /* session_open */
	struct etcd_client *client;   /* session_connect, of etcd */
	struct consul_client *consul; /* ... of Consul */
};

/* Complains with ctl_fail and returns its status; *ret must be released with session_close in any
 * case. */
int session_open(const struct ctl *c, struct session *ret);
/* The same with settings that are there already, and without a word: errors as store_open. */
int session_begin(struct session *s, struct err *e) MUST_CHECK;
/* Complains if the store has this trait (enum store_trait), or has it not, and returns the status. */
int session_need_trait(const struct ctl *c, const struct session *s, unsigned trait, bool has,
		       const char *why);
/* The same for questions that only etcd and Consul understand: has a client of one and no store. */
int session_connect(const struct ctl *c, struct session *ret);
void session_close(struct session *s);

/* Asks, and runs the loop until the answer is there. *ret is released with store_reply_fini. */
void session_ask(struct session *s, const struct store_request *request, struct store_reply *ret);

/* ... but no longer than this: then it is STORE_UNAVAILABLE, and the session can only be closed. */
void session_ask_within(struct session *s, const struct store_request *request, int timeout_ms,
			struct store_reply *ret);

/* Complains about an answer other than STORE_OK, and returns the exit status. */
int session_fail(const struct ctl *c, const struct session *s, const struct store_reply *reply);

/*
 * Asks etcd and waits. 0 and *ret_reply, released with etcd_reply_fini, or a gRPC code and a sentence.
 */
int session_call(struct session *s, const struct etcd_ask *ask, struct etcd_reply *ret_reply,
		 struct err *e) MUST_CHECK;

/* Complains that etcd answered with this gRPC code, and returns the exit status. */
int session_fail_call(const struct ctl *c, const struct session *s, int code, const char *why);
/* The same of Consul. */
int session_fail_consul(const struct ctl *c, const struct session *s, enum consul_outcome outcome,
			const char *why);

#define auto_session __attribute__((cleanup(session_close)))

#endif
