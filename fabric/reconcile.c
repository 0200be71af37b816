/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/reconcile.h"

#include <errno.h>

#include "fabric/entries.h"

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
	unsigned strays_dropped;     /* kinds */
	struct kernel_object handed; /* the one last handed out */
	unsigned observing;
	struct rival *rivals;
	size_t rivals_len;
	size_t rivals_cap;
	struct reconcile_counts counts;
};

struct reconcile *reconcile_new(void)
{
	struct reconcile *r = xcalloc(1, sizeof(*r));

	entries_init(&r->entries);
	return r;
}

void reconcile_free(struct reconcile *r)
{
	if (!r)
		return;
	entries_fini(&r->entries);
	free(r->strays);
	free(r->rivals);
	free(r);
}

void reconcile_set_marks(struct reconcile *r, const struct kernel_marks *marks)
{
	r->marks = *marks;
}

const struct reconcile_counts *reconcile_counts(const struct reconcile *r)
{
	return &r->counts;
}

static struct entry *at(const struct reconcile *r, uint32_t id)
{
	return entries_at(&r->entries, id);
}

static const char *error_of(const struct reconcile *r, uint32_t id)
{
	const struct entry_aside *aside = entries_see_aside(&r->entries, id);

	return aside ? aside->error : NULL;
}

/* What stands in the slot of an entry instead of its object, if that is known. */
static const struct kernel_value *other_of(const struct reconcile *r, uint32_t id)
{
	const struct entry_aside *aside = entries_see_aside(&r->entries, id);

	return aside && aside->other_known ? &aside->other : NULL;
}

/* Calls `visit` for every entry; it may remove the one it is called for, and add none. */
static void for_each(struct reconcile *r,
		     void (*visit)(struct reconcile *r, uint32_t id, uint32_t arg), uint32_t arg)
{
	for (uint32_t id = 1; id < r->entries.len; id++) {
		if (at(r, id)->used)
			visit(r, id, arg);
	}
}

/* Adds (sign 1) or takes back (-1) what an entry with an owner contributes to the counters. */
static void count(struct reconcile *r, uint32_t id, int sign)
{
	const struct entry *entry = at(r, id);

	if (!entry->owner)
		return;
	r->counts.wanted[entry->object.key.kind] += (size_t)sign;
	if (entry->presence == ENTRY_PRESENT)
		return;
	r->counts.unsettled += (size_t)sign;
	entry->owner->unsettled += (unsigned)sign;
	if (error_of(r, id)) {
		r->counts.failed += (size_t)sign;
		entry->owner->failed += (unsigned)sign;
	}
}

static void set_owner(struct reconcile *r, uint32_t id, struct reconcile_owner *owner)
{
	struct entry *entry = at(r, id);

	if (entry->owner == owner)
		return;
	if (entry->owner) {
		uint32_t *link = &entry->owner->first;

		while (*link != id)
			link = &at(r, *link)->owner_next;
		*link = entry->owner_next;
	}
	if (owner) {
		entry->owner_next = owner->first;
		owner->first = id;
	}
	entry->owner = owner;
}

static void set_error(struct reconcile *r, uint32_t id, const char *error)
{
	if (error) {
		struct entry_aside *aside = entries_aside(&r->entries, id);
		char *copy = xstrdup(error);

		free(aside->error);
		aside->error = copy;
	} else if (error_of(r, id)) {
		free(STEAL(entries_aside(&r->entries, id)->error));
		entries_tidy(&r->entries, id);
	}
}

/* NULL: nothing, or nobody knows what. */
static void set_other(struct reconcile *r, uint32_t id, const struct kernel_value *value)
{
	if (value) {
		struct kernel_value copy = *value;
		struct entry_aside *aside = entries_aside(&r->entries, id);

		aside->other = copy;
		aside->other_known = true;
	} else if (other_of(r, id)) {
		entries_aside(&r->entries, id)->other_known = false;
		entries_tidy(&r->entries, id);
	}
}

static struct entry_list *queue_of(struct reconcile *r, const struct entry *entry)
{
	return entry->queued == ENTRY_IN_PUTS ? &r->puts[entry->object.key.kind]
					      : &r->drops[entry->object.key.kind];
}

