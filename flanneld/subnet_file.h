/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subnet.env on the disk: the one place that writes it, and that keeps it as it was written.
 *
 * The file's directory is watched; a slow timer sees what no notification tells (a mount over it, a
 * directory further up that was moved). What somebody deleted or altered is written again, more and
 * more slowly if it goes on.
 */
#ifndef FLANNELD_SUBNET_FILE_H
#define FLANNELD_SUBNET_FILE_H

#include "lib/problem.h"

#define SUBNET_FILE_CHECK_S      30   /* the slow timer */
#define SUBNET_FILE_HEAL_MS      20   /* lets who alters it finish */
#define SUBNET_FILE_RETRY_MS     5000 /* after it could not be written */
#define SUBNET_FILE_HEAL_MAX_MS  30000
#define SUBNET_FILE_FIGHT_ROUNDS 4 /* so often in a row, and it is a fight */

struct event_base;
struct subnet_file;

/* `changed` is called from the loop when subnet_file_problems or _is_written may say something else. */
struct subnet_file *subnet_file_new(struct event_base *base, const char *path,
				    void (*changed)(void *arg), void *arg);
void subnet_file_free(struct subnet_file *f);

/* What the file must say from now on. Written at once, unless it says so already. */
void subnet_file_set(struct subnet_file *f, const char *text);
/* Whether it says what it must, as far as is known. */
bool subnet_file_is_written(const struct subnet_file *f);
/* Why it cannot be written; "" if nothing is wrong. */
const char *subnet_file_error(const struct subnet_file *f);
/* "subnet-file": it cannot be written. "fighting": somebody else alters it again and again. */
void subnet_file_problems(const struct subnet_file *f, struct problem_list *ret);

#endif
