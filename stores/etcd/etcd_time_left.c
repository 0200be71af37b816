/* SPDX-License-Identifier: Apache-2.0 */
/*
 * STORE_TIME_LEFT: etcd tells it of one lease at a time, and people ask for all of them at once,
 * several of them together.
 *
 *   waiting ──> under way, two at a time ──> answered, and known for a while
 *      └────────────── known already ─────────────┘
 *
 * So a list of any length costs the server two connections, and what two ask for it is asked once.
 * Who is under way holds up who asks for the same: both then have one answer. A failure is the
 * answer to all that wait, since the next question would only fail as well.
 *
 * No watch tells that a lease was prolonged, so that an answer ages: what is shown of a lease that
 * its host has prolonged meanwhile is too little, by the age of the answer. A hundredth of the time
 * that the lease is granted is let go for that; of a day, that is a question in a quarter of an hour,
 * however often people look.
 */
#include "stores/etcd/etcd_internal.h"

#include <errno.h>
#include <event2/event.h>

#include "lib/clock.h"

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

#define KNOWN_MIN_S 10
#define KNOWN_MAX_S 900
#define KNOWN_MAX   4096 /* answers; more are forgotten with all before them */

struct etcd_time_left {
	int64_t id;
	int64_t ttl_s; /* 0: gone */
	int64_t at_ms;
	int64_t until_ms; /* good as an answer */
	UT_hash_handle hh;
};

static void forget(struct etcd_store *s)
{
	struct etcd_time_left *known;
	struct etcd_time_left *tmp;

	HASH_ITER (hh, s->times_left, known, tmp) {
		HASH_DEL(s->times_left, known);
		free(known);
	}
}

static void remember(struct etcd_store *s, int64_t id, int64_t ttl_s, int64_t granted_s)
{
	int64_t good_s = MIN(MAX(granted_s / 100, (int64_t)KNOWN_MIN_S), (int64_t)KNOWN_MAX_S);
	struct etcd_time_left *known;

	HASH_FIND(hh, s->times_left, &id, sizeof(id), known);
	if (!known) {
		if (HASH_COUNT(s->times_left) >= KNOWN_MAX)
			forget(s);
		known = xcalloc(1, sizeof(*known));
		known->id = id;
		HASH_ADD(hh, s->times_left, id, sizeof(known->id), known);
	}
	known->ttl_s = ttl_s;
	known->at_ms = clock_boot_ms();
	known->until_ms = known->at_ms + good_s * 1000;
}

static bool answer_known(struct etcd_request *r)
{
	int64_t now_ms = clock_boot_ms();
	int64_t id = (int64_t)r->lease->id;
	const struct etcd_time_left *known;

	HASH_FIND(hh, r->store->times_left, &id, sizeof(id), known);
	if (!known || now_ms > known->until_ms)
		return false;
	r->reply.ttl_s = known->ttl_s - (now_ms - known->at_ms) / 1000;
	if (r->reply.ttl_s > 0) {
		etcd_answer(r, STORE_OK);
		return true;
	}
	err_set(&r->reply.err, -ENOENT, "etcd: the lease has expired or was revoked");
	etcd_answer(r, STORE_ABSENT);
	return true;
}

static bool is_under_way(const struct etcd_store *s, u128 id)
{
	for (size_t i = 0; i < ETCD_TIME_LEFT_AT_ONCE; i++) {
		if (s->under_way[i] && s->under_way[i]->lease->id == id)
			return true;
	}
	return false;
}

/* Each of those that wait now is told what this one was. */
static void fail_all(struct etcd_store *s, enum store_status status, const struct err *e)
{
	TAILQ_HEAD(, etcd_request) failed = TAILQ_HEAD_INITIALIZER(failed);
	struct etcd_request *r;

	TAILQ_CONCAT(&failed, &s->waiting, waiting);
	TAILQ_FOREACH (r, &failed, waiting)
		r->waits = false;
	while ((r = TAILQ_FIRST(&failed))) {
		TAILQ_REMOVE(&failed, r, waiting);
		r->reply.err = *e;
		etcd_answer(r, status);
	}
}

static void on_answer(void *arg, const struct etcd_result *result)
{
	struct etcd_request *r = arg;
	struct etcd_store *s = r->store;
	int64_t id = (int64_t)r->lease->id;
	enum store_status status = etcd_read_ttl(r, result);
	struct err e = r->reply.err;

	event_active(s->time_left_turn, EV_TIMEOUT, 0);
	if (status == STORE_OK || status == STORE_ABSENT)
		remember(s, id, MAX(r->reply.ttl_s, (int64_t)0),
			 result->code == ETCD_OK ? result->reply->granted_ttl_s : 0);
	etcd_answer(r, status);
	if (status != STORE_OK && status != STORE_ABSENT)
		fail_all(s, status, &e);
}

static void send_question(struct etcd_request *r)
{
	size_t i = 0;

	while (r->store->under_way[i])
		i++;
	r->store->under_way[i] = r;
	etcd_request_call(
		r,
		&(struct etcd_ask){ .method = ETCD_TIME_TO_LIVE, .lease = (int64_t)r->lease->id },
		on_answer);
}

static void on_turn(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct etcd_store *s = arg;
	struct etcd_request *r;

	while ((r = TAILQ_FIRST(&s->waiting))) {
		if (is_under_way(s, r->lease->id))
			return;
		if (answer_known(r))
			continue;
		for (size_t i = 0; s->under_way[i];) {
			if (++i == ETCD_TIME_LEFT_AT_ONCE)
				return;
		}
		TAILQ_REMOVE(&s->waiting, r, waiting);
		r->waits = false;
		send_question(r);
	}
}

void etcd_time_left_ask(struct etcd_request *r)
{
	r->waits = true;
	TAILQ_INSERT_TAIL(&r->store->waiting, r, waiting);
	event_active(r->store->time_left_turn, EV_TIMEOUT, 0);
}

void etcd_time_left_forget(struct etcd_store *s, int64_t id)
{
	struct etcd_time_left *known;

	HASH_FIND(hh, s->times_left, &id, sizeof(id), known);
	if (known)
		known->until_ms = 0;
}

void etcd_time_left_drop(struct etcd_request *r)
{
	struct etcd_store *s = r->store;

	if (r->waits)
		TAILQ_REMOVE(&s->waiting, r, waiting);
	for (size_t i = 0; i < ETCD_TIME_LEFT_AT_ONCE; i++) {
		if (s->under_way[i] == r)
			s->under_way[i] = NULL;
	}
}

void etcd_time_left_init(struct etcd_store *s)
{
	TAILQ_INIT(&s->waiting);
	s->time_left_turn = event_new(s->loop, -1, 0, on_turn, s);
}

void etcd_time_left_fini(struct etcd_store *s)
{
	forget(s);
	event_free(s->time_left_turn);
}
