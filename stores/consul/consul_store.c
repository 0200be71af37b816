/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that read. All are asked with ?consistent: a leader makes sure that it still is one.
 *
 * To a token without rights an agent answers a list as if there were no keys. Of a single key it says the
 * truth, whether that is there or not. So a list is two reads, first of a key among the leases that nobody
 * has, which also tells the index of the table of all keys. That one never goes back, while the index of a
 * prefix does when Consul forgets that keys were deleted, a quarter of an hour later.
 */
#include "stores/consul/consul_store.h"
#include "stores/consul/consul_internal.h"

#include <errno.h>
#include <event2/event.h>

#include "lib/endpoints.h"

/* A list whose token has changed meanwhile begins again, so often. */
#define LIST_ATTEMPTS 4
/* Each answer to the watch is a list and is compared as one. */
#define LIST_INTERVAL_S 3600

static struct consul_store *consul_store_of(struct store *s)
{
	return (struct consul_store *)s;
}

/* ---- requests ---- */

static void request_free(struct consul_request *r)
{
	struct consul_request **link = &r->store->requests;

	while (*link != r)
		link = &(*link)->next;
	*link = r->next;
	consul_call_cancel(r->call);
	if (r->soon)
		event_free(r->soon);
	store_reply_fini(&r->reply);
	lease_free(r->lease);
	free(r->key);
	free(r->value);
	free(r);
}

void consul_answer(struct consul_request *r, enum store_status status)
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

static void ignore_result(void *arg UNUSED, const struct consul_result *result UNUSED)
{
}

void consul_drop_session(struct consul_request *r)
{
	char id[CONSUL_SESSION_TEXT];
	auto_free char *path =
		xasprintf("/v1/session/destroy/%s", consul_session_format(r->session, id));

	r->granted = false;
	consul_client_call(r->store->client, &(struct consul_ask){ .path = path, .body = "" },
			   ignore_result, NULL);
}

void consul_answer_failure(struct consul_request *r, const struct consul_result *result)
{
	enum store_status status = STORE_INVALID;

	err_set(&r->reply.err, -EIO, "consul: %s: %s", store_op_name(r->op), result->text);
	if (result->outcome == CONSUL_DENIED)
		status = STORE_DENIED;
	else if (result->outcome == CONSUL_LATER)
		status = STORE_UNAVAILABLE;
	/* Why it was not seen does not change that it may have happened. */
	if (r->uncertain)
		status = STORE_UNKNOWN;
	else if (r->granted)
		consul_drop_session(r);
	consul_answer(r, status);
}

/* What answers is no Consul, or has not understood. */
static void answer_nonsense(struct consul_request *r, const struct err *e)
{
	r->reply.err = *e;
	err_wrap(&r->reply.err, "consul: %s", store_op_name(r->op));
	consul_answer(r, STORE_UNAVAILABLE);
}

void consul_request_call(struct consul_request *r, const struct consul_ask *ask, consul_call_fn *fn)
{
	r->call = consul_client_call(r->store->client, ask, fn, r);
}

void consul_request_read(struct consul_request *r, const char *key, consul_call_fn *fn)
{
	auto_free char *escaped = endpoints_escape(key, "/");
	auto_free char *path = xasprintf("/v1/kv/%s?consistent", escaped);

	consul_request_call(r, &(struct consul_ask){ .path = path }, fn);
}

static void on_soon(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct consul_request *r = arg;

	consul_answer(r, r->soon_status);
}

/* Nobody has to be asked; the answer comes from the loop all the same. */
static void answer_soon(struct consul_request *r, enum store_status status)
{
	static const struct timeval at_once;

	r->soon_status = status;
	r->soon = evtimer_new(r->store->loop, on_soon, r);
	event_add(r->soon, &at_once);
}

/* ---- keys ---- */

void consul_set_store_part(struct lease *lease, u128 session)
{
	lease->id = session;
	lease->flags = session ? LEASE_EXPIRES : LEASE_RESERVED;
}

bool consul_is_subnet(const struct consul_store *s, const char *key)
{
	size_t size = strlen(s->subnets_prefix);

	/* The prefix itself is what Consul's own interface makes of a folder. */
	return strncmp(key, s->subnets_prefix, size) == 0 && key[size];
}

