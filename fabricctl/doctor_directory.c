/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store that is a directory: whether it is there and can be written, whether what stands in it can be
 * read, whether there is room for more, and what its file system does not do.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <string.h>

#include "fabricctl/doctor.h"
#include "lib/file.h"
#include "stores/file_journal.h"
#include "subnet/config.h"

#define SCHEME      "file:"
#define ROOM_SPARE  (UINT64_C(16) << 20) /* less than this beside a new journal is little */
#define ROOM_LEAST  (UINT64_C(64) << 10)
#define FILES_LEAST 16 /* lock, journal and its successor, health records */
#define CIFS_MAGIC  0xff534d42
#define SMB2_MAGIC  0xfe534d42
#define CEPH_MAGIC  0x00c36400
#define GFS2_MAGIC  0x01161970
#define OCFS2_MAGIC 0x7461636f

static const char DEAF[] = "it does not tell of changes made on other machines, which are noticed "
			   "within a second only; nor "
			   "does it hold a lock for them as a rule: the store is for one machine";
static const char GONE[] =
	"it is gone after a reboot, with the network's configuration and all reservations";

const char *doctor_judge_file_system(uint64_t type, const char **ret_name)
{
	static const struct {
		uint64_t type;
		const char *name;
		const char *lacks;
	} known[] = {
		{ NFS_SUPER_MAGIC, "NFS", DEAF },   { SMB_SUPER_MAGIC, "SMB", DEAF },
		{ CIFS_MAGIC, "CIFS", DEAF },       { SMB2_MAGIC, "SMB", DEAF },
		{ V9FS_MAGIC, "9p", DEAF },         { FUSE_SUPER_MAGIC, "FUSE", DEAF },
		{ CEPH_MAGIC, "CephFS", DEAF },     { GFS2_MAGIC, "GFS2", DEAF },
		{ OCFS2_MAGIC, "OCFS2", DEAF },     { AFS_SUPER_MAGIC, "AFS", DEAF },
		{ CODA_SUPER_MAGIC, "Coda", DEAF }, { TMPFS_MAGIC, "tmpfs", GONE },
		{ RAMFS_MAGIC, "ramfs", GONE },
	};

	/* Some numbers have their highest bit set, and the kernel's field is signed. */
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (known[i].type == (uint32_t)type) {
			*ret_name = known[i].name;
			return known[i].lacks;
		}
	}
	return NULL;
}

enum doctor_state doctor_judge_room(uint64_t free_bytes, uint64_t free_files,
				    uint64_t journal_bytes)
{
	if (free_bytes < journal_bytes + ROOM_LEAST || (free_files && free_files < FILES_LEAST))
		return DOCTOR_ERROR;
	return free_bytes < journal_bytes + ROOM_SPARE ? DOCTOR_WARNING : DOCTOR_OK;
}

/* False: there is none to look into. */
static bool say_directory(struct doctor *d, const char *directory)
{
	auto_free char *close = xasprintf("chmod o-w %s", directory);
	auto_free char *find = xasprintf("findmnt -T %s", directory);
	struct stat st;

	if (stat(directory, &st) < 0) {
		doctor_say(d, "store", DOCTOR_ERROR, errno == ENOENT ? find : NULL, "%s: %s%s",
			   directory, strerror(errno),
			   errno == ENOENT ? "; a daemon that starts makes an empty one, perhaps "
					     "beneath what is to be mounted there"
					   : "");
		return false;
	}
	if (!S_ISDIR(st.st_mode)) {
		doctor_say(d, "store", DOCTOR_ERROR, NULL, "%s is no directory", directory);
		return false;
	}
	if (faccessat(AT_FDCWD, directory, R_OK | W_OK | X_OK, AT_EACCESS) < 0)
		doctor_say(d, "store-rights", DOCTOR_ERROR, errno == EROFS ? find : "sudo",
			   "%s cannot be written: %s", directory, strerror(errno));
	else if (st.st_mode & S_IWOTH)
		doctor_say(d, "store-rights", DOCTOR_WARNING, close,
			   "everybody may write %s, and who does says where this host's packets go",
			   directory);
	else
		doctor_say(d, "store-rights", DOCTOR_OK, NULL, "%s can be read and written",
			   directory);
	return true;
}

