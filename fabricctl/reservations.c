/* SPDX-License-Identifier: Apache-2.0 */
/* Format: host-local's, plugins/ipam/host-local/backend/disk of the CNI plugins. */
#include "fabricctl/reservations.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/file.h"

#define FILE_MAX_SIZE 4096

void reservations_parse(char *text, struct reservation *ret)
{
	size_t size = strcspn(text, "\r\n");
	char *rest = text + size + strspn(text + size, "\r\n");

	text[size] = '\0';
	rest[strcspn(rest, "\r\n")] = '\0';
	ret->container_id = text;
	ret->interface = rest;
}

struct walk {
	void (*visit)(void *arg, const struct reservation *reservation);
	void *arg;
	size_t len;
};

static void visit_file(struct walk *w, const char *path, const char *network, const char *name)
{
	struct reservation r = { .network = network };
	auto_free char *file = NULL;
	auto_free char *text = NULL;
	struct stat st;

	/* The directory has other files too: the lock, which address was last. */
	if (ip_addr_parse(name, AF_UNSPEC, &r.address, NULL) < 0)
		return;
	file = xasprintf("%s/%s", path, name);
	if (stat(file, &st) < 0 || file_read(file, FILE_MAX_SIZE, &text, NULL, NULL) < 0)
		return;
	w->len++;
	reservations_parse(text, &r);
	r.written_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	w->visit(w->arg, &r);
}

static int visit_network(struct walk *w, const char *directory, const char *network, struct err *e)
{
	auto_free char *path = xasprintf("%s/%s", directory, network);
	DIR *dir = opendir(path);
	struct dirent *entry;
	int rc = 0;

	if (!dir && (errno == ENOTDIR || errno == ENOENT))
		return 0;
	if (!dir)
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	while (rc == 0 && (entry = readdir(dir))) {
		visit_file(w, path, network, entry->d_name);
		if (w->len > RESERVATIONS_MAX)
			rc = err_set(e, -EFBIG, "%s has more than %zu reservations", directory,
				     RESERVATIONS_MAX);
	}
	closedir(dir);
	return rc;
}

int reservations_each(const char *directory,
		      void (*visit)(void *arg, const struct reservation *reservation), void *arg,
		      struct err *e)
{
	struct walk w = { .visit = visit, .arg = arg };
	DIR *dir = opendir(directory);
	struct dirent *entry;
	int rc = 0;

	if (!dir && errno == ENOENT)
		return 0;
	if (!dir)
		return err_set(e, -errno, "%s: %s", directory, strerror(errno));
	while (rc == 0 && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			rc = visit_network(&w, directory, entry->d_name, e);
	}
	closedir(dir);
	return rc;
}
