/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What attachments need of the host, kept as the records say: the nftables tables with every
 * container's elements, the bridge with the gateways' addresses, our ends of the links.
 *
 * Others undo it in passing: `nft flush ruleset` and a firewall's restart take the tables, a network
 * manager takes the bridge's addresses or the bridge. The daemon, which is told by the kernel, runs
 * the plugin for it (`flannel keep`); an ADD does it too when it finds that something was undone.
 * Only what is missing or other than recorded is written, so a second run writes nothing.
 *
 * Records of attachments whose interface is gone are left to DEL and GC; those that another plugin
 * made, to that.
 */
#ifndef CNI_PLUGIN_KEEP_H
#define CNI_PLUGIN_KEEP_H

#include "cni-plugin/host.h"
#include "cni-plugin/record.h"

#define KEEP_TEXTS_MAX 16

/* Sentences, equal ones once. */
struct keep_texts {
	struct {
		char *text;
		size_t count;
	} items[KEEP_TEXTS_MAX];
	size_t len;
	size_t more; /* that found no room */
};

struct keep_report {
	size_t attachments;         /* that live, and were looked at */
	struct keep_texts repaired; /* what was wrong and is right now */
	struct keep_texts failed;   /* what still is, and why */
};

/*
 * Looks at all attachments of all networks, and puts right what is not. `own` (may be NULL) is left
 * out: the caller has its lock. Others that somebody works on are waited for wait_s, then left to
 * him. Error: the records could not be read; -ENOENT: there are none.
 */
int keep_all(struct host *h, const char *data_dir, const struct record *own, unsigned wait_s,
	     struct keep_report *ret, struct err *e) MUST_CHECK;
/* {"attachments": 12, "repaired": ["..."], "failed": []}; caller owns it. */
json_t *keep_report_json(const struct keep_report *r);
void keep_report_fini(struct keep_report *r);

/* The same as a command, `flannel keep [DATA-DIR]`, that prints the report; its exit status. */
int keep_command(const char *data_dir);

#endif
