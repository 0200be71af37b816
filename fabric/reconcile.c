/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/reconcile.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/queue.h>
#define BUCKETS_MIN 64

/* What we believe the kernel has in the slot of an entry. */
enum presence {
	ABSENT,  /* nothing, as far as we know */
	PRESENT, /* exactly the entry's object */
	OTHER,   /* something of ours, but not the entry's object */
};

enum queued { NOWHERE, IN_PUTS, IN_DROPS };

TAILQ_HEAD(queue, reconcile_entry);

/* A slot in the kernel that somebody wants filled, or that must be emptied. */
struct reconcile_entry {
	struct kernel_object object;   /* what is wanted there, or without owner what to drop */
	struct reconcile_owner *owner; /* NULL: nobody wants it */
	LIST_ENTRY(reconcile_entry) owner_link;
	TAILQ_ENTRY(reconcile_entry) queue_link;
	struct kernel_value *other; /* OTHER: what stands in the slot, if we know */
	char *error;   /* the last write failed; not queued again before the next observation */
	uint32_t seen; /* number of the observation that last showed exactly this object */
	uint8_t presence;
	bool held;      /* the slot was ours once: whoever took it since altered our object */
	bool creating;  /* the last write was a CREATE, so the slot was not ours before */
	bool keep;      /* scratch of reconcile_want */
	uint8_t queued; /* enum queued: which queue it stands in */
	struct reconcile_entry *bucket_next;
};

/* With ten thousand peers there are thirty thousand of these. */
_Static_assert(sizeof(struct reconcile_entry) <= 152, "an entry has grown");

/* An observed object of ours whose slot belongs to an entry that has another object. */
struct rival {
	struct reconcile_entry *entry;
	struct kernel_object actual;
};

struct reconcile {
	struct reconcile_scope scope;
	/*
	 * The entries by key: chained in buckets, a power of two of them, by one pointer in each
	 * entry. uthash would add 56 bytes to every object.
	 */
	struct reconcile_entry **buckets;
	size_t buckets_len;
	size_t entries_len;
	struct queue puts[KERNEL_KINDS];
	struct queue drops[KERNEL_KINDS];
	/* The kernel allows several routes, or FDB entries, in one slot: those beside the wanted
	 * one, to be dropped. */
	struct kernel_object *strays;
	size_t strays_len;
	size_t strays_cap;
	struct kernel_object stray; /* the one last handed out */
	enum kernel_kind observing;
	uint32_t pass;
	struct rival *rivals;
	size_t rivals_len;
	size_t rivals_cap;
	struct reconcile_counts counts;
};

struct reconcile *reconcile_new(void)
{
	struct reconcile *r = xcalloc(1, sizeof(*r));

	r->buckets_len = BUCKETS_MIN;
	r->buckets = xcalloc(r->buckets_len, sizeof(*r->buckets));
	for (unsigned k = 0; k < KERNEL_KINDS; k++) {
		TAILQ_INIT(&r->puts[k]);
		TAILQ_INIT(&r->drops[k]);
	}
	return r;
}

void reconcile_free(struct reconcile *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->buckets_len; i++) {
		while (r->buckets[i]) {
			struct reconcile_entry *entry = r->buckets[i];

			r->buckets[i] = entry->bucket_next;
			free(entry->other);
			free(entry->error);
			free(entry);
		}
	}
	free(r->buckets);
	free(r->strays);
	free(r->rivals);
	free(r);
}

void reconcile_set_scope(struct reconcile *r, const struct reconcile_scope *scope)
{
	r->scope = *scope;
}

const struct reconcile_counts *reconcile_counts(const struct reconcile *r)
{
	return &r->counts;
}

static bool on_our_device(const struct reconcile_scope *scope, uint32_t ifindex)
{
	for (size_t i = 0; i < scope->ifindexes_len; i++) {
		if (scope->ifindexes[i] == ifindex)
			return ifindex != 0;
	}
	return false;
}

