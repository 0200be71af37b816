/* SPDX-License-Identifier: Apache-2.0 */
/* cni-plugin/env, error, version: the protocol's variables, codes and versions. */
#include "tests/unit/test.h"

#include <errno.h>

#include "cni-plugin/env.h"
#include "cni-plugin/error.h"
#include "cni-plugin/version.h"

static void set(const char *name, const char *value)
{
	if (value)
		assert_int_equal(setenv(name, value, 1), 0);
	else
		assert_int_equal(unsetenv(name), 0);
}

static int read_env(const char *command, const char *id, const char *netns, const char *ifname,
		    struct cni_env *env, struct err *e)
{
	set("CNI_COMMAND", command);
	set("CNI_CONTAINERID", id);
	set("CNI_NETNS", netns);
	set("CNI_IFNAME", ifname);
	set("CNI_PATH", NULL);
	set("CNI_ARGS", NULL);
	set("CNI_NETNS_OVERRIDE", NULL);
	return cni_env_read(env, e);
}

static void test_required_variables(void **state)
{
	(void)state;
	static const struct {
		const char *command;
		const char *id;
		const char *netns;
		const char *ifname;
		const char *missing; /* NULL: none */
	} rows[] = {
		{ "ADD", "c", "/n", "eth0", NULL },
		{ "ADD", NULL, NULL, NULL, "CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME" },
		{ "ADD", "c", "", "eth0", "CNI_NETNS" },
		{ "DEL", "c", NULL, "eth0", NULL },
		{ "DEL", "c", "/n", "", "CNI_IFNAME" },
		{ "CHECK", "c", NULL, "eth0", "CNI_NETNS" },
		{ "GC", NULL, NULL, NULL, NULL },
		{ "STATUS", NULL, NULL, NULL, NULL },
		{ "VERSION", NULL, "dummy", "dummy", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cni_env env;
		struct err e = { 0 };
		int rc = read_env(rows[i].command, rows[i].id, rows[i].netns, rows[i].ifname, &env,
				  &e);

		if (!rows[i].missing) {
			assert_row(rc == 0, rows[i].command);
			assert_string_equal(cni_command_name(env.command), rows[i].command);
			continue;
		}
		assert_row(rc < 0 && cni_code_of(&e) == CNI_ENVIRONMENT, rows[i].command);
		assert_contains(e.text, rows[i].missing);
	}
}

static void test_unknown_commands(void **state)
{
	(void)state;
	static const char *const rows[] = { "add", "", "ADD ", "VERSIONS", "REMOVE" };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cni_env env;
		struct err e = { 0 };

		assert_row(read_env(rows[i], "c", "/n", "eth0", &env, &e) < 0, rows[i]);
		assert_int_equal(cni_code_of(&e), CNI_ENVIRONMENT);
	}
}

static void test_override(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool value;
	} rows[] = {
		{ "1", true }, { "true", true }, { "TRUE", true }, { "0", false }, { "yes", false }
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cni_env env;
		struct err e;

		assert_int_equal(read_env("ADD", "c", "/n", "eth0", &env, &e), 0);
		assert_false(env.netns_override);
		set("CNI_NETNS_OVERRIDE", rows[i].text);
		assert_int_equal(cni_env_read(&env, &e), 0);
		assert_row(env.netns_override == rows[i].value, rows[i].text);
	}
}

