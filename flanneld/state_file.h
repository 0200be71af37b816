/* SPDX-License-Identifier: Apache-2.0 */
/*
 * <state-dir>/last-known.json: what the store said last, for a start without the store. Written
 * some time after a change and at the end; read once. Without it, or if it cannot be written, the
 * daemon works the same while the store does.
 */
#ifndef FLANNELD_STATE_FILE_H
#define FLANNELD_STATE_FILE_H

#include "flanneld/daemon.h"
#include "subnet/last_known.h"

/*
 * Reads it. -ENOENT if there is none, -ESTALE if our lease has run out by the wall clock, -EINVAL
 * if it is damaged or of another network. *ret_left_ms: how long our lease still lasts; INT64_MAX:
 * it does not expire.
 */
int state_file_load(const struct flanneld_options *o, const struct store_place *place,
		    struct last_known *ret, int64_t *ret_left_ms, struct err *e) MUST_CHECK;
/* Adds the peers, which state_file_load leaves in the file. -EINVAL if it is another file now. */
int state_file_load_peers(const struct flanneld_options *o, struct last_known *known,
			  struct err *e) MUST_CHECK;

/* Whether the leases, or the end of our own, have changed since it was written. */
bool state_file_is_due(const struct daemon *d);
/* Writes it if it is due. A failure is in d->save_error until it was written. */
void state_file_save(struct daemon *d);

/* Writes down what the daemon was told of this host's kernel (fabric/options.h), for when it does not run. */
void state_file_leave_options(const struct daemon *d);

/* Reads it for a start without the store: the manager is given it, and where we stood. */
void state_file_restore(struct daemon *d);

#endif
