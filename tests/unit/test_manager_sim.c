/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many managers on one simulated store, in simulated time: hosts start together, restart, are cut
 * off; requests fail, writes happen without anybody being told; keys are deleted, overwritten and
 * expire; strangers and junk appear. All from a seed, which is in the message of a failure.
 *
 * Checked: when faults have stopped, every host holds one subnet that nobody else has and knows
 * exactly the others; nothing is left over in the store; leases are renewed for ever; and nobody
 * asks the store more often than makes sense, at any time.
 */
#include "tests/unit/test.h"

#include <errno.h>

#include "subnet/manager.h"

#define NODES_MAX  16
#define PEERS_MAX  64
#define KEYS_MAX   64
#define HISTORY    8192
#define EVENTS_MAX 4096
#define TTL_S      60
#define ENTROPY_S  20
#define CONFIG                                                                                     \
	"{\"Network\":\"10.5.0.0/16\",\"SubnetLen\":26,\"SubnetMin\":\"10.5.0.64\",\"SubnetMax\":" \
	"\"10.5.16.0\"}"

/* ---- the store ---- */

struct change {
	uint64_t revision;
	enum store_event_type type;
	struct lease *lease; /* PUT, DELETE */
};

struct handle {
	int64_t id;
	int64_t expires_ms;
	int64_t ttl_s;
};

/* ---- what is on its way ---- */

enum message_kind { MESSAGE_REQUEST, MESSAGE_REPLY, MESSAGE_PUMP, MESSAGE_CLAIM, MESSAGE_LINK };

struct message {
	int64_t at_ms;
	enum message_kind kind;
	unsigned node;
	unsigned generation; /* of the node it is from or for: a restarted one gets nothing */
	uint64_t id;
	enum store_op op;
	int64_t ttl_s;
	struct lease *lease;
	struct store_reply reply;
};

/* ---- a host ---- */

struct node {
	struct world *world;
	struct manager *manager;
	unsigned number;
	unsigned generation;
	char id[20];
	struct lease *peers[PEERS_MAX]; /* as told */
	size_t peers_len;
	struct subnet own; /* as told */
	bool watching;
	bool connected;
	uint64_t watch_from;
	int64_t cut_until_ms;
	uint64_t requests;
};

struct world {
	uint64_t seed;
	uint64_t random;
	int64_t now_ms;
	bool faults;
	uint64_t revision;
	struct lease *keys[KEYS_MAX];
	size_t keys_len;
	struct handle handles[KEYS_MAX * 4];
	size_t handles_len;
	int64_t last_handle;
	struct change history[HISTORY];
	size_t history_len;
	struct message queue[EVENTS_MAX];
	size_t queue_len;
	struct node nodes[NODES_MAX];
	size_t nodes_len;
};

static unsigned below(struct world *w, unsigned limit)
{
	return (unsigned)(test_random(&w->random) % limit);
}

static bool chance(struct world *w, unsigned percent)
{
	return below(w, 100) < percent;
}

static struct message *post(struct world *w, enum message_kind kind, const struct node *n,
			    unsigned delay_ms)
{
	struct message *m;

	assert_true(w->queue_len < EVENTS_MAX);
	m = &w->queue[w->queue_len++];
	memset(m, 0, sizeof(*m));
	m->at_ms = w->now_ms + delay_ms;
	m->kind = kind;
	m->node = n->number;
	m->generation = n->generation;
	return m;
}

static void record(struct world *w, enum store_event_type type, const struct lease *lease)
{
	assert_true(w->history_len < HISTORY);
	w->history[w->history_len++] = (struct change){ ++w->revision, type, lease_copy(lease) };
	for (size_t i = 0; i < w->nodes_len; i++) {
		if (w->nodes[i].watching)
			post(w, MESSAGE_PUMP, &w->nodes[i], 1 + below(w, 40));
	}
}

static struct lease **store_find(struct world *w, const struct subnet *s)
{
	for (size_t i = 0; i < w->keys_len; i++) {
		if (subnet_equal(&w->keys[i]->subnet, s))
			return &w->keys[i];
	}
	return NULL;
}

