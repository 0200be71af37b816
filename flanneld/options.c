/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/options.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "traffic/rules.h"
#include "lib/addr.h"
#include "lib/file.h"

#define ENVIRONMENT_PREFIX  "FLANNELD_"
#define DEFAULT_CONFIG_FILE "/etc/flannel/flanneld.conf"
#define PASSWORD_MAX_SIZE   4096

#define AT(field) offsetof(struct flanneld_options, field)
#define KUBE      "the Kubernetes subnet manager is not part of this version, leases are kept in etcd"

/* clang-format off */
const struct option_spec flanneld_option_specs[] = {
	{ "store", OPTION_TEXT, AT(store), "etcd", 0, 0, NULL,
	  "where the leases are: etcd, or file:DIRECTORY for several daemons on one machine", NULL },
	{ "etcd-endpoints", OPTION_TEXT, AT(etcd_endpoints),
	  "http://127.0.0.1:4001,http://127.0.0.1:2379", 0, 0, NULL,
	  "comma list of etcd endpoints, http://host:port or https://host:port", NULL },
	{ "etcd-prefix", OPTION_TEXT, AT(etcd_prefix), "/coreos.com/network", 0, 0, NULL,
	  "key prefix of configuration and leases in etcd", NULL },
	{ "etcd-keyfile", OPTION_TEXT, AT(etcd_keyfile), NULL, 0, 0, NULL,
	  "PEM file of the key to show to etcd", NULL },
	{ "etcd-certfile", OPTION_TEXT, AT(etcd_certfile), NULL, 0, 0, NULL,
	  "PEM file of the certificate to show to etcd", NULL },
	{ "etcd-cafile", OPTION_TEXT, AT(etcd_cafile), NULL, 0, 0, NULL,
	  "PEM file of the authority that signed etcd's certificate; empty: the system's", NULL },
	{ "etcd-username", OPTION_TEXT, AT(etcd_username), NULL, 0, 0, NULL,
	  "user name for etcd", NULL },
	{ "etcd-password", OPTION_TEXT, AT(etcd_password), NULL, 0, 0, NULL,
	  "password for etcd; seen by everybody in the process list, better use etcd-password-file", NULL },
	{ "etcd-password-file", OPTION_TEXT, AT(etcd_password_file), NULL, 0, 0, NULL,
	  "file with the password for etcd in its first line", NULL },
	{ "iface", OPTION_LIST, AT(external.iface), NULL, 0, 0, NULL,
	  "external interface by name or address, tried in the order given", NULL },
	{ "iface-regex", OPTION_LIST, AT(external.iface_regex), NULL, 0, 0, NULL,
	  "external interface by a POSIX extended regular expression on addresses, then on names; tried after iface", NULL },
	{ "iface-can-reach", OPTION_TEXT, AT(external.iface_can_reach), NULL, 0, 0, NULL,
	  "external interface that the kernel would use to reach this address; tried last", NULL },
	{ "public-ip", OPTION_TEXT, AT(external.public_ip), NULL, 0, 0, NULL,
	  "IPv4 address that peers send to; empty: the external interface's", NULL },
	{ "public-ipv6", OPTION_TEXT, AT(external.public_ipv6), NULL, 0, 0, NULL,
	  "IPv6 address that peers send to; empty: the external interface's", NULL },
	{ "node-id", OPTION_TEXT, AT(node_id), NULL, 0, 0, NULL,
	  "identity of this host in the store; empty: the one kept in state-dir, made at the first start", NULL },
	{ "node-name", OPTION_TEXT, AT(node_name), NULL, 0, 0, NULL,
	  "name of this host for people; empty: the host name", NULL },
	{ "subnet-file", OPTION_TEXT, AT(subnet_file), "/run/flannel/subnet.env", 0, 0, NULL,
	  "file that tells the CNI plugin and scripts about this host's subnet", NULL },
	{ "subnet-lease-renew-margin", OPTION_INT, AT(subnet_lease_renew_margin), "60", 1, 1439, NULL,
	  "minutes before its end at which the lease is renewed at the latest", NULL },
	{ "lease-ttl", OPTION_INT, AT(lease_ttl), "86400", 10, 31536000, NULL,
	  "seconds that the lease outlives its last renewal", NULL },
	{ "state-dir", OPTION_TEXT, AT(state_dir), "/var/lib/flannel", 0, 0, NULL,
	  "directory for what must survive a reboot", NULL },
	{ "ip-masq", OPTION_BOOL, AT(traffic.ip_masq), "false", 0, 0, NULL,
	  "masquerade what leaves the network", NULL },
	{ "ip-masq-fully-random-disable", OPTION_BOOL, AT(traffic.ip_masq_fully_random_disable), "false", 0, 0, NULL,
	  "masquerade without randomised ports", NULL },
	{ "iptables-resync", OPTION_INT, AT(traffic.iptables_resync), "5", 1, 86400, NULL,
	  "seconds between looks at what the kernel does not report by itself: rules of iptables-legacy, IP forwarding, counters", NULL },
	{ "iptables-forward-rules", OPTION_BOOL, AT(traffic.iptables_forward_rules), "true", 0, 0, NULL,
	  "accept forwarded packets from and to the network", NULL },
	{ "ip-blackhole-route", OPTION_BOOL, AT(ip_blackhole_route), "false", 0, 0, NULL,
	  "drop packets to addresses of the own subnet that no container has", NULL },
	{ "ip-masq-exclude", OPTION_LIST, AT(traffic.ip_masq_exclude), NULL, 0, 0, NULL,
	  "network, as address/length, towards which containers keep their own address; may be repeated", NULL },
	{ "peer-guard", OPTION_BOOL, AT(traffic.peer_guard), "true", 0, 0, NULL,
	  "take tunnel packets from addresses of peers only, and none from containers", NULL },
	{ "anti-spoofing", OPTION_BOOL, AT(traffic.anti_spoofing), "true", 0, 0, NULL,
	  "drop what comes out of the tunnel with a source that cannot be there", NULL },
	{ "traffic-mode", OPTION_CHOICE, AT(traffic.traffic_mode), "auto", 0, 0, "auto,nftables,iptables",
	  "where masquerade and forwarding rules stand; auto: in iptables if that is what drops forwarded packets", NULL },
	{ "traffic-table", OPTION_TEXT, AT(traffic.traffic_table), NULL, 0, 0, NULL,
	  "name of the nftables table; empty: the first tunnel device's, so that two networks have two", NULL },
	{ "set-sysctls", OPTION_BOOL, AT(traffic.set_sysctls), "false", 0, 0, NULL,
	  "turn on IP forwarding if it is off", NULL },
	{ "healthz-ip", OPTION_TEXT, AT(healthz_ip), "127.0.0.1", 0, 0, NULL,
	  "address for the health and metrics server", NULL },
	{ "healthz-port", OPTION_INT, AT(healthz_port), "0", 0, 65535, NULL,
	  "TCP port for the health and metrics server; 0: none", NULL },
	{ "socket", OPTION_TEXT, AT(socket), "/run/flannel/flanneld.sock", 0, 0, NULL,
	  "unix socket for fabricctl", NULL },
	{ "log-format", OPTION_CHOICE, AT(log_format), "text", 0, 0, "text,json",
	  "form of the log lines on stderr", NULL },
	{ "v", OPTION_INT, AT(v), "0", 0, 10, NULL,
	  "log verbosity; 1 and more: debug", NULL },
	{ "vmodule", OPTION_TEXT, AT(vmodule), NULL, 0, 0, NULL,
	  "verbosity by source file", "there is one log level, set it with v" },
	{ "log_backtrace_at", OPTION_TEXT, AT(log_backtrace_at), NULL, 0, 0, NULL,
	  "stack trace at a log line", "logs carry no stack traces" },
	{ "kube-subnet-mgr", OPTION_BOOL, AT(kube_subnet_mgr), "false", 0, 0, NULL,
	  "take leases from the Kubernetes API", KUBE },
	{ "kube-api-url", OPTION_TEXT, AT(kube_api_url), NULL, 0, 0, NULL,
	  "Kubernetes API server", KUBE },
	{ "kubeconfig-file", OPTION_TEXT, AT(kubeconfig_file), NULL, 0, 0, NULL,
	  "Kubernetes client configuration", KUBE },
	{ "kube-annotation-prefix", OPTION_TEXT, AT(kube_annotation_prefix), "flannel.alpha.coreos.com", 0, 0, NULL,
	  "prefix of node annotations", KUBE },
	{ "net-config-path", OPTION_TEXT, AT(net_config_path), "/etc/kube-flannel/net-conf.json", 0, 0, NULL,
	  "network configuration of Kubernetes mode", KUBE },
	{ "set-node-network-unavailable", OPTION_BOOL, AT(set_node_network_unavailable), "true", 0, 0, NULL,
	  "clear the node's NetworkUnavailable condition", KUBE },
	{ "config-file", OPTION_TEXT, AT(config_file), NULL, 0, 0, NULL,
	  "file of lines \"flag = value\"; empty: " DEFAULT_CONFIG_FILE " if it exists", NULL },
	{ "version", OPTION_BOOL, AT(version), "false", 0, 0, NULL, "print the version and exit", NULL },
	{ "help", OPTION_BOOL, AT(help), "false", 0, 0, NULL, "print this and exit", NULL },
	{ "h", OPTION_BOOL, AT(h), "false", 0, 0, NULL, "print this and exit", NULL },
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

/* The first line of the file becomes the password. */
static int read_password(struct flanneld_options *o, struct err *e)
{
	auto_free char *text = NULL;
	int rc;

	if (!*o->etcd_password_file)
		return 0;
	rc = file_read(o->etcd_password_file, PASSWORD_MAX_SIZE, &text, NULL, e);
	if (rc < 0)
		return err_wrap(e, "etcd-password-file");
	text[strcspn(text, "\r\n")] = '\0';
	free(o->etcd_password);
	o->etcd_password = xstrdup(text);
	explicit_bzero(text, strlen(text));
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
		rc = read_password(o, e);
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

void flanneld_options_fini(struct flanneld_options *o)
{
	if (o->etcd_password)
		explicit_bzero(o->etcd_password, strlen(o->etcd_password));
	options_fini(flanneld_option_specs, o);
}
