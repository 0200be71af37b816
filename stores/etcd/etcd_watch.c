/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watch: one stream on which etcd tells every change of the leases and of the
 * configuration.
 *
 *   check ──> stream ──> live ──┬──> canceled by compaction, store wiped: RESYNC, the end
 *     ^                         └──> stream ended, or its member does not answer: LOST ──┐
 *     └────────────────────────────── back-off <─────────────────────────────────────────┘
 *
 * The check is a linearizable read before every stream but the first of a watch, and before that
 * one too if nobody has logged in: it does, moves on from members that cannot answer, and its
 * revision shows a store that was wiped or restored, on which a watch would wait in silence for a
 * revision of the past to come again.
 *
 * A stream says nothing for hours when nothing changes, also when its member has stopped, or is cut
 * off from the others and does not know it; TCP does not notice that. So every 10 s the same member
 * must answer a small linearizable read (the probe), and at once if it seems about to end: members
 * that are told to keep streams open and silent for seconds. Loss of the leader is told by the stream
 * itself (the hasleader header), loss of the host by TCP keepalive, loss of single events by the
 * manager's periodic list.
 */
#include "stores/etcd/etcd_internal.h"

#include <errno.h>
#include <event2/event.h>

#include "lib/backoff.h"
#include "lib/clock.h"

#define RECHECK_TICKS 6

/* Doubts come as often as a server pings. */
#define DOUBT_INTERVAL_MS 1000

#define WATCHES 2 /* leases and configuration */
/* A stream that is confirmed and ends before it has lasted counts as a failure, but as no more than
 * this many in a row: it may be a new trouble each time. */
#define SHORT_LIVED_MAX 4u

/* Most streams end alone and come back at once; five thousand that end together do not. */
/* A store that is back is heard of within 4 s, however long it was away. */
static const struct backoff_policy retry = { .min_ms = 200, .max_ms = 4000, .at_once = true };

struct store_watch {
	struct store *store; /* first: store_watch_stop finds its store here */
	store_event_fn *fn;
	void *arg;
	/*
	 * Of leases (0) and configuration (1): everything before it has been told. Each has a watch
	 * of its own, and after a reconnect the history of one may come before that of the other.
	 */
	uint64_t next[WATCHES];
	uint64_t cluster_id;
	struct etcd_call *check;
	struct etcd_call *probe;
	uint64_t probe_floor; /* the store's revision was at least this when the probe was sent */
	struct etcd_stream *stream;
	size_t endpoint; /* the stream's */
	struct event *retry;
	struct event *tick;
	struct event *doubt; /* a probe out of turn */
	int64_t probed_ms;   /* when the last was sent */
	unsigned created;    /* watches the server has confirmed on this stream */
	unsigned ticks;
	bool live;
	bool ended; /* RESYNC was told */
	struct backoff backoff;
	struct etcd_kvs pending; /* events of a revision whose last fragment has not come */
	size_t pending_size;     /* of the messages they came in */
	unsigned depth;          /* inside the user's callback */
	bool stopped;
};

static struct etcd_store *store_of(struct store_watch *w)
{
	return (struct etcd_store *)w->store;
}

/* The store has been at the revision before this. */
static uint64_t newest(const struct store_watch *w)
{
	return MAX(w->next[0], w->next[1]);
}

static void tell(struct store_watch *w, struct store_event *event)
{
	if (w->stopped)
		return;
	w->depth++;
	w->fn(w->arg, event);
	w->depth--;
}

static void close_stream(struct store_watch *w)
{
	etcd_stream_close(STEAL(w->stream));
	etcd_call_cancel(STEAL(w->check));
	etcd_call_cancel(STEAL(w->probe));
	event_del(w->doubt);
	w->created = 0;
	w->pending_size = 0;
	etcd_kvs_fini(&w->pending);
}

static void watch_free(struct store_watch *w)
{
	close_stream(w);
	event_free(w->retry);
	event_free(w->tick);
	event_free(w->doubt);
	free(w);
}

void etcd_watch_stop(struct store_watch *w)
{
	w->stopped = true;
	if (w->depth == 0)
		watch_free(w);
}

static void end_with_resync(struct store_watch *w, const char *reason)
{
	struct store_event event = { .type = STORE_EVENT_RESYNC, .reason = reason };

	close_stream(w);
	event_del(w->tick);
	event_del(w->retry);
	w->ended = true;
	tell(w, &event);
}

/* The stream is of no more use: come back after a while that grows with every failure, at random
 * within it. */
static void fail(struct store_watch *w, const char *reason)
{
	struct store_event event = { .type = STORE_EVENT_LOST, .reason = reason };
	int64_t delay =
		backoff_next_spread(&w->backoff, &retry, clock_boot_ms(), store_of(w)->random());
	struct timeval tv = { delay / 1000, delay % 1000 * 1000 };

	close_stream(w);
	event_del(w->tick);
	event_add(w->retry, &tv);
	w->live = false;
	tell(w, &event);
}

