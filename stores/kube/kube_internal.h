/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the store share, and what their tests turn; for nobody else.
 *
 *   kube_store.c    requests, the list, what there is to tell of the store
 *   kube_claim.c    the own node: found, read, patched
 *   kube_watch.c    the watch
 *   kube_file.c     the network configuration, a file
 */
#ifndef STORES_KUBE_INTERNAL_H
#define STORES_KUBE_INTERNAL_H

#include "stores/kube/kube_client.h"
#include "stores/kube/kube_store.h"
#include "stores/kube/kube_told.h"

#define KUBE_NODES "/api/v1/nodes"

struct kube_request;
struct kube_file;

struct kube_store {
	struct store base;
	struct event_base *loop;
	struct kube_client *client;
	uint64_t (*random)(void);
	struct kube_prefix prefix;
	bool set_network_unavailable;
	struct kube_file *file;
	struct store_host host; /* .node "": not known yet, or nobody asks for it */
	char *pod; /* "/api/v1/namespaces/NAMESPACE/pods/NAME", which knows the node; or NULL */
	uint64_t own_revision;                  /* of our node, as `host` and the next say it */
	char own_problem[KUBE_NODE_ERROR_TEXT]; /* with what people wrote at our node; "" */
	struct kube_request *requests;
	struct store_watch *watches;
	/* What the newest list has told, until a watch goes on from there. */
	struct kube_told *listed;
	uint64_t listed_revision;
};

/* One store request on its way: a chain of calls that ends in one reply. */
struct kube_request {
	struct kube_store *store;
	struct kube_request *next;
	struct kube_call *call;
	enum store_op op;
	store_reply_fn *fn;
	void *arg;
	struct lease *lease; /* copy of the request's */
	struct event *soon;  /* it is answered without asking anybody, with this: */
	enum store_status soon_status;
	/* LIST */
	unsigned attempts;
	size_t nodes_len;
	struct kube_told *told;
	uint64_t list_revision; /* 0: the first page is under way */
	size_t leases_cap;
	size_t junk_cap;
	struct store_reply reply;
};

/* ---- kube_store.c ---- */

/* Ends the request. */
void kube_answer(struct kube_request *r, enum store_status status);
/* ... for a failure that needs no more thought than what the server said. */
void kube_answer_failure(struct kube_request *r, const struct kube_answer *answer);
void kube_request_call(struct kube_request *r, const char *path, const char *patch,
		       kube_done_fn *done);
bool kube_is_own(const struct kube_store *s, const struct kube_node *n);
/* Takes note of what is said to ourselves, if the node is ours, and of what its condition says of our lease. */
void kube_note_own(struct kube_store *s, struct kube_node *n);

/* ---- kube_claim.c ---- */

/* CONFIG, where there is a node of ours: what it says to us, then the file. */
void kube_find_own(struct kube_request *r);
/* CREATE, UPDATE, BIND; it is known which node this is. */
void kube_claim(struct kube_request *r);

/* ---- kube_watch.c ---- */

struct store_watch *kube_watch_start(struct store *s, uint64_t from_revision, store_event_fn *fn,
				     void *arg);
void kube_watch_stop(struct store_watch *w);
/* A list was read to its end: what the watches have told is compared with it. */
void kube_watch_listed(struct kube_store *s);
/* The file has changed. */
void kube_watch_config(struct kube_store *s);
/* What the watch has told, or the newest list if none is running; NULL: nothing. */
const struct kube_told *kube_watch_told(const struct kube_store *s);

/* ---- kube_file.c ---- */

/* `changed` is called from the loop when the file may have. */
struct kube_file *kube_file_new(struct event_base *base, const char *path,
				void (*changed)(void *arg), void *arg);
void kube_file_free(struct kube_file *f);
/* CONFIG. */
enum store_status kube_file_read(const struct kube_file *f, struct store_reply *reply);
const char *kube_file_path(const struct kube_file *f);

#endif
