/* SPDX-License-Identifier: Apache-2.0 */
/* backends/wireguard: what is published, which devices there are, what a peer means in each mode. */
#include "tests/unit/golden.h"

#include <errno.h>

#include "backends/backend.h"
#include "kernel/device_wireguard.h"
#include "kernel/kinds.h"
#include "tests/unit/backend_rig.h"

#define LEASES  "tests/golden/leases.txt"
#define LOWER   3
#define TUNNEL  9
#define V4      "\"Network\":\"10.5.0.0/16\""
#define DUAL    V4 ",\"EnableIPv6\":true,\"IPv6Network\":\"fd10:244::/48\""
#define OUR_KEY "pOCSkrZRwni5dyxWn1+puxPZBrRqtoyd+dwrRAn4ogk=" /* of 32 times 1 */
#define KEY     "hb0dCjHZtaHLFmBAcEFzbqT8IEMNMMR7WQlNzfPBnnA="
#define PSK     "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="

static const uint8_t private_key[WIREGUARD_KEY_SIZE] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
							 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
							 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
static const struct backend_path paths[2] = { { true, LOWER }, { true, LOWER } };

static struct backend_host host(void)
{
	return (struct backend_host){
		.node_id = "node-1",
		.secret = private_key,
		.lower = { { LOWER, 1500 }, { LOWER, 1500 } },
		.local_v4 = test_addr("192.0.2.1"),
		.public_v4 = test_addr("192.0.2.1"),
		.local_v6 = test_addr("2001:db8:1::1"),
		.public_v6 = test_addr("2001:db8:1::1"),
	};
}

static int create(const char *network, const char *keys, struct backend **ret, struct err *e)
{
	auto_free char *text =
		xasprintf("{%s,\"Backend\":{\"Type\":\"wireguard\"%s}}", network, keys);
	struct network_config c;
	int rc = network_config_parse(text, strlen(text), &c, e);

	if (rc < 0)
		return rc;
	rc = backend_create(&c, ret, e);
	network_config_fini(&c);
	return rc;
}

/* On this host; its devices have the indexes 9 and 10. */
static struct backend *backend_at(const char *network, const char *keys,
				  const struct backend_host *h)
{
	const struct mac_addr none = { { 0 } };
	const struct backend_device *d;
	struct backend *b = NULL;
	struct err e;

	if (create(network, keys, &b, &e) < 0 || b->type->set_host(b, h, &e) < 0)
		fail_msg("%s: %s", keys, e.text);
	for (size_t i = 0; i < backend_devices(b, &d); i++)
		b->type->device_is(b, i, (uint32_t)(TUNNEL + i), &none);
	return b;
}

static struct backend *backend(const char *network, const char *keys)
{
	const struct backend_host h = host();

	return backend_at(network, keys, &h);
}

static struct lease *lease_of(const char *name)
{
	auto_free char *text = golden_text(LEASES, name);
	struct lease *l = lease_new();
	char *value = strchr(text, '\n');
	struct err e;

	*value++ = '\0';
	if (subnet_key_parse(text, &l->subnet, &e) < 0 ||
	    lease_value_parse(value, strlen(value), l, &e) < 0)
		fail_msg("%s: %s", name, e.text);
	return l;
}

/* ---- what is published ---- */

