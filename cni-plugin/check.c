/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CHECK: the kernel and the reservations against what ADD wrote down and what the runtime gives
 * back.
 *
 * The record says what we made, prevResult what it has become: plugins behind us may have given the
 * interface another MAC, and moved its routes to other tables. So what is in both is compared with
 * prevResult, and what only we know (our end of the link, gateways, rules, reservations) with the
 * record.
 */
#include <errno.h>
#include <string.h>

#include "cni-plugin/error.h"
#include "cni-plugin/exec.h"
#include "cni-plugin/hostside.h"
#include "cni-plugin/lookup.h"
#include "cni-plugin/pool.h"
#include "cni-plugin/record.h"
#include "cni-plugin/result.h"
#include "cni-plugin/rules.h"
#include "cni-plugin/verbs.h"
#include "kernel/device.h"
#include "kernel/inet.h"

struct check {
	const struct cni_env *env;
	struct host *host;
	const struct record
		*record; /* NULL: flannel's plugin made it, and we know only prevResult */
	const struct result *prev;
	struct device container;
};

#define MISMATCH(e, ...) cni_error(e, CNI_MISMATCH, __VA_ARGS__)

static const struct result_interface *find_listed(const struct result *prev, const char *name,
						  bool in_container)
{
	for (size_t i = 0; i < prev->interfaces_len; i++) {
		const struct result_interface *item = &prev->interfaces[i];

		if (strcmp(item->name, name) == 0 && (item->sandbox != NULL) == in_container)
			return item;
	}
	return NULL;
}

static bool same_mac(const struct result_interface *listed, const struct device *d)
{
	return !listed->has_mac || memcmp(&listed->mac, &d->mac, sizeof(d->mac)) == 0;
}

static int check_container_interface(struct check *c, struct err *e)
{
	const char *name = c->env->ifname;
	const struct result_interface *listed = find_listed(c->prev, name, true);
	struct device *d = &c->container;
	int rc = device_get(c->host->container_nl, name, d, e);

	if (rc == -ENODEV)
		return MISMATCH(e, "container interface %s does not exist", name);
	if (rc < 0)
		return cni_classify(e, CNI_KERNEL);
	if (!listed)
		return MISMATCH(e, "prevResult does not list container interface %s", name);
	if (strcmp(d->kind, "veth") != 0)
		return MISMATCH(e, "container interface %s is not a veth", name);
	if (!same_mac(listed, d))
		return MISMATCH(e, "container interface %s has another MAC than in prevResult",
				name);
	if (c->prev->addresses_len && !d->up)
		return MISMATCH(e, "container interface %s is down", name);
	/*
	 * A later plugin may have made it smaller, which works; what is larger than our end gets
	 * lost.
	 */
	if (c->record && c->record->mtu_bytes && d->mtu_bytes > c->record->mtu_bytes)
		return MISMATCH(e, "container interface %s has MTU %u, more than %u", name,
				d->mtu_bytes, c->record->mtu_bytes);
	return 0;
}

static bool is_covered(const struct inet_route *routes, size_t len, const struct ip_net *net)
{
	for (size_t i = 0; i < len; i++) {
		if (ip_net_contains(&routes[i].dst, &net->addr))
			return true;
	}
	return false;
}

static int check_addresses(const struct check *c, const struct inet_route *routes,
			   size_t routes_len, struct err *e)
{
	auto_free struct inet_address *have = NULL;
	size_t have_len = 0;

	if (inet_list_addresses(c->host->container_nl, AF_UNSPEC, c->container.ifindex, &have,
				&have_len, e) < 0)
		return cni_classify(e, CNI_KERNEL);
	for (size_t i = 0; i < c->prev->addresses_len; i++) {
		const struct result_address *a = &c->prev->addresses[i];
		char text[IP_NET_TEXT];
		bool found = false;

		/* Addresses of other interfaces in the list are their plugins' business. */
		if (a->interface >= 0 &&
		    strcmp(c->prev->interfaces[a->interface].name, c->env->ifname) != 0)
			continue;
		for (size_t k = 0; k < have_len; k++)
			found |= ip_net_equal(&have[k].net, &a->net);
		ip_net_format(&a->net, text);
		if (!found)
			return MISMATCH(e, "container interface %s lacks address %s",
					c->env->ifname, text);
		if (!is_covered(routes, routes_len, &a->net))
			return MISMATCH(e, "container interface %s has no route for address %s",
					c->env->ifname, text);
	}
	return 0;
}

