/* SPDX-License-Identifier: Apache-2.0 */
/* The two clocks. Logic takes `now_ms` as an argument; only the outermost layer calls these. */
#ifndef LIB_CLOCK_H
#define LIB_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_TEXT 32

/*
 * Milliseconds since boot, suspend included: the time that durations and deadlines are measured in.
 */
static inline int64_t clock_boot_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/*
 * A time of clock_boot_ms() in tenths of a second, thirteen years of them: for what is kept of thousands, in half
 * the room. Never 0, which is "never" there.
 */
static inline uint32_t clock_tenths(int64_t boot_ms)
{
	return boot_ms < 100 ? 1 : (uint32_t)(boot_ms / 100);
}

static inline int64_t clock_tenths_ms(uint32_t tenths)
{
	return (int64_t)tenths * 100;
}

/* Microseconds of CLOCK_MONOTONIC, as systemd wants to be told. */
static inline int64_t clock_monotonic_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Milliseconds since 1970. Only for what is stored or shown: it may jump. */
static inline int64_t clock_wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The wall clock's time of a moment, for people. The same moment has the same one each time, unless
 * the wall clock is set. */
int64_t clock_wall_of(int64_t boot_ms);

/* RFC 3339 in UTC with milliseconds, into `buf`, which is returned. */
const char *clock_format_utc(int64_t wall_ms, char buf[static CLOCK_TEXT]);

/* The reverse; three digits of a fraction or none. -EINVAL. */
int clock_parse_utc(const char *text, int64_t *ret_wall_ms);

/* "23h59m", "4m10s", "12s", "0s": two units at most, into `buf`, which is returned. */
const char *clock_format_duration(int64_t seconds, char buf[static CLOCK_TEXT]);

#endif
