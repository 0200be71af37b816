/* SPDX-License-Identifier: Apache-2.0 */
/* The hosts and the tunnels between this one and them as a graph in graphviz' language. Pure. */
#ifndef FABRICCTL_DOT_H
#define FABRICCTL_DOT_H

#include "fabricctl/ctl.h"

/*
 * Prints a SubnetList or a PeerList to ctl->out. A tunnel that is not well is dashed, and says what
 * is the matter. A reservation that no host has taken over has no tunnel. If the list does not say
 * which host this is, a list of peers stands around "this host", one of leases around the network.
 */
void dot_print(const struct ctl *c, const json_t *document);

#endif