struct lease *consul_read_lease(const struct consul_store *s, const struct consul_kv *kv,
				char **ret_reason)
{
	auto_lease struct lease *lease = lease_new();
	struct err e = { 0 };

	if (!consul_is_subnet(s, kv->key) ||
	    subnet_key_parse(kv->key + strlen(s->subnets_prefix), &lease->subnet, &e) < 0) {
		*ret_reason = xstrdup(e.text);
		return NULL;
	}
	lease->born = kv->create_index;
	lease->mod_revision = kv->modify_index;
	consul_set_store_part(lease, kv->session);
	if (kv->value && lease_value_parse(kv->value, kv->value_size, lease, &e) < 0)
		lease->problem = xstrdup(e.text);
	return lease_compact(STEAL(lease));
}

/* An answer without an index is none of a store that works: never "there is nothing". */
static int check_index(const struct consul_result *result, struct err *e)
{
	return result->index
		       ? 0
		       : err_set(e, -EBADMSG, "the answer has no X-Consul-Index: is it Consul's?");
}

int consul_read_list(const struct consul_result *result, const struct consul_list *before,
		     struct consul_list *ret, struct err *e)
{
	*ret = (struct consul_list){ 0 };
	if (check_index(result, e) < 0)
		return e->code;
	if (result->outcome == CONSUL_ABSENT)
		return 0;
	return consul_list_read(result->body, result->size, before, ret, e);
}

int consul_read_one(const struct consul_result *result, struct consul_kv *ret, struct err *e)
{
	struct consul_list list;
	int rc = consul_read_list(result, NULL, &list, e);

	if (rc == 0 && list.len == 0)
		rc = list.unreadable ? err_set(e, -EBADMSG, "the key cannot be read")
				     : err_set(e, -ENOENT, "there is no such key");
	if (rc == 0)
		rc = consul_kv_read(list.items[0].text, list.items[0].size, true, ret, e) < 0
			     ? -EBADMSG
			     : 0;
	consul_list_fini(&list);
	return rc;
}

/* ---- CONFIG, KEEPALIVE, TIME_LEFT ---- */

static bool is_answer(const struct consul_result *result)
{
	return result->outcome == CONSUL_OK || result->outcome == CONSUL_ABSENT;
}

static void on_config(void *arg, const struct consul_result *result)
{
	struct consul_request *r = arg;
	struct consul_kv kv = { 0 };
	struct err e;
	int rc;

	r->call = NULL;
	if (!is_answer(result)) {
		consul_answer_failure(r, result);
		return;
	}
	r->reply.revision = result->index;
	rc = consul_read_one(result, &kv, &e);
	if (rc == -ENOENT) {
		err_set(&r->reply.err, -ENOENT, "consul: there is no key %s", r->store->config_key);
		consul_answer(r, STORE_ABSENT);
	} else if (rc < 0) {
		answer_nonsense(r, &e);
	} else {
		r->reply.config = STEAL(kv.value);
		r->reply.config_size = kv.value_size;
		r->reply.config_revision = kv.modify_index;
		consul_answer(r, STORE_OK);
	}
	consul_kv_fini(&kv);
}

static void on_renewed(void *arg, const struct consul_result *result)
{
	struct consul_request *r = arg;
	int64_t ttl_s;
	struct err e;

	r->call = NULL;
	if (result->outcome == CONSUL_ABSENT) {
		err_set(&r->reply.err, -ENOENT, "consul: the lease's session is no more");
		consul_answer(r, STORE_ABSENT);
	} else if (result->outcome != CONSUL_OK) {
		consul_answer_failure(r, result);
	} else if (consul_renewal_read(result->body, result->size, &ttl_s, &e) < 0) {
		answer_nonsense(r, &e);
	} else {
		r->reply.ttl_s = 2 * ttl_s;
		consul_answer(r, STORE_OK);
	}
}

static void renew(struct consul_request *r)
{
	char id[CONSUL_SESSION_TEXT];
	auto_free char *path =
		xasprintf("/v1/session/renew/%s", consul_session_format(r->lease->id, id));

	consul_request_call(r, &(struct consul_ask){ .path = path, .body = "" }, on_renewed);
}

/* ---- LIST ---- */

static void list_start(struct consul_request *r);

static void add_junk(struct store_reply *reply, size_t *cap, const char *key, char *reason)
{
	if (reply->junk_len == STORE_JUNK_MAX) {
		reply->junk_more++;
		free(reason);
		return;
	}
	GROW(reply->junk, reply->junk_len, *cap);
	reply->junk[reply->junk_len++] =
		(struct store_junk){ xstrndup(key, STORE_JUNK_KEY_MAX), reason };
}

