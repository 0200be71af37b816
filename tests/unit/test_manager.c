/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subnet/manager against a store that the test plays by hand: every request is looked at and
 * answered, every event sent, in whatever order the test is about.
 */
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
	char noted[64][40]; /* the last events noted */
	struct lease *attributes;
};

static void on_submit(void *arg, uint64_t id, const struct store_request *request)
{
	struct rig *r = arg;

	assert_true(r->sent_len < SENT_MAX);
	r->sent[r->sent_len++] =
		(struct sent){ id, request->op, request->lease ? lease_copy(request->lease) : NULL,
			       false };
}

static void on_watch(void *arg, uint64_t from_revision)
{
	struct rig *r = arg;

	r->watch_from = from_revision;
	r->watches += from_revision != 0;
}

static void on_config(void *arg, const struct network_config *config UNUSED)
{
	((struct rig *)arg)->configs++;
}

static void on_peer(void *arg, struct manager_member *member UNUSED, bool gone)
{
	struct rig *r = arg;

	r->peers_told += !gone;
	r->peers_gone += gone;
}

static void on_own(void *arg, const struct lease *own UNUSED)
{
	((struct rig *)arg)->owns++;
}

static void on_note(void *arg, enum log_level level UNUSED, const char *event,
		    const char *text UNUSED)
{
	struct rig *r = arg;

	snprintf(r->noted[r->notes++ % ARRAY_LEN(r->noted)], sizeof(r->noted[0]), "%s", event);
}

static const struct manager_ops rig_ops = {
	.submit = on_submit,
	.watch = on_watch,
	.config = on_config,
	.peer = on_peer,
	.own = on_own,
	.note = on_note,
};

static bool noted(const struct rig *r, const char *event)
{
	for (size_t i = 0; i < ARRAY_LEN(r->noted); i++) {
		if (strcmp(r->noted[i], event) == 0)
			return true;
	}
	return false;
}

static void forget_notes(struct rig *r)
{
	memset(r->noted, 0, sizeof(r->noted));
	r->notes = 0;
}

/* A lease as it lies in the store. `key` as in the store; id NULL: flannel's. */
static struct lease *lease(const char *key, const char *address, const char *id, const char *name,
			   uint64_t create, uint64_t mod, int64_t handle)
{
	struct lease *l = lease_new();

	assert_int_equal(subnet_key_parse(key, &l->subnet, NULL), 0);
	if (address)
		l->public_v4 = test_addr(address);
	l->backend_type = xstrdup("vxlan");
	l->node_id = id ? xstrdup(id) : NULL;
	l->node_name = name ? xstrdup(name) : NULL;
	l->create_revision = create;
	l->mod_revision = mod;
	l->handle = handle;
	return l;
}

#define mine(key, create, mod, handle) lease(key, "192.0.2.1", ME, "me", create, mod, handle)
#define theirs(key, create, mod, handle)                                                           \
	lease(key, "192.0.2.9", OTHER, "other", create, mod, handle)

static struct rig *rig_new(const char *previous)
{
	struct rig *r = xcalloc(1, sizeof(*r));
	struct manager_options o = { .node_id = ME,
				     .node_name = "me",
				     .ttl_s = 600,
				     .renew_margin_s = 60,
				     .anti_entropy_s = 300,
				     .seed = 7 };

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

static void lose(struct rig *r, uint64_t revision);

static void rig_free(struct rig *r)
{
	manager_free(r->m);
	for (size_t i = 0; i < r->sent_len; i++)
		lease_free(r->sent[i].lease);
	lease_free(r->attributes);
	free(r);
}

static void rig_free_ref(struct rig **r)
{
	rig_free(*r);
}
#define auto_rig __attribute__((cleanup(rig_free_ref))) struct rig *

static struct manager_view view(const struct rig *r)
{
	struct manager_view v;

	manager_view(r->m, &v);
	return v;
}

static enum manager_state state(const struct rig *r)
{
	return view(r).state;
}

/* The oldest unanswered request of a kind, or NULL. */
static struct sent *waiting(struct rig *r, enum store_op op)
{
	for (size_t i = 0; i < r->sent_len; i++) {
		if (r->sent[i].op == op && !r->sent[i].answered)
			return &r->sent[i];
	}
	return NULL;
}

static struct sent *take(struct rig *r, enum store_op op)
{
	struct sent *s = waiting(r, op);

	if (!s) {
		fail_msg("no %s was asked for", store_op_name(op));
		abort();
	}
	s->answered = true;
	return s;
}

static size_t count(const struct rig *r, enum store_op op)
{
	size_t n = 0;

	for (size_t i = 0; i < r->sent_len; i++)
		n += r->sent[i].op == op;
	return n;
}

static void assert_subnet(const struct lease *l, const char *key)
{
	char text[SUBNET_KEY_TEXT];

	assert_non_null(l);
	assert_string_equal(subnet_key_format(&l->subnet, text), key);
}

static void answer(struct rig *r, const struct sent *s, struct store_reply *reply)
{
	if (reply->status != STORE_OK)
		err_set(&reply->err, -EIO, "the store said %s to %s",
			store_status_name(reply->status), store_op_name(s->op));
	manager_reply(r->m, r->now, s->id, reply);
	store_reply_fini(reply);
}

static void answer_status(struct rig *r, enum store_op op, enum store_status status)
{
	struct store_reply reply = { .status = status };

	answer(r, take(r, op), &reply);
}

static void answer_config(struct rig *r, const char *text)
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
static void answer_list(struct rig *r, uint64_t revision, ...)
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
static struct lease *written(const struct sent *s, uint64_t revision, int64_t handle)
{
	struct lease *l = lease_copy(s->lease);

	l->mod_revision = revision;
	if (s->op == STORE_CREATE) {
		l->create_revision = revision;
		l->handle = handle;
	}
	return l;
}

static void answer_written(struct rig *r, enum store_op op, uint64_t revision, int64_t handle)
{
	struct sent *s = take(r, op);
	struct store_reply reply = { .revision = revision, .ttl_s = 600 };

	reply.holder = written(s, revision, handle);
	answer(r, s, &reply);
}

static void answer_conflict(struct rig *r, enum store_op op, struct lease *holder)
{
	struct store_reply reply = { .status = STORE_CONFLICT, .holder = holder };

	answer(r, take(r, op), &reply);
}

static void answer_keepalive(struct rig *r, enum store_status status)
{
	struct store_reply reply = { .status = status, .ttl_s = status == STORE_OK ? 600 : 0 };

	answer(r, take(r, STORE_KEEPALIVE), &reply);
}

static void event(struct rig *r, enum store_event_type type, uint64_t revision, struct lease *l)
{
	struct store_event e = { .type = type, .revision = revision, .lease = l };

	e.reason = type == STORE_EVENT_RESYNC || type == STORE_EVENT_LOST ? "a reason" : NULL;
	manager_event(r->m, r->now, &e);
	lease_free(e.lease);
}

static void put(struct rig *r, struct lease *l)
{
	event(r, STORE_EVENT_PUT, l->mod_revision, l);
}

static void deleted(struct rig *r, const char *key, uint64_t revision)
{
	event(r, STORE_EVENT_DELETE, revision, lease(key, NULL, NULL, NULL, 0, revision, 0));
}

static void tick(struct rig *r, int64_t ms)
{
	r->now += ms;
	if (manager_deadline(r->m) <= r->now)
		manager_tick(r->m, r->now);
}

/* Lets time pass in steps until a request of the kind is there. */
static void until(struct rig *r, enum store_op op, int64_t limit_ms)
{
	for (int64_t end = r->now + limit_ms; !waiting(r, op);) {
		if (r->now >= end)
			fail_msg("no %s within %lld ms", store_op_name(op), (long long)limit_ms);
		tick(r, 10);
	}
}

static struct rig *started(const char *previous)
{
	struct rig *r = rig_new(previous);

