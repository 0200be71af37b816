/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/mem_store.h"

#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <sys/queue.h>

#include "lib/clock.h"

#define BUSY_RETRY_US 5000
#define BUSY_LIMIT_MS 10000
#define EXPIRY_MIN_MS 100 /* what runs out is looked for this often at most */

struct mem_store;

struct mem_request {
	struct mem_store *store;
	struct event *event;
	struct store_request request;
	char *config;
	char *health_name;
	char *health;
	struct lease *lease;
	store_reply_fn *fn;
	void *arg;
	int64_t asked_ms;
	LIST_ENTRY(mem_request) link;
};

struct store_watch {
	struct store *store; /* first: store_watch_stop finds its store here */
	store_event_fn *fn;
	void *arg;
	struct event *event;
	uint64_t next_revision;
	const char *gone; /* why its history is, NULL: it is not */
	bool live;
	bool lost; /* LOST was told */
	bool ended;
	bool telling;
	bool stopped;
	LIST_ENTRY(store_watch) link;
};

struct mem_store {
	struct store base;
	struct event_base *loop;
	uint64_t (*random)(void);
	const struct mem_store_backing *backing; /* NULL: the data are ours */
	void *backing_arg;
	struct mem_db *own_db;
	struct mem_db **db;
	struct event *expiry;
	char *lost; /* why changes cannot be told, NULL: they can */
	LIST_HEAD(, mem_request) requests;
	LIST_HEAD(, store_watch) watches;
};

static struct mem_store *mem_store_of(struct store *s)
{
	return (struct mem_store *)s;
}

static int begin(struct mem_store *s, struct err *e)
{
	return s->backing ? s->backing->begin(s->backing_arg, e) : 0;
}

static int end(struct mem_store *s, struct err *e)
{
	return s->backing ? s->backing->end(s->backing_arg, e) : 0;
}

static void plan_expiry(struct mem_store *s)
{
	int64_t due = mem_db_next_expiry(*s->db);
	int64_t delay = MAX(due - clock_boot_ms(), (int64_t)EXPIRY_MIN_MS);
	struct timeval tv = { delay / 1000, delay % 1000 * 1000 };

	if (due == INT64_MAX)
		event_del(s->expiry);
	else
		event_add(s->expiry, &tv);
}

static void on_expiry(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct mem_store *s = arg;
	struct err e;

	if (begin(s, &e) == 0) {
		mem_db_expire(*s->db, clock_boot_ms());
		if (end(s, &e) == 0)
			mem_store_changed(&s->base);
	}
	plan_expiry(s);
}

/* ---- requests ---- */

static void request_free(struct mem_request *r)
{
	LIST_REMOVE(r, link);
	event_free(r->event);
	lease_free(r->lease);
	free(r->config);
	free(r->health_name);
	free(r->health);
	free(r);
}

static bool is_of_health(const struct mem_request *r)
{
	return r->request.op == STORE_HEALTH_SET || r->request.op == STORE_HEALTH_KEEP ||
	       r->request.op == STORE_HEALTH_LIST;
}

/* It has nothing to do with the data and their revisions. */
static void answer_health(struct mem_request *r)
{
	struct mem_store *s = r->store;
	struct store_reply reply = { .status = STORE_OK };
	store_reply_fn *fn = r->fn;
	void *fn_arg = r->arg;

	s->backing->health(s->backing_arg, &r->request, &reply);
	request_free(r);
	fn(fn_arg, &reply);
	store_reply_fini(&reply);
}

