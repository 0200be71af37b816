/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a store must do, whichever it is: the same cases on memory, on a directory and on etcd. The
 * first is the model that the simulator believes in, so this is also what says that the model is
 * right.
 *
 * etcd takes part if STORE_CONFORMANCE_ETCD names its endpoint; an integration test starts one.
 */
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
#include "subnet/etcd_codec.h"
#include "subnet/etcd_store.h"
#include "subnet/file_store.h"

#define DEADLINE_MS 8000
#define EVENTS_MAX  64
#define CONFIG      "{\"Network\":\"10.5.0.0/16\"}"

enum kind { MEM, FILE_STORE, ETCD };

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
	struct store *store;
	struct store *other; /* FILE_STORE: as another process has it open */
	char *directory;
	struct etcd_client *client;
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

static uint64_t random_u64(void)
{
	static uint64_t state;

	if (!state)
		state = (uint64_t)clock_wall_ms() * 2654435761u + (uint64_t)getpid();
	return test_random(&state);
}

static void on_deadline(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	((struct rig *)arg)->late = true;
}

/* One turn of the loop; fails if nothing comes for too long. */
static void turn(struct rig *r, const char *what)
{
	static const struct timeval limit = { DEADLINE_MS / 1000, 0 };

	r->late = false;
	event_add(r->deadline, &limit);
	event_base_loop(r->base, EVLOOP_ONCE);
	event_del(r->deadline);
	if (r->late)
		fail_msg("waited %d ms for %s", DEADLINE_MS, what);
}

static struct rig *rig_new(void)
{
	struct rig *r = xcalloc(1, sizeof(*r));
	struct etcd_options options = { .endpoints = getenv("STORE_CONFORMANCE_ETCD") };
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
	case FILE_STORE:
		assert_non_null(mkdtemp(directory));
		r->directory = xstrdup(directory);
		rc = file_store_new(r->base, directory, random_u64, &r->store, &e);
		if (rc == 0)
			rc = file_store_new(r->base, directory, random_u64, &r->other, &e);
		break;
	case ETCD:
		r->http = http_client_new(r->base);
		r->prefix =
			xasprintf("/conformance/%llu/%u", (unsigned long long)random_u64(), runs++);
		rc = etcd_store_new(r->base, r->http, r->prefix, &options, random_u64, &r->store,
				    &e);
		if (rc == 0)
			rc = etcd_client_new(r->http, &options, &r->client, &e);
		break;
	}
	if (rc < 0)
		fail_msg("%s", e.text);
	return r;
}

