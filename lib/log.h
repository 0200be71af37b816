/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines on stderr: one event, one line.
 *
 * Every line names its event, a short stable word such as "lease-acquired" that can be searched for
 * and counted. Lines are limited per event: a burst passes, then one every few seconds with the
 * number left out, so that no fault, however often it repeats, fills a disk.
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include "lib/util.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

#define LOG_RECENT_LEN 1000

/*
 * Process wide. Before the first call: text, info. If stderr is the journal's, every line begins
 * with its priority.
 */
void log_setup(enum log_format format, enum log_level level);
/*
 * If stderr is the journal's and lines are text, they go to the journal's socket at this path from now
 * on, with PRIORITY, EVENT and what log_about said as fields; to stderr as before where that fails.
 */
void log_use_journal(const char *path);
enum log_level log_level_get(void);
void log_level_set(enum log_level level);
/* What the next line is about, a field of the journal for that line alone: "PEER" or "PROBLEM". */
void log_about(const char *field, const char *value);

/* Writes one line in one write(2). `event` must outlive the process (a literal). Safe bytes only
 * reach stderr. */
void log_write(enum log_level level, const char *event, const char *fmt, ...) PRINTF(3, 4);

#define log_error(event, ...) log_write(LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...)  log_write(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_info(event, ...)  log_write(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_debug(event, ...)                                                                      \
	do {                                                                                       \
		if (log_level_get() >= LOG_LEVEL_DEBUG)                                            \
			log_write(LOG_LEVEL_DEBUG, event, __VA_ARGS__);                            \
	} while (0)

/* One that is no debugging, also one that the limit kept out of stderr. The texts belong to the log. */
struct log_event {
	uint64_t number; /* the first one's is 0 */
	int64_t wall_ms;
	enum log_level level;
	const char *name;
	const char *text;
};

/* Of the last LOG_RECENT_LEN events, newest first: calls `visit` for at most `max` that are as severe as
 * `level`. */
void log_recent(enum log_level level, unsigned max,
		void (*visit)(void *arg, const struct log_event *event), void *arg);
/* The number of the next event. */
uint64_t log_end(void);
/* From now on `fn` is called after each event. It must not log. NULL: nobody is. */
void log_listen(void (*fn)(void *arg), void *arg);

const char *log_level_name(enum log_level level);
/* Of one of those names; info for any other. */
enum log_level log_level_parse(const char *name);

#endif
