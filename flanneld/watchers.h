/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that are told what changes, for as long as they listen: one JSON document a line.
 *
 * What there is to tell has numbers. A line has all from the first that its reader was not told, and is
 * made once for all that have been told the same. One line is under way to each at most: who has not taken it
 * when the next is due gets the newest once it has, and who does not read at all is let go.
 */
#ifndef FLANNELD_WATCHERS_H
#define FLANNELD_WATCHERS_H

#include <jansson.h>

#include "lib/util.h"

struct event_base;
struct evhttp_request;
struct watchers;

struct watchers_topic {
	const char *name; /* for the log: "the leases" */
	/* The document for those that have been told all before number `from`. */
	json_t *(*document)(void *arg, uint64_t from);
	/* The number of the next thing to tell. */
	uint64_t (*end)(void *arg);
	/* Nobody will ask for what is before `first` any more. May be NULL. */
	void (*forget)(void *arg, uint64_t first);
};

struct watchers *watchers_new(struct event_base *base, const struct watchers_topic *topic,
			      void *arg);
/* When the server is stopping: ends the answers. Its connections end with the server. */
void watchers_stop(struct watchers *ws);
/* Once there are none. */
void watchers_free(struct watchers *ws);
bool watchers_are_none(const struct watchers *ws);

/* Answers with a first document, which has all from `from` on, and goes on; or refuses. */
void watchers_add(struct watchers *ws, struct evhttp_request *request, uint64_t from);
/* There is something to tell: soon, with what else comes until then. */
void watchers_changed(struct watchers *ws);

#endif
