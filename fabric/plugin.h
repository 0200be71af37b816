/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the CNI plugin made on this host, kept by the plugin itself: it has the records of what that
 * is, and the code that makes it. Here is only noticed that some of it may have been undone, by what
 * the kernel tells; then the plugin is run (`flannel keep`, cni-plugin/keep.h), which looks, and puts
 * back what is missing.
 *
 *     a table, an address, a bridge is gone ──suspect──> [10 ms] ──> flannel keep ──> what it did
 *     nothing was noticed ─────────────────────────────> [1 min] ──┘                  is logged
 *
 * It is run at the start, after a suspicion, and from time to time; while somebody undoes it again and
 * again, later and later (lib/fight.h). Where the plugin has no records it is never run.
 */
#ifndef FABRIC_PLUGIN_H
#define FABRIC_PLUGIN_H

#include "lib/problem.h"

struct event_base;
struct nft_change;
struct plugin;

/* What the options of the same names say; texts are "" if not given. */
struct plugin_options {
	char *cni_plugin;
	char *cni_data_dir;
};

/* Checks the options that only this module understands. */
int plugin_check_options(const struct plugin_options *o, struct err *e) MUST_CHECK;

/* `options` must outlive it. `changed`: plugin_problems says something else now. */
struct plugin *plugin_new(struct event_base *base, const struct plugin_options *options,
			  void (*changed)(void *arg), void *arg);

/* All of these do nothing if `p` is NULL. */

void plugin_free(struct plugin *p);
/* Looks at once; again whenever it is called. Nothing is run before the first call. */
void plugin_look(struct plugin *p);
/*
 * Something that the plugin may have made was undone: "cni0 is down". port_id: the netlink address of
 * who did it; 0: not known.
 */
void plugin_suspect(struct plugin *p, uint32_t port_id, const char *fmt, ...) PRINTF(3, 4);
/*
 * A table of nf_tables that is not ours was changed. True if it is the plugin's: plugin_finished is to
 * tell whose transaction it was.
 */
bool plugin_table_changed(struct plugin *p, const struct nft_change *change);
void plugin_finished(struct plugin *p, uint32_t pid, const char *process);

/* Adds what is wrong. */
void plugin_problems(const struct plugin *p, struct problem_list *ret);

#endif
