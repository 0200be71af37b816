/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/file_store.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "lib/clock.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/log.h"
#include "stores/file_health.h"
#include "stores/file_journal.h"
#include "subnet/config.h"

#define STEPS_MAX      1000 /* lines after which the journal is written anew */
#define BOOT_ID_FILE   "/proc/sys/kernel/random/boot_id"
#define WATCH_RETRY_US 20000
#define READS_MAX      16 /* of events in one turn of the loop */
#define LOCK_ATTEMPTS  5  /* to open a lock that is removed again and again */

/* What tells that somebody has changed something; all zero: it is not there. */
struct look {
	struct {
		dev_t device;
		ino_t inode;
		off_t size;
		struct timespec modified;
	} directory, journal, config;
};

struct file_store {
	struct store *store;
	char *directory;
	char *journal;
	char *config;
	char *lock;
	uint64_t config_revision; /* when the step began */
	int lock_fd;
	int notify_fd;
	int watched;  /* inotify's number of the directory, -1: none */
	dev_t device; /* the directory that we know */
	ino_t inode;
	char *unwatched; /* why, NULL: nothing is wrong; the timer serves meanwhile */
	struct event_base *base;
	struct event *notify;
	struct event *again;
	struct event *tick;
	struct look seen;
	char *trouble; /* why nothing can be told, NULL: nothing is wrong */
	/* How far the journal has been read: which file, and where in it. */
	struct file_journal read;
	dev_t journal_device;
	ino_t journal_inode;
	off_t offset;
	bool stale; /* what is in memory could not be written down */
	/* Lines of the steps since begin. */
	char *lines;
	size_t lines_size;
	FILE *out;
};

static void on_step(void *arg, const struct mem_op *op)
{
	struct file_store *s = arg;

	file_journal_put_step(s->out, op);
	s->read.steps++;
}

/* ---- the journal ---- */

static void start_anew(struct file_store *s)
{
	file_journal_restart(&s->read);
	s->journal_device = 0;
	s->journal_inode = 0;
	s->offset = 0;
	s->stale = false;
}

/* Takes in what has been written since the last time; all, if it is another file. */
static int refresh(struct file_store *s, struct err *e)
{
	auto_close int fd = -1;
	auto_free char *text = NULL;
	int rc = file_open(AT_FDCWD, s->journal, O_RDONLY, &fd, e);
	size_t used;
	struct stat st;
	ssize_t n;

	if (rc == -ENOENT) {
		if (s->journal_inode || s->stale)
			start_anew(s);
		return 0;
	}
	if (rc < 0)
		return rc;
	if (fstat(fd, &st) < 0)
		return err_sys(e, -errno, "%s", s->journal);
	if (st.st_ino != s->journal_inode || st.st_dev != s->journal_device ||
	    st.st_size < s->offset || s->stale) {
		start_anew(s);
		s->journal_inode = st.st_ino;
		s->journal_device = st.st_dev;
	}
	if (st.st_size == s->offset && s->read.lines > 0)
		return 0;
	if ((size_t)st.st_size > FILE_JOURNAL_MAX_SIZE)
		return err_set(e, -EFBIG, "%s is larger than %zu bytes", s->journal,
			       FILE_JOURNAL_MAX_SIZE);
	text = xmalloc((size_t)(st.st_size - s->offset));
	n = pread(fd, text, (size_t)(st.st_size - s->offset), s->offset);
	if (n < 0)
		return err_sys(e, -errno, "%s", s->journal);
	rc = file_journal_read(&s->read, text, (size_t)n, &used, e);
	/* What stands before a line that is none is good, and stays. */
	s->offset += (off_t)used;
	if (rc < 0)
		return err_wrap(e, "%s", s->journal);
	/* Journals come whole, by rename: somebody is writing this one in its place, or has lost it. */
	return s->read.lines > 0 ? 0 : err_set(e, -EBADMSG, "%s: not one line in it", s->journal);
}

/* A new file with the present and no past. */
static int write_anew(struct file_store *s, struct err *e)
{
	size_t size;
	auto_free char *text = file_journal_present(&s->read, &size);
	struct stat st;
	int rc = file_replace_within(s->journal, text, size, 0600, e);

	if (rc == 0 && stat(s->journal, &st) < 0)
		rc = err_sys(e, -errno, "%s", s->journal);
	if (rc < 0)
		return rc;
	/* Our own watches have been told all that is in it and go on where they are. */
	s->journal_inode = st.st_ino;
	s->journal_device = st.st_dev;
	s->offset = st.st_size;
	s->read.lines = 1;
	s->read.steps = 0;
	return 0;
}

