/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store in Kubernetes: nodes are leases. A node's subnet is its podCIDR, which Kubernetes assigns; what
 * its daemon publishes stands in annotations that are flannel's (kube_node.h). The network configuration is a
 * file, which Kubernetes mounts from a ConfigMap.
 *
 * Asked for: nodes get, list, watch; nodes/status patch; pods get if NODE_NAME is not set. Nothing is
 * written but the own node's annotations and one condition, in one patch, and only if they are not so already.
 */
#ifndef STORES_KUBE_STORE_H
#define STORES_KUBE_STORE_H

#include "stores/kube/kube_options.h"
#include "subnet/store.h"

extern const struct store_type kube_store_type;

#endif
