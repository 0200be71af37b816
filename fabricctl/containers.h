/* SPDX-License-Identifier: Apache-2.0 */
/* The containers of this host, as the CNI plugin that attached them says (`flannel list`). */
#ifndef FABRICCTL_CONTAINERS_H
#define FABRICCTL_CONTAINERS_H

#include "fabricctl/settings.h"
#include "lib/addr.h"

/*
 * Runs the plugin. Caller owns *ret, {"attachments": [...], "failed": [...]} as cni-plugin/list.h has
 * it. -ENOENT: there is no plugin; -EINVAL: it is another one of that name; anything else: the
 * records cannot be read.
 */
int containers_list(const struct settings *s, json_t **ret, struct err *e) MUST_CHECK;

/* The attachment that has this address, borrowed from `list`. NULL: none. */
const json_t *containers_find(const json_t *list, const struct ip_addr *address);

#endif
