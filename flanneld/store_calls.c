/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/store_calls.h"

#include <time.h>

#include "lib/log.h"

const double store_calls_buckets_s[STORE_CALLS_BUCKETS] = { 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
							    0.1,   0.25,   0.5,   1,    2.5,   10 };

struct store_call {
	struct store_calls *calls;
	uint64_t id;
	enum store_op op;
	struct timespec start;
	store_calls_fn *fn;
	void *arg;
	LIST_ENTRY(store_call) link;
};

static void on_reply(void *arg, struct store_reply *reply)
{
	struct store_call *call = arg;
	struct store_calls *c = call->calls;
	struct timespec end;
	size_t bucket = 0;
	double seconds;

	clock_gettime(CLOCK_MONOTONIC, &end);
	c->requests[call->op][reply->status]++;
	seconds = (double)(end.tv_sec - call->start.tv_sec) +
		  (double)(end.tv_nsec - call->start.tv_nsec) / 1e9;
	c->seconds[call->op] += seconds;
	while (bucket < STORE_CALLS_BUCKETS && seconds > store_calls_buckets_s[bucket])
		bucket++;
	c->buckets[call->op][bucket]++;
	log_debug("store-reply", "%s: %s in %.1f ms, revision %llu%s%s", store_op_name(call->op),
		  store_status_name(reply->status), 1000 * seconds,
		  (unsigned long long)reply->revision, reply->status == STORE_OK ? "" : ": ",
		  reply->status == STORE_OK ? "" : reply->err.text);
	LIST_REMOVE(call, link);
	call->fn(call->arg, call->id, reply);
	free(call);
}

void store_calls_submit(struct store_calls *c, const struct store_request *request, uint64_t id,
			store_calls_fn *fn, void *arg)
{
	struct store_call *call = xcalloc(1, sizeof(*call));
	char key[SUBNET_KEY_TEXT];

	*call = (struct store_call){
		.calls = c, .id = id, .op = request->op, .fn = fn, .arg = arg
	};
	LIST_INSERT_HEAD(&c->pending, call, link);
	log_debug("store-request", "%s %s", store_op_name(request->op),
		  request->lease ? subnet_format(&request->lease->subnet, key) : "");
	clock_gettime(CLOCK_MONOTONIC, &call->start);
	store_submit(c->store, request, on_reply, call);
}

void store_calls_drop(struct store_calls *c)
{
	struct store_call *call;

	while ((call = LIST_FIRST(&c->pending))) {
		LIST_REMOVE(call, link);
		free(call);
	}
}

void store_calls_trace(const struct store_event *event)
{
	static const char *const types[] = { "put",  "delete", "config", "unreadable key",
					     "live", "lost",   "resync" };
	char key[SUBNET_KEY_TEXT];

	log_debug("store-event", "%s %s, revision %llu", types[event->type],
		  event->lease    ? subnet_format(&event->lease->subnet, key)
		  : event->key    ? event->key
		  : event->reason ? event->reason
				  : "",
		  (unsigned long long)event->revision);
}