static void set_queue(struct reconcile *r, uint32_t id, enum entry_queue queued)
{
	struct entry *entry = at(r, id);

	if (entry->queued == queued)
		return;
	if (entry->queued)
		entries_unlink(&r->entries, queue_of(r, entry), id);
	entry->queued = queued;
	if (queued)
		entries_append(&r->entries, queue_of(r, entry), id);
}

/*
 * The one place where an entry changes: owner, belief and error at once. Which queue it stands in
 * follows from them, and an entry that nobody wants and nobody has is freed.
 */
static void set_state(struct reconcile *r, uint32_t id, struct reconcile_owner *owner,
		      enum entry_presence presence, const char *error)
{
	struct entry *entry = at(r, id);
	enum entry_queue queued = ENTRY_NOWHERE;

	count(r, id, -1);
	set_owner(r, id, owner);
	if (presence != ENTRY_OTHER)
		set_other(r, id, NULL);
	set_error(r, id, error);
	entry->presence = presence;
	entry->held |= presence != ENTRY_ABSENT;
	count(r, id, 1);
	if (!error && owner && presence != ENTRY_PRESENT)
		queued = ENTRY_IN_PUTS;
	else if (!error && !owner && presence != ENTRY_ABSENT)
		queued = ENTRY_IN_DROPS;
	set_queue(r, id, queued);
	if (!owner && presence == ENTRY_ABSENT)
		entries_remove(&r->entries, id);
}

/* The entry of this object is `owner`'s, with this value. */
static void want_one(struct reconcile *r, struct reconcile_owner *owner,
		     const struct kernel_object *o)
{
	uint32_t id = entries_find(&r->entries, &o->key);
	enum entry_presence presence;

	if (!id)
		id = entries_add(&r->entries, o);
	presence = at(r, id)->presence;
	if (!kernel_value_equal(&at(r, id)->object, o)) {
		const struct kernel_value *other = other_of(r, id);

		if (presence == ENTRY_PRESENT) {
			presence = ENTRY_OTHER;
			set_other(r, id, &at(r, id)->object.value);
		} else if (other && memcmp(other, &o->value, sizeof(*other)) == 0) {
			presence = ENTRY_PRESENT;
		}
		/* The counters depend on the state only, so the value may change under them. */
		at(r, id)->object.value = o->value;
	}
	set_state(r, id, owner, presence, NULL);
	at(r, id)->keep = true;
}

int reconcile_want(struct reconcile *r, struct reconcile_owner *owner,
		   const struct kernel_object *objects, size_t len,
		   struct reconcile_owner **ret_other)
{
	uint32_t next;

	for (size_t i = 0; i < len; i++) {
		uint32_t id = entries_find(&r->entries, &objects[i].key);

		if (id && at(r, id)->owner && at(r, id)->owner != owner) {
			*ret_other = at(r, id)->owner;
			return -EEXIST;
		}
	}
	for (uint32_t id = owner->first; id; id = at(r, id)->owner_next)
		at(r, id)->keep = false;
	for (size_t i = 0; i < len; i++)
		want_one(r, owner, &objects[i]);
	for (uint32_t id = owner->first; id; id = next) {
		next = at(r, id)->owner_next;
		if (!at(r, id)->keep)
			set_state(r, id, NULL, at(r, id)->presence, NULL);
	}
	return 0;
}

struct reconcile_owner *reconcile_holder(const struct reconcile *r, const struct kernel_key *key)
{
	uint32_t id = entries_find(&r->entries, key);

	return id ? at(r, id)->owner : NULL;
}

static void forget_strays(struct reconcile *r, unsigned kinds)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->strays_len; i++) {
		if (!(kinds & 1u << r->strays[i].key.kind))
			r->strays[kept++] = r->strays[i];
	}
	r->strays_len = kept;
}

void reconcile_observe_begin(struct reconcile *r, unsigned kind)
{
	r->observing = kind;
	r->rivals_len = 0;
	/* Those still there are found again. */
	forget_strays(r, 1u << kind);
}

