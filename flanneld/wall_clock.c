/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/wall_clock.h"

#include <event2/event.h>
#include <stdlib.h>

#include "lib/clock.h"
#include "lib/log.h"

#define LOOK_S     30
#define AGAIN_MS   60000 /* while they do not agree: the store's may be the one that is put right */
#define SELDOM_MS  3600000 /* while they do */
#define SET_MIN_MS 1000    /* a clock that is slewed does not come so far in a second */

struct wall_clock {
	const struct http_client *http;
	struct store *store;
	void (*changed)(void *arg);
	void *arg;
	struct event *timer;
	int64_t ahead_of_boot_ms; /* of our own, when it was looked at last */
	int64_t ask_ms;           /* when the store is to be asked */
	int64_t pause_ms;         /* after which it is asked again, if it does not tell */
};

/* False: nobody has told another time. */
static bool compare(const struct wall_clock *w, int64_t *ret_ahead_s)
{
	const struct http_clock *store = http_client_clock(w->http);

	if (!store->where[0])
		return false;
	*ret_ahead_s = http_clock_ahead_s(store, clock_boot_ms(), clock_wall_ms());
	return true;
}

static bool agrees(int64_t ahead_s)
{
	return ahead_s > -WALL_CLOCK_INFO_S && ahead_s < WALL_CLOCK_INFO_S;
}

static void ask(struct wall_clock *w, int64_t now_ms)
{
	int64_t ahead_s = 0;
	bool known = compare(w, &ahead_s);

	if (!w->store->ops->ask_clock || now_ms < w->ask_ms)
		return;
	/* Where nothing but gRPC is spoken there is never an answer. */
	w->pause_ms = known ? (agrees(ahead_s) ? SELDOM_MS : AGAIN_MS)
			    : MIN(2 * w->pause_ms, (int64_t)SELDOM_MS);
	w->ask_ms = now_ms + w->pause_ms;
	w->store->ops->ask_clock(w->store);
}

/* A line in the log where its times make no sense, since one came before the other. */
static void note_jump(struct wall_clock *w)
{
	int64_t ahead_ms = clock_wall_ms() - clock_boot_ms();
	int64_t jump_ms = ahead_ms - w->ahead_of_boot_ms;
	char text[CLOCK_TEXT];

	w->ahead_of_boot_ms = ahead_ms;
	if (jump_ms > -SET_MIN_MS && jump_ms < SET_MIN_MS)
		return;
	clock_format_duration(llabs(jump_ms) / 1000, text);
	log_info("clock-set", "this host's clock was set %s by %s (%lld s)",
		 jump_ms < 0 ? "back" : "ahead", text, llabs(jump_ms) / 1000);
	w->ask_ms = 0;
}

static void on_look(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct wall_clock *w = arg;
	int64_t ahead_s = 0;

	note_jump(w);
	ask(w, clock_boot_ms());
	if (compare(w, &ahead_s))
		w->changed(w->arg);
}

struct wall_clock *wall_clock_new(struct event_base *base, const struct http_client *http,
				  struct store *store, void (*changed)(void *arg), void *arg)
{
	struct wall_clock *w = xcalloc(1, sizeof(*w));
	struct timeval every = { LOOK_S, 0 };

	w->http = http;
	w->store = store;
	w->changed = changed;
	w->arg = arg;
	w->ahead_of_boot_ms = clock_wall_ms() - clock_boot_ms();
	w->pause_ms = LOOK_S * 1000 / 2;
	w->timer = event_new(base, -1, EV_PERSIST, on_look, w);
	event_add(w->timer, &every);
	ask(w, clock_boot_ms());
	return w;
}

void wall_clock_free(struct wall_clock *w)
{
	if (!w)
		return;
	event_free(w->timer);
	free(w);
}

void wall_clock_judge(int64_t ahead_s, const char *where, struct problem_list *list)
{
	int64_t apart_s = llabs(ahead_s);
	char text[CLOCK_TEXT];

	if (agrees(ahead_s))
		return;
	problem_add(
		list, apart_s < WALL_CLOCK_WARNING_S ? PROBLEM_INFO : PROBLEM_WARNING, "clock-skew",
		"this host's clock is %s (%lld s) %s that of the store at %.80s: times in its log "
		"and events are wrong by so much%s; packets and leases do not depend on it",
		clock_format_duration(apart_s, text), (long long)apart_s,
		ahead_s < 0 ? "behind" : "ahead of", where,
		apart_s < WALL_CLOCK_WARNING_S ? "" : ", and certificates are judged by it");
}

void wall_clock_problems(const struct wall_clock *w, struct problem_list *list)
{
	int64_t ahead_s;

	if (compare(w, &ahead_s))
		wall_clock_judge(ahead_s, http_client_clock(w->http)->where, list);
}
