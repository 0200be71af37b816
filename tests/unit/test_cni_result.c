/* SPDX-License-Identifier: Apache-2.0 */
/* cni-plugin/result: the exact JSON of every version, and reading each of them back. */
#include "tests/unit/test.h"

#include "cni-plugin/error.h"
#include "cni-plugin/result.h"

/* Everything that a result can say: both families, all of a route's fields, resolvers. */
static void fill(struct result *r)
{
	const struct mac_addr bridge = test_mac("02:00:00:00:00:01");
	const struct mac_addr host = test_mac("02:00:00:00:00:02");
	const struct mac_addr container = test_mac("02:00:00:00:00:03");
	const struct ip_net v4 = test_net("10.5.17.2/24");
	const struct ip_net v6 = test_net("fd05::2/64");
	const struct ip_addr gateway = test_addr("10.5.17.1");
	const struct ip_addr none = { 0 };
	const struct result_route routes[] = {
		{ .dst = test_net("10.5.0.0/16"), .priority = -1, .table = -1, .scope = -1 },
		{ .dst = test_net("0.0.0.0/0"),
		  .gateway = gateway,
		  .mtu_bytes = 1400,
		  .advmss_bytes = 1360,
		  .priority = 0,
		  .table = 100,
		  .scope = 253 },
		{ .dst = test_net("fd05::1/48"), .priority = -1, .table = -1, .scope = -1 },
	};

	memset(r, 0, sizeof(*r));
	result_add_interface(r, "cni0", &bridge, 0, NULL);
	result_add_interface(r, "veth1", &host, 1450, NULL);
	result_add_interface(r, "eth0", &container, 1450, "/run/netns/x");
	result_add_address(r, &v4, &gateway);
	r->addresses[0].interface = 2;
	result_add_address(r, &v6, &none);
	r->addresses[1].interface = 2;
	for (size_t i = 0; i < ARRAY_LEN(routes); i++)
		result_add_route(r, &routes[i]);
	r->dns = json_pack("{s:[s]}", "nameservers", "192.0.2.1");
}

#define INTERFACES                                                                                 \
	"\"interfaces\":[{\"name\":\"cni0\",\"mac\":\"02:00:00:00:00:01\"},"                       \
	"{\"name\":\"veth1\",\"mac\":\"02:00:00:00:00:02\"},"                                      \
	"{\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:03\",\"sandbox\":\"/run/netns/x\"}],"
#define ROUTES                                                                                     \
	"\"routes\":[{\"dst\":\"10.5.0.0/16\"},{\"dst\":\"0.0.0.0/0\",\"gw\":\"10.5.17.1\"},"      \
	"{\"dst\":\"fd05::1/48\"}],"
#define DNS "\"dns\":{\"nameservers\":[\"192.0.2.1\"]}}"

static const char ip4_ip6[] =
	"\"ip4\":{\"ip\":\"10.5.17.2/24\",\"gateway\":\"10.5.17.1\",\"routes\":["
	"{\"dst\":\"10.5.0.0/16\"},{\"dst\":\"0.0.0.0/0\",\"gw\":\"10.5.17.1\"}]},"
	"\"ip6\":{\"ip\":\"fd05::2/64\",\"routes\":[{\"dst\":\"fd05::1/48\"}]}," DNS;
static const char interfaces[] = INTERFACES
	"\"ips\":[{\"version\":\"4\",\"interface\":2,\"address\":\"10.5.17.2/24\",\"gateway\":"
	"\"10.5.17.1\"},{\"version\":\"6\",\"interface\":2,\"address\":\"fd05::2/64\"}]," ROUTES
		DNS;
static const char one_zero[] = INTERFACES
	"\"ips\":[{\"interface\":2,\"address\":\"10.5.17.2/24\",\"gateway\":\"10.5.17.1\"},"
	"{\"interface\":2,\"address\":\"fd05::2/64\"}]," ROUTES DNS;