static void test_published_as_flannel_does(void **state UNUSED)
{
	static const char begin_v4[] =
		"{\"PublicIP\":\"192.0.2.1\",\"PublicIPv6\":null,\"BackendType\":\"wireguard\",";
	static const char begin_dual[] =
		"{\"PublicIP\":\"192.0.2.1\",\"PublicIPv6\":\"2001:db8:1::1\","
		"\"BackendType\":\"wireguard\",";
	static const struct {
		const char *network;
		const char *keys;
		const char *begin;
		const char *v4;
		const char *v6;
	} rows[] = {
		{ V4, "", begin_v4, "51820", NULL },
		{ V4, ",\"ListenPort\":7,\"Mode\":\"auto\"", begin_v4, "7", NULL },
		{ DUAL, "", begin_dual, "51820", "51821" },
		{ DUAL, ",\"ListenPort\":7,\"ListenPortV6\":8", begin_dual, "7", "8" },
		/* One socket, one port, whatever flannel says of it. */
		{ DUAL, ",\"Mode\":\"ipv6\"", begin_dual, "51820", "51820" },
		{ DUAL, ",\"Mode\":\"auto\",\"ListenPort\":7", begin_dual, "7", "7" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct backend *b = backend(rows[i].network, rows[i].keys);
		auto_lease struct lease *own = lease_new();
		auto_free char *want = NULL;
		auto_free char *text = NULL;

		assert_int_equal(b->type->publish(b, own, NULL), 0);
		text = lease_value_format(own);
		want = xasprintf("%s\"BackendData\":{\"PublicKey\":\"%s\",\"Port\":%s}%s%s%s}",
				 rows[i].begin, OUR_KEY, rows[i].v4,
				 rows[i].v6 ? ",\"BackendV6Data\":{\"PublicKey\":\"" OUR_KEY
					      "\",\"Port\":"
					    : "",
				 rows[i].v6 ? rows[i].v6 : "", rows[i].v6 ? "}" : "");
		assert_string_equal(text, want);
		backend_free(b);
	}
}

/* ---- devices ---- */

static void test_devices(void **state UNUSED)
{
	static const struct {
		const char *network;
		const char *keys;
		const char *names;
		uint32_t mtu_bytes;
	} rows[] = {
		{ V4, "", "flannel-wg:51820:1", 1420 },
		{ DUAL, "", "flannel-wg:51820:1 flannel-wg-v6:51821:2", 1420 },
		{ DUAL, ",\"Mode\":\"auto\"", "flannel-wg:51820:3", 1420 },
		{ DUAL, ",\"Mode\":\"ipv4\",\"MTU\":1400", "flannel-wg:51820:3", 1320 },
		{ V4, ",\"MTU\":9000", "flannel-wg:51820:1", 1420 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct backend *b = backend(rows[i].network, rows[i].keys);
		const struct backend_device *d;
		char names[100] = "";
		size_t used = 0;
		size_t len = backend_devices(b, &d);

		for (size_t k = 0; k < len; k++) {
			const struct device_wireguard *spec = d[k].spec;

			assert_ptr_equal(d[k].kind, &device_wireguard);
			assert_int_equal(d[k].mtu_bytes, rows[i].mtu_bytes);
			assert_int_equal(d[k].guard[0].protocol, 0);
			assert_int_equal(spec->interface.private_key[0], 0);
			assert_int_equal(spec->interface.private_key[31], 65);
			used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s:%u:%u",
						 k ? " " : "", d[k].name, spec->interface.port,
						 d[k].families);
		}
		assert_string_equal(names, rows[i].names);
		assert_int_equal(b->type->pod_mtu(b), rows[i].mtu_bytes);
		backend_free(b);
	}
}

/* All objects, one to a line, without the keys. */
static char *describe(const struct wants *w)
{
	char *all = xstrdup("");

	for (size_t i = 0; i < w->len; i++) {
		char text[KERNEL_OBJECT_TEXT];
		char *key;
		char *longer;

		kernel_object_format(&w->items[i], text);
		key = strstr(text, KEY);
		if (key) {
			key[1] = '\0';
			longer = xasprintf("%s%s%.*s%s", all, i ? "; " : "", (int)(key - text),
					   text, key + strlen(KEY) + 1);
		} else {
			longer = xasprintf("%s%s%s", all, i ? "; " : "", text);
		}
		free(all);
		all = longer;
	}
	return all;
}

static void test_own_objects(void **state UNUSED)
{
	struct backend *b = backend(DUAL, "");
	auto_lease struct lease *own = lease_of("flannel wireguard dual");
	auto_wants struct wants objects = { 0 };
	auto_free char *text = NULL;

	rig_want_own(b, &own->subnet, &objects);
	text = describe(&objects);
	assert_contains(text, "address 10.5.57.0/32 dev 9; route 10.5.0.0/16 dev 9 ");
	assert_contains(text, "address fd10:244:0:57::/128 dev 10; route fd10:244::/48 dev 10 ");
	backend_free(b);
}

/* ---- peers ---- */

static const struct {
	const char *network;
	const char *keys;
	const char *lease;
	const char *public_v4; /* another one; NULL: as it is */
	bool ours;             /* written by this, not by flannel */
	const char *objects;
} meanings[] = {
	{ V4, "", "flannel wireguard IPv4", NULL, false,
	  "WireGuard peer at 192.0.2.11 port 51820 dev 9; allowed-ip 10.5.56.0/24 of peer "
	  "dev 9" },
	{ V4, ",\"ListenPort\":7", "old wireguard IPv4", NULL, false,
	  "WireGuard peer at 192.0.2.11 port 7 dev 9; allowed-ip 10.5.70.0/24 of peer dev "
	  "9" },
	{ DUAL, "", "flannel wireguard dual", NULL, false,
	  "WireGuard peer at 192.0.2.11 port 51820 dev 9; allowed-ip 10.5.57.0/24 of peer "
	  "dev 9; WireGuard peer at 2001:db8:1::11 port 51821 dev 10; allowed-ip "
	  "fd10:244:0:57::/64 of peer dev 10" },
	{ DUAL, "", "flannel wireguard IPv4", NULL, false,
	  "WireGuard peer at 192.0.2.11 port 51820 dev 9; allowed-ip 10.5.56.0/24 of peer "
	  "dev 9" },
	{ DUAL, ",\"Mode\":\"ipv4\"", "flannel wireguard dual", NULL, false,
	  "WireGuard peer at 192.0.2.11 port 51820 dev 9; allowed-ip 10.5.57.0/24 of peer "
	  "dev 9; allowed-ip fd10:244:0:57::/64 of peer dev 9" },
	/* flannel says 51821, and listens on the other one. */
	{ DUAL, ",\"Mode\":\"ipv6\"", "flannel wireguard dual", NULL, false,
	  "WireGuard peer at 2001:db8:1::11 port 51820 dev 9; allowed-ip 10.5.57.0/24 of "
	  "peer dev 9; allowed-ip fd10:244:0:57::/64 of peer dev 9" },
	{ DUAL, ",\"Mode\":\"ipv6\"", "flannel wireguard dual", NULL, true,
	  "WireGuard peer at 2001:db8:1::11 port 51821 dev 9; allowed-ip 10.5.57.0/24 of "
	  "peer dev 9; allowed-ip fd10:244:0:57::/64 of peer dev 9" },
	{ DUAL, ",\"Mode\":\"ipv6\",\"ListenPort\":7", "flannel wireguard IPv6", NULL, false,
	  "WireGuard peer at 2001:db8:1::11 port 7 dev 9; allowed-ip fd10:244:0:58::/64 of "
	  "peer dev 9" },
	{ DUAL, ",\"Mode\":\"auto\"", "flannel wireguard dual", NULL, false,
	  "WireGuard peer at 192.0.2.11 port 51820 dev 9; allowed-ip 10.5.57.0/24 of peer "
	  "dev 9; allowed-ip fd10:244:0:57::/64 of peer dev 9" },
	{ DUAL, ",\"Mode\":\"auto\"", "flannel wireguard dual", "192.168.0.11", true,
	  "WireGuard peer at 2001:db8:1::11 port 51821 dev 9; allowed-ip 10.5.57.0/24 of "
	  "peer dev 9; allowed-ip fd10:244:0:57::/64 of peer dev 9" },
};

static void test_what_a_peer_means(void **state UNUSED)
{

	for (size_t i = 0; i < ARRAY_LEN(meanings); i++) {
		struct backend *b = backend(meanings[i].network, meanings[i].keys);
		auto_lease struct lease *l = lease_of(meanings[i].lease);
		auto_wants struct wants objects = { 0 };
		auto_free char *text = NULL;
		struct err e;

		l->node_id = meanings[i].ours ? xstrdup("node-2") : NULL;
		if (meanings[i].public_v4)
			l->public_v4 = test_addr(meanings[i].public_v4);
		if (rig_want_peer(b, l, paths, &objects, &e) < 0)
			fail_msg("row %zu: %s", i, e.text);
		text = describe(&objects);
		assert_string_equal(text, meanings[i].objects);
		backend_free(b);
	}
}

static void test_whose_lease_is_of_no_use(void **state UNUSED)
{
	static const struct {
		const char *data;
		const char *reason;
	} rows[] = {
		{ "{\"PublicKey\":\"" OUR_KEY "\",\"Port\":1}", "PublicKey is this host's own" },
		{ "{\"Port\":1}", "BackendData: PublicKey is missing" },
		{ "{\"PublicKey\":\"AAAA\",\"Port\":1}", "PublicKey is not 32 bytes in base64" },
		{ "{\"PublicKey\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}",
		  "PublicKey is zero" },
		{ "{\"PublicKey\":\"" KEY "\",\"Port\":65536}", "Port is 65536" },
		{ NULL, "BackendData: missing" },
	};
	struct backend *b = backend(V4, "");

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_lease struct lease *l = lease_of("flannel wireguard IPv4");
		auto_wants struct wants objects = { 0 };
		struct err e;

		free(l->backend_data);
		l->backend_data = rows[i].data ? xstrdup(rows[i].data) : NULL;
		assert_int_equal(rig_want_peer(b, l, paths, &objects, &e), -EINVAL);
		assert_contains(e.text, rows[i].reason);
	}
	backend_free(b);
}

