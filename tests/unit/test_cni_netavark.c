/* SPDX-License-Identifier: Apache-2.0 */
/* cni-plugin/netavark, ports: a request of podman's becomes the configuration that a CNI runtime would give. */
#include "tests/unit/test.h"

#include <errno.h>

#include "cni-plugin/error.h"
#include "cni-plugin/netavark.h"
#include "cni-plugin/netconf.h"
#include "cni-plugin/ports.h"

static const char request_text[] =
	"{\"container_id\":\"c1\",\"container_name\":\"web\",\"port_mappings\":["
	"{\"container_port\":80,\"host_ip\":\"\",\"host_port\":8080,\"protocol\":\"tcp,udp\","
	"\"range\":3}],"
	"\"network\":{\"name\":\"n\",\"driver\":\"flannel\",\"internal\":false,"
	"\"network_interface\":\"br7\",\"options\":{\"mtu\":\"1400\",\"isolate\":\"true\","
	"\"subnetFile\":\"/s\",\"dataDir\":\"/d\",\"ipamDataDir\":\"/i\"},"
	"\"routes\":[{\"destination\":\"10.9.0.0/16\",\"gateway\":\"10.5.17.9\",\"metric\":5}],"
	"\"network_dns_servers\":[\"10.5.17.53\"]},"
	"\"network_options\":{\"interface_name\":\"eth0\",\"static_ips\":[\"10.5.17.7\"],"
	"\"static_mac\":\"02:00:00:00:00:07\"}}";

static const char config_text[] =
	"{\"cniVersion\":\"1.1.0\",\"name\":\"n\",\"type\":\"flannel\",\"subnetFile\":\"/s\","
	"\"dataDir\":\"/d\",\"ipam\":{\"type\":\"host-local\",\"dataDir\":\"/i\",\"routes\":"
	"[{\"dst\":\"10.9.0.0/16\",\"gw\":\"10.5.17.9\",\"priority\":5}]},"
	"\"delegate\":{\"type\":\"bridge\",\"isDefaultGateway\":true,\"hairpinMode\":true,"
	"\"macspoofchk\":true,\"portIsolation\":true,\"bridge\":\"br7\",\"mtu\":1400},"
	"\"args\":{\"cni\":{\"ips\":[\"10.5.17.7\"],\"mac\":\"02:00:00:00:00:07\"}},"
	"\"dns\":{\"nameservers\":[\"10.5.17.53\"]},\"runtimeConfig\":{\"portMappings\":["
	"{\"hostPort\":8080,\"containerPort\":80,\"count\":3,\"hostIP\":\"\",\"protocol\":\"tcp\"},"
	"{\"hostPort\":8080,\"containerPort\":80,\"count\":3,\"hostIP\":\"\",\"protocol\":\"udp\"}]"
	"}}";

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	struct err e;

	if (json_parse_object(text, strlen(text), &j, &e) < 0)
		fail_msg("%s", e.text);
	return j;
}

static void test_setup(void **state UNUSED)
{
	auto_json json_t *request = parse(request_text);
	auto_json json_t *want = parse(config_text);
	auto_json json_t *config = NULL;
	auto_free char *text = NULL;
	struct cni_env env;
	struct err e = { 0 };

	if (netavark_read_setup(request, "/run/netns/x", &env, &config, &e) < 0)
		fail_msg("%s", e.text);
	text = json_dumps(config, 0);
	if (!json_equal(config, want))
		fail_msg("%s", text);
	assert_string_equal(env.container_id, "c1");
	assert_string_equal(env.container_name, "web");
	assert_string_equal(env.ifname, "eth0");
	assert_string_equal(env.netns, "/run/netns/x");
	assert_true(env.asks_once);
	assert_int_equal(env.command, CNI_ADD);
}

static void test_teardown_needs_little(void **state UNUSED)
{
	auto_json json_t *request =
		parse("{\"container_id\":\"c1\",\"network\":{\"name\":\"n\",\"options\":{\"mtu\":"
		      "\"x\",\"y\":1,\"dataDir\":\"/d\"},\"subnets\":[{}]},"
		      "\"network_options\":{\"interface_name\":\"eth0\",\"static_ips\":7}}");
	auto_json json_t *want =
		parse("{\"cniVersion\":\"1.1.0\",\"name\":\"n\",\"type\":\"flannel\","
		      "\"dataDir\":\"/d\",\"ipam\":{\"type\":\"host-local\"}}");
	auto_json json_t *config = NULL;
	struct cni_env env;
	struct err e = { 0 };

	if (netavark_read_teardown(request, "", &env, &config, &e) < 0)
		fail_msg("%s", e.text);
	assert_true(json_equal(config, want));
	assert_int_equal(env.command, CNI_DEL);
}

