/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hosts with flannel and hosts with this in one network: what each writes, read by the other's
 * rules. The leases are those of tests/golden/leases.txt.
 */
#include "tests/unit/golden.h"

#include <errno.h>
#include <regex.h>
#include <strings.h>

#include "backends/backend.h"
#include "tests/unit/backend_rig.h"
#include "lib/json.h"

#define LEASES   "tests/golden/leases.txt"
#define LOWER    3
#define NET_V4   "\"Network\":\"10.5.0.0/16\""
#define NET_V6   "\"EnableIPv6\":true,\"IPv6Network\":\"fd10:244::/48\""
#define ONLY_V6  "\"EnableIPv4\":false," NET_V6
#define NET_DUAL NET_V4 "," NET_V6
#define WG_KEY   "hb0dCjHZtaHLFmBAcEFzbqT8IEMNMMR7WQlNzfPBnnA="
#define WG(port) "{\"PublicKey\":\"" WG_KEY "\",\"Port\":" port "}"

struct record {
	char *key;
	char *value;
};

static void record_free(struct record *r)
{
	free(r->key);
	free(r->value);
}

#define auto_record __attribute__((cleanup(record_free)))

static struct record record(const char *name)
{
	auto_free char *text = golden_text(LEASES, name);
	char *newline = strchr(text, '\n');

	if (!newline || strchr(newline + 1, '\n'))
		fail_msg("\"%s\" is not a key and a value", name);
	return (struct record){ .key = xasprintf("%.*s", (int)(newline - text), text),
				.value = xstrdup(newline + 1) };
}

static struct lease *lease_of(const char *name)
{
	auto_record struct record r = record(name);
	struct lease *l = lease_new();
	struct err e;

	if (subnet_key_parse(r.key, &l->subnet, &e) < 0 ||
	    lease_value_parse(r.value, strlen(r.value), l, &e) < 0)
		fail_msg("%s: %s", name, e.text);
	return l;
}

/* ---- theirs, read by us */

/*
 * `vxlan`, `host_gw`: how many objects it is to a dual-stack host with that backend, or why none.
 */