static struct handle *handle_find(struct world *w, int64_t id)
{
	for (size_t i = 0; i < w->handles_len; i++) {
		if (w->handles[i].id == id)
			return &w->handles[i];
	}
	return NULL;
}

static int64_t handle_new(struct world *w, int64_t ttl_s)
{
	assert_true(w->handles_len < ARRAY_LEN(w->handles));
	w->handles[w->handles_len++] =
		(struct handle){ ++w->last_handle, w->now_ms + ttl_s * 1000, ttl_s };
	return w->last_handle;
}

static void store_put(struct world *w, const struct lease *value, int64_t handle)
{
	struct lease **slot = store_find(w, &value->subnet);
	struct lease *l = lease_copy(value);

	l->handle = handle;
	l->mod_revision = w->revision + 1;
	l->create_revision = slot ? (*slot)->create_revision : w->revision + 1;
	if (slot) {
		lease_free(*slot);
		*slot = l;
	} else {
		assert_true(w->keys_len < KEYS_MAX);
		w->keys[w->keys_len++] = l;
	}
	record(w, STORE_EVENT_PUT, l);
}

static void store_delete(struct world *w, struct lease **slot)
{
	struct lease gone = { .subnet = (*slot)->subnet };

	lease_free(*slot);
	*slot = w->keys[--w->keys_len];
	record(w, STORE_EVENT_DELETE, &gone);
}

static void handle_end(struct world *w, struct handle *h)
{
	int64_t id = h->id;

	*h = w->handles[--w->handles_len];
	for (size_t i = w->keys_len; i-- > 0;) {
		if (w->keys[i]->handle == id)
			store_delete(w, &w->keys[i]);
	}
}

static void store_expire(struct world *w)
{
	for (size_t i = w->handles_len; i-- > 0;) {
		if (w->handles[i].expires_ms <= w->now_ms)
			handle_end(w, &w->handles[i]);
	}
}

static void answer_list(struct world *w, struct store_reply *reply)
{
	reply->leases = xcalloc(w->keys_len, sizeof(*reply->leases));
	for (size_t i = 0; i < w->keys_len; i++)
		reply->leases[reply->leases_len++] = lease_copy(w->keys[i]);
	/* As a store does that has nothing to show. */
	if (reply->leases_len == 0)
		free(STEAL(reply->leases));
	reply->junk = xcalloc(1, sizeof(*reply->junk));
	reply->junk[0] = (struct store_junk){ xstrdup("junk"), xstrdup("not a subnet key") };
	reply->junk_len = 1;
}

static void answer(struct world *w, const struct message *request, struct store_reply *reply)
{
	struct lease **slot = request->lease ? store_find(w, &request->lease->subnet) : NULL;
	struct handle *h;

	reply->status = STORE_OK;
	switch (request->op) {
	case STORE_CONFIG:
		reply->config = xstrdup(CONFIG);
		reply->config_size = strlen(CONFIG);
		reply->config_revision = 1;
		break;
	case STORE_LIST:
		answer_list(w, reply);
		break;
	case STORE_CREATE:
		if (slot) {
			reply->status = STORE_CONFLICT;
			reply->holder = lease_copy(*slot);
			break;
		}
		store_put(w, request->lease, handle_new(w, request->ttl_s));
		reply->holder = lease_copy(*store_find(w, &request->lease->subnet));
		reply->ttl_s = request->ttl_s;
		break;
	case STORE_UPDATE:
		if (!slot || (*slot)->mod_revision != request->lease->mod_revision) {
			reply->status = STORE_CONFLICT;
			reply->holder = slot ? lease_copy(*slot) : NULL;
			break;
		}
		store_put(w, request->lease, (*slot)->handle);
		reply->holder = lease_copy(*store_find(w, &request->lease->subnet));
		break;
	case STORE_KEEPALIVE:
		h = handle_find(w, request->lease->handle);
		if (!h) {
			reply->status = STORE_ABSENT;
			break;
		}
		h->expires_ms = w->now_ms + h->ttl_s * 1000;
		reply->ttl_s = h->ttl_s;
		break;
	case STORE_REMOVE:
		if (slot && (*slot)->mod_revision == request->lease->mod_revision)
			store_delete(w, slot);
		else
			reply->status = STORE_CONFLICT;
		break;
	default:
		fail_msg("the manager asked for %s", store_op_name(request->op));
	}
	reply->revision = w->revision;
	if (reply->status != STORE_OK)
		err_set(&reply->err, -EIO, "%s: %s", store_op_name(request->op),
			store_status_name(reply->status));
}

