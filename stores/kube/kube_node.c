/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/kube/kube_node.h"

#include <errno.h>
#include <inttypes.h>

#include "lib/clock.h"

/* ---- names ---- */

static bool is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Labels with dots between them, two at least. */
static bool is_domain(const char *text, size_t size)
{
	size_t dots = 0;

	for (size_t i = 0; i < size; i++) {
		bool is_dot = text[i] == '.';

		if (!is_dot && !is_name_byte(text[i]))
			return false;
		if (is_dot && (i == 0 || i + 1 == size || text[i - 1] == '.'))
			return false;
		dots += is_dot;
	}
	return dots > 0;
}

int kube_prefix_parse(const char *text, struct kube_prefix *ret, struct err *e)
{
	const char *slash = strchr(text, '/');
	size_t domain = slash ? (size_t)(slash - text) : strlen(text);
	const char *rest = slash ? slash + 1 : "";

	if (strlen(text) > KUBE_PREFIX_MAX)
		return err_set(e, -EINVAL, "longer than %d bytes", KUBE_PREFIX_MAX);
	if (strchr(rest, '/'))
		return err_set(e, -EINVAL, "\"%s\" has more than one slash", text);
	if (!is_domain(text, domain))
		return err_set(e, -EINVAL,
			       "\"%s\" must begin with a domain name such as "
			       "flannel.alpha.coreos.com, in lower case",
			       text);
	for (const char *c = rest; *c; c++) {
		if (!is_name_byte(*c) && *c != '.')
			return err_set(e, -EINVAL,
				       "\"%s\": after the slash only a-z, 0-9, '_', '-' and '.' "
				       "may stand",
				       text);
	}
	snprintf(ret->text, sizeof(ret->text), "%s%s%s", text, slash ? "" : "/",
		 *rest && rest[strlen(rest) - 1] != '-' ? "-" : "");
	return 0;
}

bool kube_node_name_is_valid(const char *name)
{
	size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-");

	return size > 0 && size <= KUBE_NODE_NAME_MAX && !name[size] && name[0] != '.' &&
	       name[0] != '-';
}

static const char *key_of(const struct kube_prefix *prefix, const char *name,
			  char buf[static KUBE_PREFIX_MAX + 40])
{
	snprintf(buf, KUBE_PREFIX_MAX + 40, "%s%s", prefix->text, name);
	return buf;
}

/* NULL if there is none; annotations are texts. */
static const char *annotation(const struct kube_prefix *prefix, const json_t *annotations,
			      const char *name)
{
	char key[KUBE_PREFIX_MAX + 40];

	return json_string_value(json_object_get(annotations, key_of(prefix, name, key)));
}

/* ---- a Node that came ---- */

static void set_problem(struct kube_node *n, const struct err *e)
{
	if (!*n->problem)
		snprintf(n->problem, sizeof(n->problem), "%.*s", KUBE_NODE_ERROR_TEXT - 1, e->text);
}

/* The first that is wrong is said, and none is used then. */
static int add_pod_cidr(struct subnet *s, const json_t *value, struct err *e)
{
	const char *text = json_string_value(value);
	struct ip_net *place;
	struct ip_net net;

	if (!text)
		return err_set(e, -EINVAL, "podCIDRs: not a text");
	if (ip_net_parse(text, AF_UNSPEC, &net, e) < 0)
		return err_wrap(e, "podCIDR");
	place = net.addr.family == AF_INET ? &s->v4 : &s->v6;
	if (ip_net_is_set(place))
		return err_set(e, -EINVAL, "podCIDRs: two of one family");
	if (net.len == 0 || ip_net_has_host_bits(&net))
		return err_set(e, -EINVAL, "podCIDR %.60s is no subnet", text);
	*place = net;
	return 0;
}

static void read_pod_cidrs(const json_t *spec, struct kube_node *n)
{
	const json_t *many = json_object_get(spec, "podCIDRs");
	const json_t *one = json_object_get(spec, "podCIDR");
	struct subnet s = { 0 };
	struct err e;
	int rc = 0;

	if (json_array_size(many) > 2)
		rc = err_set(&e, -EINVAL, "%zu podCIDRs, must be one of each family at most",
			     json_array_size(many));
	for (size_t i = 0; rc == 0 && i < json_array_size(many); i++)
		rc = add_pod_cidr(&s, json_array_get(many, i), &e);
	/* What API servers before 1.16 said, and all others say as well. */
	if (rc == 0 && json_array_size(many) == 0 && one && !json_is_null(one) &&
	    json_string_length(one) > 0)
		rc = add_pod_cidr(&s, one, &e);
	if (rc < 0)
		set_problem(n, &e);
	else
		n->subnet = s;
}