	answer_config(r, CONFIG);
	manager_claim(r->m, r->now, r->attributes);
	return r;
}

/* HELD on 10.5.1.0/24, created at 101 with handle 11, watch from 101 on. */
static struct rig *holding(void)
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

/* Our id with another address: its host is asked, by a mark that changes nothing else. Returns the
 * lease with the mark. */
static struct lease *asked(struct rig *r, uint64_t revision)
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

static void nobody_answers(struct rig *r, uint64_t revision)
{
	struct lease *marked = asked(r, revision);

	until(r, STORE_LIST, 2100);
	answer_list(r, revision, marked, END);
}

/* ---- configuration ---- */

static void test_config_missing_invalid_then_good(void **unused)
{
	(void)unused;
	auto_rig r = rig_new(NULL);

	answer_config(r, NULL);
	assert_int_equal(state(r), MANAGER_WAIT_CONFIG);
	for (unsigned i = 0; i < 50; i++) {
		until(r, STORE_CONFIG, 5100);
		answer_config(r, NULL);
	}
	assert_int_equal(r->notes, 1);
	until(r, STORE_CONFIG, 5100);
	answer_config(r, "{\"Network\":17}");
	assert_true(noted(r, "config-invalid"));
	assert_contains(view(r).reason, "network configuration: ");
	until(r, STORE_CONFIG, 5100);
	answer_status(r, STORE_CONFIG, STORE_UNAVAILABLE);
	assert_true(noted(r, "store-unavailable"));
	until(r, STORE_CONFIG, 5100);
	answer_config(r, CONFIG);
	assert_int_equal(r->configs, 1);
	assert_int_equal(state(r), MANAGER_LISTING);
	assert_non_null(waiting(r, STORE_LIST));
}

/* Rejected by the daemon, say since the interface is not there: asked again, said once. */
static void test_config_rejected(void **unused)
{
	(void)unused;
	auto_rig r = rig_new(NULL);

	for (unsigned i = 1; i <= 20; i++) {
		answer_config(r, CONFIG);
		assert_int_equal(r->configs, i);
		manager_reject_config(r->m, r->now, "no interface");
		assert_int_equal(state(r), MANAGER_WAIT_CONFIG);
		until(r, STORE_CONFIG, 5100);
	}
	assert_int_equal(r->notes, 1);
	/* A list that was asked for before the rejection is not heard. */
	answer_list(r, (uint64_t)5, END);
	answer_config(r, CONFIG);
	manager_claim(r->m, r->now, r->attributes);
	assert_null(waiting(r, STORE_CREATE));
}

static void test_config_changed_while_in_use(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	event(r, STORE_EVENT_CONFIG, 110, NULL);
	until(r, STORE_CONFIG, 1100);
	/* The read fails: it is read again, nothing is forgotten. */
	answer_status(r, STORE_CONFIG, STORE_UNAVAILABLE);
	until(r, STORE_CONFIG, 20000);
	answer_config(r, "{\"Network\":\"10.6.0.0/16\"}");
	assert_true(view(r).config_changed);
	assert_true(noted(r, "config-changed"));
	assert_int_equal(state(r), MANAGER_HELD);
	event(r, STORE_EVENT_CONFIG, 111, NULL);
	until(r, STORE_CONFIG, 1100);
	answer_config(r, CONFIG);
	assert_false(view(r).config_changed);
	event(r, STORE_EVENT_CONFIG, 112, NULL);
	until(r, STORE_CONFIG, 1100);
	answer_config(r, NULL);
	assert_true(view(r).config_changed);
}

/* An event of the configuration may get lost like any other: the periodic list reads it too. */
static void test_config_read_with_the_list(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	until(r, STORE_LIST, 400000);
	assert_non_null(waiting(r, STORE_CONFIG));
}

/* ---- the choice ---- */

static void test_reuse_by_node_id(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.77.0-24");

	/* Our own by id comes before flannel's by address and before the previous subnet. */
	answer_list(r, (uint64_t)100, lease("10.5.3.0-24", "192.0.2.1", NULL, NULL, 20, 20, 3),
		    mine("10.5.4.0-24", 30, 30, 4), theirs("10.5.9.0-24", 50, 50, 9), END);
	assert_null(waiting(r, STORE_CREATE));
	assert_null(waiting(r, STORE_UPDATE)); /* the value is as we would write it */
	assert_int_equal(waiting(r, STORE_KEEPALIVE)->lease->handle, 4);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_subnet(view(r).own, "10.5.4.0-24");
	assert_int_equal(r->watch_from, 101);
	assert_int_equal(r->owns, 1);
	assert_int_equal(view(r).renewals_ok, 1);
}

static void test_adopt_flannels(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);
	const struct sent *s;

	answer_list(r, (uint64_t)100, lease("10.5.3.0-24", "192.0.2.1", NULL, NULL, 20, 25, 3),
		    END);
	s = waiting(r, STORE_UPDATE);
	assert_non_null(s);
	assert_int_equal(s->lease->mod_revision, 25);
	assert_int_equal(s->lease->handle, 3);
	assert_string_equal(s->lease->node_id, ME);
	answer_written(r, STORE_UPDATE, 101, 0);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
	/* The event of our own update changes nothing. */
	put(r, mine("10.5.3.0-24", 20, 101, 3));
	assert_int_equal(state(r), MANAGER_HELD);
	assert_null(waiting(r, STORE_UPDATE));
}

static void test_adopt_reservation(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);

	answer_list(r, (uint64_t)100, lease("10.5.3.0-24", "192.0.2.1", NULL, NULL, 20, 25, 0),
		    END);
	answer_written(r, STORE_UPDATE, 101, 0);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(count(r, STORE_KEEPALIVE), 0);
	assert_int_equal(view(r).expires_ms, 0);
	tick(r, 3600 * 1000);
	assert_int_equal(count(r, STORE_KEEPALIVE), 0);
}

/* One that was made for this host by name, before its address was known. */
static void test_adopt_reservation_by_name(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);

	answer_list(r, (uint64_t)100, lease("10.5.2.0-24", NULL, NULL, "other", 19, 19, 0),
		    lease("10.5.3.0-24", NULL, NULL, "me", 20, 25, 0), END);
	assert_subnet(waiting(r, STORE_UPDATE)->lease, "10.5.3.0-24");
	answer_written(r, STORE_UPDATE, 101, 0);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(view(r).twins, 0);
}

/* A name is no claim on what expires, or on what has an address. */
static void test_a_name_alone_is_no_lease(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);

	answer_list(r, (uint64_t)100, lease("10.5.3.0-24", NULL, NULL, "me", 20, 25, 7),
		    lease("10.5.4.0-24", "192.0.2.9", NULL, "me", 21, 21, 0), END);
	assert_null(waiting(r, STORE_UPDATE));
	assert_non_null(waiting(r, STORE_CREATE));
}

static void test_previous_subnet(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, theirs("10.5.9.0-24", 50, 50, 9), END);
	assert_subnet(waiting(r, STORE_CREATE)->lease, "10.5.1.0-24");
}

static void test_previous_subnet_taken(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.9.0-24");
	struct subnet taken;

	answer_list(r, (uint64_t)100, theirs("10.5.8.0-22", 50, 50, 9), END);
	assert_int_equal(subnet_key_parse("10.5.8.0-22", &taken, NULL), 0);
	assert_false(subnet_overlaps(&waiting(r, STORE_CREATE)->lease->subnet, &taken));
}

static void test_previous_subnet_of_another_network(void **unused)
{
	(void)unused;
	auto_rig r = started("10.77.1.0-24");
	const struct lease *l;

	answer_list(r, (uint64_t)100, END);
	l = waiting(r, STORE_CREATE)->lease;
	assert_int_equal(l->subnet.v4.addr.b[1], 5);
	assert_int_equal(l->subnet.v4.len, 24);
}

/* Subnets may come free at any time: the list is read again, not only the memory of it. */
static void test_out_of_subnets(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);

	answer_list(r, (uint64_t)100, theirs("10.5.0.0-16", 50, 50, 9), END);
	assert_contains(view(r).reason, "out of subnets");
	for (unsigned i = 0; i < 10; i++) {
		until(r, STORE_LIST, 11000);
		answer_list(r, (uint64_t)(101 + i), theirs("10.5.0.0-16", 50, 50, 9), END);
	}
	assert_int_equal(r->notes, 1);
	until(r, STORE_LIST, 11000);
	answer_list(r, (uint64_t)120, END);
	until(r, STORE_LIST, 11000);
	answer_list(r, (uint64_t)120, END);
	assert_non_null(waiting(r, STORE_CREATE));
}

/* A network around the segment of the underlay: of all its subnets never the one it is in. */
static void test_the_segment_of_the_underlay_is_avoided(void **unused)
{
	(void)unused;
	auto_rig r = rig_new(NULL);
	const struct ip_net v4 = test_net("10.5.2.0/24");
	const struct ip_net v6 = { 0 };

	answer_config(r, "{\"Network\":\"10.5.0.0/16\",\"SubnetMin\":\"10.5.2.0\","
			 "\"SubnetMax\":\"10.5.3.0\"}");
	manager_avoid(r->m, &v4, &v6);
	manager_claim(r->m, r->now, r->attributes);
	answer_list(r, (uint64_t)100, END);
	assert_subnet(waiting(r, STORE_CREATE)->lease, "10.5.3.0-24");
}

static void test_lost_races(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);

	answer_list(r, (uint64_t)100, END);
	for (unsigned i = 0; i < 4; i++) {
		const struct sent *s = waiting(r, STORE_CREATE);
		struct lease *holder;

		assert_non_null(s);
		holder = lease_copy(s->lease);
		holder->public_v4 = test_addr("192.0.2.9");
		free(holder->node_id);
		holder->node_id = xstrdup(OTHER);
		holder->create_revision = holder->mod_revision = 101 + i;
		answer_conflict(r, STORE_CREATE, holder);
	}
	/* After a few the picture is too old: list again. */
	assert_null(waiting(r, STORE_CREATE));
	until(r, STORE_LIST, 11000);
}

/* ---- claiming ---- */

static void test_created(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, END);
	answer_written(r, STORE_CREATE, 103, 11);
	assert_int_equal(state(r), MANAGER_CLAIMING);
	assert_int_equal(r->watch_from, 101);
	put(r, theirs("10.5.2.0-24", 102, 102, 9));
	assert_int_equal(state(r), MANAGER_CLAIMING);
	put(r, mine("10.5.1.0-24", 103, 103, 11));
	assert_int_equal(state(r), MANAGER_HELD);
	/* Our own lease is at no time told as a peer's. */
	assert_int_equal(r->peers_told, 1);
	assert_true(view(r).expires_ms == 1000 + 600 * 1000);
}

/* The watch is faster than the answer. */
static void test_event_before_the_reply(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	lose(r, 110);
	put(r, mine("10.5.1.0-24", 111, 111, 12));
	assert_int_equal(state(r), MANAGER_LOST);
	answer_written(r, STORE_CREATE, 111, 12);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(r->peers_told, 1);
	assert_null(waiting(r, STORE_CREATE));
}

