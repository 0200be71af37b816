/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/etcd/etcd_store.h"
#include "stores/etcd/etcd_internal.h"

#include <errno.h>
#include <event2/event.h>

/* Keys of one page of a list: bounds what a large cluster costs in memory at once. */
#define PAGE_LEN 1000
/* A page of large values is larger than an answer may be, and asked for again with so many times
 * fewer keys; each that was not makes the next one twice as long. */
#define PAGE_SHRINKS 8
/* A page of a list may find its revision compacted; the list then starts again, this often. */
#define LIST_ATTEMPTS 4

static struct etcd_store *etcd_store_of(struct store *s)
{
	return (struct etcd_store *)s;
}

char *etcd_clean_prefix(const char *prefix)
{
	char *clean = xstrdup(prefix);
	char *out = clean;

	for (const char *p = prefix; *p; p++) {
		if (*p == '/' && out > clean && out[-1] == '/')
			continue;
		*out++ = *p;
	}
	while (out > clean + 1 && out[-1] == '/')
		out--;
	*out = '\0';
	return clean;
}

/* A key that is bound to no lease of etcd's was put there by hand. */
void etcd_set_store_part(struct lease *lease, int64_t etcd_lease)
{
	lease->id = (u128)etcd_lease;
	lease->flags = etcd_lease ? LEASE_EXPIRES : LEASE_RESERVED;
}

struct lease *etcd_read_lease(const struct etcd_store *s, const struct etcd_kv *kv,
			      char **ret_reason)
{
	size_t prefix_size = strlen(s->subnets_prefix);
	auto_lease struct lease *lease = lease_new();
	struct err e = { 0 };

	if (strncmp(kv->key, s->subnets_prefix, prefix_size) != 0 ||
	    subnet_key_parse(kv->key + prefix_size, &lease->subnet, &e) < 0) {
		*ret_reason = xstrdup(e.text);
		return NULL;
	}
	lease->born = kv->create_revision;
	lease->mod_revision = kv->mod_revision;
	etcd_set_store_part(lease, kv->lease);
	if (!kv->deleted && lease_value_parse(kv->value, kv->value_size, lease, &e) < 0)
		lease->problem = xstrdup(e.text);
	return lease_compact(STEAL(lease));
}

static void request_free(struct etcd_request *r)
{
	struct etcd_request **link = &r->store->requests;

	while (*link != r)
		link = &(*link)->next;
	*link = r->next;
	etcd_time_left_drop(r);
	etcd_call_cancel(r->call);
	store_reply_fini(&r->reply);
	lease_free(r->lease);
	free(r->page_from);
	free(r->key);
	free(r->value);
	free(r);
}

void etcd_answer(struct etcd_request *r, enum store_status status)
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

static void ignore_result(void *arg UNUSED, const struct etcd_result *result UNUSED)
{
}

/* Gives back a handle that holds nothing. If this fails it expires by itself. */
void etcd_drop_handle(struct etcd_request *r)
{
	etcd_client_call(r->store->client,
			 &(struct etcd_ask){ .method = ETCD_REVOKE, .lease = r->handle },
			 ignore_result, NULL);
}

enum store_status etcd_read_failure(struct etcd_request *r, const struct etcd_result *result)
{
	enum store_status status = STORE_INVALID;

	err_set(&r->reply.err, -EIO, "etcd: %s: %s", store_op_name(r->op), result->text);
	switch (result->code) {
	case ETCD_PERMISSION_DENIED:
	case ETCD_UNAUTHENTICATED:
		status = STORE_DENIED;
		break;
	case ETCD_INVALID_ARGUMENT:
		if (strstr(result->text, "authentication failed") ||
		    strstr(result->text, "user name is empty") ||
		    strstr(result->text, "revision of auth store is old"))
			status = STORE_DENIED;
		break;
	case ETCD_RESOURCE_EXHAUSTED:
		status = STORE_UNAVAILABLE;
		break;
	default:
		if (etcd_code_is_transient(result->code))
			status = STORE_UNAVAILABLE;
	}
	return status;
}

/* A failure that needs no more thought than its gRPC code. */
void etcd_answer_failure(struct etcd_request *r, const struct etcd_result *result)
{
	enum store_status status = etcd_read_failure(r, result);

	/* Why it was not seen does not change that it may have happened. */
	if (r->uncertain)
		status = STORE_UNKNOWN;
	else if (r->granted)
		etcd_drop_handle(r);
	etcd_answer(r, status);
}

void etcd_request_call(struct etcd_request *r, const struct etcd_ask *ask, etcd_call_fn *fn)
{
	r->call = etcd_client_call(r->store->client, ask, fn, r);
}

