/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Desired against actual, and the smallest set of writes that makes them equal. Pure: no netlink,
 * no clock.
 *
 * Desired: each owner (a peer, or this host itself) states the objects it wants; reconcile_want
 * replaces that list as a whole. Actual: what a dump shows is fed to reconcile_observe. Both lead
 * to a queue of puts and drops, which fabric/apply.c sends to the kernel and reports failures of.
 * Latest state wins: whatever happened between two flushes, the queue holds at most one write per
 * slot in the kernel.
 *
 *   want ──┐                      ┌──> apply: elements, addresses, FDB, neighbours, routes put so,
 *          ├──> entries ──> queue ┤           then routes, neighbours, FDB, addresses dropped
 *   dump ──┘                      └──> reconcile_refused ──> entries
 */
#ifndef FABRIC_RECONCILE_H
#define FABRIC_RECONCILE_H

#include "lib/fight.h"
#include "kernel/kinds.h"

struct reconcile;

/* Embedded in whoever wants objects. Zero-initialised. */
struct reconcile_owner {
	uint32_t first; /* of its entries */
	/* How many of the entries are not in the kernel as wanted, and how many of those failed. */
	unsigned unsettled;
	unsigned failed;
};

struct reconcile_counts {
	uint64_t puts[KERNEL_KINDS]; /* writes handed out, by kind */
	uint64_t drops[KERNEL_KINDS];
	uint64_t drift[KERNEL_KINDS]; /* found missing or altered after they had been right */
	size_t wanted[KERNEL_KINDS];
	size_t unsettled; /* wanted objects not (yet) right in the kernel */
	size_t failed;
	size_t fighting; /* objects that somebody removes, or adds, again and again */
};

/* What is worth a line in the log. Nothing of the reconciler may be called from here. */
struct reconcile_listener {
	/* Was right and is missing or altered now. */
	void (*drifted)(void *arg, const struct kernel_object *o,
			const struct reconcile_owner *owner);
	/* A fight begins, or is over: it has stood for a while, is no longer wanted (owner NULL),
	 * or (fight->added, owner NULL too) has not been added any more. */
	void (*fought)(void *arg, const struct kernel_object *o,
		       const struct reconcile_owner *owner, const struct fight *fight, bool over);
};

struct reconcile *reconcile_new(void);
void reconcile_free(struct reconcile *r);

/* `listener` is borrowed. */
void reconcile_listen(struct reconcile *r, const struct reconcile_listener *listener, void *arg);

/* What is ours in the kernel; nothing else is ever changed. Takes effect with the next observation.
 * Entries for devices that left the marks are not touched. */
void reconcile_set_marks(struct reconcile *r, const struct kernel_marks *marks);

/*
 * Replaces what `owner` wants; len 0 when it leaves. -EEXIST if another owner already has one of
 * the slots: nothing is changed then, and *ret_other is that owner. Objects of a kind that is shared
 * may be wanted by many.
 */
int reconcile_want(struct reconcile *r, struct reconcile_owner *owner,
		   const struct kernel_object *objects, size_t len,
		   struct reconcile_owner **ret_other) MUST_CHECK;

/* Who wants something in this slot alone; NULL if nobody does. */
struct reconcile_owner *reconcile_holder(const struct reconcile *r, const struct kernel_key *key);

/*
 * Observation of one kind: begin, then every object of that kind that the kernel has (others may be
 * among them), then end. Differences are queued. Entries with failures are queued again as well.
 */
void reconcile_observe_begin(struct reconcile *r, unsigned kind);
void reconcile_observe(struct reconcile *r, const struct kernel_object *actual);
void reconcile_observe_end(struct reconcile *r);

/*
 * What was observed of these kinds (a mask, 1 << place in kernel_kinds) is no longer believed, nor that
 * a slot was ours: what is wanted is to be put where nothing stands. Observe before the next write.
 */
void reconcile_forget_kinds(struct reconcile *r, unsigned kinds);

/* The device behind this index is gone, and with it every object on it. Queues all of them. */
void reconcile_forget_device(struct reconcile *r, uint32_t ifindex);