static int append(struct file_store *s, const char *lines, size_t size, struct err *e)
{
	auto_close int fd = -1;
	ssize_t n;

	if (file_open(AT_FDCWD, s->journal, O_WRONLY, &fd, e) < 0)
		return e->code;
	/* What a crash left of a line is in the way of ours. */
	if (ftruncate(fd, s->offset) < 0)
		return err_sys(e, -errno, "%s", s->journal);
	n = pwrite(fd, lines, size, s->offset);
	if (n != (ssize_t)size || fdatasync(fd) < 0) {
		int rc = err_sys(e, n < 0 || n == (ssize_t)size ? -errno : -ENOSPC, "%s",
				 s->journal);

		/* Nobody may read what we then say has not happened. */
		if (ftruncate(fd, s->offset) < 0)
			log_warn("store-journal", "%s cannot be cut back", s->journal);
		return rc;
	}
	s->offset += n;
	return 0;
}

/* The configuration is a file of its own, for people; the key in the store follows it. */
static void follow_config(struct file_store *s)
{
	const struct mem_entry *e = mem_db_get(s->read.db, MEM_DB_CONFIG_KEY);
	auto_free char *text = NULL;
	size_t size;
	struct err why;
	int rc = file_read(s->config, NETWORK_CONFIG_MAX_SIZE, &text, &size, &why);

	if (rc == -ENOENT) {
		mem_db_delete(s->read.db, MEM_DB_CONFIG_KEY);
	} else if (rc == 0) {
		auto_json json_t *as_text = json_stringn(text, size);

		/* The journal is text: what is not becomes a configuration that nobody can read. */
		if (!as_text || strlen(text) != size) {
			util_make_printable(text);
			size = strlen(text);
		}
		if (!e || e->value_size != size || memcmp(e->value, text, size) != 0)
			mem_db_put(s->read.db, MEM_DB_CONFIG_KEY, text, size, 0);
	} else {
		log_warn("store-config", "%s; the configuration stays as it was", why.text);
	}
}

static uint64_t config_revision(const struct file_store *s)
{
	const struct mem_entry *e = mem_db_get(s->read.db, MEM_DB_CONFIG_KEY);

	return e ? e->mod_revision : 0;
}

/* The other way round: what was just set in the store becomes the file. Before the journal says so,
 * since the file is what counts. */
static int write_config(struct file_store *s, struct err *e)
{
	const struct mem_entry *entry = mem_db_get(s->read.db, MEM_DB_CONFIG_KEY);

	if (!entry || entry->mod_revision == s->config_revision)
		return 0;
	return file_replace_within(s->config, entry->value, entry->value_size, 0644, e);
}

/* ---- what mem_store asks ---- */

static int file_end(void *arg, struct err *e);

/*
 * The lock of the directory that stands there now. One that was removed, or went away with its
 * directory, keeps nobody out who makes another.
 */