static void take_entries(struct consul_request *r, const struct consul_list *list)
{
	struct store_reply *reply = &r->reply;
	size_t leases_cap = 0;
	size_t junk_cap = 0;

	for (size_t i = 0; i < list->len && reply->leases_len <= STORE_LEASES_MAX; i++) {
		const struct consul_entry *entry = &list->items[i];
		struct consul_kv kv = { 0 };
		struct lease *lease = NULL;
		char *reason = NULL;
		struct err e;

		if (!consul_is_subnet(r->store, entry->key))
			continue;
		if (consul_kv_read(entry->text, entry->size, true, &kv, &e) < 0)
			reason = xstrdup(e.text);
		else
			lease = consul_read_lease(r->store, &kv, &reason);
		if (lease) {
			GROW(reply->leases, reply->leases_len, leases_cap);
			reply->leases[reply->leases_len++] = lease;
		} else {
			add_junk(reply, &junk_cap, entry->key, reason);
		}
		consul_kv_fini(&kv);
	}
	for (size_t i = 0; i < list->unreadable; i++)
		add_junk(reply, &junk_cap, "?", xstrdup("an entry that cannot be read"));
}

static void list_end(struct consul_request *r, struct consul_list *list, uint64_t index)
{
	struct consul_store *s = r->store;

	take_entries(r, list);
	if (r->reply.leases_len > STORE_LEASES_MAX) {
		err_set(&r->reply.err, -EFBIG, "consul: more than %d leases under %s",
			STORE_LEASES_MAX, s->subnets_prefix);
		consul_answer(r, STORE_INVALID);
		return;
	}
	consul_list_forget_texts(list);
	consul_list_fini(&s->listed);
	s->listed = *list;
	*list = (struct consul_list){ 0 };
	s->listed_index = index;
	s->listed_revision = r->reply.revision = MAX(r->table_index, index);
	consul_answer(r, STORE_OK);
}

static void on_list(void *arg, const struct consul_result *result)
{
	struct consul_request *r = arg;
	struct consul_list list = { 0 };
	struct err e;

	r->call = NULL;
	if (!is_answer(result)) {
		consul_answer_failure(r, result);
	} else if (result->token != r->token && ++r->attempts < LIST_ATTEMPTS) {
		list_start(r);
	} else if (result->filtered) {
		err_set(&r->reply.err, -EACCES,
			"consul: list: the token may not read all keys under %s", r->store->prefix);
		consul_answer(r, STORE_DENIED);
	} else if (consul_read_list(result, NULL, &list, &e) < 0) {
		answer_nonsense(r, &e);
	} else {
		list_end(r, &list, result->index);
	}
	consul_list_fini(&list);
}

static void on_rights(void *arg, const struct consul_result *result)
{
	struct consul_request *r = arg;
	struct err e;

	r->call = NULL;
	if (!is_answer(result)) {
		consul_answer_failure(r, result);
		return;
	}
	if (check_index(result, &e) < 0) {
		answer_nonsense(r, &e);
		return;
	}
	r->table_index = result->index;
	r->token = result->token;
	consul_request_call(r,
			    &(struct consul_ask){ .path = r->store->list_path,
						  .max_size = CONSUL_LIST_MAX_SIZE },
			    on_list);
}

static void list_start(struct consul_request *r)
{
	consul_request_call(r, &(struct consul_ask){ .path = r->store->rights_path }, on_rights);
}

/* ---- the store ---- */

static void answer_at_once(struct consul_request *r, const char *why)
{
	err_set(&r->reply.err, -EINVAL, "consul: %s: %s", store_op_name(r->op), why);
	answer_soon(r, STORE_INVALID);
}