static void test_status(void **state UNUSED)
{
	auto_json json_t *result =
		parse("{\"interfaces\":[{\"name\":\"cni0\",\"mac\":\"a\"},{\"name\":\"veth1\","
		      "\"mac\":\"b\"},"
		      "{\"name\":\"eth0\",\"mac\":\"c\",\"sandbox\":\"/n\"}],\"ips\":[{\"address\":"
		      "\"10.5.17.2/24\",\"gateway\":\"10.5.17.1\",\"interface\":2},"
		      "{\"address\":\"fd05::2/"
		      "64\",\"interface\":2}],\"dns\":{\"nameservers\":[\"1.2.3.4\"]}}");
	auto_json json_t *want =
		parse("{\"dns_search_domains\":[],\"dns_server_ips\":[\"1.2.3.4\"],\"interfaces\":{"
		      "\"eth0\":"
		      "{\"mac_address\":\"c\",\"subnets\":[{\"ipnet\":\"10.5.17.2/24\",\"gateway\":"
		      "\"10.5.17.1\"},{\"ipnet\":\"fd05::2/64\"}]}}}");
	auto_json json_t *status = netavark_status(result);

	assert_true(json_equal(status, want));
}

static const struct {
	const char *list;
	const char *error; /* NULL: none */
	size_t len;
} port_rows[] = {
	{ "[]", NULL, 0 },
	{ "[{\"hostPort\":1,\"containerPort\":65535}]", NULL, 1 },
	{ "[{\"hostPort\":0,\"containerPort\":80}]", NULL, 0 },
	{ "[{\"containerPort\":80}]", NULL, 0 },
	{ "[{\"hostPort\":80,\"containerPort\":80,\"protocol\":\"UDP\"},{\"hostPort\":80,"
	  "\"containerPort\":80}]",
	  NULL, 2 },
	{ "[{\"hostPort\":80,\"containerPort\":80,\"hostIP\":\"0.0.0.0\"},{\"hostPort\":80,"
	  "\"containerPort\":80,\"hostIP\":\"::\"}]",
	  NULL, 2 },
	{ "[{\"hostPort\":80,\"containerPort\":80,\"hostIP\":\"192.0.2.1\"},{\"hostPort\":"
	  "80,"
	  "\"containerPort\":81}]",
	  NULL, 2 },
	{ "[{\"hostPort\":80,\"containerPort\":80,\"hostIP\":\"0.0.0.0\"},{\"hostPort\":80,"
	  "\"containerPort\":80}]",
	  "portMappings[1]: hostPort 80/tcp is published twice", 0 },
	{ "[{\"hostPort\":80,\"containerPort\":80,\"count\":5},{\"hostPort\":84,"
	  "\"containerPort\":80}]",
	  "portMappings[1]: hostPort 84/tcp is published twice", 0 },
	{ "[{\"hostPort\":65535,\"containerPort\":80,\"count\":2}]", "end beyond 65535", 0 },
	{ "[{\"hostPort\":80,\"containerPort\":65535,\"count\":2}]", "end beyond 65535", 0 },
	{ "[{\"hostPort\":80,\"containerPort\":80,\"count\":1024},{\"hostPort\":8000,"
	  "\"containerPort\":80}]",
	  "more than 1024 host ports", 0 },
	{ "[{\"hostPort\":80}]", "containerPort is missing", 0 },
	{ "[{\"hostPort\":80,\"containerPort\":80,\"hostIP\":\"x\"}]", "hostIP", 0 },
	{ "[7]", "portMappings[0]: must be an object", 0 },
	{ "{}", "portMappings must be a list", 0 },
};

static void test_ports(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_LEN(port_rows); i++) {
		auto_json json_t *list = json_loads(port_rows[i].list, 0, NULL);
		auto_json json_t *again = NULL;
		struct ports p = { 0 };
		struct ports q = { 0 };
		struct err e = { 0 };
		int rc = ports_parse(list, &p, &e);

		assert_row((rc < 0) == (port_rows[i].error != NULL), port_rows[i].list);
		if (rc < 0) {
			assert_contains(e.text, port_rows[i].error);
			continue;
		}
		assert_row(p.len == port_rows[i].len, port_rows[i].list);
		again = ports_json(&p);
		assert_int_equal(ports_parse(again, &q, &e), 0);
		assert_row(q.len == p.len && (!p.len || memcmp(p.items, q.items,
							       p.len * sizeof(*p.items)) == 0),
			   port_rows[i].list);
		ports_fini(&p);
		ports_fini(&q);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_setup),
		cmocka_unit_test(test_teardown_needs_little),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
