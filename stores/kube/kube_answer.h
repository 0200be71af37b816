/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an API server's answers mean: Status objects, what is around the items of a list, the events of
 * a watch. Pure: bytes in, a decision out.
 *
 * Source: Kubernetes API concepts (resource versions, chunked lists, watch bookmarks, 410 Gone) and
 * what API servers were seen to answer.
 */
#ifndef STORES_KUBE_KUBE_ANSWER_H
#define STORES_KUBE_KUBE_ANSWER_H

#include "stores/kube/kube_node.h"

/* A server that asks for more than this waits for somebody else. */
#define KUBE_WAIT_MAX_MS (60 * 1000)
/* Of a list: what it is to be continued with. */
#define KUBE_CONTINUE_MAX (16 * 1024)

enum kube_outcome {
	KUBE_OK,
	KUBE_EXPIRED, /* history, or the rest of a list, is gone: list anew */
	KUBE_AHEAD, /* the server has not come to the revision asked for: it lags, or was restored */
	KUBE_ABSENT,   /* there is no such object */
	KUBE_CONFLICT, /* the object is another than the one that was to be changed */
	KUBE_STRANGER, /* it does not know us: the token may have expired */
	KUBE_DENIED,   /* it knows us and we may not */
	KUBE_INVALID,  /* it will not accept this, however often it is asked */
	KUBE_LATER,    /* it cannot now: too many requests, starting, overloaded */
};

struct kube_answer {
	enum kube_outcome outcome;
	int64_t wait_ms; /* so long it wants not to be asked, KUBE_WAIT_MAX_MS at most; 0: it does not say */
	struct err err; /* unless OK: "403 Forbidden: nodes is forbidden: ..." */
};

/*
 * An HTTP answer. `body` is a Status object if it is not a success, or any text, which proxies write.
 * `retry_after_s` is the header's, 0 if there was none. A success with a Status of a failure in it is
 * one of a failure.
 */
void kube_answer_read(long http_status, const char *body, size_t size, int64_t retry_after_s,
		      struct kube_answer *ret);

/* What is around the items, as kube_stream_end() leaves it. */
struct kube_list {
	uint64_t revision; /* of the whole list, the same on all of its pages */
	char *more;        /* what the next page is asked for with; NULL: this was the last */
};

/* *ret is for kube_list_fini(). -EINVAL: it is no list, its resourceVersion is no number, or what it
 * is to be continued with is longer than KUBE_CONTINUE_MAX. */
int kube_list_read(const char *text, size_t size, struct kube_list *ret, struct err *e) MUST_CHECK;
void kube_list_fini(struct kube_list *list);

enum kube_event_type {
	KUBE_EVENT_PUT,      /* ADDED, MODIFIED: `node` */
	KUBE_EVENT_DELETE,   /* `node`, as it was */
	KUBE_EVENT_BOOKMARK, /* nothing but that the watch has come to `revision` */
	KUBE_EVENT_ERROR,    /* the watch is over: `answer` */
};

struct kube_event {
	enum kube_event_type type;
	uint64_t revision; /* PUT, DELETE, BOOKMARK */
	struct kube_node node;
	struct kube_answer answer;
};

/* One object of a watch; *ret is for kube_event_fini(). -EINVAL: it is not one. */
int kube_event_read(const struct kube_prefix *prefix, const char *text, size_t size,
		    struct kube_event *ret, struct err *e) MUST_CHECK;
void kube_event_fini(struct kube_event *event);

#endif