static bool same_route(const struct inet_route *have, const struct result_route *want)
{
	struct ip_net dst = ip_net_masked(&want->dst);

	if (!ip_net_equal(&have->dst, &dst))
		return false;
	if (want->table >= 0 && have->table != want->table)
		return false;
	if (want->priority >= 0 && have->priority != want->priority)
		return false;
	return dst.len == 0 || !ip_addr_is_set(&want->gateway) ||
	       ip_addr_equal(&have->gateway, &want->gateway);
}

static int check_routes(const struct check *c, const struct inet_route *have, size_t have_len,
			struct err *e)
{
	for (size_t i = 0; i < c->prev->routes_len; i++) {
		const struct result_route *want = &c->prev->routes[i];
		char text[IP_NET_TEXT];
		bool found = false;

		for (size_t k = 0; k < have_len; k++)
			found |= same_route(&have[k], want);
		if (!found)
			return MISMATCH(e, "container interface %s lacks the route to %s",
					c->env->ifname, ip_net_format(&want->dst, text));
	}
	return 0;
}

static int check_network(const struct check *c, struct err *e)
{
	auto_free struct inet_route *routes = NULL;
	size_t len = 0;

	if (inet_list_routes(c->host->container_nl, AF_UNSPEC, c->container.ifindex, &routes, &len,
			     e) < 0)
		return cni_classify(e, CNI_KERNEL);
	if (check_addresses(c, routes, len, e) < 0 || check_routes(c, routes, len, e) < 0)
		return e->code;
	return 0;
}

static int check_bridge(const struct check *c, struct device *ret, struct err *e)
{
	const struct result_interface *listed = find_listed(c->prev, c->record->bridge, false);

	if (hostside_check_bridge(c->host, c->record, ret, e) < 0)
		return e->code;
	if (listed && !same_mac(listed, ret))
		return MISMATCH(e, "bridge %s has another MAC than in prevResult", ret->name);
	return 0;
}

static int check_host_interface(const struct check *c, struct err *e)
{
	const struct record *r = c->record;
	struct device bridge;
	struct device d;
	int rc = device_get(c->host->nl, r->host_ifname, &d, e);

	if (rc == -ENODEV)
		return MISMATCH(e, "host interface %s does not exist", r->host_ifname);
	if (rc < 0)
		return cni_classify(e, CNI_KERNEL);
	if (strcmp(d.kind, "veth") != 0 || d.peer_ifindex != c->container.ifindex)
		return MISMATCH(e, "host interface %s is not the peer of %s", r->host_ifname,
				c->env->ifname);
	if (r->mtu_bytes && d.mtu_bytes != r->mtu_bytes)
		return MISMATCH(e, "host interface %s has MTU %u instead of %u", r->host_ifname,
				d.mtu_bytes, r->mtu_bytes);
	if (!r->ptp && check_bridge(c, &bridge, e) < 0)
		return e->code;
	return hostside_check_link(r, &d, r->ptp ? NULL : &bridge, e);
}