static bool owns_route(const struct reconcile_scope *scope, const struct kernel_object *o)
{
	struct ip_net dst = { kernel_object_dst(o), o->key.len };

	if (o->value.type != RTN_UNICAST && o->value.type != RTN_BLACKHOLE)
		return false;
	/* We make none with several gateways, and could not name one well enough to delete it. */
	if (o->value.extra & KERNEL_EXTRA_PATHS)
		return false;
	if (on_our_device(scope, o->value.ifindex))
		return o->value.protocol != RTPROT_KERNEL && !ip_addr_is_link_local(&dst.addr) &&
		       !ip_addr_is_multicast(&dst.addr);
	if (!fabric_is_our_protocol(o->value.protocol))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(scope->networks); i++) {
		if (ip_net_is_set(&scope->networks[i]) &&
		    ip_net_contains_net(&scope->networks[i], &dst))
			return true;
	}
	return false;
}

bool reconcile_owns(const struct reconcile_scope *scope, const struct kernel_object *o)
{
	struct ip_addr dst = kernel_object_dst(o);

	switch ((enum kernel_kind)o->key.kind) {
	case KERNEL_ADDRESS:
		return on_our_device(scope, o->key.ifindex) && !ip_addr_is_link_local(&dst);
	case KERNEL_FDB:
		/* Learned entries come and go with the config's Learning; only fixed ones are made
		 * by somebody. */
		return on_our_device(scope, o->key.ifindex) && (o->value.state & NUD_PERMANENT) &&
		       (o->value.flags & NTF_SELF);
	case KERNEL_NEIGHBOUR:
		return on_our_device(scope, o->key.ifindex) && (o->value.state & NUD_PERMANENT) &&
		       !(o->value.flags & NTF_PROXY);
	case KERNEL_ROUTE:
	case KERNEL_KINDS:
		return owns_route(scope, o);
	}
	return false;
}

static size_t bucket_of(const struct kernel_key *key, size_t buckets_len)
{
	uint64_t words[sizeof(*key) / 8];
	uint64_t h = 0;

	memcpy(words, key, sizeof(words));
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		h = (h ^ words[i]) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	return h & (buckets_len - 1);
}

static struct reconcile_entry *find(const struct reconcile *r, const struct kernel_key *key)
{
	struct reconcile_entry *entry = r->buckets[bucket_of(key, r->buckets_len)];

	while (entry && memcmp(&entry->object.key, key, sizeof(*key)) != 0)
		entry = entry->bucket_next;
	return entry;
}

static void chain(struct reconcile_entry **buckets, size_t buckets_len,
		  struct reconcile_entry *entry)
{
	size_t i = bucket_of(&entry->object.key, buckets_len);

	entry->bucket_next = buckets[i];
	buckets[i] = entry;
}

static void grow(struct reconcile *r)
{
	size_t len = r->buckets_len * 2;
	struct reconcile_entry **buckets = xcalloc(len, sizeof(*buckets));

	for (size_t i = 0; i < r->buckets_len; i++) {
		while (r->buckets[i]) {
			struct reconcile_entry *entry = r->buckets[i];

			r->buckets[i] = entry->bucket_next;
			chain(buckets, len, entry);
		}
	}
	free(r->buckets);
	r->buckets = buckets;
	r->buckets_len = len;
}

static struct reconcile_entry *add(struct reconcile *r, const struct kernel_object *o)
{
	struct reconcile_entry *entry = xcalloc(1, sizeof(*entry));

	entry->object = *o;
	if (r->entries_len++ == r->buckets_len)
		grow(r);
	chain(r->buckets, r->buckets_len, entry);
	return entry;
}

static void remove_entry(struct reconcile *r, struct reconcile_entry *entry)
{
	struct reconcile_entry **link = &r->buckets[bucket_of(&entry->object.key, r->buckets_len)];

	while (*link != entry)
		link = &(*link)->bucket_next;
	*link = entry->bucket_next;
	r->entries_len--;
	free(entry->other);
	free(entry->error);
	free(entry);
}

/* Calls `visit` for every entry; it may remove the one it is called for, and add none. */
static void for_each(struct reconcile *r,
		     void (*visit)(struct reconcile *r, struct reconcile_entry *entry,
				   uint32_t arg),
		     uint32_t arg)
{
	for (size_t i = 0; i < r->buckets_len; i++) {
		struct reconcile_entry *next;

		for (struct reconcile_entry *entry = r->buckets[i]; entry; entry = next) {
			next = entry->bucket_next;
			visit(r, entry, arg);
		}
	}
}

