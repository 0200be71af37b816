/* SPDX-License-Identifier: Apache-2.0 */
/* What a store request means, on the data of mem_db. */
#include <errno.h>

#include "stores/mem_db.h"

#define ASSIGNED_PREFIX "assigned/"

struct listing {
	struct store_reply *reply;
	size_t leases_cap;
	size_t junk_cap;
};

static void list_entry(void *arg, const struct mem_entry *e)
{
	struct listing *l = arg;
	struct store_reply *r = l->reply;

	if (e->lease) {
		GROW(r->leases, r->leases_len, l->leases_cap);
		r->leases[r->leases_len++] = lease_copy(e->lease);
	} else if (e->junk && r->junk_len == STORE_JUNK_MAX) {
		r->junk_more++;
	} else if (e->junk) {
		GROW(r->junk, r->junk_len, l->junk_cap);
		r->junk[r->junk_len++] = (struct store_junk){ xstrdup(e->key), xstrdup(e->junk) };
	}
}

static char *subnet_key(const struct subnet *s)
{
	char text[SUBNET_KEY_TEXT];

	return xasprintf("%s%s", MEM_DB_SUBNETS_PREFIX, subnet_key_format(s, text));
}

/* ---- a store that assigns ---- */

static const struct mem_entry *assigned_to(const struct mem_db *db, const char *node)
{
	auto_free char *key = xasprintf("%s%s", ASSIGNED_PREFIX, node);

	return mem_db_get(db, key);
}

bool mem_db_assigned(const struct mem_db *db, const char *node, struct subnet *ret)
{
	const struct mem_entry *e = assigned_to(db, node);

	return e && subnet_key_parse(e->value, ret, NULL) == 0;
}

void mem_db_assign(struct mem_db *db, const char *node, const struct subnet *subnet)
{
	auto_free char *key = xasprintf("%s%s", ASSIGNED_PREFIX, node);
	char text[SUBNET_KEY_TEXT];
	struct subnet before;

	if (mem_db_assigned(db, node, &before)) {
		auto_free char *lease = subnet_key(&before);

		mem_db_delete(db, lease);
	}
	if (!subnet) {
		mem_db_delete(db, key);
		return;
	}
	subnet_key_format(subnet, text);
	mem_db_put(db, key, text, strlen(text), 0);
}

/* Ours, whichever or this one, with what we publish. */
static void execute_ask(struct mem_db *db, const struct store_request *request,
			struct store_reply *ret)
{
	auto_free char *value = lease_value_format(request->lease);
	const char *node = request->lease->node_name;
	auto_free char *key = NULL;
	struct subnet subnet;

	if (!node || !mem_db_assigned(db, node, &subnet)) {
		ret->status = STORE_ABSENT;
		err_set(&ret->err, -ENOENT, "no subnet is assigned to the node %s",
			node ? node : "without a name");
		return;
	}
	if ((ip_net_is_set(&request->lease->subnet.v4) ||
	     ip_net_is_set(&request->lease->subnet.v6)) &&
	    !subnet_equal(&request->lease->subnet, &subnet)) {
		ret->status = STORE_CONFLICT;
		ret->holder = lease_copy(request->lease);
		ret->holder->subnet = subnet;
		err_set(&ret->err, -EEXIST, "another subnet is assigned to the node %s", node);
		return;
	}
	key = subnet_key(&subnet);
	ret->holder = lease_copy(mem_db_put(db, key, value, strlen(value), 0)->lease);
}

/* ---- one that does not ---- */

static void conflict(struct store_reply *ret, enum store_op op, const char *key,
		     const struct mem_entry *now)
{
	ret->status = STORE_CONFLICT;
	if (now && now->lease)
		ret->holder = lease_copy(now->lease);
	err_set(&ret->err, -EEXIST, "%s: %s %s", store_op_name(op), key,
		now ? "was changed by somebody else" : "is gone");
}

