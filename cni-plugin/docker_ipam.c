/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses for docker: the host's subnet is the pool, and the reservations are the CNI plugin's.
 *
 * dockerd sends the endpoint's MAC with RequestAddress because the daemon says that it must
 * (RequiresMACAddress): by it a call that comes again is known, for there is no other name yet. What has
 * no MAC either is the gateway's, or is asked for by address: addresses that the user has set aside
 * (--aux-address), and, after a restart of dockerd, those which it has in use (RequiresRequestReplay).
 */
#include "cni-plugin/docker.h"

#include <errno.h>
#include <string.h>

#include "cni-plugin/error.h"
#include "cni-plugin/reclaim.h"
#include "cni-plugin/undo.h"
#include "kernel/marks.h"

/* Nobody can tell whose it is: `fabricctl gc` leaves it alone. */
static const struct pool_owner set_aside = { .container_id = "docker", .ifname = "" };

static json_t *net_text(const struct ip_addr *a, uint8_t len)
{
	const struct ip_net net = { .addr = *a, .len = len };
	char text[IP_NET_TEXT];

	return json_string(ip_net_format(&net, text));
}

/*
 * A network is made with the subnet said. To a subnet that is left to us a dockerd before 28 says no as
 * soon as the host has a route to it, as it has from the first container on, and asks again for ever.
 */
static int check_said(const struct docker_call *c, const struct ip_net *own, struct err *e)
{
	const struct ip_net subnet = ip_net_masked(own);
	char text[IP_NET_TEXT];

	if (ip_net_is_set(&c->pool))
		return 0;
	return cni_error(e, CNI_CONFIG, "give --subnet %s, which is this host's",
			 ip_net_format(&subnet, text));
}

int docker_request_pool(struct docker *d, const struct docker_call *c, json_t **ret, struct err *e)
{
	const struct ip_net *own;
	const struct range *range;
	size_t set = 0;

	if (c->option)
		return cni_error(e, CNI_CONFIG, "there is no ipam-opt \"%.60s\"", c->option);
	if (docker_open_fabric(d, e) < 0)
		return e->code;
	own = c->v6 ? &d->fabric.subnet_v6 : &d->fabric.subnet;
	if (!ip_net_is_set(own))
		return cni_error(e, CNI_CONFIG, "this host has no %s subnet%s",
				 c->v6 ? "IPv6" : "IPv4",
				 c->v6 ? ": make the network without --ipv6"
				       : ": make the network with --ipv4=false --ipv6");
	if (check_said(c, own, e) < 0 || docker_find_set(d, &c->pool, &set, e) < 0)
		return e->code;
	range = &d->config.ranges.sets[set].items[0];
	*ret = json_pack(
		"{s:o, s:o, s:{s:o}}", "PoolID", net_text(&range->subnet.addr, range->subnet.len),
		"Pool", net_text(&range->subnet.addr, range->subnet.len), "Data",
		"com.docker.network.gateway", net_text(&range->gateway, range->subnet.len));
	return 0;
}

/* ---- an address is asked for ---- */

static int give_gateway(const struct range *range, const struct ip_addr *wanted,
			struct ip_addr *ret, struct err *e)
{
	char text[IP_ADDR_TEXT];
	char ours[IP_ADDR_TEXT];

	if (ip_addr_is_set(wanted) && !ip_addr_equal(wanted, &range->gateway))
		return cni_error(e, CNI_CONFIG, "gateway is %s, must be %s: leave --gateway out",
				 ip_addr_format(wanted, text),
				 ip_addr_format(&range->gateway, ours));
	*ret = range->gateway;
	return 0;
}

struct search {
	const struct pool_owner *owner;
	uint8_t family;
	struct ip_addr found;
};

static bool look_for_pending(void *arg, const struct ip_addr *a, const struct pool_owner *owner)
{
	struct search *s = arg;

	if (a->family == s->family && strcmp(owner->container_id, s->owner->container_id) == 0 &&
	    strcmp(owner->ifname, s->owner->ifname) == 0)
		s->found = *a;
	return false;
}

static int choose(struct docker *d, struct pool *pool, size_t set, const struct ip_addr *wanted,
		  struct pool_address *ret, struct err *e)
{
	const struct range_set *from = &d->config.ranges.sets[set];
	int rc = pool_choose(pool, from, set, wanted, ret, e);

	if (rc < 0 && reclaim_addresses(&d->host, d->data_dir, MARK_DOCKER_NETWORK, pool) > 0)
		rc = pool_choose(pool, from, set, wanted, ret, e);
	return rc;
}

/* Any, for an endpoint that is to be made; the same again if it was asked for before. */
static int give_any(struct docker *d, struct pool *pool, size_t set, const struct pool_owner *owner,
		    struct ip_addr *ret, struct err *e)
{
	const struct range *range = &d->config.ranges.sets[set].items[0];
	struct search s = { .owner = owner, .family = range->subnet.addr.family };
	struct pool_address chosen;

	if (pool_scan(pool, look_for_pending, &s, NULL, e) < 0)
		return cni_classify(e, CNI_STATE);
	if (ip_addr_is_set(&s.found)) {
		*ret = s.found;
		return 0;
	}
	if (fabric_check_open(&d->fabric, e) < 0 || choose(d, pool, set, NULL, &chosen, e) < 0 ||
	    pool_reserve(pool, &chosen, owner, e) < 0)
		return cni_classify(e, CNI_STATE);
	*ret = chosen.addr;
	return 0;
}

