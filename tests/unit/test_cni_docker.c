/* SPDX-License-Identifier: Apache-2.0 */
/* cni-plugin/docker_call: what dockerd asks, and what it may not. */
#include "tests/unit/test.h"

#include <errno.h>
#include <netinet/in.h>

#include "cni-plugin/docker.h"

#define ID "9f0e2c3d"

static int parse(enum docker_method method, const char *text, struct docker_call *c, struct err *e)
{
	return docker_call_parse(method, text, strlen(text), c, e);
}

static void test_methods(void **state)
{
	(void)state;
	enum docker_method m;

	assert_int_equal(docker_method_parse("NetworkDriver.Join", &m), 0);
	assert_int_equal(m, DOCKER_JOIN);
	assert_int_equal(docker_method_parse("IpamDriver.ReleaseAddress", &m), 0);
	assert_int_equal(m, DOCKER_RELEASE_ADDRESS);
	assert_int_equal(docker_method_parse("NetworkDriver.Leave", &m), -ENOENT);
	assert_int_equal(docker_method_parse("", &m), -ENOENT);
}

static void test_addresses(void **state)
{
	(void)state;
	auto_docker_call struct docker_call c = { 0 };
	char text[IP_NET_TEXT];
	struct err e;

	assert_int_equal(
		parse(DOCKER_REQUEST_ADDRESS,
		      "{\"PoolID\":\"10.5.34.0/24\",\"Address\":\"10.5.34.7\",\"Options\":"
		      "{\"com.docker.network.endpoint.macaddress\":\"02:42:0a:05:22:07\"}}",
		      &c, &e),
		0);
	assert_string_equal(ip_net_format(&c.pool, text), "10.5.34.0/24");
	assert_string_equal(ip_addr_format(&c.address, text), "10.5.34.7");
	assert_int_equal(c.mac.b[5], 7);
	assert_false(c.is_gateway);
	docker_call_fini(&c);
	/* docker sends null for what it has not. */
	assert_int_equal(parse(DOCKER_REQUEST_ADDRESS,
			       "{\"PoolID\":\"fd10:5::/64\",\"Address\":\"\",\"Options\":null}", &c,
			       &e),
			 0);
	assert_false(ip_addr_is_set(&c.address));
}

static void test_endpoint(void **state)
{
	(void)state;
	auto_docker_call struct docker_call c = { 0 };
	struct err e;

	assert_int_equal(parse(DOCKER_CREATE_ENDPOINT,
			       "{\"NetworkID\":\"n\",\"EndpointID\":\"" ID "\",\"Interface\":"
			       "{\"Address\":\"10.5.34.7/24\",\"AddressIPv6\":\"fd10:5::7/64\","
			       "\"MacAddress\":\"\"},\"Options\":{}}",
			       &c, &e),
			 0);
	assert_string_equal(c.endpoint_id, ID);
	assert_int_equal(c.addresses_len, 2);
	assert_true(mac_addr_is_zero(&c.mac));
}

static void test_ports(void **state)
{
	(void)state;
	auto_docker_call struct docker_call c = { 0 };
	struct err e;

	assert_int_equal(
		parse(DOCKER_PUBLISH,
		      "{\"EndpointID\":\"" ID "\",\"Options\":{\"com.docker.network.portmap\":["
		      "{\"Proto\":6,\"IP\":\"\",\"Port\":80,\"HostIP\":\"127.0.0.1\",\"HostPort\":"
		      "8080,"
		      "\"HostPortEnd\":8080},{\"Proto\":17,\"Port\":53,\"HostPort\":53}]}}",
		      &c, &e),
		0);
	assert_int_equal(c.ports.len, 2);
	assert_int_equal(c.ports.items[0].host_port, 8080);
	assert_int_equal(c.ports.items[0].container_port, 80);
	assert_int_equal(c.ports.items[0].host.b[0], 127);
	assert_int_equal(c.ports.items[1].protocol, IPPROTO_UDP);
}

