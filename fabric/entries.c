/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/entries.h"

#define BUCKETS_MIN 64

void entries_init(struct entries *t)
{
	*t = (struct entries){ .buckets_len = BUCKETS_MIN };
	t->buckets = xcalloc(t->buckets_len, sizeof(*t->buckets));
	/* Place 0 means none. */
	GROW(t->items, t->len, t->cap);
	t->items[t->len++] = (struct entry){ 0 };
	GROW(t->asides, t->asides_len, t->asides_cap);
	t->asides[t->asides_len++] = (struct entry_aside){ 0 };
}

void entries_fini(struct entries *t)
{
	for (uint32_t i = 0; i < t->asides_len; i++)
		free(t->asides[i].error);
	free(t->asides);
	free(t->items);
	free(t->buckets);
}

/* ---- by key ---- */

static uint32_t *bucket_of(const struct entries *t, const struct kernel_key *key)
{
	uint32_t words[sizeof(*key) / 4];
	uint64_t h = 0;

	memcpy(words, key, sizeof(words));
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		h = (h ^ words[i]) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	return &t->buckets[h & (t->buckets_len - 1)];
}

uint32_t entries_find(const struct entries *t, const struct kernel_key *key)
{
	uint32_t id = *bucket_of(t, key);

	while (id && memcmp(&t->items[id].object.key, key, sizeof(*key)) != 0)
		id = t->items[id].bucket_next;
	return id;
}

static void chain(struct entries *t, uint32_t id)
{
	uint32_t *bucket = bucket_of(t, &t->items[id].object.key);

	t->items[id].bucket_next = *bucket;
	*bucket = id;
}

static void grow_buckets(struct entries *t)
{
	free(t->buckets);
	t->buckets_len *= 2;
	t->buckets = xcalloc(t->buckets_len, sizeof(*t->buckets));
	for (uint32_t id = 1; id < t->len; id++) {
		if (t->items[id].used && !t->items[id].holder)
			chain(t, id);
	}
}

static uint32_t take_place(struct entries *t, const struct kernel_object *o)
{
	uint32_t id = t->free;

	if (id) {
		t->free = t->items[id].bucket_next;
	} else {
		GROW(t->items, t->len, t->cap);
		id = t->len++;
	}
	t->items[id] = (struct entry){ .object = *o, .used = true };
	return id;
}

uint32_t entries_add(struct entries *t, const struct kernel_object *o)
{
	uint32_t id;

	if (t->used++ == t->buckets_len)
		grow_buckets(t);
	id = take_place(t, o);
	chain(t, id);
	return id;
}

uint32_t entries_add_holder(struct entries *t, const struct kernel_object *o)
{
	uint32_t id = take_place(t, o);

	t->items[id].holder = true;
	return id;
}

static void unchain(struct entries *t, uint32_t id)
{
	uint32_t *link = bucket_of(t, &t->items[id].object.key);

	while (*link != id)
		link = &t->items[*link].bucket_next;
	*link = t->items[id].bucket_next;
	t->used--;
}

static void free_aside(struct entries *t, uint32_t place)
{
	free(t->asides[place].error);
	t->asides[place] = (struct entry_aside){ .next_free = t->asides_free };
	t->asides_free = place;
}

void entries_remove(struct entries *t, uint32_t id)
{
	struct entry *entry = &t->items[id];

	if (!entry->holder)
		unchain(t, id);
	if (entry->aside)
		free_aside(t, entry->aside);
	*entry = (struct entry){ .bucket_next = t->free };
	t->free = id;
}

/* ---- what few have ---- */

struct entry_aside *entries_aside(struct entries *t, uint32_t id)
{
	struct entry *entry = &t->items[id];

	if (!entry->aside && t->asides_free) {
		entry->aside = t->asides_free;
		t->asides_free = t->asides[entry->aside].next_free;
	} else if (!entry->aside) {
		GROW(t->asides, t->asides_len, t->asides_cap);
		entry->aside = t->asides_len++;
	} else {
		return &t->asides[entry->aside];
	}
	t->asides[entry->aside] = (struct entry_aside){ .entry = id };
	return &t->asides[entry->aside];
}

const struct entry_aside *entries_see_aside(const struct entries *t, uint32_t id)
{
	return t->items[id].aside ? &t->asides[t->items[id].aside] : NULL;
}

void entries_tidy(struct entries *t, uint32_t id)
{
	struct entry_aside *aside = &t->asides[t->items[id].aside];

	if (!t->items[id].aside || aside->error || aside->other_known || aside->holders ||
	    aside->fight.pace.failures)
		return;
	free_aside(t, t->items[id].aside);
	t->items[id].aside = 0;
}

/* ---- queues ---- */

void entries_append(struct entries *t, struct entry_list *list, uint32_t id)
{
	t->items[id].queue_prev = list->last;
	t->items[id].queue_next = 0;
	*(list->last ? &t->items[list->last].queue_next : &list->first) = id;
	list->last = id;
}

void entries_unlink(struct entries *t, struct entry_list *list, uint32_t id)
{
	const struct entry *entry = &t->items[id];

	*(entry->queue_prev ? &t->items[entry->queue_prev].queue_next : &list->first) =
		entry->queue_next;
	*(entry->queue_next ? &t->items[entry->queue_next].queue_prev : &list->last) =
		entry->queue_prev;
}
