/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subnet/manager against a store that the test plays by hand: every request is looked at and
 * answered, every event sent, in whatever order the test is about.
 */
#ifndef TESTS_UNIT_MANAGER_RIG_H
#define TESTS_UNIT_MANAGER_RIG_H

#include "tests/unit/test.h"

#include <errno.h>

#include "subnet/manager.h"

#define SENT_MAX       512
#define CONFIG         "{\"Network\":\"10.5.0.0/16\"}"
#define ME             "me-id"
#define OTHER          "other-id"
#define END            ((struct lease *)NULL) /* of a list of leases */
#define CLAIM_AGAIN_MS 3000                   /* a host that lost its lease has it again by then */

struct sent {
	uint64_t id;
	enum store_op op;
	struct lease *lease;
	bool answered;
};

struct rig {
	struct manager *m;
	int64_t now;
	struct sent sent[SENT_MAX];
	size_t sent_len;
	uint64_t watch_from;
	unsigned watches;
	unsigned configs;
	unsigned owns;
	unsigned peers_told;
	unsigned peers_gone;
	unsigned notes;
	char peer_news[500];
	char noted[64][40]; /* the last events noted */
	struct lease *attributes;
};

static UNUSED void on_submit(void *arg, uint64_t id, const struct store_request *request)
{
	struct rig *r = arg;

	assert_true(r->sent_len < SENT_MAX);
	r->sent[r->sent_len++] =
		(struct sent){ id, request->op, request->lease ? lease_copy(request->lease) : NULL,
			       false };
}

static UNUSED void on_watch(void *arg, uint64_t from_revision)
{
	struct rig *r = arg;

	r->watch_from = from_revision;
	r->watches += from_revision != 0;
}

static UNUSED int on_check_config(void *arg UNUSED, const struct network_config *config,
				  struct err *e)
{
	if (strcmp(config->backend_type, "pigeon") == 0)
		return err_set(e, -EINVAL, "no pigeons");
	return 0;
}

static UNUSED void on_config(void *arg, const struct network_config *config UNUSED)
{
	((struct rig *)arg)->configs++;
}

static UNUSED void on_peer(void *arg, struct manager_member *member UNUSED, bool gone)
{
	struct rig *r = arg;

	r->peers_told += !gone;
	r->peers_gone += gone;
}

static UNUSED void on_own(void *arg, const struct lease *own UNUSED)
{
	((struct rig *)arg)->owns++;
}

static UNUSED void on_note(void *arg, enum log_level level, const char *event, const char *text)
{
	struct rig *r = arg;

	if (level == LOG_LEVEL_DEBUG)
		return;
	/* What becomes of peers is told in passing. */
	if (strncmp(event, "peer", 4) == 0) {
		snprintf(r->peer_news, sizeof(r->peer_news), "%s: %s", event, text);
		return;
	}
	snprintf(r->noted[r->notes++ % ARRAY_LEN(r->noted)], sizeof(r->noted[0]), "%s", event);
}

static const struct manager_ops rig_ops = {
	.submit = on_submit,
	.watch = on_watch,
	.check_config = on_check_config,
	.config = on_config,
	.peer = on_peer,
	.own = on_own,
	.note = on_note,
};

static UNUSED bool noted(const struct rig *r, const char *event)
{
	for (size_t i = 0; i < ARRAY_LEN(r->noted); i++) {
		if (strcmp(r->noted[i], event) == 0)
			return true;
	}
	return false;
}

static UNUSED void forget_notes(struct rig *r)
{
	memset(r->noted, 0, sizeof(r->noted));
	r->notes = 0;
}

/* 0: a reservation. */
static UNUSED void set_id(struct lease *l, int64_t id)
{
	l->id = (u128)id;
	l->flags = id ? LEASE_EXPIRES : LEASE_RESERVED;
}

/* A lease as it lies in the store. `key` as in the store; id NULL: flannel's. */
static UNUSED struct lease *lease(const char *key, const char *address, const char *id,
				  const char *name, uint64_t create, uint64_t mod,
				  int64_t id_in_store)
{
	struct lease *l = lease_new();

	assert_int_equal(subnet_key_parse(key, &l->subnet, NULL), 0);
	if (address)
		l->public_v4 = test_addr(address);
	l->backend_type = xstrdup("vxlan");
	l->node_id = id ? xstrdup(id) : NULL;
	l->node_name = name ? xstrdup(name) : NULL;
	l->born = create;
	l->mod_revision = mod;
	set_id(l, id_in_store);
	return l;
}