void reconcile_observe(struct reconcile *r, const struct kernel_object *actual)
{
	uint32_t id;

	if (actual->key.kind != r->observing)
		return;
	id = entries_find(&r->entries, &actual->key);
	if (id && kernel_value_equal(&at(r, id)->object, actual)) {
		at(r, id)->seen = true;
		if (at(r, id)->presence != ENTRY_PRESENT)
			set_state(r, id, at(r, id)->owner, ENTRY_PRESENT, NULL);
		return;
	}
	if (!kernel_object_is_ours(&r->marks, actual))
		return;
	if (id) {
		GROW(r->rivals, r->rivals_len, r->rivals_cap);
		r->rivals[r->rivals_len++] = (struct rival){ id, *actual };
	} else {
		id = entries_add(&r->entries, actual);
		at(r, id)->seen = true;
		set_state(r, id, NULL, ENTRY_PRESENT, NULL);
	}
}

/* Settles the slots in which something else of ours was found. */
static void settle_rivals(struct reconcile *r)
{
	for (size_t i = 0; i < r->rivals_len; i++) {
		uint32_t id = r->rivals[i].entry;
		const struct kernel_value *other = other_of(r, id);
		struct entry *entry = at(r, id);

		/* What is on our device and has our number is in two dumps. */
		if (entry->seen && other &&
		    memcmp(other, &r->rivals[i].actual.value, sizeof(*other)) == 0)
			continue;
		if (entry->seen) {
			GROW(r->strays, r->strays_len, r->strays_cap);
			r->strays[r->strays_len++] = r->rivals[i].actual;
			continue;
		}
		if (entry->owner && entry->presence == ENTRY_PRESENT)
			r->counts.drift[r->observing]++;
		entry->seen = true;
		if (entry->owner) {
			set_other(r, id, &r->rivals[i].actual.value);
			set_state(r, id, entry->owner, ENTRY_OTHER, NULL);
		} else {
			entry->object = r->rivals[i].actual;
			set_state(r, id, NULL, ENTRY_PRESENT, NULL);
		}
	}
	r->rivals_len = 0;
}

/* An entry of this kind that the observation did not show is not in the kernel. */
static void note_absent(struct reconcile *r, uint32_t id, uint32_t kind)
{
	struct entry *entry = at(r, id);

	if (entry->object.key.kind != kind)
		return;
	if (entry->seen) {
		entry->seen = false;
		return;
	}
	if (entry->owner && entry->presence == ENTRY_PRESENT)
		r->counts.drift[kind]++;
	set_state(r, id, entry->owner, ENTRY_ABSENT, NULL);
}

void reconcile_observe_end(struct reconcile *r)
{
	settle_rivals(r);
	for_each(r, note_absent, r->observing);
}

static void forget(struct reconcile *r, uint32_t id, uint32_t kinds)
{
	if (!(kinds & 1u << at(r, id)->object.key.kind))
		return;
	at(r, id)->held = false;
	set_state(r, id, at(r, id)->owner, ENTRY_ABSENT, NULL);
}

void reconcile_forget_kinds(struct reconcile *r, unsigned kinds)
{
	forget_strays(r, kinds);
	for_each(r, forget, kinds);
}

static void note_device_gone(struct reconcile *r, uint32_t id, uint32_t ifindex)
{
	const struct kernel_object *o = &at(r, id)->object;

	if (o->key.ifindex == ifindex || o->value.ifindex == ifindex)
		set_state(r, id, at(r, id)->owner, ENTRY_ABSENT, NULL);
}

void reconcile_forget_device(struct reconcile *r, uint32_t ifindex)
{
	for_each(r, note_device_gone, ifindex);
}

bool reconcile_contradicts(const struct reconcile *r, const struct kernel_object *o, bool gone)
{
	uint32_t id = entries_find(&r->entries, &o->key);
	const struct entry *entry = id ? at(r, id) : NULL;
	bool wanted = entry && entry->owner && kernel_value_equal(&entry->object, o);

	if (gone)
		return wanted && entry->presence == ENTRY_PRESENT;
	if (wanted)
		return false;
	return (entry && entry->owner) || kernel_object_is_ours(&r->marks, o);
}

/* Where anybody's objects may stand, a slot must have been ours before it is written over. */
static enum kernel_verb put_verb(const struct entry *entry)
{
	return !entry->held && kernel_kind_of(&entry->object)->flags & KERNEL_KIND_OPEN
		       ? KERNEL_CREATE
		       : KERNEL_REPLACE;
}

/* What stands in the slot, which need not be what was wanted last. */
static struct kernel_object to_drop(const struct reconcile *r, uint32_t id)
{
	const struct kernel_value *other = other_of(r, id);
	struct kernel_object o = at(r, id)->object;

