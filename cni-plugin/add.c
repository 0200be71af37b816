/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ADD: read everything, choose everything, write it down, make it, answer.
 *
 * Until the record is written nothing has changed; from then on every way out but success goes
 * through undo_record, and a way out that the process does not survive is walked to its end by the
 * next DEL, GC or ADD.
 */
#include <errno.h>
#include <string.h>

#include "cni-plugin/attach.h"
#include "cni-plugin/config.h"
#include "cni-plugin/confine.h"
#include "cni-plugin/error.h"
#include "cni-plugin/exec.h"
#include "cni-plugin/gateways.h"
#include "cni-plugin/host.h"
#include "cni-plugin/keep.h"
#include "cni-plugin/lookup.h"
#include "cni-plugin/names.h"
#include "cni-plugin/pool.h"
#include "cni-plugin/reclaim.h"
#include "cni-plugin/rival.h"
#include "cni-plugin/rules.h"
#include "cni-plugin/undo.h"
#include "cni-plugin/verbs.h"
#include "kernel/device.h"
#include "lib/log.h"

/* Everything an ADD has in its hands. */
struct add {
	const struct cni_env *env;
	const struct netconf *n;
	const json_t *object; /* the interface's configuration */
	struct host *host;
	struct store *store;
	struct config *config; /* NULL where another plugin makes the interface */
	struct record *record;
	struct result *ipam;
	bool other_addresses; /* the bridge has some beside our gateways */
	int (*answer)(const json_t *result);
};

static int write_record(const struct add *a, struct err *e)
{
	return store_write(a->store, a->record, e) < 0 ? cni_classify(e, CNI_STATE) : 0;
}

/* The same for what is left from when the network had another name. */
static int clear_way_renamed(const struct add *a, struct err *e)
{
	auto_record struct record old = { 0 };
	auto_store struct store *store = NULL;
	bool same = false;

	if (lookup_elsewhere(a->n->data_dir, a->n, a->env, &store, &old, &same, e) < 0 || !same ||
	    old.kind != RECORD_NATIVE || undo_is_alive(a->host, &old))
		return 0;
	if (undo_record(a->host, store, a->env, &old, NULL, e) < 0)
		return err_wrap(e, "undo what network %.80s left", old.network);
	return 0;
}

/*
 * A second ADD of the same interface is an error that leaves the first alone. A record whose
 * interface is gone, or whose ADD did not come to its end, is of an attachment that is dead: it is
 * undone, and the way is free.
 */
static int clear_way(const struct add *a, struct err *e)
{
	const char *ifname = a->env->ifname;
	auto_record struct record old = { 0 };
	struct device taken;
	bool is_taken = device_get(a->host->container_nl, ifname, &taken, NULL) == 0;
	int rc = store_read(a->store, a->env->container_id, ifname, &old, e);

	if (rc == 0) {
		bool alive = old.kind == RECORD_NATIVE ? undo_is_alive(a->host, &old) : is_taken;

		if (old.complete && alive)
			return cni_error(
				e, CNI_EXISTS,
				"container %.80s has interface %s in network %.80s already",
				a->env->container_id, ifname, a->n->name);
		if (undo_record(a->host, a->store, a->env, &old, NULL, e) < 0)
			return err_wrap(e, "undo an unfinished ADD");
		is_taken = device_get(a->host->container_nl, ifname, &taken, NULL) == 0;
	} else if (rc != -ENOENT && rc != -EINVAL) {
		return cni_classify(e, CNI_STATE);
	} else if (clear_way_renamed(a, e) < 0) {
		return e->code;
	}
	if (is_taken)
		return cni_error(e, CNI_EXISTS, "interface %s exists already in %.200s", ifname,
				 a->env->netns);
	if (rc < 0) {
		auto_json json_t *flannels = NULL;
		bool is_damaged = rc == -EINVAL;

		/*
		 * Without a record of ours there may still be one of flannel's, of a container that
		 * is dead.
		 */
		if (is_damaged ||
		    record_read_flannel(a->n->data_dir, a->env->container_id, &flannels, NULL) == 0)
			return undo_unrecorded(a->host, a->env, a->n, is_damaged, e);
	}
	return 0;
}

/* The requested address that lies in the set, which must be at most one; marks it as used. */
static const struct ip_addr *take_requested(const struct config *c, const struct range_set *set,
					    bool used[static CONFIG_REQUESTED_MAX])
{
	for (size_t i = 0; i < c->requested_len; i++) {
		if (!used[i] && range_set_find(set, &c->requested[i])) {
			used[i] = true;
			return &c->requested[i];
		}
	}
	return NULL;
}

static int check_all_used(const struct config *c, const bool used[static CONFIG_REQUESTED_MAX],
			  struct err *e)
{
	auto_free char *unused = xstrdup("");

