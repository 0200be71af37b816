/* SPDX-License-Identifier: Apache-2.0 */
/* backends/vxlan: which objects a lease means, which peers are refused and why. */
#include "tests/unit/vxlan_rig.h"

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
	f.backend->type->device_is(f.backend, 0, 0, NULL);
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

/* Less than our device has, as the peer says: its route says so. Else everything is as ever. */
static void test_a_peer_with_a_smaller_underlay(void **state)
{
	(void)state;
	static const struct {
		unsigned said[2];
		const char *v4; /* what the routes end with */
		const char *v6;
	} rows[] = {
		{ { 0, 0 }, "proto 105", "proto 102" },
		{ { 1500, 1500 }, "proto 105", "proto 102" },
		{ { 9000, 65535 }, "proto 105", "proto 102" },
		{ { 1400, 1450 }, "proto 105 mtu 1350", "proto 102 mtu 1380" },
		/* Nobody makes our packets smaller than every host must take. */
		{ { 1, 100 }, "proto 105 mtu 576", "proto 102 mtu 1280" },
	};
	const struct backend_host h = host();
	auto_fixture struct fixture f = fixture(NETWORK_DUAL, &h);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_lease struct lease *l = lease("10.5.3.0-24&fd10:244:0:56::-64", value_dual);
		auto_wants struct wants objects = { 0 };
		char text[KERNEL_OBJECT_TEXT];

		l->mtu_v4_bytes = (uint16_t)rows[i].said[0];
		l->mtu_v6_bytes = (uint16_t)rows[i].said[1];
		assert_int_equal(rig_want_peer(f.backend, l, no_paths, &objects, NULL), 0);
		assert_string_equal(strstr(kernel_object_format(&objects.items[2], text), "proto"),
				    rows[i].v4);
		assert_string_equal(strstr(kernel_object_format(&objects.items[5], text), "proto"),
				    rows[i].v6);
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

#define V4_VALUE(ip, data)                                                                         \
	"{\"PublicIP\":\"" ip "\",\"BackendType\":\"vxlan\",\"BackendData\":" data "}"
#define GOOD_DATA "{\"VNI\":1,\"VtepMAC\":\"02:00:0a:05:03:00\"}"

static const struct {
	const char *value;
	const char *key;
	const char *says;
} refused[] = {
	{ "{\"PublicIP\":\"192.0.2.3\"}", "BackendType", "vxlan" },
	{ "{\"PublicIP\":\"192.0.2.3\",\"BackendType\":\"host-gw\"}", "BackendType",
	  "\"host-gw\"" },
	{ "{\"PublicIP\":\"192.0.2.3\",\"BackendType\":\"VXLAN\",\"BackendData\":" GOOD_DATA "}",
	  "BackendType", "VXLAN" },
	{ "{\"BackendType\":\"vxlan\",\"BackendData\":" GOOD_DATA "}", "PublicIP", "missing" },
	{ V4_VALUE("0.0.0.0", GOOD_DATA), "PublicIP", "missing" },
	{ V4_VALUE("127.0.0.1", GOOD_DATA), "PublicIP is 127.0.0.1", "unicast" },
	{ V4_VALUE("224.0.0.1", GOOD_DATA), "PublicIP is 224.0.0.1", "unicast" },
	{ V4_VALUE("255.255.255.255", GOOD_DATA), "PublicIP", "unicast" },
	{ V4_VALUE("240.0.0.1", GOOD_DATA), "PublicIP is 240.0.0.1", "unicast" },
	{ V4_VALUE("0.0.0.9", GOOD_DATA), "PublicIP is 0.0.0.9", "unicast" },
	{ V4_VALUE("169.254.7.7", GOOD_DATA), "PublicIP is 169.254.7.7", "link-local" },
	{ V4_VALUE("198.51.100.1", GOOD_DATA), "PublicIP is 198.51.100.1", "own" },
	{ V4_VALUE("192.0.2.1", GOOD_DATA), "PublicIP is 192.0.2.1", "own" },
	/* It would be sent through the tunnel that it is the end of. */
	{ V4_VALUE("10.5.9.9", GOOD_DATA), "PublicIP is 10.5.9.9", "overlay" },
	{ "{\"PublicIP\":\"192.0.2.3\",\"BackendType\":\"vxlan\"}", "BackendData", "missing" },
	{ V4_VALUE("192.0.2.3", "null"), "BackendData", "missing" },
	{ V4_VALUE("192.0.2.3", "5"), "BackendData", "" },
	{ V4_VALUE("192.0.2.3", "\"text\""), "BackendData", "" },
	{ V4_VALUE("192.0.2.3", "[]"), "BackendData", "object" },
	{ V4_VALUE("192.0.2.3", "{}"), "BackendData", "VtepMAC is missing" },
	{ V4_VALUE("192.0.2.3", "{\"VNI\":2,\"VtepMAC\":\"02:00:0a:05:03:00\"}"), "BackendData",
	  "VNI is 2, ours is 1" },
	{ V4_VALUE("192.0.2.3", "{\"VNI\":\"1\",\"VtepMAC\":\"02:00:0a:05:03:00\"}"), "BackendData",
	  "VNI" },
	{ V4_VALUE("192.0.2.3", "{\"VNI\":1,\"VtepMAC\":7}"), "BackendData", "VtepMAC" },
	{ V4_VALUE("192.0.2.3", "{\"VNI\":1,\"vni\":1,\"VtepMAC\":\"02:00:0a:05:03:00\"}"),
	  "BackendData", "VNI is given twice, as \"VNI\" and as \"vni\"" },
	{ V4_VALUE("192.0.2.3", "{\"VtepMac\":null,\"VtepMAC\":\"02:00:0a:05:03:00\"}"),
	  "BackendData", "VtepMAC is given twice" },
	{ V4_VALUE("192.0.2.3", "{\"VNI\":1,\"VtepMAC\":\"02:00:0a:05:03\"}"), "BackendData",
	  "MAC" },
	{ V4_VALUE("192.0.2.3", "{\"VNI\":1,\"VtepMAC\":\"00:00:00:00:00:00\"}"), "BackendData",
	  "unicast" },
	{ V4_VALUE("192.0.2.3", "{\"VNI\":1,\"VtepMAC\":\"01:00:5e:00:00:01\"}"), "BackendData",
	  "unicast" },
	{ V4_VALUE("192.0.2.3", "{\"VNI\":1,\"VtepMAC\":\"ff:ff:ff:ff:ff:ff\"}"), "BackendData",
	  "unicast" },
};

static void check_refused(const struct backend *b, const char *value, const char *key,
			  const char *says)
{
	auto_lease struct lease *l = lease("10.5.3.0-24", value);
	auto_wants struct wants objects = { 0 };
	struct err e = { 0 };

	assert_row(rig_want_peer(b, l, no_paths, &objects, &e) == -EINVAL, value);
	assert_contains(e.text, key);
	assert_contains(e.text, says);
}

static void test_peers_refused(void **state)
{
	(void)state;
	const struct backend_host h = host();
	auto_fixture struct fixture f = fixture(NETWORK_V4, &h);
	struct mac_addr own = backend_derive_mac("node-1", 1, AF_INET);
	char own_mac[MAC_TEXT];
	auto_free char *own_value =
		xasprintf(V4_VALUE("192.0.2.3", "{\"VNI\":1,\"VtepMAC\":\"%s\"}"),
			  mac_addr_format(&own, own_mac));

	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		check_refused(f.backend, refused[i].value, refused[i].key, refused[i].says);
	check_refused(f.backend, own_value, "VtepMAC", "own");
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

/* Its underlay is too small for IPv6: it says nothing of it. */
static void test_a_peer_without_its_ipv6_half(void **state)
{
	(void)state;
	const struct backend_host h = host();
	auto_fixture struct fixture f = fixture(NETWORK_DUAL, &h);
	auto_lease struct lease *peer =
		lease("10.5.3.0-24&fd10:244:0:56::-64",
		      "{\"PublicIP\":\"192.0.2.3\",\"BackendType\":\"vxlan\","
		      "\"BackendData\":{\"VNI\":1,\"VtepMAC\":\"02:00:0a:05:03:00\"}}");
	auto_wants struct wants objects = { 0 };
	struct err e;

	assert_int_equal(rig_want_peer(f.backend, peer, no_paths, &objects, &e), 0);
	assert_int_equal(objects.len, 3);
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

		struct members members = members_of(item);

		backend_describe_lease(l, &members);
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
		cmocka_unit_test(test_own_objects),
		cmocka_unit_test(test_objects_of_a_peer),
		cmocka_unit_test(test_a_peer_with_a_smaller_underlay),
		cmocka_unit_test(test_objects_are_ours_by_scope),
		cmocka_unit_test(test_values_that_are_tolerated),
		cmocka_unit_test(test_peers_refused),
		cmocka_unit_test(test_peers_refused_for_their_ipv6_half),
		cmocka_unit_test(test_the_bad_half_is_named),
		cmocka_unit_test(test_a_peer_without_its_ipv6_half),
		cmocka_unit_test(test_a_peer_in_no_family_of_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