static void fail_reply(struct store_reply *reply, enum store_status status)
{
	store_reply_fini(reply);
	reply->status = status;
	err_set(&reply->err, -EIO, "simulated: %s", store_status_name(status));
}

static bool is_write(enum store_op op)
{
	return op == STORE_CREATE || op == STORE_UPDATE || op == STORE_REMOVE;
}

static void request_arrives(struct world *w, const struct message *request)
{
	struct node *n = &w->nodes[request->node];
	struct message *m = post(w, MESSAGE_REPLY, n, 1 + below(w, 30));

	m->id = request->id;
	m->generation = request->generation;
	if (w->now_ms < n->cut_until_ms || (w->faults && chance(w, 4))) {
		fail_reply(&m->reply, STORE_UNAVAILABLE);
		m->at_ms += 50;
	} else if (w->faults && is_write(request->op) && chance(w, 8)) {
		if (chance(w, 50)) {
			struct store_reply unseen = { 0 };

			answer(w, request, &unseen);
			store_reply_fini(&unseen);
		}
		/* post() may have moved nothing, but answer() posts too: look the reply up again.
		 */
		for (size_t i = 0; i < w->queue_len; i++) {
			if (w->queue[i].kind == MESSAGE_REPLY && w->queue[i].id == request->id &&
			    w->queue[i].node == request->node &&
			    w->queue[i].generation == request->generation)
				fail_reply(&w->queue[i].reply, STORE_UNKNOWN);
		}
	} else {
		struct store_reply reply = { 0 };

		answer(w, request, &reply);
		m->reply = reply;
	}
}

/* ---- what a manager asks of its host ---- */

/* With VERBOSE in the environment the whole story is told. */
static void trace(const struct node *n, const char *what, uint64_t id, const char *name)
{
	if (getenv("VERBOSE"))
		fprintf(stderr, "%10ld %s %s %lu: %s\n", (long)n->world->now_ms, n->id, what, id,
			name);
}

static void on_submit(void *arg, uint64_t id, const struct store_request *request)
{
	struct node *n = arg;
	struct message *m = post(n->world, MESSAGE_REQUEST, n, 1 + below(n->world, 30));

	m->id = id;
	m->op = request->op;
	m->ttl_s = request->ttl_s;
	m->lease = request->lease ? lease_copy(request->lease) : NULL;
	n->requests++;
	trace(n, "request", id, store_op_name(request->op));
}

static void on_watch(void *arg, uint64_t from_revision)
{
	struct node *n = arg;

	n->watching = from_revision != 0;
	n->connected = false;
	n->watch_from = from_revision;
	if (n->watching)
		post(n->world, MESSAGE_LINK, n, 1 + below(n->world, 30));
}

static void on_config(void *arg, const struct network_config *config)
{
	struct node *n = arg;

	assert_true(config->v4.enabled);
	post(n->world, MESSAGE_CLAIM, n, 1);
}

static void on_peer(void *arg, struct manager_member *member, bool gone)
{
	struct node *n = arg;
	size_t i;

	for (i = 0; i < n->peers_len; i++) {
		if (subnet_equal(&n->peers[i]->subnet, &member->lease->subnet))
			break;
	}
	if (gone) {
		if (i == n->peers_len)
			fail_msg("seed %lu: a peer is gone that never came", n->world->seed);
		lease_free(n->peers[i]);
		n->peers[i] = n->peers[--n->peers_len];
		return;
	}
	assert_true(n->peers_len < PEERS_MAX);
	if (i == n->peers_len)
		n->peers_len++;
	else
		lease_free(n->peers[i]);
	n->peers[i] = lease_copy(member->lease);
}

