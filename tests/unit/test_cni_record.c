/* SPDX-License-Identifier: Apache-2.0 */
/* cni-plugin/record, attachments: what is written is what is read, and damage is noticed. */
#include "tests/unit/test.h"

#include <errno.h>
#include <ftw.h>

#include "cni-plugin/attachments.h"
#include "cni-plugin/error.h"
#include "cni-plugin/record.h"
#include "cni-plugin/rules.h"
#include "lib/file.h"

static void fill(struct record *r, const char *id, const char *ifname)
{
	memset(r, 0, sizeof(*r));
	r->container_id = xstrdup(id);
	r->ifname = xstrdup(ifname);
	r->network = xstrdup("net");
	strncpy(r->host_ifname, "veth01234567", sizeof(r->host_ifname) - 1);
	r->host_mac = test_mac("02:00:00:00:00:01");
	r->mac = test_mac("02:00:00:00:00:02");
	strncpy(r->bridge, "cni0", sizeof(r->bridge) - 1);
	strncpy(r->gateway_device, "cni0", sizeof(r->gateway_device) - 1);
	r->ports.items = xcalloc(2, sizeof(*r->ports.items));
	r->ports.items[0] = (struct port_mapping){
		.protocol = IPPROTO_TCP, .host_port = 8080, .container_port = 80, .count = 1
	};
	r->ports.items[1] = (struct port_mapping){ .protocol = IPPROTO_UDP,
						   .host = test_addr("192.0.2.1"),
						   .host_port = 8080,
						   .container_port = 80,
						   .count = 9 };
	r->ports.len = 2;
	r->asks_once = true;
	r->container_name = xstrdup("web");
	r->masquerade = r->mac_guard = r->hairpin = r->promiscuous = true;
	r->mtu_bytes = 1450;
	r->pool_dir = xstrdup("/var/lib/cni/networks/net");
	r->addresses[0] = test_addr("10.5.17.2");
	r->addresses[1] = test_addr("fd05::2");
	r->addresses_len = 2;
	r->gateways[0] = test_net("10.5.17.1/24");
	r->gateways_len = 1;
	r->unmasked[0] = test_net("10.5.17.0/24");
	r->unmasked[1] = test_net("fd05::/48");
	r->unmasked_len = 2;
	r->vlans = (struct config_vlans){ .access = 7,
					  .keep_default = true,
					  .trunk = { { 9, 9 }, { 20, 4094 } },
					  .trunk_len = 2 };
	r->delegate = json_pack("{s:{s:s}}", "ipam", "type", "other");
}

static void test_round_trip(void **state)
{
	(void)state;
	auto_record struct record a;
	auto_record struct record b = { 0 };
	auto_json json_t *first = NULL;
	auto_json json_t *second = NULL;
	auto_free char *text = NULL;
	struct err e = { 0 };

	fill(&a, "c1", "eth0");
	first = record_to_json(&a);
	text = json_dumps(first, JSON_COMPACT);
	if (record_parse(text, strlen(text), &b, &e) < 0)
		fail_msg("%s", e.text);
	second = record_to_json(&b);
	assert_true(json_equal(first, second));
	assert_int_equal(b.kind, RECORD_NATIVE);
	assert_false(b.complete);
	assert_int_equal(b.addresses_len, 2);
	assert_memory_equal(&b.host_mac, &a.host_mac, sizeof(a.host_mac));
	assert_int_equal(b.unmasked_len, 2);
	assert_int_equal(b.vlans.access, 7);
	assert_int_equal(b.vlans.trunk_len, 2);
	assert_int_equal(b.vlans.trunk[1].last, 4094);
}