	for (size_t i = 0; i < c->requested_len; i++) {
		char text[IP_ADDR_TEXT];
		char *longer;

		if (used[i])
			continue;
		longer = xasprintf("%s%s%s", unused, unused[0] ? " " : "",
				   ip_addr_format(&c->requested[i], text));
		free(unused);
		unused = longer;
	}
	if (!unused[0])
		return 0;
	return cni_error(e, CNI_ADDRESS_UNAVAILABLE, "failed to allocate all requested IPs: %.300s",
			 unused);
}

/* The addresses are known, and with them all there will be. */
static int write_plan(const struct add *a, struct err *e)
{
	for (size_t i = 0; i < a->ipam->addresses_len; i++) {
		if (a->config->is_gateway || a->config->ptp)
			a->ipam->addresses[i].gateway = attach_gateway(&a->ipam->addresses[i]);
	}
	attach_plan(a->config, a->ipam, a->record);
	return write_record(a, e);
}

/* Of another network beside ours: is its container on our bridge? */
static bool is_on_our_bridge(void *arg, const char *network, const struct pool_owner *owner)
{
	const struct add *a = arg;
	auto_store struct store *store = NULL;
	auto_record struct record r = { 0 };
	struct err ignored;

	return store_open(a->n->data_dir, network, false, &store, &ignored) == 0 &&
	       store_read(store, owner->container_id, owner->ifname, &r, &ignored) == 0 && !r.ptp &&
	       !a->config->ptp && strcmp(r.bridge, a->config->bridge) == 0;
}

/* Does a container of another network live on the bridge, with a subnet of another daemon? */
struct neighbours {
	const struct add *add;
	struct store *store; /* of the network that is looked at */
	bool known;          /* one that lives tells of all of them */
	struct err *e;
};

static void look_at_neighbour(void *arg, const char *container_id, const char *ifname)
{
	auto_record struct record r = { 0 };
	struct neighbours *s = arg;
	const struct add *a = s->add;
	struct err ignored;

	if (s->known || store_read(s->store, container_id, ifname, &r, &ignored) < 0 ||
	    !undo_is_alive(a->host, &r))
		return;
	s->known = true;
	if (r.subnet_file && strcmp(r.subnet_file, a->n->subnet_file) != 0 &&
	    strcmp(r.bridge, a->config->bridge) == 0)
		cni_error(s->e, CNI_CONFLICT,
			  "bridge %s is network %.60s's, whose subnet is from %.120s: give this "
			  "network a \"bridge\" of its own",
			  r.bridge, r.network, r.subnet_file);
}

static void look_at_network(void *arg, const char *dir UNUSED, const char *network)
{
	auto_store struct store *store = NULL;
	struct neighbours *s = arg;
	struct err ignored;

	s->known = false;
	if (s->e->code || store_open(s->add->n->data_dir, network, false, &store, &ignored) < 0)
		return;
	s->store = store;
	if (store_list(store, look_at_neighbour, s, &ignored) < 0)
		log_warn("records-unread", "%s", ignored.text);
}

/*
 * Two fabrics on one bridge are one network of containers, which nobody asked for who only left the
 * bridge's name out. Who names it means it.
 */
static int refuse_shared_bridge(const struct add *a, struct pool *pool, struct err *e)
{
	struct err found = { 0 };
	struct neighbours s = { .add = a, .e = &found };

	if (!a->n->needs_fabric || a->config->ptp || json_get_any_case(a->object, "bridge"))
		return 0;
	pool_list_beside(pool, look_at_network, &s);
	if (found.code)
		*e = found;
	return found.code;
}

/*
 * Other networks may give out the same addresses. The host's subnet is one, whatever the lists are
 * called that use it; ranges of a list's own may repeat on another bridge.
 */
static int open_pool(const struct add *a, struct pool **ret, struct err *e)
{
	pool_counts_fn *counts = a->n->needs_fabric ? NULL : is_on_our_bridge;
	auto_pool struct pool *pool = NULL;

	if (pool_open(a->config->pool_dir, true, &pool, e) < 0)
		return cni_classify(e, CNI_STATE);
	pool_look_beside(pool, counts, (void *)a);
	if (refuse_shared_bridge(a, pool, e) < 0)
		return e->code;
	*ret = STEAL(pool);
	return 0;
}

/* Nobody is refused an address that only the dead hold. */
static int choose(const struct add *a, struct pool *pool, size_t set, const struct ip_addr *wanted,
		  struct pool_address *ret, struct err *e)
{
	const struct range_set *from = &a->config->ranges.sets[set];
	int rc = pool_choose(pool, from, set, wanted, ret, e);

	if (rc < 0 && reclaim_addresses(a->host, a->n->data_dir, a->n->name, pool) > 0)
		rc = pool_choose(pool, from, set, wanted, ret, e);
	return rc < 0 ? cni_classify(e, CNI_STATE) : 0;
}