static void rig_free(struct rig *r)
{
	static const char *const files[] = { "journal", "config", "lock" };

	store_watch_stop(r->watch);
	store_free(r->store);
	store_free(r->other);
	etcd_client_free(r->client);
	http_client_free(r->http);
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

static void rig_free_ref(struct rig **r)
{
	rig_free(*r);
}
#define auto_rig __attribute__((cleanup(rig_free_ref))) struct rig *

static void reply_fini_ref(struct store_reply *reply)
{
	store_reply_fini(reply);
}
#define auto_reply __attribute__((cleanup(reply_fini_ref))) struct store_reply

/* ---- what others do to the store ---- */

static void on_posted(void *arg, const struct etcd_result *result)
{
	struct rig *r = arg;

	if (result->code != ETCD_OK)
		fail_msg("etcd: %s", result->text);
	r->answered = true;
}

static void post(struct rig *r, const char *path, char *body)
{
	auto_free char *owned = body;

	r->answered = false;
	etcd_client_call(r->client, path, owned, true, on_posted, r);
	while (!r->answered)
		turn(r, path);
}

struct edit {
	const char *key;
	const char *value; /* NULL: delete */
	int64_t handle;
	uint64_t compact;
};

static void apply_edit(struct mem_db *db, void *arg)
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

static void edit_local(struct rig *r, struct edit edit)
{
	struct err e;

	/* A directory is changed through the other's eyes; compaction is each one's own. */
	if (mem_store_edit(r->other && !edit.compact ? r->other : r->store, apply_edit, &edit, &e) <
	    0)
		fail_msg("%s", e.text);
}

static void put_config(struct rig *r, const char *text)
{
	auto_free char *path = r->directory ? xasprintf("%s/config", r->directory) : NULL;

	if (path && text)
		assert_int_equal(file_replace(path, text, strlen(text), 0644, NULL), 0);
	else if (path)
		assert_int_equal(unlink(path), 0);
}

/* Writes or deletes (value NULL) a key; "config" or "subnets/...". */
static void put(struct rig *r, const char *key, const char *value, int64_t handle)
{
	auto_free char *full = NULL;
	auto_free char *key64 = NULL;
	auto_free char *value64 = NULL;

	if (r->kind == FILE_STORE && strcmp(key, MEM_DB_CONFIG_KEY) == 0) {
		put_config(r, value);
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
		post(r, "kv/put",
		     xasprintf("{\"key\":\"%s\",\"value\":\"%s\",\"lease\":\"%lld\"}", key64,
			       value64, (long long)handle));
	else
		post(r, "kv/deleterange", xasprintf("{\"key\":\"%s\"}", key64));
}

static void end_life(struct rig *r, int64_t handle)
{
	if (r->kind == ETCD)
		post(r, "lease/revoke", xasprintf("{\"ID\":\"%lld\"}", (long long)handle));
	else
		edit_local(r, (struct edit){ NULL, NULL, handle, 0 });
}

static void compact(struct rig *r, uint64_t revision)
{
	if (r->kind == ETCD)
		post(r, "kv/compaction",
		     xasprintf("{\"revision\":\"%llu\"}", (unsigned long long)revision));
	else
		edit_local(r, (struct edit){ .compact = revision });
}

/* ---- questions ---- */

static void on_reply(void *arg, struct store_reply *reply)
{
	struct rig *r = arg;

	assert_false(r->answered);
	r->answered = true;
	*r->reply = *reply;
	*reply = (struct store_reply){ 0 };
}

static void ask(struct rig *r, enum store_op op, const struct lease *l, int64_t ttl_s,
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

static struct lease *lease(const char *key, const char *backend_type)
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
static struct lease *created(struct rig *r, const char *key, int64_t ttl_s)
{
	auto_lease struct lease *l = lease(key, "vxlan");
	auto_reply reply = { 0 };

	ask(r, STORE_CREATE, l, ttl_s, &reply);
	if (reply.status != STORE_OK)
		fail_msg("create: %s", reply.err.text);
	assert_true(lease_equal(reply.holder, l));
	return STEAL(reply.holder);
}

static uint64_t listed(struct rig *r, size_t leases)
{
	auto_reply reply = { 0 };

	ask(r, STORE_LIST, NULL, 0, &reply);
	assert_int_equal(reply.status, STORE_OK);
	assert_int_equal(reply.leases_len, leases);
	return reply.revision;
}

/* ---- the watch ---- */

static void on_event(void *arg, struct store_event *event)
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

static void watch(struct rig *r, uint64_t from_revision)
{
	r->watch = store_watch(r->store, from_revision, on_event, r);
}

static const struct told *find_told(struct rig *r, enum store_event_type type, const char *key)
{
	for (size_t i = 0; i < r->told_len; i++) {
		if (r->told[i].type == type && (!key || strcmp(r->told[i].key, key) == 0))
			return &r->told[i];
	}
	return NULL;
}

static const struct told *await(struct rig *r, enum store_event_type type, const char *key)
{
	const struct told *t;

	while (!(t = find_told(r, type, key)))
		turn(r, key ? key : "an event");
	return t;
}

static void forget_told(struct rig *r)
{
	for (size_t i = 0; i < r->told_len; i++)
		free(r->told[i].backend_type);
	r->told_len = 0;
}

/* ---- cases ---- */

static void test_config(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_reply absent = { 0 };
	auto_reply there = { 0 };
	auto_reply gone = { 0 };
	uint64_t revision;

	ask(r, STORE_CONFIG, NULL, 0, &absent);
	assert_int_equal(absent.status, STORE_ABSENT);
	revision = listed(r, 0);
	watch(r, revision + 1);
	await(r, STORE_EVENT_LIVE, NULL);
	put(r, "config", CONFIG, 0);
	assert_true(await(r, STORE_EVENT_CONFIG, NULL)->revision > revision);
	ask(r, STORE_CONFIG, NULL, 0, &there);
	assert_int_equal(there.status, STORE_OK);
	assert_string_equal(there.config, CONFIG);
	assert_int_equal(there.config_size, strlen(CONFIG));
	assert_true(there.config_revision > revision);
	assert_true(there.revision >= there.config_revision);
	forget_told(r);
	put(r, "config", NULL, 0);
	await(r, STORE_EVENT_CONFIG, NULL);
	ask(r, STORE_CONFIG, NULL, 0, &gone);
	assert_int_equal(gone.status, STORE_ABSENT);
}

static enum store_status set_config(struct rig *r, const char *text, uint64_t revision,
				    struct store_reply *ret)
{
	auto_free char *copy = xstrdup(text);
	struct store_request request = { .op = STORE_CONFIG_SET,
					 .config = copy,
					 .config_revision = revision };

	r->answered = false;
	r->reply = ret;
	store_submit(r->store, &request, on_reply, r);
	memset(copy, 'x', strlen(copy)); /* borrowed only for the call */
	while (!r->answered)
		turn(r, store_op_name(STORE_CONFIG_SET));
	return ret->status;
}

static void test_config_set(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_reply first = { 0 };
	auto_reply again = { 0 };
	auto_reply there = { 0 };
	auto_reply stale = { 0 };
	auto_reply next = { 0 };
	auto_reply gone = { 0 };

	assert_int_equal(set_config(r, CONFIG, 7, &gone), STORE_CONFLICT);
	assert_int_equal(set_config(r, CONFIG, 0, &first), STORE_OK);
	assert_true(first.config_revision > 0);
	assert_int_equal(set_config(r, "{}", 0, &again), STORE_CONFLICT);
	assert_true(again.err.text[0] != '\0');
	ask(r, STORE_CONFIG, NULL, 0, &there);
	assert_string_equal(there.config, CONFIG);
	assert_int_equal(there.config_revision, first.config_revision);
	assert_int_equal(set_config(r, "{\"a\":1}", first.config_revision, &next), STORE_OK);
	assert_true(next.config_revision > first.config_revision);
	assert_int_equal(set_config(r, "{\"b\":2}", first.config_revision, &stale), STORE_CONFLICT);
	store_reply_fini(&there);
	ask(r, STORE_CONFIG, NULL, 0, &there);
	assert_string_equal(there.config, "{\"a\":1}");
	assert_int_equal(there.config_revision, next.config_revision);
}

static void test_create_and_list(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	uint64_t before = listed(r, 0);
	auto_lease struct lease *l = created(r, "10.5.1.0-24", 60);
	auto_lease struct lease *both = created(r, "10.5.2.0-24&fd10::-64", 60);
	auto_lease struct lease *v6 = created(r, "0.0.0.0-0&fd10:0:0:1::-64", 60);
	auto_reply reply = { 0 };
	bool seen = false;

	assert_true(l->create_revision > before);
	assert_int_equal(l->create_revision, l->mod_revision);
	assert_true(l->handle > 0);
	assert_true(both->create_revision > l->create_revision && both->handle != l->handle);
	ask(r, STORE_LIST, NULL, 0, &reply);
	assert_int_equal(reply.leases_len, 3);
	assert_true(reply.revision >= v6->mod_revision);
	for (size_t i = 0; i < 3; i++) {
		const struct lease *x = reply.leases[i];

		if (!subnet_equal(&x->subnet, &l->subnet))
			continue;
		seen = true;
		assert_true(lease_equal(x, l));
		assert_int_equal(x->create_revision, l->create_revision);
		assert_int_equal(x->mod_revision, l->mod_revision);
		assert_int_equal(x->handle, l->handle);
	}
	assert_true(seen);
}

static void test_create_taken(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *first = created(r, "10.5.1.0-24", 60);
	auto_lease struct lease *second = lease("10.5.1.0-24", "host-gw");
	auto_reply reply = { 0 };

	ask(r, STORE_CREATE, second, 60, &reply);
	assert_int_equal(reply.status, STORE_CONFLICT);
	assert_true(lease_equal(reply.holder, first));
	assert_int_equal(reply.holder->handle, first->handle);
	assert_int_equal(reply.holder->mod_revision, first->mod_revision);
	assert_true(reply.revision >= first->mod_revision);
	listed(r, 1);
}

static void test_update(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = created(r, "10.5.1.0-24", 60);
	auto_lease struct lease *other = lease("10.5.2.0-24", "vxlan");
	auto_reply ok = { 0 };
	auto_reply stale = { 0 };
	auto_reply missing = { 0 };
	auto_reply alive = { 0 };

	free(l->backend_type);
	l->backend_type = xstrdup("host-gw");
	ask(r, STORE_UPDATE, l, 0, &ok);
	assert_int_equal(ok.status, STORE_OK);
	assert_true(lease_equal(ok.holder, l));
	assert_true(ok.holder->mod_revision > l->mod_revision);
	assert_int_equal(ok.holder->create_revision, l->create_revision);
	assert_int_equal(ok.holder->handle, l->handle);
	/* Still bound to its life. */
	ask(r, STORE_KEEPALIVE, l, 0, &alive);
	assert_int_equal(alive.status, STORE_OK);
	ask(r, STORE_UPDATE, l, 0, &stale);
	assert_int_equal(stale.status, STORE_CONFLICT);
	assert_int_equal(stale.holder->mod_revision, ok.holder->mod_revision);
	other->mod_revision = 1;
	ask(r, STORE_UPDATE, other, 0, &missing);
	assert_int_equal(missing.status, STORE_CONFLICT);
	assert_null(missing.holder);
	listed(r, 1);
}

static void test_remove(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = created(r, "10.5.1.0-24", 60);
	auto_reply stale = { 0 };
	auto_reply ok = { 0 };
	auto_reply again = { 0 };

	l->mod_revision--;
	ask(r, STORE_REMOVE, l, 0, &stale);
	assert_int_equal(stale.status, STORE_CONFLICT);
	l->mod_revision++;
	ask(r, STORE_REMOVE, l, 0, &ok);
	assert_int_equal(ok.status, STORE_OK);
	assert_true(ok.revision > l->mod_revision);
	listed(r, 0);
	ask(r, STORE_REMOVE, l, 0, &again);
	assert_int_equal(again.status, STORE_CONFLICT);
	assert_null(again.holder);
}

static void test_life(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = created(r, "10.5.1.0-24", 60);
	auto_reply alive = { 0 };
	auto_reply left = { 0 };
	auto_reply dead = { 0 };
	auto_reply none = { 0 };

	ask(r, STORE_KEEPALIVE, l, 0, &alive);
	assert_int_equal(alive.status, STORE_OK);
	assert_int_equal(alive.ttl_s, 60);
	ask(r, STORE_TIME_LEFT, l, 0, &left);
	assert_int_equal(left.status, STORE_OK);
	assert_in_range(left.ttl_s, 55, 60);
	watch(r, listed(r, 1) + 1);
	await(r, STORE_EVENT_LIVE, NULL);
	end_life(r, l->handle);
	await(r, STORE_EVENT_DELETE, "10.5.1.0-24");
	ask(r, STORE_KEEPALIVE, l, 0, &dead);
	assert_int_equal(dead.status, STORE_ABSENT);
	ask(r, STORE_TIME_LEFT, l, 0, &none);
	assert_int_equal(none.status, STORE_ABSENT);
	listed(r, 0);
}

static void test_expiry(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	int64_t before = clock_boot_ms();
	auto_lease struct lease *dying = created(r, "10.5.1.0-24", 2);
	auto_lease struct lease *kept = created(r, "10.5.2.0-24", 60);
	const struct told *t;

	assert_true(dying->handle != kept->handle);

	watch(r, kept->mod_revision + 1);
	t = await(r, STORE_EVENT_DELETE, "10.5.1.0-24");
	assert_true(t->revision > kept->mod_revision);
	assert_true(clock_boot_ms() - before >= 1900);
	listed(r, 1);
}

static void test_reservation(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = created(r, "10.5.1.0-24", 0);
	auto_lease struct lease *bound = created(r, "10.5.2.0-24", 60);
	auto_reply reply = { 0 };

	assert_int_equal(l->handle, 0);
	/* A put without a lease unbinds a key. */
	put(r, "subnets/10.5.2.0-24", "{\"PublicIP\":\"192.0.2.7\"}", 0);
	end_life(r, bound->handle);
	ask(r, STORE_LIST, NULL, 0, &reply);
	assert_int_equal(reply.leases_len, 2);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(reply.leases[i]->handle, 0);
}

static void test_watch(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	uint64_t from = listed(r, 0) + 1;
	struct lease *l;
	auto_reply updated = { 0 };
	auto_reply removed = { 0 };
	size_t n = 0;

	watch(r, from);
	await(r, STORE_EVENT_LIVE, NULL);
	forget_told(r);
	l = created(r, "10.5.1.0-24", 60);
	free(l->backend_type);
	l->backend_type = xstrdup("host-gw");
	ask(r, STORE_UPDATE, l, 0, &updated);
	ask(r, STORE_REMOVE, updated.holder, 0, &removed);
	lease_free(l);
	await(r, STORE_EVENT_DELETE, "10.5.1.0-24");
	/* Each change once, in order, with its revision. */
	assert_int_equal(r->told_len, 3);
	assert_int_equal(r->told[0].type, STORE_EVENT_PUT);
	assert_string_equal(r->told[0].backend_type, "vxlan");
	assert_string_equal(r->told[1].backend_type, "host-gw");
	assert_int_equal(r->told[1].revision, updated.holder->mod_revision);
	assert_int_equal(r->told[2].revision, removed.revision);
	/* The same again to somebody who comes late and asks for the past. */
	store_watch_stop(STEAL(r->watch));
	forget_told(r);
	watch(r, from);
	await(r, STORE_EVENT_DELETE, "10.5.1.0-24");
	await(r, STORE_EVENT_LIVE, NULL);
	for (size_t i = 0; i < r->told_len; i++)
		n += r->told[i].type == STORE_EVENT_PUT;
	assert_int_equal(n, 2);
	/* And from the middle. */
	store_watch_stop(STEAL(r->watch));
	forget_told(r);
	watch(r, removed.revision);
	await(r, STORE_EVENT_DELETE, "10.5.1.0-24");
	assert_null(find_told(r, STORE_EVENT_PUT, NULL));
}

static void test_watch_stopped_inside(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	uint64_t from = listed(r, 0) + 1;

	for (unsigned i = 0; i < 3; i++) {
		char key[SUBNET_KEY_TEXT];

		snprintf(key, sizeof(key), "10.5.%u.0-24", i + 1);
		lease_free(created(r, key, 60));
	}
	r->stop_inside = true;
	watch(r, from);
	while (r->watch)
		turn(r, "the first event");
	listed(r, 3);
	assert_int_equal(r->told_len, 1);
}

static void test_watch_after_compaction(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	uint64_t from = listed(r, 0) + 1;
	auto_lease struct lease *a = created(r, "10.5.1.0-24", 60);
	auto_lease struct lease *b = created(r, "10.5.2.0-24", 60);

	compact(r, b->mod_revision);
	watch(r, from);
	await(r, STORE_EVENT_RESYNC, NULL);
	store_watch_stop(STEAL(r->watch));
	forget_told(r);
	/* The revision of the compaction itself is still told. */
	watch(r, b->mod_revision);
	await(r, STORE_EVENT_PUT, "10.5.2.0-24");
	assert_null(find_told(r, STORE_EVENT_PUT, "10.5.1.0-24"));
	listed(r, 2);
	assert_true(a->mod_revision < b->mod_revision);
}

static void test_junk(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_reply reply = { 0 };

	watch(r, listed(r, 0) + 1);
	await(r, STORE_EVENT_LIVE, NULL);
	put(r, "subnets/nonsense", "x", 0);
	assert_true(await(r, STORE_EVENT_JUNK, "nonsense")->reason);
	put(r, "subnets/10.5.1.0-24", "no JSON", 0);
	assert_true(await(r, STORE_EVENT_PUT, "10.5.1.0-24")->problem);
	ask(r, STORE_LIST, NULL, 0, &reply);
	assert_int_equal(reply.leases_len, 1);
	assert_non_null(reply.leases[0]->problem);
	assert_int_equal(reply.junk_len, 1);
	assert_contains(reply.junk[0].key, "subnets/nonsense");
	assert_contains(reply.junk[0].reason, "subnet key");
	forget_told(r);
	put(r, "subnets/nonsense", NULL, 0);
	assert_false(await(r, STORE_EVENT_JUNK, "nonsense")->reason);
	put(r, "subnets/10.5.1.0-24", NULL, 0);
	await(r, STORE_EVENT_DELETE, "10.5.1.0-24");
}

static void on_never(void *arg UNUSED, struct store_reply *reply UNUSED)
{
	fail_msg("answered after the store was freed");
}

static void test_freed_with_questions_open(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = lease("10.5.1.0-24", "vxlan");
	struct store_request requests[] = { { .op = STORE_LIST },
					    { .op = STORE_CREATE, .lease = l, .ttl_s = 60 } };

	for (size_t i = 0; i < ARRAY_LEN(requests); i++)
		store_submit(r->store, &requests[i], on_never, r);
	store_free(STEAL(r->store));
	event_base_loop(r->base, EVLOOP_NONBLOCK);
}

static void test_describe(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_json json_t *j = json_object();

	listed(r, 0);
	r->store->ops->describe(r->store, j);
	assert_true(json_object_size(j) > 0);
}

/* ---- the directory alone ---- */

static char *journal_of(const struct rig *r)
{
	return xasprintf("%s/journal", r->directory);
}

static void reopen(struct rig *r)
{
	struct err e;

	store_watch_stop(STEAL(r->watch));
	store_free(STEAL(r->store));
	store_free(STEAL(r->other));
	if (file_store_new(r->base, r->directory, random_u64, &r->store, &e) < 0)
		fail_msg("%s", e.text);
}

static void test_file_survives(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = created(r, "10.5.1.0-24", 60);
	auto_reply reply = { 0 };
	uint64_t revision = listed(r, 1);

	reopen(r);
	assert_int_equal(listed(r, 1), revision);
	ask(r, STORE_KEEPALIVE, l, 0, &reply);
	assert_int_equal(reply.status, STORE_OK);
}

/* Whatever a crash leaves of the last line: the step has not happened, and the next one does. */
static void test_file_torn_line(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_free char *journal = journal_of(r);
	auto_free char *whole = NULL;
	size_t one;
	size_t size;

	lease_free(created(r, "10.5.1.0-24", 60));
	assert_int_equal(file_read(journal, 1 << 20, &whole, &one, NULL), 0);
	free(STEAL(whole));
	lease_free(created(r, "10.5.2.0-24", 60));
	assert_int_equal(file_read(journal, 1 << 20, &whole, &size, NULL), 0);
	for (size_t cut = one; cut < size; cut += 7) {
		assert_int_equal(file_replace(journal, whole, cut, 0600, NULL), 0);
		reopen(r);
		listed(r, 1);
		lease_free(created(r, "10.5.3.0-24", 60));
		reopen(r);
		listed(r, 2);
	}
}

static void test_file_damaged(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_free char *journal = journal_of(r);
	static const char *const texts[] = { "{}\n", "junk\n", "{\"format\":99,\"revision\":1}\n",
					     "{\"step\":\"what\"}\n", "{\"step\":\"put\"}\n" };
	struct store *s = NULL;
	struct err e;

	listed(r, 0);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		auto_reply reply = { 0 };

		assert_int_equal(file_replace(journal, texts[i], strlen(texts[i]), 0600, NULL), 0);
		assert_int_equal(file_store_new(r->base, r->directory, random_u64, &s, &e),
				 -EBADMSG);
		assert_contains(e.text, "journal at byte 0");
		/* Who has it open says so and does not overwrite it. */
		ask(r, STORE_LIST, NULL, 0, &reply);
		assert_int_equal(reply.status, STORE_UNAVAILABLE);
	}
}

/* A long journal is written anew; who watches goes on, in this process and in the other. */
static void test_file_written_anew(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_free char *journal = journal_of(r);
	auto_lease struct lease *l = created(r, "10.5.1.0-24", 600);
	auto_free char *text = NULL;
	size_t size;

	watch(r, listed(r, 1) + 1);
	for (unsigned i = 0; i < 1200; i++) {
		auto_reply reply = { 0 };

		ask(r, STORE_KEEPALIVE, l, 0, &reply);
		assert_int_equal(reply.status, STORE_OK);
	}
	assert_int_equal(file_read(journal, 1 << 20, &text, &size, NULL), 0);
	assert_true(size < 40000); /* 1200 lines would be more */
	put(r, "subnets/10.5.2.0-24", "{}", 0);
	await(r, STORE_EVENT_PUT, "10.5.2.0-24");
	assert_null(find_told(r, STORE_EVENT_RESYNC, NULL));
	reopen(r);
	listed(r, 2);
}

/* Another boot: times of the uptime mean nothing, so every lease starts its time anew. */
static void test_file_other_boot(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_free char *journal = journal_of(r);
	static const char text[] =
		"{\"format\":1,\"boot\":\"another\",\"revision\":7}\n"
		"{\"key\":\"subnets/10.5.1.0-24\",\"value\":\"{}\",\"create\":5,\"mod\":6,"
		"\"handle\":17}\n"
		"{\"step\":\"grant\",\"handle\":17,\"ttl\":60,\"at\":1}\n";
	auto_lease struct lease *l = lease("10.5.1.0-24", "vxlan");
	auto_reply reply = { 0 };

	assert_int_equal(file_replace(journal, text, strlen(text), 0600, NULL), 0);
	reopen(r);
	assert_int_equal(listed(r, 1), 7);
	l->handle = 17;
	ask(r, STORE_TIME_LEFT, l, 0, &reply);
	assert_in_range(reply.ttl_s, 59, 60);
}

static void unlock(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	flock(*(int *)arg, LOCK_UN);
}

static void test_file_busy(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_free char *path = xasprintf("%s/lock", r->directory);
	auto_close int fd = open(path, O_RDWR | O_CLOEXEC);
	static const struct timeval later = { 0, 100000 };
	struct event *timer = evtimer_new(r->base, unlock, &fd);
	int64_t before = clock_boot_ms();

	assert_int_equal(flock(fd, LOCK_EX), 0);
	event_add(timer, &later);
	lease_free(created(r, "10.5.1.0-24", 60));
	assert_true(clock_boot_ms() - before >= 90);
	event_free(timer);
}

/* Two that want the same at the same time: one gets it. */
static void test_file_race(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = lease("10.5.1.0-24", "vxlan");
	struct store_request request = { .op = STORE_CREATE, .lease = l, .ttl_s = 60 };
	struct rig second = { .kind = FILE_STORE };
	auto_reply a = { 0 };
	auto_reply b = { 0 };

	r->reply = &a;
	second.reply = &b;
	store_submit(r->store, &request, on_reply, r);
	store_submit(r->other, &request, on_reply, &second);
	while (!r->answered || !second.answered)
		turn(r, "both answers");
	assert_int_not_equal(a.status == STORE_OK, b.status == STORE_OK);
	assert_true(a.status == STORE_CONFLICT || b.status == STORE_CONFLICT);
	listed(r, 1);
}

static void test_file_deleted_under_us(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_free char *journal = journal_of(r);

	lease_free(created(r, "10.5.1.0-24", 60));
	watch(r, listed(r, 1) + 1);
	await(r, STORE_EVENT_LIVE, NULL);
	assert_int_equal(unlink(journal), 0);
	await(r, STORE_EVENT_RESYNC, NULL);
	listed(r, 0);
}

static int run(enum kind k, const char *name)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_config_set),
		cmocka_unit_test(test_create_and_list),
		cmocka_unit_test(test_create_taken),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_remove),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_reservation),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_watch_stopped_inside),
		cmocka_unit_test(test_watch_after_compaction),
		cmocka_unit_test(test_junk),
		cmocka_unit_test(test_freed_with_questions_open),
		cmocka_unit_test(test_describe),
	};

	kind = k;
	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest file_tests[] = {
		cmocka_unit_test(test_file_survives),
		cmocka_unit_test(test_file_torn_line),
		cmocka_unit_test(test_file_damaged),
		cmocka_unit_test(test_file_written_anew),
		cmocka_unit_test(test_file_other_boot),
		cmocka_unit_test(test_file_busy),
		cmocka_unit_test(test_file_race),
		cmocka_unit_test(test_file_deleted_under_us),
	};
	int failed;

	if (getenv("STORE_CONFORMANCE_ETCD"))
		return run(ETCD, "etcd");
	failed = run(MEM, "mem") + run(FILE_STORE, "file");
	return failed + cmocka_run_group_tests_name("file alone", file_tests, NULL, NULL);
}
