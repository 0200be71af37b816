/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon is told from outside by signals, and what it tells systemd of a reload and of being alive. */
#ifndef FLANNELD_SIGNALS_H
#define FLANNELD_SIGNALS_H

#include "lib/err.h"

struct daemon;

/* SIGTERM and SIGINT end the loop, SIGHUP compares the kernel with the leases. Without them the daemon could
 * not be stopped but by SIGKILL: an error ends it. The events are in d->signals. */
int signals_watch(struct daemon *d, struct err *e) MUST_CHECK;
/* The comparison that SIGHUP asked for is over. */
void signals_end_reload(struct daemon *d);
/* If systemd asked for it. The event is d->watchdog. */
void signals_feed_watchdog(struct daemon *d);

#endif
