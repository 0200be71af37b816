/* SPDX-License-Identifier: Apache-2.0 */
/* In what the kernel differs from what is wanted, for people: devices, objects, the table of the traffic
 * rules, and routes of others that stand before ours. */
#include <errno.h>

#include "fabric/apply.h"
#include "fabric/fabric_internal.h"
#include "fastpath/fast_path.h"
#include "kernel/rehearsal.h"

struct difference {
	fabric_difference_fn *visit;
	void *arg;
};

static void show_difference(void *arg, enum kernel_verb verb, const struct kernel_object *o)
{
	static const char *const names[] = { [KERNEL_CREATE] = "create",
					     [KERNEL_REPLACE] = "replace",
					     [KERNEL_DROP] = "drop",
					     [KERNEL_REMAKE] = "replace" };
	const struct difference *d = arg;
	char text[KERNEL_OBJECT_TEXT];

	d->visit(d->arg, names[verb], kernel_kind_of(o)->name, kernel_object_format(o, text));
}

int fabric_diff(struct fabric *f, fabric_difference_fn *visit, void *arg, struct err *e)
{
	struct difference d = { visit, arg };
	char text[ERR_TEXT_SIZE];
	int rc = 0;

	if (!f->started)
		return err_set(e, -EAGAIN, "there is no lease yet");
	while (!fabric_want_all(f))
		;
	fabric_tick_drift(f);
	fabric_visit_devices(f, visit, arg);
	rc = rules_difference(f->rules, text, sizeof(text), e);
	if (rc == 0 && text[0])
		visit(arg, "replace", "table", text);
	if (rc == 0)
		rc = apply_observe(f->reconcile, &f->kernel, fabric_readable_kinds(f), e);
	if (rc == 0)
		reconcile_difference_visit(f->reconcile, show_difference, &d);
	/* Nobody has looked for them before. */
	if (rc == 0 && rehearsal_is_on()) {
		fabric_walk_shadows(f, 0);
		fabric_look_for_shadows(f);
	}
	if (rc == 0)
		fabric_visit_shadows(f, visit, arg);
	if (rc == 0)
		fast_path_difference(f->fast, visit, arg);
	fabric_want_work(f, 0);
	return rc;
}