	if (other)
		o.value = *other;
	return o;
}

bool reconcile_next(struct reconcile *r, enum kernel_verb *ret_verb,
		    const struct kernel_object **ret_object, uint32_t *ret_entry)
{
	uint32_t id = 0;

	for (unsigned k = 0; k < KERNEL_KINDS && !id; k++)
		id = r->puts[k].first;
	if (id) {
		struct entry *entry = at(r, id);

		*ret_verb = put_verb(entry);
		entry->creating = *ret_verb == KERNEL_CREATE;
		r->counts.puts[entry->object.key.kind]++;
		set_state(r, id, entry->owner, ENTRY_PRESENT, NULL);
		*ret_object = &entry->object;
		*ret_entry = id;
		return true;
	}
	*ret_verb = KERNEL_DROP;
	*ret_entry = 0;
	if (r->strays_len > 0) {
		r->handed = r->strays[--r->strays_len];
		r->strays_dropped |= 1u << r->handed.key.kind;
	} else {
		for (unsigned k = KERNEL_KINDS; k-- > 0 && !id;)
			id = r->drops[k].first;
		if (!id)
			return false;
		/* A refused drop needs no memory: the next observation finds what is still there.
		 */
		r->handed = to_drop(r, id);
		set_state(r, id, NULL, ENTRY_ABSENT, NULL);
	}
	r->counts.drops[r->handed.key.kind]++;
	*ret_object = &r->handed;
	return true;
}

unsigned reconcile_take_strays(struct reconcile *r)
{
	unsigned kinds = r->strays_dropped;

	r->strays_dropped = 0;
	return kinds;
}

unsigned reconcile_pending_kinds(const struct reconcile *r)
{
	unsigned kinds = 0;

	for (unsigned k = 0; k < KERNEL_KINDS; k++) {
		if (r->puts[k].first || r->drops[k].first)
			kinds |= 1u << k;
	}
	for (size_t i = 0; i < r->strays_len; i++)
		kinds |= 1u << r->strays[i].key.kind;
	return kinds;
}

/* `differences`: by what stands there, not by how it will be written. */
static void visit_pending(const struct reconcile *r, bool differences, reconcile_write_fn *visit,
			  void *arg)
{
	for (unsigned k = 0; k < KERNEL_KINDS; k++) {
		for (uint32_t id = r->puts[k].first; id; id = at(r, id)->queue_next)
			visit(arg,
			      differences && at(r, id)->presence == ENTRY_ABSENT
				      ? KERNEL_CREATE
				      : put_verb(at(r, id)),
			      &at(r, id)->object);
	}
	for (size_t i = r->strays_len; i-- > 0;)
		visit(arg, KERNEL_DROP, &r->strays[i]);
	for (unsigned k = KERNEL_KINDS; k-- > 0;) {
		for (uint32_t id = r->drops[k].first; id; id = at(r, id)->queue_next) {
			struct kernel_object o = to_drop(r, id);

			visit(arg, KERNEL_DROP, &o);
		}
	}
}

void reconcile_pending_visit(const struct reconcile *r, reconcile_write_fn *visit, void *arg)
{
	visit_pending(r, false, visit, arg);
}

void reconcile_difference_visit(const struct reconcile *r, reconcile_write_fn *visit, void *arg)
{
	visit_pending(r, true, visit, arg);
}

void reconcile_refused(struct reconcile *r, uint32_t entry, int code, const char *text)
{
	if (!entry)
		return;
	/* Whatever the reason: if the slot was not ours before, what is in it must not be replaced
	 * next time either. */
	if (code == -EEXIST || at(r, entry)->creating)
		at(r, entry)->held = false;
	/* The write was counted on when it was taken; nothing of ours stands there. */
	set_state(r, entry, at(r, entry)->owner, ENTRY_ABSENT,
		  code == -EEXIST ? "the kernel has another object in this place that is not ours"
				  : text);
}

void reconcile_owner_visit(const struct reconcile *r, const struct reconcile_owner *owner,
			   void (*visit)(void *arg, const struct kernel_object *o, bool settled,
					 const char *error),
			   void *arg)
{
	for (uint32_t id = owner->first; id; id = at(r, id)->owner_next)
		visit(arg, &at(r, id)->object, at(r, id)->presence == ENTRY_PRESENT,
		      error_of(r, id));
}
