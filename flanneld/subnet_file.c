/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/subnet_file.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "lib/backoff.h"
#include "lib/clock.h"
#include "lib/file.h"
#include "lib/log.h"
#include "subnet/subnet_env.h"

#define EVENTS                                                                                     \
	(IN_CREATE | IN_CLOSE_WRITE | IN_MODIFY | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE |        \
	 IN_DELETE_SELF | IN_MOVE_SELF)

#define READS_MAX 16 /* of 4 KiB, in one turn of the loop */

static const struct backoff_policy heal_policy = { .min_ms = SUBNET_FILE_HEAL_MS,
						   .max_ms = SUBNET_FILE_HEAL_MAX_MS,
						   .calm_ms = 60000 };

struct subnet_file {
	struct event_base *base;
	char *path;
	char *directory;
	const char *name;
	void (*changed)(void *arg);
	void *arg;
	char *text; /* wanted; NULL: nothing yet */
	bool written;
	bool noticed; /* that something was done to it; the check is due */
	struct err error;
	struct backoff fights;
	struct event *check; /* armed while there is a text */
	int notify_fd;
	int watch;      /* -1: the directory is not watched */
	bool unwatched; /* and this has been told */
	struct event *notify_event;
};

static void check_in(struct subnet_file *f, int64_t delay_ms)
{
	struct timeval tv = { delay_ms / 1000, delay_ms % 1000 * 1000 };

	event_add(f->check, &tv);
}

/* ---- the watch ---- */

static void on_notify(evutil_socket_t fd, short what, void *arg);

static void start_watching(struct subnet_file *f)
{
	f->notify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (f->notify_fd < 0)
		return;
	f->notify_event = event_new(f->base, f->notify_fd, EV_READ | EV_PERSIST, on_notify, f);
	event_add(f->notify_event, NULL);
}

/*
 * A watch stays with a directory that was moved away: it is taken anew by path each time something
 * was noticed. The kernel gives the same number for the same directory.
 */
static void watch_directory(struct subnet_file *f)
{
	bool lacking;
	int watch;

	if (f->notify_fd < 0)
		start_watching(f);
	watch = f->notify_fd < 0
			? -1
			: inotify_add_watch(f->notify_fd, f->directory, EVENTS | IN_ONLYDIR);
	/* A directory that is not there is made in a moment, or is an error of its own. */
	lacking = watch < 0 && errno != ENOENT && errno != ENOTDIR;
	if (lacking && !f->unwatched)
		log_warn("subnet-file-inotify", "%s: inotify: %s; looking every %d s instead",
			 f->directory, strerror(errno), SUBNET_FILE_CHECK_S);
	f->unwatched = lacking;
	if (f->watch >= 0 && watch != f->watch)
		inotify_rm_watch(f->notify_fd, f->watch);
	f->watch = watch;
}

static void on_notify(evutil_socket_t fd, short what UNUSED, void *arg)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	struct subnet_file *f = arg;
	bool concerned = false;
	ssize_t size;

	/* Somebody who writes files next to ours may do so faster than this can read. */
	for (int i = 0; i < READS_MAX && (size = read(fd, buf, sizeof(buf))) > 0; i++) {
		for (const char *p = buf; p < buf + size;) {
			const struct inotify_event *event = (const void *)p;

			/* Without a name it is about the directory itself, or an overflow. */
			concerned |= event->len == 0 || strcmp(event->name, f->name) == 0;
			if (event->mask & IN_IGNORED && event->wd == f->watch)
				f->watch = -1;
			p += sizeof(*event) + event->len;
		}
	}
	/* Not later for a file that never rests, nor sooner for one that cannot be written. */
	if (!concerned || !f->text || f->noticed || f->error.code)
		return;
	f->noticed = true;
	check_in(f, MAX(backoff_left(&f->fights, clock_boot_ms()), (int64_t)SUBNET_FILE_HEAL_MS));
}

/* ---- the file ---- */