static void on_own(void *arg, const struct lease *own)
{
	struct node *n = arg;

	n->own = own->subnet;
}

static void on_note(void *arg, enum log_level level, const char *event, const char *text)
{
	struct node *n = arg;

	if (getenv("VERBOSE"))
		fprintf(stderr, "%10ld %s %s %s: %s\n", (long)n->world->now_ms, n->id,
			log_level_name(level), event, text);
}

static const struct manager_ops node_ops = {
	.submit = on_submit,
	.watch = on_watch,
	.config = on_config,
	.peer = on_peer,
	.own = on_own,
	.note = on_note,
};

static struct lease *attributes(const struct node *n)
{
	struct lease *l = lease_new();

	l->public_v4 = ip_addr_from_u128(AF_INET, 0xc0000200 + n->number);
	l->backend_type = xstrdup("vxlan");
	l->backend_data = xasprintf("{\"VNI\":1,\"VtepMAC\":\"02:00:00:00:00:%02x\"}", n->number);
	return l;
}

static void node_forget(struct node *n)
{
	while (n->peers_len > 0)
		lease_free(n->peers[--n->peers_len]);
	manager_free(STEAL(n->manager));
	n->watching = n->connected = false;
	n->generation++;
}

static void node_start(struct node *n, const struct subnet *previous)
{
	struct manager_options options = { .node_id = n->id,
					   .node_name = n->id,
					   .previous = *previous,
					   .ttl_s = TTL_S,
					   .renew_margin_s = 10,
					   .anti_entropy_s = ENTROPY_S,
					   .seed = test_random(&n->world->random) };

	n->manager = manager_new(&options, &node_ops, n);
	manager_start(n->manager, n->world->now_ms);
}

/* ---- time ---- */

static void pump(struct world *w, struct node *n)
{
	if (!n->watching || !n->connected)
		return;
	for (size_t i = 0; i < w->history_len && n->watching; i++) {
		const struct change *c = &w->history[i];
		struct store_event event = { .type = c->type, .revision = c->revision };

		if (c->revision < n->watch_from)
			continue;
		event.lease = lease_copy(c->lease);
		n->watch_from = c->revision + 1;
		manager_event(n->manager, w->now_ms, &event);
		lease_free(event.lease);
	}
}

/* The connection of a watch comes or goes. */
static void link_changes(struct world *w, struct node *n)
{
	struct store_event event = { .revision = 0, .reason = "simulated" };

	if (!n->watching)
		return;
	if (w->now_ms < n->cut_until_ms) {
		if (n->connected) {
			event.type = STORE_EVENT_LOST;
			n->connected = false;
			manager_event(n->manager, w->now_ms, &event);
		}
		post(w, MESSAGE_LINK, n,
		     (unsigned)(n->cut_until_ms - w->now_ms) + 1 + below(w, 50));
		return;
	}
	if (n->connected)
		return;
	if (w->faults && chance(w, 20)) {
		event.type = STORE_EVENT_RESYNC;
		n->watching = false;
		manager_event(n->manager, w->now_ms, &event);
		return;
	}
	event.type = STORE_EVENT_LIVE;
	n->connected = true;
	manager_event(n->manager, w->now_ms, &event);
	pump(w, n);
}

static void deliver(struct world *w, struct message *m)
{
	struct node *n = &w->nodes[m->node];

	if (m->kind == MESSAGE_REQUEST) {
		/* On its way already: it arrives even if its sender has ended. */
		request_arrives(w, m);
	} else if (m->generation == n->generation && n->manager) {
		switch (m->kind) {
		case MESSAGE_REPLY:
			trace(n, "reply", m->id, store_status_name(m->reply.status));
			manager_reply(n->manager, w->now_ms, m->id, &m->reply);
			break;
		case MESSAGE_PUMP:
			pump(w, n);
			break;
		case MESSAGE_CLAIM: {
			auto_lease struct lease *l = attributes(n);

			manager_claim(n->manager, w->now_ms, l);
			break;
		}
		case MESSAGE_LINK:
			link_changes(w, n);
			break;
		case MESSAGE_REQUEST:
			break;
		}
	}
	lease_free(m->lease);
	store_reply_fini(&m->reply);
}

