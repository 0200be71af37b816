/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong with this host's part of the fabric: the one place that decides it.
 *
 *   views of manager, fabric, rules ──health_judge──> list ──health_track──> since, log lines
 *                                      (pure)                (pure but for what it tells)
 *
 * To add a problem: give it a name, let a view carry what it is judged by, judge it in health.c, and
 * describe the name in docs/operations.md. What only a module itself can judge, it adds to
 * health_inputs.reported with problem_add.
 */
#ifndef FLANNELD_HEALTH_H
#define FLANNELD_HEALTH_H

#include "fabric/fabric.h"
#include "lib/problem.h"
#include "subnet/manager.h"
#include "traffic/rules.h"

/* What is judged. Texts are "" while all is well; nothing is NULL but where it says so. */
struct health_inputs {
	const struct manager_view *manager;
	const struct fabric_view *fabric;
	const struct rules_view *rules;
	const char *unbound; /* manager_describe_unbound; NULL: none is */
	const char *twin;    /* manager_describe_twin: its name, or NULL */
	const char *twin_text;
	bool released;        /* taken out of use: it has no lease, and shall have none */
	const char *underlay; /* why this host has no place in the underlay */
	const struct problem_list *reported; /* by modules that judge themselves; may be NULL */
};

void health_judge(const struct health_inputs *in, struct problem_list *ret);

/* ---- since when ---- */

#define HEALTH_LINGER_MIN_MS 1000  /* a problem that returns within this time had not gone */
#define HEALTH_LINGER_MAX_MS 30000 /* ... which grows to this for one that comes and goes */
#define HEALTH_CALM_MS       60000 /* gone for so long, the next time is the first again */

struct health_entry {
	struct problem problem; /* as it was judged last */
	int64_t since_ms;       /* when it began */
	int64_t seen_ms;        /* when it was last found */
	bool told;              /* that it began, and not yet that it ended */
	bool ended;             /* that it ended was told, not long ago */
	unsigned returns;       /* how often it came back soon after that */
};

/* Zero-initialised by its owner. First what is wrong now, in the order judged; then what was. */
struct health {
	size_t present;
	size_t len;
	struct health_entry entries[PROBLEMS_MAX];
};

/* A problem begins, or (`lasted_ms` >= 0) has ended. */
typedef void health_tell_fn(void *arg, const struct health_entry *entry, int64_t lasted_ms);

/*
 * Takes in what is wrong now and tells what has begun and ended since the last call. What is normal
 * for a moment, such as objects on their way into the kernel, is told once it lasts.
 */
void health_track(struct health *h, int64_t now_ms, const struct problem_list *now,
		  health_tell_fn *tell, void *arg);
/* When health_track has something to tell though nothing has changed; INT64_MAX: never. */
int64_t health_deadline(const struct health *h);

/* The first of those present whose severity is the worst; NULL: nothing but information is. */
const struct problem *health_worst(const struct health *h);
/* Whether anything but information is present. */
bool health_is_degraded(const struct health *h);

#endif
