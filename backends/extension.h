/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BACKENDS_EXTENSION_H
#define BACKENDS_EXTENSION_H

#include "backends/backend.h"

/* Commands of the configuration make the data path; what PreStartupCommand says is in the lease. */
extern const struct backend_type backend_extension;

#endif
