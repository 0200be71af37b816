/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/options.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "lib/addr.h"
#include "lib/file.h"
#include "lib/options.h"

#define ENVIRONMENT_PREFIX  "FLANNELD_"
#define DEFAULT_CONFIG_FILE "/etc/flannel/flanneld.conf"

#define AT(field) offsetof(struct flanneld_options, field)

/* clang-format off */
const struct option_spec flanneld_option_specs[] = {
	{ .name = "", .type = OPTION_TABLE, .offset = AT(store), .table = store_option_specs },
	{ .name = "", .type = OPTION_TABLE, .offset = AT(fabric), .table = fabric_option_specs },
	{ .name = "node-id", .type = OPTION_TEXT, .offset = AT(node_id),
	  .help = "identity of this host in the store; empty: the one kept in state-dir, made at the first start" },
	{ .name = "node-name", .type = OPTION_TEXT, .offset = AT(node_name),
	  .help = "name of this host for people; empty: the host name" },
	{ .name = "subnet-file", .type = OPTION_TEXT, .offset = AT(subnet_file), .value = "/run/flannel/subnet.env",
	  .help = "file that tells the CNI plugin and scripts about this host's subnet" },
	{ .name = "subnet-lease-renew-margin", .type = OPTION_INT, .offset = AT(subnet_lease_renew_margin), .value = "60", .min = 1, .max = 1439,
	  .help = "minutes before its end at which the lease is renewed at the latest" },
	{ .name = "lease-ttl", .type = OPTION_INT, .offset = AT(lease_ttl), .value = "86400", .min = 10, .max = 31536000,
	  .help = "seconds that the lease outlives its last renewal" },
	{ .name = "state-dir", .type = OPTION_TEXT, .offset = AT(state_dir), .value = "/var/lib/flannel",
	  .help = "directory for what must survive a reboot" },
	{ .name = "cni-plugin", .type = OPTION_TEXT, .offset = AT(plugin.cni_plugin),
	  .help = "CNI plugin that puts back what it made when others undo it; empty: flannel in /usr/local/libexec/cni, /usr/lib/cni, /opt/cni/bin or /usr/libexec/cni" },
	{ .name = "cni-data-dir", .type = OPTION_TEXT, .offset = AT(plugin.cni_data_dir), .value = "/var/lib/cni/flannel",
	  .help = "directory of that plugin's records, as dataDir in its configuration" },
	{ .name = "cni-ipam-dir", .type = OPTION_TEXT, .offset = AT(docker.cni_ipam_dir), .value = "/var/lib/cni/networks",
	  .help = "directory of the addresses that plugin has given, as ipam.dataDir in its configuration; for docker" },
	{ .name = "docker-socket", .type = OPTION_TEXT, .offset = AT(docker.docker_socket),
	  .help = "unix socket of a network and address driver for docker, called like the file without its ending, for example /run/docker/plugins/flannel.sock; empty: none" },
	{ .name = "fast-path", .type = OPTION_CHOICE, .offset = AT(fast.fast_path), .value = "auto", .choices = "auto,on,off",
	  .help = "packets between containers go past bridge, routing and packet filter where nobody needs to see them, with vxlan; auto: off, for now" },
	{ .name = "fast-path-dir", .type = OPTION_TEXT, .offset = AT(fast.fast_path_dir), .value = "/sys/fs/bpf/flannel",
	  .help = "directory in a BPF file system where its programs and maps are pinned, one for each network" },
	{ .name = "probe-interval", .type = OPTION_INT, .offset = AT(probe_interval), .value = "10", .min = 0, .max = 3600,
	  .help = "seconds in which each peer is asked once, by ICMP echo, whether it answers; 0: never" },
	{ .name = "health-record", .type = OPTION_BOOL, .offset = AT(health_record), .value = "true",
	  .help = "keep in the store, beside the leases, what this host has to tell of itself, for fabricctl hosts and mesh" },
	{ .name = "healthz-ip", .type = OPTION_TEXT, .offset = AT(healthz_ip), .value = "127.0.0.1",
	  .help = "address for the health and metrics server" },
	{ .name = "healthz-port", .type = OPTION_INT, .offset = AT(healthz_port), .value = "0", .min = 0, .max = 65535,
	  .help = "TCP port for the health and metrics server; 0: none" },
	{ .name = "socket", .type = OPTION_TEXT, .offset = AT(socket), .value = "/run/flannel/flanneld.sock",
	  .help = "unix socket for fabricctl" },
	{ .name = "log-format", .type = OPTION_CHOICE, .offset = AT(log_format), .value = "text", .choices = "text,json",
	  .help = "form of the log lines on stderr" },
	{ .name = "log-level", .type = OPTION_CHOICE, .offset = AT(log_level), .value = "info",
	  .choices = "error,warn,info,debug", .help = "the least that is logged; debug: what is sent and decided" },
	{ .name = "v", .type = OPTION_INT, .offset = AT(v), .value = "0", .min = 0, .max = 10,
	  .help = "log verbosity; 1 and more: debug" },
	{ .name = "vmodule", .type = OPTION_TEXT, .offset = AT(vmodule),
	  .help = "verbosity by source file",
	  .unsupported = "there is one log level, set it with v" },
	{ .name = "log_backtrace_at", .type = OPTION_TEXT, .offset = AT(log_backtrace_at),
	  .help = "stack trace at a log line",
	  .unsupported = "logs carry no stack traces" },
	{ .name = "config-file", .type = OPTION_TEXT, .offset = AT(config_file),
	  .help = "file of lines \"flag = value\"; empty: " DEFAULT_CONFIG_FILE " if it exists" },
	{ .name = "version", .type = OPTION_BOOL, .offset = AT(version), .value = "false",
	  .help = "print the version and exit" },
	{ .name = "help", .type = OPTION_BOOL, .offset = AT(help), .value = "false",
	  .help = "print this and exit" },
	{ .name = "h", .type = OPTION_BOOL, .offset = AT(h), .value = "false",
	  .help = "print this and exit" },
	{ 0 },
};
/* clang-format on */