#define mine(key, create, mod, in_store) lease(key, "192.0.2.1", ME, "me", create, mod, in_store)
#define theirs(key, create, mod, in_store)                                                         \
	lease(key, "192.0.2.9", OTHER, "other", create, mod, in_store)

static UNUSED struct rig *rig_of(const char *previous, unsigned traits)
{
	struct rig *r = xcalloc(1, sizeof(*r));
	struct manager_options o = { .node_id = ME,
				     .node_name = "me",
				     .ttl_s = 600,
				     .renew_margin_s = 60,
				     .anti_entropy_s = 300,
				     .traits = traits,
				     .seed = 7,
				     .default_backend = "vxlan" };

	if (previous)
		assert_int_equal(subnet_key_parse(previous, &o.previous, NULL), 0);
	r->now = 1000;
	r->m = manager_new(&o, &rig_ops, r);
	r->attributes = lease_new();
	r->attributes->public_v4 = test_addr("192.0.2.1");
	r->attributes->backend_type = xstrdup("vxlan");
	manager_start(r->m, r->now);
	return r;
}

static UNUSED struct rig *rig_new(const char *previous)
{
	return rig_of(previous, STORE_EXPIRES | STORE_ORDERED);
}

static UNUSED void rig_free(struct rig *r)
{
	manager_free(r->m);
	for (size_t i = 0; i < r->sent_len; i++)
		lease_free(r->sent[i].lease);
	lease_free(r->attributes);
	free(r);
}

static UNUSED void rig_free_ref(struct rig **r)
{
	rig_free(*r);
}
#define auto_rig __attribute__((cleanup(rig_free_ref))) struct rig *

static UNUSED struct manager_view view(const struct rig *r)
{
	struct manager_view v;

	manager_view(r->m, &v);
	return v;
}

static UNUSED enum manager_state state(const struct rig *r)
{
	return view(r).state;
}

/* The oldest unanswered request of a kind, or NULL. */
static UNUSED struct sent *waiting(struct rig *r, enum store_op op)
{
	for (size_t i = 0; i < r->sent_len; i++) {
		if (r->sent[i].op == op && !r->sent[i].answered)
			return &r->sent[i];
	}
	return NULL;
}

static UNUSED struct sent *take(struct rig *r, enum store_op op)
{
	struct sent *s = waiting(r, op);

	if (!s) {
		fail_msg("no %s was asked for", store_op_name(op));
		abort();
	}
	s->answered = true;
	return s;
}

static UNUSED size_t count(const struct rig *r, enum store_op op)
{
	size_t n = 0;

	for (size_t i = 0; i < r->sent_len; i++)
		n += r->sent[i].op == op;
	return n;
}

static UNUSED void assert_subnet(const struct lease *l, const char *key)
{
	char text[SUBNET_KEY_TEXT];

	assert_non_null(l);
	assert_string_equal(subnet_key_format(&l->subnet, text), key);
}

static UNUSED void answer(struct rig *r, const struct sent *s, struct store_reply *reply)
{
	if (reply->status != STORE_OK)
		err_set(&reply->err, -EIO, "the store said %s to %s",
			store_status_name(reply->status), store_op_name(s->op));
	manager_reply(r->m, r->now, s->id, reply);
	store_reply_fini(reply);
}

static UNUSED void answer_status(struct rig *r, enum store_op op, enum store_status status)
{
	struct store_reply reply = { .status = status };

	answer(r, take(r, op), &reply);
}

static UNUSED void answer_config(struct rig *r, const char *text)
{
	struct store_reply reply = { .status = text ? STORE_OK : STORE_ABSENT };

	if (text) {
		reply.config = xstrdup(text);
		reply.config_size = strlen(text);
		reply.config_revision = 2;
	}
	answer(r, take(r, STORE_CONFIG), &reply);
}

/* Leases as arguments, END at the end; they become the reply's. */
static UNUSED void answer_list(struct rig *r, uint64_t revision, ...)
{
	struct store_reply reply = { .revision = revision };
	size_t cap = 0;
	struct lease *l;
	va_list ap;

	va_start(ap, revision);
	while ((l = va_arg(ap, struct lease *))) {
		GROW(reply.leases, reply.leases_len, cap);
		reply.leases[reply.leases_len++] = l;
	}
	va_end(ap);
	answer(r, take(r, STORE_LIST), &reply);
}

