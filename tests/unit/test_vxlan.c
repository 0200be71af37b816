/* SPDX-License-Identifier: Apache-2.0 */
/* backends/vxlan: which device, which objects for a peer, which peers are refused and why. */
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
static const struct backend_path no_paths[2];

static struct backend_host host(void)
{
	return (struct backend_host){
		.node_id = "node-1",
		.lower_ifindex = LOWER,
		.lower_mtu_bytes = LOWER_MTU,
		.local_v4 = test_addr("192.0.2.1"),
		.local_v6 = test_addr("2001:db8::1"),
		.public_v4 = test_addr("198.51.100.1"),
		.public_v6 = test_addr("2001:db8:1::1"),
	};
}

static struct network_config config(const char *fields)
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

static struct fixture fixture(const char *fields, const struct backend_host *h)
{
	struct fixture f = { .config = config(fields) };
	const struct backend_device *devices;
	struct err e;

	if (backend_create(&f.config, &f.backend, &e) < 0 ||
	    f.backend->type->set_host(f.backend, h, &e) < 0)
		fail_msg("%s: %s", fields, e.text);
	for (size_t i = 0; i < backend_devices(f.backend, &devices); i++)
		f.backend->type->set_ifindex(f.backend, i,
					     strstr(devices[i].name, "v6") ? DEVICE_V6 : DEVICE_V4);
	return f;
}

static void fixture_fini(struct fixture *f)
{
	backend_free(f->backend);
	network_config_fini(&f->config);
}

#define auto_fixture __attribute__((cleanup(fixture_fini)))

static struct lease *lease(const char *key, const char *value)
{
	struct lease *l = lease_new();
	struct err e;

	if (subnet_key_parse(key, &l->subnet, &e) < 0)
		fail_msg("%s: %s", key, e.text);
	if (lease_value_parse(value, strlen(value), l, &e) < 0)
		fail_msg("%s: %s", value, e.text);
	return l;
}

static void check_objects(const struct wants *objects, const char *const *texts, size_t len)
{
	char text[KERNEL_OBJECT_TEXT];

	assert_int_equal(objects->len, len);
	for (size_t i = 0; i < len; i++)
		assert_string_equal(kernel_object_format(&objects->items[i], text), texts[i]);
}

static const struct device_vxlan *spec_of(const struct backend_device *d)
{
	assert_ptr_equal(d->kind, &device_vxlan);
	return d->spec;
}

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

		h.lower_mtu_bytes = rows[i].lower;
		auto_fixture struct fixture f = fixture(rows[i].fields, &h);

		backend_devices(f.backend, &devices);
		if (rows[i].device_v4)
			assert_int_equal(devices[n++].mtu_bytes, rows[i].device_v4);
		if (rows[i].device_v6)
			assert_int_equal(devices[n++].mtu_bytes, rows[i].device_v6);
		assert_int_equal(f.backend->type->pod_mtu(f.backend), rows[i].pod);
	}
}

static void test_mtu_follows_the_underlay(void **state)
{
	(void)state;
	struct backend_host h = host();
	auto_fixture struct fixture f = fixture(NETWORK_V4, &h);
	const struct backend_device *devices;

	h.lower_mtu_bytes = 9000;
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

	f.backend->type->keep_mac(f.backend, 0, &kept);
	f.backend->type->keep_mac(f.backend, 0, &group);
	assert_int_equal(f.backend->type->set_host(f.backend, &h, NULL), 0);
	backend_devices(f.backend, &devices);
	assert_memory_equal(&devices[0].mac, &kept, sizeof(kept));
	f.backend->type->publish(f.backend, own);
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

		f.backend->type->publish(f.backend, own);
		value = lease_value_format(own);
		assert_string_equal(value, expected);
	}
}

