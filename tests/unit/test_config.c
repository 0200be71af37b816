/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subnet/config: the rules by which a network configuration is read, its defaults, and what its
 * errors say.
 */
#include "tests/unit/test.h"

#include <errno.h>

#include "subnet/config.h"

static int parse(const char *text, struct network_config *ret, struct err *e)
{
	memset(ret, 0, sizeof(*ret));
	memset(e, 0, sizeof(*e));
	return network_config_parse(text, strlen(text), ret, e);
}

static void parse_ok(const char *text, struct network_config *ret)
{
	struct err e;

	if (parse(text, ret, &e) < 0)
		fail_msg("%s: %s", text, e.text);
}

static void check_family(const char *text, const struct network_family *f, const char *network,
			 unsigned len, const char *min, const char *max)
{
	char net_text[IP_NET_TEXT];
	char min_text[IP_ADDR_TEXT];
	char max_text[IP_ADDR_TEXT];

	assert_row(f->enabled, text);
	assert_string_equal(ip_net_format(&f->network, net_text), network);
	if (f->subnet_len != len)
		fail_msg("%s: subnet_len %u, expected %u", text, f->subnet_len, len);
	assert_string_equal(ip_addr_format(&f->subnet_min, min_text), min);
	assert_string_equal(ip_addr_format(&f->subnet_max, max_text), max);
}

static void test_ipv4_defaults(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *network;
		unsigned len;
		const char *min;
		const char *max;
	} rows[] = {
		{ "{\"Network\":\"10.3.0.0/16\"}", "10.3.0.0/16", 24, "10.3.1.0", "10.3.255.0" },
		{ "{\"Network\":\"10.0.0.0/8\"}", "10.0.0.0/8", 24, "10.0.1.0", "10.255.255.0" },
		{ "{\"Network\":\"10.3.4.0/22\"}", "10.3.4.0/22", 24, "10.3.5.0", "10.3.7.0" },
		{ "{\"Network\":\"10.3.4.0/23\"}", "10.3.4.0/23", 25, "10.3.4.128", "10.3.5.128" },
		{ "{\"Network\":\"10.3.4.0/24\"}", "10.3.4.0/24", 26, "10.3.4.64", "10.3.4.192" },
		{ "{\"Network\":\"10.3.4.0/28\"}", "10.3.4.0/28", 30, "10.3.4.4", "10.3.4.12" },
		/* Host bits are masked off. */
		{ "{\"Network\":\"10.3.9.7/16\"}", "10.3.0.0/16", 24, "10.3.1.0", "10.3.255.0" },
		/* Explicit. */
		{ "{\"Network\":\"10.3.0.0/16\",\"SubnetLen\":28}", "10.3.0.0/16", 28, "10.3.0.16",
		  "10.3.255.240" },
		{ "{\"Network\":\"10.3.0.0/16\",\"SubnetLen\":18}", "10.3.0.0/16", 18, "10.3.64.0",
		  "10.3.192.0" },
		{ "{\"Network\":\"10.3.0.0/16\",\"SubnetLen\":30}", "10.3.0.0/16", 30, "10.3.0.4",
		  "10.3.255.252" },
		{ "{\"Network\":\"10.3.0.0/16\",\"SubnetMin\":\"10.3.16.0\"}", "10.3.0.0/16", 24,
		  "10.3.16.0", "10.3.255.0" },
		{ "{\"Network\":\"10.3.0.0/16\",\"SubnetMax\":\"10.3.32.0\"}", "10.3.0.0/16", 24,
		  "10.3.1.0", "10.3.32.0" },
		{ "{\"Network\":\"10.3.0.0/"
		  "16\",\"SubnetMin\":\"10.3.0.0\",\"SubnetMax\":\"10.3.0.0\"}",
		  "10.3.0.0/16", 24, "10.3.0.0", "10.3.0.0" },
		/* Unset, in every way there is to say so. */
		{ "{\"Network\":\"10.3.0.0/16\",\"SubnetLen\":0,\"SubnetMin\":\"0.0.0.0\","
		  "\"SubnetMax\":null}",
		  "10.3.0.0/16", 24, "10.3.1.0", "10.3.255.0" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_network_config struct network_config c;

		parse_ok(rows[i].text, &c);
		check_family(rows[i].text, &c.v4, rows[i].network, rows[i].len, rows[i].min,
			     rows[i].max);
		assert_row(!c.v6.enabled, rows[i].text);
	}
}