static void test_yields_to_older_overlap(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");
	struct sent *s;

	answer_list(r, (uint64_t)100, END);
	answer_written(r, STORE_CREATE, 103, 11);
	put(r, theirs("10.5.0.0-22", 102, 102, 9));
	put(r, mine("10.5.1.0-24", 103, 103, 11));
	assert_int_not_equal(state(r), MANAGER_HELD);
	s = take(r, STORE_REMOVE);
	assert_subnet(s->lease, "10.5.1.0-24");
	assert_int_equal(s->lease->mod_revision, 103);
	assert_int_equal(r->owns, 0);
	until(r, STORE_LIST, 11000);
	answer_list(r, (uint64_t)104, theirs("10.5.0.0-22", 102, 102, 9), END);
	assert_false(subnet_overlaps(&waiting(r, STORE_CREATE)->lease->subnet, &s->lease->subnet));
}

static void test_younger_overlap_is_no_reason_to_yield(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, END);
	answer_written(r, STORE_CREATE, 103, 11);
	put(r, mine("10.5.1.0-24", 103, 103, 11));
	put(r, theirs("10.5.0.0-22", 104, 104, 9));
	assert_int_equal(state(r), MANAGER_HELD);
	assert_null(waiting(r, STORE_REMOVE));
}

/* From IPv4 only under flannel to both families: the old key is ours, older, and overlaps. */
static void test_own_flannel_lease_is_no_older_overlap(void **unused)
{
	(void)unused;
	auto_rig r = rig_new(NULL);
	const struct sent *s;

	answer_config(r, "{\"Network\":\"10.5.0.0/16\",\"EnableIPv6\":true,"
			 "\"IPv6Network\":\"fd10::/48\"}");
	manager_claim(r->m, r->now, r->attributes);
	answer_list(r, (uint64_t)100, lease("10.5.3.0-24", "192.0.2.1", NULL, NULL, 20, 25, 3),
		    END);
	s = waiting(r, STORE_CREATE);
	assert_non_null(s);
	assert_int_equal(s->lease->subnet.v4.addr.b[2], 3);
	answer_written(r, STORE_CREATE, 101, 11);
	s = &r->sent[r->sent_len - 1];
	{
		struct lease *l = lease_copy(view(r).own);

		put(r, l);
	}
	assert_int_equal(state(r), MANAGER_HELD);
	assert_subnet(waiting(r, STORE_REMOVE)->lease, "10.5.3.0-24");
}

static void test_unknown_outcome_that_happened(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, END);
	answer_status(r, STORE_CREATE, STORE_UNKNOWN);
	until(r, STORE_LIST, 11000);
	answer_list(r, (uint64_t)101, mine("10.5.1.0-24", 101, 101, 11), END);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(count(r, STORE_CREATE), 1);
}

static void test_unknown_outcome_that_did_not_happen(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, END);
	answer_status(r, STORE_CREATE, STORE_UNKNOWN);
	until(r, STORE_LIST, 11000);
	answer_list(r, (uint64_t)101, END);
	assert_subnet(waiting(r, STORE_CREATE)->lease, "10.5.1.0-24");
}

static void test_refused_claims_are_repeated_with_delay(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, END);
	for (unsigned i = 0; i < 40; i++) {
		answer_status(r, STORE_CREATE, STORE_DENIED);
		until(r, STORE_LIST, 11000);
		answer_list(r, (uint64_t)100, END);
	}
	assert_int_equal(r->notes, 1);
	/* Backed off up to 10 s: 40 tries at full jitter take minutes. */
	assert_true(r->now > 60000);
	assert_contains(view(r).reason, "denied");
}

/* The watch brings nothing: the list that is asked for after a while verifies. */
static void test_verified_by_list_when_the_event_is_lost(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, END);
	answer_written(r, STORE_CREATE, 101, 11);
	until(r, STORE_LIST, 3000);
	answer_list(r, (uint64_t)105, mine("10.5.1.0-24", 101, 101, 11), END);
	assert_int_equal(state(r), MANAGER_HELD);
}

static void test_created_and_deleted_before_it_was_seen(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, END);
	answer_written(r, STORE_CREATE, 101, 11);
	until(r, STORE_LIST, 3000);
	answer_list(r, (uint64_t)105, END);
	assert_int_not_equal(state(r), MANAGER_HELD);
	until(r, STORE_LIST, 11000);
	answer_list(r, (uint64_t)105, END);
	assert_non_null(waiting(r, STORE_CREATE));
}

static void test_resync_before_verified(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, END);
	answer_written(r, STORE_CREATE, 101, 11);
	event(r, STORE_EVENT_RESYNC, 0, NULL);
	assert_int_equal(r->watch_from, 0);
	answer_list(r, (uint64_t)300, mine("10.5.1.0-24", 101, 101, 11), END);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(r->watch_from, 301);
	assert_int_equal(count(r, STORE_CREATE), 1);
}

/* ---- holding ---- */

static void test_renewal(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	until(r, STORE_KEEPALIVE, 201000);
	assert_true(r->now >= 1000 + 200 * 1000);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(view(r).renewals_ok, 2);
	assert_true(view(r).expires_ms == r->now + 600 * 1000);
	until(r, STORE_KEEPALIVE, 201000);
	answer_keepalive(r, STORE_UNAVAILABLE);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_contains(view(r).reason, "unavailable");
	assert_int_equal(view(r).renewals_failed, 1);
	until(r, STORE_KEEPALIVE, 11000);
	answer_keepalive(r, STORE_OK);
	assert_string_equal(view(r).reason, "");
	assert_true(noted(r, "lease-renewed"));
}

static void test_renewal_on_demand(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	tick(r, 1000);
	assert_true(manager_renew(r->m, r->now));
	/* One is under way already. */
	assert_true(manager_renew(r->m, r->now));
	answer_keepalive(r, STORE_OK);
	assert_null(waiting(r, STORE_KEEPALIVE));
	assert_true(view(r).expires_ms == r->now + 600 * 1000);
	until(r, STORE_KEEPALIVE, 201000);
	answer_keepalive(r, STORE_ABSENT);
	assert_int_equal(state(r), MANAGER_LOST);
	assert_false(manager_renew(r->m, r->now));
}

/* It expired at the store, which cannot be reached to say so. */
static void test_runs_out_while_the_store_is_away(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	while (r->now < 1000 + 599 * 1000) {
		tick(r, 100);
		for (struct sent *s; (s = waiting(r, STORE_KEEPALIVE)) ||
				     (s = waiting(r, STORE_LIST)) ||
				     (s = waiting(r, STORE_CONFIG));)
			answer_status(r, s->op, STORE_UNAVAILABLE);
	}
	assert_int_equal(state(r), MANAGER_HELD);
	assert_true(manager_deadline(r->m) <= 1000 + 600 * 1000);
	tick(r, 1100);
	assert_int_equal(state(r), MANAGER_LOST);
	until(r, STORE_CREATE, 1000);
	assert_subnet(waiting(r, STORE_CREATE)->lease, "10.5.1.0-24");
	/* It lives after all: a new leader prolongs all leases. */
	answer_conflict(r, STORE_CREATE, mine("10.5.1.0-24", 101, 101, 11));
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(r->peers_gone, 0);
}

static void lose(struct rig *r, uint64_t revision)
{
	deleted(r, "10.5.1.0-24", revision);
	assert_int_equal(state(r), MANAGER_LOST);
	assert_true(noted(r, "lease-lost"));
	until(r, STORE_CREATE, 1000);
	assert_subnet(waiting(r, STORE_CREATE)->lease, "10.5.1.0-24");
}

static void test_deleted_and_claimed_again(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	lose(r, 110);
	answer_written(r, STORE_CREATE, 111, 12);
	assert_int_equal(state(r), MANAGER_LOST);
	put(r, mine("10.5.1.0-24", 111, 111, 12));
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(view(r).lost_total, 1);
	assert_int_equal(r->peers_gone, 0);
	assert_int_equal(r->owns, 2);
}

static void test_expired_says_the_keepalive(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	until(r, STORE_KEEPALIVE, 201000);
	answer_keepalive(r, STORE_ABSENT);
	assert_int_equal(state(r), MANAGER_LOST);
	until(r, STORE_CREATE, 1000);
	answer_written(r, STORE_CREATE, 111, 12);
	/* The delete of the old key comes after that, then our own. */
	deleted(r, "10.5.1.0-24", 110);
	assert_int_equal(state(r), MANAGER_LOST);
	put(r, mine("10.5.1.0-24", 111, 111, 12));
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(view(r).lost_total, 1);
}

/* A keepalive of the lost lease is answered when there is a new one. */
static void test_late_keepalive_reply(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	struct store_reply reply = { .status = STORE_ABSENT };
	struct sent *late;

	until(r, STORE_KEEPALIVE, 201000);
	late = take(r, STORE_KEEPALIVE);
	lose(r, 110);
	answer_written(r, STORE_CREATE, 111, 12);
	put(r, mine("10.5.1.0-24", 111, 111, 12));
	answer(r, late, &reply);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(view(r).lost_total, 1);
	until(r, STORE_KEEPALIVE, 201000);
	assert_int_equal(waiting(r, STORE_KEEPALIVE)->lease->handle, 12);
}

/* The create of a lost lease happened, its answer was lost. The next finds our own key there. */
static void test_lost_then_unknown_create(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	lose(r, 110);
	answer_status(r, STORE_CREATE, STORE_UNKNOWN);
	until(r, STORE_CREATE, 11000);
	answer_conflict(r, STORE_CREATE, mine("10.5.1.0-24", 111, 111, 12));
	assert_null(waiting(r, STORE_CREATE));
	assert_int_equal(waiting(r, STORE_KEEPALIVE)->lease->handle, 12);
	answer_keepalive(r, STORE_OK);
	/* Adopted, and still the picture has to be whole up to it. */
	assert_int_equal(state(r), MANAGER_LOST);
	put(r, mine("10.5.1.0-24", 111, 111, 12));
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(count(r, STORE_CREATE), 3);
}

