/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policy rules (ip rule), which decide in which table the kernel looks up a route, or that there is
 * none. We make none; those of others may take packets past our routes, which stand in table main.
 * Source: linux/fib_rules.h.
 */
#ifndef KERNEL_POLICY_RULE_H
#define KERNEL_POLICY_RULE_H

#include <net/if.h>

#include "kernel/netlink.h"
#include "lib/addr.h"

#define POLICY_RULE_TEXT     200
#define POLICY_QUESTIONS_MAX 64

struct policy_rule {
	int family;
	uint32_t priority;
	uint32_t table;
	uint8_t action;     /* FR_ACT_ */
	bool inverted;      /* "not": whatever does not fit */
	struct ip_net from; /* unset: all */
	struct ip_net to;
	char iif[IFNAMSIZ]; /* "": all */
	char oif[IFNAMSIZ];
	uint32_t mark; /* with a mask of 0: any */
	uint32_t mask;
	bool narrower; /* by what is not read here: ports, users, protocols, a tunnel's id */
};

/* Where a packet goes: one that comes in by `iif_ifindex` from `src`, or one of the host's own (0). */
struct policy_question {
	struct ip_addr dst;
	struct ip_addr src; /* may be unset for the host's own */
	uint32_t iif_ifindex;
};
struct policy_answer {
	uint32_t ifindex; /* 0: nowhere, and code says why; both 0: the kernel did not answer */
	int code;
};

typedef void policy_rule_fn(void *arg, const struct policy_rule *rule);
/* Shows all rules in the order in which the kernel tries them. */
int policy_rules_visit(struct netlink *nl, int family, policy_rule_fn *visit, void *arg,
		       struct err *e) MUST_CHECK;
/* One that every host has: for table local, main or default, without any condition. */
bool policy_rule_is_default(const struct policy_rule *r);
/* Whether it is meant for this packet, as far as is read here; iif "" for the host's own. */
bool policy_rule_fits(const struct policy_rule *r, const struct policy_question *q,
		      const char *iif);
/* As ip rule shows it: "100: from all to 10.5.0.0/16 prohibit". */
const char *policy_rule_format(const struct policy_rule *r, char buf[static POLICY_RULE_TEXT]);

/* Asks the kernel in one system call; at most POLICY_QUESTIONS_MAX. */
int policy_ask(struct netlink *nl, const struct policy_question *questions, size_t len,
	       struct policy_answer *ret, struct err *e) MUST_CHECK;

/* For tests: reads RTM_NEWRULE. False for anything else. */
bool policy_rule_decode(const struct nlmsghdr *hdr, struct policy_rule *ret);

#endif
