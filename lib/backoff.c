/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/backoff.h"

#include "lib/util.h"

/* Counts the failure and returns the longest wait that it may cost. */
static int64_t count(struct backoff *b, const struct backoff_policy *policy, int64_t now_ms)
{
	uint32_t doublings;
	int64_t limit = policy->min_ms;

	if (policy->calm_ms && b->failures && now_ms - b->due_ms >= policy->calm_ms)
		backoff_reset(b);
	doublings = b->failures;
	if (b->failures < UINT32_MAX)
		b->failures++;
	if (policy->at_once && doublings-- == 0)
		return 0;
	while (doublings-- > 0 && limit < policy->max_ms)
		limit *= 2;
	return MIN(limit, (int64_t)policy->max_ms);
}

int64_t backoff_next(struct backoff *b, const struct backoff_policy *policy, int64_t now_ms)
{
	int64_t wait = count(b, policy, now_ms);

	b->due_ms = now_ms + wait;
	return wait;
}

int64_t backoff_next_spread(struct backoff *b, const struct backoff_policy *policy, int64_t now_ms,
			    uint64_t random)
{
	int64_t limit = count(b, policy, now_ms);
	int64_t wait = limit ? (int64_t)(random % (uint64_t)limit) + 1 : 0;

	b->due_ms = now_ms + wait;
	return wait;
}
