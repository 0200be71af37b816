/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subnet/pool: what is picked is free, inside the bounds, and every free subnet has the same
 * chance.
 */
#include "tests/unit/test.h"

#include <errno.h>

#include "subnet/pool.h"

static struct network_config config_v4(const char *fields)
{
	auto_free char *text = xasprintf("{%s}", fields);
	struct network_config c;
	struct err e;

	if (network_config_parse(text, strlen(text), &c, &e) < 0)
		fail_msg("%s: %s", text, e.text);
	return c;
}

static struct network_config config_v6(const char *fields)
{
	auto_free char *all = xasprintf("\"EnableIPv4\":false,\"EnableIPv6\":true,%s", fields);

	return config_v4(all);
}

/* "10.5.1.0/24 10.5.2.0/24" -> prefixes. */
static size_t nets(const char *list, struct ip_net *ret, size_t max)
{
	auto_free char *copy = xstrdup(list);
	size_t len = 0;

	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
		assert_true(len < max);
		ret[len++] = test_net(word);
	}
	return len;
}

/* Network 10.5.0.0/16 with 16 subnets /24 from 10.5.16.0 to 10.5.31.0. */
static const char sixteen[] = "\"Network\":\"10.5.0.0/16\",\"SubnetMin\":\"10.5.16.0\","
			      "\"SubnetMax\":\"10.5.31.0\"";