/* Two hosts with one key want one slot: the younger lease is of no use. A learned endpoint is none. */
static void test_slots(void **state UNUSED)
{
	struct backend *b = backend(V4, "");
	auto_lease struct lease *l = lease_of("flannel wireguard IPv4");
	auto_lease struct lease *twin = lease_of("old wireguard IPv4");
	auto_wants struct wants first = { 0 };
	auto_wants struct wants second = { 0 };
	const struct kernel_kind *kind;
	struct kernel_object seen;
	struct err e;

	assert_int_equal(rig_want_peer(b, l, paths, &first, &e), 0);
	assert_int_equal(rig_want_peer(b, twin, paths, &second, &e), 0);
	assert_memory_equal(&first.items[0].key, &second.items[0].key, sizeof(first.items[0].key));
	assert_memory_not_equal(&first.items[1].key, &second.items[1].key,
				sizeof(first.items[1].key));

	kind = kernel_kind_of(&first.items[0]);
	seen = first.items[0];
	assert_true(kind->will_do(&first.items[0], &seen));
	seen.value.wireguard.port = 1;
	assert_false(kind->will_do(&first.items[0], &seen));
	seen.value.wireguard.state = KERNEL_WIREGUARD_ALIVE;
	assert_true(kind->will_do(&first.items[0], &seen));
	seen.value.wireguard.state |= KERNEL_WIREGUARD_OTHER;
	assert_false(kind->will_do(&first.items[0], &seen));
	backend_free(b);
}

