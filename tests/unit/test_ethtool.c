/* SPDX-License-Identifier: Apache-2.0 */
/* kernel/ethtool: of the loopback device, which every namespace has. */
#include "tests/unit/test.h"

#include <errno.h>

#include "kernel/ethtool.h"

static void test_features(void **state UNUSED)
{
	struct err e;
	bool on = false;
	bool other = true;

	assert_int_equal(ethtool_feature("lo", "loopback", &on, &e), 0);
	assert_true(on);
	assert_int_equal(ethtool_feature("lo", "tx-udp_tnl-segmentation", &other, &e), 0);
	assert_false(other);
	assert_int_equal(ethtool_feature("lo", "no-such-feature", &on, &e), -ENOENT);
	assert_int_equal(ethtool_feature("nosuchdevice", "loopback", &on, &e), -ENODEV);
}

static void test_driver(void **state UNUSED)
{
	char name[ETHTOOL_NAME_SIZE] = "untouched";
	struct err e;

	assert_int_equal(ethtool_driver("nosuchdevice", name, &e), -ENODEV);
	assert_string_equal(name, "untouched");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_driver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
