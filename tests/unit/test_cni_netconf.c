/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cni-plugin/fabric, netconf, config: from subnet.env and stdin to the interface's configuration.
 */
#include "tests/unit/test.h"

#include "cni-plugin/config.h"
#include "cni-plugin/error.h"
#include "lib/buffer.h"

static const char subnet_env[] = "FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.17.1/24\n"
				 "FLANNEL_MTU=1472\nFLANNEL_IPMASQ=true\n";
static const char dual_env[] = "FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.17.1/24\n"
			       "FLANNEL_IPV6_NETWORK=fd05::/48\n"
			       "FLANNEL_IPV6_SUBNET=fd05:0:0:17::1/64\n"
			       "FLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n";

static struct subnet_env fabric(const char *text)
{
	struct subnet_env f;
	struct err e;

	if (subnet_env_parse(text, &f, &e) < 0)
		fail_msg("%s: %s", text, e.text);
	return f;
}

static void test_subnet_files(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *error; /* NULL: none */
	} rows[] = {
		{ subnet_env, NULL },
		{ dual_env, NULL },
		{ "foo=bar\n", "missing FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK, FLANNEL_SUBNET, "
			       "FLANNEL_IPV6_SUBNET, FLANNEL_MTU, FLANNEL_IPMASQ" },
		{ "", "missing FLANNEL_NETWORK" },
		{ "FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_MTU=1\nFLANNEL_IPMASQ=no\n",
		  "missing FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET" },
		{ "FLANNEL_NETWORK\nFLANNEL_MTU\n", "missing" },
		{ "FLANNEL_NETWORK=10.5.0.0\n", "FLANNEL_NETWORK" },
		{ "FLANNEL_NETWORK=fd05::/48\n", "FLANNEL_NETWORK" },
		{ "FLANNEL_SUBNET=\"10.5.17.1/24\"\n", "FLANNEL_SUBNET" },
		{ "FLANNEL_MTU=-1\n", "FLANNEL_MTU" },
		{ "FLANNEL_MTU=1450x\n", "FLANNEL_MTU" },
		{ "FLANNEL_MTU=\n", "FLANNEL_MTU" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct subnet_env f;
		struct err e = { 0 };
		int rc = subnet_env_parse(rows[i].text, &f, &e);

		assert_row((rc == 0) == (rows[i].error == NULL), rows[i].text);
		if (rc < 0)
			assert_contains(e.text, rows[i].error);
	}
}

static void test_subnet_file_values(void **state)
{
	(void)state;
	struct subnet_env f =
		fabric("# comment\r\nFLANNEL_NETWORK=10.5.0.0/16,10.6.0.0/16,10.5.0.0/16\r\n"
		       "FLANNEL_SUBNET=10.5.17.1/24\r\nFLANNEL_MTU=1400\r\n"
		       "FLANNEL_MTU=1450\r\nFLANNEL_IPMASQ=True");

	assert_int_equal(f.networks_len, 2);
	assert_int_equal(f.mtu_bytes, 1450);
	assert_false(f.ip_masq);
	/* The last word counts for networks too. */
	f = fabric("FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_IPV6_NETWORK=fd05::/48\n"
		   "FLANNEL_NETWORK=10.6.0.0/16,10.7.0.0/16\nFLANNEL_SUBNET=10.6.17.1/24\n"
		   "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n");
	assert_int_equal(f.networks_len, 3);
	assert_true(ip_net_equal(&f.networks[0], &(struct ip_net){ test_addr("fd05::"), 48 }));
	assert_true(ip_net_equal(&f.networks[2], &(struct ip_net){ test_addr("10.7.0.0"), 16 }));
}

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	struct err e;

	if (json_parse_object(text, strlen(text), &j, &e) < 0)
		fail_msg("%s: %s", text, e.text);
	return j;
}

/* What is generated out of `conf`, with sorted keys. */
static void assert_generated(const char *conf, const char *env, const char *expected)
{
	struct subnet_env f = fabric(env);
	auto_json json_t *object = NULL;
	auto_free char *text = NULL;
	struct netconf n;
	struct err e = { 0 };

	if (netconf_read(parse(conf), &n, &e) < 0 || netconf_generate(&n, &f, &object, &e) < 0)
		fail_msg("%s: %s", conf, e.text);
	text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text, expected);
	netconf_fini(&n);
}

