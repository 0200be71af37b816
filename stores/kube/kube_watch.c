/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watch: one answer that does not end, on which an API server tells every change of every node.
 *
 *   check ──> stream ──> live ──┬──> history is gone, or the store is of the past: RESYNC, the end
 *     ^                         ├──> ended by the server, as it does every few minutes ──────────┐
 *     │                         └──> failed, or silent for too long: LOST ───> back-off ─────────┤
 *     └───────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * The check is a list of one node without a resourceVersion, which a server answers from the present of
 * etcd: a revision below ours is that of a store that was restored, where a watch would wait in silence until
 * the revision of the past comes again. A server that is only behind the others says "too large resource
 * version", or waits; that passes.
 *
 * What was read to is the newest of all events and bookmarks; of the events most change nothing for us and are
 * told to nobody (kube_told.h).
 */
#include "stores/kube/kube_gist.h"
#include "stores/kube/kube_internal.h"

#include <errno.h>
#include <event2/event.h>

#include "lib/backoff.h"
#include "lib/clock.h"
#include "lib/log.h"

/* The server ends a watch after a time that it is asked for, at random within twice of it. */
#define WATCH_MIN_S 300
/* Servers send a bookmark each minute, and in any cluster some kubelet writes its node; who says nothing for
 * this long is asked again. */
#define SILENCE_MAX_S 150
/* An answer that has not begun by then will not. */
#define OPEN_MAX_S 20
/* One that ends sooner counts as a failure. */
#define CALM_MS 5000

/* As of etcd: most end alone and come back at once; a server that is back is heard of within 4 s. */
static const struct backoff_policy retry = { .min_ms = 200, .max_ms = 4000, .at_once = true };

struct store_watch {
	struct store *store; /* first: store_watch_stop finds its store here */
	struct store_watch *next;
	store_event_fn *fn;
	void *arg;
	uint64_t revision; /* everything up to here has been told */
	struct kube_told *told;
	uint64_t told_revision; /* of the newest that was not nothing */
	struct kube_call *check;
	struct kube_call *stream;
	struct event *again;
	struct event *silence;
	int64_t opened_ms; /* 0: the stream has not opened */
	bool live;         /* LIVE was told, and neither LOST nor RESYNC after it */
	struct backoff backoff;
	unsigned depth; /* inside the user's callback */
	bool stopped;
};

static struct kube_store *store_of(const struct store_watch *w)
{
	return (struct kube_store *)w->store;
}

static void watch_free(struct store_watch *w)
{
	kube_call_cancel(w->check);
	kube_call_cancel(w->stream);
	kube_told_free(w->told);
	event_free(w->again);
	event_free(w->silence);
	free(w);
}

static void enter(struct store_watch *w)
{
	w->depth++;
}

/* The last thing that is done with it. */
static void leave(struct store_watch *w)
{
	if (--w->depth == 0 && w->stopped)
		watch_free(w);
}

static void tell(struct store_watch *w, struct store_event *event)
{
	if (!w->stopped)
		w->fn(w->arg, event);
	lease_free(STEAL(event->lease));
}

void kube_watch_stop(struct store_watch *w)
{
	struct store_watch **link = &store_of(w)->watches;

	while (*link != w)
		link = &(*link)->next;
	*link = w->next;
	w->stopped = true;
	if (w->depth == 0)
		watch_free(w);
}

static void close_calls(struct store_watch *w)
{
	kube_call_cancel(STEAL(w->check));
	kube_call_cancel(STEAL(w->stream));
	event_del(w->silence);
	w->opened_ms = 0;
}

static void resync(struct store_watch *w, const char *reason)
{
	close_calls(w);
	event_del(w->again);
	w->live = false;
	/* It may be of the past from now on. */
	store_of(w)->own_revision = 0;
	tell(w, &(struct store_event){ .type = STORE_EVENT_RESYNC, .reason = reason });
}

