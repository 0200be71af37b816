/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries rules to iptables: asks iptables-save, tells iptables-restore the difference, one family
 * after the other, without blocking.
 */
#ifndef TRAFFIC_RULES_IPTABLES_H
#define TRAFFIC_RULES_IPTABLES_H

#include "traffic/iptables_text.h"

struct event_base;
struct rules_iptables;

/* Which iptables. ANY: what the host calls iptables. */
enum rules_iptables_kind { RULES_IPTABLES_ANY, RULES_IPTABLES_NFT, RULES_IPTABLES_LEGACY };

/* rc as usual; `writes` is how many times something was written. */
typedef void rules_iptables_done_fn(void *arg, int rc, unsigned writes, const struct err *e);

struct rules_iptables *rules_iptables_new(struct event_base *base, rules_iptables_done_fn *done,
					  void *arg);
void rules_iptables_free(struct rules_iptables *r);

bool rules_iptables_exists(enum rules_iptables_kind kind);
bool rules_iptables_busy(const struct rules_iptables *r);

/*
 * traffic_iptables_update for each family; everything is copied. families: mask, 1 for IPv4, 2 for
 * IPv6; `before`: by family. Not while busy. `done` is called later in any case.
 */
void rules_iptables_run(struct rules_iptables *r, enum rules_iptables_kind kind,
			const struct traffic_rules *rules, const char *table, const char *mark,
			unsigned families, const unsigned before[static 2]);

#endif
