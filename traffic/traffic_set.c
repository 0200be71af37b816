/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sets that the guard looks addresses up in: who holds what, and how the kernel's copy follows.
 *
 * Ten thousand peers are the rule to be sized for, so a key costs 24 bytes in an array and 8 to 16
 * in an index of it (open addressing, linear probing), where a usual hash table costs 110.
 */
#include "traffic/traffic.h"

#include "lib/hash.h"

#define INDEX_MIN 16 /* slots; a power of two, and never more than half are used */

struct traffic_key {
	struct nft_key key;
	bool in_kernel : 1;
	bool seen : 1; /* by the observation under way */
	uint32_t holders;
};

_Static_assert(sizeof(struct traffic_key) == 24, "traffic_key is not as small as it is said to be");

void traffic_set_init(struct traffic_set *s)
{
	*s = (struct traffic_set){ 0 };
}

void traffic_set_fini(struct traffic_set *s)
{
	free(s->keys);
	free(s->index);
	traffic_set_init(s);
}

/* ---- the table ---- */

static uint64_t hash(const struct nft_key *key)
{
	return hash_bytes(key->b, sizeof(key->b));
}

/* The slot of the index that has this key, or the empty one where it would go. */
static size_t slot_of(const struct traffic_set *s, const struct nft_key *key)
{
	size_t slot = hash(key) & (s->index_len - 1);

	while (s->index[slot] && memcmp(&s->keys[s->index[slot] - 1].key, key, sizeof(*key)) != 0)
		slot = (slot + 1) & (s->index_len - 1);
	return slot;
}

static struct traffic_key *find(const struct traffic_set *s, const struct nft_key *key)
{
	size_t slot = s->index_len ? slot_of(s, key) : 0;

	return s->index_len && s->index[slot] ? &s->keys[s->index[slot] - 1] : NULL;
}

static void grow_index(struct traffic_set *s)
{
	s->index_len = MAX(s->index_len * 2, (size_t)INDEX_MIN);
	free(s->index);
	s->index = xcalloc(s->index_len, sizeof(*s->index));
	for (size_t i = 0; i < s->len; i++)
		s->index[slot_of(s, &s->keys[i].key)] = (uint32_t)i + 1;
}

static struct traffic_key *find_or_make(struct traffic_set *s, const struct nft_key *key)
{
	struct traffic_key *k = find(s, key);

	if (k)
		return k;
	if ((s->len + 1) * 2 > s->index_len)
		grow_index(s);
	GROW(s->keys, s->len, s->cap);
	s->index[slot_of(s, key)] = (uint32_t)s->len + 1;
	k = &s->keys[s->len++];
	*k = (struct traffic_key){ .key = *key };
	return k;
}

/* Closes the gap, so that no search ends there too early. */
static void empty_slot(struct traffic_set *s, size_t gap)
{
	size_t mask = s->index_len - 1;

	for (size_t slot = (gap + 1) & mask; s->index[slot]; slot = (slot + 1) & mask) {
		size_t home = hash(&s->keys[s->index[slot] - 1].key) & mask;

		/* Whoever may not stand before its home stays. */
		if (((slot - home) & mask) < ((slot - gap) & mask))
			continue;
		s->index[gap] = s->index[slot];
		gap = slot;
	}
	s->index[gap] = 0;
}

/* The last key takes the place of the one that goes. */
static void forget(struct traffic_set *s, struct traffic_key *k)
{
	struct traffic_key *last = &s->keys[s->len - 1];

	empty_slot(s, slot_of(s, &k->key));
	if (k != last) {
		s->index[slot_of(s, &last->key)] = (uint32_t)(k - s->keys) + 1;
		*k = *last;
	}
	s->len--;
}

/* ---- holders ---- */

static bool differs(const struct traffic_key *k)
{
	return (k->holders > 0) != k->in_kernel;
}

/* After a change of a key whose difference was counted before as `before`. */
static void settle(struct traffic_set *s, struct traffic_key *k, bool before)
{
	s->changed += (size_t)differs(k) - (size_t)before;
	if (k->holders == 0 && !k->in_kernel)
		forget(s, k);
}

void traffic_set_hold(struct traffic_set *s, const struct nft_key *key)
{
	struct traffic_key *k = find_or_make(s, key);
	bool before = differs(k);

	s->wanted += k->holders++ == 0;
	settle(s, k, before);
}

void traffic_set_release(struct traffic_set *s, const struct nft_key *key)
{
	struct traffic_key *k = find(s, key);
	bool before;

	if (!k || k->holders == 0)
		abort();
	before = differs(k);
	s->wanted -= --k->holders == 0;
	settle(s, k, before);
}

bool traffic_set_holds(const struct traffic_set *s, const struct nft_key *key)
{
	const struct traffic_key *k = find(s, key);

	return k && k->holders > 0;
}

/* ---- the kernel ---- */

void traffic_set_observe_begin(struct traffic_set *s)
{
	for (size_t i = 0; i < s->len; i++)
		s->keys[i].seen = false;
}

void traffic_set_observe(struct traffic_set *s, const struct nft_key *key)
{
	find_or_make(s, key)->seen = true;
}

/* From the end, since the last key takes the place of one that is forgotten. */
void traffic_set_observe_end(struct traffic_set *s)
{
	for (size_t i = s->len; i-- > 0;) {
		struct traffic_key *k = &s->keys[i];
		bool before = differs(k);

		k->in_kernel = k->seen;
		settle(s, k, before);
	}
}

bool traffic_set_pending(const struct traffic_set *s)
{
	return s->changed > 0;
}

size_t traffic_set_take(struct traffic_set *s, bool add, struct nft_key **ret)
{
	struct nft_key *keys = NULL;
	size_t len = 0;
	size_t cap = 0;

	for (size_t i = s->len; i-- > 0 && s->changed > 0;) {
		struct traffic_key *k = &s->keys[i];

		if (!differs(k) || add != (k->holders > 0))
			continue;
		GROW(keys, len, cap);
		keys[len++] = k->key;
		k->in_kernel = add;
		settle(s, k, true);
	}
	*ret = keys;
	return len;
}

size_t traffic_set_take_all(struct traffic_set *s, struct nft_key **ret)
{
	struct nft_key *keys = xmalloc((s->wanted + 1) * sizeof(*keys));
	size_t len = 0;

	for (size_t i = s->len; i-- > 0;) {
		struct traffic_key *k = &s->keys[i];
		bool before = differs(k);

		if (k->holders > 0)
			keys[len++] = k->key;
		k->in_kernel = k->holders > 0;
		settle(s, k, before);
	}
	*ret = keys;
	return len;
}
