/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/apply.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <sys/socket.h>

/* A dump that was disturbed is repeated this often before the kind is left for the next time. */

/* Objects of a dump, kept until it is known to be whole. */
struct dump {
	struct kernel_object *items;
	size_t len;
	size_t cap;
	size_t before; /* of them from dumps before this one */
	enum kernel_kind kind;
};

static void collect(void *arg, const struct nlmsghdr *hdr)
{
	struct dump *d = arg;
	struct kernel_object object;
	bool gone;

	if (!kernel_object_decode(hdr, &object, &gone) || object.key.kind != d->kind)
		return;
	GROW(d->items, d->len, d->cap);
	d->items[d->len++] = object;
}

static void forget(void *arg)
{
	struct dump *d = arg;

	d->len = d->before;
}

static int dump_one(struct netlink *nl, struct dump *d, int family, uint32_t ifindex,
		    uint8_t protocol, struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;
	int rc;

	d->before = d->len;
	kernel_object_encode_dump(d->kind, family, ifindex, protocol, hdr);
	rc = netlink_dump(nl, hdr, collect, forget, d, e);
	/* The device vanished between two steps, or the host has no IPv6: nothing there. */
	if (rc == -ENODEV || rc == -EOPNOTSUPP || rc == -ENOENT)
		rc = 0;
	return rc;
}

static bool has_network(const struct reconcile_scope *scope, int family)
{
	for (size_t i = 0; i < ARRAY_LEN(scope->networks); i++) {
		if (scope->networks[i].addr.family == family)
			return true;
	}
	return false;
}

static int dump_kind(struct netlink *nl, const struct reconcile_scope *scope, struct dump *d,
		     struct err *e)
{
	static const int families[] = { AF_INET, AF_INET6 };
	size_t families_len = d->kind == KERNEL_FDB ? 1 : ARRAY_LEN(families);
	int rc = 0;

	for (size_t f = 0; f < families_len; f++) {
		for (size_t i = 0; i < scope->ifindexes_len && rc == 0; i++) {
			/* 0: a device that could not be made. */
			if (scope->ifindexes[i])
				rc = dump_one(nl, d, families[f], scope->ifindexes[i], 0, e);
		}
		/* Ours on other devices. What is on our devices comes twice, which does no harm. */
		if (rc == 0 && d->kind == KERNEL_ROUTE && has_network(scope, families[f]))
			rc = dump_one(nl, d, families[f], 0, FABRIC_ROUTE_PROTOCOL, e);
	}
	return rc;
}

int apply_observe(struct reconcile *r, struct netlink *nl, const struct reconcile_scope *scope,
		  unsigned kinds, struct err *e)
{
	int result = 0;

	reconcile_set_scope(r, scope);
	for (unsigned k = 0; k < KERNEL_KINDS; k++) {
		struct dump d = { .kind = k };
		int rc;

		if (!(kinds & 1u << k))
			continue;
		rc = dump_kind(nl, scope, &d, e);
		if (rc == 0) {
			reconcile_observe_begin(r, k);
			for (size_t i = 0; i < d.len; i++)
				reconcile_observe(r, &d.items[i]);
			reconcile_observe_end(r);
		} else {
			result = err_wrap(e, "read %ss", kernel_kind_name(k));
		}
		free(d.items);
	}
	return result;
}

static void on_refused(void *arg, void *cookie, int code, const char *text)
{
	reconcile_refused(arg, cookie, code, text);
}

static void commit_put(struct netlink_batch *batch, const struct kernel_object *o, bool replace,
		       void *cookie)
{
	kernel_object_encode_put(o, replace, netlink_batch_reserve(batch));
	netlink_batch_commit(batch, cookie);
}

/*
 * Linux takes an IPv6 gateway "onlink" only if the routes that there are do not lead to it over
 * another device (ip6_route_check_nh_onlink). Our gateway is the first address of the route's own
 * destination: a route that is to be replaced and leads over another device is in its own way. To
 * delete it first would leave a moment without a path, so a route to the gateway alone stands there
 * for the time of the replacement.
 */
static void replace_onlink_v6(struct netlink_batch *batch, const struct kernel_object *o,
			      void *cookie)
{
	struct ip_net gateway = { kernel_object_gateway(o), 128 };
	struct kernel_object helper =
		kernel_route(&gateway, NULL, o->value.ifindex, false, o->value.protocol);

	/* Refused if it is there already, and then it is of use as well. */
	commit_put(batch, &helper, false, NULL);
	commit_put(batch, o, true, cookie);
	kernel_object_encode_drop(&helper, netlink_batch_reserve(batch));
	netlink_batch_commit(batch, NULL);
}

int apply_flush(struct reconcile *r, struct netlink *nl, size_t max, bool *ret_more, struct err *e)
{
	struct netlink_batch *batch = netlink_batch_new(nl, on_refused, r);
	const struct kernel_object *object;
	struct reconcile_entry *entry;
	enum reconcile_action action;
	size_t count = 0;
	bool more = true;
	int rc;

	while (count < max && (more = reconcile_next(r, &action, &object, &entry))) {
		if (action == RECONCILE_DROP) {
			kernel_object_encode_drop(object, netlink_batch_reserve(batch));
			netlink_batch_commit(batch, entry);
		} else if (action == RECONCILE_REPLACE && object->key.kind == KERNEL_ROUTE &&
			   object->key.family == AF_INET6 && object->value.onlink) {
			replace_onlink_v6(batch, object, entry);
		} else {
			commit_put(batch, object, action == RECONCILE_REPLACE, entry);
		}
		count++;
	}
	rc = netlink_batch_flush(batch, e);
	netlink_batch_free(batch);
	*ret_more = more;
	return rc;
}
