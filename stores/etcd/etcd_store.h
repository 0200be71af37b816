/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store in etcd v3, with flannel's keys and values:
 *
 *   <prefix>/config              the network configuration
 *   <prefix>/subnets/<subnet>    a lease, bound to an etcd lease that expires unless kept alive
 *   <prefix>/health/<node id>    ours alone: what a host tells of itself, bound to an etcd lease of
 *                                its own, since it ends soon after its daemon
 *
 * Every write is a transaction whose repetition is harmless, and one whose outcome was not seen is
 * read back before it is reported.
 */
#ifndef STORES_ETCD_STORE_H
#define STORES_ETCD_STORE_H

#include "stores/etcd/etcd_client.h"
#include "subnet/store.h"

extern const struct store_type etcd_store_type;

/*
 * `prefix` as users write it: repeated and trailing slashes do not count. `random` is called for
 * lease ids and back-off, from the loop. The options are copied.
 */
int etcd_store_new(struct event_base *base, struct http_client *http, const char *prefix,
		   const struct etcd_options *options, uint64_t (*random)(void), struct store **ret,
		   struct err *e) MUST_CHECK;

/* "/coreos.com//network/" -> "/coreos.com/network"; caller frees. */
char *etcd_clean_prefix(const char *prefix);

#endif