static void on_request(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	static const struct timeval soon = { 0, BUSY_RETRY_US };
	struct mem_request *r = arg;
	struct mem_store *s = r->store;
	store_reply_fn *fn = r->fn;
	void *fn_arg = r->arg;
	struct store_reply reply = { .status = STORE_UNAVAILABLE };
	int rc;

	if (is_of_health(r) && s->backing && s->backing->health) {
		answer_health(r);
		return;
	}
	rc = begin(s, &reply.err);
	if (rc == -EAGAIN && clock_boot_ms() - r->asked_ms < BUSY_LIMIT_MS) {
		event_add(r->event, &soon);
		return;
	}
	if (rc == 0) {
		/* Positive and not zero, as etcd wants them. */
		mem_db_execute(*s->db, clock_boot_ms(), &r->request,
			       (int64_t)(s->random() >> 1) | 1, &reply);
		rc = end(s, &reply.err);
		if (rc < 0) {
			struct err e = reply.err;

			store_reply_fini(&reply);
			reply.status = STORE_UNAVAILABLE;
			reply.err = e;
		}
	}
	request_free(r);
	if (rc == 0)
		mem_store_changed(&s->base);
	plan_expiry(s);
	fn(fn_arg, &reply);
	store_reply_fini(&reply);
}

static void submit(struct store *store, const struct store_request *request, store_reply_fn *fn,
		   void *arg)
{
	struct mem_store *s = mem_store_of(store);
	struct mem_request *r = xcalloc(1, sizeof(*r));

	*r = (struct mem_request){ .store = s, .request = *request, .fn = fn, .arg = arg };
	r->lease = request->lease ? lease_copy(request->lease) : NULL;
	r->request.lease = r->lease;
	r->config = request->config ? xstrdup(request->config) : NULL;
	r->request.config = r->config;
	r->health_name = request->health_name ? xstrdup(request->health_name) : NULL;
	r->request.health_name = r->health_name;
	r->health = request->health ? xstrdup(request->health) : NULL;
	r->request.health = r->health;
	r->asked_ms = clock_boot_ms();
	r->event = evtimer_new(s->loop, on_request, r);
	LIST_INSERT_HEAD(&s->requests, r, link);
	event_active(r->event, 0, 0);
}

/* ---- the watch ---- */

static void watch_free(struct store_watch *w)
{
	LIST_REMOVE(w, link);
	event_free(w->event);
	free(w);
}

static void tell(struct store_watch *w, struct store_event *event)
{
	if (!w->stopped)
		w->fn(w->arg, event);
	lease_free(event->lease);
}

static void tell_changes(struct store_watch *w, const struct mem_db *db)
{
	uint64_t from = w->next_revision;
	const struct mem_entry *e;
	struct store_event event = { .type = STORE_EVENT_LIVE, .revision = mem_db_revision(db) };

	if (w->gone || mem_db_revision(db) + 1 < from || from < mem_db_compact_revision(db)) {
		w->ended = true;
		event.type = STORE_EVENT_RESYNC;
		event.revision = 0;
		event.reason = w->gone ? w->gone
			       : from < mem_db_compact_revision(db)
				       ? "history is compacted"
				       : "the store's revision went back: it was restored or wiped";
		tell(w, &event);
		return;
	}
	if (!w->live) {
		w->live = true;
		w->lost = false;
		tell(w, &event);
	}
	for (uint64_t p = mem_db_seek(db, from); !w->stopped && (e = mem_db_change(db, p)); p++) {
		w->next_revision = e->mod_revision + 1;
		if (mem_db_event(e, &event))
			tell(w, &event);
	}
}

static void tell_lost(struct store_watch *w, const char *reason)
{
	struct store_event event = { .type = STORE_EVENT_LOST, .reason = reason };

	if (w->lost)
		return;
	w->lost = true;
	w->live = false;
	tell(w, &event);
}

static void on_watch(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct store_watch *w = arg;

	if (w->ended)
		return;
	w->telling = true;
	if (mem_store_of(w->store)->lost)
		tell_lost(w, mem_store_of(w->store)->lost);
	else
		tell_changes(w, *mem_store_of(w->store)->db);
	w->telling = false;
	if (w->stopped)
		watch_free(w);
}

static struct store_watch *watch(struct store *store, uint64_t from_revision, store_event_fn *fn,
				 void *arg)
{
	struct mem_store *s = mem_store_of(store);
	struct store_watch *w = xcalloc(1, sizeof(*w));

	*w = (struct store_watch){
		.store = store, .fn = fn, .arg = arg, .next_revision = from_revision
	};
	w->event = evtimer_new(s->loop, on_watch, w);
	LIST_INSERT_HEAD(&s->watches, w, link);
	event_active(w->event, 0, 0);
	return w;
}

