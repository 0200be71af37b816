/* SPDX-License-Identifier: Apache-2.0 */
/* subnet/claims: what overlaps what, compared with looking at every pair. */
#include "tests/unit/test.h"

#include "subnet/claims.h"

#define LEN 200

static struct claims claims;
static struct claim items[LEN];
static struct ip_net nets[LEN];
static bool present[LEN];
static unsigned seen[LEN];

static void count(void *arg, void *owner)
{
	(void)arg;
	seen[(struct claim *)owner - items]++;
}

static void check(const struct ip_net *net)
{
	memset(seen, 0, sizeof(seen));
	claims_overlapping(&claims, net, count, NULL);
	for (size_t i = 0; i < LEN; i++)
		assert_int_equal(seen[i], present[i] && ip_net_overlaps(&nets[i], net));
}

static void test_what_overlaps_is_found(void **state)
{
	static const char *const bases[] = { "10.5.0.0/24", "fd10:5::/64" };
	uint64_t random = 17;

	(void)state;
	for (unsigned round = 0; round < 4000; round++) {
		size_t i = test_random(&random) % LEN;

		if (present[i]) {
			claims_remove(&claims, &items[i]);
		} else {
			struct ip_net n = test_net(bases[test_random(&random) % 2]);
			unsigned bits = n.len;

			/* Near each other, so that many overlap and some are equal. */
			n.addr.b[bits / 8 - 1] = (uint8_t)(test_random(&random) % 16);
			n.len = (uint8_t)(bits - 3 + test_random(&random) % 6);
			nets[i] = ip_net_masked(&n);
			claims_add(&claims, &items[i], &nets[i], &items[i]);
		}
		present[i] = !present[i];
		check(&nets[test_random(&random) % LEN]);
	}
	for (size_t i = 0; i < LEN; i++)
		claims_remove(&claims, &items[i]);
	assert_int_equal(claims.by_net.len, 0);
}

static void test_no_prefix_is_no_claim(void **state)
{
	struct ip_net unset = { 0 };

	(void)state;
	memset(present, 0, sizeof(present));
	claims_add(&claims, &items[0], &unset, &items[0]);
	check(&unset);
	claims_remove(&claims, &items[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_overlaps_is_found),
		cmocka_unit_test(test_no_prefix_is_no_claim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