/* Which cluster answered: another than before means that all we knew of revisions is void. */
static void note_header(struct etcd_store *s, const struct etcd_header *header)
{
	if (header->cluster_id)
		s->cluster_id = header->cluster_id;
}

static void on_config(void *arg, const struct etcd_result *result)
{
	struct etcd_request *r = arg;
	struct etcd_kvs *kvs = &result->reply->kvs;

	r->call = NULL;
	if (result->code != ETCD_OK) {
		etcd_answer_failure(r, result);
		return;
	}
	note_header(r->store, &result->reply->header);
	r->reply.revision = result->reply->header.revision;
	if (kvs->len > 0) {
		r->reply.config = STEAL(kvs->items[0].value);
		r->reply.config_size = kvs->items[0].value_size;
		r->reply.config_revision = kvs->items[0].mod_revision;
		etcd_answer(r, STORE_OK);
		return;
	}
	err_set(&r->reply.err, -ENOENT, "etcd: there is no key %s", r->store->config_key);
	etcd_answer(r, STORE_ABSENT);
}

static void list_add(struct etcd_request *r, struct etcd_kv *kv)
{
	struct store_reply *reply = &r->reply;
	char *reason = NULL;
	struct lease *lease;

	if (r->op == STORE_HEALTH_LIST) {
		etcd_health_add(r, kv);
		return;
	}
	lease = etcd_read_lease(r->store, kv, &reason);
	if (lease) {
		GROW(reply->leases, reply->leases_len, r->leases_cap);
		reply->leases[reply->leases_len++] = lease;
	} else if (reply->junk_len == STORE_JUNK_MAX) {
		reply->junk_more++;
		free(reason);
	} else {
		GROW(reply->junk, reply->junk_len, r->junk_cap);
		reply->junk[reply->junk_len++] =
			(struct store_junk){ xstrndup(kv->key, STORE_JUNK_KEY_MAX), reason };
	}
}

static void on_page(void *arg, const struct etcd_result *result);

/* Asks for the page from page_from on. */
static void list_page(struct etcd_request *r)
{
	etcd_request_call(r,
			  &(struct etcd_ask){ .method = ETCD_RANGE,
					      .key = r->page_from,
					      .key_size = r->page_from_size,
					      .range_end = (char *)r->list_end,
					      .limit = r->page_len,
					      .revision = r->list_revision },
			  on_page);
}

static void list_start(struct etcd_request *r)
{
	free(r->page_from);
	r->page_from = xstrdup(r->key ? r->key : r->list_prefix);
	r->page_from_size = strlen(r->page_from);
	r->page_len = PAGE_LEN;
	list_page(r);
}

/* What the pages so far were of is gone. */
static void list_again(struct etcd_request *r, const char *why)
{
	store_reply_fini(&r->reply);
	r->leases_cap = r->junk_cap = r->health_cap = 0;
	r->list_revision = 0;
	if (++r->attempts < LIST_ATTEMPTS) {
		list_start(r);
		return;
	}
	err_set(&r->reply.err, -EAGAIN, "etcd: list: %s", why);
	etcd_answer(r, STORE_UNAVAILABLE);
}

/* Nothing came of this page. */
static void list_failed(struct etcd_request *r, const struct etcd_result *result)
{
	char key[80];

	if (result->code == ETCD_OUT_OF_RANGE && r->list_revision) {
		list_again(r, result->text);
		return;
	}
	if (result->code == ETCD_TOO_LARGE && r->page_len > 1) {
		r->page_len = MAX(r->page_len / PAGE_SHRINKS, (size_t)1);
		list_page(r);
		return;
	}
	if (result->code == ETCD_TOO_LARGE) {
		snprintf(key, sizeof(key), "%s", r->page_from);
		util_make_printable(key);
		err_set(&r->reply.err, -EFBIG,
			"etcd: list: the value of the key that follows %s is larger than %zu MiB",
			key, ETCD_REPLY_MAX_SIZE >> 20);
		etcd_answer(r, STORE_UNAVAILABLE);
		return;
	}
	etcd_answer_failure(r, result);
}

/* Goes on behind a page: *ret_more. -EINVAL, -EFBIG: it leads nowhere, or everywhere. */
static int list_go_on(struct etcd_request *r, struct etcd_reply *page, bool *ret_more)
{
	size_t size = page->next_key_size;
	int order;

	*ret_more = page->next_key;
	if (!page->next_key)
		return 0;
	order = memcmp(page->next_key, r->page_from, MIN(size, r->page_from_size));
	if (order < 0 || (order == 0 && size <= r->page_from_size))
		return err_set(&r->reply.err, -EINVAL,
			       "etcd: list: a page that does not lead on: the server is no etcd");
	if (r->reply.leases_len + r->reply.junk_len + r->reply.junk_more > r->store->list_keys_max)
		return err_set(&r->reply.err, -EFBIG, "etcd: more than %zu keys under %s",
			       r->store->list_keys_max, r->list_prefix);
	free(r->page_from);
	r->page_from = STEAL(page->next_key);
	r->page_from_size = size;
	r->page_len = MIN(r->page_len * 2, (size_t)PAGE_LEN);
	list_page(r);
	return 0;
}