/* Runs until `until_ms`; every deadline and message at its time. */
static void run(struct world *w, int64_t until_ms)
{
	unsigned spins = 0;

	for (;;) {
		int64_t next = until_ms;
		size_t first = w->queue_len;
		struct node *due = NULL;

		for (size_t i = 0; i < w->queue_len; i++) {
			if (w->queue[i].at_ms < next) {
				next = w->queue[i].at_ms;
				first = i;
			}
		}
		for (size_t i = 0; i < w->nodes_len; i++) {
			if (w->nodes[i].manager && manager_deadline(w->nodes[i].manager) < next) {
				next = manager_deadline(w->nodes[i].manager);
				due = &w->nodes[i];
			}
		}
		for (size_t i = 0; i < w->handles_len; i++) {
			if (w->handles[i].expires_ms < next) {
				w->now_ms = MAX(w->now_ms, w->handles[i].expires_ms);
				store_expire(w);
				next = -1;
				break;
			}
		}
		if (next == -1)
			continue;
		if (!due && first == w->queue_len)
			break;
		spins = next > w->now_ms ? 0 : spins + 1;
		if (spins > 10000)
			fail_msg("seed %lu: time stands still at %ld ms", w->seed, (long)w->now_ms);
		w->now_ms = MAX(w->now_ms, next);
		if (due) {
			manager_tick(due->manager, w->now_ms);
		} else {
			struct message m = w->queue[first];

			w->queue[first] = w->queue[--w->queue_len];
			deliver(w, &m);
		}
	}
	w->now_ms = until_ms;
}

static void world_init(struct world *w, uint64_t seed, size_t nodes_len)
{
	memset(w, 0, sizeof(*w));
	w->seed = seed;
	w->random = seed * 0x9e3779b97f4a7c15u + 7;
	w->now_ms = 1000000;
	w->revision = 5;
	w->nodes_len = nodes_len;
	for (unsigned i = 0; i < nodes_len; i++) {
		struct node *n = &w->nodes[i];

		n->world = w;
		n->number = i;
		snprintf(n->id, sizeof(n->id), "node-%02u", i);
	}
}

static void world_fini(struct world *w)
{
	for (size_t i = 0; i < w->nodes_len; i++)
		node_forget(&w->nodes[i]);
	for (size_t i = 0; i < w->queue_len; i++) {
		lease_free(w->queue[i].lease);
		store_reply_fini(&w->queue[i].reply);
	}
	for (size_t i = 0; i < w->keys_len; i++)
		lease_free(w->keys[i]);
	for (size_t i = 0; i < w->history_len; i++)
		lease_free(w->history[i].lease);
}

static const char *state_text(const struct node *n)
{
	static char text[600];
	struct manager_view v;

	manager_view(n->manager, &v);
	snprintf(text, sizeof(text), "%s is %s: %s", n->id, manager_state_name(v.state), v.reason);
	return text;
}