static void execute_write(struct mem_db *db, int64_t now_ms, const struct store_request *request,
			  int64_t handle, struct store_reply *ret)
{
	auto_free char *value = lease_value_format(request->lease);
	auto_free char *key = subnet_key(&request->lease->subnet);
	const struct mem_entry *e = mem_db_get(db, key);

	if (request->op == STORE_CREATE ? e != NULL
					: !e || e->mod_revision != request->lease->mod_revision) {
		conflict(ret, request->op, key, e);
		return;
	}
	if (request->op == STORE_REMOVE) {
		mem_db_delete(db, key);
		return;
	}
	if (request->op == STORE_UPDATE ||
	    (request->op == STORE_BIND && !(mem_db_traits(db) & STORE_EXPIRES)))
		handle = e->handle;
	else if (request->ttl_s == 0 || !(mem_db_traits(db) & STORE_EXPIRES))
		handle = 0;
	else
		mem_db_grant(db, now_ms, handle, request->ttl_s);
	e = mem_db_put(db, key, value, strlen(value), handle);
	ret->holder = lease_copy(e->lease);
	ret->ttl_s = request->op != STORE_UPDATE && handle ? request->ttl_s : 0;
}

static void execute_config_set(struct mem_db *db, const struct store_request *request,
			       struct store_reply *ret)
{
	const struct mem_entry *e = mem_db_get(db, MEM_DB_CONFIG_KEY);

	if ((e ? e->mod_revision : 0) != request->config_revision) {
		ret->status = STORE_CONFLICT;
		err_set(&ret->err, -EEXIST, "%s was changed by somebody else", MEM_DB_CONFIG_KEY);
		return;
	}
	e = mem_db_put(db, MEM_DB_CONFIG_KEY, request->config, strlen(request->config), 0);
	ret->config_revision = e->mod_revision;
}

void mem_db_execute(struct mem_db *db, int64_t now_ms, const struct store_request *request,
		    int64_t handle, struct store_reply *ret)
{
	const struct mem_entry *e;

	*ret = (struct store_reply){ .status = STORE_OK };
	mem_db_expire(db, now_ms);
	switch (request->op) {
	case STORE_CONFIG:
		e = mem_db_get(db, MEM_DB_CONFIG_KEY);
		if (e) {
			ret->config = xstrndup(e->value, e->value_size);
			ret->config_size = e->value_size;
			ret->config_revision = e->mod_revision;
		} else {
			ret->status = STORE_ABSENT;
			err_set(&ret->err, -ENOENT, "there is no key %s", MEM_DB_CONFIG_KEY);
		}
		break;
	case STORE_LIST:
		mem_db_each(db, list_entry, &(struct listing){ .reply = ret });
		break;
	case STORE_CREATE:
		if (mem_db_traits(db) & STORE_ASSIGNS)
			execute_ask(db, request, ret);
		else
			execute_write(db, now_ms, request, handle, ret);
		break;
	case STORE_UPDATE:
	case STORE_BIND:
	case STORE_REMOVE:
		execute_write(db, now_ms, request, handle, ret);
		break;
	case STORE_CONFIG_SET:
		execute_config_set(db, request, ret);
		break;
	case STORE_HEALTH_SET:
	case STORE_HEALTH_KEEP:
	case STORE_HEALTH_LIST:
		ret->status = STORE_INVALID;
		err_set(&ret->err, -EINVAL, "there is no place for %s", store_op_name(request->op));
		break;
	case STORE_KEEPALIVE:
	case STORE_TIME_LEFT:
	case STORE_OPS:
		ret->ttl_s = request->op == STORE_KEEPALIVE
				     ? mem_db_keep_alive(db, now_ms, (int64_t)request->lease->id)
				     : mem_db_time_left(db, now_ms, (int64_t)request->lease->id);
		if (ret->ttl_s == 0) {
			ret->status = STORE_ABSENT;
			err_set(&ret->err, -ENOENT, "the lease has expired or was revoked");
		}
		break;
	}
	ret->revision = mem_db_revision(db);
}
