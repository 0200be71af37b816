/* SPDX-License-Identifier: Apache-2.0 */
/* backends/host_gw and alloc: what they publish, what a peer means, who is refused and why. */
#include "tests/unit/test.h"

#include <errno.h>

#include "backends/backend.h"
#include "tests/unit/backend_rig.h"
#include "kernel/kinds.h"

#define LOWER   3
#define NETWORK "\"Network\":\"10.5.0.0/16\",\"EnableIPv6\":true,\"IPv6Network\":\"fd10:244::/48\""

static struct backend_host host(void)
{
	return (struct backend_host){
		.node_id = "node-1",
		.lower = { { LOWER, 1500 }, { LOWER, 1500 } },
		.local_v4 = test_addr("192.0.2.1"),
		.local_v6 = test_addr("2001:db8::1"),
		.public_v4 = test_addr("192.0.2.1"),
		.public_v6 = test_addr("2001:db8::1"),
	};
}

static struct backend *backend(const char *type, const struct backend_host *h)
{
	auto_free char *text = xasprintf("{" NETWORK ",\"Backend\":{\"Type\":\"%s\"}}", type);
	struct network_config c;
	struct backend *b = NULL;
	struct err e;

	if (network_config_parse(text, strlen(text), &c, &e) < 0 ||
	    backend_create(&c, &b, &e) < 0 || b->type->set_host(b, h, &e) < 0)
		fail_msg("%s: %s", text, e.text);
	network_config_fini(&c);
	return b;
}

static struct lease *peer(const char *type)
{
	auto_free char *value = xasprintf("{\"PublicIP\":\"192.0.2.3\",\"PublicIPv6\":\"2001:db8::"
					  "3\",\"BackendType\":\"%s\"}",
					  type);
	struct lease *l = lease_new();
	struct err e;

	if (subnet_key_parse("10.5.3.0-24&fd10:244:0:3::-64", &l->subnet, &e) < 0 ||
	    lease_value_parse(value, strlen(value), l, &e) < 0)
		fail_msg("%s", e.text);
	return l;
}

static void test_published_as_flannel_does(void **state)
{
	(void)state;
	const struct backend_host h = host();
	struct backend *gw = backend("host-gw", &h);
	struct backend *alloc = backend("alloc", &h);
	auto_lease struct lease *a = lease_new();
	auto_lease struct lease *b = lease_new();
	auto_free char *gw_text = NULL;
	auto_free char *alloc_text = NULL;

	assert_int_equal(gw->type->publish(gw, a, NULL), 0);
	assert_int_equal(alloc->type->publish(alloc, b, NULL), 0);
	gw_text = lease_value_format(a);
	alloc_text = lease_value_format(b);
	assert_string_equal(gw_text, "{\"PublicIP\":\"192.0.2.1\",\"PublicIPv6\":\"2001:db8::1\","
				     "\"BackendType\":\"host-gw\"}");
	assert_string_equal(alloc_text,
			    "{\"PublicIP\":\"192.0.2.1\",\"PublicIPv6\":\"2001:db8::1\"}");
	backend_free(gw);
	backend_free(alloc);
}

static void test_one_route_for_each_family(void **state)
{
	(void)state;
	static const struct backend_path paths[2] = { { true, LOWER }, { true, LOWER } };
	const struct backend_host h = host();
	struct backend *b = backend("host-gw", &h);
	auto_lease struct lease *l = peer("host-gw");
	auto_wants struct wants objects = { 0 };
	char text[KERNEL_OBJECT_TEXT];
	struct err e;

	assert_int_equal(rig_want_peer(b, l, paths, &objects, &e), 0);
	assert_int_equal(objects.len, 2);
	assert_string_equal(kernel_object_format(&objects.items[0], text),
			    "route 10.5.3.0/24 via 192.0.2.3 dev 3 proto 102");
	assert_string_equal(kernel_object_format(&objects.items[1], text),
			    "route fd10:244:0:3::/64 via 2001:db8::3 dev 3 proto 102");
	backend_free(b);
}

static void test_a_peer_with_a_smaller_underlay(void **state)
{
	(void)state;
	static const struct backend_path paths[2] = { { true, LOWER }, { true, LOWER } };
	struct backend_host h = host();
	struct backend *b = backend("host-gw", &h);
	auto_lease struct lease *l = peer("host-gw");
	auto_wants struct wants objects = { 0 };

	l->mtu_v4_bytes = 1400;
	l->mtu_v6_bytes = 1500;
	assert_int_equal(rig_want_peer(b, l, paths, &objects, NULL), 0);
	assert_int_equal(objects.items[0].value.mtu_bytes, 1400);
	assert_int_equal(objects.items[1].value.mtu_bytes, 0);
	/* What the kernel would make less of is not asked for. */
	h.lower[0].mtu_bytes = h.lower[1].mtu_bytes = 65535;
	l->mtu_v4_bytes = 65530;
	assert_int_equal(b->type->set_host(b, &h, NULL), 0);
	assert_int_equal(rig_want_peer(b, l, paths, &objects, NULL), 0);
	assert_int_equal(objects.items[0].value.mtu_bytes, KERNEL_ROUTE_MTU_MAX);
	backend_free(b);
}

