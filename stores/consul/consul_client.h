/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls to Consul's agents, by HTTP/1.1: with the token, which is read again for each call, in the datacenter
 * that was asked for, to the agent that answered last. What one cannot answer the next is asked, unless it is
 * a write that may have been acted on.
 */
#ifndef STORES_CONSUL_CLIENT_H
#define STORES_CONSUL_CLIENT_H

#include "lib/json.h"
#include "stores/consul/consul_answer.h"
#include "stores/consul/consul_options.h"

/* A server without a leader answers after 7 s; longer silence means one that is stopped or cut off. */
#define CONSUL_CALL_TIMEOUT_MS 10000
#define CONSUL_LIST_MAX_SIZE   ((size_t)64 << 20)

struct http_client;
struct consul_client;
struct consul_call;

/* Loads libcurl. -EINVAL: the endpoints; errors of consul_options_check and http_client_load. */
int consul_client_new(struct http_client *http, const struct consul_options *options,
		      struct consul_client **ret, struct err *e) MUST_CHECK;
/* Calls under way are dropped without an answer. NULL is fine. */
void consul_client_free(struct consul_client *c);

struct consul_ask {
	const char *
		path; /* escaped, with its query if it has one; borrowed for the call that starts it */
	const char *body;   /* PUT; NULL: GET; borrowed as well */
	int64_t timeout_ms; /* 0: CONSUL_CALL_TIMEOUT_MS */
	size_t max_size;    /* of the answer; 0: CONSUL_ENTRY_MAX_SIZE */
};

struct consul_result {
	enum consul_outcome outcome;
	char text[CONSUL_TEXT_MAX + 100]; /* unless OK: with the agent's URL */
	uint64_t index;                   /* X-Consul-Index; 0: none */
	bool filtered;  /* newer servers say so if they have left out what the token may not see */
	bool reached;   /* a write may have been acted on */
	uint64_t token; /* another number is another token */
	size_t endpoint;
	const char *body; /* NUL-terminated, gone after the callback */
	size_t size;
};

typedef void consul_call_fn(void *arg, const struct consul_result *result);

/* Ends in one `fn`, from the loop. */
struct consul_call *consul_client_call(struct consul_client *c, const struct consul_ask *ask,
				       consul_call_fn *fn, void *arg);
/* The same at this endpoint and no other. */
struct consul_call *consul_client_call_at(struct consul_client *c, size_t endpoint,
					  const struct consul_ask *ask, consul_call_fn *fn,
					  void *arg);
/* NULL is fine. */
void consul_call_cancel(struct consul_call *call);

/* Whoever asks next asks another, if `endpoint` is the one that is asked now. */
void consul_client_leave(struct consul_client *c, size_t endpoint);
size_t consul_client_endpoints(const struct consul_client *c);
const char *consul_client_url(const struct consul_client *c, size_t endpoint);
/* Adds "endpoints": [{"url":...,"current":bool,"transport":"http","errors":n,"last_error":...}] and "requests". */
void consul_client_describe(const struct consul_client *c, json_t *object);

#endif