static const char one_one[] =
	"\"interfaces\":[{\"name\":\"cni0\",\"mac\":\"02:00:00:00:00:01\"},"
	"{\"name\":\"veth1\",\"mac\":\"02:00:00:00:00:02\",\"mtu\":1450},"
	"{\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:03\",\"mtu\":1450,\"sandbox\":\"/run/netns/"
	"x\"}],\"ips\":[{\"interface\":2,\"address\":\"10.5.17.2/24\",\"gateway\":\"10.5.17.1\"},"
	"{\"interface\":2,\"address\":\"fd05::2/64\"}],\"routes\":[{\"dst\":\"10.5.0.0/16\"},"
	"{\"dst\":\"0.0.0.0/0\",\"gw\":\"10.5.17.1\",\"mtu\":1400,\"advmss\":1360,\"priority\":0,"
	"\"table\":100,\"scope\":253},{\"dst\":\"fd05::1/48\"}]," DNS;

static const struct {
	const char *version;
	const char *text;
} shapes[] = {
	{ "0.1.0", ip4_ip6 },    { "0.2.0", ip4_ip6 },    { "0.3.0", interfaces },
	{ "0.3.1", interfaces }, { "0.4.0", interfaces }, { "1.0.0", one_zero },
	{ "1.1.0", one_one },
};

static void assert_text(const struct result *r, const char *version, const char *text)
{
	auto_free char *expected = xasprintf("{\"cniVersion\":\"%s\",%s", version, text);
	auto_free char *actual = NULL;
	auto_json json_t *j = NULL;
	struct err e = { 0 };

	if (result_to_json(r, version, &j, &e) < 0)
		fail_msg("%s: %s", version, e.text);
	actual = json_dumps(j, JSON_COMPACT);
	assert_string_equal(actual, expected);
}

static void test_every_version(void **state)
{
	(void)state;
	auto_result struct result r;

	fill(&r);
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		assert_text(&r, shapes[i].version, shapes[i].text);
}

/* Written and read and written again it is the same text. */
static void test_round_trip(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		auto_free char *text =
			xasprintf("{\"cniVersion\":\"%s\",%s", shapes[i].version, shapes[i].text);
		auto_json json_t *j = json_loads(text, 0, NULL);
		auto_result struct result r = { 0 };
		struct err e = { 0 };

		assert_non_null(j);
		if (result_parse(j, shapes[i].version, &r, &e) < 0)
			fail_msg("%s: %s", shapes[i].version, e.text);
		assert_text(&r, shapes[i].version, shapes[i].text);
	}
}

static void test_nothing_but_the_version(void **state)
{
	(void)state;
	const struct result r = { 0 };
	auto_free char *text = NULL;
	auto_json json_t *j = NULL;
	json_t *none = NULL;
	struct err e = { 0 };

	assert_text(&r, "0.4.0", "\"dns\":{}}");
	assert_int_equal(result_to_json(&r, "1.0.0", &j, &e), 0);
	text = json_dumps(j, JSON_COMPACT);
	assert_string_equal(text, "{\"cniVersion\":\"1.0.0\"}");
	assert_true(result_to_json(&r, "0.2.0", &none, &e) < 0);
	assert_int_equal(cni_code_of(&e), CNI_UNSUPPORTED_FIELD);
	assert_contains(e.text, "cannot convert: no valid IP addresses");
	assert_null(none);
}

static void test_only_the_first_address_of_a_family(void **state)
{
	(void)state;
	auto_result struct result r = { 0 };
	const struct ip_net first = test_net("10.1.0.2/24");
	const struct ip_net second = test_net("10.2.0.2/24");

	result_add_address(&r, &first, NULL);
	result_add_address(&r, &second, NULL);
	assert_text(&r, "0.2.0", "\"ip4\":{\"ip\":\"10.1.0.2/24\"},\"dns\":{}}");
}

