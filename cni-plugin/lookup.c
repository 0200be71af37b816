/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/lookup.h"

#include <dirent.h>
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

int lookup_elsewhere(const char *data_dir, const struct netconf *n, const struct cni_env *env,
		     struct store **ret_store, struct record *ret, bool *ret_same, struct err *e)
{
	DIR *dir = opendir(data_dir);
	const struct dirent *entry;
	int rc = -ENOENT;

	if (!dir)
		return err_sys(e, -errno, "%s", data_dir);
	while (rc < 0 && (entry = readdir(dir))) {
		const char *network = entry->d_name + 1;
		struct err ignored;

		if (entry->d_name[0] == '@' && cni_is_identifier(network) &&
		    strcmp(network, n->name) != 0)
			rc = read_in(data_dir, network, env, ret_store, ret, &ignored);
	}
	closedir(dir);
	if (rc < 0)
		return err_set(e, -ENOENT, "%s: no record of the attachment", data_dir);
	*ret_same = lookup_is_same(n, ret);
	return 0;
}
