/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/options.h"

#include <errno.h>

#include "lib/file.h"

#define FILE_NAME "options"

#define AT(field) offsetof(struct fabric_options, field)

/* clang-format off */
const struct option_spec fabric_option_specs[] = {
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
	{ .name = "tunnel-notrack", .type = OPTION_BOOL, .offset = AT(traffic.tunnel_notrack), .value = "true",
	  .help = "keep the tunnel's own packets out of connection tracking where no rule of others needs them there; off for NAT between the hosts that is this host's" },
	{ .name = "traffic-mode", .type = OPTION_CHOICE, .offset = AT(traffic.traffic_mode), .value = "auto", .choices = "auto,nftables,iptables",
	  .help = "where masquerade and forwarding rules stand; auto: in iptables if that is what drops forwarded packets" },
	{ .name = "traffic-table", .type = OPTION_TEXT, .offset = AT(traffic.traffic_table),
	  .help = "name of the nftables table; empty: the first tunnel device's, so that two networks have two" },
	{ .name = "set-sysctls", .type = OPTION_BOOL, .offset = AT(traffic.set_sysctls), .value = "false",
	  .help = "turn on IP forwarding if it is off" },
	{ 0 },
};

#undef AT
#define AT(field) offsetof(struct fabric_left, field)

const struct option_spec fabric_left_specs[] = {
	{ .name = "", .type = OPTION_TABLE, .offset = AT(options), .table = fabric_option_specs },
	{ .name = "node-id", .type = OPTION_TEXT, .offset = AT(node_id) },
	{ .name = "state-dir", .type = OPTION_TEXT, .offset = AT(state_dir) },
	{ .name = "subnet-file", .type = OPTION_TEXT, .offset = AT(subnet_file) },
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

int fabric_options_check(const struct fabric_options *o, struct err *e)
{
	int rc = check_address("public-ip", o->external.public_ip, AF_INET, e);

	if (rc == 0)
		rc = check_address("public-ipv6", o->external.public_ipv6, AF_INET6, e);
	if (rc == 0)
		rc = check_address("iface-can-reach", o->external.iface_can_reach, AF_UNSPEC, e);
	return rc == 0 ? rules_check_options(&o->traffic, e) : rc;
}

static char *path_of(const char *state_dir)
{
	return xasprintf("%s/" FILE_NAME, state_dir);
}

int fabric_left_save(const struct fabric_left *left, struct err *e)
{
	auto_free char *path = path_of(left->state_dir);
	auto_free char *text = NULL;
	int rc = options_format(fabric_left_specs, (void *)left, &text, e);

	if (rc < 0)
		return err_wrap(e, "%s", path);
	return file_replace(path, text, strlen(text), 0600, e);
}

int fabric_left_load(const char *state_dir, struct fabric_left *ret, struct err *e)
{
	auto_free char *path = path_of(state_dir);
	int rc;

	options_init(fabric_left_specs, ret);
	rc = options_read_file(fabric_left_specs, ret, path, e);
	if (rc == 0 && !*ret->node_id)
		rc = err_set(e, -EINVAL, "%s: node-id is missing", path);
	if (rc == 0)
		rc = fabric_options_check(&ret->options, e);
	return rc;
}

void fabric_left_fini(struct fabric_left *left)
{
	options_fini(fabric_left_specs, left);
}
