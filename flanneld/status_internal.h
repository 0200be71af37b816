/* SPDX-License-Identifier: Apache-2.0 */
/* Between status.c, which serves, and status_subnets.c and watchers.c, whose answers take longer than a request. */
#ifndef FLANNELD_STATUS_INTERNAL_H
#define FLANNELD_STATUS_INTERNAL_H

#include <jansson.h>
#include <sys/queue.h>

#include "flanneld/clients.h"
#include "flanneld/status.h"
#include "flanneld/watchers.h"

struct evhttp_request;

struct status_server {
	struct event_base *base;
	const struct status_ops *ops;
	void *arg;
	struct evhttp *local;
	struct clients *local_clients;
	struct evhttp *tcp;
	struct clients *tcp_clients;
	char *path;
	uint16_t port;              /* of tcp, 0: none */
	struct watchers *watchers;  /* of the leases */
	struct watchers *followers; /* of the events */
	json_t *changes;            /* of leases, the oldest first, while anybody watches */
	uint64_t changes_first;     /* number of the oldest */
	TAILQ_HEAD(, time_left_query) queries;
	size_t queries_len;
	TAILQ_HEAD(, time_left_item) items;
	TAILQ_HEAD(, renewal) renewals;
	bool stopping;
};

/*
 * The client of a request that was not answered in full has gone: libevent 2.1 takes the request off
 * the connection and leaves it to whoever was to answer it. Not so if the connection is ended by us,
 * as all are when the server stops: then it has freed the request already.
 */
void status_request_gone(const struct status_server *s, struct evhttp_request *request);

/* Answers; a large answer is refused while too much waits for slow readers. */
void status_reply_text(struct evhttp_request *request, int code, const char *type,
		       const char *text);
/* JSON; NULL: it could not be built, which is said. */
void status_reply_document(struct evhttp_request *request, const char *text);
/* Takes the document. */
void status_reply_json(struct evhttp_request *request, json_t *document);

/* "key=value" after the question mark, as it is written; NULL: there is none. Caller frees. */
char *status_query_value(struct evhttp_request *request, const char *key);
bool status_has_query(struct evhttp_request *request, const char *key, const char *value);

/* status_subnets.c */
void status_subnets_init(struct status_server *s);
void status_on_subnets(struct evhttp_request *request, void *arg);
void status_subnets_changed(struct status_server *s);
void status_subnets_lease(struct status_server *s, const struct manager_member *member, bool gone);
/* Before the servers are freed, and after. */
void status_subnets_stop(struct status_server *s);
void status_subnets_fini(struct status_server *s);

#endif