/* Adds (sign 1) or takes back (-1) what an entry with an owner contributes to the counters. */
static void count(struct reconcile *r, const struct reconcile_entry *entry, int sign)
{
	if (!entry->owner)
		return;
	r->counts.wanted[entry->object.key.kind] += (size_t)sign;
	if (entry->presence == PRESENT)
		return;
	r->counts.unsettled += (size_t)sign;
	entry->owner->unsettled += (unsigned)sign;
	if (entry->error) {
		r->counts.failed += (size_t)sign;
		entry->owner->failed += (unsigned)sign;
	}
}

/*
 * The one place where an entry changes: owner, belief and error at once. Which queue it stands in
 * follows from them, and an entry that nobody wants and nobody has is freed.
 */
static void set_state(struct reconcile *r, struct reconcile_entry *entry,
		      struct reconcile_owner *owner, enum presence presence, const char *error)
{
	char *copy = error ? xstrdup(error) : NULL;
	struct queue *puts = &r->puts[entry->object.key.kind];
	struct queue *drops = &r->drops[entry->object.key.kind];
	enum queued queued = NOWHERE;

	count(r, entry, -1);
	free(entry->error);
	if (entry->owner != owner) {
		if (entry->owner)
			LIST_REMOVE(entry, owner_link);
		if (owner)
			LIST_INSERT_HEAD(&owner->entries, entry, owner_link);
		entry->owner = owner;
	}
	if (presence != OTHER)
		free(STEAL(entry->other));
	entry->presence = (uint8_t)presence;
	entry->held |= presence != ABSENT;
	entry->error = copy;
	count(r, entry, 1);
	if (!error && owner && presence != PRESENT)
		queued = IN_PUTS;
	else if (!error && !owner && presence != ABSENT)
		queued = IN_DROPS;
	if (queued != entry->queued) {
		if (entry->queued)
			TAILQ_REMOVE(entry->queued == IN_PUTS ? puts : drops, entry, queue_link);
		if (queued)
			TAILQ_INSERT_TAIL(queued == IN_PUTS ? puts : drops, entry, queue_link);
		entry->queued = (uint8_t)queued;
	}
	if (!owner && presence == ABSENT)
		remove_entry(r, entry);
}

static void remember_other(struct reconcile_entry *entry, const struct kernel_value *value)
{
	if (!entry->other)
		entry->other = xmalloc(sizeof(*entry->other));
	*entry->other = *value;
}

int reconcile_want(struct reconcile *r, struct reconcile_owner *owner,
		   const struct kernel_object *objects, size_t len,
		   struct reconcile_owner **ret_other)
{
	struct reconcile_entry *entry;
	struct reconcile_entry *next;

	for (size_t i = 0; i < len; i++) {
		entry = find(r, &objects[i].key);
		if (entry && entry->owner && entry->owner != owner) {
			*ret_other = entry->owner;
			return -EEXIST;
		}
	}
	LIST_FOREACH (entry, &owner->entries, owner_link)
		entry->keep = false;
	for (size_t i = 0; i < len; i++) {
		enum presence presence;

		entry = find(r, &objects[i].key);
		if (!entry)
			entry = add(r, &objects[i]);
		presence = entry->presence;
		if (!kernel_value_equal(&entry->object, &objects[i])) {
			if (presence == PRESENT) {
				presence = OTHER;
				remember_other(entry, &entry->object.value);
			} else if (entry->other && memcmp(entry->other, &objects[i].value,
							  sizeof(*entry->other)) == 0) {
				presence = PRESENT;
			}
			/* The counters depend on the state only, so the value may change under
			 * them. */
			entry->object = objects[i];
		}
		set_state(r, entry, owner, presence, NULL);
		entry->keep = true;
	}
	for (entry = LIST_FIRST(&owner->entries); entry; entry = next) {
		next = LIST_NEXT(entry, owner_link);
		if (!entry->keep)
			set_state(r, entry, NULL, entry->presence, NULL);
	}
	return 0;
}

struct reconcile_owner *reconcile_holder(const struct reconcile *r, const struct kernel_key *key)
{
	const struct reconcile_entry *entry = find(r, key);

