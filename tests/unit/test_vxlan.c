/* SPDX-License-Identifier: Apache-2.0 */
/* backends/vxlan: its configuration, which devices, and what a host publishes. */
#include "tests/unit/vxlan_rig.h"

static void test_device_of_a_plain_network(void **state)
{
	(void)state;
	const struct backend_host h = host();
	auto_fixture struct fixture f = fixture(NETWORK_V4, &h);
	struct mac_addr mac = backend_derive_mac("node-1", 1, AF_INET);
	const struct backend_device *devices;

	assert_int_equal(backend_devices(f.backend, &devices), 1);
	assert_string_equal(devices[0].name, "flannel.1");
	assert_int_equal(spec_of(&devices[0])->vni, 1);
	assert_int_equal(spec_of(&devices[0])->port, 8472);
	assert_int_equal(spec_of(&devices[0])->lower_ifindex, LOWER);
	/* The source is an address the host owns, not the one it publishes. */
	assert_true(ip_addr_equal(&spec_of(&devices[0])->local, &h.local_v4));
	assert_false(spec_of(&devices[0])->learning);
	assert_false(spec_of(&devices[0])->gbp);
	assert_int_equal(devices[0].mtu_bytes, 1450);
	assert_memory_equal(&devices[0].mac, &mac, sizeof(mac));
}

static void test_devices_of_a_dual_stack_network(void **state)
{
	(void)state;
	const struct backend_host h = host();
	auto_fixture struct fixture f =
		fixture(NETWORK_DUAL ",\"Backend\":{\"Type\":\"vxlan\",\"VNI\":4711,\"Port\":4789,"
				     "\"Learning\":true,\"GBP\":true}",
			&h);
	const struct backend_device *devices;

	assert_int_equal(backend_devices(f.backend, &devices), 2);
	assert_string_equal(devices[0].name, "flannel.4711");
	assert_string_equal(devices[1].name, "flannel-v6.4711");
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(spec_of(&devices[i])->vni, 4711);
		assert_int_equal(spec_of(&devices[i])->port, 4789);
		assert_true(spec_of(&devices[i])->learning);
		assert_true(spec_of(&devices[i])->gbp);
	}
	assert_true(ip_addr_equal(&spec_of(&devices[1])->local, &h.local_v6));
	assert_int_equal(devices[0].mtu_bytes, 1450);
	assert_int_equal(devices[1].mtu_bytes, 1430);
	assert_memory_not_equal(&devices[0].mac, &devices[1].mac, sizeof(devices[0].mac));
}

static void test_device_of_an_ipv6_network(void **state)
{
	(void)state;
	const struct backend_host h = host();
	auto_fixture struct fixture f = fixture(NETWORK_V6, &h);
	const struct backend_device *devices;

	assert_int_equal(backend_devices(f.backend, &devices), 1);
	assert_string_equal(devices[0].name, "flannel-v6.1");
	assert_int_equal(devices[0].mtu_bytes, 1430);
}

static void test_longest_name_fits(void **state)
{
	(void)state;
	const struct backend_host h = host();
	auto_fixture struct fixture f =
		fixture(NETWORK_DUAL ",\"Backend\":{\"Type\":\"vxlan\",\"VNI\":9999}", &h);
	const struct backend_device *devices;

	backend_devices(f.backend, &devices);
	assert_string_equal(devices[1].name, "flannel-v6.9999"); /* IFNAMSIZ - 1 characters */
}

/* A VNI whose device name does not fit is refused, not cut: two networks would share one device. */
static void test_names_that_do_not_fit_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *fields;
		bool ok;
	} rows[] = {
		{ NETWORK_V4 ",\"Backend\":{\"Type\":\"vxlan\",\"VNI\":9999999}", true },
		{ NETWORK_V4 ",\"Backend\":{\"Type\":\"vxlan\",\"VNI\":16777215}", false },
		{ NETWORK_DUAL ",\"Backend\":{\"Type\":\"vxlan\",\"VNI\":9999}", true },
		{ NETWORK_DUAL ",\"Backend\":{\"Type\":\"vxlan\",\"VNI\":10000}", false },
		{ NETWORK_V6 ",\"Backend\":{\"Type\":\"vxlan\",\"VNI\":10000}", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_network_config struct network_config c = config(rows[i].fields);
		struct backend *b = NULL;
		struct err e = { 0 };
		int rc = backend_create(&c, &b, &e);

		assert_row(rc == (rows[i].ok ? 0 : -EINVAL), rows[i].fields);
		if (!rows[i].ok) {
			assert_contains(e.text, "VNI");
			assert_contains(e.text, "at most");
		}
		backend_free(b);
	}
}