static void test_identifiers(void **state)
{
	(void)state;
	static const char *const good[] = { "a", "0", "a.b_c-d", "A9" };
	static const char *const bad[] = { "", ".a", "-a", "_a", "a/b", "a b", "a@b", "\xc3\xa4" };

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_row(cni_is_identifier(good[i]), good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_row(!cni_is_identifier(bad[i]), bad[i]);
}

static void test_interface_names(void **state)
{
	(void)state;
	static const char *const good[] = { "e",  "eth0", "eth0.5", "eth0@x", "fifteen-bytes-x",
					    "..." };
	static const char *const bad[] = { "",      ".",    "..",   "a/b",
					   "a:b",   "a b",  "a\tb", "sixteen-bytes-xx",
					   "a\x7f", "a\x01" };

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_row(cni_is_ifname(good[i]), good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_row(!cni_is_ifname(bad[i]), bad[i]);
}

static void test_arguments(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool ok;
		const char *ip;  /* NULL: none */
		const char *mac; /* NULL: none */
	} rows[] = {
		{ "", true, NULL, NULL },
		{ ";;", true, NULL, NULL },
		{ "IgnoreUnknown=1", true, NULL, NULL },
		{ "IP=10.1.2.3", true, "10.1.2.3", NULL },
		{ "IP=10.1.2.3/24;MAC=02:00:00:00:00:01", true, "10.1.2.3", "02:00:00:00:00:01" },
		{ "IP=fd00::1", true, "fd00::1", NULL },
		{ "A=b=c;MAC=02:00:00:00:00:01;", true, NULL, "02:00:00:00:00:01" },
		{ "A=;IP=10.1.2.3", true, "10.1.2.3", NULL },
		{ "A=b;IgnoreUnknown=true", true, NULL, NULL },
		{ "A=b;IgnoreUnknown=0", false, NULL, NULL },
		{ "IgnoreUnknown=0;IP=10.1.2.3", true, "10.1.2.3", NULL },
		{ "IgnoreUnknown=", false, NULL, NULL },
		{ "A", false, NULL, NULL },
		{ "=b", false, NULL, NULL },
		{ "A=b;B", false, NULL, NULL },
		{ "IP=", false, NULL, NULL },
		{ "IP=10.1.2", false, NULL, NULL },
		{ "MAC=02:00:00:00:00", false, NULL, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cni_args args = { 0 };
		char ip[IP_ADDR_TEXT];
		char mac[MAC_TEXT];
		struct err e = { 0 };
		int rc = cni_args_parse(rows[i].text, &args, &e);

		assert_row((rc == 0) == rows[i].ok, rows[i].text);
		if (rc < 0) {
			assert_int_equal(cni_code_of(&e), CNI_ENVIRONMENT);
			continue;
		}
		assert_string_equal(ip_addr_format(&args.ip, ip), rows[i].ip ? rows[i].ip : "-");
		assert_row(args.has_mac == (rows[i].mac != NULL), rows[i].text);
		if (args.has_mac)
			assert_string_equal(mac_addr_format(&args.mac, mac), rows[i].mac);
	}
}

static void test_codes(void **state)
{
	(void)state;
	struct err e = { 0 };

	assert_true(cni_error(&e, CNI_CONFIG, "x %d", 5) < 0);
	assert_int_equal(cni_code_of(&e), CNI_CONFIG);
	assert_string_equal(e.text, "x 5");
	/* What is settled stays settled, also under more words. */
	err_wrap(&e, "noun");
	cni_classify(&e, CNI_STATE);
	assert_int_equal(cni_code_of(&e), CNI_CONFIG);
	assert_string_equal(e.text, "noun: x 5");
	err_set(&e, -ENOENT, "gone");
	assert_int_equal(cni_code_of(&e), CNI_KERNEL);
	cni_classify(&e, CNI_UNKNOWN_CONTAINER);
	assert_int_equal(cni_code_of(&e), CNI_UNKNOWN_CONTAINER);
	err_set(&e, -ETIMEDOUT, "late");
	cni_classify(&e, CNI_STATE);
	assert_int_equal(cni_code_of(&e), CNI_TRY_AGAIN);
}

static void test_versions(void **state)
{
	(void)state;
	static const struct {
		const char *version;
		enum version_shape shape;
		bool check;
		bool gc;
	} rows[] = {
		{ "0.1.0", VERSION_SHAPE_IP4_IP6, false, false },
		{ "0.2.0", VERSION_SHAPE_IP4_IP6, false, false },
		{ "0.3.0", VERSION_SHAPE_INTERFACES, false, false },
		{ "0.3.1", VERSION_SHAPE_INTERFACES, false, false },
		{ "0.4.0", VERSION_SHAPE_INTERFACES, true, false },
		{ "1.0.0", VERSION_SHAPE_1_0, true, false },
		{ "1.1.0", VERSION_SHAPE_1_1, true, true },
	};
	static const char *const unknown[] = {
		"", "1", "1.0", "1.0.1", "v1.0.0", "1.1.0 ", "2.0.0"
	};
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_row(version_check(rows[i].version, &e) == 0, rows[i].version);
		assert_row(version_shape(rows[i].version) == rows[i].shape, rows[i].version);
		assert_row(version_has_check(rows[i].version) == rows[i].check, rows[i].version);
		assert_row(version_has_gc_and_status(rows[i].version) == rows[i].gc,
			   rows[i].version);
	}
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
		assert_row(version_check(unknown[i], &e) < 0, unknown[i]);
		assert_int_equal(cni_code_of(&e), CNI_INCOMPATIBLE);
		assert_contains(e.text, "0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_required_variables),
		cmocka_unit_test(test_unknown_commands),
		cmocka_unit_test(test_override),
		cmocka_unit_test(test_identifiers),
		cmocka_unit_test(test_interface_names),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
