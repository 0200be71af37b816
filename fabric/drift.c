/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What others do to our objects: noticed, said in the log by name, and paced.
 *
 * However many and however fast, they cost few lines (NAMED_MAX by name in a while, the rest as a
 * number; a fight when it begins and when it is over) and few comparisons (at most a tenth of the
 * time is spent on those that notifications cause).
 */
#include "fabric/fabric_internal.h"
#include "lib/clock.h"
#include "lib/log.h"

#define NAMED_MAX     FABRIC_DRIFTS_MAX
#define NAMED_MS      10000 /* the while */
#define HEAL_DELAY_MS 10    /* lets a burst of notifications become one dump */
#define COST_FACTOR   10
#define NAME_TEXT     (KERNEL_OBJECT_TEXT + SUBNET_KEY_TEXT + 16)

/* "route 10.5.3.0/24 via ... of peer 10.5.3.0-24" */
static const char *name_object(const struct fabric *f, const struct kernel_object *o,
			       const struct reconcile_owner *owner, char buf[static NAME_TEXT])
{
	char text[KERNEL_OBJECT_TEXT];
	char key[SUBNET_KEY_TEXT];

	kernel_object_format(o, text);
	if (owner && !fabric_is_container(f, owner) && peers_of_owner(f->peers, owner))
		snprintf(buf, NAME_TEXT, "%s of peer %s", text,
			 subnet_format(&peers_of_owner(f->peers, owner)->member->lease->subnet,
				       key));
	else
		snprintf(buf, NAME_TEXT, "%s", text);
	return buf;
}

bool fabric_may_name(struct fabric_log_budget *b)
{
	if (b->left == 0) {
		b->unnamed++;
		return false;
	}
	b->left--;
	return true;
}

static void note_intruder(struct fabric *f, const struct kernel_object *o, uint32_t port_id)
{
	f->intruders[f->intruders_next++ % FABRIC_DRIFTS_MAX] =
		(struct fabric_intruder){ *o, port_id };
}

/* "; in its place stood ..., by ip (pid 12)", or "" if nobody was seen to put anything there. */
static char *describe_intruder(struct fabric *f, const struct kernel_object *ours)
{
	struct fabric_intruder *last = NULL;
	char text[KERNEL_OBJECT_TEXT];
	struct fight culprit = { 0 };

	for (size_t i = 0; i < FABRIC_DRIFTS_MAX; i++) {
		struct fabric_intruder *x =
			&f->intruders[(f->intruders_next + i) % FABRIC_DRIFTS_MAX];

		if (memcmp(&x->object.key, &ours->key, sizeof(ours->key)) == 0)
			last = x;
	}
	if (!last)
		return xstrdup("");
	fight_blame_port(&culprit, last->port_id);
	kernel_object_format(&last->object, text);
	last->object.key = (struct kernel_key){ 0 };
	if (!culprit.pid)
		return xasprintf("; in its place stood %s", text);
	return xasprintf("; in its place stood %s, by %s (port id %u)", text,
			 culprit.name[0] ? culprit.name : "a process that has ended", culprit.pid);
}

static void on_drifted(void *arg, const struct kernel_object *o,
		       const struct reconcile_owner *owner)
{
	struct fabric *f = arg;
	struct fabric_drift *drift;
	char name[NAME_TEXT];

	if (f->drifts_len == NAMED_MAX || !fabric_may_name(&f->drift_log)) {
		f->drift_log.unnamed += f->drifts_len == NAMED_MAX;
		return;
	}
	drift = &f->drifts[f->drifts_len++];
	drift->ifindex = kernel_is_route(o) ? o->value.ifindex : o->key.ifindex;
	drift->on_device = fabric_is_device(f, drift->ifindex);
	drift->intruder = describe_intruder(f, o);
	drift->name = xstrdup(name_object(f, o, owner, name));
}

void fabric_tell_drift(struct fabric *f, bool forget)
{
	for (size_t i = 0; i < f->drifts_len; i++) {
		const struct fabric_drift *drift = &f->drifts[i];

		/* What went with a device cannot have been put back on it. */
		if (!forget && (!drift->on_device || fabric_is_device(f, drift->ifindex)))
			log_warn("drift-healed", "%s is missing or altered, put back%s",
				 drift->name, drift->intruder);
		free(drift->name);
		free(drift->intruder);
	}
	f->drifts_len = 0;
}

static void on_fought(void *arg, const struct kernel_object *o, const struct reconcile_owner *owner,
		      const struct fight *fight, bool over)
{
	struct fabric *f = arg;
	char name[NAME_TEXT];
	char text[FIGHT_TEXT];

	if (!fabric_may_name(&f->fight_log))
		return;
	name_object(f, o, owner, name);
	if (!over)
		log_warn("fighting", "%s: %s; it is %s later and later", name,
			 fight_describe(fight, text), fight->added ? "removed" : "put back");
	else if (fight->added && owner)
		log_info("fight-over", "%s is wanted now", name);
	else if (fight->added)
		log_info("fight-over", "%s has not been added for a while", name);
	else if (owner)
		log_info("fight-over", "%s has stood for a while", name);
	else
		log_info("fight-over", "%s is not wanted any more", name);
}