static void test_mtu(void **state)
{
	(void)state;
	static const struct {
		const char *fields;
		uint32_t lower;
		uint32_t device_v4; /* 0: there is none */
		uint32_t device_v6;
		uint32_t pod;
	} rows[] = {
		{ NETWORK_V4, 1500, 1450, 0, 1450 },
		{ NETWORK_V4, 9000, 8950, 0, 8950 },
		{ NETWORK_DUAL, 1500, 1450, 1430, 1430 },
		{ NETWORK_V6, 1500, 0, 1430, 1430 },
		{ NETWORK_V4 ",\"Backend\":{\"Type\":\"vxlan\",\"MTU\":1400}", 1500, 1350, 0,
		  1350 },
		{ NETWORK_V4 ",\"Backend\":{\"Type\":\"vxlan\",\"MTU\":0}", 1500, 1450, 0, 1450 },
		/* More than the underlay carries is not possible. */
		{ NETWORK_V4 ",\"Backend\":{\"Type\":\"vxlan\",\"MTU\":9000}", 1500, 1450, 0,
		  1450 },
		{ NETWORK_DUAL ",\"Backend\":{\"Type\":\"vxlan\",\"MTU\":1400}", 1500, 1350, 1330,
		  1330 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct backend_host h = host();
		const struct backend_device *devices;
		size_t n = 0;

		h.lower[0].mtu_bytes = h.lower[1].mtu_bytes = rows[i].lower;
		auto_fixture struct fixture f = fixture(rows[i].fields, &h);

		backend_devices(f.backend, &devices);
		if (rows[i].device_v4)
			assert_int_equal(devices[n++].mtu_bytes, rows[i].device_v4);
		if (rows[i].device_v6)
			assert_int_equal(devices[n++].mtu_bytes, rows[i].device_v6);
		assert_int_equal(f.backend->type->pod_mtu(f.backend), rows[i].pod);
	}
}

/* IPv6 needs 1280 bytes inside. Where they do not fit, it is left out and the number needed is said. */
static void test_an_underlay_too_small_for_ipv6(void **state)
{
	(void)state;
	struct backend_host h = host();
	auto_fixture struct fixture f = fixture(NETWORK_DUAL, &h);
	auto_lease struct lease *own = lease_new();
	auto_lease struct lease *again = lease_new();
	const struct backend_device *devices;
	struct problem_list problems = { .len = 0 };

	f.backend->type->health(f.backend, &problems);
	assert_int_equal(problems.len, 0);
	h.lower[0].mtu_bytes = h.lower[1].mtu_bytes = 1349;
	assert_int_equal(f.backend->type->set_host(f.backend, &h, NULL), 0);
	assert_int_equal(backend_devices(f.backend, &devices), 1);
	assert_string_equal(devices[0].name, "flannel.1");
	assert_int_equal(f.backend->type->families(f.backend), 1);
	assert_int_equal(f.backend->type->pod_mtu(f.backend), 1299);
	f.backend->type->publish(f.backend, own, NULL);
	assert_true(ip_addr_is_set(&own->public_v4));
	assert_false(ip_addr_is_set(&own->public_v6));
	assert_null(own->backend_v6_data);
	f.backend->type->health(f.backend, &problems);
	assert_int_equal(problems.len, 1);
	assert_contains(problems.items[0].text, "MTU is 1349, IPv6 in vxlan needs 1350");
	h.lower[0].mtu_bytes = h.lower[1].mtu_bytes = 1350;
	assert_int_equal(f.backend->type->set_host(f.backend, &h, NULL), 0);
	assert_int_equal(backend_devices(f.backend, &devices), 2);
	assert_int_equal(f.backend->type->families(f.backend), 3);
	f.backend->type->publish(f.backend, again, NULL);
	assert_true(ip_addr_is_set(&again->public_v6));
}

/* Nothing is left: the error names the number, and what was stays. */
static void test_an_underlay_too_small_for_all(void **state)
{
	(void)state;
	static const struct {
		const char *fields;
		uint32_t needed;
	} rows[] = { { NETWORK_V4, 626 }, { NETWORK_DUAL, 626 }, { NETWORK_V6, 1350 } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct backend_host h = host();
		auto_fixture struct fixture f = fixture(rows[i].fields, &h);
		auto_free char *number = xasprintf("must be %u at least", rows[i].needed);
		uint32_t before = f.backend->type->pod_mtu(f.backend);
		struct err e;

		h.lower[0].mtu_bytes = h.lower[1].mtu_bytes = rows[i].needed - 1;
		assert_row(f.backend->type->set_host(f.backend, &h, &e) == -EMSGSIZE,
			   rows[i].fields);
		assert_contains(e.text, number);
		assert_int_equal(f.backend->type->pod_mtu(f.backend), before);
		h.lower[0].mtu_bytes = h.lower[1].mtu_bytes = rows[i].needed;
		assert_row(f.backend->type->set_host(f.backend, &h, &e) == 0, rows[i].fields);
	}
}

static void test_mtu_follows_the_underlay(void **state)
{
	(void)state;
	struct backend_host h = host();
	auto_fixture struct fixture f = fixture(NETWORK_V4, &h);
	const struct backend_device *devices;

	h.lower[0].mtu_bytes = h.lower[1].mtu_bytes = 9000;
	assert_int_equal(f.backend->type->set_host(f.backend, &h, NULL), 0);
	backend_devices(f.backend, &devices);
	assert_int_equal(devices[0].mtu_bytes, 8950);
	assert_int_equal(f.backend->type->pod_mtu(f.backend), 8950);
}

static void test_configuration_errors(void **state)
{
	(void)state;
	static const struct {
		const char *backend;
		const char *key;
		const char *says;
	} rows[] = {
		{ "\"VNI\":0", "VNI is 0", "from 1 to 16777215" },
		{ "\"VNI\":16777216", "VNI is 16777216", "from 1 to 16777215" },
		{ "\"VNI\":\"1\"", "VNI is \"1\"", "integer" },
		{ "\"VNI\":1,\"vni\":1", "VNI is given twice", "as \"vni\"" },
		{ "\"Port\":0,\"port\":null", "Port is given twice", "as \"port\"" },
		{ "\"MTU\":0,\"Mtu\":1400", "MTU is given twice", "as \"Mtu\"" },
		{ "\"vni\":-1", "VNI is -1", "integer" },
		{ "\"Port\":65536", "Port is 65536", "to 65535" },
		{ "\"Port\":-1", "Port is -1", "to 65535" },
		{ "\"Port\":true", "Port is true", "integer" },
		{ "\"GBP\":1", "GBP is 1", "true or false" },
		{ "\"Learning\":\"no\"", "Learning", "true or false" },
		{ "\"DirectRouting\":\"x\"", "DirectRouting", "true or false" },
		{ "\"MTU\":100", "MTU is 100", "65535" },
		/* Inside the tunnel IPv4 needs 576 bytes. */
		{ "\"MTU\":625", "MTU is 625", "must be 0 or from 626 to 65535" },
		{ "\"MTU\":65536", "MTU is 65536", "65535" },
		{ "\"MTU\":-1", "MTU is -1", "65535" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *fields = xasprintf(
			NETWORK_V4 ",\"Backend\":{\"Type\":\"vxlan\",%s}", rows[i].backend);
		auto_network_config struct network_config c = config(fields);
		struct backend *b = NULL;
		struct err e = { 0 };

		assert_row(backend_create(&c, &b, &e) == -EINVAL, rows[i].backend);
		assert_contains(e.text, "Backend");
		assert_contains(e.text, rows[i].key);
		assert_contains(e.text, rows[i].says);
		assert_null(b);
	}
}

/* The least and the most that is allowed: what lies beyond is in the test above. */
static void test_bounds_of_the_configuration(void **state)
{
	(void)state;
	static const struct {
		const char *fields;
		const char *says; /* NULL: accepted */
	} rows[] = {
		{ NETWORK_V4 ",\"Backend\":{\"Type\":\"vxlan\",\"VNI\":1}", NULL },
		{ NETWORK_V4 ",\"Backend\":{\"Type\":\"vxlan\",\"Port\":0}", NULL },
		{ NETWORK_V4 ",\"Backend\":{\"Type\":\"vxlan\",\"Port\":1}", NULL },
		{ NETWORK_V4 ",\"Backend\":{\"Type\":\"vxlan\",\"Port\":65535}", NULL },
		{ NETWORK_V4 ",\"Backend\":{\"Type\":\"vxlan\",\"MTU\":626}", NULL },
		{ NETWORK_V4 ",\"Backend\":{\"Type\":\"vxlan\",\"MTU\":65535}", NULL },
		/* IPv6 needs 1280 bytes in the tunnel, whose headers are larger. */
		{ NETWORK_DUAL ",\"Backend\":{\"Type\":\"vxlan\",\"MTU\":1350}", NULL },
		{ NETWORK_DUAL ",\"Backend\":{\"Type\":\"vxlan\",\"MTU\":1349}",
		  "from 1350 to 65535" },
		{ NETWORK_V6 ",\"Backend\":{\"Type\":\"vxlan\",\"MTU\":1349}",
		  "from 1350 to 65535" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_network_config struct network_config c = config(rows[i].fields);
		struct backend *b = NULL;
		struct err e = { 0 };

		assert_row(backend_create(&c, &b, &e) == (rows[i].says ? -EINVAL : 0),
			   rows[i].fields);
		if (rows[i].says)
			assert_contains(e.text, rows[i].says);
		backend_free(b);
	}
}

static void test_unknown_type_lists_the_known(void **state)
{
	(void)state;
	auto_network_config struct network_config c =
		config(NETWORK_V4 ",\"Backend\":{\"Type\":\"teleport\"}");
	struct backend *b = NULL;
	struct err e = { 0 };

	assert_int_equal(backend_create(&c, &b, &e), -EINVAL);
	assert_contains(e.text, "Backend.Type is \"teleport\"");
	assert_contains(e.text, "vxlan");
	assert_null(b);
	backend_free(NULL);
}

static void test_direct_routing_follows_the_path(void **state)
{
	(void)state;
	static const char *const direct[] = { "route 10.5.3.0/24 via 192.0.2.3 dev 3 proto 102" };
	static const struct backend_path on_link[2] = { { true, LOWER } };
	static const struct backend_path routed[2] = { { false, LOWER } };
	const struct backend_host h = host();
	auto_fixture struct fixture f =
		fixture(NETWORK_V4 ",\"Backend\":{\"Type\":\"vxlan\",\"DirectRouting\":true}", &h);
	auto_lease struct lease *l = lease("10.5.3.0-24", "{\"PublicIP\":\"192.0.2.3\","
							  "\"BackendType\":\"vxlan\","
							  "\"BackendData\":{\"VNI\":1,\"VtepMAC\":"
							  "\"02:00:00:00:00:03\"}}");
	auto_wants struct wants objects = { 0 };
	struct err e;

	assert_true(f.backend->needs_paths);
	assert_int_equal(rig_want_peer(f.backend, l, on_link, &objects, &e), 0);
	check_objects(&objects, direct, 1);
	/* Behind a router the tunnel is needed: FDB entry, neighbour and route. */
	assert_int_equal(rig_want_peer(f.backend, l, routed, &objects, &e), 0);
	assert_int_equal(objects.len, 3);
}

static void test_an_existing_device_keeps_its_mac(void **state)
{
	(void)state;
	static const struct mac_addr kept = { { 0x02, 1, 2, 3, 4, 5 } };
	static const struct mac_addr group = { { 0x03, 1, 2, 3, 4, 5 } };
	struct backend_host h = host();
	auto_fixture struct fixture f = fixture(NETWORK_V4, &h);
	auto_lease struct lease *own = lease_new();
	const struct backend_device *devices;

	f.backend->type->device_is(f.backend, 0, DEVICE_V4, &kept);
	f.backend->type->device_is(f.backend, 0, DEVICE_V4, &group);
	assert_int_equal(f.backend->type->set_host(f.backend, &h, NULL), 0);
	backend_devices(f.backend, &devices);
	assert_memory_equal(&devices[0].mac, &kept, sizeof(kept));
	assert_int_equal(f.backend->type->publish(f.backend, own, NULL), 0);
	assert_contains(own->backend_data, "02:01:02:03:04:05");
}

static void test_mac_is_stable_unicast_and_local(void **state)
{
	(void)state;
	char text[MAC_TEXT];
	struct mac_addr a = backend_derive_mac("node-1", 1, AF_INET);
	struct mac_addr b = backend_derive_mac("node-1", 1, AF_INET);

	assert_memory_equal(&a, &b, sizeof(a));
	/* Never to change: after an upgrade the device keeps its address, and with it its peers. */
	if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
		assert_string_equal(mac_addr_format(&a, text), "4e:32:d4:5f:6d:a4");
	for (unsigned i = 0; i < 10000; i++) {
		auto_free char *id = xasprintf("node-%u", i);
		struct mac_addr m = backend_derive_mac(id, i % 7, i & 1 ? AF_INET : AF_INET6);

		assert_int_equal(m.b[0] & 0x01, 0);
		assert_int_equal(m.b[0] & 0x02, 0x02);
	}
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct mac_addr));
}

static void test_macs_differ(void **state)
{
	(void)state;
	enum { NODES = 20000, ALL = NODES + 2 };
	auto_free struct mac_addr *macs = xcalloc(ALL, sizeof(*macs));

	for (unsigned i = 0; i < NODES; i++) {
		auto_free char *id = xasprintf("3f2a%08x", i);

		macs[i] = backend_derive_mac(id, 1, AF_INET);
	}
	macs[NODES] = backend_derive_mac("3f2a00000000", 2, AF_INET);
	macs[NODES + 1] = backend_derive_mac("3f2a00000000", 1, AF_INET6);
	qsort(macs, ALL, sizeof(*macs), by_bytes);
	for (unsigned i = 1; i < ALL; i++)
		assert_memory_not_equal(&macs[i - 1], &macs[i], sizeof(*macs));
}

static void test_what_is_published(void **state)
{
	(void)state;
	struct mac_addr mac4 = backend_derive_mac("node-1", 1, AF_INET);
	struct mac_addr mac6 = backend_derive_mac("node-1", 1, AF_INET6);
	char mac_text[MAC_TEXT];
	auto_free char *data = xasprintf(",\"BackendData\":{\"VNI\":1,\"VtepMAC\":\"%s\"}",
					 mac_addr_format(&mac4, mac_text));
	auto_free char *v6_data = xasprintf(",\"BackendV6Data\":{\"VNI\":1,\"VtepMAC\":\"%s\"}",
					    mac_addr_format(&mac6, mac_text));
	const struct {
		const char *fields;
		const char *v4;
		const char *v6;
		const char *data;
		const char *v6_data;
	} rows[] = {
		{ NETWORK_V4, "198.51.100.1", "null", data, "" },
		{ NETWORK_DUAL, "198.51.100.1", "\"2001:db8:1::1\"", data, v6_data },
		{ NETWORK_V6, "0.0.0.0", "\"2001:db8:1::1\"", "", v6_data },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct backend_host h = host();
		auto_fixture struct fixture f = fixture(rows[i].fields, &h);
		auto_lease struct lease *own = lease_new();
		auto_free char *value = NULL;
		auto_free char *expected = xasprintf(
			"{\"PublicIP\":\"%s\",\"PublicIPv6\":%s,\"BackendType\":\"vxlan\"%s%s}",
			rows[i].v4, rows[i].v6, rows[i].data, rows[i].v6_data);

		assert_int_equal(f.backend->type->publish(f.backend, own, NULL), 0);
		value = lease_value_format(own);
		assert_string_equal(value, expected);
	}
}

static void test_description(void **state)
{
	(void)state;
	const struct backend_host h = host();
	auto_fixture struct fixture plain = fixture(NETWORK_V4, &h);
	auto_fixture struct fixture port =
		fixture(NETWORK_V4 ",\"Backend\":{\"Type\":\"vxlan\",\"VNI\":7,\"Port\":4789}", &h);
	char text[100];

	plain.backend->type->describe(plain.backend, text, sizeof(text));
	assert_string_equal(text, "vxlan vni 1 port 8472");
	port.backend->type->describe(port.backend, text, sizeof(text));
	assert_string_equal(text, "vxlan vni 7 port 4789");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_device_of_a_plain_network),
		cmocka_unit_test(test_devices_of_a_dual_stack_network),
		cmocka_unit_test(test_device_of_an_ipv6_network),
		cmocka_unit_test(test_longest_name_fits),
		cmocka_unit_test(test_names_that_do_not_fit_are_refused),
		cmocka_unit_test(test_mtu),
		cmocka_unit_test(test_an_underlay_too_small_for_ipv6),
		cmocka_unit_test(test_an_underlay_too_small_for_all),
		cmocka_unit_test(test_mtu_follows_the_underlay),
		cmocka_unit_test(test_configuration_errors),
		cmocka_unit_test(test_bounds_of_the_configuration),
		cmocka_unit_test(test_unknown_type_lists_the_known),
		cmocka_unit_test(test_direct_routing_follows_the_path),
		cmocka_unit_test(test_an_existing_device_keeps_its_mac),
		cmocka_unit_test(test_mac_is_stable_unicast_and_local),
		cmocka_unit_test(test_macs_differ),
		cmocka_unit_test(test_what_is_published),
		cmocka_unit_test(test_description),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
