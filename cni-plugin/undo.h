/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes attachments apart: for DEL and GC, for an ADD that failed, and for what a killed one left.
 *
 * Each part is looked up, compared with what the record says about it, and removed if it is still
 * ours; a part that is not there is undone already. All parts are tried whatever happens to one of
 * them, the first failure is reported, and only when there was none does the record go. Order:
 * rules, interface, reservations, so that an address is free only when nobody can use it any more.
 */
#ifndef CNI_PLUGIN_UNDO_H
#define CNI_PLUGIN_UNDO_H

#include "cni-plugin/host.h"
#include "cni-plugin/netconf.h"
#include "cni-plugin/record.h"
#include "kernel/device.h"

/*
 * Undoes what a record says and removes it from the store. `prev_result` (may be NULL) is passed on
 * to a delegate. The attachment's lock is held. Blocks while the kernel removes the veth, some 15
 * to 30 ms.
 */
int undo_record(struct host *h, struct store *store, const struct cni_env *env,
		const struct record *r, const json_t *prev_result, struct err *e) MUST_CHECK;

/*
 * Undoes of what we made ourselves the rules and the interface; reservations and record stay, for who
 * is told later that the addresses are free.
 */
int undo_interface(struct host *h, const struct record *r, struct err *e) MUST_CHECK;

/*
 * Undoes an attachment that we have no record of, by what the environment, the configuration and
 * prevResult tell, and by flannel's own file if there is one. `damaged`: we had a record, so
 * the interface was ours; else it is left alone unless one of these says that it was.
 */
int undo_unrecorded(struct host *h, const struct cni_env *env, const struct netconf *n,
		    bool damaged, struct err *e) MUST_CHECK;

/*
 * Deletes the veth of that name, which stands on the host, if its other end is one of ours; absence is
 * success: for an end that nobody has taken into a container, of which there is no record.
 */
int undo_end(const struct host *h, const char *name, struct err *e) MUST_CHECK;

/* True if the interface that the record describes is still there and still the one that we made. */
bool undo_is_alive(const struct host *h, const struct record *r);
/* The same, and tells how it is. */
bool undo_find_link(const struct host *h, const struct record *r, struct device *ret);

#endif