void fabric_watch_drift(struct fabric *f)
{
	static const struct reconcile_listener listener = { .drifted = on_drifted,
							    .fought = on_fought };

	reconcile_listen(f->reconcile, &listener, f);
}

static void refill(struct fabric_log_budget *b, int64_t now_ms, const char *event, const char *what)
{
	if (now_ms < b->refill_ms)
		return;
	if (b->unnamed)
		log_warn(event, "%u more %s", b->unnamed, what);
	*b = (struct fabric_log_budget){ .left = NAMED_MAX, .refill_ms = now_ms + NAMED_MS };
}

void fabric_tick_drift(struct fabric *f)
{
	int64_t now_ms = clock_boot_ms();

	refill(&f->drift_log, now_ms, "drift-healed", "objects were missing or altered, put back");
	refill(&f->fight_log, now_ms, "fighting", "fights began or are over");
	refill(&f->shadow_log, now_ms, "route-shadowed",
	       "routes of others began or ceased to take packets of ours");
	fabric_tick_device_fights(f, now_ms);
	f->dirty |= reconcile_tick(f->reconcile, now_ms);
}

void fabric_await_drift(struct fabric *f)
{
	const struct fabric_log_budget *budgets[] = { &f->drift_log, &f->fight_log,
						      &f->shadow_log };
	int64_t due_ms = reconcile_due(f->reconcile);
	int64_t now_ms = clock_boot_ms();

	for (size_t i = 0; i < ARRAY_LEN(budgets); i++) {
		if (budgets[i]->unnamed)
			due_ms = MIN(due_ms, budgets[i]->refill_ms);
	}
	for (size_t i = 0; i < BACKEND_DEVICES_MAX; i++) {
		if (f->device_fights[i].pace.failures)
			due_ms = MIN(due_ms, fight_end_ms(&f->device_fights[i]));
	}
	if (due_ms != INT64_MAX)
		fabric_want_work(f, MAX(due_ms - now_ms, (int64_t)1));
}

/* Comparisons of this kind take part of the time only. */
static int64_t heal_delay(const struct fabric *f, unsigned kind)
{
	int64_t gap_ms = (int64_t)(f->observation_s[kind] * 1000 * COST_FACTOR);
	int64_t next_ms = f->observed_ms[kind] + gap_ms;

	return MAX(next_ms - clock_boot_ms(), (int64_t)HEAL_DELAY_MS);
}

bool fabric_notice(struct fabric *f, const struct kernel_object *object, bool gone,
		   uint32_t port_id)
{
	unsigned kind = object->key.kind;
	bool contradicts = reconcile_notice(f->reconcile, object, gone);
	struct fight *fight = reconcile_fight_over(f->reconcile, &object->key);
	/* Who takes away what nobody wants does no harm. */
	bool undone = fight && !(fight->added && gone);

	if (undone)
		fight_blame_port(fight, port_id);
	if (!contradicts)
		return undone;
	if (!gone)
		note_intruder(f, object, port_id);
	f->dirty |= 1u << kind;
	/* With a device's last address the kernel takes its routes and neighbours, IPv4 routes
	 * without a word. */
	if (gone && kernel_kinds[kind]->flags & KERNEL_KIND_CARRIES)
		f->dirty = KERNEL_ALL_KINDS;
	fabric_want_work(f, heal_delay(f, kind));
	return undone;
}

struct first_fight {
	const struct fabric *f;
	char *buf;
	size_t size;
};

static void take_first(void *arg, const struct kernel_object *o,
		       const struct reconcile_owner *owner, const struct fight *fight)
{
	const struct first_fight *first = arg;
	char name[NAME_TEXT];
	char text[FIGHT_TEXT];

	if (!first->buf[0])
		snprintf(first->buf, first->size, "%s: %s", name_object(first->f, o, owner, name),
			 fight_describe(fight, text));
}

size_t fabric_describe_fights(const struct fabric *f, char *buf, size_t size)
{
	struct first_fight first = { f, buf, size };
	size_t count = reconcile_counts(f->reconcile)->fighting;
	char text[FIGHT_TEXT];

	buf[0] = '\0';
	for (size_t i = 0; i < f->devices_len; i++) {
		if (!fight_is_on(&f->device_fights[i]))
			continue;
		if (!buf[0])
			snprintf(buf, size, "device %s: %s", f->devices[i].name,
				 fight_describe(&f->device_fights[i], text));
		count++;
	}
	if (reconcile_counts(f->reconcile)->fighting > 0)
		reconcile_fights_visit(f->reconcile, take_first, &first);
	return count;
}
