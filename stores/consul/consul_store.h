/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store in Consul's KV, with the values of the store in etcd, byte for byte:
 *
 *   <prefix>/config              the network configuration
 *   <prefix>/subnets/<subnet>    a lease, locked by a session whose end deletes it
 *
 * A lease's id is its session, which a transaction binds it to when it is made: no key stands there that
 * would not end. Consul ends a session between one and two times its TTL after the last renewal, in fact
 * after two; so a session's TTL is half of the lease's, and the lease's is what was asked for.
 *
 * Every write leaves a number of its own in the key's Flags, so that what stands there tells whether it has
 * happened, and that a write of the same value is a change as it is in etcd.
 */
#ifndef STORES_CONSUL_STORE_H
#define STORES_CONSUL_STORE_H

#include "stores/consul/consul_options.h"
#include "subnet/store.h"

struct http_client;

extern const struct store_type consul_store_type;

/* The options are copied; `random` is called from the loop. */
int consul_store_new(struct event_base *base, struct http_client *http,
		     const struct consul_options *options, uint64_t (*random)(void),
		     struct store **ret, struct err *e) MUST_CHECK;

#endif
