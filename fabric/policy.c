/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policy rules of others (ip rule) that take packets past our routes, which stand in table main: a VPN's
 * table before it, a prohibition, source routing for containers. Not ours to delete, but named.
 *
 *     a rule comes or goes, or 30 s have passed -> rules that not every host has?
 *       -> the kernel is asked where it sends packets to peers, the host's own and containers'
 *       -> elsewhere than our route does: told, with the first rule that fits
 */
#include "fabric/fabric_internal.h"
#include "kernel/policy_rule.h"
#include "lib/log.h"

struct look {
	struct fabric *f;
	int family;
	struct policy_rule *rules; /* that not every host has */
	size_t rules_len;
	size_t rules_cap;
	/* About some peers, two each: rules are for networks, hardly ever for one peer of many. */
	struct policy_question questions[POLICY_QUESTIONS_MAX];
	uint32_t wanted[POLICY_QUESTIONS_MAX]; /* where our route sends it */
	struct ip_net dsts[POLICY_QUESTIONS_MAX];
	size_t len;
	struct ip_addr container; /* an address that one could have here; unset: none is known */
	char container_iif[IFNAMSIZ];
	uint32_t container_ifindex;
};

static void on_rule(void *arg, const struct policy_rule *r)
{
	struct look *l = arg;

	if (policy_rule_is_default(r))
		return;
	GROW(l->rules, l->rules_len, l->rules_cap);
	l->rules[l->rules_len++] = *r;
}

static void add_question(struct look *l, const struct kernel_object *route, bool from_container)
{
	struct policy_question *q = &l->questions[l->len];

	*q = (struct policy_question){ .dst = kernel_object_dst(route) };
	if (from_container) {
		q->src = l->container;
		q->iif_ifindex = l->container_ifindex;
	}
	l->wanted[l->len] = route->value.ifindex;
	l->dsts[l->len++] = (struct ip_net){ q->dst, route->key.len };
}

static void on_wanted(void *arg, const struct kernel_object *route)
{
	struct look *l = arg;

	/* Those without a way are for our own subnet. */
	if (kernel_object_family(route) != l->family || !route->value.ifindex ||
	    l->len + 2 > POLICY_QUESTIONS_MAX)
		return;
	add_question(l, route, false);
	if (ip_addr_is_set(&l->container))
		add_question(l, route, true);
}

/* The second address of our subnet: the first one is the gateway's. */
static void find_container(struct look *l)
{
	const struct ip_net *own = l->family == AF_INET ? &l->f->own.v4 : &l->f->own.v6;

	if (!ip_net_is_set(own) ||
	    !fabric_container_interface(l->f, &l->container_ifindex, l->container_iif))
		return;
	l->container = own->addr;
	l->container.b[ip_addr_size(&own->addr) - 1] |= 2;
}

static const struct policy_rule *first_that_fits(const struct look *l, size_t i)
{
	const struct policy_question *q = &l->questions[i];
	const char *iif = q->iif_ifindex ? l->container_iif : "";

	for (size_t r = 0; r < l->rules_len; r++) {
		if (policy_rule_fits(&l->rules[r], q, iif))
			return &l->rules[r];
	}
	return NULL;
}

static void describe(const struct look *l, size_t i, const struct policy_answer *answer,
		     const struct policy_rule *rule, struct fabric_policy *ret)
{
	char net[IP_NET_TEXT];
	char text[POLICY_RULE_TEXT];
	char name[IFNAMSIZ] = "nowhere";

	if (answer->ifindex)
		if_indextoname(answer->ifindex, name);
	snprintf(ret->text, sizeof(ret->text),
		 "packets %s for %s go %s%s, and not where our route sends them, for the sake of a "
		 "rule that is not ours: %s; see ip rule",
		 l->questions[i].iif_ifindex ? "of containers" : "of this host",
		 ip_net_format(&l->dsts[i], net), answer->ifindex ? "to " : "", name,
		 policy_rule_format(rule, text));
}

static void judge(struct look *l, struct fabric_policy *ret)
{
	struct policy_answer answers[POLICY_QUESTIONS_MAX];

	if (l->len == 0 || policy_ask(l->f->nl, l->questions, l->len, answers, NULL) < 0)
		return;
	for (size_t i = 0; i < l->len; i++) {
		const struct policy_rule *rule;

		/* Something else than a rule may be the cause: forwarding that is off, a route of others. */
		if (answers[i].ifindex == l->wanted[i] || (!answers[i].ifindex && !answers[i].code))
			continue;
		rule = first_that_fits(l, i);
		if (rule && ret->diverted++ == 0)
			describe(l, i, &answers[i], rule, ret);
	}
}

static void look(struct fabric *f, int family, struct fabric_policy *ret)
{
	struct look l = { .f = f, .family = family };

	if (policy_rules_visit(f->nl, family, on_rule, &l, NULL) == 0 && l.rules_len) {
		find_container(&l);
		reconcile_wanted_visit(f->reconcile, KERNEL_ROUTE, on_wanted, &l);
		judge(&l, ret);
	}
	free(l.rules);
}

void fabric_look_at_policy(struct fabric *f)
{
	struct fabric_policy now = { 0 };

	if (!f->policy.due)
		return;
	look(f, AF_INET, &now);
	look(f, AF_INET6, &now);
	if (now.diverted && !f->policy.diverted)
		log_warn("packets-diverted", "%s", now.text);
	else if (!now.diverted && f->policy.diverted)
		log_info("packets-diverted", "over: they take our routes again");
	f->policy = now;
}

void fabric_suspect_policy(struct fabric *f)
{
	f->policy.due = true;
}

void fabric_policy_problems(const struct fabric *f, struct problem_list *ret)
{
	if (f->policy.diverted)
		problem_add(ret, PROBLEM_ERROR, "packets-diverted", "%s", f->policy.text);
}