/* The same, where what was said is the word of the stream's member. */
static void fail_at(struct store_watch *w, const char *reason)
{
	char text[400];

	snprintf(text, sizeof(text), "%s: %s", etcd_client_url(store_of(w)->client, w->endpoint),
		 reason);
	etcd_client_leave(store_of(w)->client, w->endpoint);
	fail(w, text);
}

/* What we cannot hold would come again and again; the list is shorter than its history. */
static void end_with_too_much(struct store_watch *w)
{
	end_with_resync(w, "the history is too long to be told in one message");
}

static void tell_kv(struct store_watch *w, const struct etcd_kv *kv)
{
	struct store_event event = { .revision = kv->mod_revision };
	char *reason = NULL;

	if (strcmp(kv->key, store_of(w)->config_key) == 0) {
		event.type = STORE_EVENT_CONFIG;
	} else {
		event.lease = etcd_read_lease(store_of(w), kv, &reason);
		event.type = !event.lease  ? STORE_EVENT_JUNK
			     : kv->deleted ? STORE_EVENT_DELETE
					   : STORE_EVENT_PUT;
		event.key = kv->key;
		event.reason = kv->deleted ? NULL : reason;
	}
	tell(w, &event);
	lease_free(event.lease);
	free(reason);
}

/* Takes over the events of a message; tells them once the revision is whole. */
static void take_events(struct store_watch *w, struct etcd_watch_message *m)
{
	struct etcd_kvs whole;
	uint64_t from[WATCHES];

	for (size_t i = 0; i < m->events.len; i++) {
		GROW(w->pending.items, w->pending.len, w->pending.cap);
		w->pending.items[w->pending.len++] = m->events.items[i];
	}
	m->events.len = 0;
	if (m->fragment)
		return;
	w->pending_size = 0;
	whole = w->pending;
	w->pending = (struct etcd_kvs){ 0 };
	memcpy(from, w->next, sizeof(from));
	for (size_t i = 0; i < whole.len && !w->stopped; i++) {
		const struct etcd_kv *kv = &whole.items[i];
		size_t which = strcmp(kv->key, store_of(w)->config_key) == 0;

		w->next[which] = MAX(w->next[which], kv->mod_revision + 1);
		/* Servers have been seen to repeat events. */
		if (kv->mod_revision >= from[which])
			tell_kv(w, kv);
	}
	etcd_kvs_fini(&whole);
}

static void send_probe(struct store_watch *w);

static void take_message(struct store_watch *w, struct etcd_watch_message *m)
{
	struct store_event live = { .type = STORE_EVENT_LIVE, .revision = m->header.revision };

	if (m->error == ETCD_OUT_OF_RANGE) {
		end_with_resync(w, m->reason);
		return;
	}
	if (m->error != ETCD_OK) {
		if (m->error == ETCD_UNAUTHENTICATED)
			etcd_client_forget_token(store_of(w)->client);
		fail_at(w, m->reason);
		return;
	}
	/* First of all, since a refused watch is created and canceled in one message. */
	if (m->canceled) {
		char reason[240];

		if (m->compact_revision) {
			snprintf(reason, sizeof(reason),
				 "history before revision %llu is compacted",
				 (unsigned long long)m->compact_revision);
			end_with_resync(w, reason);
			return;
		}
		etcd_client_forget_token(store_of(w)->client);
		fail_at(w, m->reason);
		return;
	}
	if (m->header.cluster_id && m->header.cluster_id != w->cluster_id) {
		if (w->cluster_id) {
			end_with_resync(w, "the store is another cluster than before");
			return;
		}
		w->cluster_id = m->header.cluster_id;
	}
	if (m->created) {
		/* A watch from the future is accepted, and silent. The member may only lag behind:
		 * a read that needs a quorum tells. */
		if (m->header.revision + 1 < newest(w))
			send_probe(w);
		if (++w->created == WATCHES) {
			w->backoff.failures = MIN(w->backoff.failures, SHORT_LIVED_MAX);
			w->live = true;
			tell(w, &live);
			return;
		}
	}
	take_events(w, m);
}

static void on_message(void *arg, struct etcd_watch_message *m)
{
	struct store_watch *w = arg;

	w->depth++;
	w->pending_size += m->size;
	if (m->fragment && w->pending_size > store_of(w)->message_max)
		end_with_too_much(w);
	else
		take_message(w, m);
	if (--w->depth == 0 && w->stopped)
		watch_free(w);
}

static void on_end(void *arg, int code, const char *text)
{
	struct store_watch *w = arg;

	w->stream = NULL;
	w->depth++;
	if (code == ETCD_UNAUTHENTICATED)
		etcd_client_forget_token(store_of(w)->client);
	if (code == ETCD_TOO_LARGE)
		end_with_too_much(w);
	else
		fail_at(w, text);
	if (--w->depth == 0 && w->stopped)
		watch_free(w);
}