static int check(struct flanneld_options *o, struct err *e)
{
	struct ip_addr healthz;
	int rc = fabric_options_check(&o->fabric, e);

	if (rc == 0 && *o->healthz_ip && ip_addr_parse(o->healthz_ip, AF_UNSPEC, &healthz, e) < 0)
		rc = err_wrap(e, "healthz-ip");
	if (rc == 0)
		rc = plugin_check_options(&o->plugin, e);
	if (rc == 0)
		rc = fast_path_check_options(&o->fast, e);
	if (rc == 0)
		rc = docker_check_options(&o->docker, e);
	if (rc == 0)
		rc = store_options_check(&o->store, e);
	if (rc == 0 && o->subnet_lease_renew_margin * 60 >= o->lease_ttl && o->lease_ttl != 86400 &&
	    o->subnet_lease_renew_margin != 60)
		rc = err_set(
			e, -EINVAL,
			"subnet-lease-renew-margin is %lld minutes, must be less than lease-ttl, "
			"%lld s",
			(long long)o->subnet_lease_renew_margin, (long long)o->lease_ttl);
	return rc;
}

/* The file is named by the other two sources, which are read twice for it. */
static int read_file(int argc, char **argv, struct flanneld_options *o, struct err *e)
{
	struct flanneld_options first;
	int ignored;
	int rc;

	options_init(flanneld_option_specs, &first);
	rc = options_read_environment(flanneld_option_specs, &first, ENVIRONMENT_PREFIX, e);
	if (rc == 0)
		rc = options_read_arguments(flanneld_option_specs, &first, argc, argv, &ignored, e);
	if (rc == 0 && *first.config_file)
		rc = options_read_file(flanneld_option_specs, o, first.config_file, e);
	else if (rc == 0 && access(DEFAULT_CONFIG_FILE, F_OK) == 0)
		rc = options_read_file(flanneld_option_specs, o, DEFAULT_CONFIG_FILE, e);
	options_fini(flanneld_option_specs, &first);
	return rc;
}

int flanneld_options_read(int argc, char **argv, struct flanneld_options *ret, struct err *e)
{
	int first = argc;
	int rc;

	options_init(flanneld_option_specs, ret);
	rc = read_file(argc, argv, ret, e);
	if (rc == 0)
		rc = options_read_environment(flanneld_option_specs, ret, ENVIRONMENT_PREFIX, e);
	if (rc == 0)
		rc = options_read_arguments(flanneld_option_specs, ret, argc, argv, &first, e);
	if (rc == 0 && first < argc)
		rc = err_set(e, -EINVAL, "unexpected argument \"%.80s\"", argv[first]);
	if (rc == 0)
		rc = check(ret, e);
	return rc;
}

void flanneld_options_each_unknown(void (*fn)(const char *name, const char *nearest))
{
	options_each_unknown_variable(flanneld_option_specs, ENVIRONMENT_PREFIX, fn);
}

void flanneld_options_fini(struct flanneld_options *o)
{
	options_fini(flanneld_option_specs, o);
}
