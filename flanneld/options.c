/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/options.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "traffic/rules.h"
#include "lib/addr.h"
#include "lib/file.h"
#include "lib/options.h"

#define ENVIRONMENT_PREFIX  "FLANNELD_"
#define DEFAULT_CONFIG_FILE "/etc/flannel/flanneld.conf"

#define AT(field) offsetof(struct flanneld_options, field)

/* clang-format off */
const struct option_spec flanneld_option_specs[] = {
	{ .name = "", .type = OPTION_TABLE, .offset = AT(store), .table = store_option_specs },
	{ .name = "iface", .type = OPTION_LIST, .offset = AT(external.iface),
	  .help = "external interface by name or address, tried in the order given" },
	{ .name = "iface-regex", .type = OPTION_LIST, .offset = AT(external.iface_regex),
	  .help = "external interface by a POSIX extended regular expression on addresses, then on names; tried after iface" },
	{ .name = "iface-can-reach", .type = OPTION_TEXT, .offset = AT(external.iface_can_reach),
	  .help = "external interface that the kernel would use to reach this address; tried last" },
	{ .name = "public-ip", .type = OPTION_TEXT, .offset = AT(external.public_ip),
	  .help = "IPv4 address that peers send to; empty: the external interface's" },
	{ .name = "public-ipv6", .type = OPTION_TEXT, .offset = AT(external.public_ipv6),
	  .help = "IPv6 address that peers send to; empty: the external interface's" },
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
	{ .name = "ip-masq", .type = OPTION_BOOL, .offset = AT(traffic.ip_masq), .value = "false",
	  .help = "masquerade what leaves the network" },
	{ .name = "ip-masq-fully-random-disable", .type = OPTION_BOOL, .offset = AT(traffic.ip_masq_fully_random_disable), .value = "false",
	  .help = "masquerade without randomised ports" },
	{ .name = "iptables-resync", .type = OPTION_INT, .offset = AT(traffic.iptables_resync), .value = "5", .min = 1, .max = 86400,
	  .help = "seconds between looks at what the kernel does not report by itself: rules of iptables-legacy, IP forwarding, counters" },
	{ .name = "iptables-forward-rules", .type = OPTION_BOOL, .offset = AT(traffic.iptables_forward_rules), .value = "true",
	  .help = "accept forwarded packets from and to the network" },
	{ .name = "ip-blackhole-route", .type = OPTION_BOOL, .offset = AT(ip_blackhole_route), .value = "false",
	  .help = "drop packets to addresses of the own subnet that no container has" },
	{ .name = "ip-masq-exclude", .type = OPTION_LIST, .offset = AT(traffic.ip_masq_exclude),
	  .help = "network, as address/length, towards which containers keep their own address; may be repeated" },
	{ .name = "peer-guard", .type = OPTION_BOOL, .offset = AT(traffic.peer_guard), .value = "true",
	  .help = "take tunnel packets from addresses of peers only, and none from containers" },
	{ .name = "anti-spoofing", .type = OPTION_BOOL, .offset = AT(traffic.anti_spoofing), .value = "true",
	  .help = "drop what comes out of the tunnel with a source that cannot be there" },
	{ .name = "traffic-mode", .type = OPTION_CHOICE, .offset = AT(traffic.traffic_mode), .value = "auto", .choices = "auto,nftables,iptables",
	  .help = "where masquerade and forwarding rules stand; auto: in iptables if that is what drops forwarded packets" },
	{ .name = "traffic-table", .type = OPTION_TEXT, .offset = AT(traffic.traffic_table),
	  .help = "name of the nftables table; empty: the first tunnel device's, so that two networks have two" },
	{ .name = "cni-plugin", .type = OPTION_TEXT, .offset = AT(plugin.cni_plugin),
	  .help = "CNI plugin that puts back what it made when others undo it; empty: flannel in /usr/local/libexec/cni, /usr/lib/cni, /opt/cni/bin or /usr/libexec/cni" },
	{ .name = "cni-data-dir", .type = OPTION_TEXT, .offset = AT(plugin.cni_data_dir), .value = "/var/lib/cni/flannel",
	  .help = "directory of that plugin's records, as dataDir in its configuration" },
	{ .name = "set-sysctls", .type = OPTION_BOOL, .offset = AT(traffic.set_sysctls), .value = "false",
	  .help = "turn on IP forwarding if it is off" },
	{ .name = "probe-interval", .type = OPTION_INT, .offset = AT(probe_interval), .value = "10", .min = 0, .max = 3600,
	  .help = "seconds in which each peer is asked once, by ICMP echo, whether it answers; 0: never" },
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

static int check_address(const char *flag, const char *text, int family, struct err *e)
{
	struct ip_addr a;

	if (*text && ip_addr_parse(text, family, &a, e) < 0)
		return err_wrap(e, "%s", flag);
	return 0;
}

static int check(struct flanneld_options *o, struct err *e)
{
	int rc = check_address("public-ip", o->external.public_ip, AF_INET, e);

	if (rc == 0)
		rc = check_address("public-ipv6", o->external.public_ipv6, AF_INET6, e);
	if (rc == 0)
		rc = check_address("iface-can-reach", o->external.iface_can_reach, AF_UNSPEC, e);
	if (rc == 0)
		rc = check_address("healthz-ip", o->healthz_ip, AF_UNSPEC, e);
	if (rc == 0)
		rc = rules_check_options(&o->traffic, e);
	if (rc == 0)
		rc = plugin_check_options(&o->plugin, e);
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