static void test_another_host_took_it(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	lose(r, 110);
	answer_conflict(r, STORE_CREATE, theirs("10.5.1.0-24", 111, 111, 12));
	assert_int_equal(state(r), MANAGER_CONFLICT);
	assert_contains(view(r).reason, "10.5.1.0/24 is held by another host: other");
	assert_true(noted(r, "lease-conflict"));
	assert_subnet(view(r).own, "10.5.1.0-24");
	assert_int_equal(r->peers_gone, 0);
	forget_notes(r);
	/* Asked again now and then, always for the same. */
	for (unsigned i = 0; i < 5; i++) {
		until(r, STORE_CREATE, 50000);
		assert_subnet(waiting(r, STORE_CREATE)->lease, "10.5.1.0-24");
		answer_conflict(r, STORE_CREATE, theirs("10.5.1.0-24", 111, 111, 12));
	}
	assert_false(noted(r, "lease-conflict"));
	/* The other's lease goes away. */
	deleted(r, "10.5.1.0-24", 120);
	until(r, STORE_CREATE, 100);
	answer_written(r, STORE_CREATE, 121, 13);
	put(r, mine("10.5.1.0-24", 121, 121, 13));
	assert_int_equal(state(r), MANAGER_HELD);
}

/* We slept; our lease expired and a flannel host claimed the subnet. Its value has no node id. */
static void test_flannel_took_it(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	put(r, lease("10.5.1.0-24", "192.0.2.9", NULL, NULL, 111, 111, 12));
	assert_int_equal(state(r), MANAGER_CONFLICT);
	assert_null(waiting(r, STORE_UPDATE));
}

static void test_another_host_wrote_over_it(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	put(r, theirs("10.5.1.0-24", 101, 111, 12));
	assert_int_equal(state(r), MANAGER_CONFLICT);
	assert_null(waiting(r, STORE_UPDATE));
	/* Somebody puts it right. */
	put(r, mine("10.5.1.0-24", 101, 112, 12));
	until(r, STORE_CREATE, 1100);
	answer_conflict(r, STORE_CREATE, mine("10.5.1.0-24", 101, 112, 12));
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
}

static void test_overwritten_values(void **unused)
{
	(void)unused;
	struct lease *l;

	for (unsigned i = 0; i < 3; i++) {
		auto_rig r = holding();

		l = mine("10.5.1.0-24", 101, 111, 11);
		if (i == 0) {
			free(STEAL(l->backend_type));
		} else if (i == 1) {
			l->problem = xstrdup("no JSON");
			l->public_v4 = (struct ip_addr){ 0 };
		} else {
			/* flannel on this very host */
			free(STEAL(l->node_id));
			free(STEAL(l->node_name));
		}
		put(r, l);
		assert_int_equal(state(r), MANAGER_HELD);
		assert_true(noted(r, "lease-overwritten"));
		assert_int_equal(waiting(r, STORE_UPDATE)->lease->mod_revision, 111);
		assert_int_equal(waiting(r, STORE_UPDATE)->lease->handle, 11);
		answer_written(r, STORE_UPDATE, 112, 0);
		put(r, mine("10.5.1.0-24", 101, 112, 11));
		assert_null(waiting(r, STORE_UPDATE));
	}
}

/* Written over again while our update was on its way. */
static void test_overwritten_twice(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	struct lease *l = mine("10.5.1.0-24", 101, 111, 11);

	l->problem = xstrdup("no JSON");
	put(r, l);
	l = mine("10.5.1.0-24", 101, 112, 11);
	l->problem = xstrdup("still no JSON");
	put(r, l);
	l = mine("10.5.1.0-24", 101, 112, 11);
	l->problem = xstrdup("still no JSON");
	answer_conflict(r, STORE_UPDATE, l);
	until(r, STORE_LIST, 11000);
	l = mine("10.5.1.0-24", 101, 112, 11);
	l->problem = xstrdup("still no JSON");
	answer_list(r, (uint64_t)112, l, END);
	assert_int_equal(waiting(r, STORE_UPDATE)->lease->mod_revision, 112);
	answer_written(r, STORE_UPDATE, 113, 0);
	assert_int_equal(state(r), MANAGER_HELD);
}

/* An update that the store refuses is repeated, but not at once and not for ever without a word. */
static void test_update_refused(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	struct lease *l = mine("10.5.1.0-24", 101, 111, 11);

	l->problem = xstrdup("no JSON");
	put(r, l);
	for (unsigned i = 0; i < 20; i++) {
		size_t before = r->sent_len;

		answer_status(r, STORE_UPDATE, STORE_DENIED);
		assert_int_equal(r->sent_len, before);
		assert_contains(view(r).reason, "denied");
		until(r, STORE_LIST, 11000);
		l = mine("10.5.1.0-24", 101, 111, 11);
		l->problem = xstrdup("no JSON");
		answer_list(r, (uint64_t)111, l, END);
	}
	answer_written(r, STORE_UPDATE, 112, 0);
	assert_string_equal(view(r).reason, "");
}

static void test_rebound_and_reserved(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	put(r, mine("10.5.1.0-24", 101, 111, 77));
	assert_true(noted(r, "lease-rebound"));
	assert_int_equal(waiting(r, STORE_KEEPALIVE)->lease->handle, 77);
	answer_keepalive(r, STORE_OK);
	assert_true(view(r).expires_ms > 0);
	put(r, mine("10.5.1.0-24", 101, 112, 0));
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(view(r).expires_ms, 0);
	assert_null(waiting(r, STORE_KEEPALIVE));
	tick(r, 3600 * 1000);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_null(waiting(r, STORE_KEEPALIVE));
}

/* Rebound while a keepalive of the old binding is on its way, which then says "gone". */
static void test_rebound_during_keepalive(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	struct store_reply reply = { .status = STORE_ABSENT };
	struct sent *late;

	until(r, STORE_KEEPALIVE, 201000);
	late = take(r, STORE_KEEPALIVE);
	put(r, mine("10.5.1.0-24", 101, 111, 77));
	answer(r, late, &reply);
	assert_int_equal(state(r), MANAGER_HELD);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
}

static void test_overlap_keeps_a_lost_lease_away(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	deleted(r, "10.5.1.0-24", 110);
	put(r, theirs("10.5.0.0-22", 111, 111, 12));
	tick(r, 2000);
	assert_null(waiting(r, STORE_CREATE));
	assert_int_equal(state(r), MANAGER_CONFLICT);
	assert_contains(view(r).reason, "10.5.0.0/22");
	deleted(r, "10.5.0.0-22", 112);
	until(r, STORE_CREATE, 100);
}

/* The overlap comes to light only after the second create: give it back, take no other subnet. */
static void test_second_claim_yields_to_conflict(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	lose(r, 110);
	answer_written(r, STORE_CREATE, 112, 12);
	put(r, theirs("10.5.0.0-22", 111, 111, 12));
	put(r, mine("10.5.1.0-24", 112, 112, 12));
	assert_int_equal(state(r), MANAGER_CONFLICT);
	assert_subnet(take(r, STORE_REMOVE)->lease, "10.5.1.0-24");
	assert_subnet(view(r).own, "10.5.1.0-24");
	tick(r, 60000);
	assert_null(waiting(r, STORE_CREATE));
	assert_int_equal(state(r), MANAGER_CONFLICT);
}

/* ---- publishing ---- */

static void publish(struct rig *r, const char *backend_data)
{
	free(r->attributes->backend_data);
	r->attributes->backend_data = xstrdup(backend_data);
	manager_publish(r->m, r->now, r->attributes);
}

static void test_publish(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	struct lease *l;

	publish(r, "{\"VNI\":2}");
	assert_string_equal(waiting(r, STORE_UPDATE)->lease->backend_data, "{\"VNI\":2}");
	answer_written(r, STORE_UPDATE, 111, 0);
	assert_int_equal(view(r).renewals_ok, 1);
	assert_int_equal(r->owns, 1);
	l = lease_copy(view(r).own);
	put(r, l);
	assert_false(noted(r, "lease-overwritten"));
	assert_null(waiting(r, STORE_UPDATE));
	publish(r, "{\"VNI\":2}");
	assert_null(waiting(r, STORE_UPDATE));
}

static void test_publish_that_failed(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	publish(r, "{\"VNI\":2}");
	answer_status(r, STORE_UPDATE, STORE_UNAVAILABLE);
	until(r, STORE_LIST, 11000);
	answer_list(r, (uint64_t)101, mine("10.5.1.0-24", 101, 101, 11), END);
	assert_string_equal(waiting(r, STORE_UPDATE)->lease->backend_data, "{\"VNI\":2}");
	/* Changed once more while that is on its way. */
	publish(r, "{\"VNI\":3}");
	answer_written(r, STORE_UPDATE, 111, 0);
	put(r, lease_copy(view(r).own));
	assert_string_equal(waiting(r, STORE_UPDATE)->lease->backend_data, "{\"VNI\":3}");
}

static void test_publish_before_held(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, END);
	publish(r, "{\"VNI\":2}");
	answer_written(r, STORE_CREATE, 101, 11);
	put(r, mine("10.5.1.0-24", 101, 101, 11));
	assert_int_equal(state(r), MANAGER_HELD);
	assert_string_equal(waiting(r, STORE_UPDATE)->lease->backend_data, "{\"VNI\":2}");
	assert_false(noted(r, "lease-overwritten"));
}