static int take_lock(struct file_store *s, struct err *e)
{
	for (unsigned i = 0; i < LOCK_ATTEMPTS; i++) {
		bool taken;

		if (s->lock_fd < 0)
			s->lock_fd = open(s->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		/* What cannot be written can be read, and is locked as well. */
		if (s->lock_fd < 0 && errno == EROFS)
			s->lock_fd = open(s->lock, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (s->lock_fd < 0)
			return err_sys(e, -errno, "%s", s->lock);
		taken = flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0;
		if (!taken && errno != EWOULDBLOCK)
			return err_sys(e, -errno, "%s", s->lock);
		if (file_is_at(s->lock_fd, AT_FDCWD, s->lock)) {
			if (taken)
				return 0;
			break;
		}
		close(s->lock_fd);
		s->lock_fd = -1;
	}
	return err_set(e, -EAGAIN, "%s: somebody else is writing", s->directory);
}

static void on_notify(evutil_socket_t fd, short what, void *arg);

static int add_watch(struct file_store *s)
{
	if (s->notify_fd < 0) {
		s->notify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
		if (s->notify_fd < 0)
			return -errno;
		s->notify = event_new(s->base, s->notify_fd, EV_READ | EV_PERSIST, on_notify, s);
		event_add(s->notify, NULL);
	}
	s->watched = inotify_add_watch(s->notify_fd, s->directory,
				       IN_MODIFY | IN_MOVED_TO | IN_CREATE | IN_DELETE |
					       IN_DELETE_SELF | IN_MOVE_SELF);
	return s->watched < 0 ? -errno : 0;
}

/* fs.inotify has limits, which all of a user's programs share: the timer serves until there is room. */
static void watch_directory(struct file_store *s)
{
	int rc = add_watch(s);

	if (rc < 0 && !s->unwatched)
		log_warn("store-inotify", "%s: inotify: %s; looking every second instead",
			 s->directory, strerror(-rc));
	else if (rc == 0 && s->unwatched)
		log_info("store-inotify", "%s: inotify tells of changes again", s->directory);
	free(s->unwatched);
	s->unwatched = rc < 0 ? xasprintf("inotify: %s", strerror(-rc)) : NULL;
}

/* Another directory, or this one come back from somewhere: nothing of what we know need be true. */
static int follow_directory(struct file_store *s, struct err *e)
{
	bool first = !s->inode;
	struct stat st;

	if (stat(s->directory, &st) < 0)
		return err_sys(e, -errno, "%s", s->directory);
	if (st.st_dev == s->device && st.st_ino == s->inode)
		return 0;
	s->device = st.st_dev;
	s->inode = st.st_ino;
	if (s->watched >= 0)
		inotify_rm_watch(s->notify_fd, s->watched);
	s->watched = -1;
	watch_directory(s);
	if (first)
		return 0;
	log_warn("store-replaced", "%s is another directory than before", s->directory);
	start_anew(s);
	mem_store_resync(s->store, "the store's directory is another than before");
	return 0;
}

static int file_begin(void *arg, struct err *e)
{
	struct file_store *s = arg;
	int rc = take_lock(s, e);

	if (rc < 0)
		return rc;
	rc = follow_directory(s, e);
	if (rc == 0)
		rc = refresh(s, e);
	if (rc == 0 && s->read.other_boot) {
		mem_db_renew_all(s->read.db, clock_boot_ms());
		s->read.other_boot = false;
		rc = write_anew(s, e);
	}
	if (rc == 0 && !s->journal_inode)
		rc = write_anew(s, e);
	if (rc < 0) {
		flock(s->lock_fd, LOCK_UN);
		return rc;
	}
	s->out = open_memstream(&s->lines, &s->lines_size);
	if (!s->out)
		abort();
	mem_db_on_step(s->read.db, on_step, s);
	follow_config(s);
	s->config_revision = config_revision(s);
	return 0;
}

/*
 * The journal without its past, and what is known of that past in memory. What was written stands,
 * whether this can be done or not: the next step tries again.
 */
static void shorten(struct file_store *s)
{
	struct err e;

	if (s->read.steps <= STEPS_MAX + 4 * mem_db_keys(s->read.db))
		return;
	mem_store_compact(s->store);
	if (write_anew(s, &e) < 0)
		log_warn("store-journal", "the journal grows, it cannot be written anew: %s",
			 e.text);
}

static int file_end(void *arg, struct err *e)
{
	struct file_store *s = arg;
	int rc;

	mem_db_on_step(s->read.db, NULL, NULL);
	if (fclose(STEAL(s->out)) != 0)
		abort();
	rc = write_config(s, e);
	if (rc == 0 && s->lines_size > 0)
		rc = append(s, s->lines, s->lines_size, e);
	free(STEAL(s->lines));
	if (rc < 0)
		s->stale = true;
	else
		shorten(s);
	flock(s->lock_fd, LOCK_UN);
	return rc;
}

static void file_health(void *arg, const struct store_request *request, struct store_reply *ret)
{
	const struct file_store *s = arg;

	file_health_answer(s->directory, clock_wall_ms() / 1000, request, ret);
}

static void file_describe(void *arg, void *json_object)
{
	struct file_store *s = arg;

	json_object_set_new(json_object, "type", json_string("file"));
	json_object_set_new(json_object, "directory", json_string(s->directory));
	if (s->unwatched)
		json_object_set_new(json_object, "unwatched", json_string(s->unwatched));
}

static void file_free(void *arg)
{
	struct file_store *s = arg;

	if (s->notify)
		event_free(s->notify);
	if (s->again)
		event_free(s->again);
	if (s->tick)
		event_free(s->tick);
	if (s->notify_fd >= 0)
		close(s->notify_fd);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	file_journal_fini(&s->read);
	free(s->directory);
	free(s->journal);
	free(s->config);
	free(s->lock);
	free(s->trouble);
	free(s->unwatched);
	free(s);
}

static const struct mem_store_backing backing = {
	.begin = file_begin,
	.end = file_end,
	.health = file_health,
	.describe = file_describe,
	.free = file_free,
};

/* ---- what others write ---- */

/* As long as this lasts the watches are lost, and what they have told holds. */
static void set_trouble(struct file_store *s, const char *text)
{
	if (text && (!s->trouble || strcmp(s->trouble, text) != 0))
		log_error("store-trouble", "%s", text);
	free(s->trouble);
	s->trouble = text ? xstrdup(text) : NULL;
	if (text)
		mem_store_lost(s->store, text);
	else
		mem_store_changed(s->store);
}

static void see(struct file_store *s, struct look *ret)
{
	struct stat st;

	*ret = (struct look){ 0 };
	if (stat(s->directory, &st) == 0) {
		ret->directory.device = st.st_dev;
		ret->directory.inode = st.st_ino;
	}
	if (stat(s->journal, &st) == 0) {
		ret->journal.device = st.st_dev;
		ret->journal.inode = st.st_ino;
		ret->journal.size = st.st_size;
	}
	if (stat(s->config, &st) == 0) {
		ret->config.device = st.st_dev;
		ret->config.inode = st.st_ino;
		ret->config.size = st.st_size;
		ret->config.modified = st.st_mtim;
	}
}

static void look(struct file_store *s)
{
	static const struct timeval soon = { 0, WATCH_RETRY_US };
	struct err e;
	int rc = file_begin(s, &e);

	if (rc == 0)
		rc = file_end(s, &e);
	if (rc == -EAGAIN)
		event_add(s->again, &soon);
	else
		set_trouble(s, rc < 0 ? e.text : NULL);
	see(s, &s->seen);
}

static void on_notify(evutil_socket_t fd, short what UNUSED, void *arg)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

	/* Somebody who writes files next to ours may do so faster than this can read. */
	for (int i = 0; i < READS_MAX && read(fd, buf, sizeof(buf)) > 0; i++)
		;
	look(arg);
}

static void on_again(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	look(arg);
}

/* What inotify does not tell: a parent that was moved, a file system that reports nothing. */
static void on_tick(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct file_store *s = arg;
	struct look now;

	if (s->watched < 0)
		watch_directory(s);
	see(s, &now);
	if (s->trouble || memcmp(&now, &s->seen, sizeof(now)) != 0)
		look(s);
}

static int set_up(struct file_store *s, struct event_base *base, struct err *e)
{
	static const struct timeval second = { 1, 0 };
	auto_free char *boot_id = NULL;
	int rc = file_make_directories(s->directory, 0755, e);

	if (rc < 0)
		return rc;
	rc = file_read(BOOT_ID_FILE, sizeof(s->read.boot_id) - 1, &boot_id, NULL, e);
	if (rc < 0)
		return rc;
	snprintf(s->read.boot_id, sizeof(s->read.boot_id), "%.*s", (int)strcspn(boot_id, "\n"),
		 boot_id);
	/* What is in the way of it is said by whoever takes it. */
	s->lock_fd = open(s->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	s->base = base;
	s->again = evtimer_new(base, on_again, s);
	s->tick = event_new(base, -1, EV_PERSIST, on_tick, s);
	event_add(s->tick, &second);
	rc = follow_directory(s, e);
	if (rc < 0)
		return rc;
	see(s, &s->seen);
	return 0;
}

int file_store_new(struct event_base *base, const char *directory, uint64_t (*random)(void),
		   struct store **ret, struct err *e)
{
	struct file_store *s = xcalloc(1, sizeof(*s));
	int rc;

	s->lock_fd = s->notify_fd = s->watched = -1;
	s->directory = xstrdup(directory);
	s->journal = xasprintf("%s/journal", directory);
	s->config = xasprintf("%s/config", directory);
	s->lock = xasprintf("%s/lock", directory);
	file_journal_init(&s->read);
	rc = set_up(s, base, e);
	if (rc < 0) {
		file_free(s);
		return rc;
	}
	s->store = mem_store_new_backed(base, random, &backing, s, &s->read.db);
	/* A journal that cannot be read is a store that is not there, and may be tomorrow. */
	if (refresh(s, e) < 0)
		set_trouble(s, e->text);
	*ret = s->store;
	return 0;
}

static int open_file(const struct store_open_args *args, struct store **ret, struct err *e)
{
	if (args->where[0] != '/')
		return err_set(e, -EINVAL, "store: \"%.80s\" is no absolute path", args->where);
	return file_store_new(args->base, args->where, args->random, ret, e);
}

static void place(const struct store *store, struct store_place *ret)
{
	const struct file_store *s = mem_store_backing_arg(store);
	auto_free char *path = realpath(s->directory, NULL);

	*ret = (struct store_place){ 0 };
	snprintf(ret->where, sizeof(ret->where), "file:%s", path ? path : s->directory);
}

const struct store_type file_store_type = {
	.scheme = "file",
	.traits = STORE_EXPIRES | STORE_ORDERED | STORE_WRITES_CONFIG | STORE_KEEPS_HEALTH,
	.open = open_file,
	.place = place,
};
