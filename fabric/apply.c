/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/apply.h"

#include "lib/clock.h"
#include "lib/log.h"

#define WRITES_PER_LOOK 128  /* at the clock */
#define WRITES_PER_TURN 2048 /* elements are sent in one transaction, when all have been gathered */

static int observe_kind(struct reconcile *r, struct kernel *k, unsigned kind, struct err *e)
{
	struct kernel_objects found = { 0 };
	int rc = kernel_kinds[kind]->dump(k, &found, e);

	if (rc == 0) {
		reconcile_observe_begin(r, kind);
		for (size_t i = 0; i < found.len; i++)
			reconcile_observe(r, &found.items[i]);
		reconcile_observe_end(r);
	}
	free(found.items);
	return rc < 0 ? err_wrap(e, "read %ss", kernel_kinds[kind]->name) : 0;
}

int apply_observe(struct reconcile *r, struct kernel *k, unsigned kinds, struct err *e)
{
	int result = 0;

	reconcile_set_marks(r, &k->marks);
	for (unsigned kind = 0; kind < KERNEL_KINDS; kind++) {
		if (kinds & 1u << kind && observe_kind(r, k, kind, e) < 0)
			result = e->code;
	}
	return result;
}

/* Entries travel as cookies. */
static void on_refused(void *arg, void *cookie, int code, const char *text)
{
	reconcile_refused(arg, (uint32_t)(uintptr_t)cookie, code, text);
}

int apply_flush(struct reconcile *r, struct kernel *k, int64_t turn_ms, bool *ret_more,
		struct err *e)
{
	int64_t until_ms = clock_boot_ms() + turn_ms;
	struct kernel_batch *batch = kernel_batch_new(k, on_refused, r);
	const struct kernel_object *object;
	char text[KERNEL_OBJECT_TEXT];
	enum kernel_verb verb;
	uint32_t entry;
	unsigned doubts;
	size_t count = 0;
	bool more;
	int rc;

	while ((more = reconcile_next(r, &verb, &object, &entry))) {
		log_debug("kernel-write", "%s %s", verb == KERNEL_DROP ? "drop" : "put",
			  kernel_object_format(object, text));
		kernel_object_write(batch, verb, object, (void *)(uintptr_t)entry);
		if (++count == WRITES_PER_TURN ||
		    (count % WRITES_PER_LOOK == 0 && clock_boot_ms() >= until_ms))
			break;
	}
	rc = kernel_batch_flush(batch, &doubts, e);
	reconcile_reread(r, doubts);
	kernel_batch_free(batch);
	*ret_more = more;
	return rc;
}