/* Lost while an update was on its way: its answer must not be taken for the new claim's. */
static void test_lost_during_update(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	struct store_reply reply = { .status = STORE_CONFLICT };
	struct sent *late;

	publish(r, "{\"VNI\":2}");
	late = take(r, STORE_UPDATE);
	lose(r, 110);
	answer(r, late, &reply);
	answer_written(r, STORE_CREATE, 111, 12);
	put(r, lease_copy(view(r).own));
	assert_int_equal(state(r), MANAGER_HELD);
}

/* ---- departures ---- */

/* Its daemon runs and claims the lost lease again: nothing that leads there is touched meanwhile.
 */
static void test_departed_and_back(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	unsigned told = r->peers_told;

	deleted(r, "10.5.9.0-24", 120);
	assert_int_equal(view(r).kept, 1);
	assert_int_equal(view(r).members_len, 2);
	tick(r, CLAIM_AGAIN_MS - 1);
	/* Not even a list that does not have it yet. */
	event(r, STORE_EVENT_RESYNC, 0, NULL);
	answer_list(r, (uint64_t)121, mine("10.5.1.0-24", 101, 101, 11), END);
	put(r, theirs("10.5.9.0-24", 130, 130, 19));
	assert_int_equal(view(r).kept, 0);
	tick(r, 10 * CLAIM_AGAIN_MS);
	assert_int_equal(view(r).members_len, 2);
	assert_int_equal(r->peers_gone, 0);
	assert_int_equal(r->peers_told, told);
}

static void test_departed_for_good(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	put(r, theirs("10.5.7.0-24", 110, 110, 9));
	deleted(r, "10.5.9.0-24", 120);
	tick(r, 1000);
	deleted(r, "10.5.7.0-24", 121);
	/* Told twice, as servers have been seen to do: its time does not begin anew. */
	deleted(r, "10.5.9.0-24", 120);
	assert_int_equal(manager_deadline(r->m), r->now + CLAIM_AGAIN_MS - 1000);
	assert_int_equal(view(r).kept, 2);
	tick(r, CLAIM_AGAIN_MS - 1000);
	assert_int_equal(r->peers_gone, 1);
	assert_int_equal(view(r).kept, 1);
	tick(r, 1000);
	assert_int_equal(r->peers_gone, 2);
	assert_int_equal(view(r).members_len, 1);
	assert_true(manager_deadline(r->m) > r->now + CLAIM_AGAIN_MS);
}

/* Told late of a time before it left. */
static void test_departed_is_not_revived_by_old_news(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	deleted(r, "10.5.9.0-24", 120);
	put(r, theirs("10.5.9.0-24", 100, 119, 9));
	assert_int_equal(view(r).kept, 1);
	tick(r, CLAIM_AGAIN_MS);
	assert_int_equal(r->peers_gone, 1);
}

/* flannel ends itself when its lease is gone, and a subnet may be another's at once. */
static void test_departed_of_flannel_and_of_who_is_replaced(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	unsigned told;

	put(r, lease("10.5.7.0-24", "192.0.2.7", NULL, NULL, 110, 110, 9));
	deleted(r, "10.5.7.0-24", 111);
	assert_int_equal(r->peers_gone, 1);
	assert_int_equal(view(r).kept, 0);
	deleted(r, "10.5.9.0-24", 120);
	told = r->peers_told;
	put(r, lease("10.5.9.0-24", "192.0.2.77", "third-id", "third", 121, 121, 9));
	assert_int_equal(r->peers_told, told + 1);
	assert_int_equal(view(r).kept, 0);
	/* Who was there before is not in the way of who comes. */
	deleted(r, "10.5.9.0-24", 130);
	for (const struct manager_member *m = view(r).members; m; m = m->hh.next)
		assert_true(m->own || m->lease->create_revision == UINT64_MAX);
}

/* ---- history ---- */

static void test_resync(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	struct store_reply reply = { .revision = 105 };
	struct sent *late;

	manager_tick(r->m, r->now + 400000); /* anti-entropy */
	late = take(r, STORE_LIST);
	event(r, STORE_EVENT_RESYNC, 0, NULL);
	assert_int_equal(state(r), MANAGER_HELD);
	/* The list of before is not heard, only the one asked for after it. */
	answer(r, late, &reply);
	assert_int_equal(r->watch_from, 0);
	answer_list(r, (uint64_t)500, mine("10.5.1.0-24", 101, 101, 11),
		    theirs("10.5.7.0-24", 400, 400, 9), END);
	assert_int_equal(r->watch_from, 501);
	assert_int_equal(state(r), MANAGER_HELD);
	tick(r, CLAIM_AGAIN_MS);
	assert_int_equal(view(r).members_len, 2);
	assert_int_equal(r->peers_gone, 1);
}

static void test_resync_again_and_again_is_slowed(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	size_t before = count(r, STORE_LIST);

	for (unsigned i = 0; i < 30; i++) {
		event(r, STORE_EVENT_RESYNC, 0, NULL);
		until(r, STORE_LIST, 11000);
		answer_list(r, (uint64_t)500, mine("10.5.1.0-24", 101, 101, 11), END);
		assert_int_equal(r->watch_from, 501);
	}
	assert_int_equal(count(r, STORE_LIST) - before, 30);
	assert_true(r->now > 20000);
}

/* Wiped: our key is not there, revisions start again, everything is claimed again. */
static void test_wiped(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	event(r, STORE_EVENT_RESYNC, 0, NULL);
	answer_list(r, (uint64_t)2, END);
	assert_int_equal(state(r), MANAGER_LOST);
	assert_int_equal(r->watch_from, 3);
	until(r, STORE_CREATE, 1000);
	answer_written(r, STORE_CREATE, 3, 12);
	put(r, mine("10.5.1.0-24", 3, 3, 12));
	assert_int_equal(state(r), MANAGER_HELD);
}

/* Restored from a snapshot in which leases have older revisions than those we remember. */
static void test_restored(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	const struct manager_view v = view(r);
	struct lease *l = theirs("10.5.9.0-24", 20, 20, 9);

	assert_int_equal(v.members_len, 2);
	event(r, STORE_EVENT_RESYNC, 0, NULL);
	l->public_v4 = test_addr("192.0.2.77");
	answer_list(r, (uint64_t)30, l, mine("10.5.1.0-24", 25, 25, 8), END);
	assert_int_equal(state(r), MANAGER_HELD);
	/* Peer and our own binding are what the store says now. */
	for (const struct manager_member *m = view(r).members; m; m = m->hh.next) {
		if (!m->own)
			assert_true(m->lease->mod_revision == 20 && m->lease->public_v4.b[3] == 77);
	}
	assert_int_equal(waiting(r, STORE_KEEPALIVE)->lease->handle, 8);
}

/* We slept while the store was wiped, and another host has our subnet at a lower revision. */
static void test_taken_in_another_history(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	until(r, STORE_LIST, 400000);
	answer_list(r, (uint64_t)150, theirs("10.5.1.0-24", 40, 40, 9), END);
	assert_int_equal(state(r), MANAGER_CONFLICT);
}

/* Our address is another than when the snapshot was taken that the store now has again. */
static void test_restored_to_before_we_moved(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.5.0-24");

	answer_list(r, (uint64_t)100, lease("10.5.5.0-24", "192.0.2.8", ME, "me", 43, 43, 7), END);
	nobody_answers(r, 101);
	answer_written(r, STORE_UPDATE, 102, 0);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
	event(r, STORE_EVENT_RESYNC, 0, NULL);
	answer_list(r, (uint64_t)60, lease("10.5.5.0-24", "192.0.2.8", ME, "me", 43, 43, 7), END);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(waiting(r, STORE_UPDATE)->lease->public_v4.b[3], 1);
}

/* An older state than that in which we took it over; and the same old write again and again. */
static void test_restored_again_and_again(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.5.0-24");

	answer_list(r, (uint64_t)100, lease("10.5.5.0-24", "192.0.2.8", ME, "me", 90, 90, 7), END);
	nobody_answers(r, 101);
	answer_written(r, STORE_UPDATE, 102, 0);
	answer_keepalive(r, STORE_OK);
	for (unsigned i = 0; i < 10; i++) {
		event(r, STORE_EVENT_RESYNC, 0, NULL);
		until(r, STORE_LIST, 11000);
		answer_list(r, (uint64_t)60, lease("10.5.5.0-24", "192.0.2.8", ME, "me", 43, 43, 7),
			    END);
		assert_int_equal(state(r), MANAGER_HELD);
		answer_written(r, STORE_UPDATE, 61, 0);
	}
	/* But what comes now is written by somebody, and we came later than our id. */
	put(r, lease("10.5.5.0-24", "192.0.2.8", ME, "me", 43, 62, 7));
	assert_int_equal(state(r), MANAGER_CONFLICT);
}

/* The watch is silent on a store that went back; only the periodic list can tell. */
static void test_list_of_an_earlier_time(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	put(r, theirs("10.5.7.0-24", 200, 200, 9));
	until(r, STORE_LIST, 400000);
	answer_list(r, (uint64_t)30, END);
	assert_true(noted(r, "store-went-back"));
	assert_int_equal(state(r), MANAGER_LOST);
	assert_int_equal(r->watch_from, 31);
	/* Peers have time to claim again; then who has not is gone. */
	assert_int_equal(view(r).members_len, 2);
	assert_int_equal(view(r).kept, 2);
	put(r, theirs("10.5.7.0-24", 32, 32, 9));
	assert_int_equal(view(r).kept, 1);
	tick(r, 14000);
	assert_int_equal(view(r).kept, 1);
	tick(r, 1000);
	assert_int_equal(view(r).members_len, 1);
	assert_int_equal(view(r).kept, 0);
}

