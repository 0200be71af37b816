/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls to an API server: with our credentials, which are read again for each call; not before the time
 * that it has asked to be left alone; and what comes cut into objects where that is wanted.
 *
 * Behind its one address there may be several servers that come and go; whatever has failed is asked
 * again by who wants to know it.
 */
#ifndef STORES_KUBE_KUBE_CLIENT_H
#define STORES_KUBE_KUBE_CLIENT_H

#include "stores/kube/kube_answer.h"
#include "stores/kube/kube_config.h"
#include "stores/kube/kube_stream.h"

struct event_base;
struct http_client;
struct kube_client;
struct kube_call;

/*
 * `access` is taken over. Loads libcurl. -EINVAL, -EACCES ...: a file of it cannot be read; errors of
 * http_client_load.
 */
int kube_client_new(struct event_base *base, struct http_client *http, struct kube_access *access,
		    struct kube_client **ret, struct err *e) MUST_CHECK;
/* All calls must have ended or been cancelled. NULL is fine. */
void kube_client_free(struct kube_client *c);

struct kube_ask {
	const char *path;  /* with its query, behind the server */
	const char *patch; /* a strategic merge patch; NULL: GET */
	bool endless;      /* a watch: it ends when the server ends it */
	/* NULL: the body is collected, and a Node at most. Else each object of it is given to this. */
	kube_stream_fn *piece;
	enum kube_stream_form form;
	void (*open)(void *arg); /* NULL, or told when a success has begun to come */
};

/*
 * `body` is what came: all of it; with pieces of a list what is around them; of a watch "". NUL-terminated,
 * gone after the call. `sent`: false if nobody can have acted on it.
 */
typedef void kube_done_fn(void *arg, const struct kube_answer *answer, const char *body,
			  size_t size, bool sent);

/* Ends in one `done`, from the loop. */
struct kube_call *kube_call_start(struct kube_client *c, const struct kube_ask *ask,
				  kube_done_fn *done, void *arg);
/* May be called from piece, open and, for other calls, from done. NULL is fine. */
void kube_call_cancel(struct kube_call *call);

const char *kube_client_server(const struct kube_client *c);
/* Since the start: calls, and those of them that were patches. */
void kube_client_counts(const struct kube_client *c, uint64_t *ret_calls, uint64_t *ret_patches);

#endif
