/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/lookup.h"

#include <errno.h>
#include <string.h>

const char *lookup_bridge(const struct netconf *n)
{
	const json_t *object = n->direct ? n->json : json_get_any_case(n->json, "delegate");
	const char *bridge = json_string_value(json_get_any_case(object, "bridge"));

	return bridge && bridge[0] ? bridge : "cni0";
}

bool lookup_is_same(const struct netconf *n, const struct record *r)
{
	const char *type = NULL;
	struct err ignored;

	if (netconf_read_type(n, &type, &ignored) < 0)
		return false;
	if (r->kind == RECORD_DELEGATE) {
		const char *had = json_string_value(json_get_any_case(r->delegate, "type"));

		return had && strcmp(had, type) == 0;
	}
	if (r->ptp)
		return strcmp(type, "ptp") == 0;
	return strcmp(type, "bridge") == 0 && strcmp(r->bridge, lookup_bridge(n)) == 0;
}

/* -ENOENT: this network does not have it. */
static int read_in(const char *data_dir, const char *network, const struct cni_env *env,
		   struct store **ret_store, struct record *ret, struct err *e)
{
	auto_store struct store *store = NULL;
	int rc = store_open(data_dir, network, false, &store, e);

	if (rc == 0 && !store_has(store, env->container_id, env->ifname))
		rc = err_set(e, -ENOENT, "network %s", network);
	if (rc == 0)
		rc = store_lock(store, env->container_id, env->ifname, e);
	if (rc == 0)
		rc = store_read(store, env->container_id, env->ifname, ret, e);
	if (rc == 0)
		*ret_store = STEAL(store);
	return rc;
}

struct search {
	const char *data_dir;
	const struct netconf *n;
	const struct cni_env *env;
	struct store **ret_store;
	struct record *ret;
	bool found;
};

static bool look_in(void *arg, const char *network)
{
	struct search *s = arg;
	struct err ignored;

	s->found = strcmp(network, s->n->name) != 0 &&
		   read_in(s->data_dir, network, s->env, s->ret_store, s->ret, &ignored) == 0;
	return !s->found;
}

int lookup_elsewhere(const char *data_dir, const struct netconf *n, const struct cni_env *env,
		     struct store **ret_store, struct record *ret, bool *ret_same, struct err *e)
{
	struct search s = { data_dir, n, env, ret_store, ret, false };
	int rc = store_each_network(data_dir, look_in, &s, e);

	if (rc < 0)
		return rc;
	if (!s.found)
		return err_set(e, -ENOENT, "%s: no record of the attachment", data_dir);
	*ret_same = lookup_is_same(n, ret);
	return 0;
}
