/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/reconcile_internal.h"

#include <errno.h>

struct reconcile *reconcile_new(void)
{
	struct reconcile *r = xcalloc(1, sizeof(*r));

	entries_init(&r->entries);
	r->due_ms = INT64_MAX;
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

void reconcile_listen(struct reconcile *r, const struct reconcile_listener *listener, void *arg)
{
	r->listener = listener;
	r->listener_arg = arg;
}

void reconcile_set_marks(struct reconcile *r, const struct kernel_marks *marks)
{
	r->marks = *marks;
}

const struct reconcile_counts *reconcile_counts(const struct reconcile *r)
{
	return &r->counts;
}

static const char *error_of(const struct reconcile *r, uint32_t id)
{
	const struct entry_aside *aside = entries_see_aside(&r->entries, id);

	return aside ? aside->error : NULL;
}

/* The first of those who want the object beside its owner. */
static uint32_t first_holder(const struct reconcile *r, uint32_t id)
{
	const struct entry_aside *aside = entries_see_aside(&r->entries, id);

	return aside ? aside->holders : 0;
}

/* Adds (sign 1) or takes back (-1) what an entry with an owner contributes to the counters. */
static void count(struct reconcile *r, uint32_t id, int sign)
{
	const struct entry *entry = at(r, id);
	bool failed = error_of(r, id) != NULL;

	if (!entry->owner)
		return;
	r->counts.wanted[entry->object.key.kind] += (size_t)sign;
	if (entry->presence == ENTRY_PRESENT)
		return;
	r->counts.unsettled += (size_t)sign;
	r->counts.failed += failed ? (size_t)sign : 0;
	entry->owner->unsettled += (unsigned)sign;
	entry->owner->failed += failed ? (unsigned)sign : 0;
	for (uint32_t h = first_holder(r, id); h; h = at(r, h)->queue_next) {
		at(r, h)->owner->unsettled += (unsigned)sign;
		at(r, h)->owner->failed += failed ? (unsigned)sign : 0;
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

void reconcile_set_other(struct reconcile *r, uint32_t id, const struct kernel_value *value)
{
	if (value) {
		struct kernel_value copy = *value;
		struct entry_aside *aside = entries_aside(&r->entries, id);

		aside->other = copy;
		aside->other_known = true;
	} else if (reconcile_other(r, id)) {
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

void reconcile_set_state(struct reconcile *r, uint32_t id, struct reconcile_owner *owner,
			 enum entry_presence presence, const char *error)
{
	struct entry *entry = at(r, id);
	bool turned = !entry->owner != !owner;
	enum entry_queue queued = ENTRY_NOWHERE;

	count(r, id, -1);
	set_owner(r, id, owner);
	if (presence != ENTRY_OTHER)
		reconcile_set_other(r, id, NULL);
	set_error(r, id, error);
	if (turned)
		reconcile_end_fight(r, id);
	entry->presence = presence;
	entry->held |= presence != ENTRY_ABSENT;
	count(r, id, 1);
	/* As it should be, or no longer what was paused. */
	if (turned || presence == (owner ? ENTRY_PRESENT : ENTRY_ABSENT))
		entry->paused = false;
	entry->stray &= !owner;
	if (!error && owner && presence != ENTRY_PRESENT && !entry->paused)
		queued = ENTRY_IN_PUTS;
	else if (!error && !owner && presence != ENTRY_ABSENT && !entry->paused)
		queued = ENTRY_IN_DROPS;
	set_queue(r, id, queued);
	if (!owner && presence == ENTRY_ABSENT && !reconcile_fight_over(r, &entry->object.key))
		entries_remove(&r->entries, id);
}

/* ---- several owners of one object ---- */

/* The entry of the slot itself. */
static uint32_t slot_entry(const struct reconcile *r, uint32_t id)
{
	return at(r, id)->holder ? entries_find(&r->entries, &at(r, id)->object.key) : id;
}

static void add_holder(struct reconcile *r, uint32_t id, struct reconcile_owner *owner)
{
	struct kernel_object o = at(r, id)->object;
	uint32_t next;
	uint32_t h;

	for (h = owner->first; h; h = at(r, h)->owner_next) {
		if (memcmp(&at(r, h)->object.key, &o.key, sizeof(o.key)) == 0)
			break;
	}
	if (!h) {
		count(r, id, -1);
		h = entries_add_holder(&r->entries, &o);
		next = first_holder(r, id);
		at(r, h)->queue_next = next;
		if (next)
			at(r, next)->queue_prev = h;
		entries_aside(&r->entries, id)->holders = h;
		set_owner(r, h, owner);
		count(r, id, 1);
	}
	at(r, h)->keep = true;
}

/* A further holder goes. */
static void remove_holder(struct reconcile *r, uint32_t id, uint32_t h)
{
	struct entry *holder = at(r, h);

	set_owner(r, h, NULL);
	if (holder->queue_next)
		at(r, holder->queue_next)->queue_prev = holder->queue_prev;
	if (holder->queue_prev)
		at(r, holder->queue_prev)->queue_next = holder->queue_next;
	else
		entries_aside(&r->entries, id)->holders = holder->queue_next;
	entries_remove(&r->entries, h);
	entries_tidy(&r->entries, id);
}

/* The owner of this entry does not want it any more; another may. */
static void leave(struct reconcile *r, uint32_t h)
{
	uint32_t id = slot_entry(r, h);
	uint32_t heir = first_holder(r, id);
	struct reconcile_owner *owner = heir ? at(r, heir)->owner : NULL;

	if (!heir) {
		reconcile_set_state(r, id, NULL, at(r, id)->presence, NULL);
		return;
	}
	count(r, id, -1);
	if (h == id) {
		remove_holder(r, id, heir);
		set_owner(r, id, owner);
	} else {
		remove_holder(r, id, h);
	}
	count(r, id, 1);
}

/* ---- what is wanted ---- */

static bool is_shared(const struct kernel_key *key)
{
	return kernel_kinds[key->kind]->flags & KERNEL_KIND_SHARED;
}

/* The entry of this object is `owner`'s, with this value. */
static void want_one(struct reconcile *r, struct reconcile_owner *owner,
		     const struct kernel_object *o)
{
	uint32_t id = entries_find(&r->entries, &o->key);
	enum entry_presence presence;

	if (id && at(r, id)->owner && at(r, id)->owner != owner) {
		add_holder(r, id, owner);
		return;
	}
	if (!id)
		id = entries_add(&r->entries, o);
	presence = at(r, id)->presence;
	if (!kernel_value_equal(&at(r, id)->object, o)) {
		const struct kernel_value *other = reconcile_other(r, id);

		if (presence == ENTRY_PRESENT) {
			presence = ENTRY_OTHER;
			reconcile_set_other(r, id, &at(r, id)->object.value);
		} else if (other && memcmp(other, &o->value, sizeof(*other)) == 0) {
			presence = ENTRY_PRESENT;
		}
		/* The counters depend on the state only, so the value may change under them. */
		at(r, id)->object.value = o->value;
	}
	reconcile_set_state(r, id, owner, presence, NULL);
	at(r, id)->keep = true;
}

int reconcile_want(struct reconcile *r, struct reconcile_owner *owner,
		   const struct kernel_object *objects, size_t len,
		   struct reconcile_owner **ret_other)
{
	uint32_t next;

	for (size_t i = 0; i < len; i++) {
		uint32_t id =
			is_shared(&objects[i].key) ? 0 : entries_find(&r->entries, &objects[i].key);

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
			leave(r, id);
	}
	return 0;
}

struct reconcile_owner *reconcile_holder(const struct reconcile *r, const struct kernel_key *key)
{
	uint32_t id = is_shared(key) ? 0 : entries_find(&r->entries, key);

	return id ? at(r, id)->owner : NULL;
}

/* Where anybody's objects may stand, a slot must have been ours before it is written over. */
static enum kernel_verb put_verb(const struct reconcile *r, uint32_t id)
{
	const struct kernel_value *other = reconcile_other(r, id);
	const struct entry *entry = at(r, id);
	uint8_t flags = kernel_kind_of(&entry->object)->flags;

	if (!entry->held && flags & KERNEL_KIND_OPEN)
		return KERNEL_CREATE;
	return flags & KERNEL_KIND_UNPROVEN && other && other->extra ? KERNEL_REMAKE
								     : KERNEL_REPLACE;
}

/* What stands in the slot, which need not be what was wanted last. */
static struct kernel_object to_drop(const struct reconcile *r, uint32_t id)
{
	const struct kernel_value *other = reconcile_other(r, id);
	struct kernel_object o = at(r, id)->object;

	if (other)
		o.value = *other;
	return o;
}

static bool is_held(const struct reconcile *r, unsigned kind)
{
	return r->held_kinds & 1u << kind;
}

bool reconcile_next(struct reconcile *r, enum kernel_verb *ret_verb,
		    const struct kernel_object **ret_object, uint32_t *ret_entry)
{
	uint32_t id = 0;

	for (unsigned k = 0; k < KERNEL_KINDS && !id; k++)
		id = is_held(r, k) ? 0 : r->puts[k].first;
	if (id) {
		struct entry *entry = at(r, id);

		*ret_verb = put_verb(r, id);
		if (entry->held && kernel_kind_of(&entry->object)->flags & KERNEL_KIND_UNPROVEN)
			r->reread |= 1u << entry->object.key.kind;
		entry->creating = *ret_verb == KERNEL_CREATE;
		r->counts.puts[entry->object.key.kind]++;
		reconcile_set_state(r, id, entry->owner, ENTRY_PRESENT, NULL);
		*ret_object = &entry->object;
		*ret_entry = id;
		return true;
	}
	*ret_verb = KERNEL_DROP;
	*ret_entry = 0;
	if (r->strays_len > 0) {
		r->handed = r->strays[--r->strays_len];
		r->reread |= 1u << r->handed.key.kind;
	} else {
		for (unsigned k = KERNEL_KINDS; k-- > 0 && !id;)
			id = is_held(r, k) ? 0 : r->drops[k].first;
		if (!id)
			return false;
		/* A refused drop needs no memory: the next observation finds what is still there.
		 */
		r->handed = to_drop(r, id);
		reconcile_note_removal(r, id);
		reconcile_set_state(r, id, NULL, ENTRY_ABSENT, NULL);
	}
	r->counts.drops[r->handed.key.kind]++;
	*ret_object = &r->handed;
	return true;
}

unsigned reconcile_take_reread(struct reconcile *r)
{
	unsigned kinds = r->reread;

	r->reread = 0;
	return kinds;
}

void reconcile_reread(struct reconcile *r, unsigned kinds)
{
	r->reread |= kinds;
}

void reconcile_hold(struct reconcile *r, unsigned kinds)
{
	r->held_kinds = kinds;
}

unsigned reconcile_pending_kinds(const struct reconcile *r)
{
	unsigned kinds = 0;

	for (unsigned k = 0; k < KERNEL_KINDS; k++) {
		if (!is_held(r, k) && (r->puts[k].first || r->drops[k].first))
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
			      differences && at(r, id)->presence == ENTRY_ABSENT ? KERNEL_CREATE
										 : put_verb(r, id),
			      &at(r, id)->object);
	}
	/* What waits for its time differs all the same. */
	for (uint32_t id = 1; id < r->entries.len && differences && r->entries.asides_len > 1;
	     id++) {
		if (at(r, id)->used && at(r, id)->paused)
			visit(arg,
			      !at(r, id)->owner                     ? KERNEL_DROP
			      : at(r, id)->presence == ENTRY_ABSENT ? KERNEL_CREATE
								    : KERNEL_REPLACE,
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
	reconcile_set_state(r, entry, at(r, entry)->owner, ENTRY_ABSENT,
			    code == -EEXIST
				    ? "the kernel has another object in this place that is not ours"
				    : text);
}

void reconcile_owner_visit(const struct reconcile *r, const struct reconcile_owner *owner,
			   void (*visit)(void *arg, const struct kernel_object *o, bool settled,
					 const char *error),
			   void *arg)
{
	for (uint32_t h = owner->first; h; h = at(r, h)->owner_next) {
		uint32_t id = slot_entry(r, h);

		visit(arg, &at(r, id)->object, at(r, id)->presence == ENTRY_PRESENT,
		      error_of(r, id));
	}
}

const char *reconcile_owner_error(const struct reconcile *r, const struct reconcile_owner *owner)
{
	const char *error = NULL;

	for (uint32_t h = owner->first; h && !error && owner->failed; h = at(r, h)->owner_next)
		error = error_of(r, slot_entry(r, h));
	return error;
}

bool reconcile_refused_one(const struct reconcile *r, const struct kernel_object **ret_object,
			   const struct reconcile_owner **ret_owner, const char **ret_error)
{
	/* Few entries have anything aside. */
	for (uint32_t i = 1; i < r->entries.asides_len && r->counts.failed; i++) {
		const struct entry_aside *aside = &r->entries.asides[i];
		const struct entry *entry = at(r, aside->entry);

		if (!aside->entry || !aside->error || !entry->owner ||
		    entry->presence == ENTRY_PRESENT)
			continue;
		*ret_object = &entry->object;
		*ret_owner = entry->owner;
		*ret_error = aside->error;
		return true;
	}
	return false;
}

void reconcile_wanted_visit(const struct reconcile *r, unsigned kind,
			    void (*visit)(void *arg, const struct kernel_object *o), void *arg)
{
	for (uint32_t id = 1; id < r->entries.len; id++) {
		const struct entry *entry = at(r, id);

		if (entry->used && !entry->holder && entry->owner && entry->object.key.kind == kind)
			visit(arg, &entry->object);
	}
}

bool reconcile_route_around(const struct reconcile *r, const struct kernel_object *o,
			    struct kernel_object *ret)
{
	/* Of two routes to one destination the one with the lower metric is taken. */
	uint32_t metric = o->key.family == AF_INET6 ? KERNEL_ROUTE_METRIC_V6 : 0;
	unsigned len = o->key.metric <= metric ? o->key.len + 1u : o->key.len;
	struct ip_net net = { kernel_object_dst(o), 0 };
	struct kernel_key key = o->key;
	uint32_t id = 0;

	for (key.metric = metric; !id && len-- > 0;) {
		net.len = (uint8_t)len;
		net = ip_net_masked(&net);
		key.len = net.len;
		memcpy(key.dst, net.addr.b, sizeof(key.dst));
		id = entries_find(&r->entries, &key);
		id = id && at(r, id)->owner ? id : 0;
	}
	if (id)
		*ret = at(r, id)->object;
	return id > 0;
}
