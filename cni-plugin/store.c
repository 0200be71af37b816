/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory of records: names, locks, replacement. Part of cni-plugin/record.h.
 *
 * Every name is one component made of an id and an interface name that were checked, or of their
 * hash, and is opened relative to the directory without following links: nothing outside can be
 * reached.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "cni-plugin/env.h"
#include "cni-plugin/lock.h"
#include "cni-plugin/record.h"
#include "lib/file.h"
#include "lib/hash.h"

#define ID_SIZE_MAX 200 /* longer ids do not fit a file name: cut, and told apart by a hash */

struct store {
	char *path;
	int dir_fd;
	int lock_fd;
	int written_fd; /* the record written last; -1 */
	off_t mark;     /* where it says that it is not complete */
};

static int open_directory(const char *path, bool create, int *ret, struct err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT && create) {
		if (file_make_directories(path, 0700, e) < 0)
			return e->code;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0)
		return err_sys(e, -errno, "%s", path);
	*ret = fd;
	return 0;
}

int store_open(const char *data_dir, const char *network, bool create, struct store **ret,
	       struct err *e)
{
	auto_store struct store *s = xcalloc(1, sizeof(*s));
	auto_close int base_fd = -1;
	auto_free char *name = xasprintf("@%s", network);

	s->dir_fd = s->lock_fd = s->written_fd = -1;
	s->path = xasprintf("%s/@%s", data_dir, network);
	if (open_directory(data_dir, create, &base_fd, e) < 0)
		return e->code;
	if (create && mkdirat(base_fd, name, 0700) < 0 && errno != EEXIST)
		return err_sys(e, -errno, "%s", s->path);
	s->dir_fd = openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (s->dir_fd < 0)
		return err_sys(e, -errno, "%s", s->path);
	*ret = STEAL(s);
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	util_close(&s->written_fd);
	util_close(&s->lock_fd);
	util_close(&s->dir_fd);
	free(s->path);
	free(s);
}

/* Two attachments that share a byte wait for each other and are none the worse for it. */
static off_t lock_byte(const char *container_id, const char *ifname)
{
	return (off_t)(hash_text(hash_text(HASH_FNV_INIT, container_id), ifname) >> 2);
}

static int lock(struct store *s, const char *container_id, const char *ifname, unsigned timeout_s,
		struct err *e)
{
	util_close(&s->lock_fd);
	if (lock_open_byte(s->dir_fd, "lock", lock_byte(container_id, ifname), timeout_s,
			   &s->lock_fd, e) < 0)
		return err_wrap(e, "%s/lock", s->path);
	return 0;
}

int store_lock(struct store *s, const char *container_id, const char *ifname, struct err *e)
{
	return lock(s, container_id, ifname, RECORD_LOCK_TIMEOUT_S, e);
}

int store_try_lock(struct store *s, const char *container_id, const char *ifname, struct err *e)
{
	return lock(s, container_id, ifname, 0, e);
}

int store_share(struct store *s, const char *container_id, const char *ifname, unsigned timeout_s,
		struct err *e)
{
	int rc;

	util_close(&s->lock_fd);
	rc = lock_share_byte(s->dir_fd, "lock", lock_byte(container_id, ifname), timeout_s,
			     &s->lock_fd, e);
	return rc < 0 && rc != -ENOENT ? err_wrap(e, "%s/lock", s->path) : 0;
}

static void make_name(const char *container_id, const char *ifname, char ret[static NAME_MAX + 1])
{
	if (strlen(container_id) <= ID_SIZE_MAX)
		snprintf(ret, NAME_MAX + 1, "%s@%s", container_id, ifname);
	else
		snprintf(ret, NAME_MAX + 1, "%.*s~%016llx@%s", ID_SIZE_MAX, container_id,
			 (unsigned long long)hash_text(HASH_FNV_INIT, container_id), ifname);
}

static int read_at(struct store *s, const char *name, char **ret, size_t *ret_size, struct err *e)
{
	auto_close int fd = openat(s->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	auto_free char *text = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return err_sys(e, errno == ELOOP ? -EINVAL : -errno, "%s/%s", s->path, name);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > RECORD_SIZE_MAX)
		return err_set(e, -EINVAL, "%s/%s: not a record", s->path, name);
	text = xmalloc((size_t)st.st_size + 1);
	n = pread(fd, text, (size_t)st.st_size, 0);
	if (n < 0)
		return err_sys(e, -errno, "%s/%s", s->path, name);
	text[n] = '\0';
	*ret = STEAL(text);
	*ret_size = (size_t)n;
	return 0;
}

static int read_named(struct store *s, const char *name, struct record *ret, struct err *e)
{
	auto_free char *text = NULL;
	size_t size = 0;
	int rc = read_at(s, name, &text, &size, e);

	if (rc < 0)
		return rc;
	if (record_parse(text, size, ret, e) < 0)
		return err_wrap(e, "%s/%s", s->path, name);
	return 0;
}

