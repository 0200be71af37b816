/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of traffic/traffic.h for masquerade and forwarding in the language of iptables. Pure:
 * what iptables-save says goes in, what iptables-restore is to be told comes out.
 *
 * Rules stand in chains of our own, named after the table: "flannel.1-POSTRTG" in nat and
 * "flannel.1-FWD" in filter, which POSTROUTING and FORWARD jump to. The jumps are appended, so that
 * the rules of others that are there already come first.
 */
#ifndef TRAFFIC_IPTABLES_TEXT_H
#define TRAFFIC_IPTABLES_TEXT_H

#include "traffic/traffic.h"

/* Names of chains: ours, after the table's name; and flannel's. */
#define TRAFFIC_IPTABLES_MASQUERADE         "-POSTRTG"
#define TRAFFIC_IPTABLES_FLANNEL_MASQUERADE "FLANNEL-POSTRTG"
#define TRAFFIC_IPTABLES_FORWARD            "-FWD"
#define TRAFFIC_IPTABLES_FLANNEL_FORWARD    "FLANNEL-FWD"

/*
 * Input for `iptables-restore --noflush` (ip6tables-restore for AF_INET6) that makes the chains of
 * `table` hold exactly these rules, and takes away what flannel left behind and what else carries
 * our mark: a jump to a chain has it as comment (kernel/marks.h). Everything else stays. `saved` is
 * what iptables-save (ip6tables-save) says now. The jump to what is accepted stands before the rule
 * of FORWARD with the number `before` (from 1), which stops our packets; at its end if that is 0. A chain without rules goes. NULL if nothing is to
 * be done. Caller frees.
 */
char *traffic_iptables_update(const struct traffic_rules *rules, int family, const char *table,
			      const char *mark, const char *saved, unsigned before);

#endif