static void test_own_objects(void **state)
{
	(void)state;
	const struct backend_host h = host();
	auto_fixture struct fixture f = fixture(NETWORK_DUAL, &h);
	struct subnet own = { test_net("10.5.17.0/24"), test_net("fd10:244:0:5c::/64") };
	auto_wants struct wants objects = { 0 };

	rig_want_own(f.backend, &own, &objects);
	check_objects(&objects,
		      (const char *const[]){ "address 10.5.17.0/32 dev 7",
					     "address fd10:244:0:5c::/128 dev 8" },
		      2);
	/* A device that does not exist cannot have an address. */
	f.backend->type->set_ifindex(f.backend, 0, 0);
	rig_want_own(f.backend, &own, &objects);
	check_objects(&objects, (const char *const[]){ "address fd10:244:0:5c::/128 dev 8" }, 1);
}

static const char value_dual[] =
	"{\"PublicIP\":\"192.0.2.3\",\"PublicIPv6\":\"2001:db8::3\",\"BackendType\":\"vxlan\","
	"\"BackendData\":{\"VNI\":1,\"VtepMAC\":\"02:00:0a:05:03:00\"},"
	"\"BackendV6Data\":{\"VNI\":1,\"VtepMAC\":\"02:00:0a:05:03:01\"}}";

static void test_objects_of_a_peer(void **state)
{
	(void)state;
	static const char *const v4[] = { "fdb 02:00:0a:05:03:00 dst 192.0.2.3 dev 7",
					  "neighbour 10.5.3.0 lladdr 02:00:0a:05:03:00 dev 7",
					  "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 105" };
	static const char *const both[] = {
		"fdb 02:00:0a:05:03:00 dst 192.0.2.3 dev 7",
		"neighbour 10.5.3.0 lladdr 02:00:0a:05:03:00 dev 7",
		"route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 105",
		"fdb 02:00:0a:05:03:01 dst 2001:db8::3 dev 8",
		"neighbour fd10:244:0:56:: lladdr 02:00:0a:05:03:01 dev 8",
		"route fd10:244:0:56::/64 via fd10:244:0:56:: dev 8 onlink proto 102",
	};
	const struct {
		const char *fields;
		const char *key;
		const char *const *texts;
		size_t len;
	} rows[] = {
		{ NETWORK_V4, "10.5.3.0-24", v4, 3 },
		{ NETWORK_V4, "10.5.3.0-24&fd10:244:0:56::-64", v4, 3 },
		{ NETWORK_DUAL, "10.5.3.0-24&fd10:244:0:56::-64", both, 6 },
		{ NETWORK_DUAL, "10.5.3.0-24", v4, 3 }, /* not yet dual-stack itself */
		{ NETWORK_V6, "0.0.0.0-0&fd10:244:0:56::-64", both + 3, 3 },
		{ NETWORK_V6, "10.5.3.0-24&fd10:244:0:56::-64", both + 3, 3 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct backend_host h = host();
		auto_fixture struct fixture f = fixture(rows[i].fields, &h);
		auto_lease struct lease *l = lease(rows[i].key, value_dual);
		auto_wants struct wants objects = { 0 };
		struct err e;

		if (rig_want_peer(f.backend, l, no_paths, &objects, &e) < 0)
			fail_msg("%s, %s: %s", rows[i].fields, rows[i].key, e.text);
		check_objects(&objects, rows[i].texts, rows[i].len);
	}
}

/* Everything that a peer object is, belongs to us by the reconciler's rule; else it would never be
 * cleaned up. */
static void test_objects_are_ours_by_scope(void **state)
{
	(void)state;
	const struct backend_host h = host();
	auto_fixture struct fixture f = fixture(NETWORK_DUAL, &h);
	auto_lease struct lease *l = lease("10.5.3.0-24&fd10:244:0:56::-64", value_dual);
	const struct kernel_marks scope = { .ifindexes = { DEVICE_V4, DEVICE_V6 },
					    .ifindexes_len = 2,
					    .networks = { f.config.v4.network,
							  f.config.v6.network } };
	struct subnet own = { test_net("10.5.17.0/24"), test_net("fd10:244:0:5c::/64") };
	auto_wants struct wants objects = { 0 };

	assert_int_equal(rig_want_peer(f.backend, l, no_paths, &objects, NULL), 0);
	for (size_t i = 0; i < objects.len; i++)
		assert_true(kernel_object_is_ours(&scope, &objects.items[i]));
	rig_want_own(f.backend, &own, &objects);
	for (size_t i = 0; i < objects.len; i++)
		assert_true(kernel_object_is_ours(&scope, &objects.items[i]));
}

static void test_values_that_are_tolerated(void **state)
{
	(void)state;
	static const char *const values[] = {
		/* No VNI, as old versions published; keys in any case; fields of the future. */
		"{\"PublicIP\":\"192.0.2.3\",\"BackendType\":\"vxlan\",\"BackendData\":"
		"{\"VtepMAC\":\"02:00:0a:05:03:00\"}}",
		"{\"publicip\":\"192.0.2.3\",\"backendtype\":\"vxlan\",\"backenddata\":"
		"{\"vni\":1,\"vtepmac\":\"02:00:0A:05:03:00\",\"more\":{}}}",
	};
	const struct backend_host h = host();
	auto_fixture struct fixture f = fixture(NETWORK_V4, &h);

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		auto_lease struct lease *l = lease("10.5.3.0-24", values[i]);
		auto_wants struct wants objects = { 0 };
		struct err e = { 0 };

		assert_row(rig_want_peer(f.backend, l, no_paths, &objects, &e) == 0, values[i]);
		assert_int_equal(objects.len, 3);
	}
}

