/* SPDX-License-Identifier: Apache-2.0 */
/* The sets that the guard looks addresses up in: who holds what, and how the kernel's copy follows.
 */
#include "backends/traffic.h"

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

struct traffic_key {
	struct nftables_key key;
	unsigned holders;
	bool in_kernel;
	bool queued; /* in `changed`: wanted and in the kernel are not the same */
	bool seen;   /* by the observation under way */
	TAILQ_ENTRY(traffic_key) link;
	UT_hash_handle hh;
};

void traffic_set_init(struct traffic_set *s)
{
	*s = (struct traffic_set){ 0 };
	TAILQ_INIT(&s->changed);
}

void traffic_set_fini(struct traffic_set *s)
{
	struct traffic_key *k;
	struct traffic_key *tmp;

	HASH_ITER (hh, s->keys, k, tmp) {
		HASH_DEL(s->keys, k);
		free(k);
	}
	traffic_set_init(s);
}

static struct traffic_key *find(struct traffic_set *s, const struct nftables_key *key, bool make)
{
	struct traffic_key *k;

	HASH_FIND(hh, s->keys, key, sizeof(*key), k);
	if (!k && make) {
		k = xcalloc(1, sizeof(*k));
		k->key = *key;
		HASH_ADD(hh, s->keys, key, sizeof(k->key), k);
	}
	return k;
}

/* Queues, unqueues or forgets the key, as its state demands. */
static void settle(struct traffic_set *s, struct traffic_key *k)
{
	bool differs = (k->holders > 0) != k->in_kernel;

	if (differs && !k->queued)
		TAILQ_INSERT_TAIL(&s->changed, k, link);
	else if (!differs && k->queued)
		TAILQ_REMOVE(&s->changed, k, link);
	k->queued = differs;
	if (!differs && k->holders == 0) {
		HASH_DEL(s->keys, k);
		free(k);
	}
}

void traffic_set_hold(struct traffic_set *s, const struct nftables_key *key)
{
	struct traffic_key *k = find(s, key, true);

	s->wanted += k->holders++ == 0;
	settle(s, k);
}

void traffic_set_release(struct traffic_set *s, const struct nftables_key *key)
{
	struct traffic_key *k = find(s, key, false);

	if (!k || k->holders == 0)
		abort();
	s->wanted -= --k->holders == 0;
	settle(s, k);
}

void traffic_set_observe_begin(struct traffic_set *s)
{
	struct traffic_key *k;
	struct traffic_key *tmp;

	HASH_ITER (hh, s->keys, k, tmp)
		k->seen = false;
}

void traffic_set_observe(struct traffic_set *s, const struct nftables_key *key)
{
	find(s, key, true)->seen = true;
}

void traffic_set_observe_end(struct traffic_set *s)
{
	struct traffic_key *k;
	struct traffic_key *tmp;

	HASH_ITER (hh, s->keys, k, tmp) {
		k->in_kernel = k->seen;
		settle(s, k);
	}
}

bool traffic_set_holds(const struct traffic_set *s, const struct nftables_key *key)
{
	struct traffic_key *k;

	HASH_FIND(hh, s->keys, key, sizeof(*key), k);
	return k && k->holders > 0;
}

bool traffic_set_pending(const struct traffic_set *s)
{
	return !TAILQ_EMPTY(&s->changed);
}

size_t traffic_set_take(struct traffic_set *s, bool add, struct nftables_key **ret)
{
	struct traffic_key *k = TAILQ_FIRST(&s->changed);
	struct nftables_key *keys = NULL;
	size_t len = 0;
	size_t cap = 0;

	while (k) {
		struct traffic_key *next = TAILQ_NEXT(k, link);

		if (add == (k->holders > 0)) {
			GROW(keys, len, cap);
			keys[len++] = k->key;
			k->in_kernel = add;
			settle(s, k);
		}
		k = next;
	}
	*ret = keys;
	return len;
}

size_t traffic_set_take_all(struct traffic_set *s, struct nftables_key **ret)
{
	struct nftables_key *keys = NULL;
	struct traffic_key *k;
	struct traffic_key *tmp;
	size_t len = 0;
	size_t cap = 0;

	HASH_ITER (hh, s->keys, k, tmp) {
		if (k->holders > 0) {
			GROW(keys, len, cap);
			keys[len++] = k->key;
		}
		k->in_kernel = k->holders > 0;
		settle(s, k);
	}
	*ret = keys;
	return len;
}