/* One node's own lease, what it knows of others, and what the store has. */
static void check_node(struct world *w, const struct node *n)
{
	struct manager_view v;
	struct lease **own;
	size_t others = 0;
	size_t mine = 0;

	manager_view(n->manager, &v);
	if (v.state == MANAGER_CONFLICT) {
		/* Allowed only if it is true. */
		own = store_find(w, &v.own->subnet);
		if (!own || strcmp((*own)->node_id ? (*own)->node_id : "", n->id) == 0)
			fail_msg("seed %lu: %s, but nobody else has it", w->seed, state_text(n));
		return;
	}
	if (v.state != MANAGER_HELD)
		fail_msg("seed %lu: %s", w->seed, state_text(n));
	if (v.reason[0])
		fail_msg("seed %lu: %s", w->seed, state_text(n));
	own = store_find(w, &v.own->subnet);
	if (!own)
		fail_msg("seed %lu: %s holds what is not in the store", w->seed, n->id);
	if (!(*own)->node_id || strcmp((*own)->node_id, n->id) != 0)
		fail_msg("seed %lu: %s holds what is %s's", w->seed, n->id, (*own)->node_id);
	if ((*own)->handle != v.own->handle || (*own)->mod_revision != v.own->mod_revision)
		fail_msg("seed %lu: %s knows an old form of its lease", w->seed, n->id);
	assert_true(subnet_equal(&n->own, &v.own->subnet));
	for (size_t i = 0; i < w->keys_len; i++) {
		bool known = false;

		if (&w->keys[i] == own) {
			mine++;
			continue;
		}
		if (w->keys[i]->node_id && strcmp(w->keys[i]->node_id, n->id) == 0)
			mine++;
		others++;
		for (size_t k = 0; k < n->peers_len; k++)
			known |= lease_equal(n->peers[k], w->keys[i]);
		if (!known)
			fail_msg("seed %lu: %s does not know a peer as it is", w->seed, n->id);
	}
	if (mine != 1)
		fail_msg("seed %lu: %zu leases of %s are in the store", w->seed, mine, n->id);
	if (n->peers_len != others)
		fail_msg("seed %lu: %s knows %zu peers of %zu", w->seed, n->id, n->peers_len,
			 others);
	if (v.junk_len != 1)
		fail_msg("seed %lu: %s counts %zu unreadable keys", w->seed, n->id, v.junk_len);
	assert_true(v.watch_live);
}

static void check_all(struct world *w)
{
	for (size_t i = 0; i < w->nodes_len; i++)
		check_node(w, &w->nodes[i]);
	for (size_t i = 0; i < w->keys_len; i++) {
		for (size_t k = 0; k < i; k++)
			assert_false(subnet_overlaps(&w->keys[i]->subnet, &w->keys[k]->subnet));
	}
}

/* From now on nothing happens but renewals: same subnets, few requests, nothing lost. */
static void check_calm(struct world *w)
{
	struct manager_view before[NODES_MAX] = { 0 };
	struct subnet own[NODES_MAX];
	uint64_t requests[NODES_MAX];
	int64_t hour = 3600 * 1000;

	for (size_t i = 0; i < w->nodes_len; i++) {
		manager_view(w->nodes[i].manager, &before[i]);
		own[i] = w->nodes[i].own;
		requests[i] = w->nodes[i].requests;
	}
	run(w, w->now_ms + hour);
	check_all(w);
	for (size_t i = 0; i < w->nodes_len; i++) {
		struct manager_view v;

		manager_view(w->nodes[i].manager, &v);
		if (v.lost_total != before[i].lost_total)
			fail_msg("seed %lu: %s lost its lease in peace", w->seed, w->nodes[i].id);
		assert_true(subnet_equal(&own[i], &w->nodes[i].own));
		/* A renewal each TTL / 3 and a list each anti-entropy interval, with some air. */
		if (w->nodes[i].requests - requests[i] >
		    3600 / (TTL_S / 3) * 2 + 3600 / ENTROPY_S * 2)
			fail_msg("seed %lu: %s made %lu requests in an hour of peace", w->seed,
				 w->nodes[i].id, w->nodes[i].requests - requests[i]);
	}
}

static void test_hosts_that_start_together(void **state)
{
	(void)state;
	auto_free struct world *w = xmalloc(sizeof(*w));
	const struct subnet none = { 0 };

	for (uint64_t seed = 1; seed <= 50; seed++) {
		world_init(w, seed, 1 + seed % NODES_MAX);
		for (size_t i = 0; i < w->nodes_len; i++)
			node_start(&w->nodes[i], &none);
		run(w, w->now_ms + 10000);
		check_all(w);
		for (size_t i = 0; i < w->nodes_len; i++) {
			if (w->nodes[i].requests > 20)
				fail_msg("seed %lu: %s needed %lu requests to start", seed,
					 w->nodes[i].id, w->nodes[i].requests);
		}
		check_calm(w);
		world_fini(w);
	}
}