/*
 * One address out of each range set. The record names them before the reservations exist: in
 * between, a kill leaves a record of addresses that are not reserved for us, and releasing looks at
 * whose they are.
 */
static int allocate(const struct add *a, struct err *e)
{
	const struct pool_owner owner = { .container_id = a->env->container_id,
					  .ifname = a->env->ifname };
	struct pool_address chosen[RANGES_SETS_MAX];
	bool used[CONFIG_REQUESTED_MAX] = { 0 };
	const struct config *c = a->config;
	auto_pool struct pool *pool = NULL;

	a->record->pool_dir = xstrdup(c->pool_dir);
	if (open_pool(a, &pool, e) < 0)
		return e->code;
	for (size_t i = 0; i < c->ranges.len; i++) {
		const struct ip_addr *wanted = take_requested(c, &c->ranges.sets[i], used);
		struct ip_net net;

		if (choose(a, pool, i, wanted, &chosen[i], e) < 0)
			return e->code;
		a->record->addresses[a->record->addresses_len++] = chosen[i].addr;
		net = (struct ip_net){ .addr = chosen[i].addr, .len = chosen[i].len };
		result_add_address(a->ipam, &net, &chosen[i].gateway);
	}
	if (check_all_used(c, used, e) < 0 || write_plan(a, e) < 0)
		return e->code;
	for (size_t i = 0; i < c->ranges.len; i++) {
		if (pool_reserve(pool, &chosen[i], &owner, e) < 0)
			return e->code;
	}
	for (size_t i = 0; i < c->routes_len; i++)
		result_add_route(a->ipam, &c->routes[i]);
	a->ipam->dns = json_incref(c->resolver);
	return 0;
}

static int ask_ipam_plugin(const struct add *a, struct err *e)
{
	auto_json json_t *answer = NULL;

	a->record->delegate = json_incref((json_t *)a->object);
	if (write_record(a, e) < 0 ||
	    exec_plugin(a->env, a->config->ipam_type, CNI_ADD, a->object, &answer, e) < 0)
		return e->code;
	if (!answer)
		return cni_error(e, CNI_DELEGATE, "plugin %.80s printed no result",
				 a->config->ipam_type);
	if (result_parse(answer, a->n->cni_version, a->ipam, e) < 0)
		return err_wrap(e, "plugin %.80s", a->config->ipam_type);
	if (a->ipam->addresses_len == 0)
		return cni_error(e, CNI_DELEGATE, "plugin %.80s gave no address",
				 a->config->ipam_type);
	if (a->ipam->addresses_len > RECORD_ADDRESSES_MAX)
		return cni_error(e, CNI_DELEGATE, "plugin %.80s gave more than %d addresses",
				 a->config->ipam_type, RECORD_ADDRESSES_MAX);
	for (size_t i = 0; i < a->ipam->addresses_len; i++)
		a->record->addresses[a->record->addresses_len++] = a->ipam->addresses[i].net.addr;
	/* Rules are made for these addresses, and undone by the record. */
	return write_plan(a, e);
}

static int get_addresses(const struct add *a, struct err *e)
{
	switch (a->config->ipam) {
	case CONFIG_IPAM_HOST_LOCAL:
		return allocate(a, e);
	case CONFIG_IPAM_PLUGIN:
		return ask_ipam_plugin(a, e);
	case CONFIG_IPAM_NONE:
		break;
	}
	return write_plan(a, e);
}

static int attach(struct add *a, struct result *result, struct err *e)
{
	const struct attach attach = { .host = a->host,
				       .config = a->config,
				       .sandbox = a->env->netns,
				       .record = a->record,
				       .ret_other_addresses = &a->other_addresses,
				       .ipam = a->ipam };

	if (rival_check(a->host, a->n->data_dir, a->record, e) < 0 ||
	    rules_install(a->host, a->record, e) < 0 || attach_interface(&attach, result, e) < 0)
		return e->code;
	return rules_open_localhost(a->record, e);
}

/* The runtime has the result: from now on it is attached. */
static int answer(const struct add *a, const json_t *json, struct err *e)
{
	struct err why;

	if (a->answer(json) < 0)
		return cni_error(e, CNI_IO, "error writing to stdout");
	if (store_complete(a->store, &why) < 0)
		log_warn("record-unmarked", "%s", why.text);
	return 0;
}

/*
 * Somebody has undone what this container shares with others, and there may be more of theirs that
 * is missing.
 */
static void keep_others(const struct add *a)
{
	struct keep_report report;
	struct err e;

	if (!a->host->disturbed)
		return;
	if (keep_all(a->host, a->n->data_dir, a->record, 0, &report, &e) < 0)
		log_warn("not-kept", "%s", e.text);
	for (size_t i = 0; i < report.failed.len; i++)
		log_warn("not-kept", "%s", report.failed.items[i].text);
	keep_report_fini(&report);
}

