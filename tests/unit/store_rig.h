/* SPDX-License-Identifier: Apache-2.0 */
/* One store of a kind, the questions it is asked, and what its watch tells. */
#ifndef TESTS_UNIT_STORE_RIG_H
#define TESTS_UNIT_STORE_RIG_H

#include "tests/unit/test.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sys/file.h>

#include "lib/base64.h"
#include "lib/clock.h"
#include "lib/file.h"
#include "lib/http.h"
#include "lib/json.h"
#include "stores/consul/consul_answer.h"
#include "stores/consul/consul_store.h"
#include "stores/etcd/etcd_store.h"
#include "stores/file_store.h"
#include "stores/kube/kube_store.h"

#define DEADLINE_MS 8000
/* No session of Consul's ends sooner than 20 s after it was made. */
#define DEADLINE_CONSUL_MS 40000
#define EVENTS_MAX         64
#define CONFIG             "{\"Network\":\"10.5.0.0/16\"}"

/* The last two assign subnets. */
enum kind { MEM, FILE_STORE, ETCD, CONSUL, MEM_ASSIGNS, KUBE };

struct told {
	enum store_event_type type;
	uint64_t revision;
	char key[SUBNET_KEY_TEXT];
	char *backend_type;
	bool problem;
	bool reason;
};

struct rig {
	enum kind kind;
	struct event_base *base;
	struct http_client *http;
	struct http_client *other_http; /* of those who change the store besides */
	struct store *store;
	struct store *other; /* FILE_STORE: as another process has it open */
	char *directory;
	char *prefix;
	struct event *deadline;
	bool late;
	struct store_reply *reply; /* of the question under way */
	bool answered;
	struct told told[EVENTS_MAX];
	size_t told_len;
	struct store_watch *watch;
	bool stop_inside;
};

static enum kind kind;
static unsigned runs;

static UNUSED void choose_to_assign(struct mem_db *db, void *arg UNUSED)
{
	mem_db_set_traits(db, STORE_ASSIGNS);
}

static UNUSED uint64_t random_u64(void)
{
	static uint64_t state;

	if (!state)
		state = (uint64_t)clock_wall_ms() * 2654435761u + (uint64_t)getpid();
	return test_random(&state);
}

static UNUSED void on_deadline(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	((struct rig *)arg)->late = true;
}

/* One turn of the loop; fails if nothing comes for too long. */
static UNUSED void turn(struct rig *r, const char *what)
{
	const int limit_ms = r->kind == CONSUL ? DEADLINE_CONSUL_MS : DEADLINE_MS;
	const struct timeval limit = { limit_ms / 1000, 0 };

	r->late = false;
	event_add(r->deadline, &limit);
	event_base_loop(r->base, EVLOOP_ONCE);
	event_del(r->deadline);
	if (r->late)
		fail_msg("waited %d ms for %s", limit_ms, what);
}

/* On the node of this name, `prefix`. */
static UNUSED int open_kube(struct rig *r, struct err *e)
{
	char nothing[] = "";
	char prefix[] = "flannel.alpha.coreos.com";
	char net_config[] = "/dev/null";
	struct kube_options options = { .api_url = getenv("STORE_CONFORMANCE_KUBE"),
					.kubeconfig_file = nothing,
					.prefix = prefix,
					.net_config_path = net_config,
					.network_unavailable_on = (char *)"never" };
	struct store_open_args args = { .base = r->base,
					.http = r->http,
					.where = "",
					.options = &options,
					.random = random_u64 };

	setenv("NODE_NAME", r->prefix, 1);
	return kube_store_type.open(&args, &r->store, e);
}

/* Its own, and that of those who change the store besides. */
static UNUSED void give_http(struct rig *r)
{
	r->http = http_client_new(r->base);
	r->other_http = http_client_new(r->base);
	assert_int_equal(http_client_load(r->other_http, NULL), 0);
}