/* All want the same subnet, as after a copied disk image. One gets it, the others another one. */
static void test_hosts_that_want_the_same(void **state)
{
	(void)state;
	auto_free struct world *w = xmalloc(sizeof(*w));
	const struct subnet wanted = { .v4 = test_net("10.5.3.0/26") };

	for (uint64_t seed = 1; seed <= 50; seed++) {
		size_t got_it = 0;

		world_init(w, seed, NODES_MAX);
		for (size_t i = 0; i < w->nodes_len; i++)
			node_start(&w->nodes[i], &wanted);
		run(w, w->now_ms + 10000);
		check_all(w);
		for (size_t i = 0; i < w->nodes_len; i++)
			got_it += subnet_equal(&w->nodes[i].own, &wanted);
		assert_int_equal(got_it, 1);
		world_fini(w);
	}
}

static void test_a_restart_keeps_the_subnet(void **state)
{
	(void)state;
	auto_free struct world *w = xmalloc(sizeof(*w));
	const struct subnet none = { 0 };

	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct subnet before[NODES_MAX];
		uint64_t revision;

		world_init(w, seed, 8);
		for (size_t i = 0; i < w->nodes_len; i++)
			node_start(&w->nodes[i], &none);
		run(w, w->now_ms + 10000);
		revision = w->revision;
		for (size_t i = 0; i < w->nodes_len; i++) {
			before[i] = w->nodes[i].own;
			node_forget(&w->nodes[i]);
			/* With and without subnet.env. */
			node_start(&w->nodes[i], seed & 1 ? &none : &before[i]);
		}
		run(w, w->now_ms + 10000);
		check_all(w);
		for (size_t i = 0; i < w->nodes_len; i++)
			assert_true(subnet_equal(&before[i], &w->nodes[i].own));
		/* The others were not even told. */
		assert_int_equal(w->revision, revision);
		world_fini(w);
	}
}

/* A lease that is gone is claimed again, the same subnet, without stopping anything. */
static void test_a_lost_lease_is_claimed_again(void **state)
{
	(void)state;
	auto_free struct world *w = xmalloc(sizeof(*w));
	const struct subnet none = { 0 };

	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct subnet before;
		struct manager_view v;

		world_init(w, seed, 4);
		for (size_t i = 0; i < w->nodes_len; i++)
			node_start(&w->nodes[i], &none);
		run(w, w->now_ms + 10000);
		before = w->nodes[0].own;
		if (seed & 1)
			store_delete(w, store_find(w, &before));
		else
			handle_end(w, handle_find(w, (*store_find(w, &before))->handle));
		run(w, w->now_ms + 10000);
		check_all(w);
		assert_true(subnet_equal(&before, &w->nodes[0].own));
		manager_view(w->nodes[0].manager, &v);
		assert_int_equal(v.lost_total, 1);
		check_calm(w);
		world_fini(w);
	}
}

/* Cut off for longer than the lease lives: it expires, and comes back with the connection. */
static void test_cut_off_for_long(void **state)
{
	(void)state;
	auto_free struct world *w = xmalloc(sizeof(*w));
	const struct subnet none = { 0 };

	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct subnet before;
		size_t peers_before;
		uint64_t requests;

		world_init(w, seed, 4);
		for (size_t i = 0; i < w->nodes_len; i++)
			node_start(&w->nodes[i], &none);
		run(w, w->now_ms + 10000);
		before = w->nodes[0].own;
		peers_before = w->nodes[0].peers_len;
		requests = w->nodes[0].requests;
		w->nodes[0].cut_until_ms = w->now_ms + 10 * TTL_S * 1000;
		post(w, MESSAGE_LINK, &w->nodes[0], 1);
		run(w, w->nodes[0].cut_until_ms);
		assert_null(store_find(w, &before));
		/* The data plane has not noticed. */
		assert_int_equal(w->nodes[0].peers_len, peers_before);
		/* Ten minutes: not more than a few requests a second. */
		assert_in_range(w->nodes[0].requests - requests, 10, 600 * 3);
		run(w, w->now_ms + 30000);
		check_all(w);
		assert_true(subnet_equal(&before, &w->nodes[0].own));
		world_fini(w);
	}
}

