/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of fabric/peers share: peers measured against a place, with a real backend. */
#ifndef TESTS_UNIT_PEERS_RIG_H
#define TESTS_UNIT_PEERS_RIG_H

#include "tests/unit/test.h"

#include <errno.h>

#include "fabric/peers.h"

#define DEVICE 7

static UNUSED unsigned judged_calls;
static UNUSED unsigned news_calls;

static UNUSED void on_judged(void *arg UNUSED, struct peer *p UNUSED, bool used UNUSED,
			     const char *news)
{
	judged_calls++;
	news_calls += news != NULL;
}

static UNUSED const struct peers_ops ops = { .judged = on_judged };

struct rig {
	struct network_config config;
	struct backend *backend;
	struct reconcile *reconcile;
	struct peers *peers;
};

static UNUSED void place_with(struct rig *r, const char *own, bool guard)
{
	struct peers_place where = {
		.backend = r->backend,
		.v4 = r->config.v4,
		.v6 = r->config.v6,
		.local_v4 = test_addr("192.0.2.1"),
		.segment_v4 = { test_addr("192.0.2.0"), 24 },
		.devices_ok = true,
		.guard = guard,
	};
	struct err e;

	if (subnet_key_parse(own, &where.own, &e) < 0)
		fail_msg("%s", e.text);
	peers_set_place(r->peers, &where);
	peers_judge(r->peers);
}

static UNUSED void place(struct rig *r, const char *own)
{
	place_with(r, own, false);
}

static UNUSED void rig_init(struct rig *r, const char *config)
{
	const struct backend_host host = {
		.node_id = "node-1",
		.lower = { { 3, 1500 }, { 3, 1500 } },
		.local_v4 = test_addr("192.0.2.1"),
		.public_v4 = test_addr("192.0.2.1"),
		.local_v6 = test_addr("2001:db8::1"),
		.public_v6 = test_addr("2001:db8::1"),
	};
	struct err e;

	if (network_config_parse(config, strlen(config), &r->config, &e) < 0 ||
	    backend_create(&r->config, &r->backend, &e) < 0 ||
	    r->backend->type->set_host(r->backend, &host, &e) < 0)
		fail_msg("%s", e.text);
	r->backend->type->device_is(r->backend, 0, DEVICE, &(struct mac_addr){ 0 });
	if (r->config.v6.enabled)
		r->backend->type->device_is(r->backend, 1, DEVICE + 1, &(struct mac_addr){ 0 });
	r->reconcile = reconcile_new();
	r->peers = peers_new(r->reconcile, &ops, NULL);
}

static UNUSED void rig_fini(struct rig *r)
{
	peers_free(r->peers);
	reconcile_free(r->reconcile);
	backend_free(r->backend);
	network_config_fini(&r->config);
}

#define auto_rig __attribute__((cleanup(rig_fini)))

static UNUSED struct lease *vxlan_lease(const char *key, uint64_t born, unsigned mac)
{
	struct lease *l = lease_new();
	struct err e;

	if (subnet_key_parse(key, &l->subnet, &e) < 0)
		fail_msg("%s: %s", key, e.text);
	l->born = born;
	l->public_v4 = test_addr("192.0.2.3");
	l->public_v6 = test_addr("2001:db8::3");
	l->backend_type = xstrdup("vxlan");
	l->backend_data = xasprintf("{\"VNI\":1,\"VtepMAC\":\"02:00:00:00:%02x:%02x\"}", mac >> 8,
				    mac & 0xff);
	l->backend_v6_data = xasprintf("{\"VNI\":1,\"VtepMAC\":\"02:00:00:01:%02x:%02x\"}",
				       mac >> 8, mac & 0xff);
	return l;
}

/* As the manager holds it. */
static UNUSED struct manager_member *member(const char *key, uint64_t born, unsigned mac)
{
	struct manager_member *m = xcalloc(1, sizeof(*m));

	m->lease = vxlan_lease(key, born, mac);
	return m;
}

static UNUSED void member_free(struct manager_member *m)
{
	lease_free(m->lease);
	free(m);
}

static UNUSED void member_free_ref(struct manager_member **m)
{
	member_free(*m);
}

#define auto_member __attribute__((cleanup(member_free_ref)))

static UNUSED bool is_used(const struct peer *p)
{
	return !p->trouble && p->owner.first != 0;
}

static const char *reason_of(const struct rig *r, const struct peer *p)
{
	const char *reason;

	peers_state(r->peers, p, &reason);
	return reason;
}

#endif
