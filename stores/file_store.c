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
#include "subnet/config.h"

#define FORMAT           1
#define JOURNAL_MAX_SIZE ((size_t)256 << 20)
#define STEPS_MAX        1000 /* lines after which the journal is written anew */
#define BOOT_ID_FILE     "/proc/sys/kernel/random/boot_id"
#define WATCH_RETRY_US   20000

struct file_store {
	struct store *store;
	char *directory;
	char *journal;
	char *config;
	uint64_t config_revision; /* when the step began */
	int lock_fd;
	int notify_fd;
	struct event *notify;
	struct event *again;
	char boot_id[64];
	struct mem_db *db;
	/* How far the journal has been read: which file, and where in it. */
	dev_t device;
	ino_t inode;
	off_t offset;
	size_t steps;
	bool other_boot; /* the journal's times are of an earlier boot */
	bool stale;      /* what is in memory could not be written down */
	/* Lines of the steps since begin. */
	char *lines;
	size_t lines_size;
	FILE *out;
};

/* ---- lines ---- */

static void put_line(FILE *out, json_t *object)
{
	json_dumpf(object, out, JSON_COMPACT);
	fputc('\n', out);
	json_decref(object);
}

static const char *const step_names[] = { "put", "delete", "grant", "revoke", "alive" };

static json_t *step_to_json(const struct mem_op *op)
{
	json_t *j = json_pack("{s:s}", "step", step_names[op->type]);

	if (op->key)
		json_object_set_new(j, "key", json_string(op->key));
	if (op->value)
		json_object_set_new(j, "value", json_stringn(op->value, op->size));
	if (op->handle)
		json_object_set_new(j, "handle", json_integer(op->handle));
	if (op->ttl_s)
		json_object_set_new(j, "ttl", json_integer(op->ttl_s));
	if (op->at_ms)
		json_object_set_new(j, "at", json_integer(op->at_ms));
	return j;
}

static void on_step(void *arg, const struct mem_op *op)
{
	struct file_store *s = arg;

	put_line(s->out, step_to_json(op));
	s->steps++;
}

static int64_t integer(const json_t *j, const char *key)
{
	return json_integer_value(json_object_get(j, key));
}

static int apply_step(struct mem_db *db, const json_t *j, const char *name)
{
	const json_t *value = json_object_get(j, "value");
	struct mem_op op = {
		.key = json_string_value(json_object_get(j, "key")),
		.value = json_string_value(value),
		.size = json_string_length(value),
		.handle = integer(j, "handle"),
		.ttl_s = integer(j, "ttl"),
		.at_ms = integer(j, "at"),
	};

	for (size_t i = 0; i < ARRAY_LEN(step_names); i++) {
		if (strcmp(name, step_names[i]) != 0)
			continue;
		op.type = (enum mem_op_type)i;
		if ((op.type == MEM_PUT && (!op.key || !op.value)) ||
		    (op.type == MEM_DELETE && !op.key))
			return -EINVAL;
		mem_db_apply(db, &op);
		return 0;
	}
	return -EINVAL;
}

static int apply_line(struct file_store *s, const json_t *j)
{
	const char *step = json_string_value(json_object_get(j, "step"));
	const char *key = json_string_value(json_object_get(j, "key"));
	const json_t *value = json_object_get(j, "value");

	if (step) {
		s->steps++;
		return apply_step(s->db, j, step);
	}
	if (json_object_get(j, "format")) {
		const char *boot = json_string_value(json_object_get(j, "boot"));

		s->other_boot = !boot || strcmp(boot, s->boot_id) != 0;
		mem_db_load_revision(s->db, (uint64_t)integer(j, "revision"));
		return integer(j, "format") == FORMAT ? 0 : -EINVAL;
	}
	if (!key || !json_is_string(value))
		return -EINVAL;
	mem_db_load_key(s->db, key, json_string_value(value), json_string_length(value),
			(uint64_t)integer(j, "create"), (uint64_t)integer(j, "mod"),
			integer(j, "handle"));
	return 0;
}

/* Reads whole lines; *ret_used is where the last one ended. */
static int read_lines(struct file_store *s, const char *text, size_t size, size_t *ret_used,
		      struct err *e)
{
	size_t used = 0;
	const char *newline;

	while ((newline = memchr(text + used, '\n', size - used))) {
		auto_json json_t *j = NULL;
		int rc = json_parse_object(text + used, (size_t)(newline - text) - used, &j, e);

		if (rc == 0 && apply_line(s, j) < 0)
			rc = err_set(e, -EINVAL, "no step of a store");
		if (rc < 0) {
			err_wrap(e, "%s at byte %lld", s->journal,
				 (long long)(s->offset + (off_t)used));
			return -EBADMSG;
		}
		used = (size_t)(newline - text) + 1;
	}
	*ret_used = used;
	return 0;
}

/* ---- the journal ---- */

