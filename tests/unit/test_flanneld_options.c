/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flanneld/options: flannel's flags, with its names and defaults, and what concerns several at
 * once.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>

#include "flanneld/options.h"
#include "lib/file.h"

/* Words between blanks, without the program's name. */
static int read_options(const char *line, struct flanneld_options *ret, struct err *e)
{
	auto_free char *copy = xstrdup(line);
	char *argv[64] = { (char *)"flanneld" };
	int argc = 1;

	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	memset(ret, 0, sizeof(*ret));
	memset(e, 0, sizeof(*e));
	/* No file of the machine that the test runs on has a say. */
	argv[argc++] = (char *)"--config-file=/dev/null";
	return flanneld_options_read(argc, argv, ret, e);
}

static void read_ok(const char *line, struct flanneld_options *ret)
{
	struct err e;

	if (read_options(line, ret, &e) < 0)
		fail_msg("%s: %s", line, e.text);
}

static void test_flannels_flags_and_defaults(void **state)
{
	(void)state;
	/* As `flanneld --help` of flannel shows them. */
	static const struct {
		const char *name;
		const char *value;
	} rows[] = {
		{ "etcd-endpoints", "http://127.0.0.1:4001,http://127.0.0.1:2379" },
		{ "etcd-prefix", "/coreos.com/network" },
		{ "etcd-keyfile", "" },
		{ "etcd-certfile", "" },
		{ "etcd-cafile", "" },
		{ "etcd-username", "" },
		{ "etcd-password", "" },
		{ "iface", "" },
		{ "iface-regex", "" },
		{ "iface-can-reach", "" },
		{ "public-ip", "" },
		{ "public-ipv6", "" },
		{ "subnet-file", "/run/flannel/subnet.env" },
		{ "subnet-lease-renew-margin", "60" },
		{ "ip-masq", "false" },
		{ "ip-masq-fully-random-disable", "false" },
		{ "iptables-resync", "5" },
		{ "iptables-forward-rules", "true" },
		{ "ip-blackhole-route", "false" },
		{ "kube-subnet-mgr", "false" },
		{ "kube-api-url", "" },
		{ "kubeconfig-file", "" },
		{ "kube-annotation-prefix", "flannel.alpha.coreos.com" },
		{ "net-config-path", "/etc/kube-flannel/net-conf.json" },
		{ "set-node-network-unavailable", "true" },
		{ "healthz-port", "0" },
		{ "version", "false" },
		{ "v", "0" },
		{ "vmodule", "" },
		{ "log_backtrace_at", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct option_spec *s = options_find(flanneld_option_specs, rows[i].name);
		const char *value;

		assert_row(s, rows[i].name);
		value = s->value ? s->value : s->type == OPTION_BOOL ? "false" : "";
		if (strcmp(value, rows[i].value) != 0)
			fail_msg("%s is \"%s\" by default, expected \"%s\"", s->name, value,
				 rows[i].value);
	}
}

struct seen {
	const char *names[100];
	const char *places[100]; /* where their values are */
	size_t len;
};

static int check_option(const struct option_spec *s, void *value, void *arg)
{
	struct seen *seen = arg;

	assert_row(s->help && *s->help, s->name);
	for (size_t i = 0; i < seen->len; i++) {
		assert_row(strcmp(s->name, seen->names[i]) != 0, s->name);
		assert_row(value != seen->places[i], s->name);
	}
	assert_true(seen->len < ARRAY_LEN(seen->names));
	seen->names[seen->len] = s->name;
	seen->places[seen->len++] = value;
	if (s->type == OPTION_INT)
		assert_row(s->min <= s->max && s->value, s->name);
	if (s->type == OPTION_CHOICE)
		assert_row(s->choices && s->value, s->name);
	if (s->value) {
		auto_free char *line = xasprintf("--%s=%s", s->name, s->value);
		struct flanneld_options o;
		struct err e;
		int rc = read_options(line, &o, &e);

		flanneld_options_fini(&o);
		if (rc < 0)
			fail_msg("its own default is refused: %s", e.text);
	}
	return 0;
}

/* The table is used to write memory: every default must be one that may be given. */
static void test_the_table_is_sound(void **state)
{
	(void)state;
	struct flanneld_options o;
	struct seen seen = { .len = 0 };

	options_each(flanneld_option_specs, &o, check_option, &seen);
	for (size_t i = 0; i < seen.len; i++)
		assert_row(seen.places[i] >= (char *)&o && seen.places[i] < (char *)(&o + 1),
			   seen.names[i]);
}

static void test_values_arrive(void **state)
{
	(void)state;
	struct flanneld_options o;

	read_ok("-etcd-endpoints=http://192.0.2.1:2379 --etcd-prefix /net -iface eth1 -iface "
		"192.0.2.5 --iface-regex ^eth -public-ip 198.51.100.1 -public-ipv6 2001:db8::1 "
		"-iface-can-reach 2001:db8::9 -subnet-lease-renew-margin 1439 -ip-masq "
		"-iptables-forward-rules=false -healthz-ip :: -healthz-port 65535 -v 10 "
		"-log-format json -node-id abc -node-name worker",
		&o);
	assert_string_equal(o.store.etcd.endpoints, "http://192.0.2.1:2379");
	assert_string_equal(o.store.etcd.prefix, "/net");
	assert_int_equal(o.fabric.external.iface.len, 2);
	assert_string_equal(o.fabric.external.iface.items[1], "192.0.2.5");
	assert_int_equal(o.fabric.external.iface_regex.len, 1);
	assert_string_equal(o.fabric.external.public_ip, "198.51.100.1");
	assert_string_equal(o.fabric.external.public_ipv6, "2001:db8::1");
	assert_int_equal(o.subnet_lease_renew_margin, 1439);
	assert_true(o.fabric.traffic.ip_masq);
	assert_false(o.fabric.traffic.iptables_forward_rules);
	assert_int_equal(o.healthz_port, 65535);
	assert_int_equal(o.v, 10);
	assert_string_equal(o.log_format, "json");
	assert_string_equal(o.node_id, "abc");
	flanneld_options_fini(&o);
}

static void test_bad_values_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		const char *flag;
		const char *says;
	} rows[] = {
		{ "-public-ip 300.1.1.1", "public-ip", "300.1.1.1" },
		{ "-public-ip 2001:db8::1", "public-ip", "IPv4" },
		{ "-public-ipv6 192.0.2.1", "public-ipv6", "IPv6" },
		{ "-iface-can-reach example.org", "iface-can-reach", "example.org" },
		{ "-healthz-ip localhost", "healthz-ip", "localhost" },
		{ "-healthz-port 65536", "healthz-port is \"65536\"", "0 to 65535" },
		{ "-healthz-port -1", "healthz-port is \"-1\"", "0 to 65535" },
		{ "-subnet-lease-renew-margin 0", "subnet-lease-renew-margin is \"0\"",
		  "1 to 1439" },
		{ "-subnet-lease-renew-margin 1440", "subnet-lease-renew-margin is \"1440\"",
		  "1 to 1439" },
		{ "-lease-ttl 5", "lease-ttl is \"5\"", "from 10" },
		{ "-lease-ttl 600 -subnet-lease-renew-margin 10", "subnet-lease-renew-margin is 10",
		  "lease-ttl" },
		{ "-log-format xml", "log-format is \"xml\"", "text,json" },
		{ "-ip-masq=maybe", "ip-masq", "true or false" },
		{ "-v x", "v is \"x\"", "from 0 to 10" },
		{ "-no-such-flag", "-no-such-flag", "no flag" },
		{ "--ifcae=eth0", "no flag \"--ifcae\"", "did you mean iface?" },
		{ "--etcd-endpoint http://192.0.2.1:2379", "no flag \"--etcd-endpoint\"",
		  "did you mean etcd-endpoints?" },
		{ "start", "unexpected argument", "start" },
		{ "-kube-subnet-mgr -store=file:/x", "kube-subnet-mgr is true",
		  "store is \"file:/x\": must be kube" },
		{ "-kube-subnet-mgr=maybe", "kube-subnet-mgr", "true or false" },
		{ "-kube-subnet-mgr -kube-annotation-prefix=flannel", "kube-annotation-prefix",
		  "must begin with a domain name" },
		{ "-kube-subnet-mgr -net-config-path=net-conf.json", "net-config-path",
		  "must be an absolute path" },
		{ "-store=redis", "store is \"redis\"", "etcd, consul, kube or file:DIRECTORY" },
		{ "-store=consul -consul-prefix=/", "consul-prefix is \"/\"", "1 to 256 bytes" },
		{ "-store=consul -consul-certfile=/dev/null", "consul-keyfile", "together" },
		{ "-store=consul -consul-token-file=/nonexistent", "consul-token-file",
		  "/nonexistent" },
		{ "-vmodule x=2", "vmodule", "log level" },
		{ "-etcd-password-file /nonexistent/secret", "etcd-password-file",
		  "/nonexistent/secret" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct flanneld_options o;
		struct err e;

		assert_row(read_options(rows[i].line, &o, &e) < 0, rows[i].line);
		assert_contains(e.text, rows[i].flag);
		assert_contains(e.text, rows[i].says);
		flanneld_options_fini(&o);
	}
}