/* What is otherwise than wanted, NULL if nothing is. */
static const char *difference(const struct subnet_file *f)
{
	auto_free char *have = NULL;
	struct stat st;

	if (stat(f->path, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? "deleted" : "made unreadable";
	if (!S_ISREG(st.st_mode)) /* reading a FIFO would wait for ever */
		return "replaced by something that is no file";
	if (file_read(f->path, SUBNET_ENV_MAX_SIZE, &have, NULL, NULL) < 0)
		return "made unreadable";
	return strcmp(have, f->text) == 0 ? NULL : "altered";
}

static void write_file(struct subnet_file *f, const char *why)
{
	struct err e;

	if (file_replace(f->path, f->text, strlen(f->text), 0644, &e) < 0) {
		f->error = e;
		check_in(f, SUBNET_FILE_RETRY_MS);
		return;
	}
	f->error.code = 0;
	if (f->written)
		log_warn("subnet-file-healed", "%s was %s; it is written again", f->path, why);
	else
		log_info("subnet-file-written", "%s", f->path);
	f->written = true;
}

/* Every check ends with the watch as it should be and a time for the next one. */
static void check(struct subnet_file *f)
{
	const char *why;

	f->noticed = false;
	check_in(f, (int64_t)SUBNET_FILE_CHECK_S * 1000);
	watch_directory(f); /* before the look, so that nothing falls between */
	why = difference(f);
	if (!why) {
		f->error.code = 0;
		f->written = true;
	} else {
		if (f->written && !f->error.code)
			backoff_next(&f->fights, &heal_policy, clock_boot_ms());
		write_file(f, why);
	}
	if (f->watch >= 0)
		return;
	/* The directory has just been made: watch it, and look what happened between. */
	watch_directory(f);
	if (f->watch >= 0 && !f->error.code)
		check_in(f, SUBNET_FILE_HEAL_MS);
}

static void on_check(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct subnet_file *f = arg;

	check(f);
	f->changed(f->arg);
}

/* ---- life ---- */

struct subnet_file *subnet_file_new(struct event_base *base, const char *path,
				    void (*changed)(void *arg), void *arg)
{
	struct subnet_file *f = xcalloc(1, sizeof(*f));
	const char *slash = strrchr(path, '/');

	f->base = base;
	f->path = xstrdup(path);
	f->name = slash ? f->path + (slash - path) + 1 : f->path;
	f->directory = !slash          ? xstrdup(".")
		       : slash == path ? xstrdup("/")
				       : xstrndup(path, (size_t)(slash - path));
	f->changed = changed;
	f->arg = arg;
	f->watch = -1;
	f->check = evtimer_new(base, on_check, f);
	f->notify_fd = -1;
	return f;
}

void subnet_file_free(struct subnet_file *f)
{
	if (!f)
		return;
	event_free(f->check);
	if (f->notify_event)
		event_free(f->notify_event);
	if (f->notify_fd >= 0)
		close(f->notify_fd);
	free(f->path);
	free(f->directory);
	free(f->text);
	free(f);
}

void subnet_file_set(struct subnet_file *f, const char *text)
{
	if (f->text && f->written && strcmp(f->text, text) == 0)
		return;
	free(f->text);
	f->text = xstrdup(text);
	f->written = false;
	check(f);
}

bool subnet_file_is_written(const struct subnet_file *f)
{
	return f->written && !f->error.code;
}

const char *subnet_file_error(const struct subnet_file *f)
{
	return f->error.code ? f->error.text : "";
}

void subnet_file_problems(const struct subnet_file *f, struct problem_list *ret)
{
	if (f->error.code)
		problem_add(ret, PROBLEM_ERROR, "subnet-file", "%s", f->error.text);
	if (f->fights.failures >= SUBNET_FILE_FIGHT_ROUNDS &&
	    clock_boot_ms() - f->fights.due_ms < (int64_t)heal_policy.calm_ms)
		problem_add(
			ret, PROBLEM_WARNING, "fighting",
			"somebody deletes or alters %s again and again, %u times in a row; it is "
			"written again every %u s at most",
			f->path, f->fights.failures, heal_policy.max_ms / 1000);
}
