/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/log.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/clock.h"
#include "lib/journal.h"

#define LINE_SIZE    1024
#define RECENT_SIZE  240 /* bytes of a remembered text */
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
	struct log_event event;
	char *text;
};

/* Apart from what follows, which is all zero at first and so no part of the file. */
static enum log_level threshold = LOG_LEVEL_INFO;

static struct {
	enum log_format format;
	struct limit limits[LIMITS_LEN];
	struct recent recent[LOG_RECENT_LEN];
	bool to_journal;
	int journal;       /* its socket, or 0: lines go to stderr */
	const char *about; /* name of the field */
	char subject[128];
	uint64_t recent_total;
	void (*listener)(void *arg);
	void *listener_arg;
} log_state;

static const char *const level_names[] = { "error", "warn", "info", "debug" };

/* syslog(3)'s, which the journal takes from the head of a line: sd-daemon(3). */
static const int priorities[] = { 3, 4, 6, 7 };

/* $JOURNAL_STREAM names what systemd connected; it may have been redirected since: systemd.exec(5). */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device;
	unsigned long long inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_setup(enum log_format format, enum log_level level)
{
	log_state.format = format;
	threshold = level;
	log_state.to_journal = stderr_is_journal();
}

void log_use_journal(const char *path)
{
	int fd;

	if (log_state.journal > 0)
		close(log_state.journal);
	log_state.journal = 0;
	if (!log_state.to_journal || log_state.format != LOG_FORMAT_TEXT)
		return;
	fd = journal_open(path);
	log_state.journal = MAX(fd, 0);
}

enum log_level log_level_get(void)
{
	return threshold;
}

void log_level_set(enum log_level level)
{
	threshold = level;
}

void log_about(const char *field, const char *value)
{
	log_state.about = field;
	snprintf(log_state.subject, sizeof(log_state.subject), "%s", value);
	util_make_printable(log_state.subject);
}

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

enum log_level log_level_parse(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
		if (strcmp(level_names[i], name) == 0)
			return (enum log_level)i;
	}
	return LOG_LEVEL_INFO;
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
	struct recent *r = &log_state.recent[log_state.recent_total % LOG_RECENT_LEN];

	free(r->text);
	r->text = xstrndup(text, RECENT_SIZE);
	util_make_printable(r->text); /* it may have been cut */
	r->event = (struct log_event){ .number = log_state.recent_total++,
				       .wall_ms = clock_wall_ms(),
				       .level = level,
				       .name = event,
				       .text = r->text };
	if (log_state.listener)
		log_state.listener(log_state.listener_arg);
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

/* The journal has a time of its own. */
static bool write_journal(enum log_level level, const char *event, const char *about,
			  const char *text, unsigned long suppressed)
{
	char message[LINE_SIZE + 200];
	char priority[2] = { (char)('0' + priorities[level]), '\0' };
	char more[60] = "";
	const struct journal_field fields[] = {
		{ "PRIORITY", priority },
		{ "SYSLOG_IDENTIFIER", program_invocation_short_name },
		{ "EVENT", event },
		{ about ? about : "PEER", about ? log_state.subject : NULL },
		{ "MESSAGE", message },
	};

	if (suppressed)
		snprintf(more, sizeof(more), " (and %lu more like it)", suppressed);
	snprintf(message, sizeof(message), "%s: %s%s", event, text, more);
	return journal_send(log_state.journal, fields, ARRAY_LEN(fields)) == 0;
}

static void write_line(enum log_level level, const char *event, const char *text,
		       unsigned long suppressed)
{
	char line[LINE_SIZE * 2 + 200];
	char when[CLOCK_TEXT];
	FILE *out;
	long size;

	clock_format_utc(clock_wall_ms(), when);
	out = fmemopen(line, sizeof(line), "w");
	if (!out)
		return;
	if (log_state.to_journal)
		fprintf(out, "<%d>", priorities[level]);
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

void log_write(enum log_level level, const char *event, const char *fmt, ...)
{
	const char *about = log_state.about;
	unsigned long suppressed = 0;
	char text[LINE_SIZE];
	va_list ap;

	log_state.about = NULL;
	if (level > threshold)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	util_make_printable(text);
	if (level < LOG_LEVEL_DEBUG)
		remember(level, event, text);
	if (level < LOG_LEVEL_DEBUG && !limit_pass(event, &suppressed))
		return;
	if (!log_state.journal || !write_journal(level, event, about, text, suppressed))
		write_line(level, event, text, suppressed);
}

void log_recent(enum log_level level, unsigned max,
		void (*visit)(void *arg, const struct log_event *event), void *arg)
{
	uint64_t have = MIN(log_state.recent_total, (uint64_t)LOG_RECENT_LEN);
	unsigned shown = 0;

	for (uint64_t i = 0; i < have && shown < max; i++) {
		const struct recent *r =
			&log_state.recent[(log_state.recent_total - 1 - i) % LOG_RECENT_LEN];

		if (r->event.level > level)
			continue;
		shown++;
		visit(arg, &r->event);
	}
}

uint64_t log_end(void)
{
	return log_state.recent_total;
}

void log_listen(void (*fn)(void *arg), void *arg)
{
	log_state.listener = fn;
	log_state.listener_arg = arg;
}
