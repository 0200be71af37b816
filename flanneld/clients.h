/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is connected to one of the daemon's servers, and how much each may cost.
 *
 * evhttp reads as fast as a client sends, whether or not anything can be answered, and knows no limit
 * of connections. Here every connection gets a bound for what is read ahead; there are so many of
 * them for a listener and for a user, and beyond that the one that has been silent longest goes, so
 * that a new one always gets its answer. A listener that cannot accept pauses.
 *
 * The limits are documented in docs/operations.md.
 */
#ifndef FLANNELD_CLIENTS_H
#define FLANNELD_CLIENTS_H

#include <sys/types.h>

#include "lib/util.h"

#define CLIENTS_MAX             64 /* connections of a listener */
#define CLIENTS_PER_USER        16 /* ... and of one user on the unix socket */
#define CLIENTS_WATCHERS        32 /* that are told of every change */
#define CLIENTS_WATCHERS_USER   8
#define CLIENTS_READ_AHEAD_SIZE 8192               /* of each connection */
#define CLIENTS_QUEUED_SIZE     ((size_t)24 << 20) /* answers that slow readers have waiting */
#define CLIENTS_ACCEPT_PAUSE_S  1                  /* after accept has failed */
#define CLIENTS_DESCRIPTORS     64 /* kept for store, netlink, files: never for clients */

struct clients;
struct event_base;
struct evconnlistener;
struct evhttp;
struct evhttp_request;

/*
 * Those of this server, from now on. To be freed after it. read_ahead: bytes, which a request with a body
 * must fit. server: what it is called in the log, a literal.
 */
struct clients *clients_new(struct event_base *base, struct evhttp *http, const char *server,
			    size_t per_user, size_t read_ahead);
void clients_free(struct clients *c);
/*
 * The listener pauses when it cannot accept, instead of trying for ever. -ENOMEM if the loop does not
 * wait for it: libevent makes a listener and does not tell that nobody will ever be accepted.
 */
int clients_guard_listener(struct clients *c, struct evconnlistener *listener) MUST_CHECK;

/* A request has come from this client: it is not the silent one. */
void clients_touch(struct evhttp_request *request);
/* It stays to be told of changes: never let go for being silent. False if there are too many. */
bool clients_keep(struct evhttp_request *request);
/* Who it is, on the unix socket; (uid_t)-1 elsewhere. */
uid_t clients_user(struct evhttp_request *request);
/* Bytes that wait for any of them to read. */
size_t clients_queued(void);

/* Raises the soft limit of open files as far as it may and is of use. Call at the start. */
void clients_raise_limit(void);

#endif
