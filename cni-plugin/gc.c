/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GC: everything of this network that belongs to no attachment that the runtime still knows.
 *
 * Records come first, since they know all parts. Then elements of rules and reservations, which may
 * be left of attachments whose record was lost, or which another plugin made; an address of theirs to
 * which somebody still answers is kept, and goes with the GC that finds nobody. A failure does not
 * end it: the rest is collected all the same, and the first failure reported.
 */
#include <errno.h>
#include <string.h>

#include "cni-plugin/attachments.h"
#include "cni-plugin/config.h"
#include "cni-plugin/error.h"
#include "cni-plugin/exec.h"
#include "cni-plugin/gateways.h"
#include "cni-plugin/host.h"
#include "cni-plugin/lookup.h"
#include "cni-plugin/pool.h"
#include "cni-plugin/record.h"
#include "cni-plugin/rules.h"
#include "cni-plugin/undo.h"
#include "cni-plugin/verbs.h"
#include "kernel/device.h"
#include "kernel/probe.h"
#include "lib/log.h"

#define PROBE_MS 1100 /* the kernel asks a second time after 1 s */

struct stale;

struct gc {
	const struct cni_env *env;
	const struct netconf *n;
	struct host *host;
	struct store *store;
	const struct attachments *valid;
	struct stale *stale;
	size_t stale_len;
	size_t stale_cap;
	int rc; /* the first failure; the rest is done all the same */
	struct err *e;
};

static void note(struct gc *gc, int rc, const struct err *step)
{
	if (rc == 0)
		return;
	log_warn("gc-incomplete", "%s", step->text);
	if (gc->rc == 0) {
		*gc->e = *step;
		gc->rc = rc;
	}
}

/*
 * Without a list from the runtime only the dead are buried: a record whose interface is gone. To
 * take "no list" for "an empty list" would cut off every running container of the network.
 */
static bool is_wanted(const struct gc *gc, const struct record *r)
{
	if (gc->valid->known)
		return attachments_have(gc->valid, r->container_id, r->ifname);
	return r->kind == RECORD_DELEGATE || undo_is_alive(gc->host, r);
}

static void collect_record(void *arg, const char *container_id, const char *ifname)
{
	struct gc *gc = arg;
	struct cni_env env = *gc->env;
	auto_record struct record r = { 0 };
	struct err step;
	int rc;

	env.container_id = container_id;
	env.ifname = ifname;
	if (gc->valid->known && attachments_have(gc->valid, container_id, ifname))
		return;
	/* The dead are in nobody's hands; one that is will be looked at the next time. */
	if (gc->valid->known)
		rc = store_lock(gc->store, container_id, ifname, &step);
	else if ((rc = store_try_lock(gc->store, container_id, ifname, &step)) == -EAGAIN)
		return;
	if (rc == 0)
		rc = store_read(gc->store, container_id, ifname, &r, &step);
	if (rc == 0 && !is_wanted(gc, &r)) {
		rc = undo_record(gc->host, gc->store, &env, &r, NULL, &step);
	} else if ((rc == -EINVAL && gc->valid->known) || rc == -ENOENT) {
		/* Damaged, or a replacement that a kill interrupted: nothing to learn from it. */
		rc = undo_unrecorded(gc->host, &env, gc->n, true, &step);
		if (rc == 0)
			rc = store_remove(gc->store, container_id, ifname, &step);
	}
	note(gc, rc, &step);
}

/*
 * Reservations that are nobody's any more: of containers that the runtime does not know, and whose
 * record, if they had one, is undone by now. What is left are those that another plugin made, and
 * those whose record was lost. The interface may still be there, though, and nobody else may get its
 * address then.
 */
struct stale {
	struct ip_addr addr;
	char *container_id;
	bool held; /* by an interface that is there */
};

static bool is_stale(const struct gc *gc, const struct pool_owner *owner)
{
	return gc->valid->known && !attachments_have(gc->valid, owner->container_id, owner->ifname);
}

static bool find_stale(void *arg, const struct ip_addr *a, const struct pool_owner *owner)
{
	struct gc *gc = arg;

	if (!owner->container_id[0])
		return true; /* a crash left it; we have the lock, so nobody is filling it now */
	if (is_stale(gc, owner)) {
		GROW(gc->stale, gc->stale_len, gc->stale_cap);
		gc->stale[gc->stale_len++] =
			(struct stale){ .addr = *a, .container_id = xstrdup(owner->container_id) };
	}
	return false;
}

static bool free_stale(void *arg, const struct ip_addr *a, const struct pool_owner *owner)
{
	const struct gc *gc = arg;

	for (size_t i = 0; is_stale(gc, owner) && i < gc->stale_len; i++) {
		const struct stale *s = &gc->stale[i];

		if (ip_addr_equal(&s->addr, a))
			return !s->held && strcmp(s->container_id, owner->container_id) == 0;
	}
	return false;
}

/* A routed container's address leads to its link. */
static bool is_routed(const struct gc *gc, const struct ip_addr *a)
{
	uint32_t ifindex = 0;
	struct device d;

	return probe_route(gc->host->nl, a, &ifindex, NULL) == 0 && ifindex &&
	       device_get_by_index(gc->host->nl, ifindex, &d, NULL) == 0 &&
	       strcmp(d.kind, "veth") == 0;
}

