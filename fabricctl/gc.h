/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is on this host for containers that are gone. Judged here by what is known of each
 * (pure); gc_run.c finds that out, and has the CNI plugin remove what nobody wants.
 */
#ifndef FABRICCTL_GC_H
#define FABRICCTL_GC_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/err.h"

/* A reservation that is younger may belong to an ADD that has not come to its end. */
#define GC_YOUNG_S 300

enum gc_holder {
	GC_NOBODY,   /* nobody answers for the address */
	GC_SOMEBODY, /* somebody does, or its link is there */
	GC_UNKNOWN,  /* there is no link on which he could be asked */
};

struct gc_reservation {
	bool has_record;   /* the plugin has one of this container */
	bool is_named;     /* it says which container and interface it is for */
	int runtime_knows; /* 1 it does, 0 it does not, -1 it has no notes */
	int64_t age_s;
	enum gc_holder holder;
};

/*
 * What to do with it: true, remove; false, leave it, and then *ret_reason is NULL if it is somebody's and
 * why it is in doubt otherwise. *ret_reason of what is to be removed says why.
 */
bool gc_judge_attachment(const json_t *item, int64_t age_s, const char **ret_reason);
bool gc_judge_reservation(const struct gc_reservation *r, const char **ret_reason);

#endif
