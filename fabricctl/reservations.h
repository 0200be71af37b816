/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses that are reserved for containers of this host, as host-local writes them down, which the
 * CNI plugin does too: <directory>/<network>/<address> has "container id CR LF interface".
 */
#ifndef FABRICCTL_RESERVATIONS_H
#define FABRICCTL_RESERVATIONS_H

#include "lib/addr.h"

#define RESERVATIONS_DIRECTORY "/var/lib/cni/networks"
#define RESERVATIONS_MAX       ((size_t)1 << 20) /* files that are looked at */

/* Texts live until the visit returns; "" what the file does not say. */
struct reservation {
	const char *network;
	struct ip_addr address;
	const char *container_id;
	const char *interface;
	int64_t written_ms; /* wall clock */
};

/*
 * Visits all, in no order; a file that went meanwhile is none. A directory that is not there has
 * none. -EACCES, -EFBIG and what else the disk says.
 */
int reservations_each(const char *directory,
		      void (*visit)(void *arg, const struct reservation *reservation), void *arg,
		      struct err *e) MUST_CHECK;

/* Cuts the content of a file in place into container id and interface. Pure. */
void reservations_parse(char *text, struct reservation *ret);

#endif