/* Comes back; after a while if it has failed, which is said then. `wait_ms`: what the server has asked for. */
static void come_back(struct store_watch *w, const char *failure, int64_t wait_ms)
{
	bool calm = w->opened_ms && clock_boot_ms() - w->opened_ms >= CALM_MS;
	int64_t delay = 0;
	struct timeval tv;

	close_calls(w);
	if (calm)
		backoff_reset(&w->backoff);
	if (failure || !calm)
		delay = backoff_next_spread(&w->backoff, &retry, clock_boot_ms(),
					    store_of(w)->random());
	delay = MAX(delay, wait_ms);
	tv = (struct timeval){ delay / 1000, delay % 1000 * 1000 };
	event_add(w->again, &tv);
	if (!failure)
		return;
	w->live = false;
	tell(w, &(struct store_event){ .type = STORE_EVENT_LOST, .reason = failure });
}

static void fail(struct store_watch *w, const struct kube_answer *answer)
{
	struct err e = answer->err;

	err_wrap(&e, "%s", kube_client_server(store_of(w)->client));
	come_back(w, e.text, answer->wait_ms);
}

/* ---- what it tells ---- */

static void tell_key(struct store_watch *w, const char *name, const char *reason)
{
	auto_free char *key = xasprintf("nodes/%s", name);

	tell(w, &(struct store_event){ .type = STORE_EVENT_JUNK,
				       .revision = w->revision,
				       .key = key,
				       .reason = reason });
}

static void tell_gone(struct store_watch *w, const struct subnet *subnet)
{
	struct lease *lease = lease_new();

	lease->subnet = *subnet;
	tell(w, &(struct store_event){
			.type = STORE_EVENT_DELETE, .revision = w->revision, .lease = lease });
}

static void tell_node(struct store_watch *w, struct kube_event *event, uint64_t gist)
{
	struct kube_node *n = &event->node;
	bool own = kube_is_own(store_of(w), n);
	struct subnet before;
	struct lease *lease;
	unsigned news;

	if (event->type == KUBE_EVENT_PUT) {
		kube_note_own(store_of(w), n);
		news = kube_told_put(w->told, n, own, &before);
		if (gist && !own)
			kube_told_remember(w->told, n->name, gist);
	} else {
		news = kube_told_delete(w->told, n->name, &before);
	}
	if (news)
		w->told_revision = w->revision;
	if (news & KUBE_NEWS_GONE)
		tell_gone(w, &before);
	if (news & KUBE_NEWS_READABLE)
		tell_key(w, n->name, NULL);
	if (!(news & (KUBE_NEWS_LEASE | KUBE_NEWS_UNREADABLE)))
		return;
	lease = kube_node_take_lease(n);
	if (lease)
		tell(w, &(struct store_event){
				.type = STORE_EVENT_PUT, .revision = w->revision, .lease = lease });
	else
		tell_key(w, n->name, n->problem);
}

static void on_piece(void *arg, const char *text, size_t size)
{
	static const struct timeval silence = { SILENCE_MAX_S, 0 };
	struct store_watch *w = arg;
	struct kube_gist gist = { 0 };
	struct kube_event event;
	struct err e;

	event_add(w->silence, &silence);
	if (kube_gist_read(text, size, &gist) && kube_told_knows(w->told, gist.hash)) {
		w->revision = MAX(w->revision, gist.revision);
		return;
	}
	if (kube_event_read(&store_of(w)->prefix, text, size, &event, &e) < 0) {
		log_debug("kube-event", "passed over: %s", e.text);
		return;
	}
	enter(w);
	if (event.type == KUBE_EVENT_ERROR) {
		if (event.answer.outcome == KUBE_EXPIRED)
			resync(w, event.answer.err.text);
		else
			fail(w, &event.answer);
	} else if (event.revision > w->revision) {
		w->revision = event.revision;
		if (event.type != KUBE_EVENT_BOOKMARK)
			tell_node(w, &event, gist.hash);
	}
	kube_event_fini(&event);
	leave(w);
}

static void on_open(void *arg)
{
	static const struct timeval silence = { SILENCE_MAX_S, 0 };
	struct store_watch *w = arg;

	w->opened_ms = clock_boot_ms();
	event_add(w->silence, &silence);
	if (w->live)
		return;
	w->live = true;
	enter(w);
	tell(w, &(struct store_event){ .type = STORE_EVENT_LIVE, .revision = w->revision });
	leave(w);
}

