/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host: the real manager, and between it and the store a network that does what networks do.
 *
 * The client side stands for stores/etcd/etcd_store.c, seen from the manager: a request ends once,
 * by an answer or by time; a write whose answer is lost is UNKNOWN; a dead stream is noticed within
 * 25 s and opened again with growing pauses, and before it is, cluster and revision are compared.
 */
#include "tests/sim/world.h"

#include <errno.h>

/* A request on its way, and then its answer. */
struct call {
	unsigned refs;
	struct host *host;
	uint64_t life;
	uint64_t id;
	enum store_op op;
	struct lease *lease;
	int64_t ttl_s;
	int64_t sent_at;
	uint64_t cluster;
	bool answered;
	struct store_reply reply;
};

static void call_unref(void *data)
{
	struct call *c = data;

	if (--c->refs > 0)
		return;
	store_reply_fini(&c->reply);
	lease_free(c->lease);
	free(c);
}

static void plan_tick(struct host *h);

static void after(struct host *h)
{
	check_host(h);
	plan_tick(h);
}

bool host_reachable(const struct host *h)
{
	return !h->cut && !h->w->store_down;
}

void host_disturbed(struct host *h)
{
	h->disturbed_at = h->w->now;
}

/* ---- requests ---- */

static void deliver(struct world *w, struct item *item)
{
	struct call *c = item->data;
	struct host *h = c->host;

	if (!c->answered) {
		c->answered = true;
		h->in_flight--;
		if (c->reply.status == STORE_OK || c->reply.status == STORE_CONFLICT)
			h->cluster = c->cluster;
		world_trace(w, h, "<- %s %s revision %llu", store_op_name(c->op),
			    store_status_name(c->reply.status),
			    (unsigned long long)c->reply.revision);
		manager_reply(h->m, w->now, c->id, &c->reply);
		after(h);
	}
	call_unref(c);
}

static bool is_write(enum store_op op)
{
	return op == STORE_CREATE || op == STORE_UPDATE || op == STORE_BIND || op == STORE_REMOVE;
}

/* No answer will come: the client notices when its patience ends. */
static void fail_call(struct world *w, struct call *c, enum store_status status, int64_t at)
{
	store_reply_fini(&c->reply);
	c->reply.status = status;
	err_set(&c->reply.err, -EIO, "%s: %s", store_op_name(c->op),
		status == STORE_UNKNOWN ? "no answer, the outcome is unknown" : "no answer");
	if (c->host->life != c->life)
		call_unref(c);
	else
		world_plan_data(w, MAX(at, w->now), c->host, deliver, c, call_unref);
}

static void answer_lost(struct world *w, struct call *c)
{
	fail_call(w, c, is_write(c->op) ? STORE_UNKNOWN : STORE_UNAVAILABLE,
		  c->sent_at + CALL_LIMIT);
}

/* The request is at the store. It does not matter to it whether its sender still lives. */
static void arrive(struct world *w, struct item *item)
{
	struct call *c = item->data;
	struct store_request request = { .op = c->op, .lease = c->lease, .ttl_s = c->ttl_s };
	struct store_reply reply;

	if (c->host->cut || w->store_down) {
		answer_lost(w, c);
		return;
	}
	mem_db_execute(w->db, w->now, &request, (int64_t)(world_random(w) >> 1) | 1, &reply);
	world_store_changed(w);
	if (w->dead_keepalives && c->op == STORE_KEEPALIVE && reply.status == STORE_ABSENT) {
		reply.status = STORE_OK;
		reply.ttl_s = c->ttl_s;
	}
	if (c->host->life != c->life || c->answered) {
		store_reply_fini(&reply);
		call_unref(c);
	} else if (world_chance(w, w->loss_permille)) {
		store_reply_fini(&reply);
		answer_lost(w, c);
	} else {
		c->reply = reply;
		c->cluster = w->cluster;
		world_plan_data(w, w->now + world_delay(w), c->host, deliver, c, call_unref);
	}
}

