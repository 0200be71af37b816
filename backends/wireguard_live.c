/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What WireGuard says of its peers while they are used: last handshakes, bytes, and who cannot be
 * talked to.
 *
 * Nothing of it is told by itself, and a key that one side has and the other has not is no error
 * anywhere: packets are dropped. So the devices are asked, when somebody wants to know, and what moved
 * in a while is compared:
 *
 *   heard      its packets arrive, which are proven by its key, but no handshake comes of it: the
 *              preshared key is on one side only, or another one
 *   silent     we send, and nothing comes back
 */
#include "backends/wireguard_internal.h"

#include <string.h>

#include "lib/clock.h"

#define FRESH_MS 1000  /* what was read since is not read again */
#define WHILE_MS 10000 /* in which something must move: twice the time between two attempts */
#define KEY_SIZE WIREGUARD_KEY_SIZE

struct seen {
	uint8_t key[KEY_SIZE];
	struct ip_net subnet; /* the first one, to name it by */
	struct backend_traffic traffic;
	struct backend_traffic before; /* when the while began */
	bool heard;
	bool silent;
};

struct wireguard_watch {
	const struct backend_env *env;
	int64_t looked_ms;
	int64_t while_ms; /* when it began */
	bool by_process;
	struct seen *seen; /* by key */
	size_t len;
	size_t cap;
};

/* ---- looking ---- */

static int by_key(const void *a, const void *b)
{
	return memcmp(((const struct seen *)a)->key, ((const struct seen *)b)->key, KEY_SIZE);
}

static struct seen *find(const struct wireguard_watch *w, const uint8_t *key)
{
	struct seen wanted = { .heard = false };

	memcpy(wanted.key, key, KEY_SIZE);
	return w->len ? bsearch(&wanted, w->seen, w->len, sizeof(wanted), by_key) : NULL;
}

static void on_peer(void *arg, const struct wireguard_peer *p)
{
	struct wireguard_watch *w = arg;
	struct seen *s;

	GROW(w->seen, w->len, w->cap);
	s = &w->seen[w->len++];
	*s = (struct seen){ .traffic = { p->handshake_s, p->received_bytes, p->sent_bytes } };
	memcpy(s->key, p->key, sizeof(s->key));
}

static void on_allowed_ip(void *arg, const uint8_t key[static WIREGUARD_KEY_SIZE],
			  const struct ip_net *net)
{
	const struct wireguard_watch *w = arg;
	struct seen *last = w->len ? &w->seen[w->len - 1] : NULL;

	if (last && !ip_net_is_set(&last->subnet) && memcmp(last->key, key, KEY_SIZE) == 0)
		last->subnet = *net;
}

static void forget(void *arg)
{
	((struct wireguard_watch *)arg)->len = 0;
}

/* A host that has two devices here, one for each family, is one peer. */
static void sort_and_join(struct wireguard_watch *w)
{
	size_t kept = 0;

	if (w->len)
		qsort(w->seen, w->len, sizeof(*w->seen), by_key);
	for (size_t i = 0; i < w->len; i++) {
		struct backend_traffic *t = kept ? &w->seen[kept - 1].traffic : NULL;

		if (!t || by_key(&w->seen[kept - 1], &w->seen[i]) != 0) {
			w->seen[kept++] = w->seen[i];
			continue;
		}
		t->handshake_s = MAX(t->handshake_s, w->seen[i].traffic.handshake_s);
		t->received_bytes += w->seen[i].traffic.received_bytes;
		t->sent_bytes += w->seen[i].traffic.sent_bytes;
	}
	w->len = kept;
}

static void read_devices(const struct wireguard *b, struct wireguard_watch *w)
{
	static const struct wireguard_visitor visitor = { .peer = on_peer,
							  .allowed_ip = on_allowed_ip,
							  .forget = forget };

	w->by_process = false;
	for (size_t i = 0; i < b->devices_len; i++) {
		struct wireguard_watch one = { 0 };
		char name[IFNAMSIZ];

		if (!b->ifindexes[i])
			continue;
		w->by_process |= wireguard_by_process(w->env->kernel, b->ifindexes[i], name);
		if (wireguard_read(w->env->kernel, b->ifindexes[i], &visitor, &one, NULL) < 0)
			one.len = 0;
		for (size_t k = 0; k < one.len; k++) {
			GROW(w->seen, w->len, w->cap);
			w->seen[w->len++] = one.seen[k];
		}
		free(one.seen);
	}
	sort_and_join(w);
}

static bool is_alive(const struct seen *s, int64_t now_s)
{
	return s->traffic.handshake_s && s->traffic.handshake_s >= now_s - WIREGUARD_SESSION_S;
}