static void on_page(void *arg, const struct etcd_result *result)
{
	struct etcd_request *r = arg;
	const struct etcd_header *header = &result->reply->header;
	struct etcd_kvs *kvs = &result->reply->kvs;
	bool more;

	r->call = NULL;
	if (result->code != ETCD_OK) {
		list_failed(r, result);
		return;
	}
	note_header(r->store, header);
	if (r->list_revision && header->cluster_id != r->list_cluster) {
		list_again(r, "another cluster has answered the next page");
		return;
	}
	if (!r->list_revision) {
		r->list_revision = header->revision;
		r->list_cluster = header->cluster_id;
	}
	/* Asked for before this page is read, so that the server works on it meanwhile. */
	if (list_go_on(r, result->reply, &more) < 0) {
		etcd_answer(r, STORE_UNAVAILABLE);
		return;
	}
	for (size_t i = 0; i < kvs->len; i++)
		list_add(r, &kvs->items[i]);
	if (MAX(r->reply.leases_len, r->reply.health_len) > STORE_LEASES_MAX) {
		err_set(&r->reply.err, -EFBIG, "etcd: more than %d %s under %s", STORE_LEASES_MAX,
			r->op == STORE_LIST ? "leases" : "records", r->list_prefix);
		etcd_answer(r, STORE_INVALID);
	} else if (!more) {
		r->reply.revision = r->list_revision;
		etcd_answer(r, STORE_OK);
	}
}

enum store_status etcd_read_ttl(struct etcd_request *r, const struct etcd_result *result)
{
	r->call = NULL;
	if (result->code != ETCD_OK && result->code != ETCD_NOT_FOUND)
		return etcd_read_failure(r, result);
	if (result->code == ETCD_OK) {
		note_header(r->store, &result->reply->header);
		r->reply.revision = result->reply->header.revision;
		r->reply.ttl_s = result->reply->ttl_s;
	}
	/* Zero is left out and a dead lease is no error: no TTL means gone. */
	if (r->reply.ttl_s > 0)
		return STORE_OK;
	err_set(&r->reply.err, -ENOENT, "etcd: the lease has expired or was revoked");
	return STORE_ABSENT;
}

static void on_keepalive(void *arg, const struct etcd_result *result)
{
	struct etcd_request *r = arg;

	etcd_answer(r, etcd_read_ttl(r, result));
}

/* What the request is about, copied: it is borrowed until the end of submit. */
static void take_subject(struct etcd_request *r, const struct store_request *request)
{
	const struct etcd_store *s = r->store;
	char key[SUBNET_KEY_TEXT];

	if (request->lease) {
		r->lease = lease_copy(request->lease);
		r->key = xasprintf("%s%s", s->subnets_prefix,
				   subnet_key_format(&request->lease->subnet, key));
		r->value = lease_value_format(request->lease);
	}
	if (request->op == STORE_CONFIG_SET) {
		r->key = xstrdup(s->config_key);
		r->value = xstrdup(request->config);
		r->config_revision = request->config_revision;
	}
	if (request->health_name)
		r->key = xasprintf("%s%s", s->health_prefix, request->health_name);
	if (request->op == STORE_HEALTH_SET)
		r->value = xstrdup(request->health);
	r->list_prefix = request->op == STORE_LIST ? s->subnets_prefix : s->health_prefix;
	r->list_end = request->op == STORE_LIST ? s->subnets_end
		      : request->health_name    ? NULL
						: s->health_end;
}

static void etcd_submit(struct store *store, const struct store_request *request,
			store_reply_fn *fn, void *arg)
{
	struct etcd_store *s = etcd_store_of(store);
	struct etcd_request *r = xcalloc(1, sizeof(*r));

	r->store = s;
	r->op = request->op;
	r->fn = fn;
	r->arg = arg;
	r->ttl_s = request->ttl_s;
	r->next = s->requests;
	s->requests = r;
	take_subject(r, request);
	switch (request->op) {
	case STORE_CONFIG:
		etcd_request_call(r,
				  &(struct etcd_ask){ .method = ETCD_RANGE, .key = s->config_key },
				  on_config);
		break;
	case STORE_LIST:
	case STORE_HEALTH_LIST:
		list_start(r);
		break;
	case STORE_HEALTH_SET:
		etcd_health_set(r);
		break;
	case STORE_HEALTH_KEEP:
		etcd_health_keep(r);
		break;
	case STORE_CREATE:
		if (r->ttl_s == 0) {
			etcd_send_txn(r);
			break;
		}
		etcd_grant(r);
		break;
	case STORE_BIND:
		etcd_grant(r);
		break;
	case STORE_UPDATE:
	case STORE_REMOVE:
	case STORE_CONFIG_SET:
		etcd_send_txn(r);
		break;
	case STORE_KEEPALIVE:
		etcd_time_left_forget(r->store, (int64_t)r->lease->id);
		etcd_request_call(r,
				  &(struct etcd_ask){ .method = ETCD_KEEPALIVE,
						      .lease = (int64_t)r->lease->id },
				  on_keepalive);
		break;
	case STORE_TIME_LEFT:
	case STORE_OPS:
		etcd_time_left_ask(r);
		break;
	}
}

