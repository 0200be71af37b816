/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fabricctl store repair: what of the journal of a store in a directory cannot be read, and the
 * journal that would be left without it. It stands beside the other; a person takes it into use.
 */
#include <errno.h>
#include <inttypes.h>

#include "fabricctl/settings.h"
#include "fabricctl/store.h"
#include "lib/file.h"
#include "lib/json.h"
#include "stores/file_journal.h"
#include "stores/file_store.h"

#define FILE_SCHEME "file:"
#define SHOWN_MAX   60 /* bytes of a line that cannot be read */

static void show_fault(const struct ctl *c, const struct file_journal_fault *f, const char *text)
{
	int size = (int)MIN(f->size, (size_t)SHOWN_MAX);
	auto_free char *line =
		xasprintf("%.*s%s", size, text + f->at, f->size > SHOWN_MAX ? "..." : "");

	util_make_printable(line);
	fprintf(c->out, "line %zu, at byte %zu: %s\n  %s\n", f->line, f->at, f->reason, line);
}

/* The boot of the journal stays its own: whoever reads it decides whether its times mean anything. */
static void keep_boot(struct file_journal *j, const char *text, size_t size)
{
	auto_json json_t *object = NULL;
	const char *boot;

	if (json_parse_object(text, strcspn(text, "\n") < size ? strcspn(text, "\n") : size,
			      &object, NULL) < 0)
		return;
	boot = json_string_value(json_object_get(object, "boot"));
	snprintf(j->boot_id, sizeof(j->boot_id), "%s", boot ? boot : "");
}

static int propose(const struct ctl *c, struct file_journal *j, const char *path, const char *text,
		   size_t size)
{
	auto_free char *repaired = xasprintf("%s.repaired", path);
	auto_free char *left = NULL;
	struct file_journal_fault *faults;
	struct err e;
	size_t left_size;
	size_t len;
	int rc;

	file_journal_restart(j);
	keep_boot(j, text, size);
	file_journal_salvage(j, text, size, &faults, &len);
	for (size_t i = 0; i < len; i++) {
		show_fault(c, &faults[i], text);
		free(faults[i].reason);
	}
	free(faults);
	left = file_journal_present(j, &left_size);
	rc = file_replace(repaired, left, left_size, 0600, &e);
	if (rc < 0)
		return ctl_fail(c, rc == -EACCES ? CTL_DENIED : CTL_FAILED, e.text, NULL,
				"the repaired journal cannot be written");
	fprintf(c->out,
		"without %s %zu keys are left, at revision %" PRIu64 ": %s\n"
		"to take it into use: mv %s %s\n",
		len == 1 ? "this line" : "these lines", mem_db_keys(j->db), mem_db_revision(j->db),
		repaired, repaired, path);
	return CTL_FOUND;
}

int store_repair(const struct ctl *c)
{
	auto_free char *path = NULL;
	auto_free char *text = NULL;
	struct settings settings;
	struct file_journal j;
	struct err e;
	size_t used;
	size_t size;
	int status = settings_read(c, true, &settings);
	int rc;

	if (status == CTL_OK &&
	    strncmp(settings.store.store, FILE_SCHEME, strlen(FILE_SCHEME)) != 0)
		status = ctl_fail(c, CTL_USAGE, "only a directory has a journal",
				  "fabricctl store ping", "the store is %s", settings.store.store);
	else if (status == CTL_OK)
		path = xasprintf("%s/journal", settings.store.store + strlen(FILE_SCHEME));
	settings_fini(&settings);
	if (status)
		return status;
	rc = file_read(path, FILE_JOURNAL_MAX_SIZE, &text, &size, &e);
	if (rc < 0)
		return ctl_fail(c, rc == -EACCES ? CTL_DENIED : CTL_NO_STORE, e.text, NULL,
				"the journal cannot be read");
	file_journal_init(&j);
	if (file_journal_read(&j, text, size, &used, &e) < 0)
		status = propose(c, &j, path, text, size);
	else
		fprintf(c->out, "%s: %zu lines, and all can be read\n", path, j.lines);
	file_journal_fini(&j);
	return status;
}
