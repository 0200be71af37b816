/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/reclaim.h"

#include "cni-plugin/record.h"
#include "cni-plugin/rules.h"
#include "cni-plugin/undo.h"
#include "lib/log.h"

struct reclaim {
	struct host *host;
	const char *data_dir;
	struct store *store; /* of the network that is looked at; NULL: it has no records */
	size_t freed;
};

/* What cannot be found out counts as living. `ret`: the record, if there is one. */
static bool is_dead(const struct reclaim *r, const struct pool_owner *owner, struct record *ret)
{
	struct err ignored;

	if (!owner->container_id[0])
		return true;
	if (!r->store || !owner->ifname[0] ||
	    !store_has(r->store, owner->container_id, owner->ifname))
		return false;
	return store_try_lock(r->store, owner->container_id, owner->ifname, &ignored) == 0 &&
	       store_read(r->store, owner->container_id, owner->ifname, ret, &ignored) == 0 &&
	       ret->kind == RECORD_NATIVE && !undo_is_alive(r->host, ret);
}

static bool visit(void *arg, const struct ip_addr *a, const struct pool_owner *owner)
{
	auto_record struct record record = { 0 };
	const struct reclaim *r = arg;
	char text[IP_ADDR_TEXT];
	struct err e;

	if (!is_dead(r, owner, &record))
		return false;
	/* Ports that lead to the address must not lead to whoever gets it. */
	if (record.ports.len && rules_remove(r->host, &record, &e) < 0) {
		log_warn("reclaim-incomplete", "%s", e.text);
		return false;
	}
	log_info("address-reclaimed", "%s of container %.80s, which is gone",
		 ip_addr_format(a, text), owner->container_id);
	return true;
}

static void reclaim_in(struct reclaim *r, const char *network, struct pool *p)
{
	auto_store struct store *store = NULL;
	size_t freed = 0;
	struct err e;

	if (store_open(r->data_dir, network, false, &store, &e) < 0)
		store = NULL;
	r->store = store;
	if (pool_scan(p, visit, r, &freed, &e) < 0)
		log_warn("reclaim-incomplete", "%s", e.text);
	r->freed += freed;
}

static void reclaim_beside(void *arg, const char *dir, const char *network)
{
	auto_pool struct pool *p = NULL;
	struct err ignored;

	if (pool_open(dir, false, &p, &ignored) == 0)
		reclaim_in(arg, network, p);
}

size_t reclaim_addresses(struct host *h, const char *data_dir, const char *network, struct pool *p)
{
	struct reclaim r = { .host = h, .data_dir = data_dir };

	reclaim_in(&r, network, p);
	pool_list_beside(p, reclaim_beside, &r);
	return r.freed;
}