/* A person or a program writes into the store what it should not. */
static void meddle(struct world *w)
{
	struct lease **slot = w->keys_len ? &w->keys[below(w, (unsigned)w->keys_len)] : NULL;
	auto_lease struct lease *l = NULL;

	switch (below(w, 7)) {
	case 0:
		if (slot)
			store_delete(w, slot);
		break;
	case 1:
		if (w->handles_len)
			handle_end(w, &w->handles[below(w, (unsigned)w->handles_len)]);
		break;
	case 2: /* overwrites a value with flannel's idea of it, sometimes with another lease */
		if (slot) {
			l = lease_copy(*slot);
			free(STEAL(l->node_id));
			free(STEAL(l->node_name));
			store_put(w, l, chance(w, 50) ? (*slot)->handle : handle_new(w, TTL_S * 3));
		}
		break;
	case 3: /* a stranger's lease, which expires some day */
		if (w->keys_len < KEYS_MAX - 2 * NODES_MAX) {
			l = lease_new();
			l->subnet.v4 = (struct ip_net){
				ip_addr_from_u128(AF_INET, 0x0a050000 + (1 + below(w, 60)) * 64), 26
			};
			l->public_v4 = ip_addr_from_u128(AF_INET, 0xc6336400 + below(w, 200));
			l->backend_type = xstrdup("vxlan");
			if (!store_find(w, &l->subnet))
				store_put(w, l, handle_new(w, TTL_S));
		}
		break;
	case 4: /* makes a reservation of a lease */
		if (slot) {
			l = lease_copy(*slot);
			store_put(w, l, 0);
		}
		break;
	case 5: /* takes a host's key for another one, which then goes away */
		if (slot && (*slot)->handle) {
			l = lease_copy(*slot);
			free(l->node_id);
			l->node_id = xstrdup("thief");
			l->public_v4 = test_addr("203.0.113.7");
			store_put(w, l, handle_new(w, TTL_S));
		}
		break;
	default: /* touches a value without changing it */
		if (slot) {
			l = lease_copy(*slot);
			store_put(w, l, l->handle);
		}
		break;
	}
}

static void test_when_faults_stop_everybody_is_right(void **state)
{
	(void)state;
	auto_free struct world *w = xmalloc(sizeof(*w));
	const struct subnet none = { 0 };

	for (uint64_t seed = 1; seed <= 80; seed++) {
		int64_t begin;

		world_init(w, seed, 2 + seed % 7);
		w->faults = true;
		begin = w->now_ms;
		for (size_t i = 0; i < w->nodes_len; i++)
			node_start(&w->nodes[i], &none);
		for (unsigned step = 0; step < 120; step++) {
			struct node *n = &w->nodes[below(w, (unsigned)w->nodes_len)];

			run(w, w->now_ms + below(w, 8000));
			switch (below(w, 4)) {
			case 0:
				n->cut_until_ms = w->now_ms + below(w, 2 * TTL_S * 1000);
				post(w, MESSAGE_LINK, n, 1);
				break;
			case 1: {
				struct subnet previous = chance(w, 50) ? n->own : none;

				node_forget(n);
				node_start(n, &previous);
				break;
			}
			default:
				meddle(w);
				break;
			}
		}
		/* Even in the worst of times nobody hammers the store. */
		for (size_t i = 0; i < w->nodes_len; i++) {
			uint64_t seconds = (uint64_t)(w->now_ms - begin) / 1000;

			if (w->nodes[i].requests > seconds * 4)
				fail_msg("seed %lu: %s made %lu requests in %lu s", seed,
					 w->nodes[i].id, w->nodes[i].requests, seconds);
		}
		w->faults = false;
		for (size_t i = 0; i < w->nodes_len; i++)
			w->nodes[i].cut_until_ms = 0;
		/* Long enough for what strangers left to expire and for two rounds of anti-entropy.
		 */
		run(w, w->now_ms + 5 * TTL_S * 1000);
		check_all(w);
		check_calm(w);
		world_fini(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts_that_start_together),
		cmocka_unit_test(test_hosts_that_want_the_same),
		cmocka_unit_test(test_a_restart_keeps_the_subnet),
		cmocka_unit_test(test_a_lost_lease_is_claimed_again),
		cmocka_unit_test(test_cut_off_for_long),
		cmocka_unit_test(test_when_faults_stop_everybody_is_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
