/* SPDX-License-Identifier: Apache-2.0 */
/* What the store of Kubernetes wants to be told: flannel's flags, and what a pod has in its environment. */
#ifndef STORES_KUBE_OPTIONS_H
#define STORES_KUBE_OPTIONS_H

#include "lib/options.h"
#include "subnet/store.h"

struct kube_options {
	bool subnet_mgr; /* the leases are in Kubernetes: as store=kube */
	char *api_url;   /* both this and the next empty: this is a pod */
	char *kubeconfig_file;
	char *prefix;                 /* of the annotations, see kube_prefix_parse */
	char *net_config_path;        /* the network configuration: a file, not an object */
	bool set_network_unavailable; /* to False, with the lease */
	char *network_unavailable_on; /* never, drain, stop: to True again */
};

/* Of the options in `struct kube_options`, see lib/options.h. */
extern const struct option_spec kube_option_specs[];

/* When the node is said to be out of use; the options were checked. */
enum store_out_of_use kube_options_out_of_use(const struct kube_options *o);

/* -EINVAL names the option that is of no use, its value and what it may be. */
int kube_options_check(void *options, struct err *e) MUST_CHECK;

#endif