static void start_anew(struct file_store *s)
{
	mem_db_free(s->db);
	s->db = mem_db_new();
	s->device = 0;
	s->inode = 0;
	s->offset = 0;
	s->steps = 0;
	s->stale = false;
	s->other_boot = false;
}

/* Takes in what has been written since the last time; all, if it is another file. */
static int refresh(struct file_store *s, struct err *e)
{
	auto_close int fd = open(s->journal, O_RDONLY | O_CLOEXEC);
	auto_free char *text = NULL;
	size_t used;
	struct stat st;
	ssize_t n;
	int rc;

	if (fd < 0 && errno == ENOENT) {
		if (s->inode || s->stale)
			start_anew(s);
		return 0;
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, -errno, "%s", s->journal);
	if (st.st_ino != s->inode || st.st_dev != s->device || st.st_size < s->offset || s->stale) {
		start_anew(s);
		s->inode = st.st_ino;
		s->device = st.st_dev;
	}
	if (st.st_size == s->offset)
		return 0;
	if ((size_t)st.st_size > JOURNAL_MAX_SIZE)
		return err_set(e, -EFBIG, "%s is larger than %zu bytes", s->journal,
			       JOURNAL_MAX_SIZE);
	text = xmalloc((size_t)(st.st_size - s->offset));
	n = pread(fd, text, (size_t)(st.st_size - s->offset), s->offset);
	if (n < 0)
		return err_sys(e, -errno, "%s", s->journal);
	rc = read_lines(s, text, (size_t)n, &used, e);
	s->offset += rc < 0 ? 0 : (off_t)used;
	/* Half of it may be in memory now. */
	s->stale = rc < 0;
	return rc;
}

static void write_key(void *arg, const struct mem_entry *entry)
{
	put_line(arg,
		 json_pack("{s:s, s:o, s:I, s:I, s:I}", "key", entry->key, "value",
			   json_stringn(entry->value, entry->value_size), "create",
			   (json_int_t)entry->create_revision, "mod",
			   (json_int_t)entry->mod_revision, "handle", (json_int_t)entry->handle));
}

static void write_handle(void *arg, int64_t handle, int64_t ttl_s, int64_t expires_ms)
{
	put_line(arg, step_to_json(&(struct mem_op){ .type = MEM_GRANT,
						     .handle = handle,
						     .ttl_s = ttl_s,
						     .at_ms = expires_ms - ttl_s * 1000 }));
}

/* A new file with the present and no past. */
static int write_anew(struct file_store *s, struct err *e)
{
	auto_free char *text = NULL;
	size_t size;
	struct stat st;
	FILE *out = open_memstream(&text, &size);
	int rc;

	if (!out)
		abort();
	put_line(out, json_pack("{s:i, s:s, s:I}", "format", FORMAT, "boot", s->boot_id, "revision",
				(json_int_t)mem_db_revision(s->db)));
	mem_db_each(s->db, write_key, out);
	mem_db_each_handle(s->db, write_handle, out);
	if (fclose(out) != 0)
		abort();
	rc = file_replace(s->journal, text, size, 0600, e);
	if (rc == 0 && stat(s->journal, &st) < 0)
		rc = err_sys(e, -errno, "%s", s->journal);
	if (rc < 0)
		return rc;
	/* Our own watches have been told all that is in it and go on where they are. */
	s->inode = st.st_ino;
	s->device = st.st_dev;
	s->offset = st.st_size;
	s->steps = 0;
	return 0;
}

