/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an event of the watch is about, without a parser: a number that is the same for two events of one
 * node if nothing differs but what is nobody's business but the node's own. A kubelet's heartbeat changes its
 * node's status and resourceVersion alone; so most events need not be read (kube_told_knows). Pure.
 */
#ifndef STORES_KUBE_KUBE_GIST_H
#define STORES_KUBE_KUBE_GIST_H

#include "lib/util.h"

struct kube_gist {
	uint64_t hash; /* of all but object.status and object.metadata.resourceVersion; never 0 */
	uint64_t revision; /* that one */
};

/*
 * `text` is an event as kube_stream.h hands it on. False: it is no MODIFIED of an object that has one
 * resourceVersion in decimal digits, or is written in a way that only a parser should judge.
 */
bool kube_gist_read(const char *text, size_t size, struct kube_gist *ret) MUST_CHECK;

#endif
