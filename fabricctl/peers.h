/* SPDX-License-Identifier: Apache-2.0 */
/* A PeerList document as the reader asked for it. */
#ifndef FABRICCTL_PEERS_H
#define FABRICCTL_PEERS_H

#include "fabricctl/ctl.h"

/* Prints the list in the format wanted. Complains about --columns and returns the exit status. */
int peers_print(const struct ctl *c, const json_t *document);

#endif