static void test_ipv6_defaults(void **state)
{
	(void)state;
	static const struct {
		const char *fields;
		const char *network;
		unsigned len;
		const char *min;
		const char *max;
	} rows[] = {
		{ "\"IPv6Network\":\"fc00::/48\"", "fc00::/48", 64,
		  "fc00:0:0:1::", "fc00:0:0:ffff::" },
		{ "\"IPv6Network\":\"fd10:244::/62\"", "fd10:244::/62", 64,
		  "fd10:244:0:1::", "fd10:244:0:3::" },
		{ "\"IPv6Network\":\"fd10:244::/63\"", "fd10:244::/63", 65,
		  "fd10:244:0:0:8000::", "fd10:244:0:1:8000::" },
		{ "\"IPv6Network\":\"fd10:244::/124\"", "fd10:244::/124", 126, "fd10:244::4",
		  "fd10:244::c" },
		{ "\"IPv6Network\":\"fd10:244::/48\",\"IPv6SubnetLen\":56", "fd10:244::/48", 56,
		  "fd10:244:0:100::", "fd10:244:0:ff00::" },
		{ "\"IPv6Network\":\"fd10:244::/48\",\"IPv6SubnetMin\":\"fd10:244:0:10::\","
		  "\"IPv6SubnetMax\":\"fd10:244:0:20::\"",
		  "fd10:244::/48", 64, "fd10:244:0:10::", "fd10:244:0:20::" },
		{ "\"IPv6Network\":\"fd10:244::/48\",\"IPv6SubnetMin\":\"::\",\"IPv6SubnetLen\":0",
		  "fd10:244::/48", 64, "fd10:244:0:1::", "fd10:244:0:ffff::" },
		{ "\"IPv6Network\":\"fd10:244:0:0:5::/48\"", "fd10:244::/48", 64,
		  "fd10:244:0:1::", "fd10:244:0:ffff::" },
		{ "\"IPv6Network\":\"2000::/3\"", "2000::/3", 64,
		  "2000:0:0:1::", "3fff:ffff:ffff:ffff::" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *only =
			xasprintf("{\"EnableIPv4\":false,\"EnableIPv6\":true,%s}", rows[i].fields);
		auto_free char *dual = xasprintf(
			"{\"Network\":\"10.3.0.0/16\",\"EnableIPv6\":true,%s}", rows[i].fields);
		auto_network_config struct network_config c;
		auto_network_config struct network_config d;

		parse_ok(only, &c);
		check_family(only, &c.v6, rows[i].network, rows[i].len, rows[i].min, rows[i].max);
		assert_row(!c.v4.enabled, only);
		parse_ok(dual, &d);
		check_family(dual, &d.v6, rows[i].network, rows[i].len, rows[i].min, rows[i].max);
		check_family(dual, &d.v4, "10.3.0.0/16", 24, "10.3.1.0", "10.3.255.0");
	}
}

static void test_keys_match_in_any_case(void **state)
{
	(void)state;
	auto_network_config struct network_config c;

	parse_ok("{\"network\":\"10.3.0.0/16\",\"SUBNETLEN\":26,\"enableipv6\":true,"
		 "\"ipv6network\":\"fd10::/48\",\"enablenftables\":true,"
		 "\"backend\":{\"type\":\"VXLAN\",\"vni\":7},\"unknown\":[1,2]}",
		 &c);
	assert_int_equal(c.v4.subnet_len, 26);
	assert_true(c.v6.enabled);
	assert_true(c.enable_nftables);
	assert_string_equal(c.backend_type, "vxlan");
	assert_int_equal(json_integer_value(json_get_any_case(c.backend, "VNI")), 7);
}

static void test_backend(void **state)
{
	(void)state;
	/* `error` NULL: accepted. */
	static const struct {
		const char *backend;
		const char *type;
		const char *error;
	} rows[] = {
		{ "", "", NULL },
		{ ",\"Backend\":null", "", NULL },
		{ ",\"Backend\":{\"Type\":\"vxlan\"}", "vxlan", NULL },
		{ ",\"Backend\":{\"Type\":\"Host-GW\"}", "host-gw", NULL },
		{ ",\"Backend\":{\"Type\":\"udp\",\"Port\":8285}", "udp", NULL },
		{ ",\"Backend\":{}", NULL, "Backend.Type is missing" },
		{ ",\"Backend\":{\"Type\":\"\"}", NULL, "Backend.Type is missing" },
		{ ",\"Backend\":{\"Type\":null}", NULL, "Backend.Type is missing" },
		{ ",\"Backend\":{\"Type\":5}", NULL, "Type is 5, must be a string" },
		{ ",\"Backend\":\"vxlan\"", NULL, "Backend must be an object" },
		{ ",\"Backend\":[]", NULL, "Backend must be an object" },
		{ ",\"Backend\":{\"Type\":\"abcdefghijklmnopqrstuvwxyz123456\"}", NULL,
		  "31 bytes" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *text =
			xasprintf("{\"Network\":\"10.3.0.0/16\"%s}", rows[i].backend);
		auto_network_config struct network_config c;
		struct err e;
		int rc = parse(text, &c, &e);

		assert_row(rc == (rows[i].error ? -EINVAL : 0), text);
		if (rows[i].error) {
			assert_contains(e.text, rows[i].error);
			assert_null(c.backend);
		} else {
			assert_string_equal(c.backend_type, rows[i].type);
			assert_true(json_is_object(c.backend));
		}
	}
}

static const struct {
	const char *text;
	const char *key;
	const char *says;
} errors[] = {
	{ "", "JSON", "line" },
	{ "[]", "object", "" },
	{ "{\"Network\":\"10.3.0.0/16\"", "line 1", "" },
	{ "{}", "Network", "missing" },
	{ "{\"Network\":null}", "Network", "missing" },
	{ "{\"Network\":5}", "Network", "must be a string" },
	{ "{\"Network\":\"10.3.0.0\"}", "Network", "IPv4 prefix" },
	{ "{\"Network\":\"10.3.0.0/33\"}", "Network", "10.3.0.0/33" },
	{ "{\"Network\":\"fd10::/48\"}", "Network", "IPv4 prefix" },
	{ "{\"Network\":\"0.0.0.0/0\"}", "Network", "unicast" },
	{ "{\"Network\":\"224.0.0.0/8\"}", "Network", "unicast" },
	{ "{\"Network\":\"127.0.0.0/8\"}", "Network", "unicast" },
	{ "{\"Network\":\"10.3.0.0/29\"}", "Network", "28 at most" },
	{ "{\"Network\":\"10.3.0.0/32\"}", "Network", "28 at most" },
	{ "{\"EnableIPv4\":1}", "EnableIPv4", "true or false" },
	{ "{\"EnableIPv4\":\"true\"}", "EnableIPv4", "true or false" },
	{ "{\"EnableIPv4\":false}", "EnableIPv6", "one must be true" },
	{ "{\"BackendChange\":\"slowly\",\"Network\":\"10.3.0.0/16\"}", "BackendChange",
	  "must be \"restart\" or \"majority\"" },
	{ "{\"EnableNFTables\":\"yes\",\"Network\":\"10.3.0.0/16\"}", "EnableNFTables",
	  "true or false" },
	{ "{\"Network\":\"10.3.0.0/16\",\"SubnetLen\":\"24\"}", "SubnetLen", "integer" },
	{ "{\"Network\":\"10.3.0.0/16\",\"SubnetLen\":24.5}", "SubnetLen", "integer" },
	{ "{\"Network\":\"10.3.0.0/16\",\"SubnetLen\":-1}", "SubnetLen", "-1" },
	{ "{\"Network\":\"10.3.0.0/16\",\"SubnetLen\":31}", "SubnetLen is 31", "to 30" },
	{ "{\"Network\":\"10.3.0.0/16\",\"SubnetLen\":33}", "SubnetLen is 33", "" },
	{ "{\"Network\":\"10.3.0.0/16\",\"SubnetLen\":17}", "SubnetLen is 17", "from 18" },
	{ "{\"Network\":\"10.3.0.0/16\",\"SubnetLen\":16}", "SubnetLen is 16", "from 18" },
	{ "{\"Network\":\"10.3.0.0/29\",\"SubnetLen\":30}", "SubnetLen is 30", "from 31" },
	{ "{\"Network\":\"10.3.0.0/16\",\"SubnetMin\":\"10.4.0.0\"}", "SubnetMin",
	  "inside Network 10.3.0.0/16" },
	{ "{\"Network\":\"10.3.0.0/16\",\"SubnetMax\":\"10.2.0.0\"}", "SubnetMax",
	  "inside Network 10.3.0.0/16" },
	{ "{\"Network\":\"10.3.0.0/16\",\"SubnetMin\":\"10.3.1.1\"}", "SubnetMin", "/24" },
	{ "{\"Network\":\"10.3.0.0/16\",\"SubnetMax\":\"10.3.1.128\"}", "SubnetMax", "/24" },
	{ "{\"Network\":\"10.3.0.0/16\",\"SubnetMin\":\"10.3.1.0/24\"}", "SubnetMin",
	  "IPv4 address" },
	{ "{\"Network\":\"10.3.0.0/16\",\"SubnetMin\":7}", "SubnetMin", "string" },
	{ "{\"Network\":\"10.3.0.0/16\",\"Network\":\"10.4.0.0/16\"}", "\"Network\"",
	  "given twice" },
	{ "{\"Network\":\"10.3.0.0/16\",\"network\":\"10.3.0.0/16\"}", "Network is given twice",
	  "as \"network\"" },
	{ "{\"Network\":\"10.3.0.0/16\",\"SubnetLen\":24,\"subnetlen\":25}", "SubnetLen",
	  "given twice" },
	{ "{\"Network\":\"10.3.0.0/16\",\"SubnetMin\":null,\"subnetMin\":null}", "SubnetMin",
	  "given twice" },
	{ "{\"Network\":\"10.3.0.0/16\",\"SubnetMax\":null,\"subnetMax\":null}", "SubnetMax",
	  "given twice" },
	{ "{\"Network\":\"10.3.0.0/16\",\"EnableIPv6\":false,\"EnableIPV6\":true}", "EnableIPv6",
	  "given twice" },
	{ "{\"Network\":\"10.3.0.0/16\",\"Backend\":{\"Type\":\"vxlan\"},\"backend\":null}",
	  "Backend", "given twice" },
	{ "{\"Network\":\"10.3.0.0/"
	  "16\",\"Backend\":{\"Type\":\"vxlan\",\"type\":\"alloc\"}}",
	  "Backend: Type", "given twice" },
	{ "{\"Network\":\"10.3.0.0/16\",\"unknown\":[{\"x\":1,\"x\":2}]}", "\"x\"", "given twice" },
	{ "{\"Network\":\"10.3.0.0/"
	  "16\",\"SubnetMin\":\"10.3.9.0\",\"SubnetMax\":\"10.3.8.0\"}",
	  "SubnetMin 10.3.9.0", "SubnetMax 10.3.8.0" },
	{ "{\"EnableIPv4\":false,\"EnableIPv6\":true}", "IPv6Network", "missing" },
	{ "{\"EnableIPv4\":false,\"EnableIPv6\":true,\"IPv6Network\":\"10.0.0.0/8\"}",
	  "IPv6Network", "IPv6 prefix" },
	{ "{\"EnableIPv4\":false,\"EnableIPv6\":true,\"IPv6Network\":\"ff00::/8\"}", "IPv6Network",
	  "unicast" },
	{ "{\"EnableIPv4\":false,\"EnableIPv6\":true,\"IPv6Network\":\"::/0\"}", "IPv6Network",
	  "unicast" },
	{ "{\"EnableIPv4\":false,\"EnableIPv6\":true,\"IPv6Network\":\"fd10::/125\"}",
	  "IPv6Network", "124 at most" },
	{ "{\"EnableIPv4\":false,\"EnableIPv6\":true,\"IPv6Network\":\"fd10::/48\","
	  "\"IPv6SubnetLen\":127}",
	  "IPv6SubnetLen is 127", "to 126" },
	{ "{\"EnableIPv4\":false,\"EnableIPv6\":true,\"IPv6Network\":\"fd10::/48\","
	  "\"IPv6SubnetLen\":49}",
	  "IPv6SubnetLen is 49", "from 50" },
	{ "{\"EnableIPv4\":false,\"EnableIPv6\":true,\"IPv6Network\":\"fd10::/48\","
	  "\"IPv6SubnetMin\":\"fd11::\"}",
	  "IPv6SubnetMin", "inside IPv6Network fd10::/48" },
	{ "{\"EnableIPv4\":false,\"EnableIPv6\":true,\"IPv6Network\":\"fd10::/48\","
	  "\"IPv6SubnetMax\":\"fd10::1\"}",
	  "IPv6SubnetMax", "/64" },
};

/* Each error names the key it is about, and what is allowed. */
static void test_errors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		struct network_config c;
		struct err e;

		assert_row(parse(errors[i].text, &c, &e) == -EINVAL, errors[i].text);
		assert_contains(e.text, errors[i].key);
		assert_contains(e.text, errors[i].says);
		assert_null(c.backend); /* the result is untouched */
		assert_int_equal(
			network_config_parse(errors[i].text, strlen(errors[i].text), &c, NULL),
			-EINVAL);
	}
}

