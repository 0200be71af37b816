/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/store_open.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "lib/options.h"
#include "stores/consul/consul_store.h"
#include "stores/etcd/etcd_store.h"
#include "stores/file_store.h"
#include "stores/kube/kube_store.h"

#define AT(field) offsetof(struct store_options, field)

static const struct {
	const struct store_type *type;
	size_t options; /* its own, in struct store_options */
} stores[] = {
	{ &etcd_store_type, AT(etcd) },
	{ &file_store_type, 0 },
	{ &kube_store_type, AT(kube) },
	{ &consul_store_type, AT(consul) },
};

/* clang-format off */
const struct option_spec store_option_specs[] = {
	{ .name = "store", .type = OPTION_TEXT, .offset = AT(store), .value = "etcd",
	  .help = "where the leases are: etcd, consul, kube for the nodes of Kubernetes, or file:DIRECTORY for several daemons on one machine" },
	{ .name = "", .type = OPTION_TABLE, .offset = AT(etcd), .table = etcd_option_specs },
	{ .name = "", .type = OPTION_TABLE, .offset = AT(kube), .table = kube_option_specs },
	{ .name = "", .type = OPTION_TABLE, .offset = AT(consul), .table = consul_option_specs },
	{ 0 },
};
/* clang-format on */

/* Index in `stores`, or ARRAY_LEN. */
static size_t find(const struct store_options *options)
{
	size_t size = strcspn(options->store, ":");
	size_t i = 0;

	while (i < ARRAY_LEN(stores) && (strlen(stores[i].type->scheme) != size ||
					 memcmp(stores[i].type->scheme, options->store, size) != 0))
		i++;
	return i;
}

static int no_such(const struct store_options *options, struct err *e)
{
	return err_set(e, -EINVAL,
		       "store is \"%.80s\", must be etcd, consul, kube or file:DIRECTORY",
		       options->store);
}

const struct store_type *store_type_of(const struct store_options *options)
{
	size_t i = find(options);

	return i < ARRAY_LEN(stores) ? stores[i].type : NULL;
}

int store_options_check(struct store_options *options, struct err *e)
{
	size_t i;

	if (options->kube.subnet_mgr && strcmp(options->store, "kube") != 0) {
		if (strcmp(options->store, "etcd") != 0)
			return err_set(
				e, -EINVAL,
				"kube-subnet-mgr is true and store is \"%.80s\": must be kube "
				"or not given",
				options->store);
		free(options->store);
		options->store = xstrdup("kube");
	}
	i = find(options);
	if (i == ARRAY_LEN(stores))
		return no_such(options, e);
	return stores[i].type->check ? stores[i].type->check((char *)options + stores[i].options, e)
				     : 0;
}

int store_open(struct event_base *base, struct http_client *http,
	       const struct store_options *options, uint64_t (*random)(void), struct store **ret,
	       struct err *e)
{
	const char *colon = strchr(options->store, ':');
	struct store_open_args args = {
		.base = base, .http = http, .where = colon ? colon + 1 : "", .random = random
	};
	size_t i = find(options);
	int rc;

	if (i == ARRAY_LEN(stores))
		return no_such(options, e);
	args.options = (const char *)options + stores[i].options;
	rc = stores[i].type->open(&args, ret, e);
	if (rc == 0)
		(*ret)->type = stores[i].type;
	return rc;
}

bool store_place_is(const struct store_place *place, const char *network, const char *cluster)
{
	auto_free char *clean = etcd_clean_prefix(network);

	return (strcmp(network, place->where) == 0 || strcmp(clean, place->where) == 0) &&
	       (!*cluster || !*place->cluster || strcmp(cluster, place->cluster) == 0);
}
