/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/pool.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "cni-plugin/env.h"
#include "cni-plugin/error.h"
#include "cni-plugin/lock.h"
#include "lib/file.h"

_Static_assert(CNI_ID_SIZE_MAX + sizeof("\r\n") + IFNAMSIZ <= POOL_OWNER_SIZE_MAX,
	       "an owner is cut off");

/* Another network's reservations. */
struct beside {
	char *network;
	int dir_fd;
};

struct pool {
	char *path; /* for messages */
	DIR *base;  /* of all networks, locked; NULL */
	int dir_fd;
	int lock_fd;
	struct beside *beside;
	size_t beside_len;
	size_t beside_cap;
	pool_counts_fn *counts;
	void *counts_arg;
};

static char *base_of(const char *dir)
{
	const char *slash = strrchr(dir, '/');

	return slash && slash != dir ? xstrndup(dir, (size_t)(slash - dir)) : xstrdup("/");
}

/* A directory can be locked as well as a file, and nobody else does it with this one. */
static int lock_base(struct pool *p, struct err *e)
{
	auto_free char *base = base_of(p->path);

	p->base = opendir(base);
	if (!p->base)
		return err_sys(e, -errno, "%s", base);
	return lock_file(dirfd(p->base), POOL_LOCK_TIMEOUT_S, e) < 0 ? err_wrap(e, "%s", base) : 0;
}

int pool_open(const char *dir, bool create, struct pool **ret, struct err *e)
{
	auto_pool struct pool *p = xcalloc(1, sizeof(*p));
	int rc;

	p->path = xstrdup(dir);
	p->dir_fd = p->lock_fd = -1;
	if (create && access(dir, F_OK) < 0 && file_make_directories(dir, 0755, e) < 0)
		return cni_classify(e, CNI_STATE);
	if (create && lock_base(p, e) < 0)
		return cni_classify(e, CNI_STATE);
	p->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->dir_fd < 0)
		return err_sys(e, -errno, "%s", dir);
	rc = lock_open_file(p->dir_fd, "lock", POOL_LOCK_TIMEOUT_S, &p->lock_fd, e);
	if (rc < 0) {
		err_wrap(e, "%s/lock", dir);
		return cni_classify(e, CNI_STATE);
	}
	*ret = STEAL(p);
	return 0;
}

void pool_close(struct pool *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->beside_len; i++) {
		close(p->beside[i].dir_fd);
		free(p->beside[i].network);
	}
	free(p->beside);
	util_close(&p->lock_fd);
	util_close(&p->dir_fd);
	if (p->base)
		closedir(p->base);
	free(p->path);
	free(p);
}

/* Reads a small file; -1 if it is not there or not readable as one. NUL-terminated. */
static ssize_t read_small(int dir_fd, const char *name, char *buf, size_t size)
{
	auto_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, buf, size - 1);
	if (n >= 0)
		buf[n] = '\0';
	return n;
}

static void last_name(size_t set, char buf[static 64])
{
	snprintf(buf, 64, "last_reserved_ip.%zu", set);
}

static void read_last(struct pool *p, size_t set, struct ip_addr *ret)
{
	char text[IP_ADDR_TEXT + 1];
	char name[64];

	memset(ret, 0, sizeof(*ret));
	last_name(set, name);
	if (read_small(p->dir_fd, name, text, sizeof(text)) <= 0)
		return;
	text[strcspn(text, " \r\n")] = '\0';
	/* What is no address counts as none: the walk begins at the start. */
	if (ip_addr_parse(text, AF_UNSPEC, ret, NULL) < 0)
		memset(ret, 0, sizeof(*ret));
}

/*
 * Written over, neither renamed nor truncated first, which has a file system flush to the disk (0.2
 * ms on ext4). All that a torn write costs is a walk that begins at the start.
 */