/* Nothing but routes: no device, no object of its own, containers use the underlay's MTU. */
static void test_no_device(void **state)
{
	(void)state;
	const struct backend_host h = host();
	struct backend *b = backend("host-gw", &h);
	auto_lease struct lease *l = peer("host-gw");
	const struct backend_device *devices;
	auto_wants struct wants objects = { 0 };
	char text[100];

	assert_int_equal(backend_devices(b, &devices), 0);
	rig_want_own(b, &l->subnet, &objects);
	assert_int_equal(objects.len, 0);
	assert_int_equal(b->type->pod_mtu(b), 1500);
	b->type->describe(b, text, sizeof(text));
	assert_string_equal(text, "host-gw");
	backend_free(b);
}

static void test_a_peer_with_one_family(void **state)
{
	(void)state;
	static const struct backend_path paths[2] = { { true, LOWER }, { true, LOWER } };
	const struct backend_host h = host();
	struct backend *b = backend("host-gw", &h);
	auto_lease struct lease *l = peer("host-gw");
	auto_wants struct wants objects = { 0 };
	struct err e;

	l->subnet.v6 = (struct ip_net){ 0 };
	assert_int_equal(rig_want_peer(b, l, paths, &objects, &e), 0);
	assert_int_equal(objects.len, 1);
	assert_int_equal(objects.items[0].key.family, AF_INET);
	l->subnet.v4 = (struct ip_net){ 0 };
	assert_int_equal(rig_want_peer(b, l, paths, &objects, &e), -EINVAL);
	assert_contains(e.text, "no subnet in a family");
	backend_free(b);
}

static void test_a_peer_behind_a_router_is_refused(void **state)
{
	(void)state;
	static const struct backend_path routed[2] = { { false, LOWER }, { true, LOWER } };
	static const struct backend_path unreachable[2] = { { false, 0 }, { true, LOWER } };
	const struct backend_host h = host();
	struct backend *b = backend("host-gw", &h);
	auto_lease struct lease *l = peer("host-gw");
	auto_lease struct lease *other = peer("vxlan");
	auto_wants struct wants objects = { 0 };
	struct err e;

	assert_int_equal(rig_want_peer(b, l, routed, &objects, &e), -EHOSTUNREACH);
	assert_contains(e.text, "192.0.2.3 is behind a router");
	assert_int_equal(rig_want_peer(b, l, unreachable, &objects, &e), -EHOSTUNREACH);
	assert_contains(e.text, "not reachable");
	assert_int_equal(rig_want_peer(b, other, routed, &objects, &e), -EINVAL);
	assert_contains(e.text, "BackendType is \"vxlan\"");
	backend_free(b);
}

static void test_host_gw_needs_an_address_of_its_own(void **state)
{
	(void)state;
	struct backend_host h = host();
	struct backend *b = backend("host-gw", &h);
	struct err e;

	h.public_v4 = test_addr("198.51.100.1");
	assert_int_equal(b->type->set_host(b, &h, &e), -EINVAL);
	assert_contains(e.text, "public-ip is 198.51.100.1");
	assert_contains(e.text, "192.0.2.1");
	backend_free(b);
}

static void test_alloc_wants_nothing(void **state)
{
	(void)state;
	static const struct backend_path paths[2];
	const struct backend_host h = host();
	struct backend *b = backend("alloc", &h);
	auto_lease struct lease *l = peer("vxlan");
	const struct backend_device *devices;
	auto_wants struct wants objects = { 0 };
	struct err e;

	assert_int_equal(backend_devices(b, &devices), 0);
	assert_int_equal(rig_want_peer(b, l, paths, &objects, &e), 0);
	assert_int_equal(objects.len, 0);
	rig_want_own(b, &l->subnet, &objects);
	assert_int_equal(objects.len, 0);
	assert_int_equal(b->type->pod_mtu(b), 1500);
	backend_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_as_flannel_does),
		cmocka_unit_test(test_one_route_for_each_family),
		cmocka_unit_test(test_a_peer_with_a_smaller_underlay),
		cmocka_unit_test(test_no_device),
		cmocka_unit_test(test_a_peer_with_one_family),
		cmocka_unit_test(test_a_peer_behind_a_router_is_refused),
		cmocka_unit_test(test_host_gw_needs_an_address_of_its_own),
		cmocka_unit_test(test_alloc_wants_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
