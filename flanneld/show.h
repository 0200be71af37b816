/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon shows of itself: to the log and systemd by itself, to the status server when asked. */
#ifndef FLANNELD_SHOW_H
#define FLANNELD_SHOW_H

#include "flanneld/daemon.h"
#include "flanneld/status.h"

/* Judges anew what is wrong, and logs what has begun and ended. Fills the views in *v, and health and
 * readiness; for the rest ask through show_status_ops. */
void show_judge(struct daemon *d, struct daemon_view *v);
/* The line for systemctl status, and READY=1 once: when ready, or after
 * DAEMON_START_MAX_MS. */
void show_systemd(struct daemon *d, const struct daemon_view *v);
/* `arg` is the daemon. */
extern const struct status_ops show_status_ops;

/* Lines about where we stand, and what chose that, for --log-level=debug. */
void show_places(const struct external *x);

#endif
