/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/kube/kube_store.h"
#include "stores/kube/kube_internal.h"

#include <errno.h>
#include <event2/event.h>

#include "lib/endpoints.h"

/* Nodes of one page of a list, as many as Kubernetes' own clients ask for. */
#define PAGE_LEN 500
/* What is left of a list may have expired, and it begins again; so often. */
#define LIST_ATTEMPTS 4
/* Nodes of a list, of flannel's or not. */
#define LIST_NODES_MAX ((size_t)2 * STORE_LEASES_MAX)
/* Each list is all of every node; so a watch that is as good as Kubernetes' is believed for longer. */
#define LIST_INTERVAL_S 3600

static struct kube_store *kube_store_of(struct store *s)
{
	return (struct kube_store *)s;
}

/* ---- requests ---- */

static void request_free(struct kube_request *r)
{
	struct kube_request **link = &r->store->requests;

	while (*link != r)
		link = &(*link)->next;
	*link = r->next;
	kube_call_cancel(r->call);
	if (r->soon)
		event_free(r->soon);
	store_reply_fini(&r->reply);
	lease_free(r->lease);
	kube_told_free(r->told);
	free(r);
}

void kube_answer(struct kube_request *r, enum store_status status)
{
	struct store_reply reply = r->reply;
	store_reply_fn *fn = r->fn;
	void *arg = r->arg;

	reply.status = status;
	memset(&r->reply, 0, sizeof(r->reply));
	request_free(r);
	fn(arg, &reply);
	store_reply_fini(&reply);
}

void kube_answer_failure(struct kube_request *r, const struct kube_answer *answer)
{
	enum store_status status = STORE_UNAVAILABLE;

	if (answer->outcome == KUBE_STRANGER || answer->outcome == KUBE_DENIED)
		status = STORE_DENIED;
	else if (answer->outcome == KUBE_INVALID)
		status = STORE_INVALID;
	r->reply.err = answer->err;
	err_wrap(&r->reply.err, "kubernetes: %s", store_op_name(r->op));
	kube_answer(r, status);
}

void kube_request_call(struct kube_request *r, const char *path, const char *patch,
		       kube_done_fn *done)
{
	r->call = kube_call_start(r->store->client,
				  &(struct kube_ask){ .path = path, .patch = patch }, done, r);
}

static void on_soon(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct kube_request *r = arg;

	kube_answer(r, r->op == STORE_CONFIG ? kube_file_read(r->store->file, &r->reply)
					     : r->soon_status);
}

/* Nobody has to be asked; the answer comes from the loop all the same. */
static void answer_soon(struct kube_request *r, enum store_status status)
{
	static const struct timeval at_once;

	r->soon_status = status;
	r->soon = evtimer_new(r->store->loop, on_soon, r);
	event_add(r->soon, &at_once);
}

/* ---- nodes ---- */

bool kube_is_own(const struct kube_store *s, const struct kube_node *n)
{
	return strcmp(s->host.node, n->name) == 0;
}

void kube_note_own(struct kube_store *s, struct kube_node *n)
{
	if (kube_is_own(s, n) && n->lease)
		n->lease->out_of_use = s->host.out_of_use != STORE_OUT_NEVER && !n->is_reachable;
	/* An answer may be older than what the watch has told meanwhile. */
	if (!kube_is_own(s, n) || n->revision < s->own_revision)
		return;
	s->own_revision = n->revision;
	s->host.overwrite_v4 = n->overwrite_v4;
	s->host.overwrite_v6 = n->overwrite_v6;
	s->host.public_v4 = n->node_public_v4;
	s->host.public_v6 = n->node_public_v6;
	snprintf(s->own_problem, sizeof(s->own_problem), "%s", n->problem);
}

/* ---- the list ---- */

static void list_page(struct kube_request *r, const char *more);

static void add_junk(struct kube_request *r, const char *name, const char *reason)
{
	struct store_reply *reply = &r->reply;

	if (reply->junk_len == STORE_JUNK_MAX) {
		reply->junk_more++;
		return;
	}
	GROW(reply->junk, reply->junk_len, r->junk_cap);
	reply->junk[reply->junk_len++] =
		(struct store_junk){ xasprintf("nodes/%s", name), xstrdup(reason) };
}

static void on_item(void *arg, const char *text, size_t size)
{
	struct kube_request *r = arg;
	struct store_reply *reply = &r->reply;
	auto_json json_t *object = NULL;
	struct kube_node node = { 0 };
	struct subnet before;
	struct lease *lease;
	struct err e;

	if (json_parse_object(text, size, &object, &e) < 0 ||
	    kube_node_read(&r->store->prefix, object, &node, &e) < 0) {
		add_junk(r, "?", e.text);
		return;
	}
	kube_note_own(r->store, &node);
	kube_told_put(r->told, &node, kube_is_own(r->store, &node), &before);
	lease = kube_node_take_lease(&node);
	if (lease && reply->leases_len <= STORE_LEASES_MAX) {
		GROW(reply->leases, reply->leases_len, r->leases_cap);
		reply->leases[reply->leases_len++] = lease;
	} else if (lease) {
		lease_free(lease);
	} else if (node.is_flannel && *node.problem) {
		add_junk(r, node.name, node.problem);
	}
	r->nodes_len++;
	kube_node_fini(&node);
}