/* What the disabled family says is nobody's business. */
static void test_disabled_family_is_not_read(void **state)
{
	(void)state;
	auto_network_config struct network_config a;
	auto_network_config struct network_config b;
	auto_network_config struct network_config c;

	parse_ok("{\"Network\":\"10.3.0.0/16\",\"IPv6Network\":\"nonsense\"}", &a);
	assert_false(a.v6.enabled);
	parse_ok("{\"EnableIPv4\":false,\"Network\":\"nonsense\",\"EnableIPv6\":true,"
		 "\"IPv6Network\":\"fd10::/48\"}",
		 &b);
	assert_false(b.v4.enabled);
	/* Nor what no backend and no family reads, in whatever case. */
	parse_ok("{\"Network\":\"10.3.0.0/16\",\"IPv6Network\":1,\"ipv6network\":2,\"x\":1,"
		 "\"X\":2}",
		 &c);
}

static void test_size_is_bounded(void **state)
{
	(void)state;
	size_t size = NETWORK_CONFIG_MAX_SIZE;
	auto_free char *text = xmalloc(size + 1);
	struct network_config c = { 0 };
	struct err e;

	memset(text, ' ', size + 1);
	memcpy(text, "{\"Network\":\"10.3.0.0/16\"}", 25);
	assert_int_equal(network_config_parse(text, size, &c, &e), 0);
	network_config_fini(&c);
	assert_int_equal(network_config_parse(text, size + 1, &c, &e), -EINVAL);
	assert_contains(e.text, "65536 at most");
}