static void read_input(const struct kube_prefix *prefix, const json_t *annotations,
		       const char *name, int family, struct kube_node *n, struct ip_addr *ret)
{
	const char *text = annotation(prefix, annotations, name);
	struct err e;

	if (text && *text && ip_addr_parse(text, family, ret, &e) < 0) {
		err_wrap(&e, "annotation %s", name);
		set_problem(n, &e);
	}
}

/* JSON that somebody wrote as a text; "null" and "" are none. */
static int set_raw(json_t *value, const char *key, const char *text, struct err *e)
{
	json_error_t error;
	json_t *raw;

	if (!text || !*text)
		return 0;
	raw = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
	if (!raw)
		return err_set(e, -EINVAL, "%s is not JSON: %.80s", key, error.text);
	json_object_set_new(value, key, raw);
	return 0;
}

static void set_text(json_t *value, const char *key, const char *text)
{
	if (text && *text)
		json_object_set_new(value, key, json_string(text));
}

/* As a value of the form it has in etcd, so that one parser judges both. */
static int read_lease(const struct kube_prefix *prefix, const json_t *annotations,
		      const struct kube_node *n, struct lease *ret, struct err *e)
{
	auto_json json_t *value = json_object();
	auto_free char *text = NULL;
	int rc;

	set_text(value, "PublicIP", annotation(prefix, annotations, "public-ip"));
	set_text(value, "PublicIPv6", annotation(prefix, annotations, "public-ipv6"));
	set_text(value, "BackendType", annotation(prefix, annotations, "backend-type"));
	rc = set_raw(value, "BackendData", annotation(prefix, annotations, "backend-data"), e);
	if (rc == 0)
		rc = set_raw(value, "BackendV6Data",
			     annotation(prefix, annotations, "backend-v6-data"), e);
	if (rc == 0)
		rc = set_raw(value, "Node", annotation(prefix, annotations, "fabric-node"), e);
	if (rc < 0)
		return rc;
	text = json_dumps(value, JSON_COMPACT);
	rc = lease_value_parse(text, strlen(text), ret, e);
	if (rc < 0)
		return rc;
	/* The object's own name is the one that counts. */
	free(ret->node_name);
	ret->node_name = xstrdup(n->name);
	ret->subnet = n->subnet;
	ret->born = n->created_ms;
	ret->mod_revision = n->revision;
	return 0;
}

static bool is_reachable(const json_t *status)
{
	const json_t *conditions = json_object_get(status, "conditions");

	for (size_t i = 0; i < json_array_size(conditions); i++) {
		const json_t *c = json_array_get(conditions, i);
		const char *type = json_string_value(json_object_get(c, "type"));
		const char *value = json_string_value(json_object_get(c, "status"));

		if (type && strcmp(type, "NetworkUnavailable") == 0)
			return value && strcmp(value, "False") == 0;
	}
	return true;
}

/* In decimal digits, as etcd's revisions are. */
bool kube_revision_read(const json_t *metadata, uint64_t *ret)
{
	const char *text = json_string_value(json_object_get(metadata, "resourceVersion"));
	uint64_t value;
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno != 0 || *end)
		return false;
	*ret = value;
	return true;
}

int kube_node_read(const struct kube_prefix *prefix, const json_t *object, struct kube_node *ret,
		   struct err *e)
{
	const json_t *metadata = json_object_get(object, "metadata");
	const json_t *annotations = json_object_get(metadata, "annotations");
	const char *name = json_string_value(json_object_get(metadata, "name"));
	const char *uid = json_string_value(json_object_get(metadata, "uid"));
	const char *created = json_string_value(json_object_get(metadata, "creationTimestamp"));
	int64_t created_ms;
	const char *managed;
	struct kube_node n = { 0 };
	struct err why;

	if (!name || !*name || strlen(name) > KUBE_NODE_NAME_MAX)
		return err_set(e, -EINVAL, "not a Node: metadata.name must have 1 to %d bytes",
			       KUBE_NODE_NAME_MAX);
	if (!kube_revision_read(metadata, &n.revision))
		return err_set(e, -EINVAL, "node %.80s: metadata.resourceVersion is not a number",
			       name);
	n.name = xstrdup(name);
	n.uid = xstrdup(uid ? uid : "");
	if (created && clock_parse_utc(created, &created_ms) == 0 && created_ms > 0)
		n.created_ms = (uint64_t)created_ms;
	n.is_bare = json_object_size(annotations) == 0;
	managed = annotation(prefix, annotations, "kube-subnet-manager");
	n.is_flannel = managed && strcmp(managed, "true") == 0;
	n.is_reachable = is_reachable(json_object_get(object, "status"));
	read_pod_cidrs(json_object_get(object, "spec"), &n);
	if (n.is_flannel && !*n.problem &&
	    (ip_net_is_set(&n.subnet.v4) || ip_net_is_set(&n.subnet.v6))) {
		n.lease = lease_new();
		if (read_lease(prefix, annotations, &n, n.lease, &why) < 0) {
			set_problem(&n, &why);
			lease_free(STEAL(n.lease));
		}
	}
	/* What people write is of use to the node itself alone: its peers take the lease as it is. */
	read_input(prefix, annotations, "public-ip-overwrite", AF_INET, &n, &n.overwrite_v4);
	read_input(prefix, annotations, "public-ipv6-overwrite", AF_INET6, &n, &n.overwrite_v6);
	read_input(prefix, annotations, "node-public-ip", AF_INET, &n, &n.node_public_v4);
	read_input(prefix, annotations, "node-public-ipv6", AF_INET6, &n, &n.node_public_v6);
	*ret = n;
	return 0;
}

