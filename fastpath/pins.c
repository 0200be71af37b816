/* SPDX-License-Identifier: Apache-2.0 */
#include "fastpath/pins.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/log.h"

#define BPF_FS 0xcafe4a11 /* linux/magic.h: BPF_FS_MAGIC */
#define OWNER  "owner"

static char *path_of(const char *directory, const char *name)
{
	return xasprintf("%s/%s", directory, name);
}

/* The owner's mark; "" if there is none. */
static void read_owner(const char *directory, char ret[static 64])
{
	auto_free char *path = path_of(directory, OWNER);
	ssize_t len = readlink(path, ret, 63);

	ret[len > 0 ? len : 0] = '\0';
}

static char *parent_of(const char *directory)
{
	char *parent = xstrdup(directory);
	char *slash = strrchr(parent, '/');

	if (slash && slash != parent)
		*slash = '\0';
	return parent;
}

int fast_pins_own(const char *directory, const char *owner, struct err *e)
{
	auto_free char *parent = parent_of(directory);
	auto_free char *path = path_of(directory, OWNER);
	char found[64];
	struct statfs fs;
	bool made;

	made = mkdir(parent, 0700) == 0;
	if (!made && errno != EEXIST)
		return err_set(e, -ENODEV, "%s cannot be made: %s", parent, strerror(errno));
	if (statfs(parent, &fs) < 0 || (unsigned)fs.f_type != BPF_FS) {
		if (made)
			rmdir(parent);
		return err_set(e, -ENODEV,
			       "%s is in no BPF file system; mount -t bpf bpf /sys/fs/bpf", parent);
	}
	if (mkdir(directory, 0700) < 0 && errno != EEXIST)
		return err_set(e, -ENODEV, "%s cannot be made: %s", directory, strerror(errno));
	read_owner(directory, found);
	if (*found && strcmp(found, owner) != 0)
		return err_set(e, -EEXIST, "%s is another daemon's, %s", directory, found);
	if (!*found && symlink(owner, path) < 0)
		return err_sys(e, -errno, "%s", path);
	return 0;
}

void fast_pins_visit(const char *directory, void (*visit)(void *arg, const char *name), void *arg)
{
	DIR *d = opendir(directory);
	const struct dirent *entry;

	while (d && (entry = readdir(d))) {
		if (entry->d_name[0] != '.')
			visit(arg, entry->d_name);
	}
	if (d)
		closedir(d);
}

void fast_pins_unlink(const char *directory, const char *name)
{
	auto_free char *path = path_of(directory, name);

	unlink(path);
}

static void unpin(void *arg, const char *name)
{
	if (strcmp(name, OWNER) != 0)
		fast_pins_unlink(arg, name);
}

bool fast_pins_remove(const char *directory, const char *owner)
{
	char found[64];

	read_owner(directory, found);
	if (strcmp(found, owner) != 0)
		return false;
	fast_pins_visit(directory, unpin, (void *)directory);
	/* The last, so that what is left after a crash is still ours. */
	fast_pins_unlink(directory, OWNER);
	rmdir(directory);
	return true;
}

struct sweep {
	const char *parent;
	const char *kept;
	const char *owner;
};

static void sweep_one(void *arg, const char *name)
{
	const struct sweep *s = arg;
	auto_free char *path = path_of(s->parent, name);

	if (strcmp(path, s->kept) != 0 && fast_pins_remove(path, s->owner))
		log_info("leftover", "removed: the fast path in %s, which nobody wants any more",
			 path);
}

void fast_pins_sweep(const char *directory, const char *owner)
{
	auto_free char *parent = parent_of(directory);
	struct sweep s = { parent, directory, owner };

	fast_pins_visit(parent, sweep_one, &s);
}