static const struct theirs {
	const char *name;
	const char *subnet;
	const char *v4; /* public addresses, "-" for none */
	const char *v6;
	const char *type;
	const char *data;
	const char *v6_data;
	const char *vxlan;
	const char *host_gw;
	bool rewritten; /* what we would write for it is another text */
} theirs[] = {
	{ "flannel vxlan IPv4", "10.5.52.0/24", "192.0.2.11", "-", "vxlan",
	  "{\"VNI\":1,\"VtepMAC\":\"36:4d:74:4e:f5:fc\"}", NULL, "3", "is \"vxlan\"", false },
	{ "flannel vxlan dual", "10.5.77.0/24,fd10:244:0:5c::/64", "192.0.2.12", "2001:db8:1::12",
	  "vxlan", "{\"VNI\":1,\"VtepMAC\":\"46:95:17:6d:7c:b0\"}",
	  "{\"VNI\":1,\"VtepMAC\":\"d6:72:65:47:5f:56\"}", "6", "is \"vxlan\"", false },
	{ "flannel vxlan IPv6", "fd10:244:0:51::/64", "-", "2001:db8:1::11", "vxlan", NULL,
	  "{\"VNI\":1,\"VtepMAC\":\"4a:86:14:b2:db:f0\"}", "3", "is \"vxlan\"", false },
	{ "flannel host-gw IPv4", "10.5.53.0/24", "192.0.2.12", "-", "host-gw", NULL, NULL,
	  "is \"host-gw\"", "1", false },
	{ "flannel host-gw dual", "10.5.54.0/24,fd10:244:0:54::/64", "192.0.2.12", "2001:db8:1::12",
	  "host-gw", NULL, NULL, "is \"host-gw\"", "2", false },
	{ "flannel host-gw IPv6", "fd10:244:0:55::/64", "-", "2001:db8:1::12", "host-gw", NULL,
	  NULL, "is \"host-gw\"", "1", false },
	{ "flannel wireguard IPv4", "10.5.56.0/24", "192.0.2.11", "-", "wireguard", WG("51820"),
	  NULL, "is \"wireguard\"", "is \"wireguard\"", false },
	{ "flannel wireguard dual", "10.5.57.0/24,fd10:244:0:57::/64", "192.0.2.11",
	  "2001:db8:1::11", "wireguard", WG("51820"), WG("51821"), "is \"wireguard\"",
	  "is \"wireguard\"", false },
	{ "flannel wireguard IPv6", "fd10:244:0:58::/64", "-", "2001:db8:1::11", "wireguard", NULL,
	  WG("51821"), "is \"wireguard\"", "is \"wireguard\"", false },
	{ "flannel ipip IPv4", "10.5.59.0/24", "192.0.2.11", "-", "ipip", NULL, NULL, "is \"ipip\"",
	  "is \"ipip\"", false },
	{ "flannel ipsec IPv4", "10.5.60.0/24", "192.0.2.11", "-", "ipsec", NULL, NULL,
	  "is \"ipsec\"", "is \"ipsec\"", false },
	{ "flannel udp IPv4", "10.5.61.0/24", "192.0.2.11", "-", NULL, NULL, NULL, "is \"\"",
	  "is \"\"", false },
	{ "flannel alloc IPv4", "10.5.62.0/24", "192.0.2.11", "-", NULL, NULL, NULL, "is \"\"",
	  "is \"\"", false },
	{ "flannel alloc dual", "10.5.63.0/24,fd10:244:0:63::/64", "192.0.2.11", "-", NULL, NULL,
	  NULL, "is \"\"", "is \"\"", false },
	{ "flannel tencent-vpc IPv4", "10.5.64.0/24", "192.0.2.11", "-", NULL, NULL, NULL,
	  "is \"\"", "is \"\"", false },
	{ "flannel extension IPv4", "10.5.65.0/24", "192.0.2.11", "-", "extension",
	  "\"any <text> \\\"quoted\\\"; $(even this)\\nand a second line\"", NULL,
	  "is \"extension\"", "is \"extension\"", true },
	{ "flannel extension IPv4 without a command", "10.5.66.0/24", "192.0.2.11", "-",
	  "extension", NULL, NULL, "is \"extension\"", "is \"extension\"", false },
	{ "flannel extension dual", "10.5.67.0/24,fd10:244:0:67::/64", "192.0.2.11",
	  "2001:db8:1::11", "extension", "\"text\"", NULL, "is \"extension\"", "is \"extension\"",
	  false },
	{ "old cloud IPv4", "10.5.68.0/24", "192.0.2.11", "-", NULL, NULL, NULL, "is \"\"",
	  "is \"\"", true },
	{ "old vxlan IPv4", "10.5.69.0/24", "192.0.2.11", "-", "vxlan",
	  "{\"VtepMAC\":\"36:4d:74:4e:f5:fd\"}", NULL, "3", "is \"vxlan\"", true },
	{ "old wireguard IPv4", "10.5.70.0/24", "192.0.2.11", "-", "wireguard",
	  "{\"PublicKey\":\"" WG_KEY "\"}", NULL, "is \"wireguard\"", "is \"wireguard\"", false },
};

static void assert_text(const char *actual, const char *expected, const char *row)
{
	if (!expected != !actual || (expected && strcmp(actual, expected) != 0))
		fail_msg("%s: \"%s\", expected \"%s\"", row, actual ? actual : "(none)",
			 expected ? expected : "(none)");
}

static void test_every_lease_of_flannel_is_understood(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(theirs); i++) {
		const struct theirs *row = &theirs[i];
		auto_lease struct lease *l = lease_of(row->name);
		char text[SUBNET_KEY_TEXT];

		assert_text(subnet_format(&l->subnet, text), row->subnet, row->name);
		assert_text(ip_addr_format(&l->public_v4, text), row->v4, row->name);
		assert_text(ip_addr_format(&l->public_v6, text), row->v6, row->name);
		assert_text(l->backend_type, row->type, row->name);
		assert_text(l->backend_data, row->data, row->name);
		assert_text(l->backend_v6_data, row->v6_data, row->name);
		assert_row(!l->node_id && !l->node_name && !l->problem, row->name);
	}
}

