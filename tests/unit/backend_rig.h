/* SPDX-License-Identifier: Apache-2.0 */
/* What the fabric does with a lease, for tests of backends: read it, and ask what it means. */
#ifndef TESTS_UNIT_BACKEND_RIG_H
#define TESTS_UNIT_BACKEND_RIG_H

#include "backends/backend.h"

/* The objects of a peer's lease instead of what was in `ret`. */
static inline int rig_want_peer(const struct backend *b, const struct lease *l,
				const struct backend_path paths[static 2], struct wants *ret,
				struct err *e)
{
	auto_free void *data = NULL;
	int rc = backend_parse(b->type, l, &data, e);

	ret->len = 0;
	return rc < 0 ? rc : backend_want_peer(b, l, data, paths, ret, e);
}

static inline void rig_want_own(const struct backend *b, const struct subnet *own,
				struct wants *ret)
{
	ret->len = 0;
	backend_want_own(b, own, ret);
}

#endif
