/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Node of Kubernetes as a lease, and a lease as what is patched into a Node. Subnet: spec.podCIDRs.
 * All else: annotations, which are flannel's, byte for byte, so that its hosts and ours are peers:
 *
 *   PREFIX/kube-subnet-manager   "true"; a node without it is nobody's peer
 *   PREFIX/backend-type          "vxlan", ...
 *   PREFIX/backend-data          JSON, "null" if the backend has none
 *   PREFIX/backend-v6-data       the same, only with public-ipv6
 *   PREFIX/public-ip, public-ipv6
 *   PREFIX/fabric-node           ours, which flannel ignores: what "Node" is in etcd (subnet/lease.h)
 *
 * and four that people write and we only read, named in struct kube_node.
 */
#ifndef STORES_KUBE_KUBE_NODE_H
#define STORES_KUBE_KUBE_NODE_H

#include "lib/json.h"
#include "subnet/lease.h"

#define KUBE_PREFIX_MAX      253
#define KUBE_NODE_NAME_MAX   253
#define KUBE_NODE_ERROR_TEXT 200

/* What kube-annotation-prefix means: "flannel.alpha.coreos.com/", "example.org/net-". */
struct kube_prefix {
	char text[KUBE_PREFIX_MAX + 3];
};

struct kube_node {
	char *name;
	char *uid; /* another one with the same name is another node; "" if it is not said */
	uint64_t revision;    /* metadata.resourceVersion */
	uint64_t created_ms;  /* metadata.creationTimestamp, since 1970; 0: it is not said */
	bool is_bare;         /* it has no annotation at all */
	bool is_flannel;      /* it has our annotations, or flannel's */
	bool is_reachable;    /* status: no condition NetworkUnavailable that is other than False */
	struct subnet subnet; /* both families unset: it has none yet */
	char problem[KUBE_NODE_ERROR_TEXT]; /* why it cannot be used as it is; "" */
	/* NULL if it is not flannel's, has no subnet or its annotations are none of a lease. It is as
	 * old as the node (`born`), which hosts agree on and heartbeats leave alone. */
	struct lease *lease;
	struct ip_addr overwrite_v4;   /* public-ip-overwrite: published instead of ours */
	struct ip_addr overwrite_v6;   /* public-ipv6-overwrite */
	struct ip_addr node_public_v4; /* node-public-ip: as the option public-ip, at start */
	struct ip_addr node_public_v6; /* node-public-ipv6 */
};

/*
 * At most one slash; what stands before it is a domain name with a dot in it; a slash is added where
 * there is none, else a dash after what follows it. -EINVAL with the rule that is broken.
 */
int kube_prefix_parse(const char *text, struct kube_prefix *ret, struct err *e) MUST_CHECK;

/* What a node, a pod or a namespace may be called: lower case, digits, dots and dashes. */
bool kube_node_name_is_valid(const char *name);

/* resourceVersion of an object's metadata; false: it is missing or no number. */
bool kube_revision_read(const json_t *metadata, uint64_t *ret);

/*
 * *ret is for kube_node_fini(). -EINVAL, nothing in *ret: it is no Node with a name and a
 * resourceVersion that is a number. What else is wrong in it is in ret->problem, and costs this node alone.
 */
int kube_node_read(const struct kube_prefix *prefix, const json_t *object, struct kube_node *ret,
		   struct err *e) MUST_CHECK;
void kube_node_fini(struct kube_node *n);

/* Whether others see a lease in it: one that can be used, or one that cannot and keeps its subnet. */
bool kube_node_has_lease(const struct kube_node *n);
/* That lease, compact, for lease_free(); NULL: there is none. n->lease is NULL after it. */
struct lease *kube_node_take_lease(struct kube_node *n);

/*
 * A strategic merge patch of nodes/status that publishes `lease` on `node`. What the lease no longer has
 * is taken away (null), except of a bare node, where API servers would put an empty text for it.
 * `now` is an RFC 3339 time for the condition NetworkUnavailable that goes with it, False unless the lease is
 * out of use; NULL for none.
 * Caller frees.
 */
char *kube_node_patch(const struct kube_prefix *prefix, const struct kube_node *node,
		      const struct lease *lease, const char *now);

#endif