static void etcd_describe(struct store *store, void *json_object)
{
	struct etcd_store *s = etcd_store_of(store);

	json_object_set_new(json_object, "type", json_string("etcd"));
	json_object_set_new(json_object, "config_key", json_string(s->config_key));
	json_object_set_new(json_object, "leases", json_string(s->subnets_prefix));
	etcd_client_describe(s->client, json_object);
}

static void etcd_problems(struct store *store, struct problem_list *list)
{
	etcd_client_problems(etcd_store_of(store)->client, list);
}

static void etcd_ask_clock(struct store *store)
{
	struct etcd_client *client = etcd_store_of(store)->client;

	etcd_client_ask_clock(client, etcd_client_current(client), NULL, NULL);
}

static void etcd_free(struct store *store)
{
	struct etcd_store *s = etcd_store_of(store);

	while (s->requests)
		request_free(s->requests);
	etcd_time_left_fini(s);
	etcd_client_free(s->client);
	free(s->prefix);
	free(s->config_key);
	free(s->subnets_prefix);
	free(s->subnets_end);
	free(s->health_prefix);
	free(s->health_end);
	free(s);
}

static const struct store_ops etcd_ops = {
	.submit = etcd_submit,
	.watch = etcd_watch_start,
	.watch_stop = etcd_watch_stop,
	.describe = etcd_describe,
	.problems = etcd_problems,
	.ask_clock = etcd_ask_clock,
	.free = etcd_free,
};

static void name_keys(struct etcd_store *s, const char *prefix)
{
	const char *slash = strcmp(prefix, "/") == 0 ? "" : "/";

	s->prefix = xstrdup(prefix);
	s->config_key = xasprintf("%s%sconfig", prefix, slash);
	s->subnets_prefix = xasprintf("%s%ssubnets/", prefix, slash);
	s->subnets_end = etcd_prefix_end(s->subnets_prefix);
	s->health_prefix = xasprintf("%s%shealth/", prefix, slash);
	s->health_end = etcd_prefix_end(s->health_prefix);
}

int etcd_store_new(struct event_base *base, struct http_client *http, const char *prefix,
		   const struct etcd_options *options, uint64_t (*random)(void), struct store **ret,
		   struct err *e)
{
	auto_free char *clean = etcd_clean_prefix(prefix);
	struct etcd_client *client;
	struct etcd_store *s;
	int rc;

	if (!*clean)
		return err_set(e, -EINVAL, "etcd-prefix is empty");
	rc = etcd_client_new(http, options, &client, e);
	if (rc < 0)
		return rc;
	s = xcalloc(1, sizeof(*s));
	s->base.ops = &etcd_ops;
	s->loop = base;
	s->client = client;
	s->random = random;
	s->probe_ms = ETCD_PROBE_MS;
	s->message_max = ETCD_MESSAGE_MAX;
	s->list_keys_max = ETCD_LIST_KEYS_MAX;
	etcd_time_left_init(s);
	name_keys(s, clean);
	*ret = &s->base;
	return 0;
}

static int open_etcd(const struct store_open_args *args, struct store **ret, struct err *e)
{
	const struct etcd_options *options = args->options;

	return etcd_store_new(args->base, args->http, options->prefix, options, args->random, ret,
			      e);
}

static void place(const struct store *store, struct store_place *ret)
{
	const struct etcd_store *s = (const struct etcd_store *)store;

	*ret = (struct store_place){ 0 };
	snprintf(ret->where, sizeof(ret->where), "%s", s->prefix);
	if (s->cluster_id)
		snprintf(ret->cluster, sizeof(ret->cluster), "%llx",
			 (unsigned long long)s->cluster_id);
}

const struct store_type etcd_store_type = {
	.scheme = "etcd",
	.traits = STORE_EXPIRES | STORE_ORDERED | STORE_WRITES_CONFIG | STORE_KEEPS_HEALTH,
	.check = etcd_options_check,
	.open = open_etcd,
	.place = place,
};
