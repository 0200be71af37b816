/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of backends/vxlan share: a host, a backend with its devices in place, leases. */
#ifndef TESTS_UNIT_VXLAN_RIG_H
#define TESTS_UNIT_VXLAN_RIG_H

#include "tests/unit/test.h"

#include <errno.h>
#include <net/if.h>

#include "backends/backend.h"
#include "tests/unit/backend_rig.h"
#include "kernel/kinds.h"
#include "backends/vxlan.h"
#include "kernel/device_vxlan.h"

#define LOWER        3
#define LOWER_MTU    1500
#define DEVICE_V4    7
#define DEVICE_V6    8
#define NETWORK_V4   "\"Network\":\"10.5.0.0/16\""
#define NETWORK_DUAL NETWORK_V4 ",\"EnableIPv6\":true,\"IPv6Network\":\"fd10:244::/48\""
#define NETWORK_V6   "\"EnableIPv4\":false,\"EnableIPv6\":true,\"IPv6Network\":\"fd10:244::/48\""

/* How the kernel reaches a peer does not matter without DirectRouting. */
static UNUSED const struct backend_path no_paths[2];

static UNUSED struct backend_host host(void)
{
	return (struct backend_host){
		.node_id = "node-1",
		.lower = { { LOWER, 1500 }, { LOWER, 1500 } },
		.local_v4 = test_addr("192.0.2.1"),
		.local_v6 = test_addr("2001:db8::1"),
		.public_v4 = test_addr("198.51.100.1"),
		.public_v6 = test_addr("2001:db8:1::1"),
	};
}

static UNUSED struct network_config config(const char *fields)
{
	auto_free char *text = xasprintf("{%s}", fields);
	struct network_config c;
	struct err e;

	if (network_config_parse(text, strlen(text), &c, &e) < 0)
		fail_msg("%s: %s", text, e.text);
	return c;
}

/* A backend with its config, devices in place. */
struct fixture {
	struct network_config config;
	struct backend *backend;
};

static UNUSED struct fixture fixture(const char *fields, const struct backend_host *h)
{
	struct fixture f = { .config = config(fields) };
	const struct backend_device *devices;
	struct err e;

	if (backend_create(&f.config, &f.backend, &e) < 0 ||
	    f.backend->type->set_host(f.backend, h, &e) < 0)
		fail_msg("%s: %s", fields, e.text);
	for (size_t i = 0; i < backend_devices(f.backend, &devices); i++)
		f.backend->type->device_is(f.backend, i,
					   strstr(devices[i].name, "v6") ? DEVICE_V6 : DEVICE_V4,
					   &devices[i].mac);
	return f;
}

static UNUSED void fixture_fini(struct fixture *f)
{
	backend_free(f->backend);
	network_config_fini(&f->config);
}

#define auto_fixture __attribute__((cleanup(fixture_fini)))

static UNUSED struct lease *lease(const char *key, const char *value)
{
	struct lease *l = lease_new();
	struct err e;

	if (subnet_key_parse(key, &l->subnet, &e) < 0)
		fail_msg("%s: %s", key, e.text);
	if (lease_value_parse(value, strlen(value), l, &e) < 0)
		fail_msg("%s: %s", value, e.text);
	return l;
}

static UNUSED void check_objects(const struct wants *objects, const char *const *texts, size_t len)
{
	char text[KERNEL_OBJECT_TEXT];

	assert_int_equal(objects->len, len);
	for (size_t i = 0; i < len; i++)
		assert_string_equal(kernel_object_format(&objects->items[i], text), texts[i]);
}

static UNUSED const struct device_vxlan *spec_of(const struct backend_device *d)
{
	assert_ptr_equal(d->kind, &device_vxlan);
	return d->spec;
}

#endif
