/* SPDX-License-Identifier: Apache-2.0 */
/* subnet/subnet_env: the exact text that others read, and reading one back, whoever wrote it. */
#include "tests/unit/test.h"

#include "subnet/subnet_env.h"

static struct network_config config(const char *text)
{
	struct network_config c;
	struct err e;

	if (network_config_parse(text, strlen(text), &c, &e) < 0)
		fail_msg("%s: %s", text, e.text);
	return c;
}

static struct subnet subnet(const char *v4, const char *v6)
{
	struct subnet s = { 0 };

	if (v4)
		s.v4 = test_net(v4);
	if (v6)
		s.v6 = test_net(v6);
	return s;
}

static const char v4_only[] = "{\"Network\":\"10.5.0.0/16\"}";
static const char dual[] = "{\"Network\":\"10.5.0.0/16\",\"EnableIPv6\":true,\"IPv6Network\":"
			   "\"fd10:244::/48\"}";
static const char v6_only[] =
	"{\"EnableIPv4\":false,\"EnableIPv6\":true,\"IPv6Network\":\"fd10:244::/48\"}";

static void test_text(void **state)
{
	(void)state;
	static const struct {
		const char *config;
		const char *v4;
		const char *v6;
		unsigned mtu;
		bool masq;
		const char *text;
	} rows[] = {
		{ v4_only, "10.5.17.0/24", NULL, 1450, true,
		  "FLANNEL_NETWORK=10.5.0.0/16\n"
		  "FLANNEL_SUBNET=10.5.17.1/24\n"
		  "FLANNEL_MTU=1450\n"
		  "FLANNEL_IPMASQ=true\n" },
		{ dual, "10.5.17.0/24", "fd10:244:0:5c::/64", 8950, false,
		  "FLANNEL_NETWORK=10.5.0.0/16\n"
		  "FLANNEL_SUBNET=10.5.17.1/24\n"
		  "FLANNEL_IPV6_NETWORK=fd10:244::/48\n"
		  "FLANNEL_IPV6_SUBNET=fd10:244:0:5c::1/64\n"
		  "FLANNEL_MTU=8950\n"
		  "FLANNEL_IPMASQ=false\n" },
		{ v6_only, NULL, "fd10:244:0:5c::/64", 1430, true,
		  "FLANNEL_IPV6_NETWORK=fd10:244::/48\n"
		  "FLANNEL_IPV6_SUBNET=fd10:244:0:5c::1/64\n"
		  "FLANNEL_MTU=1430\n"
		  "FLANNEL_IPMASQ=true\n" },
		/* A family that the network does not use is not shown, even if the lease has it. */
		{ v4_only, "10.5.17.0/24", "fd10:244:0:5c::/64", 1450, true,
		  "FLANNEL_NETWORK=10.5.0.0/16\n"
		  "FLANNEL_SUBNET=10.5.17.1/24\n"
		  "FLANNEL_MTU=1450\n"
		  "FLANNEL_IPMASQ=true\n" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_network_config struct network_config c = config(rows[i].config);
		struct subnet own = subnet(rows[i].v4, rows[i].v6);
		auto_free char *text =
			subnet_env_format(&c, &own, rows[i].mtu, rows[i].masq, false);

		assert_string_equal(text, rows[i].text);
	}
}

static void test_what_is_written_is_read(void **state)
{
	(void)state;
	static const struct {
		const char *config;
		const char *v4;
		const char *v6;
	} rows[] = {
		{ v4_only, "10.5.17.0/24", NULL },
		{ dual, "10.5.17.0/30", "fd10:244:0:5c::/126" },
		{ v6_only, NULL, "fd10:244:0:5c::/64" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_network_config struct network_config c = config(rows[i].config);
		struct subnet own = subnet(rows[i].v4, rows[i].v6);
		auto_free char *text = subnet_env_format(&c, &own, 1450, true, false);
		struct ip_net networks[2];
		struct subnet back;

		subnet_env_recall(text, &back, networks);
		assert_true(subnet_equal(&back, &own));
	}
}

static void test_reading(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *v4;
		const char *v6;
	} rows[] = {
		{ "FLANNEL_SUBNET=10.5.17.1/24\n", "10.5.17.0/24", NULL },
		{ "FLANNEL_SUBNET=10.5.17.1/24", "10.5.17.0/24", NULL },
		{ "FLANNEL_SUBNET=\"10.5.17.1/24\"\n", "10.5.17.0/24", NULL },
		{ "FLANNEL_SUBNET='10.5.17.1/24'\n", "10.5.17.0/24", NULL },
		{ "export FLANNEL_SUBNET=10.5.17.1/24\n", "10.5.17.0/24", NULL },
		{ "export   FLANNEL_SUBNET='10.5.17.1/24' \n", "10.5.17.0/24", NULL },
		{ "  FLANNEL_SUBNET=10.5.17.1/24\t\n", "10.5.17.0/24", NULL },
		{ "FLANNEL_SUBNET=10.5.17.1/24\r\nFLANNEL_MTU=1450\r\n", "10.5.17.0/24", NULL },
		{ "\n\n# a comment\nFLANNEL_MTU=1450\nFLANNEL_SUBNET=10.5.17.1/24\n",
		  "10.5.17.0/24", NULL },
		{ "FLANNEL_IPV6_SUBNET=fd10::1/64\n", NULL, "fd10::/64" },
		{ "FLANNEL_SUBNET=10.5.17.1/24\nFLANNEL_IPV6_SUBNET=fd10::1/64\n", "10.5.17.0/24",
		  "fd10::/64" },
		/* More than one, or none that is right, is none. */
		{ "FLANNEL_SUBNET=10.5.17.1/24,10.6.17.1/24\n", NULL, NULL },
		{ "FLANNEL_SUBNET=10.5.17.1/33\n", NULL, NULL },
		{ "FLANNEL_SUBNET=10.5.17.1\n", NULL, NULL },
		{ "FLANNEL_SUBNET=fd10::1/64\n", NULL, NULL },
		{ "FLANNEL_IPV6_SUBNET=10.5.17.1/24\n", NULL, NULL },
		{ "FLANNEL_SUBNET=0.0.0.0/0\n", NULL, NULL },
		{ "FLANNEL_SUBNET=\n", NULL, NULL },
		{ "FLANNEL_SUBNET\n", NULL, NULL },
		{ "FLANNEL_SUBNET=\"10.5.17.1/24\n", NULL, NULL },
		{ "FLANNEL_SUBNET=$(reboot)\n", NULL, NULL },
		/* Other names. */
		{ "XFLANNEL_SUBNET=10.5.17.1/24\n", NULL, NULL },
		{ "FLANNEL_SUBNETS=10.5.17.1/24\n", NULL, NULL },
		{ "FLANNEL_SUBNET =10.5.17.1/24\n", NULL, NULL },
		{ "#FLANNEL_SUBNET=10.5.17.1/24\n", NULL, NULL },
		{ "", NULL, NULL },
		{ "\n", NULL, NULL },
		{ "=\n", NULL, NULL },
		{ "export ", NULL, NULL },
		{ "export", NULL, NULL },
		/* The last word counts, as for a shell. */
		{ "FLANNEL_SUBNET=10.5.17.1/24\nFLANNEL_SUBNET=10.5.18.1/24\n", "10.5.18.0/24",
		  NULL },
		{ "FLANNEL_SUBNET=10.5.17.1/24\nFLANNEL_SUBNET=\n", NULL, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct subnet expected = subnet(rows[i].v4, rows[i].v6);
		struct subnet s = subnet("192.0.2.0/24", NULL);
		struct ip_net networks[2];

		subnet_env_recall(rows[i].text, &s, networks);
		assert_row(subnet_equal(&s, &expected), rows[i].text);
	}
}

/* The networks are read by the same rules. */
static void test_networks(void **state)
{
	(void)state;
	auto_network_config struct network_config c = config(dual);
	struct subnet own = subnet("10.5.17.0/24", "fd10:244:0:5c::/64");
	auto_free char *text = subnet_env_format(&c, &own, 1450, true, false);
	struct ip_net networks[2];
	struct subnet back;

	subnet_env_recall(text, &back, networks);
	assert_true(ip_net_equal(&networks[0], &c.v4.network));
	assert_true(ip_net_equal(&networks[1], &c.v6.network));
	subnet_env_recall("FLANNEL_NETWORK=10.5.0.0/16,10.6.0.0/16\n", &back, networks);
	assert_false(ip_net_is_set(&networks[0]));
	assert_false(ip_net_is_set(&networks[1]));
}

static void test_a_value_too_long_is_none(void **state)
{
	(void)state;
	char text[4096] = "FLANNEL_SUBNET=";
	struct subnet s = subnet("192.0.2.0/24", NULL);
	struct ip_net networks[2];

	memset(text + 15, '1', sizeof(text) - 16);
	subnet_env_recall(text, &s, networks);
	assert_false(ip_net_is_set(&s.v4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_what_is_written_is_read),
		cmocka_unit_test(test_reading),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_a_value_too_long_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