/* Created at a store that was wiped before it could be seen there. */
static void test_wiped_before_verified(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	lose(r, 110);
	event(r, STORE_EVENT_RESYNC, 0, NULL);
	answer_list(r, (uint64_t)2, END);
	answer_written(r, STORE_CREATE, 111, 12); /* by the old store */
	assert_int_equal(state(r), MANAGER_LOST);
	until(r, STORE_LIST, 3000);
	answer_list(r, (uint64_t)4, END);
	assert_int_equal(state(r), MANAGER_LOST);
	until(r, STORE_CREATE, 11000);
	answer_written(r, STORE_CREATE, 5, 13);
	put(r, mine("10.5.1.0-24", 5, 5, 13));
	assert_int_equal(state(r), MANAGER_HELD);
}

static void test_list_overtaken_by_events(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	until(r, STORE_LIST, 400000);
	put(r, theirs("10.5.7.0-24", 210, 210, 9));
	answer_list(r, (uint64_t)209, mine("10.5.1.0-24", 101, 101, 11), END);
	assert_int_equal(view(r).members_len, 3);
	until(r, STORE_LIST, 2100);
	answer_list(r, (uint64_t)210, mine("10.5.1.0-24", 101, 101, 11),
		    theirs("10.5.7.0-24", 210, 210, 9), END);
	tick(r, CLAIM_AGAIN_MS);
	assert_int_equal(view(r).members_len, 2);
	assert_int_equal(r->peers_gone, 1);
}

/* The list is ahead of the watch: what it has told already does not come to life again. */
static void test_events_older_than_the_list(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	unsigned told;

	until(r, STORE_LIST, 400000);
	answer_list(r, (uint64_t)300, mine("10.5.1.0-24", 101, 101, 11), END);
	told = r->peers_told;
	put(r, theirs("10.5.7.0-24", 210, 210, 9));
	deleted(r, "10.5.7.0-24", 211);
	deleted(r, "10.5.1.0-24", 100);
	assert_int_equal(r->peers_told, told);
	assert_int_equal(state(r), MANAGER_HELD);
	/* Repeated events neither. */
	put(r, theirs("10.5.7.0-24", 310, 310, 9));
	told = r->peers_told;
	put(r, theirs("10.5.7.0-24", 310, 310, 9));
	assert_int_equal(r->peers_told, told);
}

static void test_anti_entropy(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	int64_t before = r->now;

	until(r, STORE_LIST, 400000);
	assert_true(r->now - before >= 240000 && r->now - before <= 361000);
	/* A delete that was lost, a put that was lost, our own key lost. */
	answer_list(r, (uint64_t)300, theirs("10.5.8.0-24", 290, 290, 9), END);
	assert_int_equal(state(r), MANAGER_LOST);
	assert_int_equal(view(r).kept, 1);
	tick(r, CLAIM_AGAIN_MS);
	assert_int_equal(r->peers_gone, 1);
	assert_int_equal(view(r).members_len, 1);
}

static void test_list_fails_and_comes_back(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	event(r, STORE_EVENT_RESYNC, 0, NULL);
	for (unsigned i = 0; i < 10; i++) {
		answer_status(r, STORE_LIST, STORE_UNAVAILABLE);
		until(r, STORE_LIST, 11000);
	}
	assert_int_equal(state(r), MANAGER_HELD);
	answer_list(r, (uint64_t)500, mine("10.5.1.0-24", 101, 101, 11), END);
	assert_int_equal(r->watch_from, 501);
}

static void test_watch_lost_and_live(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	event(r, STORE_EVENT_LOST, 0, NULL);
	assert_false(view(r).watch_live);
	assert_string_equal(view(r).watch_reason, "a reason");
	event(r, STORE_EVENT_LOST, 0, NULL);
	assert_int_equal(r->notes, 1);
	/* Why it does not come back is told too, but not for ever. */
	for (unsigned i = 0; i < 20; i++) {
		struct store_event e = { .type = STORE_EVENT_LOST };

		e.reason = i % 2 ? "refused" : "timed out";
		manager_event(r->m, r->now, &e);
	}
	assert_int_equal(r->notes, 4);
	event(r, STORE_EVENT_LIVE, 120, NULL);
	assert_true(view(r).watch_live);
	assert_int_equal(view(r).watch_restarts_total, 22);
	forget_notes(r);
	event(r, STORE_EVENT_LOST, 0, NULL);
	assert_int_equal(r->notes, 1);
}

/* LIVE tells how far the store is, not how far the watch has come. */
static void test_live_is_not_progress(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");

	answer_list(r, (uint64_t)100, END);
	answer_written(r, STORE_CREATE, 103, 11);
	event(r, STORE_EVENT_LIVE, 103, NULL);
	put(r, theirs("10.5.0.0-22", 102, 102, 9));
	assert_int_equal(state(r), MANAGER_CLAIMING);
	put(r, mine("10.5.1.0-24", 103, 103, 11));
	assert_int_not_equal(state(r), MANAGER_HELD);
}

/* ---- junk and twins ---- */

static void junk(struct rig *r, const char *key, const char *reason, uint64_t revision)
{
	struct store_event e = {
		.type = STORE_EVENT_JUNK, .key = key, .reason = reason, .revision = revision
	};

	manager_event(r->m, r->now, &e);
}

static void answer_list_with_junk(struct rig *r, uint64_t revision, size_t len)
{
	struct store_reply reply = { .revision = revision };

	reply.leases = xmalloc(sizeof(*reply.leases));
	reply.leases[0] = mine("10.5.1.0-24", 101, 101, 11);
	reply.leases_len = 1;
	reply.junk = xcalloc(len, sizeof(*reply.junk));
	reply.junk_len = len;
	for (size_t i = 0; i < len; i++)
		reply.junk[i] = (struct store_junk){ xasprintf("junk-%zu", i), xstrdup("bad") };
	answer(r, take(r, STORE_LIST), &reply);
}

static void test_junk(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	junk(r, "one", "no subnet", 110);
	junk(r, "one", "no subnet at all", 111);
	assert_int_equal(view(r).junk_len, 1);
	junk(r, "one", NULL, 112);
	assert_int_equal(view(r).junk_len, 0);
	assert_int_equal(r->notes, 1);
	until(r, STORE_LIST, 400000);
	answer_list_with_junk(r, 120, 5000);
	assert_int_equal(view(r).junk_len, 5000);
	assert_int_equal(HASH_COUNT(view(r).junk), MANAGER_JUNK_MAX);
	/* The same again is no news. */
	forget_notes(r);
	until(r, STORE_LIST, 400000);
	answer_list_with_junk(r, 121, 5000);
	assert_int_equal(r->notes, 0);
	until(r, STORE_LIST, 400000);
	answer_list_with_junk(r, 122, 3);
	assert_int_equal(view(r).junk_len, 3);
	assert_int_equal(HASH_COUNT(view(r).junk), 3);
}

static void test_leftovers_of_own(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.1.0-24");
	const struct sent *s;

	answer_list(r, (uint64_t)100, mine("10.5.1.0-24", 50, 50, 5),
		    mine("10.5.2.0-24", 40, 40, 4), mine("10.5.3.0-24", 41, 41, 0),
		    theirs("10.5.4.0-24", 42, 42, 6),
		    /* our id, but neither our address nor our name: a copied disk image */
		    lease("10.5.5.0-24", "192.0.2.8", ME, "copy", 43, 43, 7), END);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_subnet(view(r).own, "10.5.1.0-24");
	s = take(r, STORE_REMOVE);
	assert_subnet(s->lease, "10.5.2.0-24");
	assert_int_equal(s->lease->mod_revision, 40);
	assert_null(waiting(r, STORE_REMOVE));
	assert_int_equal(view(r).twins, 1);
	assert_true(noted(r, "node-id-twice"));
	/* A create of which we had given up hope happens after all. */
	put(r, mine("10.5.6.0-24", 110, 110, 8));
	assert_subnet(take(r, STORE_REMOVE)->lease, "10.5.6.0-24");
}

static void test_address_twice(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	char text[MANAGER_REASON_SIZE];

	put(r, lease("10.5.6.0-24", "192.0.2.1", OTHER, "other", 110, 110, 8));
	assert_true(noted(r, "public-address-twice"));
	assert_int_equal(view(r).twins, 1);
	assert_string_equal(manager_describe_twin(r->m, text), "public-address-twice");
	assert_contains(text, "10.5.6.0/24, the lease of other, publishes the same address "
			      "192.0.2.1");
	assert_int_equal(r->notes, 1);
	/* Another one is told of as well; when the first is gone the second is what is shown. */
	put(r, lease("10.5.16.0-24", "192.0.2.8", ME, "copy", 110, 110, 9));
	assert_int_equal(view(r).twins, 2);
	put(r, lease("10.5.6.0-24", "192.0.2.6", OTHER, "other", 110, 111, 8));
	assert_string_equal(manager_describe_twin(r->m, text), "node-id-twice");
	deleted(r, "10.5.16.0-24", 112);
	tick(r, CLAIM_AGAIN_MS);
	assert_int_equal(view(r).twins, 0);
	forget_notes(r);
	put(r, lease("10.5.6.0-24", "192.0.2.1", OTHER, "other", 110, 113, 8));
	assert_int_equal(r->notes, 1);
	put(r, lease("10.5.6.0-24", "192.0.2.1", OTHER, "other", 110, 114, 8));
	assert_int_equal(r->notes, 1);
	assert_null(waiting(r, STORE_REMOVE));
	assert_null(waiting(r, STORE_UPDATE));
	deleted(r, "10.5.6.0-24", 115);
	tick(r, CLAIM_AGAIN_MS);
	assert_int_equal(view(r).twins, 0);
	assert_null(manager_describe_twin(r->m, text));
	assert_int_equal(state(r), MANAGER_HELD);
}