static void on_doubt(void *arg)
{
	struct store_watch *w = arg;
	int64_t wait = MAX(w->probed_ms + DOUBT_INTERVAL_MS - clock_boot_ms(), INT64_C(0));
	struct timeval tv = { wait / 1000, wait % 1000 * 1000 };

	if (w->live && !event_pending(w->doubt, EV_TIMEOUT, NULL))
		event_add(w->doubt, &tv);
}

static void open_stream(struct store_watch *w)
{
	struct etcd_store *s = store_of(w);
	struct timeval interval = { s->probe_ms / 1000, s->probe_ms % 1000 * 1000 };
	const struct etcd_ask asks[WATCHES] = {
		{ .method = ETCD_WATCH,
		  .key = s->subnets_prefix,
		  .range_end = s->subnets_end,
		  .revision = w->next[0] },
		{ .method = ETCD_WATCH, .key = s->config_key, .revision = w->next[1] },
	};
	const struct etcd_listener listener = {
		.on_message = on_message,
		.on_end = on_end,
		.on_doubt = on_doubt,
		.arg = w,
		.message_max = s->message_max,
	};

	event_add(w->tick, &interval);
	w->stream = etcd_client_stream(s->client, asks, WATCHES, &listener, &w->endpoint);
}

/* Whether the store is the one we know, and not before `floor`; if not, the watch ends. */
static bool same_store(struct store_watch *w, const struct etcd_header *header, uint64_t floor)
{
	if (header->revision == 0) {
		fail(w, "etcd: an answer without a revision");
		return false;
	}
	if (w->cluster_id && header->cluster_id != w->cluster_id) {
		end_with_resync(w, "the store is another cluster than before");
		return false;
	}
	if (header->revision + 1 < floor) {
		end_with_resync(w, "the store's revision went back: it was restored or wiped");
		return false;
	}
	return true;
}

static void on_check(void *arg, const struct etcd_result *result)
{
	struct store_watch *w = arg;

	w->check = NULL;
	w->depth++;
	if (result->code != ETCD_OK)
		fail(w, result->text);
	else if (same_store(w, &result->reply->header, newest(w)))
		open_stream(w);
	if (--w->depth == 0 && w->stopped)
		watch_free(w);
}

static void check(struct store_watch *w)
{
	const struct etcd_ask ask = { .method = ETCD_RANGE,
				      .key = store_of(w)->config_key,
				      .limit = 1 };

	w->check = etcd_client_call(store_of(w)->client, &ask, on_check, w);
}

static void on_retry(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	check(arg);
}

static void on_probe(void *arg, const struct etcd_result *result)
{
	struct store_watch *w = arg;

	w->probe = NULL;
	w->depth++;
	if (result->code != ETCD_OK)
		fail(w, result->text);
	else if (same_store(w, &result->reply->header, w->probe_floor) && w->live)
		backoff_reset(&w->backoff);
	if (--w->depth == 0 && w->stopped)
		watch_free(w);
}

/*
 * A member that answers this has a quorum, and has applied all that was told before it was asked.
 */
static void send_probe(struct store_watch *w)
{
	const struct etcd_ask ask = { .method = ETCD_RANGE,
				      .key = store_of(w)->config_key,
				      .keys_only = true };

	if (w->probe)
		return;
	w->probe_floor = newest(w);
	w->probed_ms = clock_boot_ms();
	w->probe = etcd_client_call_at(store_of(w)->client, w->endpoint, &ask, on_probe, w);
}

static void on_doubt_time(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	send_probe(arg);
}

static void on_tick(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct store_watch *w = arg;

	if (!w->stream)
		return;
	/* The tick is wound when the stream is opened. */
	if (w->live) {
		send_probe(w);
		if (++w->ticks % RECHECK_TICKS == 0)
			etcd_client_recheck(store_of(w)->client);
		return;
	}
	w->depth++;
	fail_at(w, "the watch was not confirmed within 10 s");
	if (--w->depth == 0 && w->stopped)
		watch_free(w);
}

void etcd_watch_tick(struct store_watch *w)
{
	event_active(w->tick, EV_TIMEOUT, 0);
}

struct store_watch *etcd_watch_start(struct store *s, uint64_t from_revision, store_event_fn *fn,
				     void *arg)
{
	struct store_watch *w = xcalloc(1, sizeof(*w));

	w->store = s;
	w->fn = fn;
	w->arg = arg;
	w->next[0] = w->next[1] = from_revision;
	w->cluster_id = store_of(w)->cluster_id;
	w->retry = evtimer_new(store_of(w)->loop, on_retry, w);
	w->tick = event_new(store_of(w)->loop, -1, EV_PERSIST, on_tick, w);
	w->doubt = evtimer_new(store_of(w)->loop, on_doubt_time, w);
	/* Whoever just listed has just been answered: nothing to check. */
	if (etcd_client_needs_login(store_of(w)->client))
		check(w);
	else
		open_stream(w);
	return w;
}
