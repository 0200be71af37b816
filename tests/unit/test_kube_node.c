/* SPDX-License-Identifier: Apache-2.0 */
/* stores/kube/kube_node: a Node as a lease, and back. */
#include "tests/unit/test.h"

#include <errno.h>

#include "stores/kube/kube_node.h"

#define P "flannel.alpha.coreos.com/"
#define NODE(annotations, spec)                                                                    \
	"{\"metadata\":{\"name\":\"n1\",\"uid\":\"u\",\"resourceVersion\":\"77\","                 \
	"\"annotations\":{" annotations "}},\"spec\":{" spec "}}"
#define FLANNEL                                                                                    \
	"\"" P "kube-subnet-manager\":\"true\",\"" P "backend-type\":\"vxlan\",\"" P               \
	"public-ip\":\"192.0.2.7\",\"" P "backend-data\":"                                         \
	"\"{\\\"VNI\\\":1,\\\"VtepMAC\\\":\\\"0a:0b:0c:0d:0e:0f\\\"}\""
#define CIDR "\"podCIDR\":\"10.244.3.0/24\",\"podCIDRs\":[\"10.244.3.0/24\"]"
#define DUAL "\"podCIDRs\":[\"fd00:10:3::/64\",\"10.244.3.0/24\"]"

static struct kube_prefix prefix;

static struct kube_node read_node(const char *text)
{
	auto_json json_t *object = json_loads(text, 0, NULL);
	struct kube_node n = { 0 };
	struct err e = { 0 };

	assert_non_null(object);
	if (kube_node_read(&prefix, object, &n, &e) < 0)
		fail_msg("%s", e.text);
	return n;
}

