/* SPDX-License-Identifier: Apache-2.0 */
/* The alloc backend: a lease and subnet.env, no data path. Who uses it has one of its own. */
#ifndef BACKENDS_ALLOC_H
#define BACKENDS_ALLOC_H

#include "backends/backend.h"

extern const struct backend_type backend_alloc;

#endif
