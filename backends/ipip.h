/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BACKENDS_IPIP_H
#define BACKENDS_IPIP_H

#include "backends/backend.h"

/* IPv4 in IPv4, one device; no data in the lease. */
extern const struct backend_type backend_ipip;

#endif