static const char *const damaged[] = {
	"",
	"{",
	"[]",
	"{}",
	"{\"version\":0}",
	"{\"version\":2,\"containerID\":\"c\",\"ifname\":\"e\",\"network\":\"n\"}",
	"{\"version\":1,\"ifname\":\"e\",\"network\":\"n\"}",
	"{\"version\":1,\"containerID\":\"../c\",\"ifname\":\"e\",\"network\":\"n\"}",
	"{\"version\":1,\"containerID\":\"c\",\"ifname\":\"a/b\",\"network\":\"n\"}",
	"{\"version\":1,\"containerID\":\"c\",\"ifname\":\"e\",\"network\":\"..\"}",
	"{\"version\":1,\"containerID\":\"c\",\"ifname\":\"e\",\"network\":\"n\",\"pool\":"
	"\"../x\"}",
	"{\"version\":1,\"containerID\":\"c\",\"ifname\":\"e\",\"network\":\"n\","
	"\"hostInterface\":"
	"\"a b\"}",
	"{\"version\":1,\"containerID\":\"c\",\"ifname\":\"e\",\"network\":\"n\","
	"\"hostMac\":\"x\"}",
	"{\"version\":1,\"containerID\":\"c\",\"ifname\":\"e\",\"network\":\"n\","
	"\"addresses\":[1]}",
	"{\"version\":1,\"containerID\":\"c\",\"ifname\":\"e\",\"network\":\"n\","
	"\"addresses\":["
	"\"10.0.0\"]}",
	"{\"version\":1,\"containerID\":\"c\",\"ifname\":\"e\",\"network\":\"n\","
	"\"gateways\":["
	"\"10.0.0.1\"]}",
	"{\"version\":1,\"containerID\":\"c\",\"ifname\":\"e\",\"network\":\"n\",\"kind\":"
	"\"delegate\"}",
	"{\"version\":1,\"containerID\":\"c\",\"ifname\":\"e\",\"network\":\"n\","
	"\"complete\":1}",
	"{\"version\":1,\"containerID\":\"c\",\"ifname\":\"e\",\"network\":\"n\","
	"\"unmasked\":["
	"\"10.0.0.0/33\"]}",
	"{\"version\":1,\"containerID\":\"c\",\"ifname\":\"e\",\"network\":\"n\","
	"\"vlan\":4095}",
	"{\"version\":1,\"containerID\":\"c\",\"ifname\":\"e\",\"network\":\"n\","
	"\"vlanTrunk\":[1]}",
	"{\"version\":1,\"containerID\":\"c\",\"ifname\":\"e\",\"network\":\"n\","
	"\"vlanTrunk\":[0,1]}",
	/* Which of two is the container's? */
	"{\"version\":1,\"containerID\":\"c\",\"ifname\":\"e\",\"network\":\"n\","
	"\"ifname\":\"e\"}",
	"{\"version\":1,\"containerID\":\"c\",\"ifname\":\"e\",\"network\":\"n\","
	"\"IfName\":\"e\"}",
	"{\"version\":1,\"containerID\":\"c\",\"ifname\":\"e\",\"network\":\"n\","
	"\"addresses\":[],\"Addresses\":[]}",
	"{\"version\":1,\"containerID\":\"c\",\"ifname\":\"e\",\"network\":\"n\","
	"\"gateways\":[],\"Gateways\":[]}",
	"{\"version\":1,\"containerID\":\"c\",\"ifname\":\"e\",\"network\":\"n\","
	"\"delegate\":{},\"Delegate\":{}}",
	"{\"version\":1,\"containerID\":\"c\",\"ifname\":\"e\",\"network\":\"n\","
	"\"delegate\":{\"x\":{\"y\":1,\"y\":2}}}",
};

