/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/gc.h"

#include <string.h>

#include "fabricctl/ctl.h"

/* netavark's: no DEL comes of a setup that failed. */
static bool is_broken_off(const json_t *item, const char *state, int64_t age_s)
{
	return strcmp(state, "unfinished") == 0 && age_s >= GC_YOUNG_S &&
	       json_is_true(json_object_get(item, "asksOnce")) &&
	       json_is_false(json_object_get(item, "deviceExists"));
}

bool gc_judge_attachment(const json_t *item, int64_t age_s, const char **ret_reason)
{
	const char *state = ctl_text(item, "state");

	*ret_reason = NULL;
	if (!state || strcmp(state, "ok") == 0)
		return false;
	if (strcmp(state, "forgotten") == 0) {
		*ret_reason = "the runtime does not know of it, but its interface is there";
		return false;
	}
	if (is_broken_off(item, state, age_s)) {
		*ret_reason = "its setup was broken off, and nobody asks for it again";
		return true;
	}
	/* Unfinished, damaged: the plugin's next DEL knows what to do, and is the runtime's to ask for. */
	if (strcmp(state, "gone") != 0) {
		*ret_reason = ctl_text(item, "reason");
		return false;
	}
	if (json_is_true(json_object_get(item, "runtime"))) {
		*ret_reason = "its interface is gone, but the runtime knows of it, and has its DEL "
			      "to come";
		return false;
	}
	*ret_reason = json_is_false(json_object_get(item, "runtime"))
			      ? "its interface is gone, and the runtime does not know of it"
			      : "its interface is gone";
	return true;
}

bool gc_judge_reservation(const struct gc_reservation *r, const char **ret_reason)
{
	*ret_reason = NULL;
	if (r->has_record || r->runtime_knows == 1)
		return false;
	if (!r->is_named)
		*ret_reason = "it does not say whose it is";
	else if (r->age_s < GC_YOUNG_S)
		*ret_reason = "it is younger than 5 minutes: an ADD may be under way";
	else if (r->holder == GC_SOMEBODY)
		*ret_reason = "there is no record of its container, but somebody has the address";
	else if (r->holder == GC_UNKNOWN)
		*ret_reason =
			"there is no record of its container, but nobody can be asked whether "
			"he has the address: the containers' bridge is missing or down";
	if (*ret_reason)
		return false;
	*ret_reason = r->runtime_knows == 0
			      ? "there is no record of its container, the runtime does "
				"not know of it, and nobody has the address"
			      : "there is no record of its container, and nobody has "
				"the address";
	return true;
}
