/* SPDX-License-Identifier: Apache-2.0 */
/*
 * STATUS: would an ADD find what it needs? It looks at what does not depend on a container: the
 * daemon's subnet.env, the configuration, directories to write in, a free address, the plugins to
 * execute.
 */
#include <errno.h>
#include <string.h>

#include "cni-plugin/config.h"
#include "cni-plugin/error.h"
#include "cni-plugin/exec.h"
#include "cni-plugin/host.h"
#include "cni-plugin/pool.h"
#include "cni-plugin/reclaim.h"
#include "cni-plugin/verbs.h"

/* Whatever the reason would be elsewhere, here it says that an ADD would fail. */
static int not_available(struct err *e)
{
	return cni_error(e, CNI_NOT_AVAILABLE, "%s", e->text);
}

/* An ADD would take what only the dead hold. */
static bool reclaim(const struct netconf *n, struct pool *pool)
{
	auto_host struct host host = HOST_NONE;
	struct err ignored;

	return host_open(&host, &ignored) == 0 &&
	       reclaim_addresses(&host, n->data_dir, n->name, pool) > 0;
}

static int check_pool(const struct netconf *n, const struct config *c, struct err *e)
{
	auto_pool struct pool *pool = NULL;
	int rc = pool_open(c->pool_dir, false, &pool, e);

	if (rc == -ENOENT)
		return 0; /* nobody has had an address yet */
	if (rc < 0)
		return not_available(e);
	for (size_t i = 0; i < c->ranges.len; i++) {
		const struct range_set *set = &c->ranges.sets[i];

		if (pool_check_free(pool, set, e) < 0 &&
		    (!reclaim(n, pool) || pool_check_free(pool, set, e) < 0))
			return not_available(e);
	}
	return 0;
}

/* An ADD writes there. What is missing of the path it makes, in what there is of it. */
static int check_writable(const char *path, struct err *e)
{
	auto_free char *dir = xstrdup(path);
	char *slash;

	while (access(dir, W_OK | X_OK) < 0) {
		slash = strrchr(dir, '/');
		if (errno != ENOENT || !slash || slash == dir) {
			err_sys(e, -errno, "%s", dir);
			return not_available(e);
		}
		*slash = '\0';
	}
	return 0;
}

static int check_native(const struct cni_env *env, const struct netconf *n, const json_t *object,
			const struct subnet_env *fabric, struct err *e)
{
	const struct cni_args args = { 0 };
	auto_config struct config c = { 0 };

	if (config_parse(n, object, fabric, &args, &c, e) < 0)
		return e->code;
	switch (c.ipam) {
	case CONFIG_IPAM_HOST_LOCAL:
		if (check_writable(c.pool_dir, e) < 0)
			return e->code;
		return check_pool(n, &c, e);
	case CONFIG_IPAM_PLUGIN:
		return exec_plugin(env, c.ipam_type, CNI_STATUS, object, NULL, e);
	case CONFIG_IPAM_NONE:
		break;
	}
	return 0;
}

int verb_status(const struct cni_env *env, const struct netconf *n, struct err *e)
{
	auto_json json_t *object = NULL;
	const char *type = NULL;
	struct subnet_env fabric;
	int rc;

	if (netconf_read_type(n, &type, e) < 0)
		return e->code;
	if (n->needs_fabric &&
	    (fabric_read(n->subnet_file, &fabric, e) < 0 || fabric_check_open(&fabric, e) < 0))
		return not_available(e);
	if (netconf_generate(n, n->needs_fabric ? &fabric : NULL, &object, e) < 0 ||
	    check_writable(n->data_dir, e) < 0)
		return e->code;
	if (strcmp(type, "bridge") == 0 || strcmp(type, "ptp") == 0)
		rc = check_native(env, n, object, n->needs_fabric ? &fabric : NULL, e);
	else
		rc = exec_plugin(env, type, CNI_STATUS, object, NULL, e);
	/* A plugin that is not there cannot be executed for an ADD either. */
	return rc < 0 && cni_code_of(e) == CNI_DELEGATE ? not_available(e) : rc;
}
