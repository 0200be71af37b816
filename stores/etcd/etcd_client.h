/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One etcd cluster as seen from here: its endpoints, who is asked next, the token of a logged-in
 * user.
 *
 * A call goes to the current endpoint; one that cannot be reached or cannot answer is left for the
 * next, each endpoint being tried once. What remains is one of a few outcomes that callers can
 * decide on, above all whether a write that failed may have happened all the same.
 */
#ifndef STORES_ETCD_CLIENT_H
#define STORES_ETCD_CLIENT_H

#include "lib/http.h"
#include "lib/json.h"
#include "lib/problem.h"
#include "stores/etcd/etcd_message.h"
#include "stores/etcd/etcd_options.h"
#include "stores/etcd/etcd_stream.h"

/* Of one answer. A value of 1.5 MiB, the largest that etcd takes unless told otherwise, is 2 MiB in
 * it; a page of a thousand leases is half of one. */
#define ETCD_REPLY_MAX_SIZE ((size_t)4 << 20)

struct etcd_client;
struct etcd_call;

struct etcd_result {
	int code;     /* enum etcd_code */
	bool reached; /* false: nobody acted on the request, so nothing can have happened */
	struct etcd_reply *reply; /* empty unless OK; what it points to may be taken */
	char text[ETCD_TEXT_MAX]; /* otherwise: who it was, and what */
};

typedef void etcd_call_fn(void *arg, const struct etcd_result *result);

/* Checks the options: -EINVAL names the endpoint that is malformed, or the file that cannot be
 * read. -ELIBACC: there is no libcurl, or no libprotobuf-c. */
int etcd_client_new(struct http_client *http, const struct etcd_options *options,
		    struct etcd_client **ret, struct err *e) MUST_CHECK;
void etcd_client_free(struct etcd_client *c);
/* For calls from now on, in place of 3 and 10 s. */
void etcd_client_set_timeouts(struct etcd_client *c, int64_t connect_ms, int64_t call_ms);

/*
 * Asks (copied). Of what writes, see etcd_ask_writes, an outcome that is not known is reported,
 * never repeated, neither on another endpoint nor by libcurl.
 */
struct etcd_call *etcd_client_call(struct etcd_client *c, const struct etcd_ask *ask,
				   etcd_call_fn *fn, void *arg);
/* As etcd_client_call for a read, but this endpoint must answer it or nobody. */
struct etcd_call *etcd_client_call_at(struct etcd_client *c, size_t endpoint,
				      const struct etcd_ask *ask, etcd_call_fn *fn, void *arg);
void etcd_call_cancel(struct etcd_call *call);

/*
 * Opens a stream to the current endpoint, whose number *ret_endpoint is: these messages, all of one
 * method, are what is sent on it.
 */
struct etcd_stream *etcd_client_stream(struct etcd_client *c, const struct etcd_ask *asks,
				       size_t len, const struct etcd_listener *listener,
				       size_t *ret_endpoint);
/* This endpoint is of no use now: if it is the current one, the next becomes it. */
void etcd_client_leave(struct etcd_client *c, size_t endpoint);
/* Forgets the token, so that the next call logs in again. */
void etcd_client_forget_token(struct etcd_client *c);
bool etcd_client_needs_login(const struct etcd_client *c);
const char *etcd_client_url(const struct etcd_client *c, size_t endpoint);
/* "store-endpoint" if some endpoints do not speak our transport and others are asked in their place. */
void etcd_client_problems(const struct etcd_client *c, struct problem_list *list);
/* Asks those again, now and then, since nobody else does; whoever speaks it again is known then. */
void etcd_client_recheck(struct etcd_client *c);
/*
 * Has the endpoint tell its clock, which http_client_clock() of our HTTP client knows then: answers by
 * gRPC have no Date, that to /version has. One question at a time; `done`, which may be NULL, is told its
 * end, also if there was no answer.
 */
void etcd_client_ask_clock(struct etcd_client *c, size_t endpoint, void (*done)(void *arg),
			   void *arg);
/* The one that is asked next. */
size_t etcd_client_current(const struct etcd_client *c);
/* {"endpoints":[{"url":...,"current":true,"errors":n,"last_error":...}], ...} */
void etcd_client_describe(const struct etcd_client *c, json_t *object);

#endif
