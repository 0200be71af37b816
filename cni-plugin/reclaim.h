/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reservations of the dead: of containers that a reboot or a kill took, and no DEL came.
 *
 * They cost nothing until somebody is refused an address for them. Then, and only then, every
 * reservation of the network and of those beside it is looked at, and what GC would free is freed:
 *
 *   record of ours, interface gone, no process at work on it     free
 *   empty file                                                   free
 *   no record of ours: another plugin's, or lost                 stays, it may live
 *   anything else                                                stays
 *
 * Records and rules stay for the DEL or GC that may still come, all but published ports, which would lead to whoever gets
 * the address; an address is all that is short.
 */
#ifndef CNI_PLUGIN_RECLAIM_H
#define CNI_PLUGIN_RECLAIM_H

#include "cni-plugin/host.h"
#include "cni-plugin/pool.h"

/* `p` is open, `network` its name. Returns how many reservations were freed. */
size_t reclaim_addresses(struct host *h, const char *data_dir, const char *network, struct pool *p);

#endif