static void test_peers_refused(void **state)
{
	(void)state;
	struct mac_addr own4 = backend_derive_mac("node-1", 1, AF_INET);
	char own_mac[MAC_TEXT];
	auto_free char *own_mac_value = NULL;

	mac_addr_format(&own4, own_mac);
	own_mac_value =
		xasprintf("{\"PublicIP\":\"192.0.2.3\",\"BackendType\":\"vxlan\",\"BackendData\":"
			  "{\"VNI\":1,\"VtepMAC\":\"%s\"}}",
			  own_mac);
#define V4_VALUE(ip, data)                                                                         \
	"{\"PublicIP\":\"" ip "\",\"BackendType\":\"vxlan\",\"BackendData\":" data "}"
#define GOOD_DATA "{\"VNI\":1,\"VtepMAC\":\"02:00:0a:05:03:00\"}"
	const struct {
		const char *value;
		const char *key;
		const char *says;
	} rows[] = {
		{ "{\"PublicIP\":\"192.0.2.3\"}", "BackendType", "vxlan" },
		{ "{\"PublicIP\":\"192.0.2.3\",\"BackendType\":\"host-gw\"}", "BackendType",
		  "\"host-gw\"" },
		{ "{\"PublicIP\":\"192.0.2.3\",\"BackendType\":\"VXLAN\",\"BackendData\":" GOOD_DATA
		  "}",
		  "BackendType", "VXLAN" },
		{ "{\"BackendType\":\"vxlan\",\"BackendData\":" GOOD_DATA "}", "PublicIP",
		  "missing" },
		{ V4_VALUE("0.0.0.0", GOOD_DATA), "PublicIP", "missing" },
		{ V4_VALUE("127.0.0.1", GOOD_DATA), "PublicIP is 127.0.0.1", "unicast" },
		{ V4_VALUE("224.0.0.1", GOOD_DATA), "PublicIP is 224.0.0.1", "unicast" },
		{ V4_VALUE("255.255.255.255", GOOD_DATA), "PublicIP", "unicast" },
		{ V4_VALUE("240.0.0.1", GOOD_DATA), "PublicIP is 240.0.0.1", "unicast" },
		{ V4_VALUE("0.0.0.9", GOOD_DATA), "PublicIP is 0.0.0.9", "unicast" },
		{ V4_VALUE("198.51.100.1", GOOD_DATA), "PublicIP is 198.51.100.1", "own" },
		{ V4_VALUE("192.0.2.1", GOOD_DATA), "PublicIP is 192.0.2.1", "own" },
		/* It would be sent through the tunnel that it is the end of. */
		{ V4_VALUE("10.5.9.9", GOOD_DATA), "PublicIP is 10.5.9.9", "overlay" },
		{ "{\"PublicIP\":\"192.0.2.3\",\"BackendType\":\"vxlan\"}", "BackendData",
		  "missing" },
		{ V4_VALUE("192.0.2.3", "null"), "BackendData", "missing" },
		{ V4_VALUE("192.0.2.3", "5"), "BackendData", "" },
		{ V4_VALUE("192.0.2.3", "\"text\""), "BackendData", "" },
		{ V4_VALUE("192.0.2.3", "[]"), "BackendData", "object" },
		{ V4_VALUE("192.0.2.3", "{}"), "BackendData", "VtepMAC is missing" },
		{ V4_VALUE("192.0.2.3", "{\"VNI\":2,\"VtepMAC\":\"02:00:0a:05:03:00\"}"),
		  "BackendData", "VNI is 2, ours is 1" },
		{ V4_VALUE("192.0.2.3", "{\"VNI\":\"1\",\"VtepMAC\":\"02:00:0a:05:03:00\"}"),
		  "BackendData", "VNI" },
		{ V4_VALUE("192.0.2.3", "{\"VNI\":1,\"VtepMAC\":7}"), "BackendData", "VtepMAC" },
		{ V4_VALUE("192.0.2.3", "{\"VNI\":1,\"vni\":1,\"VtepMAC\":\"02:00:0a:05:03:00\"}"),
		  "BackendData", "VNI is given twice, as \"VNI\" and as \"vni\"" },
		{ V4_VALUE("192.0.2.3", "{\"VtepMac\":null,\"VtepMAC\":\"02:00:0a:05:03:00\"}"),
		  "BackendData", "VtepMAC is given twice" },
		{ V4_VALUE("192.0.2.3", "{\"VNI\":1,\"VtepMAC\":\"02:00:0a:05:03\"}"),
		  "BackendData", "MAC" },
		{ V4_VALUE("192.0.2.3", "{\"VNI\":1,\"VtepMAC\":\"00:00:00:00:00:00\"}"),
		  "BackendData", "unicast" },
		{ V4_VALUE("192.0.2.3", "{\"VNI\":1,\"VtepMAC\":\"01:00:5e:00:00:01\"}"),
		  "BackendData", "unicast" },
		{ V4_VALUE("192.0.2.3", "{\"VNI\":1,\"VtepMAC\":\"ff:ff:ff:ff:ff:ff\"}"),
		  "BackendData", "unicast" },
		{ own_mac_value, "VtepMAC", "own" },
	};
	const struct backend_host h = host();
	auto_fixture struct fixture f = fixture(NETWORK_V4, &h);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_lease struct lease *l = lease("10.5.3.0-24", rows[i].value);
		auto_wants struct wants objects = { 0 };
		struct err e = { 0 };

		assert_row(rig_want_peer(f.backend, l, no_paths, &objects, &e) == -EINVAL,
			   rows[i].value);
		assert_contains(e.text, rows[i].key);
		assert_contains(e.text, rows[i].says);
	}
}

