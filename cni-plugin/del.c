/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DEL: by our record where there is one, otherwise by whatever else tells what there may be.
 *
 * The runtime repeats a DEL until it succeeds, and holds the container until then; so what is not
 * there is no error, and what is kept for the next time is only what really failed.
 */
#include <errno.h>

#include "cni-plugin/confine.h"
#include "cni-plugin/error.h"
#include "cni-plugin/gateways.h"
#include "cni-plugin/host.h"
#include "cni-plugin/lookup.h"
#include "cni-plugin/record.h"
#include "cni-plugin/undo.h"
#include "cni-plugin/verbs.h"
#include "lib/log.h"

/* Undoes by the record in `data_dir`; -ENOENT if it has none for us. */
static int undo_in(const char *data_dir, struct host *h, const struct cni_env *env,
		   const struct netconf *n, struct err *e)
{
	const json_t *prev_result = json_get_any_case(n->json, "prevResult");
	auto_store struct store *store = NULL;
	auto_record struct record r = { 0 };
	int rc;

	rc = store_open(data_dir, n->name, false, &store, e);
	if (rc < 0)
		return rc;
	rc = store_lock(store, env->container_id, env->ifname, e);
	if (rc == 0)
		rc = store_read(store, env->container_id, env->ifname, &r, e);
	if (rc == 0 && !r.delegate)
		confine_to_self();
	if (rc == 0) {
		rc = undo_record(h, store, env, &r, prev_result, e);
		if (rc == 0 && !r.ptp)
			gateways_drop_old(h, n, r.gateway_device);
		return rc;
	}
	/* A kill may have left the beginning of one. */
	if (rc == -ENOENT && store_remove(store, env->container_id, env->ifname, e) < 0)
		return e->code;
	if (rc != -EINVAL)
		return rc;
	/*
	 * It says nothing that could be relied upon: as if there were none, and then there is none.
	 */
	log_warn("record-damaged", "%s", e->text);
	rc = undo_unrecorded(h, env, n, true, e);
	if (rc == 0)
		rc = store_remove(store, env->container_id, env->ifname, e);
	return rc;
}

/* Undoes by the record that was made when the network had another name; -ENOENT. */
static int undo_renamed(const char *data_dir, struct host *h, const struct cni_env *env,
			const struct netconf *n, struct err *e)
{
	const json_t *prev_result = json_get_any_case(n->json, "prevResult");
	auto_store struct store *store = NULL;
	auto_record struct record r = { 0 };
	bool same = false;
	int rc = lookup_elsewhere(data_dir, n, env, &store, &r, &same, e);

	if (rc < 0)
		return rc;
	if (!same)
		return err_set(e, -ENOENT, "network %s has the interface", r.network);
	rc = undo_record(h, store, env, &r, prev_result, e);
	if (rc == 0 && !r.ptp)
		gateways_drop_old(h, n, r.gateway_device);
	return rc;
}

/*
 * The configuration may have changed since ADD, its name included, so a record that is not where it
 * says is looked for under other names and in the usual place, before everything is searched for
 * what may be left.
 */
int verb_del(const struct cni_env *env, const struct netconf *n, struct err *e)
{
	auto_host struct host h = HOST_NONE;
	int rc = host_open(&h, e);

	if (rc < 0)
		return rc;
	rc = undo_in(n->data_dir, &h, env, n, e);
	if (rc == -ENOENT)
		rc = undo_renamed(n->data_dir, &h, env, n, e);
	if (rc == -ENOENT && strcmp(n->data_dir, NETCONF_DATA_DIR) != 0)
		rc = undo_in(NETCONF_DATA_DIR, &h, env, n, e);
	if (rc == -ENOENT)
		rc = undo_unrecorded(&h, env, n, false, e);
	return rc < 0 ? cni_classify(e, CNI_STATE) : 0;
}