static void write_last(struct pool *p, size_t set, const struct ip_addr *a)
{
	char text[IP_ADDR_TEXT];
	auto_close int fd = -1;
	int ignored UNUSED;
	struct stat st;
	char name[64];
	ssize_t size;

	last_name(set, name);
	size = (ssize_t)strlen(ip_addr_format(a, text));
	fd = openat(p->dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		    0600);
	if (fd >= 0 && pwrite(fd, text, (size_t)size, 0) == size && fstat(fd, &st) == 0 &&
	    st.st_size > size)
		ignored = ftruncate(fd, size);
}

/*
 * An empty file is nobody's: whoever makes one fills it before he gives the lock back, if he lives.
 */
static bool is_reserved(int dir_fd, const char *name)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno != ENOENT;
	return !S_ISREG(st.st_mode) || st.st_size > 0;
}

static bool is_taken_beside(struct pool *p, const char *name)
{
	for (size_t i = 0; i < p->beside_len; i++) {
		const struct beside *b = &p->beside[i];
		char text[POOL_OWNER_SIZE_MAX];
		struct pool_owner owner;

		if (!is_reserved(b->dir_fd, name))
			continue;
		if (!p->counts || (read_small(b->dir_fd, name, text, sizeof(text)) > 0 &&
				   pool_parse_owner(text, &owner) &&
				   p->counts(p->counts_arg, b->network, &owner)))
			return true;
	}
	return false;
}

static bool is_taken(struct pool *p, const struct ip_addr *a)
{
	char name[IP_ADDR_TEXT];

	ip_addr_format(a, name);
	return is_reserved(p->dir_fd, name) || is_taken_beside(p, name);
}

void pool_look_beside(struct pool *p, pool_counts_fn *counts, void *arg)
{
	const char *own = strrchr(p->path, '/');
	const struct dirent *entry;
	int fd;

	while ((entry = readdir(p->base)) && p->beside_len < POOL_OTHERS_MAX) {
		if (!cni_is_identifier(entry->d_name) || strcmp(entry->d_name, own + 1) == 0)
			continue;
		fd = openat(dirfd(p->base), entry->d_name,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			continue;
		GROW(p->beside, p->beside_len, p->beside_cap);
		p->beside[p->beside_len++] =
			(struct beside){ .network = xstrdup(entry->d_name), .dir_fd = fd };
	}
	p->counts = counts;
	p->counts_arg = arg;
}

void pool_list_beside(struct pool *p,
		      void (*visit)(void *arg, const char *dir, const char *network), void *arg)
{
	auto_free char *base = base_of(p->path);

	for (size_t i = 0; i < p->beside_len; i++) {
		auto_free char *dir = xasprintf("%s/%s", base, p->beside[i].network);

		visit(arg, dir, p->beside[i].network);
	}
}

static int choose_wanted(struct pool *p, const struct range_set *set, const struct ip_addr *wanted,
			 const struct range **ret_range, struct err *e)
{
	const struct range *r = range_set_find(set, wanted);
	auto_free char *ranges = range_set_format(set);
	char text[IP_ADDR_TEXT];

	ip_addr_format(wanted, text);
	if (!r)
		return cni_error(e, CNI_ADDRESS_UNAVAILABLE,
				 "requested IP address %s is not in range set %s", text, ranges);
	if (ip_addr_equal(wanted, &r->gateway))
		return cni_error(e, CNI_ADDRESS_UNAVAILABLE,
				 "requested IP address %s is the gateway's", text);
	if (is_taken(p, wanted))
		return cni_error(e, CNI_ADDRESS_UNAVAILABLE,
				 "requested IP address %s is not available in range set %s", text,
				 ranges);
	*ret_range = r;
	return 0;
}

static int choose_next(struct pool *p, const struct range_set *set, size_t set_index,
		       struct ip_addr *ret, const struct range **ret_range, struct err *e)
{
	auto_free char *ranges = NULL;
	const struct range *r;
	struct range_walk walk;
	struct ip_addr last;
	struct ip_addr a;

	read_last(p, set_index, &last);
	range_walk_init(&walk, set, &last);
	while (range_walk_next(&walk, &a, &r)) {
		if (!is_taken(p, &a)) {
			*ret = a;
			*ret_range = r;
			return 0;
		}
	}
	ranges = range_set_format(set);
	return cni_error(e, CNI_EXHAUSTED, "no IP addresses available in range set: %s", ranges);
}

int pool_choose(struct pool *p, const struct range_set *set, size_t set_index,
		const struct ip_addr *wanted, struct pool_address *ret, struct err *e)
{
	const struct range *r = NULL;
	struct ip_addr a = { 0 };
	int rc;

	if (wanted) {
		a = *wanted;
		rc = choose_wanted(p, set, wanted, &r, e);
	} else {
		rc = choose_next(p, set, set_index, &a, &r, e);
	}
	if (rc < 0)
		return rc;
	*ret = (struct pool_address){
		.set = set_index,
		.addr = a,
		.gateway = r->gateway,
		.len = r->subnet.len,
	};
	return 0;
}

static int write_owner(int fd, const struct pool_owner *owner)
{
	auto_free char *text = xasprintf("%s\r\n%s", owner->container_id, owner->ifname);
	ssize_t size = (ssize_t)strlen(text);
	ssize_t n = write(fd, text, (size_t)size);

	if (n < 0)
		return -errno;
	return n == size ? 0 : -ENOSPC;
}

/* -EOPNOTSUPP where the file system has no files without a name. */
static int reserve_by_link(struct pool *p, const char *name, const struct pool_owner *owner)
{
	auto_close int fd = openat(p->dir_fd, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
	char self[32];
	int rc;

	if (fd < 0)
		return -EOPNOTSUPP;
	rc = write_owner(fd, owner);
	if (rc < 0)
		return rc;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, self, p->dir_fd, name, AT_SYMLINK_FOLLOW) < 0)
		return errno == ENOENT ? -EOPNOTSUPP : -errno;
	return 0;
}