/*
 * The time. What was fought over and has waited long enough is to be put back now: *returns* the
 * kinds (a mask) to be observed before that. Call it before observations and writes.
 */
unsigned reconcile_tick(struct reconcile *r, int64_t now_ms);
/* When the next tick will find something to do; INT64_MAX: never. */
int64_t reconcile_due(const struct reconcile *r);

/*
 * A notification. True if it contradicts what we want, so that its kind should be observed: an
 * object we want is gone, or something else is or was in its slot, or an object that is ours by the
 * marks but not wanted has appeared. What is fought over can wait, and waits.
 */
bool reconcile_notice(struct reconcile *r, const struct kernel_object *o, bool gone);
/* What has been undone of late in this slot, to blame somebody for it; else NULL. */
struct fight *reconcile_fight_over(struct reconcile *r, const struct kernel_key *key);

/*
 * Takes the next write from the queue; false when empty. KERNEL_CREATE where the slot is believed
 * empty and may be somebody else's. *ret_object is valid until the next call on `r`. The write
 * counts as done; if the kernel refuses it, reconcile_refused says so before any call but
 * reconcile_next is made. *ret_entry is what to name then; 0: no need to.
 */
bool reconcile_next(struct reconcile *r, enum kernel_verb *ret_verb,
		    const struct kernel_object **ret_object, uint32_t *ret_entry);
void reconcile_refused(struct reconcile *r, uint32_t entry, int code, const char *text);

/*
 * The kinds (a mask) whose writes since the last call prove nothing until they are observed again:
 * something was dropped that stood beside a wanted object in its slot, and the kernel may have taken
 * the one for the other; or something was replaced of a kind of which the kernel acknowledges what
 * it does not do.
 */
unsigned reconcile_take_reread(struct reconcile *r);
/* The same holds for these. */
void reconcile_reread(struct reconcile *r, unsigned kinds);
/* Nothing of these kinds is handed out until the next call. */
void reconcile_hold(struct reconcile *r, unsigned kinds);

/* The kinds (a mask, 1 << place in kernel_kinds) of which reconcile_next has something to hand out. */
unsigned reconcile_pending_kinds(const struct reconcile *r);

typedef void reconcile_write_fn(void *arg, enum kernel_verb verb, const struct kernel_object *o);

/* Shows what reconcile_next would hand out, in its order, without taking it. */
void reconcile_pending_visit(const struct reconcile *r, reconcile_write_fn *visit, void *arg);

/* The same for people: create is what is missing, replace what is otherwise than wanted. */
void reconcile_difference_visit(const struct reconcile *r, reconcile_write_fn *visit, void *arg);

const struct reconcile_counts *reconcile_counts(const struct reconcile *r);

/* Shows the entries of an owner: the object, whether the kernel has it as wanted, and the last
 * error (or NULL). */
void reconcile_owner_visit(const struct reconcile *r, const struct reconcile_owner *owner,
			   void (*visit)(void *arg, const struct kernel_object *o, bool settled,
					 const char *error),
			   void *arg);

/* Why an object of the owner's could not be written; NULL if none was refused. */
const char *reconcile_owner_error(const struct reconcile *r, const struct reconcile_owner *owner);

/* One of those that were refused; false: none was. All are borrowed until the next call on `r`. */
bool reconcile_refused_one(const struct reconcile *r, const struct kernel_object **ret_object,
			   const struct reconcile_owner **ret_owner, const char **ret_error);

/* Shows what is fought over now. */
void reconcile_fights_visit(const struct reconcile *r,
			    void (*visit)(void *arg, const struct kernel_object *o,
					  const struct reconcile_owner *owner,
					  const struct fight *fight),
			    void *arg);

/* The wanted route to the destination of this one, or to the smallest that contains it. Only if the
 * kernel may take this one instead. */
bool reconcile_route_around(const struct reconcile *r, const struct kernel_object *o,
			    struct kernel_object *ret);

/* Shows all wanted objects of a kind. */
void reconcile_wanted_visit(const struct reconcile *r, unsigned kind,
			    void (*visit)(void *arg, const struct kernel_object *o), void *arg);

#endif