static void test_damage(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(damaged); i++) {
		struct record r = { 0 };
		struct err e = { 0 };

		assert_row(record_parse(damaged[i], strlen(damaged[i]), &r, &e) == -EINVAL,
			   damaged[i]);
	}
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static int make_directory(void **state)
{
	char *dir = xstrdup("/tmp/test-cni-record-XXXXXX");

	*state = dir;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_directory(void **state)
{
	nftw(*state, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(*state);
	return 0;
}

static void count(void *arg, const char *container_id, const char *ifname)
{
	(void)container_id;
	(void)ifname;
	(*(unsigned *)arg)++;
}

static void test_store(void **state)
{
	char long_id[401];
	const char *const ids[] = { "c1", long_id };
	auto_store struct store *s = NULL;
	unsigned found = 0;
	struct err e;

	memset(long_id, 'x', sizeof(long_id) - 1);
	long_id[sizeof(long_id) - 1] = '\0';
	assert_int_equal(store_open(*state, "net", false, &s, &e), -ENOENT);
	assert_int_equal(store_open(*state, "net", true, &s, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		auto_record struct record r;
		auto_record struct record read = { 0 };

		fill(&r, ids[i], "e@0");
		assert_int_equal(store_lock(s, ids[i], "e@0", &e), 0);
		assert_int_equal(store_read(s, ids[i], "e@0", &read, &e), -ENOENT);
		assert_int_equal(store_write(s, &r, &e), 0);
		assert_int_equal(store_read(s, ids[i], "e@0", &read, &e), 0);
		assert_false(read.complete);
		record_fini(&read);
		assert_int_equal(store_complete(s, &e), 0);
		assert_int_equal(store_read(s, ids[i], "e@0", &read, &e), 0);
		assert_true(read.complete);
		assert_string_equal(read.container_id, ids[i]);
	}
	assert_int_equal(store_list(s, count, &found, &e), 0);
	assert_int_equal(found, 2);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		assert_int_equal(store_remove(s, ids[i], "e@0", &e), 0);
		assert_int_equal(store_remove(s, ids[i], "e@0", &e), 0);
	}
	found = 0;
	assert_int_equal(store_list(s, count, &found, &e), 0);
	assert_int_equal(found, 0);
}

static void test_flannels_file(void **state)
{
	auto_free char *path = xasprintf("%s/c1", (char *)*state);
	auto_json json_t *j = NULL;
	struct err e;

	assert_int_equal(record_read_flannel(*state, "c1", &j, &e), -ENOENT);
	assert_int_equal(file_replace(path, "{\"type\":\"bridge\"}", 17, 0600, &e), 0);
	assert_int_equal(record_read_flannel(*state, "c1", &j, &e), 0);
	assert_string_equal(json_string_value(json_object_get(j, "type")), "bridge");
	assert_int_equal(record_remove_flannel(*state, "c1", &e), 0);
	assert_int_equal(record_remove_flannel(*state, "c1", &e), 0);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_attachments(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool ok;
		bool known;
		bool has; /* (c1, eth0) */
	} rows[] = {
		{ "{}", true, false, false },
		{ "{\"cni.dev/valid-attachments\":null}", true, false, false },
		{ "{\"cni.dev/valid-attachments\":[]}", true, true, false },
		{ "{\"cni.dev/valid-attachments\":[{\"containerID\":\"c1\",\"ifname\":\"eth0\"}]}",
		  true, true, true },
		{ "{\"cni.dev/attachments\":[{\"containerID\":\"c1\",\"ifname\":\"eth0\"}]}", true,
		  true, true },
		{ "{\"cni.dev/valid-attachments\":[{\"containerID\":\"c1\",\"ifname\":\"eth1\"}]}",
		  true, true, false },
		{ "{\"cni.dev/valid-attachments\":[{\"containerID\":\"c1\"}]}", false, false,
		  false },
		{ "{\"cni.dev/valid-attachments\":[\"c1\"]}", false, false, false },
		{ "{\"cni.dev/valid-attachments\":{}}", false, false, false },
		{ "{\"cni.dev/valid-attachments\":[],\"CNI.dev/valid-attachments\":[]}", false,
		  false, false },
		{ "{\"cni.dev/attachments\":[],\"CNI.dev/attachments\":[]}", false, false, false },
		{ "{\"cni.dev/"
		  "attachments\":[{\"containerID\":\"c1\",\"ifname\":\"e\",\"IfName\":\"e\"}]}",
		  false, false, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_json json_t *j = json_loads(rows[i].text, 0, NULL);
		auto_attachments struct attachments a = { 0 };
		struct err e = { 0 };
		int rc = attachments_parse(j, &a, &e);

		assert_row((rc == 0) == rows[i].ok, rows[i].text);
		if (rc < 0)
			continue;
		assert_row(a.known == rows[i].known, rows[i].text);
		assert_row(attachments_have(&a, "c1", "eth0") == rows[i].has, rows[i].text);
		assert_row(attachments_have_key(&a, rules_owner_key("c1", "eth0")) == rows[i].has,
			   rows[i].text);
	}
}

#define WITH_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_damage),
		cmocka_unit_test(test_attachments), WITH_DIRECTORY(test_store),
		WITH_DIRECTORY(test_flannels_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
