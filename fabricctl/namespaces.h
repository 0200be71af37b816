/* SPDX-License-Identifier: Apache-2.0 */
/* Where a container is: the network namespace that has its address. */
#ifndef FABRICCTL_NAMESPACES_H
#define FABRICCTL_NAMESPACES_H

#include "lib/addr.h"

/*
 * Looks into the namespaces of all processes, and into those that have a name (/run/netns), for an interface
 * with this address and this MAC address (zero: any). Returns its descriptor, or -1: none, or they may not be
 * entered, which takes CAP_SYS_ADMIN. This thread is back in its own afterwards.
 */
int namespaces_find(const struct ip_addr *address, const struct mac_addr *mac);

#endif