static void list_start(struct kube_request *r)
{
	kube_told_free(r->told);
	r->told = kube_told_new();
	r->list_revision = 0;
	r->nodes_len = 0;
	list_page(r, NULL);
}

/* What the pages so far were of is gone. */
static void list_again(struct kube_request *r, const struct kube_answer *why)
{
	store_reply_fini(&r->reply);
	r->leases_cap = r->junk_cap = 0;
	if (++r->attempts < LIST_ATTEMPTS)
		list_start(r);
	else
		kube_answer_failure(r, why);
}

static void list_end(struct kube_request *r)
{
	struct kube_store *s = r->store;

	kube_told_free(s->listed);
	s->listed = STEAL(r->told);
	s->listed_revision = r->reply.revision = r->list_revision;
	kube_watch_listed(s);
	kube_answer(r, STORE_OK);
}

static void on_page(void *arg, const struct kube_answer *answer, const char *body, size_t size,
		    bool sent UNUSED)
{
	struct kube_request *r = arg;
	struct kube_list list;

	r->call = NULL;
	if (answer->outcome == KUBE_EXPIRED) {
		list_again(r, answer);
		return;
	}
	if (answer->outcome != KUBE_OK) {
		kube_answer_failure(r, answer);
		return;
	}
	if (kube_list_read(body, size, &list, &r->reply.err) < 0) {
		err_wrap(&r->reply.err, "kubernetes: list");
		kube_answer(r, STORE_UNAVAILABLE);
		return;
	}
	if (r->list_revision && list.revision != r->list_revision) {
		struct kube_answer other = { .outcome = KUBE_LATER };

		err_set(&other.err, -EAGAIN, "another page is of another resourceVersion");
		list_again(r, &other);
	} else if (r->reply.leases_len > STORE_LEASES_MAX || r->nodes_len > LIST_NODES_MAX) {
		err_set(&r->reply.err, -EFBIG, "kubernetes: more than %d nodes", STORE_LEASES_MAX);
		kube_answer(r, STORE_INVALID);
	} else {
		r->list_revision = list.revision;
		if (list.more)
			list_page(r, list.more);
		else
			list_end(r);
	}
	kube_list_fini(&list);
}

/* Without a resourceVersion the first is of the present, whichever server answers. */
static void list_page(struct kube_request *r, const char *more)
{
	auto_free char *token = more ? endpoints_escape(more, "") : NULL;
	auto_free char *path = xasprintf(KUBE_NODES "?limit=%d%s%s", PAGE_LEN,
					 token ? "&continue=" : "", token ? token : "");

	r->call = kube_call_start(
		r->store->client,
		&(struct kube_ask){ .path = path, .piece = on_item, .form = KUBE_STREAM_LIST },
		on_page, r);
}

/* ---- the store ---- */

static void kube_submit(struct store *store, const struct store_request *request,
			store_reply_fn *fn, void *arg)
{
	struct kube_store *s = kube_store_of(store);
	struct kube_request *r = xcalloc(1, sizeof(*r));

	*r = (struct kube_request){
		.store = s, .next = s->requests, .op = request->op, .fn = fn, .arg = arg
	};
	s->requests = r;
	r->lease = request->lease ? lease_copy(request->lease) : NULL;
	switch (request->op) {
	case STORE_CONFIG:
		if (*s->host.node || s->pod)
			kube_find_own(r);
		else
			answer_soon(r, STORE_OK);
		break;
	case STORE_LIST:
		list_start(r);
		break;
	case STORE_CREATE:
	case STORE_UPDATE:
	case STORE_BIND:
		if (*s->host.node) {
			kube_claim(r);
			break;
		}
		err_set(&r->reply.err, -EAGAIN,
			"kubernetes: it is not known yet which node this is");
		answer_soon(r, STORE_UNAVAILABLE);
		break;
	case STORE_CONFIG_SET:
		err_set(&r->reply.err, -EINVAL,
			"kubernetes: the network configuration is the file %s, not ours to write",
			kube_file_path(s->file));
		answer_soon(r, STORE_INVALID);
		break;
	case STORE_HEALTH_SET:
	case STORE_HEALTH_KEEP:
	case STORE_HEALTH_LIST:
		err_set(&r->reply.err, -EINVAL, "kubernetes: there is no place for %s",
			store_op_name(request->op));
		answer_soon(r, STORE_INVALID);
		break;
	case STORE_KEEPALIVE:
	case STORE_TIME_LEFT:
	case STORE_REMOVE:
	case STORE_OPS:
		err_set(&r->reply.err, -EINVAL,
			"kubernetes: a lease lives as long as its node, %s is of no use",
			store_op_name(request->op));
		answer_soon(r, STORE_INVALID);
		break;
	}
}