static const struct {
	const char *text;
	const char *version;
	bool ok;
} results[] = {
	{ "{}", "1.1.0", true },
	{ "{\"cniVersion\":\"\"}", "1.0.0", true },
	{ "{\"cniVersion\":\"1.0.0\"}", "1.1.0", true },
	{ "{\"cniVersion\":\"1.1.0\"}", "1.0.0", true },
	{ "{\"cniVersion\":\"0.3.0\"}", "0.4.0", true },
	{ "{\"cniVersion\":\"0.4.0\"}", "1.0.0", false },
	{ "{\"cniVersion\":\"0.2.0\"}", "0.3.0", false },
	{ "{\"cniVersion\":\"9.9.9\"}", "1.0.0", false },
	{ "{\"cniVersion\":1}", "1.0.0", false },
	{ "[]", "1.0.0", false },
	{ "{\"ips\":{}}", "1.0.0", false },
	{ "{\"ips\":[1]}", "1.0.0", false },
	{ "{\"ips\":[{}]}", "1.0.0", false },
	{ "{\"ips\":[{\"address\":\"10.1.2.3\"}]}", "1.0.0", false },
	{ "{\"ips\":[{\"address\":\"10.1.2.3/24\"}]}", "1.0.0", true },
	{ "{\"IPs\":[{\"Address\":\"10.1.2.3/24\"}]}", "1.0.0", true },
	{ "{\"ips\":[{\"address\":\"10.1.2.3/24\",\"interface\":0}]}", "1.0.0", false },
	{ "{\"ips\":[{\"address\":\"10.1.2.3/24\",\"interface\":-1}],\"interfaces\":[{}]}", "1.0.0",
	  false },
	{ "{\"interfaces\":[{\"name\":\"a-name-that-no-interface-has\",\"mac\":\"00:11\"}]"
	  "}",
	  "1.0.0", true },
	{ "{\"routes\":[{\"dst\":\"0.0.0.0/0\",\"gw\":\"fd00::1\"}]}", "1.0.0", false },
	{ "{\"routes\":[{\"gw\":\"10.1.2.3\"}]}", "1.0.0", false },
	{ "{\"routes\":[{\"dst\":\"0.0.0.0/0\",\"mtu\":-5}]}", "1.1.0", false },
	{ "{\"ip4\":{\"ip\":\"10.1.2.3/24\"}}", "0.1.0", true },
	{ "{\"ip4\":{\"ip\":\"fd00::1/64\"}}", "0.1.0", false },
	{ "{\"ip6\":{}}", "0.1.0", false },
	{ "{\"ip4\":null}", "0.1.0", true },
	/* A key in two cases, read and not read. */
	{ "{\"ips\":[],\"IPs\":[]}", "1.0.0", false },
	{ "{\"ips\":[{\"address\":\"10.1.2.3/24\",\"Address\":\"10.1.2.3/24\"}]}", "1.0.0", false },
	{ "{\"ips\":[{\"address\":\"10.1.2.3/24\",\"interface\":0,\"Interface\":0}],"
	  "\"interfaces\":[{}]}",
	  "1.0.0", false },
	{ "{\"ip4\":{\"ip\":\"10.1.2.3/24\"},\"IP4\":null}", "0.1.0", false },
	{ "{\"dns\":{},\"DNS\":{}}", "1.0.0", false },
	{ "{\"x\":1,\"X\":2,\"ips\":[{\"address\":\"10.1.2.3/24\",\"version\":\"4\","
	  "\"Version\":4}],\"dns\":{\"a\":1,\"A\":2}}",
	  "1.0.0", true },
};

static void test_parsing_by_version(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(results); i++) {
		auto_json json_t *j = json_loads(results[i].text, 0, NULL);
		auto_result struct result r = { 0 };
		struct err e = { 0 };
		int rc = result_parse(j, results[i].version, &r, &e);

		assert_row((rc == 0) == results[i].ok, results[i].text);
		if (rc < 0)
			assert_int_equal(cni_code_of(&e), CNI_DECODING);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_version),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_nothing_but_the_version),
		cmocka_unit_test(test_only_the_first_address_of_a_family),
		cmocka_unit_test(test_parsing_by_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
