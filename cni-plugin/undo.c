/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/undo.h"

#include <errno.h>
#include <string.h>

#include "cni-plugin/config.h"
#include "cni-plugin/error.h"
#include "cni-plugin/exec.h"
#include "cni-plugin/lookup.h"
#include "cni-plugin/pool.h"
#include "cni-plugin/result.h"
#include "cni-plugin/rules.h"
#include "cni-plugin/ruleset.h"
#include "kernel/device.h"
#include "kernel/netns.h"

/* The first failure of several steps that are all tried. */
struct outcome {
	int rc;
	struct err *e;
};

static void note(struct outcome *o, int rc, const struct err *step)
{
	if (rc < 0 && o->rc == 0) {
		*o->e = *step;
		o->rc = rc;
	}
}

/*
 * The device of that name if it is the veth that has this MAC: names and indexes are used again,
 * MACs are random.
 */
static int find_veth(struct netlink *nl, const char *name, const struct mac_addr *mac,
		     struct device *ret, struct err *e)
{
	int rc = device_get(nl, name, ret, e);

	if (rc == 0 &&
	    (strcmp(ret->kind, "veth") != 0 || (mac && memcmp(&ret->mac, mac, sizeof(*mac)) != 0)))
		rc = err_set(e, -ENODEV, "device %s: not ours", name);
	return rc;
}

static int delete_veth(struct netlink *nl, const char *name, const struct mac_addr *mac,
		       struct err *e)
{
	struct device d;
	int rc = find_veth(nl, name, mac, &d, e);

	if (rc == 0)
		rc = device_delete(nl, d.ifindex, e);
	if (rc == -ENODEV)
		return 0;
	return rc < 0 ? cni_classify(e, CNI_KERNEL) : 0;
}

bool undo_is_alive(const struct host *h, const struct record *r)
{
	struct device d;

	return undo_find_link(h, r, &d);
}

bool undo_find_link(const struct host *h, const struct record *r, struct device *ret)
{
	return r->host_ifname[0] && find_veth(h->nl, r->host_ifname, &r->host_mac, ret, NULL) == 0;
}

static int release_addresses(const struct record *r, struct err *e)
{
	const struct pool_owner owner = { .container_id = r->container_id, .ifname = r->ifname };
	auto_pool struct pool *pool = NULL;
	struct outcome o = { .e = e };
	int rc;

	if (!r->pool_dir || r->addresses_len == 0)
		return 0;
	rc = pool_open(r->pool_dir, false, &pool, e);
	if (rc < 0)
		return rc == -ENOENT ? 0 : cni_classify(e, CNI_STATE);
	for (size_t i = 0; i < r->addresses_len; i++) {
		struct err step;

		note(&o, pool_release(pool, &r->addresses[i], &owner, &step), &step);
	}
	return o.rc < 0 ? cni_classify(e, CNI_STATE) : 0;
}

/*
 * The configuration for a delegate's DEL: the one it had at ADD, and the result if the runtime gave
 * it back.
 */
static int delete_by_plugin(const struct cni_env *env, const json_t *config, const char *type,
			    const json_t *prev_result, struct err *e)
{
	auto_json json_t *stdin_config = json_copy((json_t *)config);

	if (prev_result)
		json_object_set(stdin_config, "prevResult", (json_t *)prev_result);
	return exec_plugin(env, type, CNI_DEL, stdin_config, NULL, e);
}

static const char *delegate_type(const struct record *r)
{
	const json_t *object =
		r->kind == RECORD_DELEGATE ? r->delegate : json_get_any_case(r->delegate, "ipam");
	const char *type = json_string_value(json_get_any_case(object, "type"));

	return type ? type : "";
}

/*
 * An ADD that did not come to its end, of a plugin that there is none of: nothing ran, so there is
 * nothing to undo.
 */
static bool never_ran(const struct cni_env *env, const struct record *r)
{
	auto_free char *path = NULL;
	struct err e;

	return !r->complete && exec_find(env, delegate_type(r), &path, &e) < 0 &&
	       cni_code_of(&e) != CNI_ENVIRONMENT;
}

/* *ret_gone: nobody can use the addresses any more. */
static int undo_native(struct host *h, const struct record *r, bool *ret_gone, struct err *e)
{
	struct outcome o = { .e = e };
	struct err step;
	int rc = 0;

	note(&o, rules_remove(h, r, &step), &step);
	if (r->host_ifname[0])
		rc = delete_veth(h->nl, r->host_ifname, &r->host_mac, &step);
	note(&o, rc, &step);
	*ret_gone = rc == 0;
	return o.rc;
}

