/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has been told of each node, so that what changes nothing for us is told to nobody: kubelets write
 * their node every few minutes, or ten times a second, and none of that is about a lease. Pure.
 */
#ifndef STORES_KUBE_KUBE_TOLD_H
#define STORES_KUBE_KUBE_TOLD_H

#include "stores/kube/kube_node.h"

struct kube_told;

/* What is to be told; in this order. */
enum kube_news {
	KUBE_NEWS_GONE = 1,      /* the lease of *ret_before is no more */
	KUBE_NEWS_READABLE = 2,  /* the node was told as unreadable and is so no more */
	KUBE_NEWS_LEASE = 4,     /* it has a lease, or another than before: kube_node_lease() */
	KUBE_NEWS_UNREADABLE = 8 /* it has not even a subnet that can be read: node->problem */
};

struct kube_told *kube_told_new(void);
void kube_told_free(struct kube_told *t);

/*
 * Takes note of a node that came (enum kube_news, 0: nothing is new), or of one that was deleted.
 * `own`: what people have written for us to publish counts as well.
 */
unsigned kube_told_put(struct kube_told *t, const struct kube_node *node, bool own,
		       struct subnet *ret_before);
unsigned kube_told_delete(struct kube_told *t, const char *name, struct subnet *ret_before);

/*
 * So that a change that is none need not even be read: the gist (kube_gist.h) of what was put last of a node, if it
 * is still what holds; whether one is that of some node. Not for the own node, whose status matters.
 */
void kube_told_remember(struct kube_told *t, const char *name, uint64_t gist);
bool kube_told_knows(const struct kube_told *t, uint64_t gist);

/* The revision with which this was told, if what was told last is the same; else the node's own. */
uint64_t kube_told_revision(const struct kube_told *t, const struct kube_node *node, bool own);

size_t kube_told_len(const struct kube_told *t);

#endif