static void on_submit(void *arg, uint64_t id, const struct store_request *request)
{
	struct host *h = arg;
	struct world *w = h->w;
	struct call *c = xcalloc(1, sizeof(*c));
	char key[SUBNET_KEY_TEXT] = "";

	if (request->lease && w->trace)
		subnet_format(&request->lease->subnet, key);
	world_trace(w, h, "-> %s %s", store_op_name(request->op), key);
	*c = (struct call){ .refs = 1,
			    .host = h,
			    .life = h->life,
			    .id = id,
			    .op = request->op,
			    .lease = request->lease ? lease_copy(request->lease) : NULL,
			    .ttl_s = request->ttl_s,
			    .sent_at = w->now };
	h->requests++;
	h->in_flight++;
	if (w->store_down && !w->store_hangs && !h->cut) {
		/* Connection refused: nothing has happened, and we know at once. */
		fail_call(w, c, STORE_UNAVAILABLE, w->now + world_delay(w));
	} else if (!host_reachable(h) || world_chance(w, w->loss_permille)) {
		answer_lost(w, c);
	} else if (is_write(c->op) && world_chance(w, w->zombie_permille)) {
		/* Held up somewhere: it comes when its sender has long given it up. */
		struct call *copy = xcalloc(1, sizeof(*copy));

		*copy = *c;
		copy->lease = lease_copy(c->lease);
		copy->answered = true;
		world_plan_data(w, w->now + (int64_t)world_below(w, 40 * SECOND), NULL, arrive,
				copy, call_unref);
		answer_lost(w, c);
	} else {
		world_plan_data(w, w->now + world_delay(w), NULL, arrive, c, call_unref);
	}
}

/* ---- the stream of changes ---- */

static void watch_event(struct host *h, struct store_event *event)
{
	manager_event(h->m, h->w->now, event);
	lease_free(event->lease);
}

static void open_stream(struct world *w, struct item *item);

static const struct backoff_policy retry = { .min_ms = 100, .max_ms = 10000 };

static void stream_lost(struct host *h, const char *reason)
{
	struct world *w = h->w;
	struct store_event lost = { .type = STORE_EVENT_LOST, .reason = reason };
	int64_t wait = backoff_next_spread(&h->watch.backoff, &retry, w->now, world_random(w));

	h->watch.connected = h->watch.silent = h->watch.planned = false;
	h->watch.epoch++;
	world_plan(w, w->now + wait, h, open_stream, h->watch.epoch);
	world_trace(w, h, "watch lost: %s", reason);
	watch_event(h, &lost);
	after(h);
}

static void resync(struct host *h, const char *reason)
{
	struct store_event event = { .type = STORE_EVENT_RESYNC, .reason = reason };

	h->watch.wanted = h->watch.connected = h->watch.planned = false;
	h->watch.epoch++;
	world_trace(h->w, h, "watch ended: %s", reason);
	watch_event(h, &event);
	after(h);
}

static void tell_change(struct host *h, const struct mem_entry *e, uint64_t revision)
{
	struct store_event event;

	if (!mem_db_event(e, &event))
		return;
	event.revision = revision;
	world_trace(h->w, h, "told %llu %s%s", (unsigned long long)revision, e->key,
		    e->value ? "" : " deleted");
	watch_event(h, &event);
}

static bool changes_again(const struct mem_db *db, uint64_t position)
{
	const struct mem_entry *e = mem_db_change(db, position);
	const struct mem_entry *later;

	while ((later = mem_db_change(db, ++position))) {
		if (strcmp(later->key, e->key) == 0)
			return true;
	}
	return false;
}

/* All that is new at once: of a key the last, what came before what is gone, and of that nobody knows when it went. */
static void tell_difference(struct host *h, uint64_t epoch)
{
	const struct mem_db *db = h->w->db;
	uint64_t newest = mem_db_revision(db);
	uint64_t from = h->watch.position;
	const struct mem_entry *e;

	for (unsigned gone = 0; gone < 2; gone++) {
		for (uint64_t at = from; h->watch.epoch == epoch && (e = mem_db_change(db, at));
		     at++) {
			h->watch.position = MAX(h->watch.position, at + 1);
			if (gone == !e->value && !changes_again(db, at))
				tell_change(h, e, gone ? newest : e->mod_revision);
		}
	}
	if (h->watch.epoch == epoch)
		h->watch.next_revision = newest + 1;
}

static void tell_some(struct host *h, uint64_t epoch, unsigned batch)
{
	struct world *w = h->w;
	const struct mem_entry *e;

	if (w->duplicates && world_chance(w, 200) && h->watch.position > 0 &&
	    mem_db_change(w->db, h->watch.position - 1))
		h->watch.position--;
	while (batch-- > 0 && h->watch.epoch == epoch &&
	       (e = mem_db_change(w->db, h->watch.position))) {
		h->watch.position++;
		h->watch.next_revision = MAX(h->watch.next_revision, e->mod_revision + 1);
		tell_change(h, e, e->mod_revision);
	}
}

