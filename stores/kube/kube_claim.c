/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The own node.
 *
 *   pod ──> node ──> what it says to us          its name, if only that of the pod is given
 *           node ──> is it as it is to be? ──> patch ──> lease
 *
 * It is read before it is written, so that a restart writes nothing. Between the two another may write it:
 * the patch has only annotations that are ours in it, and its answer is the node as it stands then.
 */
#include "stores/kube/kube_internal.h"

#include <errno.h>

#include "lib/clock.h"

static int read_node(struct kube_request *r, const char *body, size_t size, struct kube_node *ret)
{
	auto_json json_t *object = NULL;
	int rc = json_parse_object(body, size, &object, &r->reply.err);

	if (rc == 0)
		rc = kube_node_read(&r->store->prefix, object, ret, &r->reply.err);
	if (rc < 0)
		return err_wrap(&r->reply.err, "kubernetes: node %s", r->store->host.node);
	/* The node's revision is that of its last change, not the store's: reply.revision stays unknown. */
	kube_note_own(r->store, ret);
	return 0;
}

static void ask_for_node(struct kube_request *r, kube_done_fn *done)
{
	auto_free char *path = xasprintf(KUBE_NODES "/%s", r->store->host.node);

	kube_request_call(r, path, NULL, done);
}

/* ---- what it says to us ---- */

static void on_host(void *arg, const struct kube_answer *answer, const char *body, size_t size,
		    bool sent UNUSED)
{
	struct kube_request *r = arg;
	struct kube_node node = { 0 };

	r->call = NULL;
	/* One that is not there yet says nothing; the claim tells that. */
	if (answer->outcome == KUBE_OK) {
		if (read_node(r, body, size, &node) < 0) {
			kube_answer(r, STORE_UNAVAILABLE);
			return;
		}
		kube_node_fini(&node);
	} else if (answer->outcome != KUBE_ABSENT) {
		kube_answer_failure(r, answer);
		return;
	}
	kube_answer(r, kube_file_read(r->store->file, &r->reply));
}

static void on_pod(void *arg, const struct kube_answer *answer, const char *body, size_t size,
		   bool sent UNUSED)
{
	struct kube_request *r = arg;
	struct kube_store *s = r->store;
	auto_json json_t *pod = NULL;
	const char *name;

	r->call = NULL;
	if (answer->outcome != KUBE_OK) {
		kube_answer_failure(r, answer);
		return;
	}
	if (json_parse_object(body, size, &pod, &r->reply.err) < 0) {
		err_wrap(&r->reply.err, "kubernetes: pod");
		kube_answer(r, STORE_UNAVAILABLE);
		return;
	}
	name = json_string_value(json_object_get(json_object_get(pod, "spec"), "nodeName"));
	if (!name || !kube_node_name_is_valid(name)) {
		err_set(&r->reply.err, -EINVAL, "kubernetes: %s has no spec.nodeName", s->pod);
		kube_answer(r, STORE_UNAVAILABLE);
		return;
	}
	snprintf(s->host.node, sizeof(s->host.node), "%s", name);
	ask_for_node(r, on_host);
}

void kube_find_own(struct kube_request *r)
{
	if (*r->store->host.node)
		ask_for_node(r, on_host);
	else
		kube_request_call(r, r->store->pod, NULL, on_pod);
}

/* ---- the lease ---- */

/* No subnet, or another than the one that is wanted: says so and ends the request. */
static bool has_subnet(struct kube_request *r, const struct kube_node *n)
{
	const struct subnet *wanted = &r->lease->subnet;
	bool any = !ip_net_is_set(&wanted->v4) && !ip_net_is_set(&wanted->v6);

	if (!ip_net_is_set(&n->subnet.v4) && !ip_net_is_set(&n->subnet.v6)) {
		err_set(&r->reply.err, -ENOENT, "kubernetes: node %s has no podCIDR%s%s", n->name,
			*n->problem ? ": "
				    : " yet; kube-controller-manager gives it one, with "
				      "--allocate-node-cidrs",
			n->problem);
		kube_answer(r, STORE_ABSENT);
		return false;
	}
	if (!any && !subnet_equal(&n->subnet, wanted)) {
		char has[SUBNET_KEY_TEXT];

		r->reply.holder = lease_copy(r->lease);
		r->reply.holder->subnet = n->subnet;
		err_set(&r->reply.err, -EEXIST, "kubernetes: node %s has the podCIDR %s", n->name,
			subnet_format(&n->subnet, has));
		kube_answer(r, STORE_CONFLICT);
		return false;
	}
	return true;
}

