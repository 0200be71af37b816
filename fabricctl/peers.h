/* SPDX-License-Identifier: Apache-2.0 */
/* A PeerList document as the reader asked for it. */
#ifndef FABRICCTL_PEERS_H
#define FABRICCTL_PEERS_H

#include "fabricctl/ctl.h"

/*
 * What the kernel has of one kind ("route", "neighbour", "fdb") in one family ("ipv4", "ipv6") for
 * a peer: "failed", "pending" or "ok", the worst of them; NULL if there is nothing.
 */
const char *peers_state(const json_t *peer, const char *kind, const char *family);

/* Prints the list in the format wanted. */
void peers_print(const struct ctl *c, const json_t *document);

#endif
