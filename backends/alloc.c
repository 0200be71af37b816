/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/alloc.h"

struct alloc {
	struct backend base;
	bool v6;
	struct backend_host host;
};

static struct alloc *alloc_of(const struct backend *b)
{
	return (struct alloc *)b;
}

static int alloc_create(const struct network_config *config, struct backend **ret,
			struct err *e UNUSED)
{
	struct alloc *a = xcalloc(1, sizeof(*a));

	a->base.type = &backend_alloc;
	a->v6 = config->v6.enabled;
	*ret = &a->base;
	return 0;
}

static void alloc_free(struct backend *b)
{
	free(alloc_of(b));
}

static int alloc_set_host(struct backend *b, const struct backend_host *host, struct err *e UNUSED)
{
	alloc_of(b)->host = *host;
	alloc_of(b)->host.node_id = NULL;
	return 0;
}

/* flannel publishes no BackendType here. */
static int alloc_publish(const struct backend *b, struct lease *own, struct err *e UNUSED)
{
	const struct backend_host *host = &alloc_of(b)->host;

	own->public_v4 = host->public_v4;
	if (ip_addr_is_set(&host->public_v4))
		own->mtu_v4_bytes = backend_publish_mtu(host->lower[0].mtu_bytes);
	if (alloc_of(b)->v6) {
		own->public_v6 = host->public_v6;
		own->mtu_v6_bytes = backend_publish_mtu(host->lower[1].mtu_bytes);
	}
	return 0;
}

static uint32_t alloc_pod_mtu(const struct backend *b)
{
	return backend_least_mtu(&alloc_of(b)->host);
}

static void alloc_describe(const struct backend *b UNUSED, char *buf, size_t size)
{
	snprintf(buf, size, "alloc (no data path)");
}

const struct backend_type backend_alloc = {
	.name = "alloc",
	.foreign_devices = true,
	.create = alloc_create,
	.free = alloc_free,
	.set_host = alloc_set_host,
	.publish = alloc_publish,
	.pod_mtu = alloc_pod_mtu,
	.describe = alloc_describe,
};