static void test_generated_configuration(void **state)
{
	(void)state;

	assert_generated(
		"{\"name\":\"cbr0\",\"type\":\"flannel\",\"cniVersion\":\"1.0.0\",\"delegate\":"
		"{\"hairpinMode\":true,\"isDefaultGateway\":true}}",
		subnet_env,
		"{\"cniVersion\":\"1.0.0\",\"hairpinMode\":true,\"ipMasq\":false,\"ipam\":{"
		"\"ranges\":[[{\"subnet\":\"10.5.17.0/24\"}]],\"routes\":[{\"dst\":"
		"\"10.5.0.0/16\"}],\"type\":\"host-local\"},\"isDefaultGateway\":true,"
		"\"isGateway\":true,\"mtu\":1472,\"name\":\"cbr0\",\"type\":\"bridge\"}");
	assert_generated(
		"{\"name\":\"cbr0\",\"type\":\"flannel\"}", dual_env,
		"{\"ipMasq\":true,\"ipam\":{\"ranges\":[[{\"subnet\":\"10.5.17.0/24\"}],[{"
		"\"subnet\":\"fd05:0:0:17::/64\"}]],\"routes\":[{\"dst\":\"10.5.0.0/16\"},{"
		"\"dst\":\"fd05::/48\"}],\"type\":\"host-local\"},\"isGateway\":true,\"mtu\":"
		"1472,\"name\":\"cbr0\",\"type\":\"bridge\"}");
	/* Another plugin: no isGateway; what is given stays, in whatever case it is written. */
	assert_generated(
		"{\"name\":\"n\",\"delegate\":{\"TYPE\":\"other\",\"Mtu\":9,\"IPMASQ\":true},"
		"\"ipam\":{\"type\":\"own\",\"x\":1,\"Ranges\":5,\"routes\":[{\"dst\":\"1.0.0.0/"
		"8\"}]},\"runtimeConfig\":{\"a\":1},\"dns\":{},\"args\":{},\"prevResult\":{}}",
		subnet_env,
		"{\"IPMASQ\":true,\"Mtu\":9,\"ipam\":{\"ranges\":[[{\"subnet\":\"10.5.17.0/24\""
		"}]],\"routes\":[{\"dst\":\"1.0.0.0/8\"},{\"dst\":\"10.5.0.0/16\"}],\"type\":"
		"\"own\",\"x\":1},\"name\":\"n\",\"runtimeConfig\":{\"a\":1},\"type\":\"other\"}");
	/* The direct form, with a range of its own and without. */
	assert_generated(
		"{\"name\":\"n\",\"type\":\"flannel\",\"bridge\":\"b\",\"mode\":\"ptp\","
		"\"dataDir\":"
		"\"/d\",\"ipam\":{\"ranges\":[[{\"subnet\":\"10.1.0.0/24\"}]]}}",
		subnet_env,
		"{\"bridge\":\"b\",\"ipam\":{\"ranges\":[[{\"subnet\":\"10.1.0.0/24\"}]],\"type\":"
		"\"host-local\"},\"name\":\"n\",\"type\":\"ptp\"}");
	assert_generated(
		"{\"name\":\"n\",\"type\":\"flannel\",\"isGateway\":false}", subnet_env,
		"{\"ipMasq\":false,\"ipam\":{\"ranges\":[[{\"subnet\":\"10.5.17.0/24\"}]],"
		"\"routes\":[{\"dst\":\"10.5.0.0/16\"}],\"type\":\"host-local\"},\"isGateway\":"
		"false,\"mtu\":1472,\"name\":\"n\",\"type\":\"bridge\"}");
	assert_generated("{\"name\":\"n\",\"type\":\"flannel\",\"bridge\":\"b\",\"ipam\":{}}",
			 subnet_env,
			 "{\"bridge\":\"b\",\"ipam\":{},\"name\":\"n\",\"type\":\"bridge\"}");
}

