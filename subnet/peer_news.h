/* SPDX-License-Identifier: Apache-2.0 */
/* What became of a peer, for the log: who joined or left, and what of it changed, old and new. Pure. */
#ifndef SUBNET_PEER_NEWS_H
#define SUBNET_PEER_NEWS_H

#include "subnet/lease.h"

#define PEER_NEWS_SIZE 400

/* "10.5.3.0/24: web1 at 192.0.2.3" */
const char *peer_news_who(const struct lease *l, char buf[static PEER_NEWS_SIZE]);
/*
 * "10.5.3.0/24: public address 192.0.2.3 -> 192.0.2.4, backend alloc -> host-gw"; NULL if nothing
 * that matters to a reader is another.
 */
const char *peer_news_changes(const struct lease *old, const struct lease *now,
			      char buf[static PEER_NEWS_SIZE]);

#endif