static UNUSED struct rig *rig_new(void)
{
	struct rig *r = xcalloc(1, sizeof(*r));
	struct etcd_options options = { .endpoints = getenv("STORE_CONFORMANCE_ETCD"),
					.transport = getenv("STORE_CONFORMANCE_TRANSPORT") };
	struct consul_options consul = { .endpoints = getenv("STORE_CONFORMANCE_CONSUL") };
	char directory[] = "/tmp/test-store-XXXXXX";
	struct err e = { 0 };
	int rc = 0;

	r->kind = kind;
	r->base = event_base_new();
	r->deadline = evtimer_new(r->base, on_deadline, r);
	switch (kind) {
	case MEM:
		r->store = mem_store_new(r->base, random_u64);
		break;
	case MEM_ASSIGNS:
		r->store = mem_store_new(r->base, random_u64);
		rc = mem_store_edit(r->store, choose_to_assign, NULL, &e);
		break;
	case FILE_STORE:
		assert_non_null(mkdtemp(directory));
		r->directory = xstrdup(directory);
		rc = file_store_new(r->base, directory, random_u64, &r->store, &e);
		if (rc == 0)
			rc = file_store_new(r->base, directory, random_u64, &r->other, &e);
		break;
	case ETCD:
		give_http(r);
		r->prefix =
			xasprintf("/conformance/%llu/%u", (unsigned long long)random_u64(), runs++);
		rc = etcd_store_new(r->base, r->http, r->prefix, &options, random_u64, &r->store,
				    &e);
		break;
	case CONSUL:
		give_http(r);
		r->prefix =
			xasprintf("conformance/%llu/%u", (unsigned long long)random_u64(), runs++);
		consul.prefix = r->prefix;
		rc = consul_store_new(r->base, r->http, &consul, random_u64, &r->store, &e);
		break;
	case KUBE:
		give_http(r);
		r->prefix =
			xasprintf("conformance-%llx-%u", (unsigned long long)random_u64(), runs++);
		rc = open_kube(r, &e);
		break;
	}
	if (rc < 0)
		fail_msg("%s", e.text);
	return r;
}

static UNUSED void rig_free(struct rig *r)
{
	static const char *const files[] = { "journal", "config", "lock" };

	store_watch_stop(r->watch);
	store_free(r->store);
	store_free(r->other);
	http_client_free(r->http);
	http_client_free(r->other_http);
	event_free(r->deadline);
	event_base_free(r->base);
	for (size_t i = 0; r->directory && i < ARRAY_LEN(files); i++) {
		auto_free char *path = xasprintf("%s/%s", r->directory, files[i]);

		unlink(path);
	}
	if (r->directory)
		rmdir(r->directory);
	for (size_t i = 0; i < r->told_len; i++)
		free(r->told[i].backend_type);
	free(r->directory);
	free(r->prefix);
	free(r);
}

static UNUSED void rig_free_ref(struct rig **r)
{
	rig_free(*r);
}
#define auto_rig __attribute__((cleanup(rig_free_ref))) struct rig *

static UNUSED void reply_fini_ref(struct store_reply *reply)
{
	store_reply_fini(reply);
}
#define auto_reply __attribute__((cleanup(reply_fini_ref))) struct store_reply

/* ---- what others do to the store ---- */

static UNUSED void on_posted(void *arg, const struct http_reply *reply)
{
	struct rig *r = arg;

	if (reply->code || reply->status < 200 || reply->status >= 300)
		fail_msg("the store: %s%s", reply->code ? reply->error : "", reply->body);
	r->answered = true;
}

/* Sends `body`, which is freed; `method` NULL: by POST. */
static UNUSED void post(struct rig *r, const char *method, const char *path, char *body)
{
	const char *endpoints = getenv(r->kind == KUBE     ? "STORE_CONFORMANCE_KUBE"
				       : r->kind == CONSUL ? "STORE_CONFORMANCE_CONSUL"
							   : "STORE_CONFORMANCE_ETCD");
	auto_free char *owned = body;
	auto_free char *url = xasprintf("%.*s%s", (int)strcspn(endpoints, ","), endpoints, path);
	const char *headers[] = { "Content-Type: application/json", NULL };
	const struct http_request request = {
		.url = url,
		.headers = headers,
		.method = method,
		.body = owned,
		.body_size = strlen(owned),
		.connect_timeout_ms = DEADLINE_MS,
		.timeout_ms = DEADLINE_MS,
		.max_reply_size = 1 << 20,
		.on_done = on_posted,
		.arg = r,
	};

	r->answered = false;
	http_call_start(r->other_http, &request);
	while (!r->answered)
		turn(r, path);
}

