/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal of a store in a directory: what the store was, then every step since, one JSON object
 * a line. Bytes in and out, no files.
 *
 *   {"format":1,"boot":ID,"revision":N}                              the first line
 *   {"key":K,"value":V,"create":N,"mod":N,"handle":N}                what it was
 *   {"step":"put","key":K,"value":V,"handle":N} and the like         what happened
 *
 * Whoever can write the directory can write anything here: what is no such line, or in no place for
 * one, is refused with its number, and nothing behind it is read.
 */
#ifndef STORES_FILE_JOURNAL_H
#define STORES_FILE_JOURNAL_H

#include "stores/mem_db.h"

#define FILE_JOURNAL_MAX_SIZE ((size_t)256 << 20)

struct file_journal {
	struct mem_db *db;
	char boot_id[64]; /* of this boot */
	size_t lines;     /* read so far */
	size_t steps;     /* of them */
	bool other_boot;  /* its times are of an earlier boot */
};

/* Nothing read, an empty store. */
void file_journal_init(struct file_journal *j);
void file_journal_fini(struct file_journal *j);
/* Back to that; `boot_id` stays. */
void file_journal_restart(struct file_journal *j);

/*
 * Reads on: whole lines. *ret_used is where the last good one ended, also on failure. -EBADMSG says
 * which line is none, and why.
 */
int file_journal_read(struct file_journal *j, const char *text, size_t size, size_t *ret_used,
		      struct err *e) MUST_CHECK;
/* The line of one step. */
void file_journal_put_step(FILE *out, const struct mem_op *op);
/* A journal with the present and no past; caller frees. */
char *file_journal_present(const struct file_journal *j, size_t *ret_size);

/* What `fabricctl store repair` shows of a line that cannot be read. */
struct file_journal_fault {
	size_t line; /* from 1 */
	size_t at;   /* bytes before it */
	size_t size; /* without its end */
	char *reason;
};

/*
 * Reads every line that can be read, also one that is not in its place, and names the others:
 * *ret_faults, each with its reason, and the array, are the caller's. The revision ends beyond where
 * it would have with all of them.
 */
void file_journal_salvage(struct file_journal *j, const char *text, size_t size,
			  struct file_journal_fault **ret_faults, size_t *ret_len);

#endif