static int reserve_by_create(struct pool *p, const char *name, const struct pool_owner *owner)
{
	auto_close int fd =
		openat(p->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc;

	if (fd < 0)
		return -errno;
	rc = write_owner(fd, owner);
	if (rc < 0)
		unlinkat(p->dir_fd, name, 0);
	return rc;
}

int pool_reserve(struct pool *p, const struct pool_address *a, const struct pool_owner *owner,
		 struct err *e)
{
	char name[IP_ADDR_TEXT];
	int rc;

	ip_addr_format(&a->addr, name);
	rc = reserve_by_link(p, name, owner);
	if (rc == -EEXIST && !is_reserved(p->dir_fd, name)) {
		unlinkat(p->dir_fd, name, 0);
		rc = reserve_by_link(p, name, owner);
	}
	if (rc == -EOPNOTSUPP)
		rc = reserve_by_create(p, name, owner);
	if (rc < 0) {
		err_sys(e, rc, "reserve %s/%s", p->path, name);
		return cni_classify(e, CNI_STATE);
	}
	write_last(p, a->set, &a->addr);
	return 0;
}

static char *trim(char *text)
{
	size_t size;

	while (isspace((unsigned char)*text))
		text++;
	size = strlen(text);
	while (size && isspace((unsigned char)text[size - 1]))
		text[--size] = '\0';
	return text;
}

bool pool_parse_owner(char *text, struct pool_owner *ret)
{
	char *id = trim(text);
	char *eol = strpbrk(id, "\r\n");
	char *ifname = id + strlen(id);

	if (eol) {
		ifname = trim(eol);
		*eol = '\0';
		id = trim(id);
	}
	if (!*id)
		return false;
	*ret = (struct pool_owner){ .container_id = id, .ifname = ifname };
	return true;
}

static bool same_owner(const struct pool_owner *a, const struct pool_owner *b)
{
	return strcmp(a->container_id, b->container_id) == 0 && strcmp(a->ifname, b->ifname) == 0;
}

/* Names in the directory that are not the canonical text of an address are none of ours. */
static bool is_reservation(const char *name, struct ip_addr *ret)
{
	char text[IP_ADDR_TEXT];

	return ip_addr_parse(name, AF_UNSPEC, ret, NULL) == 0 &&
	       strcmp(ip_addr_format(ret, text), name) == 0;
}

bool pool_find_owner(struct pool *p, const struct ip_addr *a, char text[static POOL_OWNER_SIZE_MAX],
		     struct pool_owner *ret)
{
	char name[IP_ADDR_TEXT];

	return read_small(p->dir_fd, ip_addr_format(a, name), text, POOL_OWNER_SIZE_MAX) > 0 &&
	       pool_parse_owner(text, ret);
}

bool pool_is_owner(struct pool *p, const struct ip_addr *a, const struct pool_owner *owner)
{
	char text[POOL_OWNER_SIZE_MAX];
	struct pool_owner found;

	return pool_find_owner(p, a, text, &found) && same_owner(&found, owner);
}

int pool_release(struct pool *p, const struct ip_addr *a, const struct pool_owner *owner,
		 struct err *e)
{
	char name[IP_ADDR_TEXT];

	if (!pool_is_owner(p, a, owner))
		return 0;
	ip_addr_format(a, name);
	if (unlinkat(p->dir_fd, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, -errno, "release %s/%s", p->path, name);
	return 0;
}

static int open_listing(struct pool *p, DIR **ret, struct err *e)
{
	int fd = openat(p->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		int code = -errno;

		util_close(&fd);
		return err_sys(e, code, "%s", p->path);
	}
	*ret = dir;
	return 0;
}

int pool_scan(struct pool *p,
	      bool (*visit)(void *arg, const struct ip_addr *a, const struct pool_owner *owner),
	      void *arg, size_t *ret_freed, struct err *e)
{
	const struct dirent *entry;
	size_t freed = 0;
	DIR *dir = NULL;
	int rc = open_listing(p, &dir, e);

	if (rc < 0)
		return rc;
	while ((entry = readdir(dir))) {
		char text[POOL_OWNER_SIZE_MAX];
		struct pool_owner owner;
		struct ip_addr a;

		if (!is_reservation(entry->d_name, &a) ||
		    read_small(p->dir_fd, entry->d_name, text, sizeof(text)) < 0)
			continue;
		if (!pool_parse_owner(text, &owner))
			owner = (struct pool_owner){ .container_id = "", .ifname = "" };
		if (!visit(arg, &a, &owner))
			continue;
		if (unlinkat(p->dir_fd, entry->d_name, 0) == 0)
			freed++;
		else if (errno != ENOENT && rc == 0)
			rc = err_sys(e, -errno, "release %s/%s", p->path, entry->d_name);
	}
	closedir(dir);
	if (ret_freed)
		*ret_freed = freed;
	return rc;
}

static bool visit_same(void *arg, const struct ip_addr *a UNUSED, const struct pool_owner *owner)
{
	return same_owner(arg, owner);
}

int pool_release_all(struct pool *p, const struct pool_owner *owner, size_t *ret_freed,
		     struct err *e)
{
	struct pool_owner nameless = { .container_id = owner->container_id, .ifname = "" };
	size_t freed = 0;
	int rc = pool_scan(p, visit_same, (void *)owner, &freed, e);

	if (rc == 0 && freed == 0)
		rc = pool_scan(p, visit_same, &nameless, &freed, e);
	if (ret_freed)
		*ret_freed = freed;
	return rc;
}

int pool_check_free(struct pool *p, const struct range_set *set, struct err *e)
{
	struct pool_address ignored;

	return pool_choose(p, set, 0, NULL, &ignored, e);
}