struct edit {
	const char *key;
	const char *value; /* NULL: delete */
	int64_t handle;
	uint64_t compact;
};

static UNUSED void apply_edit(struct mem_db *db, void *arg)
{
	const struct edit *edit = arg;

	if (edit->compact)
		mem_db_compact(db, edit->compact);
	else if (!edit->key)
		mem_db_revoke(db, edit->handle);
	else if (edit->value)
		mem_db_put(db, edit->key, edit->value, strlen(edit->value), edit->handle);
	else
		mem_db_delete(db, edit->key);
}

static UNUSED void edit_local(struct rig *r, struct edit edit)
{
	struct err e;

	/* A directory is changed through the other's eyes; compaction is each one's own. */
	if (mem_store_edit(r->other && !edit.compact ? r->other : r->store, apply_edit, &edit, &e) <
	    0)
		fail_msg("%s", e.text);
}

static UNUSED void put_config(struct rig *r, const char *text)
{
	auto_free char *path = r->directory ? xasprintf("%s/config", r->directory) : NULL;

	if (path && text)
		assert_int_equal(file_replace(path, text, strlen(text), 0644, NULL), 0);
	else if (path)
		assert_int_equal(unlink(path), 0);
}

/* Of Consul a plain PUT leaves the session that holds the key; only who deletes it takes it from there. */
static UNUSED void put_consul(struct rig *r, const char *key, const char *value)
{
	auto_free char *path = xasprintf("/v1/kv/%s/%s", r->prefix, key);

	post(r, "DELETE", path, xstrdup(""));
	if (value)
		post(r, "PUT", path, xstrdup(value));
}

/* Writes or deletes (value NULL) a key; "config" or "subnets/...". */
static UNUSED void put(struct rig *r, const char *key, const char *value, int64_t handle)
{
	auto_free char *full = NULL;
	auto_free char *key64 = NULL;
	auto_free char *value64 = NULL;

	if (r->kind == FILE_STORE && strcmp(key, MEM_DB_CONFIG_KEY) == 0) {
		put_config(r, value);
		return;
	}
	if (r->kind == CONSUL) {
		put_consul(r, key, value);
		return;
	}
	if (r->kind != ETCD) {
		edit_local(r, (struct edit){ key, value, handle, 0 });
		return;
	}
	full = xasprintf("%s/%s", r->prefix, key);
	key64 = base64_encode(full, strlen(full));
	value64 = value ? base64_encode(value, strlen(value)) : NULL;
	if (value)
		post(r, NULL, "/v3/kv/put",
		     xasprintf("{\"key\":\"%s\",\"value\":\"%s\",\"lease\":\"%lld\"}", key64,
			       value64, (long long)handle));
	else
		post(r, NULL, "/v3/kv/deleterange", xasprintf("{\"key\":\"%s\"}", key64));
}

static UNUSED void end_session(struct rig *r, u128 session)
{
	char id[CONSUL_SESSION_TEXT];
	auto_free char *path =
		xasprintf("/v1/session/destroy/%s", consul_session_format(session, id));

	post(r, "PUT", path, xstrdup(""));
}

static UNUSED void end_life(struct rig *r, u128 id)
{
	if (r->kind == ETCD)
		post(r, NULL, "/v3/lease/revoke", xasprintf("{\"ID\":\"%lld\"}", (long long)id));
	else if (r->kind == CONSUL)
		end_session(r, id);
	else
		edit_local(r, (struct edit){ NULL, NULL, (int64_t)id, 0 });
}

