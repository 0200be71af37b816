/* SPDX-License-Identifier: Apache-2.0 */
/* How full a network is, by its leases; and when it will be. */
#include "tests/unit/test.h"

#include "fabricctl/capacity.h"
#include "fabricctl/reservations.h"
#include "lib/json.h"
#include "subnet/config.h"

#define DAY_MS ((int64_t)86400 * 1000)

static struct network_config config(const char *text)
{
	struct network_config c;
	struct err e;

	if (network_config_parse(text, strlen(text), &c, &e) < 0)
		fail_msg("%s", e.text);
	return c;
}

static json_t *parse(const char *text)
{
	json_t *document = NULL;

	if (json_parse_object(text, strlen(text), &document, NULL) < 0)
		fail_msg("the test's own JSON is wrong");
	return document;
}

/* clang-format off */
static const char leases[] =
	"{\"items\":["
	"{\"subnet\":\"10.5.16.0/24\",\"subnetV6\":\"fd10:5:0:1::/64\"},"
	"{\"subnet\":\"10.5.17.0/24\",\"reservation\":true},"
	"{\"subnet\":\"10.5.18.0/24\",\"unbound\":true},"
	"{\"subnet\":\"10.5.90.0/24\"},"
	"{\"subnet\":\"10.5.24.0/23\"},"
	"{\"subnet\":\"nonsense\"}, {}, 7]}";
/* clang-format on */

static void test_families(void **state UNUSED)
{
	auto_network_config struct network_config c = config(
		"{\"Network\":\"10.5.0.0/16\",\"SubnetMin\":\"10.5.16.0\",\"SubnetMax\":\"10.5."
		"31.0\",\"EnableIPv6\":true,\"IPv6Network\":\"fd10:5::/48\"}");
	auto_json json_t *document = parse(leases);
	const json_t *items = json_object_get(document, "items");
	auto_json json_t *v4 = capacity_of_family(&c.v4, items);
	auto_json json_t *v6 = capacity_of_family(&c.v6, items);

	assert_int_equal(ctl_int(v4, "subnets", 0), 16);
	assert_int_equal(ctl_int(v4, "used", 0), 1);
	assert_int_equal(ctl_int(v4, "reserved", 0), 1);
	assert_int_equal(ctl_int(v4, "unbound", 0), 1);
	/* Neither of these would be given out; one takes two of those that would. */
	assert_int_equal(ctl_int(v4, "outside", 0), 2);
	assert_int_equal(ctl_int(v4, "free", 0), 11);
	assert_int_equal(ctl_int(v4, "largestFreeRun", 0), 6);
	assert_int_equal(ctl_int(v4, "usedPercent", 0), 31);
	assert_int_equal(ctl_int(v6, "used", 0), 1);
	assert_true(ctl_int(v6, "subnets", 0) > 65000);
	c.v6.enabled = false;
	json_decref(v6);
	v6 = capacity_of_family(&c.v6, items);
	assert_true(json_is_null(v6));
}

static void test_more_than_can_be_counted(void **state UNUSED)
{
	auto_network_config struct network_config c =
		config("{\"EnableIPv4\":false,\"EnableIPv6\":true,\"IPv6Network\":\"fd00::/"
		       "8\",\"IPv6SubnetLen\":120}");
	auto_json json_t *v6 = capacity_of_family(&c.v6, NULL);

	assert_true(ctl_int(v6, "free", 0) == (int64_t)1 << 53);
	assert_int_equal(ctl_int(v6, "usedPercent", -1), 0);
}

static void test_addresses_of_a_subnet(void **state UNUSED)
{
	struct ip_net net = test_net("10.5.1.0/24");

	assert_int_equal(capacity_addresses(&net), 253);
	net = test_net("10.5.1.0/31");
	assert_int_equal(capacity_addresses(&net), 0);
	net = test_net("fd10::/120");
	assert_int_equal(capacity_addresses(&net), 254);
}

static void test_forecast(void **state UNUSED)
{
	static const char dated[] = "{\"items\":[{\"created\":\"1970-01-01T00:00:00.001Z\"},"
				    "{\"created\":\"1970-03-01T00:00:00.000Z\"},"
				    "{\"created\":\"1970-03-13T00:00:00.000Z\"},"
				    "{\"created\":\"sometimes\"},{}]}";
	auto_json json_t *with = parse(dated);
	auto_json json_t *without = parse(leases);
	const json_t *items = json_object_get(with, "items");
	/* The 11th of April: one of three within 30 days. */
	auto_json json_t *slow = capacity_forecast(items, 10, 100 * DAY_MS);
	auto_json json_t *unknown =
		capacity_forecast(json_object_get(without, "items"), 10, 100 * DAY_MS);
	auto_json json_t *never = capacity_forecast(items, 10, 500 * DAY_MS);
	auto_json json_t *early = capacity_forecast(items, 10, DAY_MS / 2);

	assert_contains(ctl_text(slow, "from"), "1 of 3 leases were made in the last 30 days");
	assert_int_equal(ctl_int(slow, "fullSeconds", 0), 10 * 30 * 86400);
	assert_true(json_real_value(json_object_get(slow, "hostsPerWeek")) < 0.24);
	assert_contains(ctl_text(unknown, "from"), "cannot be known");
	assert_true(json_is_null(json_object_get(unknown, "hostsPerWeek")));
	assert_contains(ctl_text(never, "from"), "0 of 3");
	assert_true(json_is_null(json_object_get(never, "fullSeconds")));
	assert_contains(ctl_text(early, "from"), "younger than a day");
}

static void test_what_a_reservation_says(void **state UNUSED)
{
	static const struct {
		const char *text;
		const char *id;
		const char *interface;
	} rows[] = {
		{ "c1\r\neth0", "c1", "eth0" }, { "c1", "c1", "" },         { "", "", "" },
		{ "c1\neth0\n", "c1", "eth0" }, { "\r\neth0", "", "eth0" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *text = xstrdup(rows[i].text);
		struct reservation r = { 0 };

		reservations_parse(text, &r);
		assert_string_equal(r.container_id, rows[i].id);
		assert_string_equal(r.interface, rows[i].interface);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_more_than_can_be_counted),
		cmocka_unit_test(test_addresses_of_a_subnet),
		cmocka_unit_test(test_forecast),
		cmocka_unit_test(test_what_a_reservation_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