/* What we write is what flannel would: a lease that was read is the same again, byte for byte. */
static void test_what_was_read_is_written_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(theirs); i++) {
		auto_record struct record r = record(theirs[i].name);
		auto_lease struct lease *l = lease_of(theirs[i].name);
		auto_free char *value = lease_value_format(l);
		char key[SUBNET_KEY_TEXT];

		assert_text(subnet_key_format(&l->subnet, key), r.key, theirs[i].name);
		if (!theirs[i].rewritten)
			assert_text(value, r.value, theirs[i].name);
	}
}

static struct backend *backend(const char *type, const char *families, bool nat)
{
	auto_free char *text = xasprintf("{%s,\"Backend\":{\"Type\":\"%s\"}}", families, type);
	auto_network_config struct network_config c = { 0 };
	struct backend_host h = { .node_id = "3f2a",
				  .lower = { { LOWER, 1500 }, { LOWER, 1500 } } };
	struct backend *b = NULL;
	struct err e;

	if (network_config_parse(text, strlen(text), &c, &e) < 0)
		fail_msg("%s: %s", text, e.text);
	/* As the daemon does: a family that is off has no address. */
	if (c.v4.enabled) {
		h.local_v4 = test_addr("192.0.2.1");
		h.public_v4 = nat ? test_addr("198.51.100.1") : h.local_v4;
	}
	if (c.v6.enabled) {
		h.local_v6 = test_addr("2001:db8::1");
		h.public_v6 = nat ? test_addr("2001:db8:ff::1") : h.local_v6;
	}
	if (backend_create(&c, &b, &e) < 0 || b->type->set_host(b, &h, &e) < 0)
		fail_msg("%s: %s", text, e.text);
	return b;
}

/* Used, or not used for a reason that names the other backend; nothing in between. */
static void check_use(const struct theirs *row, const char *type, const char *expected)
{
	static const struct backend_path paths[2] = { { true, LOWER }, { true, LOWER } };
	auto_lease struct lease *l = lease_of(row->name);
	struct backend *b = backend(type, NET_DUAL, false);
	const struct backend_device *devices;
	auto_wants struct wants objects = { .len = 0 };
	struct err e = { 0 };
	char count[12];

	for (size_t i = 0; i < backend_devices(b, &devices); i++)
		b->type->device_is(b, i, 7 + (uint32_t)i, &devices[i].mac);
	if (rig_want_peer(b, l, paths, &objects, &e) == 0) {
		snprintf(count, sizeof(count), "%zu", objects.len);
		assert_text(count, expected, row->name);
	} else {
		auto_free char *sentence =
			xasprintf("BackendType %s, ours is \"%s\"", expected, type);

		assert_text(e.text, sentence, row->name);
	}
	backend_free(b);
}

static void test_leases_of_flannel_are_used_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(theirs); i++) {
		check_use(&theirs[i], "vxlan", theirs[i].vxlan);
		check_use(&theirs[i], "host-gw", theirs[i].host_gw);
	}
}

/* ---- ours, read by flannel */

/* What flannel holds of a lease. */
struct flannel_lease {
	struct ip_net v4;
	struct ip_net v6;
	struct ip_addr public_v4;
	struct ip_addr public_v6;
	const char *type; /* of the document, as the two below */
	const json_t *data;
	const json_t *v6_data;
	json_t *document;
};

/* Go's: keys in any case, the last wins, and null is handed on like any other value. */
static const json_t *go_field(const json_t *object, const char *name)
{
	const json_t *found = NULL;
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)object, key, v) {
		if (strcasecmp(key, name) == 0)
			found = v;
	}
	return found;
}

