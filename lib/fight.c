/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/fight.h"

#include <stdio.h>
#include <string.h>

#include "lib/util.h"

#define IN_A_ROW 4        /* undone so often it is no coincidence any more */
#define PID_MAX  0x400000 /* PID_MAX_LIMIT of linux/threads.h */

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

bool fight_is_over(const struct fight *f, int64_t now_ms)
{
	return f->pace.failures && now_ms >= fight_end_ms(f);
}

int64_t fight_end_ms(const struct fight *f)
{
	return f->pace.due_ms + policy.calm_ms;
}

void fight_blame(struct fight *f, uint32_t pid, const char *name)
{
	if (!pid)
		return;
	f->pid = pid;
	snprintf(f->name, sizeof(f->name), "%s", name);
	util_make_printable(f->name);
}

void fight_blame_port(struct fight *f, uint32_t port_id)
{
	char name[FIGHT_NAME_SIZE] = "";
	char path[32];

	/* A further socket of a process has an address that is nobody's id. */
	if (port_id > PID_MAX || (port_id == f->pid && f->name[0]))
		return;
	snprintf(path, sizeof(path), "/proc/%u/comm", port_id);

	auto_fclose FILE *in = fopen(path, "re");

	if (in && fgets(name, sizeof(name), in))
		name[strcspn(name, "\n")] = '\0';
	fight_blame(f, port_id, name);
}

static void describe_culprit(const struct fight *f, char *buf, size_t size)
{
	buf[0] = '\0';
	if (f->pid && f->name[0])
		snprintf(buf, size, " by %s (pid %u)", f->name, f->pid);
	else if (f->pid)
		snprintf(buf, size, " by a process that has ended (port id %u)", f->pid);
}

const char *fight_describe(const struct fight *f, char buf[static FIGHT_TEXT])
{
	uint32_t every_ms = policy.min_ms;
	char who[FIGHT_NAME_SIZE + 48];

	for (uint32_t i = 2; i < f->pace.failures && every_ms < policy.max_ms; i++)
		every_ms *= 2;
	every_ms = MIN(every_ms, policy.max_ms);
	describe_culprit(f, who, sizeof(who));
	snprintf(buf, FIGHT_TEXT, "%s %u times in a row%s, %s after %u.%u s",
		 f->added ? "added" : "undone", f->pace.failures, who,
		 f->added ? "removed" : "put back", every_ms / 1000, every_ms % 1000 / 100);
	return buf;
}
