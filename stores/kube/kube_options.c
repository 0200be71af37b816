/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/kube/kube_options.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "stores/kube/kube_node.h"

#define AT(field) offsetof(struct kube_options, field)

/* clang-format off */
const struct option_spec kube_option_specs[] = {
	{ .name = "kube-subnet-mgr", .type = OPTION_BOOL, .offset = AT(subnet_mgr), .value = "false",
	  .help = "leases are the nodes of Kubernetes, each with the subnet that is its podCIDR; the same as store=kube" },
	{ .name = "kube-api-url", .type = OPTION_TEXT, .offset = AT(api_url), .metavar = "URL",
	  .help = "Kubernetes API server, http://host:port or https://host:port; empty: kubeconfig-file's, or the pod's" },
	{ .name = "kubeconfig-file", .type = OPTION_TEXT, .offset = AT(kubeconfig_file), .metavar = "FILE",
	  .help = "kubeconfig with the API server and who we are to it; empty: the pod's service account" },
	{ .name = "kube-annotation-prefix", .type = OPTION_TEXT, .offset = AT(prefix), .value = "flannel.alpha.coreos.com", .metavar = "PREFIX",
	  .help = "prefix of the annotations of nodes: a domain, or a domain, a slash and the beginning of a name" },
	{ .name = "net-config-path", .type = OPTION_TEXT, .offset = AT(net_config_path), .value = "/etc/kube-flannel/net-conf.json", .metavar = "FILE",
	  .help = "file with the network configuration, where leases are nodes of Kubernetes" },
	{ .name = "set-node-network-unavailable", .type = OPTION_BOOL, .offset = AT(set_network_unavailable), .value = "true",
	  .help = "set the node's condition NetworkUnavailable to False together with the lease" },
	{ .name = "node-network-unavailable-on", .type = OPTION_CHOICE, .offset = AT(network_unavailable_on), .value = "never", .choices = "never,drain,stop",
	  .metavar = "WHEN", .help = "when that condition becomes True again: never, while the host is drained, or also when the daemon ends" },
	{ 0 },
};
/* clang-format on */

enum store_out_of_use kube_options_out_of_use(const struct kube_options *o)
{
	if (strcmp(o->network_unavailable_on, "stop") == 0)
		return STORE_OUT_STOPPED;
	return strcmp(o->network_unavailable_on, "drain") == 0 ? STORE_OUT_DRAINED
							       : STORE_OUT_NEVER;
}

int kube_options_check(void *options, struct err *e)
{
	const struct kube_options *o = options;
	struct kube_prefix prefix;

	if (kube_prefix_parse(o->prefix, &prefix, e) < 0)
		return err_wrap(e, "kube-annotation-prefix");
	if (!o->set_network_unavailable && kube_options_out_of_use(o) != STORE_OUT_NEVER)
		return err_set(e, -EINVAL,
			       "node-network-unavailable-on is %s: must be never where "
			       "set-node-network-unavailable is false, since nothing would end it",
			       o->network_unavailable_on);
	return options_check_path("net-config-path", o->net_config_path, e);
}
