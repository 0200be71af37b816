/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/file_health.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/file.h"
#include "subnet/health_record.h"

#define SUFFIX       ".json"
#define FORGET_S     86400 /* a record that ended so long ago is removed by who lists them */
#define CLOCK_SKEW_S 5     /* a clock that was set back a little ends nothing */

static void fail(struct store_reply *ret, const struct err *e)
{
	ret->status = e->code == -EACCES || e->code == -EPERM || e->code == -EROFS
			      ? STORE_DENIED
			      : STORE_UNAVAILABLE;
	ret->err = *e;
}

static int end_at(const char *path, int64_t end_s, struct err *e)
{
	struct timespec times[2] = { { .tv_sec = end_s }, { .tv_sec = end_s } };

	return utimensat(AT_FDCWD, path, times, 0) < 0 ? err_sys(e, -errno, "%s", path) : 0;
}

/* Without the store's directory there is nothing to be made: it is away, and will be put back. */
static void set(const char *directory, const char *path, int64_t now_s,
		const struct store_request *request, struct store_reply *ret)
{
	struct err e;
	int rc = 0;

	if (mkdir(directory, 0755) < 0 && errno != EEXIST)
		rc = err_sys(&e, -errno, "%s", directory);
	if (rc == 0)
		rc = file_replace_within(path, request->health, strlen(request->health), 0644, &e);
	if (rc == 0)
		rc = end_at(path, now_s + request->ttl_s, &e);
	if (rc < 0)
		fail(ret, &e);
	ret->ttl_s = request->ttl_s;
}

static void keep(const char *path, int64_t now_s, const struct store_request *request,
		 struct store_reply *ret)
{
	struct err e;
	struct stat st;

	ret->ttl_s = request->ttl_s;
	if (stat(path, &st) < 0 || st.st_mtime + CLOCK_SKEW_S < now_s) {
		ret->status = STORE_ABSENT;
		err_set(&ret->err, -ENOENT, "%s is not there any more", path);
	} else if (end_at(path, now_s + request->ttl_s, &e) < 0) {
		fail(ret, &e);
	}
}

/* Adds one that has not ended. */
static void add(const char *directory, const char *file, int64_t now_s, struct store_reply *ret,
		size_t *cap)
{
	auto_free char *path = xasprintf("%s/%s", directory, file);
	auto_free char *text = NULL;
	size_t size;
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	if (st.st_mtime + FORGET_S < now_s)
		unlink(path);
	if (st.st_mtime < now_s || file_read(path, HEALTH_RECORD_MAX_SIZE, &text, &size, NULL) < 0)
		return;
	GROW(ret->health, ret->health_len, *cap);
	ret->health[ret->health_len++] =
		(struct store_health){ xstrndup(file, strlen(file) - strlen(SUFFIX)), STEAL(text),
				       size };
}

static void list(const char *directory, int64_t now_s, struct store_reply *ret)
{
	DIR *d = opendir(directory);
	const struct dirent *entry;
	size_t cap = 0;
	struct err e;

	if (!d && errno == ENOENT)
		return;
	if (!d) {
		err_sys(&e, -errno, "%s", directory);
		fail(ret, &e);
		return;
	}
	while (ret->health_len < STORE_LEASES_MAX && (entry = readdir(d))) {
		size_t size = strlen(entry->d_name);

		if (size > strlen(SUFFIX) &&
		    strcmp(entry->d_name + size - strlen(SUFFIX), SUFFIX) == 0)
			add(directory, entry->d_name, now_s, ret, &cap);
	}
	closedir(d);
}

/* A name that leads out of the directory is nobody's. */
static void find(const char *directory, const char *name, int64_t now_s, struct store_reply *ret)
{
	auto_free char *file = xasprintf("%s%s", name, SUFFIX);
	size_t cap = 0;

	if (!strchr(name, '/'))
		add(directory, file, now_s, ret, &cap);
}

void file_health_answer(const char *directory, int64_t now_s, const struct store_request *request,
			struct store_reply *ret)
{
	auto_free char *records = xasprintf("%s/health", directory);
	auto_free char *path = NULL;

	if (request->op == STORE_HEALTH_LIST) {
		if (request->health_name)
			find(records, request->health_name, now_s, ret);
		else
			list(records, now_s, ret);
		return;
	}
	path = xasprintf("%s/%s%s", records, request->health_name, SUFFIX);
	if (request->op == STORE_HEALTH_SET)
		set(records, path, now_s, request, ret);
	else
		keep(path, now_s, request, ret);
}