/* Our id with another address and another name is another host's: take a subnet of our own. */
static void test_copied_disk_image(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);

	answer_list(r, (uint64_t)100, lease("10.5.5.0-24", "192.0.2.8", ME, "original", 43, 43, 7),
		    END);
	assert_null(waiting(r, STORE_UPDATE));
	answer_written(r, STORE_CREATE, 101, 11);
	event(r, STORE_EVENT_LIVE, 101, NULL);
	put(r, written(&r->sent[r->sent_len - 1], 101, 11));
	assert_int_equal(state(r), MANAGER_HELD);
	assert_true(noted(r, "node-id-twice"));
}

/* The copy has all of the original, its name too. The original writes its lease again. */
static void test_copied_disk_image_of_a_live_host(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);
	char text[MANAGER_REASON_SIZE];
	struct lease *marked;

	answer_list(r, (uint64_t)100, lease("10.5.5.0-24", "192.0.2.8", ME, "me", 43, 43, 7), END);
	marked = asked(r, 101);
	until(r, STORE_LIST, 2100);
	free(STEAL(marked->claim));
	marked->mod_revision = 102;
	answer_list(r, (uint64_t)102, marked, END);
	assert_true(noted(r, "node-id-twice"));
	assert_string_equal(manager_describe_twin(r->m, text), "node-id-twice");
	assert_null(waiting(r, STORE_UPDATE));
	assert_int_not_equal(waiting(r, STORE_CREATE)->lease->subnet.v4.addr.b[2], 5);
	answer_status(r, STORE_CREATE, STORE_UNAVAILABLE);
	/* Nor is it asked again. */
	until(r, STORE_LIST, 11000);
	answer_list(r, (uint64_t)103, lease("10.5.5.0-24", "192.0.2.8", ME, "me", 43, 103, 7), END);
	assert_null(waiting(r, STORE_UPDATE));
	assert_non_null(waiting(r, STORE_CREATE));
}

/* Whoever could not be heard could not answer: the question is put again. */
static void test_store_away_while_the_host_is_asked(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);
	struct lease *marked;

	answer_list(r, (uint64_t)100, lease("10.5.5.0-24", "192.0.2.8", ME, "me", 43, 43, 7), END);
	marked = asked(r, 101);
	until(r, STORE_LIST, 2100);
	answer_status(r, STORE_LIST, STORE_UNAVAILABLE);
	until(r, STORE_LIST, 11000);
	answer_list(r, (uint64_t)101, marked, END);
	nobody_answers(r, 102);
	answer_written(r, STORE_UPDATE, 103, 0);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
}

/* The other side of it: we are asked, and live. */
static void test_asked_by_a_copy(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	struct lease *marked = mine("10.5.1.0-24", 101, 120, 11);

	marked->claim = xstrdup("192.0.2.8");
	put(r, marked);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_true(noted(r, "node-id-twice"));
	assert_false(noted(r, "lease-overwritten"));
	assert_null(waiting(r, STORE_UPDATE)->lease->claim);
	answer_written(r, STORE_UPDATE, 121, 0);
	assert_int_equal(state(r), MANAGER_HELD);
	/* However often. */
	for (unsigned i = 0; i < 10; i++) {
		marked = mine("10.5.1.0-24", 101, 130 + 2 * i, 11);
		marked->claim = xstrdup("192.0.2.8");
		put(r, marked);
		answer_written(r, STORE_UPDATE, 131 + 2 * i, 0);
	}
	assert_int_equal(state(r), MANAGER_HELD);
	/* The copy has a subnet of its own, and a name like ours. */
	put(r, lease("10.5.8.0-24", "192.0.2.8", ME, "me", 160, 160, 12));
	assert_int_equal(view(r).twins, 1);
}

/* Its lease is of no use under our configuration: it is not overlapped all the same. */
static void test_copy_keeps_away_from_the_original(void **unused)
{
	(void)unused;
	auto_rig r = rig_new(NULL);
	struct subnet original;

	assert_int_equal(subnet_key_parse("10.5.4.0-24", &original, NULL), 0);
	answer_config(r, "{\"Network\":\"10.5.0.0/20\",\"SubnetLen\":22}");
	manager_claim(r->m, r->now, r->attributes);
	for (unsigned i = 0; i < 30; i++) {
		answer_list(r, (uint64_t)100,
			    lease("10.5.4.0-24", "192.0.2.8", ME, "me", 43, 43, 7), END);
		assert_false(subnet_overlaps(&waiting(r, STORE_CREATE)->lease->subnet, &original));
		answer_status(r, STORE_CREATE, STORE_UNAVAILABLE);
		until(r, STORE_LIST, 11000);
	}
}

/* With the same name too there is nothing to tell them apart before the other one speaks. */
static void test_copy_that_took_over_gives_back(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);

	answer_list(r, (uint64_t)100, lease("10.5.5.0-24", "192.0.2.8", ME, "me", 43, 43, 7), END);
	nobody_answers(r, 101);
	answer_written(r, STORE_UPDATE, 102, 0);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
	put(r, lease("10.5.5.0-24", "192.0.2.8", ME, "me", 43, 103, 7));
	assert_int_equal(state(r), MANAGER_CONFLICT);
	assert_contains(view(r).reason, "node id");
	assert_null(waiting(r, STORE_UPDATE));
	/* And so it stays, however often we look. */
	for (unsigned i = 0; i < 5; i++) {
		until(r, STORE_CREATE, 50000);
		answer_conflict(r, STORE_CREATE,
				lease("10.5.5.0-24", "192.0.2.8", ME, "me", 43, 103, 7));
		assert_int_equal(state(r), MANAGER_CONFLICT);
		assert_null(waiting(r, STORE_UPDATE));
	}
}

static void test_original_takes_it_back(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	put(r, lease("10.5.1.0-24", "192.0.2.8", ME, "me", 101, 110, 11));
	assert_int_equal(state(r), MANAGER_HELD);
	answer_written(r, STORE_UPDATE, 111, 0);
	put(r, mine("10.5.1.0-24", 101, 111, 11));
	assert_int_equal(state(r), MANAGER_HELD);
	/* But no war without end. */
	for (uint64_t i = 112; state(r) == MANAGER_HELD; i += 2) {
		assert_true(i < 130);
		put(r, lease("10.5.1.0-24", "192.0.2.8", ME, "me", 101, i, 11));
		if (waiting(r, STORE_UPDATE))
			answer_written(r, STORE_UPDATE, i + 1, 0);
	}
	assert_int_equal(state(r), MANAGER_CONFLICT);
}

/* A host whose address changes while it is down keeps its subnet. */
static void test_own_address_changed(void **unused)
{
	(void)unused;
	auto_rig r = started("10.5.5.0-24");

	answer_list(r, (uint64_t)100, lease("10.5.5.0-24", "192.0.2.8", ME, "old-name", 43, 43, 7),
		    END);
	nobody_answers(r, 101);
	assert_int_equal(waiting(r, STORE_UPDATE)->lease->public_v4.b[3], 1);
	assert_null(waiting(r, STORE_UPDATE)->lease->claim);
	answer_written(r, STORE_UPDATE, 102, 0);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
}

/* The lease that is ours expires between the list and its keepalive. */
static void test_adopted_lease_is_dead(void **unused)
{
	(void)unused;
	auto_rig r = started(NULL);

	answer_list(r, (uint64_t)100, mine("10.5.4.0-24", 30, 30, 4), END);
	for (unsigned i = 0; i < 8; i++) {
		answer_keepalive(r, STORE_ABSENT);
		assert_null(waiting(r, STORE_LIST)); /* not at once, again and again */
		until(r, STORE_LIST, 11000);
		answer_list(r, (uint64_t)100, mine("10.5.4.0-24", 30, 30, 4), END);
	}
	answer_keepalive(r, STORE_UNAVAILABLE);
	until(r, STORE_KEEPALIVE, 11000);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
}

/* Containers run on the subnet of the last known state; when the store is back it is another's. */
static void test_restored_subnet_is_not_given_up(void **unused)
{
	(void)unused;
	auto_rig r = rig_new(NULL);
	struct last_known known = { .config = xstrdup(CONFIG) };

	known.own = mine("10.5.1.0-24", 50, 50, 5);
	manager_set_last_known(r->m, &known, INT64_MAX);
	answer_status(r, STORE_CONFIG, STORE_UNAVAILABLE);
	assert_int_equal(r->configs, 1);
	manager_claim(r->m, r->now, r->attributes);
	assert_int_equal(r->owns, 1);
	assert_true(view(r).stale);
	until(r, STORE_LIST, 11000);
	answer_list(r, (uint64_t)100, theirs("10.5.1.0-24", 90, 90, 9), END);
	assert_false(view(r).stale);
	assert_subnet(waiting(r, STORE_CREATE)->lease, "10.5.1.0-24");
	answer_conflict(r, STORE_CREATE, theirs("10.5.1.0-24", 90, 90, 9));
	assert_int_equal(state(r), MANAGER_CONFLICT);
	assert_int_equal(r->watch_from, 101);
	deleted(r, "10.5.1.0-24", 101);
	until(r, STORE_CREATE, 100);
	answer_written(r, STORE_CREATE, 102, 11);
	put(r, mine("10.5.1.0-24", 102, 102, 11));
	assert_int_equal(state(r), MANAGER_HELD);
}