void kube_node_fini(struct kube_node *n)
{
	free(n->name);
	free(n->uid);
	lease_free(n->lease);
	*n = (struct kube_node){ 0 };
}

bool kube_node_has_lease(const struct kube_node *n)
{
	return n->lease || (n->is_flannel && *n->problem &&
			    (ip_net_is_set(&n->subnet.v4) || ip_net_is_set(&n->subnet.v6)));
}

struct lease *kube_node_take_lease(struct kube_node *n)
{
	struct lease *l;

	if (n->lease)
		return lease_compact(STEAL(n->lease));
	if (!kube_node_has_lease(n))
		return NULL;
	l = lease_new();
	l->subnet = n->subnet;
	l->born = n->created_ms;
	l->mod_revision = n->revision;
	l->node_name = xstrdup(n->name);
	l->problem = xstrdup(n->problem);
	return lease_compact(l);
}

/* ---- what we say ---- */

/* `value` is consumed; NULL takes the annotation away. */
/* `value` NULL: it is taken away. */
static void put(const struct kube_prefix *prefix, json_t *annotations, const char *name,
		json_t *value)
{
	char key[KUBE_PREFIX_MAX + 40];

	json_object_set_new(annotations, key_of(prefix, name, key), value ? value : json_null());
}

static void drop_nulls(json_t *object)
{
	const char *key;
	json_t *value;
	void *next;

	json_object_foreach_safe (object, next, key, value) {
		if (json_is_null(value))
			json_object_del(object, key);
	}
}

static json_t *addr_json(const struct ip_addr *a)
{
	char text[IP_ADDR_TEXT];

	return ip_addr_is_set(a) ? json_string(ip_addr_format(a, text)) : NULL;
}

static json_t *our_node_json(const struct lease *lease)
{
	auto_free char *text = lease_value_format(lease);
	auto_json json_t *value = json_loads(text, 0, NULL);
	json_t *node = json_object_get(value, "Node");
	auto_free char *node_text = node ? json_dumps(node, JSON_COMPACT) : NULL;

	return node_text ? json_string(node_text) : NULL;
}

static json_t *condition_json(bool out_of_use, const char *now)
{
	const char *reason = out_of_use ? "FlannelIsOutOfUse" : "FlannelIsUp";
	const char *message = out_of_use ? "Flannel was drained or stopped on this node"
					 : "Flannel is running on this node";

	return json_pack("{s:[{s:s, s:s, s:s, s:s, s:s, s:s}]}", "conditions", "type",
			 "NetworkUnavailable", "status", out_of_use ? "True" : "False", "reason",
			 reason, "message", message, "lastTransitionTime", now, "lastHeartbeatTime",
			 now);
}

char *kube_node_patch(const struct kube_prefix *prefix, const struct kube_node *node,
		      const struct lease *lease, const char *now)
{
	bool has_v6 = ip_addr_is_set(&lease->public_v6);
	auto_json json_t *patch = json_object();
	json_t *annotations = json_object();
	json_t *metadata = json_object();

	put(prefix, annotations, "kube-subnet-manager", json_string("true"));
	put(prefix, annotations, "backend-type",
	    json_string(lease->backend_type ? lease->backend_type : ""));
	put(prefix, annotations, "backend-data",
	    json_string(lease->backend_data ? lease->backend_data : "null"));
	put(prefix, annotations, "backend-v6-data",
	    has_v6 ? json_string(lease->backend_v6_data ? lease->backend_v6_data : "null") : NULL);
	put(prefix, annotations, "public-ip", addr_json(&lease->public_v4));
	put(prefix, annotations, "public-ipv6", addr_json(&lease->public_v6));
	put(prefix, annotations, "fabric-node", our_node_json(lease));
	if (node->is_bare)
		drop_nulls(annotations);
	json_object_set_new(metadata, "annotations", annotations);
	json_object_set_new(patch, "metadata", metadata);
	if (now)
		json_object_set_new(patch, "status", condition_json(lease->out_of_use, now));
	return json_dumps(patch, JSON_COMPACT);
}
