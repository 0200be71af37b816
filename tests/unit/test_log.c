/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib/log: what reaches stderr. The clock is the test's: it defines clock_gettime, so that the rate
 * limit is tested without waiting.
 */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <jansson.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>

#include "lib/log.h"

static int64_t fake_ms; /* 0: the real clock */

int clock_gettime(clockid_t id, struct timespec *ts)
{
	if (!fake_ms)
		return (int)syscall(SYS_clock_gettime, id, ts);
	ts->tv_sec = fake_ms / 1000;
	ts->tv_nsec = fake_ms % 1000 * 1000000;
	return 0;
}

/* stderr goes to a file in memory from capture_start until capture_end, which returns what was
 * written. */
static int saved_stderr = -1;
static int captured = -1;

static void capture_start(void)
{
	captured = memfd_create("stderr", MFD_CLOEXEC);
	saved_stderr = dup(STDERR_FILENO);
	assert_true(captured >= 0 && saved_stderr >= 0);
	assert_true(dup2(captured, STDERR_FILENO) >= 0);
}

static char *capture_end(void)
{
	struct stat st;
	char *text;

	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	assert_int_equal(fstat(captured, &st), 0);
	text = xcalloc((size_t)st.st_size + 1, 1);
	assert_int_equal(pread(captured, text, (size_t)st.st_size, 0), st.st_size);
	close(captured);
	return text;
}