static int make_interface(struct add *a, struct result *result, struct err *e)
{
	auto_json json_t *json = NULL;

	attach_plan_names(a->config, a->record);
	a->record->ports = a->config->ports;
	a->config->ports = (struct ports){ 0 };
	if (a->n->needs_fabric)
		a->record->subnet_file = xstrdup(a->n->subnet_file);
	if (get_addresses(a, e) < 0 || attach(a, result, e) < 0)
		return e->code;
	result->dns = json_incref(a->config->dns ? a->config->dns : a->ipam->dns);
	if (result_to_json(result, a->n->cni_version, &json, e) < 0)
		return e->code;
	if (a->other_addresses)
		gateways_drop_old(a->host, a->n, a->record->gateway_device);
	keep_others(a);
	return answer(a, json, e);
}

/* The other plugin's result is the result. */
static int make_by_delegate(const struct add *a, const char *type, struct err *e)
{
	auto_json json_t *json = NULL;

	a->record->kind = RECORD_DELEGATE;
	a->record->delegate = json_incref((json_t *)a->object);
	if (write_record(a, e) < 0 || exec_plugin(a->env, type, CNI_ADD, a->object, &json, e) < 0)
		return e->code;
	if (!json)
		return cni_error(e, CNI_DELEGATE, "plugin %.80s printed no result", type);
	return answer(a, json, e);
}

/*
 * The error of the ADD is the one to report; what could not be undone stays in the record, for DEL.
 */
static int undo(const struct add *a, struct err *e)
{
	struct err why;

	if (undo_record(a->host, a->store, a->env, a->record, NULL, &why) < 0)
		log_warn("undo-incomplete", "%s", why.text);
	return e->code;
}

/* Whoever is to be executed must be there before anything is written down that he would undo. */
static int find_other_plugin(const struct add *a, const char *type, struct err *e)
{
	auto_free char *ignored = NULL;

	if (a->config && a->config->ipam != CONFIG_IPAM_PLUGIN)
		return 0;
	return exec_find(a->env, a->config ? a->config->ipam_type : type, &ignored, e);
}

static int run(const struct add *given, const char *type, struct err *e)
{
	auto_result struct result result = { 0 };
	auto_result struct result ipam = { 0 };
	auto_record struct record record = { .container_id = xstrdup(given->env->container_id),
					     .ifname = xstrdup(given->env->ifname),
					     .network = xstrdup(given->n->name),
					     .asks_once = given->env->asks_once };
	auto_store struct store *store = NULL;
	struct add a = *given;
	int rc;

	if (given->env->container_name[0])
		record.container_name = xstrdup(given->env->container_name);
	if (store_open(a.n->data_dir, a.n->name, true, &store, e) < 0 ||
	    store_lock(store, a.env->container_id, a.env->ifname, e) < 0)
		return cni_classify(e, CNI_STATE);
	a.store = store;
	a.record = &record;
	a.ipam = &ipam;
	if (clear_way(&a, e) < 0)
		return e->code;
	if (a.config && a.config->ipam != CONFIG_IPAM_PLUGIN)
		confine_to_self();
	rc = a.config ? make_interface(&a, &result, e) : make_by_delegate(&a, type, e);
	return rc < 0 ? undo(&a, e) : 0;
}

int verb_add(const struct cni_env *env, const struct netconf *n, int (*print)(const json_t *result),
	     struct err *e)
{
	auto_config struct config config = { 0 };
	auto_host struct host host = HOST_NONE;
	struct add a = { .env = env, .n = n, .host = &host, .answer = print };
	const struct subnet_env *known = NULL;
	auto_json json_t *object = NULL;
	const char *type = NULL;
	struct subnet_env fabric;
	struct cni_args args;

	if (cni_args_parse(env->args_text, &args, e) < 0 || host_open(&host, e) < 0 ||
	    host_open_container(&host, env, e) < 0)
		return e->code;
	if (n->needs_fabric) {
		if (fabric_read(n->subnet_file, &fabric, e) < 0 ||
		    fabric_check_open(&fabric, e) < 0)
			return e->code;
		known = &fabric;
	}
	if (netconf_read_type(n, &type, e) < 0 || netconf_generate(n, known, &object, e) < 0)
		return e->code;
	a.object = object;
	if (strcmp(type, "bridge") == 0 || strcmp(type, "ptp") == 0) {
		if (config_parse(n, object, known, &args, &config, e) < 0)
			return e->code;
		a.config = &config;
	}
	if (find_other_plugin(&a, type, e) < 0)
		return e->code;
	return run(&a, type, e);
}
