/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watch: a query for all keys of the prefix that an agent answers when their index has passed the one we
 * know, and then the next. Consul keeps no history, so what is told is the difference between two answers: of
 * what changed twice between them the last.
 *
 *   check ──> query ──> answer ──┬──> as expected: told ──> query ...
 *     ^ ^                        ├──> a key is gone, the index went back: is that so? ──┐
 *     │ └────────────────────────│──────────────────────────────────────────────────────┘
 *     │                          ├──> of another past than ours: RESYNC, the end
 *     │                          └──> failed, or its agent does not answer: LOST ──> back-off ──┐
 *     └────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * The check reads a key that is not there. It tells that we may read the leases, without which a list looks
 * empty and nothing is to be believed that it lacks; and it tells the index of the table of all keys, which is
 * below ours if the store was restored or wiped. That of the prefix also goes back when Consul forgets that
 * keys were deleted; then nothing else is different.
 *
 * A query is silent for minutes when nothing changes, also when its agent has stopped, or the leader. So every
 * 10 s the same agent must answer the check, which takes a leader with a majority.
 */
#include "stores/consul/consul_internal.h"

#include <errno.h>
#include <event2/event.h>

#include "lib/backoff.h"
#include "lib/clock.h"

/* An agent answers by then whether anything has changed or not, and up to a sixteenth later. */
#define WAIT_S           300
#define QUERY_TIMEOUT_MS ((WAIT_S + WAIT_S / 16 + 15) * 1000)
/* Each answer is a list of all. So much a millisecond is taken in the long run, and CONSUL_CREDIT_MAX at once: of
 * changes that come faster some come together. */
#define CREDIT_PER_MS ((int64_t)32 << 10)
#define ANSWER_MIN    ((int64_t)32 << 10) /* a small one costs as much as this */
/* One that is answered and fails again soon counts as a failure, but as no more than this many in a row. */
#define SHORT_LIVED_MAX 4u

/* As of etcd: most end alone and come back at once; a store that is back is heard of within 4 s. */
static const struct backoff_policy retry = { .min_ms = 200, .max_ms = 4000, .at_once = true };

struct store_watch {
	struct store *store; /* first: store_watch_stop finds its store here */
	store_event_fn *fn;
	void *arg;
	uint64_t revision;       /* everything up to here has been told */
	struct consul_list told; /* as it stood then */
	bool has_told;           /* false: it is to be read first */
	uint64_t index;          /* of the list that it was */
	struct consul_call *check;
	struct consul_call *query;
	uint64_t check_floor; /* the store's revision was at least this when the check was sent */
	size_t endpoint;      /* that the query was sent to */
	bool doubts;          /* the answer that came lacks what was there: it is asked for again */
	bool checked;         /* what that one lacks is gone: `token` may read all */
	uint64_t token;
	struct event *again; /* after a failure, or a pause */
	struct event *tick;
	struct event *opened; /* tells LIVE */
	int64_t credit;       /* bytes; below 0: the next query waits until it is not */
	int64_t credit_ms;    /* when it was that */
	bool live;
	struct backoff backoff;
	unsigned depth; /* inside the user's callback */
	bool stopped;
};

static void check(struct store_watch *w);
static void ask(struct store_watch *w);

static struct consul_store *store_of(const struct store_watch *w)
{
	return (struct consul_store *)w->store;
}

static void close_calls(struct store_watch *w)
{
	consul_call_cancel(STEAL(w->check));
	consul_call_cancel(STEAL(w->query));
	event_del(w->again);
	event_del(w->tick);
	event_del(w->opened);
	w->doubts = w->checked = false;
}