/* A create or update that did what it was asked to. */
static UNUSED struct lease *written(const struct sent *s, uint64_t revision, int64_t id)
{
	struct lease *l = lease_copy(s->lease);

	l->mod_revision = revision;
	if (s->op == STORE_CREATE)
		l->born = revision;
	if (s->op == STORE_CREATE || s->op == STORE_BIND)
		set_id(l, id);
	return l;
}

static UNUSED void answer_written(struct rig *r, enum store_op op, uint64_t revision, int64_t id)
{
	struct sent *s = take(r, op);
	struct store_reply reply = { .revision = revision, .ttl_s = 600 };

	reply.holder = written(s, revision, id);
	answer(r, s, &reply);
}

static UNUSED void answer_conflict(struct rig *r, enum store_op op, struct lease *holder)
{
	struct store_reply reply = { .status = STORE_CONFLICT, .holder = holder };

	answer(r, take(r, op), &reply);
}

static UNUSED void answer_keepalive(struct rig *r, enum store_status status)
{
	struct store_reply reply = { .status = status, .ttl_s = status == STORE_OK ? 600 : 0 };

	answer(r, take(r, STORE_KEEPALIVE), &reply);
}

static UNUSED void event(struct rig *r, enum store_event_type type, uint64_t revision,
			 struct lease *l)
{
	struct store_event e = { .type = type, .revision = revision, .lease = l };

	e.reason = type == STORE_EVENT_RESYNC || type == STORE_EVENT_LOST ? "a reason" : NULL;
	manager_event(r->m, r->now, &e);
	lease_free(e.lease);
}

static UNUSED void put(struct rig *r, struct lease *l)
{
	event(r, STORE_EVENT_PUT, l->mod_revision, l);
}

static UNUSED void deleted(struct rig *r, const char *key, uint64_t revision)
{
	event(r, STORE_EVENT_DELETE, revision, lease(key, NULL, NULL, NULL, 0, revision, 0));
}

static UNUSED void tick(struct rig *r, int64_t ms)
{
	r->now += ms;
	if (manager_deadline(r->m) <= r->now)
		manager_tick(r->m, r->now);
}

/* Lets time pass in steps until a request of the kind is there. */
static UNUSED void until(struct rig *r, enum store_op op, int64_t limit_ms)
{
	for (int64_t end = r->now + limit_ms; !waiting(r, op);) {
		if (r->now >= end)
			fail_msg("no %s within %lld ms", store_op_name(op), (long long)limit_ms);
		tick(r, 10);
	}
}

static UNUSED struct rig *started(const char *previous)
{
	struct rig *r = rig_new(previous);

	answer_config(r, CONFIG);
	manager_claim(r->m, r->now, r->attributes);
	return r;
}

/* HELD on 10.5.1.0/24, created at 101 with id 11, watch from 101 on. */
static UNUSED struct rig *holding(void)
{
	struct rig *r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, theirs("10.5.9.0-24", 50, 50, 9), END);
	answer_written(r, STORE_CREATE, 101, 11);
	event(r, STORE_EVENT_LIVE, 101, NULL);
	put(r, mine("10.5.1.0-24", 101, 101, 11));
	assert_int_equal(state(r), MANAGER_HELD);
	forget_notes(r);
	return r;
}

static UNUSED void lose(struct rig *r, uint64_t revision)
{
	deleted(r, "10.5.1.0-24", revision);
	assert_int_equal(state(r), MANAGER_LOST);
	until(r, STORE_CREATE, 1000);
	assert_subnet(waiting(r, STORE_CREATE)->lease, "10.5.1.0-24");
}

/* Our id with another address: its host is asked, by a mark that changes nothing else. Returns the
 * lease with the mark. */
static UNUSED struct lease *asked(struct rig *r, uint64_t revision)
{
	const struct sent *s = waiting(r, STORE_UPDATE);
	struct lease *marked;

	assert_non_null(s);
	assert_string_equal(s->lease->claim, "192.0.2.1");
	assert_int_equal(s->lease->public_v4.b[3], 8);
	marked = written(s, revision, 0);
	answer_written(r, STORE_UPDATE, revision, 0);
	assert_null(waiting(r, STORE_UPDATE));
	assert_true(manager_deadline(r->m) >= r->now + 2000);
	return marked;
}

static UNUSED void nobody_answers(struct rig *r, uint64_t revision)
{
	struct lease *marked = asked(r, revision);

	until(r, STORE_LIST, 2100);
	answer_list(r, revision, marked, END);
}

#endif
