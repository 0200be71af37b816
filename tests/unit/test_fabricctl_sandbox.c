/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl test: by which configuration its container is attached. */
#include "tests/unit/test.h"

#include "fabricctl/sandbox.h"

static char subnet_file[] = "/run/x.env";
static char data_dir[] = "/var/lib/x";
static const struct settings settings = { .subnet_file = subnet_file, .cni_data_dir = data_dir };

static json_t *made_of(const char *text)
{
	json_t *document = json_loads(text, 0, NULL);
	json_t *config;

	assert_non_null(document);
	config = sandbox_config(document, &settings);
	json_decref(document);
	return config;
}

static void assert_made(const char *text, const char *want)
{
	json_t *config = made_of(text);
	json_t *wanted = json_loads(want, 0, NULL);

	assert_non_null(wanted);
	assert_true(json_equal(config, wanted));
	json_decref(config);
	json_decref(wanted);
}

static void test_a_list(void **state UNUSED)
{
	assert_made("{\"name\":\"net\",\"cniVersion\":\"1.1.0\",\"plugins\":[{\"type\":\"other\"},"
		    "{\"type\":\"flannel\",\"capabilities\":{\"ips\":true},\"delegate\":{\"mtu\":"
		    "1400}}]}",
		    "{\"name\":\"net\",\"cniVersion\":\"1.1.0\",\"type\":\"flannel\","
		    "\"delegate\":{\"mtu\":1400},\"subnetFile\":\"/run/x.env\",\"dataDir\":\"/var/"
		    "lib/x\"}");
}

static void test_a_single_one(void **state UNUSED)
{
	assert_made(
		"{\"name\":\"net\",\"type\":\"flannel\",\"subnetFile\":\"/a\",\"dataDir\":\"/b\"}",
		"{\"name\":\"net\",\"cniVersion\":\"1.0.0\",\"type\":\"flannel\","
		"\"subnetFile\":\"/a\",\"dataDir\":\"/b\"}");
	assert_made("{\"type\":\"flannel\"}",
		    "{\"name\":\"cbr0\",\"cniVersion\":\"1.0.0\",\"type\":\"flannel\","
		    "\"subnetFile\":\"/run/x.env\",\"dataDir\":\"/var/lib/x\"}");
}

static void test_of_others(void **state UNUSED)
{
	static const char *const texts[] = {
		"{}",
		"{\"type\":\"bridge\"}",
		"{\"type\":7}",
		"{\"plugins\":[]}",
		"{\"plugins\":[{\"type\":\"bridge\"},7,null]}",
		"{\"plugins\":{\"type\":\"flannel\"}}",
		"{\"type\":\"flannel\",\"plugins\":[{\"type\":\"bridge\"}]}",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_null(made_of(texts[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_list),
		cmocka_unit_test(test_a_single_one),
		cmocka_unit_test(test_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