static int append(struct file_store *s, const char *lines, size_t size, struct err *e)
{
	auto_close int fd = open(s->journal, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return err_sys(e, -errno, "%s", s->journal);
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
	const struct mem_entry *e = mem_db_get(s->db, MEM_DB_CONFIG_KEY);
	auto_free char *text = NULL;
	size_t size;
	int rc = file_read(s->config, NETWORK_CONFIG_MAX_SIZE, &text, &size, NULL);

	if (rc == -ENOENT) {
		mem_db_delete(s->db, MEM_DB_CONFIG_KEY);
	} else if (rc == 0) {
		auto_json json_t *as_text = json_stringn(text, size);

		/* The journal is text: what is not becomes a configuration that nobody can read. */
		if (!as_text || strlen(text) != size) {
			util_make_printable(text);
			size = strlen(text);
		}
		if (!e || e->value_size != size || memcmp(e->value, text, size) != 0)
			mem_db_put(s->db, MEM_DB_CONFIG_KEY, text, size, 0);
	}
}

static uint64_t config_revision(const struct file_store *s)
{
	const struct mem_entry *e = mem_db_get(s->db, MEM_DB_CONFIG_KEY);

	return e ? e->mod_revision : 0;
}

/* The other way round: what was just set in the store becomes the file. Before the journal says so,
 * since the file is what counts. */
static int write_config(struct file_store *s, struct err *e)
{
	const struct mem_entry *entry = mem_db_get(s->db, MEM_DB_CONFIG_KEY);

	if (!entry || entry->mod_revision == s->config_revision)
		return 0;
	return file_replace(s->config, entry->value, entry->value_size, 0644, e);
}

/* ---- what mem_store asks ---- */

static int file_end(void *arg, struct err *e);

static int file_begin(void *arg, struct err *e)
{
	struct file_store *s = arg;
	int rc;

	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
			       ? err_set(e, -EAGAIN, "%s: somebody else is writing", s->directory)
			       : err_sys(e, -errno, "%s: lock", s->directory);
	rc = refresh(s, e);
	if (rc == 0 && s->other_boot) {
		mem_db_renew_all(s->db, clock_boot_ms());
		s->other_boot = false;
		rc = write_anew(s, e);
	}
	if (rc == 0 && !s->inode)
		rc = write_anew(s, e);
	if (rc < 0) {
		flock(s->lock_fd, LOCK_UN);
		return rc;
	}
	s->out = open_memstream(&s->lines, &s->lines_size);
	if (!s->out)
		abort();
	mem_db_on_step(s->db, on_step, s);
	follow_config(s);
	s->config_revision = config_revision(s);
	return 0;
}

static int file_end(void *arg, struct err *e)
{
	struct file_store *s = arg;
	int rc;

	mem_db_on_step(s->db, NULL, NULL);
	if (fclose(STEAL(s->out)) != 0)
		abort();
	rc = write_config(s, e);
	if (rc == 0 && s->lines_size > 0)
		rc = append(s, s->lines, s->lines_size, e);
	free(STEAL(s->lines));
	if (rc < 0)
		s->stale = true;
	else if (s->steps > STEPS_MAX + 4 * mem_db_keys(s->db))
		rc = write_anew(s, e);
	flock(s->lock_fd, LOCK_UN);
	return rc;
}

static void file_describe(void *arg, void *json_object)
{
	struct file_store *s = arg;

	json_object_set_new(json_object, "type", json_string("file"));
	json_object_set_new(json_object, "directory", json_string(s->directory));
}

static void file_free(void *arg)
{
	struct file_store *s = arg;

	if (s->notify)
		event_free(s->notify);
	if (s->again)
		event_free(s->again);
	if (s->notify_fd >= 0)
		close(s->notify_fd);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	mem_db_free(s->db);
	free(s->directory);
	free(s->journal);
	free(s->config);
	free(s);
}

static const struct mem_store_backing backing = {
	.begin = file_begin,
	.end = file_end,
	.describe = file_describe,
	.free = file_free,
};

/* ---- what others write ---- */

static void look(struct file_store *s)
{
	static const struct timeval soon = { 0, WATCH_RETRY_US };
	struct err e;
	int rc = file_begin(s, &e);

	if (rc == 0)
		rc = file_end(s, &e);
	if (rc == -EAGAIN)
		event_add(s->again, &soon);
	else if (rc < 0)
		log_error("store-journal", "%s", e.text);
	else
		mem_store_changed(s->store);
}

static void on_notify(evutil_socket_t fd, short what UNUSED, void *arg)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

	while (read(fd, buf, sizeof(buf)) > 0)
		;
	look(arg);
}

static void on_again(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	look(arg);
}

static int set_up(struct file_store *s, struct event_base *base, struct err *e)
{
	auto_free char *lock = xasprintf("%s/lock", s->directory);
	auto_free char *boot_id = NULL;
	int rc = file_make_directories(s->directory, 0755, e);

	if (rc < 0)
		return rc;
	rc = file_read(BOOT_ID_FILE, sizeof(s->boot_id) - 1, &boot_id, NULL, e);
	if (rc < 0)
		return rc;
	snprintf(s->boot_id, sizeof(s->boot_id), "%.*s", (int)strcspn(boot_id, "\n"), boot_id);
	s->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return err_sys(e, -errno, "%s", lock);
	s->notify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (s->notify_fd < 0 ||
	    inotify_add_watch(s->notify_fd, s->directory,
			      IN_MODIFY | IN_MOVED_TO | IN_CREATE | IN_DELETE) < 0)
		return err_sys(e, -errno, "%s: inotify", s->directory);
	s->notify = event_new(base, s->notify_fd, EV_READ | EV_PERSIST, on_notify, s);
	s->again = evtimer_new(base, on_again, s);
	event_add(s->notify, NULL);
	return refresh(s, e);
}

int file_store_new(struct event_base *base, const char *directory, uint64_t (*random)(void),
		   struct store **ret, struct err *e)
{
	struct file_store *s = xcalloc(1, sizeof(*s));
	int rc;

	s->lock_fd = s->notify_fd = -1;
	s->directory = xstrdup(directory);
	s->journal = xasprintf("%s/journal", directory);
	s->config = xasprintf("%s/config", directory);
	s->db = mem_db_new();
	rc = set_up(s, base, e);
	if (rc < 0) {
		file_free(s);
		return rc;
	}
	s->store = mem_store_new_backed(base, random, &backing, s, &s->db);
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
	.traits = STORE_EXPIRES | STORE_ORDERED | STORE_WRITES_CONFIG,
	.open = open_file,
	.place = place,
};