static void test_first_reading(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		unsigned code;
	} rows[] = {
		{ "{\"name\":\"n\"}", 0 },
		{ "{\"NAME\":\"n\",\"cniVersion\":\"1.1.0\"}", 0 },
		{ "{}", CNI_CONFIG },
		{ "{\"name\":null}", CNI_CONFIG },
		{ "{\"name\":\".n\"}", CNI_CONFIG },
		{ "{\"name\":\"n\",\"cniVersion\":\"0.5.0\"}", CNI_INCOMPATIBLE },
		{ "{\"name\":\"n\",\"cniVersion\":1}", CNI_DECODING },
		{ "{\"name\":\"n\",\"ipam\":[]}", CNI_CONFIG },
		{ "{\"name\":\"n\",\"subnetFile\":1}", CNI_CONFIG },
		{ "{\"name\":\"n\",\"dataDir\":{}}", CNI_CONFIG },
		{ "{\"name\":\"n\",\"Name\":\"n\"}", CNI_CONFIG },
		{ "{\"name\":\"n\",\"cniVersion\":\"1.0.0\",\"cniversion\":null}", CNI_DECODING },
		{ "{\"name\":\"n\",\"dataDir\":\"/a\",\"datadir\":\"/b\"}", CNI_CONFIG },
		{ "{\"name\":\"n\",\"subnetFile\":\"/a\",\"subnetfile\":\"/b\"}", CNI_CONFIG },
		{ "{\"name\":\"n\",\"ipam\":{},\"IPAM\":{}}", CNI_CONFIG },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct netconf n;
		struct err e = { 0 };
		int rc = netconf_read(parse(rows[i].text), &n, &e);

		assert_row((rc == 0) == (rows[i].code == 0), rows[i].text);
		if (rc < 0)
			assert_row(cni_code_of(&e) == rows[i].code, rows[i].text);
		else
			netconf_fini(&n);
	}
}

struct parsed {
	struct netconf n;
	json_t *object;
	struct config c;
};

static int parse_config(const char *conf, struct parsed *p, struct err *e)
{
	const struct cni_args args = { .mac = { { 2, 0, 0, 0, 0, 1 } }, .has_mac = true };
	struct subnet_env f = fabric(subnet_env);

	memset(p, 0, sizeof(*p));
	if (netconf_read(parse(conf), &p->n, e) < 0)
		fail_msg("%s: %s", conf, e->text);
	if (netconf_generate(&p->n, &f, &p->object, e) < 0)
		return -1;
	return config_parse(&p->n, p->object, &f, &args, &p->c, e);
}

static void free_parsed(struct parsed *p)
{
	config_fini(&p->c);
	json_decref(p->object);
	netconf_fini(&p->n);
}