int undo_interface(struct host *h, const struct record *r, struct err *e)
{
	bool ignored;

	return r->kind == RECORD_NATIVE ? undo_native(h, r, &ignored, e) : 0;
}

int undo_record(struct host *h, struct store *store, const struct cni_env *env,
		const struct record *r, const json_t *prev_result, struct err *e)
{
	struct outcome o = { .e = e };
	struct err step;
	bool gone;

	if (r->kind == RECORD_NATIVE) {
		note(&o, undo_native(h, r, &gone, &step), &step);
		/* Nobody else gets an address while the interface that has it is there. */
		if (gone)
			note(&o, release_addresses(r, &step), &step);
	}
	if (r->delegate && !never_ran(env, r))
		note(&o, delete_by_plugin(env, r->delegate, delegate_type(r), prev_result, &step),
		     &step);
	if (o.rc < 0)
		return o.rc;
	if (store_remove(store, r->container_id, r->ifname, e) < 0)
		return cni_classify(e, CNI_STATE);
	return 0;
}

static bool is_recorded_elsewhere(const struct cni_env *env, const struct netconf *n)
{
	auto_store struct store *store = NULL;
	auto_record struct record r = { 0 };
	struct err ignored;
	bool same;

	return lookup_elsewhere(n->data_dir, n, env, &store, &r, &same, &ignored) == 0;
}

/* Its other end is on the host, in the group that our ends have. */
static bool has_our_peer(const struct host *h, const struct device *d)
{
	struct device peer;

	return d->peer_ifindex && device_get_by_index(h->nl, d->peer_ifindex, &peer, NULL) == 0 &&
	       strcmp(peer.kind, "veth") == 0 && peer.group == RULESET_DEVICE_GROUP &&
	       peer.peer_ifindex == d->ifindex;
}

int undo_end(const struct host *h, const char *name, struct err *e)
{
	struct device d;

	if (find_veth(h->nl, name, NULL, &d, NULL) < 0 || !has_our_peer(h, &d))
		return 0;
	return delete_veth(h->nl, name, &d.mac, e);
}

/*
 * In the container, the interface has the name that the runtime says; its peer goes with it.
 * `ours`: it is known to be; otherwise the kernel must show it, and nobody else claim it.
 */
static int delete_container_interface(const struct host *h, const struct cni_env *env,
				      const struct netconf *n, bool ours, struct err *e)
{
	struct netlink *nl = NULL;
	struct device d;
	int fd = -1;
	int rc = 0;

	if (!env->netns[0] || netns_open(env->netns, &fd, NULL) < 0)
		return 0;
	if (!netns_equal(fd, h->own_fd) || env->netns_override) {
		struct host inside = { .own_fd = h->own_fd, .container_fd = fd };

		rc = host_enter_container(&inside, e);
		if (rc == 0) {
			rc = netlink_open(NETLINK_ROUTE, &nl, e);
			host_leave_container(&inside);
		}
		if (rc == 0 && (ours || (find_veth(nl, env->ifname, NULL, &d, NULL) == 0 &&
					 has_our_peer(h, &d) && !is_recorded_elsewhere(env, n))))
			rc = delete_veth(nl, env->ifname, NULL, e);
	}
	netlink_close(nl);
	util_close(&fd);
	return rc < 0 ? cni_classify(e, CNI_KERNEL) : 0;
}

/*
 * On the host, prevResult names our end, where the container's namespace is not to be had any more.
 */
static int delete_listed_interfaces(const struct host *h, const struct result *prev, struct err *e)
{
	struct outcome o = { .e = e };

	for (size_t i = 0; i < prev->interfaces_len; i++) {
		const struct result_interface *item = &prev->interfaces[i];
		struct err step;

		if (!item->sandbox && item->has_mac && cni_is_ifname(item->name) &&
		    strncmp(item->name, "veth", 4) == 0)
			note(&o, delete_veth(h->nl, item->name, &item->mac, &step), &step);
	}
	return o.rc;
}

/* `config` is any object with an ipam: ours, or the one in flannel's file. */
static int release_by_scan(const json_t *config, const struct cni_env *env, const char *network,
			   struct err *e)
{
	const struct pool_owner owner = { .container_id = env->container_id,
					  .ifname = env->ifname };
	auto_free char *dir = config_pool_dir(config, network);
	auto_pool struct pool *pool = NULL;
	int rc = pool_open(dir, false, &pool, e);