/* Returns its size. */
static uint64_t say_journal(struct doctor *d, const char *directory)
{
	auto_free char *path = xasprintf("%s/journal", directory);
	auto_free char *text = NULL;
	struct file_journal j;
	struct err e;
	size_t size = 0;
	size_t used = 0;
	int rc = file_read(path, FILE_JOURNAL_MAX_SIZE, &text, &size, &e);

	if (rc == -ENOENT) {
		doctor_say(d, "store", DOCTOR_OK, NULL, "%s: nobody has leased anything yet",
			   directory);
		return 0;
	}
	if (rc < 0) {
		doctor_say(d, "store", DOCTOR_ERROR, rc == -EACCES ? "sudo" : NULL, "%s", e.text);
		return 0;
	}
	file_journal_init(&j);
	if (file_journal_read(&j, text, size, &used, &e) < 0)
		doctor_say(
			d, "store", DOCTOR_ERROR, "fabricctl store repair",
			"%s: %s: nothing is written there any more, and what is behind it is not "
			"known",
			path, e.text);
	else if (j.lines == 0)
		doctor_say(d, "store", DOCTOR_ERROR, "fabricctl store repair",
			   "%s: not one line in it", path);
	else
		doctor_say(d, "store", DOCTOR_OK, NULL, "%s: %zu keys, and all lines can be read",
			   path, mem_db_keys(j.db));
	file_journal_fini(&j);
	return size;
}

static void say_config(struct doctor *d, const char *directory)
{
	auto_free char *path = xasprintf("%s/config", directory);
	auto_free char *remedy = xasprintf("fabricctl config check %s", path);
	auto_free char *text = NULL;
	struct network_config config;
	struct err e;
	size_t size;
	int rc = file_read(path, NETWORK_CONFIG_MAX_SIZE, &text, &size, &e);

	if (rc < 0) {
		doctor_say(d, "store-config", DOCTOR_ERROR, "fabricctl config set FILE", "%s%s",
			   e.text, rc == -ENOENT ? ": without it no host is given a subnet" : "");
	} else if (network_config_parse(text, size, &config, &e) < 0) {
		doctor_say(d, "store-config", DOCTOR_ERROR, remedy, "%s: %s", path, e.text);
	} else {
		network_config_fini(&config);
	}
}

static void say_file_system(struct doctor *d, const char *directory, uint64_t journal_bytes)
{
	auto_free char *remedy = xasprintf("df -h %s; df -i %s", directory, directory);
	const char *name = "";
	const char *lacks;
	struct statvfs room;
	struct statfs fs;
	enum doctor_state state;
	uint64_t bytes;

	if (statfs(directory, &fs) < 0 || statvfs(directory, &room) < 0)
		return;
	lacks = doctor_judge_file_system((uint64_t)fs.f_type, &name);
	if (lacks)
		doctor_say(d, "store-filesystem", DOCTOR_WARNING, NULL, "%s is on %s: %s",
			   directory, name, lacks);
	bytes = (uint64_t)room.f_bavail * room.f_frsize;
	state = doctor_judge_room(bytes, room.f_files ? MAX(room.f_favail, (fsfilcnt_t)1) : 0,
				  journal_bytes);
	if (state != DOCTOR_OK)
		doctor_say(d, "store-room", state, remedy,
			   "%s has room for %llu kB more and %llu files: a journal of %llu kB is "
			   "written "
			   "anew beside the old one, and without room for that nothing is leased",
			   directory, (unsigned long long)(bytes >> 10),
			   (unsigned long long)room.f_favail,
			   (unsigned long long)(journal_bytes + 1023) >> 10);
}

void doctor_check_directory(struct doctor *d)
{
	const char *store = d->settings->store.store;
	const char *directory =
		strncmp(store, SCHEME, strlen(SCHEME)) == 0 ? store + strlen(SCHEME) : "";

	if (!*directory || !say_directory(d, directory))
		return;
	say_file_system(d, directory, say_journal(d, directory));
	say_config(d, directory);
}
