/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SAME_MS 20 /* clocks that came apart by more were set, or have drifted */

/*
 * Each clock is cut to milliseconds, and read a moment after the other: the distance between them
 * comes out as one of two numbers by chance. So it is kept.
 */
int64_t clock_wall_of(int64_t boot_ms)
{
	static int64_t distance_ms;
	int64_t seen_ms;
	int64_t now_ms;

	do { /* until nothing came between the two readings */
		now_ms = clock_boot_ms();
		seen_ms = clock_wall_ms() - now_ms;
	} while (clock_boot_ms() - now_ms > 1);
	if (seen_ms < distance_ms - SAME_MS || seen_ms > distance_ms + SAME_MS)
		distance_ms = seen_ms;
	return boot_ms + distance_ms;
}

const char *clock_format_utc(int64_t wall_ms, char buf[static CLOCK_TEXT])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	size_t used;

	gmtime_r(&seconds, &tm);
	used = strftime(buf, CLOCK_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + used, CLOCK_TEXT - used, ".%03uZ", (unsigned)(wall_ms % 1000));
	return buf;
}

int clock_parse_utc(const char *text, int64_t *ret_wall_ms)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	unsigned ms = 0;
	int used = 0;

	if (!rest)
		return -EINVAL;
	if (*rest == '.' && sscanf(rest, ".%3u%n", &ms, &used) != 1)
		return -EINVAL;
	if (strcmp(rest + used, "Z") != 0)
		return -EINVAL;
	*ret_wall_ms = (int64_t)timegm(&tm) * 1000 + ms;
	return 0;
}

const char *clock_format_duration(int64_t seconds, char buf[static CLOCK_TEXT])
{
	long long s = seconds < 0 ? 0 : seconds;

	if (s >= 86400)
		snprintf(buf, CLOCK_TEXT, "%lldd%lldh", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		snprintf(buf, CLOCK_TEXT, "%lldh%lldm", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		snprintf(buf, CLOCK_TEXT, "%lldm%llds", s / 60, s % 60);
	else
		snprintf(buf, CLOCK_TEXT, "%llds", s);
	return buf;
}
