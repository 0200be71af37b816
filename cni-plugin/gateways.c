/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/gateways.h"

#include "cni-plugin/config.h"
#include "cni-plugin/pool.h"
#include "kernel/device.h"
#include "kernel/inet.h"
#include "kernel/sequence.h"
#include "lib/log.h"

/* As bridge.c makes them: the first address of a subnet as large as the present one. */
static bool is_old_gateway(const struct subnet_env *f, const struct ip_net *net)
{
	const struct ip_net *present = net->addr.family == AF_INET ? &f->subnet : &f->subnet_v6;
	struct ip_net subnet = ip_net_masked(net);

	if (!ip_net_is_set(present) || net->len != present->len ||
	    ip_addr_to_u128(&net->addr) != ip_addr_to_u128(&subnet.addr) + 1 ||
	    ip_net_contains(present, &net->addr))
		return false;
	for (size_t i = 0; i < f->networks_len; i++) {
		if (ip_net_contains(&f->networks[i], &net->addr))
			return true;
	}
	return false;
}

struct search {
	const struct ip_net *net;
	bool found;
};

static bool look_for_address(void *arg, const struct ip_addr *a,
			     const struct pool_owner *owner UNUSED)
{
	struct search *s = arg;

	s->found |= ip_net_contains(s->net, a);
	return false;
}

/* What cannot be read may be in use. */
static void search_in(struct search *s, struct pool *p)
{
	struct err ignored;

	if (pool_scan(p, look_for_address, s, NULL, &ignored) < 0)
		s->found = true;
}

static void search_beside(void *arg, const char *dir, const char *network UNUSED)
{
	auto_pool struct pool *p = NULL;
	struct search *s = arg;
	struct err ignored;

	if (pool_open(dir, false, &p, &ignored) == 0)
		search_in(s, p);
	else
		s->found = true;
}

static bool is_in_use(const struct netconf *n, const struct ip_net *net)
{
	auto_free char *dir = config_pool_dir(n->json, n->name);
	struct search s = { .net = net };
	auto_pool struct pool *p = NULL;
	struct err ignored;

	if (pool_open(dir, true, &p, &ignored) < 0)
		return true;
	pool_look_beside(p, NULL, NULL);
	search_in(&s, p);
	pool_list_beside(p, search_beside, &s);
	return s.found;
}

static void drop(const struct host *h, const char *device, const struct inet_address *a)
{
	auto_sequence struct sequence *s = sequence_new();
	char text[IP_NET_TEXT];
	struct err e;

	ip_net_format(&a->net, text);
	inet_encode_address_delete(a, sequence_reserve(s));
	sequence_commit(s, "%s: remove address %s", device, text);
	if (sequence_run(s, h->nl, &e) < 0)
		log_warn("old-gateway", "%s", e.text);
	else
		log_info("old-gateway", "%s removed from %s: no container uses its subnet", text,
			 device);
}

void gateways_drop_old(const struct host *h, const struct netconf *n, const char *device)
{
	auto_free struct inet_address *have = NULL;
	struct subnet_env fabric;
	size_t len = 0;
	struct device d;
	struct err e;

	if (!n->needs_fabric || !device[0] || fabric_read(n->subnet_file, &fabric, &e) < 0 ||
	    device_get(h->nl, device, &d, &e) < 0 ||
	    inet_list_addresses(h->nl, AF_UNSPEC, d.ifindex, &have, &len, &e) < 0)
		return;
	for (size_t i = 0; i < len; i++) {
		if (is_old_gateway(&fabric, &have[i].net) && !is_in_use(n, &have[i].net))
			drop(h, device, &have[i]);
	}
}
