/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One way to speak with an endpoint of etcd: how a question is posted, how an answer and the
 * messages of a stream are read. Pure, all of it; lib/http carries the bytes, etcd_client decides
 * whom they are sent to and what a failure means, and what is asked for is nothing to a transport.
 *
 * A call is one POST and one answer. A stream is one POST whose body is some messages, and an
 * answer that goes on with messages until one side ends it.
 */
#ifndef STORES_ETCD_TRANSPORT_H
#define STORES_ETCD_TRANSPORT_H

#include "lib/err.h"
#include "lib/http.h"
#include "stores/etcd/etcd_message.h"

#define ETCD_TEXT_MAX 400

struct etcd_transport {
	const char *name;
	bool grpc;                /* as struct http_request has it */
	unsigned dialects;        /* sets of paths by the server's version, tried in this order */
	const char *token_header; /* the name of the line with the token of a login */

	/* Lines that go with the POST of a method, NULL-terminated. */
	const char *const *(*headers)(enum etcd_method method);

	/* The path of a method, and its name for people; caller frees the path. */
	char *(*path)(enum etcd_method method, unsigned dialect);
	/* The bytes of one message; caller frees. */
	char *(*encode)(const struct etcd_ask *ask, size_t *ret_size);
	/*
	 * What became of a call: ETCD_OK and *ret, or another code and a sentence. That of
	 * ETCD_NOT_SPOKEN goes on from the endpoint's name: what it lacks, and what to do.
	 */
	int (*decode)(enum etcd_method method, const struct http_reply *http,
		      struct etcd_reply *ret, char text[ETCD_TEXT_MAX]);
	/* The size of the message that a stream's bytes begin with, 0 if they do not tell yet; the
	 * first `seen` have been looked at before. It may be more than are there. */
	size_t (*message_size)(const char *data, size_t size, size_t seen);
	int (*decode_watch)(const char *data, size_t size, struct etcd_watch_message *ret,
			    struct err *e);
	/* Why a stream has ended: never ETCD_OK, and a sentence. */
	int (*decode_end)(const struct http_reply *http, char text[ETCD_TEXT_MAX]);
};

/* What is the same in each: a code for an http->code that is not 0, and lib/http's sentence. */
int etcd_transport_failure(const struct http_reply *http, char text[ETCD_TEXT_MAX]);

#endif
