/* SPDX-License-Identifier: Apache-2.0 */
/* Which store: the one place that knows all of them, for daemon and tool. */
#ifndef STORES_STORE_OPEN_H
#define STORES_STORE_OPEN_H

#include "stores/etcd/etcd_client.h"
#include "subnet/store.h"

struct event_base;

struct store_options {
	const char *store;       /* "etcd", or "file:" and a directory */
	const char *etcd_prefix; /* of the keys in etcd */
	struct etcd_options etcd;
};

/* -EINVAL with a sentence if there is no such store. `http` may be NULL unless it is etcd. */
int store_open(struct event_base *base, struct http_client *http,
	       const struct store_options *options, uint64_t (*random)(void), struct store **ret,
	       struct err *e) MUST_CHECK;

/* For log lines: where it is, into `buf`, which is returned. */
const char *store_place(const struct store_options *options, char *buf, size_t size);

#endif