static void watch_stop(struct store_watch *w)
{
	w->stopped = true;
	if (!w->telling)
		watch_free(w);
}

static void activate(struct mem_store *s)
{
	struct store_watch *w;

	LIST_FOREACH (w, &s->watches, link)
		event_active(w->event, 0, 0);
}

void mem_store_lost(struct store *store, const char *reason)
{
	struct mem_store *s = mem_store_of(store);

	free(s->lost);
	s->lost = xstrdup(reason);
	activate(s);
}

void mem_store_resync(struct store *store, const char *reason)
{
	struct store_watch *w;

	LIST_FOREACH (w, &mem_store_of(store)->watches, link)
		w->gone = reason;
	activate(mem_store_of(store));
}

void mem_store_compact(struct store *store)
{
	struct mem_store *s = mem_store_of(store);
	uint64_t told = mem_db_revision(*s->db);
	const struct store_watch *w;

	LIST_FOREACH (w, &s->watches, link) {
		if (!w->ended)
			told = MIN(told, w->next_revision);
	}
	mem_db_compact(*s->db, told);
}

void mem_store_changed(struct store *store)
{
	free(STEAL(mem_store_of(store)->lost));
	activate(mem_store_of(store));
	plan_expiry(mem_store_of(store));
}

/* ---- the store ---- */

void *mem_store_backing_arg(const struct store *s)
{
	return ((const struct mem_store *)s)->backing_arg;
}

struct mem_db *mem_store_db(struct store *s)
{
	return *mem_store_of(s)->db;
}

int mem_store_edit(struct store *store, void (*edit)(struct mem_db *db, void *arg), void *arg,
		   struct err *e)
{
	struct mem_store *s = mem_store_of(store);
	int rc = begin(s, e);

	if (rc < 0)
		return rc;
	edit(*s->db, arg);
	rc = end(s, e);
	mem_store_changed(store);
	return rc;
}

static void describe(struct store *store, void *json_object)
{
	struct mem_store *s = mem_store_of(store);

	json_object_set_new(json_object, "revision",
			    json_integer((json_int_t)mem_db_revision(*s->db)));
	json_object_set_new(json_object, "keys", json_integer((json_int_t)mem_db_keys(*s->db)));
	if (s->backing)
		s->backing->describe(s->backing_arg, json_object);
	else
		json_object_set_new(json_object, "type", json_string("mem"));
}

static void mem_store_free(struct store *store)
{
	struct mem_store *s = mem_store_of(store);
	struct mem_request *r;
	struct store_watch *w;

	while ((r = LIST_FIRST(&s->requests)))
		request_free(r);
	while ((w = LIST_FIRST(&s->watches)))
		watch_free(w);
	event_free(s->expiry);
	if (s->backing)
		s->backing->free(s->backing_arg);
	mem_db_free(s->own_db);
	free(s->lost);
	free(s);
}

static const struct store_ops mem_ops = {
	.submit = submit,
	.watch = watch,
	.watch_stop = watch_stop,
	.describe = describe,
	.free = mem_store_free,
};

struct store *mem_store_new_backed(struct event_base *base, uint64_t (*random)(void),
				   const struct mem_store_backing *backing, void *arg,
				   struct mem_db **db)
{
	struct mem_store *s = xcalloc(1, sizeof(*s));

	s->base.ops = &mem_ops;
	s->loop = base;
	s->random = random;
	s->backing = backing;
	s->backing_arg = arg;
	s->db = db;
	s->expiry = evtimer_new(base, on_expiry, s);
	return &s->base;
}

struct store *mem_store_new(struct event_base *base, uint64_t (*random)(void))
{
	struct store *store = mem_store_new_backed(base, random, NULL, NULL, NULL);
	struct mem_store *s = mem_store_of(store);

	s->own_db = mem_db_new();
	s->db = &s->own_db;
	return store;
}
