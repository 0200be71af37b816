/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reconciler's table of entries: one for each slot in the kernel that somebody wants filled, or
 * that must be emptied. For fabric/reconcile*.c alone.
 *
 * With ten thousand peers there are forty thousand entries, so they lie in one array, are named by
 * their place in it (a number, 0 is none) and linked by such numbers; what few entries have stands
 * aside.
 */
#ifndef FABRIC_ENTRIES_H
#define FABRIC_ENTRIES_H

#include "lib/fight.h"
#include "kernel/object.h"

struct reconcile_owner;

/* What we believe the kernel has in the slot of an entry. */
enum entry_presence {
	ENTRY_ABSENT,  /* nothing, as far as we know */
	ENTRY_PRESENT, /* exactly the entry's object */
	ENTRY_OTHER,   /* something of ours, but not the entry's object */
};

enum entry_queue { ENTRY_NOWHERE, ENTRY_IN_PUTS, ENTRY_IN_DROPS };

struct entry {
	struct kernel_object object;   /* what is wanted there, or without owner what to drop */
	struct reconcile_owner *owner; /* NULL: nobody wants it */
	uint32_t owner_next;           /* entries of the same owner */
	uint32_t bucket_next;          /* entries whose keys have one hash; free entries */
	uint32_t queue_next;           /* entries in the same queue; further holders */
	uint32_t queue_prev;
	uint32_t aside;        /* place of what few have; 0: none */
	unsigned presence : 2; /* enum entry_presence */
	unsigned queued : 2;   /* enum entry_queue: which queue it stands in */
	unsigned held : 1; /* the slot was ours once: whoever took it since altered our object */
	unsigned creating : 1; /* the last write was a CREATE, so the slot was not ours before */
	unsigned keep : 1;     /* scratch of reconcile_want */
	unsigned seen : 1;   /* the observation under way has shown something of ours in the slot */
	unsigned paused : 1; /* fought over: not to be put back, or removed, before its time */
	unsigned stray : 1;  /* found, and nobody has wanted it since */
	unsigned holder : 1; /* no slot, but a further holder of another entry's */
	unsigned used : 1;   /* not on the free list */
};

_Static_assert(sizeof(struct entry) <= 96, "an entry has grown");

struct entry_aside {
	uint32_t next_free;
	uint32_t entry;   /* whose it is; 0: on the free list */
	uint32_t holders; /* the first of further owners: entries that stand for no slot */
	bool other_known;
	struct kernel_value other; /* ENTRY_OTHER: what stands in the slot */
	char *error; /* the last write failed; not queued again before the next observation */
	struct fight fight; /* somebody undid it, or adds what nobody wants */
};

struct entries {
	struct entry *items;
	uint32_t len; /* of items, 0 among them */
	uint32_t cap;
	uint32_t free;
	uint32_t *buckets; /* a power of two of them */
	uint32_t buckets_len;
	uint32_t used;
	struct entry_aside *asides;
	uint32_t asides_len;
	uint32_t asides_cap;
	uint32_t asides_free;
};

void entries_init(struct entries *t);
void entries_fini(struct entries *t);

/* Pointers are good until the next entries_add. */
static inline struct entry *entries_at(const struct entries *t, uint32_t id)
{
	return &t->items[id];
}

/* 0 if there is none. */
uint32_t entries_find(const struct entries *t, const struct kernel_key *key);
/* Nobody's, absent. The key must not be there yet. */
uint32_t entries_add(struct entries *t, const struct kernel_object *o);
void entries_remove(struct entries *t, uint32_t id);
/* The same for an entry that is not found by its key. */
uint32_t entries_add_holder(struct entries *t, const struct kernel_object *o);

/* What stands aside of an entry: made if there is nothing yet; good until the next call. */
struct entry_aside *entries_aside(struct entries *t, uint32_t id);
/* The same to look at: NULL if there is nothing. */
const struct entry_aside *entries_see_aside(const struct entries *t, uint32_t id);
/* Gives it up if nothing is in it any more. */
void entries_tidy(struct entries *t, uint32_t id);

/* A queue of entries. An entry is in one at most. */
struct entry_list {
	uint32_t first;
	uint32_t last;
};
void entries_append(struct entries *t, struct entry_list *list, uint32_t id);
void entries_unlink(struct entries *t, struct entry_list *list, uint32_t id);

#endif