	return entry ? entry->owner : NULL;
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

void reconcile_observe_begin(struct reconcile *r, enum kernel_kind kind)
{
	r->observing = kind;
	r->pass++;
	r->rivals_len = 0;
	/* Those still there are found again. */
	forget_strays(r, 1u << kind);
}

void reconcile_observe(struct reconcile *r, const struct kernel_object *actual)
{
	struct reconcile_entry *entry;
	bool ours;

	if (actual->key.kind != r->observing)
		return;
	entry = find(r, &actual->key);
	if (entry && kernel_value_equal(&entry->object, actual)) {
		entry->seen = r->pass;
		if (entry->presence != PRESENT)
			set_state(r, entry, entry->owner, PRESENT, NULL);
		return;
	}
	ours = reconcile_owns(&r->scope, actual);
	if (!ours)
		return;
	if (entry) {
		GROW(r->rivals, r->rivals_len, r->rivals_cap);
		r->rivals[r->rivals_len++] = (struct rival){ entry, *actual };
	} else {
		entry = add(r, actual);
		entry->seen = r->pass;
		set_state(r, entry, NULL, PRESENT, NULL);
	}
}

/* Settles the slots in which something else of ours was found. */
static void settle_rivals(struct reconcile *r)
{
	for (size_t i = 0; i < r->rivals_len; i++) {
		struct reconcile_entry *entry = r->rivals[i].entry;

		/* What is on our device and has our number is in two dumps. */
		if (entry->seen == r->pass && entry->other &&
		    memcmp(entry->other, &r->rivals[i].actual.value, sizeof(*entry->other)) == 0)
			continue;
		if (entry->seen == r->pass) {
			GROW(r->strays, r->strays_len, r->strays_cap);
			r->strays[r->strays_len++] = r->rivals[i].actual;
			continue;
		}
		if (entry->owner && entry->presence == PRESENT)
			r->counts.drift[r->observing]++;
		entry->seen = r->pass;
		if (entry->owner) {
			remember_other(entry, &r->rivals[i].actual.value);
			set_state(r, entry, entry->owner, OTHER, NULL);
		} else {
			entry->object = r->rivals[i].actual;
			set_state(r, entry, NULL, PRESENT, NULL);
		}
	}
	r->rivals_len = 0;
}

/* An entry of this kind that the observation did not show is not in the kernel. */
static void note_absent(struct reconcile *r, struct reconcile_entry *entry, uint32_t kind)
{
	if (entry->object.key.kind != kind || entry->seen == r->pass)
		return;
	if (entry->owner && entry->presence == PRESENT)
		r->counts.drift[kind]++;
	set_state(r, entry, entry->owner, ABSENT, NULL);
}

void reconcile_observe_end(struct reconcile *r)
{
	settle_rivals(r);
	for_each(r, note_absent, r->observing);
}

static void forget(struct reconcile *r, struct reconcile_entry *entry, uint32_t kinds)
{
	if (!(kinds & 1u << entry->object.key.kind))
		return;
	entry->held = false;
	set_state(r, entry, entry->owner, ABSENT, NULL);
}

void reconcile_forget_kinds(struct reconcile *r, unsigned kinds)
{
	forget_strays(r, kinds);
	for_each(r, forget, kinds);
}

static void note_device_gone(struct reconcile *r, struct reconcile_entry *entry, uint32_t ifindex)
{
	if (entry->object.key.ifindex == ifindex || entry->object.value.ifindex == ifindex)
		set_state(r, entry, entry->owner, ABSENT, NULL);
}

void reconcile_forget_device(struct reconcile *r, uint32_t ifindex)
{
	for_each(r, note_device_gone, ifindex);
}

bool reconcile_contradicts(const struct reconcile *r, const struct kernel_object *o, bool gone)
{
	const struct reconcile_entry *entry = find(r, &o->key);
	bool wanted = entry && entry->owner && kernel_value_equal(&entry->object, o);

	if (gone)
		return wanted && entry->presence == PRESENT;
	if (wanted)
		return false;
	return (entry && entry->owner) || reconcile_owns(&r->scope, o);
}

/* Only a route's slot can hold what is not ours; on our own devices everything is. */
static enum reconcile_action put_action(const struct reconcile_entry *entry)
{
	return !entry->held && entry->object.key.kind == KERNEL_ROUTE ? RECONCILE_CREATE
								      : RECONCILE_REPLACE;
}

/* What stands in the slot, which need not be what was wanted last. */
static struct kernel_object to_drop(const struct reconcile_entry *entry)
{
	struct kernel_object o = entry->object;