static void told(struct world *w, struct item *item)
{
	struct host *h = item->host;
	uint64_t epoch = item->token;
	unsigned batch = 1 + (unsigned)world_below(w, 50);

	if (!h->watch.connected || h->watch.epoch != epoch)
		return;
	h->watch.planned = false;
	if (h->watch.silent || !host_reachable(h))
		return;
	/* Too slow: what it has not been told yet is not there any more. */
	if (h->watch.position < mem_db_seek(w->db, 0)) {
		resync(h, "history is compacted");
		return;
	}
	if (w->no_history)
		tell_difference(h, epoch);
	else
		tell_some(h, epoch, batch);
	after(h);
	if (h->watch.epoch == epoch)
		host_watch_news(h);
}

void host_watch_news(struct host *h)
{
	if (!h->watch.connected || h->watch.planned || h->watch.silent ||
	    (!mem_db_change(h->w->db, h->watch.position) &&
	     h->watch.position >= mem_db_seek(h->w->db, 0)))
		return;
	h->watch.planned = true;
	world_plan(h->w, h->w->now + world_delay(h->w), h, told, h->watch.epoch);
}

static void open_stream(struct world *w, struct item *item)
{
	struct host *h = item->host;
	struct store_event live = { .type = STORE_EVENT_LIVE };

	if (!h->watch.wanted || h->watch.connected || h->watch.epoch != item->token)
		return;
	if (!host_reachable(h) || world_chance(w, w->loss_permille)) {
		stream_lost(h, w->store_down ? "the store is down" : "no way to the store");
		return;
	}
	if (h->watch.cluster != w->cluster) {
		resync(h, "the store is another cluster than before");
		return;
	}
	if (mem_db_revision(w->db) + 1 < h->watch.next_revision) {
		resync(h, "the store's revision went back");
		return;
	}
	if (h->watch.next_revision < mem_db_compact_revision(w->db)) {
		resync(h, "history is compacted");
		return;
	}
	h->watch.connected = true;
	backoff_reset(&h->watch.backoff);
	h->watch.position = mem_db_seek(w->db, h->watch.next_revision);
	if (w->lost_deletes) {
		const struct mem_entry *e = mem_db_change(w->db, h->watch.position);

		if (e && !e->value && world_chance(w, 500)) {
			world_trace(w, h, "is not told of %s deleted", e->key);
			h->watch.position++;
		}
	}
	live.revision = mem_db_revision(w->db);
	watch_event(h, &live);
	after(h);
	host_watch_news(h);
}

static void stream_dies(struct world *w, struct item *item)
{
	struct host *h = item->host;

	/* Noticed only if it is still so: what TCP sends again may come through in time. */
	if (h->watch.connected && h->watch.epoch == item->token &&
	    (h->watch.silent || !host_reachable(h) || world_chance(w, 500)))
		stream_lost(h, "the stream is dead");
	else
		host_watch_news(h);
}

void host_stream_dies(struct host *h, int64_t within_ms)
{
	if (!h->watch.connected)
		return;
	h->watch.silent = true;
	world_plan(h->w, h->w->now + 1 + (int64_t)world_below(h->w, (uint64_t)within_ms), h,
		   stream_dies, h->watch.epoch);
}

static void on_watch(void *arg, uint64_t from_revision)
{
	struct host *h = arg;

	h->watch.epoch++;
	h->watch.connected = h->watch.silent = h->watch.planned = false;
	h->watch.wanted = from_revision != 0;
	h->watch.next_revision = from_revision;
	h->watch.cluster = h->cluster;
	backoff_reset(&h->watch.backoff);
	if (from_revision)
		world_plan(h->w, h->w->now + world_delay(h->w) + world_delay(h->w), h, open_stream,
			   h->watch.epoch);
}

/* ---- the rest of the daemon ---- */

struct lease *host_attributes(const struct host *h)
{
	struct lease *l = lease_new();

	l->public_v4 = h->address;
	l->backend_type = xstrdup("vxlan");
	l->backend_data = xasprintf("{\"VNI\":%u}", h->attributes);
	return l;
}

void host_publish(struct host *h)
{
	auto_lease struct lease *l = host_attributes(h);

	manager_publish(h->m, h->w->now, l);
	after(h);
}

static void claim(struct world *w, struct item *item)
{
	struct host *h = item->host;
	auto_lease struct lease *l = NULL;

	if (world_chance(w, 50)) {
		manager_reject_config(h->m, w->now, "the interface is not there yet");
	} else {
		l = host_attributes(h);
		manager_claim(h->m, w->now, l);
	}
	after(h);
}

