/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the fabric and the traffic rules: the rules make the table, the elements in its sets are
 * kernel objects like routes. Whenever the table is made anew, what is wanted in it goes into the
 * same transaction, so that the guard never stands without the peers.
 */
#include "fabric/fabric_internal.h"

struct elements {
	uint8_t set;
	rules_element_fn *visit;
	void *arg;
};

static void show(void *arg, const struct kernel_object *o)
{
	const struct elements *e = arg;

	if (o->key.len == e->set)
		e->visit(e->arg, o->key.dst);
}

static void on_elements(void *arg, uint8_t set, rules_element_fn *visit, void *visit_arg)
{
	const struct fabric *f = arg;
	struct elements e = { set, visit, visit_arg };

	for (unsigned k = 0; k < KERNEL_KINDS; k++) {
		if (kernel_kinds[k]->flags & KERNEL_KIND_IN_TABLE)
			reconcile_wanted_visit(f->reconcile, k, show, &e);
	}
}

static void on_replaced(void *arg)
{
	struct fabric *f = arg;

	f->dirty |= kernel_kinds_with(KERNEL_KIND_IN_TABLE);
	fabric_want_work(f, 0);
}

static void on_element(void *arg, uint8_t set, const struct nft_element *el, bool gone)
{
	struct fabric *f = arg;
	struct kernel_object o = kernel_element_read(&f->kernel.marks, set, el);

	if (fabric_notice(f, &o, gone, 0) && f->unblamed_len < ARRAY_LEN(f->unblamed))
		f->unblamed[f->unblamed_len++] = o.key;
}

/* What a transaction did is told before whose it was. */
static void on_finished(void *arg, uint32_t pid, const char *process)
{
	struct fabric *f = arg;

	for (size_t i = 0; i < f->unblamed_len; i++) {
		struct fight *fight = reconcile_fight_over(f->reconcile, &f->unblamed[i]);

		if (fight)
			fight_blame(fight, pid, process);
	}
	f->unblamed_len = 0;
	plugin_finished(f->plugin, pid, process);
}

static bool on_foreign(void *arg, const struct nft_change *change)
{
	const struct fabric *f = arg;

	return plugin_table_changed(f->plugin, change);
}

static unsigned common_bits(const struct ip_addr *a, const struct ip_addr *b)
{
	unsigned bits = 0;

	if (a->family != b->family)
		return 0;
	while (bits < ip_family_bits(a->family) &&
	       !((a->b[bits / 8] ^ b->b[bits / 8]) & 0x80 >> bits % 8))
		bits++;
	return bits;
}

static const struct ip_addr *public_address(const struct peer *p, int family)
{
	const struct lease *l = p->member->lease;

	return family == AF_INET ? &l->public_v4 : &l->public_v6;
}

static bool is_tunnel_silent(const struct peer *p)
{
	return p->reach && reach_state(p->reach) == REACH_TUNNEL_SILENT;
}

/* A peer behind a NAT, or with a second address, is silent for want of packets that we let in, and its
 * other address is like the one it publishes as a rule. */
static void on_nearest(void *arg, const struct ip_addr *addr, char ret[static RULES_NEAREST_TEXT])
{
	const struct fabric *f = arg;
	const struct peer *nearest = NULL;
	struct peer *p = NULL;
	unsigned most = 0;
	char who[LEASE_DESCRIBE_TEXT];
	char text[IP_ADDR_TEXT];

	while ((p = peers_next(f->peers, p))) {
		unsigned bits = common_bits(addr, public_address(p, addr->family));

		if (bits && is_tunnel_silent(p))
			bits += 128;
		if (bits > most) {
			most = bits;
			nearest = p;
		}
	}
	if (!nearest)
		return;
	ip_addr_format(public_address(nearest, addr->family), text);
	snprintf(ret, RULES_NEAREST_TEXT, "%s at %s%s", lease_describe(nearest->member->lease, who),
		 text, is_tunnel_silent(nearest) ? ", whose tunnel is silent" : "");
}

static void on_overrun(void *arg)
{
	const struct fabric *f = arg;

	plugin_suspect(f->plugin, 0, "notifications of nftables were lost");
	on_replaced(arg);
}

void fabric_use_rules(struct fabric *f, struct rules *rules, bool blackhole)
{
	static const struct rules_listener listener = { .elements = on_elements,
							.replaced = on_replaced,
							.element = on_element,
							.foreign = on_foreign,
							.finished = on_finished,
							.overrun = on_overrun,
							.nearest = on_nearest };

	f->rules = rules;
	f->blackhole = blackhole;
	f->kernel.netfilter = rules_netlink(rules);
	rules_listen(rules, &listener, f);
}

unsigned fabric_readable_kinds(const struct fabric *f)
{
	return rules_stand(f->rules) ? KERNEL_ALL_KINDS
				     : KERNEL_ALL_KINDS & ~kernel_kinds_with(KERNEL_KIND_IN_TABLE);
}

void fabric_before_routes(struct fabric *f)
{
	bool guarded = rules_guards(f->rules);

	rules_before_routes(f->rules);
	f->kernel.marks.table = rules_table(f->rules);
	f->kernel.marks.sets = traffic_sets;
	f->kernel.marks.sets_len = rules_stand(f->rules) ? TRAFFIC_SETS : 0;
	/* While there is no table there is nothing to put them into. */
	reconcile_hold(f->reconcile, KERNEL_ALL_KINDS & ~fabric_readable_kinds(f));
	/* The kernel turned out to have no nf_tables. */
	if (guarded != rules_guards(f->rules)) {
		f->wants_dirty = true;
		fabric_want_work(f, 0);
	}
}

size_t fabric_guarded(const struct fabric *f)
{
	size_t wanted = 0;

	for (unsigned k = 0; k < KERNEL_KINDS; k++) {
		if (kernel_kinds[k]->flags & KERNEL_KIND_IN_TABLE)
			wanted += reconcile_counts(f->reconcile)->wanted[k];
	}
	return wanted - MIN(wanted, f->containers_len);
}