/* Of the type that the struct has, or null, which leaves it empty. */
static const char *go_string(const json_t *object, const char *name)
{
	const json_t *v = go_field(object, name);

	if (v && !json_is_string(v) && !json_is_null(v))
		fail_msg("%s is not a string", name);
	return json_string_value(v) ? json_string_value(v) : "";
}

/* The expression that it matches keys with: anchored at the end only, lower case. */
static void flannel_reads_key(const char *key, struct flannel_lease *l)
{
	static const char expression[] =
		"([0-9]+\\.[0-9]+\\.[0-9]+\\.[0-9]+)-([0-9]+)(&([0-9a-f:]+)-([0-9]+))?$";
	auto_free char *path = xasprintf("/coreos.com/network/subnets/%s", key);
	auto_free char *v4 = NULL;
	regmatch_t m[6];
	regex_t regex;

	assert_int_equal(regcomp(&regex, expression, REG_EXTENDED), 0);
	assert_row(regexec(&regex, path, ARRAY_LEN(m), m, 0) == 0, key);
	regfree(&regex);
	v4 = xasprintf("%.*s/%.*s", (int)(m[1].rm_eo - m[1].rm_so), path + m[1].rm_so,
		       (int)(m[2].rm_eo - m[2].rm_so), path + m[2].rm_so);
	l->v4 = test_net(v4);
	assert_row(l->v4.len < 32, key);
	if (m[4].rm_so >= 0) {
		auto_free char *v6 =
			xasprintf("%.*s/%.*s", (int)(m[4].rm_eo - m[4].rm_so), path + m[4].rm_so,
				  (int)(m[5].rm_eo - m[5].rm_so), path + m[5].rm_so);

		l->v6 = test_net(v6);
		assert_row(l->v6.len < 128, key);
	}
}

static void flannel_reads(const struct record *r, struct flannel_lease *ret)
{
	struct flannel_lease l = { .document = json_loads(r->value, 0, NULL) };
	const json_t *v;

	flannel_reads_key(r->key, &l);
	assert_row(json_is_object(l.document), r->value);
	/* Absent is 0.0.0.0, null an error: its own decoder gets the word to see. */
	v = go_field(l.document, "PublicIP");
	assert_row(!v || json_is_string(v), r->value);
	if (v)
		l.public_v4 = test_addr(json_string_value(v));
	assert_row(!v || l.public_v4.family == AF_INET, r->value);
	/* A pointer: null is none. */
	v = go_field(l.document, "PublicIPv6");
	assert_row(!v || json_is_string(v) || json_is_null(v), r->value);
	if (json_is_string(v))
		l.public_v6 = test_addr(json_string_value(v));
	l.type = go_string(l.document, "BackendType");
	l.data = go_field(l.document, "BackendData");
	l.v6_data = go_field(l.document, "BackendV6Data");
	*ret = l;
}

/* An unsigned number of 16 bits, and text in quotes that is a MAC address. */
static void check_vtep(const json_t *data, const char *mac, const char *row)
{
	const json_t *vni = go_field(data, "VNI");

	assert_row(json_is_object(data), row);
	assert_row(json_is_integer(vni) && json_integer_value(vni) >= 0 &&
			   json_integer_value(vni) <= UINT16_MAX,
		   row);
	assert_int_equal(json_integer_value(vni), 1);
	assert_row(json_is_string(go_field(data, "VtepMAC")), row);
	test_mac(go_string(data, "VtepMAC"));
	assert_text(go_string(data, "VtepMAC"), mac, row);
}