	if (rc == 0)
		rc = pool_release_all(pool, &owner, NULL, e);
	if (rc == -ENOENT || rc == -ENOTDIR)
		return 0;
	return rc < 0 ? cni_classify(e, CNI_STATE) : 0;
}

struct search {
	const char *container_id;
	const char *ifname; /* "": any */
	bool found;
};

static bool look_for_owner(void *arg, const struct ip_addr *a UNUSED,
			   const struct pool_owner *owner)
{
	struct search *search = arg;

	search->found |= strcmp(owner->container_id, search->container_id) == 0 &&
			 (!search->ifname[0] || strcmp(owner->ifname, search->ifname) == 0);
	return false;
}

static bool has_reservation(const json_t *config, const char *network, const char *container_id,
			    const char *ifname)
{
	struct search search = { .container_id = container_id, .ifname = ifname };
	auto_free char *dir = config_pool_dir(config, network);
	auto_pool struct pool *pool = NULL;
	struct err ignored;

	return pool_open(dir, false, &pool, &ignored) == 0 &&
	       pool_scan(pool, look_for_owner, &search, NULL, &ignored) == 0 && search.found;
}

/*
 * What flannel's plugin attached is detached by the plugin that it ran, which knows its rules. If
 * that is not installed any more, interface and reservations are undone by the caller, as they
 * would be without the file.
 */
static int undo_flannel(const struct cni_env *env, const struct netconf *n, struct err *e)
{
	const json_t *prev_result = json_get_any_case(n->json, "prevResult");
	auto_json json_t *saved = NULL;
	auto_free char *path = NULL;
	const char *type;
	const char *name;
	int rc;

	rc = record_read_flannel(n->data_dir, env->container_id, &saved, e);
	if (rc == -ENOENT)
		return 0;
	/* Whatever it is, it is not flannel's, and nothing can be learned from it. */
	if (rc == -EINVAL)
		return 0;
	if (rc < 0)
		return cni_classify(e, CNI_STATE);
	type = json_string_value(json_get_any_case(saved, "type"));
	name = json_string_value(json_get_any_case(saved, "name"));
	if (!type || !name || !cni_is_identifier(name))
		return 0;
	if (exec_find(env, type, &path, &(struct err){ 0 }) == 0 &&
	    delete_by_plugin(env, saved, type, prev_result, e) < 0)
		return e->code;
	if (release_by_scan(saved, env, name, e) < 0)
		return e->code;
	/* One file stands for all of the container's interfaces: has it another one? */
	if (has_reservation(saved, name, env->container_id, ""))
		return 0;
	if (record_remove_flannel(n->data_dir, env->container_id, e) < 0)
		return cni_classify(e, CNI_STATE);
	return 0;
}

static void read_prev_result(const struct netconf *n, struct result *ret)
{
	const json_t *json = json_get_any_case(n->json, "prevResult");
	struct err ignored;

	if (!json_is_object(json) || result_parse(json, n->cni_version, ret, &ignored) < 0)
		memset(ret, 0, sizeof(*ret));
}

/*
 * Is there any sign that we, or flannel's plugin, made the container's interface? Its name alone is
 * none: an ADD that fails because the name is taken is followed by a DEL too.
 */
static bool was_ours(const struct cni_env *env, const struct netconf *n, const struct result *prev)
{
	auto_json json_t *flannels = NULL;

	for (size_t i = 0; i < prev->interfaces_len; i++) {
		if (prev->interfaces[i].sandbox &&
		    strcmp(prev->interfaces[i].name, env->ifname) == 0)
			return true;
	}
	return has_reservation(n->json, n->name, env->container_id, env->ifname) ||
	       record_read_flannel(n->data_dir, env->container_id, &flannels, NULL) == 0;
}

int undo_unrecorded(struct host *h, const struct cni_env *env, const struct netconf *n,
		    bool damaged, struct err *e)
{
	auto_result struct result prev = { 0 };
	struct outcome o = { .e = e };
	struct err step;
	bool ours;

	read_prev_result(n, &prev);
	ours = damaged || was_ours(env, n, &prev);
	note(&o, undo_flannel(env, n, &step), &step);
	note(&o, rules_remove_owner(h, n->name, env->container_id, env->ifname, &step), &step);
	note(&o, delete_container_interface(h, env, n, ours, &step), &step);
	note(&o, delete_listed_interfaces(h, &prev, &step), &step);
	note(&o, release_by_scan(n->json, env, n->name, &step), &step);
	return o.rc;
}