/* ... and one on the bridge answers. */
static int find_holders(struct gc *gc, struct err *e)
{
	struct probe *probes = xcalloc(gc->stale_len, sizeof(*probes));
	struct device bridge;
	int rc = 0;

	for (size_t i = 0; i < gc->stale_len; i++)
		probes[i].addr = gc->stale[i].addr;
	if (device_get(gc->host->nl, lookup_bridge(gc->n), &bridge, NULL) == 0 && bridge.up)
		rc = probe_all(gc->host->nl, bridge.ifindex, probes, gc->stale_len, PROBE_MS, e);
	for (size_t i = 0; rc == 0 && i < gc->stale_len; i++) {
		struct stale *s = &gc->stale[i];
		char text[IP_ADDR_TEXT];

		s->held = probes[i].answered || is_routed(gc, &s->addr);
		if (s->held)
			log_warn("address-kept",
				 "%s of container %.80s: its interface is still there",
				 ip_addr_format(&s->addr, text), s->container_id);
	}
	free(probes);
	return rc;
}

/* The lock is not held while answers are waited for. */
static int scan_pool(struct gc *gc, const char *dir,
		     bool (*visit)(void *arg, const struct ip_addr *a,
				   const struct pool_owner *owner),
		     struct err *e)
{
	auto_pool struct pool *pool = NULL;
	int rc = pool_open(dir, false, &pool, e);

	if (rc == 0)
		rc = pool_scan(pool, visit, gc, NULL, e);
	return rc == -ENOENT ? 0 : rc;
}

static int collect_reservations(struct gc *gc, struct err *e)
{
	auto_free char *dir = config_pool_dir(gc->n->json, gc->n->name);
	int rc = scan_pool(gc, dir, find_stale, e);

	if (rc == 0 && gc->stale_len)
		rc = find_holders(gc, e);
	if (rc == 0 && gc->stale_len)
		rc = scan_pool(gc, dir, free_stale, e);
	return rc < 0 ? cni_classify(e, CNI_STATE) : 0;
}

static bool holds_an_address(const struct gc *gc, const char *container_id)
{
	for (size_t i = 0; i < gc->stale_len; i++) {
		if (gc->stale[i].held && strcmp(gc->stale[i].container_id, container_id) == 0)
			return true;
	}
	return false;
}

/* Of a container that flannel's plugin attached nothing is left but its file. */
static void collect_flannels(void *arg, const char *container_id)
{
	struct gc *gc = arg;
	auto_json json_t *saved = NULL;
	const char *network;
	struct err step;

	if (attachments_have(gc->valid, container_id, "") || holds_an_address(gc, container_id) ||
	    record_read_flannel(gc->n->data_dir, container_id, &saved, &step) < 0)
		return;
	network = json_string_value(json_get_any_case(saved, "name"));
	if (network && strcmp(network, gc->n->name) == 0)
		note(gc, record_remove_flannel(gc->n->data_dir, container_id, &step), &step);
}

static bool is_valid_key(void *arg, uint64_t key)
{
	const struct gc *gc = arg;

	return attachments_have_key(gc->valid, key);
}

/* The other plugins that the configuration names have to hear of it too. */
static int forward(struct gc *gc, struct err *e)
{
	auto_json json_t *object = NULL;
	const char *type = NULL;
	const char *ipam_type;
	struct subnet_env fabric;

	if (netconf_read_type(gc->n, &type, e) < 0)
		return e->code;
	ipam_type = json_string_value(
		json_get_any_case(json_get_any_case(gc->n->json, "ipam"), "type"));
	if (strcmp(type, "bridge") == 0 || strcmp(type, "ptp") == 0)
		type = ipam_type && strcmp(ipam_type, "host-local") != 0 ? ipam_type : NULL;
	if (!type)
		return 0;
	if ((gc->n->needs_fabric && fabric_read(gc->n->subnet_file, &fabric, e) < 0) ||
	    netconf_generate(gc->n, gc->n->needs_fabric ? &fabric : NULL, &object, e) < 0)
		return e->code;
	json_object_set(object, "cni.dev/valid-attachments",
			json_get_any_case(gc->n->json, "cni.dev/valid-attachments"));
	json_object_set(object, "cni.dev/attachments",
			json_get_any_case(gc->n->json, "cni.dev/attachments"));
	return exec_plugin(gc->env, type, CNI_GC, object, NULL, e);
}

int verb_gc(const struct cni_env *env, const struct netconf *n, struct err *e)
{
	auto_attachments struct attachments valid = { 0 };
	auto_host struct host host = HOST_NONE;
	auto_store struct store *store = NULL;
	struct gc gc = { .env = env, .n = n, .host = &host, .valid = &valid, .e = e };
	struct err step;
	int rc;

	if (attachments_parse(n->json, &valid, e) < 0 || host_open(&host, e) < 0)
		return e->code;
	rc = store_open(n->data_dir, n->name, false, &store, &step);
	gc.store = store;
	if (rc == 0)
		rc = store_list(store, collect_record, &gc, &step);
	if (rc < 0 && rc != -ENOENT)
		note(&gc, cni_classify(&step, CNI_STATE), &step);
	note(&gc, collect_reservations(&gc, &step), &step);
	if (valid.known) {
		note(&gc, rules_remove_others(&host, n->name, is_valid_key, &gc, &step), &step);
		rc = record_list_flannel(n->data_dir, collect_flannels, &gc, &step);
		note(&gc, rc == -ENOENT ? 0 : rc, &step);
	}
	gateways_drop_old(&host, n, lookup_bridge(n));
	note(&gc, forward(&gc, &step), &step);
	for (size_t i = 0; i < gc.stale_len; i++)
		free(gc.stale[i].container_id);
	free(gc.stale);
	return gc.rc < 0 ? cni_classify(e, CNI_STATE) : 0;
}
