/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the store, counted and timed: the one way that the daemon asks it anything. */
#ifndef FLANNELD_STORE_CALLS_H
#define FLANNELD_STORE_CALLS_H

#include <sys/queue.h>

#include "subnet/store.h"

#define STORE_CALLS_BUCKETS 12
extern const double store_calls_buckets_s[STORE_CALLS_BUCKETS];

/* Zero-initialised by its owner, who sets `store`. */
struct store_calls {
	struct store *store;                             /* borrowed */
	uint64_t requests[STORE_OPS][STORE_UNKNOWN + 1]; /* by op and status */
	double seconds[STORE_OPS];
	/* Answers that took at most store_calls_buckets_s[i], and longer than the one before. */
	uint64_t buckets[STORE_OPS][STORE_CALLS_BUCKETS + 1];
	LIST_HEAD(, store_call) pending;
};

typedef void store_calls_fn(void *arg, uint64_t id, struct store_reply *reply);

/* As store_submit; `id` is handed back with the answer. */
void store_calls_submit(struct store_calls *c, const struct store_request *request, uint64_t id,
			store_calls_fn *fn, void *arg);
/* After the store was freed: nobody will answer what is pending. */
void store_calls_drop(struct store_calls *c);

/* A line about what the watch tells, for --log-level=debug. */
void store_calls_trace(const struct store_event *event);

#endif