static void test_free_count(void **state)
{
	(void)state;
	static const struct {
		const char *taken;
		unsigned free;
	} rows[] = {
		{ "", 16 },
		{ "10.5.16.0/24", 15 },
		{ "10.5.31.0/24", 15 },
		{ "10.5.15.0/24 10.5.32.0/24", 16 }, /* beside the bounds */
		{ "10.5.20.0/24 10.5.20.0/24", 15 }, /* twice the same */
		{ "10.5.20.0/22", 12 },              /* four at once */
		{ "10.5.20.0/22 10.5.21.0/24", 12 }, /* one inside the other */
		{ "10.5.21.0/24 10.5.20.0/22", 12 }, /* in any order */
		{ "10.5.20.0/22 10.5.20.0/24 10.5.24.0/24", 11 },
		{ "10.5.20.64/26", 15 }, /* a part takes the whole */
		{ "10.5.20.64/26 10.5.20.128/26", 15 },
		{ "10.5.20.0/30 10.5.21.252/30", 14 },
		{ "10.5.0.0/16", 0 },
		{ "10.0.0.0/8", 0 },
		{ "0.0.0.0/0", 0 },
		{ "10.5.16.0/20", 0 },
		{ "10.5.0.0/20", 16 },
		{ "10.5.24.0/21", 8 },
		{ "fd10::/8 ::/0", 16 }, /* the other family */
		{ "192.168.0.0/16", 16 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_network_config struct network_config c = config_v4(sixteen);
		struct ip_net taken[8];
		size_t len = nets(rows[i].taken, taken, ARRAY_LEN(taken));

		assert_row(pool_free_count(&c.v4, taken, len) == rows[i].free, rows[i].taken);
	}
}

static void test_largest_run(void **state UNUSED)
{
	static const struct {
		const char *taken;
		unsigned run;
	} rows[] = {
		{ "", 16 },
		{ "10.5.16.0/24", 15 },
		{ "10.5.20.0/24", 11 },
		{ "10.5.27.0/24 10.5.20.0/24", 6 },
		{ "10.5.20.64/26 10.5.24.0/21", 4 },
		{ "10.5.0.0/16", 0 },
		{ "192.168.0.0/16", 16 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_network_config struct network_config c = config_v4(sixteen);
		struct ip_net taken[8];
		size_t len = nets(rows[i].taken, taken, ARRAY_LEN(taken));

		assert_row(pool_largest_run(&c.v4, taken, len) == rows[i].run, rows[i].taken);
		assert_true(pool_largest_run(&c.v6, taken, len) == 0);
	}
}

static bool overlaps_any(const struct ip_net *n, const struct ip_net *taken, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (ip_net_overlaps(n, &taken[i]))
			return true;
	}
	return false;
}

/* With every random number in turn, each free subnet is picked equally often and no other ever. */
static void test_uniform_over_what_is_free(void **state)
{
	(void)state;
	auto_network_config struct network_config c = config_v4(sixteen);
	struct ip_net taken[8];
	size_t len = nets("10.5.16.0/24 10.5.19.64/26 10.5.24.0/23 10.5.31.0/24", taken,
			  ARRAY_LEN(taken));
	unsigned hits[32] = { 0 };
	enum { FREE = 11, ROUNDS = 50 };

	assert_true(pool_free_count(&c.v4, taken, len) == FREE);
	for (uint64_t random = 0; random < FREE * ROUNDS; random++) {
		struct ip_net n;

		assert_int_equal(pool_pick(&c.v4, taken, len, random, &n, NULL), 0);
		assert_true(network_family_allows(&c.v4, &n));
		assert_false(overlaps_any(&n, taken, len));
		hits[n.addr.b[2]]++;
	}
	for (unsigned i = 0; i < ARRAY_LEN(hits); i++)
		assert_true(hits[i] == 0 || hits[i] == ROUNDS);
}

/*
 * Filling a pool from random numbers hands out every subnet once and then says that none is left.
 */
static void test_filling_up(void **state)
{
	(void)state;
	auto_network_config struct network_config c =
		config_v4("\"Network\":\"10.5.0.0/16\",\"SubnetLen\":26");
	size_t capacity = (size_t)network_family_capacity(&c.v4);
	auto_free struct ip_net *taken = xcalloc(capacity, sizeof(*taken));
	uint64_t seed = 42;
	struct ip_net n;
	struct err e;

	assert_int_equal(capacity, 1023);
	for (size_t len = 0; len < capacity; len++) {
		assert_true(pool_free_count(&c.v4, taken, len) == capacity - len);
		assert_int_equal(pool_pick(&c.v4, taken, len, test_random(&seed), &n, &e), 0);
		assert_true(network_family_allows(&c.v4, &n));
		assert_false(overlaps_any(&n, taken, len));
		taken[len] = n;
	}
	n.len = 99;
	assert_int_equal(pool_pick(&c.v4, taken, capacity, test_random(&seed), &n, &e), -ENOSPC);
	assert_int_equal(n.len, 99);
	assert_contains(e.text, "out of subnets");
	assert_contains(e.text, "/26");
	assert_contains(e.text, "10.5.0.64");
	assert_contains(e.text, "10.5.255.192");
	assert_true(pool_free_count(&c.v4, taken, capacity) == 0);
}

/* The first host of a fabric. */
static void test_nothing_taken(void **state)
{
	(void)state;
	auto_network_config struct network_config c = config_v4(sixteen);
	struct ip_net n;

	assert_true(pool_free_count(&c.v4, NULL, 0) == 16);
	assert_int_equal(pool_pick(&c.v4, NULL, 0, 3, &n, NULL), 0);
	assert_true(network_family_allows(&c.v4, &n));
}

static void test_only_one_left(void **state)
{
	(void)state;
	auto_network_config struct network_config c = config_v4(sixteen);
	struct ip_net taken[16];
	struct ip_net expected = test_net("10.5.23.0/24");
	uint64_t seed = 7;

	for (unsigned i = 0, len = 0; i < 16; i++) {
		auto_free char *text = xasprintf("10.5.%u.0/24", 16 + i);

		if (i != 7)
			taken[len++] = test_net(text);
	}
	for (unsigned i = 0; i < 100; i++) {
		struct ip_net n;

		assert_int_equal(pool_pick(&c.v4, taken, 15, test_random(&seed), &n, NULL), 0);
		assert_true(ip_net_equal(&n, &expected));
	}
}

static void test_ipv6(void **state)
{
	(void)state;
	auto_network_config struct network_config c = config_v6("\"IPv6Network\":\"fd10::/48\"");
	struct ip_net taken[8];
	size_t len = nets("fd10:0:0:1::/64 fd10:0:0:8000::/49 fd10:0:0:2::1:0/112 10.0.0.0/8",
			  taken, ARRAY_LEN(taken));
	uint64_t seed = 3;

	assert_true(pool_free_count(&c.v6, taken, len) == 65535 - 1 - 32768 - 1);
	for (unsigned i = 0; i < 1000; i++) {
		struct ip_net n;

		assert_int_equal(pool_pick(&c.v6, taken, len, test_random(&seed), &n, NULL), 0);
		assert_true(network_family_allows(&c.v6, &n));
		assert_false(ip_net_has_host_bits(&n));
		assert_false(overlaps_any(&n, taken, len));
	}
}

/* More subnets than fit in 64 bits: counted right, and picked without overflow. */
static void test_huge_networks(void **state)
{
	(void)state;
	static const char *const fields[] = {
		"\"IPv6Network\":\"2000::/3\",\"IPv6SubnetLen\":64",
		"\"IPv6Network\":\"2000::/3\",\"IPv6SubnetLen\":67",
		"\"IPv6Network\":\"2000::/3\",\"IPv6SubnetLen\":68",
		"\"IPv6Network\":\"2000::/3\",\"IPv6SubnetLen\":126",
		"\"IPv6Network\":\"8000::/2\",\"IPv6SubnetLen\":126",
	};
	static const uint64_t randoms[] = { 0, 1, UINT64_MAX / 2, UINT64_MAX - 1, UINT64_MAX };

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		auto_network_config struct network_config c = config_v6(fields[i]);
		unsigned bits = c.v6.subnet_len - c.v6.network.len;
		struct ip_net taken[4];
		size_t len = nets("2000::/5 8000::/5 ::/4", taken, ARRAY_LEN(taken));
		u128 covered =
			c.v6.network.len == 3 ? (u128)1 << (bits - 2) : (u128)1 << (bits - 3);

		/* The first subnet is never used, but the taken range covers it too. */
		assert_true(pool_free_count(&c.v6, taken, len) == ((u128)1 << bits) - covered);
		for (size_t k = 0; k < ARRAY_LEN(randoms); k++) {
			struct ip_net n;

			assert_int_equal(pool_pick(&c.v6, taken, len, randoms[k], &n, NULL), 0);
			assert_true(network_family_allows(&c.v6, &n));
			assert_false(ip_net_has_host_bits(&n));
			assert_false(overlaps_any(&n, taken, len));
		}
	}
}

