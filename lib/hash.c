/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/hash.h"

#define BUCKETS_MIN 16

static struct hash_link **bucket_of(const struct hash_table *t, uint64_t hash)
{
	return &t->buckets[hash & (t->buckets_len - 1)];
}

static void chain(struct hash_table *t, struct hash_link *member, hash_of_fn *hash_of)
{
	struct hash_link **bucket = bucket_of(t, hash_of(member));

	member->next = *bucket;
	*bucket = member;
}

static void grow(struct hash_table *t, hash_of_fn *hash_of)
{
	struct hash_table old = *t;

	t->buckets_len = MAX(old.buckets_len * 2, (size_t)BUCKETS_MIN);
	t->buckets = xcalloc(t->buckets_len, sizeof(struct hash_link *));
	for (size_t i = 0; i < old.buckets_len; i++) {
		while (old.buckets[i]) {
			struct hash_link *member = old.buckets[i];

			old.buckets[i] = member->next;
			chain(t, member, hash_of);
		}
	}
	free(old.buckets);
}

void hash_table_add(struct hash_table *t, struct hash_link *member, hash_of_fn *hash_of)
{
	if (t->len == t->buckets_len)
		grow(t, hash_of);
	chain(t, member, hash_of);
	t->len++;
}

void hash_table_remove(struct hash_table *t, struct hash_link *member, hash_of_fn *hash_of)
{
	struct hash_link **link = bucket_of(t, hash_of(member));

	while (*link != member)
		link = &(*link)->next;
	*link = member->next;
	member->next = NULL;
	if (--t->len == 0) {
		free(t->buckets);
		*t = (struct hash_table){ 0 };
	}
}

struct hash_link *hash_table_next(const struct hash_table *t, const struct hash_link *member,
				  hash_of_fn *hash_of)
{
	size_t i = 0;

	if (member) {
		if (member->next)
			return member->next;
		i = (hash_of(member) & (t->buckets_len - 1)) + 1;
	}
	while (i < t->buckets_len && !t->buckets[i])
		i++;
	return i < t->buckets_len ? t->buckets[i] : NULL;
}
