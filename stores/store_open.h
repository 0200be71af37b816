/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which store: the one place that knows all of them, for daemon and tool. A new one is a
 * `struct store_type` (subnet/store.h), a line in the table of store_open.c and, if it has options,
 * a member here.
 */
#ifndef STORES_STORE_OPEN_H
#define STORES_STORE_OPEN_H

#include "stores/consul/consul_options.h"
#include "stores/etcd/etcd_options.h"
#include "stores/kube/kube_options.h"
#include "subnet/store.h"

struct store_options {
	char *store; /* a scheme, or a scheme, a colon and where it is */
	struct etcd_options etcd;
	struct kube_options kube;
	struct consul_options consul;
};

/* Of the options in `struct store_options`: which store, and then those of each of them. */
extern const struct option_spec store_option_specs[];

/* NULL if there is no such store. */
const struct store_type *store_type_of(const struct store_options *options);

/*
 * Reads the files that the options name, and makes of kube-subnet-mgr the store that it stands for. -EINVAL
 * with a sentence if there is no such store, or two are asked for.
 */
int store_options_check(struct store_options *options, struct err *e) MUST_CHECK;

/*
 * -EINVAL with a sentence if there is no such store or its options are of no use. `http` may be
 * NULL unless the type is one that speaks it.
 */
int store_open(struct event_base *base, struct http_client *http,
	       const struct store_options *options, uint64_t (*random)(void), struct store **ret,
	       struct err *e) MUST_CHECK;

/*
 * Whether a state that was kept is of this place: "network" as it was, or as the version before
 * wrote it, a prefix with slashes as the user typed them. That of another cluster is not, as far as
 * both are known.
 */
bool store_place_is(const struct store_place *place, const char *network, const char *cluster);

#endif
