/* SPDX-License-Identifier: Apache-2.0 */
/* In place of object.c where clang or libbpf's headers were not there. */
#ifndef FAST_PATH_OBJECT

#include <errno.h>
#include <string.h>

#include "fastpath/object.h"

int fast_object_load(const char *directory UNUSED, const char *owner UNUSED,
		     struct fast_object **ret UNUSED, struct err *e)
{
	return err_set(e, -ENOTSUP,
		       "this flanneld was built without it: clang or libbpf was missing");
}

void fast_object_free(struct fast_object *o UNUSED)
{
}

int fast_object_attach(const struct fast_object *o UNUSED, uint32_t ifindex UNUSED,
		       enum fast_program program UNUSED, struct err *e)
{
	return err_set(e, -ENOTSUP, "built without");
}

void fast_object_detach(const struct fast_object *o UNUSED, uint32_t ifindex UNUSED)
{
}

void fast_object_links_visit(const struct fast_object *o UNUSED,
			     void (*visit)(void *arg, uint32_t ifindex) UNUSED, void *arg UNUSED)
{
}

unsigned fast_object_strangers(const struct fast_object *o UNUSED, uint32_t ifindex UNUSED)
{
	return 0;
}

int fast_object_set(const struct fast_object *o UNUSED, const struct fast_settings *set UNUSED,
		    struct err *e)
{
	return err_set(e, -ENOTSUP, "built without");
}

int fast_object_get(const struct fast_object *o UNUSED, struct fast_settings *ret UNUSED,
		    struct err *e)
{
	return err_set(e, -ENOTSUP, "built without");
}

void fast_object_outcomes(const struct fast_object *o UNUSED,
			  uint64_t ret[static FAST_OUTCOMES_LEN])
{
	memset(ret, 0, sizeof(*ret) * FAST_OUTCOMES_LEN);
}

void fast_object_counts_visit(const struct fast_object *o UNUSED,
			      const struct fast_count_ops *ops UNUSED, void *arg UNUSED)
{
}

void fast_object_counts_forget(const struct fast_object *o UNUSED)
{
}

int fast_object_put(const struct fast_object *o UNUSED, const struct fast_address *address UNUSED,
		    const struct fast_container *c UNUSED, struct err *e)
{
	return err_set(e, -ENOTSUP, "built without");
}

void fast_object_drop(const struct fast_object *o UNUSED, const struct fast_address *address UNUSED)
{
}

void fast_object_containers_visit(const struct fast_object *o UNUSED,
				  void (*visit)(void *arg, const struct fast_address *address,
						const struct fast_container *c, bool device) UNUSED,
				  void *arg UNUSED)
{
}

#endif
