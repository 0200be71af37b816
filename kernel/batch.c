/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/batch.h"

struct kernel_batch {
	struct netlink_batch *route;
	netlink_error_fn *on_refused;
	void *arg;
};

static void on_error(void *arg, void *cookie, int code, const char *text)
{
	const struct kernel_batch *b = arg;

	if (cookie)
		b->on_refused(b->arg, cookie, code, text);
}

struct kernel_batch *kernel_batch_new(struct kernel *k, netlink_error_fn *on_refused, void *arg)
{
	struct kernel_batch *b = xcalloc(1, sizeof(*b));

	b->route = netlink_batch_new(k->route, on_error, b);
	b->on_refused = on_refused;
	b->arg = arg;
	return b;
}

void kernel_batch_free(struct kernel_batch *b)
{
	if (!b)
		return;
	netlink_batch_free(b->route);
	free(b);
}

struct nlmsghdr *kernel_batch_message(struct kernel_batch *b)
{
	return netlink_batch_reserve(b->route);
}

void kernel_batch_commit(struct kernel_batch *b, void *cookie)
{
	netlink_batch_commit(b->route, cookie);
}

int kernel_batch_flush(struct kernel_batch *b, struct err *e)
{
	return netlink_batch_flush(b->route, e);
}
