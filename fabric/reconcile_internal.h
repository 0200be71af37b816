/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the reconciler share; for nobody else.
 *
 *   reconcile.c           what is wanted and by whom, the state of an entry, the queue of writes
 *   reconcile_observe.c   what the kernel has, what is undone, when it is put back
 *   entries.c             the table of entries
 */
#ifndef FABRIC_RECONCILE_INTERNAL_H
#define FABRIC_RECONCILE_INTERNAL_H

#include "fabric/entries.h"
#include "fabric/reconcile.h"

/* An observed object of ours whose slot belongs to an entry that has another object. */
struct rival {
	uint32_t entry;
	struct kernel_object actual;
};

struct reconcile {
	struct kernel_marks marks;
	struct entries entries;
	struct entry_list puts[KERNEL_KINDS];
	struct entry_list drops[KERNEL_KINDS];
	/* Of kinds that have several objects in a slot: those beside the wanted one, to be
	 * dropped. */
	struct kernel_object *strays;
	size_t strays_len;
	size_t strays_cap;
	unsigned reread;             /* kinds, see reconcile_take_reread */
	struct kernel_object handed; /* the one last handed out */
	unsigned observing;
	unsigned held_kinds; /* not handed out for now */
	struct rival *rivals;
	size_t rivals_len;
	size_t rivals_cap;
	size_t removed; /* entries that are kept only to know what was removed of late */
	int64_t now_ms;
	int64_t due_ms; /* of the next tick */
	const struct reconcile_listener *listener;
	void *listener_arg;
	struct reconcile_counts counts;
};

static inline struct entry *at(const struct reconcile *r, uint32_t id)
{
	return entries_at(&r->entries, id);
}

/* What stands in the slot of an entry instead of its object, if that is known. */
static inline const struct kernel_value *reconcile_other(const struct reconcile *r, uint32_t id)
{
	const struct entry_aside *aside = entries_see_aside(&r->entries, id);

	return aside && aside->other_known ? &aside->other : NULL;
}

/*
 * The one place where an entry changes: owner, belief and error at once. Which queue it stands in
 * follows from them, and an entry that nobody wants and nobody has is freed.
 */
void reconcile_set_state(struct reconcile *r, uint32_t id, struct reconcile_owner *owner,
			 enum entry_presence presence, const char *error);
/* What stands in the slot instead of the entry's object; NULL: nothing, or nobody knows what. */
void reconcile_set_other(struct reconcile *r, uint32_t id, const struct kernel_value *value);
/* What nobody wants is about to be removed: remembered for a while, in case it comes back. */
void reconcile_note_removal(struct reconcile *r, uint32_t id);
/* It has stood for a while, or is wanted by nobody, or by somebody now: forgotten. */
void reconcile_end_fight(struct reconcile *r, uint32_t id);

#endif
