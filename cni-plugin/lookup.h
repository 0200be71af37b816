/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attachments whose network had another name: a list that was renamed under running containers.
 *
 * Runtimes send the DEL through the list they have now. Container id and interface name are enough
 * to know the attachment, but for one case: an ADD that was refused because another network has the
 * interface is followed by a DEL too. So a record under another name is the same network's only if
 * it is of the same kind, on the same bridge.
 */
#ifndef CNI_PLUGIN_LOOKUP_H
#define CNI_PLUGIN_LOOKUP_H

#include "cni-plugin/env.h"
#include "cni-plugin/netconf.h"
#include "cni-plugin/record.h"

/*
 * Finds the record of `env`'s attachment under any name but `n`'s; its lock is held until *ret_store
 * is closed. *ret_same: it is of the network that `n` describes. -ENOENT: there is none.
 */
int lookup_elsewhere(const char *data_dir, const struct netconf *n, const struct cni_env *env,
		     struct store **ret_store, struct record *ret, bool *ret_same,
		     struct err *e) MUST_CHECK;

/* The bridge that the configuration names, or the usual one; whatever its type. */
const char *lookup_bridge(const struct netconf *n);

/* True if the record is of an interface such as `n` describes. */
bool lookup_is_same(const struct netconf *n, const struct record *r);

#endif