static size_t count_lines(const char *text)
{
	size_t lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

static int setup(void **state)
{
	(void)state;
	log_setup(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	/* Each test starts far from the other: all credit is back. */
	fake_ms = (fake_ms ? fake_ms : 1700000000007) + 3600 * 1000;
	return 0;
}

static void test_one_event_is_one_line(void **state)
{
	(void)state;
	auto_free char *text = NULL;

	fake_ms = 1700000000007;
	capture_start();
	log_info("lease-acquired", "%s for %d s", "10.5.3.0/24", 86400);
	log_error("device-lost", "flannel.1");
	text = capture_end();
	assert_string_equal(
		text, "2023-11-14T22:13:20.007Z info  lease-acquired: 10.5.3.0/24 for 86400 s\n"
		      "2023-11-14T22:13:20.007Z error device-lost: flannel.1\n");
}

static void test_level(void **state)
{
	(void)state;
	static const struct {
		enum log_level level;
		size_t lines;
	} rows[] = { { LOG_LEVEL_ERROR, 1 },
		     { LOG_LEVEL_WARN, 2 },
		     { LOG_LEVEL_INFO, 3 },
		     { LOG_LEVEL_DEBUG, 4 } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *text = NULL;

		log_setup(LOG_FORMAT_TEXT, rows[i].level);
		assert_int_equal(log_level_get(), rows[i].level);
		capture_start();
		log_error("level-e", "x");
		log_warn("level-w", "x");
		log_info("level-i", "x");
		log_debug("level-d", "x");
		text = capture_end();
		assert_int_equal(count_lines(text), rows[i].lines);
	}
}

static json_t *only_line(const char *text)
{
	json_error_t error;
	json_t *j;

	assert_int_equal(count_lines(text), 1);
	assert_int_equal(text[strlen(text) - 1], '\n');
	j = json_loads(text, 0, &error);
	if (!j)
		fail_msg("not JSON: %s: %s", error.text, text);
	return j;
}

static void test_json_fields(void **state)
{
	(void)state;
	auto_free char *text = NULL;
	json_t *j;

	fake_ms = 1700000000007 + 7200 * 1000;
	log_setup(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
	capture_start();
	log_warn("json-fields", "peer %s", "10.5.3.0/24");
	text = capture_end();
	j = only_line(text);
	assert_string_equal(json_string_value(json_object_get(j, "time")),
			    "2023-11-15T00:13:20.007Z");
	assert_string_equal(json_string_value(json_object_get(j, "level")), "warn");
	assert_string_equal(json_string_value(json_object_get(j, "event")), "json-fields");
	assert_string_equal(json_string_value(json_object_get(j, "msg")), "peer 10.5.3.0/24");
	assert_int_equal(json_object_size(j), 4);
	json_decref(j);
}

/* Whatever a message contains, its JSON line parses, and what was text comes back as it was. */
static void test_json_escaping(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "a \"quote\" and a \\", "a \"quote\" and a \\" },
		{ "M\xc3\xbcnchen", "M\xc3\xbcnchen" },
		{ "line\nbreak\ttab\x1b[31m", NULL },
		{ "not\xffutf8\xc3", NULL },
	};

	log_setup(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *text = NULL;
		json_t *j;

		capture_start();
		log_info("json-escaping", "%s", rows[i][0]);
		text = capture_end();
		j = only_line(text);
		if (rows[i][1])
			assert_string_equal(json_string_value(json_object_get(j, "msg")),
					    rows[i][1]);
		json_decref(j);
		assert_null(strchr(text, '\x1b'));
	}
}

static void test_a_huge_message_is_cut_but_whole(void **state)
{
	(void)state;
	static const char fillers[] = { 'x', '\x01', '"', '\\', '\xc3' };
	char message[5000];

	for (size_t i = 0; i < ARRAY_LEN(fillers); i++) {
		auto_free char *json_text = NULL;
		auto_free char *text = NULL;

		memset(message, fillers[i], sizeof(message));
		message[sizeof(message) - 1] = '\0';
		log_setup(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
		capture_start();
		log_info("huge-json", "%s", message);
		json_text = capture_end();
		json_decref(only_line(json_text));
		log_setup(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
		capture_start();
		log_info("huge-text", "%s", message);
		text = capture_end();
		assert_int_equal(count_lines(text), 1);
		assert_int_equal(text[strlen(text) - 1], '\n');
	}
}

static void test_text_lines_carry_no_control_bytes(void **state)
{
	(void)state;
	auto_free char *text = NULL;

	capture_start();
	log_info("control-bytes", "a\nb\x1b[2Jc\x7f\x01\xc2\x9b");
	text = capture_end();
	assert_int_equal(count_lines(text), 1);
	assert_contains(text, "a?b?[2Jc??");
	assert_null(strchr(text, '\x1b'));
	assert_null(strstr(text, "\xc2\x9b"));
}

/* What a reader does not see, or sees the other way round. */
static void test_text_that_misleads(void **state)
{
	(void)state;
	auto_free char *text = NULL;

	capture_start();
	log_info("misled", "a\342\200\256b\357\273\277c\342\200\213d \342\202\254 \342\200\246");
	text = capture_end();
	assert_contains(text, "a???b???c???d \342\202\254 \342\200\246\n");
}

static void test_a_burst_passes_then_few(void **state)
{
	(void)state;
	auto_free char *burst = NULL;
	auto_free char *later = NULL;
	auto_free char *other = NULL;

	capture_start();
	for (unsigned i = 0; i < 1000; i++)
		log_warn("storm", "again");
	burst = capture_end();
	assert_in_range(count_lines(burst), 2, 100);

	capture_start();
	log_warn("calm", "another event is not held back");
	other = capture_end();
	assert_int_equal(count_lines(other), 1);

	/* A minute of the same fault, ten times a second. */
	capture_start();
	for (unsigned i = 0; i < 600; i++) {
		fake_ms += 100;
		log_warn("storm", "again");
	}
	later = capture_end();
	assert_in_range(count_lines(later), 2, 20);
	assert_contains(later, "more like it)");
}

/* Nothing vanishes unseen: the lines written and the numbers left out add up to the lines asked
 * for. */
static void test_suppressed_lines_are_counted(void **state)
{
	(void)state;
	auto_free char *text = NULL;
	unsigned long sum = 0;

	log_setup(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
	capture_start();
	for (unsigned i = 0; i < 500; i++) {
		fake_ms += 37;
		log_info("counted", "n");
	}
	fake_ms += 3600 * 1000;
	log_info("counted", "last");
	text = capture_end();
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		json_t *j = json_loads(line, 0, NULL);

		assert_non_null(j);
		sum += 1 + (unsigned long)json_integer_value(json_object_get(j, "suppressed"));
		json_decref(j);
	}
	assert_int_equal(sum, 501);
}

struct seen {
	unsigned len;
	char text[LOG_RECENT_LEN][32];
	enum log_level level[LOG_RECENT_LEN];
};

static void see(void *arg, const struct log_event *event)
{
	struct seen *s = arg;

	assert_true(event->wall_ms > 0);
	assert_non_null(event->name);
	assert_true(event->number < log_end());
	snprintf(s->text[s->len], sizeof(s->text[0]), "%s", event->text);
	s->level[s->len++] = event->level;
}

static void count(void *arg)
{
	++*(unsigned *)arg;
}

static void test_a_listener_hears_of_each(void **state)
{
	(void)state;
	unsigned heard = 0;
	uint64_t before;

	capture_start();
	log_setup(LOG_FORMAT_TEXT, LOG_LEVEL_DEBUG);
	before = log_end();
	log_listen(count, &heard);
	log_info("listened", "one");
	log_error("listened", "two");
	log_debug("listened", "no event");
	log_listen(NULL, NULL);
	log_info("listened", "unheard");
	free(capture_end());
	assert_int_equal(heard, 2);
	assert_int_equal(log_end(), before + 3);
}

static void test_recent_newest_first(void **state)
{
	(void)state;
	static struct seen seen;

	capture_start();
	for (unsigned i = 0; i < 40; i++) {
		log_info("recent-info", "not %u", i);
		log_warn("recent-warn", "warning %u", i);
	}
	log_error("recent-error", "the end");
	free(capture_end());

	log_recent(LOG_LEVEL_WARN, 3, see, &seen);
	assert_int_equal(seen.len, 3);
	assert_string_equal(seen.text[0], "the end");
	assert_int_equal(seen.level[0], LOG_LEVEL_ERROR);
	assert_string_equal(seen.text[1], "warning 39");
	assert_string_equal(seen.text[2], "warning 38");
	/* Kept in full whatever the limit did to stderr, and bounded. */
	seen.len = 0;
	log_recent(LOG_LEVEL_INFO, 81, see, &seen);
	assert_int_equal(seen.len, 81);
	assert_string_equal(seen.text[80], "not 0");
	capture_start();
	for (unsigned i = 0; i < 2 * LOG_RECENT_LEN; i++)
		log_info("recent-info", "%u", i);
	free(capture_end());
	seen.len = 0;
	log_recent(LOG_LEVEL_INFO, 2 * LOG_RECENT_LEN, see, &seen);
	assert_int_equal(seen.len, LOG_RECENT_LEN);
	assert_string_equal(seen.text[0], "1999");
	assert_string_equal(seen.text[LOG_RECENT_LEN - 1], "1000");
}

/* That stderr, as it is now, is what systemd connected. */
static void pretend_journal(void)
{
	char stream[64];
	struct stat st;

	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
}

static void test_priorities_for_the_journal(void **state)
{
	(void)state;
	auto_free char *text = NULL;

	capture_start();
	pretend_journal();
	log_setup(LOG_FORMAT_TEXT, LOG_LEVEL_DEBUG);
	log_error("priority", "x");
	log_warn("priority", "x");
	log_info("priority", "x");
	log_debug("priority", "x");
	/* What systemd connected is not where stderr leads. */
	setenv("JOURNAL_STREAM", "1:1", 1);
	log_setup(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	log_error("priority", "x");
	unsetenv("JOURNAL_STREAM");
	text = capture_end();
	assert_int_equal(count_lines(text), 5);
	assert_contains(text, "<3>2");
	assert_contains(text, "\n<4>2");
	assert_contains(text, "\n<6>2");
	assert_contains(text, "\n<7>2");
	assert_contains(text, "\n2");
}

static void test_fields_for_the_journal(void **state)
{
	(void)state;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char text[2000];
	ssize_t size;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "/tmp/test-log-%d", (int)getpid());
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	capture_start();
	pretend_journal();
	log_setup(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	log_use_journal(addr.sun_path);
	log_about("PEER", "10.5.3.0/24\nPRIORITY=0");
	log_warn("field-first", "a\nMESSAGE=b");
	log_info("field-second", "c");
	size = recv(fd, text, sizeof(text) - 1, 0);
	unlink(addr.sun_path);
	assert_true(size > 0);
	text[size] = '\0';
	assert_string_equal(text,
			    "PRIORITY=4\nSYSLOG_IDENTIFIER=test_log\nEVENT=field-first\n"
			    "PEER=10.5.3.0/24?PRIORITY=0\nMESSAGE=field-first: a?MESSAGE=b\n");
	size = recv(fd, text, sizeof(text) - 1, 0);
	assert_true(size > 0);
	text[size] = '\0';
	assert_string_equal(text, "PRIORITY=6\nSYSLOG_IDENTIFIER=test_log\nEVENT=field-second\n"
				  "MESSAGE=field-second: c\n");
	close(STEAL_FD(fd));
	log_warn("field-third", "d"); /* nobody is there */
	unsetenv("JOURNAL_STREAM");
	log_setup(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	log_use_journal(addr.sun_path);
	{
		auto_free char *rest = capture_end();

		assert_int_equal(count_lines(rest), 1);
		assert_contains(rest, "field-third: d");
	}
}

static void test_level_names(void **state)
{
	(void)state;
	assert_string_equal(log_level_name(LOG_LEVEL_ERROR), "error");
	assert_string_equal(log_level_name(LOG_LEVEL_WARN), "warn");
	assert_string_equal(log_level_name(LOG_LEVEL_INFO), "info");
	assert_string_equal(log_level_name(LOG_LEVEL_DEBUG), "debug");
	assert_int_equal(log_level_parse("debug"), LOG_LEVEL_DEBUG);
	assert_int_equal(log_level_parse("error"), LOG_LEVEL_ERROR);
	assert_int_equal(log_level_parse("?"), LOG_LEVEL_INFO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_one_event_is_one_line, setup),
		cmocka_unit_test_setup(test_level, setup),
		cmocka_unit_test_setup(test_json_fields, setup),
		cmocka_unit_test_setup(test_json_escaping, setup),
		cmocka_unit_test_setup(test_a_huge_message_is_cut_but_whole, setup),
		cmocka_unit_test_setup(test_text_lines_carry_no_control_bytes, setup),
		cmocka_unit_test_setup(test_text_that_misleads, setup),
		cmocka_unit_test_setup(test_a_burst_passes_then_few, setup),
		cmocka_unit_test_setup(test_suppressed_lines_are_counted, setup),
		cmocka_unit_test_setup(test_a_listener_hears_of_each, setup),
		cmocka_unit_test_setup(test_recent_newest_first, setup),
		cmocka_unit_test_setup(test_priorities_for_the_journal, setup),
		cmocka_unit_test_setup(test_fields_for_the_journal, setup),
		cmocka_unit_test(test_level_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
