/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hashes, and a hash table that costs one pointer for a member.
 *
 * Two hashes, for two purposes. hash_fnv1a() gives numbers that outlive the process: MAC addresses,
 * names of files and chains, bytes of lock files. It is FNV-1a with 64 bits, and can never change.
 * hash_bytes() is for tables in memory: eight bytes a step, and every bit of it is as good as any
 * other. Neither withstands somebody who looks for collisions: who uses one compares the keys too.
 */
#ifndef LIB_HASH_H
#define LIB_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/util.h"

#define HASH_FNV_INIT 0xcbf29ce484222325u

/* Carries `hash` (HASH_FNV_INIT, or what the last call returned) on over `size` more bytes. */
static inline uint64_t hash_fnv1a(uint64_t hash, const void *data, size_t size)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ p[i]) * 0x100000001b3u;
	return hash;
}

/* The same over a text and its terminator, so that texts in a row do not run into each other. */
static inline uint64_t hash_text(uint64_t hash, const char *text)
{
	return hash_fnv1a(hash, text, strlen(text) + 1);
}

/* Every bit of the result depends on every bit of `hash` (the end of MurmurHash3, 64 bits). */
static inline uint64_t hash_mix(uint64_t hash)
{
	hash ^= hash >> 33;
	hash *= 0xff51afd7ed558ccdu;
	hash ^= hash >> 33;
	hash *= 0xc4ceb9fe1a85ec53u;
	return hash ^ hash >> 33;
}

/* Only for this process and this machine: the result depends on the byte order. */
static inline uint64_t hash_bytes(const void *data, size_t size)
{
	const unsigned char *p = data;
	uint64_t hash = size;
	uint64_t word;

	for (; size >= sizeof(word); p += sizeof(word), size -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 29;
	}
	word = 0;
	memcpy(&word, p, size);
	return hash_mix(hash ^ word);
}

/*
 * The table. Its members are structs of the caller with a hash_link inside; those whose hashes end
 * alike hang on one chain:
 *
 *     buckets [ . ][ * ][ . ][ * ]
 *                    |         +--> link --> link      a chain: hash_table_first(), then ->next
 *                    +--> link
 *
 * A member costs its pointer and 8 to 16 bytes of buckets; uthash takes 56 and as much again. The
 * table knows no keys: the caller looks for the right one in the chain of its hash. Several members
 * may have the same key. The hash of a member must not change while it is in a table.
 *
 *     struct peer { struct ip_net net; struct hash_link link; };
 *
 *     static uint64_t hash_of(const struct hash_link *link)
 *     {
 *             const struct peer *p = CONTAINER_OF(link, struct peer, link);
 *             return hash_bytes(&p->net, sizeof(p->net));
 *     }
 *
 *     hash_table_add(&table, &peer->link, hash_of);
 *     for (l = hash_table_first(&table, hash_bytes(net, sizeof(*net))); l; l = l->next)
 *             ... CONTAINER_OF(l, struct peer, link)->net, is it the one? ...
 *
 * Bytes of a key that are hashed must all be defined: no padding.
 */
struct hash_link {
	struct hash_link *next; /* in the same chain */
};

typedef uint64_t hash_of_fn(const struct hash_link *member);

/* All zero: an empty table. It owns `buckets`, which go with the last member. */
struct hash_table {
	struct hash_link **buckets;
	size_t buckets_len; /* a power of two, or 0 */
	size_t len;         /* members */
};

/* The member must not be in a table. `hash_of` is always the same one for a table. */
void hash_table_add(struct hash_table *t, struct hash_link *member, hash_of_fn *hash_of);

/* The member must be in this table. */
void hash_table_remove(struct hash_table *t, struct hash_link *member, hash_of_fn *hash_of);

/* The chain of a hash: members that have it, and some that do not. NULL if there are none. */
static inline struct hash_link *hash_table_first(const struct hash_table *t, uint64_t hash)
{
	return t->buckets_len ? t->buckets[hash & (t->buckets_len - 1)] : NULL;
}

/*
 * All members, in no order: the one after `member`, or the first for NULL; NULL after the last.
 * Nothing may be added between two calls. Who removes members asks for the next one before.
 */
struct hash_link *hash_table_next(const struct hash_table *t, const struct hash_link *member,
				  hash_of_fn *hash_of);

#endif