/* The address is that of an endpoint with this MAC; or docker's at all, if it does not say the MAC. */
static bool is_endpoints(const struct docker *d, const struct pool_owner *owner,
			 const struct mac_addr *mac)
{
	auto_store struct store *store = NULL;
	auto_record struct record r = { 0 };
	struct err ignored;

	if (mac_addr_is_zero(mac))
		return true;
	return store_open(d->data_dir, MARK_DOCKER_NETWORK, false, &store, &ignored) == 0 &&
	       store_read(store, owner->container_id, owner->ifname, &r, &ignored) == 0 &&
	       memcmp(&r.mac, mac, sizeof(*mac)) == 0;
}

/*
 * This one. It is docker's already if the call has come before, or if dockerd has been started again
 * and only says what it has.
 */
static int give_wanted(struct docker *d, struct pool *pool, size_t set,
		       const struct ip_addr *wanted, const struct mac_addr *mac,
		       const struct pool_owner *owner, struct err *e)
{
	char text[POOL_OWNER_SIZE_MAX];
	struct pool_address chosen;
	struct pool_owner found;

	if (pool_is_owner(pool, wanted, owner) ||
	    (pool_find_owner(pool, wanted, text, &found) && is_endpoints(d, &found, mac)))
		return 0;
	if (choose(d, pool, set, wanted, &chosen, e) < 0 ||
	    pool_reserve(pool, &chosen, owner, e) < 0)
		return cni_classify(e, CNI_STATE);
	return 0;
}

int docker_request_address(struct docker *d, const struct docker_call *c, json_t **ret,
			   struct err *e)
{
	struct pool_owner owner = set_aside;
	auto_pool struct pool *pool = NULL;
	char name[DOCKER_OWNER_SIZE];
	struct ip_addr given = c->address;
	const struct range *range;
	size_t set = 0;
	int rc;

	if (docker_open_fabric(d, e) < 0 || docker_find_set(d, &c->pool, &set, e) < 0)
		return e->code;
	range = &d->config.ranges.sets[set].items[0];
	if (!mac_addr_is_zero(&c->mac))
		owner = docker_pending_owner(&c->mac, name);
	else if (!c->is_gateway && !ip_addr_is_set(&c->address))
		return cni_error(e, CNI_CONFIG, "an address is asked for without a MAC");
	if (c->is_gateway)
		rc = give_gateway(range, &c->address, &given, e);
	else if (docker_open_pool(d, &pool, e) < 0)
		rc = e->code;
	else if (ip_addr_is_set(&c->address))
		rc = give_wanted(d, pool, set, &c->address, &c->mac, &owner, e);
	else
		rc = give_any(d, pool, set, &owner, &given, e);
	if (rc == 0)
		*ret = json_pack("{s:o, s:{}}", "Address", net_text(&given, range->subnet.len),
				 "Data");
	return rc;
}

/* ---- an address is given back ---- */

/* Whose endpoint is gone. Where it is not, the address stays: somebody uses it. */
static int release_endpoint(struct docker *d, const struct pool_owner *owner, bool *ret_known,
			    struct err *e)
{
	const struct cni_env env = CNI_ENV_EMPTY;
	auto_store struct store *store = NULL;
	auto_record struct record r = { 0 };
	int rc = store_open(d->data_dir, MARK_DOCKER_NETWORK, false, &store, e);

	*ret_known = false;
	if (rc == 0 && !store_has(store, owner->container_id, owner->ifname))
		return 0;
	if (rc == 0)
		rc = store_lock(store, owner->container_id, owner->ifname, e);
	if (rc == 0)
		rc = store_read(store, owner->container_id, owner->ifname, &r, e);
	if (rc == 0) {
		*ret_known = true;
		return undo_is_alive(&d->host, &r)
			       ? 0
			       : undo_record(&d->host, store, &env, &r, NULL, e);
	}
	return rc == -ENOENT ? 0 : cni_classify(e, CNI_STATE);
}

int docker_release_address(struct docker *d, const struct docker_call *c, json_t **ret,
			   struct err *e)
{
	auto_pool struct pool *pool = NULL;
	char text[POOL_OWNER_SIZE_MAX];
	struct pool_owner owner;
	bool known = false;
	int rc = pool_open(d->pool_dir, false, &pool, e);

	*ret = json_object();
	if (rc < 0)
		return rc == -ENOENT ? 0 : cni_classify(e, CNI_STATE);
	if (!pool_find_owner(pool, &c->address, text, &owner))
		return 0;
	/* Locks are taken in this order everywhere: the endpoint's, then the pool's. */
	pool_close(STEAL(pool));
	if (release_endpoint(d, &owner, &known, e) < 0)
		return e->code;
	if (known)
		return 0;
	rc = pool_open(d->pool_dir, false, &pool, e);
	if (rc == 0)
		rc = pool_release(pool, &c->address, &owner, e);
	return rc < 0 && rc != -ENOENT ? cni_classify(e, CNI_STATE) : 0;
}
