/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passwords and keys in files: one line, read with checks, and wiped from memory when it has served.
 *
 * Nothing of a secret ever stands in an error text.
 */
#ifndef LIB_SECRET_H
#define LIB_SECRET_H

#include "lib/err.h"
#include "lib/util.h"

#define SECRET_MAX     4096 /* bytes of a secret, and of its file */
#define SECRET_KEY_MAX 64

enum secret_kind {
	SECRET_GIVEN, /* by an administrator, or mounted by an orchestrator: who may read it is theirs
			 to decide; refused if everybody may write it */
	SECRET_OWN,   /* made by us: refused unless it is a file that is ours, or root's, and nobody
			 else's in any way */
};

/*
 * Reads the first line of `path`, without its end. Blocks on the disk. The caller gives *ret to
 * secret_free().
 *
 * -ENOENT and what else open says; -EACCES: the file's mode or owner is not as `kind` demands;
 * -EFBIG: the file is larger than SECRET_MAX; -ENODATA: the line is empty; -EINVAL: there is a NUL
 * in it, or `path` is no file.
 */
int secret_read(const char *path, enum secret_kind kind, char **ret, struct err *e) MUST_CHECK;

/*
 * A key of our own: `size` bytes, SECRET_KEY_MAX at most, that stand in `path` as one line of
 * base64. Where there is no file one is made, of random bytes: mode 0600, synced to the disk before
 * it gets its name. What is there is never overwritten; if it is not right it is refused, as
 * secret_read() does with SECRET_OWN, or with -EINVAL if it is not so many bytes: another key would
 * be another host to the peers. Blocks on the disk. The caller wipes *ret when it has served.
 */
int secret_load(const char *path, void *ret, size_t size, struct err *e) MUST_CHECK;

/*
 * The same, but where there is no file the key in `from` is copied, if that is there: it was given, and
 * may be root's alone to read. *ret_taken: it was. What is wrong with it is an error.
 */
int secret_take(const char *path, const char *from, void *ret, size_t size, bool *ret_taken,
		struct err *e) MUST_CHECK;

/* Wipes a text, then frees it. NULL is fine. */
void secret_free(char *secret);

static inline void secret_free_at(char **secret)
{
	secret_free(*secret);
}

#define auto_secret __attribute__((cleanup(secret_free_at)))

#endif