/* ---- configuration and place ---- */

static void test_configuration(void **state UNUSED)
{
	static const struct {
		const char *network;
		const char *keys;
		const char *reason; /* NULL: fine */
	} rows[] = {
		{ V4, ",\"PSK\":\"" PSK "\"", NULL },
		{ V4, ",\"PSK\":\"\"", NULL },
		{ V4, ",\"PersistentKeepaliveInterval\":25", NULL },
		{ V4, ",\"PSK\":\"c2VjcmV0\"", "PSK is not 32 bytes" },
		{ V4, ",\"PSK\":7", "PSK must be a string" },
		{ V4, ",\"Mode\":\"both\"", "must be separate, auto, ipv4 or ipv6" },
		{ V4, ",\"Mode\":\"ipv6\"", "EnableIPv6 is false" },
		{ V4, ",\"ListenPort\":0", "ListenPort is 0" },
		{ DUAL, ",\"ListenPort\":51821", "must be two different ones" },
		{ DUAL, ",\"ListenPort\":51821,\"Mode\":\"auto\"", NULL },
		{ V4, ",\"PersistentKeepaliveInterval\":65536", "PersistentKeepaliveInterval" },
		{ V4, ",\"MTU\":655", "MTU is 655, must be 0 or from 656" },
		{ DUAL, ",\"MTU\":1359", "must be 0 or from 1360" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct backend *b = NULL;
		struct err e;
		int rc = create(rows[i].network, rows[i].keys, &b, &e);

		assert_row((rc == 0) == !rows[i].reason, rows[i].keys);
		if (rows[i].reason) {
			assert_contains(e.text, rows[i].reason);
			assert_null(strstr(e.text, "c2Vj"));
		}
		backend_free(b);
	}
}

static void test_a_host_without_room_for_ipv6(void **state UNUSED)
{
	struct backend_host h = host();
	struct problem_list problems = { 0 };
	const struct backend_device *d;
	struct backend *b;
	struct err e;

	h.lower[0].mtu_bytes = h.lower[1].mtu_bytes = 1300;
	b = backend_at(DUAL, "", &h);
	assert_int_equal(backend_devices(b, &d), 1);
	assert_int_equal(b->type->families(b), 1);
	b->type->health(b, &problems);
	assert_int_equal(problems.len, 1);
	assert_string_equal(problems.items[0].name, "mtu-too-small");
	h.lower[0].mtu_bytes = 655;
	assert_int_equal(b->type->set_host(b, &h, &e), -EMSGSIZE);
	assert_contains(e.text, "655, must be 656 at least");
	backend_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_as_flannel_does),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_own_objects),
		cmocka_unit_test(test_what_a_peer_means),
		cmocka_unit_test(test_whose_lease_is_of_no_use),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_configuration),
		cmocka_unit_test(test_a_host_without_room_for_ipv6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
