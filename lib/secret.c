/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base64.h"
#include "lib/file.h"

static int check(const char *path, int fd, enum secret_kind kind, struct err *e)
{
	mode_t mode;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, -errno, "%s", path);
	mode = st.st_mode & 07777;
	if (S_ISDIR(st.st_mode))
		return err_set(e, -EINVAL, "%s is a directory", path);
	if (!S_ISREG(st.st_mode) && kind == SECRET_OWN)
		return err_set(e, -EINVAL, "%s is no regular file", path);
	/* A pipe of the shell is nobody else's to write. */
	if (!S_ISREG(st.st_mode))
		return 0;
	if (kind == SECRET_GIVEN && mode & S_IWOTH)
		return err_set(e, -EACCES, "%s: everybody may write it, mode %04o", path, mode);
	if (kind == SECRET_OWN && (mode & (S_IRWXG | S_IRWXO)))
		return err_set(e, -EACCES, "%s: mode %04o, must be 0600", path, mode);
	if (kind == SECRET_OWN && st.st_uid != geteuid() && st.st_uid != 0)
		return err_set(e, -EACCES, "%s: owned by uid %u, must be %u", path, st.st_uid,
			       geteuid());
	return 0;
}

/* Into a buffer that never moves, so that no copy stays behind. */
static int read_all(const char *path, int fd, char buffer[static SECRET_MAX + 1], size_t *ret_size,
		    struct err *e)
{
	size_t used = 0;

	while (used <= SECRET_MAX) {
		ssize_t n = read(fd, buffer + used, SECRET_MAX + 1 - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, -errno, "%s", path);
		if (n == 0) {
			*ret_size = used;
			return 0;
		}
		used += (size_t)n;
	}
	return err_set(e, -EFBIG, "%s: larger than %d bytes", path, SECRET_MAX);
}

int secret_read(const char *path, enum secret_kind kind, char **ret, struct err *e)
{
	/* Nobody who put a link there shall lead us elsewhere. */
	int flags = O_RDONLY | O_NOCTTY | (kind == SECRET_OWN ? O_NOFOLLOW : 0);
	char buffer[SECRET_MAX + 1];
	auto_close int fd = -1;
	size_t size = 0;
	int rc = file_open(AT_FDCWD, path, flags, &fd, e);

	if (rc < 0)
		return rc;
	rc = check(path, fd, kind, e);
	if (rc == 0)
		rc = read_all(path, fd, buffer, &size, e);
	if (rc == 0) {
		buffer[size] = '\0';
		if (memchr(buffer, '\0', size))
			rc = err_set(e, -EINVAL, "%s: a NUL is in it", path);
		else if (strcspn(buffer, "\r\n") == 0)
			rc = err_set(e, -ENODATA, "%s: the first line is empty", path);
		else
			*ret = xstrndup(buffer, strcspn(buffer, "\r\n"));
	}
	explicit_bzero(buffer, sizeof(buffer));
	return rc;
}

static int decode(const char *path, const char *text, void *ret, size_t size, struct err *e)
{
	char *bytes = NULL;
	size_t len = 0;
	int rc = base64_decode(text, strlen(text), &bytes, &len, NULL);

	if (rc == 0 && len == size)
		memcpy(ret, bytes, size);
	else
		rc = err_set(e, -EINVAL, "%s: not %zu bytes in base64", path, size);
	if (bytes)
		explicit_bzero(bytes, len);
	free(bytes);
	return rc;
}

static int keep(const char *path, const void *bytes, size_t size, struct err *e)
{
	auto_secret char *text = base64_encode(bytes, size);

	return file_replace(path, text, strlen(text), 0600, e);
}

static int make(const char *path, void *ret, size_t size, struct err *e)
{
	uint8_t bytes[SECRET_KEY_MAX];
	int rc;

	if (size > sizeof(bytes))
		abort();
	util_random(bytes, size);
	rc = keep(path, bytes, size, e);
	if (rc == 0)
		memcpy(ret, bytes, size);
	explicit_bzero(bytes, sizeof(bytes));
	return rc;
}

int secret_take(const char *path, const char *from, void *ret, size_t size, bool *ret_taken,
		struct err *e)
{
	auto_secret char *text = NULL;
	uint8_t bytes[SECRET_KEY_MAX];
	int rc;

	*ret_taken = false;
	if (size > sizeof(bytes))
		abort();
	if (access(path, F_OK) == 0 || access(from, F_OK) < 0)
		return secret_load(path, ret, size, e);
	rc = secret_read(from, SECRET_GIVEN, &text, e);
	if (rc == 0)
		rc = decode(from, text, bytes, size, e);
	if (rc == 0)
		rc = keep(path, bytes, size, e);
	if (rc == 0) {
		memcpy(ret, bytes, size);
		*ret_taken = true;
	}
	explicit_bzero(bytes, sizeof(bytes));
	return rc;
}

int secret_load(const char *path, void *ret, size_t size, struct err *e)
{
	auto_secret char *text = NULL;
	int rc = secret_read(path, SECRET_OWN, &text, e);

	if (rc == -ENOENT)
		return make(path, ret, size, e);
	return rc < 0 ? rc : decode(path, text, ret, size, e);
}

void secret_free(char *secret)
{
	if (!secret)
		return;
	explicit_bzero(secret, strlen(secret));
	free(secret);
}