static void test_restored_subnet_is_still_ours(void **unused)
{
	(void)unused;
	auto_rig r = rig_new(NULL);
	struct last_known known = { .config = xstrdup(CONFIG) };

	known.own = mine("10.5.1.0-24", 50, 50, 5);
	manager_set_last_known(r->m, &known, INT64_MAX);
	answer_status(r, STORE_CONFIG, STORE_UNAVAILABLE);
	manager_claim(r->m, r->now, r->attributes);
	answer_list(r, (uint64_t)100, mine("10.5.1.0-24", 50, 50, 5), END);
	answer_conflict(r, STORE_CREATE, mine("10.5.1.0-24", 50, 50, 5));
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
}

/* The store was wiped while we were down, and our address is another now. */
static void test_restored_from_a_store_that_is_no_more(void **unused)
{
	(void)unused;
	auto_rig r = rig_new(NULL);
	struct last_known known = { .config = xstrdup(CONFIG) };

	known.own = lease("10.5.1.0-24", "192.0.2.8", ME, "me", 50, 50, 5);
	manager_set_last_known(r->m, &known, INT64_MAX);
	answer_status(r, STORE_CONFIG, STORE_UNAVAILABLE);
	manager_claim(r->m, r->now, r->attributes);
	answer_list(r, (uint64_t)20, theirs("10.5.7.0-24", 10, 10, 9),
		    lease("10.5.1.0-24", "192.0.2.8", ME, "me", 15, 15, 5), END);
	assert_int_equal(view(r).members_len, 2);
	answer_conflict(r, STORE_CREATE, lease("10.5.1.0-24", "192.0.2.8", ME, "me", 15, 15, 5));
	answer_written(r, STORE_UPDATE, 21, 0);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
}

/* All was without power; etcd came back later than we, and from a snapshot of before we moved. */
static void test_restored_and_the_store_too(void **unused)
{
	(void)unused;
	auto_rig r = rig_new(NULL);
	struct last_known known = { .config = xstrdup(CONFIG), .revision = 120 };

	known.own = mine("10.5.1.0-24", 50, 110, 5);
	known.peers = xmalloc(sizeof(*known.peers));
	known.peers[known.peers_len++] = lease("10.5.8.0-24", "192.0.2.7", NULL, NULL, 60, 60, 6);
	manager_set_last_known(r->m, &known, INT64_MAX);
	answer_status(r, STORE_CONFIG, STORE_UNAVAILABLE);
	manager_claim(r->m, r->now, r->attributes);
	answer_list(r, (uint64_t)117, lease("10.5.1.0-24", "192.0.2.8", ME, "me", 50, 50, 5), END);
	/* Its host will be heard of soon, whatever runs there. */
	assert_int_equal(view(r).kept, 1);
	answer_conflict(r, STORE_CREATE, lease("10.5.1.0-24", "192.0.2.8", ME, "me", 50, 50, 5));
	answer_written(r, STORE_UPDATE, 118, 0);
	answer_keepalive(r, STORE_OK);
	assert_int_equal(state(r), MANAGER_HELD);
}

static void test_config_that_changes_all_the_time(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	size_t before = count(r, STORE_CONFIG);

	for (unsigned i = 0; i < 1000; i++) {
		event(r, STORE_EVENT_CONFIG, 110 + i, NULL);
		tick(r, 10);
		if (waiting(r, STORE_CONFIG))
			answer_config(r, CONFIG);
	}
	assert_in_range(count(r, STORE_CONFIG) - before, 5, 40);
}

static void test_nothing_to_do_when_idle(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	size_t before = r->sent_len;

	/* An hour: 18 keepalives, 10 to 15 lists with as many reads of the configuration. */
	for (unsigned i = 0; i < 3600 * 10; i++) {
		tick(r, 100);
		if (waiting(r, STORE_KEEPALIVE))
			answer_keepalive(r, STORE_OK);
		if (waiting(r, STORE_CONFIG))
			answer_config(r, CONFIG);
		if (waiting(r, STORE_LIST))
			answer_list(r, (uint64_t)101, mine("10.5.1.0-24", 101, 101, 11),
				    theirs("10.5.9.0-24", 50, 50, 9), END);
	}
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(r->notes, 0);
	assert_in_range(r->sent_len - before, 17 + 20, 18 + 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_missing_invalid_then_good),
		cmocka_unit_test(test_config_rejected),
		cmocka_unit_test(test_config_changed_while_in_use),
		cmocka_unit_test(test_config_read_with_the_list),
		cmocka_unit_test(test_reuse_by_node_id),
		cmocka_unit_test(test_adopt_flannels),
		cmocka_unit_test(test_adopt_reservation),
		cmocka_unit_test(test_adopt_reservation_by_name),
		cmocka_unit_test(test_a_name_alone_is_no_lease),
		cmocka_unit_test(test_previous_subnet),
		cmocka_unit_test(test_previous_subnet_taken),
		cmocka_unit_test(test_previous_subnet_of_another_network),
		cmocka_unit_test(test_out_of_subnets),
		cmocka_unit_test(test_the_segment_of_the_underlay_is_avoided),
		cmocka_unit_test(test_lost_races),
		cmocka_unit_test(test_created),
		cmocka_unit_test(test_event_before_the_reply),
		cmocka_unit_test(test_yields_to_older_overlap),
		cmocka_unit_test(test_younger_overlap_is_no_reason_to_yield),
		cmocka_unit_test(test_own_flannel_lease_is_no_older_overlap),
		cmocka_unit_test(test_unknown_outcome_that_happened),
		cmocka_unit_test(test_unknown_outcome_that_did_not_happen),
		cmocka_unit_test(test_refused_claims_are_repeated_with_delay),
		cmocka_unit_test(test_verified_by_list_when_the_event_is_lost),
		cmocka_unit_test(test_created_and_deleted_before_it_was_seen),
		cmocka_unit_test(test_resync_before_verified),
		cmocka_unit_test(test_renewal),
		cmocka_unit_test(test_renewal_on_demand),
		cmocka_unit_test(test_runs_out_while_the_store_is_away),
		cmocka_unit_test(test_deleted_and_claimed_again),
		cmocka_unit_test(test_expired_says_the_keepalive),
		cmocka_unit_test(test_late_keepalive_reply),
		cmocka_unit_test(test_lost_then_unknown_create),
		cmocka_unit_test(test_another_host_took_it),
		cmocka_unit_test(test_flannel_took_it),
		cmocka_unit_test(test_another_host_wrote_over_it),
		cmocka_unit_test(test_overwritten_values),
		cmocka_unit_test(test_overwritten_twice),
		cmocka_unit_test(test_update_refused),
		cmocka_unit_test(test_rebound_and_reserved),
		cmocka_unit_test(test_rebound_during_keepalive),
		cmocka_unit_test(test_overlap_keeps_a_lost_lease_away),
		cmocka_unit_test(test_second_claim_yields_to_conflict),
		cmocka_unit_test(test_publish),
		cmocka_unit_test(test_publish_that_failed),
		cmocka_unit_test(test_publish_before_held),
		cmocka_unit_test(test_lost_during_update),
		cmocka_unit_test(test_resync),
		cmocka_unit_test(test_resync_again_and_again_is_slowed),
		cmocka_unit_test(test_departed_and_back),
		cmocka_unit_test(test_departed_for_good),
		cmocka_unit_test(test_departed_is_not_revived_by_old_news),
		cmocka_unit_test(test_departed_of_flannel_and_of_who_is_replaced),
		cmocka_unit_test(test_wiped),
		cmocka_unit_test(test_restored),
		cmocka_unit_test(test_taken_in_another_history),
		cmocka_unit_test(test_restored_to_before_we_moved),
		cmocka_unit_test(test_restored_again_and_again),
		cmocka_unit_test(test_list_of_an_earlier_time),
		cmocka_unit_test(test_wiped_before_verified),
		cmocka_unit_test(test_list_overtaken_by_events),
		cmocka_unit_test(test_events_older_than_the_list),
		cmocka_unit_test(test_anti_entropy),
		cmocka_unit_test(test_list_fails_and_comes_back),
		cmocka_unit_test(test_watch_lost_and_live),
		cmocka_unit_test(test_live_is_not_progress),
		cmocka_unit_test(test_junk),
		cmocka_unit_test(test_leftovers_of_own),
		cmocka_unit_test(test_address_twice),
		cmocka_unit_test(test_copied_disk_image),
		cmocka_unit_test(test_copied_disk_image_of_a_live_host),
		cmocka_unit_test(test_store_away_while_the_host_is_asked),
		cmocka_unit_test(test_asked_by_a_copy),
		cmocka_unit_test(test_copy_keeps_away_from_the_original),
		cmocka_unit_test(test_copy_that_took_over_gives_back),
		cmocka_unit_test(test_original_takes_it_back),
		cmocka_unit_test(test_own_address_changed),
		cmocka_unit_test(test_adopted_lease_is_dead),
		cmocka_unit_test(test_restored_subnet_is_not_given_up),
		cmocka_unit_test(test_restored_subnet_is_still_ours),
		cmocka_unit_test(test_restored_from_a_store_that_is_no_more),
		cmocka_unit_test(test_restored_and_the_store_too),
		cmocka_unit_test(test_config_that_changes_all_the_time),
		cmocka_unit_test(test_nothing_to_do_when_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
