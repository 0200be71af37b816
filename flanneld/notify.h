/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling systemd: one datagram to $NOTIFY_SOCKET. Without that variable nothing happens.
 * Source: sd_notify(3), sd_watchdog_enabled(3).
 */
#ifndef FLANNELD_NOTIFY_H
#define FLANNELD_NOTIFY_H

#include "lib/util.h"

/* Lines such as "READY=1\nSTATUS=...". Never blocks; failures are of no consequence. */
void notify_systemd(const char *fmt, ...) PRINTF(1, 2);
/* How often WATCHDOG=1 must be sent, with time to spare; 0: not asked for. $WATCHDOG_USEC. */
int64_t notify_watchdog_ms(void);

#endif