static void kube_describe(struct store *store, void *json_object)
{
	struct kube_store *s = kube_store_of(store);
	const struct kube_told *told = kube_watch_told(s);
	uint64_t calls;
	uint64_t patches;

	kube_client_counts(s->client, &calls, &patches);
	json_object_set_new(json_object, "type", json_string("kube"));
	json_object_set_new(json_object, "server", json_text(kube_client_server(s->client)));
	json_object_set_new(json_object, "node", json_text(s->host.node));
	json_object_set_new(json_object, "annotations", json_text(s->prefix.text));
	json_object_set_new(json_object, "net_config", json_text(kube_file_path(s->file)));
	json_object_set_new(json_object, "flannel_nodes",
			    json_integer(told ? (json_int_t)kube_told_len(told) : 0));
	json_object_set_new(json_object, "requests", json_integer((json_int_t)calls));
	json_object_set_new(json_object, "patches", json_integer((json_int_t)patches));
}

static void kube_problems(struct store *store, struct problem_list *list)
{
	const struct kube_store *s = kube_store_of(store);

	if (*s->own_problem)
		problem_add(list, PROBLEM_WARNING, "node-unreadable", "node %s: %s", s->host.node,
			    s->own_problem);
}

static void kube_free(struct store *store)
{
	struct kube_store *s = kube_store_of(store);

	while (s->requests)
		request_free(s->requests);
	kube_client_free(s->client);
	kube_file_free(s->file);
	kube_told_free(s->listed);
	free(s->pod);
	free(s);
}

static const struct store_ops kube_ops = {
	.submit = kube_submit,
	.watch = kube_watch_start,
	.watch_stop = kube_watch_stop,
	.describe = kube_describe,
	.problems = kube_problems,
	.free = kube_free,
};

static void on_file(void *arg)
{
	kube_watch_config(arg);
}

/* NODE_NAME, else POD_NAME and POD_NAMESPACE; with neither this is nobody's node, which will do for who only reads. */
static int find_node(struct kube_store *s, struct err *e)
{
	const char *node = getenv("NODE_NAME");
	const char *pod = getenv("POD_NAME");
	const char *namespace = getenv("POD_NAMESPACE");

	if (node && *node) {
		if (!kube_node_name_is_valid(node))
			return err_set(e, -EINVAL, "NODE_NAME is \"%.80s\", must be a node's name",
				       node);
		snprintf(s->host.node, sizeof(s->host.node), "%s", node);
		return 0;
	}
	if (!pod || !*pod || !namespace || !*namespace)
		return 0;
	if (!kube_node_name_is_valid(pod) || !kube_node_name_is_valid(namespace))
		return err_set(
			e, -EINVAL,
			"POD_NAMESPACE is \"%.80s\" and POD_NAME \"%.80s\", must be names of "
			"Kubernetes",
			namespace, pod);
	s->pod = xasprintf("/api/v1/namespaces/%s/pods/%s", namespace, pod);
	return 0;
}

static int open_kube(const struct store_open_args *args, struct store **ret, struct err *e)
{
	const struct kube_options *o = args->options;
	struct kube_access access = { 0 };
	struct kube_store *s;
	int rc;

	if (*args->where)
		return err_set(e, -EINVAL, "store is \"kube:%.80s\", must be kube", args->where);
	s = xcalloc(1, sizeof(*s));
	s->base.ops = &kube_ops;
	s->loop = args->base;
	s->random = args->random;
	s->set_network_unavailable = o->set_network_unavailable;
	s->host.out_of_use = kube_options_out_of_use(o);
	rc = kube_prefix_parse(o->prefix, &s->prefix, e);
	if (rc == 0)
		rc = find_node(s, e);
	if (rc == 0)
		rc = kube_access_open(o->api_url, o->kubeconfig_file, &access, e);
	if (rc == 0)
		rc = kube_client_new(args->base, args->http, &access, &s->client, e);
	if (rc < 0) {
		kube_access_fini(&access);
		kube_free(&s->base);
		return rc;
	}
	s->file = kube_file_new(args->base, o->net_config_path, on_file, s);
	*ret = &s->base;
	return 0;
}

/* The server's address without its scheme; what follows tells networks of one cluster apart. */
static void place(const struct store *store, struct store_place *ret)
{
	const struct kube_store *s = (const struct kube_store *)store;
	const char *server = strstr(kube_client_server(s->client), "://");

	*ret = (struct store_place){ 0 };
	snprintf(ret->where, sizeof(ret->where), "kube:%s/%s", server + 3, s->prefix.text);
	/* The one that stands behind a domain alone. */
	if (ret->where[strlen(ret->where) - 1] == '/')
		ret->where[strlen(ret->where) - 1] = '\0';
}

static int host(const struct store *store, struct store_host *ret, struct err *e)
{
	const struct kube_store *s = (const struct kube_store *)store;

	if (!*s->host.node && !s->pod)
		return err_set(
			e, -EINVAL,
			"which node this is must be in the environment: NODE_NAME, or POD_NAME and "
			"POD_NAMESPACE");
	*ret = s->host;
	return 0;
}

const struct store_type kube_store_type = {
	.scheme = "kube",
	.traits = STORE_ASSIGNS | STORE_DATED,
	.list_interval_s = LIST_INTERVAL_S,
	.check = kube_options_check,
	.open = open_kube,
	.place = place,
	.host = host,
};