/* `v4`, `v6`: what flannel must take for the public addresses. */
static const struct ours {
	const char *name;
	const char *families;
	const char *type;
	const char *v4;
	const char *v6;
	bool nat;
} ours[] = {
	{ "ours vxlan IPv4", NET_V4, "vxlan", "192.0.2.1", "-", false },
	{ "ours vxlan dual", NET_DUAL, "vxlan", "192.0.2.1", "2001:db8::1", false },
	{ "ours vxlan IPv6", ONLY_V6, "vxlan", "0.0.0.0", "2001:db8::1", false },
	{ "ours vxlan dual behind NAT", NET_DUAL, "vxlan", "198.51.100.1", "2001:db8:ff::1", true },
	{ "ours host-gw IPv4", NET_V4, "host-gw", "192.0.2.1", "-", false },
	{ "ours host-gw dual", NET_DUAL, "host-gw", "192.0.2.1", "2001:db8::1", false },
	{ "ours host-gw IPv6", ONLY_V6, "host-gw", "0.0.0.0", "2001:db8::1", false },
	{ "ours alloc IPv4", NET_V4, "alloc", "192.0.2.1", "-", false },
	{ "ours alloc dual", NET_DUAL, "alloc", "192.0.2.1", "2001:db8::1", false },
	{ "ours alloc IPv6", ONLY_V6, "alloc", "0.0.0.0", "2001:db8::1", false },
};

/* As the daemon makes them: a backend's attributes, the subnet, and the node. */
static void test_what_we_publish(void **state)
{
	(void)state;
	static const struct mac_addr macs[2] = { { { 2, 0, 0, 0, 0, 4 } },
						 { { 2, 0, 0, 0, 0, 6 } } };

	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		const struct ours *row = &ours[i];
		struct backend *b = backend(row->type, row->families, row->nat);
		bool only_v6 = strcmp(row->families, ONLY_V6) == 0;
		auto_record struct record r = record(row->name);
		const struct backend_device *devices;
		auto_lease struct lease *l = lease_new();
		auto_lease struct lease *again = lease_of(row->name);
		auto_free char *value = NULL;

		for (size_t d = 0; d < backend_devices(b, &devices); d++)
			b->type->device_is(b, d, 7, &macs[only_v6 ? 1 : d]);
		assert_int_equal(b->type->publish(b, l, NULL), 0);
		l->node_id = xstrdup("3f2a");
		l->node_name = xstrdup("worker-1");
		value = lease_value_format(l);
		assert_text(value, r.value, row->name);
		l->subnet = again->subnet;
		assert_row(lease_equal(l, again), row->name);
		backend_free(b);
	}
}

static void test_ours_are_read_by_flannels_rules(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		const struct ours *row = &ours[i];
		bool vxlan = strcmp(row->type, "vxlan") == 0;
		auto_record struct record r = record(row->name);
		auto_lease struct lease *l = lease_of(row->name);
		char text[IP_ADDR_TEXT];
		struct flannel_lease f;

		flannel_reads(&r, &f);
		/* It has no name for "no IPv4" but 0.0.0.0/0. */
		if (ip_net_is_set(&l->subnet.v4))
			assert_row(ip_net_equal(&f.v4, &l->subnet.v4), row->name);
		else
			assert_row(f.v4.len == 0 && ip_addr_is_unspecified(&f.v4.addr), row->name);
		assert_row(ip_net_equal(&f.v6, &l->subnet.v6), row->name);
		assert_text(ip_addr_format(&f.public_v4, text), row->v4, row->name);
		assert_text(ip_addr_format(&f.public_v6, text), row->v6, row->name);
		assert_text(f.type, strcmp(row->type, "alloc") == 0 ? "" : row->type, row->name);
		assert_row(!f.data == !(vxlan && ip_net_is_set(&l->subnet.v4)), row->name);
		assert_row(!f.v6_data == !(vxlan && ip_net_is_set(&l->subnet.v6)), row->name);
		if (f.data)
			check_vtep(f.data, "02:00:00:00:00:04", row->name);
		if (f.v6_data)
			check_vtep(f.v6_data, "02:00:00:00:00:06", row->name);
		json_decref(f.document);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_lease_of_flannel_is_understood),
		cmocka_unit_test(test_what_was_read_is_written_the_same),
		cmocka_unit_test(test_leases_of_flannel_are_used_or_refused),
		cmocka_unit_test(test_what_we_publish),
		cmocka_unit_test(test_ours_are_read_by_flannels_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