static void test_every_bad_value_is_named(void **state)
{
	(void)state;
	/* A key and a value of it that is refused. */
	static const struct {
		const char *key;
		const char *value;
	} rows[] = {
		{ "bridge", "7" },
		{ "bridge", "\"a/b\"" },
		{ "isGateway", "\"yes\"" },
		{ "isDefaultGateway", "1" },
		{ "forceAddress", "\"\"" },
		{ "ipMasq", "0" },
		{ "ipMasqBackend", "\"iptables\"" },
		{ "mtu", "\"1500\"" },
		{ "mtu", "1500.0" },
		{ "mtu", "70000" },
		{ "hairpinMode", "[]" },
		{ "promiscMode", "{}" },
		{ "portIsolation", "1" },
		{ "macspoofchk", "\"on\"" },
		{ "enabledad", "1" },
		{ "disableContainerInterface", "1" },
		{ "preserveDefaultVlan", "1" },
		{ "vlan", "4095" },
		{ "vlan", "-1" },
		{ "vlan", "\"5\"" },
		{ "vlanTrunk", "{}" },
		{ "vlanTrunk", "[{\"minID\":5}]" },
		{ "dns", "[]" },
		{ "dns", "{\"nameservers\":\"x\"}" },
		{ "dns", "{\"domain\":1}" },
		{ "runtimeConfig", "{\"mac\":\"zz\"}" },
		{ "runtimeConfig", "{\"ips\":\"10.5.17.2\"}" },
		{ "runtimeConfig", "{\"ips\":[\"x\"]}" },
		{ "runtimeConfig", "{\"ipRanges\":[[{}]]}" },
		{ "runtimeConfig", "{\"dns\":[]}" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *conf = xasprintf("{\"name\":\"n\",\"mode\":\"bridge\",\"%s\":%s}",
						 rows[i].key, rows[i].value);
		struct parsed p;
		struct err e = { 0 };

		assert_row(parse_config(conf, &p, &e) < 0, conf);
		assert_row(cni_code_of(&e) == CNI_CONFIG, conf);
		if (strcmp(rows[i].key, "runtimeConfig") != 0)
			assert_contains(e.text, rows[i].key);
		free_parsed(&p);
	}
}

/* What stands beside the name, and the key; NULL: all is well. */
static const struct {
	const char *fields;
	const char *key;
} twice[] = {
	{ "\"bridge\":\"a\",\"Bridge\":\"b\"", "bridge" },
	{ "\"isGateway\":true,\"isgateway\":true", "isGateway" },
	{ "\"mtu\":1400,\"MTU\":null", "mtu" },
	{ "\"bridge\":\"b\",\"vlan\":1,\"Vlan\":2", "vlan" },
	{ "\"vlanTrunk\":[],\"vlantrunk\":[]", "vlanTrunk" },
	{ "\"vlanTrunk\":[{\"id\":1,\"ID\":2}]", "id" },
	{ "\"dns\":{},\"DNS\":{}", "dns" },
	{ "\"dns\":{\"search\":[],\"Search\":[]}", "search" },
	{ "\"dns\":{\"domain\":\"a\",\"Domain\":\"b\"}", "domain" },
	{ "\"args\":{},\"Args\":{}", "args" },
	{ "\"args\":{\"cni\":{},\"CNI\":{}}", "cni" },
	{ "\"args\":{\"cni\":{\"ips\":[],\"IPs\":[]}}", "ips" },
	{ "\"runtimeConfig\":{},\"runtimeconfig\":{}", "runtimeConfig" },
	{ "\"runtimeConfig\":{\"mac\":\"02:00:00:00:00:01\",\"MAC\":null}", "mac" },
	{ "\"runtimeConfig\":{\"ips\":[],\"IPs\":[]}", "ips" },
	{ "\"runtimeConfig\":{\"dns\":{},\"DNS\":{}}", "dns" },
	{ "\"runtimeConfig\":{\"ipRanges\":[],\"ipranges\":[]}", "ipRanges" },
	{ "\"ipam\":{\"type\":\"host-local\",\"Type\":\"x\"}", "type" },
	{ "\"ipam\":{\"routes\":[],\"Routes\":[]}", "routes" },
	{ "\"ipam\":{\"dataDir\":\"/a\",\"datadir\":\"/b\"}", "dataDir" },
	{ "\"mode\":\"bridge\",\"ipam\":{\"ranges\":[],\"Ranges\":[]}", "ranges" },
	{ "\"mode\":\"bridge\",\"ipam\":{\"subnet\":\"10.1.0.0/24\",\"Subnet\":\"10.2.0.0/"
	  "24\"}",
	  "subnet" },
	{ "\"mode\":\"ptp\",\"Mode\":\"bridge\"", "mode" },
	{ "\"delegate\":{},\"Delegate\":{}", "delegate" },
	{ "\"delegate\":{\"type\":\"bridge\",\"Type\":\"ptp\"}", "type" },
	{ "\"delegate\":{\"mtu\":1,\"Mtu\":2}", "mtu" },
	{ "\"prevResult\":{},\"PrevResult\":{}", "prevResult" },
	{ "\"x\":1,\"X\":2,\"args\":{\"labels\":{\"mac\":1,\"MAC\":2},\"Labels\":1}", NULL },
	{ "\"capabilities\":{\"mac\":true,\"MAC\":true},\"capAbilities\":{}", NULL },
	{ "\"prevResult\":{\"a\":{\"b\":1,\"B\":2},\"A\":1}", NULL },
	{ "\"delegate\":{\"x\":1,\"X\":2}", NULL },
	{ "\"runtimeConfig\":{\"bandwidth\":[{\"p\":1,\"P\":2}],\"Bandwidth\":1}", NULL },
	{ "\"runtimeConfig\":{\"portMappings\":[],\"portmappings\":1}", "portMappings" },
};

/* Two of a key in different case are refused wherever we read it, and nowhere else. */
static void test_a_key_twice_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(twice); i++) {
		auto_free char *conf = xasprintf("{\"name\":\"n\",%s}", twice[i].fields);
		struct parsed p;
		struct err e = { 0 };
		int rc = parse_config(conf, &p, &e);

		if ((rc < 0) != (twice[i].key != NULL))
			fail_msg("%s: %s", conf, rc < 0 ? e.text : "accepted");
		if (twice[i].key) {
			auto_free char *says = xasprintf("%s is given twice", twice[i].key);

			assert_row(cni_code_of(&e) == CNI_CONFIG, conf);
			assert_contains(e.text, says);
		}
		free_parsed(&p);
	}
}

