/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the journal of a store in a directory: read up to a line that is none, with all that
 * came before; what was read can be written and read again; and what can be saved of the rest.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "stores/file_journal.h"

static void check_again(const struct file_journal *j)
{
	struct file_journal again;
	struct err e = { 0 };
	size_t size;
	size_t used;
	auto_free char *text = file_journal_present(j, &size);

	file_journal_init(&again);
	if (file_journal_read(&again, text, size, &used, &e) < 0) {
		fprintf(stderr, "%s\n%s\n", e.text, text);
		abort();
	}
	FUZZ_CHECK(used == size);
	FUZZ_CHECK(mem_db_keys(again.db) == mem_db_keys(j->db));
	FUZZ_CHECK(mem_db_revision(again.db) == mem_db_revision(j->db));
	file_journal_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct file_journal_fault *faults;
	struct file_journal j;
	struct err e = { 0 };
	size_t used;
	size_t len;
	int rc;

	file_journal_init(&j);
	rc = file_journal_read(&j, (const char *)data, size, &used, &e);
	FUZZ_CHECK(used <= size);
	FUZZ_CHECK(used == 0 || data[used - 1] == '\n');
	FUZZ_CHECK(rc == 0 || e.text[0]);
	FUZZ_CHECK(rc < 0 || !memchr(data + used, '\n', size - used));
	mem_db_expire(j.db, 1000);
	check_again(&j);
	file_journal_restart(&j);
	file_journal_salvage(&j, (const char *)data, size, &faults, &len);
	FUZZ_CHECK(len == 0 || rc < 0);
	check_again(&j);
	for (size_t i = 0; i < len; i++)
		free(faults[i].reason);
	free(faults);
	file_journal_fini(&j);
	return 0;
}