static void test_everything_taken_by_one_prefix(void **state)
{
	(void)state;
	auto_network_config struct network_config c = config_v6("\"IPv6Network\":\"fd10::/48\"");
	static const char *const covers[] = { "::/0", "fd00::/8", "fd10::/48" };

	for (size_t i = 0; i < ARRAY_LEN(covers); i++) {
		struct ip_net taken = test_net(covers[i]);
		struct ip_net n;
		struct err e;

		assert_int_equal(pool_pick(&c.v6, &taken, 1, 5, &n, &e), -ENOSPC);
		assert_contains(e.text, "out of subnets");
	}
}

/* The same against the definition: count and pick by looking at every subnet one by one. */
static void test_against_brute_force(void **state)
{
	(void)state;
	auto_network_config struct network_config c =
		config_v4("\"Network\":\"10.5.0.0/"
			  "16\",\"SubnetLen\":22,\"SubnetMin\":\"10.5.8.0\",\"SubnetMax\":"
			  "\"10.5.240.0\"");
	uint64_t seed = 99;

	for (unsigned round = 0; round < 2000; round++) {
		struct ip_net taken[12];
		struct ip_net free_nets[64];
		size_t len = test_random(&seed) % ARRAY_LEN(taken);
		size_t free_len = 0;
		uint64_t random = test_random(&seed);
		struct ip_net picked;

		for (size_t i = 0; i < len; i++) {
			struct ip_net n = { .len = (uint8_t)(17 + test_random(&seed) % 14) };

			n.addr = ip_addr_from_u128(AF_INET,
						   0x0a050000 + (test_random(&seed) & 0xffff));
			taken[i] = ip_net_masked(&n);
		}
		for (unsigned third = 8; third <= 240; third += 4) {
			struct ip_net n = { ip_addr_from_u128(AF_INET, 0x0a050000 + third * 256),
					    22 };

			if (!overlaps_any(&n, taken, len))
				free_nets[free_len++] = n;
		}
		assert_true(pool_free_count(&c.v4, taken, len) == free_len);
		if (free_len == 0) {
			assert_int_equal(pool_pick(&c.v4, taken, len, random, &picked, NULL),
					 -ENOSPC);
			continue;
		}
		assert_int_equal(pool_pick(&c.v4, taken, len, random, &picked, NULL), 0);
		assert_true(ip_net_equal(&picked, &free_nets[random % free_len]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_free_count),
		cmocka_unit_test(test_largest_run),
		cmocka_unit_test(test_uniform_over_what_is_free),
		cmocka_unit_test(test_filling_up),
		cmocka_unit_test(test_nothing_taken),
		cmocka_unit_test(test_only_one_left),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_huge_networks),
		cmocka_unit_test(test_everything_taken_by_one_prefix),
		cmocka_unit_test(test_against_brute_force),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
