/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the value of a peer's lease: refused, or a lease that survives being written and
 * read again; and the objects that a backend makes of it are ones that would be cleaned up again.
 */
#include "tests/fuzz/fuzz.h"

#include "backends/backend.h"
#include "tests/unit/backend_rig.h"
#include "kernel/kinds.h"

#define DEVICE_V4        7
#define PEER_OBJECTS_MAX 8
#define DEVICE_V6        8

static struct backend *backend;
static struct network_config config;
static struct kernel_marks scope;

static void setup(void)
{
	static const char text[] =
		"{\"Network\":\"10.5.0.0/16\",\"EnableIPv6\":true,\"IPv6Network\":"
		"\"fd10:244::/48\"}";
	const struct backend_host host = {
		.node_id = "node",
		.lower = { { 3, 1500 }, { 3, 1500 } },
	};

	FUZZ_CHECK(network_config_parse(text, sizeof(text) - 1, &config, NULL) == 0);
	FUZZ_CHECK(backend_create(&config, &backend, NULL) == 0);
	FUZZ_CHECK(backend->type->set_host(backend, &host, NULL) == 0);
	backend->type->device_is(backend, 0, DEVICE_V4, &(struct mac_addr){ 0 });
	backend->type->device_is(backend, 1, DEVICE_V6, &(struct mac_addr){ 0 });
	scope = (struct kernel_marks){ .ifindexes = { DEVICE_V4, DEVICE_V6 },
				       .ifindexes_len = 2,
				       .networks = { config.v4.network, config.v6.network } };
}

static void check_objects(const struct lease *l)
{
	static const struct backend_path paths[2];
	auto_wants struct wants objects = { 0 };
	struct err e = { 0 };

	if (rig_want_peer(backend, l, paths, &objects, &e) < 0) {
		FUZZ_CHECK(e.text[0]);
		return;
	}
	FUZZ_CHECK(objects.len > 0 && objects.len <= PEER_OBJECTS_MAX);
	for (size_t i = 0; i < objects.len; i++)
		FUZZ_CHECK(kernel_object_is_ours(&scope, &objects.items[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_lease struct lease *l = lease_new();
	auto_lease struct lease *again = lease_new();
	auto_lease struct lease *copy = NULL;
	auto_free char *text = NULL;
	struct err e = { 0 };

	if (!backend)
		setup();
	FUZZ_CHECK(subnet_key_parse("10.5.3.0-24&fd10:244:0:56::-64", &l->subnet, NULL) == 0);
	again->subnet = l->subnet;
	if (lease_value_parse((const char *)data, size, l, &e) < 0) {
		FUZZ_CHECK(e.text[0]);
		return 0;
	}
	check_objects(l);
	/* What is said of a node without an id is not written. */
	if (!l->node_id) {
		free(STEAL(l->node_name));
		l->reserved = false;
	}
	text = lease_value_format(l);
	FUZZ_CHECK(lease_value_parse(text, strlen(text), again, NULL) == 0);
	FUZZ_CHECK(lease_equal(l, again));
	copy = lease_copy(l);
	FUZZ_CHECK(lease_equal(l, copy));
	return 0;
}