bool store_has(struct store *s, const char *container_id, const char *ifname)
{
	char name[NAME_MAX + 1];

	make_name(container_id, ifname, name);
	return faccessat(s->dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int store_read(struct store *s, const char *container_id, const char *ifname, struct record *ret,
	       struct err *e)
{
	char name[NAME_MAX + 1];

	make_name(container_id, ifname, name);
	return read_named(s, name, ret, e);
}

int store_written(struct store *s, const char *container_id, const char *ifname,
		  int64_t *ret_wall_ms)
{
	char name[NAME_MAX + 1];
	struct stat st;

	make_name(container_id, ifname, name);
	if (fstatat(s->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	*ret_wall_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	return 0;
}

static int write_all(int fd, const char *text, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			text += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

/*
 * What marks a complete record. Both texts have one length, so that one can be written over the
 * other: that needs no space on the disk, and a reader sees either.
 */
#define INCOMPLETE "\"complete\":false"
#define COMPLETE   "\"complete\":true "

_Static_assert(sizeof(INCOMPLETE) == sizeof(COMPLETE), "the marks differ in length");

int store_write(struct store *s, const struct record *r, struct err *e)
{
	auto_json json_t *j = record_to_json(r);
	auto_free char *text = json_dumps(j, JSON_COMPACT);
	const char *mark = strstr(text, INCOMPLETE);
	char temporary[NAME_MAX + 2];
	static const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
	auto_close int fd = -1;
	char name[NAME_MAX + 1];
	int rc;

	make_name(r->container_id, r->ifname, name);
	/*
	 * One name per attachment, whose lock we hold: what a kill leaves, or somebody else put
	 * there, a FIFO for one, goes the next time.
	 */
	snprintf(temporary, sizeof(temporary), ".%s", name);
	fd = openat(s->dir_fd, temporary, flags, 0600);
	if (fd < 0 && errno == EEXIST && unlinkat(s->dir_fd, temporary, 0) == 0)
		fd = openat(s->dir_fd, temporary, flags, 0600);
	if (fd < 0)
		return err_sys(e, -errno, "%s/%s", s->path, temporary);
	rc = write_all(fd, text, strlen(text));
	if (rc == 0 && renameat(s->dir_fd, temporary, s->dir_fd, name) < 0)
		rc = -errno;
	if (rc < 0) {
		unlinkat(s->dir_fd, temporary, 0);
		return err_sys(e, rc, "%s/%s", s->path, name);
	}
	util_close(&s->written_fd);
	s->written_fd = STEAL_FD(fd);
	s->mark = mark - text;
	return 0;
}

int store_complete(struct store *s, struct err *e)
{
	if (s->written_fd < 0)
		return err_set(e, -EINVAL, "%s: no record was written", s->path);
	if (pwrite(s->written_fd, COMPLETE, strlen(COMPLETE), s->mark) < 0)
		return err_sys(e, -errno, "%s: mark a record as complete", s->path);
	return 0;
}

int store_remove(struct store *s, const char *container_id, const char *ifname, struct err *e)
{
	char temporary[NAME_MAX + 2];
	char name[NAME_MAX + 1];

	make_name(container_id, ifname, name);
	snprintf(temporary, sizeof(temporary), ".%s", name);
	unlinkat(s->dir_fd, temporary, 0);
	if (unlinkat(s->dir_fd, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, -errno, "%s/%s", s->path, name);
	return 0;
}

static void visit_named(struct store *s, const char *name,
			void (*visit)(void *arg, const char *container_id, const char *ifname),
			void *arg)
{
	const char *at = strchr(name, '@');
	auto_free char *id = NULL;
	auto_record struct record r = { 0 };

	if (!at || !cni_is_ifname(at + 1))
		return;
	id = xstrndup(name, (size_t)(at - name));
	if (strchr(id, '~')) {
		if (read_named(s, name, &r, NULL) == 0)
			visit(arg, r.container_id, r.ifname);
	} else if (cni_is_identifier(id)) {
		visit(arg, id, at + 1);
	}
}

int store_list(struct store *s,
	       void (*visit)(void *arg, const char *container_id, const char *ifname), void *arg,
	       struct err *e)
{
	int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir) {
		int code = -errno;

		util_close(&fd);
		return err_sys(e, code, "%s", s->path);
	}
	while ((entry = readdir(dir))) {
		/* A replacement that did not come to its end, of a record that never came to be. */
		const char *name = entry->d_name + (entry->d_name[0] == '.');

		visit_named(s, name, visit, arg);
	}
	closedir(dir);
	return 0;
}

int store_each_network(const char *data_dir, bool (*visit)(void *arg, const char *network),
		       void *arg, struct err *e)
{
	DIR *dir = opendir(data_dir);
	const struct dirent *entry;
	bool more = true;

	if (!dir)
		return err_sys(e, -errno, "%s", data_dir);
	while (more && (entry = readdir(dir))) {
		if (entry->d_name[0] == '@' && cni_is_identifier(entry->d_name + 1))
			more = visit(arg, entry->d_name + 1);
	}
	closedir(dir);
	return 0;
}

int record_read_flannel(const char *data_dir, const char *container_id, json_t **ret, struct err *e)
{
	auto_free char *path = xasprintf("%s/%s", data_dir, container_id);
	auto_free char *text = NULL;
	size_t size = 0;
	int rc = file_read(path, RECORD_SIZE_MAX, &text, &size, e);

	if (rc == -ENAMETOOLONG)
		rc = err_set(e, -ENOENT, "%s", path);
	if (rc < 0)
		return rc;
	if (json_parse_object(text, size, ret, e) < 0)
		return err_wrap(e, "%s", path);
	return 0;
}

int record_remove_flannel(const char *data_dir, const char *container_id, struct err *e)
{
	auto_free char *path = xasprintf("%s/%s", data_dir, container_id);

	if (unlink(path) < 0 && errno != ENOENT && errno != ENAMETOOLONG)
		return err_sys(e, -errno, "%s", path);
	return 0;
}

int record_list_flannel(const char *data_dir, void (*visit)(void *arg, const char *container_id),
			void *arg, struct err *e)
{
	DIR *dir = opendir(data_dir);
	const struct dirent *entry;

	if (!dir)
		return err_sys(e, -errno, "%s", data_dir);
	while ((entry = readdir(dir))) {
		if (cni_is_identifier(entry->d_name))
			visit(arg, entry->d_name);
	}
	closedir(dir);
	return 0;
}