static void test_prefix(void **state)
{
	static const struct {
		const char *text;
		const char *expected; /* NULL: refused */
	} rows[] = {
		{ "flannel.alpha.coreos.com", P },
		{ "flannel.alpha.coreos.com/", P },
		{ "example.org/net", "example.org/net-" },
		{ "example.org/net-", "example.org/net-" },
		{ "a.b/c.d", "a.b/c.d-" },
		{ "example", NULL },
		{ "", NULL },
		{ "/x", NULL },
		{ "a.b/c/", NULL },
		{ "Example.org", NULL },
		{ "a..b", NULL },
		{ "a.b.", NULL },
		{ "a.b/C", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct kube_prefix p;
		struct err e = { 0 };
		int rc = kube_prefix_parse(rows[i].text, &p, &e);

		assert_row(rc == (rows[i].expected ? 0 : -EINVAL), rows[i].text);
		assert_row(rc < 0 ? e.text[0] != '\0' : strcmp(p.text, rows[i].expected) == 0,
			   rows[i].text);
	}
}

static void test_a_node_of_flannel(void **state)
{
	struct kube_node n = read_node(NODE(FLANNEL, CIDR));
	char text[SUBNET_KEY_TEXT];

	(void)state;
	assert_string_equal(n.problem, "");
	assert_non_null(n.lease);
	assert_string_equal(n.lease->node_name, "n1");
	assert_null(n.lease->node_id);
	assert_string_equal(n.lease->backend_type, "vxlan");
	assert_string_equal(n.lease->backend_data, "{\"VNI\":1,\"VtepMAC\":\"0a:0b:0c:0d:0e:0f\"}");
	assert_string_equal(subnet_format(&n.lease->subnet, text), "10.244.3.0/24");
	assert_true(n.lease->mod_revision == 77);
	assert_int_equal(n.lease->flags, 0);
	assert_true(n.is_reachable);
	kube_node_fini(&n);
}

/* The order of the families is the cluster's; only one of them may be published. */
static void test_dual_stack(void **state)
{
	struct kube_node n = read_node(NODE(FLANNEL, DUAL));
	char text[SUBNET_KEY_TEXT];

	(void)state;
	assert_string_equal(subnet_format(&n.lease->subnet, text), "10.244.3.0/24,fd00:10:3::/64");
	kube_node_fini(&n);
}

static void test_not_a_peer(void **state)
{
	static const struct {
		const char *text;
		const char *problem;
		bool is_flannel;
	} rows[] = {
		{ NODE("", CIDR), "", false },
		{ NODE("\"" P "kube-subnet-manager\":\"false\"", CIDR), "", false },
		{ NODE(FLANNEL, ""), "", true },
		{ NODE(FLANNEL, "\"podCIDR\":\"\",\"podCIDRs\":null"), "", true },
		{ NODE(FLANNEL, "\"podCIDR\":\"10.244.3.0/33\""), "podCIDR", true },
		{ NODE(FLANNEL, "\"podCIDR\":\"10.244.3.1/24\""), "is no subnet", true },
		{ NODE(FLANNEL, "\"podCIDRs\":[\"10.1.0.0/24\",\"10.2.0.0/24\"]"),
		  "two of one family", true },
		{ NODE(FLANNEL, "\"podCIDRs\":[\"10.1.0.0/24\",\"fd00::/64\",\"fd01::/64\"]"),
		  "3 podCIDRs", true },
		{ NODE(FLANNEL, "\"podCIDRs\":[7]"), "not a text", true },
		{ NODE("\"" P "kube-subnet-manager\":\"true\",\"" P "public-ip\":\"x\"", CIDR),
		  "PublicIP", true },
		{ NODE("\"" P "kube-subnet-manager\":\"true\",\"" P "backend-data\":\"{\"", CIDR),
		  "BackendData is not JSON", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct kube_node n = read_node(rows[i].text);

		assert_row(!n.lease, rows[i].text);
		assert_row(n.is_flannel == rows[i].is_flannel, rows[i].text);
		assert_row(*rows[i].problem ? strstr(n.problem, rows[i].problem) != NULL
					    : !*n.problem,
			   rows[i].text);
		kube_node_fini(&n);
	}
}

/* backend-data "null" is what hosts with nothing to say publish. */
static void test_no_data(void **state)
{
	struct kube_node n = read_node(
		NODE("\"" P "kube-subnet-manager\":\"true\",\"" P "backend-type\":\"host-gw\",\"" P
		     "backend-data\":\"null\",\"" P "public-ip\":\"192.0.2.7\"",
		     CIDR));

	(void)state;
	assert_non_null(n.lease);
	assert_null(n.lease->backend_data);
	kube_node_fini(&n);
}

static void test_what_people_write(void **state)
{
	struct kube_node n = read_node(NODE("\"" P "public-ip-overwrite\":\"203.0.113.1\",\"" P
					    "public-ipv6-overwrite\":\"2001:db8::1\",\"" P
					    "node-public-ip\":\"203.0.113.2\",\"" P
					    "node-public-ipv6\":\"2001:db8::2\"",
					    CIDR));
	struct ip_addr expected = test_addr("203.0.113.1");

	(void)state;
	assert_true(ip_addr_equal(&n.overwrite_v4, &expected));
	expected = test_addr("2001:db8::1");
	assert_true(ip_addr_equal(&n.overwrite_v6, &expected));
	expected = test_addr("203.0.113.2");
	assert_true(ip_addr_equal(&n.node_public_v4, &expected));
	expected = test_addr("2001:db8::2");
	assert_true(ip_addr_equal(&n.node_public_v6, &expected));
	kube_node_fini(&n);
	n = read_node(NODE("\"" P "public-ip-overwrite\":\"gate\"", CIDR));
	assert_contains(n.problem, "public-ip-overwrite");
	assert_false(ip_addr_is_set(&n.overwrite_v4));
	kube_node_fini(&n);
}

static void test_no_node(void **state)
{
	static const char *const rows[] = {
		"{}",
		"{\"metadata\":{\"name\":\"\",\"resourceVersion\":\"1\"}}",
		"{\"metadata\":{\"name\":\"n\"}}",
		"{\"metadata\":{\"name\":\"n\",\"resourceVersion\":7}}",
		"{\"metadata\":{\"name\":\"n\",\"resourceVersion\":\"-7\"}}",
		"{\"metadata\":{\"name\":\"n\",\"resourceVersion\":\"7x\"}}",
		"{\"metadata\":{\"name\":\"n\",\"resourceVersion\":\"99999999999999999999\"}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_json json_t *object = json_loads(rows[i], 0, NULL);
		struct kube_node n = { 0 };
		struct err e = { 0 };

		assert_row(kube_node_read(&prefix, object, &n, &e) == -EINVAL, rows[i]);
		assert_row(e.text[0] && !n.name, rows[i]);
	}
}

static void test_condition(void **state)
{
	struct kube_node n = read_node("{\"metadata\":{\"name\":\"n\",\"resourceVersion\":\"1\"},"
				       "\"status\":{\"conditions\":["
				       "{\"type\":\"Ready\",\"status\":\"False\"},"
				       "{\"type\":\"NetworkUnavailable\",\"status\":\"True\"}]}}");

	(void)state;
	assert_false(n.is_reachable);
	kube_node_fini(&n);
}

static void test_patch_of_flannels_words(void **state)
{
	struct lease l = { .backend_type = (char *)"host-gw", .public_v4 = test_addr("192.0.2.7") };
	const struct kube_node annotated = { 0 };
	const struct kube_node bare = { .is_bare = true };
	auto_free char *text = kube_node_patch(&prefix, &annotated, &l, "2026-01-02T03:04:05Z");
	auto_free char *first = kube_node_patch(&prefix, &bare, &l, NULL);

	(void)state;
	assert_string_equal(first,
			    "{\"metadata\":{\"annotations\":{\"" P
			    "kube-subnet-manager\":\"true\",\"" P "backend-type\":\"host-gw\",\"" P
			    "backend-data\":\"null\",\"" P "public-ip\":\"192.0.2.7\"}}}");
	assert_string_equal(
		text,
		"{\"metadata\":{\"annotations\":{\"" P "kube-subnet-manager\":\"true\",\"" P
		"backend-type\":\"host-gw\",\"" P "backend-data\":\"null\",\"" P
		"backend-v6-data\":null,\"" P "public-ip\":\"192.0.2.7\",\"" P
		"public-ipv6\":null,\"" P "fabric-node\":null}},\"status\":{\"conditions\":[{"
		"\"type\":\"NetworkUnavailable\",\"status\":\"False\",\"reason\":\"FlannelIsUp\","
		"\"message\":\"Flannel is running on this node\","
		"\"lastTransitionTime\":\"2026-01-02T03:04:05Z\","
		"\"lastHeartbeatTime\":\"2026-01-02T03:04:05Z\"}]}}");
}

static void test_patch_of_one_out_of_use(void **state)
{
	struct lease l = { .out_of_use = true, .public_v4 = test_addr("192.0.2.7") };
	auto_free char *text =
		kube_node_patch(&prefix, &(struct kube_node){ 0 }, &l, "2026-01-02T03:04:05Z");

	(void)state;
	assert_non_null(strstr(text, "{\"type\":\"NetworkUnavailable\",\"status\":\"True\","
				     "\"reason\":\"FlannelIsOutOfUse\","));
}

/* What is published is read back as it was. */
static void test_there_and_back(void **state)
{
	struct lease l = {
		.backend_type = (char *)"vxlan",
		.backend_data = (char *)"{\"VNI\":1,\"VtepMAC\":\"0a:0b:0c:0d:0e:0f\"}",
		.backend_v6_data = (char *)"{\"VNI\":1,\"VtepMAC\":\"0a:0b:0c:0d:0e:1f\"}",
		.node_id = (char *)"id\"1",
		.node_name = (char *)"n1",
		.public_v4 = test_addr("192.0.2.7"),
		.public_v6 = test_addr("2001:db8::7"),
		.source_v4 = test_addr("10.0.0.7"),
		.mtu_v4_bytes = 1400,
		.mtu_v6_bytes = 1500,
		.subnet = { test_net("10.244.3.0/24"), test_net("fd00:10:3::/64") },
	};
	auto_free char *patch = kube_node_patch(&prefix, &(struct kube_node){ 0 }, &l, NULL);
	auto_json json_t *object = json_loads(patch, 0, NULL);
	auto_json json_t *more = json_loads("{\"spec\":{" DUAL "}}", 0, NULL);
	json_t *metadata = json_object_get(object, "metadata");
	struct kube_node n = { 0 };
	struct err e;

	(void)state;
	assert_null(json_object_get(object, "status"));
	json_object_set_new(metadata, "name", json_string("n1"));
	json_object_set_new(metadata, "resourceVersion", json_string("18446744073709551615"));
	json_object_update(object, more);
	assert_int_equal(kube_node_read(&prefix, object, &n, &e), 0);
	assert_string_equal(n.problem, "");
	assert_true(lease_equal(n.lease, &l));
	assert_true(n.revision == UINT64_MAX);
	kube_node_fini(&n);
}

static int set_up(void **state)
{
	(void)state;
	return kube_prefix_parse("flannel.alpha.coreos.com", &prefix, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_a_node_of_flannel),
		cmocka_unit_test(test_dual_stack),
		cmocka_unit_test(test_not_a_peer),
		cmocka_unit_test(test_no_data),
		cmocka_unit_test(test_what_people_write),
		cmocka_unit_test(test_no_node),
		cmocka_unit_test(test_condition),
		cmocka_unit_test(test_patch_of_flannels_words),
		cmocka_unit_test(test_patch_of_one_out_of_use),
		cmocka_unit_test(test_there_and_back),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