/* The same rules for the IPv6 half, whose address, MAC and network are others. */
static void test_peers_refused_for_their_ipv6_half(void **state)
{
	(void)state;
	const struct backend_host h = host();
	auto_fixture struct fixture f = fixture(NETWORK_DUAL, &h);
	struct mac_addr own6 = backend_derive_mac("node-1", 1, AF_INET6);
	char own_mac[MAC_TEXT];
	const struct {
		const char *public;
		unsigned vni;
		const char *mac;
		const char *says; /* NULL: all is well */
	} rows[] = {
		{ "2001:db8::3", 1, "02:00:0a:05:03:01", NULL },
		{ "fe80::3", 1, "02:00:0a:05:03:01", NULL },
		{ "::", 1, "02:00:0a:05:03:01", "PublicIPv6 is missing" },
		{ "::1", 1, "02:00:0a:05:03:01", "PublicIPv6 is ::1, must be a unicast address" },
		{ "ff02::1", 1, "02:00:0a:05:03:01", "ff02::1, must be a unicast address" },
		{ "::ffff:192.0.2.3", 1, "02:00:0a:05:03:01", "must be a unicast address" },
		{ "2001:db8::1", 1, "02:00:0a:05:03:01", "which is this host's own" },
		{ "2001:db8:1::1", 1, "02:00:0a:05:03:01", "which is this host's own" },
		{ "fd10:244:0:7::1", 1, "02:00:0a:05:03:01", "inside the overlay network" },
		{ "2001:db8::3", 2, "02:00:0a:05:03:01", "BackendV6Data: VNI is 2, ours is 1" },
		{ "2001:db8::3", 1, "00:00:00:00:00:00", "BackendV6Data: VtepMAC is 00:00" },
		{ "2001:db8::3", 1, "33:33:00:00:00:01", "must be a unicast address" },
		{ "2001:db8::3", 1, mac_addr_format(&own6, own_mac), "this host's own" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *value =
			xasprintf("{\"PublicIP\":\"192.0.2.3\",\"PublicIPv6\":\"%s\","
				  "\"BackendType\":\"vxlan\","
				  "\"BackendData\":" GOOD_DATA
				  ",\"BackendV6Data\":{\"VNI\":%u,\"VtepMAC\":\"%s\"}}",
				  rows[i].public, rows[i].vni, rows[i].mac);
		auto_lease struct lease *l = lease("10.5.3.0-24&fd10:244:0:56::-64", value);
		auto_wants struct wants objects = { 0 };
		struct err e = { 0 };
		int rc = rig_want_peer(f.backend, l, no_paths, &objects, &e);

		assert_row(rc == (rows[i].says ? -EINVAL : 0), value);
		if (rows[i].says)
			assert_contains(e.text, rows[i].says);
	}
}

/* A dual-stack peer of which one half is bad says which. */
static void test_the_bad_half_is_named(void **state)
{
	(void)state;
	const struct backend_host h = host();
	auto_fixture struct fixture f = fixture(NETWORK_DUAL, &h);
	auto_lease struct lease *no_data =
		lease("10.5.3.0-24&fd10:244:0:56::-64",
		      "{\"PublicIP\":\"192.0.2.3\",\"PublicIPv6\":\"2001:db8::3\",\"BackendType\":"
		      "\"vxlan\","
		      "\"BackendData\":{\"VNI\":1,\"VtepMAC\":\"02:00:0a:05:03:00\"}}");
	auto_lease struct lease *no_address =
		lease("10.5.3.0-24&fd10:244:0:56::-64",
		      "{\"PublicIP\":\"192.0.2.3\",\"BackendType\":\"vxlan\","
		      "\"BackendData\":{\"VNI\":1,\"VtepMAC\":\"02:00:0a:05:03:00\"},"
		      "\"BackendV6Data\":{\"VNI\":1,\"VtepMAC\":\"02:00:0a:05:03:01\"}}");
	auto_wants struct wants objects = { 0 };
	struct err e;

	assert_int_equal(rig_want_peer(f.backend, no_data, no_paths, &objects, &e), -EINVAL);
	assert_contains(e.text, "BackendV6Data");
	assert_int_equal(rig_want_peer(f.backend, no_address, no_paths, &objects, &e), -EINVAL);
	assert_contains(e.text, "PublicIPv6");
}

static void test_a_peer_in_no_family_of_ours(void **state)
{
	(void)state;
	const struct backend_host h = host();
	auto_fixture struct fixture v4 = fixture(NETWORK_V4, &h);
	auto_fixture struct fixture v6 = fixture(NETWORK_V6, &h);
	auto_lease struct lease *v6_peer = lease("0.0.0.0-0&fd10:244:0:56::-64", value_dual);
	auto_lease struct lease *v4_peer = lease("10.5.3.0-24", value_dual);
	auto_wants struct wants objects = { 0 };
	struct err e;

	assert_int_equal(rig_want_peer(v4.backend, v6_peer, no_paths, &objects, &e), -EINVAL);
	assert_contains(e.text, "family");
	assert_int_equal(rig_want_peer(v6.backend, v4_peer, no_paths, &objects, &e), -EINVAL);
	assert_contains(e.text, "family");
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

/* The members that every lease is promised to have, whatever backend it is of. */
static void test_what_a_lease_says(void **state)
{
	(void)state;
	static const struct {
		const char *value;
		const char *mac;
		const char *mac_v6;
	} rows[] = {
		{ "{\"PublicIP\":\"192.0.2.3\",\"BackendType\":\"vxlan\",\"BackendData\":{\"VNI\":"
		  "7,"
		  "\"vtepmac\":\"02:00:0A:05:03:00\"},\"BackendV6Data\":{\"VtepMAC\":"
		  "\"02:00:0a:05:03:01\"}}",
		  "02:00:0a:05:03:00", "02:00:0a:05:03:01" },
		{ "{\"PublicIP\":\"192.0.2.3\",\"BackendType\":\"vxlan\"}", NULL, NULL },
		{ "{\"PublicIP\":\"192.0.2.3\",\"BackendType\":\"host-gw\",\"BackendData\":{"
		  "\"VtepMAC\":\"02:00:0a:05:03:00\"}}",
		  NULL, NULL },
		{ "{\"PublicIP\":\"192.0.2.3\"}", NULL, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_lease struct lease *l = lease("10.5.3.0-24&fd10:244:0:3::-64", rows[i].value);
		auto_json json_t *item = json_object();
		json_t *mac;
		json_t *mac_v6;

		backend_describe_lease(l, item);
		mac = json_object_get(item, "mac");
		mac_v6 = json_object_get(item, "macV6");
		assert_non_null(mac);
		assert_non_null(mac_v6);
		assert_row(rows[i].mac ? json_is_string(mac) &&
						 strcmp(json_string_value(mac), rows[i].mac) == 0
				       : json_is_null(mac),
			   rows[i].value);
		assert_row(rows[i].mac_v6
				   ? json_is_string(mac_v6) &&
					     strcmp(json_string_value(mac_v6), rows[i].mac_v6) == 0
				   : json_is_null(mac_v6),
			   rows[i].value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_lease_says),
		cmocka_unit_test(test_device_of_a_plain_network),
		cmocka_unit_test(test_devices_of_a_dual_stack_network),
		cmocka_unit_test(test_device_of_an_ipv6_network),
		cmocka_unit_test(test_longest_name_fits),
		cmocka_unit_test(test_names_that_do_not_fit_are_refused),
		cmocka_unit_test(test_mtu),
		cmocka_unit_test(test_mtu_follows_the_underlay),
		cmocka_unit_test(test_configuration_errors),
		cmocka_unit_test(test_bounds_of_the_configuration),
		cmocka_unit_test(test_unknown_type_lists_the_known),
		cmocka_unit_test(test_direct_routing_follows_the_path),
		cmocka_unit_test(test_an_existing_device_keeps_its_mac),
		cmocka_unit_test(test_mac_is_stable_unicast_and_local),
		cmocka_unit_test(test_macs_differ),
		cmocka_unit_test(test_what_is_published),
		cmocka_unit_test(test_own_objects),
		cmocka_unit_test(test_objects_of_a_peer),
		cmocka_unit_test(test_objects_are_ours_by_scope),
		cmocka_unit_test(test_values_that_are_tolerated),
		cmocka_unit_test(test_peers_refused),
		cmocka_unit_test(test_peers_refused_for_their_ipv6_half),
		cmocka_unit_test(test_the_bad_half_is_named),
		cmocka_unit_test(test_a_peer_in_no_family_of_ours),
		cmocka_unit_test(test_description),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
