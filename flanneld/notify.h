/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling systemd: one datagram to $NOTIFY_SOCKET. Without that variable nothing happens.
 * Source: sd_notify(3).
 */
#ifndef FLANNELD_NOTIFY_H
#define FLANNELD_NOTIFY_H

#include "lib/util.h"

/* Lines such as "READY=1\nSTATUS=...". Never blocks; failures are of no consequence. */
void notify_systemd(const char *fmt, ...) PRINTF(1, 2);

#endif
