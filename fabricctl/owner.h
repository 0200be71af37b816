/* SPDX-License-Identifier: Apache-2.0 */
/* Who has an address: which lease, and is it one of this host itself? */
#ifndef FABRICCTL_OWNER_H
#define FABRICCTL_OWNER_H

#include <jansson.h>

#include "lib/addr.h"

/* The lease that an address belongs to. */
struct owner {
	const json_t *lease; /* borrowed; NULL: none */
	unsigned len;        /* of the prefix; all bits for a public address */
	bool is_public;
};

/* In a SubnetList: the longest prefix that has the address, or the host whose public one it is. */
struct owner owner_find(const json_t *document, const struct ip_addr *address);

/* The interface of this host that has it. Caller frees; NULL: none. */
char *owner_local_device(const struct ip_addr *address);

#endif