/* What has moved in the while that is over. */
static void judge(struct seen *s, const struct seen *before, int64_t now_s)
{
	bool alive = is_alive(s, now_s);
	bool received = before && s->traffic.received_bytes > before->before.received_bytes;
	bool sent = before && s->traffic.sent_bytes > before->before.sent_bytes;

	s->heard =
		!alive && (received || (!s->traffic.handshake_s && s->traffic.received_bytes > 0));
	s->silent = !alive && !s->heard && sent && !received;
	s->before = s->traffic;
}

static void look(const struct wireguard *b)
{
	struct wireguard_watch *w = b->watch;
	int64_t now_ms = clock_boot_ms();
	int64_t now_s = clock_wall_ms() / 1000;
	bool over = now_ms - w->while_ms >= WHILE_MS;
	struct wireguard_watch old = *w;

	if (w->looked_ms && now_ms - w->looked_ms < FRESH_MS)
		return;
	w->seen = NULL;
	w->len = w->cap = 0;
	read_devices(b, w);
	for (size_t i = 0; i < w->len; i++) {
		struct seen *s = &w->seen[i];
		const struct seen *before = find(&old, s->key);

		if (over || !before) {
			judge(s, before, now_s);
			continue;
		}
		s->before = before->before;
		s->heard = before->heard && !is_alive(s, now_s);
		s->silent = before->silent && !is_alive(s, now_s);
	}
	free(old.seen);
	w->looked_ms = now_ms;
	w->while_ms = over ? now_ms : w->while_ms;
}

/* ---- what is told ---- */

struct crowd {
	size_t len;
	char first[IP_NET_TEXT];
};

static void count(struct crowd *c, const struct seen *s)
{
	if (c->len++ == 0)
		ip_net_format(&s->subnet, c->first);
}

static const char *format_crowd(const struct crowd *c, char buf[static IP_NET_TEXT + 32])
{
	if (c->len > 1)
		snprintf(buf, IP_NET_TEXT + 32, "%s and %zu more", c->first, c->len - 1);
	else
		snprintf(buf, IP_NET_TEXT + 32, "%s", c->first);
	return buf;
}

static void wireguard_live_health(const struct backend *b, struct problem_list *ret)
{
	const struct wireguard *w = (const struct wireguard *)b;
	struct crowd heard = { 0 };
	struct crowd silent = { 0 };
	char text[IP_NET_TEXT + 32];

	look(w);
	for (size_t i = 0; i < w->watch->len; i++) {
		if (w->watch->seen[i].heard)
			count(&heard, &w->watch->seen[i]);
		else if (w->watch->seen[i].silent)
			count(&silent, &w->watch->seen[i]);
	}
	if (heard.len)
		problem_add(
			ret, PROBLEM_WARNING, "wireguard-no-handshake",
			"packets of %s arrive, but no handshake succeeds: the preshared key (PSK) "
			"must be the same on both sides",
			format_crowd(&heard, text));
	if (silent.len)
		problem_add(
			ret, PROBLEM_WARNING, "wireguard-silent",
			"no answer from %s: down, its UDP port is blocked, or it has another key "
			"for us",
			format_crowd(&silent, text));
	if (w->watch->by_process)
		problem_add(ret, PROBLEM_INFO, "wireguard-go",
			    "the kernel has no WireGuard: the process wireguard-go carries all "
			    "packets, more slowly");
}

static bool wireguard_live_traffic(struct backend *b, const void *data, struct backend_traffic *ret)
{
	const struct wireguard *w = (const struct wireguard *)b;
	const struct wireguard_lease *l = data;
	const struct seen *s;

	look(w);
	s = find(w->watch, l->key[l->has[0] ? 0 : 1]);
	if (!s)
		return false;
	*ret = s->traffic;
	return true;
}

/* ---- life ---- */

static int wireguard_live_start(struct backend *b, const struct backend_env *env,
				struct err *e UNUSED)
{
	struct wireguard *w = (struct wireguard *)b;

	w->watch = xcalloc(1, sizeof(*w->watch));
	w->watch->env = env;
	return 0;
}

static void wireguard_live_stop(struct backend *b, bool keep_data_path UNUSED)
{
	struct wireguard *w = (struct wireguard *)b;

	free(w->watch->seen);
	free(STEAL(w->watch));
}

const struct backend_live wireguard_live = {
	.start = wireguard_live_start,
	.health = wireguard_live_health,
	.traffic = wireguard_live_traffic,
	.stop = wireguard_live_stop,
};
