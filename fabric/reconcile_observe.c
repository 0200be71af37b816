/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "fabric/reconcile_internal.h"

#define REMOVED_MAX 1024 /* so many strays are remembered, in case they come back */

/* Calls `visit` for every entry; it may remove the one it is called for, and add none. */
static void for_each(struct reconcile *r,
		     void (*visit)(struct reconcile *r, uint32_t id, uint32_t arg), uint32_t arg)
{
	for (uint32_t id = 1; id < r->entries.len; id++) {
		if (at(r, id)->used && !at(r, id)->holder)
			visit(r, id, arg);
	}
}

static struct fight *fight_of(const struct reconcile *r, uint32_t id)
{
	uint32_t place = at(r, id)->aside;

	return place && r->entries.asides[place].fight.pace.failures
		       ? &r->entries.asides[place].fight
		       : NULL;
}

struct fight *reconcile_fight_over(struct reconcile *r, const struct kernel_key *key)
{
	uint32_t id = entries_find(&r->entries, key);

	return id ? fight_of(r, id) : NULL;
}

void reconcile_end_fight(struct reconcile *r, uint32_t id)
{
	struct fight *fight = fight_of(r, id);

	if (!fight)
		return;
	r->removed -= fight->added;
	if (fight_is_on(fight)) {
		r->counts.fighting--;
		if (r->listener)
			r->listener->fought(r->listener_arg, &at(r, id)->object, at(r, id)->owner,
					    fight, true);
	}
	*fight = (struct fight){ 0 };
	entries_tidy(&r->entries, id);
}

/* What we did was undone: to be done again, at once or later. */
static void note_undone(struct reconcile *r, uint32_t id)
{
	struct entry *entry = at(r, id);
	struct fight *fight = &entries_aside(&r->entries, id)->fight;
	bool was_on = fight_is_on(fight);

	entry->paused = fight_undone(fight, r->now_ms) > 0;
	r->due_ms = MIN(r->due_ms, entry->paused ? fight->pace.due_ms : fight_end_ms(fight));
	r->counts.fighting += (size_t)fight_is_on(fight) - (size_t)was_on;
	if (r->listener && fight_is_on(fight) && !was_on)
		r->listener->fought(r->listener_arg, &entry->object, entry->owner, fight, false);
}

/* An entry that somebody wants was right and is not. */
static void note_drift(struct reconcile *r, uint32_t id)
{
	const struct entry *entry = at(r, id);

	r->counts.drift[entry->object.key.kind]++;
	if (r->listener)
		r->listener->drifted(r->listener_arg, &entry->object, entry->owner);
	note_undone(r, id);
}

void reconcile_note_removal(struct reconcile *r, uint32_t id)
{
	/* What a peer leaves behind is no stray; nor is all that an earlier run left remembered. */
	if (!at(r, id)->stray || fight_of(r, id) || r->removed == REMOVED_MAX)
		return;
	r->removed++;
	entries_aside(&r->entries, id)->fight.added = true;
	note_undone(r, id);
}