static void on_end(void *arg, const struct kube_answer *answer, const char *body UNUSED,
		   size_t size UNUSED, bool sent UNUSED)
{
	struct store_watch *w = arg;

	w->stream = NULL;
	enter(w);
	if (answer->outcome == KUBE_OK)
		come_back(w, NULL, 0);
	else if (answer->outcome == KUBE_EXPIRED)
		resync(w, answer->err.text);
	else
		fail(w, answer);
	leave(w);
}

static void open_stream(struct store_watch *w)
{
	static const struct timeval patience = { OPEN_MAX_S, 0 };
	unsigned seconds = WATCH_MIN_S + (unsigned)(store_of(w)->random() % WATCH_MIN_S);
	auto_free char *path = xasprintf(KUBE_NODES "?watch=true&allowWatchBookmarks=true"
						    "&resourceVersion=%llu&timeoutSeconds=%u",
					 (unsigned long long)w->revision, seconds);

	event_add(w->silence, &patience);
	w->stream = kube_call_start(store_of(w)->client,
				    &(struct kube_ask){ .path = path,
							.endless = true,
							.piece = on_piece,
							.form = KUBE_STREAM_EVENTS,
							.open = on_open },
				    on_end, w);
}

static void on_silence(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct kube_answer answer = { .outcome = KUBE_LATER };
	struct store_watch *w = arg;

	err_set(&answer.err, -ETIMEDOUT, "the watch said nothing for %d s",
		w->opened_ms ? SILENCE_MAX_S : OPEN_MAX_S);
	enter(w);
	fail(w, &answer);
	leave(w);
}

/* ---- the check ---- */

static void ignore_item(void *arg UNUSED, const char *text UNUSED, size_t size UNUSED)
{
}

static void on_checked(void *arg, const struct kube_answer *answer, const char *body, size_t size,
		       bool sent UNUSED)
{
	struct store_watch *w = arg;
	struct kube_answer bad = *answer;
	struct kube_list list = { 0 };

	w->check = NULL;
	enter(w);
	if (bad.outcome == KUBE_OK && kube_list_read(body, size, &list, &bad.err) < 0)
		bad.outcome = KUBE_LATER;
	if (bad.outcome != KUBE_OK)
		fail(w, &bad);
	else if (list.revision < w->revision)
		resync(w, "the resourceVersion of the nodes went back: the store was restored");
	else
		open_stream(w);
	kube_list_fini(&list);
	leave(w);
}

static void on_again(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct store_watch *w = arg;

	w->check = kube_call_start(store_of(w)->client,
				   &(struct kube_ask){ .path = KUBE_NODES "?limit=1",
						       .piece = ignore_item,
						       .form = KUBE_STREAM_LIST },
				   on_checked, w);
}

/* ---- for the store ---- */

struct store_watch *kube_watch_start(struct store *s, uint64_t from_revision, store_event_fn *fn,
				     void *arg)
{
	struct kube_store *store = (struct kube_store *)s;
	struct store_watch *w = xcalloc(1, sizeof(*w));
	bool listed = store->listed && store->listed_revision + 1 == from_revision;

	w->store = s;
	w->next = store->watches;
	store->watches = w;
	w->fn = fn;
	w->arg = arg;
	w->revision = from_revision - 1;
	w->told = listed ? STEAL(store->listed) : kube_told_new();
	w->again = evtimer_new(store->loop, on_again, w);
	w->silence = evtimer_new(store->loop, on_silence, w);
	/* Whoever just listed has just been answered: nothing to check. */
	open_stream(w);
	return w;
}

/*
 * One that is younger than all that was told takes its place: whoever asked for it knows it now. An older
 * one he does not believe either.
 */
void kube_watch_listed(struct kube_store *s)
{
	for (struct store_watch *w = s->watches; w && s->listed; w = w->next) {
		if (s->listed_revision < w->told_revision)
			continue;
		kube_told_free(w->told);
		w->told = STEAL(s->listed);
		w->told_revision = s->listed_revision;
	}
}

void kube_watch_config(struct kube_store *s)
{
	struct store_watch *next;

	for (struct store_watch *w = s->watches; w; w = next) {
		next = w->next;
		enter(w);
		tell(w, &(struct store_event){ .type = STORE_EVENT_CONFIG });
		leave(w);
	}
}

const struct kube_told *kube_watch_told(const struct kube_store *s)
{
	return s->watches ? s->watches->told : s->listed;
}
