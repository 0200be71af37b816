/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts this host's health record (subnet/health_record.h) into the store, where `fabricctl hosts` of
 * any host finds it.
 *
 * It is written when it says something else in what matters, and else only prolonged, each minute,
 * which adds nothing to etcd's history; three minutes after the last time it ends. All hosts together
 * write RECORD_WRITES_PER_S times a second, whatever happens to all of them at once: in the time that this
 * takes each has a moment of its own, by the clock and by the order of all subnets.
 */
#ifndef FLANNELD_RECORD_H
#define FLANNELD_RECORD_H

#include "lib/problem.h"

#define RECORD_WRITES_PER_S 16
#define RECORD_EVERY_MIN_MS 10000 /* one host writes no more often */
#define RECORD_SETTLE_MS    1000  /* what is over by then is not told */
#define RECORD_KEEP_MS      60000
#define RECORD_TTL_S        180
#define RECORD_REFUSED_MS   600000 /* until the store is asked again that does not let us write */

struct daemon;
struct daemon_view;
struct record;

/* The daemon is borrowed, and its loop and store are there. NULL if it is switched off, or the store
 * has no place for it; the others take that. */
struct record *record_new(struct daemon *d);
void record_free(struct record *r);
/* After every change: what is to be told may be another now. */
void record_consider(struct record *r, const struct daemon_view *v);
/* That the store does not take it. */
void record_problems(const struct record *r, struct problem_list *ret);

#endif
