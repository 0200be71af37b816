/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/fight.h"

#include <stdio.h>

#include "lib/util.h"

#define IN_A_ROW 4 /* undone so often it is no coincidence any more */

static const struct backoff_policy policy = {
	.min_ms = 20, .max_ms = 20480, .calm_ms = 10000, .at_once = true
};

int64_t fight_undone(struct fight *f, int64_t now_ms)
{
	return backoff_next(&f->pace, &policy, now_ms);
}

int64_t fight_wait(const struct fight *f, int64_t now_ms)
{
	return backoff_left(&f->pace, now_ms);
}

bool fight_is_on(const struct fight *f)
{
	return f->pace.failures >= IN_A_ROW;
}

int64_t fight_end_ms(const struct fight *f)
{
	return f->pace.due_ms + policy.calm_ms;
}

void fight_blame(struct fight *f, uint32_t pid, const char *name)
{
	f->pid = pid;
	snprintf(f->name, sizeof(f->name), "%s", name);
	util_make_printable(f->name);
}

const char *fight_describe(const struct fight *f, char buf[static FIGHT_TEXT])
{
	uint32_t every_ms = policy.min_ms;
	char who[FIGHT_NAME_SIZE + 24] = "";

	for (uint32_t i = 2; i < f->pace.failures && every_ms < policy.max_ms; i++)
		every_ms *= 2;
	if (f->name[0])
		snprintf(who, sizeof(who), " by %s (pid %u)", f->name, f->pid);
	snprintf(buf, FIGHT_TEXT, "undone %u times in a row%s, put back after %u.%u s",
		 f->pace.failures, who, every_ms / 1000, every_ms % 1000 / 100);
	return buf;
}