static void test_values(void **state)
{
	(void)state;
	struct parsed p;
	struct err e = { 0 };

	if (parse_config("{\"name\":\"n\",\"bridge\":\"b0\",\"isDefaultGateway\":true,\"vlan\":0,"
			 "\"vlanTrunk\":[{\"id\":7},{\"minID\":10,\"maxID\":12}],\"args\":{\"cni\":"
			 "{\"ips\":"
			 "[\"10.5.17.9\"]}},\"runtimeConfig\":{\"ips\":[\"10.5.17.10/24\"]}}",
			 &p, &e) < 0)
		fail_msg("%s", e.text);
	assert_string_equal(p.c.bridge, "b0");
	assert_true(p.c.is_gateway && p.c.is_default_gateway);
	assert_int_equal(p.c.vlans.access, 0);
	assert_int_equal(p.c.vlans.trunk_len, 2);
	assert_int_equal(p.c.vlans.trunk[0].first, 7);
	assert_int_equal(p.c.vlans.trunk[0].last, 7);
	assert_int_equal(p.c.vlans.trunk[1].last, 12);
	assert_int_equal(p.c.mtu_bytes, 1472);
	assert_true(p.c.has_mac);
	assert_int_equal(p.c.mac.b[5], 1);
	assert_int_equal(p.c.requested_len, 2);
	assert_int_equal(p.c.routes_len, 1);
	assert_int_equal(p.c.ranges.len, 1);
	assert_int_equal(p.c.unmasked_len, 1);
	assert_string_equal(p.c.pool_dir, "/var/lib/cni/networks/n");
	free_parsed(&p);
}

/* As many as there may be, with the one to the network; and one more. */
static void test_as_many_routes_as_may_be(void **state)
{
	(void)state;
	for (int more = 0; more < 2; more++) {
		auto_buffer struct buffer conf = { 0 };
		struct parsed p;
		struct err e = { 0 };
		int rc;

		buffer_puts(&conf, "{\"name\":\"n\",\"bridge\":\"b0\",\"ipam\":{\"routes\":[");
		for (int i = 0; i < CONFIG_ROUTES_MAX - 1 + more; i++)
			buffer_printf(&conf, "%s{\"dst\":\"10.9.%d.%d/32\"}", i ? "," : "", i / 256,
				      i % 256);
		buffer_puts(&conf, "]}}");
		rc = parse_config(conf.data, &p, &e);
		if (more) {
			assert_true(rc < 0);
			assert_contains(e.text, "ipam.routes: more than 256");
		} else {
			assert_int_equal(rc, 0);
			assert_int_equal(p.c.routes_len, CONFIG_ROUTES_MAX);
		}
		free_parsed(&p);
	}
}

static void test_resolver_files(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *json;
	} rows[] = {
		{ "", "{}" },
		{ "nameserver 192.0.2.1\nnameserver 192.0.2.2\n",
		  "{\"nameservers\":[\"192.0.2.1\",\"192.0.2.2\"]}" },
		{ "# nameserver 1\n; nameserver 2\nnameserver 192.0.2.3 # mine\n",
		  "{\"nameservers\":[\"192.0.2.3\"]}" },
		{ "domain a.example\nsearch b c\noptions ndots:5 rotate\nnameserver\nunknown x\n",
		  "{\"domain\":\"a.example\",\"options\":[\"ndots:5\",\"rotate\"],\"search\":["
		  "\"b\",\"c\"]"
		  "}" },
		{ "search a\r\nsearch b", "{\"search\":[\"a\",\"b\"]}" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_json json_t *dns = config_parse_resolver(rows[i].text);
		auto_free char *text = json_dumps(dns, JSON_COMPACT | JSON_SORT_KEYS);

		assert_string_equal(text, rows[i].json);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_subnet_files),
		cmocka_unit_test(test_subnet_file_values),
		cmocka_unit_test(test_generated_configuration),
		cmocka_unit_test(test_first_reading),
		cmocka_unit_test(test_every_bad_value_is_named),
		cmocka_unit_test(test_a_key_twice_is_named),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_as_many_routes_as_may_be),
		cmocka_unit_test(test_resolver_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