static UNUSED void compact(struct rig *r, uint64_t revision)
{
	if (r->kind == ETCD)
		post(r, NULL, "/v3/kv/compaction",
		     xasprintf("{\"revision\":\"%llu\"}", (unsigned long long)revision));
	else
		edit_local(r, (struct edit){ .compact = revision });
}

/* ---- questions ---- */

static UNUSED void on_reply(void *arg, struct store_reply *reply)
{
	struct rig *r = arg;

	assert_false(r->answered);
	r->answered = true;
	*r->reply = *reply;
	*reply = (struct store_reply){ 0 };
}

static UNUSED void ask(struct rig *r, enum store_op op, const struct lease *l, int64_t ttl_s,
		       struct store_reply *ret)
{
	struct store_request request = { .op = op, .lease = l, .ttl_s = ttl_s };

	r->answered = false;
	r->reply = ret;
	store_submit(r->store, &request, on_reply, r);
	assert_false(r->answered); /* never from inside */
	while (!r->answered)
		turn(r, store_op_name(op));
	if (ret->status != STORE_OK)
		assert_true(ret->err.text[0] != '\0');
}

static UNUSED struct lease *lease(const char *key, const char *backend_type)
{
	struct lease *l = lease_new();

	assert_int_equal(subnet_key_parse(key, &l->subnet, NULL), 0);
	l->public_v4 = test_addr("192.0.2.1");
	l->backend_type = xstrdup(backend_type);
	l->backend_data = xstrdup("{\"VNI\":1}");
	l->node_id = xstrdup("id");
	l->node_name = xstrdup("n\303\244me \"quoted\"");
	return l;
}

/* Creates it and gives it back as it stands in the store. */
static UNUSED struct lease *created(struct rig *r, const char *key, int64_t ttl_s)
{
	auto_lease struct lease *l = lease(key, "vxlan");
	auto_reply reply = { 0 };

	ask(r, STORE_CREATE, l, ttl_s, &reply);
	if (reply.status != STORE_OK)
		fail_msg("create: %s", reply.err.text);
	assert_true(lease_equal(reply.holder, l));
	return STEAL(reply.holder);
}

static UNUSED uint64_t listed(struct rig *r, size_t leases)
{
	auto_reply reply = { 0 };

	ask(r, STORE_LIST, NULL, 0, &reply);
	assert_int_equal(reply.status, STORE_OK);
	assert_int_equal(reply.leases_len, leases);
	return reply.revision;
}

/* ---- the watch ---- */

static UNUSED void on_event(void *arg, struct store_event *event)
{
	struct rig *r = arg;
	struct told *t = &r->told[r->told_len];

	assert_true(r->told_len < EVENTS_MAX);
	r->told_len++;
	*t = (struct told){ .type = event->type, .revision = event->revision };
	t->reason = event->reason != NULL;
	if (event->lease) {
		subnet_key_format(&event->lease->subnet, t->key);
		t->problem = event->lease->problem != NULL;
		if (event->lease->backend_type)
			t->backend_type = xstrdup(event->lease->backend_type);
	} else if (event->key) {
		const char *slash = strrchr(event->key, '/');

		snprintf(t->key, sizeof(t->key), "%s", slash ? slash + 1 : event->key);
	}
	if (r->stop_inside)
		store_watch_stop(STEAL(r->watch));
}

static UNUSED void watch(struct rig *r, uint64_t from_revision)
{
	r->watch = store_watch(r->store, from_revision, on_event, r);
}

static UNUSED const struct told *find_told(struct rig *r, enum store_event_type type,
					   const char *key)
{
	for (size_t i = 0; i < r->told_len; i++) {
		if (r->told[i].type == type && (!key || strcmp(r->told[i].key, key) == 0))
			return &r->told[i];
	}
	return NULL;
}

static UNUSED const struct told *await(struct rig *r, enum store_event_type type, const char *key)
{
	const struct told *t;

	while (!(t = find_told(r, type, key)))
		turn(r, key ? key : "an event");
	return t;
}

static UNUSED void forget_told(struct rig *r)
{
	for (size_t i = 0; i < r->told_len; i++)
		free(r->told[i].backend_type);
	r->told_len = 0;
}

#endif
