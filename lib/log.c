/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/log.h"

#include <stdarg.h>
#include <string.h>

#include "lib/clock.h"

#define LINE_SIZE    1024
#define RECENT_LEN   16
#define LIMITS_LEN   128
#define LIMIT_BURST  20   /* lines of one event before the limit bites */
#define LIMIT_GAP_MS 5000 /* afterwards one line in this time */

struct limit {
	const char *event;
	int64_t credit_ms; /* one line costs LIMIT_GAP_MS, credit grows with time */
	int64_t seen_ms;
	unsigned long suppressed;
};

struct recent {
	int64_t wall_ms;
	enum log_level level;
	const char *event;
	char text[240];
};

static struct {
	enum log_format format;
	enum log_level level;
	struct limit limits[LIMITS_LEN];
	struct recent recent[RECENT_LEN];
	unsigned long recent_total;
} log_state = { .level = LOG_LEVEL_INFO };

static const char *const level_names[] = { "error", "warn", "info", "debug" };

void log_setup(enum log_format format, enum log_level level)
{
	log_state.format = format;
	log_state.level = level;
}

enum log_level log_level_get(void)
{
	return log_state.level;
}

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

/* True if the line may be written; then *ret_suppressed lines of its kind were left out since the
 * last. */
static bool limit_pass(const char *event, unsigned long *ret_suppressed)
{
	int64_t now = clock_boot_ms();
	struct limit *slot = NULL;

	for (size_t i = 0; i < LIMITS_LEN && !slot; i++) {
		struct limit *l = &log_state.limits[i];

		if (!l->event)
			*l = (struct limit){ event, LIMIT_BURST * LIMIT_GAP_MS, now, 0 };
		if (strcmp(l->event, event) == 0)
			slot = l;
	}
	*ret_suppressed = 0;
	if (!slot)
		return true;
	slot->credit_ms =
		MIN(slot->credit_ms + (now - slot->seen_ms), (int64_t)LIMIT_BURST * LIMIT_GAP_MS);
	slot->seen_ms = now;
	if (slot->credit_ms < LIMIT_GAP_MS) {
		slot->suppressed++;
		return false;
	}
	slot->credit_ms -= LIMIT_GAP_MS;
	*ret_suppressed = slot->suppressed;
	slot->suppressed = 0;
	return true;
}

static void remember(enum log_level level, const char *event, const char *text)
{
	struct recent *r = &log_state.recent[log_state.recent_total++ % RECENT_LEN];

	r->wall_ms = clock_wall_ms();
	r->level = level;
	r->event = event;
	snprintf(r->text, sizeof(r->text), "%.*s", (int)sizeof(r->text) - 1, text);
	util_make_printable(r->text); /* it may have been cut */
}

static void put_json_string(FILE *out, const char *s)
{
	fputc('"', out);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			fputc('\\', out);
		fputc(c, out);
	}
	fputc('"', out);
}

void log_write(enum log_level level, const char *event, const char *fmt, ...)
{
	char text[LINE_SIZE];
	char line[LINE_SIZE * 2 + 200];
	char when[CLOCK_TEXT];
	unsigned long suppressed = 0;
	FILE *out;
	va_list ap;
	long size;

	if (level > log_state.level)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	util_make_printable(text);
	if (level <= LOG_LEVEL_WARN)
		remember(level, event, text);
	if (level < LOG_LEVEL_DEBUG && !limit_pass(event, &suppressed))
		return;
	clock_format_utc(clock_wall_ms(), when);
	out = fmemopen(line, sizeof(line), "w");
	if (!out)
		return;
	if (log_state.format == LOG_FORMAT_JSON) {
		fprintf(out, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\",\"msg\":", when,
			level_names[level], event);
		put_json_string(out, text);
		if (suppressed)
			fprintf(out, ",\"suppressed\":%lu", suppressed);
		fputs("}\n", out);
	} else {
		fprintf(out, "%s %-5s %s: ", when, level_names[level], event);
		fputs(text, out);
		if (suppressed)
			fprintf(out, " (and %lu more like it)", suppressed);
		fputc('\n', out);
	}
	fflush(out);
	size = ftell(out);
	fclose(out);
	if (size > 0) {
		ssize_t ignored UNUSED = write(STDERR_FILENO, line, (size_t)size);
	}
}

void log_recent(unsigned max,
		void (*visit)(void *arg, int64_t wall_ms, enum log_level level, const char *event,
			      const char *text),
		void *arg)
{
	unsigned long have = MIN(log_state.recent_total, (unsigned long)RECENT_LEN);

	for (unsigned long i = 0; i < have && i < max; i++) {
		const struct recent *r =
			&log_state.recent[(log_state.recent_total - 1 - i) % RECENT_LEN];

		visit(arg, r->wall_ms, r->level, r->event, r->text);
	}
}