static int check_reservations(const struct record *r, struct err *e)
{
	const struct pool_owner owner = { .container_id = r->container_id, .ifname = r->ifname };
	auto_pool struct pool *pool = NULL;
	int rc;

	if (!r->pool_dir || r->addresses_len == 0)
		return 0;
	rc = pool_open(r->pool_dir, false, &pool, e);
	if (rc == -ENOENT)
		return MISMATCH(e, "the reservations in %s are gone", r->pool_dir);
	if (rc < 0)
		return cni_classify(e, CNI_STATE);
	for (size_t i = 0; i < r->addresses_len; i++) {
		char text[IP_ADDR_TEXT];

		if (!pool_is_owner(pool, &r->addresses[i], &owner))
			return MISMATCH(e, "address %s is not reserved for the container",
					ip_addr_format(&r->addresses[i], text));
	}
	return 0;
}

/* The configuration that the delegate had at ADD, and today's prevResult. */
static int check_by_plugin(const struct check *c, const json_t *prev_result, struct err *e)
{
	const struct record *r = c->record;
	const json_t *named =
		r->kind == RECORD_DELEGATE ? r->delegate : json_get_any_case(r->delegate, "ipam");
	const char *type = json_string_value(json_get_any_case(named, "type"));
	auto_json json_t *config = json_copy(r->delegate);

	json_object_set(config, "prevResult", (json_t *)prev_result);
	return exec_plugin(c->env, type ? type : "", CNI_CHECK, config, NULL, e);
}

static int check_ours(const struct check *c, struct err *e)
{
	if (check_host_interface(c, e) < 0 || hostside_check_gateways(c->host, c->record, e) < 0 ||
	    check_reservations(c->record, e) < 0 || rules_check(c->host, c->record, e) < 0)
		return e->code;
	return 0;
}

static int read_record(const struct cni_env *env, const struct netconf *n, struct record *ret,
		       bool *ret_found, struct err *e)
{
	auto_json json_t *flannels = NULL;
	auto_store struct store *store = NULL;
	bool same = true;
	int rc = store_open(n->data_dir, n->name, false, &store, e);

	if (rc == 0)
		rc = store_read(store, env->container_id, env->ifname, ret, e);
	if (rc == -ENOENT) {
		store_close(STEAL(store));
		rc = lookup_elsewhere(n->data_dir, n, env, &store, ret, &same, e);
	}
	if (rc == 0 && !same)
		return MISMATCH(e, "network %s has the interface", ret->network);
	if (rc == 0 && !ret->complete)
		return MISMATCH(e, "the interface's ADD did not come to its end");
	*ret_found = rc == 0;
	if (rc == -ENOENT && record_read_flannel(n->data_dir, env->container_id, &flannels, e) == 0)
		return 0;
	if (rc == -ENOENT)
		return MISMATCH(e, "container %.80s has no interface %s in network %.80s",
				env->container_id, env->ifname, n->name);
	return rc < 0 ? cni_classify(e, CNI_STATE) : 0;
}

int verb_check(const struct cni_env *env, const struct netconf *n, struct err *e)
{
	const json_t *prev_json = json_get_any_case(n->json, "prevResult");
	auto_record struct record record = { 0 };
	auto_result struct result prev = { 0 };
	auto_host struct host host = HOST_NONE;
	struct check c = { .env = env, .host = &host, .prev = &prev };
	bool found = false;

	if (!prev_json)
		return cni_error(e, CNI_CONFIG, "required prevResult missing");
	if (result_parse(prev_json, n->cni_version, &prev, e) < 0)
		return err_wrap(e, "prevResult");
	if (host_open(&host, e) < 0 || host_open_container(&host, env, e) < 0 ||
	    read_record(env, n, &record, &found, e) < 0)
		return e->code;
	c.record = found ? &record : NULL;
	if (found && record.kind == RECORD_DELEGATE)
		return check_by_plugin(&c, prev_json, e);
	if (check_container_interface(&c, e) < 0 || check_network(&c, e) < 0)
		return e->code;
	if (found && check_ours(&c, e) < 0)
		return e->code;
	return found && record.delegate ? check_by_plugin(&c, prev_json, e) : 0;
}