static void test_capacity(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint64_t v4;
		uint64_t v6;
	} rows[] = {
		{ "{\"Network\":\"10.3.0.0/16\"}", 255, 0 },
		{ "{\"Network\":\"10.3.0.0/28\"}", 3, 0 },
		{ "{\"Network\":\"10.0.0.0/8\",\"SubnetLen\":30}", (1 << 22) - 1, 0 },
		{ "{\"Network\":\"10.3.0.0/"
		  "16\",\"SubnetMin\":\"10.3.5.0\",\"SubnetMax\":\"10.3.5.0\"}",
		  1, 0 },
		{ "{\"Network\":\"10.3.0.0/16\",\"EnableIPv6\":true,\"IPv6Network\":\"fd10::/48\"}",
		  255, 65535 },
		{ "{\"EnableIPv4\":false,\"EnableIPv6\":true,\"IPv6Network\":\"fd10::/16\","
		  "\"IPv6SubnetLen\":79}",
		  0, INT64_MAX },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_network_config struct network_config c;

		parse_ok(rows[i].text, &c);
		assert_row(network_family_capacity(&c.v4) == rows[i].v4, rows[i].text);
		assert_row(network_family_capacity(&c.v6) == rows[i].v6, rows[i].text);
	}
}

static void test_allows(void **state)
{
	(void)state;
	static const struct {
		const char *subnet;
		bool allowed;
	} rows[] = {
		{ "10.3.16.0/24", true },  { "10.3.17.0/24", true },  { "10.3.32.0/24", true },
		{ "10.3.15.0/24", false }, { "10.3.33.0/24", false }, { "10.3.17.0/25", false },
		{ "10.3.16.0/23", false }, { "10.4.17.0/24", false }, { "fd10:0:0:5::/64", false },
	};
	auto_network_config struct network_config c;
	struct ip_net unset = { 0 };
	struct ip_net v6 = test_net("fd10::/64");

	parse_ok("{\"Network\":\"10.3.0.0/"
		 "16\",\"SubnetMin\":\"10.3.16.0\",\"SubnetMax\":\"10.3.32.0\"}",
		 &c);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ip_net subnet = test_net(rows[i].subnet);

		assert_row(network_family_allows(&c.v4, &subnet) == rows[i].allowed,
			   rows[i].subnet);
	}
	assert_false(network_family_allows(&c.v4, &unset));
	assert_false(network_family_allows(&c.v6, &unset));
	assert_false(network_family_allows(&c.v6, &v6));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ipv4_defaults),
		cmocka_unit_test(test_ipv6_defaults),
		cmocka_unit_test(test_keys_match_in_any_case),
		cmocka_unit_test(test_backend),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_disabled_family_is_not_read),
		cmocka_unit_test(test_size_is_bounded),
		cmocka_unit_test(test_capacity),
		cmocka_unit_test(test_allows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