static void consul_submit(struct store *store, const struct store_request *request,
			  store_reply_fn *fn, void *arg)
{
	struct consul_store *s = consul_store_of(store);
	struct consul_request *r = xcalloc(1, sizeof(*r));
	char key[SUBNET_KEY_TEXT];
	struct err e;

	*r = (struct consul_request){
		.store = s, .next = s->requests, .op = request->op, .fn = fn, .arg = arg
	};
	s->requests = r;
	if (request->lease) {
		r->lease = lease_copy(request->lease);
		r->key = xasprintf("%s%s", s->subnets_prefix,
				   subnet_key_format(&request->lease->subnet, key));
		r->value = lease_value_format(request->lease);
	}
	switch (request->op) {
	case STORE_CONFIG:
		consul_request_read(r, s->config_key, on_config);
		break;
	case STORE_LIST:
		list_start(r);
		break;
	case STORE_CONFIG_SET:
		r->key = xstrdup(s->config_key);
		r->value = xstrdup(request->config);
		r->config_revision = request->config_revision;
		consul_write(r);
		break;
	case STORE_CREATE:
	case STORE_BIND:
		if (request->ttl_s && consul_session_ttl(request->ttl_s, &r->session_ttl_s, &e) < 0)
			answer_at_once(r, e.text);
		else
			consul_write(r);
		break;
	case STORE_UPDATE:
	case STORE_REMOVE:
		consul_write(r);
		break;
	case STORE_KEEPALIVE:
		renew(r);
		break;
	/* Each change of a key below the prefix has every host read all of them again. */
	case STORE_HEALTH_SET:
	case STORE_HEALTH_KEEP:
	case STORE_HEALTH_LIST:
		answer_at_once(r, "there is no place for it");
		break;
	case STORE_TIME_LEFT:
	case STORE_OPS:
		answer_at_once(r, "Consul does not tell how long a session has left");
		break;
	}
}

static void consul_describe(struct store *store, void *json_object)
{
	struct consul_store *s = consul_store_of(store);

	json_object_set_new(json_object, "type", json_string("consul"));
	json_object_set_new(json_object, "config_key", json_text(s->config_key));
	json_object_set_new(json_object, "leases", json_text(s->subnets_prefix));
	json_object_set_new(json_object, "datacenter", json_text(s->datacenter));
	consul_client_describe(s->client, json_object);
}

static void consul_free(struct store *store)
{
	struct consul_store *s = consul_store_of(store);

	while (s->requests)
		request_free(s->requests);
	consul_client_free(s->client);
	consul_list_fini(&s->listed);
	free(s->prefix);
	free(s->config_key);
	free(s->subnets_prefix);
	free(s->rights_path);
	free(s->list_path);
	free(s->datacenter);
	free(s);
}

static const struct store_ops consul_ops = {
	.submit = consul_submit,
	.watch = consul_watch_start,
	.watch_stop = consul_watch_stop,
	.describe = consul_describe,
	.free = consul_free,
};

int consul_store_new(struct event_base *base, struct http_client *http,
		     const struct consul_options *options, uint64_t (*random)(void),
		     struct store **ret, struct err *e)
{
	auto_free char *escaped = NULL;
	struct consul_client *client;
	struct consul_store *s;
	auto_free char *prefix = NULL;
	int rc = consul_prefix_read(options->prefix, &prefix, e);

	if (rc == 0)
		rc = consul_client_new(http, options, &client, e);
	if (rc < 0)
		return rc;
	s = xcalloc(1, sizeof(*s));
	s->base.ops = &consul_ops;
	s->loop = base;
	s->client = client;
	s->random = random;
	s->probe_ms = CONSUL_PROBE_MS;
	s->credit_max = CONSUL_CREDIT_MAX;
	s->prefix = STEAL(prefix);
	s->config_key = xasprintf("%s/config", s->prefix);
	s->subnets_prefix = xasprintf("%s/subnets/", s->prefix);
	escaped = endpoints_escape(s->prefix, "/");
	/* Of a key that is there the index would be its own. People make "subnets/", as a folder. */
	s->rights_path = xasprintf("/v1/kv/%s/subnets/.%016llx?consistent", escaped,
				   (unsigned long long)random());
	s->list_path = xasprintf("/v1/kv/%s/?recurse&consistent", escaped);
	s->datacenter = xstrdup(options->datacenter ? options->datacenter : "");
	*ret = &s->base;
	return 0;
}

static int open_consul(const struct store_open_args *args, struct store **ret, struct err *e)
{
	if (*args->where)
		return err_set(e, -EINVAL, "store is \"consul:%.80s\", must be consul",
			       args->where);
	return consul_store_new(args->base, args->http, args->options, args->random, ret, e);
}

static void place(const struct store *store, struct store_place *ret)
{
	const struct consul_store *s = (const struct consul_store *)store;

	*ret = (struct store_place){ 0 };
	snprintf(ret->where, sizeof(ret->where), "consul:%.30s%s%s", s->datacenter,
		 *s->datacenter ? ":" : "", s->prefix);
}

const struct store_type consul_store_type = {
	.scheme = "consul",
	.traits = STORE_EXPIRES | STORE_ORDERED | STORE_WRITES_CONFIG,
	.list_interval_s = LIST_INTERVAL_S,
	.check = consul_options_check,
	.open = open_consul,
	.place = place,
};