/* Scripts made for flannel pass these; as long as they ask for nothing they are accepted. */
static void test_flags_of_other_modes_at_their_default(void **state)
{
	(void)state;
	struct flanneld_options o;

	read_ok("-kube-subnet-mgr=false -net-config-path /etc/kube-flannel/net-conf.json "
		"-kube-annotation-prefix=flannel.alpha.coreos.com "
		"-set-node-network-unavailable=true "
		"-vmodule= -log_backtrace_at=",
		&o);
	flanneld_options_fini(&o);
}

/* It is another name of a store. */
static void test_kube_subnet_mgr(void **state)
{
	(void)state;
	struct flanneld_options o;
	struct err e;

	read_ok("-kube-subnet-mgr", &o);
	assert_string_equal(o.store.store, "kube");
	assert_string_equal(store_type_of(&o.store)->scheme, "kube");
	flanneld_options_fini(&o);
	read_ok("-store kube -set-node-network-unavailable=false", &o);
	assert_false(o.store.kube.set_network_unavailable);
	flanneld_options_fini(&o);
	read_ok("-store kube -node-network-unavailable-on=stop", &o);
	assert_int_equal(kube_options_out_of_use(&o.store.kube), STORE_OUT_STOPPED);
	flanneld_options_fini(&o);
	assert_int_equal(read_options("-store kube -node-network-unavailable-on=drain "
				      "-set-node-network-unavailable=false",
				      &o, &e),
			 -EINVAL);
	assert_non_null(strstr(e.text, "nothing would end it"));
	flanneld_options_fini(&o);
}

