/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store in this process: mem_db on an event loop. For tests, and with something behind it that
 * keeps it (file_store) for use.
 */
#ifndef STORES_MEM_STORE_H
#define STORES_MEM_STORE_H

#include "stores/mem_db.h"

struct event_base;

/* What keeps a store beyond the process. */
struct mem_store_backing {
	/*
	 * Brings the data up to date, and keeps everybody else from changing them until `end`.
	 * -EAGAIN: somebody is just changing them.
	 */
	int (*begin)(void *arg, struct err *e);
	/* Writes down what was changed since `begin`. On failure the data are read anew at the next
	 * `begin`. */
	int (*end)(void *arg, struct err *e);
	/* STORE_HEALTH_*, without begin and end. NULL: not kept. */
	void (*health)(void *arg, const struct store_request *request, struct store_reply *ret);
	void (*describe)(void *arg, void *json_object);
	void (*free)(void *arg);
};

/* `random` is called for handles, from the loop. */
struct store *mem_store_new(struct event_base *base, uint64_t (*random)(void));
/* `db` is where the backing has the data; it may put others there in `begin`. Both are the
 * backing's. */
struct store *mem_store_new_backed(struct event_base *base, uint64_t (*random)(void),
				   const struct mem_store_backing *backing, void *arg,
				   struct mem_db **db);
void *mem_store_backing_arg(const struct store *s);
/* The data, to look at. */
struct mem_db *mem_store_db(struct store *s);
/* Changes the data by hand, as somebody else would. -EAGAIN: somebody is just changing them. */
int mem_store_edit(struct store *s, void (*edit)(struct mem_db *db, void *arg), void *arg,
		   struct err *e) MUST_CHECK;
/* The data have changed, or may have: whoever watches is told from the loop. */
void mem_store_changed(struct store *s);
/* Changes cannot be told, until the next mem_store_changed; the reason is copied. */
void mem_store_lost(struct store *s, const char *reason);
/* Forgets what every watch has been told; one from a revision before that has to list again. */
void mem_store_compact(struct store *s);
/* The history is another: whoever watches has to list again. `reason` is not copied. */
void mem_store_resync(struct store *s, const char *reason);

#endif
