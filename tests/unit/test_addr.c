/* SPDX-License-Identifier: Apache-2.0 */
/* lib/addr: text forms, predicates and arithmetic of addresses and prefixes. */
#include "tests/unit/test.h"

#include <errno.h>

static void test_address_text(void **state)
{
	(void)state;
	/* `out` NULL: refused. */
	static const struct {
		const char *in;
		int family;
		const char *out;
	} rows[] = {
		{ "10.5.0.1", AF_INET, "10.5.0.1" },
		{ "0.0.0.0", AF_INET, "0.0.0.0" },
		{ "255.255.255.255", AF_UNSPEC, "255.255.255.255" },
		{ "fd10:244::1", AF_INET6, "fd10:244::1" },
		{ "FD10:0244:0:0:0:0:0:1", AF_UNSPEC, "fd10:244::1" },
		{ "::", AF_INET6, "::" },
		{ "::ffff:10.0.0.1", AF_INET6, "::ffff:10.0.0.1" },
		{ "10.5.0.1", AF_INET6, NULL },
		{ "fd10::1", AF_INET, NULL },
		{ "", AF_UNSPEC, NULL },
		{ "10.5.0", AF_INET, NULL },
		{ "10.5.0.256", AF_INET, NULL },
		{ "10.5.0.01", AF_INET, NULL },
		{ "10.5.0.1 ", AF_INET, NULL },
		{ " 10.5.0.1", AF_INET, NULL },
		{ "10.5.0.1.1", AF_INET, NULL },
		{ "0x0a.5.0.1", AF_INET, NULL },
		{ "fe80::1%eth0", AF_INET6, NULL },
		{ ":12:13:", AF_INET6, NULL },
		{ "20011::", AF_INET6, NULL },
		{ "1:2:3:4:5:6:7:8:9", AF_INET6, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ip_addr untouched = { .family = 77 };
		struct ip_addr a = untouched;
		char text[IP_ADDR_TEXT];
		struct err e = { 0 };
		int rc = ip_addr_parse(rows[i].in, rows[i].family, &a, &e);

		if (!rows[i].out) {
			assert_row(rc == -EINVAL, rows[i].in);
			assert_row(ip_addr_equal(&a, &untouched), rows[i].in);
			assert_contains(e.text, rows[i].in);
			continue;
		}
		assert_row(rc == 0, rows[i].in);
		assert_string_equal(ip_addr_format(&a, text), rows[i].out);
	}
}

static void test_address_error_names_the_family(void **state)
{
	(void)state;
	struct ip_addr a;
	struct err e;

	assert_int_equal(ip_addr_parse("x", AF_INET, &a, &e), -EINVAL);
	assert_contains(e.text, "IPv4");
	assert_int_equal(ip_addr_parse("x", AF_INET6, &a, &e), -EINVAL);
	assert_contains(e.text, "IPv6");
	assert_int_equal(ip_addr_parse("x", AF_UNSPEC, &a, &e), -EINVAL);
	assert_contains(e.text, "IP address");
}

static void test_unset_address_is_a_dash(void **state)
{
	(void)state;
	struct ip_addr a = { 0 };
	struct ip_net n = { 0 };
	char addr_text[IP_ADDR_TEXT];
	char net_text[IP_NET_TEXT];

	assert_false(ip_addr_is_set(&a));
	assert_string_equal(ip_addr_format(&a, addr_text), "-");
	assert_string_equal(ip_net_format(&n, net_text), "-");
}

static void test_prefix_text(void **state)
{
	(void)state;
	static const struct {
		const char *in;
		int family;
		const char *out;
	} rows[] = {
		{ "10.5.0.0/16", AF_INET, "10.5.0.0/16" },
		{ "10.5.0.1/24", AF_INET, "10.5.0.1/24" }, /* host bits are kept */
		{ "0.0.0.0/0", AF_INET, "0.0.0.0/0" },
		{ "10.0.0.1/32", AF_UNSPEC, "10.0.0.1/32" },
		{ "fd10:244::/48", AF_INET6, "fd10:244::/48" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", AF_INET6,
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128" },
		{ "10.5.0.0", AF_INET, NULL },
		{ "10.5.0.0/", AF_INET, NULL },
		{ "10.5.0.0/33", AF_INET, NULL },
		{ "fd10::/129", AF_INET6, NULL },
		{ "10.5.0.0/016", AF_INET, NULL },
		{ "10.5.0.0/-1", AF_INET, NULL },
		{ "10.5.0.0/+1", AF_INET, NULL },
		{ "10.5.0.0/24 ", AF_INET, NULL },
		{ "10.5.0.0/24/24", AF_INET, NULL },
		{ "10.5.0.0/4294967320", AF_INET, NULL }, /* 2^32 + 24 */
		{ "/24", AF_INET, NULL },
		{ "fd10::/48", AF_INET, NULL },
		{ "10.5.0.0/16", AF_INET6, NULL },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/64", AF_UNSPEC, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ip_net n = { 0 };
		char text[IP_NET_TEXT];
		struct err e = { 0 };
		int rc = ip_net_parse(rows[i].in, rows[i].family, &n, &e);

		assert_row(rc == (rows[i].out ? 0 : -EINVAL), rows[i].in);
		if (rows[i].out)
			assert_string_equal(ip_net_format(&n, text), rows[i].out);
		else
			assert_row(!ip_net_is_set(&n), rows[i].in);
	}
}

static void test_mac_text(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		"36:4d:74:4e:f5",
		"36:4d:74:4e:f5:f",
		"36:4d:74:4e:f5:fc:",
		"36:4d:74:4e:f5:fc:00",
		"36-4d-74-4e-f5-fc",
		"g6:4d:74:4e:f5:fc",
		" 36:4d:74:4e:f5:fc",
		"364d744ef5fc",
	};
	struct mac_addr m;
	char text[MAC_TEXT];
	struct err e;

	assert_int_equal(mac_addr_parse("36:4D:74:4e:F5:fc", &m, &e), 0);
	assert_string_equal(mac_addr_format(&m, text), "36:4d:74:4e:f5:fc");
	assert_false(mac_addr_is_zero(&m));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_row(mac_addr_parse(bad[i], &m, &e) == -EINVAL, bad[i]);
	assert_int_equal(mac_addr_parse("00:00:00:00:00:00", &m, &e), 0);
	assert_true(mac_addr_is_zero(&m));
}

static void test_equal_values_compare_as_bytes(void **state)
{
	(void)state;
	struct ip_addr parsed = test_addr("10.1.2.3");
	struct ip_addr built = ip_addr_from_bytes(AF_INET, (uint8_t[]){ 10, 1, 2, 3 });
	struct ip_addr counted = ip_addr_from_u128(AF_INET, 0x0a010203);
	struct ip_addr v6 = test_addr("::ffff:10.1.2.3");

	assert_true(ip_addr_equal(&parsed, &built));
	assert_true(ip_addr_equal(&parsed, &counted));
	assert_false(ip_addr_equal(&parsed, &v6));
}

static void test_numbers(void **state)
{
	(void)state;
	struct ip_addr low = test_addr("fd10:244:0:5c::");
	struct ip_addr next = ip_addr_from_u128(AF_INET6, ip_addr_to_u128(&low) + 1);
	struct ip_addr all = test_addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	char text[IP_ADDR_TEXT];

	assert_string_equal(ip_addr_format(&next, text), "fd10:244:0:5c::1");
	assert_true(ip_addr_to_u128(&all) == ~(u128)0);
	assert_true(ip_net_size(AF_INET, 24) == 256);
	assert_true(ip_net_size(AF_INET, 32) == 1);
	assert_true(ip_net_size(AF_INET, 0) == (u128)1 << 32);
	assert_true(ip_net_size(AF_INET6, 64) == (u128)1 << 64);
	assert_true(ip_net_size(AF_INET6, 1) == (u128)1 << 127);
	assert_true(ip_net_size(AF_INET6, 0) == 0);
}

static void test_kinds_of_addresses(void **state)
{
	(void)state;
	enum { NONE = 0, UNSPECIFIED = 1, LOOPBACK = 2, MULTICAST = 4, LINK_LOCAL = 8 };
	static const struct {
		const char *addr;
		int kinds;
	} rows[] = {
		{ "0.0.0.0", UNSPECIFIED },
		{ "::", UNSPECIFIED },
		{ "10.0.0.1", NONE },
		{ "fd10::1", NONE },
		{ "127.0.0.1", LOOPBACK },
		{ "127.255.0.1", LOOPBACK },
		{ "128.0.0.1", NONE },
		{ "::1", LOOPBACK },
		{ "::2", NONE },
		{ "223.255.255.255", NONE },
		{ "224.0.0.1", MULTICAST },
		{ "240.0.0.1", MULTICAST },
		{ "255.255.255.255", MULTICAST },
		{ "ff02::1", MULTICAST },
		{ "169.254.0.1", LINK_LOCAL },
		{ "169.255.0.1", NONE },
		{ "fe80::1", LINK_LOCAL },
		{ "febf::1", LINK_LOCAL },
		{ "fec0::1", NONE },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ip_addr a = test_addr(rows[i].addr);
		int kinds = (ip_addr_is_unspecified(&a) ? UNSPECIFIED : 0) |
			    (ip_addr_is_loopback(&a) ? LOOPBACK : 0) |
			    (ip_addr_is_multicast(&a) ? MULTICAST : 0) |
			    (ip_addr_is_link_local(&a) ? LINK_LOCAL : 0);

		assert_row(kinds == rows[i].kinds, rows[i].addr);
	}
}

static void test_masking(void **state)
{
	(void)state;
	static const struct {
		const char *in;
		const char *masked;
	} rows[] = {
		{ "10.5.17.1/24", "10.5.17.0/24" },
		{ "10.5.17.1/32", "10.5.17.1/32" },
		{ "10.5.17.1/0", "0.0.0.0/0" },
		{ "10.5.17.255/31", "10.5.17.254/31" },
		{ "fd10:244:0:5c::1/64", "fd10:244:0:5c::/64" },
		{ "fd10:244:0:5c::1/128", "fd10:244:0:5c::1/128" },
		{ "fd10:244:0:5c::1/0", "::/0" },
		{ "fd10:ffff::/17", "fd10:8000::/17" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ip_net n = test_net(rows[i].in);
		struct ip_net expected = test_net(rows[i].masked);
		struct ip_net masked = ip_net_masked(&n);

		assert_row(ip_net_equal(&masked, &expected), rows[i].in);
		assert_row(ip_net_has_host_bits(&n) == !ip_net_equal(&n, &masked), rows[i].in);
		assert_row(!ip_net_has_host_bits(&masked), rows[i].in);
	}
}

static void test_containment_and_overlap(void **state)
{
	(void)state;
	static const struct {
		const char *a;
		const char *b;
		bool a_contains_b;
		bool b_contains_a;
		bool overlap;
	} rows[] = {
		{ "10.5.0.0/16", "10.5.3.0/24", true, false, true },
		{ "10.5.0.0/16", "10.5.0.0/16", true, true, true },
		{ "10.5.0.0/16", "10.6.0.0/16", false, false, false },
		{ "10.5.0.0/16", "10.4.255.0/24", false, false, false },
		{ "0.0.0.0/0", "10.4.255.0/24", true, false, true },
		{ "10.5.3.0/24", "10.5.3.7/32", true, false, true },
		{ "fd10::/48", "fd10:0:0:5::/64", true, false, true },
		{ "fd10::/48", "fd10:0:1::/64", false, false, false },
		{ "::/0", "fd10:0:1::/64", true, false, true },
		/* Families never meet, not even where all bits agree. */
		{ "0.0.0.0/0", "::/0", false, false, false },
		{ "10.0.0.0/8", "a00::/8", false, false, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ip_net a = test_net(rows[i].a);
		struct ip_net b = test_net(rows[i].b);

		assert_row(ip_net_contains_net(&a, &b) == rows[i].a_contains_b, rows[i].b);
		assert_row(ip_net_contains_net(&b, &a) == rows[i].b_contains_a, rows[i].b);
		assert_row(ip_net_overlaps(&a, &b) == rows[i].overlap, rows[i].b);
		assert_row(ip_net_overlaps(&b, &a) == rows[i].overlap, rows[i].b);
		assert_row(ip_net_contains(&a, &b.addr) == rows[i].a_contains_b || a.len > b.len,
			   rows[i].b);
	}
}

static void test_unset_prefix_contains_nothing(void **state)
{
	(void)state;
	struct ip_net unset = { 0 };
	struct ip_net n = test_net("10.5.0.0/16");
	struct ip_addr none = { 0 };

	assert_false(ip_net_contains(&unset, &n.addr));
	assert_false(ip_net_contains(&unset, &none));
	assert_false(ip_net_contains(&n, &none));
	assert_false(ip_net_overlaps(&unset, &n));
	assert_false(ip_net_overlaps(&n, &unset));
	assert_false(ip_net_overlaps(&unset, &unset));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address_text),
		cmocka_unit_test(test_address_error_names_the_family),
		cmocka_unit_test(test_unset_address_is_a_dash),
		cmocka_unit_test(test_prefix_text),
		cmocka_unit_test(test_mac_text),
		cmocka_unit_test(test_equal_values_compare_as_bytes),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_kinds_of_addresses),
		cmocka_unit_test(test_masking),
		cmocka_unit_test(test_containment_and_overlap),
		cmocka_unit_test(test_unset_prefix_contains_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