/* It is in the kernel although nobody wants it, and was not a moment ago. */
static void note_stray(struct reconcile *r, uint32_t id)
{
	at(r, id)->stray = true;
	if (at(r, id)->presence == ENTRY_ABSENT && fight_of(r, id))
		note_undone(r, id);
	reconcile_set_state(r, id, NULL, ENTRY_PRESENT, NULL);
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

/* Whether the slot has what the entry says. What the kernel learned itself is not written over. */
static bool is_right(const struct entry *entry, const struct kernel_object *actual)
{
	const struct kernel_kind *kind = kernel_kind_of(actual);

	return kernel_value_equal(&entry->object, actual) ||
	       (kind->will_do && entry->owner && kind->will_do(&entry->object, actual));
}

void reconcile_observe(struct reconcile *r, const struct kernel_object *actual)
{
	uint32_t id;

	if (actual->key.kind != r->observing)
		return;
	id = entries_find(&r->entries, &actual->key);
	if (id && is_right(at(r, id), actual)) {
		at(r, id)->seen = true;
		if (!at(r, id)->owner)
			note_stray(r, id);
		else if (at(r, id)->presence != ENTRY_PRESENT)
			reconcile_set_state(r, id, at(r, id)->owner, ENTRY_PRESENT, NULL);
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
		note_stray(r, id);
	}
}

/* Settles the slots in which something else of ours was found. */
static void settle_rivals(struct reconcile *r)
{
	for (size_t i = 0; i < r->rivals_len; i++) {
		uint32_t id = r->rivals[i].entry;
		const struct kernel_value *other = reconcile_other(r, id);
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
			note_drift(r, id);
		entry->seen = true;
		if (entry->owner) {
			reconcile_set_other(r, id, &r->rivals[i].actual.value);
			reconcile_set_state(r, id, entry->owner, ENTRY_OTHER, NULL);
		} else {
			entry->object = r->rivals[i].actual;
			note_stray(r, id);
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
		note_drift(r, id);
	reconcile_set_state(r, id, entry->owner, ENTRY_ABSENT, NULL);
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
	reconcile_set_state(r, id, at(r, id)->owner, ENTRY_ABSENT, NULL);
}

void reconcile_forget_kinds(struct reconcile *r, unsigned kinds)
{
	forget_strays(r, kinds);
	for_each(r, forget, kinds);
}

static void note_device_gone(struct reconcile *r, uint32_t id, uint32_t ifindex)
{
	const struct kernel_object *o = &at(r, id)->object;

	if (o->key.ifindex == ifindex || (kernel_is_route(o) && o->value.ifindex == ifindex))
		reconcile_set_state(r, id, at(r, id)->owner, ENTRY_ABSENT, NULL);
}

void reconcile_forget_device(struct reconcile *r, uint32_t ifindex)
{
	for_each(r, note_device_gone, ifindex);
}

/* ---- what is undone ---- */

unsigned reconcile_tick(struct reconcile *r, int64_t now_ms)
{
	unsigned kinds = 0;

	r->now_ms = now_ms;
	if (now_ms < r->due_ms)
		return 0;
	r->due_ms = INT64_MAX;
	for (uint32_t place = 1; place < r->entries.asides_len; place++) {
		const struct entry_aside *aside = &r->entries.asides[place];
		uint32_t id = aside->entry;
		int64_t due;

		if (!id || !aside->fight.pace.failures)
			continue;
		if (at(r, id)->paused && now_ms >= aside->fight.pace.due_ms) {
			at(r, id)->paused = false;
			kinds |= 1u << at(r, id)->object.key.kind;
			reconcile_set_state(r, id, at(r, id)->owner, at(r, id)->presence, NULL);
		}
		due = at(r, id)->paused ? aside->fight.pace.due_ms : fight_end_ms(&aside->fight);
		if (now_ms < due) {
			r->due_ms = MIN(r->due_ms, due);
			continue;
		}
		reconcile_end_fight(r, id);
		/* It was all that kept an entry that nobody wants. */
		if (!at(r, id)->owner)
			reconcile_set_state(r, id, NULL, at(r, id)->presence, NULL);
	}
	return kinds;
}

int64_t reconcile_due(const struct reconcile *r)
{
	return r->due_ms;
}

static bool has_failed(const struct reconcile *r, uint32_t id)
{
	const struct entry_aside *aside = entries_see_aside(&r->entries, id);

	return aside && aside->error;
}

bool reconcile_notice(struct reconcile *r, const struct kernel_object *o, bool gone)
{
	uint32_t id = entries_find(&r->entries, &o->key);
	const struct entry *entry = id && at(r, id)->owner ? at(r, id) : NULL;
	bool wanted = entry && kernel_value_equal(&entry->object, o);

	if (id && at(r, id)->paused)
		return false;
	/* What stood in the way of ours, perhaps. */
	if (gone)
		return entry && (entry->presence == ENTRY_PRESENT || has_failed(r, id));
	if (wanted)
		return false;
	return entry || kernel_object_is_ours(&r->marks, o);
}

void reconcile_fights_visit(const struct reconcile *r,
			    void (*visit)(void *arg, const struct kernel_object *o,
					  const struct reconcile_owner *owner,
					  const struct fight *fight),
			    void *arg)
{
	for (uint32_t place = 1; place < r->entries.asides_len; place++) {
		const struct entry_aside *aside = &r->entries.asides[place];

		if (aside->entry && fight_is_on(&aside->fight))
			visit(arg, &at(r, aside->entry)->object, at(r, aside->entry)->owner,
			      &aside->fight);
	}
}