static void watch_free(struct store_watch *w)
{
	close_calls(w);
	consul_list_fini(&w->told);
	event_free(w->again);
	event_free(w->tick);
	event_free(w->opened);
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

void consul_watch_stop(struct store_watch *w)
{
	w->stopped = true;
	if (w->depth == 0)
		watch_free(w);
}

static void tell(struct store_watch *w, struct store_event *event)
{
	if (!w->stopped)
		w->fn(w->arg, event);
	lease_free(STEAL(event->lease));
}

static void resync(struct store_watch *w, const char *reason)
{
	close_calls(w);
	w->live = false;
	tell(w, &(struct store_event){ .type = STORE_EVENT_RESYNC, .reason = reason });
}

/* Comes back after a while that grows with every failure, at random within it. */
static void fail(struct store_watch *w, const char *reason)
{
	int64_t delay =
		backoff_next_spread(&w->backoff, &retry, clock_boot_ms(), store_of(w)->random());
	struct timeval tv = { delay / 1000, delay % 1000 * 1000 };

	close_calls(w);
	event_add(w->again, &tv);
	w->live = false;
	tell(w, &(struct store_event){ .type = STORE_EVENT_LOST, .reason = reason });
}

static void fail_at(struct store_watch *w, size_t endpoint, const char *reason)
{
	char text[CONSUL_TEXT_MAX + 100];

	snprintf(text, sizeof(text), "%.90s: %.299s",
		 consul_client_url(store_of(w)->client, endpoint), reason);
	consul_client_leave(store_of(w)->client, endpoint);
	fail(w, text);
}

/* ---- what it tells ---- */

static void tell_gone(struct store_watch *w, const struct consul_entry *entry, uint64_t revision)
{
	const struct consul_store *s = store_of(w);
	struct store_event event = { .revision = revision, .key = entry->key };
	struct consul_kv kv = { .key = entry->key };
	char *reason = NULL;

	if (strcmp(entry->key, s->config_key) == 0) {
		event.type = STORE_EVENT_CONFIG;
	} else if (consul_is_subnet(s, entry->key)) {
		event.lease = consul_read_lease(s, &kv, &reason);
		event.type = event.lease ? STORE_EVENT_DELETE : STORE_EVENT_JUNK;
		free(reason);
	} else {
		return;
	}
	tell(w, &event);
}

static void tell_subnet(struct store_watch *w, const struct consul_entry *entry)
{
	struct store_event event = { .revision = entry->modify_index, .key = entry->key };
	auto_free char *reason = NULL;
	struct consul_kv kv = { 0 };
	struct err e;

	if (consul_kv_read(entry->text, entry->size, true, &kv, &e) < 0)
		reason = xstrdup(e.text);
	else
		event.lease = consul_read_lease(store_of(w), &kv, &reason);
	event.type = event.lease ? STORE_EVENT_PUT : STORE_EVENT_JUNK;
	event.reason = reason;
	tell(w, &event);
	consul_kv_fini(&kv);
}

static void tell_changed(struct store_watch *w, const struct consul_entry *entry)
{
	const struct consul_store *s = store_of(w);

	if (strcmp(entry->key, s->config_key) == 0)
		tell(w, &(struct store_event){ .type = STORE_EVENT_CONFIG,
					       .revision = entry->modify_index });
	else if (consul_is_subnet(s, entry->key))
		tell_subnet(w, entry);
}

/* What came is told first, each with its own index; what went with that of the list, which is not before. */
static void tell_diff(struct store_watch *w, const struct consul_diff *diff, uint64_t index)
{
	for (size_t i = 0; i < diff->changed_len && !w->stopped; i++)
		tell_changed(w, diff->changed[i]);
	for (size_t i = 0; i < diff->gone_len && !w->stopped; i++)
		tell_gone(w, diff->gone[i], index);
}

/* Whether an answer goes on from what was told. */
static bool goes_on(const struct store_watch *w, const struct consul_diff *diff, uint64_t index)
{
	if (diff->gone_len > 0 && index <= w->revision)
		return false;
	return diff->changed_len == 0 || diff->changed[0]->modify_index > w->revision;
}

static void keep(struct store_watch *w, struct consul_list *list, uint64_t index)
{
	consul_list_forget_texts(list);
	consul_list_fini(&w->told);
	w->told = *list;
	*list = (struct consul_list){ 0 };
	w->has_told = true;
	w->index = index;
	w->revision = MAX(w->revision, index);
}

static void take(struct store_watch *w, struct consul_list *list, uint64_t index)
{
	bool back = index < w->index;
	struct consul_diff diff;

	consul_diff_make(&w->told, list, &diff);
	if (!goes_on(w, &diff, index)) {
		resync(w, "the store is of another past than before: it was restored or wiped");
	} else if (diff.gone_len > 0 && !w->checked) {
		/* Is it gone, or may we not see it any longer? */
		w->doubts = true;
		check(w);
	} else {
		tell_diff(w, &diff, index);
		if (!w->stopped) {
			/* Pointers into `told`. */
			consul_diff_fini(&diff);
			keep(w, list, index);
			w->checked = false;
			if (back)
				check(w);
			else
				ask(w);
		}
	}
	consul_diff_fini(&diff);
}

/* The first, of who has not listed: of use if nothing has changed since the revision that he knows. */
static void take_first(struct store_watch *w, struct consul_list *list, uint64_t index)
{
	char reason[120];

	if (index <= w->revision) {
		keep(w, list, index);
		ask(w);
		return;
	}
	snprintf(reason, sizeof(reason),
		 "Consul keeps no history: what changed since %llu is not known",
		 (unsigned long long)w->revision);
	resync(w, reason);
}

/* ---- the query ---- */

static void judge(struct store_watch *w, const struct consul_result *result)
{
	struct consul_list list = { 0 };
	struct err e;

	if (result->outcome != CONSUL_OK && result->outcome != CONSUL_ABSENT) {
		fail(w, result->text);
	} else if (result->filtered) {
		fail_at(w, result->endpoint, "the token may not read all keys of the prefix");
	} else if (consul_read_list(result, &w->told, &list, &e) < 0) {
		fail_at(w, result->endpoint, e.text);
	} else {
		w->backoff.failures = MIN(w->backoff.failures, SHORT_LIVED_MAX);
		/* Asked with another token than the one that was found to be good. */
		w->checked = w->checked && w->token == result->token;
		if (w->has_told)
			take(w, &list, result->index);
		else
			take_first(w, &list, result->index);
	}
	consul_list_fini(&list);
}

static void pay(struct store_watch *w, size_t size)
{
	int64_t now_ms = clock_boot_ms();

	w->credit =
		MIN(w->credit + (now_ms - w->credit_ms) * CREDIT_PER_MS, store_of(w)->credit_max);
	w->credit -= MAX((int64_t)size, ANSWER_MIN);
	w->credit_ms = now_ms;
}

static void on_answer(void *arg, const struct consul_result *result)
{
	struct store_watch *w = arg;

	w->query = NULL;
	pay(w, result->size);
	enter(w);
	judge(w, result);
	leave(w);
}

static void on_opened(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct store_watch *w = arg;

	w->live = true;
	enter(w);
	tell(w, &(struct store_event){ .type = STORE_EVENT_LIVE, .revision = w->revision });
	leave(w);
}

static void send_query(struct store_watch *w)
{
	struct consul_store *s = store_of(w);
	struct timeval interval = { s->probe_ms / 1000, s->probe_ms % 1000 * 1000 };
	struct consul_ask question = { .path = s->list_path, .max_size = CONSUL_LIST_MAX_SIZE };
	auto_free char *path = NULL;

	if (w->has_told) {
		path = xasprintf("%s&index=%llu&wait=%ds", s->list_path,
				 (unsigned long long)w->index, WAIT_S);
		question.path = path;
		question.timeout_ms = QUERY_TIMEOUT_MS;
	}
	w->query = consul_client_call_at(s->client, w->endpoint, &question, on_answer, w);
	if (!event_pending(w->tick, EV_TIMEOUT, NULL))
		event_add(w->tick, &interval);
	/* Who has just been answered there is told of changes from now on. */
	if (w->has_told && !w->live)
		event_active(w->opened, EV_TIMEOUT, 0);
}

/* The next, at once, or when there is credit again. */
static void ask(struct store_watch *w)
{
	int64_t left_ms = w->credit < 0 ? -w->credit / CREDIT_PER_MS + 1 : 0;
	struct timeval tv = { left_ms / 1000, left_ms % 1000 * 1000 };

	if (left_ms > 0)
		event_add(w->again, &tv);
	else
		send_query(w);
}

/* ---- the check ---- */

static void judge_check(struct store_watch *w, const struct consul_result *result)
{
	if (result->outcome != CONSUL_OK && result->outcome != CONSUL_ABSENT) {
		fail(w, result->text);
		return;
	}
	if (!result->index) {
		fail_at(w, result->endpoint, "the answer has no X-Consul-Index: is it Consul's?");
		return;
	}
	if (result->index < w->check_floor) {
		resync(w, "the store's index went back: it was restored or wiped");
		return;
	}
	if (w->live)
		backoff_reset(&w->backoff);
	if (w->query || event_pending(w->again, EV_TIMEOUT, NULL))
		return;
	w->endpoint = result->endpoint;
	/* Of a query without doubts the answer may come when the rights are others. */
	w->checked = w->doubts;
	w->doubts = false;
	w->token = result->token;
	ask(w);
}

static void on_checked(void *arg, const struct consul_result *result)
{
	struct store_watch *w = arg;

	w->check = NULL;
	enter(w);
	judge_check(w, result);
	leave(w);
}

static void check(struct store_watch *w)
{
	struct consul_store *s = store_of(w);
	const struct consul_ask question = { .path = s->rights_path };

	consul_call_cancel(STEAL(w->check));
	w->check_floor = w->revision;
	/* Of the one that has the query's answer to be doubted, or is waited for; else of any. */
	w->check = w->live ? consul_client_call_at(s->client, w->endpoint, &question, on_checked, w)
			   : consul_client_call(s->client, &question, on_checked, w);
}

static void on_again(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct store_watch *w = arg;

	if (w->live)
		send_query(w);
	else
		check(w);
}

static void on_tick(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct store_watch *w = arg;

	if (!w->check)
		check(w);
}

struct store_watch *consul_watch_start(struct store *store, uint64_t from_revision,
				       store_event_fn *fn, void *arg)
{
	struct consul_store *s = (struct consul_store *)store;
	struct store_watch *w = xcalloc(1, sizeof(*w));

	w->store = store;
	w->fn = fn;
	w->arg = arg;
	w->revision = from_revision - 1;
	w->credit = s->credit_max;
	w->credit_ms = clock_boot_ms();
	w->again = evtimer_new(s->loop, on_again, w);
	w->tick = event_new(s->loop, -1, EV_PERSIST, on_tick, w);
	w->opened = evtimer_new(s->loop, on_opened, w);
	if (s->listed_revision && s->listed_revision + 1 == from_revision) {
		w->told = s->listed;
		w->has_told = true;
		w->index = s->listed_index;
		s->listed = (struct consul_list){ 0 };
		s->listed_revision = 0;
	}
	/* Whoever just listed has just been answered, by whom it is not known. */
	check(w);
	return w;
}