static int on_check_config(void *arg UNUSED, const struct network_config *config UNUSED,
			   struct err *e UNUSED)
{
	return 0;
}

static void on_config(void *arg, const struct network_config *config UNUSED)
{
	struct host *h = arg;

	world_plan(h->w, h->w->now + 5, h, claim, 0);
}

static void on_peer(void *arg, struct manager_member *member, bool gone)
{
	struct host *h = arg;

	/* Told once that it is there before it is told to be gone. */
	if (gone && !member->user)
		world_violation(h->w, h, "a peer is gone that never came");
	member->user = gone ? NULL : h;
}

static void on_own(void *arg, const struct lease *own)
{
	struct host *h = arg;

	h->previous = own->subnet;
}

static void on_note(void *arg, enum log_level level, const char *event, const char *text)
{
	struct host *h = arg;

	h->notes += level != LOG_LEVEL_DEBUG;
	world_trace(h->w, h, "%s %s: %s", log_level_name(level), event, text);
}

static const struct manager_ops host_ops = {
	.submit = on_submit,
	.watch = on_watch,
	.check_config = on_check_config,
	.config = on_config,
	.peer = on_peer,
	.own = on_own,
	.note = on_note,
};

/* What its clock on the wall says. Time that passes is another clock, and that one is right. */
static int64_t wall_ms(const struct host *h)
{
	return INT64_C(1767225600000) + h->w->now + h->clock_ms;
}

static void tick(struct world *w, struct item *item)
{
	struct host *h = item->host;

	if (item->token != (uint64_t)h->tick_at)
		return;
	h->tick_at = NEVER;
	manager_tick(h->m, w->now);
	after(h);
}

static void plan_tick(struct host *h)
{
	int64_t due = MAX(manager_deadline(h->m), h->w->now);

	if (due == NEVER || h->tick_at == due)
		return;
	h->tick_at = due;
	world_plan(h->w, due, h, tick, (uint64_t)due);
}

void host_start(struct host *h)
{
	struct world *w = h->w;
	struct manager_options o = {
		.node_id = h->node_id,
		.node_name = h->name,
		.previous = h->previous,
		.ttl_s = w->ttl_s,
		.renew_margin_s = MIN((int64_t)3600, w->ttl_s / 4),
		.anti_entropy_s = MANAGER_ANTI_ENTROPY_S,
		.traits = w->traits,
		.seed = world_random(w),
		.default_backend = "vxlan",
	};
	int64_t left_ms;

	world_trace(w, h, "starts");
	h->m = manager_new(&o, &host_ops, h);
	left_ms = last_known_left_ms(&h->known, wall_ms(h));
	if (h->known.config && left_ms > 0)
		manager_set_last_known(h->m, &h->known,
				       left_ms == NEVER ? NEVER : w->now + left_ms);
	h->tick_at = NEVER;
	h->in_flight = 0;
	h->cluster = 0;
	memset(&h->watch, 0, sizeof(h->watch));
	manager_start(h->m, w->now);
	after(h);
}

static struct last_known what_is_known(const struct manager_view *v)
{
	struct last_known k = { 0 };
	const struct manager_member *member = NULL;

	k.config = xstrdup(v->config_text);
	k.own = lease_copy(v->own);
	k.revision = v->newest;
	k.peers = xmalloc((v->members_len + 1) * sizeof(*k.peers));
	while ((member = manager_next(v->members, member))) {
		if (!member->own)
			k.peers[k.peers_len++] = lease_copy(member->lease);
	}
	return k;
}

/* What the daemon keeps in its state directory. */
static void keep_state(struct host *h)
{
	struct manager_view v;

	manager_view(h->m, &v);
	if (v.state != MANAGER_HELD)
		return;
	last_known_fini(&h->known);
	h->known = what_is_known(&v);
	h->known.written_wall_s = wall_ms(h) / SECOND;
	if (v.expires_ms)
		h->known.expires_wall_s = (wall_ms(h) + v.expires_ms - h->w->now) / SECOND;
}

void host_crash(struct host *h)
{
	if (h->w->keeps_state)
		keep_state(h);
	world_trace(h->w, h, "crashes");
	h->life++;
	h->paused_until = 0;
	manager_free(STEAL(h->m));
	h->watch.connected = h->watch.wanted = false;
	h->watch.epoch++;
	check_host(h);
}