static void test_command_line_beats_environment_beats_file(void **state)
{
	(void)state;
	char path[] = "/tmp/test_flanneld_options.XXXXXX";
	auto_free char *option = NULL;
	struct flanneld_options o;
	struct err e;
	char *argv[4] = { (char *)"flanneld", NULL, (char *)"-healthz-port=3", NULL };
	static const char text[] = "healthz-port = 1\netcd-prefix = /file\nnode-name = file\n";

	close(mkstemp(path));
	assert_int_equal(file_replace(path, text, sizeof(text) - 1, 0600, &e), 0);
	setenv("FLANNELD_HEALTHZ_PORT", "2", 1);
	setenv("FLANNELD_ETCD_PREFIX", "/environment", 1);
	option = xasprintf("--config-file=%s", path);
	argv[1] = option;
	if (flanneld_options_read(3, argv, &o, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(o.healthz_port, 3);
	assert_string_equal(o.store.etcd.prefix, "/environment");
	assert_string_equal(o.node_name, "file");
	flanneld_options_fini(&o);

	/* The file may be named by the environment too. */
	setenv("FLANNELD_CONFIG_FILE", path, 1);
	if (flanneld_options_read(1, argv, &o, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(o.healthz_port, 2);
	assert_string_equal(o.node_name, "file");
	flanneld_options_fini(&o);
	unsetenv("FLANNELD_CONFIG_FILE");
	unsetenv("FLANNELD_HEALTHZ_PORT");
	unsetenv("FLANNELD_ETCD_PREFIX");
	unlink(path);
}

/* A file that was named must be there. */
static void test_a_named_file_must_exist(void **state)
{
	(void)state;
	char *argv[] = { (char *)"flanneld", (char *)"--config-file=/nonexistent/flanneld.conf",
			 NULL };
	struct flanneld_options o;
	struct err e;

	assert_int_equal(flanneld_options_read(2, argv, &o, &e), -ENOENT);
	assert_contains(e.text, "/nonexistent/flanneld.conf");
	flanneld_options_fini(&o);
}

static void test_password_from_a_file(void **state)
{
	(void)state;
	char path[] = "/tmp/test_flanneld_password.XXXXXX";
	static const struct {
		const char *text;
		const char *password;
	} rows[] = {
		{ "secret\n", "secret" },
		{ "secret", "secret" },
		{ "with blank \r\nsecond line\n", "with blank " },
	};
	auto_free char *line = NULL;
	struct flanneld_options refused;
	struct err e;

	close(mkstemp(path));
	line = xasprintf("--etcd-password-file %s --etcd-password x", path);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct flanneld_options o;

		assert_int_equal(file_replace(path, rows[i].text, strlen(rows[i].text), 0600, NULL),
				 0);
		read_ok(line, &o);
		assert_string_equal(o.store.etcd.password, rows[i].password);
		flanneld_options_fini(&o);
	}
	/* Just being written: no reason to go on without a password. */
	assert_int_equal(file_replace(path, "", 0, 0600, NULL), 0);
	assert_int_equal(read_options(line, &refused, &e), -ENODATA);
	assert_contains(e.text, "etcd-password-file");
	flanneld_options_fini(&refused);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flannels_flags_and_defaults),
		cmocka_unit_test(test_the_table_is_sound),
		cmocka_unit_test(test_values_arrive),
		cmocka_unit_test(test_bad_values_are_refused),
		cmocka_unit_test(test_flags_of_other_modes_at_their_default),
		cmocka_unit_test(test_kube_subnet_mgr),
		cmocka_unit_test(test_command_line_beats_environment_beats_file),
		cmocka_unit_test(test_a_named_file_must_exist),
		cmocka_unit_test(test_password_from_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