/* The node is as it is to be, whoever has made it so. */
static void answer_held(struct kube_request *r, struct kube_node *n)
{
	const struct kube_told *told = kube_watch_told(r->store);

	/* Nothing more is told of what was told already: a later revision would be waited for. */
	if (told)
		n->lease->mod_revision = kube_told_revision(told, n, true);
	r->reply.holder = STEAL(n->lease);
	kube_answer(r, STORE_OK);
}

static void on_patched(void *arg, const struct kube_answer *answer, const char *body, size_t size,
		       bool sent)
{
	struct kube_request *r = arg;
	struct kube_node node = { 0 };

	r->call = NULL;
	if (answer->outcome == KUBE_LATER && sent) {
		r->reply.err = answer->err;
		err_wrap(&r->reply.err, "kubernetes: patch");
		kube_answer(r, STORE_UNKNOWN);
	} else if (answer->outcome != KUBE_OK) {
		kube_answer_failure(r, answer);
	} else if (read_node(r, body, size, &node) < 0) {
		kube_answer(r, STORE_UNKNOWN);
	} else if (has_subnet(r, &node)) {
		if (node.lease) {
			answer_held(r, &node);
		} else {
			err_set(&r->reply.err, -EIO,
				"kubernetes: node %s is not as it was patched: %s", node.name,
				*node.problem ? node.problem : "it has no annotations");
			kube_answer(r, STORE_UNKNOWN);
		}
	}
	kube_node_fini(&node);
}

/* A condition's times are whole seconds. */
static const char *whole_second(char buf[static CLOCK_TEXT])
{
	char *dot;

	clock_format_utc(clock_wall_ms(), buf);
	dot = strchr(buf, '.');
	if (dot)
		memcpy(dot, "Z", 2);
	return buf;
}

static void patch(struct kube_request *r, const struct kube_node *node, const struct lease *wanted)
{
	struct kube_store *s = r->store;
	auto_free char *path =
		xasprintf(KUBE_NODES "/%s/status?fieldManager=flanneld", s->host.node);
	char now[CLOCK_TEXT];
	auto_free char *text = kube_node_patch(
		&s->prefix, node, wanted, s->set_network_unavailable ? whole_second(now) : NULL);

	kube_request_call(r, path, text, on_patched);
}

static void on_node(void *arg, const struct kube_answer *answer, const char *body, size_t size,
		    bool sent UNUSED)
{
	struct kube_request *r = arg;
	struct kube_store *s = r->store;
	auto_lease struct lease *wanted = NULL;
	struct kube_node node = { 0 };

	r->call = NULL;
	if (answer->outcome == KUBE_ABSENT) {
		err_set(&r->reply.err, -ENOENT, "kubernetes: there is no node %s", s->host.node);
		kube_answer(r, STORE_ABSENT);
		return;
	}
	if (answer->outcome != KUBE_OK) {
		kube_answer_failure(r, answer);
		return;
	}
	if (read_node(r, body, size, &node) < 0) {
		kube_answer(r, STORE_UNAVAILABLE);
		return;
	}
	if (has_subnet(r, &node)) {
		wanted = lease_copy(r->lease);
		wanted->subnet = node.subnet;
		if (node.lease && lease_equal(node.lease, wanted) &&
		    (node.is_reachable || wanted->out_of_use || !s->set_network_unavailable))
			answer_held(r, &node);
		else
			patch(r, &node, wanted);
	}
	kube_node_fini(&node);
}

void kube_claim(struct kube_request *r)
{
	ask_for_node(r, on_node);
}