/* Each with what its error names. */
static void test_refused(void **state)
{
	(void)state;
	static const struct {
		enum docker_method method;
		const char *text;
		const char *named;
	} cases[] = {
		{ DOCKER_JOIN, "[]", "" },
		{ DOCKER_JOIN, "{}", "EndpointID is missing" },
		{ DOCKER_JOIN, "{\"EndpointID\":\"../x\"}", "EndpointID" },
		{ DOCKER_JOIN, "{\"EndpointID\":7}", "EndpointID" },
		{ DOCKER_REQUEST_POOL, "{\"Pool\":\"10.5.34.0\"}", "Pool" },
		{ DOCKER_REQUEST_POOL, "{\"Pool\":\"fd10:5::/64\"}", "Pool" },
		{ DOCKER_REQUEST_POOL, "{\"SubPool\":\"10.5.34.128/25\"}", "ip-range" },
		{ DOCKER_REQUEST_ADDRESS, "{\"Address\":\"10.5.34.7\"}", "PoolID" },
		{ DOCKER_REQUEST_ADDRESS, "{\"PoolID\":\"10.5.34.0/24\",\"Address\":\"fd10::7\"}",
		  "Address" },
		{ DOCKER_RELEASE_ADDRESS, "{\"PoolID\":\"10.5.34.0/24\"}", "Address is missing" },
		{ DOCKER_REQUEST_ADDRESS,
		  "{\"PoolID\":\"10.5.34.0/24\",\"Options\":"
		  "{\"com.docker.network.endpoint.macaddress\":\"01:00:5e:00:00:01\"}}",
		  "group" },
		{ DOCKER_CREATE_ENDPOINT, "{\"EndpointID\":\"" ID "\"}", "no address" },
		{ DOCKER_CREATE_NETWORK, "{\"IPv4Data\":{}}", "IPv4Data" },
		{ DOCKER_CREATE_NETWORK, "{\"IPv4Data\":[{}]}", "IPv4Data[0]" },
		{ DOCKER_PUBLISH,
		  "{\"EndpointID\":\"" ID "\",\"Options\":{\"com.docker.network.portmap\":["
		  "{\"Proto\":6,\"Port\":80,\"HostPort\":0}]}}",
		  "-p 8080:80" },
		{ DOCKER_PUBLISH,
		  "{\"EndpointID\":\"" ID "\",\"Options\":{\"com.docker.network.portmap\":["
		  "{\"Proto\":6,\"Port\":80,\"HostPort\":8000,\"HostPortEnd\":8010}]}}",
		  "-p 8080:80" },
		{ DOCKER_PUBLISH,
		  "{\"EndpointID\":\"" ID "\",\"Options\":{\"com.docker.network.portmap\":["
		  "{\"Proto\":1,\"Port\":80,\"HostPort\":80}]}}",
		  "protocol" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct docker_call c;
		struct err e = { 0 };

		assert_int_equal(parse(cases[i].method, cases[i].text, &c, &e), -EINVAL);
		if (!strstr(e.text, cases[i].named))
			fail_msg("%s: %s does not name %s", cases[i].text, e.text, cases[i].named);
	}
}

/* Options that the user has given are named, also those that docker's bridge has. */
static void test_options(void **state)
{
	(void)state;
	auto_docker_call struct docker_call c = { 0 };
	struct err e;

	assert_int_equal(parse(DOCKER_CREATE_NETWORK,
			       "{\"Options\":{\"com.docker.network.internal\":true,"
			       "\"com.docker.network.generic\":{\"com.docker.x\":\"1\"}}}",
			       &c, &e),
			 0);
	assert_true(c.internal);
	assert_string_equal(c.option, "com.docker.x");
	docker_call_fini(&c);
	assert_int_equal(parse(DOCKER_REQUEST_POOL,
			       "{\"Pool\":\"10.5.34.0/24\",\"Options\":{\"com.docker.x\":\"1\"}}",
			       &c, &e),
			 0);
	assert_null(c.option);
}

static void test_names(void **state)
{
	(void)state;
	char first[IFNAMSIZ];
	char again[IFNAMSIZ];
	char other[IFNAMSIZ];

	docker_interface_name(ID, first);
	docker_interface_name(ID, again);
	docker_interface_name(ID "0", other);
	assert_string_equal(first, again);
	assert_string_not_equal(first, other);
	assert_int_equal(strlen(first), IFNAMSIZ - 1);
	assert_memory_equal(first, "veth", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_methods),  cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_endpoint), cmocka_unit_test(test_ports),
		cmocka_unit_test(test_refused),  cmocka_unit_test(test_options),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
