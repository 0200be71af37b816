/* SPDX-License-Identifier: Apache-2.0 */
/*
 * install-conf: what the init container of the DaemonSet does. Copies files into directories of the host, in
 * the order in which they are given: the plugin before the list that names it, since a runtime uses a list as
 * soon as it is there. Each appears whole or not at all, and one that is there already is left alone.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/file.h"

#define FILE_MAX_SIZE ((size_t)64 << 20)

/* Not to be told apart from what is there: nothing to do. */
static bool is_there(const char *target, const char *data, size_t size, mode_t mode)
{
	auto_free char *there = NULL;
	size_t there_size;
	struct stat st;

	return stat(target, &st) == 0 && (st.st_mode & 07777) == mode &&
	       file_read(target, FILE_MAX_SIZE, &there, &there_size, NULL) == 0 &&
	       there_size == size && memcmp(there, data, size) == 0;
}

static int install(const char *source, const char *target, struct err *e)
{
	auto_free char *data = NULL;
	struct stat st;
	size_t size;
	mode_t mode;
	int rc = file_read(source, FILE_MAX_SIZE, &data, &size, e);

	if (rc < 0)
		return rc;
	if (stat(source, &st) < 0)
		return err_sys(e, -errno, "%s", source);
	mode = st.st_mode & 0100 ? 0755 : 0644;
	if (is_there(target, data, size, mode)) {
		printf("%s is there\n", target);
		return 0;
	}
	rc = file_replace(target, data, size, mode, e);
	if (rc == 0)
		printf("%s installed, %zu bytes\n", target, size);
	return rc;
}

int main(int argc, char **argv)
{
	struct err e;

	if (argc < 3 || argc % 2 == 0) {
		fprintf(stderr, "usage: install-conf SOURCE TARGET [SOURCE TARGET ...]\n");
		return 2;
	}
	for (int i = 1; i < argc; i += 2) {
		if (install(argv[i], argv[i + 1], &e) < 0) {
			fprintf(stderr, "install-conf: %s\n", e.text);
			return 1;
		}
	}
	return 0;
}
