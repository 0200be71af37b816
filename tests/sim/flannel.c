/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that claims the way flannel does: reads all leases, takes the one with its own public
 * address or a free subnet, creates it if nobody has the key, and writes it again without a
 * question shortly before its day is over. It keeps no lease alive, never looks whether it still
 * has its own, and ends itself when it is told that it has not.
 */
#include "tests/sim/world.h"

#include <errno.h>

#include "subnet/pool.h"

#define MARGIN (60 * SECOND)

static void begin(struct world *w, struct item *item);

static void again(struct host *h, int64_t within_ms)
{
	struct world *w = h->w;

	h->active = false;
	h->life++;
	world_plan(w, w->now + 1 + (int64_t)world_below(w, (uint64_t)within_ms), h, begin, 0);
}

static void write_lease(struct host *h)
{
	struct world *w = h->w;
	auto_free char *value = lease_value_format(h->plan);
	char subnet[SUBNET_KEY_TEXT];
	auto_free char *key = xasprintf("%s%s", MEM_DB_SUBNETS_PREFIX,
					subnet_key_format(&h->plan->subnet, subnet));
	int64_t handle = (int64_t)(world_random(w) >> 1) | 1;

	world_trace(w, h, "writes %s", key);
	mem_db_grant(w->db, w->now, handle, w->flannel_ttl_s);
	mem_db_put(w->db, key, value, strlen(value), handle);
	world_store_changed(w);
	h->expires_ms = w->now + w->flannel_ttl_s * 1000;
	h->active = true;
}

static void renew(struct world *w, struct item *item)
{
	struct host *h = item->host;

	/* Not in the last minute, of which not everybody would hear. */
	if (host_reachable(h) && w->now < w->end - MINUTE)
		write_lease(h);
	world_plan(w, MAX(h->expires_ms - MARGIN, w->now + MINUTE), h, renew, 0);
}

/* Whether it was told meanwhile that its lease is gone. */
static void watch(struct world *w, struct item *item)
{
	struct host *h = item->host;
	char subnet[SUBNET_KEY_TEXT];
	auto_free char *key = xasprintf("%s%s", MEM_DB_SUBNETS_PREFIX,
					subnet_key_format(&h->plan->subnet, subnet));

	if (host_reachable(h) && !mem_db_get(w->db, key)) {
		world_trace(w, h, "shuts down, its lease is gone");
		again(h, 30 * SECOND);
		return;
	}
	world_plan(w, w->now + 2 * SECOND, h, watch, 0);
}

static void create(struct world *w, struct item *item)
{
	struct host *h = item->host;
	char subnet[SUBNET_KEY_TEXT];
	auto_free char *key = xasprintf("%s%s", MEM_DB_SUBNETS_PREFIX,
					subnet_key_format(&h->plan->subnet, subnet));
	const struct mem_entry *e = mem_db_get(w->db, key);

	if (!host_reachable(h) ||
	    (e && (!e->lease || !ip_addr_equal(&e->lease->public_v4, &h->address)))) {
		again(h, 30 * SECOND);
		return;
	}
	write_lease(h);
	world_plan(w, MAX(h->expires_ms - MARGIN, w->now + MINUTE), h, renew, 0);
	world_plan(w, w->now + 2 * SECOND, h, watch, 0);
}

static void begin(struct world *w, struct item *item)
{
	struct host *h = item->host;
	auto_network_config struct network_config config = { 0 };
	struct store_request request = { .op = STORE_LIST };
	auto_free struct ip_net *taken = NULL;
	struct store_reply reply;
	struct err e;

	if (!host_reachable(h) || !mem_db_get(w->db, MEM_DB_CONFIG_KEY) ||
	    network_config_parse(w->config, strlen(w->config), &config, &e) < 0) {
		again(h, 10 * SECOND);
		return;
	}
	mem_db_execute(w->db, w->now, &request, 0, &reply);
	lease_free(h->plan);
	h->plan = lease_new();
	h->plan->public_v4 = h->address;
	h->plan->backend_type = xstrdup("vxlan");
	taken = xmalloc((reply.leases_len + 1) * sizeof(*taken));
	for (size_t i = 0; i < reply.leases_len; i++) {
		taken[i] = reply.leases[i]->subnet.v4;
		if (ip_addr_equal(&reply.leases[i]->public_v4, &h->address))
			h->plan->subnet = reply.leases[i]->subnet;
	}
	if (!ip_net_is_set(&h->plan->subnet.v4) &&
	    pool_pick(&config.v4, taken, reply.leases_len, world_random(w), &h->plan->subnet.v4,
		      &e) < 0)
		again(h, 30 * SECOND);
	else
		world_plan(w, w->now + 1 + world_delay(w), h, create, 0);
	store_reply_fini(&reply);
}

void flannel_start(struct host *h)
{
	again(h, SECOND);
}

void flannel_crash(struct host *h)
{
	again(h, MINUTE);
}
