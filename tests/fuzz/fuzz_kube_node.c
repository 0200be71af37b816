/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any JSON as a Node: refused with a sentence, or a node whose lease, if it has one, is the same
 * after it was patched into it.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "stores/kube/kube_node.h"

static void check_again(const struct kube_prefix *prefix, const struct kube_node *n, json_t *object)
{
	auto_free char *text = kube_node_patch(prefix, n, n->lease, "now");
	auto_json json_t *patch = json_loads(text, 0, NULL);
	json_t *metadata = json_object_get(object, "metadata");
	struct kube_node again = { 0 };

	FUZZ_CHECK(patch);
	json_object_set(metadata, "annotations",
			json_object_get(json_object_get(patch, "metadata"), "annotations"));
	FUZZ_CHECK(kube_node_read(prefix, object, &again, NULL) == 0);
	/* What only goes with a public IPv6 address is not published without. */
	if (ip_addr_is_set(&n->lease->public_v6) || !n->lease->backend_v6_data) {
		FUZZ_CHECK(again.lease);
		FUZZ_CHECK(lease_equal(again.lease, n->lease));
	}
	kube_node_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_json json_t *object = NULL;
	struct kube_prefix prefix;
	struct kube_node n = { 0 };
	struct err e = { 0 };

	FUZZ_CHECK(kube_prefix_parse("a.b", &prefix, NULL) == 0);
	if (json_parse_object((const char *)data, size, &object, NULL) < 0)
		return 0;
	if (kube_node_read(&prefix, object, &n, &e) < 0) {
		FUZZ_CHECK(e.text[0] && !n.name);
		return 0;
	}
	FUZZ_CHECK(n.name && *n.name && n.uid);
	FUZZ_CHECK(!n.lease || n.is_flannel);
	if (n.lease) {
		FUZZ_CHECK(strcmp(n.lease->node_name, n.name) == 0);
		FUZZ_CHECK(subnet_equal(&n.lease->subnet, &n.subnet));
		check_again(&prefix, &n, object);
	}
	kube_node_fini(&n);
	return 0;
}