	if (entry->other)
		o.value = *entry->other;
	return o;
}

bool reconcile_next(struct reconcile *r, enum reconcile_action *ret_action,
		    const struct kernel_object **ret_object, struct reconcile_entry **ret_entry)
{
	struct reconcile_entry *entry = NULL;

	for (unsigned k = 0; k < KERNEL_KINDS && !entry; k++)
		entry = TAILQ_FIRST(&r->puts[k]);
	if (entry) {
		*ret_action = put_action(entry);
		entry->creating = *ret_action == RECONCILE_CREATE;
		r->counts.puts[entry->object.key.kind]++;
		set_state(r, entry, entry->owner, PRESENT, NULL);
		*ret_object = &entry->object;
		*ret_entry = entry;
		return true;
	}
	*ret_action = RECONCILE_DROP;
	*ret_entry = NULL;
	if (r->strays_len > 0) {
		r->stray = r->strays[--r->strays_len];
		r->counts.strays++;
	} else {
		for (unsigned k = KERNEL_KINDS; k-- > 0 && !entry;)
			entry = TAILQ_FIRST(&r->drops[k]);
		if (!entry)
			return false;
		/* A refused drop needs no memory: the next dump finds what is still there. */
		r->stray = to_drop(entry);
		set_state(r, entry, NULL, ABSENT, NULL);
	}
	r->counts.drops[r->stray.key.kind]++;
	*ret_object = &r->stray;
	return true;
}

unsigned reconcile_pending_kinds(const struct reconcile *r)
{
	unsigned kinds = 0;

	for (unsigned k = 0; k < KERNEL_KINDS; k++) {
		if (!TAILQ_EMPTY(&r->puts[k]) || !TAILQ_EMPTY(&r->drops[k]))
			kinds |= 1u << k;
	}
	for (size_t i = 0; i < r->strays_len; i++)
		kinds |= 1u << r->strays[i].key.kind;
	return kinds;
}

/* `differences`: by what stands there, not by how it will be written. */
static void visit_pending(const struct reconcile *r, bool differences,
			  void (*visit)(void *arg, enum reconcile_action action,
					const struct kernel_object *o),
			  void *arg)
{
	const struct reconcile_entry *entry;

	for (unsigned k = 0; k < KERNEL_KINDS; k++) {
		TAILQ_FOREACH (entry, &r->puts[k], queue_link)
			visit(arg,
			      differences && entry->presence == ABSENT ? RECONCILE_CREATE
								       : put_action(entry),
			      &entry->object);
	}
	for (size_t i = r->strays_len; i-- > 0;)
		visit(arg, RECONCILE_DROP, &r->strays[i]);
	for (unsigned k = KERNEL_KINDS; k-- > 0;) {
		TAILQ_FOREACH (entry, &r->drops[k], queue_link) {
			struct kernel_object o = to_drop(entry);

			visit(arg, RECONCILE_DROP, &o);
		}
	}
}

void reconcile_pending_visit(const struct reconcile *r,
			     void (*visit)(void *arg, enum reconcile_action action,
					   const struct kernel_object *o),
			     void *arg)
{
	visit_pending(r, false, visit, arg);
}

void reconcile_difference_visit(const struct reconcile *r,
				void (*visit)(void *arg, enum reconcile_action action,
					      const struct kernel_object *o),
				void *arg)
{
	visit_pending(r, true, visit, arg);
}

void reconcile_refused(struct reconcile *r, struct reconcile_entry *entry, int code,
		       const char *text)
{
	if (!entry)
		return;
	/* Whatever the reason: if the slot was not ours before, what is in it must not be replaced
	 * next time either. */
	if (code == -EEXIST || entry->creating)
		entry->held = false;
	/* The write was counted on when it was taken; nothing of ours stands there. */
	set_state(r, entry, entry->owner, ABSENT,
		  code == -EEXIST ? "the kernel has another object in this place that is not ours"
				  : text);
}

void reconcile_owner_visit(const struct reconcile_owner *owner,
			   void (*visit)(void *arg, const struct kernel_object *o, bool settled,
					 const char *error),
			   void *arg)
{
	const struct reconcile_entry *entry;

	LIST_FOREACH (entry, &owner->entries, owner_link)
		visit(arg, &entry->object, entry->presence == PRESENT, entry->error);
}
